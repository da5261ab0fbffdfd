//! Which settings hash which packet: those of the router, or of a profile for its destination.

use super::Settings;
use std::net::IpAddr;

/// Settings of their own for some destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How the operator calls it.
    pub name: String,
    /// The destinations, as address and prefix length; host bits zero.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// How packets to them are hashed.
    pub settings: Settings,
}

/// All settings. A packet is hashed by the profile with the longest prefix over its destination,
/// and by the base settings when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    base: Settings,
    profiles: Vec<Profile>,
    /// First addresses of ranges, ascending, and what goes for each: 0 the base, else the number of
    /// a profile plus one. The first range starts at 0.
    ranges4: Ranges<u32>,
    ranges6: Ranges<u128>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ranges<A> {
    starts: Vec<A>,
    of: Vec<u16>,
}

impl<A> Default for Ranges<A> {
    fn default() -> Self {
        Ranges {
            starts: Vec::new(),
            of: Vec::new(),
        }
    }
}

impl<A: Ord + Copy> Ranges<A> {
    /// From `(first, last, length, what)` of each prefix; `next` gives the address behind one.
    fn new(mut prefixes: Vec<(A, A, u8, u16)>, zero: A, next: impl Fn(A) -> Option<A>) -> Self {
        if prefixes.is_empty() {
            return Ranges::default();
        }
        // Shorter ones first, so that longer ones are nested inside what is open.
        prefixes.sort_unstable_by_key(|p| (p.0, p.2));
        let mut ranges = Ranges {
            starts: vec![zero],
            of: vec![0],
        };
        let mut open: Vec<(A, u16)> = Vec::new();
        for (first, last, _, what) in prefixes {
            ranges.close(&mut open, Some(first), &next);
            ranges.put(first, what);
            open.push((last, what));
        }
        ranges.close(&mut open, None, &next);
        ranges
    }

    /// Ends what is open and ends before `first`.
    fn close(
        &mut self,
        open: &mut Vec<(A, u16)>,
        first: Option<A>,
        next: &impl Fn(A) -> Option<A>,
    ) {
        while let Some((last, _)) = open.last().copied() {
            if first.is_some_and(|first| last >= first) {
                break;
            }
            open.pop();
            if let Some(behind) = next(last) {
                self.put(behind, open.last().map_or(0, |o| o.1));
            }
        }
    }

    fn put(&mut self, start: A, what: u16) {
        if self.starts.last() == Some(&start) {
            self.of.pop();
        } else {
            self.starts.push(start);
        }
        self.of.push(what);
    }

    #[inline]
    fn find(&self, address: A) -> usize {
        let at = self.starts.partition_point(|s| *s <= address);
        let of = at.checked_sub(1).and_then(|at| self.of.get(at));
        of.copied().unwrap_or(0).into()
    }
}

impl Policy {
    /// Of a prefix that several profiles name, the last one counts.
    pub fn new(base: Settings, profiles: Vec<Profile>) -> Self {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        for (i, profile) in profiles.iter().enumerate() {
            let what = u16::try_from(i + 1).unwrap_or(0);
            for &(address, length) in &profile.prefixes {
                match address {
                    IpAddr::V4(a) => {
                        let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                        four.push((a.to_bits() & !host, a.to_bits() | host, length, what));
                    }
                    IpAddr::V6(a) => {
                        let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                        six.push((a.to_bits() & !host, a.to_bits() | host, length, what));
                    }
                }
            }
        }
        Policy {
            base,
            profiles,
            ranges4: Ranges::new(four, 0, |a| a.checked_add(1)),
            ranges6: Ranges::new(six, 0, |a| a.checked_add(1)),
        }
    }

    /// What goes where no profile does.
    #[inline]
    pub fn base(&self) -> &Settings {
        &self.base
    }

    /// The profiles, as given.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// There are no profiles: one and the same settings for every packet.
    #[inline]
    pub fn is_uniform(&self) -> bool {
        self.profiles.is_empty()
    }

    /// The settings for an IPv4 destination.
    #[inline]
    pub fn settings4(&self, destination: u32) -> &Settings {
        if self.is_uniform() {
            return &self.base;
        }
        self.numbered(self.ranges4.find(destination))
    }

    /// The settings for an IPv6 destination.
    #[inline]
    pub fn settings6(&self, destination: u128) -> &Settings {
        if self.is_uniform() {
            return &self.base;
        }
        self.numbered(self.ranges6.find(destination))
    }

    fn numbered(&self, number: usize) -> &Settings {
        let profile = number.checked_sub(1).and_then(|i| self.profiles.get(i));
        profile.map_or(&self.base, |p| &p.settings)
    }

    /// The profile for a destination; none: the base.
    pub fn profile_of(&self, destination: IpAddr) -> Option<&Profile> {
        let number = match destination {
            IpAddr::V4(a) => self.ranges4.find(a.to_bits()),
            IpAddr::V6(a) => self.ranges6.find(a.to_bits()),
        };
        self.profiles.get(number.checked_sub(1)?)
    }
}

impl From<Settings> for Policy {
    fn from(base: Settings) -> Self {
        Policy::new(base, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Choice;

    fn profile(name: &str, prefixes: &[&str]) -> Profile {
        let prefixes = prefixes.iter().map(|p| {
            let (address, length) = p.split_once('/').unwrap();
            (address.parse().unwrap(), length.parse().unwrap())
        });
        Profile {
            name: name.into(),
            prefixes: prefixes.collect(),
            settings: Settings::new(Choice {
                seed: name.len() as u32,
                ..Choice::default()
            }),
        }
    }

    fn name_of(policy: &Policy, address: &str) -> String {
        let address: IpAddr = address.parse().unwrap();
        let by_name = policy.profile_of(address).map(|p| &p.settings);
        let fast = match address {
            IpAddr::V4(a) => policy.settings4(a.to_bits()),
            IpAddr::V6(a) => policy.settings6(a.to_bits()),
        };
        assert_eq!(by_name.unwrap_or(policy.base()), fast, "{address}");
        let found = policy.profile_of(address);
        found.map_or(String::new(), |p| p.name.clone())
    }

    #[test]
    fn the_longest_prefix_counts() {
        let policy = Policy::new(
            Settings::default(),
            vec![
                profile("a", &["10.0.0.0/8", "fd00::/8"]),
                profile("bb", &["10.1.0.0/16", "10.0.0.0/24", "fd00:1::/32"]),
                profile(
                    "ccc",
                    &["10.1.2.3/32", "255.255.255.255/32", "fd00:1::1/128"],
                ),
            ],
        );
        for (address, name) in [
            ("9.255.255.255", ""),
            ("10.0.0.0", "bb"),
            ("10.0.0.255", "bb"),
            ("10.0.1.0", "a"),
            ("10.1.2.2", "bb"),
            ("10.1.2.3", "ccc"),
            ("10.1.2.4", "bb"),
            ("10.2.0.0", "a"),
            ("11.0.0.0", ""),
            ("255.255.255.254", ""),
            ("255.255.255.255", "ccc"),
            ("fd00::1", "a"),
            ("fd00:1::", "bb"),
            ("fd00:1::1", "ccc"),
            ("fd00:1::2", "bb"),
            ("fd00:2::", "a"),
            ("fe00::", ""),
            ("::", ""),
        ] {
            assert_eq!(name_of(&policy, address), name, "{address}");
        }
    }

    #[test]
    fn everything_and_nothing() {
        let all = Policy::new(Settings::default(), vec![profile("all", &["0.0.0.0/0"])]);
        assert_eq!(name_of(&all, "0.0.0.0"), "all");
        assert_eq!(name_of(&all, "255.255.255.255"), "all");
        assert_eq!(name_of(&all, "::1"), "");
        assert!(Policy::default().is_uniform() && !all.is_uniform());
    }
}

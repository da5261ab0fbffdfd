//! Prefixes against the lookup that workers use.
//!
//! The lookup cannot be read out, only asked. So each prefix is asked for by addresses of its own: the
//! lowest and the highest of it, the first that no longer prefix has, and two by chance. What the table
//! has beyond the plan is met only where one of these lies in it.

use super::Findings;
use crate::control::Control;
use crate::dplane::Fixed;
use crate::prefix::{Prefix, width};
use crate::rib::Target;
use fastpath::table::{GroupId, Lpm, LpmWrite, View};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many longer prefixes are stepped over to find an address of a prefix's own.
const STEPS: usize = 64;

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn address(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

/// Bits of a prefix that are an address's own.
fn host(prefix: Prefix) -> u128 {
    let free = u32::from(width(prefix.address()) - prefix.length());
    u128::MAX.checked_shr(128 - free).unwrap_or(0)
}

/// The same number for the same prefix: audits can be compared.
fn mix(prefix: Prefix) -> u128 {
    let mut x = bits(prefix.address()) as u64 ^ (bits(prefix.address()) >> 64) as u64;
    let mut half = || {
        // splitmix64.
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = x;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(z ^ z >> 31)
    };
    half() << 64 | half()
}

/// Where a packet to `address` goes, as workers look it up.
fn looked_up<L: Lpm>(view: &View<L>, address: IpAddr) -> GroupId {
    let mut found = [GroupId::NONE];
    let default = match address {
        IpAddr::V4(four) => {
            view.lpm.lookup4(&[four.to_bits()], &mut found);
            view.default4
        }
        IpAddr::V6(six) => {
            view.lpm.lookup6(&[six.octets()], &mut found);
            view.default6
        }
    };
    match found {
        [GroupId::NONE] => default,
        [group] => group,
    }
}

impl<L: LpmWrite> Control<L> {
    /// The prefix that a packet to `address` goes by, and its group.
    fn goes_by(&self, address: IpAddr) -> (Option<Prefix>, GroupId) {
        let found = self.rib.longest(address, |e| e.group != GroupId::NONE);
        found.map_or((None, GroupId::NONE), |(prefix, e)| (Some(prefix), e.group))
    }

    /// An address that goes by this prefix and no longer one.
    pub(super) fn own_address(&self, prefix: Prefix) -> Option<IpAddr> {
        let first = bits(prefix.address());
        let last = first | host(prefix);
        let mut at = first;
        for _ in 0..STEPS {
            let candidate = address(at, prefix.address());
            let (longest, _) = self.goes_by(candidate);
            match longest {
                Some(longer) if longer != prefix => {
                    let end = bits(longer.address()) | host(longer);
                    if longer.length() < prefix.length() || end >= last {
                        return None;
                    }
                    at = end + 1;
                }
                _ => return Some(candidate),
            }
        }
        None
    }

    pub(super) fn check_prefix(&self, prefix: Prefix, findings: &mut Findings) {
        let Some(entry) = self.rib.get(prefix) else {
            return;
        };
        findings.checked.prefixes += 1;
        if entry.failed.is_none() {
            let planned = match entry.won {
                None => Some(GroupId::NONE),
                Some((_, Target::Fixed(fixed))) => Some(self.plan.dplane.fixed(fixed)),
                Some((_, Target::Set(set))) => {
                    let group = self.plan.groups.get(entry.group);
                    let same = group.is_some_and(|g| g.set == set);
                    same.then_some(entry.group)
                }
            };
            if planned != Some(entry.group) {
                let planned = planned.map_or("a group of its next hops".into(), |g| self.words(g));
                let found = self.words(entry.group);
                findings.put(format!("prefix {prefix}"), planned, found);
            }
        }
        if entry.group == GroupId::NONE {
            return;
        }
        let own = self.own_address(prefix);
        findings.checked.covered += u64::from(own.is_none());
        let (first, host, random) = (bits(prefix.address()), host(prefix), mix(prefix));
        let mut asked = vec![first, first | host, first | random & host];
        asked.push(first | random.rotate_left(64) & host);
        asked.extend(own.map(bits));
        asked.sort_unstable();
        asked.dedup();
        let view = self.plan.dplane.view();
        for bits in asked {
            let address = address(bits, prefix.address());
            findings.checked.addresses += 1;
            let (by, planned) = self.goes_by(address);
            let found = looked_up(view, address);
            let object = || match by {
                Some(by) => format!("prefix {by} at {address}"),
                None => format!("address {address}"),
            };
            findings.compare(object, &planned, &found, |group| self.words(*group));
        }
    }

    fn words(&self, group: GroupId) -> String {
        let mut fixed = self.plan.dplane.fixed_groups().into_iter();
        match fixed.find(|(_, id, _)| *id == group) {
            Some((fixed, ..)) => fixed.name().into(),
            None if group == GroupId::NONE => "no route".into(),
            None => format!("group {}", group.0),
        }
    }
}

impl Fixed {
    /// What it does, in words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Fixed::Punt => "the kernel",
            Fixed::Blackhole => "blackhole",
            Fixed::Unreachable => "unreachable",
            Fixed::Prohibit => "prohibit",
        }
    }
}

//! Routes by prefix and source, and which of them wins.
//!
//! In this order: own addresses (to the kernel), connected prefixes (glean), static routes of the
//! configuration, zebra's. On a connected prefix every resolved neighbor has a host route of its
//! own, unless something better than the connected prefix covers it: then it is not on the link.

use crate::dplane::Fixed;
use crate::fpm::decode::RouteKind;
use crate::map::Map;
use crate::nexthop::SetId;
use crate::prefix::{Prefix, width};
use fastpath::table::GroupId;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Who wants a route, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An own address.
    Local,
    /// The prefix of an own address.
    Connected,
    /// A resolved neighbor on a connected prefix.
    Neighbor,
    /// The configuration.
    Static,
    /// zebra.
    Fpm,
}

impl Source {
    /// The name of `show route`.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Local => "local",
            Source::Connected => "connected",
            Source::Neighbor => "neighbor",
            Source::Static => "static",
            Source::Fpm => "fpm",
        }
    }
}

/// What a route does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Forwards to one of these.
    Set(SetId),
    /// Punts or drops.
    Fixed(Fixed),
}

/// zebra's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FpmRoute {
    /// As zebra says.
    pub kind: RouteKind,
    /// `rtm_protocol`.
    pub protocol: u8,
    /// The next hop object that it names.
    pub id: Option<u32>,
    /// What it does: while it waits for an id, what it did before.
    pub target: Option<Target>,
    /// What zebra names, while `target` still has the next hops of before a restart.
    pub meant: Option<Target>,
    /// It waits for this id.
    pub waits: Option<u32>,
    /// A copy of an own address or connected prefix, which rtnetlink knows better.
    pub copy: bool,
    /// The resync in which it was last seen.
    pub generation: u32,
    /// The flags of the latest answer about the prefix; 0: none.
    pub told: u32,
}

/// Routes of one prefix that are not zebra's.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// Interfaces that have it as own address.
    pub local: BTreeSet<u32>,
    /// Interfaces that have it as connected prefix.
    pub connected: BTreeSet<u32>,
    /// The interface on which it is a resolved neighbor.
    pub neighbor: Option<u32>,
    /// The configuration's route.
    pub fixed: Option<Target>,
}

impl Others {
    fn is_empty(&self) -> bool {
        self.local.is_empty()
            && self.connected.is_empty()
            && self.neighbor.is_none()
            && self.fixed.is_none()
    }
}

/// All routes of a prefix.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// zebra's.
    pub fpm: Option<FpmRoute>,
    /// The others, if any: most prefixes are zebra's alone.
    pub others: Option<Box<Others>>,
    /// The winner but for neighbors.
    pub base: Option<(Source, Target)>,
    /// The winner.
    pub won: Option<(Source, Target)>,
    /// What it points to in the lookup; [`GroupId::NONE`]: it is not there.
    pub group: GroupId,
    /// Why the winner is not in the lookup.
    pub failed: Option<Box<str>>,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.fpm.is_none()
            && self.group == GroupId::NONE
            && self.others.as_ref().is_none_or(|o| o.is_empty())
    }

    /// The routes that are not zebra's, to change.
    pub fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }
}

/// All routes.
#[derive(Debug)]
pub struct Rib {
    entries: Map<Prefix, Entry>,
    /// How many prefixes of each length there are, by family.
    lengths: [[u32; 129]; 2],
}

impl Default for Rib {
    fn default() -> Self {
        Rib {
            entries: Map::default(),
            lengths: [[0; 129]; 2],
        }
    }
}

impl Rib {
    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The routes of exactly this prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&Entry> {
        self.entries.get(&prefix)
    }

    /// The routes of exactly this prefix, to change.
    pub fn get_mut(&mut self, prefix: Prefix) -> Option<&mut Entry> {
        self.entries.get_mut(&prefix)
    }

    /// The routes of exactly this prefix, made if there are none.
    pub fn entry(&mut self, prefix: Prefix) -> &mut Entry {
        let lengths = &mut self.lengths[usize::from(prefix.is_ipv4())];
        self.entries.entry(prefix).or_insert_with(|| {
            lengths[usize::from(prefix.length())] += 1;
            Entry::default()
        })
    }

    /// Drops the entry of `prefix` if nothing is in it.
    pub fn tidy(&mut self, prefix: Prefix) {
        if self.entries.get(&prefix).is_some_and(Entry::is_empty) {
            self.entries.remove(&prefix);
            self.lengths[usize::from(prefix.is_ipv4())][usize::from(prefix.length())] -= 1;
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Entry)> {
        self.entries.iter().map(|(p, e)| (*p, e))
    }

    /// All prefixes behind `after`, in order.
    pub fn ordered(&self, after: Option<Prefix>) -> Vec<Prefix> {
        let behind = |p: &Prefix| after.is_none_or(|a| *p > a);
        let mut all: Vec<Prefix> = self.entries.keys().copied().filter(behind).collect();
        all.sort_unstable();
        all
    }

    /// The longest prefix with `address` in it whose entry is `wanted`.
    pub fn longest(
        &self,
        address: IpAddr,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<(Prefix, &Entry)> {
        let lengths = &self.lengths[usize::from(address.is_ipv4())];
        (0..=width(address))
            .rev()
            .filter(|&l| lengths[usize::from(l)] != 0)
            .filter_map(|l| Prefix::containing(address, l).ok())
            .filter_map(|p| Some((p, self.entries.get(&p)?)))
            .find(|(_, e)| wanted(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_that_is_wanted() {
        let mut rib = Rib::default();
        let set = Target::Set(SetId(1));
        for (text, won) in [
            ("0.0.0.0/0", true),
            ("10.0.0.0/8", true),
            ("10.1.0.0/16", false),
            ("10.1.0.0/24", true),
            ("::/0", true),
        ] {
            let entry = rib.entry(text.parse().expect("prefix"));
            entry.won = won.then_some((Source::Fpm, set));
            entry.group = GroupId(1);
        }
        let find = |a: &str| {
            let found = rib.longest(a.parse().expect("address"), |e| e.won.is_some());
            found.map(|(p, _)| p.to_string())
        };
        assert_eq!(find("10.1.0.9").as_deref(), Some("10.1.0.0/24"));
        assert_eq!(find("10.1.1.9").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(find("11.0.0.0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(find("2001:db8::").as_deref(), Some("::/0"));
    }

    #[test]
    fn entries_go_when_nothing_is_in_them() {
        let mut rib = Rib::default();
        let prefix: Prefix = "10.0.0.0/8".parse().expect("prefix");
        rib.entry(prefix).others().local.insert(2);
        rib.tidy(prefix);
        assert_eq!(rib.len(), 1);
        rib.entry(prefix).others().local.clear();
        rib.tidy(prefix);
        assert!(rib.is_empty() && rib.lengths[1][8] == 0);
    }
}

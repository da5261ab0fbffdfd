//! Routes by prefix and source, and which of them wins.
//!
//! In this order: own addresses (to the kernel), connected prefixes (glean), static routes of the
//! configuration, zebra's. On a connected prefix every resolved neighbor has a host route of its
//! own, unless something better than the connected prefix covers it: then it is not on the link.

use crate::dplane::Fixed;
use crate::fpm::decode::RouteKind;
use crate::nexthop::SetId;
use crate::prefix::{Prefix, width};
use fastpath::table::GroupId;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Known;
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;
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
    /// The answer that waits to be sent.
    pub due: Option<Due>,
}

/// What zebra is to be told of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The flags of the answer.
    pub flags: u32,
    /// zebra waits for it: told even if it is what was told before.
    pub asked: bool,
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
    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.fpm.is_none()
            && self.group == GroupId::NONE
            && self.others.as_ref().is_none_or(|o| o.is_empty())
    }

    /// The routes that are not zebra's, to change.
    pub fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }
}

/// Where the routes of a prefix are, as long as there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

/// Entries made at once: they never move, so a table that grows copies none of them.
const CHUNK: usize = 1 << 12;

/// What is at a place.
#[derive(Debug)]
struct Slot {
    prefix: Prefix,
    is_used: bool,
    /// It is in [`Rib::queue`], whoever has it by now.
    is_queued: bool,
    entry: Entry,
}

/// All routes.
///
/// Their entries stand side by side in chunks, in the order in which they came; a table of numbers finds
/// them. So what a route takes is an entry and some 20 bytes, however full the table is.
#[derive(Debug, Default)]
pub struct Rib {
    /// Of each prefix: half of its hash, which says where it belongs when the table grows, and its place.
    index: HashTable<(u32, Place)>,
    hash: RandomState,
    chunks: Vec<Vec<Slot>>,
    free: Vec<Place>,
    /// Those to be looked at; each once, however often its prefix comes and goes.
    queue: VecDeque<Place>,
    lengths: Lengths,
    /// How many prefixes were looked at, one by one.
    looks: Cell<u64>,
}

/// How many prefixes of each length there are, by family.
#[derive(Debug)]
struct Lengths([[u32; 129]; 2]);

impl Default for Lengths {
    fn default() -> Self {
        Lengths([[0; 129]; 2])
    }
}

impl Lengths {
    fn of(&mut self, prefix: Prefix) -> &mut u32 {
        &mut self.0[usize::from(prefix.is_ipv4())][usize::from(prefix.length())]
    }
}

/// The hash that the index goes by: it looks at both ends.
fn spread(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}

fn slot(chunks: &[Vec<Slot>], place: Place) -> &Slot {
    &chunks[place.0 as usize / CHUNK][place.0 as usize % CHUNK]
}

fn slot_mut(chunks: &mut [Vec<Slot>], place: Place) -> &mut Slot {
    &mut chunks[place.0 as usize / CHUNK][place.0 as usize % CHUNK]
}

impl Rib {
    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn half(&self, prefix: Prefix) -> u32 {
        (self.hash.hash_one(prefix) >> 32) as u32
    }

    /// Where the routes of exactly this prefix are.
    pub fn find(&self, prefix: Prefix) -> Option<Place> {
        if self.index.is_empty() {
            return None;
        }
        self.note_look();
        let half = self.half(prefix);
        let is_it = |at: &(u32, Place)| at.0 == half && slot(&self.chunks, at.1).prefix == prefix;
        self.index.find(spread(half), is_it).map(|at| at.1)
    }

    /// The same, made if there are none.
    pub fn place(&mut self, prefix: Prefix) -> Place {
        let half = self.half(prefix);
        let is_it = |at: &(u32, Place)| at.0 == half && slot(&self.chunks, at.1).prefix == prefix;
        let vacant = match self.index.entry(spread(half), is_it, |at| spread(at.0)) {
            Known::Occupied(known) => return known.get().1,
            Known::Vacant(vacant) => vacant,
        };
        *self.lengths.of(prefix) += 1;
        let place = match self.free.pop() {
            Some(place) => {
                let slot = slot_mut(&mut self.chunks, place);
                (slot.prefix, slot.is_used) = (prefix, true);
                place
            }
            None => {
                if self.chunks.last().is_none_or(|c| c.len() == CHUNK) {
                    self.chunks.push(Vec::with_capacity(CHUNK));
                }
                let before = (self.chunks.len() - 1) * CHUNK;
                let mut number = before as u32;
                if let Some(last) = self.chunks.last_mut() {
                    number += last.len() as u32;
                    last.push(Slot {
                        prefix,
                        is_used: true,
                        is_queued: false,
                        entry: Entry::default(),
                    });
                }
                Place(number)
            }
        };
        vacant.insert((half, place));
        place
    }

    /// From now on `place` is among those that [`Rib::next_queued`] gives out.
    pub fn queue(&mut self, place: Place) {
        let slot = slot_mut(&mut self.chunks, place);
        if !std::mem::replace(&mut slot.is_queued, true) {
            self.queue.push_back(place);
        }
    }

    /// The first of those that were queued, with what is there now, and no longer queued.
    pub fn next_queued(&mut self) -> Option<(Prefix, &mut Entry)> {
        let place = self.queue.pop_front()?;
        let slot = slot_mut(&mut self.chunks, place);
        slot.is_queued = false;
        Some((slot.prefix, &mut slot.entry))
    }

    /// `place`, if that of `prefix` it still is.
    pub fn still(&self, place: Place, prefix: Prefix) -> Option<Place> {
        let chunk = self.chunks.get(place.0 as usize / CHUNK);
        let slot = chunk.and_then(|c| c.get(place.0 as usize % CHUNK));
        match slot.is_some_and(|s| s.is_used && s.prefix == prefix) {
            true => Some(place),
            false => self.find(prefix),
        }
    }

    /// The routes that are there.
    pub fn at(&self, place: Place) -> &Entry {
        &slot(&self.chunks, place).entry
    }

    /// The routes that are there, to change.
    pub fn at_mut(&mut self, place: Place) -> &mut Entry {
        &mut slot_mut(&mut self.chunks, place).entry
    }

    /// The routes of exactly this prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&Entry> {
        self.find(prefix).map(|place| self.at(place))
    }

    /// The routes of exactly this prefix, to change.
    pub fn get_mut(&mut self, prefix: Prefix) -> Option<&mut Entry> {
        self.find(prefix).map(|place| self.at_mut(place))
    }

    /// The routes of exactly this prefix, made if there are none.
    pub fn entry(&mut self, prefix: Prefix) -> &mut Entry {
        let place = self.place(prefix);
        self.at_mut(place)
    }

    /// Drops the entry of `prefix` if nothing is in it.
    pub fn tidy(&mut self, prefix: Prefix) {
        let half = self.half(prefix);
        let is_it = |at: &(u32, Place)| at.0 == half && slot(&self.chunks, at.1).prefix == prefix;
        let Ok(known) = self.index.find_entry(spread(half), is_it) else {
            return;
        };
        let place = known.get().1;
        let slot = slot_mut(&mut self.chunks, place);
        if slot.entry.is_empty() {
            known.remove();
            slot.is_used = false;
            slot.entry = Entry::default();
            self.free.push(place);
            *self.lengths.of(prefix) -= 1;
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Entry)> {
        self.used(self.chunks.iter().flatten())
    }

    /// The entries of chunk `number`, a part of all, in no order; nothing behind the last chunk.
    pub fn chunk(&self, number: usize) -> Option<impl Iterator<Item = (Prefix, &Entry)>> {
        let chunk = self.chunks.get(number)?;
        Some(self.used(chunk.iter()))
    }

    fn used<'a>(
        &'a self,
        slots: impl Iterator<Item = &'a Slot>,
    ) -> impl Iterator<Item = (Prefix, &'a Entry)> {
        let looked = slots.inspect(|_| self.note_look());
        let used = looked.filter(|slot| slot.is_used);
        used.map(|slot| (slot.prefix, &slot.entry))
    }

    fn note_look(&self) {
        self.looks.set(self.looks.get().wrapping_add(1));
    }

    /// How many prefixes were looked at so far: what something costs in prefixes is the difference.
    pub fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// How many places there are for entries, taken or not: what is at one stays there.
    pub fn places(&self) -> usize {
        let before = self.chunks.len().saturating_sub(1) * CHUNK;
        before + self.chunks.last().map_or(0, Vec::len)
    }

    /// The entries at the `most` places from number `from` on.
    pub fn slice(&self, from: usize, most: usize) -> impl Iterator<Item = (Prefix, &Entry)> {
        let places = from..from.saturating_add(most).min(self.places());
        self.used(places.map(|at| slot(&self.chunks, Place(at as u32))))
    }

    /// All prefixes behind `after`, in order.
    pub fn ordered(&self, after: Option<Prefix>) -> Vec<Prefix> {
        let behind = |p: &Prefix| after.is_none_or(|a| *p > a);
        let mut all: Vec<Prefix> = self.iter().map(|(p, _)| p).filter(behind).collect();
        all.sort_unstable();
        all
    }

    /// The longest prefix with `address` in it whose entry is `wanted`.
    pub fn longest(
        &self,
        address: IpAddr,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<(Prefix, &Entry)> {
        let lengths = &self.lengths.0[usize::from(address.is_ipv4())];
        (0..=width(address))
            .rev()
            .filter(|&l| lengths[usize::from(l)] != 0)
            .filter_map(|l| Prefix::containing(address, l).ok())
            .filter_map(|p| Some((p, self.get(p)?)))
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
        assert!(rib.is_empty() && rib.lengths.0[1][8] == 0);
    }
}

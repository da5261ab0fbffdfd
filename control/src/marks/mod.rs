//! Which prefixes NICs mark, so that workers need not look them up.
//!
//! ```text
//!  samples ─► scores ─► wishes ─┐
//!  routes ─► commit ─► slots ───┴─► the same commit's view     (what a mark means)
//!                       └─► Action::Marks ─► rules of the NIC  (who gets one, later)
//! ```
//! A slot's prefix has no longer one in the lookup table. The commit that changes that, or that takes the
//! prefix away, empties the slot for workers at once; its rule goes when the NIC has time for it, and
//! what still carries its mark is looked up. The next prefix of the slot has another mark.

mod choose;
mod spread;

pub use spread::{Spread, SpreadNews};

use crate::prefix::Prefix;
use fastpath::table::{GroupId, Marks};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// What a commit changes about slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// This prefix has this mark, and leads to this group.
    Set(u32, Prefix, GroupId),
    /// Nothing is in the slot.
    Clear(u32),
}

/// What the NICs are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Put this mark on packets to this prefix.
    Put(u32, Prefix),
    /// No longer put this one on any.
    Take(u32),
}

/// Who has which slot.
#[derive(Debug)]
pub struct Book {
    /// Numbers marks; what is in the slots of workers is in their view.
    numbers: Marks,
    /// All that is in the lookup table.
    led: BTreeMap<Prefix, GroupId>,
    slots: Vec<Option<(Prefix, u32)>>,
    generations: Vec<u64>,
    free: Vec<u32>,
    /// None lies in another.
    marked: BTreeMap<Prefix, u32>,
    /// As many as the NICs have room for.
    room: usize,
    /// Which families some NIC marks: IPv4, IPv6.
    families: [bool; 2],
    wishes: Vec<Prefix>,
    edits: Vec<Edit>,
    rules: Vec<Rule>,
    scores: HashMap<Prefix, f32>,
}

impl Book {
    /// `slots` slots for prefixes of those that the table has.
    pub fn new(slots: usize, led: impl Iterator<Item = (Prefix, GroupId)>) -> Self {
        let numbers = Marks::new(slots);
        let slots = numbers.len();
        Book {
            led: led.filter(|(_, group)| *group != GroupId::NONE).collect(),
            slots: vec![None; slots],
            generations: vec![0; slots],
            free: (0..slots as u32).rev().collect(),
            marked: BTreeMap::new(),
            room: slots,
            families: [true; 2],
            wishes: Vec::new(),
            edits: Vec::new(),
            rules: Vec::new(),
            scores: HashMap::new(),
            numbers,
        }
    }

    /// How many slots there are, how many are taken, and for how many there is room.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.slots.len(), self.marked.len(), self.room)
    }

    /// Whether `prefix` has a mark.
    pub fn has(&self, prefix: Prefix) -> bool {
        self.marked.contains_key(&prefix)
    }

    /// Whether something is to be done at the next commit, whatever else is in it.
    pub fn is_due(&self) -> bool {
        !self.edits.is_empty() || !self.wishes.is_empty()
    }

    /// No prefix in the table lies in `prefix`.
    pub fn is_leaf(&self, prefix: Prefix) -> bool {
        let behind = (Bound::Excluded(prefix), Bound::Unbounded);
        // The first that lies in it would come right behind it: by address, then by length.
        let next = self.led.range(behind).next();
        next.is_none_or(|(next, _)| !prefix.contains(next.address()))
    }

    /// The marked prefix that `prefix` lies in and is not.
    fn over(&self, prefix: Prefix) -> Option<u32> {
        let (over, slot) = self.marked.range(..prefix).next_back()?;
        over.contains(prefix.address()).then_some(*slot)
    }

    fn release(&mut self, slot: u32) {
        let taken = self.slots.get_mut(slot as usize).and_then(Option::take);
        if let Some((prefix, mark)) = taken {
            self.marked.remove(&prefix);
            self.free.push(slot);
            self.edits.push(Edit::Clear(slot));
            self.rules.push(Rule::Take(mark));
        }
    }

    /// Takes in what a commit is about to do, and wishes: what it has to do about slots.
    pub fn follow(&mut self, pending: &[(Prefix, GroupId)]) -> Vec<Edit> {
        for (prefix, group) in pending {
            match *group {
                GroupId::NONE => self.led.remove(prefix),
                group => self.led.insert(*prefix, group),
            };
        }
        for (prefix, group) in pending {
            match (self.marked.get(prefix).copied(), *group) {
                (Some(slot), GroupId::NONE) => self.release(slot),
                (Some(slot), group) => {
                    if let Some(Some((_, mark))) = self.slots.get(slot as usize) {
                        self.edits.push(Edit::Set(*mark, *prefix, group));
                    }
                }
                (None, _) => {}
            }
            if *group != GroupId::NONE {
                if let Some(slot) = self.over(*prefix) {
                    self.release(slot);
                }
            }
        }
        for prefix in std::mem::take(&mut self.wishes) {
            self.take(prefix);
        }
        std::mem::take(&mut self.edits)
    }

    /// Gives a slot to `prefix`, if it may have one and there is one.
    fn take(&mut self, prefix: Prefix) {
        let may = prefix.length() != 0
            && self.families[usize::from(!prefix.is_ipv4())]
            && self.marked.len() < self.room
            && !self.has(prefix)
            && self.is_leaf(prefix);
        let Some(group) = self.led.get(&prefix).copied().filter(|_| may) else {
            return;
        };
        let Some(slot) = self.free.pop() else { return };
        let Some(generation) = self.generations.get_mut(slot as usize) else {
            return;
        };
        *generation += 1;
        let mark = self.numbers.mark(slot, *generation);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some((prefix, mark));
        }
        self.marked.insert(prefix, slot);
        self.edits.push(Edit::Set(mark, prefix, group));
        self.rules.push(Rule::Put(mark, prefix));
    }

    /// The lookup table has refused `prefix`, which is not in it any more.
    pub fn refused(&mut self, prefix: Prefix) {
        self.led.remove(&prefix);
        if let Some(slot) = self.marked.get(&prefix).copied() {
            self.release(slot);
        }
    }

    /// With the next commit `prefix` is to have a mark.
    pub fn wish(&mut self, prefix: Prefix) {
        self.wishes.push(prefix);
    }

    /// With the next commit `prefix` is to have none.
    pub fn give_up(&mut self, prefix: Prefix) {
        if let Some(slot) = self.marked.get(&prefix).copied() {
            self.release(slot);
        }
    }

    /// What NICs are to do since this was last asked; workers know what it means.
    pub fn rules(&mut self) -> Vec<Rule> {
        std::mem::take(&mut self.rules)
    }
}

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod tests;

//! Longest prefix match: a table for each length, prefixes expanded to few lengths.
//!
//! A prefix of length l is kept at the next multiple of the stride, L, as 2^(L-l) rules. Such a place
//! belongs to the longest prefix of a length up to L that covers it and is longer than the next
//! shorter multiple; so a prefix that comes or goes changes its own places alone, at most
//! 2^(stride-1), one in the most frequent case that its length is a multiple.
//!
//! A place that the NIC does not have (no room, a failed insertion) must not be forwarded by a
//! shorter prefix: all places that cover it lead to software until it is there.

use super::super::plan::{Family, Lead, address, bits};
use super::super::program::{
    Action, ActionsTemplate, Does, Field, Item, PatternTemplate, Place, RuleId, TableId,
};
use super::Compiler;
use super::frame::{KERNEL, LPM, SOFTWARE, leading, to};
use super::ledger::{Kind, Slot};
use crate::table::GroupId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

/// Places: the length, and the rule if there is room for one.
pub(super) type Own = Vec<(u8, Option<RuleId>)>;

#[derive(Clone, Copy, Debug)]
struct Kept {
    /// `None`: there is no room for it.
    cell: Option<RuleId>,
    group: Option<GroupId>,
}

/// The prefixes of one family.
#[derive(Debug, Default)]
pub(super) struct Lpm {
    plan: HashMap<(u128, u8), Lead>,
    kept: HashMap<(u128, u8), Kept>,
    /// In order, so that the same plan gives the same program.
    by_group: HashMap<GroupId, BTreeSet<(u128, u8)>>,
    tables: BTreeMap<u8, TableId>,
    /// Places that ought to be and are not.
    missing: BTreeSet<(u128, u8)>,
    /// Those of them without room, by length.
    homeless: BTreeMap<u8, BTreeSet<u128>>,
}

impl Lpm {
    /// Where a prefix leads, by the plan.
    pub(super) fn lead(&self, address: u128, length: u8) -> Option<Lead> {
        self.plan.get(&(address, length)).copied()
    }

    /// Addresses of prefixes of that length that lead to the kernel.
    pub(super) fn kernels(&self, length: u8) -> Vec<u128> {
        let all = self
            .plan
            .iter()
            .filter(|(prefix, lead)| prefix.1 == length && **lead == Lead::Kernel);
        all.map(|((address, _), _)| *address).collect()
    }

    /// Prefixes of the plan.
    pub(super) fn planned(&self) -> usize {
        self.plan.len()
    }
}

/// Bits of an address behind a prefix of this length.
fn host(family: Family, length: u8) -> u128 {
    let width = u32::from(family.width());
    let all = u128::MAX >> (128 - width);
    all.checked_shr(length.into()).unwrap_or(0)
}

impl Compiler {
    /// The places without a prefix: what no prefix covers is software's.
    pub(super) fn build_lpm(&mut self, family: Family) {
        let table = self.length_table(family, 0);
        let slot = Slot {
            family,
            address: 0,
            length: 0,
        };
        let cell = self.ledger.cell(Kind::Slot(slot), table, Place::values([]));
        self.ledger.want(cell, Some(to(SOFTWARE)));
        self.await_rule(cell);
        let kept = Kept {
            cell: Some(cell),
            group: None,
        };
        self.lpm[family as usize].kept.insert((0, 0), kept);
    }

    /// The table of a length, made when the first prefix needs it.
    fn length_table(&mut self, family: Family, length: u8) -> TableId {
        let at = family as usize;
        if let Some(table) = self.lpm[at].tables.get(&length) {
            return *table;
        }
        let (field, item) = match family {
            Family::V4 => (Field::Ipv4Destination, Item::Ipv4),
            Family::V6 => (Field::Ipv6Destination, Item::Ipv6),
        };
        let pattern = if length == 0 {
            PatternTemplate::default()
        } else {
            let mask = leading(field, length.into());
            PatternTemplate::masked(&[Item::Eth, item], &[(field, mask)])
        };
        let priority = u32::from(family.width() - length);
        let jump = ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)]);
        let shape = (LPM[at], priority, self.config.room(length));
        let spec = self.pattern_table(shape, pattern, vec![jump]);
        let table = self.ledger.table(spec);
        self.lpm[at].tables.insert(length, table);
        table
    }

    /// A prefix leads elsewhere, or is gone.
    pub(super) fn set_prefix(&mut self, address: IpAddr, length: u8, lead: Option<Lead>) {
        let family = Family::of(address);
        if length > family.width() {
            return;
        }
        let address = bits(address) & !host(family, length);
        let plan = &mut self.lpm[family as usize].plan;
        let before = match lead {
            Some(lead) => plan.insert((address, length), lead),
            None => plan.remove(&(address, length)),
        };
        if before != lead {
            if length == family.width() {
                self.set_own(family, address, lead == Some(Lead::Kernel));
            }
            for place in self.places(family, address, length) {
                self.refresh_slot(family, place);
            }
        }
    }

    /// Where a prefix is kept.
    fn places(
        &self,
        family: Family,
        address: u128,
        length: u8,
    ) -> impl Iterator<Item = (u128, u8)> + use<> {
        let stored = self.config.stored(length, family);
        let count = 1_u128 << (stored - length);
        let step = host(family, stored).wrapping_add(1);
        (0..count).map(move |i| (address.wrapping_add(i.wrapping_mul(step)), stored))
    }

    /// The longest prefix that a place belongs to: its length, and where it leads.
    fn owner(&self, family: Family, (address, stored): (u128, u8)) -> Option<(u8, Lead)> {
        let lpm = &self.lpm[family as usize];
        let lengths = (0..=stored).rev();
        let here = lengths.take_while(|l| self.config.stored(*l, family) == stored);
        here.into_iter().find_map(|length| {
            let lead = lpm.plan.get(&(address & !host(family, length), length))?;
            Some((length, *lead))
        })
    }

    /// The prefix that a place belongs to.
    pub(super) fn owner_prefix(&self, family: Family, place: (u128, u8)) -> Option<(IpAddr, u8)> {
        let (length, _) = self.owner(family, place)?;
        Some((address(family, place.0 & !host(family, length)), length))
    }

    /// Places that lead to a group, in order.
    pub(super) fn places_of(
        &self,
        group: GroupId,
        family: Family,
        after: Option<(u128, u8)>,
        most: usize,
    ) -> Vec<(u128, u8)> {
        let Some(all) = self.lpm[family as usize].by_group.get(&group) else {
            return Vec::new();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let places = all.range((from, Bound::Unbounded));
        places.take(most).copied().collect()
    }

    /// Looks again at where a place ought to lead.
    pub(super) fn refresh_slot(&mut self, family: Family, place: (u128, u8)) {
        let at = family as usize;
        let owner = self.owner(family, place);
        let group = match owner {
            Some((_, Lead::Group(group))) => Some(group),
            _ => None,
        };
        self.index(family, place, group);
        let Some((_, lead)) = owner else {
            return self.vacate(family, place);
        };
        let Some(does) = self.slot_does(family, place, lead) else {
            // Until the group's own rule is there the place stays as it is.
            return;
        };
        let cell = match self.lpm[at].kept.get(&place).and_then(|k| k.cell) {
            Some(cell) => cell,
            None => match self.house(family, place) {
                Some(cell) => cell,
                None => return,
            },
        };
        self.ledger.want(cell, Some(does));
    }

    /// Which group a place leads to, for when that changes.
    fn index(&mut self, family: Family, place: (u128, u8), group: Option<GroupId>) {
        let lpm = &mut self.lpm[family as usize];
        let before = match lpm.kept.get_mut(&place) {
            Some(kept) => std::mem::replace(&mut kept.group, group),
            None if group.is_none() => None,
            None => {
                lpm.kept.insert(place, Kept { cell: None, group });
                None
            }
        };
        if before != group {
            if let Some(places) = before.and_then(|g| lpm.by_group.get_mut(&g)) {
                places.remove(&place);
            }
            if let Some(group) = group {
                lpm.by_group.entry(group).or_default().insert(place);
            }
        }
    }

    /// No prefix has the place any more.
    fn vacate(&mut self, family: Family, place: (u128, u8)) {
        let at = family as usize;
        match self.lpm[at].kept.get(&place).and_then(|k| k.cell) {
            Some(cell) if place.1 == 0 => self.ledger.want(cell, Some(to(SOFTWARE))),
            Some(cell) => self.ledger.want(cell, None),
            None => {
                self.lpm[at].kept.remove(&place);
                if let Some(homeless) = self.lpm[at].homeless.get_mut(&place.1) {
                    homeless.remove(&place.0);
                }
            }
        }
        self.set_missing(family, place, false);
    }

    /// A rule for a place, if its table has room.
    fn house(&mut self, family: Family, place: (u128, u8)) -> Option<RuleId> {
        let at = family as usize;
        let table = self.length_table(family, place.1);
        let (used, room) = self.ledger.fill(table);
        let kept = self.lpm[at].kept.entry(place).or_insert(Kept {
            cell: None,
            group: None,
        });
        if used >= room as usize {
            self.lpm[at]
                .homeless
                .entry(place.1)
                .or_default()
                .insert(place.0);
            self.set_missing(family, place, true);
            return None;
        }
        let slot = Slot {
            family,
            address: place.0,
            length: place.1,
        };
        let cell = self
            .ledger
            .cell(Kind::Slot(slot), table, Place::values([place.0]));
        kept.cell = Some(cell);
        Some(cell)
    }

    /// What a place ought to do; `None`: wait.
    fn slot_does(&mut self, family: Family, place: (u128, u8), lead: Lead) -> Option<Does> {
        if self.is_hiding(family, place) || self.is_profiled(family, place) {
            return Some(to(SOFTWARE));
        }
        match lead {
            Lead::Software => Some(to(SOFTWARE)),
            Lead::Kernel if self.frame.kernel => Some(to(KERNEL)),
            Lead::Kernel => Some(to(SOFTWARE)),
            Lead::Group(group) => self.entrance(group, family).map(to),
        }
    }

    /// A longer place within this one is missing.
    fn is_hiding(&self, family: Family, (address, length): (u128, u8)) -> bool {
        let end = address | host(family, length);
        let missing = &self.lpm[family as usize].missing;
        let mut within = missing.range((address, length + 1)..=(end, u8::MAX));
        within.next().is_some()
    }

    /// A profile has other settings for part of the place.
    fn is_profiled(&self, family: Family, (address, length): (u128, u8)) -> bool {
        let profiles = self.profiled.iter().chain(&self.profiled_before);
        profiles.into_iter().any(|&(of, prefix, n)| {
            let common = host(family, length.min(n));
            of == family && (address ^ prefix) & !common == 0
        })
    }

    fn set_missing(&mut self, family: Family, place: (u128, u8), missing: bool) {
        let lpm = &mut self.lpm[family as usize];
        let changed = if missing {
            lpm.missing.insert(place)
        } else {
            lpm.missing.remove(&place)
        };
        if !changed {
            return;
        }
        let lengths: Vec<u8> = lpm.tables.range(..place.1).map(|(l, _)| *l).collect();
        for length in lengths {
            let above = (place.0 & !host(family, length), length);
            if self.lpm[family as usize].kept.contains_key(&above) {
                self.refresh_slot(family, above);
            }
        }
    }

    /// What came of a place's last operation.
    pub(super) fn slot_changed(&mut self, slot: Slot, cell: RuleId) {
        let missing = self.ledger.have(cell).is_none() && self.ledger.wanted(cell).is_some();
        let failed = self.ledger.has_failed(cell);
        self.set_missing(slot.family, (slot.address, slot.length), missing && failed);
        if self.ledger.is_settled(cell) {
            self.frame_settled(cell);
        }
    }

    /// A place's rule is no more: another may have the room.
    pub(super) fn slot_gone(&mut self, slot: Slot) {
        let (at, place) = (slot.family as usize, (slot.address, slot.length));
        self.lpm[at].kept.remove(&place);
        self.set_missing(slot.family, place, false);
        // If it was wanted again meanwhile.
        if self.owner(slot.family, place).is_some() {
            self.refresh_slot(slot.family, place);
        }
        let next = self.lpm[at].homeless.get_mut(&slot.length);
        if let Some(address) = next.and_then(BTreeSet::pop_first) {
            self.set_missing(slot.family, (address, slot.length), false);
            self.refresh_slot(slot.family, (address, slot.length));
        }
    }

    /// All places that lead to a group.
    pub(super) fn refresh_group(&mut self, group: GroupId, family: Family) {
        let places = self.lpm[family as usize].by_group.get(&group);
        let places: Vec<_> = places.into_iter().flatten().copied().collect();
        for place in places {
            self.refresh_slot(family, place);
        }
    }

    /// All places: hash profiles have changed.
    pub(super) fn refresh_all(&mut self) {
        for family in Family::ALL {
            let mut places: Vec<_> = self.lpm[family as usize].kept.keys().copied().collect();
            places.sort_unstable();
            for place in places {
                self.refresh_slot(family, place);
            }
        }
    }

    /// How a prefix is kept: each of its places that it has itself, with its rule.
    pub(super) fn kept(&self, address: IpAddr, length: u8) -> Option<(Lead, Own)> {
        let family = Family::of(address);
        let lpm = &self.lpm[family as usize];
        let address = bits(address);
        let lead = *lpm.plan.get(&(address, length))?;
        let own = self.places(family, address, length);
        let own = own.filter(|p| self.owner(family, *p).is_some_and(|o| o.0 == length));
        let rule = |p: (u128, u8)| (p.1, lpm.kept.get(&p).and_then(|k| k.cell));
        Some((lead, own.map(rule).collect()))
    }

    /// Why a place is not what its prefix says, if it is not.
    pub(super) fn is_overridden(&self, address: IpAddr, length: u8) -> (bool, bool) {
        let family = Family::of(address);
        let mut places = self.places(family, bits(address), length);
        let hiding = places.any(|p| self.is_hiding(family, p));
        let mut places = self.places(family, bits(address), length);
        (hiding, places.any(|p| self.is_profiled(family, p)))
    }
}

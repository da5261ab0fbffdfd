//! What may have changed in who forwards: for those who keep in mind what they were last told.

use super::super::plan::{Family, Lead};
use super::Compiler;
use super::ledger::{Event, Kind, Slot};
use crate::table::GroupId;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A prefix.
type Prefix = (IpAddr, u8);

/// What was touched since somebody last asked.
#[derive(Debug, Default)]
pub(super) struct Touched {
    prefixes: Vec<Prefix>,
    slots: Vec<Slot>,
    groups: BTreeSet<GroupId>,
    all: bool,
}

/// What may have changed; [`Compiler::group`] and [`Compiler::prefix`] say whether it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Prefixes, some of them several times.
    pub prefixes: Vec<Prefix>,
    /// Groups, with all prefixes that lead to them.
    pub groups: BTreeSet<GroupId>,
    /// All groups and prefixes.
    pub all: bool,
}

impl Compiler {
    /// From now on keeps what [`Compiler::news`] tells.
    pub fn watch(&mut self) {
        self.news.get_or_insert_default().all = true;
    }

    /// What may have changed since this was last asked.
    pub fn news(&mut self) -> News {
        let Some(touched) = self.news.as_mut().map(std::mem::take) else {
            return News::default();
        };
        let mut prefixes = touched.prefixes;
        for slot in touched.slots {
            let place = (slot.address, slot.length);
            prefixes.extend(self.owner_prefix(slot.family, place));
        }
        News {
            prefixes,
            groups: touched.groups,
            all: touched.all,
        }
    }

    /// Something came of an operation.
    pub(super) fn touch(&mut self, event: Event) {
        let Some(touched) = &mut self.news else {
            return;
        };
        let (Event::Settled(_, kind) | Event::Failed(_, kind) | Event::Gone(_, kind)) = event
        else {
            if let Event::Shared(group, _, _) = event {
                touched.groups.insert(group);
            }
            return;
        };
        match kind {
            Kind::Slot(slot) => touched.slots.push(slot),
            Kind::Select(group, _) => drop(touched.groups.insert(group)),
            Kind::Static | Kind::Root | Kind::Admit(_) => touched.all = true,
            Kind::Hop(hop, family) => {
                let side = self.hops.get(&hop);
                let side = side.and_then(|h| h.sides[family as usize].as_ref());
                let users = side.into_iter().flat_map(|s| s.users.keys());
                touched.groups.extend(users);
            }
            // SELECT goes by them.
            Kind::Row(..) | Kind::Own(_) => {}
        }
    }

    pub(super) fn touch_prefix(&mut self, address: IpAddr, length: u8) {
        if let Some(touched) = &mut self.news {
            touched.prefixes.push((address, length));
        }
    }

    pub(super) fn touch_all(&mut self) {
        if let Some(touched) = &mut self.news {
            touched.all = true;
        }
    }

    /// All groups of the plan.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.sets.keys().copied()
    }

    /// Some prefixes that lead to a group, at most `most`, and where to go on; the same prefix may
    /// come more than once.
    pub fn prefixes_of(
        &self,
        group: GroupId,
        family: Family,
        after: Option<(u128, u8)>,
        most: usize,
    ) -> (Vec<Prefix>, Option<(u128, u8)>) {
        let places = self.places_of(group, family, after, most);
        let next = places.last().copied().filter(|_| places.len() == most);
        let prefixes = places.iter().filter_map(|p| self.owner_prefix(family, *p));
        let mut prefixes: Vec<Prefix> = prefixes.collect();
        prefixes.dedup();
        (prefixes, next)
    }

    /// Where a prefix leads, by the plan.
    pub fn lead(&self, address: IpAddr, length: u8) -> Option<Lead> {
        self.kept(address, length).map(|k| k.0)
    }
}

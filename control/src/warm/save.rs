//! What is to be kept of the tables: groups at once, then, if some prefixes have another table than their
//! set, these in slices, between which events are handled. What changes meanwhile is kept next time.

use super::image::{Image, MemberRecord, SparedRecord, TableRecord};
use super::{ms_since_1970, renumbered};
use crate::backlog::SLICE;
use crate::control::Control;
use crate::group::take_up::{NOBODY_OLD, Name, Old, Place, named};
use crate::nexthop::Hold;
use crate::prefix::Prefix;
use fastpath::table::{GroupId, LpmWrite};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// A table as it is kept, and who uses it.
#[derive(Debug)]
struct Kept {
    old: Old,
    groups: Vec<GroupId>,
    /// Tables of before the start that it is.
    past: Vec<usize>,
    prefixes: Vec<Prefix>,
    routes: u64,
    /// It is that of all prefixes with these next hops that no other table names.
    is_default: bool,
}

/// What has been gathered so far.
#[derive(Debug)]
pub(super) struct Saving {
    image: Image,
    tables: Vec<Kept>,
    /// Those among them whose prefixes are named, by their groups, and by the tables of before the start.
    of_group: HashMap<GroupId, usize>,
    of_past: HashMap<usize, usize>,
    /// So many slices of prefixes that are yet to come back, and then of those that there are, are done.
    awaited: usize,
    chunk: usize,
}

impl<L: LpmWrite> Control<L> {
    /// What is to be kept now.
    pub fn image(&self, now: Instant) -> Image {
        let mut saving = self.begin_saving(now);
        while self.go_on_saving(&mut saving) {}
        let mut image = self.saved(saving);
        image.tables.iter_mut().for_each(TableRecord::sort);
        image
    }

    /// Everything but prefixes.
    pub(super) fn begin_saving(&self, now: Instant) -> Saving {
        let (plan, wall) = (&self.plan, self.wall(now).time);
        let until = |until: Instant| ms_since_1970(wall + until.saturating_duration_since(now));
        let drains = plan.spared.iter().map(|s| SparedRecord {
            via: s.via,
            port: s.port.map(|p| plan.ports.name(p).into()),
            until_ms: until(s.until),
            over_ms: u64::try_from(s.over.as_millis()).unwrap_or(u64::MAX),
            done: s.done,
        });
        let held_now = plan.nexthops.iter().filter_map(|(_, n)| match n.hold {
            // A route may name it again before its time is over.
            Hold::Down(at) => Some((n.key.gateway?, n.outlook.port?, at)),
            _ => None,
        });
        // Of those that were held before the start some may not be back yet.
        let held = held_now.chain(plan.held_before.iter().copied());
        let held: BTreeSet<_> = held.filter(|h| h.2 > now).collect();
        let over = plan.groups.rules().hold_down.as_millis();
        let held = held.into_iter().map(|(via, port, at)| SparedRecord {
            via,
            port: Some(plan.ports.name(port).into()),
            until_ms: until(at),
            over_ms: u64::try_from(over).unwrap_or(u64::MAX),
            done: false,
        });
        let mut saving = Saving {
            image: Image {
                buckets: plan.groups.rules().buckets,
                tables: Vec::new(),
                drains: drains.collect(),
                held: held.collect(),
            },
            tables: self.kept_tables(),
            of_group: HashMap::new(),
            of_past: HashMap::new(),
            awaited: 0,
            chunk: 0,
        };
        let named = saving.tables.iter().enumerate();
        for (i, kept) in named.filter(|(_, kept)| !kept.is_default) {
            saving
                .of_group
                .extend(kept.groups.iter().map(|id| (*id, i)));
            saving.of_past.extend(kept.past.iter().map(|old| (*old, i)));
        }
        saving
    }

    /// A slice of prefixes; whether there are more.
    pub(super) fn go_on_saving(&self, saving: &mut Saving) -> bool {
        if !saving.of_past.is_empty() {
            let past = self.plan.groups.past().map_or(&[][..], |p| &p.exceptions);
            if let Some(slice) = past.chunks(SLICE).nth(saving.awaited) {
                saving.awaited += 1;
                for (prefix, index) in slice {
                    let Some(table) = saving.of_past.get(index) else {
                        continue;
                    };
                    let entry = self.rib.get(*prefix);
                    let is_back = entry.is_some_and(|e| self.plan.groups.is_heir(e.group));
                    if !is_back {
                        saving.tables[*table].prefixes.push(*prefix);
                    }
                }
                return true;
            }
        }
        if saving.of_group.is_empty() {
            return false;
        }
        let Some(chunk) = self.rib.chunk(saving.chunk) else {
            return false;
        };
        saving.chunk += 1;
        for (prefix, entry) in chunk {
            if let Some(table) = saving.of_group.get(&entry.group) {
                saving.tables[*table].prefixes.push(prefix);
            }
        }
        true
    }

    /// All that was gathered.
    pub(super) fn saved(&self, saving: Saving) -> Image {
        // Without a prefix it is nobody's.
        let tables = saving.tables.into_iter();
        let tables = tables.filter(|kept| kept.is_default || !kept.prefixes.is_empty());
        Image {
            tables: tables.map(|kept| self.record(kept)).collect(),
            ..saving.image
        }
    }

    /// The tables of groups, and those that none has taken up yet; of each set the one that most prefixes
    /// have is the default.
    fn kept_tables(&self) -> Vec<Kept> {
        let mut all: BTreeMap<Name, Vec<Kept>> = BTreeMap::new();
        let mut expected = self.past_tables(&mut all);
        let mut groups: Vec<_> = self.plan.groups.iter().collect();
        groups.sort_unstable_by_key(|g| g.0);
        for (id, group) in groups {
            let members = self.plan.sets.members(group.set);
            let name = named(&members, &self.plan.nexthops);
            let Some((name, order)) = name.filter(|_| group.home.len() > 1) else {
                continue;
            };
            let Some(old) = group.as_old(name.clone(), &order) else {
                continue;
            };
            let (past, is_default) = expected.remove(&id).unwrap_or_default();
            let routes = if is_default { u64::MAX } else { group.routes };
            let same = all.entry(name).or_default();
            match same.iter_mut().find(|kept| kept.old == old) {
                Some(kept) => {
                    kept.groups.push(id);
                    kept.past.extend(past);
                    kept.routes = kept.routes.saturating_add(routes);
                }
                None => same.push(Kept {
                    old,
                    groups: vec![id],
                    past,
                    prefixes: Vec::new(),
                    routes,
                    is_default: false,
                }),
            }
        }
        for same in all.values_mut() {
            same.sort_by_key(|kept| std::cmp::Reverse(kept.routes));
            if let Some(most) = same.first_mut() {
                most.is_default = true;
            }
        }
        all.into_values().flatten().collect()
    }

    /// What is yet to be taken up is kept on: the next restart may come before the routes do. Tables
    /// that no group has are put among `all`; of groups, the tables that they took up, and whether one
    /// was that of all that nobody names.
    fn past_tables(
        &self,
        all: &mut BTreeMap<Name, Vec<Kept>>,
    ) -> HashMap<GroupId, (Vec<usize>, bool)> {
        let mut expected: HashMap<GroupId, (Vec<usize>, bool)> = HashMap::new();
        let Some(past) = self.plan.groups.past() else {
            return expected;
        };
        for (i, old) in past.tables.iter().enumerate() {
            let is_default = past.defaults.get(&old.name) == Some(&i);
            if let Some(heir) = past.heir(i) {
                let (tables, was_default) = expected.entry(heir).or_default();
                tables.push(i);
                *was_default |= is_default;
            } else {
                all.entry(old.name.clone()).or_default().push(Kept {
                    old: old.clone(),
                    groups: Vec::new(),
                    past: vec![i],
                    prefixes: Vec::new(),
                    routes: if is_default { u64::MAX } else { 0 },
                    is_default: false,
                });
            }
        }
        expected
    }

    fn record(&self, kept: Kept) -> TableRecord {
        let Kept { old, prefixes, .. } = kept;
        let member = |&(place, weight): &(Place, u32)| MemberRecord {
            via: place.via,
            port: self.plan.ports.name(place.port).into(),
            onlink: place.onlink,
            weight,
        };
        // In the file members are in the order of their ports' names.
        let mut order: Vec<(MemberRecord, u16)> =
            old.name.iter().map(member).zip(0_u16..).collect();
        order.sort();
        let mut at = vec![0_u16; order.len()];
        for (place, (_, was)) in order.iter().enumerate() {
            at[usize::from(*was)] = place as u16;
        }
        let there = |owners: &[u16]| renumbered(owners, &at);
        let owners = old.effective.iter().filter(|o| **o != NOBODY_OLD);
        let owners: BTreeSet<&u16> = owners.collect();
        TableRecord {
            due: (!owners.iter().copied().eq(&old.due)).then(|| there(&old.due)),
            effective: (old.effective != old.home).then(|| there(&old.effective)),
            older: old.older.iter().map(|life| there(life)).collect(),
            home: there(&old.home),
            parked: there(&old.parked),
            members: order.into_iter().map(|m| m.0).collect(),
            prefixes,
        }
    }
}

//! Restarts that move no flow: which bucket is whose is kept in the state directory, and taken up
//! again by the next evenpath.
//!
//! Here is what is to be kept and when; `file` writes and reads it, `image` is its form, and
//! [`crate::group::take_up`] deals by it.

pub mod file;
pub mod image;

use crate::control::Control;
use crate::drain::Spared;
use crate::event::Action;
use crate::group::take_up::{NOBODY_OLD, Name, Old, Past, Place, named};
use crate::nexthop::Hold;
use crate::prefix::Prefix;
use crate::routes;
use fastpath::table::{GroupId, LpmWrite};
use image::{Image, MemberRecord, SparedRecord, TableRecord};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What changed is kept after this time, with what changed meanwhile.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// It is not kept more often than this.
const INTERVAL: Duration = Duration::from_secs(5);
/// For so long after a start routes, links and neighbors may come back to their tables: BGP
/// sessions may have to be set up again, if evenpath itself carries them.
pub const TAKE_UP: Duration = Duration::from_secs(120);

/// When tables are to be kept.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// Somebody wants them.
    wanted: bool,
    /// They have changed, first then.
    changed: Option<Instant>,
    /// They were last kept.
    kept: Option<Instant>,
    last: String,
    /// Until then those of before the start can be taken up.
    until: Option<Instant>,
}

impl Keeping {
    pub(crate) fn touch(&mut self, now: Instant) {
        self.changed.get_or_insert(now);
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let changed = self.changed.filter(|_| self.wanted);
        let due = changed.map(|at| (at + DEBOUNCE).max(self.kept.map_or(at, |k| k + INTERVAL)));
        [due, self.until].into_iter().flatten().min()
    }
}

fn ms_since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `owners` by the numbers that they have elsewhere: `at` of those that they have here.
fn renumbered(owners: &[u16], at: &[u16]) -> Vec<u16> {
    let owner = |o: &u16| match *o {
        NOBODY_OLD => Some(NOBODY_OLD),
        o => at.get(usize::from(o)).copied(),
    };
    owners.iter().filter_map(owner).collect()
}

/// A table as it is kept, and who uses it.
struct Kept {
    old: Old,
    groups: Vec<GroupId>,
    prefixes: Vec<Prefix>,
    routes: u64,
}

impl<L: LpmWrite> Control<L> {
    /// From now on [`Action::Keep`] says what to keep.
    pub fn keep_tables(&mut self) {
        self.keeping.wanted = true;
    }

    /// Takes up what was kept before the start: to be called before anything is handled. What
    /// names a port that is no longer configured is left out.
    pub fn resume(&mut self, image: &Image, now: Instant) {
        let tables: Vec<_> = image.tables.iter().filter_map(|t| self.past(t)).collect();
        let mut past = Past {
            buckets: image.buckets,
            ..Past::default()
        };
        for (old, prefixes) in tables {
            let index = past.tables.len();
            if prefixes.is_empty() {
                past.defaults.insert(old.name.clone(), index);
            }
            past.exceptions.extend(prefixes.iter().map(|p| (*p, index)));
            past.tables.push(old);
        }
        log::info!(
            "tables: {} taken up from before the start",
            past.tables.len()
        );
        self.plan.groups.recall(past);
        for drain in &image.drains {
            let port = drain.port.as_ref().map(|p| self.plan.ports.named(p));
            if port != Some(None) {
                let (until, over) = self.rest(drain, now);
                self.plan.spared.push(Spared {
                    via: drain.via,
                    port: port.flatten(),
                    until,
                    over,
                    done: drain.done,
                });
            }
        }
        for held in &image.held {
            let port = held.port.as_ref().and_then(|p| self.plan.ports.named(p));
            if let Some(port) = port {
                let until = self.rest(held, now).0;
                self.plan.held_before.push((held.via, port, until));
            }
        }
        self.keeping.until = Some(now + TAKE_UP);
        self.take_up_again(now);
        self.commit(now);
    }

    /// Until when something has to last, and how long it had in all.
    fn rest(&self, spared: &SparedRecord, now: Instant) -> (Instant, Duration) {
        let over = Duration::from_millis(spared.over_ms);
        let left = spared
            .until_ms
            .saturating_sub(ms_since_1970(self.wall(now).time));
        (now + Duration::from_millis(left).min(over), over)
    }

    fn past(&self, table: &TableRecord) -> Option<(Old, Vec<Prefix>)> {
        let mut order: Vec<(Place, u32, u16)> = Vec::new();
        for (i, member) in table.members.iter().enumerate() {
            let place = Place {
                via: member.via,
                port: self.plan.ports.named(&member.port)?,
                onlink: member.onlink,
            };
            order.push((place, member.weight, i as u16));
        }
        // Ports may be configured in another order by now.
        order.sort_unstable();
        let mut at = vec![0_u16; order.len()];
        for (place, (_, _, was)) in order.iter().enumerate() {
            at[usize::from(*was)] = place as u16;
        }
        let here = |owners: &[u16]| renumbered(owners, &at);
        let owners = |table: &[u16]| -> Vec<u16> {
            let all = here(table).into_iter().filter(|o| *o != NOBODY_OLD);
            all.collect::<BTreeSet<u16>>().into_iter().collect()
        };
        let old = Old {
            name: order.iter().map(|m| (m.0, m.1)).collect(),
            home: here(&table.home),
            effective: here(table.effective.as_ref().unwrap_or(&table.home)),
            due: table.due.as_ref().map_or_else(
                || owners(table.effective.as_ref().unwrap_or(&table.home)),
                |due| here(due),
            ),
            older: table.older.iter().map(|life| here(life)).collect(),
            parked: here(&table.parked),
        };
        Some((old, table.prefixes.clone()))
    }

    /// Routes that came before their ports were known take up their tables.
    pub(crate) fn take_up_again(&mut self, now: Instant) {
        if self.plan.groups.past().is_none() {
            return;
        }
        let groups = &self.plan.groups;
        let new = self.rib.iter().filter(|(_, e)| groups.is_new(e.group));
        let new: Vec<Prefix> = new.map(|(p, _)| p).collect();
        for prefix in new {
            routes::take_up(&mut self.plan, &mut self.rib, prefix, now);
        }
    }

    /// Does what is due by `now` about restarts.
    pub(crate) fn keep(&mut self, now: Instant) {
        if self.keeping.until.is_some_and(|at| now >= at) {
            self.keeping.until = None;
            self.plan.held_before.clear();
            self.plan.forget_past(now);
            self.keeping.touch(now);
        }
        let is_due = self.keeping.due().is_some_and(|at| now >= at);
        if is_due && self.keeping.wanted {
            self.keeping.changed = None;
            self.keeping.kept = Some(now);
            let body = self.image(now).body();
            if body != self.keeping.last {
                self.keeping.last.clone_from(&body);
                self.actions.push_back(Action::Keep(body));
            }
        }
    }

    /// What is to be kept now.
    pub fn image(&self, now: Instant) -> Image {
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
            Hold::Down(at) if !n.groups.is_empty() => Some((n.key.gateway?, n.outlook.port?, at)),
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
        Image {
            buckets: plan.groups.rules().buckets,
            tables: self.tables(),
            drains: drains.collect(),
            held: held.collect(),
        }
    }

    fn tables(&self) -> Vec<TableRecord> {
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
            let (prefixes, is_default) = expected.remove(&id).unwrap_or_default();
            let routes = if is_default { u64::MAX } else { group.routes };
            let same = all.entry(name).or_default();
            match same.iter_mut().find(|kept| kept.old == old) {
                Some(kept) => {
                    kept.groups.push(id);
                    kept.prefixes.extend(prefixes);
                    kept.routes = kept.routes.saturating_add(routes);
                }
                None => same.push(Kept {
                    old,
                    groups: vec![id],
                    prefixes,
                    routes,
                }),
            }
        }
        // The table that most prefixes have is the default; the others name theirs.
        let mut of_group = HashMap::new();
        for (name, same) in &mut all {
            same.sort_by_key(|kept| std::cmp::Reverse(kept.routes));
            for (i, kept) in same.iter().enumerate().skip(1) {
                of_group.extend(kept.groups.iter().map(|id| (*id, (name.clone(), i))));
            }
        }
        if !of_group.is_empty() {
            for (prefix, entry) in self.rib.iter() {
                let own = of_group.get(&entry.group);
                let own = own.and_then(|(name, i)| all.get_mut(name)?.get_mut(*i));
                if let Some(kept) = own {
                    kept.prefixes.push(prefix);
                }
            }
        }
        let mut records = Vec::new();
        for (i, kept) in all
            .into_values()
            .flat_map(|same| same.into_iter().enumerate())
        {
            // Without a prefix it is nobody's.
            if i == 0 || !kept.prefixes.is_empty() {
                records.push(self.record(kept, i == 0));
            }
        }
        records
    }

    /// What is yet to be taken up is kept on: the next restart may come before the routes do. Tables
    /// that no group has are put among `all`; of those of groups, the prefixes that are yet to come,
    /// and whether it is that of all that nobody names.
    fn past_tables(
        &self,
        all: &mut BTreeMap<Name, Vec<Kept>>,
    ) -> HashMap<GroupId, (Vec<Prefix>, bool)> {
        let mut expected = HashMap::new();
        let Some(past) = self.plan.groups.past() else {
            return expected;
        };
        let is_back = |p: &Prefix| {
            let entry = self.rib.get(*p);
            entry.is_some_and(|e| self.plan.groups.is_heir(e.group))
        };
        let mut own: HashMap<usize, Vec<Prefix>> = HashMap::new();
        for (prefix, index) in past.exceptions.iter().filter(|(p, _)| !is_back(p)) {
            own.entry(*index).or_default().push(*prefix);
        }
        for (i, old) in past.tables.iter().enumerate() {
            let is_default = past.defaults.get(&old.name) == Some(&i);
            let prefixes = own.remove(&i).unwrap_or_default();
            if let Some(heir) = past.heir(i) {
                expected.insert(heir, (prefixes, is_default));
            } else {
                all.entry(old.name.clone()).or_default().push(Kept {
                    old: old.clone(),
                    groups: Vec::new(),
                    prefixes,
                    routes: if is_default { u64::MAX } else { 0 },
                });
            }
        }
        expected
    }

    fn record(&self, kept: Kept, is_default: bool) -> TableRecord {
        let Kept {
            old, mut prefixes, ..
        } = kept;
        prefixes.sort_unstable();
        prefixes.dedup();
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
            prefixes: if is_default { Vec::new() } else { prefixes },
        }
    }
}

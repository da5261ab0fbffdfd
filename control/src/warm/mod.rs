//! Restarts that move no flow: which bucket is whose is kept in the state directory, and taken up
//! again by the next evenpath.
//!
//! Here is when it is kept, and how it is read; `save` is what is to be kept, `file` writes and reads
//! it, `image` is its form, and [`crate::group::take_up`] deals by it.

pub mod file;
pub mod image;
mod save;

use crate::control::Control;
use crate::drain::Spared;
use crate::event::Action;
use crate::group::Group;
use crate::group::take_up::{NOBODY_OLD, Old, Past, Place};
use crate::prefix::Prefix;
use fastpath::table::LpmWrite;
use image::{Image, SparedRecord, TableRecord};
use save::Saving;
use std::collections::BTreeSet;
use std::sync::Arc;
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
    last: Arc<Image>,
    /// What is being gathered to be kept.
    saving: Option<Box<Saving>>,
    /// Until then those of before the start can be taken up.
    until: Option<Instant>,
}

impl Keeping {
    pub(crate) fn touch(&mut self, now: Instant) {
        self.changed.get_or_insert(now);
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let going_on = self.saving.as_ref().and(self.kept);
        let dues = [going_on, self.next(), self.until];
        dues.into_iter().flatten().min()
    }

    /// When what changed is to be kept.
    fn next(&self) -> Option<Instant> {
        let changed = self.changed.filter(|_| self.wanted);
        changed.map(|at| (at + DEBOUNCE).max(self.kept.map_or(at, |k| k + INTERVAL)))
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
        past.exceptions.sort_unstable();
        past.exceptions.dedup_by_key(|e| e.0);
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
        let (plan, activity) = (&mut self.plan, &mut self.activity);
        let around = (&plan.nexthops, &plan.sets, &mut plan.dplane);
        let follow = |id, group: &Group| activity.resized(id, group, now);
        plan.groups.take_up_again(now, around, follow);
    }

    /// Does what is due by `now` about restarts.
    pub(crate) fn keep(&mut self, now: Instant) {
        if self.keeping.until.is_some_and(|at| now >= at) {
            self.keeping.until = None;
            self.plan.held_before.clear();
            self.plan.forget_past(now);
            self.keeping.touch(now);
        }
        let saving = match self.keeping.saving.take() {
            Some(saving) => Some(saving),
            None if self.keeping.next().is_some_and(|at| now >= at) => {
                self.keeping.changed = None;
                self.keeping.kept = Some(now);
                Some(Box::new(self.begin_saving(now)))
            }
            None => None,
        };
        let Some(mut saving) = saving else {
            return;
        };
        if self.go_on_saving(&mut saving) {
            self.keeping.saving = Some(saving);
            return;
        }
        let image = self.saved(*saving);
        if image != *self.keeping.last {
            self.keeping.last = Arc::new(image);
            let image = Arc::clone(&self.keeping.last);
            self.actions.push_back(Action::Keep(image));
        }
    }
}

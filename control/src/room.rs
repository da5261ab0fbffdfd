//! Routes that found no room in a table: said once, tried again when room comes back.

use crate::control::Control;
use crate::group::Changes;
use crate::prefix::Prefix;
use crate::routes::drive;
use fastpath::table::LpmWrite;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::{Duration, Instant};

/// They are tried again this often in any case: prefixes and next hops make room, too.
const RETRY: Duration = Duration::from_secs(10);
/// When a group has made room they are tried again after this time, in which more may.
const SOON: Duration = Duration::from_secs(1);
/// So many are tried before other events get their turn.
const SLICE: usize = 4096;
/// So many are named at once in the log and in `show events`; the rest are counted.
const NAMED: usize = 8;

/// Routes that found no room.
#[derive(Debug, Default)]
pub struct Room {
    short: BTreeSet<Prefix>,
    at: Option<Instant>,
    /// Where the present pass is.
    after: Option<Prefix>,
}

impl Room {
    /// How many there are.
    pub fn short(&self) -> usize {
        self.short.len()
    }

    /// When [`Control::retry`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        self.at
    }
}

impl<L: LpmWrite> Control<L> {
    /// Takes note of routes that found no room since the last commit, and of those that have now.
    pub(crate) fn note_room(&mut self, changes: &Changes, now: Instant) {
        let (mut lost, mut found) = (Vec::new(), Vec::new());
        for prefix in std::mem::take(&mut self.plan.room_changed) {
            let why = self.rib.get(prefix).and_then(|e| e.failed.clone());
            let is_route = self.rib.get(prefix).is_some_and(|e| e.won.is_some());
            match why {
                Some(why) if self.room.short.insert(prefix) => lost.push((prefix, why)),
                None if self.room.short.remove(&prefix) && is_route => found.push(prefix),
                _ => {}
            }
            self.reports.touched(prefix);
        }
        self.say_room(&lost, &found, now);
        if self.room.short.is_empty() {
            (self.room.at, self.room.after) = (None, None);
            return;
        }
        let wait = match changes.gone.is_empty() {
            true => RETRY,
            false => SOON,
        };
        let at = now + wait;
        self.room.at = Some(self.room.at.map_or(at, |before| before.min(at)));
    }

    fn say_room(&mut self, lost: &[(Prefix, Box<str>)], found: &[Prefix], now: Instant) {
        let noticed = self.wall(now);
        for (prefix, why) in lost.iter().take(NAMED) {
            log::error!("route {prefix}: {why}");
            let cause = vec![("cause", why.to_string())];
            self.happening(format!("route {prefix}"), "no room".into(), cause, noticed);
        }
        for prefix in found.iter().take(NAMED) {
            log::info!("route {prefix}: has found room");
            self.happening(
                format!("route {prefix}"),
                "has room".into(),
                vec![],
                noticed,
            );
        }
        for (more, what) in [(lost.len(), "no room"), (found.len(), "has room")] {
            if more > NAMED {
                let more = more - NAMED;
                log::warn!("{more} more routes: {what}");
                self.happening(format!("{more} more routes"), what.into(), vec![], noticed);
            }
        }
    }

    /// Tries a slice of them again, if it is time.
    pub(crate) fn retry(&mut self, now: Instant) {
        if self.room.at.is_none_or(|at| now < at) {
            return;
        }
        let from = self.room.after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.room.short.range((from, Bound::Unbounded));
        let slice: Vec<Prefix> = behind.take(SLICE).copied().collect();
        let is_last = slice.len() < SLICE;
        self.room.after = slice.last().copied().filter(|_| !is_last);
        self.room.at = Some(if is_last { now + RETRY } else { now });
        for prefix in slice {
            drive(&mut self.plan, &mut self.rib, prefix, now);
        }
    }
}

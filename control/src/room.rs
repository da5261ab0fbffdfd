//! Routes that found no room in a table: said once, tried again when room comes back. What was
//! installed makes do with one next hop meanwhile.

use crate::bucket::Member;
use crate::control::Control;
use crate::group::Changes;
use crate::nexthop::{Members, SetId, State, look};
use crate::plan::Plan;
use crate::prefix::Prefix;
use crate::routes::drive;
use fastpath::table::{GroupId, LpmWrite};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
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

    /// When some are to be tried again.
    pub fn due(&self) -> Option<Instant> {
        self.at
    }
}

impl<L: LpmWrite> Plan<L> {
    /// Where a route goes for the time being that pointed to `from` and names `set` now, for which
    /// there is no room; [`GroupId::NONE`]: nowhere, as a route does that has been nowhere.
    ///
    /// Whoever it named before and names no longer may not know the way: rather one next hop of those
    /// meant, best one that it had, so that flows which use it stay. That takes a single bucket.
    pub(crate) fn make_do(
        &mut self,
        from: GroupId,
        (prefix, set): (Prefix, SetId),
        now: Instant,
    ) -> GroupId {
        if from == GroupId::NONE {
            return from;
        }
        let has = |all: &Members, m: Member| all.binary_search_by_key(&m, |x| x.0).is_ok();
        let new = self.sets.members(set);
        let old = self.groups.get(from).map(|g| self.sets.members(g.set));
        if old
            .as_ref()
            .is_some_and(|old| old.iter().all(|m| has(&new, m.0)))
        {
            return from;
        }
        let shared = |m: &Member| old.as_ref().is_some_and(|old| has(old, *m));
        let usable = |m: &Member| {
            let key = self.nexthops.get(*m).map(|n| n.key);
            key.is_some_and(|k| look(&k, &self.ports, &self.neighbors).state == State::Up)
        };
        let all: Vec<Member> = new.iter().map(|m| m.0).filter(usable).collect();
        let known: Vec<Member> = all.iter().copied().filter(shared).collect();
        let among = if known.is_empty() { all } else { known };
        // Many routes may be in need: not all of them by the same one.
        let mut hasher = DefaultHasher::new();
        prefix.hash(&mut hasher);
        let turn = hasher.finish() as usize % among.len().max(1);
        if let Some(&member) = among.get(turn) {
            let only = self.sets.intern(vec![(member, 1)]);
            if let Ok(group) = self.enter(GroupId::NONE, (prefix, only), now) {
                return group;
            }
        }
        match new.iter().any(|m| shared(&m.0)) {
            true => from,
            false => GroupId::NONE,
        }
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

//! Repairs, timed in three parts that follow one another, and the log of what happened.
//!
//! * `detect`: from the [`Noticed`] stamp of the news until control takes it. The thread that reads
//!   rtnetlink stamps when the kernel has handed the datagram over, the one that reads FPM when bytes
//!   have come, the driver's link-state interrupt when it is called. What the kernel, the NIC or FRR
//!   needed before that carries no stamp.
//! * `repair`: from there until every bucket is right. The down mask is set first.
//! * `fpm-lag`: from there until control takes FRR's last update of a route that had or has one of
//!   the next hops. Nothing forwards better for it: it is how long we were ahead.

use crate::api::message::{Failover, Happening};
use crate::control::Control;
use crate::event::Noticed;
use crate::histogram::Histogram;
use crate::map::Map;
use crate::nexthop::{Key, Nexthops, Sets};
use crate::plan::Repair;
use crate::rib::Target;
use crate::told::Told;
use fastpath::table::LpmWrite;
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The clock for people has been set when it is off by so much.
const STEP: Duration = Duration::from_secs(1);
/// How many events are remembered for `show events`.
const EVENTS: usize = 1000;
/// So long after FRR's latest update for a repair nothing more is expected.
pub const QUIET: Duration = Duration::from_secs(3);
/// So long after a repair no update is expected any more: BGP's default hold time (RFC 4271 §10
/// suggests 90 s, FRR has 180 s) and some.
pub const LIMIT: Duration = Duration::from_secs(190);
/// Repairs for which updates are waited for at once; beyond, the oldest is closed.
const OPEN: usize = 64;
/// So many different changes of routes are kept in mind while updates are waited for.
const SAME: usize = 4096;

/// What happened lately.
#[derive(Debug, Default)]
pub struct Log {
    events: VecDeque<Happening>,
    /// How many were there before the first of them.
    before: u64,
}

impl Log {
    /// Puts `event` in; its number.
    fn push(&mut self, event: Happening) -> u64 {
        if self.events.len() == EVENTS {
            self.events.pop_front();
            self.before += 1;
        }
        self.events.push_back(event);
        self.before + self.events.len() as u64 - 1
    }

    /// The event of that number, while it is remembered.
    fn get_mut(&mut self, number: u64) -> Option<&mut Happening> {
        let index = usize::try_from(number.checked_sub(self.before)?).ok()?;
        self.events.get_mut(index)
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Happening> {
        self.events.iter().cloned().collect()
    }
}

/// A repair for which FRR's updates are waited for.
#[derive(Debug)]
struct Open {
    /// Its number in the log.
    event: u64,
    /// The next hops that it was about.
    keys: BTreeSet<Key>,
    done: Instant,
    latest: Option<Instant>,
    /// Routes that FRR has sent so far.
    prefixes: u64,
}

/// From what to what FRR changed a route.
type Change = (Option<Target>, Option<Target>);

/// The times of all repairs.
#[derive(Debug, Default)]
pub struct Times {
    detect: Histogram,
    repair: Histogram,
    fpm_lag: Histogram,
    fpm_none: u64,
    open: VecDeque<Open>,
    /// What FRR has taken out, which nobody else has noticed.
    told: Told,
    /// What changes concern of `open`: thousands of routes change alike.
    same: Map<Change, Vec<usize>>,
}

impl Times {
    /// FRR has spoken of a route: what it was, and what it is now, perhaps the same. zebra 10 goes on
    /// naming a next hop whose link is dead until BGP has withdrawn it, so that counts, too.
    pub fn follow(&mut self, change: Change, sets: &Sets, nexthops: &Nexthops, now: Instant) {
        self.told.follow(change, sets, nexthops);
        if self.open.is_empty() {
            return;
        }
        if !self.same.contains_key(&change) {
            let concerned = self.concerned(change, sets, nexthops);
            if self.same.len() >= SAME {
                self.same.clear();
            }
            self.same.insert(change, concerned);
        }
        for &i in self.same.get(&change).into_iter().flatten() {
            if let Some(open) = self.open.get_mut(i) {
                open.latest = Some(now);
                open.prefixes += 1;
            }
        }
    }

    /// Which of `open` are about next hops that the route had or has.
    fn concerned(&self, (from, to): Change, sets: &Sets, nexthops: &Nexthops) -> Vec<usize> {
        let keys = |target: Option<Target>| -> BTreeSet<Key> {
            let Some(Target::Set(set)) = target else {
                return BTreeSet::new();
            };
            let members = sets.members(set);
            let keys = members.iter().filter_map(|m| nexthops.get(m.0));
            keys.map(|n| n.key).collect()
        };
        let (from, to) = (keys(from), keys(to));
        let is_it = |open: &Open| from.union(&to).any(|key| open.keys.contains(key));
        let all = self.open.iter().enumerate();
        all.filter(|(_, o)| is_it(o)).map(|(i, _)| i).collect()
    }

    /// A batch of FRR's is taken that was read then.
    pub fn heard(&mut self, noticed: Option<Noticed>, now: Instant) {
        self.told.heard(noticed, now);
    }

    /// Sets may have other numbers now.
    pub fn renumbered(&mut self) {
        self.same.clear();
        self.told.renumbered();
    }

    /// When the first of the waits is over.
    pub fn due(&self) -> Option<Instant> {
        self.open.iter().map(Open::due).min()
    }
}

impl Open {
    fn due(&self) -> Instant {
        let limit = self.done + LIMIT;
        self.latest.map_or(limit, |at| limit.min(at + QUIET))
    }
}

impl<L: LpmWrite> Control<L> {
    pub(crate) fn repaired_neighbor(
        &mut self,
        (ifindex, address): (u32, IpAddr),
        state: &str,
        repair: &Repair,
        noticed: Noticed,
        now: Instant,
    ) {
        if repair.lost + repair.gained + repair.moved > 0 {
            let interface = self.plan.ports.interface(ifindex);
            let object = format!("neighbor {address} on {interface}");
            self.repaired(object, state.into(), repair, noticed, now);
        }
    }

    /// Notes and times a repair, or that there was nothing to repair. Taken at `now`.
    pub(crate) fn repaired(
        &mut self,
        object: String,
        what: String,
        repair: &Repair,
        noticed: Noticed,
        now: Instant,
    ) {
        let mut details = vec![
            ("groups", repair.groups.to_string()),
            ("buckets-moved", repair.moved.to_string()),
        ];
        let Some(done) = repair.done else {
            self.happening(object, what, details, noticed);
            return;
        };
        self.counters.repairs += 1;
        self.counters.moved += repair.moved as u64;
        details.push(("prefixes", repair.prefixes.to_string()));
        // What control itself set off has no other stamp than this one.
        if noticed.at != now {
            let detect = now.saturating_duration_since(noticed.at);
            self.times.detect.record(detect);
            details.push(("detect-us", detect.as_micros().to_string()));
        }
        let took = done.saturating_duration_since(now);
        self.times.repair.record(took);
        details.push(("repair-us", took.as_micros().to_string()));
        // Only of gateways does FRR say something afterwards.
        let keys = repair.keys.iter().copied();
        let keys: BTreeSet<Key> = keys.filter(|k| k.gateway.is_some() && !k.host).collect();
        let waits = self.config.fpm.enable && !keys.is_empty();
        if waits {
            details.push(("fpm-lag", "pending".into()));
        }
        let event = self.happening(object, what, details, noticed);
        if waits {
            self.wait_for_fpm(event, keys, done);
        }
    }

    /// Whoever waited for the same next hops waits no longer: what comes now is for this repair.
    fn wait_for_fpm(&mut self, event: u64, keys: BTreeSet<Key>, done: Instant) {
        self.close_if(|open| !open.keys.is_disjoint(&keys));
        if self.times.open.len() >= OPEN {
            if let Some(oldest) = self.times.open.front().map(|o| o.event) {
                self.close_if(|open| open.event == oldest);
            }
        }
        self.times.open.push_back(Open {
            event,
            keys,
            done,
            latest: None,
            prefixes: 0,
        });
        self.times.same.clear();
    }

    /// Ends the wait for those of which FRR has said the last, as far as can be told.
    pub(crate) fn close_repairs(&mut self, now: Instant) {
        if self.times.due().is_some_and(|due| now >= due) {
            self.close_if(|open| now >= open.due());
        }
    }

    /// Times what zebra took out of routes, once all that it said is in force.
    pub(crate) fn tell_left(&mut self) {
        if !self.backlog.is_empty() {
            return;
        }
        let Some(left) = self.times.told.take() else {
            return;
        };
        let detect = left.taken.saturating_duration_since(left.noticed.at);
        let took = (self.plan.clock)().saturating_duration_since(left.taken);
        for (key, routes) in left.routes {
            let Some(gateway) = key.gateway else { continue };
            self.counters.repairs += 1;
            self.times.detect.record(detect);
            self.times.repair.record(took);
            let interface = self.plan.ports.interface(key.ifindex);
            let details = vec![
                ("detect-us", detect.as_micros().to_string()),
                ("prefixes", routes.to_string()),
                ("repair-us", took.as_micros().to_string()),
            ];
            let object = format!("nexthop {gateway} on {interface}");
            self.happening(object, "taken out by zebra".into(), details, left.noticed);
        }
    }

    fn close_if(&mut self, over: impl Fn(&Open) -> bool) {
        let all = std::mem::take(&mut self.times.open);
        self.times.same.clear();
        for open in all {
            if !over(&open) {
                self.times.open.push_back(open);
                continue;
            }
            let lag = open
                .latest
                .map(|at| at.saturating_duration_since(open.done));
            match lag {
                Some(lag) => self.times.fpm_lag.record(lag),
                None => self.times.fpm_none += 1,
            }
            let Some(event) = self.log.get_mut(open.event) else {
                continue;
            };
            let details = &mut event.details;
            match lag {
                Some(lag) => {
                    let us = lag.as_micros();
                    details.remove("fpm-lag");
                    let ms = format!("{}.{}", us / 1000, us % 1000 / 100);
                    details.insert("fpm-lag-ms".into(), ms);
                    details.insert("fpm-prefixes".into(), open.prefixes.to_string());
                }
                None => _ = details.insert("fpm-lag".into(), "none".into()),
            }
        }
    }

    pub(crate) fn show_failover(&self) -> Failover {
        let times = &self.times;
        Failover {
            repairs: self.counters.repairs,
            buckets_moved: self.counters.moved,
            detect: (&times.detect).into(),
            repair: (&times.repair).into(),
            fpm_lag: (&times.fpm_lag).into(),
            fpm_pending: times.open.len() as u64,
            fpm_none: times.fpm_none,
        }
    }

    /// What the clock for people says; told now and then, since it may be set: by NTP after the start.
    pub fn set_clock(&mut self, noticed: Noticed) {
        let before = self.wall(noticed.at).time;
        let step = before.duration_since(noticed.time);
        let step = step.unwrap_or_else(|later| later.duration());
        self.clock = noticed;
        if step >= STEP {
            // What is kept names times by that clock.
            self.keeping.touch(noticed.at);
        }
    }

    /// `now` as a time for people, by what [`Control::set_clock`] was told last.
    pub(crate) fn wall(&self, now: Instant) -> Noticed {
        let Noticed { at, time } = self.clock;
        let time = match now.checked_duration_since(at) {
            Some(since) => time.checked_add(since),
            None => time.checked_sub(at.saturating_duration_since(now)),
        };
        Noticed {
            at: now,
            time: time.unwrap_or(self.clock.time),
        }
    }

    /// Puts something into the log of events; its number there.
    pub(crate) fn happening(
        &mut self,
        object: String,
        what: String,
        details: Vec<(&str, String)>,
        noticed: Noticed,
    ) -> u64 {
        let since = noticed.time.duration_since(std::time::UNIX_EPOCH);
        let time_ns = since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        self.log.push(Happening {
            time_ns,
            object,
            what,
            details: details.into_iter().map(|(k, v)| (k.into(), v)).collect(),
        })
    }
}

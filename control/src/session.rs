//! The resync with zebra: mark on connect, refill, sweep.
//!
//! A resync only adds: deletes that were missed are not sent again. So every route carries the
//! number of the resync in which it was last seen, and what was not seen goes when the resync is
//! over: when the sentinel route arrives (zebra sends it last) or after a time in which none of those
//! that are missing came. A resync
//! that brings back too little, or nothing of a protocol's family, is held: after a restart of zebra
//! alone only its own routes come, and those of BGP must stay until somebody says otherwise, or they
//! come back after all and then nothing more.

use crate::config;
use crate::fpm::batch::Counts;
use crate::prefix::Prefix;
use std::time::{Duration, Instant};

/// A resync that would delete no more than so many routes is not held, unless it brings none of
/// them back: a router with a default route and little else lives by those.
pub const HOLD_FLOOR: u64 = 16;
/// Where the sentinel came last time, it is waited for so many times longer than for quiet.
const PATIENCE: u32 = 6;

/// Where a resync is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// zebra has not connected yet.
    Idle,
    /// Marked, being refilled.
    Filling,
    /// Over, but suspicious: nothing was swept.
    Held,
    /// Swept.
    Complete,
}

impl Phase {
    /// The name of `show fpm`.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Filling => "filling",
            Phase::Held => "held",
            Phase::Complete => "complete",
        }
    }
}

/// What to do about routes that were not seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The resync is not over, or there is nothing to decide.
    Wait,
    /// Delete them.
    Sweep,
    /// Keep them: too many.
    Hold,
}

/// The session with zebra.
#[derive(Clone, Debug)]
pub struct Session {
    /// The connection that counts.
    pub connection: u64,
    /// zebra is connected.
    pub connected: bool,
    /// How often it has connected.
    pub connections: u64,
    /// Number of the resync.
    pub generation: u32,
    /// Where it is.
    pub phase: Phase,
    /// What came.
    pub counts: Counts,
    /// Routes that we were told of and do not use: link-local and such.
    pub ignored: u64,
    /// The route that ends a resync.
    pub sentinel: Option<Prefix>,
    settle: Duration,
    hold_below_percent: u8,
    /// Routes held when it connected.
    base: u64,
    /// When one of those came, or zebra connected.
    last: Instant,
    /// The sentinel came in this resync; and in the one before.
    sentinel_now: bool,
    sentinel_before: bool,
    /// It was held, but enough has come back since.
    enough: bool,
}

impl Session {
    /// No session yet.
    pub fn new(config: &config::Fpm, now: Instant) -> Self {
        Session {
            connection: 0,
            connected: false,
            connections: 0,
            generation: 0,
            phase: Phase::Idle,
            counts: Counts::default(),
            ignored: 0,
            sentinel: config.sentinel,
            settle: config.settle,
            hold_below_percent: config.hold_below_percent,
            base: 0,
            last: now,
            sentinel_now: false,
            sentinel_before: false,
            enough: false,
        }
    }

    /// zebra has connected while we held `routes` routes of its.
    pub fn connected(&mut self, connection: u64, routes: u64, now: Instant) {
        self.connection = connection;
        self.connected = true;
        self.connections += 1;
        self.generation = self.generation.wrapping_add(1);
        self.phase = Phase::Filling;
        self.base = routes;
        self.last = now;
        self.sentinel_before = std::mem::take(&mut self.sentinel_now);
        self.enough = false;
    }

    /// A resync is not over: what is missing may yet come.
    pub fn is_refilling(&self) -> bool {
        matches!(self.phase, Phase::Filling | Phase::Held)
    }

    /// A route came that was there when zebra connected. What else comes says nothing about those that
    /// are missing: where something changes every few seconds the resync would never be over.
    pub fn refreshed(&mut self, now: Instant) {
        self.last = now;
    }

    /// The sentinel came.
    pub fn sentinel(&mut self) {
        self.sentinel_now = true;
    }

    /// When [`Session::verdict`] is to be asked next.
    pub fn deadline(&self) -> Option<Instant> {
        let patience = match self.phase {
            Phase::Filling if self.sentinel_before => PATIENCE,
            Phase::Filling => 1,
            // The others of those that come back one by one may be on their way.
            Phase::Held if self.enough => 1,
            _ => return None,
        };
        self.connected.then(|| self.last + self.settle * patience)
    }

    /// What to do now that `missing` routes have not been seen again, among them `all_of_one`: all
    /// of some protocol's family.
    pub fn verdict(&mut self, missing: u64, all_of_one: bool, now: Instant) -> Verdict {
        let back = self.base.saturating_sub(missing);
        let share = u128::from(self.base) * u128::from(self.hold_below_percent);
        let too_few = u128::from(back) * 100 < share && (missing > HOLD_FLOOR || back == 0);
        let hold = (too_few || all_of_one) && self.hold_below_percent > 0;
        self.enough = !hold;
        let quiet = self.deadline().is_some_and(|deadline| now >= deadline);
        match self.phase {
            Phase::Filling if quiet || self.sentinel_now => {}
            Phase::Held if quiet => {}
            _ => return Verdict::Wait,
        }
        match hold {
            true => {
                self.phase = Phase::Held;
                Verdict::Hold
            }
            false => {
                self.phase = Phase::Complete;
                Verdict::Sweep
            }
        }
    }

    /// Somebody says that a held resync was right.
    pub fn release(&mut self) {
        self.phase = Phase::Complete;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(now: Instant) -> Session {
        let config = config::Fpm {
            settle: Duration::from_secs(5),
            hold_below_percent: 50,
            ..config::Fpm::default()
        };
        Session::new(&config, now)
    }

    #[test]
    fn quiet_ends_a_resync() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut session = session(start);
        assert_eq!(session.verdict(0, false, at(100)), Verdict::Wait);
        session.connected(1, 0, at(0));
        session.refreshed(at(3));
        assert_eq!(session.deadline(), Some(at(8)));
        assert_eq!(session.verdict(9, false, at(7)), Verdict::Wait);
        assert_eq!(session.verdict(9, false, at(8)), Verdict::Sweep);
        assert_eq!(session.phase, Phase::Complete);
        assert_eq!(session.verdict(9, false, at(99)), Verdict::Wait, "once");
    }

    #[test]
    fn the_sentinel_ends_a_resync_and_is_waited_for_afterwards() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut session = session(start);
        session.connected(1, 0, at(0));
        session.sentinel();
        assert_eq!(session.verdict(3, false, at(0)), Verdict::Sweep);
        session.connected(2, 100, at(10));
        assert_eq!(
            session.verdict(100, false, at(16)),
            Verdict::Wait,
            "not quiet alone"
        );
        assert_eq!(session.deadline(), Some(at(40)));
        session.sentinel();
        assert_eq!(session.verdict(40, false, at(17)), Verdict::Sweep);
    }

    #[test]
    fn too_few_routes_are_held_until_they_come_back_or_are_released() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut session = session(start);
        session.connected(1, 250, at(0));
        assert_eq!(session.verdict(240, false, at(6)), Verdict::Hold);
        assert_eq!(
            session.verdict(130, false, at(7)),
            Verdict::Wait,
            "still too few"
        );
        session.refreshed(at(8));
        assert_eq!(
            session.verdict(125, false, at(8)),
            Verdict::Wait,
            "half is back"
        );
        assert_eq!(session.deadline(), Some(at(13)), "more may be on its way");
        session.refreshed(at(9));
        assert_eq!(session.verdict(20, false, at(13)), Verdict::Wait, "and was");
        assert_eq!(session.verdict(20, false, at(14)), Verdict::Sweep, "quiet");
        session.connected(2, 250, at(10));
        assert_eq!(session.verdict(240, false, at(20)), Verdict::Hold);
        session.release();
        assert_eq!(session.phase, Phase::Complete);
        session.connected(3, 20, at(30));
        assert_eq!(
            session.verdict(12, false, at(40)),
            Verdict::Sweep,
            "only a few"
        );
        session.connected(4, 2, at(50));
        assert_eq!(
            session.verdict(2, false, at(60)),
            Verdict::Hold,
            "all there were"
        );
        session.release();
    }

    #[test]
    fn a_protocol_of_which_nothing_came_back_is_held() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut session = session(start);
        session.connected(1, 5, at(0));
        session.sentinel();
        assert_eq!(session.verdict(4, true, at(1)), Verdict::Hold);
        assert_eq!(session.deadline(), None, "not asked again in vain");
        session.refreshed(at(3));
        assert_eq!(session.verdict(2, true, at(9)), Verdict::Wait, "one family");
        session.refreshed(at(9));
        assert_eq!(session.verdict(1, false, at(9)), Verdict::Wait, "both");
        assert_eq!(session.verdict(1, false, at(14)), Verdict::Sweep);
    }
}

//! The resync with zebra: mark on connect, refill, sweep.
//!
//! A resync only adds: deletes that were missed are not sent again. So every route carries the
//! number of the resync in which it was last seen, and what was not seen goes when the resync is
//! over: when the sentinel route arrives (zebra sends it last) or after a time of quiet. A resync
//! that brings back too little is held: after a restart of zebra alone only its own routes come,
//! and those of BGP must stay until somebody says otherwise, or they come back after all.

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
    last: Instant,
    /// The sentinel came in this resync; and in the one before.
    sentinel_now: bool,
    sentinel_before: bool,
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
    }

    /// Something came.
    pub fn heard(&mut self, now: Instant) {
        self.last = now;
    }

    /// The sentinel came.
    pub fn sentinel(&mut self) {
        self.sentinel_now = true;
    }

    /// When [`Session::verdict`] is to be asked next.
    pub fn deadline(&self) -> Option<Instant> {
        let patience = if self.sentinel_before { PATIENCE } else { 1 };
        let over = self.last + self.settle * patience;
        (self.connected && self.phase == Phase::Filling).then_some(over)
    }

    /// What to do now that `missing` routes have not been seen again.
    pub fn verdict(&mut self, missing: u64, now: Instant) -> Verdict {
        let over = match self.phase {
            Phase::Filling => {
                self.sentinel_now || self.deadline().is_some_and(|deadline| now >= deadline)
            }
            // Routes may come back after all.
            Phase::Held => self.connected,
            Phase::Idle | Phase::Complete => false,
        };
        if !over {
            return Verdict::Wait;
        }
        let back = self.base.saturating_sub(missing);
        let too_few =
            u128::from(back) * 100 < u128::from(self.base) * u128::from(self.hold_below_percent);
        if too_few && (missing > HOLD_FLOOR || back == 0) {
            let verdict = match self.phase {
                Phase::Held => Verdict::Wait,
                _ => Verdict::Hold,
            };
            self.phase = Phase::Held;
            return verdict;
        }
        self.phase = Phase::Complete;
        Verdict::Sweep
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
        assert_eq!(session.verdict(0, at(100)), Verdict::Wait);
        session.connected(1, 0, at(0));
        session.heard(at(3));
        assert_eq!(session.deadline(), Some(at(8)));
        assert_eq!(session.verdict(9, at(7)), Verdict::Wait);
        assert_eq!(session.verdict(9, at(8)), Verdict::Sweep);
        assert_eq!(session.phase, Phase::Complete);
        assert_eq!(session.verdict(9, at(99)), Verdict::Wait, "once");
    }

    #[test]
    fn the_sentinel_ends_a_resync_and_is_waited_for_afterwards() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut session = session(start);
        session.connected(1, 0, at(0));
        session.sentinel();
        assert_eq!(session.verdict(3, at(0)), Verdict::Sweep);
        session.connected(2, 100, at(10));
        assert_eq!(
            session.verdict(100, at(16)),
            Verdict::Wait,
            "not quiet alone"
        );
        assert_eq!(session.deadline(), Some(at(40)));
        session.sentinel();
        assert_eq!(session.verdict(40, at(17)), Verdict::Sweep);
    }

    #[test]
    fn too_few_routes_are_held_until_they_come_back_or_are_released() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut session = session(start);
        session.connected(1, 250, at(0));
        assert_eq!(session.verdict(240, at(6)), Verdict::Hold);
        assert_eq!(session.verdict(130, at(7)), Verdict::Wait, "still too few");
        assert_eq!(session.verdict(125, at(8)), Verdict::Sweep, "half is back");
        session.connected(2, 250, at(10));
        assert_eq!(session.verdict(240, at(20)), Verdict::Hold);
        session.release();
        assert_eq!(session.phase, Phase::Complete);
        session.connected(3, 20, at(30));
        assert_eq!(session.verdict(12, at(40)), Verdict::Sweep, "only a few");
        session.connected(4, 2, at(50));
        assert_eq!(session.verdict(2, at(60)), Verdict::Hold, "all there were");
        session.release();
    }
}

//! Routes that a protocol has lost all at once: kept for a while, for its restart to bring back.
//!
//! When bgpd comes back from a graceful restart, zebra deletes all its routes of a family and adds
//! them again up to 1.3 s later (FRR 8.4, 10.3 and 10.7); when bgpd just ends, zebra deletes them
//! at once. Both look alike: one burst of deletes that leaves nothing of the protocol. So deletes
//! are gathered while the burst lasts. If it leaves nothing, the routes stay for the hold time, and
//! what has not come back by then goes. What comes back with fewer next hops than it had keeps all of
//! them as long, since the protocol may not have heard of the others yet. If it leaves anything, or the protocol says anything else
//! in between, they were withdrawals and are carried out.

use crate::answer_route::protocol;
use crate::map::Set;
use crate::prefix::Prefix;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// A burst of deletes is over when nothing came for so long: zebra's arrive less than 4 ms apart.
pub const GATHER: Duration = Duration::from_millis(50);
/// zebra deletes stale routes in runs of so many (`ZEBRA_MAX_STALE_ROUTE_COUNT`) …
const RUN: usize = 50_000;
/// … with a rest of a second between them (`ZEBRA_DEFAULT_STALE_UPDATE_DELAY`).
const REST: Duration = Duration::from_millis(1500);

/// Whose routes: the daemon and the family, which zebra deletes one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// `rtm_protocol`.
    pub protocol: u8,
    /// IPv4, or IPv6.
    pub ipv4: bool,
}

impl Origin {
    /// That of a route to `prefix`.
    pub fn of(protocol: u8, prefix: Prefix) -> Self {
        Origin {
            protocol,
            ipv4: prefix.is_ipv4(),
        }
    }

    /// False for those without a daemon that restarts and brings routes back by itself: the kernel,
    /// and what an operator has entered (`RTPROT_BOOT`, `RTPROT_STATIC`, FRR's static), who means
    /// it when he removes the last one.
    const fn restarts(self) -> bool {
        !matches!(self.protocol, 0..=4 | 11 | 196)
    }
}

/// How far a loss is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is kept.
    Calm,
    /// Deletes come in.
    Gathering {
        /// The first.
        first: Instant,
        /// The latest.
        last: Instant,
    },
    /// Nothing was left: all are kept.
    Bridging {
        /// Until then.
        until: Instant,
    },
}

/// How far a resync is with an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refill {
    /// It has brought nothing of its.
    Silent,
    /// It has; until then fewer next hops may be because not all were heard of yet.
    Until(Instant),
    /// What zebra names counts.
    Over,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv4 { "IPv4" } else { "IPv6" };
        write!(f, "{} {family}", protocol(self.protocol))
    }
}

/// The routes of an origin.
#[derive(Debug)]
struct Part {
    /// Routes, with those kept; and how many of them the latest resync has brought.
    routes: u64,
    fresh: u64,
    kept: Set<Prefix>,
    /// Came back with fewer next hops than they had, which they keep for now.
    fewer: Set<Prefix>,
    phase: Phase,
    /// Told with fewer next hops by the resync, which they keep for now.
    narrow: Set<Prefix>,
    refill: Refill,
    /// How many of those that were kept came back.
    back: u64,
    /// Bridging has begun with so many, and nobody was told yet.
    begun: Option<u64>,
}

impl Default for Part {
    fn default() -> Self {
        Part {
            routes: 0,
            fresh: 0,
            kept: Set::default(),
            fewer: Set::default(),
            phase: Phase::Calm,
            narrow: Set::default(),
            refill: Refill::Over,
            back: 0,
            begun: None,
        }
    }
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All routes were deleted; so many are kept.
    Begun(u64),
    /// Over, because all came back or the time is up.
    Over {
        /// Came back.
        back: u64,
        /// To be deleted now.
        gone: Vec<Prefix>,
        /// To lose those next hops now that they came back without.
        fewer: Vec<Prefix>,
    },
    /// They were withdrawals: to be deleted now.
    Withdrawn(Vec<Prefix>),
    /// A resync told these with fewer next hops, and the others have not come: to be left now.
    Narrowed(Vec<Prefix>),
}

/// A bridge as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose routes.
    pub origin: Origin,
    /// Still kept.
    pub kept: u64,
    /// Came back.
    pub back: u64,
    /// Came back with fewer next hops, and keep those that they had.
    pub fewer: u64,
    /// When what has not come back goes.
    pub until: Instant,
}

/// All that is kept, by whose it is.
#[derive(Debug)]
pub struct Bridges {
    hold: Duration,
    parts: BTreeMap<Origin, Part>,
    /// How many there were.
    pub count: u64,
}

impl Bridges {
    /// Nothing is kept; later for `hold`, or never if that is zero.
    pub fn new(hold: Duration) -> Self {
        Bridges {
            hold,
            parts: BTreeMap::new(),
            count: 0,
        }
    }

    /// There is one more route, just told.
    pub fn more(&mut self, origin: Origin) {
        let part = self.parts.entry(origin).or_default();
        part.routes += 1;
        part.fresh += 1;
    }

    /// The route to `prefix` is replaced or gone; `fresh`: the latest resync had brought it.
    pub fn less(&mut self, origin: Origin, prefix: Prefix, fresh: bool) {
        if let Some(part) = self.parts.get_mut(&origin) {
            part.routes -= 1;
            part.fresh -= u64::from(fresh);
            drop_from(&mut part.kept, prefix);
            drop_from(&mut part.fewer, prefix);
            drop_from(&mut part.narrow, prefix);
        }
    }

    /// A protocol that is just back, by itself or (`refilling`) in a resync, names fewer next hops for
    /// `prefix` than it did before: true if the route keeps those for now.
    pub fn has_fewer(&mut self, origin: Origin, prefix: Prefix, refilling: bool) -> bool {
        let Some(part) = self.parts.get_mut(&origin) else {
            return false;
        };
        match (part.phase, part.refill) {
            (Phase::Bridging { .. }, _) => _ = part.fewer.insert(prefix),
            (_, Refill::Until(_)) if refilling => _ = part.narrow.insert(prefix),
            _ => return false,
        }
        true
    }

    /// True while a restart is bridged in which [`Bridges::has_fewer`] said so last.
    pub fn holds_fewer(&self, origin: Origin, prefix: Prefix) -> bool {
        let part = self.parts.get(&origin);
        part.is_some_and(|p| p.fewer.contains(&prefix))
    }

    /// True when anything of `origin` can be kept at all.
    pub fn may_hold(&self, origin: Origin) -> bool {
        !self.hold.is_zero() && origin.restarts()
    }

    /// No longer so.
    pub fn is_whole(&mut self, origin: Origin, prefix: Prefix) {
        if let Some(part) = self.parts.get_mut(&origin) {
            drop_from(&mut part.fewer, prefix);
            drop_from(&mut part.narrow, prefix);
        }
    }

    /// True when a resync has brought nothing of what some daemon had told before.
    pub fn misses_all_of_one(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|(origin, part)| origin.restarts() && part.routes > 0 && part.fresh == 0)
    }

    /// True when the route to `prefix` is only kept.
    pub fn keeps(&self, origin: Origin, prefix: Prefix) -> bool {
        let part = self.parts.get(&origin);
        part.is_some_and(|p| !p.kept.is_empty() && p.kept.contains(&prefix))
    }

    /// zebra deletes the route to `prefix`, which could still be used: true if it is kept for now.
    pub fn keep(&mut self, origin: Origin, prefix: Prefix, now: Instant) -> bool {
        if !self.may_hold(origin) {
            return false;
        }
        let part = self.parts.entry(origin).or_default();
        let last_one = part.routes == part.kept.len() as u64 + 1;
        part.phase = match part.phase {
            Phase::Calm => Phase::Gathering {
                first: now,
                last: now,
            },
            Phase::Gathering { first, .. } => Phase::Gathering { first, last: now },
            // It is back and knows what it does, unless it loses all again.
            Phase::Bridging { .. } if !last_one => return false,
            bridging @ Phase::Bridging { .. } => bridging,
        };
        part.kept.insert(prefix);
        part.begin(now + self.hold);
        true
    }

    /// zebra adds or replaces the route to `prefix`. What its protocol has withdrawn, as we know by
    /// that: to be deleted now.
    pub fn heard(&mut self, origin: Origin, prefix: Prefix, now: Instant) -> Vec<Prefix> {
        let Some(part) = self.parts.get_mut(&origin) else {
            return Vec::new();
        };
        part.begin(now + self.hold);
        if part.refill == Refill::Silent {
            part.refill = Refill::Until(now + self.hold);
        }
        let first = part.back == 0;
        let kept = drop_from(&mut part.kept, prefix);
        part.back += u64::from(kept);
        match &mut part.phase {
            // Whoever ends says nothing more: it lives.
            Phase::Gathering { .. } => part.end(),
            // It is back, and may take as long again to hear of all that there is.
            Phase::Bridging { until } if first && kept => {
                *until = now + self.hold;
                Vec::new()
            }
            Phase::Calm | Phase::Bridging { .. } => Vec::new(),
        }
    }

    /// What has happened and is decided by now; asked after every batch, and when
    /// [`Bridges::due`] says so.
    pub fn look(&mut self, now: Instant) -> Vec<(Origin, Outcome)> {
        let mut outcomes = Vec::new();
        for (&origin, part) in &mut self.parts {
            part.begin(now + self.hold);
            if let Some(routes) = part.begun.take() {
                self.count += 1;
                outcomes.push((origin, Outcome::Begun(routes)));
            }
            if part.refill_due().is_some_and(|at| now >= at) {
                let fewer = part.refilled();
                if !fewer.is_empty() {
                    outcomes.push((origin, Outcome::Narrowed(fewer)));
                }
            }
            let all_back = part.kept.is_empty() && part.fewer.is_empty();
            if !all_back && part.due(self.hold).is_none_or(|at| now < at) {
                continue;
            }
            match part.phase {
                Phase::Calm => {}
                Phase::Gathering { .. } => {
                    outcomes.push((origin, Outcome::Withdrawn(part.end())));
                }
                Phase::Bridging { .. } => {
                    let fewer = part.fewer.drain().collect();
                    let (back, gone) = (part.back, part.end());
                    outcomes.push((origin, Outcome::Over { back, gone, fewer }));
                }
            }
        }
        self.parts.retain(|_, part| part.routes > 0);
        outcomes
    }

    /// When [`Bridges::look`] has something to decide.
    pub fn due(&self) -> Option<Instant> {
        let parts = self.parts.values();
        parts
            .flat_map(|p| [p.due(self.hold), p.refill_due()])
            .flatten()
            .min()
    }

    /// Nothing is kept by us any more: a resync decides.
    pub fn leave(&mut self) {
        for part in self.parts.values_mut() {
            part.end();
            part.refilled();
        }
    }

    /// A resync begins.
    pub fn resync(&mut self) {
        self.leave();
        for part in self.parts.values_mut() {
            part.fresh = 0;
            part.refill = Refill::Silent;
        }
    }

    /// A resync is over, and whoever goes on keeping next hops does so by a bridge.
    pub fn refilled(&mut self) {
        for part in self.parts.values_mut() {
            part.refilled();
        }
    }

    /// Anything is kept now.
    pub fn keeps_any(&self) -> bool {
        self.parts.values().any(|part| !part.kept.is_empty())
    }

    /// What is kept now.
    pub fn kept(&self) -> impl Iterator<Item = (Origin, Prefix)> + '_ {
        let parts = self.parts.iter();
        parts.flat_map(|(origin, part)| part.kept.iter().map(|p| (*origin, *p)))
    }

    /// The bridges that there are.
    pub fn standing(&self) -> impl Iterator<Item = Standing> + '_ {
        self.parts
            .iter()
            .filter_map(|(&origin, part)| match part.phase {
                Phase::Bridging { until } => Some(Standing {
                    origin,
                    kept: part.kept.len() as u64,
                    back: part.back,
                    fewer: part.fewer.len() as u64,
                    until,
                }),
                _ => None,
            })
    }
}

/// A set that is empty, as it is nearly always, asks for no hash.
fn drop_from(set: &mut Set<Prefix>, prefix: Prefix) -> bool {
    !set.is_empty() && set.remove(&prefix)
}

impl Part {
    /// Bridges from now on if the deletes have left nothing.
    fn begin(&mut self, until: Instant) {
        let none_left = self.routes == self.kept.len() as u64 && !self.kept.is_empty();
        if none_left && matches!(self.phase, Phase::Gathering { .. }) {
            self.phase = Phase::Bridging { until };
            self.back = 0;
            self.begun = Some(self.routes);
        }
    }

    /// Keeps nothing any more; what it kept.
    fn end(&mut self) -> Vec<Prefix> {
        self.phase = Phase::Calm;
        self.fewer.clear();
        self.kept.drain().collect()
    }

    /// From now on what zebra names counts; what has kept more so far.
    fn refilled(&mut self) -> Vec<Prefix> {
        self.refill = Refill::Over;
        self.narrow.drain().collect()
    }

    fn refill_due(&self) -> Option<Instant> {
        match self.refill {
            Refill::Until(at) => Some(at),
            Refill::Silent | Refill::Over => None,
        }
    }

    fn due(&self, hold: Duration) -> Option<Instant> {
        match self.phase {
            Phase::Calm => None,
            Phase::Gathering { first, last } => {
                let rest = if self.kept.len() < RUN { GATHER } else { REST };
                Some((last + rest).min(first + hold))
            }
            Phase::Bridging { until } => Some(until),
        }
    }
}

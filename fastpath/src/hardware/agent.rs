//! Keeps all of the hardware at what control wants: one program of an e-switch, or one for each port
//! that packets come in by.
//!
//! ```text
//!  control ─► apply ─┬─ next hops ────────► engines ─► Steering
//!                    └─ all else ─► queue ─┘   │
//!  link-state interrupt ─► port_down ──────────┤
//!                                              └─► standings, counts ─► news ─► control
//! ```
//!
//! No threads and no clock: whoever owns it calls [`Agent::turn`], each of which does a bounded piece of
//! work, so that what is urgent never waits for what is long: a next hop that dies is with the engines
//! when [`Agent::apply`] or [`Agent::port_down`] returns, and its operations are the next ones.

mod counts;
mod standings;
#[cfg(test)]
mod tests;

use super::compile::{Known, Standing, State, Summary};
use super::engine::{Engine, Operations};
use super::plan::{Change, NexthopId};
use super::{Count, Steering};
use crate::table::{Adjacency, GroupId, PortId};
use counts::Counts;
use standings::Standings;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Changes that one turn takes in.
const CHANGES: usize = 256;
/// Operations that one turn enqueues, for each program.
const OPERATIONS: u32 = 256;
/// Tables that one turn makes or destroys, for each program: each takes the firmware milliseconds.
const TABLES: u32 = 2;
/// Groups and prefixes that one turn looks at.
const LOOKS: usize = 512;
/// Rules that one turn asks for their counts.
const READS: usize = 32;

/// What failed is tried again after this time, twice as long each time, and at last this long.
pub const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// What became of the plan since somebody last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The number of the latest changes of [`Agent::apply`] that all of this is about.
    pub applied: u64,
    /// Prefixes that others forward than was said before; of one whose change was applied since, than
    /// software.
    pub prefixes: Vec<(IpAddr, u8, State)>,
    /// Groups likewise.
    pub groups: Vec<(GroupId, State)>,
    /// What hardware has sent to next hops in addition.
    pub counts: Vec<(NexthopId, Count)>,
}

impl News {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.groups.is_empty() && self.counts.is_empty()
    }
}

/// When to try again what failed.
#[derive(Debug)]
struct Retry {
    due: Option<Instant>,
    wait: Duration,
    failures: usize,
}

impl Retry {
    /// Whether to try again, with so many failures now.
    fn is_due(&mut self, failures: usize, now: Instant) -> bool {
        if failures > self.failures || failures == 0 {
            self.wait = RETRY.0;
            self.due = None;
        }
        self.failures = failures;
        if failures == 0 {
            return false;
        }
        let due = *self.due.get_or_insert(now + self.wait);
        if now < due {
            return false;
        }
        self.wait = RETRY.1.min(self.wait * 2);
        self.due = Some(now + self.wait);
        true
    }
}

#[derive(Debug)]
enum Pending {
    Change(Change),
    /// All changes of that number are applied.
    Applied(u64),
}

/// All programs, and what is to become of them.
#[derive(Debug)]
pub struct Agent<S> {
    engines: Vec<Engine<S>>,
    pending: VecDeque<Pending>,
    /// Where next hops lead, by control's word.
    hops: HashMap<NexthopId, Adjacency>,
    /// Ports that have lost their link, by the word of the NIC.
    down: Vec<PortId>,
    applied: u64,
    retry: Retry,
    retries: u64,
    standings: Standings,
    counts: Counts,
}

impl<S: Steering> Agent<S> {
    /// Of these programs, of which nothing is in the NIC yet.
    pub fn new(mut engines: Vec<Engine<S>>) -> Self {
        for engine in &mut engines {
            engine.watch();
        }
        Agent {
            engines,
            pending: VecDeque::new(),
            hops: HashMap::new(),
            down: Vec::new(),
            applied: 0,
            retry: Retry {
                due: None,
                wait: RETRY.0,
                failures: 0,
            },
            retries: 0,
            standings: Standings::default(),
            counts: Counts::default(),
        }
    }

    /// The programs: one, or one for each port that packets come in by.
    pub fn engines(&self) -> &[Engine<S>] {
        &self.engines
    }

    /// The same, to copy them, or to receive packets by a simulated NIC.
    pub fn engines_mut(&mut self) -> &mut [Engine<S>] {
        &mut self.engines
    }

    /// The NICs back, with what was programmed still in them.
    pub fn into_steerings(self) -> Vec<S> {
        self.engines
            .into_iter()
            .map(Engine::into_steering)
            .collect()
    }

    /// Takes in changes of the plan under a number, which must rise. Next hops are taken at once,
    /// before all that waits; a number of a next hop must not be given to another one.
    pub fn apply(&mut self, number: u64, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Nexthop(id, adjacency) => self.set_nexthop(id, adjacency),
                other => self.pending.push_back(Pending::Change(other)),
            }
        }
        self.pending.push_back(Pending::Applied(number));
    }

    fn set_nexthop(&mut self, id: NexthopId, adjacency: Option<Adjacency>) {
        match adjacency {
            Some(adjacency) => drop(self.hops.insert(id, adjacency)),
            None => drop(self.hops.remove(&id)),
        }
        // A port that has lost its link stays so, whatever control has not heard of yet.
        let usable = adjacency.filter(|a| !self.down.contains(&a.port));
        self.tell(&Change::Nexthop(id, usable));
    }

    fn tell(&mut self, change: &Change) {
        for engine in &mut self.engines {
            engine.apply(change);
        }
    }

    fn on(&self, port: PortId) -> Vec<(NexthopId, Adjacency)> {
        let here = self.hops.iter().filter(|(_, a)| a.port == port);
        let mut here: Vec<_> = here.map(|(id, a)| (*id, *a)).collect();
        here.sort_unstable_by_key(|(id, _)| *id);
        here
    }

    /// A port has lost its link: no next hop there is used until [`Agent::port_up`], whatever control
    /// says of it.
    pub fn port_down(&mut self, port: PortId) {
        if self.down.contains(&port) {
            return;
        }
        self.down.push(port);
        for (id, _) in self.on(port) {
            self.tell(&Change::Nexthop(id, None));
        }
    }

    /// A port has a link again: control's word counts.
    pub fn port_up(&mut self, port: PortId) {
        let known = self.down.len();
        self.down.retain(|p| *p != port);
        if self.down.len() < known {
            for (id, adjacency) in self.on(port) {
                self.tell(&Change::Nexthop(id, Some(adjacency)));
            }
        }
    }

    /// Ports that have lost their link.
    pub fn ports_down(&self) -> &[PortId] {
        &self.down
    }

    /// Does a piece of what is to be done; false: nothing is left, until [`Agent::deadline`] or until
    /// something completes ([`Agent::under_way`]).
    pub fn turn(&mut self, now: Instant) -> bool {
        let taken = self.pending.len().min(CHANGES);
        for _ in 0..taken {
            match self.pending.pop_front() {
                Some(Pending::Applied(number)) => self.applied = number,
                Some(Pending::Change(change)) => {
                    if let Change::Prefix(address, length, _) = change {
                        self.standings.forget((address, length));
                    }
                    self.tell(&change);
                }
                None => break,
            }
        }
        let mut busy = !self.pending.is_empty();
        for engine in &mut self.engines {
            busy |= engine.advance(OPERATIONS, TABLES);
        }
        if self.retry.is_due(self.failures(), now) {
            self.retries += 1;
            self.engines.iter_mut().for_each(Engine::retry);
            busy = true;
        }
        for engine in &mut self.engines {
            let news = engine.news();
            self.standings.note(news, engine.compiler());
        }
        busy |= self.standings.turn(&self.engines, now, LOOKS);
        busy |= self.counts.turn(&mut self.engines, now, READS);
        busy
    }

    /// When [`Agent::turn`] has something to do, if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let dues = [self.retry.due, self.standings.due(), self.counts.due()];
        dues.into_iter().flatten().min()
    }

    /// What became of the plan, at most so many prefixes and groups; `None`: nothing.
    pub fn news(&mut self, most: usize) -> Option<News> {
        let group = |id| Standing::all(self.engines.iter().map(|e| e.compiler().group(id))).state;
        let mut news = self.standings.news(most, group);
        news.counts = self.counts.news();
        news.applied = self.applied;
        (!news.is_empty()).then_some(news)
    }

    /// News of nothing, but for what has been taken in.
    pub fn no_news(&self) -> News {
        News {
            applied: self.applied,
            ..News::default()
        }
    }

    /// Changes that wait to be taken in.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Operations under way.
    pub fn under_way(&self) -> usize {
        let each = self.engines.iter().map(|e| e.compiler().under_way());
        each.sum()
    }

    /// What failed and was not made good.
    pub fn failures(&self) -> usize {
        self.engines.iter().map(|e| e.compiler().failures()).sum()
    }

    /// How often what failed was tried again.
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Operations of all programs.
    pub fn operations(&self) -> Operations {
        let mut sum = Operations::default();
        for engine in &self.engines {
            sum.add(engine.operations());
        }
        sum
    }

    /// Who forwards at all, and what is in the NIC, for each program.
    pub fn summaries(&self) -> impl Iterator<Item = Summary> + '_ {
        self.engines.iter().map(|e| e.compiler().summary())
    }

    /// Who forwards at all.
    pub fn standing(&self) -> Standing {
        Standing::all(self.engines.iter().map(|e| e.compiler().standing()))
    }

    /// Who forwards a group's packets.
    pub fn group(&self, id: GroupId) -> Standing {
        Standing::all(self.engines.iter().map(|e| e.compiler().group(id)))
    }

    /// Who forwards packets to a prefix.
    pub fn prefix(&self, address: IpAddr, length: u8) -> Standing {
        let each = self.engines.iter();
        Standing::all(each.map(|e| e.compiler().prefix(address, length)))
    }

    /// How many prefixes are whose, as last told: hardware's, and hardware's in part.
    pub fn prefixes(&self) -> (usize, usize) {
        self.standings.prefixes()
    }

    /// How many groups are whose, as last told: hardware's, and hardware's in part.
    pub fn groups(&self) -> (usize, usize) {
        self.standings.groups()
    }

    /// Turns until nothing is left but what is due later; whether that came within so many turns.
    pub fn settle(&mut self, now: Instant, turns: usize) -> bool {
        (0..turns).any(|_| !self.turn(now)) && self.under_way() == 0
    }
}

/// The state of all programs together.
fn combined(states: impl Iterator<Item = State>) -> State {
    let merge = |a: State, b: State| if a == b { a } else { State::Partial };
    states.reduce(merge).unwrap_or(State::Software)
}

fn prefix_state<S: Steering>(
    engines: &[Engine<S>],
    (address, length): (IpAddr, u8),
    known: &mut [Known],
) -> State {
    let each = engines.iter().zip(known);
    combined(each.map(|(e, known)| e.compiler().prefix_state(address, length, known)))
}

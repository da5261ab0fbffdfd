//! A router, what is known about its world, and what happens to them at random.

use super::Random;
use super::naive::{Table, Weights, held, is_even, repeated};
use super::world::{Router, SECOND, Spared, Truth, interface};
use control::config::{DealBy, Resilient};
use control::deal::Recovery;
use control::event::NeighborState;
use control::warm::TAKE_UP;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub const ACTIVE: Duration = Duration::from_secs(10);
pub const FORCED: Duration = Duration::from_secs(25);
/// Buckets settle so long before they are given to a newcomer, and are looked at every second.
const MARGIN: Duration = Duration::from_secs(6);

/// A prefix at some time.
#[derive(Clone)]
pub struct Seen {
    pub weights: Weights,
    pub due: Weights,
    pub table: Table,
    pub seconds: Table,
}

pub struct History {
    pub router: Router,
    pub truth: Truth,
    pub rules: Resilient,
    pub recovery: Recovery,
    /// Whose bucket it is when all who are away are back.
    pub belongs: BTreeMap<u8, Table>,
    /// When a bucket was last used.
    pub used: BTreeMap<u8, Vec<Instant>>,
    /// The table of when somebody could last be used.
    pub last: BTreeMap<u8, Table>,
    /// How many buckets the table had when it was last dealt.
    pub grain: BTreeMap<u8, usize>,
    /// Since when shares have been uneven.
    pub uneven: BTreeMap<u8, Instant>,
    /// The set that lost members by FRR's word alone, and whose bucket was whose.
    pub withdrawn: BTreeMap<u8, (Weights, Table)>,
    /// Who has been away since its share was dealt.
    pub unknown: BTreeMap<u8, BTreeSet<u8>>,
    pub restarted: Option<Instant>,
    /// The tables that sets had then, and at starts not long before.
    pub started: BTreeMap<Weights, Vec<Table>>,
    /// Sets that FRR has named before, which may be remembered.
    pub announced: BTreeSet<Weights>,
    pub when: String,
    /// What was checked: moved buckets, due returns, even tables, least moves.
    pub seen: [usize; 4],
}

impl History {
    pub fn now(&self) -> Instant {
        self.router.lab.now
    }

    pub fn is_patient(&self) -> bool {
        self.rules.enable || self.recovery != Recovery::Immediate
    }

    /// Since the last start not everything may be back that there was.
    pub fn is_settling(&self) -> bool {
        self.restarted.is_some_and(|at| self.now() < at + TAKE_UP)
    }

    pub fn see(&self) -> BTreeMap<u8, Seen> {
        let of = |p: &u8| {
            let (table, seconds) = self.router.tables(*p);
            let last = self.last.get(p).unwrap_or(&table);
            let seen = Seen {
                weights: self.truth.routes[p].clone(),
                due: self.truth.due(*p, last),
                table,
                seconds,
            };
            (*p, seen)
        };
        self.truth.routes.keys().map(of).collect()
    }

    /// What follows from links and neighbors that were usable before.
    pub fn turned(&mut self, could: &BTreeSet<u8>) {
        let now = self.now();
        for n in 1..=self.router.gateways {
            let can = self.truth.can(n);
            if !self.truth.has(n) || can == could.contains(&n) {
                continue;
            }
            if !can {
                self.truth.lost.insert(n);
            } else if self.truth.lost.contains(&n)
                && self.rules.hold_down > Duration::ZERO
                && !self.truth.spared.contains_key(&n)
            {
                self.truth.held.insert(n, now + self.rules.hold_down);
            }
        }
    }

    pub fn able(&self) -> BTreeSet<u8> {
        (1..=self.router.gateways)
            .filter(|n| self.truth.can(*n))
            .collect()
    }

    /// Something happens, and is checked.
    pub fn step(&mut self, random: &mut Random) {
        let before = self.see();
        let could = self.able();
        let n = 1 + random.below(usize::from(self.router.gateways)) as u8;
        let mut failed = None;
        let what = match random.below(20) {
            0..=7 => self.reroute(random),
            8 | 9 => {
                let port = interface(n);
                let up = self.truth.cut.remove(&port) || !self.truth.cut.insert(port);
                self.router.link(port, up);
                format!("port {port} {up}")
            }
            10..=12 => {
                let up = self.truth.dead.remove(&n) || !self.truth.dead.insert(n);
                match up {
                    true => self.router.neighbor(n, NeighborState::Stale),
                    false if random.one_of(2) => self.router.neighbor_gone(n),
                    false => self.router.neighbor(n, NeighborState::Failed),
                }
                failed = Some(n).filter(|_| !up);
                format!("neighbor {n} {up}")
            }
            13 => {
                self.router.neighbor(n, NeighborState::Stale);
                if !self.truth.dead.contains(&n) {
                    self.router.neighbor(n, NeighborState::Reachable);
                }
                self.truth.dead.remove(&n);
                format!("news of {n}")
            }
            14 => self.spare(n, random.below(3) as u32 * 20),
            15 if self.router.drain(n, true, 0).is_some() => {
                self.truth.spared.remove(&n);
                self.truth.held.remove(&n);
                format!("undrain {n}")
            }
            15 => format!("no undrain {n}"),
            16 => {
                let then = self.now();
                if !self.is_settling() {
                    self.started.clear();
                }
                for (p, table) in &self.last {
                    let weights = self.truth.routes[p].clone();
                    self.started.entry(weights).or_default().push(table.clone());
                }
                self.router = self.router.restarted(&self.truth, random);
                // The clock of another life.
                let later = self.now() - then;
                self.truth.held.values_mut().for_each(|at| *at += later);
                self.truth
                    .spared
                    .values_mut()
                    .for_each(|s| s.until += later);
                self.restarted = Some(self.now());
                self.truth.lost.clear();
                self.withdrawn.clear();
                self.uneven.clear();
                let now = self.now();
                self.used.values_mut().flatten().for_each(|at| *at = now);
                "restart".into()
            }
            _ => return self.pass(random),
        };
        self.turned(&could);
        self.when = format!("{}\n  {what}", self.when);
        self.check(&before, failed);
        if what.starts_with("drain") || what.starts_with("undrain") {
            self.end_drains();
        }
        self.announced.extend(self.truth.routes.values().cloned());
        if what == "restart" {
            for (p, after) in self.see() {
                let size = after.table.len();
                assert!(
                    after.table == repeated(&before[&p].table, size),
                    "{}",
                    self.when
                );
            }
        }
    }

    pub fn spare(&mut self, n: u8, over: u32) -> String {
        let now = self.now();
        if self.router.drain(n, false, over).is_none() {
            return format!("no drain {n}");
        }
        let over = over * SECOND;
        self.truth.held.remove(&n);
        let spared = Spared {
            until: now + over,
            patience: ACTIVE.min(over / 4),
            done: over.is_zero(),
        };
        self.truth.spared.insert(n, spared);
        format!("drain {n} over {over:?}")
    }

    /// FRR says something else about a prefix.
    pub fn reroute(&mut self, random: &mut Random) -> String {
        let prefix = 1 + random.below(3) as u8;
        let old = self.truth.routes.get(&prefix).cloned();
        let Some(old) = old.filter(|_| !random.one_of(6)) else {
            if self.truth.routes.remove(&prefix).is_some() {
                self.router.withdraw(prefix);
                self.withdrawn.remove(&prefix);
                return format!("- {prefix}");
            }
            let weights = self.some(random);
            self.router.route(random, prefix, &weights);
            let what = format!("+ {prefix} {weights:?}");
            self.truth.routes.insert(prefix, weights);
            self.unknown.insert(prefix, self.away(prefix));
            return what;
        };
        let mut next = old.clone();
        let back = self.withdrawn.get(&prefix).map(|w| w.0.clone());
        match (random.below(6), back) {
            (0 | 1, Some(back)) => next = back,
            (0..=2, _) => {
                let n = random.below(old.len());
                next = old
                    .iter()
                    .filter(|m| usize::from(*m.0) % old.len() != n)
                    .map(|m| (*m.0, *m.1))
                    .collect();
            }
            (3, _) => next.extend(self.some(random).into_iter().take(1)),
            (4, _) => next.values_mut().for_each(|w| *w = self.weight(random)),
            _ => next = self.some(random),
        }
        if next.is_empty() {
            next = self.some(random);
        }
        if let [only] = next.values_mut().collect::<Vec<_>>().as_mut_slice() {
            **only = 1;
        }
        self.router.route(random, prefix, &next);
        if let Some(table) = self.last.get_mut(&prefix) {
            let is_out = |owner: &&mut u8| !next.contains_key(*owner);
            table.iter_mut().filter(is_out).for_each(|owner| *owner = 0);
        }
        let what = format!("{prefix} {next:?}");
        let only_less = next.iter().all(|(n, w)| old.get(n) == Some(w)) && next.len() < old.len();
        if only_less && next.len() > 1 {
            if let (Some(table), false) = (
                self.belongs.get(&prefix),
                self.withdrawn.contains_key(&prefix),
            ) {
                self.withdrawn.insert(prefix, (old.clone(), table.clone()));
            }
        } else if self.withdrawn.get(&prefix).is_none_or(|w| w.0 != next) {
            self.withdrawn.remove(&prefix);
        }
        self.truth.routes.insert(prefix, next.clone());
        // Who gets nothing now has what the new set gives it, which nobody sees before it is back.
        if old != next {
            let unknown = self.away(prefix);
            if !unknown.is_empty() {
                self.belongs.remove(&prefix);
            }
            self.unknown.insert(prefix, unknown);
        }
        what
    }

    /// Who of a route gets no buckets.
    fn away(&self, prefix: u8) -> BTreeSet<u8> {
        let table = self.router.tables(prefix).0;
        let due = (self.truth).due(prefix, self.last.get(&prefix).unwrap_or(&table));
        let all = self.truth.routes[&prefix].keys().copied();
        all.filter(|n| !due.contains_key(n)).collect()
    }

    pub fn weight(&self, random: &mut Random) -> u32 {
        let few = self.router.gateways < 24;
        let kinds = 3 + usize::from(few) + usize::from(few && random.one_of(8));
        let most = [1, 1, 3, 100, 65_535][random.below(kinds)];
        1 + random.below(most) as u32
    }

    /// Some members; every other time with equal weights.
    pub fn some(&self, random: &mut Random) -> Weights {
        let all = usize::from(self.router.gateways);
        let count = 1 + random.below(all);
        let equal = random.one_of(2);
        let mut some = Weights::new();
        for _ in 0..count {
            let weight = if equal { 1 } else { self.weight(random) };
            some.insert(1 + random.below(all) as u8, weight);
        }
        if let [only] = some.values_mut().collect::<Vec<_>>().as_mut_slice() {
            **only = 1;
        }
        some
    }

    /// Time passes while some buckets are used, or none or all of them.
    pub fn pass(&mut self, random: &mut Random) {
        let seconds = 1 + random.below(20) as u32;
        let busy = [0, 1, 1, 3][random.below(4)];
        self.when = format!("{}\n  {seconds} s, busy {busy}", self.when);
        for _ in 0..seconds {
            self.second(busy);
        }
        let (quiet, all) = (busy == 0 && random.one_of(2), busy == 1);
        let enough = if quiet { ACTIVE } else { FORCED } + self.rules.hold_down + MARGIN;
        let forces = all && self.rules.unbalanced_timer.is_some();
        if !(quiet || forces) || !self.is_patient() || self.rules.deal == DealBy::Rendezvous {
            return;
        }
        self.when = format!("{}\n  {enough:?}, busy {busy}", self.when);
        for _ in 0..enough.as_secs() {
            self.second(busy);
        }
        let settling = self
            .restarted
            .is_some_and(|at| self.now() < at + TAKE_UP + enough);
        if settling || self.recovery == Recovery::Never || !self.truth.held.is_empty() {
            return;
        }
        for (p, seen) in self.see() {
            let leaves = self.truth.leaving(p);
            if !seen.due.is_empty() && !seen.table.iter().any(|o| leaves.contains(o)) {
                assert!(
                    is_even(&seen.table, &seen.due, seen.table.len()),
                    "{}: {p}: {:?}",
                    self.when,
                    held(&seen.table)
                );
                self.seen[2] += 1;
            }
        }
    }

    pub fn second(&mut self, busy: usize) {
        let before = self.see();
        let now = self.now();
        for (p, seen) in &before {
            let size = seen.table.len();
            let some: Vec<usize> = (0..size).filter(|b| busy > 0 && b % busy == 0).collect();
            let used = self.used.entry(*p).or_default();
            some.iter().for_each(|b| used[*b] = now);
            self.router.traffic(*p, some.into_iter());
        }
        self.router.lab.pass(SECOND);
        let now = self.now();
        self.truth.held.retain(|_, until| *until > now);
        self.check(&before, None);
        self.end_drains();
    }
}

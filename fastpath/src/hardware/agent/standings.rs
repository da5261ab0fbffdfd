//! Who forwards what, as control was last told, and what has changed since.
//!
//! Better news is told at once. Worse news waits, since most of it heals: a rule is changed, a failed
//! operation is tried again. What did not, control is told after [`PATIENCE`].

use super::super::Steering;
use super::super::compile::{Compiler, Known, News as Touched, State};
use super::super::engine::Engine;
use super::super::plan::Family;
use super::{News, prefix_state};
use crate::table::GroupId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So long what is worse than was told stays so before it is told.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

type Prefix = (IpAddr, u8);

/// Something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Item {
    Group(GroupId, Family),
    Prefix(Prefix),
}

/// Prefixes of a group, from a place on.
#[derive(Debug)]
struct Scan {
    group: GroupId,
    family: Family,
    after: Option<(u128, u8)>,
    /// That it is worse was waited for.
    sure: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standings {
    /// Of each program; none: all software's.
    branches: HashMap<(GroupId, Family), Vec<State>>,
    /// But for software's.
    told: HashMap<Prefix, State>,
    in_part: usize,
    groups: BTreeSet<GroupId>,
    prefixes: VecDeque<Prefix>,
    scans: VecDeque<Scan>,
    /// In order of time.
    later: VecDeque<(Instant, Item)>,
    waiting: HashSet<Item>,
    news: BTreeMap<Prefix, State>,
    group_news: BTreeSet<GroupId>,
    group_states: BTreeMap<GroupId, State>,
}

impl Standings {
    /// Control has said something new of a prefix, and takes it for software's until it is told.
    pub(super) fn forget(&mut self, prefix: Prefix) {
        self.set(prefix, State::Software);
        self.news.remove(&prefix);
    }

    fn set(&mut self, prefix: Prefix, state: State) {
        let before = match state {
            State::Software => self.told.remove(&prefix),
            _ => self.told.insert(prefix, state),
        };
        self.in_part -= usize::from(before == Some(State::Partial));
        self.in_part += usize::from(state == State::Partial);
    }

    /// What may have changed in a program.
    pub(super) fn note(&mut self, touched: Touched, program: &Compiler) {
        self.prefixes.extend(touched.prefixes);
        self.groups.extend(touched.groups);
        if touched.all {
            self.groups.extend(program.groups());
            self.groups.extend(self.branches.keys().map(|k| k.0));
        }
    }

    /// Looks at `most` things; whether more wait.
    pub(super) fn turn<S: Steering>(
        &mut self,
        engines: &[Engine<S>],
        now: Instant,
        most: usize,
    ) -> bool {
        let mut known: Vec<Known> = engines.iter().map(|_| Known::default()).collect();
        let mut left = most;
        while left > 0 {
            left -= 1;
            if self.later.front().is_some_and(|(due, _)| *due <= now) {
                let Some((_, item)) = self.later.pop_front() else {
                    break;
                };
                self.waiting.remove(&item);
                match item {
                    Item::Group(id, family) => {
                        self.look_at_branch(engines, (id, family), true, now)
                    }
                    Item::Prefix(prefix) => {
                        let state = prefix_state(engines, prefix, &mut known);
                        self.look_at(prefix, state, true, now);
                    }
                }
            } else if let Some(id) = self.groups.pop_first() {
                for family in Family::ALL {
                    self.look_at_branch(engines, (id, family), false, now);
                }
            } else if let Some(prefix) = self.prefixes.pop_front() {
                let state = prefix_state(engines, prefix, &mut known);
                self.look_at(prefix, state, false, now);
            } else if let Some(scan) = self.scans.pop_front() {
                left = self.scan(engines, scan, (&mut known, left), now);
            } else {
                return false;
            }
        }
        true
    }

    fn wait(&mut self, item: Item, now: Instant) {
        if self.waiting.insert(item) {
            self.later.push_back((now + PATIENCE, item));
        }
    }

    fn look_at(&mut self, prefix: Prefix, state: State, sure: bool, now: Instant) {
        let before = self.told.get(&prefix).copied().unwrap_or(State::Software);
        if state < before && !sure {
            self.wait(Item::Prefix(prefix), now);
        } else if state != before {
            self.set(prefix, state);
            self.news.insert(prefix, state);
        }
    }

    fn look_at_branch<S: Steering>(
        &mut self,
        engines: &[Engine<S>],
        (id, family): (GroupId, Family),
        sure: bool,
        now: Instant,
    ) {
        let state = |e: &Engine<S>| e.compiler().branch_state(id, family);
        let states: Vec<State> = engines
            .iter()
            .map(|e| state(e).unwrap_or(State::Software))
            .collect();
        let before = self.branches.get(&(id, family));
        let worse = match before {
            Some(before) if *before == states => return,
            Some(before) => states.iter().zip(before).any(|(now, then)| now < then),
            None if states.iter().all(|s| *s == State::Software) => return,
            None => false,
        };
        if worse && !sure {
            return self.wait(Item::Group(id, family), now);
        }
        if states.iter().all(|s| *s == State::Software) {
            self.branches.remove(&(id, family));
        } else {
            self.branches.insert((id, family), states);
        }
        self.group_news.insert(id);
        self.scans.push_back(Scan {
            group: id,
            family,
            after: None,
            sure,
        });
    }

    /// Looks at some prefixes of a group; how many looks are left.
    fn scan<S: Steering>(
        &mut self,
        engines: &[Engine<S>],
        scan: Scan,
        (known, left): (&mut [Known], usize),
        now: Instant,
    ) -> usize {
        let Some(first) = engines.first() else {
            return left;
        };
        let most = left.max(1);
        // The plan is the same in all programs.
        let (prefixes, next) =
            first
                .compiler()
                .prefixes_of(scan.group, scan.family, scan.after, most);
        for prefix in &prefixes {
            let state = prefix_state(engines, *prefix, known);
            self.look_at(*prefix, state, scan.sure, now);
        }
        if next.is_some() {
            let after = next;
            self.scans.push_front(Scan { after, ..scan });
        }
        left.saturating_sub(prefixes.len())
    }

    /// When there is something to look at again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.later.front().map(|(due, _)| *due)
    }

    /// What is to be told, at most so many prefixes and groups; `group` says whose one is now.
    pub(super) fn news(&mut self, most: usize, group: impl Fn(GroupId) -> State) -> News {
        let mut news = News::default();
        while news.prefixes.len() < most {
            let Some(((address, length), state)) = self.news.pop_first() else {
                break;
            };
            news.prefixes.push((address, length, state));
        }
        while news.groups.len() < most {
            let Some(id) = self.group_news.pop_first() else {
                break;
            };
            let state = group(id);
            let before = match state {
                State::Software => self.group_states.remove(&id),
                _ => self.group_states.insert(id, state),
            };
            if before.unwrap_or(State::Software) != state {
                news.groups.push((id, state));
            }
        }
        news
    }

    /// How many groups are hardware's, and hardware's in part.
    pub(super) fn groups(&self) -> (usize, usize) {
        let states = self.group_states.values();
        let in_part = states.filter(|s| **s == State::Partial).count();
        (self.group_states.len() - in_part, in_part)
    }

    /// How many prefixes are hardware's, and hardware's in part.
    pub(super) fn prefixes(&self) -> (usize, usize) {
        (self.told.len() - self.in_part, self.in_part)
    }
}

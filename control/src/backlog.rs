//! What is to be done to routes and waits for its turn, in order: a table that comes or goes must not
//! keep links and neighbors waiting for the time that it takes.

use crate::fpm::FpmEvent;
use crate::fpm::decode::Route;
use crate::prefix::Prefix;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use std::vec::IntoIter;

/// How many routes are worked on before other events get their turn.
pub const SLICE: usize = 4096;

/// Something to be done to the route of a prefix.
#[derive(Clone, Debug)]
pub enum Work {
    /// zebra has said it: another route, or none.
    Told(Option<Route>),
    /// It was kept without zebra's word, and goes.
    Drop,
    /// It keeps next hops that zebra has left out, and loses them.
    Narrow,
}

/// What came at once, as it came: nothing is copied to wait.
#[derive(Debug)]
enum Run {
    Told(IntoIter<(Prefix, Option<Route>)>),
    Ours(IntoIter<(Prefix, Work)>),
}

impl Run {
    fn next(&mut self) -> Option<(Prefix, Work)> {
        match self {
            Run::Told(all) => all.next().map(|(p, route)| (p, Work::Told(route))),
            Run::Ours(all) => all.next(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Run::Told(all) => all.len() == 0,
            Run::Ours(all) => all.len() == 0,
        }
    }
}

/// All that waits.
#[derive(Debug, Default)]
pub struct Backlog {
    /// None of them is empty.
    work: VecDeque<Run>,
    /// What zebra's socket had to say since a connection began or ended behind that work.
    events: VecDeque<FpmEvent>,
    since: Option<Instant>,
    /// Tells the reader that we are not done yet.
    pub(crate) ticket: Option<Arc<()>>,
}

impl Backlog {
    /// Since when anything waits.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// True when no work waits: what zebra said so far is done.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// What zebra has said, behind all that waits.
    pub(crate) fn told(&mut self, routes: Vec<(Prefix, Option<Route>)>, now: Instant) {
        self.behind(Run::Told(routes.into_iter()), now);
    }

    /// Behind all that waits.
    pub(crate) fn push(&mut self, work: impl IntoIterator<Item = (Prefix, Work)>, now: Instant) {
        let work: Vec<_> = work.into_iter().collect();
        self.behind(Run::Ours(work.into_iter()), now);
    }

    /// Before all that waits: zebra has not heard of it.
    pub(crate) fn push_first(
        &mut self,
        work: impl IntoIterator<Item = (Prefix, Work)>,
        now: Instant,
    ) {
        let work: Vec<_> = work.into_iter().collect();
        if !work.is_empty() {
            self.work.push_front(Run::Ours(work.into_iter()));
        }
        self.note(now);
    }

    fn behind(&mut self, run: Run, now: Instant) {
        if !run.is_empty() {
            self.work.push_back(run);
        }
        self.note(now);
    }

    /// `event`, unless its turn is not yet: then it waits.
    pub(crate) fn in_turn(&mut self, event: FpmEvent, now: Instant) -> Option<FpmEvent> {
        let is_border = matches!(event, FpmEvent::Connected { .. } | FpmEvent::Closed { .. });
        if self.events.is_empty() && (self.work.is_empty() || !is_border) {
            return Some(event);
        }
        self.events.push_back(event);
        self.note(now);
        None
    }

    /// The next event that has waited, once no work is before it.
    pub(crate) fn next_event(&mut self) -> Option<FpmEvent> {
        match self.work.is_empty() {
            true => self.events.pop_front(),
            false => None,
        }
    }

    /// The next piece of work.
    pub(crate) fn pop(&mut self) -> Option<(Prefix, Work)> {
        let run = self.work.front_mut()?;
        let next = run.next();
        if run.is_empty() {
            self.work.pop_front();
        }
        next
    }

    /// Notes whether there is anything left.
    pub(crate) fn done(&mut self) {
        if self.work.is_empty() && self.events.is_empty() {
            self.since = None;
            self.ticket = None;
        }
    }

    fn note(&mut self, now: Instant) {
        if !(self.work.is_empty() && self.events.is_empty()) {
            self.since.get_or_insert(now);
        }
    }
}

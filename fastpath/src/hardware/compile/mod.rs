//! From plan to program: which rules there ought to be, change by change.
//!
//! Pure: changes of the plan go in, operations come out ([`Compiler::step`]), and what came of them is
//! told back. Nothing is assumed to be in the NIC that it has not confirmed, and nothing is pointed to
//! before it is there, so that each operation may fail and every packet still finds its way, through
//! hardware or software:
//!
//! * next hops before rows, rows before their group, the group before its prefixes;
//! * what is not there leads to software; a place that cannot be had closes the places above it;
//! * a rule that no longer holds and cannot be changed closes the door: the rules that let packets in
//!   lead to software ([`Reason::Suspended`]) until it can, or until its table was made again.
//!
//! Costs, in operations (each for one program and family): a prefix one, at most 2^(stride-1); a dead
//! next hop one update, whatever uses it (Design A); a group's new buckets one insertion a row and one
//! update, and the old rows go; none depends on how many prefixes there are.

mod config;
mod copy;
mod egress;
mod express;
mod fill;
mod frame;
mod generation;
mod group;
mod guard;
mod hop;
mod ledger;
mod lpm;
mod news;
mod own;
mod purpose;
mod renew;
mod standing;
mod state;

pub use config::{Config, Design, Hairpin, Role};
pub(super) use express::can_hash;
pub use fill::Fill;
pub use ledger::Step;
pub use news::News;
pub use purpose::Purpose;
pub use standing::{Known, Summary};
pub use state::{Named, Reason, Standing, State};

use super::plan::{Change, Family, NexthopId, bits};
use super::program::{Group, IndirectId, RuleId, TableId};
use super::{Capabilities, Error};
use crate::hash::Policy;
use crate::table::{GroupId, PortId};
use express::{Expression, express};
use frame::to;
pub(super) use frame::{LPM, SOFTWARE};
use group::Set;
use hop::Hop;
use ledger::{Event, Kind, Ledger};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Rules that go once nothing jumps to their group.
#[derive(Debug)]
struct Retired {
    cells: Vec<RuleId>,
    tables: Vec<TableId>,
}

/// One program, and the plan that it is made of.
#[derive(Debug)]
pub struct Compiler {
    config: Config,
    can: Capabilities,
    ledger: Ledger,
    expressions: [Result<Expression, Vec<Reason>>; 2],
    /// Destinations that profiles hash otherwise.
    profiled: Vec<(Family, u128, u8)>,
    /// Those that they did before, as long as anything is under way.
    profiled_before: Vec<(Family, u128, u8)>,
    frame: frame::Frame,
    lpm: [lpm::Lpm; 2],
    sets: HashMap<GroupId, Set>,
    hops: HashMap<NexthopId, Hop>,
    /// Hairpin queues of Design B that no next hop has.
    hairpins: Vec<Hairpin>,
    egress: BTreeMap<PortId, [TableId; 2]>,
    retired: HashMap<Group, Retired>,
    /// RSS actions that go when these rules have gone.
    unshared: Vec<(IndirectId, BTreeSet<RuleId>)>,
    /// Next hops of RSS actions that are being updated.
    leaving: Vec<(GroupId, Family, Vec<NexthopId>)>,
    stale: BTreeSet<RuleId>,
    stale_shared: BTreeSet<(GroupId, Family)>,
    /// Nobody is to be let in.
    closed: bool,
    /// What may have changed for whom, if anybody wants to know.
    news: Option<news::Touched>,
    counters: u32,
    generation: u64,
}

impl Compiler {
    /// The program of an empty plan: nobody is let in yet.
    pub fn new(config: Config, can: Capabilities) -> Self {
        let hairpins = match (&config.role, config.design) {
            // Of each port the first that is free is given out.
            (Role::Transit { hairpins, .. }, Design::Rss) => {
                hairpins.iter().rev().copied().collect()
            }
            _ => Vec::new(),
        };
        let mut compiler = Compiler {
            config,
            can,
            ledger: Ledger::default(),
            expressions: [const { Ok(Expression::Rows) }; 2],
            profiled: Vec::new(),
            profiled_before: Vec::new(),
            frame: frame::Frame::default(),
            lpm: Default::default(),
            sets: HashMap::new(),
            hops: HashMap::new(),
            hairpins,
            egress: BTreeMap::new(),
            retired: HashMap::new(),
            unshared: Vec::new(),
            leaving: Vec::new(),
            stale: BTreeSet::new(),
            stale_shared: BTreeSet::new(),
            closed: false,
            news: None,
            counters: 0,
            generation: 0,
        };
        compiler.set_policy(&Policy::default());
        compiler.build_frame();
        compiler.digest();
        compiler
    }

    /// What it is made for.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in a change of the plan.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Port(port, entry) => self.set_port(*port, *entry),
            Change::Nexthop(id, adjacency) => self.set_nexthop(*id, *adjacency),
            Change::Group(id, buckets) => self.set_group(*id, buckets.clone()),
            Change::Prefix(address, length, lead) => {
                self.set_prefix(*address, *length, *lead);
                self.touch_prefix(*address, *length);
            }
            Change::Hash(policy) => self.set_policy(policy),
        }
        self.digest();
    }

    fn set_policy(&mut self, policy: &Policy) {
        let of = |settings, family| express(settings, family, self.config.design, &self.can);
        let base = Family::ALL.map(|family| of(policy.base(), family));
        let mut profiled = Vec::new();
        for profile in policy.profiles() {
            for &(address, length) in &profile.prefixes {
                let family = Family::of(address);
                if of(&profile.settings, family) != base[family as usize] {
                    profiled.push((family, bits(address), length));
                }
            }
        }
        let before = std::mem::replace(&mut self.profiled, profiled);
        if before != self.profiled {
            // By the old settings and by the new ones: what has had a profile leaves software again
            // only when groups hash by the new settings, and what gets one enters it first.
            self.profiled_before.extend(before);
            self.ledger.keep_order(true);
            self.refresh_all();
        }
        self.expressions = base;
        let mut sets: Vec<GroupId> = self.sets.keys().copied().collect();
        sets.sort_unstable();
        for id in sets {
            for family in Family::ALL {
                self.consider(id, family);
            }
        }
    }

    /// The next thing to do; `None`: nothing, until something completes or the plan changes.
    pub fn step(&mut self) -> Option<Step> {
        let step = self.ledger.step();
        self.digest();
        if step.is_some() || self.ledger.is_idle() {
            return step;
        }
        self.step()
    }

    /// A table was made, or was not.
    pub fn created(&mut self, table: TableId, made: Result<(), Error>) {
        self.ledger.created(table, made);
        self.digest();
    }

    /// A table was destroyed, or was not: then it stands where it stood, and this is tried again.
    pub fn destroyed(&mut self, table: TableId, gone: Result<(), Error>) {
        self.ledger.destroyed(table, gone);
        self.digest();
    }

    /// The queue was full: the operation will be the next one again.
    pub fn unqueue(&mut self, cookie: u64) {
        self.ledger.unqueue(cookie);
        self.digest();
    }

    /// An operation was refused: nothing has happened.
    pub fn refused(&mut self, cookie: u64) {
        self.ledger.refused(cookie);
        self.digest();
    }

    /// An operation has completed.
    pub fn completed(&mut self, cookie: u64, done: bool) {
        self.ledger.completed(cookie, done);
        self.digest();
    }

    /// What failed is to be tried again.
    pub fn retry(&mut self) {
        self.ledger.retry();
        self.digest();
    }

    /// Operations and tables that failed and were not made good.
    pub fn failures(&self) -> usize {
        self.ledger.failures()
    }

    /// Operations that are under way, or wait for room in the queue: somebody must turn again.
    pub fn under_way(&self) -> usize {
        self.ledger.flights()
    }

    /// These rules go as soon as nothing jumps to their group.
    fn retire(&mut self, group: Group, cells: Vec<RuleId>, tables: Vec<TableId>) {
        self.retired.insert(group, Retired { cells, tables });
        self.collect(group);
    }

    fn collect(&mut self, group: Group) {
        if self.ledger.is_named(group) {
            return;
        }
        if let Some(retired) = self.retired.remove(&group) {
            for cell in retired.cells {
                self.ledger.want(cell, None);
            }
            for table in retired.tables {
                self.ledger.drop_table(table);
            }
        }
    }

    /// Follows up what has happened, until nothing more follows.
    fn digest(&mut self) {
        loop {
            let events = self.ledger.events();
            if events.is_empty() {
                break;
            }
            for event in events {
                self.follow(event);
                self.touch(event);
            }
        }
        if self.ledger.is_idle() && self.ledger.flights() == 0 {
            self.ledger.keep_order(false);
            if !self.profiled_before.is_empty() {
                self.profiled_before.clear();
                self.refresh_all();
            }
        }
        self.guard_door();
        self.renew();
    }

    fn follow(&mut self, event: Event) {
        match event {
            Event::Settled(cell, kind) => {
                self.stale.remove(&cell);
                self.changed(cell, kind);
            }
            Event::Failed(cell, kind) => {
                // Rules that nothing leads to any more do no harm where they are.
                let matters = match kind {
                    Kind::Slot(_) | Kind::Root => true,
                    Kind::Select(..) | Kind::Hop(..) => self.ledger.wanted(cell).is_some(),
                    Kind::Static | Kind::Admit(_) | Kind::Row(..) | Kind::Own(_) => false,
                };
                if matters && self.ledger.is_stale(cell) {
                    self.stale.insert(cell);
                }
                self.changed(cell, kind);
            }
            Event::Gone(cell, kind) => {
                self.stale.remove(&cell);
                match kind {
                    Kind::Slot(slot) => self.slot_gone(slot),
                    Kind::Row(..) => self.row_gone(cell),
                    Kind::Hop(id, family) => self.hop_gone(id, family),
                    Kind::Own(slot) => self.own_gone(slot, cell),
                    _ => {}
                }
            }
            Event::Shared(id, family, done) => {
                if done {
                    self.stale_shared.remove(&(id, family));
                } else if self.is_shared_stale(id, family) {
                    self.stale_shared.insert((id, family));
                }
                self.shared_changed(id, family, done);
            }
            Event::Free(group) => self.collect(group),
        }
    }

    fn changed(&mut self, cell: RuleId, kind: Kind) {
        match kind {
            Kind::Static | Kind::Admit(_) | Kind::Own(_) => {
                if self.ledger.is_settled(cell) {
                    self.frame_settled(cell);
                }
            }
            Kind::Root => {}
            Kind::Slot(slot) => self.slot_changed(slot, cell),
            Kind::Select(id, family) => self.select_changed(id, family, cell),
            Kind::Row(id, family, number) => self.row_changed((id, family, number), cell),
            Kind::Hop(id, family) => self.hop_changed(id, family, cell),
        }
    }

    fn row_gone(&mut self, cell: RuleId) {
        for (_, cells) in &mut self.unshared {
            cells.remove(&cell);
        }
        let over = |of: &(IndirectId, BTreeSet<RuleId>)| of.1.is_empty();
        let (gone, rest) = std::mem::take(&mut self.unshared)
            .into_iter()
            .partition(over);
        self.unshared = rest;
        let gone: Vec<(IndirectId, BTreeSet<RuleId>)> = gone;
        for (shared, _) in gone {
            self.ledger.want_shared(shared, None);
        }
    }

    /// Nobody is let in as long as rules are in force that no longer hold.
    fn guard_door(&mut self) {
        let stale = !self.stale.is_empty() || !self.stale_shared.is_empty();
        let closed = stale || self.ledger.is_spoilt();
        if std::mem::replace(&mut self.closed, closed) == closed {
            return;
        }
        self.touch_all();
        for family in [0, 1] {
            let group = if closed { SOFTWARE } else { LPM[family] };
            for cell in &self.frame.admits[family] {
                self.ledger.want(*cell, Some(to(group)));
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! What the NIC has and what it ought to have, rule by rule; the operations are the difference.
//!
//! A rule has one operation under way at most. One that is refused changes nothing, and is tried again
//! when somebody says so ([`Ledger::retry`]) or wants something else of the rule. After one that
//! completed with an error a rule may be beyond change; see `renew`.

use super::super::Error;
use super::super::plan::{Family, NexthopId};
use super::super::program::{
    Action, Does, Group, Indirect, IndirectId, Operation, Place, RuleId, Table, TableId,
};
use crate::table::GroupId;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Of the frame that every program has, but for the next two.
    Static,
    /// Lets packets of a port in.
    Root,
    /// Lets packets into the prefixes of a family.
    Admit(Family),
    /// An own address.
    Own(Slot),
    /// A prefix, by its place.
    Slot(Slot),
    /// Where a group's packets go.
    Select(GroupId, Family),
    /// One row or rule of a generation of a group.
    Row(GroupId, Family, u64),
    /// Rewrites for a next hop, or guards that.
    Hop(NexthopId, Family),
}

/// The place of a prefix in the tables: family, address and length, after expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    pub(super) family: Family,
    pub(super) address: u128,
    pub(super) length: u8,
}

#[derive(Clone, Debug)]
enum Flight {
    Insert(Does),
    Update(Does),
    Destroy,
}

#[derive(Clone, Debug)]
struct Cell {
    kind: Kind,
    table: TableId,
    place: Place,
    want: Option<Does>,
    have: Option<Does>,
    flight: Option<Flight>,
    /// Its insertion failed: to be destroyed before anything else.
    stranded: bool,
    spoilt: Option<Spoilt>,
    failed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Wanted,
    Made,
    Failed(Error),
    /// The NIC was asked to destroy it.
    Going,
}

#[derive(Clone, Debug)]
struct Shelf {
    spec: Table,
    stage: Stage,
    cells: BTreeSet<RuleId>,
    wanted: bool,
    renewal: Renewal,
}

#[derive(Clone, Debug)]
struct Shared {
    owner: (GroupId, Family),
    spec: Indirect,
    want: Option<Action>,
    have: Option<Action>,
    flight: Option<Option<Action>>,
    stranded: bool,
    failed: bool,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a table; then [`super::Compiler::created`].
    Create(Table),
    /// Destroy one that is empty; then [`super::Compiler::destroyed`].
    Destroy(TableId),
    /// Enqueue an operation with this cookie; then [`super::Compiler::refused`], if it was, or
    /// [`super::Compiler::completed`].
    Operate(u64, Operation),
}

/// What has come of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The rule is as wanted.
    Settled(RuleId, Kind),
    /// It is not, and nothing is under way.
    Failed(RuleId, Kind),
    /// It is no more.
    Gone(RuleId, Kind),
    /// The group's shared action is as wanted, or is not.
    Shared(GroupId, Family, bool),
    /// Nothing jumps to the group any more.
    Free(Group),
}

#[derive(Clone, Copy, Debug)]
enum Todo {
    Table(TableId),
    Cell(RuleId),
    Shared(IndirectId),
}

/// Cookies of indirect actions have this bit.
const SHARED: u64 = 1 << 63;
/// Groups below are the frame's.
const FIRST_GROUP: u32 = 16;

/// The ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    shelves: HashMap<TableId, Shelf>,
    cells: HashMap<RuleId, Cell>,
    shared: HashMap<IndirectId, Shared>,
    /// By lane.
    todo: [VecDeque<Todo>; 3],
    /// Groups wait for prefixes: those that a hash profile takes to software must be there first.
    in_order: bool,
    events: Vec<Event>,
    /// How many rules jump to a group, or will.
    jumps: HashMap<Group, u32>,
    failed: BTreeSet<RuleId>,
    failed_tables: BTreeSet<TableId>,
    failed_shared: BTreeSet<IndirectId>,
    /// Tables with rules that are beyond change, or that are being renewed.
    spoilt: BTreeSet<TableId>,
    tables: u32,
    rules: u64,
    actions: u32,
    groups: u32,
    free: Vec<u32>,
    /// Tables of a group: without any its number may be another's.
    peopled: HashMap<Group, u32>,
    flights: usize,
    /// What the NIC has otherwise since somebody began to copy it.
    altered: Option<Altered>,
}

fn jump(does: &Does) -> Option<Group> {
    match does.actions.last() {
        Some(Action::Jump(group)) => Some(*group),
        _ => None,
    }
}

impl Ledger {
    /// A number for a group.
    pub(super) fn group(&mut self) -> Group {
        Group(self.free.pop().unwrap_or_else(|| {
            self.groups += 1;
            FIRST_GROUP + self.groups - 1
        }))
    }

    /// Wants a table; its number is filled in.
    pub(super) fn table(&mut self, mut spec: Table) -> TableId {
        self.tables += 1;
        let id = TableId(self.tables);
        spec.id = id;
        *self.peopled.entry(spec.group).or_insert(0) += 1;
        let shelf = Shelf {
            spec,
            stage: Stage::Wanted,
            cells: BTreeSet::new(),
            wanted: true,
            renewal: Renewal::None,
        };
        self.shelves.insert(id, shelf);
        self.put(Todo::Table(id));
        id
    }

    /// The table goes when its last rule has gone.
    pub(super) fn drop_table(&mut self, id: TableId) {
        if let Some(shelf) = self.shelves.get_mut(&id) {
            shelf.wanted = false;
            self.put(Todo::Table(id));
            self.give_up(id);
        }
    }

    /// Why a table was not made.
    pub(super) fn table_error(&self, id: TableId) -> Option<&Error> {
        match &self.shelves.get(&id)?.stage {
            Stage::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How many rules a table has, and how many it has room for.
    pub(super) fn fill(&self, id: TableId) -> (usize, u32) {
        let shelf = self.shelves.get(&id);
        shelf.map_or((0, 0), |s| (s.cells.len(), s.spec.size))
    }

    /// A rule, of which nothing is wanted yet.
    pub(super) fn cell(&mut self, kind: Kind, table: TableId, place: Place) -> RuleId {
        self.rules += 1;
        let id = RuleId(self.rules);
        let cell = Cell {
            kind,
            table,
            place,
            want: None,
            have: None,
            flight: None,
            stranded: false,
            spoilt: None,
            failed: false,
        };
        self.cells.insert(id, cell);
        if let Some(shelf) = self.shelves.get_mut(&table) {
            shelf.cells.insert(id);
        }
        id
    }

    /// What a rule ought to do; `None`: it is to go, and its number with it.
    pub(super) fn want(&mut self, id: RuleId, want: Option<Does>) {
        let Some(cell) = self.cells.get_mut(&id) else {
            return;
        };
        if cell.want == want && !(want.is_none() && cell.have.is_none()) {
            return;
        }
        let new = want.as_ref().and_then(jump);
        let old = std::mem::replace(&mut cell.want, want);
        self.lean(new, 1);
        self.lean(old.as_ref().and_then(jump), -1);
        self.put(Todo::Cell(id));
    }

    fn lean(&mut self, on: Option<Group>, by: i32) {
        let Some(group) = on else {
            return;
        };
        let count = self.jumps.entry(group).or_insert(0);
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.jumps.remove(&group);
            self.events.push(Event::Free(group));
        }
    }

    /// Whether any rule jumps to a group, or will.
    pub(super) fn is_named(&self, group: Group) -> bool {
        self.jumps.contains_key(&group)
    }

    /// What a rule does now.
    pub(super) fn have(&self, id: RuleId) -> Option<&Does> {
        self.cells.get(&id)?.have.as_ref()
    }

    /// What it ought to do.
    pub(super) fn wanted(&self, id: RuleId) -> Option<&Does> {
        self.cells.get(&id)?.want.as_ref()
    }

    /// Where it jumps to now.
    pub(super) fn leads_to(&self, id: RuleId) -> Option<Group> {
        self.have(id).and_then(jump)
    }

    /// It is as wanted.
    pub(super) fn is_settled(&self, id: RuleId) -> bool {
        let cell = self.cells.get(&id);
        cell.is_some_and(|c| c.flight.is_none() && c.have == c.want && c.is_sound())
    }

    /// The last operation about it failed, and it is not as wanted.
    pub(super) fn has_failed(&self, id: RuleId) -> bool {
        self.cells.get(&id).is_some_and(|c| c.failed)
    }

    /// It does what nobody wants any more, and that could not be changed.
    pub(super) fn is_stale(&self, id: RuleId) -> bool {
        let cell = self.cells.get(&id);
        cell.is_some_and(|c| c.failed && c.have.is_some() && c.have != c.want)
    }

    /// Wants an indirect action of a group.
    pub(super) fn share(&mut self, owner: (GroupId, Family), mut spec: Indirect) -> IndirectId {
        self.actions += 1;
        spec.id = IndirectId(self.actions);
        let id = spec.id;
        let shared = Shared {
            owner,
            want: Some(spec.action.clone()),
            spec,
            have: None,
            flight: None,
            stranded: false,
            failed: false,
        };
        self.shared.insert(id, shared);
        self.put(Todo::Shared(id));
        id
    }

    /// What an indirect action ought to be; `None`: it is to go. No rule may have it then.
    pub(super) fn want_shared(&mut self, id: IndirectId, want: Option<Action>) {
        if let Some(shared) = self.shared.get_mut(&id).filter(|s| s.want != want) {
            shared.want = want;
            self.put(Todo::Shared(id));
        }
    }

    /// It is as wanted.
    pub(super) fn is_shared(&self, id: IndirectId) -> bool {
        let shared = self.shared.get(&id);
        shared.is_some_and(|s| s.have.is_some() && s.have == s.want)
    }

    /// It is what nobody wants any more, and that could not be changed.
    pub(super) fn is_shared_stale(&self, id: IndirectId) -> bool {
        let shared = self.shared.get(&id);
        shared.is_some_and(|s| s.failed && s.have.is_some() && s.have != s.want)
    }

    /// What has happened, in order.
    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Rules and tables that failed, or are beyond change.
    pub(super) fn failures(&self) -> usize {
        let failed = self.failed.len() + self.failed_tables.len() + self.failed_shared.len();
        failed + self.spoilt.len()
    }

    /// Operations under way, and what waits for room in the queue.
    pub(super) fn flights(&self) -> usize {
        self.flights + self.todo.iter().map(VecDeque::len).sum::<usize>()
    }
}

mod copy;
mod lanes;
mod renew;
mod steps;

use copy::Altered;
use renew::{Renewal, Spoilt};

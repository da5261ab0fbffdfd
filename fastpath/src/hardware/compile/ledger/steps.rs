//! From what is wanted to operations, and from completions to events.

use super::super::super::Error;
use super::super::super::program::{
    Does, Group, Indirect, IndirectId, Operation, Rule, RuleId, TableId,
};
use super::{
    Event, FIRST_GROUP, Flight, Ledger, Renewal, SHARED, Shelf, Spoilt, Stage, Step, Todo, jump,
};

impl Ledger {
    /// The next thing to do, if there is any.
    pub(in super::super) fn step(&mut self) -> Option<Step> {
        while let Some(todo) = self.todo.iter_mut().find_map(|lane| lane.pop_front()) {
            let step = match todo {
                Todo::Table(id) => self.step_table(id),
                Todo::Cell(id) => self.step_cell(id),
                Todo::Shared(id) => self.step_shared(id),
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// Nothing is left to be begun.
    pub(in super::super) fn is_idle(&self) -> bool {
        self.todo.iter().all(|lane| lane.is_empty())
    }

    fn step_table(&mut self, id: TableId) -> Option<Step> {
        let shelf = self.shelves.get_mut(&id)?;
        let is_emptied = matches!(&shelf.renewal, Renewal::Emptying(going) if going.is_empty());
        match (&shelf.stage, shelf.wanted) {
            (Stage::Wanted, true) => return Some(Step::Create(shelf.spec.clone())),
            (Stage::Made, true) if is_emptied => {}
            (_, true) | (Stage::Going, _) => return None,
            (_, false) if !shelf.cells.is_empty() => return None,
            (Stage::Made, false) => {}
            (_, false) => {
                let group = shelf.spec.group;
                self.failed_tables.remove(&id);
                self.shelves.remove(&id);
                self.leave_group(group);
                return None;
            }
        }
        shelf.stage = Stage::Going;
        Some(Step::Destroy(id))
    }

    pub(super) fn leave_group(&mut self, group: Group) {
        let left = self.peopled.get_mut(&group).map(|n| {
            *n -= 1;
            *n
        });
        if left == Some(0) {
            self.peopled.remove(&group);
            if group.0 >= FIRST_GROUP {
                self.free.push(group.0);
            }
        }
    }

    /// A table was made, or was not.
    pub(in super::super) fn created(&mut self, id: TableId, made: Result<(), Error>) {
        let Some(shelf) = self.shelves.get_mut(&id) else {
            return;
        };
        let cells: Vec<RuleId> = shelf.cells.iter().copied().collect();
        match made {
            Ok(()) => {
                shelf.stage = Stage::Made;
                for cell in cells {
                    self.put(Todo::Cell(cell));
                }
                self.filled(id, None);
            }
            Err(error) => {
                shelf.stage = Stage::Failed(error);
                self.failed_tables.insert(id);
                for cell in cells {
                    self.fail(cell);
                }
            }
        }
    }

    fn step_cell(&mut self, id: RuleId) -> Option<Step> {
        let cell = self.cells.get_mut(&id)?;
        if cell.flight.is_some() {
            return None;
        }
        let shelf = self.shelves.get(&cell.table);
        let stage = shelf.map(|s| &s.stage);
        let emptying = shelf.is_some_and(Shelf::is_emptying);
        let (kind, table) = (cell.kind, cell.table);
        let operation = match (&cell.have, &cell.want) {
            // Beyond change, until its table goes.
            _ if cell.spoilt.is_some() && shelf.is_some_and(|s| s.is_kept()) => return None,
            _ if cell.spoilt == Some(Spoilt::Lost) => {
                if !emptying {
                    self.lose(id);
                }
                return None;
            }
            _ if cell.stranded || cell.spoilt.is_some() => {
                cell.flight = Some(Flight::Destroy);
                Operation::Destroy(id)
            }
            (Some(_), _) if emptying => {
                cell.flight = Some(Flight::Destroy);
                Operation::Destroy(id)
            }
            (None, None) => {
                self.cells.remove(&id);
                self.failed.remove(&id);
                self.filled(table, Some(id));
                let shelf = self.shelves.get_mut(&table);
                let is_over = shelf.is_some_and(|shelf| {
                    shelf.cells.remove(&id);
                    !shelf.wanted
                });
                if is_over {
                    self.put(Todo::Table(table));
                }
                self.events.push(Event::Gone(id, kind));
                return None;
            }
            (None, Some(_)) if emptying => return None,
            (None, Some(_)) if stage != Some(&Stage::Made) => {
                if matches!(stage, Some(Stage::Failed(_))) {
                    self.fail(id);
                }
                return None;
            }
            (None, Some(want)) => {
                cell.flight = Some(Flight::Insert(want.clone()));
                Operation::Insert(Rule {
                    id,
                    table: cell.table,
                    place: cell.place.clone(),
                    does: want.clone(),
                })
            }
            (Some(_), None) => {
                cell.flight = Some(Flight::Destroy);
                Operation::Destroy(id)
            }
            (Some(have), Some(want)) if have == want => {
                if std::mem::take(&mut cell.failed) {
                    self.failed.remove(&id);
                }
                self.filled(table, Some(id));
                self.events.push(Event::Settled(id, kind));
                return None;
            }
            (Some(_), Some(want)) => {
                cell.flight = Some(Flight::Update(want.clone()));
                Operation::Update(id, want.clone())
            }
        };
        // Until it is known what has come of it, the rule may jump to either.
        let group = match &cell.flight {
            Some(Flight::Insert(does) | Flight::Update(does)) => jump(does),
            _ => None,
        };
        self.flights += 1;
        self.lean(group, 1);
        Some(Step::Operate(id.0, operation))
    }

    fn step_shared(&mut self, id: IndirectId) -> Option<Step> {
        let shared = self.shared.get_mut(&id)?;
        if shared.flight.is_some() {
            return None;
        }
        let operation = match (&shared.have, &shared.want) {
            _ if shared.stranded => {
                shared.flight = Some(None);
                Operation::DestroyIndirect(id)
            }
            (None, None) => {
                self.shared.remove(&id);
                self.failed_shared.remove(&id);
                return None;
            }
            (None, Some(want)) => {
                shared.flight = Some(Some(want.clone()));
                Operation::InsertIndirect(Indirect {
                    action: want.clone(),
                    ..shared.spec.clone()
                })
            }
            (Some(_), None) => {
                shared.flight = Some(None);
                Operation::DestroyIndirect(id)
            }
            (Some(have), Some(want)) if have == want => {
                shared.failed = false;
                self.failed_shared.remove(&id);
                let (group, family) = shared.owner;
                self.events.push(Event::Shared(group, family, true));
                return None;
            }
            (Some(_), Some(want)) => {
                shared.flight = Some(Some(want.clone()));
                Operation::UpdateIndirect(id, want.clone())
            }
        };
        self.flights += 1;
        Some(Step::Operate(SHARED | u64::from(id.0), operation))
    }

    /// The queue was full: the operation is the next one again.
    pub(in super::super) fn unqueue(&mut self, cookie: u64) {
        self.flights = self.flights.saturating_sub(1);
        if cookie & SHARED != 0 {
            let id = IndirectId(cookie as u32);
            if let Some(shared) = self.shared.get_mut(&id) {
                shared.flight = None;
            }
            self.put_back(Todo::Shared(id));
            return;
        }
        let id = RuleId(cookie);
        if let Some(flight) = self.cells.get_mut(&id).and_then(|c| c.flight.take()) {
            self.land(&flight);
        }
        self.put_back(Todo::Cell(id));
    }

    /// What a flight leaned on is no longer held by it.
    fn land(&mut self, flight: &Flight) {
        if let Flight::Insert(does) | Flight::Update(does) = flight {
            self.lean(jump(does), -1);
        }
    }

    pub(super) fn fail(&mut self, id: RuleId) {
        if let Some(cell) = self.cells.get_mut(&id) {
            cell.failed = true;
            self.failed.insert(id);
            self.events.push(Event::Failed(id, cell.kind));
        }
    }

    fn fail_shared(&mut self, id: IndirectId) {
        if let Some(shared) = self.shared.get_mut(&id) {
            shared.failed = true;
            self.failed_shared.insert(id);
            let (group, family) = shared.owner;
            self.events.push(Event::Shared(group, family, false));
        }
    }

    /// The operation was refused: nothing has happened.
    pub(in super::super) fn refused(&mut self, cookie: u64) {
        self.flights = self.flights.saturating_sub(1);
        if cookie & SHARED != 0 {
            let id = IndirectId(cookie as u32);
            if let Some(shared) = self.shared.get_mut(&id) {
                shared.flight = None;
            }
            return self.fail_shared(id);
        }
        let id = RuleId(cookie);
        if let Some(flight) = self.cells.get_mut(&id).and_then(|c| c.flight.take()) {
            self.land(&flight);
        }
        self.fail(id);
    }

    /// The operation has completed.
    pub(in super::super) fn completed(&mut self, cookie: u64, done: bool) {
        self.flights = self.flights.saturating_sub(1);
        if cookie & SHARED != 0 {
            return self.completed_shared(IndirectId(cookie as u32), done);
        }
        self.completed_cell(RuleId(cookie), done);
        self.emptied(RuleId(cookie));
    }

    fn completed_cell(&mut self, id: RuleId, done: bool) {
        let Some(cell) = self.cells.get_mut(&id) else {
            return;
        };
        let Some(flight) = cell.flight.take() else {
            return;
        };
        let now = match &flight {
            Flight::Insert(_) if !done => {
                // A handle is left of it.
                cell.stranded = true;
                self.land(&flight);
                return self.fail(id);
            }
            Flight::Update(_) if !done => {
                self.land(&flight);
                self.spoil(id, Spoilt::Broken);
                return self.fail(id);
            }
            Flight::Destroy if !done && self.spoil(id, Spoilt::Lost) => {
                let is_there = self.cells.get_mut(&id).is_some_and(|cell| {
                    cell.stranded = false;
                    cell.have.is_some()
                });
                if !is_there {
                    // It never was in force, as far as is known.
                    self.lose(id);
                }
                return self.fail(id);
            }
            Flight::Insert(does) | Flight::Update(does) => Some(does.clone()),
            Flight::Destroy => None,
        };
        let Some(cell) = self.cells.get_mut(&id) else {
            return;
        };
        cell.stranded = false;
        cell.spoilt = None;
        cell.failed = false;
        let before = std::mem::replace(&mut cell.have, now);
        self.failed.remove(&id);
        self.alter(id);
        // What the flight leaned on the rule itself leans on now.
        self.lean(before.as_ref().and_then(|d: &Does| jump(d)), -1);
        self.put(Todo::Cell(id));
    }

    fn completed_shared(&mut self, id: IndirectId, done: bool) {
        let Some(shared) = self.shared.get_mut(&id) else {
            return;
        };
        let Some(flight) = shared.flight.take() else {
            return;
        };
        // Of what was to be destroyed there is no handle any more, whatever came of it.
        if !done && flight.is_some() {
            shared.stranded |= shared.have.is_none();
            return self.fail_shared(id);
        }
        shared.stranded = false;
        shared.failed = false;
        shared.have = flight;
        self.failed_shared.remove(&id);
        self.alter_shared(id);
        self.put(Todo::Shared(id));
    }
}

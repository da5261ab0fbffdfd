//! From what is wanted to operations, and from completions to events.

use super::super::super::Error;
use super::super::super::program::{
    Does, Group, Indirect, IndirectId, Operation, Rule, RuleId, TableId,
};
use super::{Event, FIRST_GROUP, Flight, Ledger, SHARED, Stage, Step, Todo, jump};

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
        let shelf = self.shelves.get(&id)?;
        match (&shelf.stage, shelf.wanted) {
            (Stage::Wanted, true) => Some(Step::Create(shelf.spec.clone())),
            (_, true) => None,
            (_, false) if !shelf.cells.is_empty() => None,
            (stage, false) => {
                let made = *stage == Stage::Made;
                let group = shelf.spec.group;
                self.failed_tables.remove(&id);
                self.shelves.remove(&id);
                self.leave_group(group);
                made.then_some(Step::Destroy(id))
            }
        }
    }

    fn leave_group(&mut self, group: Group) {
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
        let stage = self.shelves.get(&cell.table).map(|s| &s.stage);
        let kind = cell.kind;
        let operation = match (&cell.have, &cell.want) {
            _ if cell.stranded => {
                cell.flight = Some(Flight::Destroy);
                Operation::Destroy(id)
            }
            (None, None) => {
                let table = cell.table;
                self.cells.remove(&id);
                self.failed.remove(&id);
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

    fn fail(&mut self, id: RuleId) {
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
        let id = RuleId(cookie);
        let Some(cell) = self.cells.get_mut(&id) else {
            return;
        };
        let Some(flight) = cell.flight.take() else {
            return;
        };
        if !done {
            // Of a failed insertion a handle is left.
            cell.stranded |= matches!(flight, Flight::Insert(_));
            self.land(&flight);
            return self.fail(id);
        }
        let now = match &flight {
            Flight::Insert(does) | Flight::Update(does) => Some(does.clone()),
            Flight::Destroy => None,
        };
        cell.stranded = false;
        cell.failed = false;
        let before = std::mem::replace(&mut cell.have, now);
        self.failed.remove(&id);
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
        if !done {
            shared.stranded |= shared.have.is_none() && flight.is_some();
            return self.fail_shared(id);
        }
        shared.stranded = false;
        shared.failed = false;
        shared.have = flight;
        self.failed_shared.remove(&id);
        self.put(Todo::Shared(id));
    }
}

//! Rules that nobody can change any more, and how they go all the same: with their table.
//!
//! As mlx5 under DPDK 24.11 has it: an update that completed with an error leaves a rule that can be
//! destroyed and not be updated (`mlx5dr_rule_enqueue_precheck_update`), and its destruction may
//! succeed without anything being sent to the NIC (`mlx5dr_rule_destroy_hws`, a rule that has failed). A
//! destruction that completed with an error leaves no handle (`hw_cmpl_flow_update_or_destroy`). Either
//! way the rule may be in force for as long as its table is there. So the table is emptied, destroyed,
//! made again and filled again, while nobody is let in: as long as it is empty, packets would be lost
//! there.
//!
//! Rows need none of this: they are never updated, nothing leads to a table whose rows go, and it goes
//! with them.

use super::super::super::Error;
use super::super::super::program::{Group, IndirectId, Insertion, RuleId, TableId};
use super::{Cell, Ledger, Shelf, Stage, Todo, jump};
use std::collections::BTreeSet;

/// Why a rule is beyond change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoilt {
    /// An update failed: it can be destroyed, and may stay in force.
    Broken,
    /// Its destruction failed: nobody has its handle.
    Lost,
}

/// How far the renewal of a table has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It needs none.
    #[default]
    None,
    /// It has rules that are beyond change.
    Due,
    /// Somebody says that it is time.
    Asked,
    /// These of its rules go, and then it.
    Emptying(BTreeSet<RuleId>),
    /// It is made again; these of its rules are not there yet.
    Filling(BTreeSet<RuleId>),
}

impl Shelf {
    pub(super) fn is_emptying(&self) -> bool {
        matches!(self.renewal, Renewal::Emptying(_))
    }

    /// It is to stay, and is not about to be emptied.
    pub(super) fn is_kept(&self) -> bool {
        self.wanted && !self.is_emptying()
    }
}

impl Cell {
    /// It can be changed.
    pub(super) fn is_sound(&self) -> bool {
        !self.stranded && self.spoilt.is_none()
    }
}

impl Ledger {
    /// Everything that failed is to be tried again.
    pub(in super::super) fn retry(&mut self) {
        for id in std::mem::take(&mut self.failed_tables) {
            if let Some(shelf) = self.shelves.get_mut(&id) {
                if matches!(shelf.stage, Stage::Failed(_)) {
                    shelf.stage = Stage::Wanted;
                }
                self.put(Todo::Table(id));
            }
        }
        let cells: Vec<RuleId> = self.failed.iter().copied().collect();
        for id in cells {
            self.put(Todo::Cell(id));
        }
        let shared: Vec<IndirectId> = self.failed_shared.iter().copied().collect();
        for id in shared {
            self.put(Todo::Shared(id));
        }
        self.ask_for_renewal();
    }

    /// The rule is beyond change, if its table is to stay and matches patterns; else it will be
    /// written over or go with it. Whether it is.
    pub(super) fn spoil(&mut self, id: RuleId, how: Spoilt) -> bool {
        let Some(cell) = self.cells.get_mut(&id) else {
            return false;
        };
        let table = cell.table;
        let Some(shelf) = self.shelves.get_mut(&table) else {
            return false;
        };
        let spoilt = shelf.is_kept() && shelf.spec.insertion == Insertion::Pattern;
        if spoilt || how == Spoilt::Broken {
            cell.spoilt = Some(how);
        }
        if spoilt {
            // One that fails while the table is filled begins all over.
            shelf.renewal = Renewal::Due;
            self.spoilt.insert(table);
        }
        spoilt
    }

    /// The table is not wanted any more: what is beyond change goes with it.
    pub(super) fn give_up(&mut self, id: TableId) {
        if !self.spoilt.remove(&id) {
            return;
        }
        let cells = match self.shelves.get_mut(&id) {
            Some(shelf) => {
                shelf.renewal = Renewal::None;
                shelf.cells.clone()
            }
            None => return,
        };
        for cell in cells {
            self.put(Todo::Cell(cell));
        }
    }

    /// Some rules are beyond change: nobody may be let in until their tables are renewed.
    pub(in super::super) fn is_spoilt(&self) -> bool {
        !self.spoilt.is_empty()
    }

    /// Tables are to be renewed as soon as that is possible.
    fn ask_for_renewal(&mut self) {
        for id in &self.spoilt {
            if let Some(shelf) = self.shelves.get_mut(id) {
                if shelf.renewal == Renewal::Due {
                    shelf.renewal = Renewal::Asked;
                }
            }
        }
    }

    /// Tables that are to be renewed.
    pub(in super::super) fn asked(&self) -> Vec<TableId> {
        let is_asked = |id: &&TableId| {
            let shelf = self.shelves.get(id);
            shelf.is_some_and(|s| s.renewal == Renewal::Asked)
        };
        self.spoilt.iter().filter(is_asked).copied().collect()
    }

    /// Begins to empty a table: nothing leads there.
    pub(in super::super) fn renew(&mut self, id: TableId) {
        let Some(shelf) = self.shelves.get(&id) else {
            return;
        };
        let has_handle = |id: &&RuleId| {
            self.cells.get(id).is_some_and(|c| {
                let known = c.have.is_some() && c.spoilt != Some(Spoilt::Lost);
                known || c.stranded || c.flight.is_some()
            })
        };
        let going: BTreeSet<RuleId> = shelf.cells.iter().filter(has_handle).copied().collect();
        for cell in &going {
            self.put(Todo::Cell(*cell));
        }
        if let Some(shelf) = self.shelves.get_mut(&id) {
            shelf.renewal = Renewal::Emptying(going);
        }
        self.put(Todo::Table(id));
    }

    /// An operation on a rule has completed, whose table may be emptied just now.
    pub(super) fn emptied(&mut self, id: RuleId) {
        let Some(cell) = self.cells.get(&id) else {
            return;
        };
        let (table, has_handle) = (cell.table, cell.have.is_some() || !cell.is_sound());
        let Some(Renewal::Emptying(going)) = self.shelves.get_mut(&table).map(|s| &mut s.renewal)
        else {
            return;
        };
        if has_handle {
            return self.put(Todo::Cell(id));
        }
        going.remove(&id);
        if going.is_empty() {
            self.put(Todo::Table(table));
        }
    }

    /// The table of a rule.
    pub(in super::super) fn table_of(&self, id: RuleId) -> Option<TableId> {
        self.cells.get(&id).map(|c| c.table)
    }

    /// The rule surely leads nobody to a group, nor is about to.
    pub(in super::super) fn avoids(&self, id: RuleId, group: Group) -> bool {
        self.cells.get(&id).is_none_or(|cell| {
            let elsewhere = cell.have.as_ref().and_then(jump) != Some(group);
            elsewhere && cell.flight.is_none() && !self.spoilt.contains(&cell.table)
        })
    }

    /// The NIC has destroyed a table, or has not.
    pub(in super::super) fn destroyed(&mut self, id: TableId, gone: Result<(), Error>) {
        let Some(shelf) = self.shelves.get_mut(&id) else {
            return;
        };
        if shelf.stage != Stage::Going {
            return;
        }
        if gone.is_err() {
            // It stands where it stood, and its group is nobody else's.
            shelf.stage = Stage::Made;
            self.failed_tables.insert(id);
            return;
        }
        self.failed_tables.remove(&id);
        if !shelf.wanted {
            let group = shelf.spec.group;
            self.shelves.remove(&id);
            return self.leave_group(group);
        }
        shelf.stage = Stage::Wanted;
        let cells = shelf.cells.clone();
        let mut missing = BTreeSet::new();
        for id in cells {
            self.lose(id);
            let is_wanted = self.cells.get(&id).is_some_and(|c| c.want.is_some());
            if is_wanted {
                missing.insert(id);
            }
        }
        if let Some(shelf) = self.shelves.get_mut(&id) {
            shelf.renewal = Renewal::Filling(missing);
        }
        self.put(Todo::Table(id));
    }

    /// What is beyond change has gone with its table.
    pub(super) fn lose(&mut self, id: RuleId) {
        let Some(cell) = self.cells.get_mut(&id) else {
            return;
        };
        cell.spoilt = None;
        let before = cell.have.take();
        self.alter(id);
        self.lean(before.as_ref().and_then(jump), -1);
        self.put(Todo::Cell(id));
    }

    /// The NIC does not have a rule that it has confirmed: its handle is to be destroyed, and it to be
    /// put in again, when somebody says so ([`Ledger::retry`]). Whether that is so, of a rule that
    /// nothing is under way about.
    pub(in super::super) fn missed(&mut self, id: RuleId) -> bool {
        let Some(cell) = self.cells.get_mut(&id) else {
            return false;
        };
        if cell.flight.is_some() || cell.have.is_none() || !cell.is_sound() {
            return false;
        }
        cell.stranded = true;
        let before = cell.have.take();
        self.alter(id);
        self.lean(before.as_ref().and_then(jump), -1);
        self.fail(id);
        true
    }

    /// A rule of a table is as wanted, or no more.
    pub(super) fn filled(&mut self, table: TableId, rule: Option<RuleId>) {
        let Some(shelf) = self.shelves.get_mut(&table) else {
            return;
        };
        if let Renewal::Filling(missing) = &mut shelf.renewal {
            if let Some(rule) = rule {
                missing.remove(&rule);
            }
            if missing.is_empty() {
                shelf.renewal = Renewal::None;
                self.spoilt.remove(&table);
            }
        }
    }
}

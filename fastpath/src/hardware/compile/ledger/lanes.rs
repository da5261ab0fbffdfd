//! What is done first.

use super::super::super::program::RuleId;
use super::{Kind, Ledger, Todo};

/// Nothing depends on the order for being right, since nothing is pointed to before
/// it is confirmed; but whoever is dead, or let in wrongly, must not wait behind 100,000 prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Rules that there are, but for prefixes: next hops, groups, doors.
    First,
    /// What groups need before prefixes can lead to them.
    Next,
    /// Prefixes.
    Last,
}

impl Ledger {
    /// From now on, or no longer, changes of groups stay behind those of prefixes.
    pub(in super::super) fn keep_order(&mut self, in_order: bool) {
        self.in_order = in_order;
    }

    fn lane(&self, todo: Todo) -> Lane {
        let in_place = |there: bool| match there {
            true if self.in_order => Lane::Last,
            true => Lane::First,
            false => Lane::Next,
        };
        match todo {
            Todo::Table(_) => Lane::Next,
            Todo::Shared(id) => in_place(self.shared.get(&id).is_some_and(|s| s.have.is_some())),
            Todo::Cell(id) => match self.cells.get(&id) {
                None => Lane::Last,
                Some(cell) => match cell.kind {
                    Kind::Slot(_) => Lane::Last,
                    Kind::Select(..) => in_place(cell.have.is_some()),
                    Kind::Root | Kind::Admit(_) | Kind::Hop(..) if cell.have.is_some() => {
                        Lane::First
                    }
                    _ => Lane::Next,
                },
            },
        }
    }

    /// What a rule is for.
    pub(in super::super) fn kind(&self, id: RuleId) -> Option<Kind> {
        self.cells.get(&id).map(|c| c.kind)
    }

    /// Puts something at the end of its lane.
    pub(super) fn put(&mut self, todo: Todo) {
        let lane = self.lane(todo) as usize;
        self.todo[lane].push_back(todo);
    }

    pub(super) fn put_back(&mut self, todo: Todo) {
        let lane = self.lane(todo) as usize;
        self.todo[lane].push_front(todo);
    }
}

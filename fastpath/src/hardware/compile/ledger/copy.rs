//! What the NIC has, all at once or piece by piece.

use super::super::super::program::{Indirect, IndirectId, Rule, RuleId, Table, TableId};
use super::{Cell, Ledger, Shared, Stage};
use std::collections::BTreeSet;
use std::ops::Bound;

/// What has changed since somebody began to copy.
#[derive(Debug, Default)]
pub(super) struct Altered {
    rules: BTreeSet<RuleId>,
    shared: BTreeSet<IndirectId>,
}

fn rule(id: RuleId, cell: &Cell) -> Option<Rule> {
    Some(Rule {
        id,
        table: cell.table,
        place: cell.place.clone(),
        does: cell.have.clone()?,
    })
}

fn indirect(shared: &Shared) -> Option<Indirect> {
    Some(Indirect {
        action: shared.have.clone()?,
        ..shared.spec.clone()
    })
}

impl Ledger {
    /// All tables that there are.
    pub(in super::super) fn all_tables(&self) -> impl Iterator<Item = (&Table, usize)> {
        let made = |s: &&super::Shelf| s.stage == Stage::Made;
        self.shelves
            .values()
            .filter(made)
            .map(|s| (&s.spec, s.cells.len()))
    }

    /// All rules that the NIC has.
    pub(in super::super) fn all_rules(&self) -> impl Iterator<Item = Rule> + '_ {
        self.cells.iter().filter_map(|(id, cell)| rule(*id, cell))
    }

    /// All indirect actions that it has.
    pub(in super::super) fn all_shared(&self) -> impl Iterator<Item = Indirect> + '_ {
        self.shared.values().filter_map(indirect)
    }

    /// From now on, or no longer, keeps what becomes otherwise.
    pub(in super::super) fn note_altered(&mut self, note: bool) {
        self.altered = note.then(Altered::default);
    }

    /// Some of what has become otherwise, at most so many, and how many are left.
    pub(in super::super) fn take_altered(
        &mut self,
        most: usize,
    ) -> (Vec<RuleId>, Vec<IndirectId>, usize) {
        let Some(altered) = &mut self.altered else {
            return Default::default();
        };
        let rules = std::iter::from_fn(|| altered.rules.pop_first());
        let rules: Vec<RuleId> = rules.take(most).collect();
        let shared = std::iter::from_fn(|| altered.shared.pop_first());
        let shared: Vec<IndirectId> = shared.take(most - rules.len()).collect();
        let left = altered.rules.len() + altered.shared.len();
        (rules, shared, left)
    }

    pub(super) fn alter(&mut self, id: RuleId) {
        if let Some(altered) = &mut self.altered {
            altered.rules.insert(id);
        }
    }

    pub(super) fn alter_shared(&mut self, id: IndirectId) {
        if let Some(altered) = &mut self.altered {
            altered.shared.insert(id);
        }
    }

    /// All tables and indirect actions that are known, in order; some are not there yet.
    pub(in super::super) fn known(&self) -> (Vec<TableId>, Vec<IndirectId>) {
        let mut tables: Vec<TableId> = self.shelves.keys().copied().collect();
        let mut shared: Vec<IndirectId> = self.shared.keys().copied().collect();
        tables.sort_unstable();
        shared.sort_unstable();
        (tables, shared)
    }

    /// A table, made or not.
    pub(in super::super) fn table_spec(&self, id: TableId) -> Option<&Table> {
        self.shelves.get(&id).map(|s| &s.spec)
    }

    /// The next numbers of rules of a table, at most so many; some are not there yet.
    pub(in super::super) fn rules_of(
        &self,
        table: TableId,
        after: Option<RuleId>,
        most: usize,
    ) -> Vec<RuleId> {
        let Some(shelf) = self.shelves.get(&table) else {
            return Vec::new();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rules = shelf.cells.range((from, Bound::Unbounded));
        rules.take(most).copied().collect()
    }

    /// A rule, if the NIC has it.
    pub(in super::super) fn rule(&self, id: RuleId) -> Option<Rule> {
        rule(id, self.cells.get(&id)?)
    }

    /// An indirect action, if it has it.
    pub(in super::super) fn shared_action(&self, id: IndirectId) -> Option<Indirect> {
        indirect(self.shared.get(&id)?)
    }

    /// Nothing is under way about the rule.
    pub(in super::super) fn is_at_rest(&self, id: RuleId) -> bool {
        self.cells.get(&id).is_some_and(|c| c.flight.is_none())
    }

    /// It is about to be another one.
    pub(in super::super) fn is_shared_in_flight(&self, id: IndirectId) -> bool {
        self.shared.get(&id).is_some_and(|s| s.flight.is_some())
    }
}

//! What the NIC has by the compiler's books, for those who look at a program from outside.

use super::super::program::{Indirect, IndirectId, Rule, RuleId, Table, TableId};
use super::Compiler;

impl Compiler {
    /// All tables in the NIC, with how many rules each has.
    pub fn tables(&self) -> impl Iterator<Item = (&Table, usize)> {
        self.ledger.all_tables()
    }

    /// All rules in the NIC, as it has confirmed them.
    pub fn rules(&self) -> impl Iterator<Item = Rule> + '_ {
        self.ledger.all_rules()
    }

    /// All indirect actions in the NIC.
    pub fn indirects(&self) -> impl Iterator<Item = Indirect> + '_ {
        self.ledger.all_shared()
    }

    /// From now on keeps what becomes otherwise in the NIC, until [`Compiler::end_copy`]; what there
    /// is now: tables, and indirect actions.
    pub(in super::super) fn begin_copy(&mut self) -> (Vec<TableId>, Vec<IndirectId>) {
        self.ledger.note_altered(true);
        self.ledger.known()
    }

    /// Nobody copies any more.
    pub(in super::super) fn end_copy(&mut self) {
        self.ledger.note_altered(false);
    }

    /// Some of what has become otherwise, at most so many, and how many are left.
    pub(in super::super) fn altered(
        &mut self,
        most: usize,
    ) -> (Vec<RuleId>, Vec<IndirectId>, usize) {
        self.ledger.take_altered(most)
    }

    /// A table, made or not: no other one ever has its number.
    pub(in super::super) fn table(&self, id: TableId) -> Option<&Table> {
        self.ledger.table_spec(id)
    }

    /// The next numbers of rules of a table, at most so many; the NIC need not have them.
    pub(in super::super) fn rules_of(
        &self,
        table: TableId,
        after: Option<RuleId>,
        most: usize,
    ) -> Vec<RuleId> {
        self.ledger.rules_of(table, after, most)
    }

    /// A rule, if the NIC has it.
    pub(in super::super) fn rule(&self, id: RuleId) -> Option<Rule> {
        self.ledger.rule(id)
    }

    /// The driver does not have a rule that it has confirmed: it is one that has failed. Whether so.
    pub(in super::super) fn missed(&mut self, id: RuleId) -> bool {
        let missed = self.ledger.missed(id);
        self.digest();
        missed
    }

    /// Nothing is under way about the rule.
    pub(in super::super) fn is_at_rest(&self, id: RuleId) -> bool {
        self.ledger.is_at_rest(id)
    }

    /// An indirect action, if the NIC has it.
    pub(in super::super) fn indirect(&self, id: IndirectId) -> Option<Indirect> {
        self.ledger.shared_action(id)
    }

    /// It is about to be another one, or none.
    pub(in super::super) fn is_changing(&self, id: IndirectId) -> bool {
        self.ledger.is_shared_in_flight(id)
    }
}

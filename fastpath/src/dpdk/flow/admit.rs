//! Which operations are taken: what DPDK does not check.

use super::tables::Made;
use super::{Flow, Held, Shared, invalid};
use crate::hardware::Error;
use crate::hardware::program::{self, IndirectId, Insertion, Place, RuleId};

impl Flow<'_> {
    /// A rule that may have an operation now.
    pub(super) fn claim(&self, queue: u32, id: RuleId) -> Result<&Held, Error> {
        match self.rules.get(&id) {
            None => invalid(format!("rule {}: there is none", id.0)),
            Some(held) if held.busy => invalid(format!("rule {}: an operation is under way", id.0)),
            Some(held) if held.queue != queue => {
                invalid(format!("rule {}: is of flow queue {}", id.0, held.queue))
            }
            Some(held) => Ok(held),
        }
    }

    /// An indirect action likewise.
    pub(super) fn claim_indirect(&self, queue: u32, id: IndirectId) -> Result<&Shared, Error> {
        match self.indirects.get(&id) {
            None => invalid(format!("action {}: there is none", id.0)),
            Some(shared) if shared.busy => {
                invalid(format!("action {}: an operation is under way", id.0))
            }
            Some(shared) if shared.queue != queue => invalid(format!(
                "action {}: is of flow queue {}",
                id.0, shared.queue
            )),
            Some(shared) => Ok(shared),
        }
    }

    /// Whether a rule can stand there, by what is there already; its row.
    pub(super) fn room(&self, rule: &program::Rule) -> Result<(&Made, Option<u32>), Error> {
        let name = rule.id.0;
        let Some(made) = self.tables.get(&rule.table) else {
            return invalid(format!("rule {name}: insert: no table {}", rule.table.0));
        };
        made.spec.check_rule(rule)?;
        if self.rules.contains_key(&rule.id) {
            return invalid(format!("rule {name}: insert: there is one already"));
        }
        let row = match (&rule.place, made.spec.insertion) {
            (Place::Index(row), Insertion::Index(_)) => Some(*row),
            _ => None,
        };
        if row.is_some_and(|row| made.rows.contains(&row)) {
            return invalid(format!("rule {name}: insert: its row is taken"));
        }
        if made.rules >= made.spec.size {
            return Err(Error::new(Error::NO_MEMORY, "the table is full"));
        }
        Ok((made, row))
    }
}

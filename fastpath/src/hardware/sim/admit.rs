//! Which operations are taken: what a driver ought to check.

use super::super::Error;
use super::super::program::{Action, Does, Insertion, Operation, RuleId};
use super::Sim;
use super::queue::counts;
use super::table::{Held, Stage};

impl Sim {
    /// What a driver ought to check, and marks what it is about.
    pub(super) fn admit(&mut self, queue: u32, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::Insert(rule) => {
                let name = rule.id.0;
                let Some(made) = self.tables.get(&rule.table.0) else {
                    return self.misuse(format!("rule {name}: insert: no table {}", rule.table.0));
                };
                if let Err(misuse) = made.spec.check_rule(rule) {
                    return self.misuse(format!("rule {name}: insert: {misuse}"));
                }
                if self.rules.contains_key(&rule.id) {
                    return self.misuse(format!("rule {name}: insert: there is one already"));
                }
                let indexed = matches!(made.spec.insertion, Insertion::Index(_));
                if indexed && made.at(&rule.place).is_some_and(|id| !self.is_lost(id)) {
                    return self.misuse(format!("rule {name}: insert: its row is taken"));
                }
                if made.rules >= made.spec.size.next_power_of_two() {
                    return Err(Error::new(Error::NO_MEMORY, "the table is full"));
                }
                self.count_in(&rule.does)?;
                let Some(made) = self.tables.get_mut(&rule.table.0) else {
                    return Ok(());
                };
                made.rules += 1;
                let pool = made.pooled;
                made.pooled += 1;
                self.rules.insert(
                    rule.id,
                    Held {
                        table: rule.table.0,
                        place: rule.place.clone(),
                        does: rule.does.clone(),
                        stage: Stage::Inserting,
                        busy: true,
                        queue,
                        packets: 0,
                        bytes: 0,
                        pool,
                    },
                );
                Ok(())
            }
            Operation::Update(id, does) => {
                if self.rules.get(id).is_some_and(|h| h.stage == Stage::Broken) {
                    let why = "the rule's last update failed";
                    return Err(Error::new(Error::BUSY, why));
                }
                let table = self.claim(queue, *id, Some(Stage::Ready))?;
                let Some(made) = self.tables.get(&table) else {
                    return Ok(());
                };
                let buggy = self.profile.index_update_bug;
                let rows = matches!(made.spec.insertion, Insertion::Index(_));
                let checked = if buggy && rows {
                    made.spec.check_does(does)
                } else {
                    made.spec.check_update(does)
                };
                if let Err(misuse) = checked {
                    return self.misuse(format!("rule {}: update: {misuse}", id.0));
                }
                self.count_in(does)?;
                self.set_busy(*id);
                Ok(())
            }
            Operation::Destroy(id) => {
                self.claim(queue, *id, None)?;
                self.set_busy(*id);
                Ok(())
            }
            Operation::InsertIndirect(indirect) => {
                if self.indirects.contains_key(&indirect.id) {
                    return self.misuse(format!("action {}: there is one already", indirect.id.0));
                }
                self.check_indirect(&indirect.action)?;
                self.indirects.insert(indirect.id, indirect.clone());
                self.unfinished.insert(indirect.id);
                Ok(())
            }
            Operation::UpdateIndirect(id, action) => {
                if !self.indirects.contains_key(id) || self.unfinished.contains(id) {
                    return self.misuse(format!("action {}: update: not there (yet)", id.0));
                }
                self.check_indirect(action)
            }
            Operation::DestroyIndirect(id) => {
                let has = |h: &Held| {
                    h.stage != Stage::Lost && h.does.actions.contains(&Action::Indirect(*id))
                };
                if !self.indirects.contains_key(id) || self.rules.values().any(has) {
                    return self.misuse(format!("action {}: destroy: not there, or used", id.0));
                }
                Ok(())
            }
        }
    }

    fn check_indirect(&mut self, action: &Action) -> Result<(), Error> {
        let Action::Rss(rss) = action else {
            return Err(Error::new(
                Error::NOT_SUPPORTED,
                "no indirect action of this kind",
            ));
        };
        let can = &self.profile.capabilities;
        if !can.indirect_rss || rss.queues.len() > can.rss_rows as usize {
            return Err(Error::new(
                Error::NOT_SUPPORTED,
                "no such indirection table",
            ));
        }
        if rss.queues.is_empty() {
            return self.misuse("an indirect RSS action without queues".to_owned());
        }
        Ok(())
    }

    /// A counter for a rule that is to have one. The old one of an updated rule is given back when
    /// the update completes.
    fn count_in(&mut self, does: &Does) -> Result<(), Error> {
        if counts(does) {
            if self.counters >= self.profile.capabilities.counters {
                return Err(Error::new(Error::NO_MEMORY, "no counter is left"));
            }
            self.counters += 1;
        }
        Ok(())
    }

    pub(super) fn count_out(&mut self, does: &Does) {
        self.counters -= u32::from(counts(does));
    }

    /// A rule that may have an operation now; its table.
    fn claim(&mut self, queue: u32, id: RuleId, stage: Option<Stage>) -> Result<u32, Error> {
        match self.rules.get(&id) {
            None => self.misuse(format!("rule {}: there is none", id.0)),
            Some(held) if held.stage == Stage::Lost => {
                self.misuse(format!("rule {}: there is none", id.0))
            }
            Some(held) if held.busy => {
                self.misuse(format!("rule {}: an operation is under way", id.0))
            }
            Some(held) if held.queue != queue => {
                self.misuse(format!("rule {}: is of flow queue {}", id.0, held.queue))
            }
            Some(held) if stage.is_some_and(|s| s != held.stage) => {
                self.misuse(format!("rule {}: was never inserted", id.0))
            }
            Some(held) => Ok(held.table),
        }
    }

    fn set_busy(&mut self, id: RuleId) {
        if let Some(held) = self.rules.get_mut(&id) {
            held.busy = true;
        }
    }
}

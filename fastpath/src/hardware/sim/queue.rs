//! Operations: taken, pushed, executed, completed.

use super::super::program::{Action, Does, Insertion, Operation, Place, RuleId};
use super::super::{Completion, Error};
use super::Sim;
use super::table::{Held, Stage, wrong_row};
use std::collections::{BTreeSet, VecDeque};

/// What goes wrong, by ordinal number: 1 is the first since the faults were set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Operations that are refused when they are enqueued.
    pub refused: BTreeSet<u64>,
    /// Operations that complete with an error.
    pub late: BTreeSet<u64>,
    /// Operations of which insertions are reported as done, and the NIC does not have the rule.
    pub missed: BTreeSet<u64>,
    /// Tables that are not made.
    pub tables: BTreeSet<u64>,
    /// Tables that are not destroyed.
    pub kept: BTreeSet<u64>,
    /// How many operations a call of pull completes at most; `None`: all that were pushed.
    pub pace: Option<usize>,
    /// How many more operations a queue seems to hold than it does: it is full the sooner.
    pub ballast: u32,
    /// Attempts to enqueue, refused ones included, that find the queue full though it is not.
    pub busy: BTreeSet<u64>,
}

/// What was asked of a NIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tables.
    pub tables: u64,
    /// Destructions of tables.
    pub gone: u64,
    /// Operations enqueued, refused ones included but for a full queue.
    pub operations: u64,
    /// Rules inserted.
    pub inserted: u64,
    /// Rules updated.
    pub updated: u64,
    /// Rules destroyed.
    pub destroyed: u64,
    /// Indirect actions inserted, updated, destroyed.
    pub indirect: u64,
    /// Completed with an error.
    pub failed: u64,
    /// Refused since the queue was full.
    pub busy: u64,
}

#[derive(Debug)]
struct Entry {
    operation: Operation,
    cookie: u64,
    fails: bool,
    missed: bool,
}

/// One flow queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Entry>,
    /// How many of them, from the front, were given to the NIC.
    pushed: usize,
}

impl Queue {
    pub(super) fn push(&mut self) {
        self.pushed = self.waiting.len();
    }
}

/// Whether a rule that does this has a counter.
pub(super) fn counts(does: &Does) -> bool {
    does.actions.contains(&Action::Count)
}

impl Sim {
    /// Takes one operation into a queue, or refuses it.
    pub(super) fn take(
        &mut self,
        queue: u32,
        operation: &Operation,
        cookie: u64,
    ) -> Result<(), Error> {
        let depth = self
            .profile
            .capabilities
            .depth
            .saturating_sub(self.faults.ballast);
        let Some(held) = self.queues.get(queue as usize) else {
            return self.misuse(format!("flow queue {queue}: there is none"));
        };
        let attempt = self.tally.operations + self.tally.busy + 1;
        if held.waiting.len() >= depth.max(1) as usize || self.faults.busy.contains(&attempt) {
            self.tally.busy += 1;
            return Err(Error::new(Error::BUSY, "the flow queue is full"));
        }
        self.tally.operations += 1;
        let nth = self.tally.operations;
        if self.faults.refused.contains(&nth) {
            return Err(Error::new(Error::NO_MEMORY, "injected: refused"));
        }
        self.admit(queue, operation)?;
        let entry = Entry {
            operation: operation.clone(),
            cookie,
            fails: self.faults.late.contains(&nth),
            missed: self.faults.missed.contains(&nth),
        };
        if let Some(held) = self.queues.get_mut(queue as usize) {
            held.waiting.push_back(entry);
        }
        Ok(())
    }

    /// Executes what was pushed, in order.
    pub(super) fn complete(&mut self, queue: u32, done: &mut Vec<Completion>) -> Result<(), Error> {
        let Some(held) = self.queues.get_mut(queue as usize) else {
            return self.misuse(format!("flow queue {queue}: pull: there is none"));
        };
        let n = held.pushed.min(self.faults.pace.unwrap_or(usize::MAX));
        held.pushed -= n;
        let entries: Vec<Entry> = held.waiting.drain(..n).collect();
        for entry in entries {
            let succeeded = self.execute(&entry.operation, entry.fails);
            if let (Operation::Insert(rule), true) = (&entry.operation, entry.missed) {
                self.miss(rule.id);
            }
            self.tally.failed += u64::from(!succeeded);
            done.push(Completion {
                cookie: entry.cookie,
                done: succeeded,
            });
        }
        Ok(())
    }

    fn execute(&mut self, operation: &Operation, fails: bool) -> bool {
        match operation {
            Operation::Insert(rule) => {
                self.tally.inserted += 1;
                let Some(made) = self.tables.get_mut(&rule.table.0) else {
                    return false;
                };
                // allow_duplicate_pattern = 0: the second of two equal rules fails. A row is written over.
                let old = made.at(&rule.place);
                let indexed = matches!(rule.place, Place::Index(_));
                let fails = fails || (old.is_some() && !indexed);
                if !fails {
                    made.put(&rule.place, rule.id);
                    if let Some(old) = old {
                        self.rules.remove(&old);
                    }
                }
                if let Some(held) = self.rules.get_mut(&rule.id) {
                    held.stage = if fails { Stage::Failed } else { Stage::Ready };
                    held.busy = false;
                }
                !fails
            }
            Operation::Update(id, does) => {
                self.tally.updated += 1;
                let Some(held) = self.rules.get_mut(id) else {
                    return false;
                };
                held.busy = false;
                if fails {
                    held.stage = Stage::Broken;
                    self.count_out(does);
                    return false;
                }
                let old = std::mem::replace(&mut held.does, does.clone());
                // It has another counter now, if any (mlx5_flow_hw.c, flow_hw_async_flow_update).
                (held.packets, held.bytes) = (0, 0);
                let (table, pool) = (held.table, held.pool);
                self.count_out(&old);
                self.misplace(*id, old, table, pool);
                true
            }
            Operation::Destroy(id) => {
                self.tally.destroyed += 1;
                self.destroy(*id, fails);
                !fails
            }
            Operation::InsertIndirect(indirect) => {
                self.tally.indirect += 1;
                if !fails {
                    self.unfinished.remove(&indirect.id);
                }
                !fails
            }
            Operation::UpdateIndirect(id, action) => {
                self.tally.indirect += 1;
                if let Some(indirect) = self.indirects.get_mut(id).filter(|_| !fails) {
                    indirect.action = action.clone();
                }
                !fails
            }
            Operation::DestroyIndirect(id) => {
                self.tally.indirect += 1;
                self.indirects.remove(id);
                self.unfinished.remove(id);
                !fails
            }
        }
    }

    /// The handle goes, whatever becomes of the rule (`hw_cmpl_flow_update_or_destroy`). A rule whose
    /// update failed is destroyed without asking the NIC (`mlx5dr_rule_destroy_hws`), which is taken to
    /// have it still.
    fn destroy(&mut self, id: RuleId, fails: bool) {
        let Some(mut held) = self.rules.remove(&id) else {
            return;
        };
        self.missing.remove(&id);
        self.count_out(&held.does);
        let in_force = match held.stage {
            Stage::Ready => fails,
            Stage::Broken => true,
            _ => false,
        };
        let was_in_force = matches!(held.stage, Stage::Ready | Stage::Broken);
        let stray = self.stray();
        let Some(made) = self.tables.get_mut(&held.table) else {
            return;
        };
        made.rules -= 1;
        if was_in_force {
            made.take(&held.place, id);
        }
        if in_force {
            made.put(&held.place, stray);
            (held.stage, held.busy) = (Stage::Lost, false);
            self.rules.insert(stray, held);
        }
    }

    /// The NIC has lost a rule, and has told nobody: its handle is as good as any.
    pub fn miss(&mut self, id: RuleId) {
        if let Some(held) = self.rules.get(&id).filter(|h| h.stage == Stage::Ready) {
            self.missing.insert(id);
            if let Some(made) = self.tables.get_mut(&held.table) {
                made.take(&held.place, id);
            }
        }
    }

    /// A number from the far end, for what nobody knows any more.
    fn stray(&mut self) -> RuleId {
        self.strays += 1;
        RuleId(u64::MAX - self.strays)
    }

    /// The bug: the updated rule is written to another row, and is found there from now on; its own
    /// row does what it did.
    fn misplace(&mut self, id: RuleId, old: Does, table: u32, pool: u32) {
        let stray = self.stray();
        let Some(made) = self.tables.get_mut(&table) else {
            return;
        };
        if !matches!(made.spec.insertion, Insertion::Index(_)) {
            return;
        }
        let nth = if made.spec.actions.iter().any(|a| a.modifies()) {
            // With headers to rewrite the number is a fresh one.
            made.pooled += 1;
            made.pooled - 1
        } else {
            pool
        };
        let row = wrong_row(nth, made.spec.size);
        made.set_row(row, Some(id));
        let Some(held) = self.rules.get_mut(&id) else {
            return;
        };
        let own = std::mem::replace(&mut held.place, Place::Index(row));
        if own != held.place {
            // Nobody knows it any more.
            let left = Held {
                does: old,
                place: own.clone(),
                stage: Stage::Lost,
                ..held.clone()
            };
            made.put(&own, stray);
            self.rules.insert(stray, left);
        }
    }
}

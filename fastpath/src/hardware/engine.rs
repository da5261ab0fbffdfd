//! Keeps a NIC at what a plan wants: takes operations from the compiler to a [`Steering`], and back
//! what became of them.
//!
//! One thread, one flow queue. Nothing here waits: [`Engine::turn`] does what can be done now.

use super::compile::{Compiler, Config, News, Step};
use super::crc::Input;
use super::plan::{Change, Family, NexthopId};
use super::program::{Field, Operation, RuleId, Table};
use super::{Count, Error, Steering};
use std::collections::HashMap;

/// Operations since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Taken by the driver.
    pub enqueued: u64,
    /// Completed as asked.
    pub done: u64,
    /// Refused, or completed with an error.
    pub failed: u64,
    /// Found the queue full, and waited.
    pub waited: u64,
    /// Tables made.
    pub tables: u64,
}

impl Operations {
    /// Those of another program as well.
    pub fn add(&mut self, other: Operations) {
        self.enqueued += other.enqueued;
        self.done += other.done;
        self.failed += other.failed;
        self.waited += other.waited;
        self.tables += other.tables;
    }
}

/// A NIC, and the program that it is kept at.
#[derive(Debug)]
pub struct Engine<S> {
    steering: S,
    compiler: Compiler,
    operations: Operations,
    completions: Vec<super::Completion>,
    unpushed: bool,
    /// What rules had counted that are being changed, by cookie, and that were changed.
    leaving: HashMap<u64, Counted>,
    left: Vec<Counted>,
    /// Whether the NIC hashes these as we do, once that was tried.
    agrees: [Option<bool>; 2],
}

/// What a rule had counted for a next hop before it was changed: its next counter begins with zero.
pub type Counted = (NexthopId, RuleId, Count);

/// The flow queue that is used.
const QUEUE: u32 = 0;
/// How many flows the driver's hash is tried with.
const FLOWS: u32 = 64;

impl<S: Steering> Engine<S> {
    /// An engine over `steering`, on which nothing is programmed.
    pub fn new(steering: S, config: Config) -> Self {
        let compiler = Compiler::new(config, steering.capabilities().clone());
        Engine {
            steering,
            compiler,
            operations: Operations::default(),
            completions: Vec::new(),
            unpushed: false,
            leaving: HashMap::new(),
            left: Vec::new(),
            agrees: [None; 2],
        }
    }

    /// The NIC.
    pub fn steering(&self) -> &S {
        &self.steering
    }

    /// The NIC, to receive packets by or to ask for counters.
    pub fn steering_mut(&mut self) -> &mut S {
        &mut self.steering
    }

    /// The NIC back, with what is programmed there.
    pub fn into_steering(self) -> S {
        self.steering
    }

    /// The program, and what it says of itself.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    pub(super) fn compiler_mut(&mut self) -> &mut Compiler {
        &mut self.compiler
    }

    /// Has the program keep what may have changed in who forwards: [`Engine::news`].
    pub fn watch(&mut self) {
        self.compiler.watch();
    }

    /// What may have changed in who forwards since this was last asked.
    pub fn news(&mut self) -> News {
        self.compiler.news()
    }

    /// What was done since the start.
    pub fn operations(&self) -> Operations {
        self.operations
    }

    /// Takes in a change of the plan; [`Engine::turn`] carries it out.
    pub fn apply(&mut self, change: &Change) {
        self.compiler.apply(change);
    }

    /// Tries again what failed.
    pub fn retry(&mut self) {
        self.compiler.retry();
    }

    /// Enqueues what the queue takes and collects what has completed; whether anything happened.
    pub fn turn(&mut self) -> bool {
        self.advance(u32::MAX, u32::MAX)
    }

    /// The same with at most so many operations and so many tables, which take milliseconds each:
    /// whoever has something more urgent comes in between.
    pub fn advance(&mut self, operations: u32, tables: u32) -> bool {
        let (mut operations, mut tables) = (operations, tables);
        let mut happened = false;
        while operations > 0 && tables > 0 {
            let Some(step) = self.compiler.step() else {
                break;
            };
            match step {
                Step::Create(table) => {
                    tables -= 1;
                    let made = self.create(&table);
                    self.operations.tables += u64::from(made.is_ok());
                    self.operations.failed += u64::from(made.is_err());
                    self.compiler.created(table.id, made);
                }
                Step::Destroy(table) => {
                    tables -= 1;
                    let gone = self.steering.destroy_table(table);
                    self.operations.failed += u64::from(gone.is_err());
                    self.compiler.destroyed(table, gone);
                }
                Step::Operate(cookie, operation) => {
                    operations -= 1;
                    self.read_out(cookie, &operation);
                    match self.steering.enqueue(QUEUE, &operation, true, cookie) {
                        Ok(()) => {
                            self.operations.enqueued += 1;
                            self.unpushed = true;
                        }
                        Err(error) if error.is_busy() => {
                            self.operations.waited += 1;
                            self.leaving.remove(&cookie);
                            self.compiler.unqueue(cookie);
                            break;
                        }
                        Err(_) => {
                            self.operations.failed += 1;
                            self.leaving.remove(&cookie);
                            self.compiler.refused(cookie);
                        }
                    }
                }
            }
            happened = true;
        }
        if self.unpushed && self.steering.push(QUEUE).is_ok() {
            self.unpushed = false;
        }
        self.collect() || happened
    }

    /// Makes a table; of rows only if the NIC chooses among them as software does.
    fn create(&mut self, table: &Table) -> Result<(), Error> {
        self.steering.create_table(table)?;
        let Some(input) = table.rows_by() else {
            return Ok(());
        };
        let agrees = match self.agrees[input as usize] {
            Some(agrees) => agrees,
            None => self.compare(table, input),
        };
        self.agrees[input as usize] = Some(agrees);
        if agrees {
            return Ok(());
        }
        // It is empty; a table that the driver keeps harms nobody.
        let _ = self.steering.destroy_table(table.id);
        Err(Error::new(
            Error::NOT_SUPPORTED,
            "the driver's rte_flow_calc_table_hash is not our CRC",
        ))
    }

    /// Asks the driver for the hash of some flows.
    fn compare(&mut self, table: &Table, input: Input) -> bool {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut value = |field: Field| {
            // xorshift64.
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                u128::from(state)
            };
            (next() << 64 | next()) & field.full()
        };
        (0..FLOWS).all(|_| {
            let fields = &table.pattern.fields;
            let values: Vec<u128> = fields.iter().map(|f| value(f.field)).collect();
            self.steering.table_hash(table.id, &values) == Ok(input.hash(&values))
        })
    }

    /// Whether the NIC's rows are those of our CRC, by family; `None`: there was none to ask about.
    pub fn agrees(&self, family: Family) -> Option<bool> {
        self.agrees[family as usize]
    }

    /// What hardware has sent to a next hop, as far as it counts.
    pub fn nexthop_count(&mut self, id: NexthopId) -> Count {
        let mut sum = Count::default();
        for rule in self.compiler.counting(id) {
            let count = self.steering.count(rule).unwrap_or_default();
            sum.packets += count.packets;
            sum.bytes += count.bytes;
        }
        sum
    }

    /// What rules had counted that were changed since this was last asked.
    pub fn counted(&mut self) -> Vec<Counted> {
        std::mem::take(&mut self.left)
    }

    /// Reads the counter of a rule that is about to be changed.
    fn read_out(&mut self, cookie: u64, operation: &Operation) {
        let (Operation::Update(rule, _) | Operation::Destroy(rule)) = operation else {
            return;
        };
        let Some(id) = self.compiler.counts_for(*rule) else {
            return;
        };
        if let Ok(count) = self.steering.count(*rule) {
            self.leaving.insert(cookie, (id, *rule, count));
        }
    }

    fn collect(&mut self) -> bool {
        let mut completions = std::mem::take(&mut self.completions);
        completions.clear();
        // What a failed call has not reported the next one will.
        let _ = self.steering.pull(QUEUE, &mut completions);
        for completion in &completions {
            if completion.done {
                self.operations.done += 1;
            } else {
                self.operations.failed += 1;
            }
            let counted = self.leaving.remove(&completion.cookie);
            self.left.extend(counted.filter(|_| completion.done));
            self.compiler.completed(completion.cookie, completion.done);
        }
        let any = !completions.is_empty();
        self.completions = completions;
        any
    }

    /// Turns as long as anything happens, at most `turns` times; whether nothing is under way then.
    pub fn settle(&mut self, turns: usize) -> bool {
        for _ in 0..turns {
            if !self.turn() {
                break;
            }
        }
        self.compiler.under_way() == 0
    }
}

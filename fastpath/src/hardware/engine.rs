//! Keeps a NIC at what a plan wants: takes operations from the compiler to a [`Steering`], and back
//! what became of them.
//!
//! One thread, one flow queue. Nothing here waits: [`Engine::turn`] does what can be done now.

use super::Steering;
use super::compile::{Compiler, Config, Step};
use super::plan::Change;

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

/// A NIC, and the program that it is kept at.
#[derive(Debug)]
pub struct Engine<S> {
    steering: S,
    compiler: Compiler,
    operations: Operations,
    completions: Vec<super::Completion>,
    unpushed: bool,
}

/// The flow queue that is used.
const QUEUE: u32 = 0;

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

    /// The program, and what it says of itself.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
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
        let mut happened = false;
        while let Some(step) = self.compiler.step() {
            match step {
                Step::Create(table) => {
                    let made = self.steering.create_table(&table);
                    self.operations.tables += u64::from(made.is_ok());
                    self.operations.failed += u64::from(made.is_err());
                    self.compiler.created(table.id, made);
                }
                Step::Destroy(table) => {
                    // It is empty; if the driver keeps it, it is lost to us and harms nobody.
                    let gone = self.steering.destroy_table(table);
                    self.operations.failed += u64::from(gone.is_err());
                }
                Step::Operate(cookie, operation) => {
                    match self.steering.enqueue(QUEUE, &operation, true, cookie) {
                        Ok(()) => {
                            self.operations.enqueued += 1;
                            self.unpushed = true;
                        }
                        Err(error) if error.is_busy() => {
                            self.operations.waited += 1;
                            self.compiler.unqueue(cookie);
                            break;
                        }
                        Err(_) => {
                            self.operations.failed += 1;
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

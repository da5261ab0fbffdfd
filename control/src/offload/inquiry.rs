//! Questions about whole programs, audits and scripts, answered piece by piece: what the thread that
//! owns the programs does for them between two pieces of its own work.
//!
//! ```text
//!  plan, in pieces ──► Telling ─► Copying ─► Working ─► Done
//!  changes meanwhile ────┴───────────┘  a piece a turn  └─ a job, in a thread of its own
//! ```
//!
//! One program after the other is copied and compared, so that an audit needs memory for one. A
//! script needs them all. There is one question at a time; a later one takes the place of the earlier.

use super::verify::{Comparison, Line, Scripting};
use super::{Ask, Setting, What};
use crate::api::message::{Error, Exported, Verified, VerifyNext};
use crate::api::{Reply, Response};
use fastpath::hardware::Steering;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::audit::{Altered, Copying, Finished};
use fastpath::hardware::plan::{Change, NexthopId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// Tables, rules and indirect actions that one turn copies.
pub const SLICE: usize = 512;
/// So long a copy is kept up with what changes until nothing is under way.
const SETTLED: Duration = Duration::from_secs(30);
/// A question that nobody asks on with is given up after this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A piece of the plan, for an audit.
#[derive(Clone, Debug)]
pub struct Told {
    /// It is the first one, of a new audit.
    pub is_first: bool,
    /// Rules that a driver does not have are to be put in again.
    pub repair: bool,
    /// The piece.
    pub changes: Vec<Change>,
    /// It was the last one.
    pub is_all: bool,
    /// What to ask with next, as long as there is no answer.
    pub next: VerifyNext,
}

/// Something that takes long and needs the NIC no more: for a thread of its own.
#[derive(Debug)]
pub enum Job {
    /// Of an audit.
    Compare(Box<Comparison>),
    /// Of an export.
    Script(Box<Scripting>),
    /// What nobody asks for any more: to drop it takes as long as going through the plan and a copy.
    Forget(Over),
}

/// Questions that are over.
#[derive(Debug)]
pub struct Over(Vec<Inquiry>);

impl Job {
    /// Does it, and says what came of it to whoever has begun it.
    pub fn make(self) {
        match self {
            Job::Compare(comparison) => comparison.make(),
            Job::Script(scripting) => scripting.make(),
            Job::Forget(Over(all)) => drop(all),
        }
    }
}

/// What one turn did.
#[derive(Debug, Default)]
pub struct Turn {
    /// Tables, rules and indirect actions that were looked at.
    pub entries: usize,
    /// There is more to do at once.
    pub is_busy: bool,
    /// What is to be done elsewhere.
    pub job: Option<Job>,
}

#[derive(Debug)]
enum Stage {
    /// The plan is not all there.
    Telling,
    /// A program is being copied; since when there has been nothing left but what changes.
    Copying(Box<Copying>, Option<Instant>),
    /// What a job says.
    Comparing(Receiver<Verified>),
    Writing(Receiver<Line>),
    Done,
    Failed(Box<Error>),
}

#[derive(Debug)]
struct Inquiry {
    number: u32,
    asked: Instant,
    stage: Stage,
    repair: bool,
    /// Of an audit: the pieces, and what has changed since.
    plan: Option<Vec<Arc<[Change]>>>,
    names: Arc<BTreeMap<NexthopId, String>>,
    /// The program that is looked at.
    program: usize,
    verified: Verified,
    /// Of an export.
    copies: Vec<Altered>,
    /// A copy that came to nothing.
    in_vain: Option<Box<Copying>>,
}

/// The question under way, if there is one.
#[derive(Debug, Default)]
pub struct Inquiries {
    open: Option<Box<Inquiry>>,
    /// A comparison of a question that was given up goes on.
    left: Option<Receiver<Verified>>,
    /// What is to be dropped elsewhere.
    over: Vec<Inquiry>,
}

fn refusal(operation: &str, cause: String, remedy: &str) -> Error {
    Error {
        object: "hardware".into(),
        operation: operation.into(),
        cause,
        remedy: Some(remedy.into()),
    }
}

impl Inquiries {
    /// Takes a piece of a question, and answers: with what came of it, or that it goes on.
    pub fn ask<S: Steering>(&mut self, agent: &mut Agent<S>, ask: Ask, now: Instant) {
        let (is_first, told, next) = match ask.what {
            What::Show => return,
            What::Verify(told) => {
                let (is_first, next) = (told.is_first, told.next);
                (is_first, Some(told), next)
            }
            What::Export(is_first, next) => (is_first, None, next),
        };
        let is_audit = told.is_some();
        let operation = if is_audit { "verify" } else { "export" };
        if is_first {
            self.give_up(agent);
            self.open = Some(Box::new(Inquiry {
                number: next.audit,
                asked: now,
                stage: Stage::Telling,
                repair: told.as_ref().is_some_and(|told| told.repair),
                plan: is_audit.then(Vec::new),
                names: Arc::new(ask.names),
                program: 0,
                verified: Verified::default(),
                copies: Vec::new(),
                in_vain: None,
            }));
        }
        let that = |i: &&mut Box<Inquiry>| i.number == next.audit && i.plan.is_some() == is_audit;
        let reply = match self.open.as_mut().filter(that) {
            None => Reply::Error(refusal(
                operation,
                "it is over: another one began, or nobody asked for a minute".into(),
                "begin a new one",
            )),
            Some(inquiry) => {
                inquiry.asked = now;
                inquiry.tell(agent, told);
                inquiry.answer(next)
            }
        };
        let is_open = match &reply {
            Reply::Ok(Response::Verify(v)) => v.next.is_some(),
            Reply::Ok(Response::Export(e)) => e.next.is_some(),
            // Of another one, perhaps.
            _ => !matches!(self.open.as_deref(), Some(i) if matches!(i.stage, Stage::Failed(_))),
        };
        if !is_open {
            self.give_up(agent);
        }
        // Who asked may have gone away meanwhile.
        let _ = ask.reply.send(reply);
    }

    /// Hardware is about to be told of these.
    pub fn follow(&mut self, changes: &[Change]) {
        if let Some(plan) = self.open.as_mut().and_then(|i| i.plan.as_mut()) {
            plan.push(changes.into());
        }
    }

    /// Does a piece: copies at most [`SLICE`] entries.
    pub fn turn<S: Steering>(
        &mut self,
        agent: &mut Agent<S>,
        setting: &Setting,
        now: Instant,
    ) -> Turn {
        let is_working = |job: &Receiver<Verified>| job.try_recv() == Err(TryRecvError::Empty);
        self.left = self.left.take().filter(is_working);
        if !self.over.is_empty() {
            return Turn {
                is_busy: true,
                job: Some(Job::Forget(Over(std::mem::take(&mut self.over)))),
                ..Turn::default()
            };
        }
        let Some(inquiry) = &mut self.open else {
            return Turn::default();
        };
        if now.saturating_duration_since(inquiry.asked) >= PATIENCE {
            self.give_up(agent);
            return Turn::default();
        }
        inquiry.turn(agent, setting, (self.left.is_none(), now))
    }

    fn give_up<S: Steering>(&mut self, agent: &mut Agent<S>) {
        let Some(mut inquiry) = self.open.take() else {
            return;
        };
        match &mut inquiry.stage {
            Stage::Copying(copying, _) => {
                if let Some(engine) = agent.engines_mut().get_mut(inquiry.program) {
                    copying.give_up(engine);
                }
            }
            stage @ Stage::Comparing(_) => {
                if let Stage::Comparing(job) = std::mem::replace(stage, Stage::Done) {
                    self.left = Some(job);
                }
            }
            _ => {}
        }
        self.over.push(*inquiry);
    }
}

impl Inquiry {
    /// Takes a piece of the plan; nothing is wanted of an export.
    fn tell<S: Steering>(&mut self, agent: &mut Agent<S>, told: Option<Told>) {
        if !matches!(self.stage, Stage::Telling) {
            return;
        }
        let is_all = told.as_ref().is_none_or(|told| told.is_all);
        if let (Some(plan), Some(told)) = (&mut self.plan, told) {
            plan.push(told.changes.into());
        }
        if is_all {
            self.begin(agent);
        }
    }

    /// Begins with a program, if there is another one.
    fn begin<S: Steering>(&mut self, agent: &mut Agent<S>) {
        self.stage = match agent.engines_mut().get_mut(self.program) {
            Some(engine) => Stage::Copying(Box::new(Copying::begin(engine)), None),
            None => Stage::Done,
        };
    }

    fn turn<S: Steering>(
        &mut self,
        agent: &mut Agent<S>,
        setting: &Setting,
        (may_work, now): (bool, Instant),
    ) -> Turn {
        let mut turn = Turn::default();
        match std::mem::replace(&mut self.stage, Stage::Telling) {
            Stage::Copying(mut copying, since) => {
                let (waiting, under_way) = (agent.waiting(), agent.under_way());
                let Some(engine) = agent.engines_mut().get_mut(self.program) else {
                    return turn;
                };
                let piece = copying.turn(engine, SLICE);
                turn.entries = piece.entries;
                let since = since.or(piece.is_whole.then_some(now));
                if piece.is_whole && waiting + under_way == 0 && may_work {
                    let finished = copying.finish(engine, self.repair);
                    self.verified.repaired += finished.repaired as u64;
                    turn.job = self.work(agent, setting, finished);
                    turn.is_busy = true;
                } else if since.is_some_and(|s| now.saturating_duration_since(s) >= SETTLED) {
                    copying.give_up(engine);
                    self.in_vain = Some(copying);
                    let cause = match may_work {
                        true => {
                            format!(
                                "{waiting} changes wait and {under_way} operations are under way"
                            )
                        }
                        false => "an audit that was given up is still being made".into(),
                    };
                    let operation = match self.plan {
                        Some(_) => "verify",
                        None => "export",
                    };
                    self.stage = Stage::Failed(Box::new(refusal(operation, cause, "try again")));
                } else {
                    turn.is_busy = !piece.is_whole;
                    self.stage = Stage::Copying(copying, since);
                }
            }
            Stage::Comparing(job) => match job.try_recv() {
                Ok(verified) => {
                    self.verified.add(verified, super::verify::LISTED);
                    self.program += 1;
                    self.begin(agent);
                    turn.is_busy = true;
                }
                Err(TryRecvError::Empty) => self.stage = Stage::Comparing(job),
                Err(TryRecvError::Disconnected) => {
                    let cause = "its thread could not be started, or has ended".into();
                    let failed = refusal("verify", cause, "see the log of `evenpath run`");
                    self.stage = Stage::Failed(Box::new(failed));
                }
            },
            other => self.stage = other,
        }
        turn
    }

    /// A copy is whole: what is to be done with it, if that is not to copy the next program.
    fn work<S: Steering>(
        &mut self,
        agent: &mut Agent<S>,
        setting: &Setting,
        Finished { copy, lost, .. }: Finished,
    ) -> Option<Job> {
        if let Some(plan) = &self.plan {
            let (say, hear) = sync_channel(1);
            self.stage = Stage::Comparing(hear);
            return Some(Job::Compare(Box::new(Comparison {
                copy,
                lost,
                plan: plan.clone(),
                down: agent.ports_down().to_vec(),
                names: Arc::clone(&self.names),
                say,
            })));
        }
        self.copies.push(copy);
        self.program += 1;
        self.begin(agent);
        if !matches!(self.stage, Stage::Done) {
            return None;
        }
        // Who writes goes on when somebody has taken what is written.
        let (say, hear) = sync_channel(1);
        self.stage = Stage::Writing(hear);
        let copies = std::mem::take(&mut self.copies);
        Some(Job::Script(Box::new(Scripting::new(copies, setting, say))))
    }

    /// What is known by now.
    fn answer(&mut self, next: VerifyNext) -> Reply {
        let more = Some(next);
        match &self.stage {
            Stage::Failed(error) => Reply::Error((**error).clone()),
            Stage::Done => Reply::Ok(Response::Verify(std::mem::take(&mut self.verified))),
            Stage::Writing(lines) => match lines.try_recv() {
                Ok(Line::Piece(text)) => Reply::Ok(Response::Export(Box::new(Exported {
                    text,
                    next: more,
                    ..Exported::default()
                }))),
                Ok(Line::Last(exported)) => Reply::Ok(Response::Export(exported)),
                Err(TryRecvError::Empty) => going_on(self.plan.is_some(), more),
                Err(TryRecvError::Disconnected) => {
                    let cause = "its thread could not be started, or has ended".into();
                    Reply::Error(refusal("export", cause, "see the log of `evenpath run`"))
                }
            },
            _ => going_on(self.plan.is_some(), more),
        }
    }
}

fn going_on(is_audit: bool, next: Option<VerifyNext>) -> Reply {
    Reply::Ok(match is_audit {
        true => Response::Verify(Verified {
            next,
            ..Verified::default()
        }),
        false => Response::Export(Box::new(Exported {
            next,
            ..Exported::default()
        })),
    })
}

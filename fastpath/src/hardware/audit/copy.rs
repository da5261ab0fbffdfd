//! Copies of programs, made piece by piece while the programs change.
//!
//! What changes meanwhile is copied again, so that a copy is what the NIC had at one moment: the one
//! at which nothing is left to be copied. On the way drivers are asked about what they can be asked
//! about: rules, those that count most of all, and indirect actions.

use super::super::compile::{Compiler, Config, Purpose};
use super::super::engine::Engine;
use super::super::program::{Action, Indirect, IndirectId, Rule, RuleId, Table, TableId};
use super::super::{Capabilities, Steering};
use super::{Difference, words};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A program at one moment, as it was copied.
#[derive(Clone, Debug)]
pub struct Copied {
    pub(in super::super) config: Config,
    pub(super) can: Capabilities,
    pub(in super::super) tables: HashMap<TableId, Table>,
    pub(in super::super) rules: Vec<(Rule, Purpose)>,
    pub(in super::super) indirects: HashMap<IndirectId, Indirect>,
    /// Operations under way, and those that failed.
    pub(super) unsettled: usize,
    pub(super) failures: usize,
}

impl Copied {
    /// What `compiler` has in the NIC, as that has confirmed it.
    pub fn of(compiler: &Compiler) -> Self {
        let mut copied = Copied::empty(compiler);
        let tables = compiler.tables();
        copied.tables = tables.map(|(table, _)| (table.id, table.clone())).collect();
        let rules = compiler.rules();
        copied.rules = rules.map(|rule| with_purpose(compiler, rule)).collect();
        copied.indirects = compiler.indirects().map(|i| (i.id, i)).collect();
        copied
    }

    fn empty(compiler: &Compiler) -> Self {
        Copied {
            config: compiler.config().clone(),
            can: compiler.capabilities().clone(),
            tables: HashMap::new(),
            rules: Vec::new(),
            indirects: HashMap::new(),
            unsettled: compiler.under_way(),
            failures: compiler.failures(),
        }
    }
}

fn with_purpose(compiler: &Compiler, rule: Rule) -> (Rule, Purpose) {
    let purpose = compiler.purpose(rule.id);
    (rule, purpose)
}

/// A copy in the making. One at a time of a program; end it by [`Copying::finish`] or
/// [`Copying::give_up`].
#[derive(Debug)]
pub struct Copying {
    copied: Copied,
    /// A slice of rules each: nothing that grows is ever moved.
    slices: Vec<Vec<(Rule, Purpose)>>,
    /// To be copied, the first of them from the rule behind this one on.
    tables: VecDeque<TableId>,
    behind: Option<RuleId>,
    indirects: VecDeque<IndirectId>,
    /// What rules are now that were copied before.
    altered: BTreeMap<RuleId, Option<(Rule, Purpose)>>,
    /// Where drivers say otherwise.
    lost: BTreeMap<RuleId, Difference>,
    other: BTreeMap<IndirectId, Difference>,
}

/// What one piece of a copy was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Tables, rules and indirect actions that were looked at.
    pub entries: usize,
    /// The copy is what the NIC has now.
    pub is_whole: bool,
}

impl Copying {
    /// Begins a copy of the program of `engine`.
    pub fn begin<S: Steering>(engine: &mut Engine<S>) -> Self {
        let (tables, indirects) = engine.compiler_mut().begin_copy();
        Copying {
            copied: Copied::empty(engine.compiler()),
            slices: Vec::new(),
            tables: tables.into(),
            behind: None,
            indirects: indirects.into(),
            altered: BTreeMap::new(),
            lost: BTreeMap::new(),
            other: BTreeMap::new(),
        }
    }

    /// Copies a piece, at most `most` entries.
    pub fn turn<S: Steering>(&mut self, engine: &mut Engine<S>, most: usize) -> Piece {
        let mut entries = 0;
        let mut slice = Vec::new();
        while entries < most {
            if let Some(id) = self.indirects.pop_front() {
                self.indirect(engine, id);
                entries += 1;
                continue;
            }
            let Some(table) = self.tables.front().copied() else {
                break;
            };
            let program = engine.compiler();
            let rules = program.rules_of(table, self.behind, most - entries);
            self.behind = rules.last().copied();
            if self.behind.is_none() {
                self.tables.pop_front();
                entries += 1;
            }
            entries += rules.len();
            for id in rules {
                slice.extend(self.rule(engine, id));
            }
        }
        if !slice.is_empty() {
            self.slices.push(slice);
        }
        let is_through = self.tables.is_empty() && self.indirects.is_empty();
        if !is_through || entries == most {
            return Piece {
                entries,
                is_whole: false,
            };
        }
        let (rules, indirects, left) = engine.compiler_mut().altered(most - entries);
        entries += rules.len() + indirects.len();
        for id in rules {
            let rule = self.rule(engine, id);
            self.altered.insert(id, rule);
        }
        for id in indirects {
            self.indirect(engine, id);
        }
        Piece {
            entries,
            is_whole: left == 0,
        }
    }

    /// A rule as it is now, with its table.
    fn rule<S: Steering>(&mut self, engine: &mut Engine<S>, id: RuleId) -> Option<(Rule, Purpose)> {
        self.lost.remove(&id);
        let program = engine.compiler();
        let (rule, purpose) = with_purpose(program, program.rule(id)?);
        if !self.copied.tables.contains_key(&rule.table) {
            let table = program.table(rule.table)?;
            self.copied.tables.insert(table.id, table.clone());
        }
        let counts = rule.does.actions.contains(&Action::Count);
        // A rule that is being destroyed has no handle any more.
        if program.is_at_rest(id) {
            let nic = engine.steering_mut();
            let said = match nic.lacks(id) {
                Some(error) => Some(("the NIC has it", error)),
                None if counts => nic
                    .count(id)
                    .err()
                    .map(|e| ("the driver counts its packets", e)),
                None => None,
            };
            if let Some((planned, error)) = said {
                let lost = Difference {
                    object: words::purpose(&purpose),
                    planned: planned.into(),
                    found: error.to_string(),
                };
                self.lost.insert(id, lost);
            }
        }
        Some((rule, purpose))
    }

    fn indirect<S: Steering>(&mut self, engine: &mut Engine<S>, id: IndirectId) {
        self.other.remove(&id);
        let program = engine.compiler();
        let Some(now) = program.indirect(id) else {
            self.copied.indirects.remove(&id);
            return;
        };
        let has = engine.steering().indirect(id);
        if has != Some(&now.action) && !program.is_changing(id) {
            let other = Difference {
                object: format!("indirect action {}", id.0),
                planned: format!("{:?}", now.action),
                found: has.map_or("none".into(), |a| format!("{a:?}")),
            };
            self.other.insert(id, other);
        }
        self.copied.indirects.insert(id, now);
    }

    /// The copy, once a piece said that it is whole, and where the driver says otherwise. With `repair`
    /// rules that the driver does not have are put in again, as those are that failed.
    pub fn finish<S: Steering>(self, engine: &mut Engine<S>, repair: bool) -> Finished {
        let mut copied = self.copied;
        let program = engine.compiler_mut();
        program.end_copy();
        copied.unsettled = program.under_way();
        copied.failures = program.failures();
        let mut repaired = 0;
        for rule in self.lost.keys().filter(|_| repair) {
            let gone = engine.steering_mut().lacks(*rule).is_some();
            repaired += usize::from(gone && engine.compiler_mut().missed(*rule));
        }
        let lost = self.lost.into_values().chain(self.other.into_values());
        Finished {
            copy: Altered {
                copied,
                slices: self.slices,
                altered: self.altered,
            },
            lost: lost.collect(),
            repaired,
        }
    }

    /// Nobody wants it any more. To drop it takes as long as going through what was copied.
    pub fn give_up<S: Steering>(&mut self, engine: &mut Engine<S>) {
        engine.compiler_mut().end_copy();
    }
}

/// What has come of copying.
#[derive(Debug)]
pub struct Finished {
    /// The copy.
    pub copy: Altered,
    /// Where the driver says otherwise.
    pub lost: Vec<Difference>,
    /// Rules that are put in again.
    pub repaired: usize,
}

/// A copy whose rules are partly of before, and what they are now.
#[derive(Debug)]
pub struct Altered {
    copied: Copied,
    slices: Vec<Vec<(Rule, Purpose)>>,
    altered: BTreeMap<RuleId, Option<(Rule, Purpose)>>,
}

impl Altered {
    /// What the program is made for.
    pub fn config(&self) -> &Config {
        &self.copied.config
    }

    /// The copy. Takes as long as going through all rules.
    pub fn settle(self) -> Copied {
        let Altered {
            mut copied,
            slices,
            altered,
        } = self;
        let rules = slices.into_iter().flatten();
        let as_copied = rules.filter(|(rule, _)| !altered.contains_key(&rule.id));
        copied.rules.extend(as_copied);
        copied.rules.extend(altered.into_values().flatten());
        copied
    }
}

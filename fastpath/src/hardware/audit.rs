//! Audits of programs: what is in the NIC, by the compiler's books, against a program compiled anew from
//! the whole plan.
//!
//! Both are walked from the groups that every program has, hand in hand: numbers of tables, groups, rules
//! and hairpin queues depend on what happened before and say nothing, what packets meet does. A group is
//! compared once, so that one wrong rewrite is one difference, however many prefixes lead there.
//!
//! Pure, on copies: whoever owns the NIC takes a [`Snapshot`] and may go on. COUNT actions are left out:
//! who has one depends on how many counters there were then.

#[cfg(test)]
mod tests;
mod walk;
mod words;

use super::compile::{Compiler, Config, Purpose, Step};
use super::engine::Engine;
use super::plan::Change;
use super::program::{Action, Domain, Group, Indirect, IndirectId, Rule, Table, TableId};
use super::{Capabilities, Steering};
use crate::table::PortId;
use std::collections::HashMap;

impl Compiler {
    /// The program of a plan, in a NIC that refuses nothing.
    pub fn anew<'a>(
        config: Config,
        can: Capabilities,
        plan: impl IntoIterator<Item = &'a Change>,
    ) -> Compiler {
        let mut compiler = Compiler::new(config, can);
        for change in plan {
            compiler.apply(change);
        }
        while let Some(step) = compiler.step() {
            match step {
                Step::Create(table) => compiler.created(table.id, Ok(())),
                Step::Destroy(_) => {}
                Step::Operate(cookie, _) => compiler.completed(cookie, true),
            }
        }
        compiler
    }
}

/// Something that is not as planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// What: `prefix 10.0.0.0/8`, `nexthop 3, IPv4`.
    pub object: String,
    /// What it ought to be.
    pub planned: String,
    /// What it is.
    pub found: String,
}

/// Where tables are.
type Node = (Domain, PortId, Group);

/// A program at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    config: Config,
    can: Capabilities,
    tables: HashMap<TableId, Table>,
    rules: Vec<(Rule, Purpose)>,
    indirects: HashMap<IndirectId, Indirect>,
    /// Rules of each group, by their place in `rules`.
    groups: HashMap<Node, Vec<usize>>,
    /// Operations under way, and those that failed.
    unsettled: usize,
    failures: usize,
}

impl Snapshot {
    /// What `compiler` has in the NIC, as that has confirmed it.
    pub fn of(compiler: &Compiler) -> Self {
        let all = compiler
            .tables()
            .map(|(table, _)| (table.id, table.clone()));
        let tables: HashMap<TableId, Table> = all.collect();
        let all = compiler.rules().map(|rule| {
            let purpose = compiler.purpose(rule.id);
            (rule, purpose)
        });
        let rules: Vec<(Rule, Purpose)> = all.collect();
        let mut groups: HashMap<Node, Vec<usize>> = HashMap::new();
        for (at, (rule, _)) in rules.iter().enumerate() {
            if let Some(table) = tables.get(&rule.table) {
                let node = (table.domain, table.port, table.group);
                groups.entry(node).or_default().push(at);
            }
        }
        Snapshot {
            config: compiler.config().clone(),
            can: compiler.capabilities().clone(),
            tables,
            rules,
            indirects: compiler.indirects().map(|i| (i.id, i)).collect(),
            groups,
            unsettled: compiler.under_way(),
            failures: compiler.failures(),
        }
    }

    /// The program that a NIC that refuses nothing would have with this plan.
    #[must_use]
    pub fn anew<'a>(&self, plan: impl IntoIterator<Item = &'a Change>) -> Snapshot {
        let (config, can) = (self.config.clone(), self.can.clone());
        Snapshot::of(&Compiler::anew(config, can, plan))
    }

    /// Where the program is not as `planned`; in order.
    pub fn differences(&self, planned: &Snapshot) -> Vec<Difference> {
        let mut found = walk::walk(self, planned);
        if self.failures > 0 || self.unsettled > 0 {
            found.push(Difference {
                object: "operations".into(),
                planned: "none failed, none under way".into(),
                found: format!("{} failed, {} under way", self.failures, self.unsettled),
            });
        }
        found.sort();
        found
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// The first rule of a group, for its name.
    fn first(&self, node: Node) -> Option<&Purpose> {
        let rules = self.groups.get(&node)?;
        rules.iter().map(|at| &self.rules[*at].1).min()
    }
}

/// What is asked of a driver, one after the other: rules that count, and indirect actions.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    rules: Vec<(super::program::RuleId, Purpose)>,
    indirects: Vec<(IndirectId, Action)>,
}

impl Asking {
    /// All that the driver can be asked about.
    pub fn of(snapshot: &Snapshot) -> Self {
        let counts = |rule: &&(Rule, Purpose)| rule.0.does.actions.contains(&Action::Count);
        let rules = snapshot.rules.iter().filter(counts);
        let indirects = snapshot.indirects.values();
        Asking {
            rules: rules.map(|(rule, purpose)| (rule.id, *purpose)).collect(),
            indirects: indirects.map(|i| (i.id, i.action.clone())).collect(),
        }
    }

    /// Asks about some of them, what exists still by the compiler's books; false: that was all.
    pub fn ask<S: Steering>(
        &mut self,
        engine: &mut Engine<S>,
        most: usize,
        found: &mut Vec<Difference>,
    ) -> bool {
        for _ in 0..most {
            if let Some((rule, purpose)) = self.rules.pop() {
                if !engine.compiler().has_rule(rule) {
                    continue;
                }
                if let Err(error) = engine.steering_mut().count(rule) {
                    found.push(Difference {
                        object: words::purpose(&purpose),
                        planned: "the driver counts its packets".into(),
                        found: error.to_string(),
                    });
                }
            } else if let Some((id, planned)) = self.indirects.pop() {
                let now = engine.compiler().indirects().find(|i| i.id == id);
                let has = engine.steering().indirect(id);
                if now.is_some_and(|i| i.action == planned) && has != Some(&planned) {
                    found.push(Difference {
                        object: format!("indirect action {}", id.0),
                        planned: format!("{planned:?}"),
                        found: has.map_or("none".into(), |a| format!("{a:?}")),
                    });
                }
            } else {
                return false;
            }
        }
        true
    }
}

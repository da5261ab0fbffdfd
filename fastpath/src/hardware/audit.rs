//! Audits of programs: what is in the NIC, by the compiler's books, against a program compiled anew from
//! the whole plan.
//!
//! Both are walked from the groups that every program has, hand in hand: numbers of tables, groups, rules
//! and hairpin queues depend on what happened before and say nothing, what packets meet does. A group is
//! compared once, so that one wrong rewrite is one difference, however many prefixes lead there.
//!
//! Pure, on copies: whoever owns the NIC makes one piece by piece ([`Copying`]) and goes on meanwhile. COUNT actions are left out:
//! who has one depends on how many counters there were then.

mod copy;
#[cfg(test)]
mod tests;
mod walk;
mod words;

pub use copy::{Altered, Copied, Copying, Finished, Piece};

use super::Capabilities;
use super::compile::{Compiler, Config, Purpose, Step};
use super::plan::Change;
use super::program::{Domain, Group};
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

/// A program at one moment, in the order that packets meet it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    copied: Copied,
    /// Rules of each group, by their place among all.
    groups: HashMap<Node, Vec<usize>>,
}

impl From<Copied> for Snapshot {
    fn from(copied: Copied) -> Self {
        let mut groups: HashMap<Node, Vec<usize>> = HashMap::new();
        for (at, (rule, _)) in copied.rules.iter().enumerate() {
            if let Some(table) = copied.tables.get(&rule.table) {
                let node = (table.domain, table.port, table.group);
                groups.entry(node).or_default().push(at);
            }
        }
        Snapshot { copied, groups }
    }
}

impl Snapshot {
    /// What `compiler` has in the NIC, as that has confirmed it.
    pub fn of(compiler: &Compiler) -> Self {
        Copied::of(compiler).into()
    }

    /// The program that a NIC that refuses nothing would have with this plan.
    #[must_use]
    pub fn anew<'a>(&self, plan: impl IntoIterator<Item = &'a Change>) -> Snapshot {
        let (config, can) = (self.copied.config.clone(), self.copied.can.clone());
        Snapshot::of(&Compiler::anew(config, can, plan))
    }

    /// Where the program is not as `planned`; in order.
    pub fn differences(&self, planned: &Snapshot) -> Vec<Difference> {
        let mut found = walk::walk(self, planned);
        let (failures, unsettled) = (self.copied.failures, self.copied.unsettled);
        if failures > 0 || unsettled > 0 {
            found.push(Difference {
                object: "operations".into(),
                planned: "none failed, none under way".into(),
                found: format!("{failures} failed, {unsettled} under way"),
            });
        }
        found.sort();
        found
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.copied.rules.len()
    }

    /// The first rule of a group, for its name.
    fn first(&self, node: Node) -> Option<&Purpose> {
        let rules = self.groups.get(&node)?;
        rules.iter().map(|at| &self.copied.rules[*at].1).min()
    }
}

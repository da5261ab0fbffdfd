//! Rules of rte_flow's first API, which have no tables: one of the e-switch's own for each kind of pattern
//! and actions.

use crate::nic::{CLASSIC, Nic};
use fastpath::hardware::program::{
    Action, ActionsTemplate, Domain, Group, Insertion, Operation, PatternTemplate, Place, Rule,
    RuleId, Table, TableId,
};
use fastpath::hardware::{Error, Steering};
use fastpath::table::PortId;
use std::collections::HashMap;

/// Rules of a kind.
const ROOM: u32 = 1 << 14;

/// No space is left (`ENOSPC`).
const NO_SPACE: i32 = 28;

struct Kind {
    port: u32,
    priority: u32,
    pattern: PatternTemplate,
    actions: ActionsTemplate,
    table: TableId,
    rules: u32,
}

/// All of them.
#[derive(Default)]
pub struct Classic {
    kinds: Vec<Kind>,
    /// By rule.
    tables: HashMap<u64, TableId>,
}

/// What a rule is made of.
pub struct Wanted {
    pub port: u32,
    pub priority: u32,
    pub pattern: PatternTemplate,
    pub values: Vec<u128>,
    pub actions: Vec<Action>,
}

impl Nic {
    /// Puts a rule in; with `only_ask` whether it would be taken.
    pub fn rule(&mut self, wanted: Wanted, only_ask: bool) -> Result<u64, Error> {
        self.look();
        let refuse = |errno, why: &'static str| Err(Error::new(errno, why));
        let marks = wanted.actions.iter().any(|a| matches!(a, Action::Mark(_)));
        if marks && self.flaws.no_mark {
            return refuse(Error::NOT_SUPPORTED, "MARK is not supported");
        }
        let table = Table {
            id: TableId(0),
            port: PortId(wanted.port as u16),
            domain: Domain::Ingress,
            group: Group(0),
            priority: wanted.priority,
            insertion: Insertion::Pattern,
            size: ROOM,
            pattern: wanted.pattern.clone(),
            actions: vec![ActionsTemplate::per_rule(&wanted.actions)],
        };
        table.check()?;
        if only_ask {
            return Ok(0);
        }
        let room = self.flaws.rules.unwrap_or(u64::MAX);
        if self.classic.tables.len() as u64 >= room {
            return refuse(NO_SPACE, "no room for another rule");
        }
        let is_its = |kind: &Kind| {
            (kind.port, kind.priority) == (wanted.port, wanted.priority)
                && kind.pattern == wanted.pattern
                && kind.actions.takes(&wanted.actions)
        };
        let at = match self.classic.kinds.iter().position(is_its) {
            Some(at) => at,
            None => {
                let actions = table.actions[0].clone();
                let table = TableId(self.create_table(table)? as u32);
                self.classic.kinds.push(Kind {
                    port: wanted.port,
                    priority: wanted.priority,
                    pattern: wanted.pattern,
                    actions,
                    table,
                    rules: 0,
                });
                self.classic.kinds.len() - 1
            }
        };
        let table = self.classic.kinds[at].table;
        let place = Place::Pattern {
            spec: wanted.values,
            last: Vec::new(),
        };
        let id = self.next_rule();
        let rule = Rule {
            id: RuleId(id),
            table,
            place,
            does: fastpath::hardware::program::Does::new(0, wanted.actions),
        };
        self.at_once(&Operation::Insert(rule))?;
        self.classic.kinds[at].rules += 1;
        self.classic.tables.insert(id, table);
        Ok(id)
    }

    /// Takes a rule out; with the last of its kind the table goes.
    pub fn rule_destroy(&mut self, rule: u64) -> Result<u64, Error> {
        self.look();
        let Some(table) = self.classic.tables.get(&rule).copied() else {
            return Err(Error::new(Error::NOT_FOUND, "there is no such rule"));
        };
        self.at_once(&Operation::Destroy(RuleId(rule)))?;
        self.classic.tables.remove(&rule);
        let kinds = &mut self.classic.kinds;
        if let Some(at) = kinds.iter().position(|k| k.table == table) {
            kinds[at].rules -= 1;
            if kinds[at].rules == 0 {
                kinds.swap_remove(at);
                self.destroy_table(table.0)?;
            }
        }
        Ok(0)
    }

    /// The port stops: its rules are gone.
    pub fn forget_classic(&mut self, port: u32) -> Result<(), Error> {
        let of = |kind: &&Kind| kind.port == port;
        let tables = self.classic.kinds.iter().filter(of);
        let tables: Vec<TableId> = tables.map(|kind| kind.table).collect();
        let rules = self.classic.tables.iter();
        let rules = rules.filter(|(_, table)| tables.contains(table));
        let rules: Vec<u64> = rules.map(|(rule, _)| *rule).collect();
        for rule in rules {
            self.rule_destroy(rule)?;
        }
        Ok(())
    }

    /// Carries an operation out before this returns.
    fn at_once(&mut self, operation: &Operation) -> Result<(), Error> {
        self.sim.enqueue(CLASSIC, operation, false, 0)?;
        self.sim.push(CLASSIC)?;
        let mut done = Vec::new();
        self.sim.pull(CLASSIC, &mut done)?;
        if done.iter().all(|one| one.done) {
            return Ok(());
        }
        if let Operation::Insert(rule) = operation {
            // What failed is taken out, too.
            let destroy = Operation::Destroy(rule.id);
            self.sim.enqueue(CLASSIC, &destroy, false, 0)?;
            self.sim.push(CLASSIC)?;
            self.sim.pull(CLASSIC, &mut Vec::new())?;
        }
        Err(Error::new(Error::IO, "the NIC has failed to do it"))
    }
}

//! The program: tables, rules and operations, in the vocabulary of rte_flow's template API.
//!
//! It is plain data. Whoever makes it (the compiler) gives out the numbers of tables, rules and
//! indirect actions; a backend keeps the handles that belong to them.

mod action;
mod check;
mod pattern;

pub use action::{
    Action, ActionsTemplate, LINEAR_TAG, Modify, Rss, RssFields, Source, Target, Templated, Verb,
};
pub use check::Misuse;
pub use pattern::{Field, Item, Masked, PatternTemplate};

use crate::table::PortId;

/// A group of tables (`rte_flow_attr.group`): where a packet is, and where it jumps to. Group 0 is
/// the root of its domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u32);

/// Number of a table, given out by who makes the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// Number of a rule, likewise; another one has it only when this one was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u64);

/// Number of an indirect action, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndirectId(pub u32);

/// Which packets a table sees (`rte_flow_attr.ingress`, `.egress`, `.transfer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// What one port receives. Not in the root and without a rule that matches: dropped.
    Ingress,
    /// What one port sends. Without a rule that matches: sent.
    Egress,
    /// What goes through the e-switch (FDB). Without a rule that matches: to the e-switch manager,
    /// and so to the software of the port it came from.
    Transfer,
}

/// How rules get into a table (`rte_flow_template_table_attr.insertion_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insertion {
    /// `RTE_FLOW_TABLE_INSERTION_TYPE_PATTERN`: a packet hits the rule whose values it has.
    Pattern,
    /// `RTE_FLOW_TABLE_INSERTION_TYPE_INDEX`: a packet hits a row, always; which one, the hash says.
    Index(HashFunction),
}

/// `rte_flow_template_table_attr.hash_func`, for tables of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashFunction {
    /// `RTE_FLOW_TABLE_HASH_FUNC_CRC32`: of the pattern template's fields ([`super::crc`]).
    Crc32,
    /// `RTE_FLOW_TABLE_HASH_FUNC_LINEAR`: the row is tag [`LINEAR_TAG`].
    Linear,
}

/// A template table (`rte_flow_template_table_create`) with its templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its number.
    pub id: TableId,
    /// The ethdev it is made on: of ingress the port whose packets it sees, of egress the one that
    /// sends them, of transfer the proxy port.
    pub port: PortId,
    /// Which packets.
    pub domain: Domain,
    /// Where in the domain.
    pub group: Group,
    /// The tables of a group are tried in this order, 0 first.
    pub priority: u32,
    /// How rules get in.
    pub insertion: Insertion,
    /// Room for this many rules (`nb_flows`); of rows a power of two, all of which must be filled.
    pub size: u32,
    /// What is matched or hashed.
    pub pattern: PatternTemplate,
    /// What rules may do, by index.
    pub actions: Vec<ActionsTemplate>,
}

impl Table {
    /// What rows are chosen by, in a table of rows by CRC-32 whose hash is known.
    pub fn rows_by(&self) -> Option<super::crc::Input> {
        let crc = Insertion::Index(HashFunction::Crc32);
        let input = super::crc::Input::of(&self.pattern);
        input.filter(|_| self.insertion == crc)
    }
}

/// Where a rule stands in its table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `rte_flow_async_create`: the values that it matches, in the order of the template's fields and
    /// under their masks; the last values of ranges in the same places, else the same again.
    Pattern {
        /// Values.
        spec: Vec<u128>,
        /// Last values of ranges; empty in a template without any.
        last: Vec<u128>,
    },
    /// `rte_flow_async_create_by_index`.
    Index(u32),
}

impl Place {
    /// That of a rule with these values, none of them a range.
    pub fn values(spec: impl Into<Vec<u128>>) -> Self {
        Place::Pattern {
            spec: spec.into(),
            last: Vec::new(),
        }
    }
}

/// What a rule does: one of its table's actions templates, and all actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Does {
    /// Index of the template.
    pub template: u8,
    /// The actions.
    pub actions: Vec<Action>,
}

impl Does {
    /// By the template of this index.
    pub fn new(template: u8, actions: impl Into<Vec<Action>>) -> Self {
        Does {
            template,
            actions: actions.into(),
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number.
    pub id: RuleId,
    /// Its table.
    pub table: TableId,
    /// Where in it.
    pub place: Place,
    /// What it does.
    pub does: Does,
}

/// An indirect action (`rte_flow_async_action_handle_create`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indirect {
    /// Its number.
    pub id: IndirectId,
    /// The ethdev it is made on.
    pub port: PortId,
    /// Of which domain.
    pub domain: Domain,
    /// What it does.
    pub action: Action,
}

/// One asynchronous operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `rte_flow_async_create` or `rte_flow_async_create_by_index`. Also after an error the handle
    /// is to be destroyed.
    Insert(Rule),
    /// `rte_flow_async_actions_update`: from one packet to the next the rule does something else.
    /// In tables of patterns only: in tables of rows mlx5 writes another row (v24.11
    /// `mlx5_flow_hw.c:4163`).
    Update(RuleId, Does),
    /// `rte_flow_async_destroy`, of a rule with no operation under way.
    Destroy(RuleId),
    /// `rte_flow_async_action_handle_create`.
    InsertIndirect(Indirect),
    /// `rte_flow_async_action_handle_update`: of RSS one firmware command.
    UpdateIndirect(IndirectId, Action),
    /// `rte_flow_async_action_handle_destroy`, when no rule has it any more.
    DestroyIndirect(IndirectId),
}

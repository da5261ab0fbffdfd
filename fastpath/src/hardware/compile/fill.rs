//! What is in the NIC, by what it is for.

use super::super::program::{Action, Group, Insertion, Item, Table};
use super::Compiler;
use super::frame::{ADMIT, KERNEL, LPM, SOFTWARE};

/// The tables of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// What they are for.
    pub kind: &'static str,
    /// Where packets meet them.
    pub order: u8,
    /// How many there are.
    pub tables: usize,
    /// Rules in them.
    pub rules: usize,
    /// Rules that they have room for.
    pub room: u64,
}

/// In the order in which packets meet them.
const KINDS: [&str; 8] = [
    "root", "admit", "prefixes", "groups", "rows", "nexthops", "egress", "software",
];

fn kind(table: &Table) -> u8 {
    let rewrites = || {
        let templates = table.actions.iter().flat_map(|t| &t.0);
        let mut actions = templates.map(|t| &t.action);
        actions.any(|a| matches!(a, Action::Modify(_)))
    };
    let fields = &table.pattern.items;
    if table.domain == super::super::program::Domain::Egress {
        return 6;
    }
    match table.group {
        Group(0) => 0,
        group if ADMIT.contains(&group) => 1,
        group if LPM.contains(&group) => 2,
        SOFTWARE | KERNEL => 7,
        _ if matches!(table.insertion, Insertion::Index(_)) => 4,
        // Guards of a next hop are by the port that packets came in by.
        _ if rewrites() || fields.contains(&Item::RepresentedPort) => 5,
        // Rules of an RSS action are what rows are elsewhere.
        _ if !fields.is_empty() => 4,
        _ => 3,
    }
}

impl Compiler {
    /// Tables in the NIC by kind, in the order in which packets meet them.
    pub fn fills(&self) -> Vec<Fill> {
        let mut fills: Vec<Fill> = Vec::new();
        for (table, rules) in self.tables() {
            let order = kind(table);
            let known = fills.iter().position(|f| f.order == order);
            let at = known.unwrap_or_else(|| {
                fills.push(Fill {
                    kind: KINDS[usize::from(order)],
                    order,
                    tables: 0,
                    rules: 0,
                    room: 0,
                });
                fills.len() - 1
            });
            let fill = &mut fills[at];
            fill.tables += 1;
            fill.rules += rules;
            fill.room += u64::from(table.size);
        }
        fills.sort_unstable_by_key(|f| f.order);
        fills
    }

    /// Prefixes of the plan.
    pub fn prefix_count(&self) -> usize {
        self.lpm.iter().map(|lpm| lpm.planned()).sum()
    }

    /// What the NIC can do.
    pub fn capabilities(&self) -> &super::Capabilities {
        &self.can
    }
}

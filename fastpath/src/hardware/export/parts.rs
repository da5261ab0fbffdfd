//! Which ethdev gets what of all programs, in the order in which it is said.

use super::super::audit::Copied;
use super::super::program::{Indirect, Rule, Table};
use crate::table::PortId;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What one ethdev gets, each with its program.
#[derive(Default)]
pub(super) struct Part<'a> {
    pub(super) tables: Vec<(usize, &'a Table)>,
    pub(super) indirects: Vec<(usize, &'a Indirect)>,
    pub(super) rules: Vec<(usize, &'a Rule)>,
}

/// The table of a rule.
pub(super) fn table<'a>(programs: &'a [Copied], at: usize, rule: &Rule) -> Option<&'a Table> {
    programs.get(at)?.tables.get(&rule.table)
}

pub(super) fn of(programs: &[Copied]) -> BTreeMap<PortId, Part<'_>> {
    let mut parts: BTreeMap<PortId, Part<'_>> = BTreeMap::new();
    for (at, program) in programs.iter().enumerate() {
        for table in program.tables.values() {
            let part = parts.entry(table.port).or_default();
            part.tables.push((at, table));
        }
        for indirect in program.indirects.values() {
            let part = parts.entry(indirect.port).or_default();
            part.indirects.push((at, indirect));
        }
        for (rule, _) in &program.rules {
            if let Some(table) = program.tables.get(&rule.table) {
                let part = parts.entry(table.port).or_default();
                part.rules.push((at, rule));
            }
        }
    }
    for part in parts.values_mut() {
        part.tables.sort_by_key(|(at, t)| (*at, t.id));
        part.indirects.sort_by_key(|(at, i)| (*at, i.id));
        // Those that others lead to are in groups of higher numbers.
        part.rules.sort_by_key(|(at, rule)| {
            let group = table(programs, *at, rule).map(|t| t.group);
            (Reverse(group), *at, rule.table, rule.id)
        });
    }
    parts
}

//! Generations: tables of rows, or an RSS action and its rules, made beside those in force.

use super::super::plan::{Family, NexthopId};
use super::super::program::{
    Action, ActionsTemplate, Does, Domain, Group, HashFunction, Indirect, IndirectId, Insertion,
    Item, PatternTemplate, Place, Rss, RuleId, Table,
};
use super::Compiler;
use super::frame::{SOFTWARE, to};
use super::group::{Aim, Build, Made};
use super::ledger::Kind;
use crate::table::GroupId;
use std::collections::BTreeSet;

impl Compiler {
    /// Takes the generation in the making as far as it goes.
    pub(super) fn progress(&mut self, id: GroupId, family: Family) {
        let Some(build) = self.branch(id, family).and_then(|b| b.build.as_ref()) else {
            return self.mend(id, family);
        };
        let ready: Vec<_> = build
            .hops
            .iter()
            .map(|h| self.hop_ready(*h, family))
            .collect();
        let lost = ready.contains(&Some(false));
        if build.made.is_none() && ready.contains(&None) {
            return;
        }
        match &build.aim {
            Aim::Direct(_) | Aim::Shared(..) if lost => {
                return self.point(id, family, to(SOFTWARE));
            }
            Aim::Rows(_) | Aim::Shared(..) if build.made.is_none() => {
                return self.make(id, family);
            }
            _ => {}
        }
        let done = build
            .made
            .as_ref()
            .is_none_or(|m| !m.cells.is_empty() && m.open.is_empty());
        let does = if done {
            self.entry(id, family, false)
        } else {
            None
        };
        if let Some(does) = does {
            self.point(id, family, does);
        }
    }

    /// A generation whose rows lead to software for want of a next hop's rule, which may be there
    /// now, is made again.
    pub(super) fn mend(&mut self, id: GroupId, family: Family) {
        let live = self.branch(id, family).and_then(|b| b.live.as_ref());
        let Some(live) = live.filter(|l| l.degraded) else {
            return;
        };
        if live
            .hops
            .iter()
            .all(|h| self.hop_ready(*h, family) == Some(true))
        {
            if let Some(branch) = self.branch_mut(id, family) {
                branch.aim = None;
            }
            self.consider(id, family);
        }
    }

    /// Wants the tables and rules of the generation in the making.
    pub(super) fn make(&mut self, id: GroupId, family: Family) {
        let Some(build) = self.branch(id, family).and_then(|b| b.build.as_ref()) else {
            return;
        };
        let (aim, number) = (build.aim.clone(), build.number);
        let kind = Kind::Row(id, family, number);
        let group = self.ledger.group();
        let (made, degraded) = match aim {
            Aim::Rows(buckets) => self.make_rows(kind, family, group, &buckets),
            Aim::Shared(_, rss) => (self.make_shared((id, family), group, rss), false),
            Aim::Software(_) | Aim::Direct(_) => return,
        };
        if let Some(build) = self.branch_mut(id, family).and_then(|b| b.build.as_mut()) {
            build.degraded = degraded;
            build.made = Some(made);
        }
    }

    fn make_rows(
        &mut self,
        kind: Kind,
        family: Family,
        group: Group,
        buckets: &[NexthopId],
    ) -> (Made, bool) {
        let least = 1_u32.checked_shl(self.can.min_rows_log).unwrap_or(1);
        let size = (buckets.len() as u32).max(least);
        let spec = Table {
            insertion: Insertion::Index(HashFunction::Crc32),
            size,
            ..self.pattern_table(
                (group, 0, size),
                match family {
                    Family::V4 => PatternTemplate::flow4(),
                    Family::V6 => PatternTemplate::flow6(),
                },
                vec![ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)])],
            )
        };
        let table = self.ledger.table(spec);
        let (mut cells, mut degraded) = (Vec::with_capacity(size as usize), false);
        for row in 0..size {
            // A table may be larger than the group: buckets go by low bits, so they repeat.
            let hop = buckets.get(row as usize % buckets.len().max(1));
            let side = hop
                .filter(|h| self.hop_ready(**h, family) == Some(true))
                .and_then(|h| self.hops.get(h)?.sides[family as usize].as_ref());
            degraded |= side.is_none();
            let does = to(side.map_or(SOFTWARE, |s| s.group));
            let cell = self.ledger.cell(kind, table, Place::Index(row));
            self.ledger.want(cell, Some(does));
            cells.push(cell);
        }
        let made = Made {
            group,
            tables: vec![table],
            open: cells.iter().copied().collect(),
            cells,
            shared: None,
        };
        (made, degraded)
    }

    /// Design B: rules that spread UDP and TCP by one RSS action.
    fn make_shared(&mut self, (id, family): (GroupId, Family), group: Group, rss: Rss) -> Made {
        let indirect = Indirect {
            id: IndirectId(0),
            port: self.config.port(),
            domain: Domain::Ingress,
            action: Action::Rss(rss),
        };
        let shared = self.ledger.share((id, family), indirect);
        let item = [Item::Ipv4, Item::Ipv6][family as usize];
        let mut tables = Vec::new();
        for (priority, l4) in [Item::Udp, Item::Tcp].into_iter().enumerate() {
            let pattern = PatternTemplate::exact(&[Item::Eth, item, l4], &[]);
            let actions = ActionsTemplate::per_rule(&[Action::Indirect(shared)]);
            let spec = self.pattern_table((group, priority as u32, 1), pattern, vec![actions]);
            tables.push(self.ledger.table(spec));
        }
        Made {
            group,
            tables,
            // They come when the action is there.
            open: BTreeSet::new(),
            cells: Vec::new(),
            shared: Some(shared),
        }
    }

    /// The RSS action of a generation is there, or is not.
    pub(super) fn shared_changed(&mut self, id: GroupId, family: Family, done: bool) {
        if done {
            self.release_left(id, family);
        }
        let build = self.branch(id, family).and_then(|b| b.build.as_ref());
        let Some((number, made)) = build.and_then(|b| Some((b.number, b.made.as_ref()?))) else {
            return;
        };
        let Some(shared) = made.shared.filter(|_| made.cells.is_empty()) else {
            return;
        };
        let tables = made.tables.clone();
        if !self.ledger.is_shared(shared) {
            return self.point(id, family, to(SOFTWARE));
        }
        let does = Does::new(0, [Action::Indirect(shared)]);
        let mut cells = Vec::new();
        for table in tables {
            let kind = Kind::Row(id, family, number);
            let cell = self.ledger.cell(kind, table, Place::values([]));
            self.ledger.want(cell, Some(does.clone()));
            cells.push(cell);
        }
        let build = self.branch_mut(id, family).and_then(|b| b.build.as_mut());
        if let Some(made) = build.and_then(|b| b.made.as_mut()) {
            made.open = cells.iter().copied().collect();
            made.cells = cells;
        }
    }

    /// The RSS action in force is not what it ought to be, and could not be changed.
    pub(super) fn is_shared_stale(&self, id: GroupId, family: Family) -> bool {
        let live = self.branch(id, family).and_then(|b| b.live.as_ref());
        let shared = live.and_then(|l| l.made.as_ref()?.shared);
        shared.is_some_and(|s| self.ledger.is_shared_stale(s))
    }

    /// Next hops that an RSS action has led to before its last update.
    pub(super) fn release_left(&mut self, id: GroupId, family: Family) {
        let here = |l: &(GroupId, Family, Vec<NexthopId>)| (l.0, l.1) == (id, family);
        let (left, rest) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(here);
        self.leaving = rest;
        let left: Vec<(GroupId, Family, Vec<NexthopId>)> = left;
        for hop in left.into_iter().flat_map(|l| l.2) {
            self.release(hop, family, id);
        }
    }

    /// A rule of a generation has settled or failed.
    pub(super) fn row_changed(
        &mut self,
        (id, family, number): (GroupId, Family, u64),
        cell: RuleId,
    ) {
        let failed = self.ledger.has_failed(cell);
        let build = self.branch_mut(id, family).and_then(|b| b.build.as_mut());
        let Some(build) = build.filter(|b| b.number == number) else {
            return;
        };
        if failed {
            return self.point(id, family, to(SOFTWARE));
        }
        let Some(made) = &mut build.made else {
            return;
        };
        if made.open.remove(&cell) && made.open.is_empty() {
            self.progress(id, family);
        }
    }

    /// A generation that nothing leads to any more, or nothing will.
    pub(super) fn discard(&mut self, id: GroupId, family: Family, build: Build) {
        if let Some(made) = build.made {
            if let Some(shared) = made.shared {
                let last: BTreeSet<RuleId> = made.cells.iter().copied().collect();
                if last.is_empty() {
                    self.ledger.want_shared(shared, None);
                } else {
                    self.unshared.push((shared, last));
                }
                self.release_left(id, family);
            }
            self.retire(made.group, made.cells, made.tables);
        }
        for hop in build.hops {
            self.release(hop, family, id);
        }
    }
}

//! Groups: one rule that chooses the generation, and generations of bucket tables.
//!
//! ```text
//!  prefix ─► SELECT(group): one rule ─► generation 7: rows ─► next hops
//!                                       generation 8: rows, being filled
//! ```
//!
//! Rows are never changed (the driver would write other ones). Another table of buckets is another
//! generation: filled row by row beside the one in force, then SELECT is pointed there, then the old
//! one goes. As long as something is missing, SELECT leads to software.

use super::super::plan::{Family, NexthopId};
use super::super::program::{
    Action, ActionsTemplate, Does, Group, IndirectId, PatternTemplate, Place, Rss, RuleId, TableId,
};
use super::frame::{SOFTWARE, to};
use super::ledger::Kind;
use super::state::Reason;
use super::{Compiler, Design};
use crate::table::GroupId;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) type Buckets = Arc<[NexthopId]>;

/// What is wanted for a group and a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Software, for these reasons.
    Software(Vec<Reason>),
    /// All packets to one next hop.
    Direct(NexthopId),
    /// Rows, one for each bucket.
    Rows(Buckets),
    /// RSS over the hairpin queues of these buckets.
    Shared(Buckets, Rss),
}

/// A generation, made or in the making.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) aim: Aim,
    pub(super) number: u64,
    /// The group of its tables, once they are wanted.
    pub(super) made: Option<Made>,
    /// Next hops acquired, each once.
    pub(super) hops: Vec<NexthopId>,
    /// A next hop's rule could not be had: its rows lead to software.
    pub(super) degraded: bool,
}

impl Build {
    /// Its tables, as far as they are wanted yet.
    pub(super) fn tables(&self) -> &[TableId] {
        self.made.as_ref().map_or(&[], |m| &m.tables)
    }
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) group: Group,
    pub(super) tables: Vec<TableId>,
    pub(super) cells: Vec<RuleId>,
    /// Those of the cells that are not there yet.
    pub(super) open: BTreeSet<RuleId>,
    pub(super) shared: Option<IndirectId>,
}

/// A group's rules for one family.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) group: Group,
    table: TableId,
    pub(super) select: RuleId,
    /// SELECT has been there once: prefixes may lead to it.
    ready: bool,
    pub(super) aim: Option<Aim>,
    pub(super) build: Option<Build>,
    pub(super) live: Option<Build>,
}

/// A group of the plan.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) buckets: Option<Buckets>,
    pub(super) branches: [Option<Branch>; 2],
}

impl Compiler {
    /// Buckets of a group, or none any more.
    pub(super) fn set_group(&mut self, id: GroupId, buckets: Option<Buckets>) {
        let known = self.sets.contains_key(&id);
        let Some(buckets) = buckets.filter(|b| b.len().is_power_of_two()) else {
            let Some(set) = self.sets.remove(&id) else {
                return;
            };
            for family in Family::ALL {
                self.refresh_group(id, family);
            }
            for (family, branch) in Family::ALL.into_iter().zip(set.branches) {
                if let Some(branch) = branch {
                    for build in [branch.build, branch.live].into_iter().flatten() {
                        self.discard(id, family, build);
                    }
                    self.retire(branch.group, vec![branch.select], vec![branch.table]);
                }
            }
            return;
        };
        self.sets.entry(id).or_default().buckets = Some(buckets);
        for family in Family::ALL {
            if known {
                self.consider(id, family);
            } else {
                self.refresh_group(id, family);
            }
        }
    }

    /// Where prefixes jump to for a group; `None`: not yet known.
    pub(super) fn entrance(&mut self, id: GroupId, family: Family) -> Option<Group> {
        let at = family as usize;
        let Some(set) = self.sets.get(&id) else {
            return Some(SOFTWARE);
        };
        if set.branches[at].is_none() {
            let branch = self.make_branch(id, family);
            if let Some(set) = self.sets.get_mut(&id) {
                set.branches[at] = Some(branch);
            }
            self.consider(id, family);
        }
        let branch = self.branch(id, family)?;
        if branch.ready {
            Some(branch.group)
        } else if self.ledger.has_failed(branch.select) {
            Some(SOFTWARE)
        } else {
            None
        }
    }

    fn make_branch(&mut self, id: GroupId, family: Family) -> Branch {
        let group = self.ledger.group();
        let mut actions = vec![ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)])];
        if self.config.design == Design::Rss {
            actions.push(ActionsTemplate::per_rule(&[Action::Queue(0)]));
        }
        let spec = self.pattern_table((group, 0, 1), PatternTemplate::default(), actions);
        let table = self.ledger.table(spec);
        let select = self
            .ledger
            .cell(Kind::Select(id, family), table, Place::values([]));
        self.ledger.want(select, Some(to(SOFTWARE)));
        Branch {
            group,
            table,
            select,
            ready: false,
            aim: None,
            build: None,
            live: None,
        }
    }

    pub(super) fn branch(&self, id: GroupId, family: Family) -> Option<&Branch> {
        self.sets.get(&id)?.branches[family as usize].as_ref()
    }

    pub(super) fn branch_mut(&mut self, id: GroupId, family: Family) -> Option<&mut Branch> {
        self.sets.get_mut(&id)?.branches[family as usize].as_mut()
    }

    /// All groups with a next hop among their buckets.
    pub(super) fn sets_with(&self, hop: NexthopId) -> Vec<GroupId> {
        let has = |b: &Buckets| b.contains(&hop);
        let sets = self
            .sets
            .iter()
            .filter(|(_, s)| s.buckets.as_ref().is_some_and(has));
        let mut ids: Vec<GroupId> = sets.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// What hardware is to do for a group.
    fn aim(&self, id: GroupId, family: Family) -> Aim {
        let Some(buckets) = self.sets.get(&id).and_then(|s| s.buckets.clone()) else {
            return Aim::Software(vec![Reason::Unknown]);
        };
        let Some(first) = buckets.first().copied() else {
            return Aim::Software(vec![Reason::Unknown]);
        };
        let rss = self.config.design == Design::Rss;
        let mut lacks: Vec<Reason> = Vec::new();
        if rss {
            let mut members: Vec<NexthopId> = buckets.to_vec();
            members.sort_unstable();
            members.dedup();
            lacks.extend(
                members
                    .iter()
                    .filter_map(|m| self.sendable(*m, family).err()),
            );
        }
        if !lacks.is_empty() {
            return Aim::Software(lacks);
        }
        if buckets.iter().all(|b| *b == first) {
            return Aim::Direct(first);
        }
        let most = if rss {
            self.can.rss_rows
        } else {
            1_u32.checked_shl(self.can.max_rows_log).unwrap_or(u32::MAX)
        };
        match &self.expressions[family as usize] {
            Err(reasons) => Aim::Software(reasons.clone()),
            Ok(_) if buckets.len() > most as usize => {
                Aim::Software(vec![Reason::Rows(buckets.len() as u32)])
            }
            Ok(super::express::Expression::Rows) => Aim::Rows(buckets),
            Ok(super::express::Expression::Rss(rss)) => {
                let queue = |id: &NexthopId| self.hops.get(id)?.hairpin.map(|h| h.queue);
                let queues = buckets.iter().map(|b| queue(b).unwrap_or(0)).collect();
                Aim::Shared(
                    buckets,
                    Rss {
                        queues,
                        ..rss.clone()
                    },
                )
            }
        }
    }

    /// Looks again at what a group is to do, and begins it.
    pub(super) fn consider(&mut self, id: GroupId, family: Family) {
        let aim = self.aim(id, family);
        let Some(branch) = self.branch_mut(id, family) else {
            return;
        };
        if branch.aim.as_ref() == Some(&aim) {
            return;
        }
        branch.aim = Some(aim.clone());
        if let Some(build) = branch.build.take() {
            self.discard(id, family, build);
        }
        if self.adjust(id, family, &aim) {
            return;
        }
        let mut hops = match &aim {
            Aim::Software(_) => return self.point(id, family, to(SOFTWARE)),
            Aim::Direct(hop) => vec![*hop],
            Aim::Rows(buckets) | Aim::Shared(buckets, _) => buckets.to_vec(),
        };
        hops.sort_unstable();
        hops.dedup();
        self.generation += 1;
        let number = self.generation;
        let Some(branch) = self.branch_mut(id, family) else {
            return;
        };
        let build = Build {
            aim,
            number,
            made: None,
            hops: hops.clone(),
            degraded: false,
        };
        branch.build = Some(build);
        for hop in hops {
            self.acquire(hop, family, id);
        }
        self.progress(id, family);
    }

    /// The live generation already does it, or its RSS action will after one update.
    fn adjust(&mut self, id: GroupId, family: Family, aim: &Aim) -> bool {
        let Some(live) = self.branch_mut(id, family).and_then(|b| b.live.as_mut()) else {
            return false;
        };
        if live.aim == *aim && !live.degraded {
            let does = self.entry(id, family, true);
            if let Some(does) = does {
                self.point(id, family, does);
                return true;
            }
            return false;
        }
        let (Aim::Shared(_, old), Aim::Shared(buckets, new)) = (&live.aim, aim) else {
            return false;
        };
        let Some(shared) = live.made.as_ref().and_then(|m| m.shared) else {
            return false;
        };
        // What a packet is hashed by goes with the rules; only queues go with the action.
        if (old.fields, old.symmetric, &old.key) != (new.fields, new.symmetric, &new.key) {
            return false;
        }
        let mut hops = buckets.to_vec();
        hops.sort_unstable();
        hops.dedup();
        let rss = new.clone();
        let is_missing = |h: &NexthopId| self.hop_ready(*h, family) != Some(true);
        if hops.iter().any(is_missing) {
            // A next hop without rules yet: as a new generation.
            return false;
        }
        for hop in &hops {
            self.acquire(*hop, family, id);
        }
        let Some(live) = self.branch_mut(id, family).and_then(|b| b.live.as_mut()) else {
            return false;
        };
        live.aim = aim.clone();
        let before = std::mem::replace(&mut live.hops, hops);
        self.ledger.want_shared(shared, Some(Action::Rss(rss)));
        self.leaving.push((id, family, before));
        if let Some(does) = self.entry(id, family, true) {
            self.point(id, family, does);
        }
        true
    }

    /// What SELECT does for a generation, the live one or the one in the making.
    pub(super) fn entry(&self, id: GroupId, family: Family, live: bool) -> Option<Does> {
        let branch = self.branch(id, family)?;
        let build = if live { &branch.live } else { &branch.build };
        let build = build.as_ref()?;
        match &build.aim {
            Aim::Software(_) => Some(to(SOFTWARE)),
            Aim::Direct(hop) if self.config.design == Design::Rss => {
                let hairpin = self.hops.get(hop)?.hairpin?;
                Some(Does::new(1, [Action::Queue(hairpin.queue)]))
            }
            Aim::Direct(hop) => {
                let side = self.hops.get(hop)?.sides[family as usize].as_ref()?;
                Some(to(side.group))
            }
            Aim::Rows(_) | Aim::Shared(..) => Some(to(build.made.as_ref()?.group)),
        }
    }

    pub(super) fn point(&mut self, id: GroupId, family: Family, does: Does) {
        if let Some(select) = self.branch(id, family).map(|b| b.select) {
            self.ledger.want(select, Some(does));
        }
    }

    /// SELECT has settled or failed.
    pub(super) fn select_changed(&mut self, id: GroupId, family: Family, cell: RuleId) {
        let Some(branch) = self.branch(id, family).filter(|b| b.select == cell) else {
            return;
        };
        let (select, was_ready) = (branch.select, branch.ready);
        let has = self.ledger.have(select).cloned();
        if !was_ready {
            if let Some(branch) = self.branch_mut(id, family) {
                branch.ready = has.is_some();
            }
            if has.is_some() || self.ledger.has_failed(select) {
                self.refresh_group(id, family);
            }
        }
        let Some(has) = has.filter(|_| self.ledger.is_settled(select)) else {
            return;
        };
        let next = self.entry(id, family, false);
        let Some(branch) = self.branch_mut(id, family) else {
            return;
        };
        let old = if next.as_ref() == Some(&has) {
            let build = branch.build.take();
            std::mem::replace(&mut branch.live, build)
        } else if has == to(SOFTWARE) {
            branch.live.take()
        } else {
            None
        };
        if let Some(old) = old {
            self.discard(id, family, old);
        }
        self.mend(id, family);
    }
}

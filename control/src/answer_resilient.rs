//! Answers about the rules of groups, and how groups fare by them.

use crate::api::message::{Dealt, Resilient};
use crate::bucket::size_for;
use crate::config::DealBy;
use crate::control::Control;
use crate::deal::{Deal, Rules};
use crate::group::Group;
use crate::quota::{self, Ppm, quotas, size_within};
use fastpath::table::{GroupWord, LpmWrite};
use std::time::Instant;

fn percent(ppm: Ppm) -> f64 {
    ppm as f64 / 10_000.0
}

impl<L: LpmWrite> Control<L> {
    pub(crate) fn show_resilient(&self) -> Resilient {
        let plan = &self.plan;
        let rules = plan.groups.rules();
        let (used, total) = plan.dplane.buckets();
        let several = plan.groups.iter().filter(|(_, g)| g.word.size() > 1);
        let (mut groups, mut unbalanced, mut surplus) = (0, 0, 0);
        for (_, group) in several {
            groups += 1;
            unbalanced += u64::from(group.surplus > 0);
            surplus += group.surplus as u64;
        }
        let failed = self.rib.iter().filter(|(_, e)| e.failed.is_some());
        Resilient {
            enable: rules.resilient,
            buckets: u32::try_from(rules.buckets).unwrap_or(u32::MAX),
            active_timer: rules.active_timer.as_secs(),
            unbalanced_timer: rules.unbalanced_timer.map(|t| t.as_secs()),
            recovery: rules.recovery.name().into(),
            hold_down: rules.hold_down.as_secs(),
            weight_error: percent(rules.bound),
            deal: match rules.deal {
                Deal::RoundRobin => DealBy::RoundRobin,
                Deal::Rendezvous(_) => DealBy::Rendezvous,
            }
            .name()
            .into(),
            deal_seed: match rules.deal {
                Deal::RoundRobin => None,
                Deal::Rendezvous(seed) => Some(seed),
            },
            live: Vec::new(),
            buckets_total: total,
            buckets_in_use: used,
            groups_in_use: groups,
            groups_possible: groups + u64::from(plan.dplane.room(rules.buckets.ilog2())),
            groups_unbalanced: unbalanced,
            surplus,
            eased: self.counters.eased,
            routes_failed: failed.count() as u64,
        }
    }

    /// Why the buckets of `group` are dealt as they are.
    pub(crate) fn dealt(&self, group: &Group, now: Instant) -> Dealt {
        let members = self.plan.sets.members(group.set);
        let rules = self.plan.groups.rules();
        let due = group.party(&members, &self.plan.nexthops).due;
        let is_off = self.weight_error(group) > rules.bound;
        let parked = group.parked.iter().filter_map(|m| {
            let nexthop = self.plan.nexthops.get(*m)?;
            nexthop.key.gateway.filter(|_| nexthop.adjacency.is_some())
        });
        let since = |at| now.saturating_duration_since(at).as_secs_f64();
        Dealt {
            weight_error_note: is_off.then(|| why(group, &due, members.len(), rules)),
            unbalanced_seconds: group.unbalanced.map(since),
            parked: parked.collect(),
        }
    }
}

/// Why the shares of those due, of `all` members, miss the bound.
fn why(group: &Group, due: &[(u32, u32)], all: usize, rules: &Rules) -> String {
    let size = group.effective.len();
    if due.len() < all {
        return format!("{} of {all} members are away or wait", all - due.len());
    }
    if matches!(rules.deal, Deal::Rendezvous(_)) {
        return "rendezvous deals by chance".into();
    }
    let fresh = quotas(due, size, &vec![0; due.len()], false);
    if quota::error(due, size, &fresh) <= rules.bound {
        return match group.surplus {
            0 => "members keep what they had when others left".into(),
            surplus => format!("{surplus} buckets are yet to move"),
        };
    }
    let range = (size_for(all, rules.buckets), 1 << GroupWord::MAX_LOG2);
    let (needed, left) = size_within(due, range, rules.bound);
    if left > rules.bound {
        format!("no table is exact enough, the best would have {needed} buckets")
    } else if rules.resilient {
        format!("{size} buckets are fixed, {needed} would do")
    } else {
        format!("there was no room for {needed} buckets; raise tables.buckets")
    }
}

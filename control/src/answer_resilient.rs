//! Answers about the rules of groups, and how groups fare by them.

use crate::activity;
use crate::answer_group::LATELY;
use crate::api::message::{Dealt, Error, Resilient, ResilientChanged, SetResilient};
use crate::api::resilient::{differences, refused};
use crate::bucket::size_for;
use crate::config::{self, DealBy};
use crate::control::Control;
use crate::deal::{Deal, Rules};
use crate::dplane::Full;
use crate::group::Group;
use crate::group::resize::Adoption;
use crate::quota::{self, Ppm, Rounding, quotas, size_within};
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
            start_timer: rules.start_timer.as_secs(),
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
            live: self.live_rules(),
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

impl<L: LpmWrite> Control<L> {
    /// What differs from what a restart would take.
    fn live_rules(&self) -> Vec<String> {
        let changed = differences(&self.config.resilient, &self.resilient);
        changed.into_iter().map(|c| c.setting).collect()
    }

    /// Changes the rules of groups, or says what a change would do.
    pub(crate) fn set_resilient(
        &mut self,
        request: &SetResilient,
        now: Instant,
    ) -> Result<ResilientChanged, Error> {
        if request.settings.is_empty() {
            let remedy = Some("name a setting and its value");
            return Err(refused("", "nothing is to change".into(), remedy));
        }
        let next = request.apply(&self.resilient)?;
        let changes = differences(&self.resilient, &next);
        // As of now, not of the last reading.
        self.activity.read(&self.plan.groups, now);
        self.samples.take(now);
        let adoption = self.planned(&next, now)?;
        let mut changed = self.judged(&adoption, now);
        changed.changes = changes;
        changed.dry_run = request.dry_run;
        if request.dry_run || changed.changes.is_empty() {
            return Ok(changed);
        }
        let plan = &mut self.plan;
        let activity = &mut self.activity;
        let around = (&plan.nexthops, &plan.sets, &mut plan.dplane);
        let follow = |id, group: &Group| activity.resized(id, group, now);
        let adopted = plan.groups.adopt(adoption, now, around, follow);
        self.resilient = next;
        self.counters.rules_changes += 1;
        let noticed = self.wall(now);
        let what = changed.changes.iter();
        let what: Vec<String> = what.map(|c| format!("{} {}", c.setting, c.to)).collect();
        let details = vec![
            ("groups-resized", changed.groups_resized.to_string()),
            ("buckets-moved", changed.buckets_moved.to_string()),
            ("flows-moved", changed.flows_moved.to_string()),
            ("flows-sampled", changed.flows.to_string()),
        ];
        self.happening("resilient".into(), what.join(", "), details, noticed);
        adopted.map_err(no_room)?;
        let until = "it holds until evenpath ends; a restart takes what the configuration says";
        changed.notes.push(until.into());
        changed.buckets_in_use = self.plan.dplane.buckets().0;
        Ok(changed)
    }

    /// What the rules `next` would change: pure.
    pub(crate) fn planned(
        &self,
        next: &config::Resilient,
        now: Instant,
    ) -> Result<Adoption, Error> {
        let (plan, activity) = (&self.plan, &self.activity);
        let mut rules = next.rules(0);
        rules.deal = plan.groups.rules().deal;
        let worth = |id, bucket: usize| {
            let page = activity.buckets(id);
            let b = page.get(bucket).copied().unwrap_or_default();
            (is_active(&b, now), b.traffic.packets)
        };
        let around = (&plan.nexthops, &plan.sets, &plan.dplane);
        plan.groups.plan(&rules, worth, around).map_err(no_room)
    }

    /// What `adoption` moves.
    fn judged(&self, adoption: &Adoption, now: Instant) -> ResilientChanged {
        let plan = &self.plan;
        let mut sum = ResilientChanged {
            buckets_in_use: plan.dplane.buckets().0,
            ..ResilientChanged::default()
        };
        let mut active = 0;
        for (id, next) in &adoption.groups {
            let Some(group) = plan.groups.get(*id) else {
                continue;
            };
            let (old, new) = (group.effective.len(), next.effective.len());
            sum.groups_resized += u64::from(old != new);
            sum.buckets_in_use = (sum.buckets_in_use + new as u32).saturating_sub(old as u32);
            sum.buckets += old.max(new) as u64;
            let page = self.activity.buckets(*id);
            for b in 0..old.max(new) {
                if group.effective[b % old] != next.effective[b % new] {
                    sum.buckets_moved += 1;
                    active += u64::from(page.get(b % old).is_some_and(|b| is_active(b, now)));
                }
            }
            let party = next.party(&plan.sets.members(next.set), &plan.nexthops);
            sum.surplus += party.surplus(&next.effective) as u64;
        }
        sum.active_buckets_moved = self.activity.is_watching().then_some(active);
        for (id, hash) in self.hashes(now) {
            sum.flows += 1;
            let (Some(group), Some(next)) = (plan.groups.get(id), adoption.groups.get(&id)) else {
                continue;
            };
            let owner = |table: &[u32]| table.get(hash as usize & (table.len() - 1)).copied();
            sum.flows_moved += u64::from(owner(&group.effective) != owner(&next.effective));
        }
        sum
    }
}

fn is_active(bucket: &activity::Bucket, now: Instant) -> bool {
    let age = |at| now.saturating_duration_since(at);
    bucket.active.is_some_and(|at| age(at) <= LATELY)
}

fn no_room(full: Full) -> Error {
    let cause = format!("{full}, and tables are made before the old ones go");
    refused("", cause, None)
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
    let fresh = quotas(due, size, &vec![0; due.len()], Rounding::Exact);
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

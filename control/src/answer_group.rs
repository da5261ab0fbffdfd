//! Answers about groups: how their buckets are dealt, and what these forward.

use crate::activity;
use crate::answer::error;
use crate::api::message::{Bucket, Error, Group, GroupQuery};
use crate::control::Control;
use crate::group;
use crate::nexthop::SetId;
use fastpath::hardware::compile::State;
use fastpath::table::{GroupId, LpmWrite};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A bucket that forwarded this lately is active to whoever asks.
pub(crate) const LATELY: Duration = Duration::from_secs(10);

impl<L: LpmWrite> Control<L> {
    pub(crate) fn show_group(&self, query: &GroupQuery, now: Instant) -> Result<Vec<Group>, Error> {
        // Before anything is done for it.
        if let Some(id) = query
            .id
            .filter(|id| self.plan.groups.get(GroupId(*id)).is_none())
        {
            return Err(error(
                format!("group {id}"),
                "show",
                "there is no such group".into(),
                Some("`evenpath show group` lists them"),
            ));
        }
        let mut fpm_ids: HashMap<SetId, Vec<u32>> = HashMap::new();
        for (id, set) in self.objects.sets() {
            fpm_ids.entry(set).or_default().push(id);
        }
        let wanted = |g: &GroupId| query.id.is_none_or(|id| g.0 == id);
        let groups = self.plan.groups.iter().filter(|(g, _)| wanted(g));
        let flows = self.sampled_flows(now);
        let mut groups: Vec<Group> = groups
            .map(|(g, group)| {
                let mut fpm_ids = fpm_ids.get(&group.set).cloned().unwrap_or_default();
                fpm_ids.sort_unstable();
                let active = || self.activity.active(g, LATELY, now) as u32;
                Group {
                    id: g.0,
                    buckets: group.word.size(),
                    active_buckets: self.activity.is_watching().then(active),
                    routes: group.routes,
                    plane: self.plane(g).into(),
                    members: self.members(group.set, Some(g)),
                    dealt: self.dealt(group, now),
                    fpm_ids,
                    weight_error: self.weight_error(group) as f64 / 1e6,
                    surplus: group.surplus as u32,
                    balance: self.balance(g, group, &flows),
                    each: match query.buckets {
                        true => self.each(g, group, now),
                        false => Vec::new(),
                    },
                }
            })
            .collect();
        groups.sort_unstable_by_key(|g| g.id);
        Ok(groups)
    }

    /// Who forwards a group.
    fn plane(&self, id: GroupId) -> &'static str {
        let state = self.offloaded().map(|offload| offload.group(id));
        match state.unwrap_or(State::Software) {
            State::Software => "software",
            other => other.name(),
        }
    }

    /// The buckets of a group one by one.
    fn each(&self, id: GroupId, group: &group::Group, now: Instant) -> Vec<Bucket> {
        let counted = self.activity.buckets(id);
        let buckets = group.effective.iter().enumerate().map(|(number, &owner)| {
            let nexthop = self.plan.nexthops.get(owner).filter(|_| group.alive);
            let activity::Bucket { active, traffic } =
                counted.get(number).copied().unwrap_or_default();
            let idle = active.map(|at| now.saturating_duration_since(at));
            Bucket {
                bucket: number as u32,
                via: nexthop.and_then(|n| n.key.gateway),
                port: nexthop.map(|n| self.plan.ports.interface(n.key.ifindex)),
                packets: traffic.packets,
                bytes: traffic.bytes,
                idle_ms: idle.map(|i| u64::try_from(i.as_millis()).unwrap_or(u64::MAX)),
            }
        });
        buckets.collect()
    }
}

//! Forgetting next hops and sets that nobody names: hosts come and go, and their numbers with them.

use crate::bucket::Member;
use crate::control::Control;
use crate::nexthop::SetId;
use crate::rib::Target;
use fastpath::table::LpmWrite;
use std::collections::HashSet;

/// Below so many next hops it is not worth looking.
const FLOOR: usize = 4096;

impl<L: LpmWrite> Control<L> {
    /// Forgets what nobody names, when twice as much is there as after the last time.
    pub(crate) fn collect(&mut self) {
        let held = self.plan.nexthops.len().max(self.plan.sets.len());
        if held < self.collect_at {
            return;
        }
        let mut sets: HashSet<SetId> = self.plan.groups.sets().collect();
        sets.extend(self.objects.sets().map(|(_, set)| set));
        let mut target = |t: Option<Target>| {
            if let Some(Target::Set(set)) = t {
                sets.insert(set);
            }
        };
        for (_, entry) in self.rib.iter() {
            target(entry.base.map(|b| b.1));
            target(entry.won.map(|w| w.1));
            target(entry.fpm.as_ref().and_then(|f| f.target));
            target(entry.fpm.as_ref().and_then(|f| f.meant));
            target(entry.others.as_ref().and_then(|o| o.fixed));
        }
        let plan = &mut self.plan;
        plan.sets.retain(|set| sets.contains(&set));
        let kept = sets.iter().map(|set| plan.sets.members(*set));
        let members: HashSet<Member> = kept.flat_map(|m| m.to_vec()).map(|m| m.0).collect();
        plan.nexthops.retain(|member| members.contains(&member));
        self.activity.forget(|member| members.contains(&member));
        plan.groups.reconsider();
        self.times.renumbered();
        self.collect_at = FLOOR.max(2 * plan.nexthops.len().max(plan.sets.len()));
    }

    /// How many prefixes were looked at so far, one by one: what something costs in prefixes is the
    /// difference.
    pub fn looks(&self) -> u64 {
        self.rib.looks()
    }

    /// How many next hops and sets are kept in mind.
    pub fn remembered(&self) -> (usize, usize) {
        (self.plan.nexthops.len(), self.plan.sets.len())
    }
}

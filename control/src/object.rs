//! zebra's next hop objects: ids to content, in whatever order they are sent.
//!
//! Groups come before their members and routes may name ids that were never sent; whoever waits
//! for an id is found when it arrives. Ids mean nothing beyond one connection.

use crate::bucket::Member;
use crate::fpm::decode::Object;
use crate::map::{Map, Set};
use crate::nexthop::{Key, Nexthops, SetId, Sets};
use crate::prefix::Prefix;
use std::collections::BTreeSet;

/// How deep groups of groups are followed; zebra sends them flat.
const DEPTH: u32 = 2;

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// These next hops.
    Set(SetId),
    /// Nothing: drop.
    Blackhole,
    /// This id, or one that it needs, is not known.
    Unknown(u32),
}

/// All objects.
#[derive(Debug, Default)]
pub struct Objects {
    all: Map<u32, (Object, Resolved)>,
    /// Groups by the ids that they name.
    named_by: Map<u32, BTreeSet<u32>>,
    /// Routes that wait, by the id that they name.
    waiting: Map<u32, Set<Prefix>>,
    /// Routes that use an id, counted.
    users: Map<u32, u64>,
}

impl Objects {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What `id` stands for.
    pub fn resolved(&self, id: u32) -> Resolved {
        self.all.get(&id).map_or(Resolved::Unknown(id), |o| o.1)
    }

    /// Ids that stand for sets, and those.
    pub fn sets(&self) -> impl Iterator<Item = (u32, SetId)> + '_ {
        self.all.iter().filter_map(|(id, o)| match o.1 {
            Resolved::Set(set) => Some((*id, set)),
            _ => None,
        })
    }

    /// Routes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(Set::len).sum()
    }

    /// Groups that wait for a member.
    pub fn parked(&self) -> usize {
        let unknown = |o: &&(Object, Resolved)| matches!(o.1, Resolved::Unknown(_));
        self.all.values().filter(unknown).count()
    }

    /// A route uses `id` from now on.
    pub fn used(&mut self, id: u32) {
        *self.users.entry(id).or_default() += 1;
    }

    /// A route no longer uses `id`.
    pub fn unused(&mut self, id: u32) {
        if let Some(count) = self.users.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&id);
            }
        }
    }

    /// True when a route goes by what `id` means: those that wait for it do not yet, and are known.
    pub fn is_used(&self, id: u32) -> bool {
        let waiting = self.waiting.get(&id).map_or(0, Set::len);
        self.users
            .get(&id)
            .is_some_and(|&count| count as usize > waiting)
    }

    /// `prefix` waits for `id`.
    pub fn wait(&mut self, id: u32, prefix: Prefix) {
        self.waiting.entry(id).or_default().insert(prefix);
    }

    /// `prefix` no longer waits for `id`.
    pub fn stop_waiting(&mut self, id: u32, prefix: Prefix) {
        if let Some(all) = self.waiting.get_mut(&id) {
            all.remove(&prefix);
            if all.is_empty() {
                self.waiting.remove(&id);
            }
        }
    }

    /// Forgets everything: a new connection, new ids.
    pub fn clear(&mut self) {
        *self = Objects::default();
    }

    /// Puts changes in, and says for which ids the meaning changed: those of which routes are to
    /// be looked at again, and the routes that wait for one of them, until [`Objects::stop_waiting`].
    pub fn apply(
        &mut self,
        changes: Vec<(u32, Option<Object>)>,
        nexthops: &mut Nexthops,
        sets: &mut Sets,
    ) -> (BTreeSet<u32>, Vec<Prefix>) {
        let mut touched = BTreeSet::new();
        for (id, object) in changes {
            let before = self.all.remove(&id);
            if let Some((Object::Group { members, .. }, _)) = &before {
                for (member, _) in members {
                    if let Some(groups) = self.named_by.get_mut(member) {
                        groups.remove(&id);
                        if groups.is_empty() {
                            self.named_by.remove(member);
                        }
                    }
                }
            }
            if let Some(object) = object {
                if let Object::Group { members, .. } = &object {
                    for (member, _) in members {
                        self.named_by.entry(*member).or_default().insert(id);
                    }
                }
                let resolved = before.map_or(Resolved::Unknown(id), |o| o.1);
                self.all.insert(id, (object, resolved));
            }
            touched.insert(id);
        }
        // Whoever names one of them, directly or through another, may mean something else now.
        let mut front: Vec<u32> = touched.iter().copied().collect();
        for _ in 0..DEPTH {
            let named = front.iter().filter_map(|id| self.named_by.get(id));
            front = named.flatten().copied().collect();
            touched.extend(&front);
        }
        let mut changed = BTreeSet::new();
        for &id in &touched {
            let now = self.resolve(id, nexthops, sets);
            match self.all.get_mut(&id) {
                Some(object) if object.1 == now => {}
                Some(object) => {
                    object.1 = now;
                    changed.insert(id);
                }
                None => _ = changed.insert(id),
            }
        }
        let mut woken = Vec::new();
        for id in &touched {
            if !matches!(self.resolved(*id), Resolved::Unknown(_)) {
                woken.extend(self.waiting.get(id).into_iter().flatten());
            }
        }
        woken.sort_unstable();
        (changed, woken)
    }

    fn resolve(&self, id: u32, nexthops: &mut Nexthops, sets: &mut Sets) -> Resolved {
        let Some((object, _)) = self.all.get(&id) else {
            return Resolved::Unknown(id);
        };
        if let Object::Blackhole = object {
            return Resolved::Blackhole;
        }
        let mut members = Vec::new();
        match self.collect(id, 1, DEPTH, nexthops, &mut members) {
            Ok(()) if members.is_empty() => Resolved::Blackhole,
            Ok(()) => Resolved::Set(sets.intern(members)),
            Err(unknown) => Resolved::Unknown(unknown),
        }
    }

    fn collect(
        &self,
        id: u32,
        weight: u32,
        depth: u32,
        nexthops: &mut Nexthops,
        members: &mut Vec<(Member, u32)>,
    ) -> Result<(), u32> {
        match self.all.get(&id) {
            None => Err(id),
            Some((Object::Blackhole, _)) => Ok(()),
            Some((Object::Hop(hop), _)) => {
                members.push((nexthops.intern(Key::of(hop)), weight));
                Ok(())
            }
            Some((Object::Group { .. }, _)) if depth == 0 => Err(id),
            Some((Object::Group { members: group, .. }, _)) => {
                for &(member, w) in group {
                    let weight = weight.saturating_mul(w).min(1 << 16);
                    self.collect(member, weight, depth - 1, nexthops, members)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::decode::Hop;

    fn hop(last: u8) -> Option<Object> {
        Some(Object::Hop(Hop {
            gateway: Some([192, 0, 2, last].into()),
            ifindex: 2,
            onlink: false,
            encap: false,
        }))
    }

    fn group(members: &[(u32, u32)]) -> Option<Object> {
        Some(Object::Group {
            members: members.into(),
            resilient: None,
        })
    }

    #[test]
    fn whoever_waits_is_woken_when_all_is_known() {
        let (mut objects, mut nexthops, mut sets) =
            (Objects::default(), Nexthops::default(), Sets::default());
        let prefix: Prefix = "10.0.0.0/8".parse().expect("prefix");
        objects.wait(36, prefix);
        let mut apply = |changes| objects.apply(changes, &mut nexthops, &mut sets);
        assert_eq!(apply(vec![(36, group(&[(24, 1), (37, 1)]))]).1, []);
        assert_eq!(apply(vec![(24, hop(1))]).1, []);
        let (changed, woken) = apply(vec![(37, hop(2))]);
        assert_eq!(woken, [prefix]);
        assert!(changed.contains(&36));
        let Resolved::Set(both) = objects.resolved(36) else {
            panic!("{:?}", objects.resolved(36));
        };
        assert_eq!(sets.members(both).len(), 2);
        assert_eq!(objects.parked(), 0);
        assert!(objects.sets().any(|s| s == (36, both)));
    }

    #[test]
    fn who_waits_for_an_id_does_not_go_by_it() {
        let mut objects = Objects::default();
        let prefix: Prefix = "10.0.0.0/8".parse().expect("prefix");
        objects.used(36);
        objects.wait(36, prefix);
        assert!(!objects.is_used(36) && !objects.is_used(37));
        let (mut nexthops, mut sets) = (Nexthops::default(), Sets::default());
        let (changed, woken) = objects.apply(vec![(36, hop(1))], &mut nexthops, &mut sets);
        assert_eq!((changed, woken), (BTreeSet::from([36]), vec![prefix]));
        assert!(!objects.is_used(36), "nobody is to be searched for");
        objects.stop_waiting(36, prefix);
        assert!(objects.is_used(36));
        assert_eq!(objects.waiting(), 0);
    }

    #[test]
    fn a_member_that_becomes_another_changes_its_groups() {
        let (mut objects, mut nexthops, mut sets) =
            (Objects::default(), Nexthops::default(), Sets::default());
        let all = vec![(1, hop(1)), (2, hop(2)), (3, group(&[(1, 1), (2, 1)]))];
        objects.apply(all.clone(), &mut nexthops, &mut sets);
        let before = objects.resolved(3);
        let (changed, _) = objects.apply(all, &mut nexthops, &mut sets);
        assert!(changed.is_empty(), "sent again, same content");
        let (changed, _) = objects.apply(vec![(2, hop(9))], &mut nexthops, &mut sets);
        assert_eq!(changed, BTreeSet::from([2, 3]));
        assert_ne!(objects.resolved(3), before);
        objects.apply(vec![(2, None)], &mut nexthops, &mut sets);
        assert_eq!(objects.resolved(3), Resolved::Unknown(2));
        assert_eq!(objects.resolved(2), Resolved::Unknown(2));
    }

    #[test]
    fn groups_of_themselves_end() {
        let (mut objects, mut nexthops, mut sets) =
            (Objects::default(), Nexthops::default(), Sets::default());
        objects.apply(vec![(1, group(&[(1, 1)]))], &mut nexthops, &mut sets);
        assert_eq!(objects.resolved(1), Resolved::Unknown(1));
        objects.apply(vec![(2, Some(Object::Blackhole))], &mut nexthops, &mut sets);
        assert_eq!(objects.resolved(2), Resolved::Blackhole);
    }
}

//! Which group a route goes to that names other next hops than before, and what that group's table is.

use super::table::{Draft, deal, renamed};
use super::take_up::Past;
use super::{Group, Groups, PART_OF_FREE, Surroundings};
use crate::bucket::{Member, Terms, derive, is_minimal, settle, widened};
use crate::deal::{Party, Recovery};
use crate::dplane::{Dplane, Full};
use crate::nexthop::{Known, Members, Nexthops, SetId, Sets};
use crate::prefix::Prefix;
use fastpath::table::{GroupId, LpmWrite};
use std::time::Instant;

impl Groups {
    /// The group to which a route goes that has pointed to `from` ([`GroupId::NONE`]: a new one)
    /// and names `set` now.
    ///
    /// # Errors
    /// There is no room for another group.
    pub fn enter<L: LpmWrite>(
        &mut self,
        from: GroupId,
        (prefix, set): (Prefix, SetId),
        now: Instant,
        (nexthops, sets, dplane): (&mut Nexthops, &Sets, &mut Dplane<L>),
    ) -> Result<GroupId, Full> {
        // What a fixed group did says nothing about flows.
        let from = if self.all.contains_key(&from) {
            from
        } else {
            GroupId::NONE
        };
        let is_special = |past: &Past| past.exceptions.contains_key(&prefix);
        let is_special = self.past.as_deref().is_some_and(is_special);
        if let Some(&known) = self.memo.get(&(from, set)).filter(|_| !is_special) {
            return Ok(known);
        }
        let (used, capacity) = dplane.buckets();
        self.most = ((capacity - used) as usize / PART_OF_FREE).max(1);
        let members = sets.members(set);
        let taken_up = self.take_up(from, (prefix, set), now, (nexthops, sets, dplane));
        let mut id = taken_up.map_or_else(
            || self.find_or_create(from, set, &members, now, (nexthops, sets, dplane)),
            Ok,
        );
        if matches!(id, Err(Full::Buckets { .. })) {
            // Rather a coarser table than none.
            self.most = 1;
            id = self.find_or_create(from, set, &members, now, (nexthops, sets, dplane));
        }
        let id = id?;
        if from != GroupId::NONE && from != id {
            self.changes.moved.push((from, id));
        }
        if !is_special {
            self.memo.insert((from, set), id);
        }
        Ok(id)
    }

    fn find_or_create<L: LpmWrite>(
        &mut self,
        from: GroupId,
        set: SetId,
        members: &Members,
        now: Instant,
        (nexthops, sets, dplane): (&mut Nexthops, &Sets, &mut Dplane<L>),
    ) -> Result<GroupId, Full> {
        let origin = self.all.get(&from).map(|g| (g, sets.members(g.set)));
        let is_heir = origin.as_ref().is_some_and(|o| o.0.is_heir);
        let mut draft = Draft::new(&self.surroundings(), origin, set, members, &*nexthops);
        draft.is_heir = is_heir;
        let same = self.by_set.get(&(draft.lineage, set)).and_then(|ids| {
            ids.iter().copied().find(|id| {
                self.all.get(id).is_some_and(|g| {
                    (&g.home, &g.parked) == (&draft.home, &draft.parked)
                        && (g.alive, &g.effective) == (draft.alive, &draft.effective)
                        && g.is_heir == is_heir
                })
            })
        });
        match same {
            Some(id) => Ok(id),
            None => self.create(draft, set, members, now, nexthops, dplane),
        }
    }

    /// What a route's group would be that goes from `origin` with these members to `members`, a set
    /// that may be unknown yet; nothing is changed.
    pub fn would_be(
        &self,
        (origin, before): (&Group, &Members),
        set: Option<SetId>,
        members: &Members,
        nexthops: &impl Known,
    ) -> Group {
        let set = set.unwrap_or(SetId(u32::MAX));
        let origin_of = Some((origin, before.clone()));
        let draft = Draft::new(&self.surroundings(), origin_of, set, members, nexthops);
        let mut group = Group::of(draft, set, origin.word);
        group.routes = origin.routes;
        let party = group.party(members, nexthops);
        group.choose_seconds(&party, &self.rules, nexthops);
        group
    }

    pub(super) fn create<L: LpmWrite>(
        &mut self,
        draft: Draft,
        set: SetId,
        members: &Members,
        now: Instant,
        nexthops: &mut Nexthops,
        dplane: &mut Dplane<L>,
    ) -> Result<GroupId, Full> {
        let (id, word) = dplane.group(draft.home.len().max(1).ilog2())?;
        let mut group = Group::of(draft, set, word);
        if group.awaited.is_some() {
            group.follow(members, &*nexthops, &self.rules);
        }
        let party = group.party(members, &*nexthops);
        group.choose_seconds(&party, &self.rules, &*nexthops);
        group.weigh(&party, &self.rules, now);
        group.write(members, nexthops, dplane);
        dplane.publish(id, word);
        for (member, _) in members.iter() {
            if let Some(nexthop) = nexthops.get_mut(*member) {
                nexthop.groups.push(id);
            }
        }
        self.remember(&group, now);
        let key = (group.lineage, set);
        self.by_set.entry(key).or_default().push(id);
        self.all.insert(id, group);
        self.unused.insert(id);
        self.changes.dealt.insert(id);
        self.note_balance(id);
        Ok(id)
    }
}

impl Surroundings<'_> {
    /// The group of `set` for routes that leave `origin`, whose members were `before`; `fresh` is
    /// the table that new routes would get.
    pub(super) fn succeed(
        &self,
        origin: &Group,
        before: &Members,
        (set, members): (SetId, &Members),
        fresh: &[Member],
        nexthops: &impl Known,
    ) -> Draft {
        let (rules, size) = (self.rules, fresh.len());
        let same_place = renamed(before, members, nexthops);
        let here = |table: &[Member]| -> Vec<Member> {
            let mut table = widened(table, size);
            for owner in &mut table {
                *owner = same_place.get(owner).copied().unwrap_or(*owner);
            }
            table
        };
        let present = here(&origin.home);
        let remembered = self.memory.get(&(origin.lineage, set));
        let remembered = remembered
            .filter(|r| r.home.len() <= size)
            .map(|r| widened(&r.home, size));
        let flows = if origin.alive {
            here(&origin.effective)
        } else {
            present.clone()
        };
        let returns = remembered.is_some();
        let parked = match rules.recovery {
            Recovery::Never => {
                let is_new = |m: Member| {
                    before.binary_search_by_key(&m, |x| x.0).is_err() && !flows.contains(&m)
                };
                let waits = |m: Member| origin.parked.contains(&m) || returns && is_new(m);
                members.iter().map(|m| m.0).filter(|m| waits(*m)).collect()
            }
            _ => Vec::new(),
        };
        let party = Party::of(members, &parked, &flows, nexthops);
        let alive = party.is_alive();
        let immediate = rules.recovery == Recovery::Immediate;
        let patient = if returns { !immediate } else { rules.resilient };
        let (mut home, effective);
        if patient {
            let wish = remembered.as_deref().unwrap_or(fresh);
            home = if party.complete {
                deal(&flows, &party, Some(wish), |_| false)
            } else {
                let all = Terms {
                    members,
                    leaving: &[],
                    preferred: Some(wish),
                };
                settle(Some(&present), size, &all, |_| false)
            };
            effective = if !alive {
                flows
            } else if party.complete {
                home.clone()
            } else {
                deal(&flows, &party, Some(&home), |_| false)
            };
        } else {
            let fresh = fresh.to_vec();
            let fits = |t: &&Vec<Member>| is_minimal(&present, t);
            let known = remembered.iter().chain(std::iter::once(&fresh)).find(fits);
            home = known.cloned().unwrap_or_else(|| {
                let wish = remembered.as_ref().unwrap_or(&fresh);
                derive(Some(&present), members, size, Some(wish))
            });
            effective = if !alive {
                flows
            } else if party.complete {
                if !is_minimal(&flows, &home) {
                    home = derive(Some(&flows), members, size, Some(&home));
                }
                home.clone()
            } else {
                let stays = |b: usize| party.leaving.binary_search(&flows[b]).is_ok();
                deal(&flows, &party, Some(&home), |b| !stays(b))
            };
        }
        if !immediate && alive {
            home.clone_from(&effective);
        }
        let lineage = if home == fresh { set } else { origin.lineage };
        Draft {
            lineage,
            home,
            effective,
            parked,
            alive,
            is_heir: false,
            awaited: None,
        }
    }
}

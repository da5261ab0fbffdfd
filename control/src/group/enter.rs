//! Which group a route goes to that names other next hops than before, and what that group's table is.

use super::table::{Draft, deal, renamed};
use super::{Group, Groups, PART_OF_FREE, Surroundings};
use crate::bucket::{self, Member, NOBODY, Terms, settle, widened};
use crate::deal::{Party, Recovery};
use crate::dplane::{Dplane, Full};
use crate::nexthop::{Known, Members, Nexthops, SetId, Sets};
use crate::prefix::Prefix;
use crate::quota::{Rounding, quotas};
use fastpath::table::{GroupId, LpmWrite};
use std::time::Instant;

impl Groups {
    /// What a fixed group did says nothing about flows.
    fn origin(&self, from: GroupId) -> GroupId {
        match from != GroupId::NONE && self.all.contains_key(&from) {
            true => from,
            false => GroupId::NONE,
        }
    }

    /// What [`Groups::enter`] would say, if another route has come that way.
    pub fn known(&self, from: GroupId, (prefix, set): (Prefix, SetId)) -> Option<GroupId> {
        let known = self
            .memo
            .get(&(self.origin(from), set, self.own_past(prefix)));
        known.copied()
    }

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
        if let Some(known) = self.known(from, (prefix, set)) {
            return Ok(known);
        }
        let (from, own) = (self.origin(from), self.own_past(prefix));
        let (used, capacity) = dplane.buckets();
        self.most = ((capacity - used) as usize / PART_OF_FREE).max(1);
        let members = sets.members(set);
        let taken_up = self.take_up(from, (prefix, set), now, (nexthops, sets, dplane));
        let mut id = taken_up.map_or_else(
            || self.find_or_create(from, (set, own), &members, now, (nexthops, sets, dplane)),
            Ok,
        );
        if matches!(id, Err(Full::Buckets { .. })) {
            // Rather a coarser table than none.
            self.most = 1;
            id = self.find_or_create(from, (set, own), &members, now, (nexthops, sets, dplane));
        }
        let id = id?;
        if from != GroupId::NONE && from != id {
            self.changes.moved.push((from, id));
        }
        self.memo.insert((from, set, own), id);
        Ok(id)
    }

    fn find_or_create<L: LpmWrite>(
        &mut self,
        from: GroupId,
        (set, own): (SetId, Option<usize>),
        members: &Members,
        now: Instant,
        (nexthops, sets, dplane): (&mut Nexthops, &Sets, &mut Dplane<L>),
    ) -> Result<GroupId, Full> {
        let origin = self.all.get(&from).map(|g| (g, sets.members(g.set)));
        let is_heir = origin.as_ref().is_some_and(|o| o.0.is_heir);
        let mut draft = Draft::new(&self.surroundings(), origin, set, members, &*nexthops);
        draft.is_heir = is_heir;
        draft.expects = own.filter(|_| !is_heir && draft.home.len() > 1);
        let is_young = draft.begins || draft.young.is_some();
        let same = self.by_set.get(&(draft.lineage, set)).and_then(|ids| {
            ids.iter().copied().find(|id| {
                self.all.get(id).is_some_and(|g| {
                    (&g.home, &g.parked) == (&draft.home, &draft.parked)
                        && (g.alive, &g.effective) == (draft.alive, &draft.effective)
                        && (g.is_heir, g.expects) == (is_heir, draft.expects)
                        && g.young.is_some() == is_young
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
        let begins = draft.begins;
        let mut group = Group::of(draft, set, word);
        group.young = group
            .young
            .or((begins && !self.rules.start_timer.is_zero()).then_some(now));
        let awaited = group.awaited.as_ref().and_then(|a| a.young);
        if group.young.or(awaited).is_some() {
            self.young.insert(id);
        }
        if !group.alive {
            // What is taken up says nothing of who can be used now.
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
    /// A group of that lineage and set has buckets with `member`.
    fn is_in_service(&self, of: (SetId, SetId), member: Member) -> bool {
        let ids = self.by_set.get(&of).into_iter().flatten();
        let mut groups = ids.filter_map(|id| self.all.get(id));
        groups.any(|g| g.alive && g.effective.contains(&member))
    }

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
        let flows = here(&origin.effective);
        let returns = remembered.is_some();
        let mut parked: Vec<Member> = match rules.recovery {
            Recovery::Never => {
                // What other routes of this lineage use all along was not lost.
                let is_new = |m: Member| {
                    before.binary_search_by_key(&m, |x| x.0).is_err()
                        && !flows.contains(&m)
                        && !self.is_in_service((origin.lineage, set), m)
                };
                let waits = |m: Member| origin.parked.contains(&m) || returns && is_new(m);
                members.iter().map(|m| m.0).filter(|m| waits(*m)).collect()
            }
            _ => Vec::new(),
        };
        let party = Party::of(members, &parked, &flows, nexthops);
        // Who carries flows, because nobody else could, is not to lose them again.
        parked.retain(|p| !party.is_due(*p));
        let alive = party.is_alive();
        let immediate = rules.recovery == Recovery::Immediate;
        let patient = match rules.recovery {
            Recovery::Immediate => !returns && rules.resilient,
            // Who is new waits like who returns, whether its neighbor is known already or not.
            Recovery::Idle => true,
            Recovery::Never => returns || rules.resilient,
        };
        let is_in = |set: &[(Member, u32)], m| set.binary_search_by_key(&m, |x| x.0).is_ok();
        let stayed: Vec<(Member, u32)> = before
            .iter()
            .map(|&(m, weight)| (same_place.get(&m).copied().unwrap_or(m), weight))
            .collect();
        let came = |m: Member| !stayed.iter().any(|s| s.0 == m);
        let reweighed = is_reweighed(&stayed, members);
        let rounding = |grows: bool| match (reweighed, grows) {
            (true, _) => Rounding::Exact,
            (_, true) => Rounding::Even,
            _ => Rounding::Kept,
        };
        let grows = members.iter().any(|m| came(m.0));
        // Flows of those who stay move for others' weights, or for who can take them.
        let gains = party.due.iter().any(|m| came(m.0));
        let wish = remembered.as_deref().unwrap_or(fresh);
        // Who returns is to have again what it had.
        let mut start = flows.clone();
        for (b, slot) in start.iter_mut().enumerate().filter(|_| immediate) {
            let then = remembered.as_ref().map(|table| table[b]);
            let own = [then.filter(|m| came(*m)), Some(present[b])];
            let own = own.into_iter().flatten().find(|m| party.is_due(*m));
            *slot = own.unwrap_or(*slot);
        }
        let leaves = |m: Member| party.leaving.binary_search(&m).is_ok();
        let at_once = !patient && !rules.resilient;
        let mut effective = match alive {
            true => deal(&start, &party, (Some(wish), rounding(gains)), |b| {
                at_once && (reweighed || gains) && !leaves(start[b])
            }),
            // Who has left has nothing that it could keep.
            false => {
                let kept = |m: &Member| if is_in(members, *m) { *m } else { NOBODY };
                start.iter().map(kept).collect()
            }
        };
        if alive && party.complete && !patient {
            // As before, or as for new routes, if no more flows move for that, and none of who stays
            // but to who comes.
            let mut slots = start.iter().zip(wish);
            let spares = slots.all(|(b, w)| b == w || came(*w) || !is_in(members, *b));
            let is_least = bucket::moved(&start, wish) <= bucket::moved(&start, &effective);
            if is_least && (spares || reweighed) {
                effective = wish.to_vec();
            }
        }
        let mut home = effective.clone();
        if !party.complete {
            // Who is away has what it had, or its share of what the others have meanwhile: of each of
            // them no more than it has beyond its own, or shares would be uneven when all are back.
            let is_away = |m: Member| is_in(members, m) && !party.is_due(m);
            let mut room = Room::of(&effective, members);
            for (b, slot) in home.iter_mut().enumerate() {
                let own = remembered.as_ref().map_or(present[b], |table| table[b]);
                if is_away(own) && (!at_once || room.admits(*slot, own)) {
                    *slot = own;
                }
            }
            let all = Terms {
                members,
                leaving: &[],
                preferred: Some(&effective),
                rounding: match rounding(grows) {
                    Rounding::Kept => Rounding::Even,
                    other => other,
                },
            };
            home = settle(Some(&home), size, &all, |_| at_once);
            for (slot, owner) in home.iter_mut().zip(&effective) {
                if party.is_due(*slot) {
                    *slot = *owner;
                }
            }
        }
        if !immediate && alive {
            home.clone_from(&effective);
        }
        let lineage = if home == fresh { set } else { origin.lineage };
        Draft {
            lineage,
            home,
            effective,
            due: party.those_due(),
            parked,
            alive,
            begins: false,
            young: None,
            is_growing: origin.is_growing,
            is_heir: false,
            expects: None,
            awaited: None,
        }
    }
}

/// How many buckets members may yet give and get until all have their shares.
struct Room<'a> {
    members: &'a Members,
    held: Vec<usize>,
    quota: Vec<usize>,
}

impl<'a> Room<'a> {
    fn of(table: &[Member], members: &'a Members) -> Self {
        let mut held = vec![0; members.len()];
        for owner in table {
            if let Ok(i) = members.binary_search_by_key(owner, |m| m.0) {
                held[i] += 1;
            }
        }
        let quota = quotas(members, table.len(), &held, Rounding::Even);
        Room {
            members,
            held,
            quota,
        }
    }

    /// A bucket goes from one to another, if neither has less or more than its share then.
    fn admits(&mut self, from: Member, to: Member) -> bool {
        let place = |m: Member| self.members.binary_search_by_key(&m, |x| x.0).ok();
        let (from, Some(to)) = (place(from), place(to)) else {
            return false;
        };
        let spares = from.is_none_or(|from| self.held[from] > self.quota[from]);
        let admits = spares && self.held[to] < self.quota[to];
        if admits {
            self.held[to] += 1;
            if let Some(from) = from {
                self.held[from] -= 1;
            }
        }
        admits || from == Some(to)
    }
}

/// The shares of those who are in both have changed, one to another.
fn is_reweighed(before: &[(Member, u32)], after: &[(Member, u32)]) -> bool {
    let weight = |m: &(Member, u32)| {
        let old = before.iter().find(|b| b.0 == m.0)?;
        Some((u64::from(old.1), u64::from(m.1)))
    };
    let mut weights = after.iter().filter_map(weight);
    let Some((old, new)) = weights.next() else {
        return false;
    };
    weights.any(|w| old * w.1 != new * w.0)
}

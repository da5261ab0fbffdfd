//! The table of one group: what it becomes when its members come, go, or are drained.

use super::{Awaited, Group, Surroundings};
use crate::bucket::{self, Member, NOBODY, Terms, second_choices, settle, widened};
use crate::deal::{Deal, Party, Recovery, Rules, by_rendezvous};
use crate::dplane::Dplane;
use crate::nexthop::{Known, Members, Nexthops, SetId, Standing, State};
use crate::quota::Rounding;
use fastpath::table::{AdjacencyId, GroupWord, LpmWrite};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A newcomer gets nothing so soon: routes of one batch that follow others into its group would end
/// in another group, whose table is as theirs was.
const SETTLE: Duration = Duration::from_secs(3);

impl Group {
    pub(super) fn of(draft: Draft, set: SetId, word: GroupWord) -> Self {
        Group {
            set,
            lineage: draft.lineage,
            seconds: draft.effective.clone(),
            due: draft.due,
            home: draft.home,
            effective: draft.effective,
            parked: draft.parked,
            alive: draft.alive,
            young: draft.young,
            is_growing: draft.is_growing,
            surplus: 0,
            unbalanced: None,
            word,
            routes: 0,
            is_heir: draft.is_heir,
            expects: draft.expects,
            awaited: draft.awaited,
        }
    }

    /// What follows from the state of its `members` as `nexthops` know it.
    pub fn follow(&mut self, members: &Members, nexthops: &impl Known, rules: &Rules) {
        if let Some(mut before) = self.awaited.take() {
            let all_back = self.resume(&mut before, members, nexthops, rules);
            self.awaited = (!all_back).then_some(before);
            return;
        }
        if self.alive && self.effective.iter().any(|m| is_out(nexthops, *m)) {
            // Who was lost returns by the rules, however early that was.
            self.young = None;
        }
        let beginning = self.young.map(|_| rules.at_the_beginning());
        let rules = beginning.as_ref().unwrap_or(rules);
        self.park(members, nexthops, rules);
        let party = self.party(members, nexthops);
        // Who carries flows, because nobody else could, is not to lose them again.
        self.parked.retain(|p| !party.is_due(*p));
        let was_alive = std::mem::replace(&mut self.alive, party.is_alive());
        if !self.alive {
            return;
        }
        if let Deal::Rendezvous(seed) = rules.deal {
            self.rank((members, &party), seed, |_| false, nexthops);
            return;
        }
        // Workers have sent the flows of the dead to the second choices already.
        let wish: Vec<Member> = (0..self.home.len())
            .map(|b| match (self.effective[b], self.seconds[b]) {
                (owner, second) if was_alive && is_out(nexthops, owner) => second,
                _ => self.home[b],
            })
            .collect();
        let gains = party.those_due().iter().any(|m| !self.due.contains(m));
        let how = (&wish[..], gains || !was_alive);
        self.effective = regained(&self.effective, &self.home, &party, how, rules);
        self.due = party.those_due();
        self.take_home(&party, rules);
        self.settle_home(&party);
        self.choose_seconds(&party, rules, nexthops);
    }

    /// Who takes part as things are.
    pub(crate) fn party(&self, members: &Members, nexthops: &impl Known) -> Party {
        Party::of(members, &self.parked, &self.effective, nexthops)
    }

    /// While one that was lost may not return by itself, it waits.
    fn park(&mut self, members: &Members, nexthops: &impl Known, rules: &Rules) {
        if rules.recovery != Recovery::Never {
            self.parked.clear();
            return;
        }
        self.parked
            .retain(|p| members.binary_search_by_key(p, |m| m.0).is_ok());
        let lost = members
            .iter()
            .map(|m| m.0)
            .filter(|m| is_out(nexthops, *m) && self.alive && self.effective.contains(m));
        for member in lost.collect::<Vec<_>>() {
            if let Err(at) = self.parked.binary_search(&member) {
                self.parked.insert(at, member);
            }
        }
    }

    /// Where buckets are is where they belong, unless they are to return.
    pub(super) fn take_home(&mut self, party: &Party, rules: &Rules) {
        if party.complete || rules.recovery != Recovery::Immediate {
            self.home.clone_from(&self.effective);
        }
    }

    /// What moved for balance does not go back when somebody else returns.
    pub(super) fn settle_home(&mut self, party: &Party) {
        for (home, owner) in self.home.iter_mut().zip(&self.effective) {
            if party.is_due(*home) {
                *home = *owner;
            }
        }
    }

    /// Deals by rank: see [`by_rank`].
    pub(super) fn rank(
        &mut self,
        (members, party): (&Members, &Party),
        seed: u32,
        may_move: impl Fn(usize) -> bool,
        nexthops: &impl Known,
    ) {
        let had = Some(&self.effective[..]);
        let how = (seed, self.home.len());
        (self.effective, self.seconds) = by_rank((members, party), had, how, may_move, nexthops);
    }

    pub(super) fn choose_seconds(&mut self, party: &Party, rules: &Rules, nexthops: &impl Known) {
        self.seconds = match rules.deal {
            _ if !self.alive => self.effective.clone(),
            Deal::RoundRobin => second_choices(
                &self.effective,
                &Terms {
                    members: &party.due,
                    leaving: &party.leaving,
                    preferred: Some(&self.home),
                    rounding: Rounding::Kept,
                },
            ),
            Deal::Rendezvous(seed) => {
                let (first, second) = by_rendezvous(&party.due, self.home.len(), seed, nexthops);
                let both = first.into_iter().zip(second).zip(&self.effective);
                both.map(|((f, s), owner)| if f == *owner { s } else { f })
                    .collect()
            }
        };
    }

    /// Moves what is held beyond quotas, of those leaving all: the buckets that are `idle`, and
    /// all of the former when the group has waited long enough. How many moved.
    pub fn ease(
        &mut self,
        members: &Members,
        (nexthops, rules): (&impl Known, &Rules),
        idle: impl Fn(usize, Member) -> bool,
        now: Instant,
    ) -> usize {
        let party = self.party(members, nexthops);
        self.weigh(&party, rules, now);
        if self.awaited.is_some() {
            // What may move is known when all are back.
            return 0;
        }
        let Some(since) = self.unbalanced.filter(|_| party.is_alive()) else {
            return 0;
        };
        let waited = now.saturating_duration_since(since);
        let forced = rules.is_patient() && rules.unbalanced_timer.is_some_and(|t| waited >= t);
        let before = self.effective.clone();
        if let Deal::Rendezvous(seed) = rules.deal {
            self.rank((members, &party), seed, |b| idle(b, before[b]), nexthops);
        } else {
            let leaves = |b: usize| party.leaving.binary_search(&before[b]).is_ok();
            let settled = rules.is_patient() && waited >= SETTLE;
            let may_move = |b: usize| match leaves(b) {
                true => idle(b, before[b]),
                false => forced || settled && idle(b, before[b]),
            };
            let how = (Some(&self.home[..]), Rounding::Even);
            self.effective = deal(&before, &party, how, may_move);
            self.take_home(&party, rules);
            self.settle_home(&party);
            self.choose_seconds(&party, rules, nexthops);
        }
        self.weigh(&party, rules, now);
        bucket::moved(&before, &self.effective)
    }

    /// These may return.
    pub(crate) fn unpark(&mut self, members: &[Member]) {
        self.parked.retain(|p| !members.contains(p));
        if let Some(before) = &mut self.awaited {
            before.parked.retain(|p| !members.contains(p));
        }
    }

    /// Notes since when the group has been out of balance, by its `members` as they are.
    pub(crate) fn weighed(
        &mut self,
        members: &Members,
        (nexthops, rules): (&impl Known, &Rules),
        now: Instant,
    ) {
        let party = self.party(members, nexthops);
        self.weigh(&party, rules, now);
    }

    /// Notes since when the group has been out of balance.
    pub(super) fn weigh(&mut self, party: &Party, rules: &Rules, now: Instant) {
        self.surplus = match rules.deal {
            _ if !party.is_alive() => 0,
            Deal::RoundRobin if rules.is_patient() => party.surplus(&self.effective),
            // What chance deals is nobody's surplus; nor is what rounding leaves behind where
            // nothing moves in the background.
            _ => party.left_behind(&self.effective),
        };
        self.unbalanced = match self.surplus {
            0 => None,
            _ => Some(self.unbalanced.unwrap_or(now)),
        };
    }

    pub(super) fn write<L: LpmWrite>(
        &self,
        members: &Members,
        nexthops: &Nexthops,
        dplane: &Dplane<L>,
    ) -> usize {
        let mut moved = 0;
        for (b, (first, second)) in self.choices(members, nexthops).enumerate() {
            moved += usize::from(dplane.set_bucket(self.word, b, first, second));
        }
        moved
    }

    /// What each bucket says: first choice, second choice.
    pub(crate) fn choices<'a>(
        &'a self,
        members: &Members,
        nexthops: &'a Nexthops,
    ) -> impl Iterator<Item = (AdjacencyId, AdjacencyId)> + use<'a> {
        let adjacency = |m: Member| nexthops.get(m).and_then(|n| n.adjacency);
        let none = self.without_usable(members, nexthops);
        let both = self.effective.iter().zip(&self.seconds);
        both.map(move |(first, second)| {
            if !self.alive {
                return (none, none);
            }
            let first = adjacency(*first).unwrap_or(none);
            (first, adjacency(*second).unwrap_or(first))
        })
    }

    /// What happens when no member is usable: routes whose next hops are all outside our ports
    /// (management) are the kernel's.
    fn without_usable(&self, members: &Members, nexthops: &Nexthops) -> AdjacencyId {
        let foreign = |m: &(Member, u32)| {
            let state = nexthops.get(m.0).map(|n| n.outlook.state);
            state == Some(State::NoPort)
        };
        if members.iter().all(foreign) {
            AdjacencyId::PUNT
        } else {
            AdjacencyId::NEXTHOP_DOWN
        }
    }

    /// Buckets that `member` has now.
    pub fn share(&self, member: Member) -> usize {
        if self.alive {
            self.effective.iter().filter(|&&m| m == member).count()
        } else {
            0
        }
    }

    /// Any of them has buckets, now or when the group could last be used: an outage of all is over
    /// with everybody where it was.
    pub(crate) fn is_left_to(&self, members: &[Member]) -> bool {
        self.effective.iter().any(|m| members.contains(m))
    }

    /// Buckets that are not where they belong while all members are usable.
    pub fn displaced(&self) -> usize {
        bucket::moved(&self.home, &self.effective)
    }
}

/// The table that rendezvous gives those due, and who is second. Who is leaving keeps of what it
/// `had`, in a table of that size if it had one, what it would have beside them, and what of that `may_move` goes.
fn by_rank(
    (members, party): (&Members, &Party),
    had: Option<&[Member]>,
    (seed, size): (u32, usize),
    may_move: impl Fn(usize) -> bool,
    nexthops: &impl Known,
) -> (Vec<Member>, Vec<Member>) {
    let (mut first, mut second) = by_rendezvous(&party.due, size, seed, nexthops);
    let Some(had) = had else {
        return (first, second);
    };
    for leaving in &party.leaving {
        let takes_part = |m: &&(Member, u32)| party.is_due(m.0) || m.0 == *leaving;
        let beside: Vec<(Member, u32)> = members.iter().filter(takes_part).copied().collect();
        let (own, _) = by_rendezvous(&beside, size, seed, nexthops);
        for b in (0..size).filter(|&b| own[b] == *leaving && had[b] == *leaving) {
            if !may_move(b) {
                (first[b], second[b]) = (*leaving, first[b]);
            }
        }
    }
    (first, second)
}

pub(super) fn is_out(nexthops: &impl Known, member: Member) -> bool {
    nexthops.standing(member) == Standing::Out
}

/// What follows from `table` when `party` takes part: who returns has the buckets that are its by
/// `home` again, all of them; orphans go to whom `wish` names. If somebody `gains` who got none, and
/// that is not left to the background, buckets of members still away move to make shares even, and
/// only if that is not enough others.
fn regained(
    table: &[Member],
    home: &[Member],
    party: &Party,
    (wish, gains): (&[Member], bool),
    rules: &Rules,
) -> Vec<Member> {
    let before = table;
    let mut table = before.to_vec();
    if rules.recovery == Recovery::Immediate {
        for (owner, home) in table.iter_mut().zip(home) {
            if party.is_due(*home) {
                *owner = *home;
            }
        }
    }
    let somebody_came = gains || table != before || party.held(before).contains(&0);
    let leaves = |owner: Member| party.leaving.binary_search(&owner).is_ok();
    let evens_out = somebody_came && !rules.is_patient();
    let may_move = |b: usize| evens_out && !party.is_due(home[b]) && !leaves(table[b]);
    let rounding = match somebody_came {
        true => Rounding::Even,
        false => Rounding::Kept,
    };
    let dealt = deal(&table, party, (Some(wish), rounding), may_move);
    if !evens_out {
        return dealt;
    }
    deal(&dealt, party, (Some(wish), rounding), |b| !leaves(dealt[b]))
}

/// [`settle`] among `party`, with regard to whom a table prefers.
pub(super) fn deal(
    table: &[Member],
    party: &Party,
    (preferred, rounding): (Option<&[Member]>, Rounding),
    may_move: impl Fn(usize) -> bool,
) -> Vec<Member> {
    let terms = Terms {
        members: &party.due,
        leaving: &party.leaving,
        preferred,
        rounding,
    };
    settle(Some(table), table.len(), &terms, may_move)
}

/// What a new group would be.
#[derive(Clone)]
pub(super) struct Draft {
    pub lineage: SetId,
    pub home: Vec<Member>,
    pub effective: Vec<Member>,
    pub due: Vec<Member>,
    pub parked: Vec<Member>,
    pub alive: bool,
    /// It follows no other group.
    pub begins: bool,
    pub young: Option<Instant>,
    pub is_growing: bool,
    pub is_heir: bool,
    pub expects: Option<usize>,
    pub awaited: Option<Box<Awaited>>,
}

impl Draft {
    /// The group of `set`, which has these members, for routes from `origin` or, if there is none,
    /// for new ones.
    pub fn new(
        around: &Surroundings<'_>,
        origin: Option<(&Group, Members)>,
        set: SetId,
        members: &Members,
        nexthops: &impl Known,
    ) -> Draft {
        let rules = around.rules;
        // Hosts and prefixes on the link have no past that others share.
        let gateway = |m: &(Member, u32)| {
            let key = nexthops.known(m.0).map(|n| n.key);
            key.is_some_and(|k| k.gateway.is_some() && !k.host)
        };
        let origin = origin.filter(|_| members.iter().any(gateway));
        let wide = origin.as_ref().map_or(1, |(g, _)| g.home.len());
        let size = rules.size(members, wide, around.most);
        let lineage = origin.as_ref().map_or(set, |(g, _)| g.lineage);
        let carriers = origin.as_ref().filter(|o| o.0.alive);
        let carriers = carriers.map_or(&[][..], |o| &o.0.effective);
        let begins = origin.is_none();
        // Who leaves returns by the rules, however early that was.
        let stays = |m: &(Member, u32)| members.binary_search_by_key(&m.0, |x| x.0).is_ok();
        let young = origin
            .as_ref()
            .filter(|(_, before)| before.iter().all(stays));
        let young = young.and_then(|(g, _)| g.young);
        let is_growing = origin.as_ref().map_or(size == 1, |(g, _)| g.is_growing);
        let party = Party::of(members, &[], carriers, nexthops);
        let new = |lineage, home: Vec<Member>, effective| Draft {
            lineage,
            home,
            effective,
            due: party.those_due(),
            parked: Vec::new(),
            alive: party.is_alive(),
            begins,
            young,
            is_growing,
            is_heir: false,
            expects: None,
            awaited: None,
        };
        if let Deal::Rendezvous(seed) = rules.deal {
            let home = by_rendezvous(members, size, seed, nexthops).0;
            let had = origin.as_ref().map(|(g, _)| widened(&g.effective, size));
            let had = had.as_deref().filter(|had| had.len() == size);
            let effective = match party.is_alive() {
                true => by_rank((members, &party), had, (seed, size), |_| false, nexthops).0,
                false => {
                    let is_in = |m: &&Member| members.binary_search_by_key(*m, |x| x.0).is_ok();
                    let kept = |b: usize| had.map(|had| &had[b]).filter(is_in).copied();
                    (0..size).map(|b| kept(b).unwrap_or(NOBODY)).collect()
                }
            };
            return new(lineage, home, effective);
        }
        let fresh = bucket::derive(None, members, size, None);
        let Some((origin, before)) = origin else {
            let effective = match party.is_alive() {
                true => {
                    let leaves = |b: usize| party.leaving.binary_search(&fresh[b]).is_ok();
                    deal(&fresh, &party, (Some(&fresh), Rounding::Kept), leaves)
                }
                false => vec![NOBODY; size],
            };
            return new(lineage, fresh, effective);
        };
        if size == 1 {
            let has = party.is_alive() || origin.effective.contains(&fresh[0]);
            let owner = if has { fresh[0] } else { NOBODY };
            return new(lineage, fresh, vec![owner]);
        }
        if young.is_some() && is_growing {
            let rules = &rules.at_the_beginning();
            let around = Surroundings { rules, ..*around };
            let draft = around.succeed(origin, &before, (set, members), &fresh, nexthops);
            return Draft { young, ..draft };
        }
        around.succeed(origin, &before, (set, members), &fresh, nexthops)
    }
}

/// Members of `old` that stand in `new` under another name: the same neighbor on the same port. So
/// it is when zebra writes a fake IPv4 gateway in one mode and the IPv6 next hop in the other.
pub(super) fn renamed(
    old: &Members,
    new: &Members,
    nexthops: &impl Known,
) -> HashMap<Member, Member> {
    let only_in = |a: &Members, b: &Members| -> Vec<Member> {
        let other = |m: &Member| b.binary_search_by_key(m, |x| x.0).is_err();
        a.iter().map(|m| m.0).filter(other).collect()
    };
    let place = |m: Member| {
        let outlook = &nexthops.known(m)?.outlook;
        Some((outlook.port?, outlook.mac?))
    };
    let (gone, came) = (only_in(old, new), only_in(new, old));
    let pairs = gone.into_iter().filter_map(|g| {
        let same = came.iter().copied().find(|&c| place(c) == place(g))?;
        place(g).map(|_| (g, same))
    });
    pairs.collect()
}

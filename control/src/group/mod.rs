//! Groups and their lineage: which table of buckets stands for a set of next hops.
//!
//! zebra gives a new id to every change of membership, so ids say nothing. A route that moves from
//! one group to another set of next hops takes the bucket table along: only buckets of members that
//! left are dealt anew, and who comes gets back what it had, as long as anybody remembers.
//!
//! A group has two tables: `home`, as if every member were usable, and `effective`, what is written.

mod enter;
pub mod resize;
mod resume;
mod table;
pub mod take_up;

use crate::bucket::Member;
use crate::deal::Rules;
use crate::dplane::Dplane;
use crate::map::Map;
use crate::nexthop::{Nexthops, SetId, Sets};
use fastpath::table::{GroupId, GroupWord, LpmWrite};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use take_up::Past;

/// How many tables of groups that are gone are remembered, and for how long.
const REMEMBERED: usize = 4096;
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
/// A table larger than it has to be takes at most this part of what is free.
const PART_OF_FREE: usize = 4;

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its members.
    pub set: SetId,
    /// Whose descendant it is: the set of the first group.
    pub lineage: SetId,
    /// Who owns which bucket while all are usable.
    pub home: Vec<Member>,
    /// Who owns which bucket now; of the time before, while none is usable. If there was none,
    /// [`NOBODY`](crate::bucket::NOBODY) does: who is being drained keeps what it had, and had nothing.
    pub effective: Vec<Member>,
    /// Who takes over if an owner dies.
    pub seconds: Vec<Member>,
    /// Who got buckets when it was last dealt, ascending.
    due: Vec<Member>,
    /// Members that were lost and do not return by themselves, ascending.
    pub parked: Vec<Member>,
    /// Any member is usable.
    pub alive: bool,
    /// Buckets held beyond what their owners are due, and since when there have been any.
    pub surplus: usize,
    /// Since when that has been so.
    pub unbalanced: Option<Instant>,
    /// Where its buckets are.
    pub word: GroupWord,
    /// Prefixes that point to it.
    pub routes: u64,
    /// It, or those that it followed, began then with a route, and nobody was lost. For the time of
    /// `start_timer` its flows are not old enough to be spared: who has yet to be resolved gets its
    /// share at once. So does who comes, if the route began with one next hop: as BGP has it at a
    /// start, where one session is up before the other.
    young: Option<Instant>,
    /// With one next hop.
    is_growing: bool,
    /// Its table is one of before the start, or follows from one.
    is_heir: bool,
    /// Its routes had this table before the start, unlike others of their set: which they take up as
    /// soon as it is known that it is theirs.
    expects: Option<usize>,
    /// Tables of before the start, until all who had buckets have been usable.
    awaited: Option<Box<Awaited>>,
}

/// What a group was before the start.
#[derive(Clone, Debug)]
pub(crate) struct Awaited {
    /// Who owned which bucket in each life before; the oldest first, at least one.
    pub lives: Vec<Vec<Member>>,
    /// Who got buckets then. Among these what each had is an even deal, also while some are away.
    pub due: BTreeSet<Member>,
    /// Who has had buckets since.
    pub served: BTreeSet<Member>,
    pub parked: Vec<Member>,
    /// It has been there since, and its flows are not old enough to be spared: so long after the
    /// start of the route, the buckets of who is away are dealt anew with each who comes back.
    pub young: Option<Instant>,
}

#[derive(Debug)]
struct Remembered {
    home: Vec<Member>,
    used: Instant,
}

/// What a draft depends on beside the members.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    rules: &'a Rules,
    all: &'a Map<GroupId, Group>,
    by_set: &'a Map<(SetId, SetId), Vec<GroupId>>,
    memory: &'a Map<(SetId, SetId), Remembered>,
    /// Buckets of the largest table that there is room for.
    most: usize,
}

/// What happened to groups since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Routes went from one group to another.
    pub moved: Vec<(GroupId, GroupId)>,
    /// They are new, or buckets may have other owners.
    pub dealt: BTreeSet<GroupId>,
    /// No prefix names them any more.
    pub gone: Vec<GroupId>,
}

impl Changes {
    /// Nothing did.
    pub fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.dealt.is_empty() && self.gone.is_empty()
    }
}

/// All groups.
#[derive(Debug)]
pub struct Groups {
    changes: Changes,
    all: Map<GroupId, Group>,
    by_set: Map<(SetId, SetId), Vec<GroupId>>,
    memory: Map<(SetId, SetId), Remembered>,
    /// Where routes from a group to a set go, as long as nothing else changes; with the table that they
    /// had before the start, if that was another one than their set's.
    memo: Map<(GroupId, SetId, Option<usize>), GroupId>,
    unused: BTreeSet<GroupId>,
    rules: Rules,
    /// Buckets of the largest table that there is room for.
    most: usize,
    /// Groups out of balance.
    uneasy: BTreeSet<GroupId>,
    /// Groups that may be young.
    young: BTreeSet<GroupId>,
    /// Tables of before the start, as long as they can be taken up.
    past: Option<Box<Past>>,
}

impl Groups {
    /// No group yet.
    pub fn new(rules: Rules) -> Self {
        Groups {
            changes: Changes::default(),
            all: Map::default(),
            by_set: Map::default(),
            memory: Map::default(),
            memo: Map::default(),
            unused: BTreeSet::new(),
            rules,
            most: 1 << GroupWord::MAX_LOG2,
            uneasy: BTreeSet::new(),
            young: BTreeSet::new(),
            past: None,
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            rules: &self.rules,
            all: &self.all,
            by_set: &self.by_set,
            memory: &self.memory,
            most: self.most,
        }
    }

    /// The group of that id; fixed groups are not among them.
    pub fn get(&self, id: GroupId) -> Option<&Group> {
        self.all.get(&id)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.all.iter().map(|(id, g)| (*id, g))
    }

    /// The sets that must not be forgotten.
    pub fn sets(&self) -> impl Iterator<Item = SetId> + '_ {
        let remembered = self.memory.keys().flat_map(|&(a, b)| [a, b]);
        let live = self.all.values().flat_map(|g| [g.set, g.lineage]);
        live.chain(remembered)
    }

    /// A prefix points to `id` from now on.
    pub fn attach(&mut self, id: GroupId) {
        if let Some(group) = self.all.get_mut(&id) {
            if group.routes == 0 {
                self.unused.remove(&id);
            }
            group.routes += 1;
        }
    }

    /// A prefix no longer points to `id`.
    pub fn detach(&mut self, id: GroupId) {
        if let Some(group) = self.all.get_mut(&id) {
            group.routes -= 1;
            if group.routes == 0 {
                self.unused.insert(id);
            }
        }
    }

    /// What happened since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// How many buckets a new group of `members` members with equal weights has.
    pub fn size(&self, members: usize) -> usize {
        let equal: Vec<(Member, u32)> = (0..members as Member).map(|m| (m, 1)).collect();
        self.rules.size(&equal, 1, self.most)
    }

    fn remember(&mut self, group: &Group, now: Instant) {
        if group.home.len() > 1 {
            let remembered = Remembered {
                home: group.home.clone(),
                used: now,
            };
            self.memory.insert((group.lineage, group.set), remembered);
        }
    }

    /// Writes what follows from the state of the members of `id` now; how many buckets moved.
    pub fn rebalance<L: LpmWrite>(
        &mut self,
        id: GroupId,
        now: Instant,
        nexthops: &Nexthops,
        sets: &Sets,
        dplane: &Dplane<L>,
    ) -> usize {
        self.memo.clear();
        self.grow_up(now);
        let Some(group) = self.all.get_mut(&id) else {
            return 0;
        };
        let members = sets.members(group.set);
        let old_home = group.home.clone();
        group.follow(&members, nexthops, &self.rules);
        let party = group.party(&members, nexthops);
        group.weigh(&party, &self.rules, now);
        let moved = group.write(&members, nexthops, dplane);
        self.changes.dealt.insert(id);
        if group.home != old_home {
            let group = group.clone();
            self.remember(&group, now);
        }
        self.note_balance(id);
        moved
    }

    /// Moves buckets in the background: see [`Group::ease`]. Which groups changed, and how many
    /// buckets of each moved.
    pub fn ease<L: LpmWrite>(
        &mut self,
        now: Instant,
        idle: impl Fn(GroupId, usize, Member) -> bool,
        (nexthops, sets, dplane): (&Nexthops, &Sets, &Dplane<L>),
    ) -> Vec<(GroupId, usize)> {
        let mut changed = Vec::new();
        for id in self.uneasy.clone() {
            let Some(group) = self.all.get_mut(&id) else {
                continue;
            };
            let members = sets.members(group.set);
            let by = (nexthops, &self.rules);
            let moved = group.ease(&members, by, |b, owner| idle(id, b, owner), now);
            if group.unbalanced.is_none() {
                self.uneasy.remove(&id);
            }
            if moved > 0 {
                group.write(&members, nexthops, dplane);
                let group = group.clone();
                self.remember(&group, now);
                self.changes.dealt.insert(id);
                changed.push((id, moved));
            }
        }
        if !changed.is_empty() {
            self.memo.clear();
        }
        changed
    }

    /// The flows of groups that began long enough ago are spared from now on.
    pub fn grow_up(&mut self, now: Instant) {
        let (all, timer) = (&mut self.all, self.rules.start_timer);
        self.young.retain(|id| {
            let Some(group) = all.get_mut(id) else {
                return false;
            };
            let is_young = |since: &Instant| now.saturating_duration_since(*since) < timer;
            group.young = group.young.filter(is_young);
            let awaited = group.awaited.as_mut().and_then(|a| {
                a.young = a.young.filter(is_young);
                a.young
            });
            group.young.or(awaited).is_some()
        });
    }

    /// These may return to their groups.
    pub fn unpark(&mut self, members: &[Member]) {
        for group in self.all.values_mut() {
            group.unpark(members);
        }
    }

    /// Some group holds buckets beyond what their owners are due.
    pub fn is_uneasy(&self) -> bool {
        !self.uneasy.is_empty()
    }

    fn note_balance(&mut self, id: GroupId) {
        match self.all.get(&id).map(|g| g.unbalanced) {
            Some(Some(_)) => self.uneasy.insert(id),
            _ => self.uneasy.remove(&id),
        };
    }

    /// Takes groups that no prefix points to out of the tables; the members that lost a group.
    pub fn retire_unused<L: LpmWrite>(
        &mut self,
        now: Instant,
        nexthops: &mut Nexthops,
        sets: &Sets,
        dplane: &mut Dplane<L>,
    ) -> Vec<Member> {
        let mut touched = Vec::new();
        if self.unused.is_empty() {
            return touched;
        }
        self.memo.clear();
        for id in std::mem::take(&mut self.unused) {
            let Some(group) = self.all.remove(&id) else {
                continue;
            };
            for (member, _) in sets.members(group.set).iter() {
                if let Some(nexthop) = nexthops.get_mut(*member) {
                    nexthop.groups.retain(|g| *g != id);
                    touched.push(*member);
                }
            }
            let key = (group.lineage, group.set);
            if let Some(ids) = self.by_set.get_mut(&key) {
                ids.retain(|g| *g != id);
                if ids.is_empty() {
                    self.by_set.remove(&key);
                }
            }
            self.remember(&group, now);
            dplane.retire_group(id, group.word);
            self.changes.gone.push(id);
            self.uneasy.remove(&id);
            if let Some(past) = &mut self.past {
                past.lose(id);
            }
        }
        self.forget(now);
        touched
    }

    /// Drops what was remembered too long, and the oldest of too much.
    pub fn forget(&mut self, now: Instant) {
        let (by_set, memory) = (&self.by_set, &mut self.memory);
        memory.retain(|key, r| {
            by_set.contains_key(key) || now.saturating_duration_since(r.used) < REMEMBERED_FOR
        });
        if memory.len() > REMEMBERED {
            let mut ages: Vec<_> = memory.iter().map(|(k, r)| (r.used, *k)).collect();
            ages.sort_unstable();
            for (_, key) in ages.iter().take(memory.len() - REMEMBERED) {
                memory.remove(key);
            }
        }
    }

    /// How many tables are remembered.
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    /// Members, or what is usable, has changed: what was decided before holds no longer.
    pub fn reconsider(&mut self) {
        self.memo.clear();
    }
}

//! Groups and their lineage: which table of buckets stands for a set of next hops.
//!
//! zebra gives a new id to every change of membership, so ids say nothing. A route that moves from
//! one group to another set of next hops takes the bucket table along: only buckets of members that
//! left are dealt anew, and who comes gets back what it had, as long as anybody remembers.
//!
//! A group has two tables: `home`, as if every member were usable, and `effective`, what is written.

use crate::bucket::{self, Member, Terms, derive, is_minimal, second_choices, size_for, widened};
use crate::dplane::{Dplane, Full};
use crate::nexthop::{Known, Members, Nexthops, SetId, Sets, State};
use fastpath::table::{AdjacencyId, GroupId, GroupWord, LpmWrite};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// How many tables of groups that are gone are remembered, and for how long.
const REMEMBERED: usize = 4096;
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its members.
    pub set: SetId,
    /// Whose descendant it is: the set of the first group.
    pub lineage: SetId,
    /// Who owns which bucket while all are usable.
    pub home: Vec<Member>,
    /// Who owns which bucket now; of the time before, while none is usable.
    pub effective: Vec<Member>,
    /// Who takes over if an owner dies.
    pub seconds: Vec<Member>,
    /// Any member is usable.
    pub alive: bool,
    /// Where its buckets are.
    pub word: GroupWord,
    /// Prefixes that point to it.
    pub routes: u64,
}

#[derive(Debug)]
struct Remembered {
    home: Vec<Member>,
    used: Instant,
}

/// What a new group would be.
struct Draft {
    lineage: SetId,
    home: Vec<Member>,
    effective: Vec<Member>,
    alive: bool,
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
    all: HashMap<GroupId, Group>,
    by_set: HashMap<(SetId, SetId), Vec<GroupId>>,
    memory: HashMap<(SetId, SetId), Remembered>,
    /// Where routes from a group to a set go, as long as nothing else changes.
    memo: HashMap<(GroupId, SetId), GroupId>,
    unused: BTreeSet<GroupId>,
    buckets: usize,
}

impl Groups {
    /// No group yet; those of several members get at least `buckets` buckets, a power of two.
    pub fn new(buckets: usize) -> Self {
        Groups {
            changes: Changes::default(),
            all: HashMap::new(),
            by_set: HashMap::new(),
            memory: HashMap::new(),
            memo: HashMap::new(),
            unused: BTreeSet::new(),
            buckets: buckets.max(1).next_power_of_two(),
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
            group.routes += 1;
            self.unused.remove(&id);
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

    /// The group to which a route goes that has pointed to `from` ([`GroupId::NONE`]: a new one)
    /// and names `set` now.
    ///
    /// # Errors
    /// There is no room for another group.
    pub fn enter<L: LpmWrite>(
        &mut self,
        from: GroupId,
        set: SetId,
        now: Instant,
        (nexthops, sets, dplane): (&mut Nexthops, &Sets, &mut Dplane<L>),
    ) -> Result<GroupId, Full> {
        // What a fixed group did says nothing about flows.
        let from = if self.all.contains_key(&from) {
            from
        } else {
            GroupId::NONE
        };
        if let Some(&known) = self.memo.get(&(from, set)) {
            return Ok(known);
        }
        let members = sets.members(set);
        let origin = self.all.get(&from).map(|g| (g, sets.members(g.set)));
        let draft = self.draft(origin, set, &members, &*nexthops);
        let same = self.by_set.get(&(draft.lineage, set)).and_then(|ids| {
            ids.iter().copied().find(|id| {
                self.all.get(id).is_some_and(|g| {
                    g.home == draft.home
                        && (g.alive, &g.effective) == (draft.alive, &draft.effective)
                })
            })
        });
        let id = match same {
            Some(id) => id,
            None => self.create(draft, set, &members, now, nexthops, dplane)?,
        };
        if from != GroupId::NONE && from != id {
            self.changes.moved.push((from, id));
        }
        self.memo.insert((from, set), id);
        Ok(id)
    }

    /// What happened since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
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
        let draft = self.draft(Some((origin, before.clone())), set, members, nexthops);
        let mut group = Group {
            set,
            lineage: draft.lineage,
            seconds: Vec::new(),
            home: draft.home,
            effective: draft.effective,
            alive: draft.alive,
            word: origin.word,
            routes: origin.routes,
        };
        group.choose_seconds(&usable(members, nexthops));
        group
    }

    /// How many buckets a group of `members` members has.
    pub fn size(&self, members: usize) -> usize {
        size_for(members, self.buckets)
    }

    fn draft(
        &self,
        origin: Option<(&Group, Members)>,
        set: SetId,
        members: &Members,
        nexthops: &impl Known,
    ) -> Draft {
        let usable = usable(members, nexthops);
        let alive = !usable.is_empty();
        // Hosts and prefixes on the link have no past that others share.
        let routed = |set: &Members| {
            let gateway = |m: &(Member, u32)| {
                let key = nexthops.known(m.0).map(|n| n.key);
                key.is_some_and(|k| k.gateway.is_some() && !k.host)
            };
            set.iter().any(gateway)
        };
        let origin = origin.filter(|_| routed(members));
        let wide = origin.as_ref().map_or(1, |(g, _)| g.home.len());
        let size = match members.len() {
            0 | 1 => 1,
            n => size_for(n, self.buckets).max(wide),
        };
        let fresh = derive(None, members, size, None);
        let Some((origin, before)) = origin else {
            let effective = if alive {
                derive(Some(&fresh), &usable, size, Some(&fresh))
            } else {
                fresh.clone()
            };
            return Draft {
                lineage: set,
                home: fresh,
                effective,
                alive,
            };
        };
        if size == 1 {
            return Draft {
                lineage: origin.lineage,
                home: fresh.clone(),
                effective: fresh,
                alive,
            };
        }
        let same_place = renamed(&before, members, nexthops);
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
        let fits = |t: &&Vec<Member>| is_minimal(&present, t);
        let known = remembered.iter().chain(std::iter::once(&fresh)).find(fits);
        let mut home = known.cloned().unwrap_or_else(|| {
            let wish = remembered.as_ref().unwrap_or(&fresh);
            derive(Some(&present), members, size, Some(wish))
        });
        let flows = if origin.alive {
            here(&origin.effective)
        } else {
            present
        };
        let effective = if !alive {
            flows
        } else if usable.len() == members.len() {
            if !is_minimal(&flows, &home) {
                home = derive(Some(&flows), members, size, Some(&home));
            }
            home.clone()
        } else {
            derive(Some(&flows), &usable, size, Some(&home))
        };
        let lineage = if home == fresh { set } else { origin.lineage };
        Draft {
            lineage,
            home,
            effective,
            alive,
        }
    }

    fn create<L: LpmWrite>(
        &mut self,
        draft: Draft,
        set: SetId,
        members: &Members,
        now: Instant,
        nexthops: &mut Nexthops,
        dplane: &mut Dplane<L>,
    ) -> Result<GroupId, Full> {
        let (id, word) = dplane.group(draft.home.len().max(1).ilog2())?;
        let mut group = Group {
            set,
            lineage: draft.lineage,
            seconds: Vec::new(),
            home: draft.home,
            effective: draft.effective,
            alive: draft.alive,
            word,
            routes: 0,
        };
        group.choose_seconds(&usable(members, nexthops));
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
        Ok(id)
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
        let Some(group) = self.all.get_mut(&id) else {
            return 0;
        };
        let members = sets.members(group.set);
        let usable = usable(&members, nexthops);
        let old_home = group.home.clone();
        group.react(&members, &usable);
        let moved = group.write(&members, nexthops, dplane);
        self.changes.dealt.insert(id);
        if group.home != old_home {
            let group = group.clone();
            self.remember(&group, now);
        }
        moved
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

impl Group {
    /// Deals buckets for these of its members being usable.
    fn react(&mut self, members: &Members, usable: &[(Member, u32)]) {
        let was_alive = std::mem::replace(&mut self.alive, !usable.is_empty());
        if self.alive {
            let size = self.home.len();
            let all = usable.len() == members.len();
            if all && is_minimal(&self.effective, &self.home) {
                self.effective.clone_from(&self.home);
            } else {
                // Workers have sent the flows of the dead to the second choices already.
                let is_usable = |m: Member| usable.binary_search_by_key(&m, |u| u.0).is_ok();
                let wish: Vec<Member> = (0..size)
                    .map(|b| match (self.effective[b], self.seconds[b]) {
                        (owner, second) if was_alive && !is_usable(owner) && is_usable(second) => {
                            second
                        }
                        _ => self.home[b],
                    })
                    .collect();
                self.effective = derive(Some(&self.effective), usable, size, Some(&wish));
                if all {
                    self.home.clone_from(&self.effective);
                }
            }
            self.choose_seconds(usable);
        }
    }

    /// What follows from the state of its `members` as `nexthops` know it.
    pub fn follow(&mut self, members: &Members, nexthops: &impl Known) {
        self.react(members, &usable(members, nexthops));
    }

    fn choose_seconds(&mut self, usable: &[(Member, u32)]) {
        self.seconds = if self.alive {
            second_choices(
                &self.effective,
                &Terms {
                    members: usable,
                    leaving: &[],
                    preferred: Some(&self.home),
                },
            )
        } else {
            self.effective.clone()
        };
    }

    fn write<L: LpmWrite>(
        &self,
        members: &Members,
        nexthops: &Nexthops,
        dplane: &Dplane<L>,
    ) -> usize {
        let adjacency = |m: Member| nexthops.get(m).and_then(|n| n.adjacency);
        let none = self.without_usable(members, nexthops);
        let mut moved = 0;
        for (b, (first, second)) in self.effective.iter().zip(&self.seconds).enumerate() {
            let (first, second) = if self.alive {
                let first = adjacency(*first).unwrap_or(none);
                (first, adjacency(*second).unwrap_or(first))
            } else {
                (none, none)
            };
            moved += usize::from(dplane.set_bucket(self.word, b, first, second));
        }
        moved
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

    /// Buckets that are not where they belong while all members are usable.
    pub fn displaced(&self) -> usize {
        bucket::moved(&self.home, &self.effective)
    }
}

/// Members of `old` that stand in `new` under another name: the same neighbor on the same port. So
/// it is when zebra writes a fake IPv4 gateway in one mode and the IPv6 next hop in the other.
fn renamed(old: &Members, new: &Members, nexthops: &impl Known) -> HashMap<Member, Member> {
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

/// The members that can be used.
fn usable(members: &Members, nexthops: &impl Known) -> Vec<(Member, u32)> {
    let up = members
        .iter()
        .copied()
        .filter(|m| nexthops.can_be_used(m.0));
    up.collect()
}

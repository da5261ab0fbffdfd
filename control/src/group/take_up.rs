//! Tables of before a restart, and groups that take them up.
//!
//! For some time after a start, a route that has no table of this life yet takes the one that its
//! set of next hops had; known by gateway addresses and ports, for numbers mean nothing any more.
//! Next hops come back one by one: until all that had buckets have been usable, who comes gets those
//! that it had, in whatever order they come.
//!
//! evenpath may be started again before they are all back. Then there are several tables of before,
//! one of each life: in the last one others had the buckets of who had been away all along, and are to
//! have them again until that one comes.

use super::resize::Adoption;
use super::table::Draft;
use super::{Awaited, Group, Groups};
use crate::bucket::{Member, NOBODY, widened};
use crate::deal::{Deal, Recovery};
use crate::dplane::Dplane;
use crate::nexthop::{Known, Members, Nexthops, SetId, Sets};
use crate::prefix::Prefix;
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

/// A next hop as it is known across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The gateway's address.
    pub via: IpAddr,
    /// The port.
    pub port: PortId,
    /// zebra's fake gateway of BGP unnumbered.
    pub onlink: bool,
}

/// A set of next hops as it is known across restarts: places and weights, ascending.
pub type Name = Vec<(Place, u32)>;

/// In a kept table: whose bucket has never forwarded anything, as [`NOBODY`] says it of a table in use.
pub const NOBODY_OLD: u16 = u16::MAX;

/// A table by the places of its members, owners by their index there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    /// Its set.
    pub name: Name,
    /// Who owns which bucket while all members are usable.
    pub home: Vec<u16>,
    /// Who owned which, or [`NOBODY_OLD`].
    pub effective: Vec<u16>,
    /// Who got buckets when they were last dealt, ascending.
    pub due: Vec<u16>,
    /// Who, or [`NOBODY_OLD`], had owned which in lives before that, for those who were not back in
    /// it; the oldest first.
    pub older: Vec<Vec<u16>>,
    /// Who does not return by itself.
    pub parked: Vec<u16>,
}

/// What was kept of the time before the start.
#[derive(Debug, Default)]
pub struct Past {
    /// `[resilient] buckets` of then.
    pub buckets: usize,
    /// Tables.
    pub tables: Vec<Old>,
    /// The table of a set, unless [`Past::exceptions`] has another.
    pub defaults: HashMap<Name, usize>,
    /// Prefixes with another table of their set, ascending, each once.
    pub exceptions: Vec<(Prefix, usize)>,
    /// The group that took a table up.
    pub(crate) heirs: HashMap<usize, GroupId>,
}

impl Past {
    /// The table that `prefix` had, if it is not that of its set.
    fn own(&self, prefix: Prefix) -> Option<usize> {
        let at = self.exceptions.binary_search_by_key(&prefix, |e| e.0);
        at.ok().map(|at| self.exceptions[at].1)
    }

    /// The table of routes whose set has that name: their `own`, if it is of that set.
    fn table_of(&self, own: Option<usize>, name: &Name) -> Option<usize> {
        let own = own.filter(|&i| self.tables.get(i).is_some_and(|t| t.name == *name));
        own.or_else(|| self.defaults.get(name).copied())
    }

    /// The group that has taken table `index` up.
    pub fn heir(&self, index: usize) -> Option<GroupId> {
        self.heirs.get(&index).copied()
    }

    pub(super) fn lose(&mut self, id: GroupId) {
        self.heirs.retain(|_, heir| *heir != id);
    }
}

/// The name of a set, and its members in that order; none if a member has no port or gateway, or
/// two are in one place.
pub fn named(members: &Members, nexthops: &impl Known) -> Option<(Name, Vec<Member>)> {
    let mut all = Vec::with_capacity(members.len());
    for &(member, weight) in members.iter() {
        let nexthop = nexthops.known(member)?;
        let key = nexthop.key;
        let place = Place {
            via: key.gateway.filter(|_| !key.host && !key.encap)?,
            port: nexthop.outlook.port?,
            onlink: key.onlink,
        };
        all.push((place, weight, member));
    }
    all.sort_unstable();
    let twins = all.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let name = all.iter().map(|m| (m.0, m.1)).collect();
    (!twins).then(|| (name, all.iter().map(|m| m.2).collect()))
}

impl Groups {
    /// From now on routes take up the tables of `past`.
    pub fn recall(&mut self, past: Past) {
        self.past = Some(Box::new(past));
        self.memo.clear();
    }

    /// The tables that may still be taken up.
    pub fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    /// A group with a table of before the start, or that follows from one.
    pub fn is_heir(&self, id: GroupId) -> bool {
        self.all.get(&id).is_some_and(|g| g.is_heir)
    }

    /// The table that `prefix` had before the start, if it is not that of its set.
    pub(super) fn own_past(&self, prefix: Prefix) -> Option<usize> {
        self.past.as_deref()?.own(prefix)
    }

    /// The group of the table that `prefix` had before the start with these members, unless it has
    /// one of this life already.
    pub(crate) fn take_up<L: LpmWrite>(
        &mut self,
        from: GroupId,
        (prefix, set): (Prefix, SetId),
        now: Instant,
        (nexthops, sets, dplane): (&mut Nexthops, &Sets, &mut Dplane<L>),
    ) -> Option<GroupId> {
        let past = self.past.as_deref()?;
        if self.all.get(&from).is_some_and(|g| g.is_heir) {
            return None;
        }
        let members = sets.members(set);
        let (name, order) = named(&members, &*nexthops)?;
        let index = past.table_of(past.own(prefix), &name)?;
        let heir = past.heirs.get(&index).copied();
        let same = |id: &GroupId| self.all.get(id).is_some_and(|g| g.set == set);
        // What has gone on in that group since is not the past of a route that was elsewhere meanwhile.
        let elsewhere = self.all.get(&from).map(|g| g.word);
        if let Some(id) = heir.filter(same).filter(|_| elsewhere.is_none()) {
            return Some(id);
        }
        let draft = self.resumed(index, (set, &members), &order, now)?;
        if let Some(word) = elsewhere {
            let mut group = Group::of(draft.clone(), set, word);
            group.follow(&members, &*nexthops, &self.rules);
            let mut ids = self.by_set.get(&(set, set)).into_iter().flatten();
            let same = ids.find(|id| self.all.get(id).is_some_and(|g| g.is_the_same_heir(&group)));
            if let Some(&id) = same {
                return Some(id);
            }
        }
        // Without room it starts anew, with fewer buckets.
        let id = self
            .create(draft, set, &members, now, nexthops, dplane)
            .ok()?;
        if let Some(past) = &mut self.past {
            past.heirs.entry(index).or_insert(id);
        }
        Some(id)
    }

    /// What a group of `set`, whose `members` are in this `order`, is that takes up table `index`.
    fn resumed(
        &self,
        index: usize,
        (set, members): (SetId, &Members),
        order: &[Member],
        now: Instant,
    ) -> Option<Draft> {
        let past = self.past.as_deref()?;
        let old = past.tables.get(index)?;
        let narrower = self.rules.resilient && self.rules.buckets < past.buckets;
        let wide = if narrower { 1 } else { old.home.len() };
        let size = self.rules.size(members, wide, self.most);
        let exact = matches!(self.rules.deal, Deal::Rendezvous(_));
        if old.home.len() > size || exact && old.home.len() != size {
            return None;
        }
        let here = |table: &[u16]| -> Vec<Member> {
            let owner = |o: &u16| match *o {
                NOBODY_OLD => Some(NOBODY),
                o => order.get(usize::from(o)).copied(),
            };
            table.iter().filter_map(owner).collect()
        };
        let mut parked = here(&old.parked);
        parked.sort_unstable();
        let lives = old.older.iter().chain([&old.effective]);
        let mut due = here(&old.due);
        due.sort_unstable();
        let lives: Vec<Vec<Member>> = lives.map(|life| widened(&here(life), size)).collect();
        // Where nobody has had anything nobody is awaited: it begins as if there had been no start.
        let begins = lives.iter().flatten().all(|m| *m == NOBODY);
        let awaited = Awaited {
            lives,
            due: due.iter().copied().collect(),
            served: BTreeSet::new(),
            parked: parked.clone(),
            young: (!self.rules.start_timer.is_zero()).then_some(now),
        };
        Some(Draft {
            lineage: set,
            home: widened(&here(&old.home), size),
            effective: widened(&here(&old.effective), size),
            due,
            parked,
            alive: false,
            begins,
            young: None,
            is_growing: false,
            is_heir: true,
            expects: None,
            awaited: (!begins).then(|| Box::new(awaited)),
        })
    }

    /// Groups whose routes came before their ports were known take up their tables, with all these routes:
    /// no prefix is looked at. `follow` as in [`Groups::adopt`].
    pub(crate) fn take_up_again<L: LpmWrite>(
        &mut self,
        now: Instant,
        (nexthops, sets, dplane): (&Nexthops, &Sets, &mut Dplane<L>),
        mut follow: impl FnMut(GroupId, &Group),
    ) {
        if self.past.is_none() {
            return;
        }
        let new = self
            .all
            .iter()
            .filter(|(_, g)| !g.is_heir && g.home.len() > 1);
        let mut new: Vec<GroupId> = new.map(|(id, _)| *id).collect();
        new.sort_unstable();
        for id in new {
            let Some((index, group)) = self.would_take_up(id, now, (nexthops, sets)) else {
                continue;
            };
            let Some(before) = self.all.get(&id) else {
                continue;
            };
            let keys = [(before.lineage, before.set), (group.lineage, group.set)];
            let waits = group.young.or(group.awaited.as_ref().and_then(|a| a.young));
            let adoption = Adoption {
                rules: self.rules.clone(),
                groups: [(id, group)].into(),
            };
            let around = (nexthops, sets, &mut *dplane);
            if self.adopt(adoption, now, around, &mut follow).is_err() {
                // Without room it stays as it is.
                continue;
            }
            if let Some(ids) = self.by_set.get_mut(&keys[0]) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_set.remove(&keys[0]);
                }
            }
            self.by_set.entry(keys[1]).or_default().push(id);
            if waits.is_some() {
                self.young.insert(id);
            }
            if let Some(past) = &mut self.past {
                past.heirs.entry(index).or_insert(id);
            }
        }
    }

    /// Group `id` with the table of before the start that is its, and which that is.
    fn would_take_up(
        &self,
        id: GroupId,
        now: Instant,
        (nexthops, sets): (&Nexthops, &Sets),
    ) -> Option<(usize, Group)> {
        let group = self.all.get(&id)?;
        let members = sets.members(group.set);
        let (name, order) = named(&members, nexthops)?;
        let index = self.past()?.table_of(group.expects, &name)?;
        let draft = self.resumed(index, (group.set, &members), &order, now)?;
        let begins = draft.begins && !self.rules.start_timer.is_zero();
        let mut heir = Group::of(draft, group.set, group.word);
        heir.young = begins.then_some(now);
        heir.routes = group.routes;
        heir.follow(&members, nexthops, &self.rules);
        let party = heir.party(&members, nexthops);
        heir.choose_seconds(&party, &self.rules, nexthops);
        Some((index, heir))
    }

    /// Nobody takes anything up any more, and nobody is awaited. The groups that waited still.
    pub fn forget_past(&mut self, nexthops: &impl Known) -> Vec<GroupId> {
        self.past = None;
        self.memo.clear();
        let mut waited = Vec::new();
        for (id, group) in &mut self.all {
            (group.is_heir, group.expects) = (false, None);
            if let Some(before) = group.awaited.take() {
                if self.rules.recovery == Recovery::Never {
                    let out = |m: &Member| *m != NOBODY && super::table::is_out(nexthops, *m);
                    let had = before.lives.iter().flatten();
                    group.parked.extend(had.filter(|m| out(m)));
                    group.parked.sort_unstable();
                    group.parked.dedup();
                }
                waited.push(*id);
            }
        }
        waited.sort_unstable();
        waited
    }
}

impl Group {
    /// Both follow from a table of before the start, and stand where the other does.
    fn is_the_same_heir(&self, other: &Group) -> bool {
        let waits = |g: &Group| g.awaited.is_some();
        self.is_heir
            && other.is_heir
            && (&self.home, &self.effective) == (&other.home, &other.effective)
            && (&self.parked, self.alive) == (&other.parked, other.alive)
            && waits(self) == waits(other)
    }

    /// Its table as it is kept; `order` are its members as `name` has them.
    pub fn as_old(&self, name: Name, order: &[Member]) -> Option<Old> {
        let place = |m: &Member| order.iter().position(|o| o == m).map(|i| i as u16);
        let home: Vec<u16> = self.home.iter().map(place).collect::<Option<_>>()?;
        // While nobody was usable others have come, and had nothing.
        let here = |table: &[Member]| -> Vec<u16> {
            let owners = table.iter().map(place);
            owners.map(|owner| owner.unwrap_or(NOBODY_OLD)).collect()
        };
        let awaited = self.awaited.as_deref();
        let mut lives = Vec::new();
        let mut settled = vec![false; self.effective.len()];
        for life in awaited.iter().flat_map(|a| &a.lives) {
            let mut owed = self.effective.clone();
            for ((slot, owner), settled) in owed.iter_mut().zip(life).zip(&mut settled) {
                // Where somebody has come who had it, those who had it after say nothing any more.
                *settled |= awaited.is_some_and(|a| a.served.contains(owner));
                if !*settled && *owner != NOBODY {
                    *slot = *owner;
                }
            }
            lives.push(owed);
        }
        lives.push(self.effective.clone());
        lives.dedup();
        lives.pop();
        let parked = awaited.map_or(&self.parked, |a| &a.parked);
        let mut due: Vec<u16> = self.due.iter().filter_map(place).collect();
        due.sort_unstable();
        Some(Old {
            name,
            effective: here(&self.effective),
            older: lives.iter().map(|life| here(life)).collect(),
            home,
            parked: parked.iter().filter_map(place).collect(),
            due,
        })
    }
}

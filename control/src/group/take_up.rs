//! Tables of before a restart, and groups that take them up.
//!
//! For some time after a start, a route that has no table of this life yet takes the one that its
//! set of next hops had; known by gateway addresses and ports, for numbers mean nothing any more.
//! Next hops come back one by one: until all that had buckets have been usable, a group's table is
//! what follows from the one of before and from who is usable now, in whatever order they came.

use super::table::{Draft, regained};
use super::{Awaited, Group, Groups};
use crate::bucket::{Member, widened};
use crate::deal::{Deal, Recovery, Rules, by_rendezvous};
use crate::dplane::Dplane;
use crate::nexthop::{Known, Members, Nexthops, SetId, Sets};
use crate::prefix::Prefix;
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::collections::HashMap;
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

/// A table by the places of its members, owners by their index there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    /// Its set.
    pub name: Name,
    /// Who owns which bucket while all members are usable.
    pub home: Vec<u16>,
    /// Who owned which.
    pub effective: Vec<u16>,
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
    /// Prefixes with another table of their set.
    pub exceptions: HashMap<Prefix, usize>,
    /// The group that took a table up.
    pub(crate) heirs: HashMap<usize, GroupId>,
}

impl Past {
    /// Some group has taken table `index` up.
    pub fn is_taken_up(&self, index: usize) -> bool {
        self.heirs.contains_key(&index)
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

    /// A group without a table of before the start, and with more than one bucket.
    pub fn is_new(&self, id: GroupId) -> bool {
        let group = self.all.get(&id);
        group.is_some_and(|g| !g.is_heir && g.home.len() > 1)
    }

    /// A group with a table of before the start, or that follows from one.
    pub fn is_heir(&self, id: GroupId) -> bool {
        self.all.get(&id).is_some_and(|g| g.is_heir)
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
        let own = past.exceptions.get(&prefix).copied();
        let own = own.filter(|&i| past.tables.get(i).is_some_and(|t| t.name == name));
        let index = own.or_else(|| past.defaults.get(&name).copied())?;
        let heir = past.heirs.get(&index).copied();
        let same = |id: &GroupId| self.all.get(id).is_some_and(|g| g.set == set);
        if let Some(id) = heir.filter(same) {
            return Some(id);
        }
        let old = past.tables.get(index)?;
        let narrower = self.rules.resilient && self.rules.buckets < past.buckets;
        let wide = if narrower { 1 } else { old.home.len() };
        let size = self.rules.size(&members, wide, self.most);
        let exact = matches!(self.rules.deal, Deal::Rendezvous(_));
        if old.home.len() > size || exact && old.home.len() != size {
            return None;
        }
        let here = |table: &[u16]| -> Vec<Member> {
            let owner = |o: &u16| order.get(usize::from(*o)).copied();
            table.iter().filter_map(owner).collect()
        };
        let mut parked = here(&old.parked);
        parked.sort_unstable();
        let awaited = Awaited {
            home: widened(&here(&old.home), size),
            effective: widened(&here(&old.effective), size),
            parked,
        };
        let draft = Draft {
            lineage: set,
            home: awaited.home.clone(),
            effective: awaited.effective.clone(),
            parked: awaited.parked.clone(),
            alive: false,
            begins: false,
            young: None,
            is_growing: false,
            is_heir: true,
            awaited: Some(Box::new(awaited)),
        };
        // Without room it starts anew, with fewer buckets.
        let id = self
            .create(draft, set, &members, now, nexthops, dplane)
            .ok()?;
        if let Some(past) = &mut self.past {
            past.heirs.entry(index).or_insert(id);
        }
        Some(id)
    }

    /// Nobody takes anything up any more, and nobody is awaited. The groups that waited still.
    pub fn forget_past(&mut self, nexthops: &impl Known) -> Vec<GroupId> {
        self.past = None;
        self.memo.clear();
        let mut waited = Vec::new();
        for (id, group) in &mut self.all {
            group.is_heir = false;
            if let Some(before) = group.awaited.take() {
                if self.rules.recovery == Recovery::Never {
                    let out = |m: &Member| super::table::is_out(nexthops, *m);
                    group
                        .parked
                        .extend(before.effective.iter().filter(|m| out(m)));
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
    /// Its table as it is kept; `order` are its members as `name` has them.
    pub fn as_old(&self, name: Name, order: &[Member]) -> Option<Old> {
        let place = |m: &Member| order.iter().position(|o| o == m).map(|i| i as u16);
        let (home, effective, parked) = match &self.awaited {
            Some(before) => (&before.home, &before.effective, &before.parked),
            None => (&self.home, &self.effective, &self.parked),
        };
        let home: Vec<u16> = home.iter().map(place).collect::<Option<_>>()?;
        // Of the time before, while nobody was usable, some owners are no members any more.
        let owners = effective.iter().zip(&home);
        Some(Old {
            name,
            effective: owners.map(|(m, h)| place(m).unwrap_or(*h)).collect(),
            home,
            parked: parked.iter().filter_map(place).collect(),
        })
    }

    /// What follows from the table of before the start, and from who is usable now.
    pub(super) fn resume(
        &mut self,
        before: &Awaited,
        members: &Members,
        nexthops: &impl Known,
        rules: &Rules,
    ) {
        let was_alive = self.alive;
        let now = std::mem::replace(&mut self.effective, before.effective.clone());
        self.home.clone_from(&before.home);
        self.parked.clone_from(&before.parked);
        let party = self.party(members, nexthops);
        if party.last_resort {
            self.parked.retain(|p| !party.is_due(*p));
        }
        self.alive = party.is_alive();
        if !self.alive {
            return;
        }
        if let Deal::Rendezvous(seed) = rules.deal {
            self.home = by_rendezvous(members, self.home.len(), seed, nexthops).0;
            self.rank(&party, seed, |_| false, nexthops);
        } else {
            let (effective, home) = (&self.effective, &self.home);
            // Of those still missing, flows stay with whom they are by now.
            let wish: Vec<Member> = (0..home.len())
                .map(|b| match (now.get(b), self.seconds.get(b)) {
                    (Some(&owner), Some(_)) if was_alive && party.is_due(owner) => owner,
                    (_, Some(&second)) if was_alive => second,
                    _ => home[b],
                })
                .collect();
            self.effective = regained(effective, home, &party, (&wish, false), rules);
            self.choose_seconds(&party, rules, nexthops);
        }
        let is_back = |m: &Member| !super::table::is_out(nexthops, *m);
        if before.effective.iter().all(is_back) {
            self.awaited = None;
            self.take_home(&party, rules);
        }
    }
}

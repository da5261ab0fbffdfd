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

use super::table::{Draft, deal};
use super::{Awaited, Group, Groups};
use crate::bucket::{Member, NOBODY, widened};
use crate::deal::{Deal, Party, Recovery, Rules, by_rendezvous};
use crate::dplane::Dplane;
use crate::nexthop::{Known, Members, Nexthops, SetId, Sets};
use crate::prefix::Prefix;
use crate::quota::Rounding;
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

/// A table by the places of its members, owners by their index there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    /// Its set.
    pub name: Name,
    /// Who owns which bucket while all members are usable.
    pub home: Vec<u16>,
    /// Who owned which.
    pub effective: Vec<u16>,
    /// Who got buckets when they were last dealt, ascending.
    pub due: Vec<u16>,
    /// Who had owned which in lives before that, for those who were not back in it; the oldest first.
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
    /// Prefixes with another table of their set.
    pub exceptions: HashMap<Prefix, usize>,
    /// The group that took a table up.
    pub(crate) heirs: HashMap<usize, GroupId>,
}

impl Past {
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
        let lives = old.older.iter().chain([&old.effective]);
        let mut due = here(&old.due);
        due.sort_unstable();
        let awaited = Awaited {
            lives: lives.map(|life| widened(&here(life), size)).collect(),
            due: due.iter().copied().collect(),
            served: BTreeSet::new(),
            parked: parked.clone(),
            young: (!self.rules.start_timer.is_zero()).then_some(now),
        };
        let draft = Draft {
            lineage: set,
            home: widened(&here(&old.home), size),
            effective: widened(&here(&old.effective), size),
            due,
            parked,
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
    /// Its table as it is kept, if it has ever forwarded anything; `order` are its members as `name`
    /// has them.
    pub fn as_old(&self, name: Name, order: &[Member]) -> Option<Old> {
        let place = |m: &Member| order.iter().position(|o| o == m).map(|i| i as u16);
        if self.effective.iter().all(|m| *m == NOBODY) {
            return None;
        }
        let home: Vec<u16> = self.home.iter().map(place).collect::<Option<_>>()?;
        // Of the time before, while nobody was usable, some owners are no members any more.
        let here = |table: &[Member]| -> Vec<u16> {
            let owners = table.iter().zip(&home);
            owners.map(|(m, h)| place(m).unwrap_or(*h)).collect()
        };
        let awaited = self.awaited.as_deref();
        let mut lives = Vec::new();
        let mut settled = vec![false; self.effective.len()];
        for life in awaited.iter().flat_map(|a| &a.lives) {
            let mut owed = self.effective.clone();
            for ((slot, owner), settled) in owed.iter_mut().zip(life).zip(&mut settled) {
                // Where somebody has come who had it, those who had it after say nothing any more.
                *settled |= awaited.is_some_and(|a| a.served.contains(owner));
                if !*settled {
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

    /// Follows the state of its members while some who had buckets `before` the start have yet to
    /// return; whether they all have now.
    pub(super) fn resume(
        &mut self,
        before: &mut Awaited,
        members: &Members,
        nexthops: &impl Known,
        rules: &Rules,
    ) -> bool {
        let was_alive = self.alive;
        let is_out = |m: &Member| super::table::is_out(nexthops, *m);
        if rules.recovery == Recovery::Never && was_alive {
            // Who was back and is lost returns by the rules.
            let lost = before.served.iter().filter(|m| is_out(m));
            before.parked.extend(lost);
            before.parked.sort_unstable();
            before.parked.dedup();
        }
        self.parked.clone_from(&before.parked);
        // Who is held down and had buckets nevertheless is to have them again.
        let oldest = before.lives.first().cloned().unwrap_or_default();
        let is_lost = |m: &Member| before.served.contains(m) && !self.effective.contains(m);
        let owed = |b: usize| {
            let mut lives = before.lives.iter().map(|life| life[b]);
            lives.find(|m| !is_out(m) && !is_lost(m))
        };
        let holders: Vec<Member> = (0..self.home.len())
            .filter_map(|b| owed(b).or(was_alive.then_some(self.effective[b])))
            .collect();
        let party = Party::of(members, &self.parked, &holders, nexthops);
        // Until others are back: then they have again what they had.
        self.parked.retain(|p| !party.is_due(*p));
        self.alive = party.is_alive();
        if !self.alive {
            return false;
        }
        if let Deal::Rendezvous(seed) = rules.deal {
            let leaves = |m: &Member| party.leaving.binary_search(m).is_ok();
            let comes = |m: &Member| !is_out(m) && !before.served.contains(m);
            let keeps = |is: &Member, then: &Member| {
                was_alive && leaves(is) && !comes(then) || is_lost(then)
            };
            let both = self.effective.iter().zip(&oldest);
            self.effective = both
                .map(|(is, then)| if keeps(is, then) { *is } else { *then })
                .collect();
            self.home = by_rendezvous(members, self.home.len(), seed, nexthops).0;
            self.rank((members, &party), seed, |_| false, nexthops);
        } else {
            self.take_back(before, &party, was_alive, rules);
            self.choose_seconds(&party, rules, nexthops);
        }
        before.served.extend(self.effective.iter().copied());
        self.due = party.those_due();
        if rules.recovery == Recovery::Immediate {
            self.settle_home(&party);
        }
        let all_back = !before.lives.iter().flatten().any(is_out);
        if all_back {
            self.take_home(&party, rules);
        }
        all_back
    }

    /// Who has come back has the buckets that it had; those of who is away go on with whom they are.
    fn take_back(&mut self, before: &Awaited, party: &Party, was_alive: bool, rules: &Rules) {
        let leaves = |m: Member| party.leaving.binary_search(&m).is_ok();
        let is_here = |m: &Member| party.is_due(*m) || leaves(*m);
        let held: BTreeSet<Member> = self
            .effective
            .iter()
            .copied()
            .filter(|_| was_alive)
            .collect();
        let all = party
            .due
            .iter()
            .map(|m| m.0)
            .chain(party.leaving.iter().copied());
        let came: BTreeSet<Member> = all.filter(|m| !held.contains(m)).collect();
        let at_once = rules.recovery == Recovery::Immediate;
        let mut table = self.effective.clone();
        for (b, slot) in table.iter_mut().enumerate() {
            let own = Some(self.home[b]).filter(|m| at_once && party.is_due(*m));
            // Who is back after it was lost has no more than the rules give it.
            let lives = before.lives.iter().map(|life| life[b]);
            let owed = lives.take_while(|m| held.contains(m) || !before.served.contains(m));
            let first = own.into_iter().chain(owed).find(is_here);
            *slot = first.filter(|m| came.contains(m)).unwrap_or(*slot);
        }
        let wish: Vec<Member> = (0..table.len())
            .map(|b| match self.seconds.get(b) {
                Some(&second) if was_alive => second,
                _ => self.home[b],
            })
            .collect();
        let gains = !came.is_empty() || !party.due.iter().all(|m| self.due.contains(&m.0));
        let rounding = match gains {
            true => Rounding::Even,
            false => Rounding::Kept,
        };
        // What they had stays theirs, unless somebody is there who got nothing when they had it, and
        // is not to wait.
        let got = |m: &(Member, u32)| before.due.contains(&m.0);
        let is_new = !party.last_resort && !party.due.iter().all(got);
        let patient = rules.is_patient();
        let may_move = |b: usize| {
            let is_owed = before.lives.iter().any(|life| life[b] == table[b]);
            let spare = match is_owed {
                true => is_new && !patient,
                false => !patient || before.young.is_some(),
            };
            spare && gains && !party.is_due(self.home[b]) && !leaves(table[b])
        };
        self.effective = deal(&table, party, (Some(&wish), rounding), may_move);
        let evens_out = is_new && !patient && gains;
        if evens_out {
            let dealt = std::mem::take(&mut self.effective);
            let how = (Some(&wish[..]), rounding);
            self.effective = deal(&dealt, party, how, |b| !leaves(dealt[b]));
        }
    }
}

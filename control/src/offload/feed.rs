//! What hardware is told: the plan at first, then what differs after each commit.
//!
//! Workers have a commit before hardware hears of it, so software is complete before hardware points at
//! anything. A number of a next hop is never given to another one, unlike a [`Member`]: a rule that
//! still leads to the old one would send packets of its prefixes to the new one.

use crate::bucket::Member;
use crate::dplane::{Fixed, Recorded};
use crate::group::Changes;
use crate::nexthop::{Key, Nexthop};
use crate::plan::Plan;
use crate::prefix::Prefix;
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::table::{Adjacency, Disposition, GroupId, LpmWrite, PortId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Whose number this is never leads anywhere.
pub(crate) const NOBODY: NexthopId = NexthopId(u32::MAX);

#[derive(Debug)]
struct Hop {
    id: NexthopId,
    key: Key,
    adjacency: Option<Adjacency>,
}

/// What hardware was told.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    hops: HashMap<Member, Hop>,
    by_id: BTreeMap<NexthopId, Member>,
    /// Numbers that were given out and are those of the first next hops with them.
    used: HashSet<Member>,
    /// How many others were.
    others: u32,
    groups: HashMap<GroupId, Arc<[NexthopId]>>,
    ports: Vec<Option<Entry>>,
}

impl Feed {
    /// The whole plan; `prefixes` are those in the tables, with their groups.
    pub(crate) fn whole<L: LpmWrite>(
        &mut self,
        plan: &Plan<L>,
        prefixes: impl Iterator<Item = (Prefix, GroupId)>,
    ) -> Vec<Change> {
        let mut out = Vec::new();
        self.ports(plan, &mut out);
        out.push(Change::Hash(Box::new(plan.dplane.view().hash.clone())));
        let members: BTreeSet<Member> = plan.nexthops.iter().map(|n| n.0).collect();
        self.nexthops(plan, members, &mut out);
        let mut groups: Vec<GroupId> = plan.groups.iter().map(|g| g.0).collect();
        groups.sort_unstable();
        for id in groups {
            self.group(plan, id, &mut out);
        }
        for (prefix, group) in prefixes {
            out.push(change(prefix, lead(plan, group)));
        }
        out
    }

    /// What a commit has changed: facts before what names them.
    pub(crate) fn follow<L: LpmWrite>(
        &mut self,
        plan: &Plan<L>,
        members: BTreeSet<Member>,
        (recorded, changes): (&Recorded, &Changes),
    ) -> Vec<Change> {
        let mut out = Vec::new();
        if recorded.facts {
            self.ports(plan, &mut out);
        }
        if recorded.policy {
            out.push(Change::Hash(Box::new(plan.dplane.view().hash.clone())));
        }
        self.nexthops(plan, members, &mut out);
        for id in &changes.dealt {
            self.group(plan, *id, &mut out);
        }
        for (prefix, group) in &recorded.prefixes {
            out.push(change(*prefix, lead(plan, *group)));
        }
        for id in &changes.gone {
            if self.groups.remove(id).is_some() {
                out.push(Change::Group(*id, None));
            }
        }
        out
    }

    fn ports<L: LpmWrite>(&mut self, plan: &Plan<L>, out: &mut Vec<Change>) {
        let ports = plan.ports.all().map(|port| {
            let (mac, untagged) = (plan.ports.mac(port), plan.ports.vlan(port) == 0);
            Some(Entry { mac, untagged })
        });
        let ports: Vec<Option<Entry>> = ports.collect();
        self.ports.resize(ports.len(), None);
        for (i, (entry, told)) in ports.iter().zip(&mut self.ports).enumerate() {
            if entry != told {
                *told = *entry;
                out.push(Change::Port(PortId(i as u16), *entry));
            }
        }
    }

    fn nexthops<L: LpmWrite>(
        &mut self,
        plan: &Plan<L>,
        members: BTreeSet<Member>,
        out: &mut Vec<Change>,
    ) {
        for member in members {
            let nexthop = plan.nexthops.get(member);
            let nexthop = nexthop.filter(|n| !n.groups.is_empty());
            let is_other = |hop: &Hop| nexthop.is_none_or(|n| n.key != hop.key);
            if let Some(hop) = self.hops.get(&member).filter(|h| is_other(h)) {
                // Nobody's any more; and who has the member's number now gets another one.
                out.push(Change::Nexthop(hop.id, None));
                self.by_id.remove(&hop.id);
                self.hops.remove(&member);
            }
            let Some(nexthop) = nexthop else {
                continue;
            };
            let adjacency = forwarded(nexthop);
            let hop = self.hop(member, nexthop.key);
            if hop.adjacency != adjacency {
                hop.adjacency = adjacency;
                out.push(Change::Nexthop(hop.id, adjacency));
            }
        }
    }

    fn hop(&mut self, member: Member, key: Key) -> &mut Hop {
        let (used, others) = (&mut self.used, &mut self.others);
        let hop = self.hops.entry(member).or_insert_with(|| {
            let id = if used.insert(member) {
                NexthopId(member)
            } else {
                *others += 1;
                NexthopId(NOBODY.0 - *others)
            };
            Hop {
                id,
                key,
                adjacency: None,
            }
        });
        self.by_id.insert(hop.id, member);
        hop
    }

    /// Facts as they are, whatever was told before: ports, the hash, and next hops by the numbers that
    /// they were told by.
    pub(crate) fn facts<L: LpmWrite>(&self, plan: &Plan<L>, out: &mut Vec<Change>) {
        let mut fresh = Feed::default();
        fresh.ports(plan, out);
        out.push(Change::Hash(Box::new(plan.dplane.view().hash.clone())));
        for (member, nexthop) in plan.nexthops.iter() {
            if !nexthop.groups.is_empty() {
                let number = self.number(plan, member);
                out.push(Change::Nexthop(number, forwarded(nexthop)));
            }
        }
    }

    /// The buckets of a group as they are, by those numbers.
    pub(crate) fn table<L: LpmWrite>(
        &self,
        plan: &Plan<L>,
        id: GroupId,
    ) -> Option<Arc<[NexthopId]>> {
        let group = plan.groups.get(id).filter(|_| !is_on_link(plan, id))?;
        let owners = group.effective.iter();
        Some(match group.alive {
            true => owners.map(|m| self.number(plan, *m)).collect(),
            false => owners.map(|_| NOBODY).collect(),
        })
    }

    /// The number of a next hop, told or not.
    fn number<L: LpmWrite>(&self, plan: &Plan<L>, member: Member) -> NexthopId {
        let told = self.hops.get(&member).map(|h| h.id);
        told.unwrap_or(match plan.nexthops.get(member) {
            Some(_) => NexthopId(member),
            None => NOBODY,
        })
    }

    fn group<L: LpmWrite>(&mut self, plan: &Plan<L>, id: GroupId, out: &mut Vec<Change>) {
        let Some(group) = plan.groups.get(id).filter(|_| !is_on_link(plan, id)) else {
            return;
        };
        let id_of = |member: &Member| {
            let known = self.hops.get(member).map(|h| h.id);
            known.unwrap_or_else(|| match plan.nexthops.get(*member) {
                Some(nexthop) => self.hop(*member, nexthop.key).id,
                None => NOBODY,
            })
        };
        let owners = group.effective.iter();
        // While none can be used the table is that of the time before, and nobody's.
        let buckets: Arc<[NexthopId]> = match group.alive {
            true => owners.map(id_of).collect(),
            false => owners.map(|_| NOBODY).collect(),
        };
        if self.groups.get(&id) != Some(&buckets) {
            self.groups.insert(id, Arc::clone(&buckets));
            out.push(Change::Group(id, Some(buckets)));
        }
    }

    /// The next hop of a number.
    pub(crate) fn member(&self, id: NexthopId) -> Option<Member> {
        self.by_id.get(&id).copied()
    }

    /// The number of a next hop.
    pub(crate) fn id(&self, member: Member) -> Option<NexthopId> {
        self.hops.get(&member).map(|h| h.id)
    }

    /// All next hops that hardware knows, by number.
    pub(crate) fn members(&self) -> impl Iterator<Item = (NexthopId, Member)> + '_ {
        self.by_id.iter().map(|(id, member)| (*id, *member))
    }
}

/// Where software sends what is for a next hop, if it sends it.
fn forwarded(nexthop: &Nexthop) -> Option<Adjacency> {
    let is_in_tables = nexthop.adjacency.is_some();
    let forwards = |a: &Adjacency| a.disposition == Disposition::Forward && is_in_tables;
    nexthop.outlook.adjacency.filter(forwards)
}

/// Destinations are on the link: software finds each one's neighbor.
fn is_on_link<L: LpmWrite>(plan: &Plan<L>, id: GroupId) -> bool {
    let Some(group) = plan.groups.get(id) else {
        return false;
    };
    let members = plan.sets.members(group.set);
    members.iter().all(|(member, _)| {
        let nexthop = plan.nexthops.get(*member);
        nexthop.is_none_or(|n| n.key.gateway.is_none())
    })
}

/// Where a group leads packets, as hardware sees it; `None`: nowhere.
pub(super) fn lead<L: LpmWrite>(plan: &Plan<L>, group: GroupId) -> Option<Lead> {
    if group == GroupId::NONE {
        return None;
    }
    Some(if group == plan.dplane.fixed(Fixed::Punt) {
        Lead::Kernel
    } else if plan.groups.get(group).is_none() || is_on_link(plan, group) {
        Lead::Software
    } else {
        Lead::Group(group)
    })
}

pub(super) fn change(prefix: Prefix, lead: Option<Lead>) -> Change {
    Change::Prefix(prefix.address(), prefix.length(), lead)
}

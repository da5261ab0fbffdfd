//! The tables as they are, or as they would be after changes: nothing is written here.

use super::refuse::{no_port, rules, unknown, wrong};
use super::what_if::Change;
use crate::api::message::{Error, SetHash};
use crate::bucket::Member;
use crate::control::Control;
use crate::drain::Spared;
use crate::group::Group;
use crate::hash::Hashing;
use crate::nexthop::{Hold, Known, Members, Nexthop, Nexthops, State};
use crate::prefix::Prefix;
use crate::rib::{Entry, Source, Target};
use fastpath::hash::Policy;
use fastpath::table::{AdjacencyId, GroupId, LpmWrite, PortId};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Stands for the adjacency that a next hop would get.
pub(super) const THOUGHT: AdjacencyId = AdjacencyId(u32::MAX);

/// Next hops as they would be.
#[derive(Clone)]
pub(super) struct Overlay<'a> {
    pub(super) base: &'a Nexthops,
    pub(super) other: BTreeMap<Member, Nexthop>,
}

impl Known for Overlay<'_> {
    fn known(&self, number: Member) -> Option<&Nexthop> {
        self.other.get(&number).or_else(|| self.base.get(number))
    }
}

/// What changes lead to.
#[derive(Clone)]
pub struct World<'a> {
    /// The hash settings as workers have them.
    pub policy: Policy,
    /// The same as control has them.
    hashing: Hashing,
    /// They are ahead of what workers would have.
    is_rehashed: bool,
    pub(super) nexthops: Overlay<'a>,
    /// What the operator spares.
    pub(super) spared: Vec<Spared>,
    /// When the changes are made.
    pub(super) at: Instant,
    ports_down: Vec<PortId>,
    ports_up: Vec<PortId>,
    gone: Vec<(IpAddr, Option<PortId>)>,
    /// The group of the flow, if the changes are about it.
    pub group: Option<(GroupId, Group, Members)>,
}

/// Where a bucket leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    /// The port; none: no member is usable.
    pub port: Option<PortId>,
    /// The next hop's address.
    pub via: Option<IpAddr>,
}

impl<'a> World<'a> {
    /// The tables as they are; with `group` if buckets are to be dealt anew.
    pub fn now<L: LpmWrite>(control: &'a Control<L>) -> Self {
        World {
            policy: control.plan.dplane.view().hash.clone(),
            hashing: control.hashing.clone(),
            is_rehashed: false,
            nexthops: Overlay {
                base: &control.plan.nexthops,
                other: BTreeMap::new(),
            },
            spared: control.plan.spared.clone(),
            at: (control.plan.clock)(),
            ports_down: Vec::new(),
            ports_up: Vec::new(),
            gone: Vec::new(),
            group: None,
        }
    }

    /// All next hops and links as they are, and this group.
    pub(super) fn begin<L: LpmWrite>(&mut self, control: &Control<L>, id: GroupId) {
        self.nexthops.other.clear();
        self.spared.clone_from(&control.plan.spared);
        for list in [&mut self.ports_down, &mut self.ports_up] {
            list.clear();
        }
        self.gone.clear();
        self.hold(control, id);
    }

    /// Takes a group along, as it is.
    pub fn hold<L: LpmWrite>(&mut self, control: &Control<L>, id: GroupId) {
        let group = control.plan.groups.get(id).cloned();
        self.group = group.map(|g| {
            let members = control.plan.sets.members(g.set);
            (id, g, members)
        });
    }

    /// Makes a change. Each is an event of its own, in the order given, as it would be to control.
    pub fn make<L: LpmWrite>(
        &mut self,
        control: &Control<L>,
        change: &Change,
    ) -> Result<(), Error> {
        let ports = &control.plan.ports;
        let named = |name: &str| named(control, name);
        match change {
            Change::Port { port, up } => {
                let port = named(port)?;
                if *up == self.is_up(control, port) {
                    let state = if *up { "up" } else { "down" };
                    return Err(wrong(&format!("port {}", ports.name(port)), state));
                }
                self.ports_down.retain(|p| *p != port);
                self.ports_up.retain(|p| *p != port);
                match up {
                    true => self.ports_up.push(port),
                    false => self.ports_down.push(port),
                }
                let on = |n: &Nexthop| ports.of(n.key.ifindex) == Some(port);
                self.turn(control, &on, *up);
            }
            Change::Nexthop { via, port, up } => {
                let port = port.as_deref().map(named).transpose()?;
                let here = |n: &Nexthop| {
                    n.key.gateway == Some(*via)
                        && (port.is_none() || ports.of(n.key.ifindex) == port)
                };
                if !control.plan.nexthops.iter().any(|(_, n)| here(n)) {
                    return Err(unknown(*via));
                }
                self.gone.retain(|g| *g != (*via, port));
                if !*up {
                    self.gone.push((*via, port));
                }
                self.turn(control, &here, *up);
            }
            Change::Add { via, port, weight } => {
                let port = named(port)?;
                self.add(control, *via, port, *weight)?;
            }
            Change::Remove { via, port } => {
                let port = port.as_deref().map(named).transpose()?;
                self.remove(control, *via, port)?;
            }
            Change::Drain { via, port, over } => {
                let port = port.as_deref().map(named).transpose()?;
                self.drain(control, (*via, port), Some(*over))?;
            }
            Change::Undrain { via, port } => {
                let port = port.as_deref().map(named).transpose()?;
                self.drain(control, (*via, port), None)?;
            }
            Change::Hash(wanted) => self.set_hash(wanted)?,
            Change::Rules(_) => return Err(rules()),
        }
        Ok(())
    }

    /// Takes the hash settings of another.
    pub fn hash_as(&mut self, other: &World<'_>) {
        self.hashing.clone_from(&other.hashing);
        self.policy.clone_from(&other.policy);
    }

    /// What `set hash` does.
    fn set_hash(&mut self, wanted: &SetHash) -> Result<(), Error> {
        self.hashing = self.hashing.changed(wanted, None)?.0;
        self.is_rehashed = true;
        Ok(())
    }

    /// All changes of the hash are made: what workers would have of them. It costs more than the
    /// changes do (tables of the algorithms that hardware knows).
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.is_rehashed) {
            self.policy = self.hashing.policy();
        }
    }

    /// Takes a change as made; one of the hash is made to all profiles as well.
    pub fn assume<L: LpmWrite>(
        &mut self,
        control: &Control<L>,
        change: &Change,
    ) -> Result<(), Error> {
        match change {
            Change::Hash(wanted) if wanted.profile.is_none() => {
                self.hashing = self.hashing.everywhere(&wanted.change)?;
                self.is_rehashed = true;
            }
            change => self.make(control, change)?,
        }
        Ok(())
    }

    pub(super) fn is_up<L: LpmWrite>(&self, control: &Control<L>, port: PortId) -> bool {
        let is_up = control.plan.ports.is_up(port) && !self.ports_down.contains(&port);
        is_up || self.ports_up.contains(&port)
    }

    /// Next hops that are `which` come or go.
    fn turn<L: LpmWrite>(
        &mut self,
        control: &Control<L>,
        which: &dyn Fn(&Nexthop) -> bool,
        up: bool,
    ) {
        let Some((_, _, members)) = &self.group else {
            return;
        };
        let mut turned = Vec::new();
        for &(number, _) in members.iter() {
            let Some(nexthop) = self.nexthops.known(number).filter(|n| which(n)) else {
                continue;
            };
            let port = control.plan.ports.of(nexthop.key.ifindex);
            let can = !up || port.is_some_and(|p| self.is_up(control, p));
            let is_ours = nexthop.outlook.state != State::NoPort;
            if nexthop.adjacency.is_some() != up && is_ours && can {
                turned.push((number, nexthop.clone()));
            }
        }
        let Some((_, group, members)) = &mut self.group else {
            return;
        };
        let all = turned.len();
        let hold_down = control.plan.groups.rules().hold_down;
        for (i, (number, mut nexthop)) in turned.into_iter().enumerate() {
            nexthop.adjacency = up.then_some(THOUGHT);
            let counts = matches!(nexthop.hold, Hold::Free | Hold::Down(_));
            if up && nexthop.lost && counts && hold_down > Duration::ZERO {
                nexthop.hold = Hold::Down(self.at + hold_down);
            }
            nexthop.lost |= !up;
            nexthop.outlook.port = control.plan.ports.of(nexthop.key.ifindex);
            self.nexthops.other.insert(number, nexthop);
            // A link takes all its next hops with it at once; they are resolved one by one.
            if up || i + 1 == all {
                group.follow(members, &self.nexthops, control.plan.groups.rules());
            }
        }
    }

    /// The route to `destination` that would be in the lookup.
    pub fn route<'c, L: LpmWrite>(
        &self,
        control: &'c Control<L>,
        destination: IpAddr,
    ) -> Option<(Prefix, &'c Entry)> {
        let lost = |entry: &Entry| match entry.won {
            Some((source @ (Source::Connected | Source::Neighbor), Target::Set(set))) => {
                let members = control.plan.sets.members(set);
                members.iter().any(|&(number, _)| {
                    let key = control.plan.nexthops.get(number).map(|n| n.key);
                    let port = key.and_then(|k| control.plan.ports.of(k.ifindex));
                    let gone = |g: &(IpAddr, Option<PortId>)| {
                        key.and_then(|k| k.gateway) == Some(g.0) && (g.1.is_none() || g.1 == port)
                    };
                    port.is_some_and(|p| self.ports_down.contains(&p))
                        || source == Source::Neighbor && self.gone.iter().any(gone)
                })
            }
            _ => false,
        };
        let there = |e: &Entry| e.group != GroupId::NONE && !lost(e);
        control.rib.longest(destination, there)
    }

    /// Where each bucket of the held group leads; nothing when none is held.
    pub fn leads<L: LpmWrite>(&self, control: &Control<L>) -> Vec<Led> {
        let size = self.group.as_ref().map_or(0, |g| g.1.effective.len());
        (0..size).filter_map(|i| self.led(control, i)).collect()
    }

    /// The adjacency behind the bucket `index` of the held group; [`THOUGHT`] where one would be made.
    pub fn adjacency(&self, index: usize) -> Option<AdjacencyId> {
        let (_, group, _) = self.group.as_ref()?;
        let member = group.effective.get(index).filter(|_| group.alive)?;
        self.nexthops.known(*member)?.adjacency
    }

    /// Where the bucket `index` of the held group leads.
    pub fn led<L: LpmWrite>(&self, control: &Control<L>, index: usize) -> Option<Led> {
        let (_, group, _) = self.group.as_ref()?;
        let member = group.effective.get(index).filter(|_| group.alive);
        let nexthop = member.and_then(|m| self.nexthops.known(*m));
        Some(Led {
            port: nexthop.and_then(|n| control.plan.ports.of(n.key.ifindex)),
            via: nexthop.and_then(|n| n.key.gateway),
        })
    }
}

/// The port `name`, or whose netdev is called so.
pub(super) fn named<L: LpmWrite>(control: &Control<L>, name: &str) -> Result<PortId, Error> {
    let port = control.plan.ports.named(name);
    port.or_else(|| netdev(control, name))
        .ok_or_else(|| no_port(control, name))
}

/// The port whose netdev is called `name`.
pub fn netdev<L: LpmWrite>(control: &Control<L>, name: &str) -> Option<PortId> {
    let ports = &control.plan.ports;
    ports.all().find(|p| ports.netdev_name(*p) == Some(name))
}

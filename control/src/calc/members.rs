//! The members of a group as they would be: one more, one less, another weight.

use super::refuse::{no_group, unknown};
use super::world::{THOUGHT, World};
use crate::answer::error;
use crate::api::message::Error;
use crate::bucket::Member;
use crate::control::Control;
use crate::drain::wish;
use crate::nexthop::{Hold, Key, Known, Members, Nexthop, Outlook, State};
use crate::rendezvous;
use fastpath::table::{LpmWrite, PortId};
use std::net::IpAddr;

impl World<'_> {
    fn replace<L: LpmWrite>(&mut self, control: &Control<L>, mut list: Vec<(Member, u32)>) {
        list.sort_unstable();
        if let [only] = list.as_mut_slice() {
            only.1 = 1;
        }
        let after: Members = list.into();
        if let Some((_, group, members)) = &mut self.group {
            if after == *members {
                return;
            }
            let set = control.plan.sets.find(&after);
            let groups = &control.plan.groups;
            *group = groups.would_be((group, members), set, &after, &self.nexthops);
            *members = after;
        }
    }

    pub(super) fn add<L: LpmWrite>(
        &mut self,
        control: &Control<L>,
        via: IpAddr,
        port: PortId,
        weight: u32,
    ) -> Result<(), Error> {
        let ports = &control.plan.ports;
        let Some((_, _, members)) = &self.group else {
            return Err(no_group("add a next hop"));
        };
        let mut list = members.to_vec();
        let same = |n: &Nexthop| {
            n.key.gateway == Some(via) && ports.of(n.key.ifindex) == Some(port) && !n.key.host
        };
        let is_in = |m: &(Member, u32)| self.nexthops.known(m.0).is_some_and(same);
        if let Some(member) = list.iter_mut().find(|m| is_in(m)) {
            member.1 = weight;
            self.replace(control, list);
            return Ok(());
        }
        let known = control.plan.nexthops.iter().find(|(_, n)| same(n));
        let number = match known {
            Some((number, nexthop)) if nexthop.groups.is_empty() => {
                let before = (nexthop.hold, nexthop.lost);
                let thought = self.thought(control, nexthop.key, port, before);
                self.nexthops.other.entry(number).or_insert(thought);
                number
            }
            Some((number, _)) => number,
            None => {
                let others = self
                    .nexthops
                    .other
                    .range(control.plan.nexthops.next_number()..);
                let number = control.plan.nexthops.next_number() + others.count() as Member;
                let ifindex = ports.netdev(port);
                let ifindex = ifindex.unwrap_or(crate::event::configured(port));
                let key = Key::gateway(via, ifindex);
                let thought = self.thought(control, key, port, (Hold::Free, false));
                self.nexthops.other.insert(number, thought);
                number
            }
        };
        list.push((number, weight));
        self.replace(control, list);
        Ok(())
    }

    /// A next hop that no route has, resolved as soon as one has it; what held it and whether it
    /// was lost before is remembered.
    fn thought<L: LpmWrite>(
        &self,
        control: &Control<L>,
        key: Key,
        port: PortId,
        (hold, lost): (Hold, bool),
    ) -> Nexthop {
        let ports = &control.plan.ports;
        let is_up = self.is_up(control, port);
        Nexthop {
            outlook: Outlook {
                port: Some(port),
                state: if is_up { State::Up } else { State::PortDown },
                mac: None,
                adjacency: None,
            },
            adjacency: is_up.then_some(THOUGHT),
            title: rendezvous::name(key.gateway, ports.name(port)),
            hold: wish(&self.spared, &key, Some(port)).unwrap_or(match hold {
                Hold::Down(_) => hold,
                // Whoever drained it has let it back in meanwhile.
                Hold::Free | Hold::Draining | Hold::Drained => Hold::Free,
            }),
            lost,
            ..Nexthop::new(key)
        }
    }

    pub(super) fn remove<L: LpmWrite>(
        &mut self,
        control: &Control<L>,
        via: IpAddr,
        port: Option<PortId>,
    ) -> Result<(), Error> {
        let Some((_, _, members)) = &self.group else {
            return Err(no_group("remove a next hop"));
        };
        let ports = &control.plan.ports;
        let is_it = |m: &(Member, u32)| {
            self.nexthops.known(m.0).is_some_and(|n| {
                n.key.gateway == Some(via) && (port.is_none() || ports.of(n.key.ifindex) == port)
            })
        };
        let list: Vec<_> = members.iter().copied().filter(|m| !is_it(m)).collect();
        if list.len() == members.len() {
            return Err(unknown(via));
        }
        if list.is_empty() {
            let remedy = Some("ask with that route gone from the configuration: calc --config");
            let cause = "it is the only next hop: the route would be gone".into();
            return Err(error(format!("nexthop {via}"), "calc", cause, remedy));
        }
        self.replace(control, list);
        Ok(())
    }
}

//! Draining a next hop, as it would be.

use super::refuse::unknown;
use super::world::World;
use crate::api::message::Error;
use crate::bucket::Member;
use crate::control::Control;
use crate::drain::{Spared, patience};
use crate::nexthop::{Hold, Known, Nexthop};
use fastpath::table::{LpmWrite, PortId};
use std::net::IpAddr;
use std::time::Duration;

impl World<'_> {
    /// The held group has the next hop `via` as a member.
    pub(super) fn has<L: LpmWrite>(
        &self,
        control: &Control<L>,
        (via, port): (IpAddr, Option<PortId>),
    ) -> bool {
        !self.those(control, (via, port)).is_empty()
    }

    /// How many members of the held group would begin to wait because they were lost.
    pub(super) fn held_down(&self) -> usize {
        let waits = |m: &Member| {
            let is_down = |n: &Nexthop| matches!(n.hold, Hold::Down(_));
            let now = self.nexthops.base.get(*m).is_some_and(is_down);
            !now && self.nexthops.known(*m).is_some_and(is_down)
        };
        self.nexthops.other.keys().filter(|m| waits(m)).count()
    }

    fn those<L: LpmWrite>(
        &self,
        control: &Control<L>,
        (via, port): (IpAddr, Option<PortId>),
    ) -> Vec<Member> {
        let ports = &control.plan.ports;
        let is_it = |n: &Nexthop| {
            n.key.gateway == Some(via)
                && !n.key.host
                && (port.is_none() || ports.of(n.key.ifindex) == port)
        };
        let members = self.group.as_ref().map(|(_, _, members)| members.iter());
        let all = members.into_iter().flatten().map(|m| m.0);
        all.filter(|m| self.nexthops.known(*m).is_some_and(is_it))
            .collect()
    }

    /// A drain begins, with so much time, or ends (`over` is none): what moves at once, and what
    /// has been idle long enough by now.
    pub(super) fn drain<L: LpmWrite>(
        &mut self,
        control: &Control<L>,
        (via, port): (IpAddr, Option<PortId>),
        over: Option<Duration>,
    ) -> Result<(), Error> {
        let numbers = self.those(control, (via, port));
        if numbers.is_empty() {
            return Err(unknown(via));
        }
        let Some((id, group, members)) = &mut self.group else {
            return Ok(());
        };
        self.spared.retain(|s| !s.is_within(via, port));
        let hold = match over {
            None => Hold::Free,
            Some(Duration::ZERO) => Hold::Drained,
            Some(_) => Hold::Draining,
        };
        match over {
            None => group.unpark(&numbers),
            Some(over) => self.spared.push(Spared {
                via,
                port,
                until: self.at + over,
                over,
                done: over.is_zero(),
            }),
        }
        for number in numbers {
            if let Some(nexthop) = self.nexthops.known(number) {
                let nexthop = Nexthop {
                    hold,
                    ..nexthop.clone()
                };
                self.nexthops.other.insert(number, nexthop);
            }
        }
        let rules = control.plan.groups.rules();
        group.follow(members, &self.nexthops, rules);
        let (nexthops, spared, id) = (&self.nexthops, &self.spared, *id);
        let idle = |bucket: usize, owner: Member| {
            let quiet = control.activity.idle_for(id, bucket, self.at);
            let wait = patience(
                nexthops.known(owner),
                spared,
                &control.plan.ports,
                rules.active_timer,
            );
            quiet.is_some_and(|quiet| quiet >= wait)
        };
        group.ease(members, (nexthops, rules), idle, self.at);
        Ok(())
    }
}

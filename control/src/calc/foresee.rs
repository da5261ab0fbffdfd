//! What changes would do to groups: which buckets move, how many of them are in use, and which of
//! the flows sampled lately go with them.

use super::refuse::{no_group_of, only_alone, unknown};
use super::what_if::Change;
use super::world::{World, named};
use super::{SLICE, fail, read};
use crate::activity;
use crate::answer_group::LATELY;
use crate::api::message::{
    BucketPath, Error, FLOWS_NAMED, FlowMoved, Foreseen, GroupForeseen, WhatIf,
};
use crate::api::moves::Place;
use crate::bucket::Member;
use crate::control::Control;
use crate::group::Group;
use crate::moves::Sampled;
use crate::nexthop::Known;
use fastpath::hash::Tuple;
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

/// A next hop, on that port or on whatever port.
type Whose = (IpAddr, Option<PortId>);

/// From whom to whom; none: nobody, packets are dropped.
type Step = (Option<Member>, Option<Member>);

impl<L: LpmWrite> Control<L> {
    /// Answers for as many groups as fit in a slice of time, at least one.
    pub(crate) fn foresee(&mut self, query: &WhatIf, now: Instant) -> Result<Foreseen, Error> {
        let changes = read(&query.what_if)?;
        if changes.is_empty() {
            let remedy = Some("name one, e.g. --what-if down:up1");
            return Err(fail("changes", "there is none to think of", remedy));
        }
        let is_hash = |c: &Change| matches!(c, Change::Hash(_));
        if changes.iter().any(is_hash) {
            let remedy = Some("`evenpath set hash … --dry-run` tells which flows move");
            return Err(fail("hash", "it moves flows and no buckets", remedy));
        }
        let rules = match changes.as_slice() {
            [Change::Rules(wanted)] => Some(wanted),
            all if all.iter().any(|c| matches!(c, Change::Rules(_))) => return Err(only_alone()),
            _ => None,
        };
        let only = self.asked_about(query)?;
        let whose = changes.iter().map(|c| self.whose(c));
        let whose: Vec<Option<Whose>> = whose.collect::<Result<_, _>>()?;
        if only.is_none() {
            self.any_has(&changes, &whose)?;
        }
        // As of now, not of the last reading.
        self.activity.read(&self.plan.groups, now);
        self.samples.take(now);
        let control = &*self;
        let flows = control.flows_by_group(now);
        let adoption = match rules {
            Some(wanted) => Some(control.planned(&wanted.apply(&control.resilient)?, now)?),
            None => None,
        };
        let mut world = World::now(control);
        world.at = now;
        let mut out = Foreseen {
            changes: query.what_if.clone(),
            window_s: LATELY.as_secs(),
            ..Foreseen::default()
        };
        let begin = (control.plan.clock)();
        for (id, group) in control.candidates(only, query.after) {
            world.begin(control, id);
            let note = match rules {
                None => control.change(&mut world, (&changes, &whose), only.is_none())?,
                Some(_) => None,
            };
            let next = match &adoption {
                Some(adoption) => {
                    let mut next = adoption.groups.get(&id).unwrap_or(group).clone();
                    let members = control.plan.sets.members(next.set);
                    let by = (&control.plan.nexthops, &adoption.rules);
                    next.weighed(&members, by, now);
                    next
                }
                None => world.group.as_ref().map_or(group, |held| &held.1).clone(),
            };
            let moves = Moves {
                id,
                group,
                next,
                flows: flows.get(&id).map_or(&[], Vec::as_slice),
                now,
            };
            let one = control.foreseen(moves, &world, note, query.buckets);
            out.groups += 1;
            out.sums += one.sums;
            if one.sums.buckets_moved > 0 || one.size != one.size_then || one.note.is_some() {
                out.groups_changed += 1;
                out.each.push(one);
            }
            if (control.plan.clock)().saturating_duration_since(begin) >= SLICE {
                out.next = Some(id.0);
                break;
            }
        }
        if let Some(last) = out.next {
            let rest = control.candidates(only, Some(last));
            out.next = (!rest.is_empty()).then_some(last);
        }
        Ok(out)
    }

    /// The group that is asked about; none: all.
    fn asked_about(&self, query: &WhatIf) -> Result<Option<GroupId>, Error> {
        let entry = match (query.prefix, query.address) {
            (Some(prefix), _) => self.rib.get(prefix).map(|e| (prefix.to_string(), e)),
            (None, Some(address)) => {
                let there = |e: &crate::rib::Entry| e.group != GroupId::NONE;
                let found = self.rib.longest(address, there);
                found.map(|(prefix, e)| (prefix.to_string(), e))
            }
            (None, None) => None,
        };
        let id = match (query.group, entry) {
            (Some(id), _) => GroupId(id),
            (None, Some((_, entry))) => entry.group,
            (None, None) if query.prefix.is_none() && query.address.is_none() => return Ok(None),
            (None, None) => {
                let route = query.prefix.map(|p| p.to_string());
                let route = route.or(query.address.map(|a| a.to_string()));
                let object = format!("route {}", route.unwrap_or_default());
                let remedy = Some("`evenpath show route` lists them");
                return Err(fail(&object, "there is no such route", remedy));
            }
        };
        match self.plan.groups.get(id) {
            Some(_) => Ok(Some(id)),
            None => Err(no_group_of(id)),
        }
    }

    /// The groups to look at, by id, behind `after`: if not only that one, those of routes through
    /// gateways. What is on the link comes and goes with it, and has no other way.
    fn candidates(&self, only: Option<GroupId>, after: Option<u32>) -> Vec<(GroupId, &Group)> {
        let through = |g: &Group| {
            let members = self.plan.sets.members(g.set);
            let key = |m: Member| self.plan.nexthops.get(m).map(|n| n.key);
            let gateway =
                |m: &(Member, u32)| key(m.0).is_some_and(|k| k.gateway.is_some() && !k.host);
            members.iter().any(gateway)
        };
        let behind = |id: GroupId| after.is_none_or(|after| id.0 > after);
        let all = self.plan.groups.iter().filter(|(id, g)| match only {
            Some(only) => *id == only && behind(*id),
            None => behind(*id) && through(g),
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Whom a change is about, if it is about one member.
    fn whose(&self, change: &Change) -> Result<Option<Whose>, Error> {
        let (via, port) = match change {
            Change::Add { via, port, .. } => (*via, Some(port)),
            Change::Remove { via, port }
            | Change::Drain { via, port, .. }
            | Change::Undrain { via, port } => (*via, port.as_ref()),
            // A name that is wrong is wrong for whatever group.
            Change::Port { port, .. } => return named(self, port).map(|_| None),
            Change::Nexthop { port, .. } => {
                return port
                    .as_ref()
                    .map_or(Ok(None), |p| named(self, p).map(|_| None));
            }
            Change::Hash(_) | Change::Rules(_) => return Ok(None),
        };
        let port = port.map(|name| named(self, name)).transpose()?;
        Ok(Some((via, port)))
    }

    /// Refuses changes of members that no group has.
    fn any_has(&self, changes: &[Change], whose: &[Option<Whose>]) -> Result<(), Error> {
        for (change, whose) in changes.iter().zip(whose) {
            let Some((via, port)) = *whose else { continue };
            let ports = &self.plan.ports;
            let is_it = |n: &crate::nexthop::Nexthop| {
                let here = port.is_none() || ports.of(n.key.ifindex) == port;
                n.key.gateway == Some(via) && !n.groups.is_empty() && here
            };
            if !self.plan.nexthops.iter().any(|(_, n)| is_it(n)) {
                return Err(match change {
                    Change::Add { .. } => {
                        let remedy = Some("name the one that is to get it: --group ID");
                        fail(&format!("nexthop {via}"), "no group has it", remedy)
                    }
                    _ => unknown(via),
                });
            }
        }
        Ok(())
    }

    /// Makes `changes` to the held group; with `all` only those of members that it has. What is to
    /// be said of it.
    fn change<'a>(
        &'a self,
        world: &mut World<'a>,
        (changes, whose): (&[Change], &[Option<Whose>]),
        all: bool,
    ) -> Result<Option<String>, Error> {
        for (change, whose) in changes.iter().zip(whose) {
            if all && whose.is_some_and(|whose| !world.has(self, whose)) {
                continue;
            }
            match world.make(self, change) {
                Ok(()) => {}
                // The one thing that can be wrong with a group that has the member: it is the only one.
                Err(error) if all && matches!(change, Change::Remove { .. }) => {
                    if let Some((_, group, _)) = &mut world.group {
                        group.alive = false;
                    }
                    return Ok(Some(error.cause));
                }
                Err(error) => return Err(error),
            }
        }
        let rules = self.plan.groups.rules();
        let at = world.at;
        let held_down = world.held_down();
        if let Some((_, group, members)) = &mut world.group {
            group.weighed(members, (&world.nexthops, rules), at);
        }
        let seconds = rules.hold_down.as_secs();
        Ok((held_down > 0).then(|| {
            format!("{held_down} of its next hops would wait {seconds} s (hold-down) before they get buckets")
        }))
    }

    /// What is between the group as it is and as it would be.
    fn foreseen(
        &self,
        moves: Moves<'_>,
        world: &World<'_>,
        note: Option<String>,
        numbers: bool,
    ) -> GroupForeseen {
        let Moves {
            id,
            group,
            next,
            flows,
            now,
        } = moves;
        let (size, size_then) = (group.effective.len(), next.effective.len());
        let most = size.max(size_then);
        let mut out = GroupForeseen {
            group: id.0,
            routes: group.routes,
            size: size as u32,
            size_then: size_then as u32,
            note,
            ..GroupForeseen::default()
        };
        let sums = &mut out.sums;
        let counted = self.activity.buckets(id);
        for bucket in counted {
            sums.packets += bucket.traffic.packets;
            sums.bytes += bucket.traffic.bytes;
        }
        let is_watching = self.activity.is_watching();
        sums.active_buckets_moved = is_watching.then_some(0);
        sums.buckets = most as u64;
        sums.surplus = next.surplus as u64;
        let mut paths: BTreeMap<Step, BucketPath> = BTreeMap::new();
        for b in 0..most {
            let step = step(group, &next, b as u32);
            if step.0 == step.1 {
                continue;
            }
            let path = paths.entry(step).or_default();
            path.buckets += 1;
            sums.buckets_moved += 1;
            if numbers {
                path.numbers.push(b as u32);
            }
            let bucket = counted.get(b % size);
            if is_watching {
                let is_active = u64::from(bucket.is_some_and(|b| is_active(b, now)));
                *path.active_buckets.get_or_insert(0) += is_active;
                *sums.active_buckets_moved.get_or_insert(0) += is_active;
            }
            // What a bucket forwarded is parted evenly over those that follow it.
            let shared = (most / size) as u64;
            let traffic = bucket.map(|b| b.traffic).unwrap_or_default();
            sums.packets_moved += traffic.packets / shared;
            sums.bytes_moved += traffic.bytes / shared;
        }
        let mut moving: Vec<(&Sampled, Step)> = Vec::new();
        for flow in flows {
            sums.flows += 1;
            sums.recent_packets += flow.packets;
            let step = step(group, &next, flow.hash);
            if step.0 != step.1 {
                sums.flows_moved += 1;
                sums.recent_packets_moved += flow.packets;
                paths.entry(step).or_default().flows += 1;
                moving.push((flow, step));
            }
        }
        let place = |member: Option<Member>| self.place_of(member, &world.nexthops);
        let named = paths.into_iter().map(|((from, to), path)| BucketPath {
            from: place(from),
            to: place(to),
            ..path
        });
        out.paths = named.collect();
        out.paths.sort_by_key(|p| Reverse(p.buckets));
        moving.sort_by_key(|(flow, _)| (Reverse(flow.packets), flow.key));
        let named = moving.into_iter().take(FLOWS_NAMED);
        out.moving = named
            .map(|(flow, (from, to))| FlowMoved {
                source: address(&flow.key.outer, flow.key.outer.src),
                destination: address(&flow.key.outer, flow.key.outer.dst),
                protocol: flow.key.outer.protocol,
                source_port: flow.key.outer.sport,
                destination_port: flow.key.outer.dport,
                packets: flow.packets,
                bucket: flow.hash & (size as u32 - 1),
                from: place(from),
                to: place(to),
            })
            .collect();
        out
    }

    fn place_of(&self, member: Option<Member>, nexthops: &impl Known) -> Place {
        let nexthop = member.and_then(|m| nexthops.known(m));
        Place {
            via: nexthop.and_then(|n| n.key.gateway),
            port: nexthop.map(|n| self.plan.ports.interface(n.key.ifindex)),
        }
    }
}

/// A group and what it would be.
struct Moves<'a> {
    id: GroupId,
    group: &'a Group,
    next: Group,
    flows: &'a [Sampled],
    now: Instant,
}

/// From whom to whom what has `hash` would go.
fn step(group: &Group, next: &Group, hash: u32) -> Step {
    // Sizes are powers of two, and buckets the low bits.
    let owner = |g: &Group| {
        let bucket = hash as usize & (g.effective.len().max(1) - 1);
        g.effective.get(bucket).copied().filter(|_| g.alive)
    };
    (owner(group), owner(next))
}

fn is_active(bucket: &activity::Bucket, now: Instant) -> bool {
    let age = |at| now.saturating_duration_since(at);
    bucket.active.is_some_and(|at| age(at) <= LATELY)
}

fn address(tuple: &Tuple, bytes: [u8; 16]) -> IpAddr {
    match (tuple.v6, bytes.last_chunk::<4>()) {
        (false, Some(&last)) => IpAddr::from(last),
        _ => IpAddr::from(bytes),
    }
}

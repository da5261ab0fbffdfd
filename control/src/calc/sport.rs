//! Source ports by the way that they take.

use super::{fail, settings, world, world::World};
use crate::api::message::{Error, Found, Sport, Sports, Trace};
use crate::control::Control;
use fastpath::hash::Field;
use fastpath::software::select;
use fastpath::table::{GroupId, LpmWrite};
use std::net::IpAddr;

/// Source ports that one answer tries: some tens of microseconds.
const PAGE: u16 = 256;

impl<L: LpmWrite> Control<L> {
    /// A page of source ports.
    pub(super) fn sports(
        &self,
        query: &Trace,
        sports: &Sports,
        world: &World<'_>,
        live: bool,
    ) -> Result<Found, Error> {
        let Ok(seen) = self.seen(query, world)? else {
            return Err(fail("packet", "it is not forwarded", None));
        };
        if !seen.has_sport {
            let cause = "it has no source port of its own that could be another";
            return Err(fail("flow", cause, None));
        }
        let settings = settings(world, seen.destination);
        let named = |to: &str, port: &str, via: Option<IpAddr>| {
            to == "all" || to == port || via.is_some_and(|v| v.to_string() == to)
        };
        let tables = self.plan.dplane.tables();
        let found = world.route(self, seen.destination);
        let Some(group) = query.group.map(GroupId).or(found.map(|f| f.1.group)) else {
            return Err(fail(
                &format!("flow to {}", seen.destination),
                "no route",
                None,
            ));
        };
        let word = tables.groups.word(group);
        let held = world.group.as_ref().filter(|g| g.0 == group && !live);
        let size = held.map_or(word.size(), |g| g.1.effective.len() as u32);
        let place = |hash: u32| -> Option<(String, Option<IpAddr>)> {
            let led = match held {
                Some(_) => world.led(self, (hash & (size - 1)) as usize)?,
                None => {
                    let id = select::member(tables, group, hash).ok()?;
                    world::Led {
                        port: self.plan.dplane.port_of(id),
                        via: self.gateway_of(group, id),
                    }
                }
            };
            Some((self.plan.ports.name(led.port?).to_string(), led.via))
        };
        let mut members: Vec<_> = Vec::new();
        if let Some(group) = held.map(|g| &g.1).or(self.plan.groups.get(group)) {
            let mut owners: Vec<_> = group.effective.clone();
            owners.sort_unstable();
            owners.dedup();
            let first = |m: &u32| group.effective.iter().position(|e| e == m);
            members = owners
                .iter()
                .filter_map(first)
                .filter_map(|at| place(at as u32))
                .collect();
        }
        if !members
            .iter()
            .any(|(port, via)| named(&sports.to, port, *via))
        {
            let names: Vec<String> = members.iter().map(|m| m.0.clone()).collect();
            let remedy = format!("members are on {}", names.join(", "));
            let cause = format!("no member of the group is {}", sports.to);
            return Err(fail(&format!("group {}", group.0), cause, Some(&remedy)));
        }
        let last = sports.from.saturating_add(PAGE - 1);
        let mut hits: Vec<Sport> = Vec::new();
        let mut key = seen.key;
        for sport in sports.from..=last {
            key.outer.sport = sport;
            let Some((port, nexthop)) = place(settings.hash(&key)) else {
                continue;
            };
            let again = |h: &Sport| h.port == port && h.nexthop == nexthop;
            let is_new = sports.to != "all" || !hits.iter().any(again);
            if is_new && named(&sports.to, &port, nexthop) {
                hits.push(Sport {
                    sport,
                    port,
                    nexthop,
                });
            }
        }
        let matters = settings.fields().has(Field::SourcePort);
        Ok(Found {
            found: hits,
            members,
            next: last.checked_add(1).filter(|_| matters),
        })
    }
}

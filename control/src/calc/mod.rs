//! Which way a flow or a packet takes, what if, and why.
//!
//! Packets are read, looked up and judged by the stages of the fast path on the live tables.
//! Changes are made to copies of the flow's group by what makes them in earnest.

mod explain;
mod foresee;
mod members;
mod refuse;
mod seen;
mod spare;
mod sport;
mod tunnel;
pub mod what_if;
mod world;

use crate::answer::error;
use crate::api::message::{Calc, Error, Explain, Then, Trace, Traced, Traces, Way};
use crate::bucket::derive;
use crate::control::Control;
use crate::prefix::Prefix;
use explain::{fields, order};
use fastpath::hash::Settings;
use fastpath::software::lanes::Verdict;
use fastpath::software::{lookup, rewrite, select};
use fastpath::table::{AdjacencyId, Disposition, DropReason, GroupId, LpmWrite};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;
use what_if::Change;
use world::World;

/// The most changes of one question: each costs what it costs in earnest.
const CHANGES: usize = 16;
/// The most equal members.
const MEMBERS: u32 = 4096;
/// How long one answer to a question about many packets may keep control from what else there is
/// to do; what it did not come to is to be asked again. A repair may have to wait for that.
const SLICE: Duration = Duration::from_micros(300);

fn fail(object: &str, cause: impl Into<String>, remedy: Option<&str>) -> Error {
    error(object.into(), "calc", cause.into(), remedy)
}

fn read(all: &[String]) -> Result<Vec<Change>, Error> {
    if all.len() > CHANGES {
        return Err(fail("changes", "at most 16 at a time", None));
    }
    let changes = all.iter().map(|text| {
        let change = text.parse::<Change>();
        change.map_err(|cause| fail(&format!("what-if {text}"), cause, None))
    });
    changes.collect()
}

/// The changes of a question, and what they lead to for each group that packets of it meet.
struct Thought<'a> {
    assumed: Vec<Change>,
    changes: Vec<Change>,
    now: World<'a>,
    /// What is taken as made, and what is made after that.
    worlds: HashMap<Option<GroupId>, [World<'a>; 2]>,
}

impl<'a> Thought<'a> {
    fn new<L: LpmWrite>(control: &'a Control<L>, query: &Trace) -> Result<Self, Error> {
        Ok(Thought {
            assumed: read(&query.assume)?,
            changes: read(&query.what_if)?,
            now: World::now(control),
            worlds: HashMap::new(),
        })
    }

    fn is_live(&self) -> bool {
        self.assumed.is_empty()
    }

    fn of<L: LpmWrite>(
        &mut self,
        control: &'a Control<L>,
        id: Option<GroupId>,
    ) -> Result<&[World<'a>; 2], Error> {
        // Hash settings are the same whatever the group: they are made once.
        let is_new = !self.worlds.contains_key(&id);
        let hashed = self.worlds.values().next().filter(|_| is_new).cloned();
        let place = match self.worlds.entry(id) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(place) => place,
        };
        let is_to_make = |change: &&Change| hashed.is_none() || !matches!(change, Change::Hash(_));
        let mut world = self.now.clone();
        let is_asked = !(self.assumed.is_empty() && self.changes.is_empty());
        if let Some(id) = id.filter(|_| is_asked) {
            world.hold(control, id);
        }
        for change in self.assumed.iter().filter(is_to_make) {
            world.assume(control, change)?;
        }
        world.settle();
        let mut before = world.clone();
        for change in self.changes.iter().filter(is_to_make) {
            world.make(control, change)?;
        }
        world.settle();
        if let Some([first, last]) = &hashed {
            before.hash_as(first);
            world.hash_as(last);
        }
        Ok(place.insert([before, world]))
    }
}

impl<L: LpmWrite> Control<L> {
    /// Answers the long question.
    pub(crate) fn trace(&self, query: &Trace) -> Result<Traced, Error> {
        self.think(query, &mut Thought::new(self, query)?)
    }

    /// Answers it for the first of these packets, as many as fit in a slice of time.
    pub(crate) fn traces(&self, all: &Traces) -> Result<Vec<Traced>, Error> {
        let begin = (self.plan.clock)();
        let mut thought = Thought::new(self, &all.query)?;
        let mut query = all.query.clone();
        let mut answers = Vec::new();
        for packet in &all.packets {
            query.packet = Some(packet.frame.clone());
            query.first = packet.first.clone();
            match self.think(&query, &mut thought) {
                Ok(traced) => answers.push(traced),
                // The next question begins with it.
                Err(_) if !answers.is_empty() => break,
                Err(error) => return Err(error),
            }
            let now = (self.plan.clock)();
            if now.saturating_duration_since(begin) >= SLICE {
                break;
            }
        }
        Ok(answers)
    }

    fn think<'a>(&'a self, query: &Trace, thought: &mut Thought<'a>) -> Result<Traced, Error> {
        let is_live = thought.is_live();
        let named = query.group.map(GroupId);
        if let Some(id) = named.filter(|id| self.plan.groups.get(*id).is_none()) {
            return Err(refuse::no_group_of(id));
        }
        let has_changes = !thought.changes.is_empty();
        let destination = match self.seen(query, &thought.now)? {
            Ok(seen) => seen.destination,
            Err(verdict) if query.sports.is_none() => {
                // What is wrong with a packet stays wrong.
                let now = verdict_of(verdict);
                let then = has_changes.then(|| Then::unmoved(&query.what_if, now.clone()));
                return Ok(Traced {
                    now,
                    then,
                    sports: None,
                });
            }
            Err(_) => return Err(fail("packet", "it is not forwarded", None)),
        };
        let to = |world: &World<'_>| {
            let found = world.route(self, destination);
            named.or(found.map(|(_, entry)| entry.group))
        };
        let id = to(&thought.now);
        let [before, after] = thought.of(self, id)?;
        let mut traced = Traced {
            now: self.way(query, before, is_live)?,
            ..Traced::default()
        };
        if let Some(sports) = &query.sports {
            let is_live = is_live && !has_changes;
            traced.sports = Some(self.sports(query, sports, after, is_live)?);
        }
        if !has_changes {
            return Ok(traced);
        }
        let tables = [before, after].map(|world| world.leads(self));
        let size = tables[0].len().max(tables[1].len());
        let at = |table: &[_], i: usize| table.get(i % table.len().max(1)).copied();
        let moved = (0..size)
            .filter(|&i| at(&tables[0], i) != at(&tables[1], i))
            .count();
        let later = to(after);
        let way = match later == id {
            true => self.way(query, after, false)?,
            // The route is gone with a link: the next one's group is under the same changes.
            false => {
                let [_, after] = thought.of(self, later)?;
                self.way(query, after, false)?
            }
        };
        let place = |w: &Way| w.calc.as_ref().map(|c| (c.port.clone(), c.nexthop));
        traced.then = Some(Then {
            changes: query.what_if.clone(),
            moves: place(&way) != place(&traced.now),
            buckets_moved: moved as u32,
            buckets: size as u32,
            way,
        });
        Ok(traced)
    }

    /// What becomes of it in `world`; `live`: those are the tables as they are.
    fn way(&self, query: &Trace, world: &World<'_>, live: bool) -> Result<Way, Error> {
        let seen = match self.seen(query, world)? {
            Ok(seen) => seen,
            Err(verdict) => return Ok(verdict_of(verdict)),
        };
        let settings = settings(world, seen.destination);
        let mut way = Way {
            notes: seen.notes.clone(),
            ..Way::default()
        };
        let mut explain = query.explain.then(|| Explain {
            fields: fields(self, &seen, settings),
            profile: world
                .policy
                .profile_of(seen.destination)
                .map(|p| p.name.clone()),
            seed: settings.seed(),
            symmetric: settings.is_symmetric(),
            order: order(settings, &seen.key),
            plane: "software: no hardware plane in this version".into(),
            ..Explain::default()
        });
        if let Some(members) = query.members {
            if !(1..=MEMBERS).contains(&members) {
                return Err(fail("-c", "a group has 1 to 4096 members", None));
            }
            let equal: Vec<(u32, u32)> = (0..members).map(|m| (m, 1)).collect();
            let size = self.plan.groups.size(members as usize);
            let table = derive(None, &equal, size, None);
            way.member = table.get(seen.hash as usize % size).copied();
            way.outcome = "member".into();
            way.explain = explain;
            return Ok(way);
        }
        let found = world.route(self, seen.destination);
        let group = match (query.group, found) {
            (Some(id), _) => GroupId(id),
            (None, Some((_, entry))) => entry.group,
            (None, None) => GroupId::NONE,
        };
        let held = world.group.as_ref().filter(|g| g.0 == group);
        let tables = self.plan.dplane.tables();
        let (size, id, port, nexthop);
        if let Some((_, thought, _)) = held.filter(|_| !live) {
            size = thought.effective.len() as u32;
            let bucket = seen.hash & (size - 1);
            let led = world.led(self, bucket as usize);
            id = world.adjacency(bucket as usize);
            (port, nexthop) = match led {
                Some(led) if led.port.is_some() => (led.port, led.via),
                _ => {
                    let mut dropped = verdict_of(Verdict::Drop(DropReason::NexthopDown));
                    dropped.explain = explain;
                    return Ok(dropped);
                }
            };
            if led.is_some_and(|l| l.via.is_none()) {
                way.outcome = "unresolved".into();
                way.explain = explain;
                return Ok(way);
            }
        } else {
            // The fast path's own lookup and choice.
            let view = self.plan.dplane.view();
            let looked_up = match seen.destination {
                IpAddr::V4(a) => lookup::group4(view, a.to_bits()),
                IpAddr::V6(a) => lookup::group6(view, a.octets()),
            };
            let group = if live && query.group.is_none() {
                looked_up
            } else {
                group
            };
            let word = tables.groups.word(group);
            size = word.size();
            let taken = match select::member(tables, group, seen.hash) {
                Ok(taken) => taken,
                Err(reason) => return Ok(verdict_of(Verdict::Drop(reason))),
            };
            let facts = tables.adjacencies.slot(taken).facts();
            let stop = match facts.disposition() {
                Disposition::Forward => None,
                Disposition::Punt => Some(Verdict::Punt),
                Disposition::Glean => Some(Verdict::Glean),
                Disposition::Drop(reason) => Some(Verdict::Drop(reason)),
            };
            if let Some(verdict) = stop {
                let mut stopped = verdict_of(verdict);
                (stopped.notes, stopped.explain) = (way.notes, explain);
                return Ok(stopped);
            }
            (id, port) = (Some(taken), Some(facts.port()));
            nexthop = self.gateway_of(group, taken);
            if let Some(explain) = &mut explain {
                let at = word.base().wrapping_add(word.bucket(seen.hash));
                let bucket = tables.groups.bucket(at);
                let choice = match taken {
                    t if t == bucket.first => "first",
                    t if t == bucket.second => "second",
                    _ => "another",
                };
                explain.choice = Some(choice.into());
            }
        }
        way.outcome = "forwarded".into();
        if let (Some((frame, l3, len)), Some(id)) = (&seen.frame, id) {
            // One that would be made has the port's MTU, which is all that matters here.
            let made = port.filter(|_| id == world::THOUGHT);
            let made = made.map(|port| explain::stand_in(self, port));
            let slot = match &made {
                Some(made) => made.slot(AdjacencyId::FIRST_FREE),
                None => tables.adjacencies.slot(id),
            };
            let mut frame = frame.clone();
            let is_v6 = seen.destination.is_ipv6();
            match rewrite::forward(&mut frame, slot, slot.facts(), *l3, *len, is_v6) {
                Verdict::Send => {}
                Verdict::Fragment => way.outcome = "fragmented".into(),
                verdict => {
                    let mut stopped = verdict_of(verdict);
                    (stopped.notes, stopped.explain) = (way.notes, explain);
                    return Ok(stopped);
                }
            }
        }
        let known = id.filter(|id| *id != world::THOUGHT);
        if let (Some(explain), Some(id)) = (&mut explain, known) {
            explain.rewrite = self.rewrite(id);
        }
        // A group that was named may be any route's.
        let any = || Prefix::containing(seen.destination, 0).ok();
        let Some(prefix) = found.map(|f| f.0).or_else(any) else {
            return Ok(verdict_of(Verdict::Drop(DropReason::NoRoute)));
        };
        way.calc = Some(Calc {
            port: port.map_or(String::new(), |p| self.plan.ports.name(p).into()),
            nexthop: nexthop.unwrap_or(seen.destination),
            prefix,
            group: group.0,
            bucket: seen.hash & (size - 1),
            buckets: size,
            hash: format!("{:#010x}", seen.hash),
            algorithm: settings.choice().algorithm.name().into(),
            fields: fields(self, &seen, settings)
                .into_iter()
                .filter(|f| f.used)
                .filter_map(|f| Some((f.name, f.value?)))
                .collect(),
            plane: "software".into(),
        });
        way.explain = explain;
        Ok(way)
    }
}

fn settings<'w>(world: &'w World<'_>, destination: IpAddr) -> &'w Settings {
    match destination {
        IpAddr::V4(a) => world.policy.settings4(a.to_bits()),
        IpAddr::V6(a) => world.policy.settings6(a.to_bits()),
    }
}

fn verdict_of(verdict: Verdict) -> Way {
    let (outcome, reason) = match verdict {
        Verdict::Drop(reason) => ("dropped", Some(reason.name().to_string())),
        Verdict::Glean => ("unresolved", Some("its neighbor is not resolved".into())),
        _ => ("punted", None),
    };
    Way {
        outcome: outcome.into(),
        reason,
        ..Way::default()
    }
}

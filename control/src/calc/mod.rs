//! Which way a flow or a packet takes, what if, and why.
//!
//! Packets are read, looked up and judged by the stages of the fast path on the live tables.
//! Changes are made to copies of the flow's group by what makes them in earnest.

pub mod what_if;
mod world;

use crate::answer::error;
use crate::answer_route::key_of;
use crate::api::message::{
    Calc, Error, Explain, FieldUse, Flow, Found, Sport, Sports, Then, Trace, Traced, Tunnel, Way,
};
use crate::bucket::derive;
use crate::control::Control;
use crate::prefix::Prefix;
use fastpath::hash::{Field, FlowKey, Settings, Tuple};
use fastpath::software::flow::Piece;
use fastpath::software::heap::HeapFrame;
use fastpath::software::lanes::Verdict;
use fastpath::software::{lookup, parse, rewrite, select};
use fastpath::table::{AdjacencyId, Disposition, DropReason, GroupId, LpmWrite, PortFacts, PortId};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use what_if::Change;
use world::World;

/// The most changes of one question: each costs what it costs in earnest.
const CHANGES: usize = 16;
/// Source ports that one answer tries: some tens of microseconds.
const PAGE: u16 = 256;
/// The most equal members.
const MEMBERS: u32 = 4096;

/// What is known of the flow in question.
struct Seen {
    key: FlowKey,
    destination: IpAddr,
    ingress: PortId,
    hash: u32,
    /// Packet in hand: its frame, where IP begins, how long it is.
    frame: Option<(HeapFrame, usize, u16)>,
    later: bool,
    notes: Vec<String>,
}

/// Bytes of `text`: hex digits, two a byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

fn fail(object: &str, cause: impl Into<String>, remedy: Option<&str>) -> Error {
    error(object.into(), "calc", cause.into(), remedy)
}

impl<L: LpmWrite> Control<L> {
    /// Answers the long question.
    pub(crate) fn trace(&self, query: &Trace) -> Result<Traced, Error> {
        let read = |all: &[String]| -> Result<Vec<Change>, Error> {
            if all.len() > CHANGES {
                return Err(fail("changes", "at most 16 at a time", None));
            }
            let changes = all.iter().map(|text| {
                let change = text.parse::<Change>();
                change.map_err(|cause| fail(&format!("what-if {text}"), cause, None))
            });
            changes.collect()
        };
        let (assumed, changes) = (read(&query.assume)?, read(&query.what_if)?);
        let mut world = World::now(self);
        let seen = self.seen(query, &world)?;
        let id = match (&seen, query.group) {
            (_, Some(id)) if self.plan.groups.get(GroupId(id)).is_some() => Some(GroupId(id)),
            (_, Some(id)) => {
                let remedy = Some("`evenpath show group` lists them");
                return Err(fail(
                    &format!("group {id}"),
                    "there is no such group",
                    remedy,
                ));
            }
            (Ok(seen), None) => world.route(self, seen.destination).map(|r| r.1.group),
            (Err(_), None) => None,
        };
        if let Some(id) = id.filter(|_| !(assumed.is_empty() && changes.is_empty())) {
            world.hold(self, id);
        }
        for change in &assumed {
            world.make(self, change)?;
        }
        let is_live = assumed.is_empty();
        let mut traced = Traced {
            now: self.way(query, &world, is_live)?,
            ..Traced::default()
        };
        let before: Vec<_> = self.buckets(&world);
        for change in &changes {
            world.make(self, change)?;
        }
        if !changes.is_empty() {
            let after = self.buckets(&world);
            let size = before.len().max(after.len());
            let at = |table: &[_], i: usize| table.get(i % table.len().max(1)).copied();
            let moved = (0..size)
                .filter(|&i| at(&before, i) != at(&after, i))
                .count();
            let way = self.way(query, &world, false)?;
            let place = |w: &Way| w.calc.as_ref().map(|c| (c.port.clone(), c.nexthop));
            traced.then = Some(Then {
                changes: query.what_if.clone(),
                moves: place(&way) != place(&traced.now),
                buckets_moved: moved as u32,
                buckets: size as u32,
                way,
            });
        }
        if let Some(sports) = &query.sports {
            traced.sports =
                Some(self.sports(query, sports, &world, is_live && changes.is_empty())?);
        }
        Ok(traced)
    }

    fn buckets(&self, world: &World<'_>) -> Vec<world::Led> {
        let size = world.group.as_ref().map_or(0, |g| g.1.effective.len());
        (0..size).filter_map(|i| world.led(self, i)).collect()
    }

    /// Port and facts of where the flow comes in.
    fn ingress(&self, name: &str, vid: Option<u16>) -> Result<(PortId, PortFacts), Error> {
        let named = self
            .plan
            .ports
            .named(name)
            .or_else(|| world::netdev(self, name));
        let port = named.ok_or_else(|| world::no_port(self, name))?;
        let facts = self.plan.dplane.view().ports.get(usize::from(port.0));
        let facts = facts.copied().unwrap_or(PortFacts::ABSENT);
        if let Some(vid) = vid.filter(|v| facts.vlan != 0 && *v != facts.vlan) {
            let cause = format!("it carries VLAN {}, not {vid}", facts.vlan);
            return Err(fail(&format!("port {name}"), cause, None));
        }
        Ok((port, facts))
    }

    /// The flow as the parser sees it under the settings of `world`; or what became of the packet.
    fn seen(&self, query: &Trace, world: &World<'_>) -> Result<Result<Seen, Verdict>, Error> {
        if let Some(flow) = &query.flow {
            if flow.source.is_ipv4() != flow.destination.is_ipv4() {
                let cause = "source and destination are of different families";
                return Err(fail(&format!("flow to {}", flow.destination), cause, None));
            }
            let (ingress, _) = self.ingress(&flow.ingress, query.vid)?;
            let settings = settings(world, flow.destination);
            let key = tunneled(key_of(flow, ingress), query.tunnel.as_ref(), settings, flow)?;
            let seen = Seen {
                hash: settings.hash(&key),
                key,
                destination: flow.destination,
                ingress,
                frame: None,
                later: false,
                notes: Vec::new(),
            };
            return Ok(Ok(seen));
        }
        let (Some(name), Some(packet)) = (&query.ingress, &query.packet) else {
            return Err(fail("flow", "neither a flow nor a packet is given", None));
        };
        let (ingress, facts) = self.ingress(name, None)?;
        let not_hex = || fail("packet", "not hex digits, two a byte", None);
        let frame = bytes(packet).ok_or_else(not_hex)?;
        let describe = |frame: &[u8]| parse::describe(frame, ingress, &facts, &world.policy);
        let described = match describe(&frame) {
            Ok(described) => described,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let mut notes = Vec::new();
        let (mut key, mut hash) = (described.flow.key, described.hash);
        if described.flow.quoted || described.quoted {
            notes.push("an ICMP error: it follows the flow that it quotes, reversed".into());
        }
        let is_later = |p: Piece| matches!(p, Piece::Later(_));
        let inside = is_later(described.flow.inner_piece);
        let later = is_later(described.flow.piece) || inside;
        if later {
            let first = match &query.first {
                Some(first) => describe(&bytes(first).ok_or_else(not_hex)?).ok(),
                None => None,
            };
            match first {
                Some(first) if !is_later(described.flow.piece) => {
                    key.inner = first.flow.key.inner;
                    hash = settings(world, described.destination).hash(&key);
                }
                Some(first) => (key, hash) = (first.flow.key, first.hash),
                None => {}
            }
            notes.push(match first {
                Some(_) => "a later fragment: it follows its first fragment".into(),
                None => "a later fragment without its first: hashed without what only that has"
                    .to_string(),
            });
        }
        Ok(Ok(Seen {
            key,
            destination: described.destination,
            ingress,
            hash,
            frame: Some((HeapFrame::new(&frame), described.l3, described.len)),
            later,
            notes,
        }))
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
            let adjacency = thought
                .effective
                .get(bucket as usize)
                .filter(|_| thought.alive);
            let known = adjacency.and_then(|m| self.plan.nexthops.get(*m));
            id = known.and_then(|n| n.adjacency);
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
            let slot = tables.adjacencies.slot(id);
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
        if let (Some(explain), Some(id)) = (&mut explain, id) {
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

    fn rewrite(&self, id: AdjacencyId) -> BTreeMap<String, String> {
        let slot = self.plan.dplane.tables().adjacencies.slot(id);
        let header = slot.header();
        let mac = |at: usize| {
            let bytes = header.get(at..at + 6).unwrap_or_default();
            let text: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            text.join(":")
        };
        let mut shown = BTreeMap::from([
            ("destination-mac".to_string(), mac(0)),
            ("source-mac".to_string(), mac(6)),
            ("mtu".to_string(), slot.facts().mtu().to_string()),
        ]);
        if slot.facts().header_len() == 18 {
            let tag = u16::from_be_bytes([header[14], header[15]]);
            shown.insert("vlan".into(), tag.to_string());
        }
        shown
    }

    /// A page of source ports.
    fn sports(
        &self,
        query: &Trace,
        sports: &Sports,
        world: &World<'_>,
        live: bool,
    ) -> Result<Found, Error> {
        let Ok(seen) = self.seen(query, world)? else {
            return Err(fail("packet", "it is not forwarded", None));
        };
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

/// `key` with what is inside the tunnel; what is needed must be there.
fn tunneled(
    mut key: FlowKey,
    tunnel: Option<&Tunnel>,
    settings: &Settings,
    flow: &Flow,
) -> Result<FlowKey, Error> {
    let none = Tunnel::default();
    let inside = tunnel.unwrap_or(&none);
    (key.teid, key.qp) = (inside.teid, inside.qp);
    let has_inner = *inside
        != Tunnel {
            qp: inside.qp,
            ..Tunnel::default()
        }
        || matches!(flow.protocol, 4 | 41);
    if !has_inner {
        return Ok(key);
    }
    let on = |field| settings.fields().has(field);
    let need = |missing: bool, fields: &[Field], words: &str| {
        let field = fields.iter().find(|f| missing && on(**f));
        field.map_or(Ok(()), |field| {
            let cause = format!("{words}: {} is on", field.name());
            Err(fail("flags", cause, None))
        })
    };
    let addresses = [Field::InnerSourceIp, Field::InnerDestinationIp];
    let missing = inside.source.is_none() || inside.destination.is_none();
    let words = "--inner-src and --inner-dst required for frames in a tunnel";
    need(missing, &addresses, words)?;
    let words = "--inner-protocol required for frames in a tunnel";
    need(inside.protocol.is_none(), &[Field::InnerIpProtocol], words)?;
    let has_ports = matches!(inside.protocol, Some(6 | 17 | 33 | 132 | 136));
    let missing = inside.source_port.is_none() || inside.destination_port.is_none();
    let ports = [Field::InnerSourcePort, Field::InnerDestinationPort];
    let words = "--inner-sport and --inner-dport required for TCP and UDP frames in a tunnel";
    need(has_ports && missing, &ports, words)?;
    let families = [inside.source, inside.destination].map(|a| a.map(|a| a.is_ipv4()));
    if let [Some(a), Some(b)] = families {
        if a != b {
            let cause = "--inner-src and --inner-dst must both be IPv4 or both IPv6";
            return Err(fail("flags", cause, None));
        }
    }
    let v6 = inside
        .source
        .or(inside.destination)
        .is_some_and(|a| a.is_ipv6());
    key.inner = Some(Tuple {
        v6,
        src: inside.source.map_or([0; 16], octets),
        dst: inside.destination.map_or([0; 16], octets),
        protocol: inside.protocol.unwrap_or(0),
        sport: inside.source_port.unwrap_or(0),
        dport: inside.destination_port.unwrap_or(0),
        label: inside.flow_label.filter(|_| v6).unwrap_or(0),
    });
    Ok(key)
}

pub(crate) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()).to_be_bytes(),
        IpAddr::V6(a) => a.octets(),
    }
}

fn address(tuple: &Tuple, octets: [u8; 16]) -> IpAddr {
    match tuple.v6 {
        true => Ipv6Addr::from(octets).into(),
        false => Ipv4Addr::from(u128::from_be_bytes(octets) as u32).into(),
    }
}

/// Every field, its value, and whether it counts.
fn fields<L: LpmWrite>(control: &Control<L>, seen: &Seen, settings: &Settings) -> Vec<FieldUse> {
    let (key, outer) = (&seen.key, &seen.key.outer);
    let port_of = |tuple: &Tuple, port: u16| {
        let has = matches!(tuple.protocol, 6 | 17 | 33 | 132 | 136);
        (has && !(seen.later && port == 0)).then(|| port.to_string())
    };
    let inner = key.inner.as_ref();
    let all = Field::ALL.into_iter().map(|field| {
        let value = match field {
            Field::IpProtocol => Some(outer.protocol.to_string()),
            Field::SourceIp => Some(address(outer, outer.src).to_string()),
            Field::DestinationIp => Some(address(outer, outer.dst).to_string()),
            Field::SourcePort => port_of(outer, outer.sport),
            Field::DestinationPort => port_of(outer, outer.dport),
            Field::Ipv6Label => outer.v6.then(|| outer.label.to_string()),
            Field::IngressInterface => Some(control.plan.ports.name(seen.ingress).into()),
            Field::GtpTeid => key.teid.map(|t| t.to_string()),
            Field::InnerIpProtocol => inner.map(|t| t.protocol.to_string()),
            Field::InnerSourceIp => inner.map(|t| address(t, t.src).to_string()),
            Field::InnerDestinationIp => inner.map(|t| address(t, t.dst).to_string()),
            Field::InnerSourcePort => inner.and_then(|t| port_of(t, t.sport)),
            Field::InnerDestinationPort => inner.and_then(|t| port_of(t, t.dport)),
            Field::InnerIpv6Label => inner.filter(|t| t.v6).map(|t| t.label.to_string()),
            Field::RoceQp => key.qp.map(|q| q.to_string()),
        };
        let on = settings.fields().has(field);
        let why = match (on, &value, seen.later) {
            (true, Some(_), _) => None,
            (false, ..) => Some("off"),
            (true, None, true) => Some("only the first fragment has it"),
            (true, None, false) => Some("not there"),
        };
        FieldUse {
            name: field.name().into(),
            used: why.is_none(),
            value,
            why: why.map(Into::into),
        }
    });
    all.collect()
}

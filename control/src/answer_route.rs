//! Answers about routes and flows.

use crate::answer::error;
use crate::api::message::{Calc, Error, Flow, ROUTES_PER_ANSWER, Route, RouteQuery, Routes, Trace};
use crate::bridge::Origin;
use crate::control::Control;
use crate::dplane::Fixed;
use crate::fpm::decode::RouteKind;
use crate::prefix::Prefix;
use crate::rib::{Entry, Source, Target};
use fastpath::hash::{FlowKey, Tuple};
use fastpath::table::{AdjacencyId, DropReason, GroupId, LpmWrite, PortId};
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// The name of `rtm_protocol`, as zebra uses the numbers.
pub(crate) fn protocol(number: u8) -> String {
    let name = match number {
        2 => "kernel",
        3 => "boot",
        4 | 196 => "static",
        11 => "zebra",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        190 => "ripng",
        192 => "eigrp",
        194 => "sharp",
        195 => "pbr",
        197 => "openfabric",
        other => return other.to_string(),
    };
    name.into()
}

const fn kind_of(fixed: Fixed) -> &'static str {
    match fixed {
        Fixed::Punt => "local",
        Fixed::Blackhole => "blackhole",
        Fixed::Unreachable => "unreachable",
        Fixed::Prohibit => "prohibit",
    }
}

impl<L: LpmWrite> Control<L> {
    pub(crate) fn show_route(&self, query: &RouteQuery) -> Result<Routes, Error> {
        let mut routes = Vec::new();
        let nothing = |object: String| {
            let remedy = Some("`evenpath show route` lists all");
            Err(error(object, "show route", "no route".into(), remedy))
        };
        if let Some(prefix) = query.prefix {
            match self.rib.get(prefix) {
                Some(entry) => self.routes_of(prefix, entry, &mut routes),
                None => return nothing(prefix.to_string()),
            }
        } else if let Some(address) = query.address {
            match self.rib.longest(address, |e| e.group != GroupId::NONE) {
                Some((prefix, entry)) => self.routes_of(prefix, entry, &mut routes),
                None => return nothing(address.to_string()),
            }
            routes.retain(|r| r.selected);
        } else {
            return Ok(self.page(query.after));
        }
        Ok(Routes { routes, next: None })
    }

    /// The first prefixes behind `after`: one pass, so that a full table costs milliseconds a page.
    fn page(&self, after: Option<Prefix>) -> Routes {
        let mut lowest = BinaryHeap::with_capacity(ROUTES_PER_ANSWER + 1);
        for (prefix, _) in self.rib.iter() {
            let wanted = after.is_none_or(|a| prefix > a);
            if wanted && lowest.len() <= ROUTES_PER_ANSWER {
                lowest.push(prefix);
            } else if wanted && lowest.peek().is_some_and(|last| prefix < *last) {
                lowest.pop();
                lowest.push(prefix);
            }
        }
        let mut prefixes = lowest.into_sorted_vec();
        let more = prefixes.len() > ROUTES_PER_ANSWER;
        prefixes.truncate(ROUTES_PER_ANSWER);
        let next = prefixes.last().copied().filter(|_| more);
        let mut routes = Vec::new();
        for prefix in prefixes {
            if let Some(entry) = self.rib.get(prefix) {
                self.routes_of(prefix, entry, &mut routes);
            }
        }
        Routes { routes, next }
    }

    fn routes_of(&self, prefix: Prefix, entry: &Entry, routes: &mut Vec<Route>) {
        let mut put = |source: Source, target: Option<Target>, kind: &str| {
            let selected = entry.won.is_some_and(|w| w.0 == source);
            let group = (selected && entry.group != GroupId::NONE).then_some(entry.group);
            let nexthops = match target {
                Some(Target::Set(set)) => self.members(set, group),
                _ => Vec::new(),
            };
            routes.push(Route {
                prefix,
                source: source.name().into(),
                protocol: None,
                selected,
                kind: kind.into(),
                group: group.map(|g| g.0),
                nexthops,
                note: entry.failed.as_deref().filter(|_| selected).map(Into::into),
            });
        };
        let won = |source| entry.won.filter(|w| w.0 == source).map(|w| w.1);
        if let Some(others) = entry.others.as_deref() {
            if !others.local.is_empty() {
                put(Source::Local, None, "local");
            }
            if !others.connected.is_empty() {
                put(Source::Connected, won(Source::Connected), "connected");
            }
            if others.neighbor.is_some() {
                put(Source::Neighbor, won(Source::Neighbor), "unicast");
            }
            if let Some(target) = others.fixed {
                let kind = match target {
                    Target::Set(_) => "unicast",
                    Target::Fixed(fixed) => kind_of(fixed),
                };
                put(Source::Static, Some(target), kind);
            }
        }
        let Some(fpm) = &entry.fpm else { return };
        let kind = match (fpm.kind, fpm.target) {
            (RouteKind::Unicast, Some(Target::Fixed(fixed))) => kind_of(fixed),
            (RouteKind::Unicast, _) => "unicast",
            (RouteKind::Local, _) => "local",
            (RouteKind::Blackhole, _) => "blackhole",
            (RouteKind::Unreachable, _) => "unreachable",
            (RouteKind::Prohibit, _) => "prohibit",
        };
        put(Source::Fpm, fpm.target, kind);
        if let Some(route) = routes.last_mut() {
            route.protocol = Some(protocol(fpm.protocol));
            let stale = fpm.generation != self.session.generation;
            let origin = Origin::of(fpm.protocol, prefix);
            let note = match (fpm.waits, fpm.copy, stale) {
                _ if self.bridges.keeps(origin, prefix) => {
                    Some("deleted by zebra; kept for now".into())
                }
                (Some(id), ..) => Some(format!("nexthop group {id} unknown")),
                _ if fpm.meant.is_some() => {
                    Some("came back with fewer next hops; keeps all for now".into())
                }
                (None, true, _) => Some("a copy; rtnetlink speaks for it".into()),
                (None, false, true) => Some("not seen in the latest resync".into()),
                _ => None,
            };
            route.note = route.note.take().or(note);
        }
    }

    /// Which way a flow takes: the short answer of [`Control::trace`].
    pub(crate) fn calc(&self, flow: &Flow) -> Result<Calc, Error> {
        let query = Trace {
            flow: Some(flow.clone()),
            ..Trace::default()
        };
        let way = self.trace(&query)?.now;
        way.calc.ok_or_else(|| {
            let cause = match (way.outcome.as_str(), way.reason) {
                ("punted", _) => "it is the kernel's".into(),
                ("dropped", Some(reason)) if reason == DropReason::NoRoute.name() => {
                    "no route".into()
                }
                ("dropped", Some(reason)) => format!("dropped: {reason}"),
                (outcome, reason) => reason.unwrap_or_else(|| outcome.into()),
            };
            error(format!("flow to {}", flow.destination), "calc", cause, None)
        })
    }

    pub(crate) fn gateway_of(&self, group: GroupId, adjacency: AdjacencyId) -> Option<IpAddr> {
        let set = self.plan.groups.get(group)?.set;
        let members = self.plan.sets.members(set);
        let mut nexthops = members.iter().filter_map(|m| self.plan.nexthops.get(m.0));
        nexthops
            .find(|n| n.adjacency == Some(adjacency))?
            .key
            .gateway
    }
}

/// What the parser makes of a packet of this flow.
pub(crate) fn key_of(flow: &Flow, ingress: PortId) -> FlowKey {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(a) => u128::from(a.to_bits()).to_be_bytes(),
        IpAddr::V6(a) => a.octets(),
    };
    let v6 = flow.source.is_ipv6();
    FlowKey {
        outer: Tuple {
            v6,
            src: bytes(flow.source),
            dst: bytes(flow.destination),
            protocol: flow.protocol,
            sport: flow.source_port,
            dport: flow.destination_port,
            label: if v6 { flow.flow_label } else { 0 },
        },
        ingress: ingress.0,
        ..FlowKey::default()
    }
}

//! Answers about routes and flows.

use crate::answer::error;
use crate::api::message::{Calc, Error, Flow, ROUTES_PER_ANSWER, Route, RouteQuery, Routes};
use crate::bridge::Origin;
use crate::control::Control;
use crate::dplane::Fixed;
use crate::fpm::decode::RouteKind;
use crate::prefix::Prefix;
use crate::rib::{Entry, Source, Target};
use fastpath::hash::{Field, FlowKey, Settings, Tuple};
use fastpath::table::{AdjacencyId, Disposition, GroupId, LpmWrite, PortId};
use std::collections::{BTreeMap, BinaryHeap};
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

    /// Which way a flow takes, by the very tables that workers read.
    pub(crate) fn calc(&self, flow: &Flow) -> Result<Calc, Error> {
        let ports = &self.plan.ports;
        let by_netdev = || {
            ports
                .all()
                .find(|p| ports.netdev_name(*p) == Some(&flow.ingress))
        };
        let Some(ingress) = ports.named(&flow.ingress).or_else(by_netdev) else {
            let names: Vec<&str> = ports.all().map(|p| ports.name(p)).collect();
            let remedy = format!("ports are {}", names.join(", "));
            let object = format!("port {}", flow.ingress);
            return Err(error(object, "calc", "no such port".into(), Some(&remedy)));
        };
        let fail = |cause: String| {
            let object = format!("flow to {}", flow.destination);
            error(object, "calc", cause, None)
        };
        if flow.source.is_ipv4() != flow.destination.is_ipv4() {
            return Err(fail(
                "source and destination are of different families".into(),
            ));
        }
        let found = self
            .rib
            .longest(flow.destination, |e| e.group != GroupId::NONE);
        let Some((prefix, entry)) = found else {
            return Err(fail("no route".into()));
        };
        let tables = self.plan.dplane.tables();
        let key = key_of(flow, ingress);
        let settings = self.settings_for(flow.destination);
        let hash = settings.hash(&key);
        let word = tables.groups.word(entry.group);
        let port_of = |id| self.plan.dplane.port_of(id);
        let adjacency = tables.groups.living(word, hash, &tables.down, port_of);
        let facts = tables.adjacencies.slot(adjacency).facts();
        match facts.disposition() {
            Disposition::Forward => {}
            Disposition::Punt => return Err(fail(format!("{prefix}: it is the kernel's"))),
            Disposition::Glean => {
                let port = ports.name(facts.port());
                return Err(fail(format!(
                    "{prefix}: its neighbor on {port} is not resolved"
                )));
            }
            Disposition::Drop(reason) => {
                return Err(fail(format!("{prefix}: dropped: {}", reason.name())));
            }
        }
        Ok(Calc {
            port: ports.name(facts.port()).into(),
            nexthop: self
                .gateway_of(entry.group, adjacency)
                .unwrap_or(flow.destination),
            prefix,
            group: entry.group.0,
            bucket: word.bucket(hash),
            buckets: word.size(),
            hash: format!("{hash:#010x}"),
            algorithm: settings.choice().algorithm.name().into(),
            fields: self.fields(flow),
            plane: "software".into(),
        })
    }

    fn settings_for(&self, destination: IpAddr) -> &Settings {
        let policy = &self.plan.dplane.view().hash;
        match destination {
            IpAddr::V4(a) => policy.settings4(a.to_bits()),
            IpAddr::V6(a) => policy.settings6(a.to_bits()),
        }
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

    fn fields(&self, flow: &Flow) -> BTreeMap<String, String> {
        let hash = self.settings_for(flow.destination);
        let on = Field::ALL.into_iter().filter(|f| hash.fields().has(*f));
        let shown = on.filter_map(|field| {
            let value = match field {
                Field::IpProtocol => flow.protocol.to_string(),
                Field::SourceIp => flow.source.to_string(),
                Field::DestinationIp => flow.destination.to_string(),
                Field::SourcePort => flow.source_port.to_string(),
                Field::DestinationPort => flow.destination_port.to_string(),
                Field::Ipv6Label if flow.source.is_ipv6() => flow.flow_label.to_string(),
                Field::IngressInterface => flow.ingress.clone(),
                _ => return None,
            };
            Some((field.name().to_string(), value))
        });
        shown.collect()
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

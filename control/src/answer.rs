//! Answers to the api: views of the control thread's state, as the messages of the socket.

use crate::api::message::{
    Answers, Counters, Error, Fpm, KeptRoutes, Member, Metrics, Neighbor, Nexthop, Port, Verified,
};
use crate::api::{Reply, Request, Response};
use crate::bucket;
use crate::control::Control;
use crate::event::{Mac, configured_port};
use crate::fpm::decode::Skip;
use crate::nexthop::{SetId, State};
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

pub(crate) fn error(object: String, operation: &str, cause: String, remedy: Option<&str>) -> Error {
    Error {
        object,
        operation: operation.into(),
        cause,
        remedy: remedy.map(Into::into),
    }
}

pub(crate) fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl<L: LpmWrite> Control<L> {
    /// Answers a question once what it changes is in force: who is told so may count on it.
    pub(crate) fn serve(&mut self, request: &Request, reply: &SyncSender<Reply>, now: Instant) {
        let answer = self.answer(request, now);
        self.commit(now);
        // Who asked may have gone away meanwhile.
        let _ = reply.send(answer);
    }

    /// Answers a question.
    pub fn answer(&mut self, request: &Request, now: Instant) -> Reply {
        let answer = match request {
            Request::ShowRoute(query) => self.show_route(query).map(Response::Route),
            Request::ShowGroup(query) => self.show_group(query, now).map(Response::Group),
            Request::ShowNexthop => Ok(Response::Nexthop(self.show_nexthop(now))),
            Request::ShowNeighbor => Ok(Response::Neighbor(self.show_neighbor())),
            Request::ShowPort => Ok(Response::Port(self.show_port())),
            Request::ShowCounters => Ok(Response::Counters(self.show_counters())),
            Request::ShowFpm => Ok(Response::Fpm(self.show_fpm(now))),
            Request::ShowHash => Ok(Response::Hash(self.show_hash())),
            Request::ShowFailover => Ok(Response::Failover(Box::new(self.show_failover()))),
            Request::ShowEvents => Ok(Response::Events(self.log.all())),
            Request::ShowMetrics => {
                let counters = self.snapshot();
                let names = self.plan.ports.all().map(|id| self.plan.ports.name(id));
                Ok(Response::Metrics(Box::new(Metrics {
                    counters: Counters::new(&counters, names),
                    ..self.show_metrics(now)
                })))
            }
            Request::ShowOffload(_) => Ok(Response::Offload(Box::new(self.show_offload()))),
            Request::ShowResilient => Ok(Response::Resilient(self.show_resilient())),
            Request::Calc(flow) => self.calc(flow).map(Response::Calc),
            Request::SetHash(wanted) => self.set_hash(wanted, now).map(Response::SetHash),
            Request::SetResilient(wanted) => {
                self.set_resilient(wanted, now).map(Response::SetResilient)
            }
            Request::Trace(query) => self.trace(query).map(|t| Response::Trace(Box::new(t))),
            Request::Traces(all) => self.traces(all).map(Response::Traces),
            Request::WhatIf(query) => {
                let foreseen = self.foresee(query, now);
                foreseen.map(|f| Response::WhatIf(Box::new(f)))
            }
            Request::Drain(wanted) => self.drain(wanted, now).map(Response::Drain),
            Request::VerifyOffload(_) => Ok(Response::Verify(Verified::default())),
            Request::Export(_) => Err(error(
                "hardware".into(),
                "export",
                "there is no hardware plane".into(),
                Some("give -c FILE, or set [offload] mode"),
            )),
            Request::Verify(query) => self.verify(query, now).map(Response::Verify),
            Request::FpmRelease => Ok(Response::Released(self.release(now))),
        };
        match answer {
            Ok(response) => Reply::Ok(response),
            Err(error) => Reply::Error(error),
        }
    }

    /// The members of a set; with `group`, how many buckets each has there.
    pub(crate) fn members(&self, set: SetId, group: Option<GroupId>) -> Vec<Member> {
        let plan = &self.plan;
        let id = group.filter(|_| self.activity.is_watching());
        let group = group.and_then(|id| plan.groups.get(id));
        let members = plan.sets.members(set);
        let shown = members.iter().filter_map(|&(number, weight)| {
            let nexthop = plan.nexthops.get(number)?;
            let state = match nexthop.groups.is_empty() {
                true => crate::nexthop::look(&nexthop.key, &plan.ports, &plan.neighbors).state,
                false => nexthop.outlook.state,
            };
            let traffic = id.map(|id| self.activity.member(id, number));
            let hardware = group.and(self.offloaded()).map(|o| o.sent_to(number));
            Some(Member {
                packets: traffic.map(|t| t.packets),
                bytes: traffic.map(|t| t.bytes),
                hardware_packets: hardware.map(|c| c.packets),
                hardware_bytes: hardware.map(|c| c.bytes),
                via: nexthop.key.gateway,
                port: plan.ports.interface(nexthop.key.ifindex),
                weight,
                state: state.name().into(),
                buckets: group.map(|g| u32::try_from(g.share(number)).unwrap_or(u32::MAX)),
            })
        });
        shown.collect()
    }

    fn show_nexthop(&self, now: Instant) -> Vec<Nexthop> {
        let all = self.plan.nexthops.iter();
        let mut all: Vec<_> = all.filter(|(_, n)| !n.groups.is_empty()).collect();
        all.sort_unstable_by_key(|(_, n)| n.key);
        let shown = all.into_iter().map(|(number, n)| Nexthop {
            via: n.key.gateway,
            port: self.plan.ports.interface(n.key.ifindex),
            state: n.outlook.state.name().into(),
            mac: n.outlook.mac.map(text),
            adjacency: n.adjacency.map(|a| a.0),
            groups: n.groups.len() as u64,
            buckets: self.plan.buckets_of(&[number]).0 as u64,
            hold: n.hold.name().map(Into::into),
            hold_seconds_left: self.plan.hold_left(n, now).map(|t| t.as_secs_f64()),
            hardware_packets: self.offloaded().map(|o| o.sent_to(number).packets),
            hardware_bytes: self.offloaded().map(|o| o.sent_to(number).bytes),
        });
        shown.collect()
    }

    fn show_neighbor(&self) -> Vec<Neighbor> {
        let plan = &self.plan;
        let shown = plan.neighbors.all().map(|(ifindex, address, entry)| {
            let users = plan.resolved_by(ifindex, address);
            let wanted = |n: &bucket::Member| {
                let nexthop = plan.nexthops.get(*n);
                nexthop.is_some_and(|n| !n.key.host && !n.groups.is_empty())
            };
            Neighbor {
                port: plan.ports.interface(ifindex),
                address,
                mac: entry.mac.map(text),
                state: entry.state.name().into(),
                source: match (configured_port(ifindex), entry.zebra) {
                    (Some(_), _) => "static",
                    (None, true) => "zebra",
                    (None, false) => "kernel",
                }
                .into(),
                wanted: users.iter().any(wanted),
            }
        });
        shown.collect()
    }

    fn show_port(&self) -> Vec<Port> {
        let ports = &self.plan.ports;
        let shown = ports.all().map(|id| {
            let reason = ports.down_reason(id);
            let own = ports.addresses().filter(|a| ports.of(a.0) == Some(id));
            let hash = self.port_hash(id);
            Port {
                name: ports.name(id).into(),
                id: id.0,
                state: if reason.is_none() { "up" } else { "down" }.into(),
                reason: reason.map(|r| r.name().into()),
                kernel: ports.netdev_name(id).map(Into::into),
                ifindex: ports.netdev(id),
                mac: text(ports.mac(id)),
                mtu: ports.mtu(id),
                vlan: ports.vlan(id),
                addresses: own.map(|(_, a, l)| format!("{a}/{l}")).collect(),
                hash: hash.from,
                hash_reason: hash.reason,
            }
        });
        shown.collect()
    }

    fn show_counters(&self) -> Counters {
        let ports = &self.plan.ports;
        let names = ports.all().map(|id| ports.name(id));
        Counters {
            failover: Some(Box::new(self.show_failover())),
            fpm_answers: Some(Box::new(self.show_answers())),
            ..Counters::new(&self.snapshot(), names)
        }
    }

    pub(crate) fn show_fpm(&self, now: Instant) -> Fpm {
        let (session, counts) = (&self.session, &self.session.counts);
        let messages = [
            ("newroute", counts.newroute),
            ("delroute", counts.delroute),
            ("newnexthop", counts.newnexthop),
            ("delnexthop", counts.delnexthop),
        ];
        let skipped = Skip::ALL.into_iter().zip(counts.skipped);
        let mut skipped: BTreeMap<String, u64> = skipped
            .filter(|s| s.1 > 0)
            .map(|(kind, n)| (kind.name().into(), n))
            .collect();
        if session.ignored > 0 {
            skipped.insert("link-local".into(), session.ignored);
        }
        let waiting = self.objects.parked() + self.objects.waiting();
        let kept = self.bridges.standing().map(|s| KeptRoutes {
            of: s.origin.to_string(),
            routes: s.kept,
            back: s.back,
            fewer_nexthops: s.fewer,
            left_ms: s.until.saturating_duration_since(now).as_millis() as u64,
        });
        Fpm {
            kept: kept.collect(),
            restarts: self.bridges.count,
            listen: self.config.fpm.listen.to_string(),
            connected: session.connected,
            connections: session.connections,
            sync: session.phase.name().into(),
            unrefreshed: self.fpm_routes - self.fpm_fresh,
            routes: self.fpm_routes,
            nexthops: self.objects.len() as u64,
            parked: waiting as u64,
            frames: counts.frames,
            messages: messages.map(|(k, n)| (k.to_string(), n)).into(),
            skipped,
            malformed: counts.malformed,
            answers: self.show_answers(),
        }
    }

    fn show_answers(&self) -> Answers {
        let failed = self.room.short() as u64;
        self.reports.view(self.config.fpm.answer, failed)
    }

    /// Ports that are down, with the reason: for `show port` and logs.
    pub fn ports_down(&self) -> Vec<(PortId, &'static str)> {
        let ports = &self.plan.ports;
        let down = ports
            .all()
            .filter_map(|p| Some((p, ports.down_reason(p)?.name())));
        down.collect()
    }

    /// True when every next hop that routes want can be used.
    pub fn is_whole(&self) -> bool {
        let wanted = self
            .plan
            .nexthops
            .iter()
            .filter(|(_, n)| !n.groups.is_empty());
        wanted.map(|(_, n)| n.outlook.state).all(|s| s == State::Up)
    }
}

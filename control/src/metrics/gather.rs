//! What control contributes.

use crate::api::message::{FpmMetrics, MemberMetrics, Metrics, NexthopMetrics};
use crate::control::Control;
use crate::nexthop::State;
use fastpath::table::{GroupId, LpmWrite};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Next hops of gateways that have series of their own; those with the lowest numbers: the oldest.
pub const NEXTHOPS: usize = 4096;

/// Members of groups that have series of their own.
pub const MEMBERS: usize = 4096;

/// What tells next hops apart in series: the gateway and the port.
type Labels = (Option<IpAddr>, String);

/// The one of `all` with these labels, made if there is none. A static route and zebra's through one
/// gateway are two next hops to us, and one series.
fn series<'a, T>(
    all: &'a mut Vec<T>,
    known: &mut HashMap<Labels, usize>,
    labels: Labels,
    new: impl FnOnce(Labels) -> T,
) -> &'a mut T {
    let end = all.len();
    let at = *known.entry(labels.clone()).or_insert(end);
    if at == end {
        all.push(new(labels));
    }
    &mut all[at]
}

impl<L: LpmWrite> Control<L> {
    /// All figures but the counters of packets, which their reader fills in.
    pub(crate) fn show_metrics(&self, now: Instant) -> Metrics {
        let plan = &self.plan;
        let ports = &plan.ports;
        let (used, total) = plan.dplane.buckets();
        let (session, fpm) = (&self.session, self.show_fpm(now));
        let [lookup_ipv4, lookup_ipv6] = plan.dplane.lookup_kernels().map(Into::into);
        let mut metrics = Metrics {
            version: env!("CARGO_PKG_VERSION").into(),
            cpu: fastpath::COMPILED_FOR.into(),
            lookup_ipv4,
            lookup_ipv6,
            ports_up: ports
                .all()
                .map(|p| (ports.name(p).into(), ports.is_up(p)))
                .collect(),
            routes: self.rib.len() as u64,
            buckets_total: total.into(),
            buckets_in_use: used.into(),
            eased: self.counters.eased,
            hash_changes: self.counters.hash_changes,
            rules_changes: self.counters.rules_changes,
            events: self.counters.events,
            failover: self.show_failover(),
            fpm: FpmMetrics {
                connected: session.connected,
                connections: session.connections,
                sync: fpm.sync,
                routes: fpm.routes,
                unrefreshed: fpm.unrefreshed,
                frames: fpm.frames,
                messages: fpm.messages,
                malformed: fpm.malformed,
            },
            offload: self.offloaded().and_then(|o| o.status()).cloned(),
            marks: self.marked(),
            hardware_packets: self.offloaded().map_or(0, |o| o.total().packets),
            hardware_bytes: self.offloaded().map_or(0, |o| o.total().bytes),
            ..Metrics::default()
        };
        let through = plan.nexthops.iter();
        let through = through.filter(|(_, n)| n.key.gateway.is_some() && !n.key.host);
        let mut known = HashMap::new();
        for (number, nexthop) in through.take(NEXTHOPS) {
            let traffic = self.activity.total(number);
            let labels = (nexthop.key.gateway, ports.interface(nexthop.key.ifindex));
            let one = series(&mut metrics.nexthops, &mut known, labels, |(via, port)| {
                NexthopMetrics {
                    via,
                    port,
                    ..NexthopMetrics::default()
                }
            });
            one.up |= nexthop.outlook.state == State::Up && !nexthop.groups.is_empty();
            one.buckets += plan.buckets_of(&[number]).0 as u64;
            let hardware = self.offloaded().map(|o| o.sent_to(number));
            let hardware = hardware.unwrap_or_default();
            one.packets += traffic.packets + hardware.packets;
            one.bytes += traffic.bytes + hardware.bytes;
            one.hardware_packets += hardware.packets;
            one.hardware_bytes += hardware.bytes;
        }
        let several = plan.groups.iter().filter(|(_, g)| g.word.size() > 1);
        let mut ids: Vec<GroupId> = several.map(|(id, _)| id).collect();
        ids.sort_unstable();
        for id in ids {
            let Some(group) = plan.groups.get(id) else {
                continue;
            };
            metrics.groups += 1;
            metrics.groups_unbalanced += u64::from(group.surplus > 0);
            metrics.buckets_surplus += group.surplus as u64;
            let members = plan.sets.members(group.set);
            if metrics.members.len() + members.len() > MEMBERS {
                metrics.members_omitted += members.len() as u64;
                continue;
            }
            let mut shares = HashMap::<_, u64>::new();
            let mut known = HashMap::new();
            for owner in group.effective.iter().filter(|_| group.alive) {
                *shares.entry(*owner).or_default() += 1;
            }
            for (number, _) in members.iter() {
                let Some(nexthop) = plan.nexthops.get(*number) else {
                    continue;
                };
                let traffic = self.activity.member(id, *number);
                let labels = (nexthop.key.gateway, ports.interface(nexthop.key.ifindex));
                let one = series(&mut metrics.members, &mut known, labels, |(via, port)| {
                    MemberMetrics {
                        group: id.0,
                        via,
                        port,
                        ..MemberMetrics::default()
                    }
                });
                one.buckets += shares.get(number).copied().unwrap_or(0);
                one.packets += traffic.packets;
                one.bytes += traffic.bytes;
            }
        }
        metrics
    }
}

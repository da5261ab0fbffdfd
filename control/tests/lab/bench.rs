//! A bench for groups: next hops on one link, and who has which bucket.

use super::{Lab, P0, P1, ip};
use control::activity::INTERVAL;
use control::api::message::{Drain, Drained};
use control::api::{Reply, Request, Response};
use control::config::Resilient;
use control::event::NeighborState;
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use fastpath::table::stats::WorkerStats;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// What the route covers.
pub const HERE: &str = "10.9.0.1";

/// A router with six next hops, a route, and traffic by bucket.
pub struct Bench {
    pub lab: Lab,
    pub stats: Arc<WorkerStats>,
}

impl Bench {
    /// A router with next hops 192.0.2.10 to 15 on one link, all of them resolved.
    pub fn new(rules: Resilient) -> Self {
        let mut config = super::config();
        config.resilient = rules;
        Bench::over(Lab::new(&config))
    }

    /// The same over a lab that has seen nothing yet.
    pub fn over(mut lab: Lab) -> Self {
        let stats = Arc::new(WorkerStats::with_buckets(65_536));
        lab.control.watch(&[Arc::clone(&stats)], lab.now);
        lab.connect();
        lab.link(P0, "p0", true);
        for n in 10..16 {
            lab.neighbor(P0, &gateway(n), NeighborState::Reachable, n);
        }
        Bench { lab, stats }
    }

    pub fn resilient() -> Self {
        Bench::new(Resilient {
            enable: true,
            ..Resilient::default()
        })
    }

    pub fn route(&mut self, members: &[(u8, u32)]) {
        self.route_of("10.9.0.0/16", members, &[]);
    }

    /// By these on p0, and by those with equal weights on p1.
    pub fn route_by(&mut self, members: &[(u8, u32)], others: &[u8]) {
        self.route_of("10.9.0.0/16", members, others);
    }

    /// One of 65,536 other routes.
    pub fn route_to(&mut self, number: u16, members: &[(u8, u32)]) {
        let [a, b] = number.to_be_bytes();
        self.route_of(&format!("11.{a}.{b}.0/24"), members, &[]);
    }

    fn route_of(&mut self, prefix: &str, members: &[(u8, u32)], others: &[u8]) {
        let hop = |n: u8| Hop {
            gateway: Some(ip(&gateway(n))),
            ifindex: if others.contains(&n) { P1 } else { P0 },
            onlink: false,
            encap: false,
        };
        let others = others.iter().map(|&n| (n, 1));
        let route = Route {
            kind: RouteKind::Unicast,
            protocol: 186,
            via: Via::Hops(
                members
                    .iter()
                    .copied()
                    .chain(others)
                    .map(|(n, w)| (hop(n), w))
                    .collect(),
            ),
            prefsrc: None,
            mtu: 0,
        };
        let mut batch = Batch::default();
        batch.put(Message::Route(super::prefix(prefix), route));
        self.lab.batch(batch);
    }

    pub fn up(&mut self, n: u8, up: bool) {
        let state = [NeighborState::Failed, NeighborState::Reachable][usize::from(up)];
        self.lab.neighbor(P0, &gateway(n), state, n);
    }

    /// The last byte of each bucket's next hop.
    pub fn table(&self) -> Vec<u8> {
        let owner = |id| self.lab.tables.adjacencies.slot(id).header()[5];
        let all = self.lab.first_flows(HERE, self.lab.size(HERE).max(64));
        all.into_iter().map(owner).collect()
    }

    pub fn shares(&self) -> BTreeMap<u8, usize> {
        let mut shares = BTreeMap::new();
        for owner in self.table() {
            *shares.entry(owner).or_default() += 1;
        }
        shares
    }

    /// A packet for each of these buckets.
    pub fn traffic(&self, buckets: impl IntoIterator<Item = u32>) {
        let word = self.lab.tables.groups.word(self.lab.lookup(ip(HERE)));
        for bucket in buckets {
            self.stats.buckets().count(word.base() + bucket, 100);
        }
    }

    /// Time passes while these buckets are in use.
    pub fn pass(&mut self, seconds: u32, busy: &[u32]) {
        for _ in 0..seconds {
            self.traffic(busy.iter().copied());
            self.lab.pass(INTERVAL);
            self.lab.pass(SECOND - INTERVAL);
        }
    }

    pub fn drain(&mut self, drain: Drain) -> Result<Drained, String> {
        let (control, now) = (&mut self.lab.control, self.lab.now);
        let reply = self
            .lab
            .view
            .offline(|| control.answer(&Request::Drain(drain), now));
        match reply {
            Reply::Ok(Response::Drain(done)) => Ok(done),
            Reply::Error(error) => Err(error.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

pub fn gateway(n: u8) -> String {
    format!("192.0.2.{n}")
}

pub fn shares(all: &[(u8, usize)]) -> BTreeMap<u8, usize> {
    all.iter().copied().collect()
}

pub fn moved(before: &[u8], after: &[u8]) -> Vec<usize> {
    assert_eq!(before.len(), after.len());
    (0..before.len())
        .filter(|&b| before[b] != after[b])
        .collect()
}

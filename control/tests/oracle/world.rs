//! The router under test, and what FRR, the kernel and the operator have told it.

use super::Random;
use super::naive::{Table, Weights};
use crate::lab::{self, Lab, P0, P1, ip};
use control::api::message::Drain;
use control::api::{Reply, Request};
use control::config::Config;
use control::event::NeighborState;
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Object, Route, RouteKind, Via};
use control::prefix::Prefix;
use control::warm::image::{Image, with_head};
use fastpath::table::stats::WorkerStats;
use fastpath::table::{AdjacencyId, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const SECOND: Duration = Duration::from_secs(1);

/// A next hop that the operator spares.
#[derive(Clone, Copy, Debug)]
pub struct Spared {
    pub until: Instant,
    /// Its buckets are idle after that time.
    pub patience: Duration,
    /// Nothing is left to it.
    pub done: bool,
}

/// What is true of the world; next hops are numbers from 1, even ones on p0, odd ones on p1.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub routes: BTreeMap<u8, Weights>,
    pub cut: BTreeSet<u32>,
    pub dead: BTreeSet<u8>,
    pub spared: BTreeMap<u8, Spared>,
    /// Who counts as away, and until when.
    pub held: BTreeMap<u8, Instant>,
    /// Who could be used and then no longer, while a route had it.
    pub lost: BTreeSet<u8>,
}

impl Truth {
    pub fn can(&self, n: u8) -> bool {
        !self.dead.contains(&n) && !self.cut.contains(&interface(n))
    }

    pub fn has(&self, n: u8) -> bool {
        self.routes.values().any(|r| r.contains_key(&n))
    }

    /// Who of a route gets buckets, when `table` was the last that forwarded.
    pub fn due(&self, prefix: u8, table: &[u8]) -> Weights {
        let members = &self.routes[&prefix];
        let of = |wanted: &dyn Fn(u8) -> bool| -> Weights {
            let all = members.iter().filter(|(n, _)| self.can(**n) && wanted(**n));
            all.map(|(n, w)| (*n, *w)).collect()
        };
        let held = |n| self.held.contains_key(&n) && !table.contains(&n);
        let spared = |n| self.spared.contains_key(&n);
        let due = [of(&|n| !spared(n) && !held(n)), of(&|n| !spared(n))];
        let due = due.into_iter().find(|due| !due.is_empty());
        due.unwrap_or_else(|| of(&|_| true))
    }

    /// Who of a route keeps what it has for a while.
    pub fn leaving(&self, prefix: u8) -> BTreeSet<u8> {
        let spared = |n: &&u8| self.spared.get(n).is_some_and(|s| !s.done) && self.can(**n);
        self.routes[&prefix]
            .keys()
            .filter(spared)
            .copied()
            .collect()
    }
}

pub fn interface(n: u8) -> u32 {
    [P0, P1][usize::from(n % 2)]
}

pub struct Router {
    pub lab: Lab,
    pub started: Instant,
    pub stats: Arc<WorkerStats>,
    pub config: Config,
    pub gateways: u8,
    is_v6: bool,
    id: u32,
}

impl Router {
    /// One that starts at `age` on the wall's clock.
    pub fn new(config: &Config, gateways: u8, is_v6: bool, age: Duration) -> Self {
        let mut lab = Lab::sized(config, Tables::new(256, 16_384, 1024));
        let started = lab.now;
        lab.pass(age);
        let stats = Arc::new(WorkerStats::with_buckets(16_384));
        lab.control.watch(&[Arc::clone(&stats)], lab.now);
        lab.connect();
        Router {
            lab,
            started,
            stats,
            config: config.clone(),
            gateways,
            is_v6,
            id: 1,
        }
    }

    /// One with all links up and all neighbors resolved.
    pub fn whole(config: &Config, gateways: u8, is_v6: bool) -> Self {
        let mut router = Router::new(config, gateways, is_v6, Duration::ZERO);
        router.link(P0, true);
        router.link(P1, true);
        (1..=gateways).for_each(|n| router.neighbor(n, NeighborState::Reachable));
        router
    }

    pub fn gateway(&self, n: u8) -> String {
        match self.is_v6 {
            true => format!("fd00:{}::{n}", interface(n)),
            false => format!("192.0.{}.{n}", interface(n)),
        }
    }

    fn prefix(&self, prefix: u8) -> Prefix {
        match self.is_v6 {
            true => lab::prefix(&format!("fd10:{prefix}::/32")),
            false => lab::prefix(&format!("10.{prefix}.0.0/16")),
        }
    }

    fn first(&self, prefix: u8) -> String {
        self.prefix(prefix).address().to_string()
    }

    pub fn link(&mut self, ifindex: u32, up: bool) {
        let name = if ifindex == P0 { "p0" } else { "p1" };
        self.lab.link(ifindex, name, up);
    }

    pub fn neighbor(&mut self, n: u8, state: NeighborState) {
        let gateway = self.gateway(n);
        self.lab.neighbor(interface(n), &gateway, state, n);
    }

    pub fn neighbor_gone(&mut self, n: u8) {
        let gateway = self.gateway(n);
        self.lab.neighbor_gone(interface(n), &gateway);
    }

    fn hop(&self, n: u8) -> Hop {
        Hop {
            gateway: Some(ip(&self.gateway(n))),
            ifindex: interface(n),
            onlink: false,
            encap: false,
        }
    }

    /// As zebra sends it: with objects of ever new ids or without, members in any order, perhaps
    /// deleted and added in one frame.
    pub fn route(&mut self, random: &mut Random, prefix: u8, weights: &Weights) {
        let mut members: Vec<(u8, u32)> = weights.iter().map(|(n, w)| (*n, *w)).collect();
        random.shuffle(&mut members);
        let mut batch = Batch::default();
        if random.one_of(3) {
            batch.put(Message::DelRoute(self.prefix(prefix)));
        }
        let via = if random.one_of(2) {
            let first = self.id;
            self.id += members.len() as u32 + 1;
            for (id, m) in (first..).zip(&members) {
                batch.put(Message::Nexthop(id, Object::Hop(self.hop(m.0))));
            }
            let members = (first..).zip(&members).map(|(id, m)| (id, m.1)).collect();
            let resilient = None;
            batch.put(Message::Nexthop(
                self.id - 1,
                Object::Group { members, resilient },
            ));
            Via::Id(self.id - 1)
        } else {
            Via::Hops(members.iter().map(|m| (self.hop(m.0), m.1)).collect())
        };
        let route = Route {
            kind: RouteKind::Unicast,
            protocol: 186,
            via,
            prefsrc: None,
            mtu: 0,
        };
        batch.put(Message::Route(self.prefix(prefix), route));
        self.lab.batch(batch);
    }

    pub fn withdraw(&mut self, prefix: u8) {
        let mut batch = Batch::default();
        batch.put(Message::DelRoute(self.prefix(prefix)));
        self.lab.batch(batch);
    }

    /// How many next hops' buckets it is about, if it is done at all.
    pub fn drain(&mut self, n: u8, back: bool, over: u32) -> Option<u64> {
        let drain = Drain {
            nexthop: ip(&self.gateway(n)),
            port: None,
            back,
            over,
            force: false,
            dry_run: false,
        };
        let (control, now) = (&mut self.lab.control, self.lab.now);
        let request = Request::Drain(drain);
        let reply = self.lab.view.offline(|| control.answer(&request, now));
        match reply {
            Reply::Ok(control::api::Response::Drain(done)) => Some(done.buckets),
            Reply::Error(_) => None,
            other => panic!("{other:?}"),
        }
    }

    /// Who owns each bucket of a prefix's group, and who is second.
    pub fn tables(&self, prefix: u8) -> (Table, Table) {
        let groups = &self.lab.tables.groups;
        let word = groups.word(self.lab.lookup(ip(&self.first(prefix))));
        let owner = |id: AdjacencyId| {
            let slot = self.lab.tables.adjacencies.slot(id);
            let forwards = slot.facts().is_forward();
            if forwards { slot.header()[5] } else { 0 }
        };
        let bucket = |b| groups.bucket(word.base() + b);
        let both = (0..word.size()).map(bucket);
        both.map(|b| (owner(b.first), owner(b.second))).unzip()
    }

    /// A packet for each of these buckets of a prefix.
    pub fn traffic(&self, prefix: u8, buckets: impl Iterator<Item = usize>) {
        let destination = ip(&self.first(prefix));
        let word = self.lab.tables.groups.word(self.lab.lookup(destination));
        for bucket in buckets {
            self.stats.buckets().count(word.base() + bucket as u32, 100);
        }
    }

    /// Another one on what this one has kept, when all has come back in any order.
    pub fn restarted(&self, truth: &Truth, random: &mut Random) -> Router {
        let image = with_head(&self.lab.control.image(self.lab.now).body());
        let image = Image::read(&image).expect("an image");
        let age = self.lab.now - self.started;
        let mut next = Router::new(&self.config, self.gateways, self.is_v6, age);
        next.lab.control.resume(&image, next.lab.now);
        let routes = truth.routes.keys().map(|p| 1000 + u32::from(*p));
        let neighbors = (1..=self.gateways).map(|n| 100 + u32::from(n));
        let mut steps: Vec<u32> = [P0, P1]
            .into_iter()
            .chain(neighbors)
            .chain(routes)
            .collect();
        random.shuffle(&mut steps);
        for step in steps {
            let n = (step % 100) as u8;
            match step {
                1000.. => next.route(random, n, &truth.routes[&n]),
                100.. => {
                    let n = (step - 100) as u8;
                    if !truth.dead.contains(&n) {
                        next.neighbor(n, NeighborState::Stale);
                    }
                }
                port => next.link(port, !truth.cut.contains(&port)),
            }
        }
        next
    }
}

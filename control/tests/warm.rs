//! Restarts: whatever happened before, an evenpath that is started again on what another one kept
//! sends every flow the way it went.

use crate::lab;
use crate::lab::{Lab, P0, P1, ip};
use control::api::message::Drain;
use control::api::{Reply, Request};
use control::config::{Config, DealBy, Resilient};
use control::deal::Recovery;
use control::event::{Action, NeighborState};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Object, Route, RouteKind, Via};
use control::warm::TAKE_UP;
use control::warm::image::{Image, with_head};
use fastpath::table::PortId;
use fastpath::table::stats::WorkerStats;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// The ways of the flows to a prefix, by hash: port and MAC address.
type Ways = Vec<(Option<PortId>, u8)>;

/// What FRR and the kernel know, which a restart does not change.
#[derive(Clone, Default)]
struct World {
    /// Members by prefix: number and weight. Even numbers are on p0, odd ones on p1.
    routes: BTreeMap<u8, Vec<(u8, u32)>>,
    down: BTreeSet<u8>,
    cut: BTreeSet<u32>,
}

struct Router {
    lab: Lab,
    started: Instant,
    stats: Arc<WorkerStats>,
    config: Config,
    id: u32,
}

fn interface(n: u8) -> u32 {
    [P0, P1][usize::from(n % 2)]
}

fn gateway(n: u8) -> String {
    format!("192.0.{}.{n}", interface(n))
}

fn first(prefix: u8) -> String {
    format!("10.{prefix}.0.1")
}

impl Router {
    /// One that starts at `age` on the wall's clock.
    fn new(config: &Config, first_id: u32, age: Duration) -> Self {
        let mut lab = Lab::new(config);
        let started = lab.now;
        lab.pass(age);
        let stats = Arc::new(WorkerStats::with_buckets(65_536));
        lab.control.watch(&[Arc::clone(&stats)], lab.now);
        Router {
            lab,
            started,
            stats,
            config: config.clone(),
            id: first_id,
        }
    }

    /// One with all links up and all neighbors resolved.
    fn whole(config: &Config) -> Self {
        let mut router = Router::new(config, 1, Duration::ZERO);
        router.set_up();
        router
    }

    fn set_up(&mut self) {
        self.lab.connect();
        for ifindex in [P0, P1] {
            self.link(ifindex, true);
        }
        for n in 10..16 {
            self.neighbor(n, true);
        }
    }

    fn link(&mut self, ifindex: u32, up: bool) {
        let name = if ifindex == P0 { "p0" } else { "p1" };
        self.lab.link(ifindex, name, up);
    }

    fn neighbor(&mut self, n: u8, up: bool) {
        let state = [NeighborState::Failed, NeighborState::Reachable][usize::from(up)];
        self.lab.neighbor(interface(n), &gateway(n), state, n);
    }

    /// With next hop objects of ever new ids, or without.
    fn route(&mut self, prefix: u8, members: &[(u8, u32)], objects: bool) {
        let hop = |n: u8| Hop {
            gateway: Some(ip(&gateway(n))),
            ifindex: interface(n),
            onlink: false,
            encap: false,
        };
        let mut batch = Batch::default();
        let via = if objects {
            let first = self.id;
            self.id += members.len() as u32 + 1;
            for (id, m) in (first..).zip(members) {
                batch.put(Message::Nexthop(id, Object::Hop(hop(m.0))));
            }
            let members = (first..).zip(members).map(|(id, m)| (id, m.1)).collect();
            let group = Object::Group {
                members,
                resilient: None,
            };
            batch.put(Message::Nexthop(self.id - 1, group));
            Via::Id(self.id - 1)
        } else {
            Via::Hops(members.iter().map(|&(n, w)| (hop(n), w)).collect())
        };
        let route = Route {
            kind: RouteKind::Unicast,
            protocol: 186,
            via,
            prefsrc: None,
            mtu: 0,
        };
        batch.put(Message::Route(
            lab::prefix(&format!("10.{prefix}.0.0/16")),
            route,
        ));
        self.lab.batch(batch);
    }

    fn ways(&self, prefix: u8) -> Ways {
        let way = |id| {
            let slot = self.lab.tables.adjacencies.slot(id);
            let facts = slot.facts();
            let port = facts.is_forward().then(|| facts.port());
            (port, if port.is_some() { slot.header()[5] } else { 0 })
        };
        let count = self.lab.size(&first(prefix)).max(256);
        let flows = self.lab.first_flows(&first(prefix), count);
        flows.into_iter().map(way).collect()
    }

    fn all_ways(&self, world: &World) -> BTreeMap<u8, Ways> {
        world.routes.keys().map(|&p| (p, self.ways(p))).collect()
    }

    /// Time passes while a third of all buckets is in use.
    fn pass(&mut self, seconds: u64, world: &World) {
        for _ in 0..seconds.div_ceil(5) {
            for &prefix in world.routes.keys() {
                let word = self
                    .lab
                    .tables
                    .groups
                    .word(self.lab.lookup(ip(&first(prefix))));
                for bucket in (0..word.size()).step_by(3) {
                    self.stats.buckets().count(word.base() + bucket, 100);
                }
            }
            self.lab.pass(5 * SECOND);
        }
    }

    fn drain(&mut self, n: u8, back: bool) {
        let drain = Drain {
            nexthop: ip(&gateway(n)),
            port: None,
            back,
            over: 120,
            force: false,
            dry_run: false,
        };
        let (control, now) = (&mut self.lab.control, self.lab.now);
        let reply = self
            .lab
            .view
            .offline(|| control.answer(&Request::Drain(drain), now));
        // It may be the last one, or not drained at all: then nothing changes.
        assert!(matches!(reply, Reply::Ok(_) | Reply::Error(_)));
    }

    /// Something happens.
    fn something(&mut self, world: &mut World, random: &mut Random) {
        let n = 10 + random.below(6) as u8;
        match random.below(9) {
            0..=3 => {
                let prefix = 1 + random.below(5) as u8;
                let weights: u64 = 1 + random.below(3);
                let wanted = |n: u8| (n, 1 + (u64::from(n) % weights) as u32);
                let mut members: Vec<_> = (10..16).map(wanted).collect();
                random.shuffle(&mut members);
                members.truncate(1 + random.below(6) as usize);
                self.route(prefix, &members, random.below(2) == 0);
                world.routes.insert(prefix, members);
            }
            4 | 5 => {
                let up = world.down.remove(&n);
                if !up {
                    world.down.insert(n);
                }
                self.neighbor(n, up);
            }
            6 => {
                let up = world.cut.remove(&interface(n));
                if !up {
                    world.cut.insert(interface(n));
                }
                self.link(interface(n), up);
            }
            7 => self.drain(n, random.below(2) == 0),
            _ => self.pass(1 + random.below(60), world),
        }
    }

    fn age(&self) -> Duration {
        self.lab.now - self.started
    }

    fn image(&self) -> String {
        with_head(&self.lab.control.image(self.lab.now).body())
    }

    /// Another one on what this one has kept: routes, links and neighbors come in another order, and
    /// not all of them if it does not live long enough.
    fn restart(&self, world: &World, random: &mut Random, lives: usize) -> Router {
        let image = Image::read(&self.image()).expect("an image");
        let first_id = 1000 + random.below(1000) as u32;
        let mut next = Router::new(&self.config, first_id, self.age());
        next.lab.control.resume(&image, next.lab.now);
        let mut steps: Vec<u8> = (0..2).chain(10..16).chain(101..106).collect();
        random.shuffle(&mut steps);
        next.lab.connect();
        for step in steps.into_iter().take(lives) {
            match step {
                0 | 1 => {
                    let ifindex = [P0, P1][usize::from(step)];
                    next.link(ifindex, !world.cut.contains(&ifindex));
                }
                10..16 if !world.down.contains(&step) => next.neighbor(step, true),
                // What is dead may be unknown as well.
                10..16 if random.below(2) == 0 => next.neighbor(step, false),
                10..16 => {}
                _ => {
                    let prefix = step - 100;
                    if let Some(members) = world.routes.get(&prefix) {
                        let mut members = members.clone();
                        random.shuffle(&mut members);
                        next.route(prefix, &members, random.below(2) == 0);
                    }
                }
            }
            if random.below(3) == 0 {
                next.lab.pass(SECOND / 10);
            }
        }
        next
    }
}

fn rules(random: &mut Random) -> Resilient {
    let recovery = match random.below(4) {
        0 => None,
        i => Some(Recovery::ALL[i as usize - 1]),
    };
    Resilient {
        enable: random.below(2) == 0,
        recovery,
        hold_down: Duration::from_secs(random.below(2) * 30),
        active_timer: Duration::from_secs(40),
        deal: match random.below(5) {
            0 => DealBy::Rendezvous,
            _ => DealBy::RoundRobin,
        },
        deal_seed: Some(7),
        weight_error: 1_000_000,
        ..Resilient::default()
    }
}

#[test]
fn every_flow_goes_as_before_after_any_history() {
    let (mut watched, mut histories, mut ended) = (0, 0, 0);
    for seed in 1..=150 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut config = lab::config();
        config.resilient = rules(&mut random);
        let mut world = World::default();
        let mut router = Router::whole(&config);
        for _ in 0..random.below(25) {
            router.something(&mut world, &mut random);
        }
        let before = router.all_ways(&world);
        let mut last = router;
        for _ in 0..random.below(3) {
            // It is stopped again before all is back.
            let lives = random.below(13) as usize;
            last = last.restart(&world, &mut random, lives);
        }
        let mut next = last.restart(&world, &mut random, usize::MAX);
        let after = next.all_ways(&world);
        for (prefix, ways) in &before {
            let rules = &config.resilient;
            assert!(
                ways == &after[prefix],
                "seed {seed}: 10.{prefix}.0.0/16: {rules:?}"
            );
            watched += ways.len();
        }
        histories += usize::from(before.len() > 1);
        // The time to take up ends: nothing follows from that alone. (Idle buckets may move.)
        let now = next.lab.now;
        let image = next.lab.control.image(now);
        let at_once = config.resilient.rules(0).recovery == Recovery::Immediate;
        if image.drains.is_empty() && image.held.is_empty() && at_once && !config.resilient.enable {
            next.lab.pass(TAKE_UP);
            assert!(
                next.all_ways(&world) == before,
                "seed {seed}: {:?}",
                config.resilient
            );
            ended += 1;
        }
    }
    assert!(histories > 100 && watched > 100_000 && ended > 25);
}

#[test]
fn the_table_of_most_prefixes_is_the_default() {
    let mut router = Router::whole(&lab::config());
    let mut world = World::default();
    let pair = vec![(10, 1), (11, 1)];
    for prefix in 1..=4 {
        router.route(prefix, &pair, true);
        world.routes.insert(prefix, pair.clone());
    }
    // Another history leads to the same members.
    router.route(5, &[(10, 1), (11, 1), (12, 1)], true);
    router.route(5, &pair, true);
    world.routes.insert(5, pair);
    let before = router.all_ways(&world);
    assert_ne!(before[&5], before[&1], "histories differ");
    let tables = router.lab.control.image(router.lab.now).tables;
    assert_eq!(tables.len(), 2, "{tables:?}");
    assert!(tables[0].prefixes.is_empty());
    assert_eq!(tables[1].prefixes, [lab::prefix("10.5.0.0/16")]);
    let mut random = Random(5);
    let next = router.restart(&world, &mut random, usize::MAX);
    assert_eq!(next.all_ways(&world), before);
    let again = next.lab.control.image(next.lab.now).tables;
    assert_eq!(again, tables, "and is kept the same");
}

#[test]
fn kept_a_second_after_a_change_and_not_too_often() {
    let mut router = Router::whole(&lab::config());
    router.lab.control.keep_tables();
    let mut kept = Vec::new();
    let start = router.lab.now;
    for tenth in 0..200_u32 {
        if tenth == 0 || tenth == 20 || tenth == 30 {
            let n = 11 + (tenth / 10) as u8;
            router.route(1, &[(10, 1), (n, 1)], false);
        }
        for action in router.lab.control.actions() {
            if matches!(action, Action::Keep(_)) {
                kept.push((router.lab.now - start).as_millis());
            }
        }
        router.lab.pass(SECOND / 10);
    }
    assert_eq!(kept, [1000, 6000], "milliseconds after the start");
}

#[test]
fn what_does_not_fit_any_more_is_left_out() {
    let mut router = Router::whole(&lab::config());
    router.route(1, &[(10, 1), (11, 1), (12, 1)], true);
    router.route(1, &[(10, 1), (11, 1)], true);
    let image = Image::read(&router.image()).expect("an image");
    let ways = router.ways(1);
    let again = |config: &Config| {
        let mut next = Router::new(config, 50, Duration::ZERO);
        next.lab.control.resume(&image, next.lab.now);
        next.set_up();
        next.route(1, &[(10, 1), (11, 1)], true);
        next
    };
    let same = again(&lab::config());
    assert_eq!(same.ways(1), ways);
    // More buckets: the table is repeated.
    let mut wide = lab::config();
    wide.resilient.buckets = 256;
    let wide = again(&wide);
    assert_eq!(
        (wide.lab.size(&first(1)), wide.ways(1)),
        (256, ways.clone())
    );
    // Another name for the port, and a router whose number of buckets is fixed to fewer.
    let mut other = lab::config();
    other.ports[0].name = "uplink".into();
    assert_ne!(again(&other).ways(1), ways);
    let mut wider = image.clone();
    wider.buckets = 128;
    wider
        .tables
        .iter_mut()
        .for_each(|t| t.home = t.home.repeat(2));
    let mut fixed = lab::config();
    fixed.resilient.enable = true;
    let mut next = Router::new(&fixed, 50, Duration::ZERO);
    next.lab.control.resume(&wider, next.lab.now);
    next.set_up();
    next.route(1, &[(10, 1), (11, 1)], true);
    assert_eq!(next.lab.size(&first(1)), 64);
}

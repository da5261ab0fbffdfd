//! What hardware is told adds up to the plan, and the plan is what workers' tables say.

mod told;
mod verify;
mod whole;

use crate::lab;
use crate::lab::{Lab, P0, P1, ip, prefix};
use crate::oracle::Random;
use control::api::message::{HashChange, SetHash};
use control::api::{Reply, Request};
use control::config::{Answer, Config, Fpm};
use control::event::{Action, Event, Neighbor, NeighborState};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use control::offload::Update;
use control::prefix::Prefix;
use fastpath::hardware::agent::News;
use fastpath::hardware::compile::State;
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::hash::Policy;
use fastpath::table::{Adjacency, GroupId, PortId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A plan, change by change.
#[derive(Clone, Debug, Default)]
struct Told {
    ports: BTreeMap<PortId, Entry>,
    hops: HashMap<NexthopId, Adjacency>,
    groups: BTreeMap<GroupId, Arc<[NexthopId]>>,
    prefixes: BTreeMap<Prefix, Lead>,
    hash: Option<Policy>,
}

impl Told {
    fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Port(port, Some(entry)) => drop(self.ports.insert(port, entry)),
                Change::Port(port, None) => drop(self.ports.remove(&port)),
                Change::Nexthop(id, Some(a)) => drop(self.hops.insert(id, a)),
                Change::Nexthop(id, None) => drop(self.hops.remove(&id)),
                Change::Group(id, Some(buckets)) => drop(self.groups.insert(id, buckets)),
                Change::Group(id, None) => drop(self.groups.remove(&id)),
                Change::Prefix(address, length, lead) => {
                    let prefix = Prefix::new(address, length).expect("host bits are zero");
                    match lead {
                        Some(lead) => drop(self.prefixes.insert(prefix, lead)),
                        None => drop(self.prefixes.remove(&prefix)),
                    }
                }
                Change::Hash(policy) => self.hash = Some(*policy),
            }
        }
    }

    /// What each prefix comes to, whatever next hops are called.
    fn meaning(&self) -> BTreeMap<Prefix, (bool, Vec<Option<Adjacency>>)> {
        let of = |lead: &Lead| match lead {
            Lead::Kernel => (true, Vec::new()),
            Lead::Software => (false, Vec::new()),
            Lead::Group(id) => {
                let buckets = self.groups[id].iter();
                (false, buckets.map(|b| self.hops.get(b).copied()).collect())
            }
        };
        self.prefixes.iter().map(|(p, l)| (*p, of(l))).collect()
    }
}

struct World {
    lab: Lab,
    told: Told,
    number: u64,
    /// Whose MAC address a number of a next hop has ever led to.
    owners: HashMap<NexthopId, BTreeSet<[u8; 6]>>,
    changes: usize,
}

impl World {
    fn new(config: &Config) -> Self {
        let mut lab = Lab::dpu_of(config);
        lab.connect();
        lab.control.actions().for_each(drop);
        lab.control.offload();
        World {
            lab,
            told: Told::default(),
            number: 0,
            owners: HashMap::new(),
            changes: 0,
        }
    }

    /// Takes what hardware is told by now.
    fn follow(&mut self) {
        let actions: Vec<Action> = self.lab.control.actions().collect();
        for action in actions {
            if let Action::Offload(number, changes) = action {
                self.number += 1;
                assert_eq!(number, self.number, "in order");
                for change in &changes {
                    if let Change::Nexthop(id, Some(adjacency)) = change {
                        let mac = adjacency.header[..6].try_into().expect("six bytes");
                        self.owners.entry(*id).or_default().insert(mac);
                    }
                }
                self.changes += changes.len();
                self.told.take(changes);
            }
        }
    }

    fn say(&mut self, messages: Vec<Message>) {
        let mut batch = Batch::default();
        messages.into_iter().for_each(|m| batch.put(m));
        self.lab.batch(batch);
    }

    fn neighbor(&mut self, gateway: u16, state: NeighborState) {
        let (address, mac) = gateway_of(gateway);
        let neighbor = Neighbor {
            ifindex: port_of(gateway),
            address,
            mac: Some(mac).filter(|_| state.is_usable()),
            state,
            zebra: false,
        };
        let noticed = self.lab.noticed();
        self.lab.event(Event::Neighbor(neighbor, noticed));
    }

    /// The sum of what was told is the plan, and the plan is what workers do.
    fn check(&self, when: &str) {
        let mut whole = Told::default();
        whole.take(self.lab.control.hardware_plan());
        assert_eq!(self.told.ports, whole.ports, "{when}");
        assert_eq!(self.told.hash, whole.hash, "{when}");
        assert_eq!(self.told.meaning(), whole.meaning(), "{when}");
        let used: BTreeSet<NexthopId> = whole.groups.values().flat_map(|b| b.to_vec()).collect();
        assert!(self.told.hops.len() <= used.len(), "{when}: none is left");
        assert_eq!(
            self.told.groups.keys().collect::<Vec<_>>(),
            whole.groups.keys().collect::<Vec<_>>(),
            "{when}"
        );
        let tables = &self.lab.tables;
        for (prefix, (_, buckets)) in self.told.meaning() {
            let Lead::Group(id) = self.told.prefixes[&prefix] else {
                continue;
            };
            // Where no longer prefix is, packets to it meet its group.
            let inner = self.told.prefixes.keys();
            if !inner
                .clone()
                .any(|p| *p != prefix && p.contains(prefix.address()))
            {
                assert_eq!(self.lab.lookup(prefix.address()), id, "{when}: {prefix}");
            }
            let word = tables.groups.word(id);
            assert_eq!(word.size() as usize, buckets.len(), "{when}: {prefix}");
            for (n, told) in buckets.iter().enumerate() {
                let bucket = tables.groups.bucket(word.base() + n as u32);
                let slot = tables.adjacencies.slot(bucket.first);
                let forwards = slot.facts().is_forward();
                assert_eq!(forwards, told.is_some(), "{when}: {prefix}: bucket {n}");
                if let Some(told) = told {
                    assert_eq!(slot.facts().port(), told.port, "{when}: {prefix}");
                    assert_eq!(slot.macs(), told.header[..12], "{when}: {prefix}");
                }
            }
        }
        for (id, macs) in &self.owners {
            assert_eq!(macs.len(), 1, "{when}: {id:?} was another's");
        }
    }
}

fn port_of(gateway: u16) -> u32 {
    [P0, P1][usize::from(gateway) % 2]
}

fn gateway_of(gateway: u16) -> (IpAddr, [u8; 6]) {
    let [high, low] = gateway.to_be_bytes();
    let address = IpAddr::from([172, 16, high, low]);
    (address, [2, 0, 0, 7, high, low])
}

fn via(gateways: &[(u16, u8)]) -> Via {
    let hop = |gateway: u16| Hop {
        gateway: Some(gateway_of(gateway).0),
        ifindex: port_of(gateway),
        onlink: false,
        encap: false,
    };
    match gateways {
        [(one, _)] => Via::Hop(hop(*one)),
        _ => Via::Hops(
            gateways
                .iter()
                .map(|(g, w)| (hop(*g), u32::from(*w)))
                .collect(),
        ),
    }
}

fn bgp(to: Prefix, via: Via) -> Message {
    let route = Route {
        kind: RouteKind::Unicast,
        protocol: 186,
        via,
        prefsrc: None,
        mtu: 0,
    };
    Message::Route(to, route)
}

fn config(answer: Answer) -> Config {
    let fpm = Fpm {
        answer,
        restart_hold: Duration::ZERO,
        ..lab::config().fpm
    };
    Config {
        fpm,
        ..lab::config()
    }
}

fn random_prefix(random: &mut Random) -> Prefix {
    let n = random.below(40) as u8;
    match n % 4 {
        0 => Prefix::containing(IpAddr::from([10, n, 0, 0]), 14),
        1 => Prefix::containing(IpAddr::from([10, n / 4, n, 0]), 24),
        2 => Prefix::containing(IpAddr::from([10, n / 4, n, n]), 32),
        _ => Prefix::containing(IpAddr::from([0x2001, 0xdb8, n.into(), 0, 0, 0, 0, 0]), 48),
    }
    .expect("length")
}

fn step(world: &mut World, random: &mut Random) -> String {
    let gateway = random.below(12) as u16;
    match random.below(12) {
        0..=4 => {
            let n = 1 + random.below(4);
            let mut all: BTreeMap<u16, u8> = BTreeMap::new();
            for _ in 0..n {
                all.insert(random.below(12) as u16, 1 + random.below(3) as u8);
            }
            let all: Vec<(u16, u8)> = all.into_iter().collect();
            let to: Vec<Prefix> = (0..1 + random.below(5))
                .map(|_| random_prefix(random))
                .collect();
            world.say(to.iter().map(|p| bgp(*p, via(&all))).collect());
            format!("{to:?} by {all:?}")
        }
        5 => {
            let to = random_prefix(random);
            world.say(vec![Message::DelRoute(to)]);
            world.lab.pass(Duration::from_millis(100));
            format!("no {to}")
        }
        6 => {
            let to = random_prefix(random);
            let route = Route {
                kind: RouteKind::Blackhole,
                protocol: 186,
                via: Via::Nothing,
                prefsrc: None,
                mtu: 0,
            };
            world.say(vec![Message::Route(to, route)]);
            format!("{to} to nowhere")
        }
        7 | 8 => {
            let states = [
                NeighborState::Reachable,
                NeighborState::Failed,
                NeighborState::Reachable,
                NeighborState::Incomplete,
            ];
            let state = states[random.below(4)];
            world.neighbor(gateway, state);
            format!("{gateway} {state:?}")
        }
        9 => {
            let up = random.one_of(2);
            let (ifindex, name) = [(P0, "p0"), (P1, "p1")][random.below(2)];
            world.lab.link(ifindex, name, up);
            format!("{name} {up}")
        }
        10 => {
            let address = format!("10.{}.0.1", random.below(10));
            match random.one_of(2) {
                true => world.lab.address(P0, &address, 24),
                false => world.lab.address_gone(P0, &address, 24),
            }
            format!("own address {address}")
        }
        _ => {
            let seed = Some(random.below(5) as u64);
            let change = HashChange {
                seed,
                ..HashChange::default()
            };
            let wanted = SetHash {
                change,
                ..SetHash::default()
            };
            let answer = world
                .lab
                .control
                .answer(&Request::SetHash(wanted), world.lab.now);
            assert!(matches!(answer, Reply::Ok(_)), "{answer:?}");
            world.lab.pass(Duration::from_secs(1));
            format!("seed {seed:?}")
        }
    }
}

#[test]
fn what_is_told_adds_up_to_the_plan_and_to_workers_tables() {
    let mut least = usize::MAX;
    for seed in 1..=20_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut world = World::new(&config(Answer::Trap));
        for gateway in 0..12 {
            world.neighbor(gateway, NeighborState::Reachable);
        }
        for n in 0..60 {
            let what = step(&mut world, &mut random);
            world.follow();
            world.check(&format!("seed {seed}, step {n}: {what}"));
        }
        least = least.min(world.changes);
    }
    assert!(least > 100, "{least}");
}

/// A commit that changes nothing for hardware tells it nothing.
#[test]
fn nothing_is_told_twice() {
    let mut world = World::new(&config(Answer::Trap));
    world.neighbor(0, NeighborState::Reachable);
    world.neighbor(1, NeighborState::Reachable);
    world.say(vec![bgp(prefix("10.1.0.0/16"), via(&[(0, 1), (1, 1)]))]);
    world.follow();
    let changes = world.changes;
    world.neighbor(0, NeighborState::Stale);
    world.neighbor(0, NeighborState::Reachable);
    world.lab.pass(Duration::from_secs(30));
    world
        .lab
        .neighbor(P0, "172.16.99.99", NeighborState::Failed, 9);
    world.follow();
    assert_eq!(world.changes, changes);
    // A next hop that dies is one change, and one for each group's table.
    world.neighbor(0, NeighborState::Failed);
    world.follow();
    assert!(
        (2..=4).contains(&(world.changes - changes)),
        "{}",
        world.changes - changes
    );
    world.check("dead");
}

/// The numbers of next hops that control has forgotten are others', for hardware they are not.
#[test]
fn a_forgotten_number_is_not_anothers() {
    let mut world = World::new(&config(Answer::Trap));
    let many = |from: u16| {
        (from..from + 3000).map(|n| {
            let to = Prefix::host(IpAddr::from([11, 0, (n >> 8) as u8, n as u8]));
            (n, to)
        })
    };
    for round in 0..3_u16 {
        let from = round * 3000;
        for (n, _) in many(from) {
            world.neighbor(n, NeighborState::Reachable);
        }
        world.say(many(from).map(|(n, to)| bgp(to, via(&[(n, 1)]))).collect());
        world.lab.pass(Duration::from_millis(10));
        world.follow();
        world.check("all there");
        world.say(many(from).map(|(_, to)| Message::DelRoute(to)).collect());
        for (n, _) in many(from) {
            let (address, _) = gateway_of(n);
            world.lab.neighbor_gone(port_of(n), &address.to_string());
        }
        world.lab.pass(Duration::from_secs(4000));
        world.follow();
        world.check("all gone");
    }
    let (remembered, _) = world.lab.control.remembered();
    assert!(remembered < 8000, "some were forgotten: {remembered}");
}

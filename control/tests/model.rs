//! Control against a router model that knows nothing of groups: random routes, links, neighbors,
//! addresses and resyncs; after every event each destination leaves where the model says, with the
//! shares that it says, and no flow of a member that stays has moved.

use crate::lab;
use crate::lab::zebra::say;
use crate::lab::{Lab, P0, P1, ip};
use control::event::NeighborState;
use control::fpm::decode::{Hop, Message, Object, Route, RouteKind, Via};
use control::prefix::Prefix;
use fastpath::table::{Disposition, DropReason, PortId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn yes(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// A gateway: the interface and the last byte of 192.0.2.X, which is its MAC address's last too.
type Gateway = (u32, u8);

/// What a route is to do: weights by gateway, or drop.
type Wish = Option<BTreeMap<Gateway, u32>>;

#[derive(Default)]
struct Model {
    routes: BTreeMap<Prefix, Wish>,
    links: BTreeSet<u32>,
    resolved: BTreeSet<Gateway>,
    /// By destination: whose flow it is while all are usable, as far as that is known.
    own: BTreeMap<&'static str, Vec<Option<Gateway>>>,
}

impl Model {
    fn usable(&self, wish: &BTreeMap<Gateway, u32>) -> BTreeMap<Gateway, u32> {
        let up = |g: &Gateway| self.links.contains(&g.0) && self.resolved.contains(g);
        wish.iter()
            .filter(|(g, _)| up(g))
            .map(|(g, w)| (*g, *w))
            .collect()
    }

    fn matching(&self, destination: std::net::IpAddr) -> Option<Prefix> {
        let inside = self.routes.keys().filter(|p| p.contains(destination));
        inside.max_by_key(|p| p.length()).copied()
    }

    /// Flows are with their own members as long as these are usable; what a route that changes
    /// gives to those that are not, nobody sees.
    fn learn(&mut self, destination: &'static str, flows: &[Option<Gateway>], is_new: bool) {
        let Some(Some(wish)) = self.longest(ip(destination)) else {
            self.own.remove(destination);
            return;
        };
        let usable = self.usable(wish);
        let is_whole = usable.len() == wish.len();
        let mut own = self.own.remove(destination).filter(|_| !is_new);
        for (own, flow) in own.iter_mut().flatten().zip(flows) {
            let is_away = own.is_some_and(|g| !usable.contains_key(&g));
            if is_whole || own.is_some() && !is_away {
                *own = *flow;
            }
        }
        let own = own.unwrap_or_else(|| match is_whole {
            true => flows.to_vec(),
            false => vec![None; flows.len()],
        });
        self.own.insert(destination, own);
    }

    fn longest(&self, destination: std::net::IpAddr) -> Option<&Wish> {
        self.routes.get(&self.matching(destination)?)
    }
}

fn hop(gateway: Gateway) -> Hop {
    Hop {
        gateway: Some(ip(&format!("192.0.2.{}", gateway.1))),
        ifindex: gateway.0,
        onlink: false,
        encap: false,
    }
}

fn prefixes() -> Vec<Prefix> {
    [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.1.0/24",
        "10.1.1.1/32",
        "10.2.0.0/16",
    ]
    .map(lab::prefix)
    .to_vec()
}

const DESTINATIONS: [&str; 6] = [
    "203.0.113.1",
    "10.9.9.9",
    "10.1.9.9",
    "10.1.1.9",
    "10.1.1.1",
    "10.2.0.1",
];

/// So many flows are watched: no table of a history has more buckets.
const FLOWS: u32 = 128;

/// Where each flow goes: the gateway, or nothing.
fn taken(lab: &Lab, destination: &str) -> Vec<Option<Gateway>> {
    let gateway = |id| {
        let slot = lab.tables.adjacencies.slot(id);
        let port = slot.facts().port();
        let header = slot.header();
        slot.facts()
            .is_forward()
            .then(|| (if port == PortId(0) { P0 } else { P1 }, header[5]))
    };
    let flows = lab.first_flows(destination, FLOWS);
    flows.into_iter().map(gateway).collect()
}

fn check(lab: &Lab, model: &Model, before: &[Before], is_route: bool, when: &str) {
    for (destination, (matched, before)) in DESTINATIONS.iter().zip(before) {
        let flows = taken(lab, destination);
        let disposition = {
            let id = lab.flows(destination)[0];
            lab.tables.adjacencies.slot(id).facts().disposition()
        };
        let expected = match model.longest(ip(destination)) {
            None => Disposition::Drop(DropReason::NoRoute),
            Some(None) => Disposition::Drop(DropReason::Blackhole),
            Some(Some(wish)) if model.usable(wish).is_empty() => {
                Disposition::Drop(DropReason::NexthopDown)
            }
            Some(Some(_)) => Disposition::Forward,
        };
        assert_eq!(disposition, expected, "{when}: {destination}");
        if let (Some(Some(wish)), Disposition::Forward) = (model.longest(ip(destination)), expected)
        {
            let usable = model.usable(wish);
            let total: u32 = usable.values().sum();
            for (gateway, weight) in &usable {
                let has = flows.iter().filter(|f| **f == Some(*gateway)).count();
                let due = f64::from(FLOWS) * f64::from(*weight) / f64::from(total);
                let size = lab.size(destination);
                assert!(size <= FLOWS, "{when}: {size} buckets");
                let bucket = f64::from(FLOWS / size);
                assert!(
                    (has as f64 - due).abs() <= 2.0 * bucket,
                    "{when}: {destination}: {has} of {due}"
                );
            }
            let alien = flows.iter().flatten().find(|g| !usable.contains_key(g));
            assert_eq!(alien, None, "{when}: {destination}");
        }
        if *matched != model.matching(ip(destination)) {
            // Another route's flows.
            continue;
        }
        // Flows move only off those that left, onto those that came, or to keep the shares.
        let held = |flows: &[Option<Gateway>]| {
            let mut held: BTreeMap<Option<Gateway>, usize> = BTreeMap::new();
            flows.iter().for_each(|f| *held.entry(*f).or_default() += 1);
            held
        };
        let (was, is) = (held(before), held(&flows));
        let moves = || before.iter().zip(&flows).filter(|(a, b)| a != b);
        let lost: usize = was
            .iter()
            .map(|(g, n)| n.saturating_sub(is.get(g).copied().unwrap_or(0)))
            .sum();
        let about = || format!("{when}: {destination}\n{was:?}\n{is:?}");
        let came = is.keys().any(|g| !was.contains_key(g));
        if is_route || !came {
            assert_eq!(moves().count(), lost, "{}", about());
        }
        // Whose own member can be used is with it, and does not move when others return.
        let wish = model.longest(ip(destination));
        let usable = wish.and_then(|w| w.as_ref()).map(|w| model.usable(w));
        let own = model.own.get(destination).filter(|_| !is_route);
        for (f, own) in own.into_iter().flatten().enumerate() {
            let is_there = |g: &Gateway| usable.as_ref().is_some_and(|u| u.contains_key(g));
            if own.as_ref().is_some_and(is_there) {
                assert_eq!(flows[f], *own, "{}: flow {f}", about());
            }
        }
    }
}

/// The prefix that matched a destination, and where its flows went.
type Before = (Option<Prefix>, Vec<Option<Gateway>>);

fn all_taken(lab: &Lab, model: &Model) -> Vec<Before> {
    let of = |d: &&str| (model.matching(ip(d)), taken(lab, d));
    DESTINATIONS.iter().map(of).collect()
}

fn wish(random: &mut Random) -> Wish {
    if random.yes(8) {
        return None;
    }
    let mut wish = BTreeMap::new();
    for _ in 0..1 + random.below(4) {
        let gateway = ([P0, P1][random.below(2)], 10 + random.below(4) as u8);
        wish.insert(gateway, if random.yes(4) { 3 } else { 1 });
    }
    Some(wish)
}

/// zebra's messages for a route, by objects or inline, in any order of objects.
fn messages(random: &mut Random, prefix: Prefix, wish: &Wish, next: &mut u32) -> Vec<Message> {
    let mut all = Vec::new();
    if random.yes(3) {
        all.push(Message::DelRoute(prefix));
    }
    let mut route = Route {
        kind: RouteKind::Unicast,
        protocol: 186,
        via: Via::Nothing,
        prefsrc: None,
        mtu: 0,
    };
    match wish {
        None => route.kind = RouteKind::Blackhole,
        Some(wish) if random.yes(2) => {
            route.via = Via::Hops(wish.iter().map(|(g, w)| (hop(*g), *w)).collect());
        }
        Some(wish) => {
            // New ids for every change, as zebra does.
            *next += 10;
            let ids = (*next + 1..).zip(wish);
            let members: Vec<(u32, u32)> = ids.clone().map(|(id, (_, w))| (id, *w)).collect();
            let singles = ids.map(|(id, (g, _))| Message::Nexthop(id, Object::Hop(hop(*g))));
            let group = Object::Group {
                members: members.into(),
                resilient: None,
            };
            all.push(Message::Nexthop(*next, group));
            all.extend(singles);
            route.via = Via::Id(*next);
        }
    }
    let at = random.below(all.len() + 1);
    let deletes = all.iter().any(|m| matches!(m, Message::DelRoute(_)));
    let at = if deletes { at.max(1) } else { at };
    all.insert(at, Message::Route(prefix, route));
    all
}

fn history(seed: u64) {
    let mut random = Random(seed);
    let mut config = lab::config();
    // Every other history sees tables grow: 10 % of a share take up to 128 buckets here.
    config.resilient.weight_error = [1_000_000, 100_000][seed as usize % 2];
    // The naive router keeps no route that is deleted: `bridge.rs` is about that.
    config.fpm.restart_hold = Duration::ZERO;
    let mut lab = Lab::new(&config);
    let mut model = Model::default();
    let mut next = 100;
    lab.connect();
    for (ifindex, name) in [(P0, "p0"), (P1, "p1")] {
        lab.link(ifindex, name, true);
        model.links.insert(ifindex);
        for n in 10..14 {
            lab.neighbor(
                ifindex,
                &format!("192.0.2.{n}"),
                NeighborState::Reachable,
                n,
            );
            model.resolved.insert((ifindex, n));
        }
    }
    for step in 0..120 {
        let before = all_taken(&lab, &model);
        let kind = random.below(10);
        let is_route = kind < 5;
        let what = match kind {
            0..=4 => {
                let prefix = prefixes()[random.below(6)];
                if random.yes(6) {
                    model.routes.remove(&prefix);
                    say(&mut lab, vec![Message::DelRoute(prefix)]);
                    format!("- {prefix}")
                } else {
                    let wish = wish(&mut random);
                    let all = messages(&mut random, prefix, &wish, &mut next);
                    say(&mut lab, all);
                    let what = format!("+ {prefix} {wish:?}");
                    model.routes.insert(prefix, wish);
                    what
                }
            }
            5 | 6 => {
                let (ifindex, name) = [(P0, "p0"), (P1, "p1")][random.below(2)];
                let up = !model.links.remove(&ifindex);
                if up {
                    model.links.insert(ifindex);
                }
                lab.link(ifindex, name, up);
                format!("{name} {up}")
            }
            _ => {
                let gateway = ([P0, P1][random.below(2)], 10 + random.below(4) as u8);
                let address = format!("192.0.2.{}", gateway.1);
                let up = !model.resolved.remove(&gateway);
                if up {
                    model.resolved.insert(gateway);
                    lab.neighbor(gateway.0, &address, NeighborState::Stale, gateway.1);
                } else if random.yes(2) {
                    lab.neighbor_gone(gateway.0, &address);
                } else {
                    lab.neighbor(gateway.0, &address, NeighborState::Failed, 0);
                }
                format!("{gateway:?} {up}")
            }
        };
        let when = format!("seed {seed}, step {step}: {what}");
        check(&lab, &model, &before, is_route, &when);
        let after = all_taken(&lab, &model);
        for (destination, ((matched, _), (now, flows))) in
            DESTINATIONS.iter().zip(before.iter().zip(&after))
        {
            model.learn(destination, flows, is_route || matched != now);
        }
    }
    // Everything goes, and nothing is left behind.
    let all = prefixes().into_iter().map(Message::DelRoute).collect();
    say(&mut lab, all);
    assert_eq!(lab.groups().len(), 0, "seed {seed}");
}

#[test]
fn random_histories() {
    for seed in 1..=150 {
        history(seed);
    }
}

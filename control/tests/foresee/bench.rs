//! A router with eight next hops, three routes, flows and traffic by bucket; and changes of it.

use crate::lab::sampled::Sampled;
use crate::lab::{Lab, P0, P1, ip, prefix};
use control::activity::INTERVAL;
use control::api::message::{Drain, Foreseen, ResilientChanged, SetResilient, WhatIf};
use control::api::moves::Place;
use control::api::{Reply, Request, Response};
use control::config::Resilient;
use control::event::NeighborState;
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Eight next hops, four on each uplink.
pub const GATEWAYS: [u8; 8] = [10, 11, 12, 13, 20, 21, 22, 23];
pub const ROUTES: [&str; 3] = ["10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16"];

/// A route's members and their weights.
pub type Members = BTreeMap<u8, u32>;
/// Where each bucket of a group leads.
pub type Table = Vec<Place>;

pub struct Bench {
    pub on: Sampled,
    pub routes: Vec<Members>,
    pub failed: BTreeSet<u8>,
    state: u64,
}

pub fn via(gateway: u8) -> IpAddr {
    ip(&format!("192.0.2.{gateway}"))
}

pub fn interface(gateway: u8) -> (u32, &'static str) {
    match gateway < 20 {
        true => (P0, "up1"),
        false => (P1, "up2"),
    }
}

impl Bench {
    pub fn new(rules: Resilient, seed: u64) -> Self {
        let mut config = crate::lab::config();
        config.resilient = rules;
        let on = Sampled::over(Lab::dpu_of(&config), 120, |flow| {
            [10, 7 + (flow % 3) as u8, 0, 1]
        });
        let mut bench = Bench {
            on,
            routes: vec![
                BTreeMap::from([(10, 1), (20, 1)]),
                BTreeMap::from([(10, 1), (11, 2), (21, 1)]),
                GATEWAYS.map(|g| (g, 1)).into(),
            ],
            failed: BTreeSet::new(),
            state: seed,
        };
        bench.on.lab.connect();
        for gateway in GATEWAYS {
            bench.neighbor(gateway, true);
        }
        for route in 0..ROUTES.len() {
            bench.route(route);
        }
        bench
    }

    pub fn below(&mut self, n: usize) -> usize {
        let next = self.state.wrapping_mul(6_364_136_223_846_793_005);
        self.state = next.wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % n
    }

    pub fn neighbor(&mut self, gateway: u8, there: bool) {
        let state = match there {
            true => NeighborState::Reachable,
            false => NeighborState::Failed,
        };
        let (ifindex, address) = (interface(gateway).0, via(gateway).to_string());
        self.on.lab.neighbor(ifindex, &address, state, gateway);
    }

    pub fn route(&mut self, number: usize) {
        let hop = |(&gateway, &weight): (&u8, &u32)| {
            let hop = Hop {
                gateway: Some(via(gateway)),
                ifindex: interface(gateway).0,
                onlink: false,
                encap: false,
            };
            (hop, weight)
        };
        let route = Route {
            kind: RouteKind::Unicast,
            protocol: 186,
            via: Via::Hops(self.routes[number].iter().map(hop).collect()),
            prefsrc: None,
            mtu: 0,
        };
        let mut batch = Batch::default();
        batch.put(Message::Route(prefix(ROUTES[number]), route));
        self.on.lab.batch(batch);
    }

    /// Time passes; some buckets of the routes' groups are in use.
    pub fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            for route in ROUTES {
                let to = prefix(route).address();
                let word = self.on.lab.tables.groups.word(self.on.lab.lookup(to));
                for bucket in (0..word.size()).filter(|b| b % 5 < 2) {
                    let counted = self.on.stats[0].buckets();
                    counted.count(word.base() + bucket, 100);
                }
            }
            self.on.lab.pass(INTERVAL);
            self.on.lab.pass(Duration::from_secs(1) - INTERVAL);
        }
        while self.on.lab.control.next_deadline() <= Some(self.on.lab.now) {
            self.on.lab.pass(Duration::ZERO);
        }
    }

    /// The group of each route and where its buckets lead, by the tables that workers read.
    pub fn tables(&self) -> BTreeMap<&'static str, (u32, Table)> {
        let all = ROUTES.map(|route| {
            let to = prefix(route).address();
            let word = self.on.lab.tables.groups.word(self.on.lab.lookup(to));
            let owners = self.on.lab.first_flows(&to.to_string(), word.size());
            let place = |id| {
                let slot = self.on.lab.tables.adjacencies.slot(id);
                let gateway = slot.facts().is_forward().then(|| slot.header()[5]);
                Place {
                    via: gateway.map(via),
                    port: gateway.map(|g| interface(g).1.into()),
                }
            };
            let id = self.on.lab.lookup(to).0;
            (route, (id, owners.into_iter().map(place).collect()))
        });
        all.into()
    }

    /// The whole answer, and of how many pages it was.
    pub fn ask(&mut self, query: &WhatIf) -> (Foreseen, usize) {
        let mut query = query.clone();
        let mut all: Option<Foreseen> = None;
        for pages in 1.. {
            let request = Request::WhatIf(Box::new(query.clone()));
            let Response::WhatIf(page) = self.on.lab.ask(&request) else {
                panic!("foreseen");
            };
            query.after = page.next;
            let all = all.get_or_insert_default();
            all.groups += page.groups;
            all.groups_changed += page.groups_changed;
            all.sums += page.sums;
            all.each.extend(page.each.clone());
            if page.next.is_none() {
                return (std::mem::take(all), pages);
            }
        }
        unreachable!()
    }

    pub fn request(&mut self, request: &Request) -> Response {
        let (control, now) = (&mut self.on.lab.control, self.on.lab.now);
        let reply = self.on.lab.view.offline(|| control.answer(request, now));
        match reply {
            Reply::Ok(response) => response,
            Reply::Error(error) => panic!("{error}"),
        }
    }

    /// Draws a change: its words, and the route that it is about alone. What it makes of members is
    /// noted; [`Bench::make`] makes it.
    pub fn draw(&mut self, sizes: &[u32]) -> Option<(String, Option<usize>)> {
        let gateway = GATEWAYS[self.below(8)];
        let at = format!("{}@{}", via(gateway), interface(gateway).1);
        let route = self.below(ROUTES.len());
        let is_in = self.routes[route].contains_key(&gateway);
        let anywhere = self.routes.iter().any(|r| r.contains_key(&gateway));
        let living =
            |r: &Members, failed: &BTreeSet<u8>| r.keys().filter(|g| !failed.contains(*g)).count();
        Some(match self.below(9) {
            0 if anywhere && self.failed.len() < 4 && self.failed.insert(gateway) => {
                (format!("down:{at}"), None)
            }
            1 | 2 if anywhere && self.failed.remove(&gateway) => (format!("up:{at}"), None),
            // Another weight, or one member more.
            3 if !self.failed.contains(&gateway) => {
                let weight = 1 + self.below(3) as u32;
                self.routes[route].insert(gateway, weight);
                (format!("add:{at}*{weight}"), Some(route))
            }
            4 if is_in && living(&self.routes[route], &self.failed) > 2 => {
                self.routes[route].remove(&gateway);
                (format!("remove:{at}"), Some(route))
            }
            5 if anywhere && self.routes.iter().all(|r| r.len() > 2) => {
                self.routes.iter_mut().for_each(|r| _ = r.remove(&gateway));
                (format!("remove:{at}"), None)
            }
            6 if anywhere => (format!("drain:{at}*{}", [0, 40][self.below(2)]), None),
            7 if anywhere => (format!("undrain:{at}"), None),
            8 if !sizes.is_empty() => (format!("buckets={}", sizes[self.below(sizes.len())]), None),
            _ => return None,
        })
    }

    pub fn make(&mut self, change: &str) {
        let (kind, what) = change.split_once([':', '=']).expect("a change");
        let (place, number) = what.split_once('*').unwrap_or((what, ""));
        let gateway = |place: &str| -> u8 {
            let address = place.split('@').next().expect("an address");
            address
                .rsplit('.')
                .next()
                .expect("a byte")
                .parse()
                .expect("a byte")
        };
        match kind {
            "up" | "down" => self.neighbor(gateway(place), kind == "up"),
            "add" | "remove" => (0..ROUTES.len()).for_each(|r| self.route(r)),
            "drain" | "undrain" => {
                let gateway = gateway(place);
                self.request(&Request::Drain(Drain {
                    nexthop: via(gateway),
                    port: Some(interface(gateway).1.into()),
                    over: number.parse().unwrap_or_default(),
                    force: true,
                    back: kind == "undrain",
                    dry_run: false,
                }));
            }
            _ => _ = self.resize(what, false),
        }
    }

    pub fn resize(&mut self, buckets: &str, dry_run: bool) -> ResilientChanged {
        let settings = [("buckets".to_string(), buckets.to_string())];
        let settings = settings.into();
        match self.request(&Request::SetResilient(SetResilient { settings, dry_run })) {
            Response::SetResilient(changed) => changed,
            other => panic!("{other:?}"),
        }
    }
}

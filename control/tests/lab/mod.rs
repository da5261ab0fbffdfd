//! The router of the recordings: three ports, two leaves, over naive tables.
#![allow(dead_code, reason = "the benchmark uses a part of it")]

pub mod answers;
pub mod bench;
pub mod flat;
pub mod narrow;
pub mod sampled;
pub mod zebra;

use control::api::message::{Group, Route, RouteQuery, Routes};
use control::api::{Reply, Request, Response};
use control::config::{Config, Fpm, Kernel, Port};
use control::control::Control;
use control::event::{Event, Link, Neighbor, NeighborState, Noticed};
use control::fpm::frame::Frames;
use control::fpm::{Batch, FpmEvent};
use control::prefix::Prefix;
use fastpath::hash::Settings;
use fastpath::table::naive::NaiveLpm;
use fastpath::table::{AdjacencyId, GroupId, LpmWrite, PortId, Tables, View, Writer};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Where the recorded streams are.
pub const STREAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fpm");

/// The interface indexes of the recordings.
pub const P0: u32 = 2;
pub const P1: u32 = 3;
pub const PODS: u32 = 4;
/// The fake gateway of BGP unnumbered.
pub const FAKE: &str = "169.254.0.1";

/// What the leaves answer to on p0 and p1.
pub const LEAVES: [(u32, &[&str]); 2] = [
    (
        P0,
        &[
            "169.254.0.0",
            "fd00:254::a",
            "fe80::ff:fe00:2",
            "172.31.0.1",
        ],
    ),
    (P1, &["169.254.0.2", "fd00:254:0:1::a", "fe80::ff:fe00:102"]),
];

/// Where each of 64 flows to a prefix goes, by prefix.
pub type Flows = BTreeMap<String, Vec<Option<PortId>>>;

pub struct Lab<L: LpmWrite = NaiveLpm> {
    pub control: Control<L>,
    pub tables: Arc<Tables>,
    pub view: fastpath::rcu::Reader<View<L>>,
    pub now: Instant,
    connection: u64,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

pub fn prefix(text: &str) -> Prefix {
    text.parse().expect("prefix")
}

pub fn port(name: &str, kernel: Kernel) -> Port {
    Port {
        name: name.into(),
        device: None,
        kernel,
        mac: None,
        mtu: None,
        vlan: 0,
        side: control::config::offload::Side::Wire,
    }
}

pub fn config() -> Config {
    let netdev = |name: &str| Kernel::Netdev(name.into());
    let fpm = Fpm {
        settle: Duration::from_secs(5),
        ..Fpm::default()
    };
    Config {
        ports: vec![
            port("up1", netdev("p0")),
            port("up2", netdev("p1")),
            port("host0", netdev("pods0")),
        ],
        fpm,
        ..Config::default()
    }
}

impl Lab {
    pub fn new(config: &Config) -> Self {
        Lab::sized(config, Tables::new(4096, 65_536, 4096))
    }

    pub fn sized(config: &Config, tables: Tables) -> Self {
        Lab::over(config, tables, NaiveLpm::new, Instant::now)
    }

    /// The recordings' router with all links up and all neighbors resolved.
    pub fn dpu() -> Self {
        Lab::dpu_of(&config())
    }

    /// The same by another configuration.
    pub fn dpu_of(config: &Config) -> Self {
        let mut lab = Lab::new(config);
        for (ifindex, name) in [(1, "lo"), (P0, "p0"), (P1, "p1"), (PODS, "pods0")] {
            lab.link(ifindex, name, true);
        }
        for (ifindex, address, length) in [
            (1, "127.0.0.1", 8),
            (1, "10.0.0.1", 32),
            (1, "10.96.0.10", 32),
            (1, "fd00:0:0:1::1", 128),
            (P0, "169.254.0.1", 31),
            (P0, "fd00:254::b", 127),
            (P0, "fe80::1", 64),
            (P1, "169.254.0.3", 31),
            (P1, "fd00:254:0:1::b", 127),
            (PODS, "10.244.1.1", 24),
            (PODS, "fd00:244:1::1", 64),
        ] {
            lab.address(ifindex, address, length);
        }
        lab.leaf(P0, true);
        lab.leaf(P1, true);
        lab
    }
}

impl<L: LpmWrite> Lab<L> {
    /// Over lookups made by `lpm`, with a clock for the ends of repairs.
    pub fn over(
        config: &Config,
        tables: Tables,
        lpm: impl Fn() -> L,
        clock: fn() -> Instant,
    ) -> Self {
        let tables = Arc::new(tables);
        let view = || View::new(lpm(), Settings::default());
        let (writer, registry) = Writer::new(Arc::clone(&tables), view(), view());
        let now = clock();
        let noticed = Noticed {
            at: now,
            time: SystemTime::UNIX_EPOCH,
        };
        let control = Control::new(config, &[], writer, noticed, clock);
        Lab {
            control,
            tables,
            view: registry.reader(),
            now,
            connection: 0,
        }
    }

    pub fn noticed(&self) -> Noticed {
        Noticed {
            at: self.now,
            time: SystemTime::UNIX_EPOCH,
        }
    }

    /// One event; workers are at rest between events, and the down mask is clear after each.
    pub fn event(&mut self, event: Event) {
        let (control, now) = (&mut self.control, self.now);
        self.view.offline(|| control.handle(event, now));
        while self.control.next_deadline().is_some_and(|at| at <= now) {
            let control = &mut self.control;
            self.view.offline(|| control.tick(now));
        }
        assert!(!self.tables.down.any(), "a repair is complete");
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        let (control, now) = (&mut self.control, self.now);
        self.view.offline(|| control.tick(now));
    }

    pub fn link(&mut self, ifindex: u32, name: &str, carrier: bool) {
        let link = Link {
            ifindex,
            name: name.into(),
            mac: Some([2, 0, 0, 0, 0xff, ifindex as u8]),
            mtu: 1500,
            admin_up: true,
            carrier,
        };
        self.event(Event::Link(link, self.noticed()));
    }

    pub fn address(&mut self, ifindex: u32, address: &str, prefix_len: u8) {
        self.event(Event::Address {
            ifindex,
            address: ip(address),
            prefix_len,
        });
    }

    pub fn address_gone(&mut self, ifindex: u32, address: &str, prefix_len: u8) {
        self.event(Event::AddressGone {
            ifindex,
            address: ip(address),
            prefix_len,
        });
    }

    pub fn neighbor(&mut self, ifindex: u32, address: &str, state: NeighborState, mac: u8) {
        self.neighbor_by(ifindex, address, state, mac, false);
    }

    pub fn neighbor_by(
        &mut self,
        ifindex: u32,
        address: &str,
        state: NeighborState,
        mac: u8,
        zebra: bool,
    ) {
        let neighbor = Neighbor {
            ifindex,
            address: ip(address),
            mac: Some([2, 0, 0, 0, ifindex as u8, mac]).filter(|_| state.is_usable()),
            state,
            zebra,
        };
        self.event(Event::Neighbor(neighbor, self.noticed()));
    }

    pub fn neighbor_gone(&mut self, ifindex: u32, address: &str) {
        self.event(Event::NeighborGone {
            ifindex,
            address: ip(address),
            noticed: self.noticed(),
        });
    }

    /// A leaf with all its addresses, and zebra's fake gateway for it, appears or goes.
    pub fn leaf(&mut self, ifindex: u32, there: bool) {
        for (_, addresses) in LEAVES.iter().filter(|l| l.0 == ifindex) {
            for address in *addresses {
                match there {
                    true => self.neighbor(ifindex, address, NeighborState::Reachable, 2),
                    false => self.neighbor_gone(ifindex, address),
                }
            }
        }
        match there {
            true => self.neighbor_by(ifindex, FAKE, NeighborState::Permanent, 2, true),
            false => self.neighbor_gone(ifindex, FAKE),
        }
    }

    /// Carrier of p0 or p1, as the kernel tells it: neighbors go first.
    pub fn carrier(&mut self, ifindex: u32, up: bool) {
        let name = if ifindex == P0 { "p0" } else { "p1" };
        if !up {
            self.leaf(ifindex, false);
        }
        self.link(ifindex, name, up);
        if up {
            self.leaf(ifindex, true);
        }
    }

    pub fn connect(&mut self) {
        self.connection += 1;
        self.event(Event::Fpm(FpmEvent::Connected {
            connection: self.connection,
            peer: ([127, 0, 0, 1], 40_000).into(),
        }));
    }

    /// zebra's connection ends.
    pub fn close(&mut self) {
        self.event(Event::Fpm(FpmEvent::Closed {
            connection: self.connection,
            reason: "closed by zebra".into(),
        }));
    }

    /// The bytes of a stream as one batch.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut frames = Frames::default();
        frames.push(bytes);
        let mut batch = Batch::default();
        batch.put_frames(&mut frames).expect("frames");
        assert_eq!(frames.pending(), 0);
        self.batch(batch);
    }

    /// The bytes of a stream, one batch a frame.
    pub fn feed_frames(&mut self, bytes: &[u8]) {
        let mut frames = Frames::default();
        frames.push(bytes);
        while let Some(payload) = frames.next_frame().expect("frames") {
            let mut batch = Batch::default();
            batch.put_frame(payload);
            self.batch(batch);
        }
    }

    pub fn batch(&mut self, batch: Batch) {
        self.event(Event::Fpm(FpmEvent::Batch(Box::new(batch))));
    }

    pub fn ask(&mut self, request: &Request) -> Response {
        match self.control.answer(request, self.now) {
            Reply::Ok(response) => response,
            Reply::Error(error) => panic!("{error}"),
        }
    }

    pub fn routes(&mut self) -> Vec<Route> {
        let mut all = Vec::new();
        let mut query = RouteQuery::default();
        loop {
            let Response::Route(Routes { routes, next }) =
                self.ask(&Request::ShowRoute(query.clone()))
            else {
                panic!("routes");
            };
            all.extend(routes);
            query.after = next;
            if next.is_none() {
                return all;
            }
        }
    }

    pub fn groups(&mut self) -> Vec<Group> {
        match self.ask(&Request::ShowGroup(Default::default())) {
            Response::Group(groups) => groups,
            other => panic!("{other:?}"),
        }
    }

    /// Where the lookup of workers sends a destination.
    pub fn lookup(&self, destination: IpAddr) -> GroupId {
        let view = self.view.read();
        let mut group = [GroupId::NONE];
        let default = match destination {
            IpAddr::V4(a) => {
                view.lpm.lookup4(&[a.to_bits()], &mut group);
                view.default4
            }
            IpAddr::V6(a) => {
                view.lpm.lookup6(&[a.octets()], &mut group);
                view.default6
            }
        };
        if group[0] == GroupId::NONE {
            default
        } else {
            group[0]
        }
    }

    /// What workers do with 64 flows to a destination.
    pub fn flows(&self, destination: &str) -> Vec<AdjacencyId> {
        self.first_flows(destination, 64)
    }

    /// What workers do with the flows to a destination whose hashes are 0 to `count` - 1.
    pub fn first_flows(&self, destination: &str, count: u32) -> Vec<AdjacencyId> {
        let port_of = |id: AdjacencyId| {
            let facts = self.tables.adjacencies.slot(id).facts();
            facts.is_forward().then(|| facts.port())
        };
        let word = self.tables.groups.word(self.lookup(ip(destination)));
        (0..count)
            .map(|h| {
                self.tables
                    .groups
                    .living(word, h, &self.tables.down, port_of)
                    .unwrap_or_else(|first| first)
            })
            .collect()
    }

    /// How many buckets a destination's group has.
    pub fn size(&self, destination: &str) -> u32 {
        self.tables.groups.word(self.lookup(ip(destination))).size()
    }

    /// The ports of [`Lab::flows`]; none for those that do not leave.
    pub fn ports(&self, destination: &str) -> Vec<Option<PortId>> {
        let facts = |id: AdjacencyId| self.tables.adjacencies.slot(id).facts();
        self.flows(destination)
            .into_iter()
            .map(|id| facts(id).is_forward().then(|| facts(id).port()))
            .collect()
    }

    /// Where each of 64 flows to the first address of each of zebra's prefixes goes.
    pub fn fpm_flows(&mut self) -> Flows {
        let mut all = Flows::new();
        for route in self.routes() {
            if route.source == "fpm" && route.nexthops.iter().any(|n| n.via.is_some()) {
                let address = route.prefix.address().to_string();
                all.insert(route.prefix.to_string(), self.ports(&address));
            }
        }
        all
    }

    /// How many of the flows leave by each port.
    pub fn spread(&self, destination: &str) -> BTreeMap<Option<u16>, usize> {
        let mut spread = BTreeMap::new();
        for port in self.ports(destination) {
            *spread.entry(port.map(|p| p.0)).or_default() += 1;
        }
        spread
    }
}

/// The bytes of a recorded stream.
pub fn stream(name: &str) -> Vec<u8> {
    let path = format!("{STREAMS}/{name}.fpm");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// FNV-1a, 64 bits.
pub fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

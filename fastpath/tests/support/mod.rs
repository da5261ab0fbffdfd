//! A router of five ports on heap frames, and packets to send through it.
//!
//! ```text
//!   10.244.1.10 ── 0 [10.244.1.1, fd00:f4::1]        [169.254.0.0] 1 ── leaf 1 ┐
//!                                             ROUTER [169.254.0.2] 2 ── leaf 2 ┴─ 10/8, 2001:db8::/32
//!   172.16/16, fd00:16::/32 ── 3 (VLAN 100)                        4 ── 172.17/16 (MTU 600),
//!                                                                       fd00:17::/32 (MTU 1400)
//! ```
#![allow(dead_code, reason = "each test crate uses its own part of this")]

pub mod model;
pub mod packet;
pub mod pcap;
pub mod random;

use fastpath::hash::Settings;
use fastpath::software::heap::{HeapAllocator, HeapFrame, Wire, WireTx};
use fastpath::software::icmp::Limit;
use fastpath::software::worker::{Attached, Gleans, Parts, Punts, Role, Worker};
use fastpath::table::group::Bucket;
use fastpath::table::naive::NaiveLpm;
use fastpath::table::stats::{Snapshot, WorkerStats};
use fastpath::table::{
    Adjacency, AdjacencyId, GroupId, GroupWord, LpmWrite, PortFacts, PortId, Tables, View, Writer,
};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub const PORTS: usize = 5;
/// The MTU of port 4 for IPv4 and for IPv6.
pub const SMALL4: u16 = 600;
pub const SMALL6: u16 = 1400;
pub const VLAN: u16 = 100;
/// Number of buckets of the ECMP group: even ones lead to port 1, odd ones to port 2.
pub const BUCKETS: u32 = 64;

pub const HOST: AdjacencyId = AdjacencyId(16);
pub const LEAF1: AdjacencyId = AdjacencyId(17);
pub const LEAF2: AdjacencyId = AdjacencyId(18);
pub const GLEAN: AdjacencyId = AdjacencyId(19);
pub const TAGGED: AdjacencyId = AdjacencyId(20);
pub const NARROW4: AdjacencyId = AdjacencyId(21);
pub const NARROW6: AdjacencyId = AdjacencyId(22);

pub fn port_mac(port: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, port as u8]
}

pub fn neighbor_mac(port: usize) -> [u8; 6] {
    [2, 0, 0, 0, 1, port as u8]
}

pub fn source4(port: usize) -> Ipv4Addr {
    match port {
        0 => Ipv4Addr::new(10, 244, 1, 1),
        1 => Ipv4Addr::new(169, 254, 0, 0),
        2 => Ipv4Addr::new(169, 254, 0, 2),
        _ => Ipv4Addr::new(172, 31, port as u8, 1),
    }
}

pub fn source6(port: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xf4, 0, port as u16, 0, 0, 0, 1)
}

/// Where each prefix leads, as group number; group `n` is for adjacency `ADJACENCIES[n]`, group 2 is the
/// ECMP group.
pub const ROUTES: [(&str, u8, u32); 26] = [
    ("10.244.1.1", 32, 1),
    ("169.254.0.0", 32, 1),
    ("169.254.0.2", 32, 1),
    ("10.0.0.0", 8, 2),
    ("10.244.1.10", 32, 3),
    ("10.244.1.0", 24, 4),
    ("172.16.0.0", 16, 5),
    ("172.17.0.0", 16, 6),
    ("192.0.2.0", 24, 8),
    ("198.51.100.0", 24, 9),
    ("203.0.113.0", 24, 10),
    ("198.18.0.0", 15, 11),
    ("169.254.0.1", 32, 12),
    ("fd00:f4::1", 128, 1),
    ("fd00:f4:0:1::1", 128, 1),
    ("fd00:f4:0:2::1", 128, 1),
    ("2001:db8::", 32, 2),
    ("fd00:f4::10", 128, 3),
    ("fd00:f4::", 64, 4),
    ("fd00:16::", 32, 5),
    ("fd00:17::", 32, 7),
    ("2001:db8:8::", 48, 8),
    ("2001:db8:9::", 48, 9),
    ("2001:db8:a::", 48, 10),
    ("2001:db8:b::", 48, 11),
    ("fd00:f4:0:1::2", 128, 12),
];

const MEMBERS: [AdjacencyId; 13] = [
    AdjacencyId::NO_ROUTE,
    AdjacencyId::PUNT,
    LEAF1, // and LEAF2
    HOST,
    GLEAN,
    TAGGED,
    NARROW4,
    NARROW6,
    AdjacencyId::BLACKHOLE,
    AdjacencyId::UNREACHABLE,
    AdjacencyId::PROHIBITED,
    AdjacencyId::NEXTHOP_DOWN,
    LEAF1,
];

pub struct Options {
    pub settings: Settings,
    pub punts: Punts,
    pub kernel: bool,
    /// VLAN of ports 0 to 2.
    pub vlan: u16,
    /// How many ICMP errors may be sent in all: the clock stands still.
    pub icmp_burst: u32,
    pub allocator: HeapAllocator,
    /// How many frames a transmit queue takes at once.
    pub tx_at_most: usize,
    /// How many packets may wait for their neighbors, and by which clock.
    pub holding: (usize, fn() -> u64),
    /// How many fragments may wait for their first, and by which clock.
    pub joining: (usize, fn() -> u64),
}

impl Default for Options {
    fn default() -> Self {
        Options {
            settings: Settings::default(),
            punts: Punts::Count,
            kernel: false,
            vlan: 0,
            icmp_burst: u32::MAX,
            allocator: HeapAllocator::default(),
            tx_at_most: usize::MAX,
            holding: (0, || 0),
            joining: (0, || 0),
        }
    }
}

pub struct Router {
    pub worker: Plane,
    pub writer: Writer<NaiveLpm>,
    pub stats: Arc<WorkerStats>,
    pub gleans: Arc<Gleans>,
    pub rx: Vec<Wire>,
    pub tx: Vec<Wire>,
    pub from_kernel: Vec<Wire>,
    pub to_kernel: Vec<Wire>,
}

pub fn tables() -> Tables {
    let tables = Tables::new(32, 256, 32);
    let forward = |id, port: usize, mtu, vlan| {
        let (to, from) = (neighbor_mac(port), port_mac(port));
        let adjacency = Adjacency::forward(PortId(port as u16), mtu, to, from, vlan);
        tables.adjacencies.write(id, &adjacency);
    };
    forward(HOST, 0, 1500, 0);
    forward(LEAF1, 1, 1500, 0);
    forward(LEAF2, 2, 1500, 0);
    forward(TAGGED, 3, 1500, VLAN);
    forward(NARROW4, 4, SMALL4, 0);
    forward(NARROW6, 4, SMALL6, 0);
    tables
        .adjacencies
        .write(GLEAN, &Adjacency::glean(PortId(0)));
    for (i, member) in MEMBERS.into_iter().enumerate().skip(1) {
        let (base, log2) = if i == 2 { (64, 6) } else { (i as u32, 0) };
        for bucket in 0..1 << log2 {
            let two = [member, if i == 2 { LEAF2 } else { member }];
            let (first, second) = (two[bucket as usize & 1], two[!bucket as usize & 1]);
            tables
                .groups
                .set_bucket(base + bucket, Bucket { first, second });
        }
        tables
            .groups
            .set_word(GroupId(i as u32), GroupWord::new(base, log2));
    }
    tables
}

/// The routes in `lpm`, and the ports.
pub fn view<L: LpmWrite>(mut lpm: L, options: &Options) -> View<L> {
    for (prefix, length, group) in ROUTES {
        match prefix.parse::<IpAddr>().unwrap() {
            IpAddr::V4(four) => lpm.upsert4(four, length, GroupId(group)).unwrap(),
            IpAddr::V6(six) => lpm.upsert6(six, length, GroupId(group)).unwrap(),
        }
    }
    let mut view = View::new(lpm, options.settings.clone());
    for (i, facts) in view.ports.iter_mut().enumerate().take(PORTS) {
        *facts = PortFacts {
            present: true,
            mac: port_mac(i),
            any_mac: false,
            vlan: if i < 3 { options.vlan } else { 0 },
            mtu: 1500,
            kernel: options.kernel,
            source4: Some(source4(i)),
            source6: Some(source6(i)),
            ..PortFacts::default()
        };
    }
    view
}

type Plane = Worker<Wire, WireTx, HeapAllocator, NaiveLpm>;

/// A wire for each port.
pub fn wires() -> Vec<Wire> {
    (0..PORTS).map(|_| Wire::new()).collect()
}

/// The wire of each port, to receive by.
pub fn receiving(wires: &[Wire], role: Role) -> Vec<Attached<Wire>> {
    let each = wires.iter().enumerate();
    each.map(|(i, wire)| Attached {
        queue: wire.clone(),
        port: PortId(i as u16),
        role,
    })
    .collect()
}

/// The wire of each port, to send by, at most so many at once.
pub fn sending(wires: &[Wire], role: Role, at_most: usize) -> Vec<Attached<WireTx>> {
    let each = receiving(wires, role).into_iter();
    each.map(|Attached { queue, port, role }| Attached {
        queue: WireTx {
            wire: queue,
            at_most,
        },
        port,
        role,
    })
    .collect()
}

/// Changes the view by the worker's own thread.
pub fn update(
    worker: &mut Plane,
    writer: &mut Writer<NaiveLpm>,
    mut change: impl FnMut(&mut View<NaiveLpm>),
) {
    worker.offline(|| {
        let change = |view: &mut View<NaiveLpm>| {
            change(view);
            Ok::<(), Infallible>(())
        };
        writer.views.update(change).unwrap();
    });
}

impl Router {
    pub fn new(options: Options) -> Self {
        let view = view(NaiveLpm::new(), &options);
        let tables = Arc::new(tables());
        let (writer, registry) = Writer::new(Arc::clone(&tables), view.clone(), view);
        let (rx, tx, from_kernel, to_kernel) = (wires(), wires(), wires(), wires());
        let mut receive = receiving(&rx, Role::Network);
        let mut transmit = sending(&tx, Role::Network, options.tx_at_most);
        if options.kernel {
            receive.extend(receiving(&from_kernel, Role::Kernel));
            transmit.extend(sending(&to_kernel, Role::Kernel, options.tx_at_most));
        }
        let stats = Arc::new(WorkerStats::with_buckets(tables.groups.buckets_capacity()));
        let gleans = Arc::new(Gleans::new(4));
        let worker = Worker::new(Parts {
            receive,
            transmit,
            allocator: options.allocator,
            views: registry.reader(),
            tables,
            stats: Arc::clone(&stats),
            gleans: Arc::clone(&gleans),
            icmp_limit: Limit::new(1, options.icmp_burst, || 0),
            punts: options.punts,
        })
        .holding(options.holding.0, options.holding.1)
        .joining(options.joining.0, options.joining.1, [1, 2]);
        Router {
            worker,
            writer,
            stats,
            gleans,
            rx,
            tx,
            from_kernel,
            to_kernel,
        }
    }

    /// Sends `frames` in on `port` and turns until all are through; checks that each was counted.
    /// Returns what came out, port by port.
    pub fn send(&mut self, port: usize, frames: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
        for frame in frames {
            self.rx[port].put(frame);
        }
        self.settle()
    }

    /// The same for one frame: what came out of which port.
    pub fn send_one(&mut self, port: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let out = self.send(port, &[frame.to_vec()]).into_iter().enumerate();
        out.flat_map(|(i, frames)| frames.into_iter().map(move |f| (i, f)))
            .collect()
    }

    /// Turns until nothing comes in.
    pub fn settle(&mut self) -> Vec<Vec<Vec<u8>>> {
        while self.worker.turn() != 0 {}
        let (made, gone) = self.counters().balance();
        assert_eq!(
            made,
            gone + self.worker.waiting() as u64,
            "a packet is unaccounted for: {:?}",
            self.counters()
        );
        self.tx.iter().map(Wire::take).collect()
    }

    pub fn counters(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Changes the view by the worker's own thread.
    pub fn update(&mut self, change: impl FnMut(&mut View<NaiveLpm>)) {
        update(&mut self.worker, &mut self.writer, change);
    }
}

/// A frame with little room, to try what does not fit.
pub fn tight(bytes: &[u8]) -> HeapFrame {
    HeapFrame::with_room(bytes, 0, 0)
}

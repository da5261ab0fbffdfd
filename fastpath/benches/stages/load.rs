//! The tables and the packets of each measurement.

use crate::ring::{Never, Receive, Ring, Transmit};
use fastpath::hash::{Algorithm, Choice, Field, Fields, Settings};
use fastpath::rcu::Registry;
use fastpath::software::icmp::Limit;
use fastpath::software::worker::{Attached, Gleans, Parts, Punts, Role, Worker};
use fastpath::table::group::Bucket;
use fastpath::table::stats::WorkerStats;
use fastpath::table::{
    Adjacency, AdjacencyId, GroupId, GroupWord, Lpm, PortFacts, PortId, Tables, View,
};
use fastpath::wire::checksum::checksum;
use std::sync::Arc;

/// One array indexed by the first 24 bits after the first byte (IPv4: all of a /24), as the first
/// level of `rte_fib` is: one load a packet, missing the cache when destinations are many.
#[derive(Clone)]
pub struct Direct(Arc<[GroupId]>);

const DIRECT: usize = 1 << 24;

impl Direct {
    fn at(&self, index: u32) -> GroupId {
        self.0
            .get(index as usize % DIRECT)
            .copied()
            .unwrap_or_default()
    }
}

impl Lpm for Direct {
    // Into the stage, for the panic gate's own test: an index check in the middle of it.
    #[cfg_attr(planted_panic, inline(always))]
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]) {
        #[cfg(planted_panic)]
        std::hint::black_box(self.0[destinations[0] as usize]);
        for (destination, group) in destinations.iter().zip(groups) {
            *group = self.at(destination >> 8);
        }
    }

    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]) {
        for ([_, a, b, c, ..], group) in destinations.iter().zip(groups) {
            *group = self.at(u32::from_be_bytes([0, *a, *b, *c]));
        }
    }
}

/// One measurement's surroundings.
pub struct Load {
    pub name: &'static str,
    pub ring: Ring,
    pub tables: Arc<Tables>,
    pub registry: Registry<View<Direct>>,
}

/// Groups, of 64 buckets each over two members.
const GROUPS: u32 = 1024;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn tables() -> Tables {
    let tables = Tables::new(GROUPS as usize + 1, (GROUPS as usize + 1) * 64, 4096);
    for id in 16..4096 {
        let vlan = if id >= 2064 { 100 } else { 0 };
        let neighbor = [2, 0, 0, 1, (id >> 8) as u8, id as u8];
        let adjacency = Adjacency::forward(PortId(0), 1500, neighbor, MAC, vlan);
        tables.adjacencies.write(AdjacencyId(id), &adjacency);
    }
    for group in 1..=GROUPS {
        for bucket in 0..64 {
            // The last group's members are tagged.
            let base = if group == GROUPS {
                2064
            } else {
                16 + group % 1000 * 2
            };
            let [first, second] = [base + bucket % 2, base + 1 - bucket % 2].map(AdjacencyId);
            tables
                .groups
                .set_bucket(group * 64 + bucket, Bucket { first, second });
        }
        tables
            .groups
            .set_word(GroupId(group), GroupWord::new(group * 64, 6));
    }
    tables
}

/// A 64-byte frame (60 without its check sequence; IPv6: 62) of a flow that `i` numbers.
fn packet(v6: bool, i: u32, destination: u32) -> Vec<u8> {
    let mut out = [MAC, [2, 0, 0, 0, 1, 1]].concat();
    let ports = [(1024 + i % 60_000) as u16, 443]
        .map(u16::to_be_bytes)
        .concat();
    if v6 {
        out.extend([
            0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64, 0x20, 0x01, 0x0d, 0xb8,
        ]);
        out.extend([0; 8]);
        out.extend(i.to_be_bytes());
        let [a, b, c, d] = destination.to_be_bytes();
        out.extend([0x20, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    } else {
        let mut header = vec![0x45, 0, 0, 46, 0, 7, 0, 0, 64, 17, 0, 0, 172, 16];
        header.extend(&i.to_be_bytes()[2..]);
        header.extend((10 << 24 | destination >> 8).to_be_bytes());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend([8, 0]);
        out.extend(header);
    }
    out.extend(ports);
    out.extend([0, 8, 0, 0]);
    out.resize(out.len().max(60), 0);
    out
}

/// `inner` in a UDP datagram to `port`, all from flow `i`. What is inside is the same in every
/// frame: the ring puts no more than the start of each back.
fn datagram(i: u32, port: u16, inner: &[u8]) -> Vec<u8> {
    let mut out = packet(false, i, 0x0102_0304);
    out.truncate(42);
    out.extend(inner);
    let len = (out.len() - 14) as u16;
    out[16..18].copy_from_slice(&len.to_be_bytes());
    out[24..26].fill(0);
    let sum = checksum(&out[14..34]);
    out[24..26].copy_from_slice(&sum.to_be_bytes());
    out[36..38].copy_from_slice(&port.to_be_bytes());
    out[38..40].copy_from_slice(&(len - 20).to_be_bytes());
    out
}

/// A VXLAN packet (RFC 7348) with a frame of the same size inside.
fn vxlan(i: u32) -> Vec<u8> {
    let inner = packet(false, 9, 0x0506_0708);
    datagram(i, 4789, &[&[8, 0, 0, 0, 0, 0, 77, 0], &inner[..]].concat())
}

/// User data of GTP-U (3GPP TS 29.281) in tunnel `i`, with a PDU session container as 5G has it.
fn gtpu(i: u32) -> Vec<u8> {
    let inner = packet(false, 9, 0x0506_0708);
    let teid = i.to_be_bytes();
    let head = [0x34, 255, 0, 54];
    let extension = [0, 0, 0, 0x85, 1, 0, 9, 0];
    datagram(
        i,
        2152,
        &[&head[..], &teid, &extension, &inner[14..]].concat(),
    )
}

/// RoCEv2 to queue pair `i`.
fn roce(i: u32) -> Vec<u8> {
    let qp = i.to_be_bytes();
    let head = [4, 0x40, 0xff, 0xff, 0, qp[1], qp[2], qp[3], 0, 0, 0, 9];
    datagram(i, 4791, &[&head[..], &[0; 16]].concat())
}

/// The default fields and those of `more`.
fn settings(algorithm: Algorithm, more: &[Field]) -> Settings {
    let fields = more.iter();
    let fields = fields.fold(Fields::default(), |set, f| set.with(*f, true));
    Settings::new(Choice {
        fields,
        algorithm,
        ..Choice::default()
    })
}

const TEID_AND_INNER: [Field; 7] = [
    Field::GtpTeid,
    Field::InnerIpProtocol,
    Field::InnerSourceIp,
    Field::InnerDestinationIp,
    Field::InnerSourcePort,
    Field::InnerDestinationPort,
    Field::InnerIpv6Label,
];

const INNER: [Field; 6] = [
    Field::InnerIpProtocol,
    Field::InnerSourceIp,
    Field::InnerDestinationIp,
    Field::InnerSourcePort,
    Field::InnerDestinationPort,
    Field::InnerIpv6Label,
];

/// `is_told`: the port's NIC hashes as `settings` say.
fn registry(lpm: &Arc<[GroupId]>, settings: Settings, is_told: bool) -> Registry<View<Direct>> {
    let nic_hash = if is_told { settings.rss_id() } else { 0 };
    let mut view = View::new(Direct(Arc::clone(lpm)), settings);
    view.ports[0] = PortFacts {
        present: true,
        mac: MAC,
        mtu: 1500,
        nic_hash,
        ..PortFacts::default()
    };
    fastpath::rcu::pair(view.clone(), view).1
}

impl Load {
    /// Every measurement: one destination or very many, both families, with and without a tag; then
    /// more fields of the hash than by default, to compare with the first.
    pub fn all() -> Vec<Load> {
        Load::those(|_| true)
    }

    /// That of this name; no other is made.
    pub fn named(name: &str) -> Option<Load> {
        Load::those(|one| one == name).pop()
    }

    fn those(are_wanted: impl Fn(&str) -> bool) -> Vec<Load> {
        let spread: Arc<[GroupId]> = (0..DIRECT)
            .map(|i| GroupId(1 + (i as u32).wrapping_mul(0x9e37_79b9) % (GROUPS - 1)))
            .collect();
        let many = |i: u32| i.wrapping_mul(0x9e37_79b9);
        let one = |_| 0x0102_0304;
        let mut all = Vec::new();
        let mut add = |name: &'static str, make: &dyn Fn(&'static str) -> Load| {
            if are_wanted(name) {
                all.push(make(name));
            }
        };
        let udp = |name| Load::new(name, &spread, |i| packet(false, i, one(i)));
        add("IPv4, one route", &udp);
        add("IPv4, 65536 destinations", &|name| {
            Load::new(name, &spread, |i| packet(false, i, many(i)))
        });
        add("IPv4, VLAN tag added", &|name| {
            let single: Arc<[GroupId]> = vec![GroupId(GROUPS); DIRECT].into();
            Load::new(name, &single, |i| packet(false, i, one(i)))
        });
        add("IPv6, one route", &|name| {
            Load::new(name, &spread, |i| packet(true, i, one(i)))
        });
        add("IPv6, 65536 destinations", &|name| {
            Load::new(name, &spread, |i| packet(true, i, many(i)))
        });
        add("IPv4 and IPv6, mixed", &|name| {
            Load::new(name, &spread, |i| packet(i % 2 == 0, i, many(i)))
        });
        let hashed = |load: Load, more: &[Field]| load.hashed(&spread, more);
        add("hash: all outer fields", &|name| {
            hashed(udp(name), &[Field::IngressInterface])
        });
        add("hash: inner, no tunnel", &|name| hashed(udp(name), &INNER));
        let of = |name, make: fn(u32) -> Vec<u8>| Load::new(name, &spread, make);
        add("hash: VXLAN, default", &|name| of(name, vxlan));
        add("hash: VXLAN, inner", &|name| {
            hashed(of(name, vxlan), &INNER)
        });
        add("hash: GTP-U, default", &|name| of(name, gtpu));
        add("hash: GTP-U, TEID", &|name| {
            hashed(of(name, gtpu), &[Field::GtpTeid])
        });
        add("hash: GTP-U, TEID, inner", &|name| {
            hashed(of(name, gtpu), &TEID_AND_INNER)
        });
        add("hash: RoCE, queue pair", &|name| {
            hashed(of(name, roce), &[Field::RoceQp])
        });
        let by = |name, algorithm, is_told| udp(name).by(&spread, algorithm, is_told);
        add("hash: toeplitz", &|name| {
            by(name, Algorithm::Toeplitz, false)
        });
        add("hash: toeplitz of the NIC", &|name| {
            by(name, Algorithm::Toeplitz, true)
        });
        add("hash: crc32", &|name| by(name, Algorithm::Crc32, false));
        all
    }

    /// The same with more fields than by default.
    fn hashed(mut self, lpm: &Arc<[GroupId]>, more: &[Field]) -> Load {
        self.registry = registry(lpm, settings(Algorithm::Mix, more), false);
        self
    }

    /// The same by another algorithm, taken from the NIC or not.
    fn by(mut self, lpm: &Arc<[GroupId]>, algorithm: Algorithm, is_told: bool) -> Load {
        self.registry = registry(lpm, settings(algorithm, &[]), is_told);
        if is_told {
            self.ring = self.ring.told(0x1234_5678);
        }
        self
    }

    fn new(name: &'static str, lpm: &Arc<[GroupId]>, packet: impl Fn(u32) -> Vec<u8>) -> Load {
        let packets: Vec<_> = (0..65_536).map(packet).collect();
        Load {
            name,
            ring: Ring::new(&packets),
            tables: Arc::new(tables()),
            registry: registry(lpm, Settings::default(), false),
        }
    }

    /// Counters of a worker.
    pub fn stats(&self) -> WorkerStats {
        WorkerStats::with_buckets(self.tables.groups.buckets_capacity())
    }

    /// A worker on the ring.
    pub fn worker(&self) -> Worker<Receive, Transmit, Never, Direct> {
        fn attached<Q>(queue: Q) -> Vec<Attached<Q>> {
            vec![Attached {
                queue,
                port: PortId(0),
                role: Role::Network,
            }]
        }
        Worker::new(Parts {
            receive: attached(self.ring.receive()),
            transmit: attached(self.ring.transmit()),
            allocator: Never,
            views: self.registry.reader(),
            tables: Arc::clone(&self.tables),
            stats: Arc::new(self.stats()),
            gleans: Arc::new(Gleans::new(1)),
            icmp_limit: Limit::new(0, 1, || 0),
            punts: Punts::Drop,
        })
    }
}

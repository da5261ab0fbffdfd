//! One plan, told to software's tables and to simulated NICs.

use crate::support::{neighbor_mac, port_mac, receiving, sending, update, wires};
use fastpath::hardware::compile::{Config, Design, Hairpin, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::hardware::program::{Rss, RssFields};
use fastpath::hardware::sim::{Kind, Profile, Sim};
use fastpath::hash::Policy;
use fastpath::software::burst::BURST;
use fastpath::software::heap::{HeapAllocator, Wire, WireTx};
use fastpath::software::icmp::Limit;
use fastpath::software::worker::{Gleans, Parts, Punts, Role as Side, Worker};
use fastpath::table::group::Bucket;
use fastpath::table::naive::NaiveLpm;
use fastpath::table::stats::WorkerStats;
use fastpath::table::{
    Adjacency, AdjacencyId, GroupId, GroupWord, LpmWrite, PortFacts, PortId, Tables, View, Writer,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub const PORTS: usize = 5;
/// What the port with this number carries is tagged.
pub const TAGGED: usize = 3;
pub const VLAN: u16 = 100;
pub const MTU: u16 = 1500;
pub const GROUPS: u32 = 12;
pub const NEXTHOPS: u32 = 10;
/// The most buckets of a group.
pub const BUCKETS: u32 = 128;
/// Hairpin queues to each port.
const HAIRPINS: u16 = 16;

/// Groups that are no groups of next hops.
pub const PUNT: GroupId = GroupId(1);
pub const BLACKHOLE: GroupId = GroupId(2);

pub fn group(n: u32) -> GroupId {
    GroupId(8 + n)
}

/// Where the NICs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Transit(Design),
    Dpu,
}

pub struct World {
    pub setting: Setting,
    pub worker: Worker<Wire, WireTx, HeapAllocator, NaiveLpm>,
    pub writer: Writer<NaiveLpm>,
    pub tables: Arc<Tables>,
    pub stats: Arc<WorkerStats>,
    pub gleans: Arc<Gleans>,
    pub rx: Vec<Wire>,
    pub tx: Vec<Wire>,
    /// The NIC of each port; of a DPU the first is all ports'.
    pub nics: Vec<Engine<Sim>>,
    /// What the plan says now.
    pub buckets: BTreeMap<u32, Vec<u32>>,
    pub nexthops: BTreeMap<u32, Option<Adjacency>>,
    pub prefixes: BTreeMap<(IpAddr, u8), Lead>,
}

fn view() -> View<NaiveLpm> {
    let mut view = View::new(NaiveLpm::new(), Policy::default());
    for (i, facts) in view.ports.iter_mut().enumerate().take(PORTS) {
        *facts = PortFacts {
            present: true,
            mac: port_mac(i),
            vlan: if i == TAGGED { VLAN } else { 0 },
            mtu: MTU,
            ..PortFacts::default()
        };
    }
    view
}

/// The configuration of the NIC of port `at`.
pub fn config(setting: Setting, at: usize) -> Config {
    let ports = |all: &[u16]| all.iter().map(|p| PortId(*p)).collect();
    match setting {
        Setting::Dpu => {
            let role = Role::Dpu {
                proxy: PortId(1),
                uplinks: ports(&[1, 2]),
                functions: ports(&[0, 3, 4]),
            };
            Config::new(role, Design::Rows, MTU)
        }
        Setting::Transit(design) => {
            let role = Role::Transit {
                port: PortId(at as u16),
                hairpins: hairpins(at as u16),
                software: Rss {
                    queues: vec![0, 1],
                    key: None,
                    fields: RssFields::Flow,
                    symmetric: false,
                },
                kernel: true,
            };
            Config::new(role, design, MTU)
        }
    }
}

fn hairpins(port: u16) -> Vec<Hairpin> {
    let mut all = Vec::new();
    for egress in 0..PORTS as u16 {
        for n in 0..HAIRPINS {
            all.push(Hairpin {
                egress: PortId(egress),
                queue: 100 + egress * HAIRPINS + n,
                tx_queue: 100 + port * HAIRPINS + n,
            });
        }
    }
    all
}

fn nic(setting: Setting, at: usize, profile: &Profile) -> Engine<Sim> {
    let mut sim = match setting {
        Setting::Dpu => Sim::new(profile.clone().switchdev()),
        Setting::Transit(_) => Sim::new(profile.clone()),
    };
    for port in 0..PORTS as u16 {
        let kind = match setting {
            Setting::Dpu if !(1..=2).contains(&port) => Kind::Function,
            _ => Kind::Uplink,
        };
        sim.attach(PortId(port), kind, setting != Setting::Dpu);
    }
    if setting != Setting::Dpu {
        for hairpin in hairpins(at as u16) {
            let rx = (PortId(at as u16), hairpin.queue);
            sim.hairpin(rx, (hairpin.egress, hairpin.tx_queue));
        }
    }
    Engine::new(sim, config(setting, at))
}

impl World {
    /// Ports and nothing else; not yet programmed. NICs for all ports.
    pub fn new(setting: Setting, profile: &Profile) -> Self {
        let count = if setting == Setting::Dpu { 1 } else { PORTS };
        World::with_nics(setting, profile, count)
    }

    /// The same with NICs for the first `count` ports alone.
    pub fn with_nics(setting: Setting, profile: &Profile, count: usize) -> Self {
        let tables = Arc::new(Tables::new(
            64,
            (8 + GROUPS as usize) * BUCKETS as usize,
            64,
        ));
        let glean = AdjacencyId(60);
        tables
            .adjacencies
            .write(glean, &Adjacency::glean(PortId(0)));
        for (id, adjacency) in [
            (PUNT, AdjacencyId::PUNT),
            (BLACKHOLE, AdjacencyId::BLACKHOLE),
        ] {
            let bucket = Bucket {
                first: adjacency,
                second: adjacency,
            };
            tables.groups.set_bucket(id.0, bucket);
            tables.groups.set_word(id, GroupWord::new(id.0, 0));
        }
        let (writer, registry) = Writer::new(Arc::clone(&tables), view(), view());
        let (rx, tx) = (wires(), wires());
        let stats = Arc::new(WorkerStats::with_buckets(tables.groups.buckets_capacity()));
        let gleans = Arc::new(Gleans::new(4));
        let worker = Worker::new(Parts {
            receive: receiving(&rx, Side::Network),
            transmit: sending(&tx, Side::Network, BURST),
            allocator: HeapAllocator::default(),
            views: registry.reader(),
            tables: Arc::clone(&tables),
            stats: Arc::clone(&stats),
            gleans: Arc::clone(&gleans),
            icmp_limit: Limit::new(1, 0, || 0),
            punts: Punts::Count,
        });
        let mut world = World {
            setting,
            worker,
            writer,
            tables,
            stats,
            gleans,
            rx,
            tx,
            nics: (0..count).map(|at| nic(setting, at, profile)).collect(),
            buckets: BTreeMap::new(),
            nexthops: BTreeMap::new(),
            prefixes: BTreeMap::new(),
        };
        for port in 0..PORTS {
            let entry = Entry {
                mac: port_mac(port),
                untagged: port != TAGGED,
            };
            world.tell(&Change::Port(PortId(port as u16), Some(entry)));
        }
        world
    }

    /// Tells hardware.
    fn tell(&mut self, change: &Change) {
        for nic in &mut self.nics {
            nic.apply(change);
        }
    }

    /// Carries out all that the NICs were told; fails unless that comes to an end.
    pub fn settle(&mut self) {
        for nic in &mut self.nics {
            assert!(nic.settle(1 << 20), "operations are left under way");
        }
    }

    fn update(&mut self, change: impl Fn(&mut View<NaiveLpm>)) {
        update(&mut self.worker, &mut self.writer, change);
    }

    pub fn set_hash(&mut self, policy: &Policy) {
        self.update(|view| view.hash = policy.clone());
        self.tell(&Change::Hash(Box::new(policy.clone())));
    }

    /// A next hop leads there; `None`: it is dead.
    pub fn set_nexthop(&mut self, n: u32, adjacency: Option<Adjacency>) {
        let id = AdjacencyId(16 + n);
        match adjacency {
            Some(adjacency) => {
                self.tables.adjacencies.write(id, &adjacency);
                self.tables.down.clear_adjacency(id);
            }
            None => self.tables.down.set_adjacency(id),
        }
        self.nexthops.insert(n, adjacency);
        self.tell(&Change::Nexthop(NexthopId(n), adjacency));
    }

    /// A next hop by `port`.
    pub fn adjacency(n: u32, port: usize, mtu: u16) -> Adjacency {
        let mut mac = neighbor_mac(port);
        mac[3] = n as u8;
        let vlan = if port == TAGGED { VLAN } else { 0 };
        Adjacency::forward(PortId(port as u16), mtu, mac, port_mac(port), vlan)
    }

    /// The buckets of a group; none: the group is gone, and no prefix may lead to it.
    pub fn set_group(&mut self, n: u32, buckets: Option<Vec<u32>>) {
        let (id, base) = (group(n), (8 + n) * BUCKETS);
        let Some(buckets) = buckets else {
            self.tables.groups.set_word(id, GroupWord::default());
            self.buckets.remove(&n);
            return self.tell(&Change::Group(id, None));
        };
        let size = buckets.len() as u32;
        for (i, first) in buckets.iter().enumerate() {
            let second = buckets[(i + 1) % buckets.len()];
            let [first, second] = [*first, second].map(|n| AdjacencyId(16 + n));
            let bucket = Bucket { first, second };
            self.tables.groups.set_bucket(base + i as u32, bucket);
        }
        self.tables
            .groups
            .set_word(id, GroupWord::new(base, size.ilog2()));
        let hops: Vec<_> = buckets.iter().map(|n| NexthopId(*n)).collect();
        self.tell(&Change::Group(id, Some(hops.into())));
        self.buckets.insert(n, buckets);
    }

    pub fn set_prefix(&mut self, address: IpAddr, length: u8, lead: Option<Lead>) {
        let to = match lead {
            None => GroupId::NONE,
            Some(Lead::Group(group)) => group,
            Some(Lead::Kernel) => PUNT,
            Some(Lead::Software) => BLACKHOLE,
        };
        self.update(|view| match (address, length) {
            (IpAddr::V4(_), 0) => view.default4 = to,
            (IpAddr::V6(_), 0) => view.default6 = to,
            (IpAddr::V4(four), _) if lead.is_none() => view.lpm.remove4(four, length).unwrap(),
            (IpAddr::V6(six), _) if lead.is_none() => view.lpm.remove6(six, length).unwrap(),
            (IpAddr::V4(four), _) => view.lpm.upsert4(four, length, to).unwrap(),
            (IpAddr::V6(six), _) => view.lpm.upsert6(six, length, to).unwrap(),
        });
        match lead {
            Some(lead) => self.prefixes.insert((address, length), lead),
            None => self.prefixes.remove(&(address, length)),
        };
        self.tell(&Change::Prefix(address, length, lead));
    }
}

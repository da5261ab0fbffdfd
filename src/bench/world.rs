//! What forwards in a measurement: the configuration, and what zebra would say of the routes.

use super::prefixes::{Random, prefixes};
use super::traffic::Macs;
use crate::cli::Bench;
use control::config::{self, Config, Cores, Kernel, Seed};
use control::event::{Event, Neighbor, NeighborState, Noticed, configured};
use control::fpm::decode::{Hop, Message, Object, Route, RouteKind, Via};
use control::fpm::{Batch, FpmEvent, encode};
use control::prefix::Prefix;
use fastpath::table::PortId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Bytes of a buffer that a frame leaves free at least: tags.
const SPARE: u16 = 24;
/// Ids of next hop objects start here, those of groups behind the last next hop.
const FIRST_ID: u32 = 1;
/// The number of zebra's connection.
const CONNECTION: u64 = 1;
/// `RTPROT_BGP`.
const BGP: u8 = 186;

/// A measurement's routes and next hops.
#[derive(Debug)]
pub struct World {
    /// As `evenpath run` would read it.
    pub config: Config,
    /// Every route's prefix, in the order in which flows go to them.
    pub prefixes: Vec<Prefix>,
    /// Bytes that a packet buffer must hold.
    pub data_room: u16,
    nexthops: u32,
    groups: u32,
    members: u32,
    /// Ports that nothing is sent by: the first ones.
    inputs: u32,
}

/// Our address on a port, and the neighbor's number `i` there.
fn mac(kind: u8, i: u32) -> [u8; 6] {
    let [_, a, b, c] = i.to_be_bytes();
    [2, kind, 0, a, b, c]
}

/// Addresses in the Ethernet headers of what comes in.
pub fn macs() -> Macs {
    Macs {
        own: mac(0, 0),
        sender: mac(1, 0),
    }
}

/// The gateway of next hop `i`; next hops of both families have IPv4 gateways, as BGP unnumbered.
fn gateway(i: u32) -> IpAddr {
    // 100.64.0.0/10 (RFC 6598), which no flow goes to.
    Ipv4Addr::from_bits(0x6440_0000 + 2 + i).into()
}

impl World {
    /// That of `bench`.
    pub fn new(bench: &Bench) -> Self {
        let mut random = Random::new(bench.seed, 0);
        let mut prefixes = prefixes(bench.is_v6(), bench.routes, &mut random);
        random.shuffle(&mut prefixes);
        let (members, groups) = (bench.members, bench.groups);
        // Groups are windows over a ring of next hops, which must be larger than a window.
        let nexthops = match groups {
            1 => members,
            _ => groups.max(members + 1),
        };
        let mut world = World {
            config: Config::default(),
            prefixes,
            data_room: match bench.given()[..] {
                [] => (bench.frame_size() + SPARE).next_multiple_of(64).max(192),
                // What others send may be any frame.
                _ => 2048,
            },
            nexthops,
            groups,
            members,
            inputs: bench.inputs().into(),
        };
        world.configure(bench);
        world
    }

    /// The port of next hop `i`, of `ports` that are sent by.
    fn port_of(&self, i: u32, ports: u32) -> PortId {
        PortId((self.inputs + i % ports) as u16)
    }

    fn configure(&mut self, bench: &Bench) {
        let ports = u32::from(bench.outputs());
        let at: Vec<_> = (0..self.nexthops).map(|i| self.port_of(i, ports)).collect();
        let config = &mut self.config;
        config.hash.seed = Seed::Fixed(bench.seed);
        config.hash.fields = bench.encap.fields();
        config.fpm.enable = false;
        config.resilient.enable = true;
        config.resilient.buckets = bench.buckets;
        let tables = &mut config.tables;
        let (own, other) = if bench.is_v6() {
            (&mut tables.routes_ipv6, &mut tables.routes_ipv4)
        } else {
            (&mut tables.routes_ipv4, &mut tables.routes_ipv6)
        };
        // Neighbors and connected prefixes take entries too, of IPv4.
        (*own, *other) = (bench.routes.max(1024), 1024);
        tables.routes_ipv4 += self.nexthops + 4 * ports;
        let single = self.nexthops + ports;
        tables.groups = (self.groups + single + 64).max(tables.groups);
        tables.buckets = (self.groups * bench.buckets + single + 4096).max(tables.buckets);
        tables.adjacencies = (self.nexthops + 256).max(tables.adjacencies);
        for port in 0..ports + self.inputs {
            config.ports.push(config::Port {
                side: config::offload::Side::default(),
                name: format!("p{port}"),
                device: None,
                kernel: Kernel::None,
                mac: Some(mac(0, port)),
                // Enough for every packet, and no more than fits a buffer; a given device keeps its own.
                mtu: bench.given().is_empty().then(|| self.data_room - SPARE),
                vlan: 0,
            });
        }
        for (i, port) in (0..).zip(at) {
            config.neighbors.push(config::Neighbor {
                port,
                address: gateway(i),
                mac: mac(1, 1 + i),
            });
        }
    }

    /// Gives the ports their devices: those `given`, else of our own making, `files` the packets of each
    /// worker.
    pub fn attach(&mut self, files: &[PathBuf], given: &[&config::Device], cores: &[usize]) {
        let cores = cores.iter().map(|core| *core as u16).collect();
        self.config.eal.cores = Cores::List(cores);
        for (i, port) in self.config.ports.iter_mut().enumerate() {
            if let Some(device) = given.get(i) {
                port.device = Some((*device).clone());
                continue;
            }
            let receives = i == 0;
            let devargs = match receives {
                true => {
                    let files = files.iter().map(|f| format!("rx_pcap={},", f.display()));
                    format!("net_pcap0,{}infinite_rx=1", files.collect::<String>())
                }
                false => format!("net_null{i},no-rx=1"),
            };
            port.device = Some(config::Device::Devargs(devargs));
        }
    }

    /// Group number `group`.
    fn group(&self, group: u32) -> Message {
        let ids = (0..self.members).map(|m| FIRST_ID + (group + m) % self.nexthops);
        let object = Object::Group {
            members: ids.map(|id| (id, 1)).collect(),
            resilient: None,
        };
        Message::Nexthop(FIRST_ID + self.nexthops + group, object)
    }

    /// A route by group number `group`.
    fn route(&self, prefix: Prefix, group: u32) -> Message {
        let route = Route {
            kind: RouteKind::Unicast,
            protocol: BGP,
            via: Via::Id(FIRST_ID + self.nexthops + group),
            prefsrc: None,
            mtu: 0,
        };
        Message::Route(prefix, route)
    }

    /// What zebra says when so many more routes take the group behind theirs, each in turn, behind the
    /// `changed` ones.
    pub fn routes_change(&self, changed: &mut u32, routes: u32) -> Event {
        let mut batch = Batch::default();
        let count = self.prefixes.len() as u32;
        for _ in 0..routes.min(count) {
            let (round, i) = (*changed / count, *changed % count);
            let prefix = self.prefixes[i as usize];
            batch.put(self.route(prefix, (i + round + 1) % self.groups));
            *changed = changed.wrapping_add(1);
        }
        Event::Fpm(FpmEvent::Batch(Box::new(batch)))
    }

    /// What the kernel says when a next hop's neighbor is lost, or the lost one is back: all groups that
    /// have it change. Each in turn, behind the `changed` ones.
    pub fn group_changes(&self, changed: &mut u32) -> Event {
        let (i, is_lost) = (*changed / 2 % self.nexthops, *changed % 2 == 0);
        *changed = changed.wrapping_add(1);
        let ports = self.config.ports.len() as u32 - self.inputs;
        let neighbor = Neighbor {
            ifindex: configured(self.port_of(i, ports)),
            address: gateway(i),
            mac: Some(mac(1, 1 + i)),
            state: match is_lost {
                true => NeighborState::Failed,
                false => NeighborState::Permanent,
            },
            zebra: false,
        };
        Event::Neighbor(neighbor, Noticed::now())
    }

    /// Zebra is there.
    pub fn connected(&self) -> Event {
        Event::Fpm(FpmEvent::Connected {
            connection: CONNECTION,
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        })
    }

    /// Zebra's answers are written.
    pub fn written(&self) -> Event {
        Event::Fpm(FpmEvent::Written {
            connection: CONNECTION,
        })
    }

    /// All prefixes and the numbers of their groups in the order of zebra's table, which
    /// `dplane_fpm_nl` walks.
    pub fn table(&self) -> Vec<(Prefix, u32)> {
        let groups = (0..self.groups).cycle();
        let mut table: Vec<_> = self.prefixes.iter().copied().zip(groups).collect();
        table.sort_unstable();
        table
    }

    /// What zebra writes: next hops, groups, routes.
    pub fn stream(&self) -> Vec<u8> {
        let ports = self.config.ports.len() as u32 - self.inputs;
        let mut out = Vec::new();
        for i in 0..self.nexthops {
            let hop = Hop {
                gateway: Some(gateway(i)),
                ifindex: configured(self.port_of(i, ports)),
                onlink: true,
                encap: false,
            };
            encode::frame(
                &Message::Nexthop(FIRST_ID + i, Object::Hop(hop)),
                1,
                &mut out,
            );
        }
        for group in 0..self.groups {
            encode::frame(&self.group(group), 1, &mut out);
        }
        for (prefix, group) in self.table() {
            encode::frame(&self.route(prefix, group), 1, &mut out);
        }
        out
    }
}

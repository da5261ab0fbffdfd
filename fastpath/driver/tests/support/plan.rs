//! A plan with its changes, and packets for it.

use fastpath::hardware::compile::{Config, Design, Hairpin, Role};
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::hardware::program::{Rss, RssFields};
use fastpath::hardware::sim::{Kind, Outcome, Profile, Sim};
use fastpath::hash::Settings;
use fastpath::table::{Adjacency, GroupId, PortId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the NIC is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// An e-switch of a wire and two functions of the host.
    Dpu,
    /// Three wires, a program for each that packets come in by.
    Transit(Design),
}

impl Setting {
    /// The NIC of that name, in the mode that it takes.
    pub fn profile(self, name: &str) -> Profile {
        let profile = Profile::named(name).unwrap();
        match self {
            Setting::Dpu => profile.switchdev(),
            Setting::Transit(_) => profile,
        }
    }

    pub fn design(self) -> Design {
        match self {
            Setting::Dpu => Design::Rows,
            Setting::Transit(design) => design,
        }
    }

    /// How many programs there are.
    pub fn programs(self) -> usize {
        match self {
            Setting::Dpu => 1,
            Setting::Transit(_) => PORTS.len(),
        }
    }
}

pub const PORTS: [PortId; 3] = [PortId(0), PortId(1), PortId(2)];
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// Of the program of port `at`, which has these hairpin queues.
pub fn config(setting: Setting, at: usize, hairpins: &[Hairpin], kernel: bool) -> Config {
    let (role, design) = match setting {
        Setting::Dpu => {
            let (proxy, uplinks) = (PORTS[0], vec![PORTS[0]]);
            let functions = vec![PORTS[1], PORTS[2]];
            let role = Role::Dpu {
                proxy,
                uplinks,
                functions,
            };
            (role, Design::Rows)
        }
        Setting::Transit(design) => {
            let software = Rss {
                queues: vec![0],
                key: None,
                fields: RssFields::Flow,
                symmetric: false,
            };
            let role = Role::Transit {
                port: PORTS[at],
                hairpins: hairpins.to_vec(),
                software,
                kernel,
            };
            (role, design)
        }
    };
    Config::new(role, design, 1500)
}

/// The same NIC without DPDK, for one program.
pub fn model(
    setting: Setting,
    profile: Profile,
    at: usize,
    hairpins: &[Hairpin],
    isolated: bool,
) -> Sim {
    let mut sim = Sim::new(profile);
    for (n, port) in PORTS.into_iter().enumerate() {
        let function = setting == Setting::Dpu && n > 0;
        let kind = if function {
            Kind::Function
        } else {
            Kind::Uplink
        };
        sim.attach(port, kind, isolated);
    }
    for hairpin in hairpins {
        let to = (hairpin.egress, hairpin.tx_queue);
        sim.hairpin((PORTS[at], hairpin.queue), to);
    }
    sim
}

/// A next hop, or that it is dead.
pub fn nexthop(number: u32, up: bool) -> Change {
    let port = PORTS[1 + number as usize % 2];
    let neighbor = [2, 0, 0, 0, 1, number as u8];
    let adjacency = Adjacency::forward(port, 1500, neighbor, MAC, 0);
    Change::Nexthop(NexthopId(number), up.then_some(adjacency))
}

/// A group of this many members with so many buckets.
pub fn group(number: u32, members: u32, buckets: u32) -> Change {
    let buckets = (0..buckets).map(|b| NexthopId(b % members)).collect();
    Change::Group(GroupId(number), Some(buckets))
}

pub fn prefix(address: IpAddr, length: u8, number: u32) -> Change {
    Change::Prefix(address, length, Some(Lead::Group(GroupId(number))))
}

/// 10.5.c.d
pub fn v4(c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(10, 5, c, d).into()
}

/// 2001:db8:n::
pub fn v6(n: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0).into()
}

/// Four next hops, and groups 8 (all of them, with so many buckets) and 9 (the first alone).
pub fn plan(setting: Setting, buckets: u32) -> Vec<Change> {
    let entry = Entry {
        mac: MAC,
        untagged: true,
    };
    let mut plan = vec![Change::Hash(Box::new(
        Settings::new(setting.design().hash()).into(),
    ))];
    plan.extend(PORTS.map(|port| Change::Port(port, Some(entry))));
    plan.extend((0..4).map(|n| nexthop(n, true)));
    plan.extend([group(8, 4, buckets), group(9, 1, buckets)]);
    plan.extend([prefix(v4(0, 0), 16, 8), prefix(v4(16, 0), 22, 9)]);
    plan.extend([prefix(v6(0), 32, 9), prefix(v6(7), 48, 8)]);
    plan
}

/// Changes of the plan, one after another.
pub fn changes(buckets: u32) -> Vec<(&'static str, Vec<Change>)> {
    vec![
        ("a next hop dies", vec![nexthop(2, false)]),
        ("it is no member", vec![group(8, 2, buckets)]),
        ("it is back", vec![nexthop(2, true), group(8, 4, buckets)]),
        ("a prefix goes", vec![Change::Prefix(v4(16, 0), 22, None)]),
        ("another comes", vec![prefix(v4(24, 0), 24, 9)]),
    ]
}

/// xorshift64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

/// UDP to one of a few destinations, sometimes with a TTL that is software's, or not for us.
pub fn frame(random: &mut Random) -> Vec<u8> {
    let mut bytes = [&MAC[..], &[2, 0, 0, 0, 1, 0]].concat();
    bytes[5] -= u8::from(random.below(16) == 0);
    let ttl = random.below(5) as u8 * 16;
    if random.below(2) == 0 {
        bytes.extend([8, 0]);
        let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, ttl, 17, 0, 0, 10, 0, 0];
        header.extend([random.below(200) as u8 + 1, 10]);
        header.extend([4 + random.below(2) as u8, random.below(32) as u8, 2]);
        let sum = fastpath::wire::checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(header);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, ttl]);
        let source = Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, random.below(999) as u16);
        let net = 6 + random.below(3) as u16;
        let destination = Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, 2);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
    }
    bytes.extend([random.below(256) as u8, random.below(256) as u8]);
    bytes.extend([0x13, 0x88, 0, 12, 1, 1, 1, 2, 3, 4]);
    bytes
}

/// Ports that had a packet: which, whether by its far end (or by its worker), and the packet.
pub type Found = Vec<(usize, bool, Vec<u8>)>;

/// What a NIC without DPDK makes of a packet.
pub fn directly(sim: &mut Sim, port: usize, bytes: &[u8]) -> Found {
    let mut frame = bytes.to_vec();
    match sim.receive(PORTS[port], &mut frame) {
        Outcome::Sent(to) => vec![(usize::from(to.0), true, frame)],
        Outcome::Software { .. } => vec![(port, false, frame)],
        Outcome::Kernel | Outcome::Lost(_) => Vec::new(),
    }
}

//! A compiled program, kept by two engines: one over a simulated e-switch, the other over rte_flow, DPDK
//! and the driver. Every packet fares the same.

mod support;

use fastpath::dpdk::{Flow, FlowOptions, Pool, PoolOptions, Port, RxQueue, TxQueue};
use fastpath::hardware::Steering;
use fastpath::hardware::compile::{Config, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Entry, Family, Lead, NexthopId};
use fastpath::hardware::sim::{Kind, Outcome, Profile, Sim};
use fastpath::hash::{Algorithm, Choice, Field, Fields, Settings};
use fastpath::table::{Adjacency, GroupId, PortId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use support::{open, received, send};

/// A wire, and two functions of the host.
const PORTS: [PortId; 3] = [PortId(0), PortId(1), PortId(2)];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

fn config() -> Config {
    let role = Role::Dpu {
        proxy: PORTS[0],
        uplinks: vec![PORTS[0]],
        functions: vec![PORTS[1], PORTS[2]],
    };
    Config::new(role, Design::Rows, 1500)
}

fn nexthop(number: u32, up: bool) -> Change {
    let port = PORTS[1 + number as usize % 2];
    let neighbor = [2, 0, 0, 0, 1, number as u8];
    let adjacency = Adjacency::forward(port, 1500, neighbor, MAC, 0);
    Change::Nexthop(NexthopId(number), up.then_some(adjacency))
}

fn group(number: u32, members: u32) -> Change {
    let buckets = (0..64).map(|b| NexthopId(b % members)).collect();
    Change::Group(GroupId(number), Some(buckets))
}

fn prefix(address: IpAddr, length: u8, number: u32) -> Change {
    Change::Prefix(address, length, Some(Lead::Group(GroupId(number))))
}

/// A plan, and what changes in it.
fn history() -> Vec<Vec<Change>> {
    let entry = Entry {
        mac: MAC,
        untagged: true,
    };
    let choice = Choice {
        algorithm: Algorithm::Crc32,
        fields: Fields::default().with(Field::Ipv6Label, false),
        symmetric: false,
        ..Choice::default()
    };
    let v4 = |c, d| IpAddr::from(Ipv4Addr::new(10, 5, c, d));
    let v6 = |n| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0));
    let mut plan = vec![Change::Hash(Box::new(Settings::new(choice).into()))];
    plan.extend(PORTS.map(|port| Change::Port(port, Some(entry))));
    plan.extend((0..4).map(|n| nexthop(n, true)));
    plan.extend([group(8, 4), group(9, 1)]);
    plan.extend([prefix(v4(0, 0), 16, 8), prefix(v4(16, 0), 22, 9)]);
    plan.extend([prefix(v6(0), 32, 9), prefix(v6(7), 48, 8)]);
    vec![
        plan,
        vec![nexthop(2, false)],
        vec![group(8, 3)],
        vec![nexthop(2, true)],
        vec![Change::Prefix(v4(16, 0), 22, None)],
    ]
}

/// UDP to one of a few destinations, sometimes with a TTL that is software's, or not for us.
fn frame(random: &mut impl FnMut(u64) -> u64) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 1, 0];
    bytes[5] -= u8::from(random(16) == 0);
    let ttl = random(5) as u8 * 16;
    if random(2) == 0 {
        bytes.extend([8, 0]);
        let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, ttl, 17, 0, 0, 10, 0, 0];
        header.extend([
            random(200) as u8 + 1,
            10,
            4 + random(2) as u8,
            random(32) as u8,
            2,
        ]);
        let sum = fastpath::wire::checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(header);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, ttl]);
        let source = Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, random(999) as u16);
        let net = 6 + random(3) as u16;
        let destination = Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, 2);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
    }
    bytes.extend([
        random(256) as u8,
        random(256) as u8,
        0x13,
        0x88,
        0,
        12,
        1,
        1,
        1,
        2,
        3,
        4,
    ]);
    bytes
}

/// Of each port: what its worker receives, and its far end.
type End<'q> = (RxQueue<'q>, RxQueue<'q>, TxQueue<'q>);

/// One packet: each port that had it, by the worker's side or the far one.
fn through(
    pool: &Pool<'_>,
    ends: &mut [End<'_>],
    port: usize,
    bytes: &[u8],
) -> Vec<(usize, bool, Vec<u8>)> {
    send(pool, &mut ends[port].2, &[bytes.to_vec()]);
    let mut found = Vec::new();
    for (at, (worker, _, _)) in ends.iter_mut().enumerate() {
        found.extend(received(worker).into_iter().map(|f| (at, false, f)));
    }
    for (at, (_, far, _)) in ends.iter_mut().enumerate() {
        found.extend(received(far).into_iter().map(|f| (at, true, f)));
    }
    found
}

/// What the program of the other engine makes of it.
fn directly(sim: &mut Sim, port: usize, bytes: &[u8]) -> Vec<(usize, bool, Vec<u8>)> {
    let mut frame = bytes.to_vec();
    match sim.receive(PORTS[port], &mut frame) {
        Outcome::Sent(to) => vec![(usize::from(to.0), true, frame)],
        Outcome::Software { .. } => vec![(port, false, frame)],
        Outcome::Kernel | Outcome::Lost(_) => Vec::new(),
    }
}

/// Packets that both engines' programs forwarded alike, of each family.
fn compare<S: Steering>(
    (pool, ends): (&Pool<'_>, &mut [End<'_>]),
    real: &mut Engine<S>,
    model: &mut Engine<Sim>,
) -> [usize; 2] {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % below
    };
    let mut forwarded = [0; 2];
    for (nth, changes) in history().iter().enumerate() {
        for change in changes {
            real.apply(change);
            model.apply(change);
        }
        assert!(real.settle(usize::MAX) && model.settle(usize::MAX));
        assert_eq!(real.operations().failed, 0, "{nth}");
        for _ in 0..400 {
            let (port, bytes) = (random(3) as usize, frame(&mut random));
            let found = through(pool, ends, port, &bytes);
            let expected = directly(model.steering_mut(), port, &bytes);
            assert_eq!(found, expected, "{nth}: port {port}, {bytes:02x?}");
            assert_eq!(found.len(), 1, "nothing is lost");
            forwarded[usize::from(bytes[12] == 0x86)] += usize::from(found[0].1);
        }
    }
    assert_eq!(model.steering().misuses(), [""; 0]);
    let done = |operations: fastpath::hardware::engine::Operations| operations.done;
    assert_eq!(done(real.operations()), done(model.operations()));
    forwarded
}

#[test]
fn a_compiled_program_does_the_same_through_dpdk() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let near = |n: usize| {
        let device = format!(
            "net_evenpath_sim{n},profile=bf3,function={}",
            u8::from(n > 0)
        );
        open(
            &pool,
            format!("near{n}"),
            device,
            Some(FlowOptions::default()),
        )
    };
    let far = |n: usize| {
        let device = format!("net_evenpath_wire{n},of=net_evenpath_sim{n}");
        open(&pool, format!("far{n}"), device, None)
    };
    let mut near: Vec<Port> = (0..3).map(near).collect();
    let mut far: Vec<Port> = (0..3).map(far).collect();
    for port in near.iter_mut().chain(&mut far) {
        port.start().unwrap();
    }
    let ends = near.iter().zip(&far).map(|(near, far)| {
        let (mut rx, mut tx) = far.queues().unwrap();
        let worker = near.queues().unwrap().0.remove(0);
        (worker, rx.remove(0), tx.remove(0))
    });
    let mut ends: Vec<End> = ends.collect();

    let profile = Profile::bf3().switchdev();
    let mut sim = Sim::new(profile.clone());
    for (n, port) in PORTS.into_iter().enumerate() {
        let kind = if n == 0 { Kind::Uplink } else { Kind::Function };
        sim.attach(port, kind, false);
    }
    let ports: Vec<(PortId, &Port)> = PORTS.into_iter().zip(&near).collect();
    let flow = Flow::new(&ports, profile.capabilities).unwrap();
    let mut real = Engine::new(flow, config());
    let mut model = Engine::new(sim, config());
    let forwarded = compare((&pool, &mut ends), &mut real, &mut model);
    println!("forwarded by hardware, IPv4 and IPv6: {forwarded:?}");
    assert!(forwarded.iter().all(|n| *n > 200), "{forwarded:?}");
    for family in Family::ALL {
        assert_eq!(real.agrees(family), Some(true), "rows of {family:?}");
    }
}

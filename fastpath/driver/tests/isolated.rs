//! Isolated mode: the kernel keeps its netdev, and gets all but what the program's root takes.
//!
//! ```text
//!  wire ─► root ─┬─ for our MAC address, IP ─► the program ─┬─► hairpin ─► wire
//!                │                                          ├─► the workers' queues
//!                └─ ARP, ND, LLDP, of others ─► kernel ◄────┴─ own addresses
//! ```

mod support;

use fastpath::dpdk::{Pool, PoolOptions, Port, RxQueue};
use fastpath::hardware::compile::Design;
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Lead};
use fastpath::hardware::sim::Outcome;
use support::fabric::Fabric;
use support::plan::{MAC, PORTS, Random, Setting, config, directly, frame, model, plan, v4};
use support::{open, received};

/// What the kernel beside a port lives by, and the program's root takes: BGP with a TTL of 1, a ping of an
/// own address, neighbor discovery of a link-local one.
fn kernels_by_address() -> [Vec<u8>; 3] {
    let mut low = bgp();
    low[22] = 1;
    let sum = fastpath::wire::checksum::checksum(&[&low[14..24], &[0, 0], &low[26..34]].concat());
    low[24..26].copy_from_slice(&sum.to_be_bytes());
    let mut ping = bgp();
    ping[23] = 1;
    let mut discovery = [
        &MAC[..],
        &[2, 0, 0, 0, 1, 0, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255],
    ]
    .concat();
    discovery.extend(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
    discovery.extend(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).octets());
    discovery.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    discovery.extend([0; 16]);
    [low, ping, discovery]
}

/// What a netdev lives by, and no program takes.
fn kernels_own() -> [Vec<u8>; 4] {
    let with = |to: [u8; 6], ethertype: [u8; 2]| {
        let mut bytes = [&to[..], &[2, 0, 0, 0, 1, 0], &ethertype].concat();
        bytes.resize(64, 0);
        bytes
    };
    let multicast = |last: u8| {
        let mut bytes = with([0x33, 0x33, 0xff, 0, 0, last], [0x86, 0xdd]);
        bytes[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 10, 58, 255]);
        bytes
    };
    [
        with([0xff; 6], [8, 6]),
        // An answer to us.
        with(MAC, [8, 6]),
        multicast(9),
        with([1, 0x80, 0xc2, 0, 0, 14], [0x88, 0xcc]),
    ]
}

/// TCP to port 179 of an own address.
fn bgp() -> Vec<u8> {
    let mut bytes = [&MAC[..], &[2, 0, 0, 0, 1, 0, 8, 0]].concat();
    let mut header = vec![0x45, 0, 0, 40, 0, 7, 0, 0, 64, 6, 0, 0];
    header.extend([10, 0, 0, 9, 10, 5, 31, 1]);
    let sum = fastpath::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.extend([0x9c, 0x40, 0, 179, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0]);
    bytes.extend([0; 4]);
    bytes
}

fn kernel_had(kernels: &mut [RxQueue<'_>]) -> Vec<(usize, Vec<u8>)> {
    let each = kernels.iter_mut().enumerate();
    let had = each.flat_map(|(at, queue)| received(queue).into_iter().map(move |f| (at, f)));
    had.collect()
}

fn life(pool: &Pool<'_>, setting: Setting) {
    let fabric = Fabric::new(pool, setting, "bf3", "", true);
    let kernel = |n: usize| {
        let device = format!("net_evenpath_wire{},of=net_evenpath_sim{n},kernel=1", n + 3);
        let mut port = open(pool, format!("kernel{n}"), device, None);
        port.start().unwrap();
        port
    };
    let kernels: Vec<Port<'_>> = (0..3).map(kernel).collect();
    let queues = kernels
        .iter()
        .map(|port| port.queues().unwrap().0.remove(0));
    let mut kernels: Vec<RxQueue<'_>> = queues.collect();
    let mut ends = fabric.ends(pool);
    let _bound = fabric.bind();
    let can = setting.profile("bf3").capabilities;
    let mut random = Random(0x1234_5678_9abc_def1);

    // Without a program all of it is the kernel's.
    for at in 0..3 {
        for bytes in kernels_own().into_iter().chain([bgp(), frame(&mut random)]) {
            assert!(ends.through(at, &bytes).is_empty());
            assert_eq!(kernel_had(&mut kernels), [(at, bytes)]);
        }
    }

    let mut changes = plan(setting, 16);
    let own = Change::Prefix(v4(31, 1), 32, Some(Lead::Kernel));
    changes.push(own);
    let programs = (0..3).map(|at| {
        let mut real = fabric.engine(at, &can, true);
        let hairpins = fabric.hairpins(at);
        let sim = model(setting, setting.profile("bf3"), at, &hairpins, true);
        let mut model = Engine::new(sim, config(setting, at, &hairpins, true));
        for change in &changes {
            real.apply(change);
            model.apply(change);
        }
        assert!(real.settle(usize::MAX) && model.settle(usize::MAX));
        assert_eq!(real.operations().failed, 0);
        (real, model)
    });
    let (real, mut models): (Vec<_>, Vec<_>) = programs.unzip();

    // Hardware's, the workers', the kernel's.
    let mut whose = [0; 3];
    for nth in 0..900 {
        let at = nth % 3;
        let bytes = match nth / 3 {
            0 => bgp(),
            n @ 1..5 => kernels_own()[n - 1].clone(),
            n @ 5..8 => kernels_by_address()[n - 5].clone(),
            _ => frame(&mut random),
        };
        let found = ends.through(at, &bytes);
        let had = kernel_had(&mut kernels);
        let sim = models[at].steering_mut();
        assert_eq!(found, directly(sim, at, &bytes), "port {at}: {bytes:02x?}");
        let kernels = sim.receive(PORTS[at], &mut bytes.clone()) == Outcome::Kernel;
        let expected = if kernels {
            vec![(at, bytes)]
        } else {
            Vec::new()
        };
        assert_eq!(had, expected);
        assert_eq!(found.len() + had.len(), 1, "nothing is lost");
        assert!(nth >= 24 || kernels, "what the kernel lives by");
        match found.first() {
            Some((_, true, _)) => whose[0] += 1,
            Some(_) => whose[1] += 1,
            None => whose[2] += 1,
        }
    }
    println!("{setting:?}: hardware's, workers', the kernel's: {whose:?}");
    assert!(whose.iter().all(|n| *n > 40), "{whose:?}");

    // The program ends, and the kernel has its netdev back.
    drop(real);
    assert!(ends.through(0, &bgp()).is_empty());
    assert_eq!(kernel_had(&mut kernels), [(0, bgp())]);
}

#[test]
fn the_kernel_keeps_what_it_lives_by() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    life(&pool, Setting::Transit(Design::Rows));
    life(&pool, Setting::Transit(Design::Rss));
    assert_eq!(pool.in_use(), 0);
}

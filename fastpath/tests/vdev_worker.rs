//! A worker on real drivers: packets from a pcap file through `rte_fib` to pcap files, one per port,
//! byte by byte what the same worker makes of them on heap frames and the naive model.
#![cfg(feature = "dpdk")]

mod support;

use fastpath::dpdk::{
    Eal, Fib, FibOptions, Memory, Options as EalOptions, Pool, PoolOptions, Port, PortOptions,
    Registered, now_ns,
};
use fastpath::software::icmp::Limit;
use fastpath::software::worker::{Attached, Gleans, Parts, Role, Worker};
use fastpath::table::stats::WorkerStats;
use fastpath::table::{PortId, Traffic, Writer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::packet::{V4, V6, to_router, udp, v4, v6};
use support::pcap;
use support::{Options, PORTS, Router, tables, view};

/// Flows over both leaves, and everything that ends otherwise: fragments, ICMP, drops, punts.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut add = |packet: Vec<u8>| frames.push(to_router(0, &packet));
    for flow in 0..500u16 {
        let payload = || udp(1000 + flow, 443, usize::from(flow));
        let (four, six) = (
            v4("10.244.1.10", "10.9.9.9"),
            v6("fd00:f4::10", "2001:db8::9"),
        );
        add(V4 {
            payload: payload(),
            ..four
        }
        .bytes());
        add(V6 {
            payload: payload(),
            ..six
        }
        .bytes());
        // MTU 600: fragments of the larger ones.
        let narrow = v4("10.244.1.10", "172.17.0.9");
        let payload = udp(flow, 53, usize::from(2 * flow));
        add(V4 { payload, ..narrow }.bytes());
        // Tagged.
        add(v4("10.244.1.10", "172.16.0.9").bytes());
        // No route, blackhole, unreachable, punt, glean, TTL.
        let others = [
            "9.9.9.9",
            "192.0.2.1",
            "198.51.100.1",
            "10.244.1.1",
            "10.244.1.77",
        ];
        add(v4("10.244.1.10", others[usize::from(flow) % 5]).bytes());
        add(V4 {
            ttl: 1,
            ..v4("10.244.1.10", "10.9.9.9")
        }
        .bytes());
    }
    for (i, frame) in frames.iter_mut().enumerate() {
        if i % 97 == 0 {
            frame.truncate(i % 60);
        }
    }
    frames.retain(|frame| frame.len() >= 14);
    frames
}

fn path(name: String) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn pcap_to_pcap_equals_heap_frames_and_the_model() {
    let frames = frames();
    let mut model = Router::new(Options::default());
    let expected = model.send(0, &frames);
    assert!(expected.iter().take(5).all(|out| !out.is_empty()));

    let eal = Eal::init(&EalOptions {
        memory: Memory::Ordinary { mib: 512 },
        ..EalOptions::default()
    })
    .unwrap();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let input = path("worker_in.pcap".into());
    pcap::write(&input, &frames);
    let output = |i: usize| path(format!("worker_out{i}.pcap"));
    let mut ports: Vec<Port> = (0..PORTS)
        .map(|i| {
            let from = match i {
                0 => format!("rx_pcap={},", input.display()),
                _ => String::new(),
            };
            let device = format!("net_pcap,{from}tx_pcap={}", output(i).display());
            Port::open(&pool, &PortOptions::new(format!("p{i}"), device), None).unwrap()
        })
        .collect();
    for port in &mut ports {
        port.start().unwrap();
    }

    let options = Options::default();
    let [active, standby] = [(), ()].map(|()| {
        let fib = Fib::new(eal.handle(), FibOptions::default()).unwrap();
        view(fib, &options)
    });
    let tables = Arc::new(tables());
    let (writer, registry) = Writer::new(Arc::clone(&tables), active, standby);
    let stats = Arc::new(WorkerStats::with_buckets(tables.groups.buckets_capacity()));
    stats.samples().set_every(10);
    let (mut receive, mut transmit) = (Vec::new(), Vec::new());
    for (i, port) in ports.iter().enumerate() {
        let (rx, tx) = port.queues().unwrap();
        let (port, role) = (PortId(i as u16), Role::Network);
        receive.extend(rx.into_iter().map(|queue| Attached { queue, port, role }));
        transmit.extend(tx.into_iter().map(|queue| Attached { queue, port, role }));
    }
    let parts = Parts {
        receive,
        transmit,
        allocator: pool.allocator(),
        views: registry.reader(),
        tables,
        stats: Arc::clone(&stats),
        gleans: Arc::new(Gleans::new(4)),
        icmp_limit: Limit::new(u32::MAX, u32::MAX, now_ns),
        punts: options.punts,
    };
    let handle = eal.handle();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let _registered = Registered::new(handle).unwrap();
            let mut worker = Worker::new(parts);
            // A pcap file yields nothing only at its end.
            while worker.turn() != 0 {}
        });
    });
    drop(writer);
    drop(ports);
    assert_eq!(pool.in_use(), 0);
    for (i, expected) in expected.iter().enumerate() {
        let out = pcap::read(&output(i));
        assert_eq!(out.len(), expected.len(), "frames out of port {i}");
        for (n, (out, expected)) in out.iter().zip(expected).enumerate() {
            assert_eq!(out, expected, "frame {n} out of port {i}");
        }
    }
    let counters = stats.snapshot();
    assert_eq!(counters.received_total(), frames.len() as u64);
    assert_eq!(counters.balance(), model.counters().balance());
    let (made, gone) = counters.balance();
    assert_eq!(made, gone);
    let (driven, modelled) = (stats.buckets(), model.stats.buckets());
    let mut forwarded = Traffic::default();
    for bucket in 0..driven.len() as u32 {
        assert_eq!(
            driven.word(bucket),
            modelled.word(bucket),
            "bucket {bucket}"
        );
        forwarded += Traffic::between(0, driven.word(bucket));
    }
    let mut sampled = 0;
    while let Some(sample) = stats.samples().take() {
        assert_eq!((sample.port, sample.packets), (PortId(0), 10));
        // The frame as it came in, not as it left.
        let length = sample.frame(0).len();
        let is_it = |f: &Vec<u8>| f.len() == length && f.starts_with(sample.kept());
        assert!(frames.iter().any(is_it));
        sampled += 1;
    }
    let of = frames.len();
    assert!((of / 13..of / 8).contains(&sampled), "{sampled} of {of}");
    let own = counters.icmp_sent + counters.fragments;
    assert_eq!(forwarded.packets, counters.sent_total() - own);
    assert!(
        driven.word(64) != 0 && driven.word(127) != 0,
        "both ends of the group"
    );
}

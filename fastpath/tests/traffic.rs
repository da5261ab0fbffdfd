//! Bucket by bucket, what is counted is what went out.

mod support;

use fastpath::software::{lookup, parse, select};
use fastpath::table::traffic::Traffic;
use fastpath::table::{DropReason, PortId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use support::packet::{V4, V6, to_router, udp, v4, v6};
use support::{Options, Router, tables};

/// Packets and bytes by place in the arena.
type Sums = BTreeMap<u32, Traffic>;

fn counted(router: &Router) -> Sums {
    let counters = router.stats.buckets();
    let all = (0..counters.len() as u32).map(|i| (i, Traffic::between(0, counters.word(i))));
    all.filter(|(_, t)| *t != Traffic::default()).collect()
}

/// Flows over both leaves, one frame each, and some that are dropped or the kernel's.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for flow in 0..700_u16 {
        let payload = udp(1000 + flow, 443, usize::from(flow % 90));
        let packet = match flow % 2 {
            0 => V4 {
                payload,
                ..v4("10.244.1.10", "10.9.9.9")
            }
            .bytes(),
            _ => V6 {
                payload,
                ..v6("fd00:f4::10", "2001:db8::9")
            }
            .bytes(),
        };
        frames.push(to_router(0, &packet));
    }
    for to in [
        "9.9.9.9",
        "192.0.2.1",
        "198.51.100.1",
        "10.244.1.1",
        "10.244.1.77",
    ] {
        frames.push(to_router(0, &v4("10.244.1.10", to).bytes()));
    }
    let late = V4 {
        ttl: 1,
        ..v4("10.244.1.10", "10.9.9.9")
    };
    frames.push(to_router(0, &late.bytes()));
    frames
}

#[test]
fn every_packet_sent_is_counted_for_its_bucket_and_no_other() {
    let frames = frames();
    let mut router = Router::new(Options::default());
    let view = router.writer.views.current();
    let tables = tables();
    let mut expected = Sums::new();
    for frame in &frames {
        let Ok(found) = parse::describe(frame, PortId(0), &view.ports[0], &view.hash) else {
            continue;
        };
        let group = match found.destination {
            std::net::IpAddr::V4(a) => lookup::group4(view, a.to_bits()),
            std::net::IpAddr::V6(a) => lookup::group6(view, a.octets()),
        };
        let taken = select::member(&tables, group, found.hash).unwrap();
        let is_late = frame[14] >> 4 == 4 && frame[22] == 1;
        if tables.adjacencies.slot(taken).facts().is_forward() && !is_late {
            let word = tables.groups.word(group);
            let sum = expected
                .entry(word.base() + word.bucket(found.hash))
                .or_default();
            *sum += Traffic {
                packets: 1,
                bytes: frame.len() as u64,
            };
        }
    }
    let packets: u64 = expected.values().map(|t| t.packets).sum();
    assert!(
        packets == 700 && expected.len() > 50,
        "{packets} {}",
        expected.len()
    );
    router.send(0, &frames);
    assert_eq!(counted(&router), expected);
    let sent = router.counters();
    let out: u64 = sent.sent_total() - sent.icmp_sent;
    assert_eq!(out, packets, "what went out but for our own answers");
    assert_eq!(sent.dropped(DropReason::TtlExceeded), 1);
}

/// A fragment that waits for its first one is counted when it leaves, and not before.
#[test]
fn a_fragment_that_waited_is_counted_once() {
    let mut router = Router::new(Options {
        joining: (16, || 0),
        ..Options::default()
    });
    let piece = |offset: u16, more: bool| {
        let payload = if offset == 0 {
            udp(7, 8, 16)
        } else {
            vec![0; 24]
        };
        let word = offset / 8 | u16::from(more) << 13;
        to_router(
            0,
            &V4 {
                fragment_word: word,
                payload,
                ..v4("10.244.1.10", "10.9.9.9")
            }
            .bytes(),
        )
    };
    router.send(0, &[piece(24, false)]);
    assert_eq!(counted(&router), Sums::new());
    router.send(0, &[piece(0, true)]);
    let packets: u64 = counted(&router).values().map(|t| t.packets).sum();
    assert_eq!((packets, counted(&router).len()), (2, 1), "one bucket");
}

static READS: AtomicU64 = AtomicU64::new(0);

fn clock() -> u64 {
    READS.fetch_add(1, Ordering::Relaxed)
}

/// Which buckets are in use is read off their counters: a burst writes the words of the buckets that it uses,
/// one each, and asks no clock for it.
#[test]
fn that_a_bucket_is_in_use_costs_nothing_beside_its_counter() {
    let mut router = Router::new(Options {
        joining: (16, clock),
        ..Options::default()
    });
    let flow = |port: u16| {
        let payload = udp(port, 443, 0);
        let packet = V4 {
            payload,
            ..v4("10.244.1.10", "10.9.9.9")
        };
        to_router(0, &packet.bytes())
    };
    let before = READS.load(Ordering::Relaxed);
    for packets in [1, 32, 320] {
        let was = counted(&router);
        router.send(0, &vec![flow(1000); packets]);
        let is = counted(&router);
        let changed = is.iter().filter(|(at, sum)| was.get(at) != Some(sum));
        let changed: Vec<_> = changed.collect();
        assert_eq!(changed.len(), 1, "{packets} packets of one flow");
    }
    assert_eq!(READS.load(Ordering::Relaxed), before, "for no packet");
}

//! ICMP errors, byte by byte, and when there is none.

mod support;

use fastpath::table::DropReason;
use std::net::IpAddr;
use support::packet::{V4, V6, from_router, icmp_error, to_router, udp, v4, v6};
use support::{Options, Router, SMALL4, SMALL6, source4, source6};

fn ttl(ttl: u8, packet: V4) -> Vec<u8> {
    V4 { ttl, ..packet }.bytes()
}

fn hops(hop_limit: u8, packet: V6) -> Vec<u8> {
    V6 {
        hop_limit,
        ..packet
    }
    .bytes()
}

#[test]
fn every_error_byte_by_byte() {
    let long4 = |destination: &str, payload: usize| V4 {
        payload: udp(1, 2, payload),
        fragment_word: 0x4000,
        tos: 0xb9,
        ..v4("10.244.1.10", destination)
    };
    let long6 = |destination: &str, payload: usize| V6 {
        payload: udp(1, 2, payload),
        ..v6("fd00:f4::10", destination)
    };
    use DropReason::*;
    let (big4, big6) = (u32::from(SMALL4), u32::from(SMALL6));
    for (packet, kind, code, word, reason) in [
        (
            ttl(1, v4("10.244.1.10", "172.16.0.9")),
            11,
            0,
            0,
            TtlExceeded,
        ),
        (
            ttl(0, v4("10.244.1.10", "172.16.0.9")),
            11,
            0,
            0,
            TtlExceeded,
        ),
        (
            hops(1, v6("fd00:f4::10", "fd00:16::9")),
            3,
            0,
            0,
            TtlExceeded,
        ),
        (v4("10.244.1.10", "8.8.8.8").bytes(), 3, 0, 0, NoRoute),
        (ttl(1, v4("10.244.1.10", "8.8.8.8")), 3, 0, 0, NoRoute),
        (v6("fd00:f4::10", "2600::1").bytes(), 1, 0, 0, NoRoute),
        (
            v4("10.244.1.10", "198.51.100.1").bytes(),
            3,
            1,
            0,
            Unreachable,
        ),
        (
            v6("fd00:f4::10", "2001:db8:9::1").bytes(),
            1,
            3,
            0,
            Unreachable,
        ),
        (
            v4("10.244.1.10", "203.0.113.1").bytes(),
            3,
            13,
            0,
            Prohibited,
        ),
        (
            v6("fd00:f4::10", "2001:db8:a::1").bytes(),
            1,
            1,
            0,
            Prohibited,
        ),
        (
            v4("10.244.1.10", "198.18.0.1").bytes(),
            3,
            1,
            0,
            NexthopDown,
        ),
        (
            v6("fd00:f4::10", "2001:db8:b::1").bytes(),
            1,
            3,
            0,
            NexthopDown,
        ),
        (long4("172.17.0.9", 1400).bytes(), 3, 4, big4, TooBig),
        (long4("172.17.0.9", 573).bytes(), 3, 4, big4, TooBig),
        (long6("fd00:17::9", 1400).bytes(), 2, 0, big6, TooBig),
        (long6("fd00:17::9", 1353).bytes(), 2, 0, big6, TooBig),
        (long4("8.8.8.8", 519).bytes(), 3, 0, 0, NoRoute),
        (long4("8.8.8.8", 521).bytes(), 3, 0, 0, NoRoute),
        (long6("2600::1", 1183).bytes(), 1, 0, 0, NoRoute),
        (long6("2600::1", 1185).bytes(), 1, 0, 0, NoRoute),
    ] {
        let mut router = Router::new(Options::default());
        // In on port 1, back to the host on port 0: the source is the address of the latter.
        let out = router.send_one(1, &to_router(1, &packet));
        let source: IpAddr = match packet[0] >> 4 {
            4 => source4(0).into(),
            _ => source6(0).into(),
        };
        let wanted = icmp_error(source, &packet, kind, code, word);
        assert_eq!(
            out,
            [(0, from_router(0, &wanted))],
            "{reason:?} {packet:x?}"
        );
        let counters = router.counters();
        assert_eq!((counters.dropped(reason), counters.icmp_sent), (1, 1));
    }
}

#[test]
fn just_small_enough_is_forwarded() {
    let mut router = Router::new(Options::default());
    let four = V4 {
        payload: udp(1, 2, 572),
        fragment_word: 0x4000,
        ..v4("10.244.1.10", "172.17.0.9")
    };
    let six = V6 {
        payload: udp(1, 2, 1352),
        ..v6("fd00:f4::10", "fd00:17::9")
    };
    let out = router.send(
        0,
        &[to_router(0, &four.bytes()), to_router(0, &six.bytes())],
    );
    assert_eq!(out[4].iter().map(Vec::len).collect::<Vec<_>>(), [614, 1414]);
}

#[test]
fn tags_of_the_question_are_not_on_the_answer_and_those_of_the_way_back_are() {
    let mut router = Router::new(Options::default());
    let packet = ttl(1, v4("172.16.0.9", "10.244.1.10"));
    let mut tagged = to_router(3, &packet);
    tagged.splice(12..12, [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]);
    let wanted = icmp_error(source4(3).into(), &packet, 11, 0, 0);
    let out = router.send_one(3, &tagged);
    assert_eq!(out, [(3, support::model::out(3, &wanted))]);
}

#[test]
fn silence_where_the_rfcs_want_it() {
    let with4 = |protocol, payload: &[u8], fragment_word| V4 {
        protocol,
        payload: payload.to_vec(),
        fragment_word,
        ttl: 1,
        ..v4("10.244.1.10", "172.16.0.9")
    };
    let with6 = |next_header, payload: &[u8]| V6 {
        next_header,
        payload: payload.to_vec(),
        hop_limit: 1,
        ..v6("fd00:f4::10", "fd00:16::9")
    };
    let error = [3, 1, 0, 0, 0, 0, 0, 0];
    let echo4 = [8, 0, 0, 0, 0, 0, 0, 0];
    let echo6 = [128, 0, 0, 0, 0, 0, 0, 0];
    let behind_options = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &error].concat();
    let first_fragment = [&[58, 0, 0, 1, 0, 0, 0, 9][..], &error].concat();
    for (what, packet, answered) in [
        ("echo", with4(1, &echo4, 0).bytes(), true),
        ("echo, no fragment", with4(1, &echo4, 0x4000).bytes(), true),
        (
            "echo, first fragment",
            with4(1, &echo4, 0x2000).bytes(),
            true,
        ),
        (
            "echo, later fragment",
            with4(1, &echo4, 0x2001).bytes(),
            false,
        ),
        (
            "UDP, last fragment",
            with4(17, &echo4, 0x0001).bytes(),
            false,
        ),
        ("ICMP error", with4(1, &error, 0).bytes(), false),
        (
            "redirect",
            with4(1, &[5, 0, 0, 0, 0, 0, 0, 0], 0).bytes(),
            false,
        ),
        (
            "unknown ICMP",
            with4(1, &[99, 0, 0, 0, 0, 0, 0, 0], 0).bytes(),
            false,
        ),
        ("no ICMP at all", with4(1, &[], 0).bytes(), false),
        ("v6 echo", with6(58, &echo6).bytes(), true),
        ("v6 error", with6(58, &error).bytes(), false),
        ("v6 redirect", with6(58, &[137, 0, 0, 0]).bytes(), false),
        (
            "v6 error behind options",
            with6(60, &behind_options).bytes(),
            false,
        ),
        (
            "v6 error in a first fragment",
            with6(44, &first_fragment).bytes(),
            false,
        ),
        ("v6 no ICMP at all", with6(58, &[]).bytes(), false),
        (
            "from an address of ours",
            ttl(1, v4("10.244.1.1", "172.16.0.9")),
            false,
        ),
        ("from nowhere", ttl(1, v4("8.8.8.8", "172.16.0.9")), false),
        (
            "from the unresolved",
            ttl(1, v4("10.244.1.99", "172.16.0.9")),
            false,
        ),
    ] {
        let mut router = Router::new(Options::default());
        let out = router.send_one(0, &to_router(0, &packet));
        assert_eq!(out.len(), usize::from(answered), "{what}");
        assert_eq!(
            router.counters().dropped(DropReason::TtlExceeded),
            1,
            "{what}"
        );
        assert_eq!(router.counters().icmp_sent, u64::from(answered), "{what}");
        assert!(router.gleans.is_empty(), "{what}");
    }
}

#[test]
fn without_an_address_or_with_the_way_back_dead_there_is_no_answer() {
    let mut router = Router::new(Options::default());
    let four = to_router(0, &ttl(1, v4("10.244.1.10", "172.16.0.9")));
    let six = to_router(0, &hops(1, v6("fd00:f4::10", "fd00:16::9")));
    router.update(|view| view.ports[0].source4 = None);
    assert!(router.send_one(0, &four).is_empty());
    assert_eq!(router.send_one(0, &six).len(), 1);
    router.update(|view| view.ports[0].source6 = None);
    assert!(router.send_one(0, &six).is_empty());
    router.update(|view| view.ports[0].source4 = Some(source4(0)));
    assert_eq!(router.send_one(0, &four).len(), 1);
    router
        .writer
        .tables
        .down
        .set_port(fastpath::table::PortId(0));
    assert!(router.send_one(0, &four).is_empty());
}

#[test]
fn the_rate_is_limited_and_the_rest_counted_as_dropped_only() {
    let mut router = Router::new(Options {
        icmp_burst: 3,
        ..Options::default()
    });
    let packet = to_router(0, &ttl(1, v4("10.244.1.10", "172.16.0.9")));
    let out = router.send(0, &vec![packet; 200]);
    assert_eq!(out[0].len(), 3, "the clock stands still");
    let counters = router.counters();
    assert_eq!(
        (
            counters.dropped(DropReason::TtlExceeded),
            counters.icmp_sent
        ),
        (200, 3)
    );
}

/// Many hops answer a traceroute through two equal paths: the answers take the bucket of the flow,
/// and so come from the member that its return packets come from.
#[test]
fn answers_take_the_way_of_the_flow() {
    let mut router = Router::new(Options::default());
    for i in 0..200 {
        let packet = V4 {
            payload: udp(i, 443, 8),
            ttl: 1,
            ..v4("10.9.9.9", "10.244.1.10")
        };
        let there = V4 {
            payload: udp(443, i, 8),
            ..v4("10.244.1.10", "10.9.9.9")
        };
        let answer = router.send_one(1, &to_router(1, &packet.bytes()));
        let data = router.send_one(0, &to_router(0, &there.bytes()));
        let [(port, answer)] = &answer[..] else {
            panic!("one answer")
        };
        assert_eq!(*port, data[0].0);
        assert_eq!(answer[26..30], source4(*port).octets());
    }
}

//! Packets in, packets out: forwarding, VLANs, exceptions, through a whole worker on heap frames.

mod support;

use fastpath::software::heap::{HeapAllocator, HeapFrame};
use fastpath::software::worker::Punts;
use fastpath::table::{AdjacencyId, DropReason, GroupId, PortId};
use std::net::IpAddr;
use support::packet::{V4, frame, from_router, next_hop, to_router, udp, v4, v6};
use support::{LEAF1, Options, Router, VLAN, model, neighbor_mac, port_mac, tight};

fn dropped(router: &Router, reason: DropReason) -> u64 {
    router.counters().dropped(reason)
}

#[test]
fn both_families_leave_rewritten() {
    let mut router = Router::new(Options::default());
    for (packet, port) in [
        (v4("10.244.1.10", "172.16.0.9").bytes(), 3),
        (v6("fd00:f4::10", "fd00:16::9").bytes(), 3),
        (v4("172.16.0.9", "10.244.1.10").bytes(), 0),
        (v6("fd00:16::9", "fd00:f4::10").bytes(), 0),
    ] {
        let out = router.send_one(1, &to_router(1, &packet));
        assert_eq!(out, [(port, model::out(port, &next_hop(&packet)))]);
    }
    let counters = router.counters();
    assert_eq!(
        (counters.ports[1].in_packets, counters.ports[3].out_packets),
        (4, 2)
    );
    let bytes = (14 + 20 + 48) + (14 + 40 + 48);
    assert_eq!(counters.ports[1].in_bytes, 2 * bytes);
    assert_eq!(counters.ports[0].out_bytes, bytes);
    assert_eq!(counters.ports[3].out_bytes, bytes + 8);
}

#[test]
fn flows_use_all_members_and_stay() {
    let mut router = Router::new(Options::default());
    let flow = |i: u16| V4 {
        payload: udp(i, 443, 10),
        ..v4("10.244.1.10", "10.9.9.9")
    };
    let frames: Vec<_> = (0..1000).map(|i| to_router(0, &flow(i).bytes())).collect();
    let first = router.send(0, &frames);
    let second = router.send(0, &frames);
    assert_eq!(first, second);
    assert_eq!(first[1].len() + first[2].len(), 1000);
    assert!(
        first[1].len() > 400 && first[2].len() > 400,
        "{}",
        first[1].len()
    );
    // The other direction of each flow hashes alike: send it towards the ECMP group as well.
    let back: Vec<_> = (0..1000)
        .map(|i| V4 {
            payload: udp(443, i, 10),
            ..v4("10.9.9.9", "10.244.1.10")
        })
        .map(|p| to_router(0, &p.bytes()))
        .collect();
    router.update(|view| {
        use fastpath::table::LpmWrite;
        let host = [10, 244, 1, 10].into();
        view.lpm.upsert4(host, 32, GroupId(2)).unwrap();
    });
    let back = router.send(0, &back);
    let port = |frame: &Vec<u8>, at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let there: Vec<_> = first[1].iter().map(|f| port(f, 34)).collect();
    let here: Vec<_> = back[1].iter().map(|f| port(f, 36)).collect();
    assert_eq!(there, here);
}

#[test]
fn vlan_tags_come_and_go() {
    for (vlan, tags, accepted) in [
        (0, &[][..], true),
        (0, &[(0x8100, 7)], true),
        (0, &[(0x8100, 0xe007)], true),
        (0, &[(0x88a8, 7), (0x8100, 8)], true),
        (7, &[(0x8100, 7)], true),
        (7, &[(0x8100, 0xe007)], true),
        (7, &[(0x8100, 8)], false),
        (7, &[], false),
    ] {
        let mut router = Router::new(Options {
            vlan,
            ..Options::default()
        });
        for (packet, ethertype) in [
            (v4("10.244.1.10", "172.16.0.9").bytes(), 0x0800),
            (v4("10.244.1.10", "10.244.1.10").bytes(), 0x0800),
            (v6("fd00:f4::10", "fd00:16::9").bytes(), 0x86dd),
        ] {
            let tagged = frame(port_mac(0), neighbor_mac(0), tags, ethertype, &packet);
            let out = router.send_one(0, &tagged);
            if accepted {
                let port = if packet[19] == 10 { 0 } else { 3 };
                assert_eq!(
                    out,
                    [(port, model::out(port, &next_hop(&packet)))],
                    "{tags:?}"
                );
            } else {
                assert!(out.is_empty(), "{tags:?}");
            }
        }
        let unknown = dropped(&router, DropReason::UnknownVlan);
        assert_eq!(unknown, if accepted { 0 } else { 3 });
    }
    assert_eq!(VLAN, 100);
}

#[test]
fn three_tags_are_the_kernels() {
    let mut router = Router::new(Options::default());
    let packet = v4("10.244.1.10", "172.16.0.9").bytes();
    let tags = [(0x88a8, 1), (0x8100, 2), (0x8100, 3)];
    let frame = frame(port_mac(0), neighbor_mac(0), &tags, 0x0800, &packet);
    assert!(router.send_one(0, &frame).is_empty());
    assert_eq!(router.counters().punted, 1);
}

#[test]
fn padding_stays_up_to_the_shortest_frame_and_no_further() {
    let mut router = Router::new(Options::default());
    let short = V4 {
        payload: udp(1, 2, 0),
        ..v4("10.244.1.10", "169.254.0.1")
    };
    for (packet, destination) in [
        (short.bytes(), "short"),
        (v4("10.244.1.10", "169.254.0.1").bytes(), "long"),
    ] {
        let bare = to_router(0, &packet);
        for padding in [0, 1, 18, 19, 40, 200] {
            let padded = [bare.clone(), vec![0x77; padding]].concat();
            let [(1, out)] = &router.send_one(0, &padded)[..] else {
                panic!("{destination} {padding}: not sent");
            };
            let wanted = bare.len().max(padded.len().min(60));
            assert_eq!(out.len(), wanted, "{destination} {padding}");
            assert!(out.starts_with(&from_router(1, &next_hop(&packet))));
        }
    }
}

/// Every TTL, with headers whose checksums carry: against a full computation.
#[test]
fn ttl_and_checksum_for_every_ttl() {
    let mut router = Router::new(Options::default());
    for ttl in 2..=255 {
        for id in (0..=0xffff).step_by(257) {
            let packet = V4 {
                ttl,
                id,
                ..v4("10.244.1.10", "169.254.0.1")
            };
            router.rx[0].put(&to_router(0, &packet.bytes()));
        }
    }
    for out in router.settle().swap_remove(1) {
        let ip = &out[14..];
        assert_eq!(support::packet::checksum(&ip[..20]), 0);
    }
    assert_eq!(router.counters().ports[1].out_packets, 254 * 256);
}

#[test]
fn the_dead_are_avoided_at_once_and_their_neighbors_keep_their_flows() {
    let mut router = Router::new(Options::default());
    let frames: Vec<_> = (0..500)
        .map(|i| V4 {
            payload: udp(i, 443, 0),
            ..v4("10.244.1.10", "10.9.9.9")
        })
        .map(|p| to_router(0, &p.bytes()))
        .collect();
    let before = router.send(0, &frames);
    let tables = std::sync::Arc::clone(&router.writer.tables);
    let report = tables.down.set_port(PortId(1));
    let during = router.send(0, &frames);
    assert!(during[1].is_empty() && during[2].len() == 500);
    assert!(before[2].iter().all(|f| during[2].contains(f)));
    // The route that has only the dead port.
    let only = to_router(0, &v4("10.244.1.10", "169.254.0.1").bytes());
    assert!(router.send_one(0, &only).is_empty());
    assert_eq!(dropped(&router, DropReason::PortDown), 1);
    assert!(tables.down.clear_port(PortId(1), report));
    assert_eq!(router.send(0, &frames), before);
    tables.down.set_adjacency(LEAF1);
    assert_eq!(router.send(0, &frames), during);
    // A dead neighbor on a living port is worth an answer.
    assert_eq!(router.send_one(0, &only)[0].0, 0);
    assert_eq!(dropped(&router, DropReason::NexthopDown), 1);
    assert_eq!(router.counters().icmp_sent, 1);
}

#[test]
fn what_is_for_the_kernel_goes_there_unchanged() {
    let arp = frame([0xff; 6], neighbor_mac(0), &[], 0x0806, &[0; 46]);
    let mine = to_router(0, &v4("10.244.1.10", "10.244.1.1").bytes());
    let last_hop = V4 {
        ttl: 1,
        ..v4("10.244.1.10", "169.254.0.2")
    };
    let frames = [
        ("ARP", arp),
        ("own address", mine),
        ("own address, TTL 1", to_router(0, &last_hop.bytes())),
        (
            "own v6",
            to_router(0, &v6("fd00:f4::10", "fd00:f4::1").bytes()),
        ),
        (
            "multicast",
            to_router(0, &v4("10.244.1.10", "224.0.0.5").bytes()),
        ),
        (
            "broadcast",
            to_router(0, &v4("10.244.1.10", "255.255.255.255").bytes()),
        ),
        (
            "v6 multicast",
            to_router(0, &v6("fd00:f4::10", "ff02::1").bytes()),
        ),
        (
            "v6 link-local to",
            to_router(0, &v6("fd00:f4::10", "fe80::1").bytes()),
        ),
        (
            "v6 link-local from",
            to_router(0, &v6("fe80::1", "2001:db8::1").bytes()),
        ),
        (
            "LLDP",
            frame(
                [1, 0x80, 0xc2, 0, 0, 14],
                neighbor_mac(0),
                &[],
                0x88cc,
                &[1; 50],
            ),
        ),
        (
            "LLC",
            frame(port_mac(0), neighbor_mac(0), &[], 0x0026, &[1; 50]),
        ),
    ];
    for (kernel, punts) in [
        (true, Punts::Drop),
        (false, Punts::Drop),
        (false, Punts::Count),
    ] {
        let mut router = Router::new(Options {
            kernel,
            punts,
            ..Options::default()
        });
        for (what, frame) in &frames {
            assert!(router.send_one(0, frame).is_empty(), "{what}");
            let there = router.to_kernel[0].take();
            assert_eq!(there.first(), Some(frame).filter(|_| kernel), "{what}");
        }
        let all = frames.len() as u64;
        let (punted, gone) = if kernel || punts == Punts::Count {
            (all, 0)
        } else {
            (0, all)
        };
        assert_eq!(router.counters().punted, punted);
        assert_eq!(dropped(&router, DropReason::NoKernel), gone);
        assert_eq!(router.counters().icmp_sent, 0);
    }
}

#[test]
fn the_kernels_frames_go_out_unchanged() {
    let mut router = Router::new(Options {
        kernel: true,
        ..Options::default()
    });
    let frame = frame([0xff; 6], port_mac(2), &[], 0x0806, &[9; 28]);
    router.from_kernel[2].put(&frame);
    let out = router.settle();
    assert_eq!(out[2], [frame.clone()]);
    let port = router.counters().ports[2];
    assert_eq!(
        (port.in_packets, port.kernel_packets, port.out_packets),
        (0, 1, 1)
    );
    router.writer.tables.down.set_port(PortId(2));
    router.from_kernel[2].put(&frame);
    assert!(router.settle()[2].is_empty());
    assert_eq!(dropped(&router, DropReason::PortDown), 1);
}

#[test]
fn wrong_packets_are_dropped_for_their_reason() {
    let good = v4("10.244.1.10", "172.16.0.9").bytes();
    let six = v6("fd00:f4::10", "fd00:16::9").bytes();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        to_router(0, &bytes)
    };
    let six_with = |at: usize, value: u8| {
        let mut bytes = six.clone();
        bytes[at] = value;
        to_router(0, &bytes)
    };
    let stranger = frame([2, 9, 9, 9, 9, 9], neighbor_mac(0), &[], 0x0800, &good);
    use DropReason::*;
    let cases = [
        ("other MAC", stranger, NotForUs),
        ("empty", vec![], Truncated),
        ("13 bytes", to_router(0, &good)[..13].to_vec(), Truncated),
        (
            "half a header",
            to_router(0, &good)[..33].to_vec(),
            Truncated,
        ),
        ("length beyond frame", to_router(0, &good[..67]), Truncated),
        ("v6 beyond frame", to_router(0, &six[..87]), Truncated),
        ("v6 half a header", to_router(0, &six[..39]), Truncated),
        (
            "version 5",
            frame(port_mac(0), neighbor_mac(0), &[], 0x0800, &six),
            BadHeader,
        ),
        (
            "v6 version 4",
            frame(port_mac(0), neighbor_mac(0), &[], 0x86dd, &good),
            BadHeader,
        ),
        ("header length 16", with(0, 0x44), BadHeader),
        ("total below header", with(3, 19), BadHeader),
        ("checksum", with(10, !good[10]), BadChecksum),
        (
            "source 127/8",
            to_router(0, &v4("127.0.0.1", "172.16.0.9").bytes()),
            MartianSource,
        ),
        (
            "source 0/8",
            to_router(0, &v4("0.0.0.0", "172.16.0.9").bytes()),
            MartianSource,
        ),
        (
            "source 224/4",
            to_router(0, &v4("239.1.1.1", "172.16.0.9").bytes()),
            MartianSource,
        ),
        (
            "source 240/4",
            to_router(0, &v4("255.255.255.255", "172.16.0.9").bytes()),
            MartianSource,
        ),
        (
            "to 127/8",
            to_router(0, &v4("10.244.1.10", "127.0.0.1").bytes()),
            MartianDestination,
        ),
        (
            "to 0/8",
            to_router(0, &v4("10.244.1.10", "0.0.0.0").bytes()),
            MartianDestination,
        ),
        (
            "to 240/4",
            to_router(0, &v4("10.244.1.10", "240.0.0.1").bytes()),
            MartianDestination,
        ),
        (
            "v6 from ::",
            to_router(0, &v6("::", "fd00:16::9").bytes()),
            MartianSource,
        ),
        (
            "v6 from ::1",
            to_router(0, &v6("::1", "fd00:16::9").bytes()),
            MartianSource,
        ),
        (
            "v6 from ff02::1",
            to_router(0, &v6("ff02::1", "fd00:16::9").bytes()),
            MartianSource,
        ),
        (
            "v6 to ::1",
            to_router(0, &v6("fd00:f4::10", "::1").bytes()),
            MartianDestination,
        ),
        (
            "v6 to ::",
            to_router(0, &v6("fd00:f4::10", "::").bytes()),
            MartianDestination,
        ),
        (
            "jumbogram",
            {
                let mut bytes = six_with(18 - 14, 0);
                bytes[14 + 4..14 + 7].fill(0);
                bytes
            },
            BadHeader,
        ),
        (
            "blackhole",
            to_router(0, &v4("10.244.1.10", "192.0.2.1").bytes()),
            Blackhole,
        ),
    ];
    for (what, frame, reason) in cases {
        let mut router = Router::new(Options::default());
        assert!(router.send_one(0, &frame).is_empty(), "{what}");
        assert_eq!(
            dropped(&router, reason),
            1,
            "{what}: {:?}",
            router.counters()
        );
    }
}

#[test]
fn a_port_that_is_not_there_takes_nothing() {
    let mut router = Router::new(Options::default());
    router.update(|view| view.ports[0].present = false);
    let frame = to_router(0, &v4("10.244.1.10", "172.16.0.9").bytes());
    assert!(router.send_one(0, &frame).is_empty());
    assert_eq!(dropped(&router, DropReason::PortDown), 1);
}

#[test]
fn unresolved_destinations_are_reported_once_a_burst() {
    let mut router = Router::new(Options::default());
    let to = |destination: &str| to_router(1, &v4("10.9.9.9", destination).bytes());
    let six = to_router(1, &v6("2001:db8::9", "fd00:f4::77").bytes());
    let frames = [to("10.244.1.7"), to("10.244.1.7"), to("10.244.1.8"), six];
    let out = router.send(1, &frames);
    assert!(out.iter().all(Vec::is_empty));
    assert_eq!(dropped(&router, DropReason::NeighborUnresolved), 4);
    assert_eq!(router.counters().icmp_sent, 0);
    let asked: Vec<_> = std::iter::from_fn(|| router.gleans.pop()).collect();
    let wanted = ["10.244.1.7", "10.244.1.8", "fd00:f4::77"];
    let wanted = wanted.map(|a| (PortId(0), a.parse::<IpAddr>().unwrap()));
    assert_eq!(asked, wanted);
    // More than the queue holds: lost, and no harm done.
    let many: Vec<_> = (20..80).map(|i| to(&format!("10.244.1.{i}"))).collect();
    router.send(1, &many);
    assert_eq!(router.gleans.len(), 4);
}

#[test]
fn packets_wait_for_their_neighbor_and_not_for_ever() {
    use fastpath::software::hold::{INTERVAL_NS, PATIENCE_NS};
    use std::cell::Cell;
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    let mut router = Router::new(Options {
        holding: (2, || NOW.get()),
        ..Options::default()
    });
    let packets = ["10.244.1.7", "10.244.1.8", "10.244.1.7"].map(|to| v4("10.9.9.9", to).bytes());
    let frames = packets.clone().map(|p| to_router(1, &p));
    assert!(router.send(1, &frames).iter().all(Vec::is_empty));
    assert_eq!(router.worker.waiting(), 2);
    assert_eq!(
        dropped(&router, DropReason::NeighborUnresolved),
        1,
        "no room"
    );
    let asked = router.gleans.len();
    router.update(|view| {
        use fastpath::table::LpmWrite;
        let host = view.lpm.upsert4([10, 244, 1, 7].into(), 32, GroupId(3));
        host.unwrap();
    });
    assert!(
        router.settle().iter().all(Vec::is_empty),
        "too early to try"
    );
    NOW.set(INTERVAL_NS);
    let out = router.settle();
    assert_eq!(out[0], [model::out(0, &next_hop(&packets[0]))]);
    assert_eq!(router.worker.waiting(), 1);
    assert_eq!(router.gleans.len(), asked, "a packet asks once");
    NOW.set(PATIENCE_NS);
    router.settle();
    assert_eq!(router.worker.waiting(), 0);
    assert_eq!(dropped(&router, DropReason::NeighborUnresolved), 2);
}

#[test]
fn a_full_transmit_ring_drops_the_rest() {
    let mut router = Router::new(Options {
        tx_at_most: 10,
        ..Options::default()
    });
    let frame = to_router(0, &v4("10.244.1.10", "169.254.0.1").bytes());
    // 64 in the first turn, 36 in the second; ten of each fit.
    let parts = vec![frame; 100];
    let out = router.send(0, &parts);
    assert_eq!(out[1].len(), 20);
    assert_eq!(dropped(&router, DropReason::TxFull), 80);
    let port = router.counters().ports[1];
    assert_eq!(
        (port.out_packets, port.out_bytes),
        (20, 20 * parts[0].len() as u64)
    );
}

#[test]
fn fragments_when_it_must() {
    let mut router = Router::new(Options::default());
    let big = V4 {
        payload: udp(1, 2, 1400),
        options: vec![148, 4, 0, 0],
        ..v4("10.244.1.10", "172.17.0.9")
    };
    let out = router.send(0, &[to_router(0, &big.bytes())]);
    let model::Fate::Sent(4, wanted) =
        model::fate(&Options::default().settings, 0, &to_router(0, &big.bytes()))
    else {
        panic!("the model forwards it");
    };
    assert_eq!((out[4].len(), &out[4]), (3, &wanted));
    assert_eq!(router.counters().fragments, 2);
    // Without frames for the fragments, nothing is sent.
    let mut poor = Router::new(Options {
        allocator: HeapAllocator { left: 1 },
        ..Options::default()
    });
    assert!(poor.send_one(0, &to_router(0, &big.bytes())).is_empty());
    assert_eq!(dropped(&poor, DropReason::NoBuffer), 1);
    assert_eq!(poor.counters().fragments, 0);
}

#[test]
fn without_headroom_a_tag_cannot_be_added() {
    let mut router = Router::new(Options::default());
    let tagged = to_router(0, &v4("10.244.1.10", "172.16.0.9").bytes());
    let plain = to_router(0, &v4("10.244.1.10", "169.254.0.1").bytes());
    let refused = to_router(0, &v4("10.244.1.10", "198.51.100.1").bytes());
    for frame in [tagged, plain, refused] {
        router.rx[0].put_frame(tight(&frame));
    }
    let out = router.settle();
    assert_eq!((out[1].len(), out[3].len(), out[0].len()), (1, 0, 0));
    assert_eq!(dropped(&router, DropReason::NoBuffer), 1);
    assert_eq!(router.counters().icmp_sent, 0, "no room for an answer");
    let roomy = HeapFrame::with_room(
        &to_router(0, &v4("10.244.1.10", "172.16.0.9").bytes()),
        4,
        0,
    );
    router.rx[0].put_frame(roomy);
    assert_eq!(router.settle()[3].len(), 1);
}

#[test]
fn default_routes_take_what_no_prefix_takes() {
    let mut router = Router::new(Options::default());
    let four = to_router(0, &v4("10.244.1.10", "8.8.8.8").bytes());
    let six = to_router(0, &v6("fd00:f4::10", "2600::1").bytes());
    router.update(|view| (view.default4, view.default6) = (GroupId(5), GroupId(12)));
    assert_eq!(router.send_one(0, &four)[0].0, 3);
    assert_eq!(router.send_one(0, &six)[0].0, 1);
    router.update(|view| (view.default4, view.default6) = (GroupId(999), GroupId(8)));
    assert_eq!(
        router.send_one(0, &four)[0].0,
        0,
        "an unknown group: network unreachable"
    );
    assert!(router.send_one(0, &six).is_empty());
    assert_eq!(dropped(&router, DropReason::NoRoute), 1);
    assert_eq!(dropped(&router, DropReason::Blackhole), 1);
    assert_eq!(AdjacencyId::default(), AdjacencyId::NO_ROUTE);
}

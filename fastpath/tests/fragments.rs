//! Fragments take their flow's path, through a whole worker on heap frames.

mod support;

use fastpath::hash::{Choice, Field, Fields, Settings};
use fastpath::software::fragments::{ROOM, WINDOW_NS};
use std::cell::Cell;
use std::collections::HashMap;
use support::packet::{V4, V6, frame, udp, v4, v6};
use support::{Options, Router, neighbor_mac, port_mac};

thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

fn router() -> Router {
    NOW.set(1_000_000_000);
    Router::new(Options {
        joining: (ROOM, || NOW.get()),
        ..Options::default()
    })
}

fn ethernet(is_v6: bool, packet: &[u8]) -> Vec<u8> {
    let ethertype = if is_v6 { 0x86dd } else { 0x0800 };
    frame(port_mac(0), neighbor_mac(0), &[], ethertype, packet)
}

/// The whole packet of flow `n`, and a datagram of it in three fragments, the first one first.
fn datagram(is_v6: bool, n: u16, id: u32) -> (Vec<u8>, [Vec<u8>; 3]) {
    carrying(is_v6, &udp(10_000 + n, 53, 400), id)
}

/// The same of the 408 bytes `data`, UDP.
fn carrying(is_v6: bool, data: &[u8], id: u32) -> (Vec<u8>, [Vec<u8>; 3]) {
    let cut = [(0, 160, 1), (160, 320, 1), (320, 408, 0)];
    if is_v6 {
        let packet = v6("fd00:f4::10", "2001:db8::5");
        let whole = V6 {
            payload: data.to_vec(),
            ..packet.clone()
        };
        let pieces = cut.map(|(from, to, more)| {
            let mut payload = vec![17, 0];
            payload.extend((from as u16 | more).to_be_bytes());
            payload.extend(id.to_be_bytes());
            payload.extend(&data[from..to]);
            let piece = V6 {
                next_header: 44,
                payload,
                ..packet.clone()
            };
            ethernet(true, &piece.bytes())
        });
        (ethernet(true, &whole.bytes()), pieces)
    } else {
        let packet = V4 {
            id: id as u16,
            ..v4("10.244.1.10", "10.9.9.9")
        };
        let whole = V4 {
            payload: data.to_vec(),
            ..packet.clone()
        };
        let pieces = cut.map(|(from, to, more)| {
            let piece = V4 {
                fragment_word: (from / 8) as u16 | more << 13,
                payload: data[from..to].to_vec(),
                ..packet.clone()
            };
            ethernet(false, &piece.bytes())
        });
        (ethernet(false, &whole.bytes()), pieces)
    }
}

/// Port by which a frame left, by what cannot change on the way: length, addresses, data.
fn ports(out: &[Vec<Vec<u8>>]) -> HashMap<Vec<u8>, Vec<usize>> {
    let mut ports = HashMap::<_, Vec<_>>::new();
    for (port, frames) in out.iter().enumerate() {
        for frame in frames {
            ports.entry(name(frame)).or_default().push(port);
        }
    }
    ports
}

/// A frame without its L2 header, TTL and checksum.
fn name(frame: &[u8]) -> Vec<u8> {
    let mut name = frame[14..].to_vec();
    if name[0] >> 4 == 4 {
        name[8] = 0;
        name[10..12].fill(0);
    } else {
        name[7] = 0;
    }
    name
}

fn way(router: &mut Router, frame: &[u8]) -> usize {
    let out = router.send_one(0, frame);
    assert_eq!(out.len(), 1);
    out[0].0
}

/// Headers behind the fragment header are the first fragment's alone; it is read as the packet that
/// it begins, and the others, which name another protocol, follow it.
#[test]
fn fragments_of_packets_with_extension_headers() {
    let mut router = router();
    let destination = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    let ah = [
        60, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9,
    ];
    let chain = [&destination(51)[..], &ah, &destination(17)].concat();
    let mut by = [0; 5];
    for n in 0..300_u16 {
        let data = [&chain[..], &udp(10_000 + n, 53, 400)].concat();
        let packet = |next_header, payload: Vec<u8>| {
            let packet = V6 {
                next_header,
                payload,
                ..v6("fd00:f4::10", "2001:db8::5")
            };
            ethernet(true, &packet.bytes())
        };
        let pieces = [(0, 160, 1), (160, data.len(), 0)].map(|(from, to, more)| {
            let mut payload = vec![60, 0];
            payload.extend((from as u16 | more).to_be_bytes());
            payload.extend(u32::from(n).to_be_bytes());
            payload.extend(&data[from..to]);
            packet(44, payload)
        });
        let wanted = way(&mut router, &packet(17, udp(10_000 + n, 53, 400)));
        assert_eq!(way(&mut router, &packet(60, data)), wanted, "whole, {n}");
        by[wanted] += 1;
        for i in [usize::from(n) % 2, 1 - usize::from(n) % 2] {
            router.rx[0].put(&pieces[i]);
            router.worker.turn();
        }
        let ports = ports(&router.settle());
        for piece in &pieces {
            assert_eq!(ports[&name(piece)], [wanted], "flow {n}");
        }
    }
    assert!(by[1] > 100 && by[2] > 100, "both paths: {by:?}");
    assert_eq!(router.counters().fragments_matched, 300);
}

#[test]
fn all_orders_within_the_window_take_the_flow_s_path() {
    let mut router = router();
    let orders = [
        [0, 1, 2],
        [2, 1, 0],
        [1, 0, 2],
        [0, 2, 1],
        [1, 2, 0],
        [2, 0, 1],
    ];
    let (mut laters, mut by) = (0, [0; 5]);
    for is_v6 in [false, true] {
        for n in 0..300 {
            let (whole, pieces) = datagram(is_v6, n, 5000 + u32::from(n));
            let wanted = way(&mut router, &whole);
            by[wanted] += 1;
            for i in orders[usize::from(n) % 6] {
                router.rx[0].put(&pieces[i]);
                router.worker.turn(); // each in a burst of its own
            }
            let out = router.settle();
            let ports = ports(&out);
            for piece in &pieces {
                assert_eq!(ports[&name(piece)], [wanted], "IPv6 {is_v6}, flow {n}");
            }
            laters += 2;
        }
    }
    assert!(by[1] > 200 && by[2] > 200, "both paths: {by:?}");
    let counted = router.counters();
    assert_eq!(counted.fragments_in, laters / 2 * 3);
    assert_eq!(counted.fragments_matched, laters);
    assert_eq!(counted.fragments_by_addresses, 0);
    assert_eq!(
        counted.fragments_waited,
        laters / 2,
        "of six orders: 0, 2, 1, 0, 2, 1"
    );
    assert_eq!(router.worker.waiting(), 0);
}

#[test]
fn random_interleavings_with_duplicates_take_the_flow_s_path() {
    let mut router = router();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for round in 0..40 {
        // 40 datagrams at once: at most 240 later fragments wait, with each sent twice at most.
        let mut wanted = HashMap::new();
        let mut copies = HashMap::new();
        let mut frames = Vec::new();
        for n in 0..40 {
            let (is_v6, id) = (random(2) == 1, round * 64 + n);
            let (whole, pieces) = datagram(is_v6, random(5000) as u16, id);
            let port = way(&mut router, &whole);
            for piece in pieces {
                let times = 1 + random(2);
                wanted.insert(name(&piece), port);
                copies.insert(name(&piece), times);
                frames.extend(std::iter::repeat_n(piece, times));
            }
        }
        for i in (1..frames.len()).rev() {
            frames.swap(i, random(i + 1));
        }
        for burst in frames.chunks(7) {
            burst.iter().for_each(|frame| router.rx[0].put(frame));
            router.worker.turn();
            NOW.set(NOW.get() + WINDOW_NS / 100); // 7 % of the packets a hundredth
        }
        let ports = ports(&router.settle());
        for (name, port) in wanted {
            assert_eq!(ports[&name], vec![port; copies[&name]]);
        }
    }
    assert_eq!(router.counters().fragments_by_addresses, 0);
    assert!(router.counters().fragments_waited > 500);
}

#[test]
fn without_a_first_they_go_by_addresses_at_the_end_of_the_window() {
    let mut router = router();
    let (_, [first, second, third]) = datagram(false, 1, 9);
    assert!(
        router
            .send(0, &[second.clone(), third.clone()])
            .iter()
            .all(Vec::is_empty)
    );
    assert_eq!(router.worker.waiting(), 2);
    NOW.set(NOW.get() + WINDOW_NS - 1);
    assert!(router.settle().iter().all(Vec::is_empty));
    NOW.set(NOW.get() + 1);
    assert!(
        router.settle().iter().all(Vec::is_empty),
        "once more polled"
    );
    let out = router.settle();
    let left: Vec<_> = out.iter().filter(|frames| !frames.is_empty()).collect();
    assert_eq!(left.len(), 1, "one path for both");
    assert_eq!(
        [name(&left[0][0]), name(&left[0][1])],
        [name(&second), name(&third)]
    );
    let counted = router.counters();
    assert_eq!(
        (counted.fragments_waited, counted.fragments_by_addresses),
        (2, 2)
    );
    // From the first one on the datagram takes its flow's path.
    let wanted = way(&mut router, &first);
    assert_eq!(way(&mut router, &second), wanted);
}

#[test]
fn a_worker_kept_from_running_takes_what_came_meanwhile_first() {
    for id in 0..20 {
        let mut router = router();
        let (whole, [first, second, third]) = datagram(id % 2 == 1, 1, id);
        let wanted = way(&mut router, &whole);
        router.send(0, &[third, second]);
        // Nothing ran for three windows; the first fragment lies in the queue.
        NOW.set(NOW.get() + 3 * WINDOW_NS);
        let out = router.send(0, &[first]);
        let left = out.iter().position(|frames| frames.len() == 3);
        assert_eq!(left, Some(wanted), "all three, on their flow's path");
        assert_eq!(router.counters().fragments_by_addresses, 0);
    }
}

#[test]
fn a_flood_of_later_fragments_loses_nothing_and_takes_no_room() {
    let mut router = router();
    let mut sent = 0;
    for n in 0..100_u32 {
        let pieces: Vec<_> = (0..32)
            .map(|i| datagram(n % 2 == 1, 3, n * 32 + i).1[2].clone())
            .collect();
        sent += 32;
        router.send(0, &pieces);
        assert!(router.worker.waiting() <= ROOM);
    }
    assert_eq!(router.worker.waiting(), ROOM);
    NOW.set(NOW.get() + WINDOW_NS);
    router.settle();
    router.settle();
    let counted = router.counters();
    assert_eq!(
        (counted.fragments_by_addresses, counted.sent_total()),
        (sent, sent)
    );
    assert_eq!(
        (counted.fragments_waited, router.worker.waiting()),
        (ROOM as u64, 0)
    );
}

#[test]
fn an_identification_used_again_is_another_datagram() {
    let mut router = router();
    let flows: Vec<_> = (0..40).map(|n| datagram(false, n, 77)).collect();
    for (whole, [first, second, third]) in &flows {
        let wanted = way(&mut router, whole);
        for piece in [first, second, third] {
            assert_eq!(way(&mut router, piece), wanted);
        }
    }
    // Half a minute later nobody knows it.
    NOW.set(NOW.get() + 30_000_000_000);
    let (_, [_, second, _]) = &flows[0];
    assert!(router.send_one(0, second).is_empty(), "it waits");
}

#[test]
fn under_pressure_the_oldest_is_forgotten_and_nothing_lost() {
    let mut router = router();
    let mut later = Vec::new();
    for id in 0..20_000 {
        let (_, [first, second, _]) = datagram(true, id as u16 % 900, id);
        router.send(0, &[first]);
        later.push(second);
    }
    router.send(0, &later);
    NOW.set(NOW.get() + WINDOW_NS);
    router.settle();
    router.settle();
    let counted = router.counters();
    assert_eq!(counted.sent_total(), 40_000);
    assert_eq!(
        counted.fragments_matched + counted.fragments_by_addresses,
        20_000
    );
    let remembered = counted.fragments_matched;
    assert!((3_000..=4_096).contains(&remembered), "{remembered}");
}

#[test]
fn nobody_waits_where_there_is_no_choice() {
    let mut router = router();
    let piece = V4 {
        fragment_word: 10,
        ..v4("10.9.9.9", "172.16.1.1")
    };
    let out = router.send_one(0, &ethernet(false, &piece.bytes()));
    assert_eq!((out.len(), router.counters().fragments_waited), (1, 0));
}

#[test]
fn at_the_end_of_a_run_those_that_wait_are_sent() {
    let mut router = router();
    let (_, [_, second, _]) = datagram(false, 1, 9);
    assert!(router.send_one(0, &second).is_empty());
    router.worker.give_up_fragments();
    assert_eq!(ports(&router.settle())[&name(&second)].len(), 1);
}

/// Inside a tunnel: an outer header that is the same for all, and a fragment as its payload.
fn tunnelled(inner: &[u8]) -> Vec<u8> {
    let outer = V4 {
        protocol: 4,
        payload: inner[14..].to_vec(),
        ..v4("10.244.1.10", "10.9.9.9")
    };
    ethernet(false, &outer.bytes())
}

#[test]
fn fragments_inside_a_tunnel_take_their_inner_flow_s_path() {
    let fields = [Field::InnerSourcePort, Field::InnerDestinationPort];
    let fields = fields
        .iter()
        .fold(Fields::default(), |all, f| all.with(*f, true));
    NOW.set(1_000_000_000);
    let mut router = Router::new(Options {
        settings: Settings::new(Choice {
            fields,
            ..Choice::default()
        }),
        joining: (ROOM, || NOW.get()),
        ..Options::default()
    });
    let mut by = [0; 5];
    for n in 0..300 {
        let (whole, pieces) = datagram(false, n, u32::from(n));
        let wanted = way(&mut router, &tunnelled(&whole));
        by[wanted] += 1;
        for i in [[0, 1, 2], [2, 1, 0]][usize::from(n % 2)] {
            router.rx[0].put(&tunnelled(&pieces[i]));
            router.worker.turn();
        }
        let ports = ports(&router.settle());
        for piece in &pieces {
            assert_eq!(ports[&name(&tunnelled(piece))], [wanted], "flow {n}");
        }
        // The same datagram outside the tunnel is another one.
        assert!(router.send_one(0, &pieces[1]).is_empty());
        router.worker.give_up_fragments();
        router.settle();
    }
    assert!(by[1] > 100 && by[2] > 100, "both paths: {by:?}");
    let counted = router.counters();
    assert_eq!(
        (counted.fragments_matched, counted.fragments_by_addresses),
        (600, 300)
    );
}

/// GTP-U or RoCEv2 inside a tunnel: only the first fragment says which tunnel it is once more.
#[test]
fn fragments_of_a_tunnel_inside_a_tunnel() {
    let inner = [Field::InnerSourcePort, Field::InnerDestinationPort];
    let [teid, qp] = [[Field::GtpTeid], [Field::RoceQp]];
    // All fields that are on, UDP port, whether flows differ in ports.
    let cases: [(&[&[Field]], u16, bool); 6] = [
        (&[&inner], 3000, true),
        (&[&inner], 2152, true),
        (&[&inner, &teid], 2152, false),
        (&[&teid], 2152, false),
        (&[&inner, &qp], 4791, false),
        (&[&qp], 4791, false),
    ];
    for (on, dport, by_ports) in cases {
        let fields = on
            .concat()
            .iter()
            .fold(Fields::EMPTY, |all, f| all.with(*f, true));
        NOW.set(1_000_000_000);
        let mut router = Router::new(Options {
            settings: Settings::new(Choice {
                fields: fields.with(Field::SourceIp, true),
                symmetric: false,
                ..Choice::default()
            }),
            joining: (ROOM, || NOW.get()),
            ..Options::default()
        });
        let mut by = [0; 5];
        for n in 0..40 {
            let mut data = udp(if by_ports { 10_000 + n } else { 10_000 }, dport, 400);
            let id = if by_ports { 0 } else { n as u8 };
            match dport {
                2152 => data[8..16].copy_from_slice(&[0x30, 255, 1, 136, 0, 0, 7, id]),
                4791 => data[8..16].copy_from_slice(&[4, 0x40, 0xff, 0xff, 0, 0, 7, id]),
                _ => {}
            }
            let (whole, pieces) = carrying(false, &data, u32::from(n));
            let wanted = way(&mut router, &tunnelled(&whole));
            by[wanted] += 1;
            for i in [[0, 1, 2], [2, 0, 1]][usize::from(n % 2)] {
                router.rx[0].put(&tunnelled(&pieces[i]));
                router.worker.turn();
            }
            let ways = ports(&router.settle());
            for piece in &pieces {
                let way = ways.get(&name(&tunnelled(piece)));
                assert_eq!(way, Some(&vec![wanted]), "{on:?} to {dport}, flow {n}");
            }
        }
        assert!(by[1] > 9 && by[2] > 9, "both paths: {by:?}");
        let counted = router.counters();
        assert_eq!(
            (counted.fragments_matched, counted.fragments_waited),
            (80, 20)
        );
    }
}

#[test]
fn a_change_of_settings_keeps_a_datagram_together() {
    let mut router = router();
    let mut moved = 0;
    for n in 0..100 {
        let (whole, [first, second, third]) = datagram(true, n, u32::from(n));
        let before = way(&mut router, &first);
        let seed = u32::from(n) + 1;
        router.update(|view| {
            let choice = Choice {
                seed,
                ..Choice::default()
            };
            view.hash = Settings::new(choice).into();
        });
        assert_eq!(
            [way(&mut router, &second), way(&mut router, &third)],
            [before; 2]
        );
        moved += usize::from(way(&mut router, &whole) != before);
    }
    assert!(moved > 25, "the flows themselves moved: {moved}");
}

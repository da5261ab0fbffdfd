//! The decoder against every recorded byte, against `netlink-packet-route`, and against bytes that
//! no zebra would send.

use crate::lab::{STREAMS, stream};
use control::fpm::batch::Counts;
use control::fpm::decode::{self, Message, RouteKind, Via};
use control::fpm::frame::{FrameCause, Frames};
use control::fpm::{Batch, attribute::Messages};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use std::net::IpAddr;

fn files() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(STREAMS)
        .expect("streams")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.extension().is_some_and(|x| x == "fpm"))
        .collect();
    all.sort();
    assert_eq!(all.len(), 189);
    let named = |p: std::path::PathBuf| {
        let bytes = std::fs::read(&p).expect("stream");
        (p.display().to_string(), bytes)
    };
    all.into_iter().map(named).collect()
}

fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Frames::default();
    frames.push(bytes);
    let mut all = Vec::new();
    while let Some(payload) = frames.next_frame().expect("frames") {
        all.push(payload.to_vec());
    }
    assert_eq!(frames.pending(), 0);
    all
}

fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(a) => Some((*a).into()),
        RouteAddress::Inet6(a) => Some((*a).into()),
        _ => None,
    }
}

/// What the other parser says of a route's next hops: gateway, interface, weight, onlink.
type Hops = Vec<(Option<IpAddr>, u32, u32, bool)>;

fn hop(attributes: &[RouteAttribute]) -> (Option<IpAddr>, u32) {
    let (mut gateway, mut ifindex) = (None, 0);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(a) => gateway = address(a),
            RouteAttribute::Via(RouteVia::Inet(a)) => gateway = Some((*a).into()),
            RouteAttribute::Via(RouteVia::Inet6(a)) => gateway = Some((*a).into()),
            RouteAttribute::Oif(i) => ifindex = *i,
            _ => {}
        }
    }
    (gateway, ifindex)
}

fn theirs(route: &RouteMessage) -> (Option<u32>, Hops) {
    let (mut id, mut hops) = (None, Hops::new());
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::NhId(n) => id = Some(*n),
            RouteAttribute::MultiPath(all) => {
                for h in all {
                    let (gateway, _) = hop(&h.attributes);
                    let onlink = h.flags.bits() & 4 != 0;
                    hops.push((gateway, h.interface_index, u32::from(h.hops) + 1, onlink));
                }
            }
            _ => {}
        }
    }
    if hops.is_empty() {
        let (gateway, ifindex) = hop(&route.attributes);
        let onlink = route.header.flags.bits() & 4 != 0;
        hops.push((gateway, ifindex, 1, onlink));
    }
    (id, hops)
}

fn ours(via: &Via) -> (Option<u32>, Hops) {
    let one = |h: &decode::Hop, w: u32| (h.gateway, h.ifindex, w, h.onlink);
    match via {
        Via::Nothing => (None, Vec::new()),
        Via::Id(id) => (Some(*id), Vec::new()),
        Via::Hop(hop) => (None, vec![one(hop, 1)]),
        Via::Hops(all) => (None, all.iter().map(|(h, w)| one(h, *w)).collect()),
    }
}

#[test]
fn routes_are_what_netlink_packet_route_reads() {
    let (mut routes, mut deletes) = (0, 0);
    for (name, bytes) in files() {
        for payload in frames(&bytes) {
            let mut rest = &payload[..];
            for message in Messages(&payload) {
                let (kind, body) = message.expect("message");
                let length = u32::from_ne_bytes(rest[..4].try_into().expect("length")) as usize;
                let whole = &rest[..length];
                rest = &rest[length.next_multiple_of(4).min(rest.len())..];
                let mine = decode::message(kind, body).expect("message");
                if matches!(mine, Message::Nexthop(..) | Message::DelNexthop(_)) {
                    continue;
                }
                let oracle = NetlinkMessage::<RouteNetlinkMessage>::deserialize(whole);
                let oracle = oracle.unwrap_or_else(|e| panic!("{name}: {e}"));
                let NetlinkPayload::InnerMessage(inner) = oracle.payload else {
                    panic!("{name}: no message");
                };
                let (new, route) = match &inner {
                    RouteNetlinkMessage::NewRoute(r) => (true, r),
                    RouteNetlinkMessage::DelRoute(r) => (false, r),
                    other => panic!("{name}: {other:?}"),
                };
                let destination = route.attributes.iter().find_map(|a| match a {
                    RouteAttribute::Destination(d) => address(d),
                    _ => None,
                });
                let length = route.header.destination_prefix_length;
                match &mine {
                    Message::Route(prefix, mine) => {
                        routes += 1;
                        assert!(new, "{name}");
                        assert_eq!(
                            (Some(prefix.address()), prefix.length()),
                            (destination, length)
                        );
                        assert_eq!(mine.protocol, u8::from(route.header.protocol), "{name}");
                        let unicast = mine.kind == RouteKind::Unicast;
                        assert_eq!(unicast, u8::from(route.header.kind) == 1, "{name}");
                        let (id, mut hops) = theirs(route);
                        if id.is_some() || !unicast {
                            hops.clear();
                        }
                        assert_eq!(ours(&mine.via), (id, hops), "{name}: {prefix}");
                        let prefsrc = route.attributes.iter().find_map(|a| match a {
                            RouteAttribute::PrefSource(s) => address(s),
                            _ => None,
                        });
                        assert_eq!(mine.prefsrc, prefsrc, "{name}");
                    }
                    Message::DelRoute(prefix) => {
                        deletes += 1;
                        assert!(!new, "{name}");
                        assert_eq!(
                            (Some(prefix.address()), prefix.length()),
                            (destination, length)
                        );
                    }
                    // One answer of ours in the recordings has no route type.
                    other => assert_eq!(u8::from(route.header.kind), 0, "{name}: {other:?}"),
                }
            }
        }
    }
    assert_eq!((routes, deletes), (30_916, 8_770));
}

fn decode_in(bytes: &[u8], step: usize) -> Batch {
    let mut frames = Frames::default();
    let mut batch = Batch::default();
    for chunk in bytes.chunks(step) {
        frames.push(chunk);
        batch.put_frames(&mut frames).expect("frames");
    }
    assert_eq!(frames.pending(), 0);
    batch
}

#[test]
fn bytes_one_by_one_mean_the_same() {
    for (name, bytes) in files() {
        let whole = decode_in(&bytes, usize::MAX);
        let single = decode_in(&bytes, 1);
        assert_eq!(whole.counts, single.counts, "{name}");
        assert_eq!(whole.routes(), single.routes(), "{name}");
        assert_eq!(whole.objects(), single.objects(), "{name}");
        assert_eq!(whole.counts.malformed, 0, "{name}");
    }
}

#[test]
fn a_stream_that_ends_anywhere_gives_its_whole_frames() {
    for name in [
        "8.4.4-16-static-special",
        "10.7.1-u06-unnumbered-no-nhg-withdraw-one",
        "10.3-29-no-nhg-withdraw",
    ] {
        let bytes = stream(name);
        let mut ends = vec![0];
        for payload in frames(&bytes) {
            ends.push(ends[ends.len() - 1] + payload.len() + 4);
        }
        for cut in 0..bytes.len() {
            let mut reader = Frames::default();
            reader.push(&bytes[..cut]);
            let mut batch = Batch::default();
            batch.put_frames(&mut reader).expect("no garbage");
            let whole = ends.iter().filter(|e| **e <= cut).count() - 1;
            assert_eq!(batch.counts.frames, whole as u64, "{name} cut at {cut}");
            assert_eq!(reader.pending(), cut - ends[whole]);
            assert_eq!(batch.counts.malformed, 0);
        }
    }
}

/// Every message of a stream cut short inside an otherwise good frame: counted, never a panic.
#[test]
fn messages_that_do_not_add_up_are_counted() {
    let bytes = stream("10.3-26-no-nhg-resync");
    let mut malformed = 0;
    for payload in frames(&bytes).iter().take(60) {
        for cut in 1..payload.len() {
            let mut batch = Batch::default();
            batch.put_frame(&payload[..cut]);
            assert_eq!(batch.counts.malformed, 1, "cut at {cut}");
            malformed += 1;
            // The length in the message agrees, but an attribute may be cut.
            let mut shorter = payload[..cut].to_vec();
            if let Some(length) = shorter.first_chunk_mut::<4>() {
                *length = (cut as u32).to_ne_bytes();
            }
            let mut batch = Batch::default();
            batch.put_frame(&shorter);
            let Counts {
                newroute,
                malformed,
                skipped,
                ..
            } = batch.counts;
            assert_eq!(newroute + malformed + skipped.iter().sum::<u64>(), 1);
        }
    }
    assert!(malformed > 1000);
}

#[test]
fn garbage_is_refused_or_counted() {
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let good = stream("10.7.1-32-nhg-on-again-resync");
    let (mut refused, mut malformed) = (0, 0);
    for round in 0..4000 {
        let mut bytes = if round % 2 == 0 {
            (0..300).map(|_| random() as u8).collect()
        } else {
            let start = random() as usize % (good.len() - 400);
            good[start - start % 4..][..400].to_vec()
        };
        for _ in 0..random() % 6 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        if round % 3 == 0 {
            // A good header around it, so that the payload is looked at.
            let length = (bytes.len() as u16 + 4).to_be_bytes();
            bytes.splice(0..0, [1, 1, length[0], length[1]]);
        }
        let mut reader = Frames::default();
        reader.push(&bytes);
        let mut batch = Batch::default();
        if let Err(error) = batch.put_frames(&mut reader) {
            refused += 1;
            assert!(error.offset < bytes.len() as u64, "{error}");
            assert!(!matches!(
                error.cause,
                FrameCause::Version(1) | FrameCause::Type(1)
            ));
        }
        malformed += batch.counts.malformed;
    }
    assert!(refused > 1000 && malformed > 500, "{refused} {malformed}");
}

#[test]
fn the_largest_frames_are_read() {
    // A group of 8,186 members fills a frame to the last byte that fits.
    let members = 8_186_u32;
    let mut group: Vec<u8> = ((members * 8 + 4) as u16).to_ne_bytes().to_vec();
    group.extend(2_u16.to_ne_bytes());
    for id in 0..members {
        group.extend((id + 10).to_ne_bytes());
        group.extend([0xff, 0xff, 0, 0]);
    }
    let mut message: Vec<u8> = vec![0; 16];
    message[4..6].copy_from_slice(&104_u16.to_ne_bytes());
    message.extend([0, 0, 11, 0, 0, 0, 0, 0]);
    message.extend([8, 0, 1, 0, 7, 0, 0, 0]);
    message.extend(group);
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    let frame = (message.len() as u16 + 4).to_be_bytes();
    let mut bytes = vec![1, 1, frame[0], frame[1]];
    bytes.extend(message);
    assert!(bytes.len() > 65_500);
    let batch = decode_in(&bytes, 1000);
    let (id, object) = &batch.objects()[0];
    let Some(decode::Object::Group { members: read, .. }) = object else {
        panic!("{object:?}");
    };
    assert_eq!((*id, read.len(), read[8185]), (7, 8186, (8195, 65_536)));
}

//! What counts as GTP-U, and what is ordinary UDP.

use super::builder::{self, Chain, Encap, Packet};
use super::{described, every, packets, policy, set};
use fastpath::hash::Field;

fn bare(encap: Encap) -> Packet {
    let none = Chain::None;
    packets::packet(encap, (false, false), (none, none), (0, 0), 0)
}

/// A UDP datagram to `port`.
fn datagram(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut outer = bare(Encap::Gtpu(0)).outer;
    (outer.sport, outer.dport) = (port, port);
    builder::ethernet(0, builder::IP4, &outer.packet(bytes))
}

fn message(flags: u8, kind: u8, teid: u32) -> Vec<u8> {
    let mut bytes = vec![flags, kind, 0, 4];
    bytes.extend(teid.to_be_bytes());
    bytes.extend([0, 7, 0, 0]);
    bytes
}

#[test]
fn what_has_a_teid() {
    let user = bare(Encap::Plain).packet();
    let data = |flags| builder::gtpu(flags, 0x0a0b_0c0d, &user);
    let cut = |len: usize| data(0)[..len].to_vec();
    let teid = 0x0a0b_0c0d;
    for (name, port, bytes, has_teid, has_inner) in [
        ("user data", 2152, data(0), true, true),
        ("with sequence number", 2152, data(2), true, true),
        ("with extension headers", 2152, data(4), true, true),
        ("echo request", 2152, message(0x32, 1, teid), true, false),
        ("echo response", 2152, message(0x32, 2, teid), true, false),
        (
            "error indication",
            2152,
            message(0x32, 26, teid),
            true,
            false,
        ),
        (
            "extension headers notification",
            2152,
            message(0x32, 31, teid),
            true,
            false,
        ),
        ("tunnel status", 2152, message(0x32, 253, teid), true, false),
        ("end marker", 2152, message(0x30, 254, teid), true, false),
        (
            "user data cut in the packet inside",
            2152,
            cut(8 + 19),
            true,
            false,
        ),
        ("header only", 2152, cut(8), true, false),
        ("header cut", 2152, cut(7), false, false),
        ("empty", 2152, cut(0), false, false),
        ("GTP-C: user data on its port", 2123, data(0), false, false),
        (
            "GTP-C: echo on its port",
            2123,
            message(0x32, 1, teid),
            false,
            false,
        ),
        (
            "GTP-C: create PDP context",
            2152,
            message(0x32, 16, teid),
            false,
            false,
        ),
        (
            "GTP-C: create PDP context response",
            2152,
            message(0x32, 17, teid),
            false,
            false,
        ),
        (
            "GTP-C: delete PDP context",
            2152,
            message(0x32, 20, teid),
            false,
            false,
        ),
        (
            "GTP': data record transfer",
            2152,
            message(0x0e, 240, teid),
            false,
            false,
        ),
        (
            "GTP': with the type of user data",
            2152,
            message(0x20, 255, teid),
            false,
            false,
        ),
        (
            "GTPv2: create session",
            2152,
            message(0x48, 32, teid),
            false,
            false,
        ),
        (
            "GTPv2: with the type of user data",
            2152,
            message(0x58, 255, teid),
            false,
            false,
        ),
        ("version 0", 2152, message(0x1e, 255, teid), false, false),
        ("text", 2152, b"not a tunnel at all".to_vec(), false, false),
        ("GTP-U on another port", 2153, data(0), false, false),
    ] {
        let frame = datagram(port, &bytes);
        let found = described(&frame, 3, &policy(every(), true)).flow.key;
        assert_eq!(found.teid, has_teid.then_some(teid), "{name}");
        assert_eq!(found.inner.is_some(), has_inner, "{name}");
        assert_eq!(
            (found.outer.sport, found.outer.dport),
            (port, port),
            "{name}"
        );

        // What has none hashes as UDP does: as with every field of tunnels off.
        let outer = set(|f| f as u8 <= Field::IngressInterface as u8);
        let hashes = [every(), outer].map(|f| described(&frame, 3, &policy(f, true)).hash);
        assert_eq!(hashes[0] == hashes[1], !has_teid, "{name}");
    }
}

#[test]
fn the_source_port_says_nothing() {
    let mut packet = bare(Encap::Gtpu(0));
    packet.outer.sport = 9;
    let policy = policy(every(), true);
    assert!(
        described(&packet.frame(), 3, &policy)
            .flow
            .key
            .teid
            .is_some()
    );
    (packet.outer.sport, packet.outer.dport) = (2152, 9);
    assert_eq!(described(&packet.frame(), 3, &policy).flow.key.teid, None);
}

/// VXLAN carrying GTP-U: the inner TEID, and the packet that VXLAN carries.
#[test]
fn the_teid_inside_vxlan() {
    let packet = bare(Encap::VxlanGtpu);
    let key = described(&packet.frame(), 3, &policy(every(), true))
        .flow
        .key;
    assert_eq!(key.teid, Some(packet.teid));
    assert_eq!(key.inner.map(|i| (i.sport, i.dport)), Some((50_000, 2152)));
}

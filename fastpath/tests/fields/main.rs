//! Each field of the hash matters alone when it is on and not at all when it is off, through every
//! encapsulation; and what the parse stage makes of a frame is what `describe` says.

mod builder;
mod gtp;
mod hostile;
mod icmp;
mod packets;
mod scapy;

use builder::{Chain, Encap, Packet};
use fastpath::hash::{Choice, Field, Fields, Policy, Settings};
use fastpath::software::parse::{Described, describe};
use fastpath::table::{PortFacts, PortId};

const FACTS: PortFacts = PortFacts {
    present: true,
    any_mac: true,
    ..PortFacts::ABSENT
};

fn policy(fields: Fields, symmetric: bool) -> Policy {
    let choice = Choice {
        fields,
        symmetric,
        seed: 0x5eed,
        ..Choice::default()
    };
    Policy::new(Settings::new(choice), vec![])
}

fn every() -> Fields {
    set(|_| true)
}

fn set(has: impl Fn(Field) -> bool) -> Fields {
    let all = Field::ALL.into_iter();
    all.fold(Fields::EMPTY, |set, f| set.with(f, has(f)))
}

fn described(frame: &[u8], ingress: u16, policy: &Policy) -> Described {
    describe(frame, PortId(ingress), &FACTS, policy)
        .unwrap_or_else(|v| panic!("{v:?}: {frame:02x?}"))
}

fn hash(packet: &Packet, policy: &Policy) -> u32 {
    described(&packet.frame(), packet.ingress, policy).hash
}

/// With one field on, the others do not matter, but for those that say where it is found.
#[test]
fn each_field_alone() {
    let alone = Field::ALL.map(|field| policy(set(|f| f == field), true));
    for packet in packets::all() {
        let hash_of = |p: &Packet| {
            let frame = p.frame();
            alone
                .each_ref()
                .map(|policy| described(&frame, p.ingress, policy).hash)
        };
        let before = hash_of(&packet);
        for changed in Field::ALL {
            for high in [false, true] {
                let after = hash_of(&packet.changed(changed, high));
                for (on, (before, after)) in Field::ALL.into_iter().zip(before.iter().zip(after)) {
                    let matters = (on == changed && packet.has(on)) || packet.names(changed, on);
                    assert_eq!(
                        *before != after,
                        matters,
                        "{on:?} on, {changed:?} changed: {packet:?}"
                    );
                }
            }
        }
    }
}

/// A field that is off does not matter beside all others, and does when it is on among them.
#[test]
fn each_field_among_all() {
    let (every, mut changes) = (policy(every(), true), 0);
    for packet in packets::all() {
        let before = hash(&packet, &every);
        for field in Field::ALL.into_iter().filter(|f| packet.has(*f)) {
            let off = policy(set(|f| f != field && !packet.names(field, f)), true);
            for high in [false, true] {
                let changed = packet.changed(field, high);
                assert_ne!(hash(&changed, &every), before, "{field:?} on: {packet:?}");
                assert_eq!(
                    hash(&changed, &off),
                    hash(&packet, &off),
                    "{field:?} off: {packet:?}"
                );
                changes += 1;
            }
        }
    }
    assert!(changes > 20_000, "{changes}");
}

/// Forward and reversed, outside and inside. Tunnels over UDP have one port at both ends here, as
/// GTP-U has; where the source port is the sender's choice the next test holds.
#[test]
fn both_directions_have_one_hash() {
    let [symmetric, sided] = [true, false].map(|s| policy(every(), s));
    for mut packet in packets::all() {
        if packet.encap.port().is_some() {
            packet.outer.sport = packet.outer.dport;
        }
        if matches!(packet.encap, Encap::VxlanGtpu | Encap::VxlanRoce) {
            packet.inner.sport = packet.inner.dport;
        }
        let back = packet.reversed();
        assert_eq!(
            hash(&packet, &symmetric),
            hash(&back, &symmetric),
            "{packet:?}"
        );
        assert_ne!(hash(&packet, &sided), hash(&back, &sided), "{packet:?}");
    }
}

/// The source port of a tunnel over UDP is its sender's choice: without the outer ports, what is
/// inside has one hash both ways.
#[test]
fn both_directions_of_a_tunnel_by_what_is_inside() {
    let ports = [Field::SourcePort, Field::DestinationPort];
    let fields = set(|f| !ports.contains(&f));
    let [symmetric, sided] = [true, false].map(|s| policy(fields, s));
    for packet in packets::all() {
        let is_stacked = matches!(packet.encap, Encap::VxlanGtpu | Encap::VxlanRoce);
        if packet.encap.port().is_none() || !packet.encap.has_inner() || is_stacked {
            continue;
        }
        let mut back = packet.reversed();
        (back.outer.sport, back.outer.dport) = (51_111, packet.outer.dport);
        assert_eq!(
            hash(&packet, &symmetric),
            hash(&back, &symmetric),
            "{packet:?}"
        );
        assert_ne!(hash(&packet, &sided), hash(&back, &sided), "{packet:?}");
    }
}

/// Settings that want nothing of tunnels take the hot way for bare TCP and UDP: the hash there is
/// that of the key, as everywhere.
#[test]
fn the_hash_is_that_of_the_key() {
    let plain = policy(Fields::default(), true);
    let full = policy(every(), true);
    for packet in packets::all() {
        for policy in [&plain, &full] {
            let found = described(&packet.frame(), packet.ingress, policy);
            assert_eq!(
                found.hash,
                policy.base().hash(&found.flow.key),
                "{packet:?}"
            );
            assert_eq!(found.l3, 14 + 4 * usize::from(packet.tags));
            assert_eq!(usize::from(found.len), packet.packet().len());
        }
    }
}

/// Some frames of each encapsulation, for tests that take long for each.
fn samples() -> Vec<Packet> {
    let mut out = Vec::new();
    for (n, encap) in builder::ENCAPS.into_iter().enumerate() {
        for (v6, chain) in [
            (false, Chain::None),
            (true, Chain::Options),
            (false, Chain::Ah),
        ] {
            let tags = (n % 3) as u8;
            out.push(packets::packet(
                encap,
                (v6, !v6),
                (chain, Chain::None),
                (tags, 1),
                n,
            ));
        }
    }
    out
}

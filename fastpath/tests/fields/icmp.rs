//! ICMP errors take the way of the answers of the flow that they quote.

use super::builder::{self, Chain, Encap, Packet};
use super::{described, every, hash, packets, policy, samples};
use fastpath::hash::{Fields, Policy};

/// An ICMP message of `kind` from a router to the source of `of`, with `quote` in it.
fn message(of: &Packet, kind: u8, quote: &[u8]) -> Vec<u8> {
    let mut ip = of.outer;
    ip.dst = ip.src;
    ip.src[15] ^= 0x55;
    ip.protocol = if ip.v6 { 58 } else { 1 };
    (ip.chain, ip.label) = (Chain::None, 0);
    let ethertype = if ip.v6 { builder::IP6 } else { builder::IP4 };
    let data = [&[kind, 0, 0, 0, 0, 0, 5, 0], quote].concat();
    builder::ethernet(0, ethertype, &ip.packet(&data))
}

fn errors(v6: bool) -> &'static [u8] {
    if v6 {
        &[1, 2, 3, 4]
    } else {
        &[3, 4, 5, 11, 12]
    }
}

/// The flow's answer: no options, and the same port at both ends of a tunnel over UDP.
fn answer(of: &Packet) -> Packet {
    let mut back = of.reversed();
    back.outer.chain = Chain::None;
    back.tags = 0;
    back
}

fn policies() -> [Policy; 4] {
    let sets = [Fields::default(), every()];
    let [a, b] = sets.map(|f| [true, false].map(|s| policy(f, s)));
    let ([a, b], [c, d]) = (a, b);
    [a, b, c, d]
}

fn check(of: &Packet, quote: &[u8], policy: &Policy) {
    let back = hash(&answer(of), policy);
    for kind in errors(of.outer.v6) {
        let found = described(&message(of, *kind, quote), of.ingress, policy);
        assert!(found.quoted && found.flow.quoted);
        assert_eq!(found.hash, back, "type {kind} about {of:?}");
    }
    let is_own = hash(of, policy) == back;
    assert_eq!(is_own, policy.base().is_symmetric(), "{of:?}");
}

/// All of the packet is quoted: tunnels by what is inside too.
#[test]
fn whole_quotes() {
    for policy in &policies() {
        for mut packet in samples() {
            if packet.encap.port().is_some() {
                packet.outer.sport = packet.outer.dport;
            }
            if matches!(packet.encap, Encap::VxlanGtpu | Encap::VxlanRoce) {
                packet.inner.sport = packet.inner.dport;
            }
            check(&packet, &packet.packet(), policy);
        }
    }
}

/// RFC 792 asks for the header and eight bytes only; what a router changed on the way does not
/// matter.
#[test]
fn short_quotes() {
    for policy in &policies() {
        for (n, v6) in [false, true].into_iter().cycle().take(12).enumerate() {
            for chain in [Chain::None, Chain::Options, Chain::Ah] {
                let surroundings = ((v6, v6), (chain, Chain::None), (0, 0));
                let (family, chains, tags) = surroundings;
                let packet = packets::packet(Encap::Plain, family, chains, tags, n / 2);
                let mut quote = packet.packet();
                quote.truncate(packet.outer.header_len() + 8);
                check(&packet, &quote, policy);
                if v6 {
                    quote[7] = 0;
                } else {
                    quote[8] = 0;
                    quote[10..12].fill(0);
                }
                check(&packet, &quote, policy);
            }
        }
    }
}

fn plain(v6: bool) -> Packet {
    packets::packet(
        Encap::Plain,
        (v6, v6),
        (Chain::None, Chain::None),
        (0, 0),
        0,
    )
}

/// Every type that is no error, and every quote that is not sound, is hashed by its own addresses:
/// as an echo between the same two.
#[test]
fn what_is_ordinary() {
    for policy in &policies() {
        for v6 in [false, true] {
            let packet = plain(v6);
            let own = |kind: u8, quote: &[u8]| {
                let found = described(&message(&packet, kind, quote), 3, policy);
                (found.quoted, found.hash)
            };
            let whole = packet.packet();
            let echo = own(if v6 { 128 } else { 8 }, b"ping");
            assert!(!echo.0);
            for kind in 0..=255 {
                let (quoted, hash) = own(kind, &whole);
                assert_eq!(quoted, errors(v6).contains(&kind), "{kind}");
                assert_eq!(hash == echo.1, !quoted, "{kind}");
            }
            let with = |at: usize, byte: u8| {
                let mut quote = whole.clone();
                quote[at] = byte;
                quote
            };
            let mut broken = vec![
                ("nothing", vec![]),
                ("version 5", with(0, 0x55)),
                ("the other family", plain(!v6).packet()),
                ("header cut", whole[..if v6 { 39 } else { 19 }].to_vec()),
            ];
            if !v6 {
                let mut short = with(2, 0);
                short[3] = 19;
                broken.push(("header of 16 bytes", with(0, 0x44)));
                broken.push(("options cut", with(0, 0x46)[..20].to_vec()));
                broken.push(("shorter than its header", short));
            }
            for (name, quote) in broken {
                for kind in errors(v6) {
                    assert_eq!(own(*kind, &quote), echo, "{name}, type {kind}, IPv6 {v6}");
                }
            }
        }
    }
}

/// The other family's ICMP in an IP packet means nothing.
#[test]
fn icmp_of_the_other_family_is_ordinary() {
    for v6 in [false, true] {
        let mut packet = plain(v6);
        packet.outer.protocol = if v6 { 1 } else { 58 };
        let data = [&[3, 0, 0, 0, 0, 0, 0, 0], &plain(v6).packet()[..]].concat();
        let ethertype = if v6 { builder::IP6 } else { builder::IP4 };
        let frame = builder::ethernet(0, ethertype, &packet.outer.packet(&data));
        assert!(!described(&frame, 3, &policies()[0]).quoted);
    }
}

/// A frame of each kind for the tests of damage.
pub fn frames() -> Vec<Vec<u8>> {
    let each = samples().into_iter();
    each.map(|p| message(&p, 3, &p.packet())).collect()
}

//! The hash that came with a packet: taken where it is certain to be ours, and nowhere else.

use fastpath::hash::{Algorithm, Choice, Field, Fields, Policy, Rss, Settings, toeplitz};
use fastpath::software::burst::Burst;
use fastpath::software::heap::HeapFrame;
use fastpath::software::lanes::Lanes;
use fastpath::software::parse::parse;
use fastpath::table::{PortFacts, PortId};
use fastpath::wire::checksum;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

fn settings(fields: Fields, symmetric: bool, seed: u32) -> Settings {
    Settings::new(Choice {
        fields,
        symmetric,
        seed,
        algorithm: Algorithm::Toeplitz,
    })
}

/// What a NIC programmed with `rss` finds of the addresses and ports, each in wire order.
fn nic(rss: &Rss, src: &[u8], dst: &[u8], sport: u16, dport: u16) -> u32 {
    let (mut src, mut dst, mut sport, mut dport) = (src, dst, sport, dport);
    if !rss.source_port {
        (sport, dport) = (0, 0);
    }
    if rss.sorted && src > dst {
        (src, dst) = (dst, src);
    }
    if rss.sorted && sport > dport {
        (sport, dport) = (dport, sport);
    }
    let input = [src, dst, &sport.to_be_bytes(), &dport.to_be_bytes()].concat();
    toeplitz::hash(&rss.key, &input)
}

struct Packet {
    bytes: Vec<u8>,
    /// The NIC's value.
    rss: u32,
}

/// How a packet departs from plain TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    Sctp,
    ShortTcp,
    Tunnel(u16),
    /// IPv4: options; IPv6: destination options.
    Options,
    Fragment,
    Tagged,
    IcmpError,
}

const KINDS: [Kind; 12] = [
    Kind::Tcp,
    Kind::Udp,
    Kind::Sctp,
    Kind::ShortTcp,
    Kind::Tunnel(4789),
    Kind::Tunnel(4790),
    Kind::Tunnel(6081),
    Kind::Tunnel(2152),
    Kind::Options,
    Kind::Fragment,
    Kind::Tagged,
    Kind::IcmpError,
];

fn packet(kind: Kind, v6: bool, rss: &Rss, random: &mut Random) -> Packet {
    let (sport, dport) = (random.next() as u16, random.next() as u16 | 0x8000);
    let dport = if let Kind::Tunnel(port) = kind {
        port
    } else {
        dport
    };
    let protocol = match kind {
        Kind::Udp | Kind::Tunnel(_) => 17,
        Kind::Sctp => 132,
        Kind::IcmpError if v6 => 58,
        Kind::IcmpError => 1,
        _ => 6,
    };
    let mut segment = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    segment.resize(if kind == Kind::ShortTcp { 12 } else { 24 }, 0);
    if kind == Kind::IcmpError {
        segment[..4].copy_from_slice(&[if v6 { 1 } else { 3 }, 0, 0, 0]);
    }
    let address = |random: &mut Random| {
        let mut address = random.next().to_be_bytes().repeat(2);
        address[0] = if v6 { 0x20 } else { 10 };
        address.truncate(if v6 { 16 } else { 4 });
        address
    };
    let (src, dst) = (address(random), address(random));
    let mut ip = Vec::new();
    if v6 {
        let chain: &[u8] = match kind {
            Kind::Options => &[6, 0, 1, 4, 0, 0, 0, 0],
            Kind::Fragment => &[6, 0, 0, 1, 0, 0, 0, 9],
            _ => &[],
        };
        let next = match kind {
            Kind::Options => 60,
            Kind::Fragment => 44,
            _ => protocol,
        };
        let len = (chain.len() + segment.len()) as u16;
        let label = random.next() as u32 & 0xf_ffff;
        ip.extend((6 << 28 | label).to_be_bytes());
        ip.extend(len.to_be_bytes());
        ip.extend([next, 64]);
        ip.extend(src.iter().chain(&dst).chain(chain));
    } else {
        let options: &[u8] = if kind == Kind::Options {
            &[1, 1, 1, 0]
        } else {
            &[]
        };
        let header = 20 + options.len();
        let flags = if kind == Kind::Fragment { 0x20 } else { 0 };
        ip.extend([0x40 | header as u8 / 4, 0]);
        ip.extend(((header + segment.len()) as u16).to_be_bytes());
        ip.extend([0, 1, flags, 0, 64, protocol, 0, 0]);
        ip.extend(src.iter().chain(&dst).chain(options));
        let sum = checksum::checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if kind == Kind::Tagged {
        bytes.extend([0x81, 0, 0, 7]);
    }
    bytes.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
    bytes.extend(ip);
    bytes.extend(segment);
    Packet {
        bytes,
        rss: nic(rss, &src, &dst, sport, dport),
    }
}

/// What the stage makes of `bytes` when a NIC that hashes `by` told `rss` with it.
fn hash(policy: &Policy, by: u64, bytes: &[u8], rss: Option<u32>) -> u32 {
    let frame = HeapFrame::new(bytes);
    let mut burst = Burst::new();
    let frame = match rss {
        Some(rss) => frame.with_rss(rss),
        None => frame,
    };
    assert!(burst.push(frame).is_ok());
    let facts = PortFacts {
        present: true,
        any_mac: true,
        nic_hash: by,
        ..PortFacts::default()
    };
    let mut lanes = Lanes::default();
    parse(&burst, &mut lanes, PortId(3), &facts, policy);
    assert_eq!(lanes.v4.len + lanes.v6.len, 1, "routed");
    lanes.hash[0]
}

fn addresses_only() -> Fields {
    Fields::default()
        .with(Field::SourcePort, false)
        .with(Field::DestinationPort, false)
}

#[test]
fn the_value_is_taken_where_it_is_certain_and_only_there() {
    let mut random = Random(1);
    let bare = Fields::default()
        .with(Field::IpProtocol, false)
        .with(Field::Ipv6Label, false);
    for fields in [Fields::default(), bare, addresses_only()] {
        for symmetric in [true, false] {
            let settings = settings(fields, symmetric, random.next() as u32);
            let policy = Policy::from(settings.clone());
            let (by, nic) = (settings.rss_id(), settings.rss().expect("for a NIC"));
            for (kind, v6) in KINDS.into_iter().flat_map(|k| [(k, false), (k, true)]) {
                for _ in 0..50 {
                    let Packet { bytes, rss } = packet(kind, v6, &nic, &mut random);
                    let computed = hash(&policy, by, &bytes, None);
                    let wrong = hash(&policy, by, &bytes, Some(rss ^ 0x5a5a_5a5a));
                    if matches!(kind, Kind::Tcp | Kind::Udp) {
                        assert_eq!(hash(&policy, by, &bytes, Some(rss)), computed, "{kind:?}");
                        assert_ne!(wrong, computed, "{kind:?}: computed all the same");
                    } else {
                        assert_eq!(wrong, computed, "{kind:?} v6 {v6}: taken");
                    }
                }
            }
        }
    }
}

#[test]
fn a_value_of_other_settings_is_not_taken() {
    let mut random = Random(2);
    let ours = settings(Fields::default(), true, 7);
    let nic = ours.rss().expect("for a NIC");
    let policy = Policy::from(ours.clone());
    let mix = Settings::new(Choice {
        algorithm: Algorithm::Mix,
        ..ours.choice()
    });
    for other in [
        0,
        settings(Fields::default(), true, 8).rss_id(),
        settings(Fields::default(), false, 7).rss_id(),
        settings(addresses_only(), true, 7).rss_id(),
        mix.rss_id(),
    ] {
        for v6 in [false, true] {
            let Packet { bytes, rss } = packet(Kind::Tcp, v6, &nic, &mut random);
            let computed = hash(&policy, other, &bytes, None);
            assert_eq!(
                hash(&policy, other, &bytes, Some(!rss)),
                computed,
                "{other:x}"
            );
        }
    }
    // And with another algorithm in force, whatever the NIC does.
    let policy = Policy::from(mix);
    let Packet { bytes, rss } = packet(Kind::Tcp, false, &nic, &mut random);
    let computed = hash(&policy, ours.rss_id(), &bytes, None);
    assert_eq!(hash(&policy, ours.rss_id(), &bytes, Some(rss)), computed);
}

#[test]
fn fields_of_tunnels_are_read_not_told() {
    let mut random = Random(3);
    let settings = settings(Fields::default().with(Field::InnerSourceIp, true), true, 7);
    let policy = Policy::from(settings.clone());
    let Packet { bytes, rss } = packet(
        Kind::Udp,
        false,
        &settings.rss().expect("for a NIC"),
        &mut random,
    );
    let by = settings.rss_id();
    assert_eq!(
        hash(&policy, by, &bytes, Some(!rss)),
        hash(&policy, by, &bytes, None)
    );
}

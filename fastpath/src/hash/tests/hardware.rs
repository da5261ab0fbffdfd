//! The algorithms of hardware: golden values, and all ways of computing them against each other.

use super::*;
use std::net::IpAddr;

fn with(algorithm: Algorithm, fields: Fields, symmetric: bool, seed: u32) -> Settings {
    Settings::new(Choice {
        fields,
        symmetric,
        seed,
        algorithm,
    })
}

/// What RSS hashes and nothing else; with the protocol what the CRC does.
fn four_tuple(protocol: bool) -> Fields {
    let fields = Fields::default().with(Field::Ipv6Label, false);
    fields.with(Field::IpProtocol, protocol)
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// Addresses and ports of `key` as RSS hashes them.
fn input(key: &FlowKey) -> Vec<u8> {
    let skip = if key.outer.v6 { 0 } else { 12 };
    let mut bytes = key.outer.src[skip..].to_vec();
    bytes.extend(&key.outer.dst[skip..]);
    bytes.extend(key.outer.sport.to_be_bytes());
    bytes.extend(key.outer.dport.to_be_bytes());
    bytes
}

/// `hash4` or `hash6`.
fn hash_by_family(settings: &Settings, key: &FlowKey) -> u32 {
    let rest = Rest::of(key);
    let src = u128::from_be_bytes(key.outer.src);
    let dst = u128::from_be_bytes(key.outer.dst);
    if key.outer.v6 {
        settings.hash6(src, dst, &rest)
    } else {
        settings.hash4(src as u32, dst as u32, &rest)
    }
}

/// The 2,000 of each family that were taken from DPDK's own definer code.
#[test]
fn crc32_agrees_with_all_golden_vectors() {
    let v4 = with(Algorithm::Crc32, Fields::default(), true, 7);
    let v6 = with(Algorithm::Crc32, four_tuple(true), true, 7);
    let mut count = 0;
    for line in include_str!("vectors.txt").lines() {
        let mut words = line.split(' ');
        let random: [u8; 32] = hex(words.next().unwrap());
        let port = |at: usize| u16::from_be_bytes([random[at], random[at + 1]]);
        let mut outer = Tuple {
            protocol: random[8],
            sport: port(9),
            dport: port(11),
            ..Tuple::default()
        };
        outer.src[12..].copy_from_slice(&random[0..4]);
        outer.dst[12..].copy_from_slice(&random[4..8]);
        let four = FlowKey {
            outer,
            ..FlowKey::default()
        };
        outer.v6 = true;
        outer.src.copy_from_slice(&random[..16]);
        outer.dst.copy_from_slice(&random[16..]);
        let six = FlowKey {
            outer,
            ..FlowKey::default()
        };
        for (settings, key) in [(&v4, &four), (&v6, &six)] {
            let expected = u32::from_str_radix(words.next().unwrap(), 16).unwrap();
            assert_eq!(settings.hash(key), expected, "{line}");
            assert_eq!(hash_by_family(settings, key), expected, "{line}");
            count += 1;
        }
    }
    assert_eq!(count, 4_000);
}

/// Two that were worked out by hand.
#[test]
fn crc32_of_the_worked_examples() {
    let mut four = [10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 0, 17];
    four[8..12].copy_from_slice(&[0x03, 0xe8, 0x07, 0xd0]);
    assert_eq!(crc32::hash4(&four), 0x08b9_2fa2);
    let mut six: [u8; 37] = std::array::from_fn(|i| (i + i / 16 * 16) as u8);
    six[32..].copy_from_slice(&[0x03, 0xe8, 0x07, 0xd0, 17]);
    assert_eq!(crc32::hash6(&six), 0xba93_d761);
}

/// The verification suite of Microsoft's "Verifying the RSS Hash Calculation".
#[test]
fn toeplitz_agrees_with_the_published_vectors() {
    let key =
        hex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa");
    let of = |text: &str| {
        let (source, destination) = text.split_once(' ').unwrap();
        let ends = [source, destination].map(|t| t.parse::<std::net::SocketAddr>().unwrap());
        let mut bytes = Vec::new();
        for end in ends {
            match end.ip() {
                IpAddr::V4(a) => bytes.extend(a.octets()),
                IpAddr::V6(a) => bytes.extend(a.octets()),
            }
        }
        let alone = toeplitz::hash(&key, &bytes);
        bytes.extend(ends.iter().flat_map(|e| e.port().to_be_bytes()));
        (toeplitz::hash(&key, &bytes), alone)
    };
    for (flow, both) in [
        (
            "66.9.149.187:2794 161.142.100.80:1766",
            (0x51cc_c178, 0x323e_8fc2),
        ),
        (
            "199.92.111.2:14230 65.69.140.83:4739",
            (0xc626_b0ea, 0xd718_262a),
        ),
        (
            "24.19.198.95:12898 12.22.207.184:38024",
            (0x5c2b_394a, 0xd2d0_a5de),
        ),
        (
            "38.27.205.30:48228 209.142.163.6:2217",
            (0xafc7_327f, 0x8298_9176),
        ),
        (
            "153.39.163.191:44251 202.188.127.2:1303",
            (0x10e8_28a2, 0x5d18_09c5),
        ),
    ] {
        assert_eq!(of(flow), both, "{flow}");
    }
    for (flow, both) in [
        (
            "[3ffe:2501:200:1fff::7]:2794 [3ffe:2501:200:3::1]:1766",
            (0x4020_7d3d, 0x2cc1_8cd5),
        ),
        (
            "[3ffe:501:8::260:97ff:fe40:efab]:14230 [ff02::1]:4739",
            (0xdde5_1bbf, 0x0f0c_461c),
        ),
        (
            "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251 [fe80::200:f8ff:fe21:67cf]:38024",
            (0x02d1_feef, 0x4b61_e985),
        ),
    ] {
        assert_eq!(of(flow), both, "{flow}");
    }
}

#[test]
fn toeplitz_is_what_the_key_and_the_flow_give() {
    let mut random = Random(20);
    for _ in 0..40 {
        let seed = random.next() as u32;
        let settings = with(Algorithm::Toeplitz, four_tuple(false), false, seed);
        let rss = settings.rss().unwrap();
        assert_eq!(rss.key, toeplitz::key(seed));
        for _ in 0..20 {
            let key = random.key();
            let expected = toeplitz::hash(&rss.key, &input(&key));
            assert_eq!(settings.hash(&key), expected, "{key:?}");
            assert_eq!(hash_by_family(&settings, &key), expected, "{key:?}");
        }
    }
}

/// Sorted as DPDK says: addresses for themselves, ports for themselves.
#[test]
fn symmetric_toeplitz_is_the_hash_of_the_sorted_flow() {
    let mut random = Random(21);
    let settings = with(Algorithm::Toeplitz, four_tuple(false), true, 5);
    let rss = settings.rss().unwrap();
    assert!(rss.sorted && settings.is_symmetric());
    for _ in 0..2_000 {
        let key = random.key();
        let mut sorted = key;
        let outer = &mut sorted.outer;
        (outer.src, outer.dst) = (
            key.outer.src.min(key.outer.dst),
            key.outer.src.max(key.outer.dst),
        );
        outer.sport = key.outer.sport.min(key.outer.dport);
        outer.dport = key.outer.sport.max(key.outer.dport);
        let expected = toeplitz::hash(&rss.key, &input(&sorted));
        assert_eq!(settings.hash(&key), expected, "{key:?}");
        assert_eq!(settings.hash(&key.reversed()), expected, "{key:?}");
    }
}

/// For every algorithm and set of fields: the three ways in, and the NIC's value as a base.
#[test]
fn all_ways_of_hashing_agree() {
    let mut random = Random(22);
    let mut with_rss = 0;
    for round in 0..150 {
        let algorithm = Algorithm::ALL[round % 3];
        let fields = random.fields();
        let seed = random.next() as u32;
        let settings = with(algorithm, fields, random.next() & 1 == 0, seed);
        let mut settings_of_nic = fields;
        for field in Field::ALL {
            let hashed = Field::SourceIp as u8..=Field::DestinationPort as u8;
            if !hashed.contains(&(field as u8)) {
                settings_of_nic = settings_of_nic.with(field, false);
            }
        }
        let nic = with(algorithm, settings_of_nic, settings.is_symmetric(), seed);
        assert_eq!(settings.rss().is_some(), settings.rss_id() != 0);
        assert_eq!(settings.rss(), nic.rss());
        for _ in 0..10 {
            let key = random.key();
            let expected = settings.hash(&key);
            if settings.is_plain() {
                assert_eq!(hash_by_family(&settings, &key), expected);
            }
            if settings.rss().is_some() {
                let rss = nic.hash(&key);
                assert_eq!(settings.hash_with_rss(&key, rss), expected);
                let rest = Rest::of(&key);
                let plain = if key.outer.v6 {
                    settings.hash6_with_rss(rss, &rest)
                } else {
                    settings.hash4_with_rss(rss, &rest)
                };
                assert!(plain == expected || !settings.is_plain());
                with_rss += 1;
            }
        }
    }
    assert!(with_rss > 30, "{with_rss}");
}

#[test]
fn rss_numbers_tell_what_a_nic_must_know_apart() {
    let of = |fields, symmetric, seed| with(Algorithm::Toeplitz, fields, symmetric, seed).rss_id();
    let base = of(Fields::default(), true, 1);
    assert_eq!(
        base,
        of(four_tuple(false), true, 1),
        "the rest is not the NIC's"
    );
    let no_ports = Fields::default()
        .with(Field::SourcePort, false)
        .with(Field::DestinationPort, false);
    let mut all = vec![
        base,
        of(Fields::default(), true, 2),
        of(Fields::default(), false, 1),
        of(no_ports, true, 1),
        of(no_ports, false, 1),
        0,
    ];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6);
    for field in [Field::SourceIp, Field::DestinationPort] {
        assert_eq!(of(Fields::default().with(field, false), true, 1), 0);
    }
    assert_eq!(Settings::default().rss_id(), 0);
}

#[test]
fn tables_made_before_are_those_of_the_choice_or_not_taken() {
    let choice = |algorithm, seed| Choice {
        algorithm,
        seed,
        ..Choice::default()
    };
    let all = Algorithm::ALL.map(|a| [1, 2].map(|seed| choice(a, seed)));
    let made: Vec<_> = all.iter().flatten().filter_map(Tables::new).collect();
    for choice in all.into_iter().flatten() {
        let wanted = Settings::new(choice);
        assert_eq!(Settings::with(choice, None), wanted);
        for tables in &made {
            let settings = Settings::with(choice, Some(tables));
            assert_eq!((&settings, settings.rss()), (&wanted, wanted.rss()));
        }
    }
    let key = |seed| with(Algorithm::Toeplitz, Fields::default(), true, seed).rss();
    assert_eq!(key(2).map(|r| r.key), Some(toeplitz::key(2)));
}

/// Keys must not change between releases: flows would move.
#[test]
fn golden_keys() {
    let start = |seed| u64::from_be_bytes(*toeplitz::key(seed).first_chunk().unwrap());
    assert_eq!(
        [start(0), start(1), start(u32::MAX)],
        [0x7d3214002e61eb53, 0x23155cf2de9f39de, 0xdf89ddf97a812ce7]
    );
}

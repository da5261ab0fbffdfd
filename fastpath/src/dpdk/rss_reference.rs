//! DPDK's own Toeplitz, which is what its drivers promise of a NIC's value, against every way in which
//! this crate computes it: bit by bit, by tables, and as the base of a hash of more fields.

use crate::hash::toeplitz::{self, KEY};
use crate::hash::{Algorithm, Choice, Field, Fields, FlowKey, Rest, Settings, Tuple};

/// SplitMix64: the same sequence in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Of four, one is full of zeros and one of ones.
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let kind = self.next() % 4;
        std::array::from_fn(|_| match (kind, self.next()) {
            (0, bits) => bits as u8 & (bits >> 8) as u8 & (bits >> 16) as u8,
            (1, bits) => bits as u8 | (bits >> 8) as u8 | (bits >> 16) as u8,
            (_, bits) => bits as u8,
        })
    }

    /// TCP or UDP, of either family; now and then both ends have one address or one port.
    fn flow(&mut self) -> FlowKey {
        let v6 = self.next() & 1 == 0;
        let mut address = || {
            let bytes: [u8; 16] = self.bytes();
            let kept = if v6 { u128::MAX } else { u32::MAX.into() };
            (u128::from_be_bytes(bytes) & kept).to_be_bytes()
        };
        let (src, dst) = (address(), address());
        let [sport, dport] = [(); 2].map(|()| u16::from_be_bytes(self.bytes()));
        let (same_address, same_port) = (self.next() % 8 == 0, self.next() % 8 == 0);
        FlowKey {
            outer: Tuple {
                v6,
                src,
                dst: if same_address { src } else { dst },
                protocol: if self.next() & 1 == 0 { 6 } else { 17 },
                sport,
                dport: if same_port { sport } else { dport },
                label: if v6 { self.next() as u32 >> 12 } else { 0 },
            },
            ingress: self.next() as u16 & 63,
            ..FlowKey::default()
        }
    }
}

/// What `rte_softrss` and `rte_softrss_be` say, which must be the same.
fn reference(key: &[u8; KEY], flow: &Tuple, ports: bool) -> u32 {
    let of = dpdk_sys::evenpath_rss_tuple {
        v6: flow.v6,
        ports,
        src: flow.src,
        dst: flow.dst,
        sport: flow.sport,
        dport: flow.dport,
    };
    let mut found = [0; 2];
    // SAFETY: the key has the 40 bytes, and the array the two places, that the function uses.
    unsafe { dpdk_sys::evenpath_softrss(key.as_ptr(), &of, found.as_mut_ptr()) };
    assert_eq!(found[0], found[1], "{flow:?}");
    found[0]
}

/// The bytes of `flow` as RSS hashes them.
fn input(flow: &Tuple, ports: bool) -> Vec<u8> {
    let skip = if flow.v6 { 0 } else { 12 };
    let mut bytes = [&flow.src[skip..], &flow.dst[skip..]].concat();
    if ports {
        bytes.extend(flow.sport.to_be_bytes());
        bytes.extend(flow.dport.to_be_bytes());
    }
    bytes
}

/// Addresses in order and ports in order, each for itself.
fn sorted(flow: Tuple) -> Tuple {
    Tuple {
        src: flow.src.min(flow.dst),
        dst: flow.src.max(flow.dst),
        sport: flow.sport.min(flow.dport),
        dport: flow.sport.max(flow.dport),
        ..flow
    }
}

#[test]
fn bit_by_bit_is_what_dpdk_computes_for_any_key() {
    let mut random = Random(40);
    let mut values = std::collections::BTreeSet::new();
    for _ in 0..4_000 {
        let (key, flow) = (random.bytes(), random.flow().outer);
        for ports in [false, true] {
            let value = reference(&key, &flow, ports);
            assert_eq!(
                toeplitz::hash(&key, &input(&flow, ports)),
                value,
                "{flow:?}"
            );
            values.insert(value);
        }
    }
    assert!(values.len() > 7_000, "they differ: {}", values.len());
}

/// The key of a seed, with and without ports, in order and not: the value of the fast path's tables
/// is DPDK's, and over DPDK's value come the other fields as over our own.
#[test]
fn tables_and_what_is_mixed_over_are_what_dpdk_computes() {
    let mut random = Random(41);
    for round in 0..160 {
        let (symmetric, ports) = (round & 1 == 0, round & 2 == 0);
        let off = |fields: Fields, field: &Field| fields.with(*field, false);
        let not_hashed: &[Field] = match ports {
            true => &[],
            false => &[Field::SourcePort, Field::DestinationPort],
        };
        let more = not_hashed.iter().fold(Fields::default(), off);
        let more = more.with(Field::IngressInterface, round & 4 == 0);
        let others = [Field::IpProtocol, Field::Ipv6Label, Field::IngressInterface];
        let seed = random.next() as u32;
        let [alone, more] = [others.iter().fold(more, off), more].map(|fields| {
            Settings::new(Choice {
                fields,
                symmetric,
                seed,
                algorithm: Algorithm::Toeplitz,
            })
        });
        let rss = alone.rss().unwrap();
        assert_eq!(more.rss(), Some(rss));
        assert_eq!((rss.sorted, rss.source_port), (symmetric, ports));
        for _ in 0..60 {
            let key = random.flow();
            let ordered = if rss.sorted {
                sorted(key.outer)
            } else {
                key.outer
            };
            let value = reference(&rss.key, &ordered, ports);
            let rest = Rest {
                sport: key.outer.sport,
                dport: key.outer.dport,
                protocol: key.outer.protocol,
                label: key.outer.label,
                ingress: key.ingress,
            };
            let [src, dst] = [key.outer.src, key.outer.dst].map(u128::from_be_bytes);
            let fast = |settings: &Settings| match key.outer.v6 {
                true => settings.hash6(src, dst, &rest),
                false => settings.hash4(src as u32, dst as u32, &rest),
            };
            assert_eq!((alone.hash(&key), fast(&alone)), (value, value), "{key:?}");
            let over = match key.outer.v6 {
                true => more.hash6_with_rss(value, &rest),
                false => more.hash4_with_rss(value, &rest),
            };
            assert_eq!((more.hash(&key), fast(&more)), (over, over), "{key:?}");
            assert_eq!(more.hash_with_rss(&key, value), over, "{key:?}");
            if symmetric {
                assert_eq!(alone.hash(&key.reversed()), value, "{key:?}");
            }
        }
    }
}

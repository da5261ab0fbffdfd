use super::super::heap::HeapFrame;
use super::*;
use crate::hash::{Choice, Field, Fields};

const FACTS: PortFacts = PortFacts {
    present: true,
    any_mac: true,
    ..PortFacts::ABSENT
};

fn frame(protocol: u8, fragment_word: u16, options: bool) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let header_len = if options { 24 } else { 20 };
    let mut header = vec![0x40 | header_len / 4, 0, 0, header_len + 8, 0, 7];
    header.extend(fragment_word.to_be_bytes());
    header.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    header.extend([1; 4].iter().take(usize::from(options) * 4));
    let sum = crate::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.extend([4, 0, 0, 80, 0, 8, 0, 0]);
    bytes
}

/// A sound frame of either family with ports, cut and damaged at random.
fn damaged(mut random: impl FnMut() -> u32) -> Vec<u8> {
    let protocol = [6, 17, 1, 47, 58][random() as usize % 5];
    let mut bytes = if random() % 2 == 0 {
        let mut bytes = frame(protocol, 0x4000, random() % 16 == 0);
        bytes.extend([0; 18]);
        bytes
    } else {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
        bytes.extend([0x60, 0, 0x12, 0x34, 0, 8, protocol, 64]);
        bytes.extend([[0xfd; 16], [0x20; 16]].concat());
        bytes.extend([4, 0, 0, 80, 0, 8, 0, 0]);
        bytes
    };
    if random() % 4 == 0 {
        bytes.truncate(random() as usize % (bytes.len() + 1));
    }
    for _ in 0..random() % 3 {
        let at = random() as usize % bytes.len().max(1);
        // The bytes that most depends on, most often.
        let at = if random() % 2 == 0 { at } else { at % 40 };
        let to = [0, 1, 5, 0x45, 127, 169, 224, 0xfe, 0xff, random() as u8];
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to[random() as usize % to.len()];
        }
    }
    if bytes.len() >= 34 && random() % 2 == 0 {
        // Right again, whatever else is wrong.
        bytes[24..26].fill(0);
        let sum = crate::wire::checksum::checksum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// A frame that is plain, of random addresses that need no second look, and ports; often with a packet
/// in VXLAN.
fn sound(v6: bool, mut random: impl FnMut() -> u32) -> Vec<u8> {
    let mut bytes = frame(if random() % 2 == 0 { 6 } else { 17 }, 0x4000, false);
    for at in [27, 28, 29, 31, 32, 33, 34, 35, 36, 37] {
        // The two ends are often the same.
        bytes[at] = [0, 255, random() as u8][random() as usize % 3];
    }
    if random() % 2 == 0 {
        let inside = frame(17, 0x4000, random() % 64 == 0);
        bytes[36..38].copy_from_slice(&4789_u16.to_be_bytes());
        bytes.extend([8, 0, 0, 0, 0, 0, random() as u8, 0]);
        bytes.extend(inside);
        let ports = bytes.len() - 8;
        bytes[ports + random() as usize % 4] = random() as u8;
    }
    let len = bytes.len() as u8 - 14;
    bytes[16..18].copy_from_slice(&[0, len]);
    bytes[24..26].fill(0);
    let sum = crate::wire::checksum::checksum(&bytes[14..34]);
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    if v6 {
        let (macs, ports) = (&bytes[..12], &bytes[34..]);
        let label = random() as u8;
        let start = [0x86, 0xdd, 0x60, 0, 0x12, label, 0, len - 20, bytes[23], 64];
        let ends = [[0xfd; 15], [0xfd; 15]].map(|end| [&end[..], &[random() as u8 % 2]].concat());
        return [macs, &start, &ends.concat(), ports].concat();
    }
    bytes
}

fn plain_of(frame: &HeapFrame, gate: Gate) -> bool {
    plain::read4(frame.bytes(), gate).is_some() || plain::read6(frame.bytes(), gate).is_some()
}

/// The way of plain packets and that of all say the same of every frame.
#[test]
fn plain_packets_are_read_as_all_are() {
    let mut state = 11u64;
    let mut random = || {
        let next = state.wrapping_mul(6_364_136_223_846_793_005);
        state = next.wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let us = PortFacts {
        mac: [2, 0, 0, 0, 0, 1],
        any_mac: false,
        ..FACTS
    };
    let tagged = PortFacts { vlan: 7, ..us };
    let group = PortFacts { mac: [1; 6], ..us };
    let fields = Field::INNER.iter();
    let fields = fields.fold(Fields::default(), |set, f| set.with(*f, true));
    let inner = Settings::new(Choice {
        fields,
        ..Choice::default()
    });
    let (policies, port) = ([Policy::default(), inner.into()], PortId(3));
    let (mut plain, mut seen) = (0, std::collections::HashSet::new());
    let mut alike = [[0; 3]; 2];
    for round in 0..1000 {
        let facts = match round % 16 {
            0 => PortFacts::ABSENT,
            1 => tagged,
            2 => group,
            n if n % 2 == 0 => us,
            _ => FACTS,
        };
        let mut burst = Burst::new();
        // Of one family and sound, up to one that may not be; or anything.
        let other = random() as usize % (2 * BURST);
        for i in 0..=random() as usize % BURST {
            let bytes = match round % 5 {
                0 if i != other => sound(false, &mut random),
                1 if i != other => sound(true, &mut random),
                _ => damaged(&mut random),
            };
            burst.push(HeapFrame::new(&bytes)).unwrap();
        }
        let (mut a, mut b) = (Lanes::default(), Lanes::default());
        let policy = &policies[round / 5 % 2];
        parse(&burst, &mut a, port, &facts, policy);
        each::<_, ANY>(&burst, &mut b, port, &facts, policy);
        for (i, frame) in burst.iter().enumerate() {
            let of = |lanes: &Lanes| {
                let routed = matches!(lanes.verdict[i], Verdict::V4 | Verdict::V6);
                let facts = (lanes.l3[i], lanes.l3_len[i], lanes.hash[i]);
                (lanes.verdict[i], lanes.group[i], routed.then_some(facts))
            };
            assert_eq!(of(&a), of(&b), "{:02x?} by {facts:?}", frame.bytes());
            seen.insert(format!("{:?}", a.verdict[i]));
            plain += usize::from(plain_of(frame, Gate::new(&facts)));
        }
        assert_eq!(a.fragments, b.fragments);
        let all = |verdict| (0..burst.len()).all(|i| a.verdict[i] == verdict);
        let is_plain = |f: &HeapFrame| plain_of(f, Gate::new(&facts));
        let expected = match burst.iter().all(is_plain) {
            true if all(Verdict::V4) => Alike::V4,
            true if all(Verdict::V6) => Alike::V6,
            _ => Alike::Mixed,
        };
        // What is inside a tunnel may take a closer look.
        let is_closer = a.alike == Alike::Mixed && !policy.base().is_plain();
        assert!(a.alike == expected || is_closer, "{:?}", a.alike);
        assert_eq!(b.alike, Alike::Mixed);
        alike[round / 5 % 2][a.alike as usize] += usize::from(burst.len() > 1);
        let of = |lanes: &Lanes| {
            let (v4, v6) = (&lanes.v4, &lanes.v6);
            (
                (
                    v4.lanes[..v4.len].to_vec(),
                    v4.destinations[..v4.len].to_vec(),
                ),
                (
                    v6.lanes[..v6.len].to_vec(),
                    v6.destinations[..v6.len].to_vec(),
                ),
            )
        };
        assert_eq!(of(&a), of(&b));
    }
    assert!(plain > 4000, "{plain}");
    assert!(alike.as_flattened().iter().all(|n| *n > 20), "{alike:?}");
    // Both families, punted, and eight reasons to drop.
    assert!(seen.len() >= 11, "{seen:?}");
}

/// The hot way and the general one give one hash.
#[test]
fn the_key_described_has_the_hash_of_the_stage() {
    let policy = Policy::default();
    for protocol in 0..=255 {
        for (word, options) in [(0, false), (0, true), (0x2000, false), (0x0010, true)] {
            let bytes = frame(protocol, word, options);
            let found = describe(&bytes, PortId(3), &FACTS, &policy).unwrap();
            assert_eq!(found.hash, policy.base().hash(&found.flow.key));
            let has_ports = crate::wire::transport::has_ports(protocol) && word != 0x0010;
            assert_eq!(found.flow.key.outer.dport == 80, has_ports, "{protocol}");
            assert_eq!((found.l3, found.flow.key.ingress), (14, 3));
        }
    }
}

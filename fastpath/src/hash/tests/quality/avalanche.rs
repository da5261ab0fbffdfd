//! What a single bit of a field does: flip each bit of the hash half the time, wherever in the packet
//! it is.

use super::*;

const ROUNDS: u32 = 4_000;

/// Of the 145,000 pairs of bits below, none of a fair coin's is farther off than this, in standard
/// deviations, with a probability of 99.8 %.
const LIMIT: f64 = 5.7;

/// A field: its name, its bits, and how one of them is flipped.
type Bits = (&'static str, usize, fn(&mut FlowKey, usize));

fn inner(key: &mut FlowKey) -> &mut Tuple {
    key.inner.get_or_insert_default()
}

/// Bit `bit` of the last bytes of `address`, from the lowest.
fn flip(address: &mut [u8; 16], bit: usize) {
    address[15 - bit / 8] ^= 1 << (bit % 8);
}

const IPV4: [Bits; 5] = [
    ("source", 32, |k, b| flip(&mut k.outer.src, b)),
    ("destination", 32, |k, b| flip(&mut k.outer.dst, b)),
    ("protocol", 8, |k, b| k.outer.protocol ^= 1 << b),
    ("source port", 16, |k, b| k.outer.sport ^= 1 << b),
    ("destination port", 16, |k, b| k.outer.dport ^= 1 << b),
];

const IPV6: [Bits; 6] = [
    ("source", 128, |k, b| flip(&mut k.outer.src, b)),
    ("destination", 128, |k, b| flip(&mut k.outer.dst, b)),
    ("protocol", 8, |k, b| k.outer.protocol ^= 1 << b),
    ("source port", 16, |k, b| k.outer.sport ^= 1 << b),
    ("destination port", 16, |k, b| k.outer.dport ^= 1 << b),
    ("label", 20, |k, b| k.outer.label ^= 1 << b),
];

const INNER4: [Bits; 5] = [
    ("inner source", 32, |k, b| flip(&mut inner(k).src, b)),
    ("inner destination", 32, |k, b| flip(&mut inner(k).dst, b)),
    ("inner protocol", 8, |k, b| inner(k).protocol ^= 1 << b),
    ("inner source port", 16, |k, b| inner(k).sport ^= 1 << b),
    ("inner destination port", 16, |k, b| {
        inner(k).dport ^= 1 << b
    }),
];

const INNER6: [Bits; 6] = [
    ("inner source", 128, |k, b| flip(&mut inner(k).src, b)),
    ("inner destination", 128, |k, b| flip(&mut inner(k).dst, b)),
    ("inner protocol", 8, |k, b| inner(k).protocol ^= 1 << b),
    ("inner source port", 16, |k, b| inner(k).sport ^= 1 << b),
    ("inner destination port", 16, |k, b| {
        inner(k).dport ^= 1 << b
    }),
    ("inner label", 20, |k, b| inner(k).label ^= 1 << b),
];

const IDS: [Bits; 3] = [
    ("TEID", 32, |k, b| k.teid = k.teid.map(|id| id ^ 1 << b)),
    ("queue pair", 24, |k, b| k.qp = k.qp.map(|qp| qp ^ 1 << b)),
    ("ingress port", 6, |k, b| k.ingress ^= 1 << b),
];

/// A random packet in a tunnel, of these families.
fn packet(random: &mut Random, outer: bool, inside: bool) -> FlowKey {
    let mut of = |v6| {
        loop {
            let key = random.key();
            if key.outer.v6 == v6 {
                return key;
            }
        }
    };
    let (key, inner) = (of(outer), of(inside).outer);
    FlowKey {
        inner: Some(inner),
        teid: Some(random.next() as u32),
        qp: Some(random.next() as u32 >> 8),
        ..key
    }
}

/// The farthest that any bit of `fields` is from flipping any bit of the hash half the time, in
/// standard deviations of a fair coin.
fn farthest(settings: &Settings, (outer, inside): (bool, bool), fields: &[Bits]) -> f64 {
    let mut random = Random(31);
    let mut flips: Vec<_> = fields.iter().map(|f| vec![[0_u32; 32]; f.1]).collect();
    for _ in 0..ROUNDS {
        let packet = packet(&mut random, outer, inside);
        let before = settings.hash(&packet);
        for ((_, _, flip), flips) in fields.iter().zip(&mut flips) {
            for (bit, flips) in flips.iter_mut().enumerate() {
                let mut key = packet;
                flip(&mut key, bit);
                let mut difference = before ^ settings.hash(&key);
                while difference != 0 {
                    flips[difference.trailing_zeros() as usize] += 1;
                    difference &= difference - 1;
                }
            }
        }
    }
    let half = f64::from(ROUNDS) / 2.0;
    let off = |flips: &u32| (f64::from(*flips) - half).abs() / (half / 2.0).sqrt();
    let worst = |of: &Vec<[u32; 32]>| of.iter().flatten().map(off).fold(0.0, f64::max);
    let all = fields.iter().zip(&flips).map(|(field, flips)| {
        println!("| {} | {} | {:.1} |", field.0, field.1, worst(flips));
        worst(flips)
    });
    all.fold(0.0, f64::max)
}

/// Every field on, outer and inner ones of both families, in tunnels of both.
#[test]
fn every_input_bit_flips_every_output_bit_half_the_time() {
    let all = Field::ALL.into_iter();
    let all = all.fold(Fields::EMPTY, |set, f| set.with(f, true));
    for (algorithm, symmetric) in [
        (Algorithm::Mix, false),
        (Algorithm::Mix, true),
        (Algorithm::Toeplitz, true),
    ] {
        let settings = Settings::new(Choice {
            fields: all,
            symmetric,
            seed: 99,
            algorithm,
        });
        for (families, outer, inner) in [
            ((false, false), &IPV4[..], &INNER4[..]),
            ((true, true), &IPV6[..], &INNER6[..]),
            ((false, true), &[], &INNER6[..]),
            ((true, false), &[], &INNER4[..]),
        ] {
            let [outside, inside] = [families.0, families.1].map(|v6| if v6 { 6 } else { 4 });
            let order = if symmetric {
                "symmetric"
            } else {
                "not symmetric"
            };
            println!(
                "\n| {}, {order}, IPv{inside} in IPv{outside} | bits | worst |",
                algorithm.name()
            );
            println!("|---|---:|---:|");
            let fields: Vec<Bits> = outer.iter().chain(inner).chain(&IDS).copied().collect();
            let worst = farthest(&settings, families, &fields);
            assert!(worst <= LIMIT, "{settings:?} {families:?}: {worst}");
        }
    }
}

//! What the hash promises: fields on and off, symmetry, spread, and seeds that do not correlate.

use super::mix::splitmix;
use super::*;

fn new(fields: Fields, symmetric: bool, seed: u32) -> Settings {
    Settings::new(Choice {
        fields,
        symmetric,
        seed,
        ..Choice::default()
    })
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        splitmix(self.0)
    }

    fn key(&mut self) -> FlowKey {
        let v6 = self.next() & 1 == 0;
        let wide = |a: u64, b: u64| (u128::from(a) << 64 | u128::from(b)).to_be_bytes();
        let mut address = || {
            if v6 {
                wide(self.next(), self.next())
            } else {
                wide(0, self.next() >> 32)
            }
        };
        let (src, dst) = (address(), address());
        FlowKey {
            outer: Tuple {
                v6,
                src,
                dst,
                protocol: self.next() as u8,
                sport: self.next() as u16,
                dport: self.next() as u16,
                label: if v6 { self.next() as u32 >> 12 } else { 0 },
            },
            ingress: self.next() as u16 & 63,
            ..FlowKey::default()
        }
    }

    fn fields(&mut self) -> Fields {
        let bits = self.next();
        Field::ALL.into_iter().fold(Fields::EMPTY, |set, f| {
            set.with(f, bits >> f as u8 & 1 != 0)
        })
    }
}

/// Pearson's statistic of `counts` against a flat distribution, in standard deviations above its
/// mean (degrees of freedom large, so nearly normal).
fn chi_square_sigmas(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    let chi: f64 = counts
        .iter()
        .map(|c| (f64::from(*c) - expected).powi(2) / expected)
        .sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn both_directions_hash_alike_exactly_when_symmetric() {
    let mut random = Random(1);
    let mut differ = 0;
    for _ in 0..20_000 {
        let settings = new(random.fields(), true, random.next() as u32);
        let key = random.key();
        let alike = settings.hash(&key) == settings.hash(&key.reversed());
        if settings.is_symmetric() {
            assert!(alike, "{settings:?} {key:?}");
        } else {
            differ += u32::from(!alike);
        }
    }
    assert!(differ > 9_000, "asymmetric settings tell directions apart");
    let off = new(Fields::default(), false, 0);
    let key = random.key();
    assert!(!off.is_symmetric() && off.hash(&key) != off.hash(&key.reversed()));
}

#[test]
fn symmetry_switches_itself_off_when_a_pair_differs() {
    for (field, symmetric) in [
        (Field::SourceIp, false),
        (Field::DestinationPort, false),
        (Field::IpProtocol, true),
    ] {
        let settings = new(Fields::default().with(field, false), true, 7);
        assert_eq!(settings.is_symmetric(), symmetric, "{}", field.name());
        assert!(settings.wants_symmetric());
    }
}

#[test]
fn a_field_matters_exactly_when_it_is_on() {
    let mut random = Random(2);
    for _ in 0..5_000 {
        let fields = random.fields();
        let settings = new(fields, random.next() & 1 == 0, random.next() as u32);
        let key = random.key();
        let hash = settings.hash(&key);
        let changed = |field, other: FlowKey| {
            let same = settings.hash(&other) == hash;
            // Equal by chance once in 2^32.
            assert_eq!(same, !fields.has(field), "{} {key:?}", field.name());
        };
        let mut address = key;
        address.outer.src[13] ^= 0x40;
        changed(Field::SourceIp, address);
        address = key;
        address.outer.dst[15] ^= 1;
        changed(Field::DestinationIp, address);
        let with = |change: fn(&mut Tuple)| {
            let mut key = key;
            change(&mut key.outer);
            key
        };
        changed(Field::SourcePort, with(|t| t.sport ^= 0x100));
        changed(Field::DestinationPort, with(|t| t.dport ^= 1));
        changed(Field::IpProtocol, with(|t| t.protocol ^= 0x11));
        changed(Field::Ipv6Label, with(|t| t.label ^= 0x8_0000));
        let ingress = key.ingress ^ 1;
        changed(Field::IngressInterface, FlowKey { ingress, ..key });
    }
}

#[test]
fn addresses_outside_their_family_do_not_matter() {
    let mut key = Random(3).key();
    key.outer.v6 = false;
    let settings = Settings::default();
    let hash = settings.hash(&key);
    key.outer.src[..12].fill(0xff);
    assert_eq!(settings.hash(&key), hash, "IPv4 is the last four bytes");
}

/// Flows as they are in practice: one server port, consecutive client ports and addresses.
fn practical(i: u32, v6: bool) -> FlowKey {
    let net = if v6 { 0xfd00_u128 << 112 } else { 0x0a00_0000 };
    let outer = Tuple {
        v6,
        src: (net + 0x10100 + u128::from(i / 2000)).to_be_bytes(),
        dst: (net + 0x20001).to_be_bytes(),
        protocol: 6,
        sport: (30_000 + i % 2000) as u16,
        dport: 443,
        ..Tuple::default()
    };
    FlowKey {
        outer,
        ..FlowKey::default()
    }
}

#[test]
fn practical_flows_spread_evenly_for_every_seed() {
    for v6 in [false, true] {
        let mut worst: f64 = 0.0;
        for seed in 0..200 {
            let settings = new(Fields::default(), true, seed);
            let mut counts = [0; 64];
            for i in 0..20_000 {
                counts[(settings.hash(&practical(i, v6)) & 63) as usize] += 1;
            }
            worst = worst.max(chi_square_sigmas(&counts));
        }
        // The largest of 200 such figures from an ideal hash is below 4.5 in 99.9 % of cases.
        assert!(worst < 4.5, "v6 {v6}: {worst} sigmas");
    }
}

/// Two routers in a row, eight members each: the second must use all of its members for the flows
/// that the first sends to any one member, for every pair of seeds.
#[test]
fn seeds_do_not_correlate() {
    for (one, two) in (0..30).flat_map(|a| [(a, a + 1), (a, a ^ 0x8000_0000), (a, !a)]) {
        let first = new(Fields::default(), true, one);
        let second = new(Fields::default(), true, two);
        let mut counts = [0; 64];
        for i in 0..20_000 {
            let key = practical(i, i & 1 == 0);
            let pair = (first.hash(&key) & 7) << 3 | second.hash(&key) & 7;
            counts[pair as usize] += 1;
        }
        let sigmas = chi_square_sigmas(&counts);
        assert!(sigmas < 5.0, "seeds {one} {two}: {sigmas} sigmas");
    }
}

#[test]
fn no_two_seeds_share_keys() {
    let mut seen: Vec<_> = (0..50_000_u32)
        .map(|seed| new(Fields::default(), true, seed.wrapping_mul(85_899)).keys)
        .collect();
    assert!(seen.iter().flatten().all(|k| *k != 0));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 50_000);
}

/// Figures that must never change between releases: an operator's flows would move.
#[test]
fn golden_values() {
    let v4 = practical(0, false);
    let v6 = practical(0, true);
    let of = |seed, key| new(Fields::default(), true, seed).hash(key);
    assert_eq!(
        [of(0, &v4), of(1, &v4), of(0, &v6), of(u32::MAX, &v6)],
        [0x50e9_a083, 0x3ef6_1947, 0x9b99_0118, 0xef8d_c9c1]
    );
}

mod hardware;
mod quality;

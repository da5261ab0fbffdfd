//! Prefixes of the lengths that the Internet's tables have, from a seed.
//!
//! Shares are those of the global tables of 2025 as route collectors see them, rounded, and one
//! percent of longer ones, as a network's own routing adds.

use control::prefix::Prefix;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Prefix length and its share in parts of 10,000.
type Share = (u8, u32);

const V4: [Share; 21] = [
    (8, 2),
    (9, 1),
    (10, 4),
    (11, 10),
    (12, 30),
    (13, 60),
    (14, 115),
    (15, 200),
    (16, 135),
    (17, 80),
    (18, 135),
    (19, 250),
    (20, 440),
    (21, 500),
    (22, 1130),
    (23, 1000),
    (24, 5808),
    (27, 10),
    (29, 20),
    (30, 20),
    (32, 50),
];

const V6: [Share; 22] = [
    (20, 2),
    (24, 5),
    (28, 20),
    (29, 250),
    (30, 40),
    (31, 20),
    (32, 1170),
    (33, 200),
    (34, 180),
    (35, 100),
    (36, 450),
    (38, 100),
    (39, 70),
    (40, 750),
    (42, 200),
    (44, 850),
    (45, 160),
    (46, 400),
    (47, 330),
    (48, 4603),
    (56, 30),
    (64, 70),
];

/// The first 16 bits of what the registries have handed out most of.
const REGISTRIES: [u16; 6] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];

/// Numbers that look random and are the same each time.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Those of `seed`; `stream` tells apart what must not go together.
    pub fn new(seed: u32, stream: u32) -> Self {
        Random(u64::from(seed) << 32 | u64::from(stream))
    }

    /// The next one.
    pub fn word(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 0 to `n` - 1.
    pub fn below(&mut self, n: u32) -> u32 {
        ((self.word() >> 32) * u64::from(n) >> 32) as u32
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}

fn length(shares: &[Share], random: &mut Random) -> u8 {
    let sum = shares.iter().map(|(_, share)| share).sum();
    let mut at = random.below(sum);
    for &(length, share) in shares {
        match at.checked_sub(share) {
            Some(rest) => at = rest,
            None => return length,
        }
    }
    shares.last().map_or(24, |(length, _)| *length)
}

/// Unicast that a router forwards, without the networks of the measurement's own.
fn v4(random: &mut Random) -> IpAddr {
    loop {
        let address = Ipv4Addr::from_bits(random.word() as u32);
        if !matches!(address.octets()[0], 0 | 10 | 127 | 169 | 224..) {
            return address.into();
        }
    }
}

/// Below one of `allocations` where there are, most of them numbered from its start on, as networks
/// number theirs.
fn v6(random: &mut Random, allocations: &[u32]) -> IpAddr {
    let high = match allocations.len() as u32 {
        0 => allocation(random),
        n => allocations[random.below(n) as usize],
    };
    let bits = random.word() as u32 as u16;
    let subnet = if random.below(4) == 0 {
        bits
    } else {
        bits & 63
    };
    let rest = random.word() & (1 << 48) - 1;
    let tail = u128::from(subnet) << 80 | u128::from(rest) << 32;
    IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 96 | tail))
}

/// The first 32 bits of an allocation.
fn allocation(random: &mut Random) -> u32 {
    let registry = REGISTRIES[random.below(REGISTRIES.len() as u32) as usize];
    let block = if registry == 0x2001 {
        0
    } else {
        random.below(16)
    };
    (u32::from(registry) + block) << 16 | random.below(1 << 16)
}

/// `count` different prefixes.
pub fn prefixes(is_v6: bool, count: u32, random: &mut Random) -> Vec<Prefix> {
    let shares = if is_v6 { &V6[..] } else { &V4[..] };
    let allocations: Vec<_> = (0..1 + count / 10).map(|_| allocation(random)).collect();
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    while all.len() < count as usize {
        let length = length(shares, random);
        let address = match (is_v6, length) {
            (false, _) => v4(random),
            (true, ..=32) => v6(random, &[]),
            (true, _) => v6(random, &allocations),
        };
        let prefix = Prefix::containing(address, length);
        // Short ones are soon all taken: then another length has its turn.
        all.extend(prefix.ok().filter(|prefix| seen.insert(*prefix)));
    }
    all
}

/// An address of `prefix`.
pub fn inside(prefix: Prefix, random: &mut Random) -> IpAddr {
    let length = u32::from(prefix.length());
    match prefix.address() {
        IpAddr::V4(address) => {
            let host = (random.word() as u32).checked_shr(length).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() | host).into()
        }
        IpAddr::V6(address) => {
            let word = u128::from(random.word()) << 64 | u128::from(random.word());
            let host = word.checked_shr(length).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() | host).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_table_and_a_seed_gives_the_same() {
        for (is_v6, most) in [(false, 24), (true, 48)] {
            let shares = if is_v6 { &V6[..] } else { &V4[..] };
            let sum: u32 = shares.iter().map(|(_, share)| share).sum();
            assert_eq!(sum, 10_000);
            let all = prefixes(is_v6, 20_000, &mut Random::new(7, 0));
            assert_eq!(all, prefixes(is_v6, 20_000, &mut Random::new(7, 0)));
            assert_ne!(all, prefixes(is_v6, 20_000, &mut Random::new(8, 0)));
            let share = shares.iter().find(|(length, _)| *length == most).unwrap().1;
            let found = all.iter().filter(|p| p.length() == most).count() as u32;
            assert!(found.abs_diff(share * 2) < share / 10, "/{most}: {found}");
            let different: HashSet<_> = all.iter().collect();
            assert_eq!(different.len(), all.len());
        }
    }

    #[test]
    fn an_address_inside_is_inside() {
        let mut random = Random::new(1, 1);
        for is_v6 in [false, true] {
            for prefix in prefixes(is_v6, 1000, &mut random) {
                assert!(prefix.contains(inside(prefix, &mut random)), "{prefix}");
            }
        }
    }

    #[test]
    fn shuffling_keeps_all() {
        let mut all: Vec<_> = (0..100).collect();
        Random::new(3, 0).shuffle(&mut all);
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}

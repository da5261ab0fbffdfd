//! Maps and sets with a fast hash: the standard library's took a quarter of the time that a route took.
//!
//! Whoever announces prefixes to our neighbors chooses keys, so the hash has a key of its own in each
//! process and each map: nobody who cannot see both can choose prefixes that meet in one place.

use foldhash::quality::RandomState;
use std::collections::{HashMap, HashSet};

/// A map for which the order of its keys does not matter.
pub type Map<K, V> = HashMap<K, V, RandomState>;
/// A set likewise.
pub type Set<K> = HashSet<K, RandomState>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Prefix;
    use std::hash::BuildHasher;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("prefix")
    }

    /// As many places in use as of numbers drawn at random, at both ends of the hash: a map takes a
    /// key's place from the low bits and tells neighbors apart by the high ones.
    #[test]
    fn prefixes_in_a_row_are_spread() {
        for first in [prefix("10.0.0.0/24"), prefix("2001:db8::/64")] {
            let at = |i: u32| match first.address() {
                IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() + (i << 8))),
                IpAddr::V6(a) => {
                    IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() + (u128::from(i) << 64)))
                }
            };
            let row = (0..4096).map(|i| Prefix::containing(at(i), first.length()).expect("fits"));
            let row: Vec<_> = row.collect();
            let used = |state: &RandomState, shift: u32| {
                let places = row.iter().map(|p| state.hash_one(p) >> shift & 4095);
                places.collect::<HashSet<_>>().len()
            };
            let keys: Vec<_> = (0..16).map(|_| RandomState::default()).collect();
            for shift in [0, 52] {
                // 1 - 1/e of 4,096 are 2,589.
                let all: usize = keys.iter().map(|state| used(state, shift)).sum();
                assert!(all / keys.len() > 2400, "{first}: {}", all / keys.len());
            }
        }
    }

    #[test]
    fn length_and_family_matter_and_each_map_has_a_key() {
        let state = RandomState::default();
        let texts = [
            "10.0.0.0/8",
            "10.0.0.0/9",
            "::/0",
            "::/1",
            "::10.0.0.0/128",
            "0.0.0.0/0",
        ];
        let all: HashSet<_> = texts.iter().map(|t| state.hash_one(prefix(t))).collect();
        assert_eq!(all.len(), texts.len());
        assert_ne!(
            state.hash_one(1_u32),
            RandomState::default().hash_one(1_u32)
        );
    }
}

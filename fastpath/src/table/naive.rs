//! Longest-prefix match the obvious way: one ordered map per prefix length.
//!
//! For tests, the model that the real fib is compared with, and `calc` without DPDK. Not for
//! forwarding: it takes up to 129 map look-ups per destination.

use super::{GroupId, Lpm, LpmWrite};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Prefixes by length, then by address.
#[derive(Clone, Debug)]
pub struct NaiveLpm {
    by_length4: Vec<BTreeMap<u32, GroupId>>,
    by_length6: Vec<BTreeMap<u128, GroupId>>,
}

/// A prefix that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPrefix {
    address: IpAddr,
    length: u8,
}

impl fmt::Display for NotAPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotAPrefix { address, length } = self;
        write!(
            f,
            "prefix {address}/{length}: upsert: host bits are set or the length is out of range"
        )
    }
}

impl std::error::Error for NotAPrefix {}

impl Default for NaiveLpm {
    fn default() -> Self {
        NaiveLpm {
            by_length4: vec![BTreeMap::new(); 33],
            by_length6: vec![BTreeMap::new(); 129],
        }
    }
}

fn mask4(address: u32, length: usize) -> u32 {
    address & !u32::MAX.checked_shr(length as u32).unwrap_or(0)
}

fn mask6(address: u128, length: usize) -> u128 {
    address & !u128::MAX.checked_shr(length as u32).unwrap_or(0)
}

impl NaiveLpm {
    /// No prefixes.
    pub fn new() -> Self {
        NaiveLpm::default()
    }

    /// The longest prefix over `address`: its length and its group.
    pub fn longest4(&self, address: u32) -> Option<(u8, GroupId)> {
        let each = self.by_length4.iter().enumerate().rev();
        each.filter(|(_, map)| !map.is_empty())
            .find_map(|(n, map)| Some((n as u8, *map.get(&mask4(address, n))?)))
    }

    /// The longest prefix over `address` (most significant byte first).
    pub fn longest6(&self, address: u128) -> Option<(u8, GroupId)> {
        let each = self.by_length6.iter().enumerate().rev();
        each.filter(|(_, map)| !map.is_empty())
            .find_map(|(n, map)| Some((n as u8, *map.get(&mask6(address, n))?)))
    }
}

impl Lpm for NaiveLpm {
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]) {
        for (destination, group) in destinations.iter().zip(groups) {
            *group = self.longest4(*destination).map_or(GroupId::NONE, |f| f.1);
        }
    }

    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]) {
        for (destination, group) in destinations.iter().zip(groups) {
            let found = self.longest6(u128::from_be_bytes(*destination));
            *group = found.map_or(GroupId::NONE, |f| f.1);
        }
    }
}

impl LpmWrite for NaiveLpm {
    type Error = NotAPrefix;

    fn upsert4(&mut self, prefix: Ipv4Addr, length: u8, group: GroupId) -> Result<(), NotAPrefix> {
        match self.by_length4.get_mut(usize::from(length)) {
            Some(map) if length != 0 && mask4(prefix.into(), length.into()) == prefix.into() => {
                map.insert(prefix.into(), group);
                Ok(())
            }
            _ => Err(NotAPrefix {
                address: prefix.into(),
                length,
            }),
        }
    }

    fn remove4(&mut self, prefix: Ipv4Addr, length: u8) -> Result<(), NotAPrefix> {
        if let Some(map) = self.by_length4.get_mut(usize::from(length)) {
            map.remove(&prefix.into());
        }
        Ok(())
    }

    fn upsert6(&mut self, prefix: Ipv6Addr, length: u8, group: GroupId) -> Result<(), NotAPrefix> {
        match self.by_length6.get_mut(usize::from(length)) {
            Some(map) if length != 0 && mask6(prefix.into(), length.into()) == prefix.into() => {
                map.insert(prefix.into(), group);
                Ok(())
            }
            _ => Err(NotAPrefix {
                address: prefix.into(),
                length,
            }),
        }
    }

    fn remove6(&mut self, prefix: Ipv6Addr, length: u8) -> Result<(), NotAPrefix> {
        if let Some(map) = self.by_length6.get_mut(usize::from(length)) {
            map.remove(&prefix.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small numbers from a fixed sequence: xorshift.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Against a list searched from end to end. Few distinct bits, so that prefixes nest.
    #[test]
    fn equals_brute_force_under_random_changes() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut lpm = NaiveLpm::new();
        let mut list: Vec<(u128, u8, bool, GroupId)> = Vec::new();
        for round in 0..3000_u32 {
            let v6 = random(&mut state) & 1 == 0;
            let length = (random(&mut state) % if v6 { 128 } else { 32 } + 1) as u8;
            let top = u128::from(random(&mut state) & 0x7) << 125;
            let low = u128::from(random(&mut state) & 0x3);
            let shift = if v6 { 0 } else { 96 };
            let address = mask6(top | low << shift, length.into());
            let remove = random(&mut state) % 3 == 0;
            list.retain(|e| (e.0, e.1, e.2) != (address, length, v6));
            if !remove {
                list.push((address, length, v6, GroupId(round + 1)));
            }
            let four = Ipv4Addr::from((address >> 96) as u32);
            match (v6, remove) {
                (true, true) => lpm.remove6(address.into(), length).unwrap(),
                (true, false) => lpm
                    .upsert6(address.into(), length, GroupId(round + 1))
                    .unwrap(),
                (false, true) => lpm.remove4(four, length).unwrap(),
                (false, false) => lpm.upsert4(four, length, GroupId(round + 1)).unwrap(),
            }
            let probe = u128::from(random(&mut state) & 0x7) << 125
                | u128::from(random(&mut state) & 0x3) << shift;
            let best = |v6| {
                list.iter()
                    .filter(|e| e.2 == v6 && mask6(probe, e.1.into()) == e.0)
                    .max_by_key(|e| e.1)
                    .map_or(GroupId::NONE, |e| e.3)
            };
            let (mut four, mut six) = ([GroupId(9)], [GroupId(9)]);
            lpm.lookup4(&[(probe >> 96) as u32], &mut four);
            lpm.lookup6(&[probe.to_be_bytes()], &mut six);
            assert_eq!((four[0], six[0]), (best(false), best(true)));
        }
    }

    #[test]
    fn refuses_what_is_no_prefix() {
        let mut lpm = NaiveLpm::new();
        let error = lpm
            .upsert4(Ipv4Addr::new(10, 0, 0, 1), 8, GroupId(1))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "prefix 10.0.0.1/8: upsert: host bits are set or the length is out of range"
        );
        assert!(
            lpm.upsert4(Ipv4Addr::UNSPECIFIED, 33, GroupId(1)).is_err()
                && lpm.upsert4(Ipv4Addr::UNSPECIFIED, 0, GroupId(1)).is_err()
        );
        assert!(lpm.upsert6(Ipv6Addr::LOCALHOST, 127, GroupId(1)).is_err());
        assert!(lpm.upsert6(Ipv6Addr::LOCALHOST, 128, GroupId(1)).is_ok());
    }
}

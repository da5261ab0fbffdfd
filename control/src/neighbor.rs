//! Neighbors: address on an interface to MAC address, as the kernel or the configuration says.

use crate::event::{Mac, Neighbor, NeighborState};
use crate::prefix::Prefix;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is known of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its MAC address, if known.
    pub mac: Option<Mac>,
    /// Its state.
    pub state: NeighborState,
    /// Put there by zebra: the fake gateway of BGP unnumbered.
    pub zebra: bool,
}

impl Entry {
    /// Its MAC address, if packets may be sent there.
    pub fn usable(&self) -> Option<Mac> {
        self.mac.filter(|_| self.state.is_usable())
    }

    /// Zebra's stand-in for an IPv6 next hop.
    pub fn is_fake_gateway(&self) -> bool {
        self.zebra && self.state == NeighborState::Permanent
    }
}

/// All neighbors, in the order of their addresses.
#[derive(Debug, Default)]
pub struct Neighbors(BTreeMap<(IpAddr, u32), Entry>);

impl Neighbors {
    /// A neighbor appeared or changed; what was known before.
    pub fn upsert(&mut self, neighbor: &Neighbor) -> Option<Entry> {
        let entry = Entry {
            mac: neighbor.mac,
            state: neighbor.state,
            zebra: neighbor.zebra,
        };
        self.0.insert((neighbor.address, neighbor.ifindex), entry)
    }

    /// A neighbor is gone; what was known of it.
    pub fn remove(&mut self, ifindex: u32, address: IpAddr) -> Option<Entry> {
        self.0.remove(&(address, ifindex))
    }

    /// What is known of `address` on the first of `interfaces` that knows it.
    pub fn find(&self, interfaces: impl Iterator<Item = u32>, address: IpAddr) -> Option<Entry> {
        let mut known = interfaces.filter_map(|i| self.0.get(&(address, i)).copied());
        known.next()
    }

    /// All of them: interface, address, what is known.
    pub fn all(&self) -> impl Iterator<Item = (u32, IpAddr, &Entry)> {
        self.0.iter().map(|(&(a, i), e)| (i, a, e))
    }

    /// Those with an address in `prefix`: interface, address.
    pub fn within(&self, prefix: Prefix) -> impl Iterator<Item = (u32, IpAddr)> + '_ {
        let first = prefix.address();
        let host_bits = u32::from(crate::prefix::width(first) - prefix.length());
        let last = match first {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shr(32 - host_bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() | mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() | mask))
            }
        };
        let range = self.0.range((first, 0)..=(last, u32::MAX));
        range.map(|(&(a, i), _)| (i, a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_within_a_prefix() {
        let mut all = Neighbors::default();
        for (ifindex, address) in [
            (2, "10.0.0.1"),
            (3, "10.0.0.1"),
            (2, "10.0.1.0"),
            (2, "2001:db8::1"),
        ] {
            all.upsert(&Neighbor {
                ifindex,
                address: address.parse().expect("address"),
                mac: Some([2; 6]),
                state: NeighborState::Stale,
                zebra: false,
            });
        }
        let count = |p: &str| all.within(p.parse().expect("prefix")).count();
        assert_eq!(count("10.0.0.0/24"), 2);
        assert_eq!(count("10.0.0.1/32"), 2);
        assert_eq!(count("0.0.0.0/0"), 3);
        assert_eq!(count("::/0"), 1);
        assert_eq!(count("2001:db8::2/128"), 0);
        let found = all.find([9, 3].into_iter(), "10.0.0.1".parse().expect("address"));
        assert_eq!(found.and_then(|e| e.usable()), Some([2; 6]));
        assert!(
            all.remove(2, "10.0.1.0".parse().expect("address"))
                .is_some()
        );
    }

    #[test]
    fn usable_needs_a_state_and_a_mac() {
        let entry = |mac, state| Entry {
            mac,
            state,
            zebra: false,
        };
        assert!(entry(Some([2; 6]), NeighborState::Delay).usable().is_some());
        assert!(
            entry(Some([2; 6]), NeighborState::Failed)
                .usable()
                .is_none()
        );
        assert!(entry(None, NeighborState::NoArp).usable().is_none());
    }
}

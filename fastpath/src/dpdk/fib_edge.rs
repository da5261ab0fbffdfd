//! Keeps prefixes that reach the last address out of DPDK's tables.
//!
//! When a prefix is written whose more specific ones cover it up to the very last address
//! (255.255.255.255), `rte_fib` and `rte_fib6` (all releases to 26.07) take the wrapped-around end
//! for the beginning and overwrite the *whole* table. So no prefix that reaches the last address is
//! given to them. What such a prefix says about unicast is said by others instead: `128.0.0.0/1` by
//! `128.0.0.0/2` and `192.0.0.0/3`. Above those lies only what is never looked up: multicast and
//! reserved addresses from 224.0.0.0 and from ff00:: on.

use crate::table::GroupId;

/// One write to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// First address, left-aligned in 128 bits.
    pub(super) address: u128,
    pub(super) length: u8,
    /// `None` removes the prefix.
    pub(super) group: Option<GroupId>,
}

/// The longest prefix of all ones that still holds unicast addresses, plus one.
const LONGEST: usize = 8;

/// Prefixes next to the end of the address space, by length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Where unicast ends: in a prefix of so many ones. 3 for IPv4, 8 for IPv6.
    multicast: u8,
    /// `reaching[n]`: the prefix of n ones.
    reaching: [Option<GroupId>; LONGEST + 1],
    /// `beside[n]`: the prefix of n - 1 ones and a zero.
    beside: [Option<GroupId>; LONGEST + 1],
}

const fn ones(length: u8) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length),
    }
}

impl Edge {
    pub(super) const V4: Edge = Edge::new(3);
    pub(super) const V6: Edge = Edge::new(8);

    const fn new(multicast: u8) -> Edge {
        Edge {
            multicast,
            reaching: [None; LONGEST + 1],
            beside: [None; LONGEST + 1],
        }
    }

    /// What to write to say that `address`/`length` now leads to `group`, in this order; afterwards
    /// `self` is to be replaced by the state returned.
    pub(super) fn translate(
        &self,
        address: u128,
        length: u8,
        group: Option<GroupId>,
    ) -> (Edge, impl Iterator<Item = Write> + use<>) {
        let mut next = *self;
        let index = usize::from(length);
        let (mut first, mut last) = (length, length);
        let mut plain = None;
        if address == ones(length) {
            // Its part from the next longer on, as far as there is unicast in it.
            if length < self.multicast {
                next.reaching[index] = group;
            }
            (first, last) = (length + 1, self.multicast);
        } else if (2..=self.multicast).contains(&length) && address == ones(length - 1) {
            next.beside[index] = group;
        } else {
            plain = Some(Write {
                address,
                length,
                group,
            });
            (first, last) = (1, 0);
        }
        let beside = (first..=last).map(move |length| Write {
            address: ones(length - 1),
            length,
            group: next.effective(length),
        });
        (next, plain.into_iter().chain(beside))
    }

    /// Where `ones(length - 1)/length` leads: its own group, else that of the longest prefix around.
    fn effective(&self, length: u8) -> Option<GroupId> {
        let length = usize::from(length);
        self.beside[length].or_else(|| self.reaching[..length].iter().rev().find_map(|&g| g))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(edge: &mut Edge, first: u128, length: u8, group: u32) -> Vec<(u128, u8, u32)> {
        let group = (group != 0).then_some(GroupId(group));
        let (next, writes) = edge.translate(first << 120, length, group);
        let writes = writes
            .map(|w| (w.address >> 120, w.length, w.group.map_or(0, |g| g.0)))
            .collect();
        *edge = next;
        writes
    }

    #[test]
    fn the_last_prefixes_are_said_by_others() {
        let mut edge = Edge::V4;
        assert_eq!(write(&mut edge, 10, 8, 1), [(10, 8, 1)]);
        assert_eq!(write(&mut edge, 128, 1, 2), [(128, 2, 2), (192, 3, 2)]);
        assert_eq!(write(&mut edge, 192, 2, 3), [(192, 3, 3)]);
        assert_eq!(write(&mut edge, 128, 1, 4), [(128, 2, 4), (192, 3, 3)]);
        assert_eq!(write(&mut edge, 192, 3, 5), [(192, 3, 5)]);
        assert_eq!(write(&mut edge, 192, 2, 0), [(192, 3, 5)]);
        assert_eq!(write(&mut edge, 192, 3, 0), [(192, 3, 4)]);
        assert_eq!(write(&mut edge, 128, 1, 0), [(128, 2, 0), (192, 3, 0)]);
        assert_eq!(write(&mut edge, 224, 3, 6), []);
        assert_eq!(write(&mut edge, 240, 4, 6), []);
        assert_eq!(write(&mut edge, 224, 4, 6), [(224, 4, 6)]);
    }

    #[test]
    fn of_ipv6_up_to_multicast() {
        let mut edge = Edge::V6;
        assert_eq!(write(&mut edge, 0xfe, 7, 1), [(0xfe, 8, 1)]);
        assert_eq!(write(&mut edge, 0xff, 8, 1), []);
        assert_eq!(write(&mut edge, 0xfc, 7, 2), [(0xfc, 7, 2)]);
        assert_eq!(write(&mut edge, 0xfc, 6, 3), [(0xfc, 7, 2), (0xfe, 8, 1)]);
    }
}

//! What the marks of NICs mean: a number that a NIC puts on packets to a prefix names the prefix, and the
//! prefix's group is found without a lookup.
//!
//! A mark says "to that prefix", never "to that group", so whatever the prefix leads to is in force with
//! the commit that changes it, and no NIC has to be told. A slot holds only a prefix in which
//! there is no longer one: then it is what the lookup would find. It is emptied in the commit that
//! brings a longer one, or takes it away ([`Marks::clear`]), and the next prefix of the slot has
//! another mark, by its generation. A slot has its prefix beside its mark, and a packet whose
//! destination is not in it is looked up: so it takes nobody's word, neither the driver's nor that of
//! a packet that was marked long ago, or by somebody else.

use super::GroupId;
use std::net::IpAddr;

/// Bits of a mark: what the fewest NICs have (mlx5 24, the topmost values taken: v24.11
/// `drivers/net/mlx5/mlx5_prm.h`, `MLX5_FLOW_MARK_MAX`).
const BITS: u32 = 24;

/// The most slots.
pub const MOST: usize = 1 << 16;

/// An IPv4 prefix, and who it is.
#[derive(Clone, Copy, Debug)]
struct Slot4 {
    mark: u32,
    group: GroupId,
    address: u32,
    mask: u32,
}

/// An IPv6 prefix.
#[derive(Clone, Copy, Debug)]
struct Slot6 {
    mark: u32,
    group: GroupId,
    address: u128,
    mask: u128,
}

/// In neither is any destination: there is a bit outside the mask.
const EMPTY4: Slot4 = Slot4 {
    mark: 0,
    group: GroupId::NONE,
    address: 1,
    mask: 0,
};
const EMPTY6: Slot6 = Slot6 {
    mark: 0,
    group: GroupId::NONE,
    address: 1,
    mask: 0,
};

/// Slots for prefixes that have a mark.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    slots4: Box<[Slot4]>,
    slots6: Box<[Slot6]>,
    /// The bits of a mark that are its slot.
    index: u32,
}

impl Marks {
    /// `slots` slots, rounded up to a power of two, [`MOST`] at most; none, and marks are not looked
    /// at, with 0.
    pub fn new(slots: usize) -> Self {
        if slots == 0 {
            return Marks::default();
        }
        let slots = slots.min(MOST).next_power_of_two();
        Marks {
            slots4: vec![EMPTY4; slots].into(),
            slots6: vec![EMPTY6; slots].into(),
            index: slots as u32 - 1,
        }
    }

    /// Whether there are any slots.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        !self.slots4.is_empty()
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots4.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.slots4.is_empty()
    }

    /// The mark of the `generation`th prefix of `slot`: 1 to 2^24 - 2^16, never 0. Generations come
    /// back after at least 254, which is no matter: see above.
    pub fn mark(&self, slot: u32, generation: u64) -> u32 {
        let slots = u64::from(self.index) + 1;
        // Neither the first, which would begin with 0, nor the last, which some drivers keep.
        let generations = (1 << BITS) / slots - 2;
        let generation = generation % generations + 1;
        (generation * slots) as u32 | slot & self.index
    }

    /// The slot that `mark` belongs to.
    #[inline(always)]
    pub const fn slot(&self, mark: u32) -> u32 {
        mark & self.index
    }

    /// From now on packets with `mark` to this prefix are `group`'s. The caller has made sure that no
    /// longer prefix in it has a route. The prefix of that slot was another one before: it is
    /// replaced.
    pub fn set(&mut self, mark: u32, address: IpAddr, length: u8, group: GroupId) {
        let slot = self.slot(mark);
        self.clear(slot);
        match address {
            IpAddr::V4(address) => {
                if let Some(place) = self.slots4.get_mut(slot as usize) {
                    *place = Slot4 {
                        mark,
                        group,
                        address: address.into(),
                        mask: !u32::MAX.checked_shr(length.into()).unwrap_or(0),
                    };
                }
            }
            IpAddr::V6(address) => {
                if let Some(place) = self.slots6.get_mut(slot as usize) {
                    *place = Slot6 {
                        mark,
                        group,
                        address: address.into(),
                        mask: !u128::MAX.checked_shr(length.into()).unwrap_or(0),
                    };
                }
            }
        }
    }

    /// Empties a slot: packets with its mark are looked up.
    pub fn clear(&mut self, slot: u32) {
        if let Some(place) = self.slots4.get_mut(slot as usize) {
            *place = EMPTY4;
        }
        if let Some(place) = self.slots6.get_mut(slot as usize) {
            *place = EMPTY6;
        }
    }

    /// The group of a packet with `mark` to the IPv4 address `destination`.
    #[inline(always)]
    pub fn group4(&self, mark: u32, destination: u32) -> Option<GroupId> {
        let slot = self.slots4.get(self.slot(mark) as usize)?;
        let is_its = slot.mark == mark && destination & slot.mask == slot.address;
        is_its.then_some(slot.group)
    }

    /// The group of a packet with `mark` to the IPv6 address `destination`.
    #[inline(always)]
    pub fn group6(&self, mark: u32, destination: [u8; 16]) -> Option<GroupId> {
        let slot = self.slots6.get(self.slot(mark) as usize)?;
        let is_its =
            slot.mark == mark && u128::from_be_bytes(destination) & slot.mask == slot.address;
        is_its.then_some(slot.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_mark_counts_for_its_prefix_and_its_generation_alone() {
        let mut marks = Marks::new(3);
        assert_eq!((marks.len(), marks.is_on()), (4, true));
        let (old, new) = (marks.mark(2, 6), marks.mark(2, 7));
        assert_ne!(old, new);
        assert_eq!((marks.slot(old), marks.slot(new)), (2, 2));
        marks.set(old, "10.1.0.0".parse().unwrap(), 16, GroupId(5));
        assert_eq!(marks.group4(old, 0x0a01_0203), Some(GroupId(5)));
        assert_eq!(marks.group4(old, 0x0a02_0203), None, "another prefix");
        assert_eq!(marks.group4(new, 0x0a01_0203), None, "not yet");
        assert_eq!(marks.group6(old, [0; 16]), None, "another family");
        marks.set(new, "2001:db8::".parse().unwrap(), 32, GroupId(6));
        assert_eq!(marks.group4(old, 0x0a01_0203), None, "no more");
        let inside = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(marks.group6(new, inside.octets()), Some(GroupId(6)));
        marks.clear(2);
        assert_eq!(marks.group6(new, inside.octets()), None);
    }

    #[test]
    fn an_empty_slot_has_no_packet() {
        for slots in [1, 2, 1 << 16] {
            let marks = Marks::new(slots);
            assert!(marks.is_on());
            for mark in [0, 1, u32::MAX] {
                assert_eq!(marks.group4(mark, 0), None);
                assert_eq!(marks.group4(mark, 1), None);
                assert_eq!(marks.group6(mark, [0; 16]), None);
            }
        }
        let none = Marks::new(0);
        assert!(!none.is_on() && none.group4(0, 0).is_none() && none.group6(0, [0; 16]).is_none());
    }

    #[test]
    fn marks_fit_what_nics_have_and_come_back_late() {
        for slots in [1, 64, 1024, MOST] {
            let marks = Marks::new(slots);
            let mut seen = BTreeSet::new();
            for generation in 0..254 {
                let mark = marks.mark(slots as u32 - 1, generation);
                assert!((1..0xff_0000).contains(&mark) || slots < MOST && mark < 0xff_fff0);
                assert!(seen.insert(mark), "{slots} slots: generation {generation}");
            }
        }
    }

    #[test]
    fn the_whole_length_of_a_prefix_counts() {
        let mut marks = Marks::new(1);
        let mark = marks.mark(0, 0);
        marks.set(mark, "10.0.0.1".parse().unwrap(), 32, GroupId(1));
        assert_eq!(marks.group4(mark, 0x0a00_0001), Some(GroupId(1)));
        assert_eq!(marks.group4(mark, 0x0a00_0000), None);
        marks.set(mark, "::1".parse().unwrap(), 128, GroupId(2));
        let mut address = [0; 16];
        assert_eq!(marks.group6(mark, address), None);
        address[15] = 1;
        assert_eq!(marks.group6(mark, address), Some(GroupId(2)));
    }
}

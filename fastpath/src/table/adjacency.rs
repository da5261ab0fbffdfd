//! Adjacencies: the rewrite bytes and the egress port of one neighbor, a cache line each.
//!
//! An adjacency never changes once it is reachable: new facts get a new id, and an id is written
//! again only after a grace period. It is kept as atomic words, so that no reader needs a lock and
//! no code here needs `unsafe`.

use super::{DropReason, PortId};
use std::sync::atomic::{AtomicU64, Ordering};

/// Index of an adjacency. The first [`AdjacencyId::FIRST_FREE`] are fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct AdjacencyId(pub u32);

impl AdjacencyId {
    /// Drops as no-route.
    pub const NO_ROUTE: AdjacencyId = AdjacencyId(0);
    /// Drops silently, as asked for by a blackhole route.
    pub const BLACKHOLE: AdjacencyId = AdjacencyId(1);
    /// Drops with ICMP host unreachable.
    pub const UNREACHABLE: AdjacencyId = AdjacencyId(2);
    /// Drops with ICMP administratively prohibited.
    pub const PROHIBITED: AdjacencyId = AdjacencyId(3);
    /// No member of the group is usable.
    pub const NEXTHOP_DOWN: AdjacencyId = AdjacencyId(4);
    /// One of our own addresses: to the kernel.
    pub const PUNT: AdjacencyId = AdjacencyId(5);
    /// The first id that control gives out. A glean adjacency (one a port) is an ordinary one.
    pub const FIRST_FREE: AdjacencyId = AdjacencyId(16);
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Dropped, for this reason.
    Drop(DropReason),
    /// Rewritten and sent.
    Forward,
    /// To the kernel.
    Punt,
    /// On a connected prefix, no neighbor known: dropped, and control is asked to resolve it.
    Glean,
}

/// The longest L2 header: two MAC addresses, one VLAN tag, EtherType.
pub const MAX_HEADER: usize = 18;

/// The contents of an adjacency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// What becomes of a packet.
    pub disposition: Disposition,
    /// Where it leaves (forward) or would leave (glean).
    pub port: PortId,
    /// Largest L3 packet in bytes; larger ones are fragmented or answered.
    pub mtu: u16,
    /// Destination MAC, source MAC, optional 802.1Q tag. The last two bytes of the header, its
    /// EtherType, depend on the packet's family: the rewrite stage writes them.
    pub header: [u8; MAX_HEADER],
    /// 14 or 18.
    pub header_len: u8,
}

impl Adjacency {
    /// One that drops.
    pub const fn drop(reason: DropReason) -> Self {
        Adjacency {
            disposition: Disposition::Drop(reason),
            port: PortId(0),
            mtu: u16::MAX,
            header: [0; MAX_HEADER],
            header_len: 14,
        }
    }

    /// One that forwards out of `port` to `neighbor_mac`, tagged when `vlan` is 1..=4094.
    pub fn forward(
        port: PortId,
        mtu: u16,
        neighbor_mac: [u8; 6],
        port_mac: [u8; 6],
        vlan: u16,
    ) -> Self {
        let mut header = [0; MAX_HEADER];
        header[..6].copy_from_slice(&neighbor_mac);
        header[6..12].copy_from_slice(&port_mac);
        let mut header_len = 14;
        if vlan != 0 {
            header[12..14].copy_from_slice(&[0x81, 0x00]);
            header[14..16].copy_from_slice(&vlan.to_be_bytes());
            header_len = 18;
        }
        Adjacency {
            disposition: Disposition::Forward,
            port,
            mtu,
            header,
            header_len,
        }
    }

    /// One for a connected prefix on `port`: glean.
    pub const fn glean(port: PortId) -> Self {
        Adjacency {
            disposition: Disposition::Glean,
            port,
            mtu: u16::MAX,
            header: [0; MAX_HEADER],
            header_len: 14,
        }
    }

    /// The punt adjacency.
    pub const fn punt() -> Self {
        Adjacency {
            disposition: Disposition::Punt,
            ..Adjacency::glean(PortId(0))
        }
    }
}

const KIND_DROP: u64 = 0;
const KIND_FORWARD: u64 = 1;
const KIND_PUNT: u64 = 2;
const KIND_GLEAN: u64 = 3;

/// The first word: all that `select` and the checks of `rewrite` need.
///
/// Bits 0–7 kind, 8–15 header length, 16–31 port, 32–47 MTU, 48–55 drop reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts(u64);

impl Facts {
    /// True for an adjacency that forwards.
    #[inline]
    pub const fn is_forward(self) -> bool {
        self.0 & 0xff == KIND_FORWARD
    }

    /// True for an adjacency that forwards by a header without tag.
    #[inline]
    pub const fn is_untagged_forward(self) -> bool {
        self.0 & 0xffff == KIND_FORWARD | 14 << 8
    }

    /// What becomes of a packet.
    #[inline]
    pub fn disposition(self) -> Disposition {
        match self.0 & 0xff {
            KIND_FORWARD => Disposition::Forward,
            KIND_PUNT => Disposition::Punt,
            KIND_GLEAN => Disposition::Glean,
            _ => Disposition::Drop(
                DropReason::ALL
                    .get((self.0 >> 48 & 0xff) as usize)
                    .copied()
                    .unwrap_or(DropReason::NoRoute),
            ),
        }
    }

    /// Where it leaves.
    #[inline]
    pub const fn port(self) -> PortId {
        PortId((self.0 >> 16) as u16)
    }

    /// Largest L3 packet, bytes.
    #[inline]
    pub const fn mtu(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Length of the L2 header in bytes: 14 or 18.
    #[inline]
    pub const fn header_len(self) -> usize {
        if (self.0 >> 8) & 0xff == 18 { 18 } else { 14 }
    }
}

/// One slot: a cache line of words. 0: [`Facts`]; 1–3: the header, little-endian, 18 bytes of 24.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Slot([AtomicU64; 8]);

impl Slot {
    /// The facts.
    #[inline]
    pub fn facts(&self) -> Facts {
        Facts(self.0[0].load(Ordering::Acquire))
    }

    /// The header bytes; what lies past `facts().header_len()` is zero.
    #[inline]
    pub fn header(&self) -> [u8; 24] {
        let mut out = [0; 24];
        for (chunk, word) in out.chunks_exact_mut(8).zip(&self.0[1..4]) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        out
    }

    /// The MAC addresses of the header: destination, source.
    #[inline]
    pub fn macs(&self) -> [u8; 12] {
        let [_, first, second, ..] = &self.0;
        let mut macs = [0; 12];
        let words = [first, second].map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        for (to, from) in macs.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
        macs
    }

    fn write(&self, adjacency: &Adjacency) {
        let mut bytes = [0; 24];
        bytes[..MAX_HEADER].copy_from_slice(&adjacency.header);
        for (chunk, word) in bytes.chunks_exact(8).zip(&self.0[1..4]) {
            let mut value = [0; 8];
            value.copy_from_slice(chunk);
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
        }
        let (kind, reason) = match adjacency.disposition {
            Disposition::Drop(reason) => (KIND_DROP, reason as u64),
            Disposition::Forward => (KIND_FORWARD, 0),
            Disposition::Punt => (KIND_PUNT, 0),
            Disposition::Glean => (KIND_GLEAN, 0),
        };
        let facts = kind
            | u64::from(adjacency.header_len) << 8
            | u64::from(adjacency.port.0) << 16
            | u64::from(adjacency.mtu) << 32
            | reason << 48;
        self.0[0].store(facts, Ordering::Release);
    }
}

/// What stands for every id out of range: all zero, which drops as no-route.
static UNKNOWN: Slot = Slot([const { AtomicU64::new(0) }; 8]);

// A call, so that what never happens is a branch that is never taken and no conditional move.
#[cold]
#[inline(never)]
fn unknown<'a>() -> &'a Slot {
    std::hint::black_box(&UNKNOWN)
}

/// All adjacencies, by id.
#[derive(Debug)]
pub struct Adjacencies(Box<[Slot]>);

impl Adjacencies {
    /// Room for `capacity` (at least [`AdjacencyId::FIRST_FREE`]); the fixed ones are written.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(AdjacencyId::FIRST_FREE.0 as usize);
        let all = Adjacencies((0..capacity).map(|_| Slot::default()).collect());
        for (id, adjacency) in [
            (AdjacencyId::NO_ROUTE, Adjacency::drop(DropReason::NoRoute)),
            (
                AdjacencyId::BLACKHOLE,
                Adjacency::drop(DropReason::Blackhole),
            ),
            (
                AdjacencyId::UNREACHABLE,
                Adjacency::drop(DropReason::Unreachable),
            ),
            (
                AdjacencyId::PROHIBITED,
                Adjacency::drop(DropReason::Prohibited),
            ),
            (
                AdjacencyId::NEXTHOP_DOWN,
                Adjacency::drop(DropReason::NexthopDown),
            ),
            (AdjacencyId::PUNT, Adjacency::punt()),
        ] {
            all.write(id, &adjacency);
        }
        all
    }

    /// How many there can be; ids are below.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// The slot of `id`; of an id out of range, the one that drops as no-route.
    #[inline(always)]
    pub fn slot(&self, id: AdjacencyId) -> &Slot {
        self.0.get(id.0 as usize).unwrap_or_else(unknown)
    }

    /// Writes `adjacency` at `id`, which nothing reachable may name yet.
    pub fn write(&self, id: AdjacencyId, adjacency: &Adjacency) {
        if let Some(slot) = self.0.get(id.0 as usize) {
            slot.write(adjacency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all = Adjacencies::new(32);
        let id = AdjacencyId(20);
        all.write(
            id,
            &Adjacency::forward(PortId(3), 9000, [1; 6], [2; 6], 100),
        );
        let slot = all.slot(id);
        assert!(slot.facts().is_forward());
        assert_eq!(
            (
                slot.facts().port(),
                slot.facts().mtu(),
                slot.facts().header_len()
            ),
            (PortId(3), 9000, 18)
        );
        assert_eq!(
            slot.header()[..18],
            [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x81, 0, 0, 100, 0, 0]
        );
        assert_eq!(slot.macs(), slot.header()[..12]);
        assert!(!slot.facts().is_untagged_forward());
        assert_eq!(std::mem::size_of::<Slot>(), 64);
    }

    #[test]
    fn every_drop_reason_survives_encoding() {
        let all = Adjacencies::new(32);
        for reason in DropReason::ALL {
            all.write(AdjacencyId(16), &Adjacency::drop(reason));
            let facts = all.slot(AdjacencyId(16)).facts();
            assert_eq!(facts.disposition(), Disposition::Drop(reason));
            assert_eq!(DropReason::ALL[reason as usize], reason);
        }
    }

    #[test]
    fn fixed_and_unknown_ids() {
        let all = Adjacencies::new(0);
        let of = |id| all.slot(id).facts().disposition();
        assert_eq!(of(AdjacencyId::PUNT), Disposition::Punt);
        assert_eq!(
            of(AdjacencyId::NEXTHOP_DOWN),
            Disposition::Drop(DropReason::NexthopDown)
        );
        assert_eq!(
            of(AdjacencyId(1 << 30)),
            Disposition::Drop(DropReason::NoRoute)
        );
    }
}

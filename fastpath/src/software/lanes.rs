//! What the stages have learned about a burst: lane `i` of every array is packet `i`.

use super::burst::BURST;
use crate::table::{AdjacencyId, DropReason, GroupId, PortId};

/// What is to become of a packet, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// IPv4, to be routed.
    V4,
    /// IPv6, to be routed.
    V6,
    /// Rewritten: to be sent on its egress port.
    Send,
    /// IPv4, larger than the egress MTU, and it may be fragmented.
    Fragment,
    /// To the kernel, unchanged.
    Punt,
    /// A later fragment, to wait for the first one of its datagram.
    AwaitFirst,
    /// Dropped, and control is asked to resolve its destination.
    Glean,
    /// Dropped for this reason; answered by ICMP where that is due.
    Drop(DropReason),
}

/// What the packets of a burst have in common, so that later stages need not ask each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alike {
    /// Nothing that is known.
    #[default]
    Mixed,
    /// All are to be routed, untagged and IPv4.
    V4,
    /// All are to be routed, untagged and IPv6.
    V6,
}

/// Each lane's own number.
pub(super) const LANES: [u8; BURST] = {
    let mut lanes = [0; BURST];
    let mut i = 0;
    while i < BURST {
        lanes[i] = i as u8;
        i += 1;
    }
    lanes
};

/// The lanes of one IP version, packed: the input and output of a bulk lookup.
#[derive(Clone, Debug)]
pub struct Family<A> {
    /// Which lane each entry is.
    pub lanes: [u8; BURST],
    /// Destination addresses.
    pub destinations: [A; BURST],
    /// What the lookup said.
    pub groups: [GroupId; BURST],
    /// Entries in use.
    pub len: usize,
}

impl<A: Copy> Family<A> {
    fn new(zero: A) -> Self {
        Family {
            lanes: [0; BURST],
            destinations: [zero; BURST],
            groups: [GroupId::NONE; BURST],
            len: 0,
        }
    }

    /// The packet of `lane` is number `n`; [`Family::len`] stays as it is.
    #[inline(always)]
    pub fn put(&mut self, n: usize, lane: usize, destination: A) {
        let n = n & (BURST - 1);
        self.lanes[n] = lane as u8;
        self.destinations[n] = destination;
    }

    /// Appends the packet of `lane`.
    #[inline]
    pub fn push(&mut self, lane: usize, destination: A) {
        if let (Some(at), Some(to)) = (
            self.lanes.get_mut(self.len),
            self.destinations.get_mut(self.len),
        ) {
            *at = lane as u8;
            *to = destination;
            self.len += 1;
        }
    }
}

/// One burst's lanes. The packets of a burst have one ingress port.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// What all of them are; then the lanes of [`Lanes::v4`] or [`Lanes::v6`] are those of the burst.
    pub alike: Alike,
    /// What becomes of each packet.
    pub verdict: [Verdict; BURST],
    /// Offset of the IP header in the frame, bytes: 14, 18 or 22.
    pub l3: [u8; BURST],
    /// Length of the IP packet in bytes, by its own header; checked to be there.
    pub l3_len: [u16; BURST],
    /// The flow hash.
    pub hash: [u32; BURST],
    /// Which lanes are fragments, bit by bit.
    pub fragments: u64,
    /// The datagram, as the cache of fragments calls it, of those with [`Verdict::AwaitFirst`].
    pub awaited: [u64; BURST],
    /// Nexthop group; [`GroupId::NONE`] on a miss and for what is not routed.
    pub group: [GroupId; BURST],
    /// The bucket's place in the arena.
    pub bucket: [u32; BURST],
    /// The chosen member.
    pub adjacency: [AdjacencyId; BURST],
    /// Where it leaves, when the verdict is [`Verdict::Send`].
    pub egress: [PortId; BURST],
    /// Where the whole burst leaves and how many bytes it has, if it leaves by one port.
    pub whole: Option<(PortId, u64)>,
    /// The IPv4 packets to be routed.
    pub v4: Family<u32>,
    /// The IPv6 packets to be routed.
    pub v6: Family<[u8; 16]>,
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes {
            alike: Alike::Mixed,
            verdict: [Verdict::Punt; BURST],
            l3: [0; BURST],
            l3_len: [0; BURST],
            hash: [0; BURST],
            fragments: 0,
            awaited: [0; BURST],
            group: [GroupId::NONE; BURST],
            bucket: [0; BURST],
            adjacency: [AdjacencyId::NO_ROUTE; BURST],
            egress: [PortId(0); BURST],
            whole: None,
            v4: Family::new(0),
            v6: Family::new([0; 16]),
        }
    }
}

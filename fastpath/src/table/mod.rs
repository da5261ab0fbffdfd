//! What control writes and workers read.
//!
//! Two kinds of state with two ways of changing:
//! * [`Tables`]: shared arrays of atomic words, changed in place, one word a fact: group words,
//!   buckets, adjacencies, the down mask. An id is published (stored where a reader finds it) only
//!   after what it names is complete, and used again only after a grace period.
//! * [`View`]: what must change as a whole: prefixes, default routes, marks, hash settings, facts
//!   about ports. There are two; a commit is written to the standby one, then one pointer swaps
//!   ([`crate::rcu`]), then the other is brought up to date.
//!
//! Unknown means drop: id 0 of groups and adjacencies exists always and drops.

pub mod adjacency;
#[cfg(all(test, not(loom)))]
mod apart;
pub mod down;
pub mod group;
pub mod marks;
pub mod naive;
pub mod sample;
pub mod stats;
pub mod traffic;

use crate::rcu;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub use adjacency::{Adjacencies, Adjacency, AdjacencyId, Disposition};
pub use down::Down;
pub use group::{GroupId, GroupWord, Groups};
pub use marks::Marks;
pub use traffic::Traffic;

/// The most ports: one bit each in the down mask's word of dead ports.
pub const MAX_PORTS: usize = 64;

/// Index of a configured port, in the order of the configuration: 0 to [`MAX_PORTS`] - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// Why a packet was dropped (or, for the ICMP ones, answered and not forwarded).
///
/// The order is the order of counters; names are those of `show counters` and `replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// No prefix matched and there is no default route; answered by ICMP network unreachable.
    NoRoute,
    /// A blackhole route (`RTN_BLACKHOLE`): silent.
    Blackhole,
    /// An unreachable route (`RTN_UNREACHABLE`); answered by ICMP host unreachable.
    Unreachable,
    /// A prohibit route (`RTN_PROHIBIT`); answered by ICMP administratively prohibited.
    Prohibited,
    /// The destination is on a connected prefix and its neighbor is not resolved (yet).
    NeighborUnresolved,
    /// The route is known and none of its next hops is usable.
    NexthopDown,
    /// TTL or hop limit ran out; answered by ICMP time exceeded.
    TtlExceeded,
    /// Larger than the egress MTU and not to be fragmented; answered by ICMP.
    TooBig,
    /// The frame ends before the headers do, or before the IP length says.
    Truncated,
    /// IPv4 or IPv6 header that breaks its own rules: version, header length, total length.
    BadHeader,
    /// IPv4 header checksum wrong.
    BadChecksum,
    /// Source address that no packet may carry (multicast, loopback, unspecified).
    MartianSource,
    /// Destination that a router must not forward to (loopback, link-local, unspecified, 240/4).
    MartianDestination,
    /// Destination MAC address is not the port's.
    NotForUs,
    /// VLAN tag that the port does not carry.
    UnknownVlan,
    /// For the kernel (own address, multicast, ARP, not IP), on a port without a kernel.
    NoKernel,
    /// The port to send on has no link or was stopped.
    PortDown,
    /// The transmit ring was full.
    TxFull,
    /// No packet buffer for a fragment or an answer.
    NoBuffer,
    /// Came in more than one packet buffer: larger than one holds.
    Oversized,
}

impl DropReason {
    /// Every reason, in counter order.
    pub const ALL: [DropReason; 20] = [
        DropReason::NoRoute,
        DropReason::Blackhole,
        DropReason::Unreachable,
        DropReason::Prohibited,
        DropReason::NeighborUnresolved,
        DropReason::NexthopDown,
        DropReason::TtlExceeded,
        DropReason::TooBig,
        DropReason::Truncated,
        DropReason::BadHeader,
        DropReason::BadChecksum,
        DropReason::MartianSource,
        DropReason::MartianDestination,
        DropReason::NotForUs,
        DropReason::UnknownVlan,
        DropReason::NoKernel,
        DropReason::PortDown,
        DropReason::TxFull,
        DropReason::NoBuffer,
        DropReason::Oversized,
    ];

    /// The name of JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::NoRoute => "no-route",
            DropReason::Blackhole => "blackhole",
            DropReason::Unreachable => "unreachable",
            DropReason::Prohibited => "prohibited",
            DropReason::NeighborUnresolved => "neighbor-unresolved",
            DropReason::NexthopDown => "nexthop-down",
            DropReason::TtlExceeded => "ttl-exceeded",
            DropReason::TooBig => "too-big",
            DropReason::Truncated => "truncated",
            DropReason::BadHeader => "bad-header",
            DropReason::BadChecksum => "bad-checksum",
            DropReason::MartianSource => "martian-source",
            DropReason::MartianDestination => "martian-destination",
            DropReason::NotForUs => "not-for-us",
            DropReason::UnknownVlan => "unknown-vlan",
            DropReason::NoKernel => "no-kernel",
            DropReason::PortDown => "port-down",
            DropReason::TxFull => "tx-full",
            DropReason::NoBuffer => "no-buffer",
            DropReason::Oversized => "oversized",
        }
    }
}

/// Longest-prefix match of one family pair, prefix to group; `rte_fib` and `rte_fib6` in production.
///
/// A miss is [`GroupId::NONE`]; the default routes (`0.0.0.0/0`, `::/0`) are not in here but in
/// [`View`], so that changing them costs one store and not a sweep over a 64 MiB table.
pub trait Lpm {
    /// Looks up `destinations` (host byte order); fills as many of `groups`.
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]);
    /// Looks up `destinations` (network byte order); fills as many of `groups`.
    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]);
    /// By which instructions IPv4 and IPv6 are looked up, where there is a choice: for an operator.
    fn kernels(&self) -> [&'static str; 2] {
        [""; 2]
    }
}

/// The writing side of [`Lpm`].
pub trait LpmWrite: Lpm {
    /// What a full or broken table says, for an operator.
    type Error: std::error::Error + Send + Sync + 'static;
    /// Adds `prefix` or points it to another group. Length 1 to 32, host bits zero.
    fn upsert4(&mut self, prefix: Ipv4Addr, length: u8, group: GroupId) -> Result<(), Self::Error>;
    /// Removes `prefix`; removing an absent one is no error.
    fn remove4(&mut self, prefix: Ipv4Addr, length: u8) -> Result<(), Self::Error>;
    /// Adds `prefix` or points it to another group. Length 1 to 128, host bits zero.
    fn upsert6(&mut self, prefix: Ipv6Addr, length: u8, group: GroupId) -> Result<(), Self::Error>;
    /// Removes `prefix`; removing an absent one is no error.
    fn remove6(&mut self, prefix: Ipv6Addr, length: u8) -> Result<(), Self::Error>;
}

/// What workers must know of a port to receive on it, send on it and answer by ICMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFacts {
    /// The port exists. A frame of a port that does not is dropped as port-down.
    pub present: bool,
    /// Our MAC address there: what frames to be routed carry as destination.
    pub mac: [u8; 6],
    /// Frames for any other unicast MAC address are routed too: replay of a capture that was taken
    /// elsewhere.
    pub any_mac: bool,
    /// VLAN id 1..=4094 that the port's frames carry, 0 for untagged. With 0, tagged frames are
    /// accepted too (any id) and routed; frames are sent untagged.
    pub vlan: u16,
    /// L3 MTU in bytes.
    pub mtu: u16,
    /// The kernel has a netdev of the port: packets for it are punted there by whoever has a way to it (a
    /// tap, of an exclusive port or beside a NIC whose netdev the kernel keeps).
    pub kernel: bool,
    /// Source of ICMP errors sent on this port: its primary address, else the router id.
    pub source4: Option<Ipv4Addr>,
    /// Source of ICMPv6 errors sent on this port: a global address of it or of the router.
    pub source6: Option<Ipv6Addr>,
    /// What the NIC hashes by ([`crate::hash::Settings::rss_id`]): with settings of that number its
    /// value is taken instead of computing it. 0: nothing is known of the value, it is not looked at.
    pub nic_hash: u64,
    /// What the NIC should hash by: its values are compared with computed ones, of all packets while
    /// none is taken, of some as long as they are. 0: there is nothing to compare.
    pub nic_compare: u64,
}

/// What changes as a whole between two bursts.
#[derive(Clone, Debug)]
pub struct View<L> {
    /// Prefixes to groups.
    pub lpm: L,
    /// Group of `0.0.0.0/0`; [`GroupId::NONE`] without one.
    pub default4: GroupId,
    /// Group of `::/0`; [`GroupId::NONE`] without one.
    pub default6: GroupId,
    /// Prefixes that NICs mark.
    pub marks: Marks,
    /// The hash settings, by destination.
    pub hash: crate::hash::Policy,
    /// Facts about every port, by [`PortId`].
    pub ports: [PortFacts; MAX_PORTS],
}

impl PortFacts {
    /// A port that does not exist.
    pub const ABSENT: PortFacts = PortFacts {
        present: false,
        mac: [0; 6],
        any_mac: false,
        vlan: 0,
        mtu: 0,
        kernel: false,
        source4: None,
        source6: None,
        nic_hash: 0,
        nic_compare: 0,
    };
}

impl<L> View<L> {
    /// One without routes and without ports.
    pub fn new(lpm: L, hash: impl Into<crate::hash::Policy>) -> Self {
        View {
            lpm,
            default4: GroupId::NONE,
            default6: GroupId::NONE,
            marks: Marks::default(),
            hash: hash.into(),
            ports: [PortFacts::default(); MAX_PORTS],
        }
    }
}

/// What control holds: the only one that changes the tables (but for the down mask).
#[derive(Debug)]
pub struct Writer<L: LpmWrite> {
    /// Changed in place.
    pub tables: Arc<Tables>,
    /// Changed as a whole.
    pub views: rcu::Writer<View<L>>,
}

impl<L: LpmWrite> Writer<L> {
    /// A writer over `tables` and two equal views, and where workers get their readers.
    pub fn new(
        tables: Arc<Tables>,
        active: View<L>,
        standby: View<L>,
    ) -> (Self, rcu::Registry<View<L>>) {
        let (views, registry) = rcu::pair(active, standby);
        (Writer { tables, views }, registry)
    }
}

/// The shared arrays: written by control one word at a time, read by workers.
#[derive(Debug)]
pub struct Tables {
    /// Group words, buckets, and the second choice of every bucket.
    pub groups: Groups,
    /// Rewrites, by id.
    pub adjacencies: Adjacencies,
    /// Dead ports and dead adjacencies.
    pub down: Down,
}

impl Tables {
    /// Tables for up to `groups` groups, `buckets` buckets in all and `adjacencies` adjacencies,
    /// everything dropping.
    pub fn new(groups: usize, buckets: usize, adjacencies: usize) -> Self {
        Tables {
            groups: Groups::new(groups, buckets),
            adjacencies: Adjacencies::new(adjacencies),
            down: Down::new(adjacencies),
        }
    }
}

//! What control wants forwarded, change by change: the input of the compiler.
//!
//! Control feeds it from what it has: a next hop is its own number of a next hop, which stays when
//! MAC address or port do not (an [`crate::table::AdjacencyId`] would not, and every change of a
//! neighbor would reach all groups); a group is its table of buckets as written, by next hop.

use crate::hash::Policy;
use crate::table::{Adjacency, GroupId, PortId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Number of a next hop, control's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NexthopId(pub u32);

/// Where a prefix leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lead {
    /// To a group of next hops.
    Group(GroupId),
    /// To the kernel: an address of our own.
    Kernel,
    /// To what software does alone: unreachable, blackhole, glean.
    Software,
}

/// What must be known of a port that packets come in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Frames to be routed carry this as destination.
    pub mac: [u8; 6],
    /// Frames without a tag are the port's; otherwise all of them are software's.
    pub untagged: bool,
}

/// One change of the plan. Facts come before what names them, but nothing breaks if they do not: what
/// is not known is software's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A port that packets come in by, or none any more.
    Port(PortId, Option<Entry>),
    /// Where a next hop leads; `None`: it is dead or unresolved, and software knows what to do.
    Nexthop(NexthopId, Option<Adjacency>),
    /// The buckets of a group, a power of two of them; `None`: it is gone.
    Group(GroupId, Option<Arc<[NexthopId]>>),
    /// Where a prefix leads; `None`: it is gone. Host bits are zero, length 0 is the default route.
    Prefix(IpAddr, u8, Option<Lead>),
    /// How packets are hashed.
    Hash(Box<Policy>),
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// That of an address.
    pub const fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Bits of an address.
    pub const fn width(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// An address as a number.
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// The address of that number.
pub(super) fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

//! zebra's messages: next hop objects (`RTM_NEWNEXTHOP`, `RTM_DELNEXTHOP`) and routes.
//!
//! `netlink-packet-route` has no next hop objects, and at a million messages a second nothing may
//! be allocated for a message; hence this parser. It is checked against that crate, and against an
//! independent decoder, over every recorded stream.

use super::attribute::{Attributes, Malformed, address_of, u16_of, u32_of};
use crate::prefix::Prefix;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A next hop as zebra writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Gateway; none: the destination is on the link. Its family may differ from the route's.
    pub gateway: Option<IpAddr>,
    /// The interface, 0 if absent.
    pub ifindex: u32,
    /// The gateway is on the link whatever the addresses say (`RTNH_F_ONLINK`).
    pub onlink: bool,
    /// It wants an encapsulation (MPLS, VXLAN, SRv6), which we do not do.
    pub encap: bool,
}

/// What a next hop object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A single next hop.
    Hop(Hop),
    /// Drops.
    Blackhole,
    /// A group.
    Group {
        /// Ids of the members, and their weights from 1 to 65,536.
        members: Box<[(u32, u32)]>,
        /// What zebra asks of a resilient group.
        resilient: Option<Resilient>,
    },
}

/// `NHA_RES_GROUP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resilient {
    /// Buckets, 0 if not said.
    pub buckets: u16,
    /// Idle timer as it stands on the wire, 0 if not said.
    pub idle: u32,
    /// Unbalanced timer as it stands on the wire, 0 if not said.
    pub unbalanced: u32,
}

/// `rtm_type`, as far as we forward by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// Forwards.
    Unicast,
    /// One of our addresses.
    Local,
    /// Drops in silence.
    Blackhole,
    /// Drops, answers host unreachable.
    Unreachable,
    /// Drops, answers administratively prohibited.
    Prohibit,
}

/// Where a route points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Nowhere: a route that drops.
    Nothing,
    /// To a next hop object.
    Id(u32),
    /// To one next hop.
    Hop(Hop),
    /// To some, each with a weight from 1 to 256.
    Hops(Box<[(Hop, u32)]>),
}

/// A route as zebra writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What becomes of a packet.
    pub kind: RouteKind,
    /// `rtm_protocol`: 186 is BGP, 2 the kernel's own.
    pub protocol: u8,
    /// Where it points.
    pub via: Via,
    /// `RTA_PREFSRC`, for packets of our own.
    pub prefsrc: Option<IpAddr>,
    /// MTU of the path in bytes, 0 if not said.
    pub mtu: u32,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A next hop object, new or replaced.
    Nexthop(u32, Object),
    /// A next hop object is gone.
    DelNexthop(u32),
    /// A route, new or replaced.
    Route(Prefix, Route),
    /// A route is gone.
    DelRoute(Prefix),
    /// Nothing that we forward by.
    Skipped(Skip),
}

/// Kinds of messages that are counted and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// A MAC address of EVPN.
    Neighbor,
    /// A label route.
    Mpls,
    /// A route of a table other than main.
    Table,
    /// A route that looks at the source too.
    Source,
    /// A route of another type: multicast, throw, ….
    Type,
    /// A route of another family.
    Family,
    /// Any other message.
    Message,
}

impl Skip {
    /// All of them.
    pub const ALL: [Skip; 7] = [
        Skip::Neighbor,
        Skip::Mpls,
        Skip::Table,
        Skip::Source,
        Skip::Type,
        Skip::Family,
        Skip::Message,
    ];

    /// The name of `show fpm`.
    pub const fn name(self) -> &'static str {
        match self {
            Skip::Neighbor => "neighbor",
            Skip::Mpls => "mpls",
            Skip::Table => "other-table",
            Skip::Source => "source-route",
            Skip::Type => "other-type",
            Skip::Family => "other-family",
            Skip::Message => "other-message",
        }
    }
}

/// Message types (`RTM_*`).
pub(super) const NEWROUTE: u16 = 24;
pub(super) const DELROUTE: u16 = 25;
const NEWNEIGH: u16 = 28;
const DELNEIGH: u16 = 29;
pub(super) const NEWNEXTHOP: u16 = 104;
pub(super) const DELNEXTHOP: u16 = 105;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_MPLS: u8 = 28;
/// `RT_TABLE_UNSPEC` and `RT_TABLE_MAIN`.
const TABLES: [u32; 2] = [0, 254];
/// `RTNH_F_ONLINK`, in next hops and in `rtm_flags` alike.
const ONLINK: u32 = 4;

/// Reads a message of `kind` with this `body` (what follows the `nlmsghdr`).
pub fn message(kind: u16, body: &[u8]) -> Result<Message, Malformed> {
    match kind {
        NEWROUTE | DELROUTE => route(kind == NEWROUTE, body),
        NEWNEXTHOP => nexthop(body),
        DELNEXTHOP => {
            let (_, attributes) = body.split_at_checked(8).ok_or(Malformed)?;
            for attribute in Attributes(attributes) {
                let (1, value) = attribute? else { continue };
                return Ok(Message::DelNexthop(u32_of(value)?));
            }
            Err(Malformed)
        }
        NEWNEIGH | DELNEIGH => Ok(Message::Skipped(Skip::Neighbor)),
        _ => Ok(Message::Skipped(Skip::Message)),
    }
}

fn nexthop(body: &[u8]) -> Result<Message, Malformed> {
    let (header, attributes) = body.split_at_checked(8).ok_or(Malformed)?;
    let mut hop = Hop {
        gateway: None,
        ifindex: 0,
        onlink: u32_of(&header[4..])? & ONLINK != 0,
        encap: false,
    };
    let (mut id, mut group, mut resilient, mut blackhole) = (None, None, None, false);
    for attribute in Attributes(attributes) {
        match attribute? {
            (1, value) => id = Some(u32_of(value)?),
            (2, value) => group = Some(value),
            (4, _) => blackhole = true,
            (5, value) => hop.ifindex = u32_of(value)?,
            (6, value) => hop.gateway = Some(address_of(value)?),
            (7, value) => hop.encap |= u16_of(value)? != 0,
            (8, _) => hop.encap = true,
            (12, value) => resilient = Some(resilient_of(value)?),
            _ => {}
        }
    }
    let object = match group {
        Some(value) => Object::Group {
            members: group_of(value)?,
            resilient,
        },
        None if blackhole => Object::Blackhole,
        None => Object::Hop(hop),
    };
    Ok(Message::Nexthop(id.ok_or(Malformed)?, object))
}

/// `struct nexthop_grp { u32 id; u8 weight - 1; u8 weight_high; u16 0 }`, any number of them.
fn group_of(value: &[u8]) -> Result<Box<[(u32, u32)]>, Malformed> {
    let entries = value.chunks_exact(8);
    if !entries.remainder().is_empty() {
        return Err(Malformed);
    }
    entries
        .map(|e| Ok((u32_of(e)?, u32::from(u16::from_le_bytes([e[4], e[5]])) + 1)))
        .collect()
}

fn resilient_of(value: &[u8]) -> Result<Resilient, Malformed> {
    let mut resilient = Resilient::default();
    for attribute in Attributes(value) {
        match attribute? {
            (1, value) => resilient.buckets = u16_of(value)?,
            (2, value) => resilient.idle = u32_of(value)?,
            (3, value) => resilient.unbalanced = u32_of(value)?,
            _ => {}
        }
    }
    Ok(resilient)
}

fn route(new: bool, body: &[u8]) -> Result<Message, Malformed> {
    let header: &[u8; 12] = body.first_chunk().ok_or(Malformed)?;
    let &[family, length, source, _, table, protocol, _, kind, ..] = header;
    let unspecified = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        AF_MPLS => return Ok(Message::Skipped(Skip::Mpls)),
        _ => return Ok(Message::Skipped(Skip::Family)),
    };
    let (mut destination, mut table, mut id, mut many) =
        (unspecified, u32::from(table), None, None);
    let (mut prefsrc, mut mtu, mut metrics) = (None, 0, None);
    let mut hop = Hop {
        gateway: None,
        ifindex: 0,
        onlink: u32_of(&header[8..])? & ONLINK != 0,
        encap: false,
    };
    for attribute in Attributes(&body[12..]) {
        match attribute? {
            (1, value) => destination = address_of(value)?,
            (7, value) => prefsrc = Some(address_of(value)?),
            (8, value) => metrics = Some(value),
            (9, value) => many = Some(value),
            (15, value) => table = u32_of(value)?,
            (30, value) => id = Some(u32_of(value)?),
            (kind, value) => hop_attribute(&mut hop, kind, value)?,
        }
    }
    if !TABLES.contains(&table) {
        return Ok(Message::Skipped(Skip::Table));
    }
    if source != 0 {
        return Ok(Message::Skipped(Skip::Source));
    }
    if destination.is_ipv4() != unspecified.is_ipv4() {
        return Err(Malformed);
    }
    let prefix = Prefix::containing(destination, length).map_err(|_| Malformed)?;
    if !new {
        return Ok(Message::DelRoute(prefix));
    }
    let kind = match kind {
        1 => RouteKind::Unicast,
        2 => RouteKind::Local,
        6 => RouteKind::Blackhole,
        7 => RouteKind::Unreachable,
        8 => RouteKind::Prohibit,
        _ => return Ok(Message::Skipped(Skip::Type)),
    };
    for attribute in Attributes(metrics.unwrap_or_default()) {
        if let (2, value) = attribute? {
            mtu = u32_of(value)?;
        }
    }
    let via = match (id, many) {
        _ if !matches!(kind, RouteKind::Unicast | RouteKind::Local) => Via::Nothing,
        (Some(id), _) => Via::Id(id),
        (None, Some(many)) => Via::Hops(hops(many)?),
        (None, None) => Via::Hop(hop),
    };
    Ok(Message::Route(
        prefix,
        Route {
            kind,
            protocol,
            via,
            prefsrc,
            mtu,
        },
    ))
}

fn hop_attribute(hop: &mut Hop, kind: u16, value: &[u8]) -> Result<(), Malformed> {
    match kind {
        4 => hop.ifindex = u32_of(value)?,
        5 => hop.gateway = Some(address_of(value)?),
        // struct rtvia { u16 family; u8 address[] }
        18 => hop.gateway = Some(address_of(value.get(2..).ok_or(Malformed)?)?),
        21 => hop.encap |= u16_of(value)? != 0,
        22 => hop.encap = true,
        _ => {}
    }
    Ok(())
}

/// `struct rtnexthop { u16 length; u8 flags; u8 weight - 1; i32 ifindex }` and attributes, repeated.
fn hops(mut bytes: &[u8]) -> Result<Box<[(Hop, u32)]>, Malformed> {
    let mut all = Vec::with_capacity(2);
    while !bytes.is_empty() {
        let length = usize::from(u16_of(bytes)?);
        let entry = bytes.get(..length).ok_or(Malformed)?;
        let (header, attributes) = entry.split_at_checked(8).ok_or(Malformed)?;
        let mut hop = Hop {
            gateway: None,
            ifindex: u32_of(&header[4..])?,
            onlink: u32::from(header[2]) & ONLINK != 0,
            encap: false,
        };
        for attribute in Attributes(attributes) {
            let (kind, value) = attribute?;
            hop_attribute(&mut hop, kind, value)?;
        }
        all.push((hop, u32::from(header[3]) + 1));
        bytes = bytes.get((length + 3) & !3..).unwrap_or_default();
    }
    Ok(all.into_boxed_slice())
}

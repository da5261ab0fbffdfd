//! Bytes from the kernel to what they say.
//!
//! Only the few attributes that matter are read, and by hand: a link message carries dozens of
//! others that grow with every kernel, and one that a full parser does not know must not cost us
//! the news that a link is down.

use crate::event::{Link, Mac, Neighbor, NeighborState};
use netlink_packet_core::{DecodeError, NetlinkBuffer, NlasIterator};
use std::net::IpAddr;

// linux/netlink.h, linux/rtnetlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const NESTED: u16 = 0x8000;

// linux/if.h, if_link.h, if_addr.h, neighbour.h
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_PROTOCOL: u16 = 12;
const NTF_PROXY: u8 = 0x08;
const RTPROT_ZEBRA: u8 = 11;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A netdev appeared or changed; true: it is a VRF or in one, so its addresses and prefixes are in
    /// another table than the main one.
    Link(Link, bool),
    /// A netdev, by index, is gone.
    LinkGone(u32),
    /// An address of ours: interface, address, length of the connected prefix in the kernel's table.
    Address(u32, IpAddr, u8),
    /// The same, gone.
    AddressGone(u32, IpAddr, u8),
    /// A neighbor appeared or changed.
    Neighbor(Neighbor),
    /// A neighbor is gone: interface and address.
    NeighborGone(u32, IpAddr),
    /// A dump is complete.
    Done,
    /// The answer to a request: 0, or the error number.
    Answer(i32),
    /// Of no interest: proxy entries, bridge ports, multicast.
    Other,
}

/// A message and what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Number of the request that it answers; 0 for news.
    pub sequence: u32,
    /// The dump that it is part of met a change: dump again.
    pub interrupted: bool,
    /// What it says.
    pub message: Message,
}

/// Calls `with` for each message in `datagram`. A message whose contents make no sense is an error
/// and the next one is looked at; where the framing breaks, the rest is one error.
pub fn messages(datagram: &[u8], mut with: impl FnMut(Result<Heard, DecodeError>)) {
    let mut rest = datagram;
    while !rest.is_empty() {
        let header = match NetlinkBuffer::new_checked(rest) {
            Ok(header) => header,
            Err(error) => return with(Err(error)),
        };
        with(
            body(header.message_type(), header.payload()).map(|message| Heard {
                sequence: header.sequence_number(),
                interrupted: header.flags() & NLM_F_DUMP_INTR != 0,
                message,
            }),
        );
        let length = (header.length() as usize).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn body(kind: u16, payload: &[u8]) -> Result<Message, DecodeError> {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => link(kind, payload),
        RTM_NEWADDR | RTM_DELADDR => address(kind, payload),
        RTM_NEWNEIGH | RTM_DELNEIGH => neighbor(kind, payload),
        NLMSG_DONE => Ok(Message::Done),
        NLMSG_ERROR => {
            let (code, _) = split::<4>(payload, "error")?;
            Ok(Message::Answer(-i32::from_ne_bytes(code)))
        }
        _ => Ok(Message::Other),
    }
}

/// `struct ifinfomsg`, then attributes.
fn link(kind: u16, payload: &[u8]) -> Result<Message, DecodeError> {
    let (header, attributes) = split::<16>(payload, "link")?;
    let [family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = header;
    // Bridges report their ports as links of another family; a port that leaves is not gone.
    if family != AF_UNSPEC {
        return Ok(Message::Other);
    }
    let ifindex = u32::from_ne_bytes([i0, i1, i2, i3]);
    if kind == RTM_DELLINK {
        return Ok(Message::LinkGone(ifindex));
    }
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let mut link = Link {
        ifindex,
        name: String::new(),
        mac: None,
        mtu: 0,
        admin_up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
    };
    let mut in_vrf = false;
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() & !NESTED {
            IFLA_ADDRESS => link.mac = mac(value),
            IFLA_IFNAME => {
                let name = value.split(|b| *b == 0).next().unwrap_or_default();
                link.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_MTU => link.mtu = u32::from_ne_bytes(split::<4>(value, "mtu")?.0),
            IFLA_LINKINFO => in_vrf = is_of_vrf(value)?,
            _ => {}
        }
    }
    Ok(Message::Link(link, in_vrf))
}

/// Whether `IFLA_LINKINFO` is that of a VRF, or of a port of one.
fn is_of_vrf(info: &[u8]) -> Result<bool, DecodeError> {
    for attribute in NlasIterator::new(info) {
        let attribute = attribute?;
        let is_kind = matches!(
            attribute.kind() & !NESTED,
            IFLA_INFO_KIND | IFLA_INFO_SLAVE_KIND
        );
        if is_kind && attribute.value().strip_suffix(b"\0") == Some(b"vrf") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `struct ifaddrmsg`, then attributes.
fn address(kind: u16, payload: &[u8]) -> Result<Message, DecodeError> {
    let (header, attributes) = split::<8>(payload, "address")?;
    let [family, prefix_len, _, _, i0, i1, i2, i3] = header;
    let ifindex = u32::from_ne_bytes([i0, i1, i2, i3]);
    let (mut local, mut address, mut flags) = (None, None, 0);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() & !NESTED {
            IFA_LOCAL => local = ip(family, attribute.value()),
            IFA_ADDRESS => address = ip(family, attribute.value()),
            IFA_FLAGS => {
                flags = u32::from_ne_bytes(split::<4>(attribute.value(), "address flags")?.0);
            }
            _ => {}
        }
    }
    let (own, prefix_len) = match (local, address) {
        // With a peer, the connected prefix is the peer's and not ours.
        (Some(local), Some(peer)) if local != peer => (local, crate::prefix::width(local)),
        // The kernel has made no route to the prefix; whoever wants one does.
        (Some(own), _) | (None, Some(own)) if flags & IFA_F_NOPREFIXROUTE != 0 => {
            (own, crate::prefix::width(own))
        }
        (Some(own), _) | (None, Some(own)) => (own, prefix_len),
        (None, None) => return Ok(Message::Other),
    };
    Ok(match kind {
        RTM_NEWADDR => Message::Address(ifindex, own, prefix_len),
        _ => Message::AddressGone(ifindex, own, prefix_len),
    })
}

/// `struct ndmsg`, then attributes.
fn neighbor(kind: u16, payload: &[u8]) -> Result<Message, DecodeError> {
    let (header, attributes) = split::<12>(payload, "neighbor")?;
    let [family, _, _, _, i0, i1, i2, i3, s0, s1, flags, _] = header;
    let ifindex = u32::from_ne_bytes([i0, i1, i2, i3]);
    let (mut address, mut lladdr, mut zebra) = (None, None, false);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() & !NESTED {
            NDA_DST => address = ip(family, value),
            NDA_LLADDR => lladdr = mac(value),
            NDA_PROTOCOL => zebra = value == [RTPROT_ZEBRA],
            _ => {}
        }
    }
    let Some(address) = address.filter(|a| !a.is_multicast() && flags & NTF_PROXY == 0) else {
        return Ok(Message::Other);
    };
    if kind == RTM_DELNEIGH {
        return Ok(Message::NeighborGone(ifindex, address));
    }
    Ok(Message::Neighbor(Neighbor {
        ifindex,
        address,
        mac: lladdr,
        state: state(u16::from_ne_bytes([s0, s1])),
        zebra,
    }))
}

/// `NUD_*`. None at all is an entry that has just been made.
fn state(nud: u16) -> NeighborState {
    match nud {
        0x02 => NeighborState::Reachable,
        0x04 => NeighborState::Stale,
        0x08 => NeighborState::Delay,
        0x10 => NeighborState::Probe,
        0x20 => NeighborState::Failed,
        0x40 => NeighborState::NoArp,
        0x80 => NeighborState::Permanent,
        _ => NeighborState::Incomplete,
    }
}

fn mac(value: &[u8]) -> Option<Mac> {
    value.try_into().ok()
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        AF_INET6 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

fn split<'a, const N: usize>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<([u8; N], &'a [u8]), DecodeError> {
    match bytes.split_first_chunk::<N>() {
        Some((head, rest)) => Ok((*head, rest)),
        None => Err(format!("{what}: {} bytes, at least {N} needed", bytes.len()).into()),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

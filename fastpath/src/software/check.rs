//! Which packets are to be routed at all: the checks of their headers.
//!
//! They are those of RFC 1812 5.2.2 and 5.3.7 and RFC 8200. What is for the kernel (not IP,
//! multicast, broadcast, IPv6 link-local) is told apart from what is wrong. IPv4 options are not
//! acted upon: a router that is not named by a source route forwards the packet as it is, and
//! record-route and timestamp are left out, as RFC 7126 suggests.

use super::lanes::Verdict;
use crate::table::{DropReason, PortFacts};
use crate::wire::{checksum, ethernet, ipv4, ipv6};

/// A packet whose header has been checked.
pub(super) struct Checked<'a, H> {
    /// As long as its header says.
    pub(super) packet: &'a [u8],
    pub(super) header: H,
    pub(super) len: u16,
}

const fn dropped<T>(reason: DropReason) -> Result<T, Verdict> {
    Err(Verdict::Drop(reason))
}

/// The Ethernet header of a frame for us.
#[inline(always)]
pub(super) fn link(bytes: &[u8], facts: &PortFacts) -> Result<ethernet::Header, Verdict> {
    if !facts.present {
        return dropped(DropReason::PortDown);
    }
    let Some(header) = ethernet::read(bytes) else {
        return dropped(DropReason::Truncated);
    };
    if header.destination != facts.mac && !facts.any_mac && !ethernet::is_group(header.destination)
    {
        return dropped(DropReason::NotForUs);
    }
    if facts.vlan != 0 && header.vlan != Some(facts.vlan) {
        return dropped(DropReason::UnknownVlan);
    }
    if ethernet::is_group(header.destination) {
        return Err(Verdict::Punt);
    }
    Ok(header)
}

#[inline(always)]
pub(super) fn check4(packet: &[u8]) -> Result<Checked<'_, ipv4::Header<'_>>, Verdict> {
    let Some(header) = ipv4::Header::new(packet) else {
        return dropped(DropReason::Truncated);
    };
    let (header_len, len) = (header.header_len(), header.total_len());
    if header.version() != 4 || header_len < ipv4::HEADER || len < header_len {
        return dropped(DropReason::BadHeader);
    }
    let Some(packet) = packet.get(..len) else {
        return dropped(DropReason::Truncated);
    };
    let is_valid = if header_len == ipv4::HEADER {
        checksum::is_valid(header.0)
    } else {
        packet.get(..header_len).is_some_and(checksum::is_valid)
    };
    if !is_valid {
        return dropped(DropReason::BadChecksum);
    }
    let (source, destination) = (header.source(), header.destination());
    if ipv4::is_multicast(destination) || destination == ipv4::BROADCAST {
        return Err(Verdict::Punt);
    }
    if ipv4::is_martian_source(source) {
        return dropped(DropReason::MartianSource);
    }
    if ipv4::is_martian_destination(destination) {
        return dropped(DropReason::MartianDestination);
    }
    Ok(Checked {
        packet,
        header,
        len: len as u16,
    })
}

#[inline(always)]
pub(super) fn check6(packet: &[u8]) -> Result<Checked<'_, ipv6::Header<'_>>, Verdict> {
    let Some(header) = ipv6::Header::new(packet) else {
        return dropped(DropReason::Truncated);
    };
    if header.version() != 6 {
        return dropped(DropReason::BadHeader);
    }
    let len = ipv6::HEADER + header.payload_len();
    // A jumbogram (RFC 2675) says 0; no frame of ours could hold it, nor its length this lane.
    let is_jumbogram = header.payload_len() == 0 && header.next_header() == ipv6::HOP_BY_HOP;
    let Ok(lane_len) = u16::try_from(len) else {
        return dropped(DropReason::Truncated);
    };
    if is_jumbogram {
        return dropped(DropReason::BadHeader);
    }
    let Some(packet) = packet.get(..len) else {
        return dropped(DropReason::Truncated);
    };
    let (source, destination) = (header.source(), header.destination());
    if ipv6::is_multicast(destination)
        || ipv6::is_link_local(destination)
        || ipv6::is_link_local(source)
    {
        return Err(Verdict::Punt);
    }
    if ipv6::is_multicast(source) || ipv6::is_unspecified_or_loopback(source) {
        return dropped(DropReason::MartianSource);
    }
    if ipv6::is_unspecified_or_loopback(destination) {
        return dropped(DropReason::MartianDestination);
    }
    Ok(Checked {
        packet,
        header,
        len: lane_len,
    })
}

//! Stage 1: bytes -> verdict, destination, hash.
//!
//! The checks are those of RFC 1812 5.2.2 and 5.3.7 and RFC 8200. What is for the kernel (not IP,
//! multicast, broadcast, IPv6 link-local) is told apart from what is wrong. IPv4 options are not
//! acted upon: a router that is not named by a source route forwards the packet as it is, and
//! record-route and timestamp are left out, as RFC 7126 suggests.

use super::burst::{Burst, Frame};
use super::lanes::{Lanes, Verdict};
use crate::hash::{Policy, Rest};
use crate::table::{DropReason, GroupId, PortFacts, PortId};
use crate::wire::{checksum, ethernet, ipv4, ipv6, transport};

/// What parsing finds in an IP packet.
struct Packet<A> {
    len: u16,
    destination: A,
    hash: u32,
}

const fn dropped<T>(reason: DropReason) -> Result<T, Verdict> {
    Err(Verdict::Drop(reason))
}

/// Describes every packet of a burst that came in on `port`.
///
/// In: bytes. Out: `verdict`, `l3`, `l3_len`, `hash`, `group` (none yet), `v4`, `v6`. Touches
/// packet memory.
#[inline(never)]
pub fn parse<F: Frame>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) {
    for frame in burst.iter() {
        frame.prefetch();
    }
    lanes.v4.len = 0;
    lanes.v6.len = 0;
    for (i, frame) in burst.lanes().zip(burst.iter()) {
        lanes.group[i] = GroupId::NONE;
        lanes.verdict[i] = match one(i, frame.bytes(), lanes, port, facts, policy) {
            Ok(verdict) | Err(verdict) => verdict,
        };
    }
}

#[inline(always)]
fn one(
    i: usize,
    bytes: &[u8],
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> Result<Verdict, Verdict> {
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
    let packet = bytes.get(header.len..).unwrap_or_default();
    let i = i & (super::burst::BURST - 1);
    lanes.l3[i] = header.len as u8;
    match header.ethertype {
        ethernet::IPV4 => {
            let found = ipv4_packet(packet, port, policy)?;
            (lanes.l3_len[i], lanes.hash[i]) = (found.len, found.hash);
            lanes.v4.push(i, found.destination);
            Ok(Verdict::V4)
        }
        ethernet::IPV6 => {
            let found = ipv6_packet(packet, port, policy)?;
            (lanes.l3_len[i], lanes.hash[i]) = (found.len, found.hash);
            lanes.v6.push(i, found.destination);
            Ok(Verdict::V6)
        }
        _ => Err(Verdict::Punt),
    }
}

#[inline(always)]
fn ipv4_packet(packet: &[u8], port: PortId, policy: &Policy) -> Result<Packet<u32>, Verdict> {
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
    // Only the first fragment has ports; all must go one way.
    let ports = if header.is_fragment() {
        None
    } else {
        let segment = packet.get(header_len..).unwrap_or_default();
        transport::ports(segment, header.protocol())
    };
    let (sport, dport) = ports.unwrap_or_default();
    let rest = Rest {
        sport,
        dport,
        protocol: header.protocol(),
        label: 0,
        ingress: port.0,
    };
    Ok(Packet {
        len: len as u16,
        destination,
        hash: policy
            .settings4(destination)
            .hash4(source, destination, &rest),
    })
}

#[inline(always)]
fn ipv6_packet(packet: &[u8], port: PortId, policy: &Policy) -> Result<Packet<[u8; 16]>, Verdict> {
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
    let (from, to) = (
        u128::from_be_bytes(source),
        u128::from_be_bytes(destination),
    );
    let found = ipv6::transport(packet, header);
    let (sport, dport) = ipv6::ports(packet, &found).unwrap_or_default();
    let rest = Rest {
        sport,
        dport,
        protocol: found.protocol,
        label: header.flow_label(),
        ingress: port.0,
    };
    Ok(Packet {
        len: lane_len,
        destination,
        hash: policy.settings6(to).hash6(from, to, &rest),
    })
}

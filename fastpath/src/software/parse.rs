//! Stage 1: bytes -> verdict, destination, hash.
//!
//! The checks are those of RFC 1812 5.2.2 and 5.3.7 and RFC 8200. What is for the kernel (not IP,
//! multicast, broadcast, IPv6 link-local) is told apart from what is wrong. IPv4 options are not
//! acted upon: a router that is not named by a source route forwards the packet as it is, and
//! record-route and timestamp are left out, as RFC 7126 suggests.
//!
//! Packets with ports right behind a plain IP header are hashed on the hot way; all others by the
//! general reader ([`super::flow`]), out of line.

use super::burst::{Burst, Frame};
use super::flow::{self, Flow, Piece};
use super::lanes::{Lanes, Verdict};
use super::nic::{self, Told};
use crate::hash::{Policy, Rest, Settings};
use crate::table::{DropReason, GroupId, PortFacts, PortId};
use crate::wire::{checksum, ethernet, ipv4, ipv6, transport};
use std::net::IpAddr;

/// A packet whose header has been checked.
struct Checked<'a, H> {
    /// As long as its header says.
    packet: &'a [u8],
    header: H,
    len: u16,
}

/// What the stage makes of one packet that is to be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// What its hash is made of; of fragments without what only the first has.
    pub flow: Flow,
    /// An ICMP error: the flow is the one it quotes, reversed.
    pub quoted: bool,
    /// Destination address.
    pub destination: IpAddr,
    /// Offset of the IP header, bytes.
    pub l3: usize,
    /// Length of the IP packet, bytes.
    pub len: u16,
    /// The flow hash.
    pub hash: u32,
}

const fn dropped<T>(reason: DropReason) -> Result<T, Verdict> {
    Err(Verdict::Drop(reason))
}

/// Describes every packet of a burst that came in on `port`.
///
/// In: bytes. Out: `verdict`, `l3`, `l3_len`, `hash`, `fragments`, `group` (none yet), `v4`, `v6`.
/// Touches packet memory.
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
    lanes.fragments = 0;
    for (i, frame) in burst.lanes().zip(burst.iter()) {
        lanes.group[i] = GroupId::NONE;
        let told = nic::told(frame, facts);
        lanes.verdict[i] = match one(i, frame.bytes(), told, lanes, port, facts, policy) {
            Ok(verdict) | Err(verdict) => verdict,
        };
    }
}

#[inline(always)]
fn one(
    i: usize,
    bytes: &[u8],
    told: Option<Told>,
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> Result<Verdict, Verdict> {
    let header = link(bytes, facts)?;
    let packet = bytes.get(header.len..).unwrap_or_default();
    // Not every NIC looks behind every tag.
    let told = told.filter(|_| header.len == ethernet::HEADER);
    let i = i & (super::burst::BURST - 1);
    lanes.l3[i] = header.len as u8;
    match header.ethertype {
        ethernet::IPV4 => {
            let checked = check4(packet)?;
            lanes.l3_len[i] = checked.len;
            let (hash, is_fragment) = hash4(&checked, told, port, policy);
            lanes.hash[i] = hash;
            lanes.fragments |= u64::from(is_fragment) << i;
            lanes.v4.push(i, checked.header.destination());
            Ok(Verdict::V4)
        }
        ethernet::IPV6 => {
            let checked = check6(packet)?;
            lanes.l3_len[i] = checked.len;
            let (hash, is_fragment) = hash6(&checked, told, port, policy);
            lanes.hash[i] = hash;
            lanes.fragments |= u64::from(is_fragment) << i;
            lanes.v6.push(i, checked.header.destination());
            Ok(Verdict::V6)
        }
        _ => Err(Verdict::Punt),
    }
}

/// What the stage makes of one frame that came in on `port`, by the code of the stage.
///
/// # Errors
/// What becomes of a frame that is not to be routed.
pub fn describe(
    frame: &[u8],
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> Result<Described, Verdict> {
    let link = link(frame, facts)?;
    let packet = frame.get(link.len..).unwrap_or_default();
    let (flow, destination, len, hash) = match link.ethertype {
        ethernet::IPV4 => {
            let checked = check4(packet)?;
            let destination = checked.header.destination();
            let settings = policy.settings4(destination);
            (
                flow::read4(checked.packet, checked.header, port, settings),
                IpAddr::V4(destination.into()),
                checked.len,
                hash4(&checked, None, port, policy).0,
            )
        }
        ethernet::IPV6 => {
            let checked = check6(packet)?;
            let destination = checked.header.destination();
            let settings = policy.settings6(u128::from_be_bytes(destination));
            (
                flow::read6(checked.packet, checked.header, port, settings),
                IpAddr::V6(destination.into()),
                checked.len,
                hash6(&checked, None, port, policy).0,
            )
        }
        _ => return Err(Verdict::Punt),
    };
    Ok(Described {
        flow: hashed(flow),
        quoted: flow.quoted,
        destination,
        l3: link.len,
        len,
        hash,
    })
}

/// The Ethernet header of a frame for us.
#[inline(always)]
fn link(bytes: &[u8], facts: &PortFacts) -> Result<ethernet::Header, Verdict> {
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
fn check4(packet: &[u8]) -> Result<Checked<'_, ipv4::Header<'_>>, Verdict> {
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
fn check6(packet: &[u8]) -> Result<Checked<'_, ipv6::Header<'_>>, Verdict> {
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

/// The hash of an IPv4 packet, and whether it is or carries a fragment.
#[inline(always)]
fn hash4(
    checked: &Checked<'_, ipv4::Header<'_>>,
    told: Option<Told>,
    port: PortId,
    policy: &Policy,
) -> (u32, bool) {
    let Checked { packet, header, .. } = *checked;
    let settings = policy.settings4(header.destination());
    let is_bare = header.header_len() == ipv4::HEADER && !header.is_fragment();
    if is_bare && settings.is_plain() {
        let segment = packet.get(ipv4::HEADER..).unwrap_or_default();
        if let Some((sport, dport)) = transport::ports(segment, header.protocol()) {
            let rest = Rest {
                sport,
                dport,
                protocol: header.protocol(),
                label: 0,
                ingress: port.0,
            };
            let hash = match nic::value(told, settings, segment, &rest) {
                Some(value) => settings.hash4_with_rss(value, &rest),
                None => settings.hash4(header.source(), header.destination(), &rest),
            };
            return (hash, false);
        }
    }
    general4(packet, header, port, settings)
}

/// The hash of an IPv6 packet likewise.
#[inline(always)]
fn hash6(
    checked: &Checked<'_, ipv6::Header<'_>>,
    told: Option<Told>,
    port: PortId,
    policy: &Policy,
) -> (u32, bool) {
    let Checked { packet, header, .. } = *checked;
    let (from, to) = (header.source(), header.destination());
    let (from, to) = (u128::from_be_bytes(from), u128::from_be_bytes(to));
    let settings = policy.settings6(to);
    if settings.is_plain() {
        let segment = packet.get(ipv6::HEADER..).unwrap_or_default();
        if let Some((sport, dport)) = transport::ports(segment, header.next_header()) {
            let rest = Rest {
                sport,
                dport,
                protocol: header.next_header(),
                label: header.flow_label(),
                ingress: port.0,
            };
            let hash = match nic::value(told, settings, segment, &rest) {
                Some(value) => settings.hash6_with_rss(value, &rest),
                None => settings.hash6(from, to, &rest),
            };
            return (hash, false);
        }
    }
    general6(packet, header, port, settings)
}

#[cold]
#[inline(never)]
fn general4(
    packet: &[u8],
    header: ipv4::Header<'_>,
    port: PortId,
    settings: &Settings,
) -> (u32, bool) {
    hash(flow::read4(packet, header, port, settings), settings)
}

#[cold]
#[inline(never)]
fn general6(
    packet: &[u8],
    header: ipv6::Header<'_>,
    port: PortId,
    settings: &Settings,
) -> (u32, bool) {
    hash(flow::read6(packet, header, port, settings), settings)
}

/// The hash of a flow, and whether it is of a fragment or carries one.
fn hash(flow: Flow, settings: &Settings) -> (u32, bool) {
    let is_fragment = flow.piece != Piece::Whole || flow.inner_piece != Piece::Whole;
    (settings.hash(&hashed(flow).key), is_fragment)
}

/// The flow as it is hashed. Only the first fragment of a datagram has ports and what is inside a
/// tunnel; [`super::fragments`] sends the others its way, and this is for those that it cannot.
pub(super) fn hashed(mut flow: Flow) -> Flow {
    let key = &mut flow.key;
    if let Piece::Later(datagram) = flow.piece {
        key.outer.protocol = datagram.protocol;
        (key.outer.sport, key.outer.dport) = (0, 0);
        (key.teid, key.qp, key.inner) = (None, None, None);
    } else if matches!(flow.inner_piece, Piece::Later(_)) {
        if let Some(inner) = &mut key.inner {
            (inner.sport, inner.dport) = (0, 0);
        }
    }
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: PortFacts = PortFacts {
        present: true,
        any_mac: true,
        ..PortFacts::ABSENT
    };

    fn frame(protocol: u8, fragment_word: u16, options: bool) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        let header_len = if options { 24 } else { 20 };
        let mut header = vec![0x40 | header_len / 4, 0, 0, header_len + 8, 0, 7];
        header.extend(fragment_word.to_be_bytes());
        header.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        header.extend([1; 4].iter().take(usize::from(options) * 4));
        let sum = checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(header);
        bytes.extend([4, 0, 0, 80, 0, 8, 0, 0]);
        bytes
    }

    /// The hot way and the general one give one hash.
    #[test]
    fn the_key_described_has_the_hash_of_the_stage() {
        let policy = Policy::default();
        for protocol in 0..=255 {
            for (word, options) in [(0, false), (0, true), (0x2000, false), (0x0010, true)] {
                let bytes = frame(protocol, word, options);
                let found = describe(&bytes, PortId(3), &FACTS, &policy).unwrap();
                assert_eq!(found.hash, policy.base().hash(&found.flow.key));
                let has_ports = transport::has_ports(protocol) && word != 0x0010;
                assert_eq!(found.flow.key.outer.dport == 80, has_ports, "{protocol}");
                assert_eq!((found.l3, found.flow.key.ingress), (14, 3));
            }
        }
    }
}

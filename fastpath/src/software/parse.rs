//! Stage 1: bytes -> verdict, destination, hash.
//!
//! What is not to be routed ends here (`check`). What is hashed as nearly all packets are takes a
//! hot way (`hot`), all others the general reader ([`super::flow`]), out of line. A burst for which
//! nothing but the default algorithm over outer fields is on has a loop of its own, so that it pays
//! for nothing else.

use super::burst::{Burst, Frame};
use super::check::{check4, check6, link};
use super::flow::{self, Flow, Piece};
use super::hot::{self, ANY, Kind, OUTER, TUNNELS, hash4, hash6};
use super::lanes::{Lanes, Verdict};
use super::nic::{self, Told};
use super::prefetch::prefetch;
use crate::hash::{Policy, Settings};
use crate::table::{GroupId, PortFacts, PortId};
use crate::wire::{ethernet, ipv4, ipv6};
use std::net::IpAddr;

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
    match hot::kind(policy, facts) {
        OUTER => each::<F, OUTER>(burst, lanes, port, facts, policy),
        TUNNELS => {
            for second in burst.iter().filter_map(|f| f.bytes().get(LINE)) {
                prefetch(second);
            }
            each::<F, TUNNELS>(burst, lanes, port, facts, policy);
        }
        _ => each::<F, ANY>(burst, lanes, port, facts, policy),
    }
}

/// Bytes of a cache line: what is inside a tunnel is in the second one of a frame.
const LINE: usize = 64;

#[inline(always)]
fn each<F: Frame, const KIND: Kind>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) {
    for (i, frame) in burst.lanes().zip(burst.iter()) {
        lanes.group[i] = GroupId::NONE;
        let told = if KIND == ANY {
            nic::told(frame, facts)
        } else {
            None
        };
        lanes.verdict[i] = match one::<KIND>(i, frame.bytes(), told, lanes, port, facts, policy) {
            Ok(verdict) | Err(verdict) => verdict,
        };
    }
}

#[inline(always)]
fn one<const KIND: Kind>(
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
    let told = usable(told, &header);
    let i = i & (super::burst::BURST - 1);
    lanes.l3[i] = header.len as u8;
    match header.ethertype {
        ethernet::IPV4 => {
            let checked = check4(packet)?;
            lanes.l3_len[i] = checked.len;
            let (hash, is_fragment) = hash4::<KIND>(&checked, told, port, policy);
            lanes.hash[i] = hash;
            lanes.fragments |= u64::from(is_fragment) << i;
            lanes.v4.push(i, checked.header.destination());
            Ok(Verdict::V4)
        }
        ethernet::IPV6 => {
            let checked = check6(packet)?;
            lanes.l3_len[i] = checked.len;
            let (hash, is_fragment) = hash6::<KIND>(&checked, told, port, policy);
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
                hash4::<ANY>(&checked, None, port, policy).0,
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
                hash6::<ANY>(&checked, None, port, policy).0,
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

/// The hash of one frame, by the code of the stage, when a NIC told `told` with it.
///
/// # Errors
/// What becomes of a frame that is not to be routed.
pub(super) fn hash_told(
    frame: &[u8],
    told: Option<Told>,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> Result<u32, Verdict> {
    let header = link(frame, facts)?;
    let packet = frame.get(header.len..).unwrap_or_default();
    let told = usable(told, &header);
    match header.ethertype {
        ethernet::IPV4 => Ok(hash4::<ANY>(&check4(packet)?, told, port, policy).0),
        ethernet::IPV6 => Ok(hash6::<ANY>(&check6(packet)?, told, port, policy).0),
        _ => Err(Verdict::Punt),
    }
}

/// Not every NIC looks behind every tag.
#[inline(always)]
fn usable(told: Option<Told>, header: &ethernet::Header) -> Option<Told> {
    told.filter(|_| header.len == ethernet::HEADER)
}

#[cold]
#[inline(never)]
pub(super) fn general4(
    packet: &[u8],
    header: ipv4::Header<'_>,
    port: PortId,
    settings: &Settings,
) -> (u32, bool) {
    hash(flow::read4(packet, header, port, settings), settings)
}

#[cold]
#[inline(never)]
pub(super) fn general6(
    packet: &[u8],
    header: ipv6::Header<'_>,
    port: PortId,
    settings: &Settings,
) -> (u32, bool) {
    hash(flow::read6(packet, header, port, settings), settings)
}

/// The hash of a flow, and whether it is of a fragment or carries one.
fn hash(flow: Flow, settings: &Settings) -> (u32, bool) {
    let is_fragment = flow.piece != Piece::Whole || flow.needs_inner_first(settings);
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
        let sum = crate::wire::checksum::checksum(&header);
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
                let has_ports = crate::wire::transport::has_ports(protocol) && word != 0x0010;
                assert_eq!(found.flow.key.outer.dport == 80, has_ports, "{protocol}");
                assert_eq!((found.l3, found.flow.key.ingress), (14, 3));
            }
        }
    }
}

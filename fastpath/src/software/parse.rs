//! Stage 1: bytes -> verdict, destination, hash.
//!
//! What is not to be routed ends here (`check`). What is hashed as nearly all packets are takes a
//! hot way (`hot`), all others the general reader ([`super::flow`]), out of line. A burst for which
//! nothing but the default algorithm over outer fields is on has loops of its own, so that it pays
//! for nothing else: while all packets are plain and of one family, the loop knows only these.

use super::burst::{BURST, Burst, Frame};
use super::check::{check4, check6, link};
use super::flow::{self, Flow, Piece};
use super::hot::{self, ANY, Kind, OUTER, TUNNELS, hash4, hash6};
use super::lanes::{Alike, Lanes, Verdict};
use super::nic::{self, Told};
use super::plain::{self, Gate};
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
/// Touches packet memory, which the caller has asked the cache for.
#[inline(never)]
pub fn parse<F: Frame>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) {
    lanes.alike = Alike::Mixed;
    lanes.v4.len = 0;
    lanes.v6.len = 0;
    lanes.fragments = 0;
    match hot::kind(policy, facts) {
        OUTER => {
            let done = plain::<F, OUTER>(burst, lanes, port, facts, policy);
            if lanes.alike == Alike::Mixed {
                mixed(done, burst, lanes, port, facts, policy);
            }
        }
        TUNNELS => {
            for second in burst.iter().filter_map(|f| f.bytes().get(LINE)) {
                prefetch(second);
            }
            plain::<F, TUNNELS>(burst, lanes, port, facts, policy);
            if lanes.alike == Alike::Mixed {
                each::<F, TUNNELS>(burst, lanes, port, facts, policy);
            }
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
    (lanes.v4.len, lanes.v6.len) = (0, 0);
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

/// The packets that come first, as long as all are plain and of one family: how many.
#[inline(always)]
fn plain<F: Frame, const KIND: Kind>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> usize {
    let (gate, settings) = (Gate::new(facts), policy.base());
    lanes.l3 = [ethernet::HEADER as u8; BURST];
    let done = match settings.is_whole() {
        true => plain::all4::<F, KIND, true>(burst, lanes, port, gate, settings),
        false => plain::all4::<F, KIND, false>(burst, lanes, port, gate, settings),
    };
    match done {
        0 => plain::all6::<F, KIND>(burst, lanes, port, gate, settings),
        _ => done,
    }
}

/// The packets from number `done` on, each by itself.
// A call, as below.
#[inline(never)]
fn mixed<F: Frame>(
    done: usize,
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) {
    let (gate, settings) = (Gate::new(facts), policy.base());
    lanes.group = [GroupId::NONE; BURST];
    let (mut n4, mut n6) = (lanes.v4.len, lanes.v6.len);
    for (i, frame) in burst.lanes().zip(burst.iter()).skip(done) {
        let (i, bytes) = (i & (BURST - 1), frame.bytes());
        let is_like4 = plain::is_like4(bytes);
        let four = is_like4.then(|| plain::read4(bytes, gate)).flatten();
        let six = || plain::read6(bytes, gate);
        if let Some(packet) = four {
            let (ends, ports, protocol) = (packet.addresses, packet.ports, packet.protocol);
            lanes.verdict[i] = Verdict::V4;
            lanes.l3_len[i] = packet.len;
            lanes.hash[i] = settings.mix4_ends::<false>(ends, ports, protocol, port.0, 0);
            lanes.v4.put(n4, i, ends as u32);
            n4 += 1;
        } else if let Some(packet) = (!is_like4).then(six).flatten() {
            lanes.verdict[i] = Verdict::V6;
            lanes.l3_len[i] = packet.len;
            lanes.hash[i] = packet.hash(port, settings, 0);
            lanes.v6.put(n6, i, packet.destination.to_be_bytes());
            n6 += 1;
        } else {
            (lanes.v4.len, lanes.v6.len) = (n4, n6);
            lanes.verdict[i] = unplain(i, bytes, lanes, port, facts, policy);
            (n4, n6) = (lanes.v4.len, lanes.v6.len);
        }
    }
    (lanes.v4.len, lanes.v6.len) = (n4, n6);
}

// A call, so that the loop of plain packets stays short.
#[inline(never)]
fn unplain(
    i: usize,
    bytes: &[u8],
    lanes: &mut Lanes,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> Verdict {
    match one::<OUTER>(i, bytes, None, lanes, port, facts, policy) {
        Ok(verdict) | Err(verdict) => verdict,
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
    let i = i & (BURST - 1);
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
mod tests;

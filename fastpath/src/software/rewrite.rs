//! Stage 4: adjacency -> new L2 header, TTL, checksum, egress port.

use super::burst::{BURST, Burst, Frame};
use super::lanes::{Alike, Lanes, Verdict};
use crate::table::adjacency::{Facts, Slot};
use crate::table::traffic::BucketCounters;
use crate::table::{Disposition, DropReason, PortId, Tables};
use crate::wire::{checksum, ethernet, ipv4, ipv6};

/// Rewrites every packet whose adjacency forwards, and says what becomes of the others.
///
/// In: `alike`, `verdict`, `adjacency`, `bucket`, `l3`, `l3_len`. Out: `verdict`, `egress`, `whole`; what is to be
/// sent is counted for its bucket, by the length it came in with. Touches packet memory; a packet
/// that is not sent in the end is left as it came.
#[inline(never)]
pub fn rewrite<F: Frame>(
    burst: &mut Burst<F>,
    lanes: &mut Lanes,
    tables: &Tables,
    counters: &BucketCounters,
) {
    match lanes.alike {
        Alike::V4 => all::<F, false>(burst, lanes, tables, counters),
        Alike::V6 => all::<F, true>(burst, lanes, tables, counters),
        Alike::Mixed => mixed(burst, lanes, tables, counters),
    }
}

/// A burst whose packets are all to be routed, untagged and of one family.
#[inline(always)]
fn all<F: Frame, const IS_V6: bool>(
    burst: &mut Burst<F>,
    lanes: &mut Lanes,
    tables: &Tables,
    counters: &BucketCounters,
) {
    let first = first_port(lanes, tables);
    let (mut differs, mut sum) = (u16::from(burst.is_empty()), 0);
    lanes.verdict = [Verdict::Send; BURST];
    for (i, frame) in burst.lanes().zip(burst.iter_mut()) {
        let i = i & (BURST - 1);
        let slot = tables.adjacencies.slot(lanes.adjacency[i]);
        let facts = slot.facts();
        let is_untagged = facts.is_untagged_forward();
        let done = is_untagged.then(|| in_place(frame, slot, facts, lanes.l3_len[i], IS_V6));
        if let Some(bytes) = done.flatten() {
            differs |= facts.port().0 ^ first.0;
            sum += bytes as u64;
            lanes.egress[i] = facts.port();
            counters.count(lanes.bucket[i], bytes);
        } else {
            differs = 1;
            lanes.verdict[i] = any(frame, i, lanes, slot, facts, IS_V6, counters);
        }
    }
    lanes.whole = (differs == 0).then_some((first, sum));
}

/// Where the first packet leaves, if it does.
#[inline(always)]
fn first_port(lanes: &Lanes, tables: &Tables) -> PortId {
    let [first, ..] = lanes.adjacency;
    tables.adjacencies.slot(first).facts().port()
}

#[inline(always)]
fn mixed<F: Frame>(
    burst: &mut Burst<F>,
    lanes: &mut Lanes,
    tables: &Tables,
    counters: &BucketCounters,
) {
    let first = first_port(lanes, tables);
    let (mut differs, mut sum) = (u16::from(burst.is_empty()), 0);
    for (i, frame) in burst.lanes().zip(burst.iter_mut()) {
        let i = i & (BURST - 1);
        let verdict = lanes.verdict[i];
        if !matches!(verdict, Verdict::V4 | Verdict::V6) {
            differs = 1;
            continue;
        }
        let slot = tables.adjacencies.slot(lanes.adjacency[i]);
        let facts = slot.facts();
        let is_v6 = verdict == Verdict::V6;
        let is_untagged = (lanes.l3[i] == ethernet::HEADER as u8) & facts.is_untagged_forward();
        let len = lanes.l3_len[i];
        let done = is_untagged.then(|| in_place(frame, slot, facts, len, is_v6));
        if let Some(bytes) = done.flatten() {
            differs |= facts.port().0 ^ first.0;
            sum += bytes as u64;
            lanes.egress[i] = facts.port();
            lanes.verdict[i] = Verdict::Send;
            counters.count(lanes.bucket[i], bytes);
        } else {
            differs = 1;
            lanes.verdict[i] = any(frame, i, lanes, slot, facts, is_v6, counters);
        }
    }
    lanes.whole = (differs == 0).then_some((first, sum));
}

/// Rewrites the packet of lane `i`, whatever it is.
// A call, so that the loop of ordinary packets stays short.
#[inline(never)]
fn any<F: Frame>(
    frame: &mut F,
    i: usize,
    lanes: &mut Lanes,
    slot: &Slot,
    facts: Facts,
    is_v6: bool,
    counters: &BucketCounters,
) -> Verdict {
    let i = i & (BURST - 1);
    if facts.is_forward() {
        lanes.egress[i] = facts.port();
        let (l3, len) = (usize::from(lanes.l3[i]), lanes.l3_len[i]);
        let bytes = frame.bytes().len();
        let verdict = forward(frame, slot, facts, l3, len, is_v6);
        if matches!(verdict, Verdict::Send | Verdict::Fragment) {
            counters.count(lanes.bucket[i], bytes);
        }
        return verdict;
    }
    match facts.disposition() {
        Disposition::Drop(reason) => Verdict::Drop(reason),
        Disposition::Punt => Verdict::Punt,
        Disposition::Glean => Verdict::Glean,
        // `is_forward` said no.
        Disposition::Forward => Verdict::Drop(DropReason::NoRoute),
    }
}

/// The same as [`forward`] for what nearly all packets are: untagged in and out (which the caller has
/// seen), no more in the frame than the packet, hops left, not too large. The bytes of the frame; `None`,
/// and nothing changed, for all others.
#[inline(always)]
fn in_place<F: Frame>(
    frame: &mut F,
    slot: &Slot,
    facts: Facts,
    len: u16,
    is_v6: bool,
) -> Option<usize> {
    const TTL: usize = ethernet::HEADER + ipv4::TTL;
    const HOP_LIMIT: usize = ethernet::HEADER + ipv6::HOP_LIMIT;
    let bytes = frame.bytes_mut();
    let all = bytes.len();
    const SHORTEST: u16 = (ethernet::MIN_FRAME - ethernet::HEADER) as u16;
    let is_long = all > ethernet::HEADER + usize::from(len.max(SHORTEST));
    let header = bytes.first_chunk_mut::<{ ethernet::HEADER + ipv4::HEADER }>()?;
    let hops = if is_v6 {
        header[HOP_LIMIT]
    } else {
        header[TTL]
    };
    if is_long || hops <= 1 || len > facts.mtu() {
        return None;
    }
    if is_v6 {
        header[HOP_LIMIT] = hops - 1;
    } else {
        count_down(header, TTL);
    }
    // The EtherType is that of the packet already.
    if let Some(macs) = header.first_chunk_mut() {
        *macs = slot.macs();
    }
    Some(all)
}

/// One hop less in the IPv4 header whose TTL is at `ttl`.
#[inline(always)]
fn count_down<const N: usize>(bytes: &mut [u8; N], ttl: usize) {
    // TTL, protocol, checksum.
    if let Some(fields) = bytes.get_mut(ttl..).and_then(|rest| rest.first_chunk_mut()) {
        *fields = checksum::ttl_decremented(*fields);
    }
}

/// Makes one packet ready to be sent to the neighbor of `slot`, or says why not.
#[inline(always)]
pub fn forward<F: Frame>(
    frame: &mut F,
    slot: &Slot,
    facts: Facts,
    l3: usize,
    len: u16,
    is_v6: bool,
) -> Verdict {
    let packet = frame.bytes_mut().get_mut(l3..).unwrap_or_default();
    let ethertype = if is_v6 {
        let Some(header) = packet.first_chunk_mut::<{ ipv6::HEADER }>() else {
            return Verdict::Drop(DropReason::Truncated);
        };
        if header[ipv6::HOP_LIMIT] <= 1 {
            return Verdict::Drop(DropReason::TtlExceeded);
        }
        if len > facts.mtu() {
            return Verdict::Drop(DropReason::TooBig);
        }
        header[ipv6::HOP_LIMIT] -= 1;
        ethernet::IPV6
    } else {
        let Some(header) = packet.first_chunk_mut::<{ ipv4::HEADER }>() else {
            return Verdict::Drop(DropReason::Truncated);
        };
        if header[ipv4::TTL] <= 1 {
            return Verdict::Drop(DropReason::TtlExceeded);
        }
        if len > facts.mtu() {
            let may = ipv4::Header(header).fragment_word() & ipv4::DONT_FRAGMENT == 0;
            return if may {
                Verdict::Fragment
            } else {
                Verdict::Drop(DropReason::TooBig)
            };
        }
        count_down(header, ipv4::TTL);
        ethernet::IPV4
    };
    encapsulate(frame, slot, facts, l3, len, ethertype)
}

/// Puts the L2 header of `slot` before the `len` bytes of IP packet that begin at `l3`: any tags
/// of the old header go, those of the new one come. What follows the packet goes too, as far as
/// the frame stays long enough for a wire.
#[inline(always)]
pub fn encapsulate<F: Frame>(
    frame: &mut F,
    slot: &Slot,
    facts: Facts,
    l3: usize,
    len: u16,
    ethertype: u16,
) -> Verdict {
    let header_len = facts.header_len();
    let moved = if header_len > l3 {
        frame.prepend(header_len - l3)
    } else {
        header_len == l3 || frame.advance(l3 - header_len)
    };
    let wanted = (header_len + usize::from(len)).max(ethernet::MIN_FRAME);
    let trimmed = frame.bytes().len() <= wanted || frame.set_len(wanted);
    if !(moved && trimmed) {
        return Verdict::Drop(DropReason::NoBuffer);
    }
    let header = slot.header();
    let [high, low] = ethertype.to_be_bytes();
    let bytes = frame.bytes_mut();
    if header_len == ethernet::HEADER {
        if let (Some(to), Some(from)) = (bytes.first_chunk_mut::<14>(), header.first_chunk()) {
            *to = *from;
            [to[12], to[13]] = [high, low];
        }
    } else if let (Some(to), Some(from)) = (bytes.first_chunk_mut::<18>(), header.first_chunk()) {
        *to = *from;
        [to[16], to[17]] = [high, low];
    }
    Verdict::Send
}

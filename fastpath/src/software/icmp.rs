//! ICMP errors of our own: when one is due, how often, and what it says.
//!
//! The answer is made in the frame of the packet that it answers. It is routed like any packet
//! (but its TTL is not decremented), and its source address is that of the port it leaves by, so
//! that it can be built only then. It takes the way of the flow's return packets: the hash is that
//! of the quoted packet's fields, reversed, as for errors that others send through us.
//!
//! Rules: RFC 1812 4.3.2, RFC 4443 2.4. Multicast, broadcast and martian packets never come here:
//! `parse` has sent them elsewhere.

use super::burst::Frame;
use super::parse::hashed;
use super::rewrite::encapsulate;
use super::{flow, lanes::Verdict, lookup, select};
use crate::table::{DropReason, Lpm, PortFacts, PortId, Tables, View};
use crate::wire::checksum::{self, Sum};
use crate::wire::{ethernet, icmp, ipv4, ipv6, transport};

/// RFC 1812 4.3.2.3: an ICMP error is at most this long, IP header included.
const MAX_V4: usize = 576;
/// RFC 4443 2.4 (c): as much as fits the minimum MTU.
const MAX_V6: usize = 1280;
/// TTL and hop limit of what we send.
const TTL: u8 = 64;

/// How many ICMP errors a worker may send: a token bucket (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
#[derive(Clone, Debug)]
pub struct Limit {
    /// Nanoseconds per answer; `u64::MAX` for none at all.
    interval_ns: u64,
    /// Nanoseconds' worth of answers that may come at once, less one.
    slack_ns: u64,
    /// When the bucket would be full again.
    full_at_ns: u64,
    now: fn() -> u64,
}

impl Limit {
    /// `per_second` answers on average (0: none), up to `burst` (at least 1) at once. `now` gives
    /// nanoseconds on a clock that never goes back; it is read for an answer only.
    pub fn new(per_second: u32, burst: u32, now: fn() -> u64) -> Self {
        let interval_ns = 1_000_000_000_u64
            .checked_div(per_second.into())
            .unwrap_or(u64::MAX);
        Limit {
            interval_ns,
            slack_ns: interval_ns.saturating_mul(u64::from(burst.max(1)) - 1),
            full_at_ns: 0,
            now,
        }
    }

    /// Takes a token, if there is one.
    fn take(&mut self) -> bool {
        if self.interval_ns == u64::MAX {
            return false;
        }
        let now = (self.now)();
        let full_at = self.full_at_ns.max(now);
        let is_free = full_at - now <= self.slack_ns;
        if is_free {
            self.full_at_ns = full_at.saturating_add(self.interval_ns);
        }
        is_free
    }
}

/// The packet that may be answered: where it is, and why it is not forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// Offset of the IP header in its frame, bytes.
    pub l3: usize,
    /// Length of the packet, bytes.
    pub len: u16,
    /// The port that it came in on.
    pub ingress: PortId,
    /// Why.
    pub reason: DropReason,
    /// The MTU of the egress that was not taken, bytes.
    pub mtu: u16,
}

/// The error that answers `reason`; silence for most.
///
/// An unresolved neighbor is not answered: that state lasts only while the kernel resolves, and a
/// host would give its connection up for what a retransmission mends.
fn error_of(reason: DropReason, mtu: u16, is_v6: bool) -> Option<icmp::Error> {
    Some(match (reason, is_v6) {
        (DropReason::NoRoute, false) => icmp::NET_UNREACHABLE,
        (DropReason::NoRoute, true) => icmp::NO_ROUTE_V6,
        (DropReason::Unreachable | DropReason::NexthopDown, false) => icmp::HOST_UNREACHABLE,
        (DropReason::Unreachable | DropReason::NexthopDown, true) => icmp::ADDRESS_UNREACHABLE_V6,
        (DropReason::Prohibited, false) => icmp::PROHIBITED,
        (DropReason::Prohibited, true) => icmp::PROHIBITED_V6,
        (DropReason::TtlExceeded, false) => icmp::TTL_EXCEEDED,
        (DropReason::TtlExceeded, true) => icmp::HOP_LIMIT_EXCEEDED,
        (DropReason::TooBig, false) => icmp::fragmentation_needed(mtu),
        (DropReason::TooBig, true) => icmp::packet_too_big(u32::from(mtu).max(MAX_V6 as u32)),
        _ => return None,
    })
}

/// Answers the packet in `frame`, if an answer is due: the frame then holds it, ready to be sent
/// on the port returned. Otherwise the frame is only good for being dropped.
#[cold]
pub fn answer<F: Frame, L: Lpm>(
    frame: &mut F,
    refused: Refused,
    view: &View<L>,
    tables: &Tables,
    limit: &mut Limit,
) -> Option<PortId> {
    let is_v6 = frame.bytes().get(refused.l3)? >> 4 == 6;
    let error = error_of(refused.reason, refused.mtu, is_v6)?;
    let packet = frame.bytes().get(refused.l3..)?.get(..refused.len.into())?;
    let (group, hash) = if is_v6 {
        let (header, querier) = querier6(packet)?;
        let settings = view.hash.settings6(u128::from_be_bytes(querier));
        let flow = hashed(flow::read6(packet, header, refused.ingress, settings));
        let hash = settings.hash(&flow.key.reversed());
        (lookup::group6(view, querier), hash)
    } else {
        let (header, querier) = querier4(packet)?;
        let settings = view.hash.settings4(querier);
        let flow = hashed(flow::read4(packet, header, refused.ingress, settings));
        let hash = settings.hash(&flow.key.reversed());
        (lookup::group4(view, querier), hash)
    };
    let id = select::member(tables, group, hash).ok()?;
    let slot = tables.adjacencies.slot(id);
    let facts = slot.facts();
    if !facts.is_forward() {
        return None;
    }
    let egress = view.ports.get(usize::from(facts.port().0))?;
    let (len, ethertype) = if is_v6 {
        (
            build6(frame, refused, error, facts.mtu(), egress, limit)?,
            ethernet::IPV6,
        )
    } else {
        (
            build4(frame, refused, error, facts.mtu(), egress, limit)?,
            ethernet::IPV4,
        )
    };
    match encapsulate(frame, slot, facts, 0, len, ethertype) {
        Verdict::Send => Some(facts.port()),
        _ => None,
    }
}

/// The header and the source of an IPv4 packet that may be answered.
fn querier4(packet: &[u8]) -> Option<(ipv4::Header<'_>, u32)> {
    let header = ipv4::Header::new(packet)?;
    if header.fragment_word() & ipv4::OFFSET != 0 {
        return None;
    }
    if header.protocol() == transport::ICMP && icmp::is_error(*packet.get(header.header_len())?) {
        return None;
    }
    Some((header, header.source()))
}

/// The header and the source of an IPv6 packet that may be answered.
fn querier6(packet: &[u8]) -> Option<(ipv6::Header<'_>, [u8; 16])> {
    let header = ipv6::Header::new(packet)?;
    let found = ipv6::transport(packet, header);
    if found.protocol == transport::ICMPV6 && !found.is_later_fragment {
        let kind = *packet.get(found.offset)?;
        if icmp::is_error_v6(kind) {
            return None;
        }
    }
    Some((header, header.source()))
}

/// Leaves `quote` bytes of the packet at `l3` in the frame, with `room` bytes before them.
fn make_room<F: Frame>(frame: &mut F, l3: usize, quote: usize, room: usize) -> Option<()> {
    (frame.advance(l3) && frame.set_len(quote) && frame.prepend(room)).then_some(())
}

fn build4<F: Frame>(
    frame: &mut F,
    refused: Refused,
    error: icmp::Error,
    mtu: u16,
    egress: &PortFacts,
    limit: &mut Limit,
) -> Option<u16> {
    const HEADERS: usize = ipv4::HEADER + icmp::HEADER;
    let source = egress.source4?.octets();
    let quote = MAX_V4.min(mtu.into()).checked_sub(HEADERS)?;
    let quote = quote.min(refused.len.into());
    let original = ipv4::Header::new(frame.bytes().get(refused.l3..)?)?;
    let destination = original.source().to_be_bytes();
    // Precedence of network control, the delay bits as they came: RFC 1812 4.3.2.5.
    let tos = original.tos() & 0x1e | 0xc0;
    if !limit.take() {
        return None;
    }
    make_room(frame, refused.l3, quote, HEADERS)?;
    let len = (HEADERS + quote) as u16;
    let header: &mut [u8; ipv4::HEADER] = frame.bytes_mut().first_chunk_mut()?;
    let ([l0, l1], [s0, s1, s2, s3], [d0, d1, d2, d3]) = (len.to_be_bytes(), source, destination);
    *header = [
        0x45,
        tos,
        l0,
        l1,
        0,
        0,
        0x40,
        0,
        TTL,
        transport::ICMP,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    [header[10], header[11]] = checksum::checksum(header).to_be_bytes();
    let message = frame.bytes_mut().get_mut(ipv4::HEADER..)?;
    *message.first_chunk_mut()? = error.header();
    let sum = checksum::checksum(message).to_be_bytes();
    *message.get_mut(2..)?.first_chunk_mut()? = sum;
    Some(len)
}

fn build6<F: Frame>(
    frame: &mut F,
    refused: Refused,
    error: icmp::Error,
    mtu: u16,
    egress: &PortFacts,
    limit: &mut Limit,
) -> Option<u16> {
    const HEADERS: usize = ipv6::HEADER + icmp::HEADER;
    let source = egress.source6?.octets();
    let quote = MAX_V6.min(mtu.into()).checked_sub(HEADERS)?;
    let quote = quote.min(refused.len.into());
    let original = ipv6::Header::new(frame.bytes().get(refused.l3..)?)?;
    let destination = original.source();
    if !limit.take() {
        return None;
    }
    make_room(frame, refused.l3, quote, HEADERS)?;
    let payload = (icmp::HEADER + quote) as u16;
    let header: &mut [u8; ipv6::HEADER] = frame.bytes_mut().first_chunk_mut()?;
    let [l0, l1] = payload.to_be_bytes();
    *header.first_chunk_mut()? = [0x60, 0, 0, 0, l0, l1, transport::ICMPV6, TTL];
    *header.get_mut(8..)?.first_chunk_mut()? = source;
    *header.get_mut(24..)?.first_chunk_mut()? = destination;
    let message = frame.bytes_mut().get_mut(ipv6::HEADER..)?;
    *message.first_chunk_mut()? = error.header();
    let sum = Sum::new()
        .with(&source)
        .with(&destination)
        .with_u32(payload.into())
        .with_u32(transport::ICMPV6.into())
        .with(message)
        .checksum();
    *message.get_mut(2..)?.first_chunk_mut()? = sum.to_be_bytes();
    Some(HEADERS as u16 + quote as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

    #[test]
    fn tokens_come_back_with_time() {
        let taken = |limit: &mut Limit, ms: u64| {
            NOW.set(ms * 1_000_000);
            (0..50).filter(|_| limit.take()).count()
        };
        let mut limit = Limit::new(100, 10, || NOW.get());
        let series = [0, 0, 9, 10, 35, 1000, 1001].map(|ms| taken(&mut limit, ms));
        assert_eq!(series, [10, 0, 0, 1, 2, 10, 0]);
        assert_eq!(taken(&mut Limit::new(0, 10, || NOW.get()), 5), 0, "rate 0");
        assert_eq!(taken(&mut Limit::new(1, 0, || NOW.get()), 5), 1, "burst 0");
    }

    #[test]
    fn which_reasons_are_answered() {
        let answered: Vec<_> = DropReason::ALL
            .into_iter()
            .filter(|r| error_of(*r, 1400, false).is_some())
            .collect();
        use DropReason::*;
        assert_eq!(
            answered,
            [
                NoRoute,
                Unreachable,
                Prohibited,
                NexthopDown,
                TtlExceeded,
                TooBig
            ]
        );
        for reason in DropReason::ALL {
            let (four, six) = (error_of(reason, 1400, false), error_of(reason, 1400, true));
            assert_eq!(four.is_some(), six.is_some());
        }
        assert_eq!(error_of(TooBig, 1000, true).map(|e| e.word), Some(1280));
        assert_eq!(error_of(TooBig, 1000, false).map(|e| e.word), Some(1000));
    }
}

//! The hot ways to a packet's hash: what nearly every packet is, read once, from front to back, and
//! put into the hash as it is read.
//!
//! Hot are transports right behind a plain IP header, and in settings with fields of tunnels TCP and
//! UDP right behind the plain IP header inside: of IP in IP, GRE, VXLAN, VXLAN-GPE, Geneve and GTP-U
//! alike. Where anything is out of the ordinary (`None` below) nothing is decided here: the general
//! reader ([`super::flow`]) is asked, which knows all that these know. That both say the same of
//! every frame is tested with frames of all kinds, cut and damaged (`tests/fields`).

use super::check::Checked;
use super::nic::{self, Told};
use super::parse::{general4, general6};
use crate::hash::{Policy, Rest, Settings};
use crate::table::{PortFacts, PortId};
use crate::wire::{ethernet, ipv4, ipv6, transport, tunnel};

/// What the packets of a burst are hashed by, known before the first one is read.
pub(super) type Kind = u8;
/// The default algorithm over outer fields, one for all, and no NIC's hash.
pub(super) const OUTER: Kind = 0;
/// The default algorithm with fields of tunnels, one for all.
pub(super) const TUNNELS: Kind = 1;
/// Anything.
pub(super) const ANY: Kind = 2;

/// Which it is.
pub(super) fn kind(policy: &Policy, facts: &PortFacts) -> Kind {
    let base = policy.base();
    match policy.is_uniform() && base.is_mix() {
        true if !base.is_plain() => TUNNELS,
        true if facts.nic_hash == 0 => OUTER,
        _ => ANY,
    }
}

/// The hash of an IPv4 packet, and whether it is or carries a fragment.
#[inline(always)]
pub(super) fn hash4<const KIND: Kind>(
    checked: &Checked<'_, ipv4::Header<'_>>,
    told: Option<Told>,
    port: PortId,
    policy: &Policy,
) -> (u32, bool) {
    let Checked { packet, header, .. } = *checked;
    let (src, dst) = (header.source(), header.destination());
    let settings = match KIND {
        ANY => policy.settings4(dst),
        _ => policy.base(),
    };
    if header.header_len() == ipv4::HEADER && !header.is_fragment() {
        let segment = packet.get(ipv4::HEADER..).unwrap_or_default();
        let protocol = header.protocol();
        if let Some((sport, dport)) = ports(segment, protocol) {
            let rest = Rest {
                sport,
                dport,
                protocol,
                label: 0,
                ingress: port.0,
            };
            match KIND {
                OUTER => return (settings.mix4(src, dst, &rest, 0), false),
                TUNNELS => {
                    if let Some(deep) = deep(segment, &rest, settings) {
                        return (settings.mix4(src, dst, &rest, deep), false);
                    }
                }
                _ if settings.is_plain() => {
                    let hash = match nic::value(told, settings, segment, &rest) {
                        Some(value) => settings.hash4_with_rss(value, &rest),
                        None => settings.hash4(src, dst, &rest),
                    };
                    return (hash, false);
                }
                _ => {
                    if let Some(deep) = deep_call(segment, &rest, settings) {
                        return (settings.hash4_deep(src, dst, &rest, deep), false);
                    }
                }
            }
        }
    }
    general4(packet, header, port, settings)
}

/// The hash of an IPv6 packet likewise.
#[inline(always)]
pub(super) fn hash6<const KIND: Kind>(
    checked: &Checked<'_, ipv6::Header<'_>>,
    told: Option<Told>,
    port: PortId,
    policy: &Policy,
) -> (u32, bool) {
    let Checked { packet, header, .. } = *checked;
    let (src, dst) = (header.source(), header.destination());
    let (src, dst) = (u128::from_be_bytes(src), u128::from_be_bytes(dst));
    let settings = match KIND {
        ANY => policy.settings6(dst),
        _ => policy.base(),
    };
    let segment = packet.get(ipv6::HEADER..).unwrap_or_default();
    let protocol = header.next_header();
    if let Some((sport, dport)) = ports(segment, protocol) {
        let rest = Rest {
            sport,
            dport,
            protocol,
            label: header.flow_label(),
            ingress: port.0,
        };
        match KIND {
            OUTER => return (settings.mix6(src, dst, &rest, 0), false),
            TUNNELS => {
                if let Some(deep) = deep(segment, &rest, settings) {
                    return (settings.mix6(src, dst, &rest, deep), false);
                }
            }
            _ if settings.is_plain() => {
                let hash = match nic::value(told, settings, segment, &rest) {
                    Some(value) => settings.hash6_with_rss(value, &rest),
                    None => settings.hash6(src, dst, &rest),
                };
                return (hash, false);
            }
            _ => {
                if let Some(deep) = deep_call(segment, &rest, settings) {
                    return (settings.hash6_deep(src, dst, &rest, deep), false);
                }
            }
        }
    }
    general6(packet, header, port, settings)
}

/// The ports of a transport that is all there is to walk to, zeros where it has none.
#[inline(always)]
fn ports(segment: &[u8], protocol: u8) -> Option<(u16, u16)> {
    if let Some(ports) = transport::ports(segment, protocol) {
        return Some(ports);
    }
    let is_end = matches!(
        protocol,
        transport::ESP | tunnel::IPV4 | tunnel::IPV6 | tunnel::GRE
    );
    is_end.then_some((0, 0))
}

/// What is inside the packet whose transport, of the ports in `rest`, is `segment`, as the number
/// that goes into the hash.
#[inline(always)]
pub(super) fn deep(segment: &[u8], rest: &Rest, settings: &Settings) -> Option<u64> {
    let (packet, ids) = match rest.protocol {
        transport::UDP => match rest.dport {
            tunnel::PORT_VXLAN..=tunnel::PORT_ROCE | tunnel::PORT_GENEVE | tunnel::PORT_GTPU => {
                let bytes = segment.get(tunnel::UDP_HEADER..)?;
                match rest.dport {
                    tunnel::PORT_VXLAN => (behind(bytes, tunnel::vxlan(bytes)?)?, 0),
                    tunnel::PORT_GTPU => {
                        let (teid, packet) = user_data(bytes)?;
                        let ids = settings.ids(Some(teid), None);
                        if !settings.wants_inner() {
                            return Some(ids);
                        }
                        (packet?, ids)
                    }
                    tunnel::PORT_GENEVE => (behind(bytes, tunnel::geneve(bytes)?)?, 0),
                    tunnel::PORT_VXLAN_GPE => (behind(bytes, tunnel::vxlan_gpe(bytes)?)?, 0),
                    _ => return Some(settings.ids(None, tunnel::queue_pair(bytes))),
                }
            }
            _ => return Some(0),
        },
        tunnel::IPV4 | tunnel::IPV6 => (segment, 0),
        tunnel::GRE => (behind(segment, tunnel::gre(segment)?)?, 0),
        _ => return Some(0),
    };
    inner(packet, ids, settings)
}

// A call, so that where anything may be on the code stays short.
#[inline(never)]
fn deep_call(segment: &[u8], rest: &Rest, settings: &Settings) -> Option<u64> {
    deep(segment, rest, settings)
}

/// What an encapsulation, by its own word, carries at an offset: IP, or a frame without tags.
#[inline(always)]
fn behind(bytes: &[u8], (ethertype, offset): (u16, usize)) -> Option<&[u8]> {
    let bytes = bytes.get(offset..)?;
    match ethertype {
        tunnel::TEB => {
            let (header, packet) = bytes.split_first_chunk::<{ ethernet::HEADER }>()?;
            let ethertype = u16::from_be_bytes([header[12], header[13]]);
            matches!(ethertype, ethernet::IPV4 | ethernet::IPV6).then_some(packet)
        }
        ethernet::IPV4 | ethernet::IPV6 => Some(bytes),
        _ => None,
    }
}

/// The TEID of user data in GTP-U, and what it carries: plain, with a sequence number, or with one
/// extension header of four bytes, as the PDU session container of 5G is.
#[inline(always)]
fn user_data(bytes: &[u8]) -> Option<(u32, Option<&[u8]>)> {
    let [flags, kind, _, _, t0, t1, t2, t3] = *bytes.first_chunk()?;
    if flags >> 4 != 0b0011 || kind != tunnel::USER_DATA {
        return None;
    }
    let offset = match flags & 7 {
        0 => Some(8),
        1..=3 => Some(12),
        _ => match bytes.get(11..16) {
            Some([1..=255, 1, .., 0]) => Some(16),
            _ => None,
        },
    };
    let packet = offset.and_then(|offset| bytes.get(offset..));
    Some((u32::from_be_bytes([t0, t1, t2, t3]), packet))
}

/// The IP packet inside: TCP or UDP behind a plain header, neither a tunnel once more.
#[inline(always)]
fn inner(packet: &[u8], ids: u64, settings: &Settings) -> Option<u64> {
    const IPV4_PORTS: usize = ipv4::HEADER + 4;
    const IPV6_PORTS: usize = ipv6::HEADER + 4;
    let is_hot = |protocol, dport| {
        let is_stacked = protocol == transport::UDP
            && settings.wants_ids()
            && matches!(dport, tunnel::PORT_GTPU | tunnel::PORT_ROCE);
        matches!(protocol, transport::TCP | transport::UDP) && !is_stacked
    };
    let bytes = packet.first_chunk::<IPV4_PORTS>()?;
    if bytes[0] == 0x45 {
        let (header, [a, b, c, d]) = (ipv4::Header(bytes.first_chunk()?), *bytes.last_chunk()?);
        let (protocol, dport) = (header.protocol(), u16::from_be_bytes([c, d]));
        let is_whole = header.total_len() >= IPV4_PORTS && !header.is_fragment();
        if !is_whole || !is_hot(protocol, dport) {
            return None;
        }
        if !settings.wants_inner() {
            return Some(ids);
        }
        let ends = (header.source(), header.destination());
        let ports = u32::from_be_bytes([a, b, c, d]);
        return Some(settings.inner4(ends, ports, protocol, ids));
    }
    let bytes = packet.first_chunk::<IPV6_PORTS>()?;
    let (header, [a, b, c, d]) = (ipv6::Header(bytes.first_chunk()?), *bytes.last_chunk()?);
    let (protocol, dport) = (header.next_header(), u16::from_be_bytes([c, d]));
    let is_whole = header.version() == 6 && header.payload_len() >= 4;
    if !is_whole || !is_hot(protocol, dport) {
        return None;
    }
    if !settings.wants_inner() {
        return Some(ids);
    }
    let (src, dst) = (header.source(), header.destination());
    let ends = (u128::from_be_bytes(src), u128::from_be_bytes(dst));
    let ports = u32::from_be_bytes([a, b, c, d]);
    Some(settings.inner6(ends, ports, protocol, header.flow_label(), ids))
}

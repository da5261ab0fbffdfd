//! The same router, written naively: what ought to become of one frame.

use super::packet::{from_router, icmp_error, next_hop};
use super::{BUCKETS, PORTS, ROUTES, SMALL4, SMALL6, VLAN, port_mac, source4, source6};
use fastpath::hash::{FlowKey, Settings, Tuple};
use fastpath::table::DropReason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What ought to become of one frame that came in on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// These frames leave by this port. More than one: fragments.
    Sent(usize, Vec<Vec<u8>>),
    /// To the kernel.
    Punted,
    /// Dropped, and perhaps this answer leaves by this port.
    Dropped(DropReason, Option<(usize, Vec<u8>)>),
}

use Fate::{Dropped, Punted};

/// What is known of a packet: its flow, and of a fragment where its data stand.
struct Facts {
    key: FlowKey,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// Not to be answered by ICMP.
    is_mute: bool,
}

fn number(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

/// The fate of `frame` on `port`.
pub fn fate(settings: &Settings, port: usize, frame: &[u8]) -> Fate {
    if frame.len() < 14 {
        return Dropped(DropReason::Truncated, None);
    }
    let (mut l3, mut ethertype) = (14, number(frame, 12));
    while (ethertype == 0x8100 || ethertype == 0x88a8) && l3 < 22 {
        if frame.len() < l3 + 4 {
            return Dropped(DropReason::Truncated, None);
        }
        ethertype = number(frame, l3 + 2);
        l3 += 4;
    }
    if frame[0] & 1 == 0 && frame[..6] != port_mac(port) {
        return Dropped(DropReason::NotForUs, None);
    }
    if frame[0] & 1 != 0 {
        return Punted;
    }
    let read = match ethertype {
        0x0800 => read4(&frame[l3..], port),
        0x86dd => read6(&frame[l3..], port),
        _ => return Punted,
    };
    match read {
        Ok((packet, facts)) => route(settings, packet, &facts),
        Err(fate) => fate,
    }
}

fn read4(bytes: &[u8], port: usize) -> Result<(&[u8], Facts), Fate> {
    let bad = |reason| Err(Dropped(reason, None));
    if bytes.len() < 20 {
        return bad(DropReason::Truncated);
    }
    let (header_len, len) = (usize::from(bytes[0] & 15) * 4, number(bytes, 2));
    if bytes[0] >> 4 != 4 || header_len < 20 || len < header_len {
        return bad(DropReason::BadHeader);
    }
    if len > bytes.len() {
        return bad(DropReason::Truncated);
    }
    let packet = &bytes[..len];
    if super::packet::checksum(&packet[..header_len]) != 0 {
        return bad(DropReason::BadChecksum);
    }
    let address =
        |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (source, destination) = (address(12), address(16));
    if destination.is_multicast() || destination.is_broadcast() {
        return Err(Punted);
    }
    let first = |a: Ipv4Addr| a.octets()[0];
    if [0, 127].contains(&first(source)) || first(source) >= 224 {
        return bad(DropReason::MartianSource);
    }
    if [0, 127].contains(&first(destination)) || first(destination) >= 240 {
        return bad(DropReason::MartianDestination);
    }
    let word = number(packet, 6);
    let is_later = word & 0x1fff != 0;
    let protocol = packet[9];
    let data = &packet[header_len..];
    let mut key = Tuple {
        protocol,
        ..Tuple::default()
    };
    key.src[12..].copy_from_slice(&source.octets());
    key.dst[12..].copy_from_slice(&destination.octets());
    if [6, 17, 33, 132, 136].contains(&protocol) && !is_later && data.len() >= 4 {
        (key.sport, key.dport) = (number(data, 0) as u16, number(data, 2) as u16);
    }
    let is_query = |kind| [0, 8, 9, 10, 13, 14, 15, 16, 17, 18].contains(kind);
    Ok((
        packet,
        Facts {
            key: FlowKey {
                outer: key,
                ingress: port as u16,
                ..FlowKey::default()
            },
            source: source.into(),
            destination: destination.into(),
            ttl: packet[8],
            is_mute: is_later || protocol == 1 && !data.first().is_some_and(is_query),
        },
    ))
}

fn read6(bytes: &[u8], port: usize) -> Result<(&[u8], Facts), Fate> {
    let bad = |reason| Err(Dropped(reason, None));
    if bytes.len() < 40 {
        return bad(DropReason::Truncated);
    }
    if bytes[0] >> 4 != 6 {
        return bad(DropReason::BadHeader);
    }
    let len = 40 + number(bytes, 4);
    if len == 40 && bytes[6] == 0 {
        return bad(DropReason::BadHeader);
    }
    if len > bytes.len() {
        return bad(DropReason::Truncated);
    }
    let packet = &bytes[..len];
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (source, destination) = (address(8), address(24));
    let is_local = |a: Ipv6Addr| a.segments()[0] & 0xffc0 == 0xfe80;
    if destination.is_multicast() || is_local(source) || is_local(destination) {
        return Err(Punted);
    }
    if source.is_multicast() || source.is_loopback() || source.is_unspecified() {
        return bad(DropReason::MartianSource);
    }
    if destination.is_loopback() || destination.is_unspecified() {
        return bad(DropReason::MartianDestination);
    }
    let (mut next, mut rest) = (packet[6], &packet[40..]);
    let (mut is_fragment, mut is_later) = (false, false);
    for _ in 0..8 {
        // Of a fragment's headers only the first one has more, and none is a fragment once more.
        if is_later || rest.len() < 4 {
            break;
        }
        let size = match next {
            44 if is_fragment => break,
            44 => 8,
            51 if rest.len() < 12 => break,
            51 => 8 + usize::from(rest[1]) * 4,
            0 | 43 | 60 => 8 + usize::from(rest[1]) * 8,
            _ => break,
        };
        if next == 44 {
            let word = number(rest, 2);
            (is_fragment, is_later) = (word & !6 != 0, word >> 3 != 0);
        }
        if rest.len() < size {
            break;
        }
        (next, rest) = (rest[0], &rest[size..]);
    }
    let mut key = Tuple {
        v6: true,
        src: source.octets(),
        dst: destination.octets(),
        protocol: next,
        label: u32::from_be_bytes(packet[..4].try_into().unwrap()) & 0xfffff,
        ..Tuple::default()
    };
    if [6, 17, 33, 132, 136].contains(&next) && !is_later && rest.len() >= 4 {
        (key.sport, key.dport) = (number(rest, 0) as u16, number(rest, 2) as u16);
    }
    let is_error = |kind: &u8| *kind < 128 || *kind == 137;
    Ok((
        packet,
        Facts {
            key: FlowKey {
                outer: key,
                ingress: port as u16,
                ..FlowKey::default()
            },
            source: source.into(),
            destination: destination.into(),
            ttl: packet[7],
            is_mute: next == 58 && !is_later && rest.first().is_none_or(is_error),
        },
    ))
}

/// The group of the longest prefix over `address`.
fn lookup(address: IpAddr) -> u32 {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(four) => u128::from(u32::from(four)) << 96,
        IpAddr::V6(six) => six.into(),
    };
    let matches = |(prefix, length, _): &&(&str, u8, u32)| {
        let prefix: IpAddr = prefix.parse().unwrap();
        let differing = bits(prefix) ^ bits(address);
        prefix.is_ipv4() == address.is_ipv4() && differing.leading_zeros() >= u32::from(*length)
    };
    let found = ROUTES.iter().filter(matches).max_by_key(|r| r.1);
    found.map_or(0, |r| r.2)
}

/// The port that a group sends a flow to, if it sends.
fn member(settings: &Settings, group: u32, key: &FlowKey) -> Option<usize> {
    let bucket = settings.hash(key) & (BUCKETS - 1);
    Some(match group {
        2 => 1 + bucket as usize % 2,
        3 => 0,
        5 => 3,
        6 | 7 => 4,
        12 => 1,
        _ => return None,
    })
}

/// `packet` as it leaves by `port`.
pub fn out(port: usize, packet: &[u8]) -> Vec<u8> {
    let mut frame = from_router(port, packet);
    if port == 3 {
        let tag = [[0x81, 0x00], VLAN.to_be_bytes()].concat();
        frame.splice(12..12, tag);
    }
    frame
}

fn route(settings: &Settings, packet: &[u8], facts: &Facts) -> Fate {
    let six = facts.key.outer.v6;
    let group = lookup(facts.destination);
    let answer = |reason, kind4: (u8, u8), kind6: (u8, u8), word| {
        let (kind, code) = if six { kind6 } else { kind4 };
        // The answer goes the way of the flow's own answers, from the address of the port it takes.
        let port = member(settings, lookup(facts.source), &facts.key.reversed());
        let sent = port.filter(|_| !facts.is_mute).map(|port| {
            let source = if six {
                source6(port).into()
            } else {
                source4(port).into()
            };
            (
                port,
                out(port, &icmp_error(source, packet, kind, code, word)),
            )
        });
        Dropped(reason, sent)
    };
    let Some(port) = member(settings, group, &facts.key) else {
        return match group {
            0 => answer(DropReason::NoRoute, (3, 0), (1, 0), 0),
            1 => Punted,
            4 => Dropped(DropReason::NeighborUnresolved, None),
            8 => Dropped(DropReason::Blackhole, None),
            9 => answer(DropReason::Unreachable, (3, 1), (1, 3), 0),
            10 => answer(DropReason::Prohibited, (3, 13), (1, 1), 0),
            _ => answer(DropReason::NexthopDown, (3, 1), (1, 3), 0),
        };
    };
    assert!(port < PORTS);
    if facts.ttl <= 1 {
        return answer(DropReason::TtlExceeded, (11, 0), (3, 0), 0);
    }
    let mtu = match group {
        6 => SMALL4,
        7 => SMALL6,
        _ => 1500,
    };
    if packet.len() <= usize::from(mtu) {
        return Fate::Sent(port, vec![out(port, &next_hop(packet))]);
    }
    if six || packet[6] & 0x40 != 0 {
        return answer(DropReason::TooBig, (3, 4), (2, 0), u32::from(mtu));
    }
    match fragments(&next_hop(packet), mtu.into()) {
        Some(parts) => Fate::Sent(port, parts.iter().map(|p| out(port, p)).collect()),
        None => Dropped(DropReason::BadHeader, None),
    }
}

/// RFC 791 3.2, for packets whose options, if any, are all copied or all not.
fn fragments(packet: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let header_len = usize::from(packet[0] & 15) * 4;
    let (header, mut data) = packet.split_at(header_len);
    let later = match packet.get(20).filter(|_| header_len > 20) {
        Some(kind) if kind & 0x80 == 0 => {
            let mut short = header[..20].to_vec();
            short[0] = 0x45;
            short
        }
        _ => header.to_vec(),
    };
    let word = number(packet, 6);
    if (word & 0x1fff) + data.len() / 8 > 0x1fff {
        return None;
    }
    let (mut parts, mut offset) = (Vec::new(), word & 0x1fff);
    while !data.is_empty() {
        let mut part = if parts.is_empty() {
            header.to_vec()
        } else {
            later.clone()
        };
        let n = data.len().min((mtu - part.len()) / 8 * 8);
        let more = n < data.len() || word & 0x2000 != 0;
        let len = (part.len() + n) as u16;
        part[2..4].copy_from_slice(&len.to_be_bytes());
        let word = (word & 0xc000 | offset | usize::from(more) << 13) as u16;
        part[6..8].copy_from_slice(&word.to_be_bytes());
        part[10..12].fill(0);
        let sum = super::packet::checksum(&part);
        part[10..12].copy_from_slice(&sum.to_be_bytes());
        part.extend(&data[..n]);
        parts.push(part);
        (data, offset) = (&data[n..], offset + n / 8);
    }
    Some(parts)
}

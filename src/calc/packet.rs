//! Packets for `evenpath calc`: from capture files, and from hex as people paste it.

use super::capture::{Captured, frames};
use crate::output::Failure;
use control::api::message::Packet;
use fastpath::hash::{Choice, Field, Fields, Settings};
use fastpath::software::flow::{self, Datagram, Flow, Piece};
use fastpath::table::PortId;
use fastpath::wire::{ethernet, ipv4, ipv6};
use std::collections::HashMap;

/// Hex digits for the api.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(b & 15)])
        .collect()
}

/// Bytes in `text`: digits with or without spaces and colons, or lines of `tcpdump -xx`, of which
/// the offset and what stands behind two spaces are not part.
pub fn from_hex(text: &str) -> Result<Packet, Failure> {
    let wrong = || {
        let remedy = Some("give hex digits, two a byte, from the Ethernet header on");
        Failure::run("--hex", "read", "not a frame in hex", remedy)
    };
    let mut digits = String::new();
    for line in text.lines() {
        let line = line.trim();
        let line = match line.split_once(':') {
            Some((offset, rest)) if offset.starts_with("0x") => {
                rest.trim().split("  ").next().unwrap_or_default()
            }
            _ => line,
        };
        digits.extend(line.chars().filter(|c| !c.is_whitespace() && *c != ':'));
    }
    let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() % 2 != 0 || !is_hex {
        return Err(wrong());
    }
    Ok(Packet {
        frame: digits.to_ascii_lowercase(),
        first: None,
    })
}

/// Datagrams by their name; of those inside a tunnel its ends and TEID are part of it.
type Name = (Option<([u8; 16], [u8; 16], Option<u32>)>, Datagram);

/// The fragments that a frame is, outside and inside a tunnel: whether it is the first one.
fn pieces(frame: &[u8]) -> Vec<(Name, bool)> {
    let Some(flow) = flow_of(frame) else {
        return Vec::new();
    };
    let outer = flow.key.outer;
    let tunnel = Some((outer.src, outer.dst, flow.tunnel_teid));
    let piece = |name, piece| match piece {
        Piece::Whole => None,
        Piece::First(datagram) => Some(((name, datagram), true)),
        Piece::Later(datagram) => Some(((name, datagram), false)),
    };
    let all = [piece(None, flow.piece), piece(tunnel, flow.inner_piece)];
    all.into_iter().flatten().collect()
}

fn flow_of(frame: &[u8]) -> Option<Flow> {
    let link = ethernet::read(frame)?;
    let packet = frame.get(link.len..)?;
    let all = Field::ALL.into_iter();
    let settings = Settings::new(Choice {
        fields: all.fold(Fields::EMPTY, |all, f| all.with(f, true)),
        ..Choice::default()
    });
    match link.ethertype {
        ethernet::IPV4 => {
            let header = ipv4::Header::new(packet)?;
            let packet = packet.get(..header.total_len())?;
            Some(flow::read4(packet, header, PortId(0), &settings))
        }
        ethernet::IPV6 => {
            let header = ipv6::Header::new(packet)?;
            let packet = packet.get(..ipv6::HEADER + header.payload_len())?;
            Some(flow::read6(packet, header, PortId(0), &settings))
        }
        _ => None,
    }
}

/// The packets of a capture as they are asked about: a later fragment with the first one of its
/// datagram. Of several with that name it is the one before it, or else the one after it, as for
/// the fast path.
fn with_firsts(all: &[Vec<u8>]) -> Vec<Packet> {
    let named: Vec<_> = all.iter().map(|frame| pieces(frame)).collect();
    let mut firsts: HashMap<Name, Vec<usize>> = HashMap::new();
    for (i, names) in named.iter().enumerate() {
        for (name, _) in names.iter().filter(|n| n.1) {
            firsts.entry(*name).or_default().push(i);
        }
    }
    let first_of = |i: usize, name: &Name| {
        let firsts = firsts.get(name)?;
        let behind = firsts.partition_point(|f| *f < i);
        let before = behind.checked_sub(1).unwrap_or(behind);
        firsts.get(before).copied()
    };
    let packet = |(i, names): (usize, &Vec<(Name, bool)>)| {
        let first = names
            .iter()
            .filter(|n| !n.1)
            .find_map(|n| first_of(i, &n.0));
        Packet {
            frame: hex(&all[i]),
            first: first.map(|f| hex(&all[f])),
        }
    };
    named.iter().enumerate().map(packet).collect()
}

/// The packets of the capture `FILE[:N]`: that one alone (the first, if there is no number), or all.
pub fn from_file(name: &str, all: bool) -> Result<Vec<Packet>, Failure> {
    let (path, number): (&str, usize) = match name.rsplit_once(':') {
        Some((path, n)) if !all && n.parse::<usize>().is_ok() => (path, n.parse().unwrap_or(1)),
        _ => (name, 1),
    };
    let fail = |operation, cause: String| {
        let remedy = Some("name a capture of Ethernet frames: --pcap FILE[:N], N from 1");
        Failure::run(path, operation, cause, remedy)
    };
    let bytes = std::fs::read(path).map_err(|e| fail("open", e.to_string()))?;
    let frames = frames(&bytes).map_err(|cause| fail("read", cause))?;
    let whole: Vec<_> = frames.iter().map(Captured::whole).collect();
    let mut packets = with_firsts(&whole);
    let cut = |what: &str| {
        let zeros = "cut by the capture: what is missing counts as zeros";
        eprintln!("{}: note: {path}: {what} {zeros}", super::name());
    };
    if all {
        let some = frames.iter().filter(|f| f.is_cut()).count();
        if some > 0 {
            cut(&format!("{some} of {} packets are", frames.len()));
        }
        return Ok(packets);
    }
    if number
        .checked_sub(1)
        .and_then(|at| frames.get(at))
        .is_some_and(Captured::is_cut)
    {
        cut(&format!("packet {number} is"));
    }
    let at = number.checked_sub(1).filter(|at| *at < packets.len());
    let Some(at) = at else {
        let cause = format!("it has {} packets, no number {number}", packets.len());
        return Err(fail("read", cause));
    };
    Ok(vec![packets.swap_remove(at)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_as_people_paste_it() {
        for text in [
            "0a0b0c0d",
            "0a 0b 0c 0d",
            "0a:0b:0c:0d",
            "\t0x0000:  0a0b 0c0d  ....\n",
        ] {
            let frame = from_hex(text).ok().map(|p| p.frame);
            assert_eq!(frame.as_deref(), Some("0a0b0c0d"), "{text}");
        }
        for text in ["", "0", "xy", "0a0b0"] {
            assert!(from_hex(text).is_err(), "{text}");
        }
    }
}

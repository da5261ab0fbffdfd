//! Packets for `evenpath calc`: from capture files, and from hex as people paste it.

use crate::output::Failure;
use fastpath::hash::{Choice, Field, Fields, Settings};
use fastpath::software::flow::{self, Piece};
use fastpath::table::PortId;
use fastpath::wire::{ethernet, ipv4, ipv6};

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
/// Block types of pcapng.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// Hex digits for the api.
pub fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    digits.concat()
}

/// Bytes in `text`: digits with or without spaces and colons, or lines of `tcpdump -xx`, of which
/// the offset and what stands behind two spaces are not part.
pub fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
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
    let values: Option<Vec<u8>> = digits
        .chars()
        .map(|c| Some(c.to_digit(16)? as u8))
        .collect();
    let values = values
        .filter(|v| !v.is_empty() && v.len() % 2 == 0)
        .ok_or_else(wrong)?;
    Ok(values.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// All frames of a capture file.
fn frames(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let word = |at: usize, big: bool| -> Option<u32> {
        let word: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
        Some(if big {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        })
    };
    let not_ethernet = |link: u32| format!("its frames are of link type {link}, not Ethernet (1)");
    let cut = || "it ends within a packet".to_string();
    let mut found = Vec::new();
    let first = word(0, false).ok_or("it is not in pcap format")?;
    if first == SECTION {
        let (mut at, mut big, mut links) = (0, false, Vec::new());
        while at < bytes.len() {
            if word(at, false) == Some(SECTION) {
                big = word(at + 8, true) == Some(0x1a2b_3c4d);
                links.clear();
            }
            let (kind, len) = (word(at, big), word(at + 4, big));
            let (kind, len) = kind.zip(len.map(|l| l as usize)).ok_or_else(cut)?;
            let end = at
                .checked_add(len)
                .filter(|e| len >= 12 && *e <= bytes.len());
            let end = end.ok_or_else(cut)?;
            let body = |from: usize, len: usize| {
                let last = at
                    .checked_add(from)?
                    .checked_add(len)
                    .filter(|l| *l <= end)?;
                bytes.get(at + from..last)
            };
            let link = |i: u32| links.get(i as usize).copied().unwrap_or(ETHERNET);
            match kind {
                INTERFACE => {
                    let word = word(at + 8, big).ok_or_else(cut)?;
                    // A 16-bit number comes first.
                    links.push(if big { word >> 16 } else { word & 0xffff });
                }
                ENHANCED | SIMPLE => {
                    let interface = if kind == ENHANCED {
                        word(at + 8, big)
                    } else {
                        Some(0)
                    };
                    let (size, from) = if kind == ENHANCED {
                        (word(at + 20, big), 28)
                    } else {
                        (
                            Some(
                                (len as u32)
                                    .saturating_sub(16)
                                    .min(word(at + 8, big).unwrap_or(0)),
                            ),
                            12,
                        )
                    };
                    let link = link(interface.unwrap_or(0));
                    if link != ETHERNET {
                        return Err(not_ethernet(link));
                    }
                    let size = size.ok_or_else(cut)? as usize;
                    found.push(body(from, size).ok_or_else(cut)?);
                }
                _ => {}
            }
            at = end;
        }
        return Ok(found);
    }
    let big = match first {
        0xa1b2_c3d4 | 0xa1b2_3c4d => false,
        0xd4c3_b2a1 | 0x4d3c_b2a1 => true,
        _ => return Err("it is not in pcap format".into()),
    };
    let link = word(20, big).ok_or("it is not in pcap format")? & 0xffff;
    if link != ETHERNET {
        return Err(not_ethernet(link));
    }
    let mut at = 24;
    while at < bytes.len() {
        let size = word(at + 8, big).ok_or_else(cut)? as usize;
        let end = at
            .checked_add(16)
            .and_then(|a| a.checked_add(size))
            .ok_or_else(cut)?;
        found.push(bytes.get(at + 16..end).ok_or_else(cut)?);
        at = end;
    }
    Ok(found)
}

/// Which part of its datagram a frame is, outside and in a tunnel.
fn pieces(frame: &[u8]) -> Option<[Piece; 2]> {
    let link = ethernet::read(frame)?;
    let packet = frame.get(link.len..)?;
    let fields = Field::ALL
        .into_iter()
        .fold(Fields::EMPTY, |all, f| all.with(f, true));
    let settings = Settings::new(Choice {
        fields,
        ..Choice::default()
    });
    let flow = match link.ethertype {
        ethernet::IPV4 => {
            let header = ipv4::Header::new(packet)?;
            flow::read4(
                packet.get(..header.total_len())?,
                header,
                PortId(0),
                &settings,
            )
        }
        ethernet::IPV6 => {
            let header = ipv6::Header::new(packet)?;
            let len = ipv6::HEADER + header.payload_len();
            flow::read6(packet.get(..len)?, header, PortId(0), &settings)
        }
        _ => return None,
    };
    Some([flow.piece, flow.inner_piece])
}

/// The frame that `FILE[:N]` names, and of a later fragment the first of its datagram.
pub fn from_file(name: &str) -> Result<(Vec<u8>, Option<Vec<u8>>), Failure> {
    let (path, number): (&str, usize) = match name.rsplit_once(':') {
        Some((path, n)) if n.parse::<usize>().is_ok() => (path, n.parse().unwrap_or(1)),
        _ => (name, 1),
    };
    let fail = |operation, cause: String| {
        let remedy = Some("name a capture of Ethernet frames: --pcap FILE[:N], N from 1");
        Failure::run(path, operation, cause, remedy)
    };
    let bytes = std::fs::read(path).map_err(|e| fail("open", e.to_string()))?;
    let all = frames(&bytes).map_err(|cause| fail("read", cause))?;
    let frame = number.checked_sub(1).and_then(|i| all.get(i));
    let Some(frame) = frame else {
        return Err(fail(
            "read",
            format!("it has {} packets, no number {number}", all.len()),
        ));
    };
    let first = pieces(frame).and_then(|mine| {
        let wanted = |i: usize| match mine[i] {
            Piece::Later(datagram) => Some((i, Piece::First(datagram))),
            _ => None,
        };
        let (i, first) = wanted(0).or(wanted(1))?;
        all.iter()
            .find(|f| pieces(f).is_some_and(|p| p[i] == first))
    });
    Ok((frame.to_vec(), first.map(|f| f.to_vec())))
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
            assert_eq!(from_hex(text).ok(), Some(vec![10, 11, 12, 13]), "{text}");
        }
        for text in ["", "0", "xy", "0a0b0"] {
            assert!(from_hex(text).is_err(), "{text}");
        }
    }

    #[test]
    fn captures_of_all_kinds() {
        for big in [false, true] {
            let w = |v: u32| {
                if big {
                    v.to_be_bytes()
                } else {
                    v.to_le_bytes()
                }
            };
            for magic in [0xa1b2_c3d4, 0xa1b2_3c4d] {
                let mut file = [magic, 0, 0, 0, 65535, 1].map(w).concat();
                file.extend([[0, 0, 3, 3].map(w).concat(), vec![1, 2, 3]].concat());
                assert_eq!(frames(&file), Ok(vec![&[1, 2, 3][..]]));
                assert!(frames(&file[..file.len() - 1]).is_err());
                file[20..24].copy_from_slice(&w(113));
                assert!(frames(&file).is_err());
            }
            let mut file = [SECTION, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]
                .map(w)
                .concat();
            let link = if big { 1 << 16 } else { 1 };
            file.extend([INTERFACE, 20, link, 0, 20].map(w).concat());
            let packet = [ENHANCED, 36, 0, 0, 0, 3, 3].map(w).concat();
            file.extend([packet, vec![7, 8, 9, 0], w(36).to_vec()].concat());
            assert_eq!(frames(&file), Ok(vec![&[7, 8, 9][..]]));
            for len in 4..file.len() {
                let _ = frames(&file[..len]);
            }
        }
    }
}

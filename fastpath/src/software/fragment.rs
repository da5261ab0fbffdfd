//! Fragmentation of IPv4 packets that are larger than the egress MTU: RFC 791 3.2, RFC 1812 5.2.

use super::burst::{Allocator, BURST, Burst, Frame};
use crate::table::DropReason;
use crate::wire::{checksum, ethernet, ipv4};

/// Where the IP header of the fragments that `split` makes begins.
pub const L3: usize = ethernet::HEADER;

/// The longest header.
const MAX_HEADER: usize = 60;

/// A header without its variable fields, and its length.
#[derive(Clone, Copy)]
struct Template {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl Template {
    /// That of all fragments but the first: options only as far as their copied flag says.
    fn of_later(header: &[u8]) -> Self {
        let mut bytes = [0; MAX_HEADER];
        let mut len = ipv4::HEADER;
        for (to, from) in bytes.iter_mut().zip(header).take(len) {
            *to = *from;
        }
        let mut options = header.get(ipv4::HEADER..).unwrap_or_default();
        while let Some(kind) = options.first() {
            let size = match kind {
                0 => break,
                1 => 1,
                _ => match options.get(1) {
                    Some(size @ 2..) => usize::from(*size),
                    _ => break,
                },
            };
            let (Some(option), Some(rest)) = (options.get(..size), options.get(size..)) else {
                break;
            };
            if kind & 0x80 != 0 {
                if let Some(to) = bytes.get_mut(len..) {
                    to.iter_mut().zip(option).for_each(|(to, from)| *to = *from);
                    len += size;
                }
            }
            options = rest;
        }
        // Padded with end-of-list, which is zero.
        len = len.next_multiple_of(4).min(MAX_HEADER);
        bytes[0] = 0x40 | (len / 4) as u8;
        Template { bytes, len }
    }
}

/// Writes the variable fields of the header at the start of `packet`: `len` bytes in all.
fn finish(packet: &mut [u8], header_len: usize, len: usize, word: u16) {
    if let Some(header) = packet.first_chunk_mut::<{ ipv4::HEADER }>() {
        [header[2], header[3]] = (len as u16).to_be_bytes();
        [header[6], header[7]] = word.to_be_bytes();
        [header[10], header[11]] = [0, 0];
    }
    let sum = checksum::checksum(packet.get(..header_len).unwrap_or_default());
    if let Some(header) = packet.first_chunk_mut::<{ ipv4::HEADER }>() {
        [header[10], header[11]] = sum.to_be_bytes();
    }
}

/// Splits the packet of `len` bytes at `l3` into fragments of at most `mtu` bytes. The first stays
/// in `frame`, at `l3`; the others go to `rest`, in order, at [`L3`]. All or nothing.
///
/// # Errors
/// Why the packet must be dropped instead; `frame` is then unchanged and `rest` empty.
#[cold]
pub fn split<A: Allocator>(
    frame: &mut A::Frame,
    l3: usize,
    len: u16,
    mtu: u16,
    allocator: &mut A,
    rest: &mut Burst<A::Frame>,
) -> Result<(), DropReason> {
    let made = copy_rest(frame, l3, len, mtu, allocator, rest);
    match made {
        Ok((header_len, first, word)) => {
            let packet = frame.bytes_mut().get_mut(l3..).unwrap_or_default();
            finish(
                packet,
                header_len,
                header_len + first,
                word | ipv4::MORE_FRAGMENTS,
            );
            // Shorter than it was: cannot fail.
            frame.set_len(l3 + header_len + first);
            Ok(())
        }
        Err(reason) => {
            rest.clear();
            Err(reason)
        }
    }
}

/// Makes all fragments but the first. Returns the header length, how many bytes of data stay with
/// the first, and its fragment word.
fn copy_rest<A: Allocator>(
    frame: &A::Frame,
    l3: usize,
    len: u16,
    mtu: u16,
    allocator: &mut A,
    rest: &mut Burst<A::Frame>,
) -> Result<(usize, usize, u16), DropReason> {
    let packet = frame.bytes().get(l3..).unwrap_or_default();
    let packet = packet
        .get(..usize::from(len))
        .ok_or(DropReason::Truncated)?;
    let header = ipv4::Header::new(packet).ok_or(DropReason::Truncated)?;
    let header_len = header.header_len();
    let (Some(head), Some(data)) = (packet.get(..header_len), packet.get(header_len..)) else {
        return Err(DropReason::Truncated);
    };
    let later = Template::of_later(head);
    let word = header.fragment_word();
    let room = |header_len: usize| usize::from(mtu).saturating_sub(header_len) & !7;
    let (first, each) = (room(header_len), room(later.len));
    if first == 0 || each == 0 {
        return Err(DropReason::TooBig);
    }
    if usize::from(word & ipv4::OFFSET) + data.len() / 8 > usize::from(ipv4::OFFSET) {
        // Its end lies past 65,535: a header that no honest sender writes.
        return Err(DropReason::BadHeader);
    }
    let tail = data.get(first..).unwrap_or_default();
    if tail.len() > each * BURST {
        return Err(DropReason::NoBuffer);
    }
    let mut offset = first;
    for part in tail.chunks(each) {
        let mut new = allocator.allocate().ok_or(DropReason::NoBuffer)?;
        let len = later.len + part.len();
        if !new.set_len(L3 + len) {
            return Err(DropReason::NoBuffer);
        }
        let packet = new.bytes_mut().get_mut(L3..).unwrap_or_default();
        let head = later.bytes.iter().take(later.len);
        for (to, from) in packet.iter_mut().zip(head.chain(part)) {
            *to = *from;
        }
        let is_last = offset + part.len() == data.len();
        let more = if is_last {
            word
        } else {
            word | ipv4::MORE_FRAGMENTS
        };
        finish(
            packet,
            later.len,
            len,
            more.wrapping_add((offset / 8) as u16),
        );
        rest.push(new).map_err(|_| DropReason::NoBuffer)?;
        offset += part.len();
    }
    Ok((header_len, first, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::software::heap::{HeapAllocator, HeapFrame};

    fn packet(options: &[u8], word: u16, data: usize) -> Vec<u8> {
        let header_len = 20 + options.len();
        let mut bytes = vec![0x40 | (header_len / 4) as u8, 0xb8];
        bytes.extend(((header_len + data) as u16).to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend(word.to_be_bytes());
        bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(options);
        let sum = checksum::checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend((0..data).map(|i| (i * 7 + i / 256) as u8));
        bytes
    }

    /// The fragments' packets.
    fn fragments(bytes: &[u8], mtu: u16, left: usize) -> Result<Vec<Vec<u8>>, DropReason> {
        let l3 = 18;
        let mut frame = HeapFrame::new(&[vec![0xee; l3], bytes.to_vec()].concat());
        let mut rest = Burst::new();
        let mut allocator = HeapAllocator { left };
        let len = bytes.len() as u16;
        let result = split(&mut frame, l3, len, mtu, &mut allocator, &mut rest);
        if let Err(reason) = result {
            assert!(rest.is_empty() && frame.bytes()[l3..] == *bytes);
            return Err(reason);
        }
        let mut all = vec![frame.bytes()[l3..].to_vec()];
        rest.drain(|_, f| all.push(f.bytes()[L3..].to_vec()));
        Ok(all)
    }

    /// What a receiver makes of them.
    fn reassemble(parts: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let mut data = Vec::new();
        let mut more = true;
        for part in parts {
            let header = ipv4::Header::new(part).unwrap();
            assert!(checksum::is_valid(&part[..header.header_len()]));
            assert_eq!(header.total_len(), part.len());
            let word = header.fragment_word();
            let base = ipv4::Header::new(&parts[0]).unwrap().fragment_word() & ipv4::OFFSET;
            assert_eq!(usize::from((word & ipv4::OFFSET) - base) * 8, data.len());
            data.extend(&part[header.header_len()..]);
            more = word & ipv4::MORE_FRAGMENTS != 0;
        }
        (data, more)
    }

    #[test]
    fn a_receiver_gets_back_what_was_split() {
        // Copied: security (130). Not copied: record route (7). And a no-operation.
        let options = [7, 7, 4, 0, 0, 0, 0, 1, 130, 4, 9, 9];
        for (options, later_header) in [(&[][..], 20), (&options, 24), (&[1, 1, 1, 0], 20)] {
            for data in [1, 8, 9, 700, 1479, 1480, 1481, 1980] {
                for mtu in [68, 69, 75, 76, 576, 1280] {
                    for word in [0, 0x2000, 0x2005, 0x0005] {
                        let whole = packet(options, word, data);
                        if whole.len() <= usize::from(mtu) {
                            continue;
                        }
                        let parts = fragments(&whole, mtu, usize::MAX).unwrap();
                        let (got, more) = reassemble(&parts);
                        assert_eq!(got, whole[20 + options.len()..]);
                        assert_eq!(more, word & ipv4::MORE_FRAGMENTS != 0);
                        assert_eq!(parts[0][20..20 + options.len()], *options);
                        for part in &parts[1..] {
                            assert_eq!(usize::from(part[0] & 0xf) * 4, later_header);
                            if later_header == 24 {
                                assert_eq!(part[20..24], [130, 4, 9, 9]);
                            }
                        }
                        assert!(parts.iter().all(|p| p.len() <= usize::from(mtu)));
                        assert_eq!(parts[0][1], 0xb8);
                    }
                }
            }
        }
    }

    #[test]
    fn all_or_nothing() {
        let whole = packet(&[], 0, 1980);
        assert_eq!(fragments(&whole, 576, 2), Err(DropReason::NoBuffer));
        assert_eq!(fragments(&whole, 576, 3).map(|f| f.len()), Ok(4));
        assert_eq!(fragments(&whole, 27, 99), Err(DropReason::TooBig));
        assert_eq!(
            fragments(&whole, 28, 999),
            Err(DropReason::NoBuffer),
            "248 of them"
        );
        let past = packet(&[], 0x1ff0, 1980);
        assert_eq!(fragments(&past, 576, 99), Err(DropReason::BadHeader));
    }

    #[test]
    fn damaged_options_are_not_followed() {
        for options in [
            [130, 0, 1, 1],
            [130, 1, 1, 1],
            [130, 200, 1, 1],
            [1, 1, 1, 130],
        ] {
            let whole = packet(&options, 0, 600);
            let parts = fragments(&whole, 576, 9).unwrap();
            assert_eq!(parts[1][0], 0x45, "{options:?}");
        }
    }
}

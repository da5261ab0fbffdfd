//! IP packet -> the fields that its hash may be made of.
//!
//! The general way, for every packet: the fast path takes it for what is not plain TCP or UDP, and
//! `evenpath calc` for all. What is read is what the settings want.

use crate::hash::{FlowKey, Settings, Tuple};
use crate::table::PortId;
use crate::wire::{ipv4, ipv6, transport};

/// What the fragments of one datagram have in common (RFC 791 3.2, RFC 8200 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// Source address; of IPv4 the last four bytes, the others zero.
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// Identification: 16 bits of IPv4, 32 of IPv6.
    pub id: u32,
    /// IP protocol, or the next header of the fragment header.
    pub protocol: u8,
    /// IPv6, not IPv4.
    pub v6: bool,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Piece {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment: the ports are there.
    First(Datagram),
    /// A later one: the ports are not.
    Later(Datagram),
}

/// A packet as the hash sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The fields.
    pub key: FlowKey,
    /// Which part of its datagram.
    pub piece: Piece,
}

/// Reads an IPv4 `packet`, as long as its header says and with a valid header, that came in on
/// `ingress`; fields of tunnels as far as `settings` want them.
pub fn read4(
    packet: &[u8],
    header: ipv4::Header<'_>,
    ingress: PortId,
    _settings: &Settings,
) -> Flow {
    let mut outer = Tuple {
        protocol: header.protocol(),
        ..Tuple::default()
    };
    if let (Some(src), Some(dst)) = (outer.src.last_chunk_mut(), outer.dst.last_chunk_mut()) {
        *src = header.source().to_be_bytes();
        *dst = header.destination().to_be_bytes();
    }
    let datagram = Datagram {
        src: outer.src,
        dst: outer.dst,
        id: header.identification().into(),
        protocol: header.protocol(),
        v6: false,
    };
    let piece = match header.fragment_word() {
        word if word & ipv4::OFFSET != 0 => Piece::Later(datagram),
        word if word & ipv4::MORE_FRAGMENTS != 0 => Piece::First(datagram),
        _ => Piece::Whole,
    };
    if !matches!(piece, Piece::Later(_)) {
        let segment = packet.get(header.header_len()..).unwrap_or_default();
        let ports = transport::ports(segment, header.protocol());
        (outer.sport, outer.dport) = ports.unwrap_or_default();
    }
    Flow {
        key: FlowKey {
            outer,
            ingress: ingress.0,
            ..FlowKey::default()
        },
        piece,
    }
}

/// Reads an IPv6 `packet` likewise.
pub fn read6(
    packet: &[u8],
    header: ipv6::Header<'_>,
    ingress: PortId,
    _settings: &Settings,
) -> Flow {
    let found = ipv6::transport(packet, header);
    let mut outer = Tuple {
        v6: true,
        src: header.source(),
        dst: header.destination(),
        protocol: found.protocol,
        label: header.flow_label(),
        ..Tuple::default()
    };
    let datagram = Datagram {
        src: outer.src,
        dst: outer.dst,
        id: found.identification,
        protocol: found.protocol,
        v6: true,
    };
    let piece = match (found.is_fragment, found.is_later_fragment) {
        (_, true) => Piece::Later(datagram),
        (true, false) => Piece::First(datagram),
        _ => Piece::Whole,
    };
    if !found.is_later_fragment {
        let segment = packet.get(found.offset..).unwrap_or_default();
        let ports = transport::ports(segment, found.protocol);
        (outer.sport, outer.dport) = ports.unwrap_or_default();
    }
    Flow {
        key: FlowKey {
            outer,
            ingress: ingress.0,
            ..FlowKey::default()
        },
        piece,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_datagram_have_one_name() {
        let packet = |word: u16| {
            let mut bytes = vec![
                0x45, 0, 0, 28, 0xab, 0xcd, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 0, 0,
                80, 0, 8, 0, 0,
            ];
            bytes[6..8].copy_from_slice(&word.to_be_bytes());
            let header = ipv4::Header::new(&bytes).unwrap();
            read4(&bytes, header, PortId(3), &Settings::default())
        };
        let whole = packet(ipv4::DONT_FRAGMENT);
        assert_eq!((whole.piece, whole.key.outer.sport), (Piece::Whole, 1024));
        let (first, later) = (packet(ipv4::MORE_FRAGMENTS), packet(185));
        let (Piece::First(a), Piece::Later(b)) = (first.piece, later.piece) else {
            panic!("{first:?} {later:?}");
        };
        assert_eq!((a, a.id), (b, 0xabcd));
        assert_eq!(first.key, whole.key, "the first fragment is of the flow");
        assert_eq!((later.key.outer.sport, later.key.outer.dport), (0, 0));
    }

    #[test]
    fn pieces_of_an_ipv6_datagram() {
        let packet = |word: u16| {
            let mut bytes = vec![0x60, 0, 0, 7, 0, 16, ipv6::FRAGMENT, 64];
            bytes.extend([[0xfd; 16], [0x20; 16]].concat());
            bytes.extend([17, 0, 0, 0, 1, 2, 3, 4, 4, 0, 0, 80, 0, 8, 0, 0]);
            bytes[42..44].copy_from_slice(&word.to_be_bytes());
            let header = ipv6::Header::new(&bytes).unwrap();
            read6(&bytes, header, PortId(3), &Settings::default())
        };
        let (whole, first, later) = (packet(0), packet(1), packet(8));
        let (Piece::First(a), Piece::Later(b)) = (first.piece, later.piece) else {
            panic!("{first:?} {later:?}");
        };
        assert_eq!((a, a.id), (b, 0x0102_0304));
        assert_eq!((whole.piece, whole.key), (Piece::Whole, first.key));
        assert_eq!((whole.key.outer.sport, later.key.outer.sport), (1024, 0));
    }
}

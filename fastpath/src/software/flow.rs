//! IP packet -> the fields that its hash may be made of.
//!
//! The general way, for every packet: the fast path takes it for what is not plain TCP or UDP, and
//! `evenpath calc` for all. What is read is what the settings want.

use crate::hash::{FlowKey, Settings, Tuple};
use crate::table::PortId;
use crate::wire::{icmp, ipv4, ipv6, transport, tunnel};

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
    /// The fields. Of an ICMP error those of the packet that it quotes, reversed: it is on its way
    /// to the sender of that, as the flow's answers are.
    pub key: FlowKey,
    /// Which part of its datagram.
    pub piece: Piece,
    /// Which part of its datagram the packet inside the tunnel is.
    pub inner_piece: Piece,
    /// TEID of that tunnel itself, never of one inside it: all fragments that it carries have it.
    pub tunnel_teid: Option<u32>,
    /// The fields are those of a packet quoted by an ICMP error.
    pub quoted: bool,
}

impl Flow {
    /// The packet inside the tunnel is a fragment, and something matters that only the first of its
    /// datagram has: ports, or what names a tunnel once more inside.
    pub fn needs_inner_first(&self, settings: &Settings) -> bool {
        let ids = settings.wants_ids() && self.tunnel_teid.is_none();
        self.inner_piece != Piece::Whole && (settings.wants_inner_ports() || ids)
    }
}

/// Reads an IPv4 `packet`, as long as its header says and with a valid header, that came in on
/// `ingress`; fields of tunnels as far as `settings` want them.
pub fn read4(
    packet: &[u8],
    header: ipv4::Header<'_>,
    ingress: PortId,
    settings: &Settings,
) -> Flow {
    flow(layer4(packet, header), ingress, settings)
}

/// Reads an IPv6 `packet` likewise.
pub fn read6(
    packet: &[u8],
    header: ipv6::Header<'_>,
    ingress: PortId,
    settings: &Settings,
) -> Flow {
    flow(layer6(packet, header), ingress, settings)
}

/// One IP header and what is behind it.
struct Layer<'p> {
    tuple: Tuple,
    piece: Piece,
    /// From the transport header on; empty in later fragments.
    segment: &'p [u8],
}

impl Layer<'_> {
    fn destination_port(&self) -> Option<u16> {
        let has_segment = self.tuple.protocol == transport::UDP && !self.segment.is_empty();
        has_segment.then_some(self.tuple.dport)
    }
}

fn layer4<'p>(packet: &'p [u8], header: ipv4::Header<'_>) -> Layer<'p> {
    let mut tuple = Tuple::default();
    if let (Some(src), Some(dst)) = (tuple.src.last_chunk_mut(), tuple.dst.last_chunk_mut()) {
        *src = header.source().to_be_bytes();
        *dst = header.destination().to_be_bytes();
    }
    let datagram = Datagram {
        src: tuple.src,
        dst: tuple.dst,
        id: header.identification().into(),
        protocol: header.protocol(),
        v6: false,
    };
    let piece = match header.fragment_word() {
        word if word & ipv4::OFFSET != 0 => Piece::Later(datagram),
        word if word & ipv4::MORE_FRAGMENTS != 0 => Piece::First(datagram),
        _ => Piece::Whole,
    };
    let (mut segment, mut protocol) = (&[][..], header.protocol());
    if !matches!(piece, Piece::Later(_)) {
        segment = packet.get(header.header_len()..).unwrap_or_default();
        if protocol == transport::AH {
            (segment, protocol) = transport::behind_ah(segment);
        }
        let ports = transport::ports(segment, protocol);
        (tuple.sport, tuple.dport) = ports.unwrap_or_default();
    }
    tuple.protocol = protocol;
    Layer {
        tuple,
        piece,
        segment,
    }
}

fn layer6<'p>(packet: &'p [u8], header: ipv6::Header<'_>) -> Layer<'p> {
    let found = ipv6::transport(packet, header);
    let mut tuple = Tuple {
        v6: true,
        src: header.source(),
        dst: header.destination(),
        protocol: found.protocol,
        label: header.flow_label(),
        ..Tuple::default()
    };
    let datagram = Datagram {
        src: tuple.src,
        dst: tuple.dst,
        id: found.identification,
        protocol: found.fragment_protocol,
        v6: true,
    };
    let piece = match (found.is_fragment, found.is_later_fragment) {
        (_, true) => Piece::Later(datagram),
        (true, false) => Piece::First(datagram),
        _ => Piece::Whole,
    };
    let mut segment = &[][..];
    if !found.is_later_fragment {
        segment = packet.get(found.offset..).unwrap_or_default();
        let ports = transport::ports(segment, tuple.protocol);
        (tuple.sport, tuple.dport) = ports.unwrap_or_default();
    }
    Layer {
        tuple,
        piece,
        segment,
    }
}

/// The IP packet at the start of `bytes`, by its version; what is missing at its end is no matter,
/// since quotes and first fragments are cut. `None` when the header is not sound.
fn layer(bytes: &[u8]) -> Option<Layer<'_>> {
    if bytes.first()? >> 4 == 6 {
        let header = ipv6::Header::new(bytes)?;
        let len = ipv6::HEADER + header.payload_len();
        return Some(layer6(bytes.get(..len).unwrap_or(bytes), header));
    }
    let header = ipv4::Header::new(bytes)?;
    let (header_len, len) = (header.header_len(), header.total_len());
    let is_sound = header.version() == 4 && header_len >= ipv4::HEADER && len >= header_len;
    if !is_sound || bytes.len() < header_len {
        return None;
    }
    Some(layer4(bytes.get(..len).unwrap_or(bytes), header))
}

fn flow(outer: Layer<'_>, ingress: PortId, settings: &Settings) -> Flow {
    if let Some(quoted) = quoted(&outer) {
        let flow = dig(quoted, ingress, settings);
        return Flow {
            key: flow.key.reversed(),
            piece: outer.piece,
            quoted: true,
            ..Flow::default()
        };
    }
    dig(outer, ingress, settings)
}

/// The packet that an ICMP error quotes.
fn quoted<'p>(outer: &Layer<'p>) -> Option<Layer<'p>> {
    let is_error = match (outer.tuple.protocol, outer.tuple.v6) {
        (transport::ICMP, false) => icmp::quotes,
        (transport::ICMPV6, true) => icmp::quotes_v6,
        _ => return None,
    };
    if !is_error(*outer.segment.first()?) {
        return None;
    }
    let quoted = layer(outer.segment.get(icmp::HEADER..)?)?;
    (quoted.tuple.v6 == outer.tuple.v6).then_some(quoted)
}

/// What stands directly inside a packet, and what names its tunnel.
#[derive(Default)]
struct Inside<'p> {
    teid: Option<u32>,
    qp: Option<u32>,
    packet: Option<&'p [u8]>,
}

fn inside<'p>(layer: &Layer<'p>) -> Inside<'p> {
    let packet = |packet| Inside {
        packet,
        ..Inside::default()
    };
    let bytes = layer.segment;
    match layer.tuple.protocol {
        tunnel::IPV4 | tunnel::IPV6 => return packet(Some(bytes)),
        tunnel::GRE => return packet(behind(bytes, tunnel::gre(bytes))),
        _ => {}
    }
    let Some(port) = layer.destination_port() else {
        return Inside::default();
    };
    let bytes = bytes.get(tunnel::UDP_HEADER..).unwrap_or_default();
    match port {
        tunnel::PORT_VXLAN => packet(behind(bytes, tunnel::vxlan(bytes))),
        tunnel::PORT_VXLAN_GPE => packet(behind(bytes, tunnel::vxlan_gpe(bytes))),
        tunnel::PORT_GENEVE => packet(behind(bytes, tunnel::geneve(bytes))),
        tunnel::PORT_ROCE => Inside {
            qp: tunnel::queue_pair(bytes),
            ..Inside::default()
        },
        tunnel::PORT_GTPU => {
            let found = tunnel::gtpu(bytes);
            Inside {
                teid: found.map(|g| g.teid),
                packet: found.and_then(|g| bytes.get(g.inner?..)),
                qp: None,
            }
        }
        _ => Inside::default(),
    }
}

fn behind(bytes: &[u8], found: Option<(u16, usize)>) -> Option<&[u8]> {
    let (ethertype, offset) = found?;
    tunnel::ip_inside(bytes.get(offset..)?, ethertype)
}

/// The fields of a packet, and of what it carries as far as `settings` want it.
fn dig(outer: Layer<'_>, ingress: PortId, settings: &Settings) -> Flow {
    let mut flow = Flow {
        key: FlowKey {
            outer: outer.tuple,
            ingress: ingress.0,
            ..FlowKey::default()
        },
        piece: outer.piece,
        ..Flow::default()
    };
    if settings.is_plain() {
        return flow;
    }
    let found = inside(&outer);
    (flow.key.teid, flow.key.qp) = (found.teid, found.qp);
    flow.tunnel_teid = found.teid;
    let Some(inner) = found.packet.and_then(layer) else {
        return flow;
    };
    flow.key.inner = Some(inner.tuple);
    flow.inner_piece = inner.piece;
    if flow.key.teid.is_none() && flow.key.qp.is_none() {
        let deeper = inside(&inner);
        (flow.key.teid, flow.key.qp) = (deeper.teid, deeper.qp);
    }
    flow
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

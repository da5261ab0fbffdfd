//! The IPv6 header (RFC 8200) and the way through its extension headers to the transport.

use super::transport;

/// Length of the fixed header, bytes.
pub const HEADER: usize = 40;
/// Offset of the hop limit.
pub const HOP_LIMIT: usize = 7;

/// Next header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next header: routing.
pub const ROUTING: u8 = 43;
/// Next header: fragment.
pub const FRAGMENT: u8 = 44;
/// Next header: destination options.
pub const DESTINATION: u8 = 60;

/// The most extension headers that are walked; what lies behind more has no ports for us. Real
/// packets have up to four, and an attacker's chain must not cost more than others' packets.
pub const MAX_EXTENSIONS: usize = 8;

/// The fixed header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a>(pub &'a [u8; HEADER]);

impl<'a> Header<'a> {
    /// The header at the start of `packet`; `None` when that is shorter than 40 bytes. Nothing in
    /// it is checked.
    #[inline]
    pub fn new(packet: &'a [u8]) -> Option<Self> {
        packet.first_chunk().map(Header)
    }

    /// 6, one hopes.
    #[inline]
    pub const fn version(self) -> u8 {
        self.0[0] >> 4
    }

    /// Flow label, 20 bits.
    #[inline]
    pub const fn flow_label(self) -> u32 {
        u32::from_be_bytes([0, self.0[1] & 0xf, self.0[2], self.0[3]])
    }

    /// Length of all that follows this header, bytes.
    #[inline]
    pub const fn payload_len(self) -> usize {
        u16::from_be_bytes([self.0[4], self.0[5]]) as usize
    }

    /// What follows.
    #[inline]
    pub const fn next_header(self) -> u8 {
        self.0[6]
    }

    /// Hop limit.
    #[inline]
    pub const fn hop_limit(self) -> u8 {
        self.0[HOP_LIMIT]
    }

    /// Source address.
    #[inline]
    pub fn source(self) -> [u8; 16] {
        self.address(8)
    }

    /// Destination address.
    #[inline]
    pub fn destination(self) -> [u8; 16] {
        self.address(24)
    }

    #[inline]
    fn address(self, at: usize) -> [u8; 16] {
        let bytes = self.0.get(at..).and_then(|b| b.first_chunk());
        bytes.copied().unwrap_or_default()
    }
}

/// Where the walk through the extension headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The protocol there; of a fragment but the first, where no more is known, what the fragment
    /// header names.
    pub protocol: u8,
    /// Offset from the start of the packet, bytes; possibly at its end.
    pub offset: usize,
    /// The packet is a fragment of a longer one.
    pub is_fragment: bool,
    /// It is a fragment and not the first, so no transport header is there.
    pub is_later_fragment: bool,
    /// Identification of a fragment, else 0.
    pub identification: u32,
    /// What the fragment header names, on which all fragments of a packet agree; without one 0.
    pub fragment_protocol: u8,
}

/// Walks from the fixed header of `packet` (as long as the header says) to the transport.
///
/// The first fragment of a packet is walked as the packet itself would be, since its headers are all
/// there (RFC 7112); the authentication header (RFC 4302) is one like any other. Stops at the
/// fragment header of a later fragment, at a second one of a fragment, at the end of the packet, and
/// after [`MAX_EXTENSIONS`]; then `protocol` is the last one named, which is one of the extension
/// headers in all but the first case.
#[inline(always)]
pub fn transport(packet: &[u8], header: Header<'_>) -> Transport {
    let found = Transport {
        protocol: header.next_header(),
        offset: HEADER,
        is_fragment: false,
        is_later_fragment: false,
        identification: 0,
        fragment_protocol: 0,
    };
    match found.protocol {
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION | transport::AH => walk(packet, found),
        _ => found,
    }
}

fn walk(packet: &[u8], mut found: Transport) -> Transport {
    for _ in 0..MAX_EXTENSIONS {
        let Some([next, length, high, low]) =
            packet.get(found.offset..).and_then(|p| p.first_chunk())
        else {
            return found;
        };
        let len = match found.protocol {
            FRAGMENT if found.is_fragment => return found,
            FRAGMENT => {
                let word = u16::from_be_bytes([*high, *low]);
                // Neither offset nor more-fragments: an atomic fragment (RFC 6946), a whole packet.
                found.is_fragment = word & 0xfff9 != 0;
                found.is_later_fragment = word & 0xfff8 != 0;
                let id = packet.get(found.offset + 4..).and_then(|p| p.first_chunk());
                found.identification = id.map_or(0, |id| u32::from_be_bytes(*id));
                found.fragment_protocol = *next;
                8
            }
            // One whose fixed part is cut.
            transport::AH if found.offset + 12 > packet.len() => return found,
            transport::AH => 8 + usize::from(*length) * 4,
            HOP_BY_HOP | ROUTING | DESTINATION => 8 + usize::from(*length) * 8,
            _ => return found,
        };
        if found.offset + len > packet.len() {
            return found;
        }
        found.protocol = *next;
        found.offset += len;
        if found.is_later_fragment {
            return found;
        }
    }
    found
}

/// ff00::/8.
#[inline]
pub const fn is_multicast(address: [u8; 16]) -> bool {
    address[0] == 0xff
}

/// fe80::/10.
#[inline]
pub const fn is_link_local(address: [u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// `::` or `::1`.
#[inline]
pub const fn is_unspecified_or_loopback(address: [u8; 16]) -> bool {
    u128::from_be_bytes(address) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next: u8, rest: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0x0a, 0xbc, 0xde, 0, 0, next, 64];
        bytes.extend([0xfd; 16]);
        bytes.extend([0x20; 16]);
        rest.iter().for_each(|part| bytes.extend(*part));
        let len = (bytes.len() - HEADER) as u16;
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    const PORTS: [u8; 8] = [0x12, 0x34, 0, 80, 0, 0, 0, 0];
    const OPTIONS16: [u8; 16] = [DESTINATION, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn walked(bytes: &[u8]) -> (Transport, Option<(u16, u16)>) {
        let found = transport(bytes, Header::new(bytes).unwrap());
        let segment = bytes.get(found.offset..).unwrap_or_default();
        let ports = transport::ports(segment, found.protocol);
        (found, ports.filter(|_| !found.is_later_fragment))
    }

    #[test]
    fn fields() {
        let bytes = packet(17, &[&PORTS]);
        let header = Header::new(&bytes).unwrap();
        assert_eq!((header.version(), header.flow_label()), (6, 0xabcde));
        assert_eq!((header.payload_len(), header.hop_limit()), (8, 64));
        assert_eq!(
            (header.source(), header.destination()),
            ([0xfd; 16], [0x20; 16])
        );
        assert!(Header::new(&bytes[..39]).is_none());
    }

    #[test]
    fn ports_behind_every_extension() {
        let fragment = |next: u8, word: u8| [next, 0, 0, word, 0, 0, 0, 1];
        let (first, later) = (fragment(60, 1), fragment(60, 8));
        let destination = [17, 0, 1, 4, 0, 0, 0, 0];
        let ah = |next| {
            [
                next, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9,
            ]
        };
        let all = |next: u8, parts: &[&[u8]]| packet(next, &[parts, &[&PORTS]].concat());
        for (name, bytes, protocol, offset, is_fragment, seen) in [
            ("none", all(17, &[]), 17, 40, false, true),
            ("icmp", all(58, &[]), 58, 40, false, false),
            (
                "hop, dest",
                all(0, &[&OPTIONS16, &destination]),
                17,
                64,
                false,
                true,
            ),
            (
                "routing, dest",
                all(43, &[&OPTIONS16, &destination]),
                17,
                64,
                false,
                true,
            ),
            ("AH", all(51, &[&ah(17)]), 17, 64, false, true),
            (
                "AH, dest",
                all(51, &[&ah(60), &destination]),
                17,
                72,
                false,
                true,
            ),
            ("AH, AH", all(51, &[&ah(51), &ah(17)]), 17, 88, false, true),
            (
                "first fragment",
                all(44, &[&fragment(17, 1)]),
                17,
                48,
                true,
                true,
            ),
            (
                "later fragment",
                all(44, &[&fragment(17, 8)]),
                17,
                48,
                true,
                false,
            ),
            (
                "first, dest",
                all(44, &[&first, &destination]),
                17,
                56,
                true,
                true,
            ),
            (
                "later, dest",
                all(44, &[&later, &destination]),
                60,
                48,
                true,
                false,
            ),
            (
                "first, dest, AH, dest",
                all(
                    44,
                    &[&first, &[51, 0, 1, 4, 0, 0, 0, 0], &ah(60), &destination],
                ),
                17,
                88,
                true,
                true,
            ),
            (
                "first, first",
                all(44, &[&fragment(44, 1), &first]),
                44,
                48,
                true,
                false,
            ),
            (
                "atomic fragment",
                all(44, &[&fragment(17, 0)]),
                17,
                48,
                false,
                true,
            ),
            (
                "reserved bits only",
                all(44, &[&fragment(17, 6)]),
                17,
                48,
                false,
                true,
            ),
        ] {
            let (found, ports) = walked(&bytes);
            assert_eq!((found.protocol, found.offset), (protocol, offset), "{name}");
            assert_eq!(
                (found.is_fragment, ports.is_some()),
                (is_fragment, seen),
                "{name}"
            );
            assert!(ports.is_none_or(|p| p == (0x1234, 80)), "{name}");
            for short in HEADER..bytes.len() {
                let (found, _) = walked(&bytes[..short]);
                assert!(found.offset <= short.max(offset), "{name} {short}");
            }
        }
    }

    #[test]
    fn a_chain_that_is_too_long_ends() {
        let bytes = packet(DESTINATION, &[&OPTIONS16[..]; 30]);
        let (found, ports) = walked(&bytes);
        assert_eq!((found.protocol, ports), (DESTINATION, None));
        assert_eq!(found.offset, HEADER + MAX_EXTENSIONS * 16);
        let endless = packet(HOP_BY_HOP, &[&[DESTINATION, 255, 0, 0, 0, 0, 0, 0]]);
        assert_eq!(walked(&endless).0.offset, HEADER, "longer than the packet");
    }

    #[test]
    fn kinds_of_addresses() {
        let of = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        assert!(is_multicast(of("ff02::1")) && !is_multicast(of("fe80::1")));
        assert!(is_link_local(of("fe80::1")) && is_link_local(of("febf::")));
        assert!(!is_link_local(of("fec0::")));
        assert!(is_unspecified_or_loopback(of("::")) && is_unspecified_or_loopback(of("::1")));
        assert!(!is_unspecified_or_loopback(of("::2")));
    }
}

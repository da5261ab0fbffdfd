//! ICMP (RFC 792, 1812) and ICMPv6 (RFC 4443): errors, and which messages are errors.

/// Length of an error's header before the quoted packet, bytes; the same in both families.
pub const HEADER: usize = 8;

/// An error: type, code, and the 32-bit word before the quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// 0, or the MTU: of ICMP in the low half (RFC 1191), of ICMPv6 all of it.
    pub word: u32,
}

const fn error(kind: u8, code: u8, word: u32) -> Error {
    Error { kind, code, word }
}

/// ICMP: network unreachable.
pub const NET_UNREACHABLE: Error = error(3, 0, 0);
/// ICMP: host unreachable.
pub const HOST_UNREACHABLE: Error = error(3, 1, 0);
/// ICMP: communication administratively prohibited.
pub const PROHIBITED: Error = error(3, 13, 0);
/// ICMP: time to live exceeded in transit.
pub const TTL_EXCEEDED: Error = error(11, 0, 0);
/// ICMP: fragmentation needed and DF set; `mtu` is that of the next hop.
pub const fn fragmentation_needed(mtu: u16) -> Error {
    error(3, 4, mtu as u32)
}

/// ICMPv6: no route to destination.
pub const NO_ROUTE_V6: Error = error(1, 0, 0);
/// ICMPv6: administratively prohibited.
pub const PROHIBITED_V6: Error = error(1, 1, 0);
/// ICMPv6: address unreachable.
pub const ADDRESS_UNREACHABLE_V6: Error = error(1, 3, 0);
/// ICMPv6: hop limit exceeded in transit.
pub const HOP_LIMIT_EXCEEDED: Error = error(3, 0, 0);
/// ICMPv6: packet too big; `mtu` is that of the next hop, at least 1280.
pub const fn packet_too_big(mtu: u32) -> Error {
    error(2, 0, mtu)
}

impl Error {
    /// The header, its checksum zero.
    pub const fn header(self) -> [u8; HEADER] {
        let [a, b, c, d] = self.word.to_be_bytes();
        [self.kind, self.code, 0, 0, a, b, c, d]
    }
}

/// True for an ICMP type that must not be answered by an error: errors themselves, redirects, and
/// what is not known to be a query (RFC 1812 4.3.2.7).
pub const fn is_error(kind: u8) -> bool {
    // Echo reply, echo, router advertisement and solicitation, timestamp, information, mask.
    !matches!(kind, 0 | 8..=10 | 13..=18)
}

/// True for an ICMPv6 type that must not be answered by an error: RFC 4443 2.4 (e.1, e.2).
pub const fn is_error_v6(kind: u8) -> bool {
    kind < 128 || kind == 137
}

/// True for an ICMP type that quotes the packet it is about: unreachable, source quench, redirect,
/// time exceeded, parameter problem.
pub const fn quotes(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// True for an ICMPv6 type that quotes the packet it is about: RFC 4443 3.
pub const fn quotes_v6(kind: u8) -> bool {
    matches!(kind, 1..=4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(
            fragmentation_needed(1400).header(),
            [3, 4, 0, 0, 0, 0, 5, 0x78]
        );
        assert_eq!(packet_too_big(1280).header(), [2, 0, 0, 0, 0, 0, 5, 0]);
    }

    #[test]
    fn only_queries_may_be_answered() {
        let answered: Vec<u8> = (0..=255).filter(|k| !is_error(*k)).collect();
        assert_eq!(answered, [0, 8, 9, 10, 13, 14, 15, 16, 17, 18]);
        assert!(is_error_v6(1) && is_error_v6(127) && is_error_v6(137) && !is_error_v6(128));
    }
}

//! Transports: which have ports, and where.

/// IP protocol of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol of TCP.
pub const TCP: u8 = 6;
/// IP protocol of UDP.
pub const UDP: u8 = 17;
/// IP protocol of DCCP.
pub const DCCP: u8 = 33;
/// IP protocol of the encapsulating security payload (RFC 4303).
pub const ESP: u8 = 50;
/// IP protocol of the authentication header (RFC 4302).
pub const AH: u8 = 51;
/// IP protocol of ICMPv6.
pub const ICMPV6: u8 = 58;
/// IP protocol of SCTP.
pub const SCTP: u8 = 132;
/// IP protocol of UDP-Lite.
pub const UDP_LITE: u8 = 136;

/// True for transports whose header begins with source and destination port.
#[inline]
pub const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

/// Source and destination port at the start of `segment`; `None` when it is too short or
/// `protocol` has none.
#[inline(always)]
pub fn ports(segment: &[u8], protocol: u8) -> Option<(u16, u16)> {
    let [a, b, c, d] = *segment.first_chunk()?;
    let pair = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    has_ports(protocol).then_some(pair)
}

/// What is behind the authentication header at the start of `segment`, and its protocol. A second
/// one is not walked over; of one that is cut nothing is behind.
pub fn behind_ah(segment: &[u8]) -> (&[u8], u8) {
    let Some([next, words, ..]) = segment.first_chunk::<12>() else {
        return (&[], AH);
    };
    let len = (usize::from(*words) + 2) * 4;
    match segment.get(len..) {
        Some(rest) => (rest, *next),
        None => (&[], AH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_protocols_have_ports() {
        let segment = [1, 2, 3, 4];
        let with: Vec<u8> = (0..=255)
            .filter(|p| ports(&segment, *p) == Some((0x0102, 0x0304)))
            .collect();
        assert_eq!(with, [TCP, UDP, DCCP, SCTP, UDP_LITE]);
        assert_eq!(ports(&segment[..3], UDP), None);
    }

    #[test]
    fn what_an_authentication_header_hides() {
        let mut bytes = [0; 28];
        bytes[..2].copy_from_slice(&[UDP, 4]);
        bytes[24..].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(behind_ah(&bytes), (&[1, 2, 3, 4][..], UDP));
        assert_eq!(behind_ah(&bytes[..23]), (&[][..], AH), "cut");
        assert_eq!(behind_ah(&bytes[..11]), (&[][..], AH));
    }
}

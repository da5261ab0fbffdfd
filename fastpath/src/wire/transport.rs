//! Transports: which have ports, and where.

/// IP protocol of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol of TCP.
pub const TCP: u8 = 6;
/// IP protocol of UDP.
pub const UDP: u8 = 17;
/// IP protocol of DCCP.
pub const DCCP: u8 = 33;
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
}

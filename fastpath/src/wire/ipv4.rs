//! The IPv4 header (RFC 791).

/// Length without options, bytes.
pub const HEADER: usize = 20;
/// Offset of the TTL.
pub const TTL: usize = 8;
/// Offset of the header checksum.
pub const CHECKSUM: usize = 10;

/// More fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Do not fragment.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Mask of the fragment offset, in units of 8 bytes.
pub const OFFSET: u16 = 0x1fff;

/// The fixed part of a header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a>(pub &'a [u8; HEADER]);

impl<'a> Header<'a> {
    /// The header at the start of `packet`; `None` when that is shorter than 20 bytes. Nothing in
    /// it is checked.
    #[inline]
    pub fn new(packet: &'a [u8]) -> Option<Self> {
        packet.first_chunk().map(Header)
    }

    /// 4, one hopes.
    #[inline]
    pub const fn version(self) -> u8 {
        self.0[0] >> 4
    }

    /// Header length with options, bytes: 0..=60, a multiple of 4.
    #[inline]
    pub const fn header_len(self) -> usize {
        (self.0[0] & 0xf) as usize * 4
    }

    /// Type of service: DSCP and ECN.
    #[inline]
    pub const fn tos(self) -> u8 {
        self.0[1]
    }

    /// Length of header and data, bytes.
    #[inline]
    pub const fn total_len(self) -> usize {
        u16::from_be_bytes([self.0[2], self.0[3]]) as usize
    }

    /// Identification: what the fragments of a datagram share.
    #[inline]
    pub const fn identification(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Flags and fragment offset as they stand there.
    #[inline]
    pub const fn fragment_word(self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }

    /// True for every fragment of a fragmented packet, the first one included.
    #[inline]
    pub const fn is_fragment(self) -> bool {
        self.fragment_word() & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Time to live.
    #[inline]
    pub const fn ttl(self) -> u8 {
        self.0[TTL]
    }

    /// Protocol of the data.
    #[inline]
    pub const fn protocol(self) -> u8 {
        self.0[9]
    }

    /// Source address as a number.
    #[inline]
    pub const fn source(self) -> u32 {
        u32::from_be_bytes([self.0[12], self.0[13], self.0[14], self.0[15]])
    }

    /// Destination address as a number.
    #[inline]
    pub const fn destination(self) -> u32 {
        u32::from_be_bytes([self.0[16], self.0[17], self.0[18], self.0[19]])
    }
}

/// Class D: 224.0.0.0/4.
#[inline]
pub const fn is_multicast(address: u32) -> bool {
    address >> 28 == 0xe
}

/// The limited broadcast address.
pub const BROADCAST: u32 = u32::MAX;

/// True for what no packet to be forwarded may have as source: 0/8, 127/8, 224/4 and above
/// (RFC 1812 5.3.7). 169.254/16 may: routers number their links from it and send errors from it.
#[inline]
pub const fn is_martian_source(address: u32) -> bool {
    matches!(address >> 24, 0 | 127 | 224..)
}

/// True for a destination that is neither to be forwarded nor for the kernel: 0/8, 127/8, 240/4
/// without the limited broadcast.
#[inline]
pub const fn is_martian_destination(address: u32) -> bool {
    matches!(address >> 24, 0 | 127 | 240..) && address != BROADCAST
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn fields() {
        let bytes: Vec<u8> = vec![
            0x46, 0xb8, 0x01, 0x02, 0, 9, 0x20, 0x03, 63, 17, 0xaa, 0xbb, 10, 0, 0, 1, 192, 168, 2,
            3, 1, 1, 1, 1,
        ];
        let header = Header::new(&bytes).unwrap();
        assert_eq!(
            (header.version(), header.header_len(), header.total_len()),
            (4, 24, 258)
        );
        assert_eq!(
            (header.ttl(), header.protocol(), header.tos()),
            (63, 17, 0xb8)
        );
        assert!(header.is_fragment() && header.fragment_word() & OFFSET == 3);
        assert_eq!(Ipv4Addr::from(header.source()), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(
            Ipv4Addr::from(header.destination()),
            Ipv4Addr::new(192, 168, 2, 3)
        );
        assert!(Header::new(&bytes[..19]).is_none());
    }

    #[test]
    fn martians() {
        let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        for (text, source, destination) in [
            ("0.0.0.0", true, true),
            ("0.1.2.3", true, true),
            ("1.0.0.0", false, false),
            ("127.255.0.1", true, true),
            ("128.0.0.0", false, false),
            ("169.254.0.1", false, false),
            ("223.255.255.255", false, false),
            ("224.0.0.1", true, false),
            ("239.1.1.1", true, false),
            ("240.0.0.1", true, true),
            ("255.255.255.254", true, true),
            ("255.255.255.255", true, false),
        ] {
            assert_eq!(is_martian_source(number(text)), source, "{text}");
            assert_eq!(is_martian_destination(number(text)), destination, "{text}");
        }
    }
}

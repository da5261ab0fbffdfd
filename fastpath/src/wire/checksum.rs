//! The Internet checksum (RFC 1071) and its change by one field (RFC 1624).

/// A ones-complement sum in the making: of 16-bit words in network order, wider than its carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    pub const fn new() -> Self {
        Sum(0)
    }

    /// Adds `bytes`; an odd last byte counts as the high half of a word, so only the last slice
    /// added may be of odd length.
    #[inline(always)]
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        let words = bytes.chunks_exact(4);
        let rest = words.remainder();
        for word in words.filter_map(|w| w.first_chunk()) {
            self.0 += u64::from(u32::from_be_bytes(*word));
        }
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.0 += u64::from(u32::from_be_bytes(last));
        self
    }

    /// Adds a number, as if it stood in the packet in network order.
    #[inline]
    #[must_use]
    pub const fn with_u32(mut self, value: u32) -> Self {
        self.0 += value as u64;
        self
    }

    /// The sum folded to 16 bits; 0xffff over data that includes a right checksum.
    #[inline]
    pub const fn folded(self) -> u16 {
        let mut sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum to write.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The checksum of `bytes`, in which the checksum field is zero.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::new().with(bytes).checksum()
}

/// True when `bytes`, checksum included, sum to what they should.
#[inline(always)]
pub fn is_valid(bytes: &[u8]) -> bool {
    Sum::new().with(bytes).folded() == 0xffff
}

/// TTL, protocol and header checksum, as they stand in a packet, after the TTL went down by one: RFC
/// 1624, equation 3, for a high byte. The TTL is not 0.
#[inline]
pub const fn ttl_decremented(fields: [u8; 4]) -> [u8; 4] {
    // Ones-complement sums are the same in either byte order (RFC 1071, section 2). In this one the
    // checksum is the upper half of a number, to whose ends both changes can be added at once.
    let word = u32::from_le_bytes(fields);
    let carry = ((word >= 0xfffe_0000) as u32) << 16;
    word.wrapping_add(0x1_0000 - 1)
        .wrapping_add(carry)
        .to_le_bytes()
}

/// The checksum after a 16-bit word changed from `old` to `new`: RFC 1624, equation 3.
#[inline]
pub const fn after_change(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = !checksum as u64 + !old as u64 + new as u64;
    Sum(sum).checksum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071's own example.
    #[test]
    fn rfc_1071_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::new().with(&bytes).folded(), 0xddf2);
        assert_eq!(checksum(&bytes), 0x220d);
        assert_eq!(checksum(&[]), 0xffff);
    }

    /// Word by word, as the RFC writes it.
    fn by_words(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn any_length_any_content() {
        let mut bytes = Vec::new();
        let mut state = 1_u32;
        for _ in 0..600 {
            assert_eq!(checksum(&bytes), by_words(&bytes), "{} bytes", bytes.len());
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push(if state >> 31 == 0 {
                0xff
            } else {
                (state >> 20) as u8
            });
        }
        assert_eq!(checksum(&[0xff; 9000]), 0);
    }

    /// Every valid header word of TTL and protocol, with every rest of the header: the incremental
    /// update gives what a full computation gives.
    #[test]
    fn decrement_equals_recomputation_for_every_header() {
        for rest in 0..=u16::MAX {
            for ttl in [1_u8, 2, 64, 128, 255] {
                let header = |ttl: u8, sum: u16| {
                    let [a, b] = sum.to_be_bytes();
                    let [c, d] = rest.to_be_bytes();
                    [0x45, 0x00, c, d, ttl, 17, a, b]
                };
                let before = checksum(&header(ttl, 0));
                let [a, b] = before.to_be_bytes();
                let [t, p, a, b] = ttl_decremented([ttl, 17, a, b]);
                assert_eq!((t, p), (ttl - 1, 17));
                let after = u16::from_be_bytes([a, b]);
                assert_eq!(after, checksum(&header(ttl - 1, 0)), "{rest:x} {ttl}");
                let word = |ttl| u16::from(ttl) << 8 | 17;
                assert_eq!(after_change(before, word(ttl), word(ttl - 1)), after);
            }
        }
        // 0xffff is valid on the wire where 0 is meant; the update mends it.
        let [mut header, mut zero] = [[0x45, 0, 0xb9, 0xee, 1, 17, 0, 0]; 2];
        assert!(is_valid(&zero));
        header[6..].fill(0xff);
        assert!(is_valid(&header));
        zero[4] = 0;
        let [.., a, b] = ttl_decremented([1, 17, 0xff, 0xff]);
        assert_eq!(u16::from_be_bytes([a, b]), checksum(&zero));
    }
}

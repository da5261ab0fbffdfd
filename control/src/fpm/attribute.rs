//! Netlink messages and attributes, as byte slices; host byte order, 4-byte alignment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes that do not add up: the message is counted as malformed and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Flags in an attribute's type (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_MASK: u16 = 0x3fff;

const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

/// The first two bytes.
pub fn u16_of(bytes: &[u8]) -> Result<u16, Malformed> {
    let bytes = bytes.first_chunk().ok_or(Malformed)?;
    Ok(u16::from_ne_bytes(*bytes))
}

/// The first four bytes.
pub fn u32_of(bytes: &[u8]) -> Result<u32, Malformed> {
    let bytes = bytes.first_chunk().ok_or(Malformed)?;
    Ok(u32::from_ne_bytes(*bytes))
}

/// An address of 4 or 16 bytes.
pub fn address_of(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ok(IpAddr::V4(Ipv4Addr::from(v4)))
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ok(IpAddr::V6(Ipv6Addr::from(v6)))
    } else {
        Err(Malformed)
    }
}

/// The messages in a frame's payload: type, and what follows the `nlmsghdr`.
#[derive(Clone, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = 16;
        if self.0.is_empty() {
            return None;
        }
        let whole = u32_of(self.0).ok().and_then(|length| {
            let message = self.0.get(..length as usize)?;
            let rest = self.0.get(aligned(length as usize)..).unwrap_or_default();
            Some((message.get(4..)?, message.get(HEADER..)?, rest))
        });
        let Some((kind, body, rest)) = whole else {
            // Where the next one starts is unknown: the rest of the frame is lost.
            self.0 = &[];
            return Some(Err(Malformed));
        };
        self.0 = rest;
        Some(u16_of(kind).map(|kind| (kind, body)))
    }
}

/// Attributes: type without flags, and value.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = 4;
        if self.0.is_empty() {
            return None;
        }
        let whole = self
            .0
            .first_chunk::<HEADER>()
            .and_then(|&[l0, l1, t0, t1]| {
                let length = usize::from(u16::from_ne_bytes([l0, l1]));
                let value = self.0.get(HEADER..length)?;
                let rest = self.0.get(aligned(length)..).unwrap_or_default();
                Some((u16::from_ne_bytes([t0, t1]) & TYPE_MASK, value, rest))
            });
        let Some((kind, value, rest)) = whole else {
            self.0 = &[];
            return Some(Err(Malformed));
        };
        self.0 = rest;
        Some(Ok((kind, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_cleanly_or_are_malformed() {
        let bytes = [5, 0, 3, 0x80, 7, 0, 0, 0, 4, 0, 9, 0];
        let got: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(got, [Ok((3, &[7][..])), Ok((9, &[][..]))]);
        let unpadded: Vec<_> = Attributes(&bytes[..5]).collect();
        assert_eq!(unpadded, [Ok((3, &[7][..]))]);
        for bad in [&[3, 0, 1, 0][..], &[8, 0, 1, 0], &[4, 0, 1]] {
            let got: Vec<_> = Attributes(bad).collect();
            assert_eq!(got, [Err(Malformed)]);
        }
    }

    #[test]
    fn messages_of_a_frame() {
        let mut bytes = vec![0; 36];
        bytes[0] = 18;
        bytes[4] = 24;
        bytes[16] = 1;
        bytes[20] = 16;
        bytes[24] = 25;
        let got: Vec<_> = Messages(&bytes).collect();
        assert_eq!(got, [Ok((24, &[1, 0][..])), Ok((25, &[][..]))]);
        bytes[20] = 17;
        let got: Vec<_> = Messages(&bytes).collect();
        assert_eq!(got, [Ok((24, &[1, 0][..])), Err(Malformed)]);
        bytes[0] = 15;
        assert_eq!(Messages(&bytes).count(), 1);
    }
}

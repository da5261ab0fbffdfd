//! Header layouts: offsets as constants, field readers and writers, one file per protocol.
//!
//! Readers take bytes from anywhere and never panic, read past the end or believe a length: what
//! is not there is `None` or a default that the caller can act on. Nothing here knows of tables,
//! ports or policy.

pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod transport;
pub mod tunnel;

/// `bytes[at..at + 2]` as a big-endian number.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*two))
}

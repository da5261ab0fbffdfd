//! What the INDEX tables of an mlx5 NIC compute over addresses, ports and protocol.
//!
//! The CRC is that of Ethernet (reflected 0xedb88320) with neither a start value nor a final xor,
//! over the words of a match definer in their order; its bytes are swapped. The layouts are those of
//! a definer with exactly these five fields; hardware with other ones hashes other bytes, so that
//! agreement is claimed for the five alone. A field that is off is hashed as zero.

use super::linear::{FOUR, Linear, SIX};
use super::toeplitz::KEY;

/// The CRC, bit by bit.
const fn crc(bytes: &[u8]) -> u32 {
    let mut crc = 0;
    let mut i = 0;
    while i < bytes.len() {
        crc ^= bytes[i] as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        i += 1;
    }
    crc
}

/// The hash of an IPv4 flow: source, destination (4 bytes each), source port, destination port (2
/// each), protocol; bit by bit.
pub fn hash4(flow: &[u8; 13]) -> u32 {
    let mut tag = [0; 24];
    tag[0..4].copy_from_slice(&flow[4..8]);
    tag[4..8].copy_from_slice(&flow[0..4]);
    tag[8..12].copy_from_slice(&flow[8..12]);
    tag[15] = flow[12];
    crc(&tag).swap_bytes()
}

/// The hash of an IPv6 flow: source, destination (16 bytes each), ports and protocol likewise.
pub fn hash6(flow: &[u8; 37]) -> u32 {
    let mut tag = [0; 44];
    for word in 0..4 {
        let of = 12 - 4 * word;
        tag[4 * word..4 * word + 4].copy_from_slice(&flow[of..of + 4]);
        tag[16 + 4 * word..20 + 4 * word].copy_from_slice(&flow[16 + of..20 + of]);
    }
    tag[35] = flow[36];
    tag[36..40].copy_from_slice(&flow[32..36]);
    crc(&tag).swap_bytes()
}

const _: () = assert!(FOUR == 13 && SIX == 37);

pub(super) fn tables() -> Linear {
    Linear::new(hash4, hash6, [0; KEY])
}

//! What a NIC computes for receive-side scaling (RSS): the Toeplitz hash of addresses and ports.
//!
//! The input is the source address, the destination address, the source port and the destination
//! port in wire order: 12 bytes of IPv4, 36 of IPv6; the ports count as zero where there are none,
//! which adds nothing. Where both directions are to hash alike, the lower address goes first, and so
//! does the lower port, each for itself (DPDK's `RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ_SORT`).

use super::linear::Linear;
use super::mix::{GOLDEN, splitmix};

/// Bytes of the key: enough for the 36 of an IPv6 flow and 4 more.
pub const KEY: usize = 40;

/// What to program a NIC with, so that its RSS value is the one this router works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rss {
    /// The key.
    pub key: [u8; KEY],
    /// The source address is hashed.
    pub source_ip: bool,
    /// The destination address is hashed.
    pub destination_ip: bool,
    /// The source port of TCP and UDP is hashed.
    pub source_port: bool,
    /// The destination port is hashed.
    pub destination_port: bool,
    /// Addresses in order, ports in order, each for itself.
    pub sorted: bool,
}

/// The key of `seed`. Of the keys that follow from a seed it is the first that spreads neighbors
/// well: the hash is linear in its input, so a bad key leaves out half of all buckets where only a
/// few low bits of one field vary.
pub fn key(seed: u32) -> [u8; KEY] {
    // Far from the keys of the mixer.
    let mut state = splitmix(u64::from(seed) ^ 0x7265_7473_616c_7a00);
    loop {
        let mut key = [0; KEY];
        for word in key.chunks_exact_mut(8) {
            state = state.wrapping_add(GOLDEN);
            word.copy_from_slice(&splitmix(state).to_be_bytes());
        }
        if spreads(&key) {
            return key;
        }
    }
}

/// What bit `at` of the input, the first byte's highest being 0, adds to the hash.
const fn window(key: &[u8; KEY], at: usize) -> u32 {
    let mut bits: u64 = 0;
    let mut i = 0;
    while i < 5 {
        let byte = at / 8 + i;
        bits = bits << 8 | if byte < KEY { key[byte] as u64 } else { 0 };
        i += 1;
    }
    (bits >> (8 - at % 8)) as u32
}

/// Where the fields end in the input, in bits: addresses and ports of IPv4, then of IPv6.
const ENDS: [usize; 8] = [32, 64, 80, 96, 128, 256, 272, 288];

/// Whether the lowest bits of every field reach all values of the hash's lowest bits: up to 6 bits
/// of the hash by two more of a field, with the field's very lowest bit and without it.
fn spreads(key: &[u8; KEY]) -> bool {
    let reaches = |last: usize, bits: usize| {
        // What the field's bits add, made independent: by the highest bit.
        let mut basis = [0_u32; 6];
        for at in last - bits - 2..last {
            let mut vector = window(key, at) & ((1 << bits) - 1);
            while let Some(highest) = vector.checked_ilog2() {
                let Some(slot) = basis.get_mut(highest as usize) else {
                    break;
                };
                if *slot == 0 {
                    *slot = vector;
                    break;
                }
                vector ^= *slot;
            }
        }
        basis.iter().take(bits).all(|vector| *vector != 0)
    };
    let mut ends = ENDS.iter().flat_map(|end| [*end, end - 1]);
    ends.all(|last| (1..=6).all(|bits| reaches(last, bits)))
}

/// The hash of `input`, at most 36 bytes, bit by bit; what is behind them does not count.
pub fn hash(key: &[u8; KEY], input: &[u8]) -> u32 {
    let mut sum = 0;
    let bytes = input.iter().take(KEY - 4).enumerate();
    for (i, byte) in bytes.filter(|(_, byte)| **byte != 0) {
        let set = (0..8).filter(|bit| byte << bit & 0x80 != 0);
        sum = set.fold(sum, |sum, bit| sum ^ window(key, 8 * i + bit));
    }
    sum
}

/// Whether a NIC programmed with [`Rss`] hashes a packet as we do: TCP and UDP. Of other protocols
/// NICs hash no ports, or ports only when asked (SCTP), and we hash them wherever they are. The
/// packet must be whole and the key its own: of a fragment a NIC has the addresses alone, and of an
/// ICMP error it does not have the flow that it quotes.
pub const fn is_covered(protocol: u8) -> bool {
    matches!(protocol, 6 | 17)
}

pub(super) fn tables(key: &[u8; KEY]) -> Linear {
    // The protocol, last of a flow's bytes, is not hashed.
    Linear::new(
        |flow| hash(key, &flow[..12]),
        |flow| hash(key, &flow[..36]),
        *key,
    )
}

//! Hashes that are linear over addresses, ports and protocol, by tables.
//!
//! A function of bits with f(a ^ b) = f(a) ^ f(b) is the xor of what each byte of its input adds, one
//! look-up a byte. The tables are made by asking the function itself, bit by bit, so they cannot
//! differ from it.

use super::toeplitz::{self, KEY};
use super::{Algorithm, Choice, crc32};
use std::fmt;
use std::sync::Arc;

/// Bytes of an IPv4 flow: source, destination, source port, destination port, protocol.
pub(super) const FOUR: usize = 13;
/// Bytes of an IPv6 flow, in the same order.
pub(super) const SIX: usize = 37;

/// One linear hash. Of `toeplitz` with the key that it has, else zeros.
#[derive(PartialEq, Eq)]
pub(super) struct Linear {
    four: Box<[[u32; 256]; FOUR]>,
    six: Box<[[u32; 256]; SIX]>,
    pub(super) key: [u8; KEY],
}

impl fmt::Debug for Linear {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Linear")
    }
}

/// The key and the tables of an algorithm that hardware knows. They are long in the making (the
/// search for a key of `toeplitz` takes half a millisecond, and now and then several), and those of
/// one algorithm and seed are the same in all settings.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(super) of: (Algorithm, u32),
    pub(super) linear: Arc<Linear>,
}

impl Tables {
    /// Which tables `choice` needs: algorithm and seed; none with the mixer.
    pub fn name(choice: &Choice) -> Option<(Algorithm, u32)> {
        match choice.algorithm {
            Algorithm::Mix => None,
            Algorithm::Toeplitz => Some((Algorithm::Toeplitz, choice.seed)),
            Algorithm::Crc32 => Some((Algorithm::Crc32, 0)),
        }
    }

    /// These are those that `choice` needs.
    pub fn fits(&self, choice: &Choice) -> bool {
        Some(self.of) == Tables::name(choice)
    }

    /// Those that `choice` needs.
    pub fn new(choice: &Choice) -> Option<Self> {
        let of = Tables::name(choice)?;
        let linear = match choice.algorithm {
            Algorithm::Crc32 => crc32::tables(),
            _ => toeplitz::tables(&toeplitz::key(choice.seed)),
        };
        Some(Tables {
            of,
            linear: Arc::new(linear),
        })
    }
}

fn tables<const N: usize>(hash: impl Fn(&[u8; N]) -> u32) -> Box<[[u32; 256]; N]> {
    let mut tables = Box::new([[0; 256]; N]);
    for (at, table) in tables.iter_mut().enumerate() {
        let bits: [u32; 8] =
            std::array::from_fn(|bit| hash(&std::array::from_fn(|i| u8::from(i == at) << bit)));
        for (value, entry) in table.iter_mut().enumerate() {
            let set = bits.iter().enumerate().filter(|(i, _)| value >> i & 1 != 0);
            *entry = set.fold(0, |sum, (_, bit)| sum ^ bit);
        }
    }
    tables
}

#[inline(always)]
fn sum<const N: usize>(tables: &[[u32; 256]; N], bytes: [u8; N]) -> u32 {
    let parts = tables.iter().zip(bytes);
    parts.fold(0, |sum, (table, byte)| sum ^ table[usize::from(byte)])
}

impl Linear {
    /// Tables for `four` and `six`, both linear, and what they are by.
    pub(super) fn new(
        four: impl Fn(&[u8; FOUR]) -> u32,
        six: impl Fn(&[u8; SIX]) -> u32,
        key: [u8; KEY],
    ) -> Self {
        Linear {
            four: tables(four),
            six: tables(six),
            key,
        }
    }

    /// `ports`: the source port in the high half.
    #[inline]
    pub(super) fn hash4(&self, src: u32, dst: u32, ports: u32, protocol: u8) -> u32 {
        let [a, b, c, d] = src.to_be_bytes();
        let [e, f, g, h] = dst.to_be_bytes();
        let [i, j, k, l] = ports.to_be_bytes();
        sum(&self.four, [a, b, c, d, e, f, g, h, i, j, k, l, protocol])
    }

    /// Likewise.
    #[inline]
    pub(super) fn hash6(&self, src: u128, dst: u128, ports: u32, protocol: u8) -> u32 {
        let mut bytes = [0; SIX];
        let (addresses, rest) = bytes.split_at_mut(32);
        addresses[..16].copy_from_slice(&src.to_be_bytes());
        addresses[16..].copy_from_slice(&dst.to_be_bytes());
        rest[..4].copy_from_slice(&ports.to_be_bytes());
        rest[4] = protocol;
        sum(&self.six, bytes)
    }
}

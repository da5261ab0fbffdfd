//! The one hash: settings, and header fields to 32 bits.
//!
//! Both planes and `evenpath calc` call this; nothing else decides where a flow goes. The way is:
//! fields kept by the settings, the two endpoints in order when symmetric, a keyed mixer, 32 bits. A
//! group takes its bucket from the low bits ([`crate::table::GroupWord`]).
//!
//! Two other algorithms are what hardware computes: [`toeplitz`] and [`crc32`]. Both are linear over
//! addresses, ports and protocol, and go by tables (`linear`); fields that the hardware does not
//! know are folded over its value by the mixer. With none of them on, the hash is that value.
//!
//! The mixer multiplies 64 by 64 bits and folds the 128-bit product; the keys come from the seed.
//! The seed enters before the multiplications, so the hashes of two seeds are not a fixed
//! difference apart (as they are with a seeded CRC or Toeplitz): routers in series with different
//! seeds spread over all combinations of their members.
//!
//! What is worth knowing about the fields: only the first fragment of a packet has ports; the
//! others take its hash ([`crate::software::fragments`]). The IPv6 flow label is each sender's own choice, so with it on the two
//! directions of a flow hash alike only if their labels do.

pub mod crc32;
mod field;
mod key;
mod linear;
mod mix;
mod policy;
mod settings;
mod symmetry;
pub mod toeplitz;

pub use field::{Field, Fields};
pub use key::{FlowKey, Tuple};
pub use linear::Tables;
pub use policy::{Policy, Profile};
pub use settings::Settings;
pub use symmetry::{Asymmetry, Caveat};
pub use toeplitz::Rss;

/// How header fields become a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Folded multiplies keyed by the seed.
    #[default]
    Mix,
    /// What a NIC computes for receive-side scaling, with a key made of the seed.
    Toeplitz,
    /// What the tables of an mlx5 NIC index by; no seed, no order.
    Crc32,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 3] = [Algorithm::Mix, Algorithm::Toeplitz, Algorithm::Crc32];

    /// The name in the configuration and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Mix => "mix",
            Algorithm::Toeplitz => "toeplitz",
            Algorithm::Crc32 => "crc32",
        }
    }

    /// The algorithm called `name`.
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// What an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The fields that matter.
    pub fields: Fields,
    /// Both directions of a flow are to hash alike.
    pub symmetric: bool,
    /// The seed; 0 is as good as any.
    pub seed: u32,
    /// How.
    pub algorithm: Algorithm,
}

impl Default for Choice {
    /// That of the Cumulus text, with seed 0.
    fn default() -> Self {
        Choice {
            fields: Fields::default(),
            symmetric: true,
            seed: 0,
            algorithm: Algorithm::default(),
        }
    }
}

/// The fields beside the addresses, ready for the mixer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// IP protocol.
    pub protocol: u8,
    /// IPv6 flow label.
    pub label: u32,
    /// Index of the ingress port.
    pub ingress: u16,
}

impl Rest {
    const fn of(key: &FlowKey) -> Rest {
        Rest {
            sport: key.outer.sport,
            dport: key.outer.dport,
            protocol: key.outer.protocol,
            label: key.outer.label,
            ingress: key.ingress,
        }
    }
}

#[cfg(test)]
mod tests;

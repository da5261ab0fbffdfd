//! Counts the second-level blocks (tbl8) that a set of prefixes needs, exactly.
//!
//! DPDK's own count drifts (see `evenpath_fib_forget_reservation`) until a table that is nearly empty
//! refuses everything. With this count a table is refused more only when it is full, and then before
//! DPDK has touched it.

use foldhash::quality::RandomState;
use std::collections::{HashMap, HashSet};

/// A prefix or a block: its first address, left-aligned in 128 bits, and its length.
type Prefix = (u128, u8);

/// The first level, without blocks, resolves so many bits.
const FIRST_LEVEL: u8 = 24;

/// The blocks in use and the prefixes that use them.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Prefixes longer than the first level.
    prefixes: HashSet<Prefix, RandomState>,
    /// How many of them need each block.
    users: HashMap<Prefix, u32, RandomState>,
    limit: usize,
}

/// No block is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// One block for each byte boundary, from the first level on, that lies within the prefix.
fn needed((address, length): Prefix) -> impl Iterator<Item = Prefix> {
    (FIRST_LEVEL..length)
        .step_by(8)
        .map(move |level| (address & u128::MAX << (128 - level), level))
}

impl Blocks {
    pub(super) fn new(limit: u32) -> Self {
        Blocks {
            prefixes: HashSet::default(),
            users: HashMap::default(),
            limit: limit as usize,
        }
    }

    /// Counts `prefix` in; one that is in already changes nothing.
    pub(super) fn insert(&mut self, prefix: Prefix) -> Result<bool, Full> {
        if prefix.1 <= FIRST_LEVEL || self.prefixes.contains(&prefix) {
            return Ok(false);
        }
        let new = needed(prefix).filter(|block| !self.users.contains_key(block));
        if self.users.len() + new.count() > self.limit {
            return Err(Full);
        }
        for block in needed(prefix) {
            *self.users.entry(block).or_default() += 1;
        }
        self.prefixes.insert(prefix);
        Ok(true)
    }

    /// Counts `prefix` out.
    pub(super) fn remove(&mut self, prefix: Prefix) {
        if !self.prefixes.remove(&prefix) {
            return;
        }
        for block in needed(prefix) {
            if let Some(users) = self.users.get_mut(&block) {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(&block);
                }
            }
        }
    }

    /// How many are in use.
    pub(super) fn used(&self) -> u32 {
        self.users.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_share_blocks_and_the_last_one_frees_them() {
        let mut blocks = Blocks::new(6);
        let base = 0x2001_0db8u128 << 96;
        assert_eq!(blocks.insert((base, 24)), Ok(false));
        assert_eq!(blocks.used(), 0);
        assert_eq!(blocks.insert((base, 64)), Ok(true));
        assert_eq!(blocks.insert((base, 64)), Ok(false), "a replacement");
        assert_eq!(blocks.used(), 5, "at /24, /32, /40, /48 and /56");
        assert_eq!(
            blocks.insert((base | 1 << 64, 63)),
            Ok(true),
            "in the same ones"
        );
        assert_eq!(blocks.used(), 5);
        assert_eq!(blocks.insert((base, 128)), Err(Full));
        assert_eq!(blocks.used(), 5, "nothing changed");
        assert_eq!(blocks.insert((base, 72)), Ok(true));
        blocks.remove((base, 64));
        blocks.remove((base, 64));
        assert_eq!(blocks.used(), 6);
        blocks.remove((base | 1 << 64, 63));
        blocks.remove((base, 72));
        assert_eq!(blocks.used(), 0);
    }
}

//! Who has which part of the bucket arena: blocks of 2^n buckets, split and joined in pairs.

use std::collections::BTreeSet;

/// The largest block: 2^16 buckets.
const ORDERS: usize = 17;

/// Free blocks by size.
#[derive(Clone, Debug)]
pub struct Arena {
    free: [BTreeSet<u32>; ORDERS],
    capacity: u32,
    used: u32,
}

impl Arena {
    /// An arena of `capacity` buckets, all of them free.
    pub fn new(capacity: usize) -> Self {
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        let mut arena = Arena {
            free: Default::default(),
            capacity,
            used: 0,
        };
        let mut base = 0;
        while base < capacity {
            // The largest block that is aligned here and still fits.
            let fits = (capacity - base).ilog2().min(ORDERS as u32 - 1);
            let order = base.trailing_zeros().min(fits);
            arena.free[order as usize].insert(base);
            base += 1 << order;
        }
        arena
    }

    /// How many buckets there are.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many are taken.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// How many blocks of `1 << order` buckets are free.
    pub fn room(&self, order: u32) -> u32 {
        let larger = (order as usize..ORDERS).map(|o| self.free[o].len() << (o - order as usize));
        u32::try_from(larger.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Takes a block of `1 << order` buckets; where it starts. Nothing when there is none left.
    pub fn take(&mut self, order: u32) -> Option<u32> {
        let order = order as usize;
        let (from, base) = (order..ORDERS).find_map(|o| Some((o, *self.free[o].first()?)))?;
        self.free[from].remove(&base);
        for split in order..from {
            self.free[split].insert(base + (1 << split));
        }
        self.used += 1 << order;
        Some(base)
    }

    /// Gives back the block of `1 << order` buckets at `base`.
    pub fn give(&mut self, base: u32, order: u32) {
        self.used -= 1 << order;
        let (mut base, mut order) = (base, order as usize);
        while order < ORDERS - 1 && self.free[order].remove(&(base ^ 1 << order)) {
            base &= !(1 << order);
            order += 1;
        }
        self.free[order].insert(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_never_overlap_and_join_again() {
        let mut arena = Arena::new(1000);
        let mut held: Vec<(u32, u32)> = Vec::new();
        let mut seed = 1_u32;
        for _ in 0..5000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let order = seed >> 16 & 7;
            if seed >> 28 & 1 == 0 {
                if let Some(base) = arena.take(order) {
                    assert!(base + (1 << order) <= 1000 && base % (1 << order) == 0);
                    let end = base + (1 << order);
                    assert!(held.iter().all(|&(b, o)| end <= b || b + (1 << o) <= base));
                    held.push((base, order));
                }
            } else if !held.is_empty() {
                let (base, order) = held.swap_remove((seed >> 8) as usize % held.len());
                arena.give(base, order);
            }
            let sum: u32 = held.iter().map(|&(_, o)| 1 << o).sum();
            assert_eq!(arena.used(), sum);
        }
        for (base, order) in held.drain(..) {
            arena.give(base, order);
        }
        assert_eq!(arena.take(9), Some(0), "512 in one piece again");
        assert_eq!((arena.take(9), arena.used()), (None, 512));
        assert_eq!(arena.room(6), (1000 - 512) / 64);
    }

    #[test]
    fn a_full_arena_says_so() {
        let mut arena = Arena::new(64);
        assert_eq!(arena.take(7), None);
        assert_eq!(arena.take(6), Some(0));
        assert_eq!(arena.take(0), None);
    }
}

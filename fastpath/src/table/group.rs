//! Groups and the bucket arena.
//!
//! A group is one word: where its buckets lie and how many there are. Each bucket is one word: the
//! adjacency that packets of that bucket take. Beside every bucket stands its *second choice*, the
//! member that control will write there if the first one dies; workers use it by themselves while
//! the down mask says that the first is dead, so that a repair moves no flow twice.

use super::{AdjacencyId, Down};
use std::sync::atomic::{AtomicU64, Ordering};

/// Index of a group. [`GroupId::NONE`] drops as no-route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct GroupId(pub u32);

impl GroupId {
    /// What a lookup returns on a miss.
    pub const NONE: GroupId = GroupId(0);
}

/// Where a group's buckets are, in one word: base in the arena, and above it the bits of a hash that
/// tell them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupWord(u64);

impl GroupWord {
    /// The largest group: 2^16 buckets.
    pub const MAX_LOG2: u32 = 16;

    /// A group of `1 << log2` buckets from `base` on; `log2` is at most [`Self::MAX_LOG2`].
    pub const fn new(base: u32, log2: u32) -> Self {
        let log2 = if log2 > Self::MAX_LOG2 {
            Self::MAX_LOG2
        } else {
            log2
        };
        GroupWord(base as u64 | ((1 << log2) - 1) << 32)
    }

    /// First bucket's place in the arena.
    pub const fn base(self) -> u32 {
        self.0 as u32
    }

    /// log2 of the number of buckets.
    pub const fn log2(self) -> u32 {
        self.mask().count_ones()
    }

    /// Number of buckets, a power of two.
    pub const fn size(self) -> u32 {
        self.mask() + 1
    }

    const fn mask(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The bucket of `hash`, 0 to size - 1: the hash's low bits, which is what silicon takes of it,
    /// be it a table of rows by CRC or one of RSS queues.
    pub const fn bucket(self, hash: u32) -> u32 {
        hash & self.mask()
    }
}

/// What stands for every id out of range: the word of a group that drops, a bucket that drops.
static NOTHING: AtomicU64 = AtomicU64::new(0);

// A call, so that what never happens is a branch that is never taken and no conditional move.
#[cold]
#[inline(never)]
fn nothing<'a>() -> &'a AtomicU64 {
    std::hint::black_box(&NOTHING)
}

/// All groups and all buckets.
#[derive(Debug)]
pub struct Groups {
    words: Box<[AtomicU64]>,
    /// First choice, low half; second choice, high half: one load gives both.
    buckets: Box<[AtomicU64]>,
}

/// One bucket: its adjacency, and the one that takes over when that is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// What packets of this bucket take.
    pub first: AdjacencyId,
    /// What they take while `first` is dead; equal to `first` in a group of one.
    pub second: AdjacencyId,
}

impl Bucket {
    const fn pack(self) -> u64 {
        self.first.0 as u64 | (self.second.0 as u64) << 32
    }

    const fn unpack(word: u64) -> Self {
        Bucket {
            first: AdjacencyId(word as u32),
            second: AdjacencyId((word >> 32) as u32),
        }
    }
}

impl Groups {
    /// `groups` groups over `buckets` buckets (each at least 1), all of them dropping.
    pub fn new(groups: usize, buckets: usize) -> Self {
        Groups {
            words: (0..groups.max(1)).map(|_| AtomicU64::new(0)).collect(),
            buckets: (0..buckets.max(1)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// How many groups there can be; ids are below.
    pub fn capacity(&self) -> usize {
        self.words.len()
    }

    /// How many buckets there are for all groups.
    pub fn buckets_capacity(&self) -> usize {
        self.buckets.len()
    }

    /// The word of `group`; of an id out of range, one that drops.
    #[inline(always)]
    pub fn word(&self, group: GroupId) -> GroupWord {
        GroupWord(self.word_address(group).load(Ordering::Acquire))
    }

    /// Publishes `word` for `group`. Its buckets must be complete.
    pub fn set_word(&self, group: GroupId, word: GroupWord) {
        if let Some(slot) = self.words.get(group.0 as usize) {
            slot.store(word.0, Ordering::Release);
        }
    }

    /// The bucket at `index` of the arena; out of range, one that drops.
    #[inline(always)]
    pub fn bucket(&self, index: u32) -> Bucket {
        Bucket::unpack(self.bucket_address(index).load(Ordering::Acquire))
    }

    /// Writes the bucket at `index` of the arena. Its adjacencies must be complete.
    pub fn set_bucket(&self, index: u32, bucket: Bucket) {
        if let Some(slot) = self.buckets.get(index as usize) {
            slot.store(bucket.pack(), Ordering::Release);
        }
    }

    /// The word itself, to prefetch.
    #[inline(always)]
    pub fn word_address(&self, group: GroupId) -> &AtomicU64 {
        self.words.get(group.0 as usize).unwrap_or_else(nothing)
    }

    /// The bucket itself, to prefetch.
    #[inline(always)]
    pub fn bucket_address(&self, index: u32) -> &AtomicU64 {
        self.buckets.get(index as usize).unwrap_or_else(nothing)
    }

    /// What a packet of `hash` takes when something in `down` is dead: the bucket's first choice if
    /// that lives, else its second, else the first living member met walking the group's buckets
    /// from there on. Whether it lives is asked once: who dies behind that has still been chosen
    /// rightly, and another might have been had.
    ///
    /// # Errors
    /// The bucket's first choice, since none lives.
    ///
    /// `port_of` gives the egress port of an adjacency. Control calls this too, so that what it
    /// writes is what workers already do.
    pub fn living(
        &self,
        word: GroupWord,
        hash: u32,
        down: &Down,
        port_of: impl Fn(AdjacencyId) -> Option<super::PortId>,
    ) -> Result<AdjacencyId, AdjacencyId> {
        let dead =
            |id: AdjacencyId| down.adjacency(id) || port_of(id).is_some_and(|p| down.port(p));
        let start = word.bucket(hash);
        let Bucket { first, second } = self.bucket(word.base().wrapping_add(start));
        if !dead(first) {
            return Ok(first);
        }
        if !dead(second) {
            return Ok(second);
        }
        let mask = word.size() - 1;
        for step in 1..word.size() {
            let next = self
                .bucket(word.base().wrapping_add((start + step) & mask))
                .first;
            if !dead(next) {
                return Ok(next);
            }
        }
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::PortId;

    #[test]
    fn a_word_keeps_base_and_size_and_spreads_by_low_bits() {
        let word = GroupWord::new(0x8000_0001, 6);
        assert_eq!(
            (word.base(), word.log2(), word.size()),
            (0x8000_0001, 6, 64)
        );
        assert_eq!(word.bucket(0), 0);
        assert_eq!(word.bucket(u32::MAX), 63);
        assert_eq!(word.bucket(65), 1);
        assert_eq!(GroupWord::new(7, 0).bucket(u32::MAX), 0);
    }

    #[test]
    fn what_does_not_exist_drops() {
        let groups = Groups::new(2, 4);
        assert_eq!(groups.word(GroupId(99)), GroupWord::default());
        assert_eq!(groups.bucket(99), Bucket::default());
        assert_eq!(groups.bucket(0).first, AdjacencyId::NO_ROUTE);
    }

    #[test]
    fn the_dead_are_avoided_by_second_choice_then_by_walking() {
        let groups = Groups::new(2, 8);
        let (a, b, c) = (AdjacencyId(10), AdjacencyId(11), AdjacencyId(12));
        for (i, (first, second)) in [(a, b), (b, a), (c, a), (a, c)].into_iter().enumerate() {
            groups.set_bucket(4 + i as u32, Bucket { first, second });
        }
        let word = GroupWord::new(4, 2);
        let port_of = |id: AdjacencyId| Some(PortId(id.0 as u16 - 10));
        let down = Down::new(64);
        let pick = |down: &Down, bucket: u32| groups.living(word, bucket, down, port_of);
        let picks = |down: &Down| [0, 1, 2, 3].map(|i| pick(down, i));
        assert_eq!(picks(&down), [a, b, c, a].map(Ok));
        down.set_port(PortId(0));
        assert_eq!(picks(&down), [b, b, c, c].map(Ok));
        down.set_adjacency(b);
        assert_eq!(picks(&down), [c, c, c, c].map(Ok));
        down.set_adjacency(c);
        assert_eq!(picks(&down), [a, b, c, a].map(Err), "none lives");
        // `a` comes back and `b`, just chosen, dies: no reason to drop a packet.
        let down = Down::new(64);
        down.set_adjacency(a);
        let amid = |id: AdjacencyId| {
            if id == b {
                down.clear_adjacency(a);
                down.set_adjacency(b);
            }
            port_of(id)
        };
        assert_eq!(groups.living(word, 0, &down, amid), Ok(b));
    }
}

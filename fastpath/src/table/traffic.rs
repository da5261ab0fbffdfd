//! What each bucket forwarded: one word a bucket and worker, written by that worker alone.
//!
//! A forwarded packet adds `2^36 + its bytes` to its bucket's word: a load, an addition and a store
//! on memory of the worker's own. Nobody sets a word back. Who reads takes the difference to what
//! it read before, and has packets and bytes apart ([`Traffic::between`]) as long as fewer than
//! 2^28 packets and 2^36 bytes were counted in between. [`Traffic::fits`] says that of what the
//! worker took in meanwhile, so a reading that came too late is known to be one.
//!
//! Activity costs nothing beside: a bucket whose word differs was used.

use std::ops::{AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

const PACKET: u32 = 36;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames, Ethernet header included, no frame check sequence.
    pub bytes: u64,
}

impl Traffic {
    /// What was counted in a bucket's word from one reading to a later one.
    pub const fn between(before: u64, now: u64) -> Traffic {
        let difference = now.wrapping_sub(before);
        Traffic {
            packets: difference >> PACKET,
            bytes: difference & ((1 << PACKET) - 1),
        }
    }

    /// A bucket's word can hold this much: it is less than half of what would overflow, so that
    /// what a worker had in hand at a reading makes no difference.
    pub const fn fits(self) -> bool {
        self.packets < 1 << (64 - PACKET - 1) && self.bytes < 1 << (PACKET - 1)
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl Sub for Traffic {
    type Output = Traffic;

    /// Wraps, as counters do.
    fn sub(self, other: Traffic) -> Traffic {
        Traffic {
            packets: self.packets.wrapping_sub(other.packets),
            bytes: self.bytes.wrapping_sub(other.bytes),
        }
    }
}

/// One worker's word for each bucket of the arena.
///
/// Behind them its memory goes on for a pair of cache lines that nobody writes: what another worker
/// writes, wherever that begins, is on other lines.
#[derive(Debug, Default)]
pub struct BucketCounters(Vec<AtomicU64>);

/// Words of a pair of cache lines, which x86 fetches together.
const PAIR: usize = 128 / size_of::<AtomicU64>();

/// Where a bucket would be that has no word, to prefetch.
static NOWHERE: AtomicU64 = AtomicU64::new(0);

// A call, so that what never happens is a branch that is never taken and no conditional move.
#[cold]
#[inline(never)]
fn nowhere<'a>() -> &'a AtomicU64 {
    std::hint::black_box(&NOWHERE)
}

impl BucketCounters {
    /// For an arena of `buckets` buckets.
    pub fn new(buckets: usize) -> Self {
        let mut words = Vec::with_capacity(buckets + PAIR);
        words.extend((0..buckets).map(|_| AtomicU64::new(0)));
        BucketCounters(words)
    }

    /// A packet of `bytes` bytes was forwarded by the bucket at `index` of the arena. For the
    /// worker alone; a bucket without a word is not counted.
    #[inline(always)]
    pub fn count(&self, index: u32, bytes: usize) {
        if let Some(word) = self.0.get(index as usize) {
            let sum = word.load(Ordering::Relaxed);
            let one = (1 << PACKET) + bytes as u64;
            word.store(sum.wrapping_add(one), Ordering::Relaxed);
        }
    }

    /// The word of the bucket at `index`, for [`Traffic::between`]; 0 of one that has none.
    pub fn word(&self, index: u32) -> u64 {
        self.address(index).load(Ordering::Relaxed)
    }

    /// The word itself, to prefetch.
    #[inline(always)]
    pub fn address(&self, index: u32) -> &AtomicU64 {
        self.0.get(index as usize).unwrap_or_else(nowhere)
    }

    /// Where its words are, and where their memory ends.
    #[cfg(test)]
    pub(crate) fn place(&self) -> [std::ops::Range<usize>; 2] {
        let start = self.0.as_ptr().addr();
        let end = |words: usize| start + words * size_of::<AtomicU64>();
        [start..end(self.0.len()), start..end(self.0.capacity())]
    }

    /// How many buckets have a word.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_bytes_come_apart_again_also_where_the_word_wraps() {
        let counters = BucketCounters::new(3);
        // Nearly full from the start, as after long use.
        for start in [0, u64::MAX - 5, u64::MAX << PACKET, (1 << PACKET) - 1] {
            counters.0[1].store(start, Ordering::Relaxed);
            let before = counters.word(1);
            for len in [60, 1514, 9018] {
                counters.count(1, len);
            }
            let (packets, bytes) = (3, 60 + 1514 + 9018);
            let found = Traffic::between(before, counters.word(1));
            assert_eq!(found, Traffic { packets, bytes }, "{start:x}");
        }
        counters.count(3, 60);
        assert_eq!(
            (counters.word(0), counters.word(2), counters.word(3)),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_fits_is_read_exactly_and_what_does_not_fit_is_known() {
        let word = |t: Traffic| (t.packets << PACKET).wrapping_add(t.bytes);
        let of = |packets, bytes| Traffic { packets, bytes };
        for traffic in [of(0, 0), of((1 << 27) - 1, (1 << 35) - 1)] {
            assert!(traffic.fits());
            assert_eq!(Traffic::between(7, word(traffic).wrapping_add(7)), traffic);
        }
        for traffic in [of(1 << 27, 0), of(0, 1 << 35), of(1 << 40, 1 << 50)] {
            assert!(!traffic.fits());
        }
        // Why it matters: bytes that overflow pass for packets.
        assert_ne!(Traffic::between(0, word(of(1, 1 << 36))), of(1, 1 << 36));
    }
}

//! Times, counted by fixed logarithmic buckets: 1, 2, 5 of each power of ten.

use std::time::Duration;

/// The longest time of each bucket but the last, in microseconds: 1 µs to 500 s. The last bucket
/// has all that took longer.
pub const BOUNDS: [u64; 27] = bounds();

const fn bounds() -> [u64; 27] {
    let mut all = [0; 27];
    let (mut i, mut decade) = (0, 1);
    while i < all.len() {
        all[i] = decade * [1, 2, 5][i % 3];
        decade *= if i % 3 == 2 { 10 } else { 1 };
        i += 1;
    }
    all
}

/// How many times were how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum_us: u64,
    max_us: u64,
}

impl Histogram {
    /// Counts a time; parts of a microsecond count as a whole one.
    pub fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < us);
        self.counts[bucket] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The longest, microseconds.
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// How many there are in each bucket, and its longest time; none: no limit.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// A time, in microseconds, that at least `percent` of 100 did not exceed: the limit of the
    /// bucket that the last of them is in, or the longest time if that is shorter. 0 if there are
    /// none.
    pub fn percentile_us(&self, percent: u64) -> u64 {
        let wanted = (self.count() * percent.min(100)).div_ceil(100).max(1);
        let mut seen = 0;
        for (bound, count) in self.buckets() {
            seen += count;
            if seen >= wanted {
                return bound.map_or(self.max_us, |b| b.min(self.max_us));
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_1_2_5() {
        assert_eq!(BOUNDS[..7], [1, 2, 5, 10, 20, 50, 100]);
        assert_eq!(BOUNDS[26], 500_000_000);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        for (ns, bound) in [
            (0, Some(1)),
            (1000, Some(1)),
            (1001, Some(2)),
            (5000, Some(5)),
            (5001, Some(10)),
            (500_000_000_000, Some(500_000_000)),
            (500_000_000_001, None),
        ] {
            let mut one = Histogram::default();
            one.record(Duration::from_nanos(ns));
            let filled: Vec<_> = one.buckets().filter(|b| b.1 > 0).collect();
            assert_eq!(filled, [(bound, 1)], "{ns} ns");
        }
    }

    #[test]
    fn percentiles_sum_and_longest() {
        let mut times = Histogram::default();
        assert_eq!((times.percentile_us(50), times.count()), (0, 0));
        for us in [3, 4, 30, 40, 700] {
            times.record(Duration::from_micros(us));
        }
        assert_eq!(
            (times.count(), times.sum_us(), times.max_us()),
            (5, 777, 700)
        );
        let at = |percent| times.percentile_us(percent);
        assert_eq!((at(1), at(40), at(41), at(80), at(81)), (5, 5, 50, 50, 700));
        times.record(Duration::MAX);
        assert_eq!((times.sum_us(), times.max_us()), (u64::MAX, u64::MAX));
        assert_eq!(times.percentile_us(100), u64::MAX);
    }
}

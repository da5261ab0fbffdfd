//! Samples of the packets that came in lately, as workers leave them.
//!
//! Control tells each worker which share of its packets to leave, by what it took in since the last
//! time, so that all workers together leave about 2,000 samples a second at any rate of
//! packets. A sample stands for as many packets as one of them was taken of.

use fastpath::table::sample::Sample;
use fastpath::table::stats::WorkerStats;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Samples a second, of all workers together.
const BUDGET: f64 = 2000.0;

/// How long a sample is kept.
pub const WINDOW: Duration = Duration::from_secs(10);

/// The most that are kept.
const MOST: usize = 32_768;

/// The most that one answer describes, 0.3 us each: a repair may have to wait for it. Shares of so many
/// are off by less than 1.6 % of all packets, 19 times in 20.
pub const JUDGED: usize = 4096;

/// What was sampled in the last [`WINDOW`].
#[derive(Debug, Default)]
pub struct Samples {
    workers: Vec<(Arc<WorkerStats>, u64)>,
    kept: VecDeque<(Instant, Sample)>,
    taken_at: Option<Instant>,
}

impl Samples {
    /// Those that `workers` leave from now on.
    pub fn new(workers: &[Arc<WorkerStats>]) -> Self {
        let workers = workers.iter().map(|stats| {
            stats.samples().set_every(1);
            (Arc::clone(stats), stats.taken_in().packets)
        });
        Samples {
            workers: workers.collect(),
            ..Samples::default()
        }
    }

    /// Takes what workers have left, forgets what is too old, and tells them how often to sample.
    pub fn take(&mut self, now: Instant) {
        let since = self.taken_at.replace(now);
        let passed = since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let budget = BUDGET / self.workers.len().max(1) as f64 * passed.as_secs_f64();
        for (stats, before) in &mut self.workers {
            while let Some(sample) = stats.samples().take() {
                self.kept.push_back((now, sample));
            }
            let packets = stats.taken_in().packets;
            let came = packets.wrapping_sub(std::mem::replace(before, packets));
            if budget > 0.0 {
                let every = (came as f64 / budget).clamp(1.0, f64::from(1 << 30));
                stats.samples().set_every(every as u32);
            }
        }
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > WINDOW;
        while self.kept.front().is_some_and(|(at, _)| is_old(at)) || self.kept.len() > MOST {
            self.kept.pop_front();
        }
    }

    /// Packets that those workers have not looked up, because of their marks.
    pub fn marked(&self) -> u64 {
        self.workers.iter().map(|(s, _)| s.snapshot().marked).sum()
    }

    /// Those of the last [`WINDOW`] before `now`, oldest first; [`JUDGED`] of them at most, one of
    /// each so many that follow one another, at random, since traffic may come in turns.
    pub fn recent(&self, now: Instant) -> impl Iterator<Item = &Sample> {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > WINDOW;
        let first = self.kept.partition_point(|(at, _)| is_old(at));
        let count = self.kept.len() - first;
        let each = count.div_ceil(JUDGED).max(1);
        let mut random = 0x9e37_79b9_u32;
        (0..count.div_ceil(each)).filter_map(move |block| {
            // Xorshift (Marsaglia 2003): the same choice each time.
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let rest = each.min(count - block * each);
            let at = first + block * each + random as usize % rest;
            self.kept.get(at).map(|(_, sample)| sample)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastpath::table::PortId;

    #[test]
    fn the_rate_follows_the_traffic_and_samples_grow_old() {
        let new = |_| Arc::new(WorkerStats::with_buckets(1));
        let stats: Vec<_> = (0..2).map(new).collect();
        let mut samples = Samples::new(&stats);
        let start = Instant::now();
        samples.take(start);
        assert_eq!(stats[0].samples().every(), 1);
        stats[0].received(PortId(0), 5_000_000, 0);
        stats[1].received(PortId(0), 100, 0);
        assert!(stats[0].samples().put(Sample::new(&[1; 60], PortId(0), 1)));
        // A thousand a second each.
        samples.take(start + Duration::from_millis(500));
        let every: Vec<_> = stats.iter().map(|s| s.samples().every()).collect();
        assert_eq!(every, [10_000, 1]);
        let recent = |s: &Samples, ms| s.recent(start + Duration::from_millis(ms)).count();
        assert_eq!((recent(&samples, 10_500), recent(&samples, 10_501)), (1, 0));
        samples.take(start + Duration::from_secs(11));
        assert_eq!((samples.kept.len(), stats[0].samples().every()), (0, 1));
    }

    #[test]
    fn one_answer_judges_so_many_whatever_turns_the_traffic_takes() {
        let stats = Arc::new(WorkerStats::with_buckets(1));
        let mut samples = Samples::new(&[Arc::clone(&stats)]);
        let start = Instant::now();
        let mut seen = |count: u32, turns: u32| {
            samples.kept.clear();
            for n in 0..count {
                let frame = (n % turns).to_be_bytes();
                samples
                    .kept
                    .push_back((start, Sample::new(&frame, PortId(0), 1)));
            }
            let all: Vec<_> = samples.recent(start).map(|s| s.kept().to_vec()).collect();
            let kinds: std::collections::BTreeSet<_> = all.iter().cloned().collect();
            (all.len(), kinds.len())
        };
        assert_eq!(seen(4096, 4096), (4096, 4096), "all of them");
        assert_eq!(seen(4097, 1), (2049, 1));
        for turns in [3, 5, 8, 40, 320] {
            let (all, kinds) = seen(32_768, turns);
            assert_eq!((all, kinds), (4096, turns as usize), "of each kind");
        }
        assert_eq!(seen(0, 1), (0, 0));
    }
}

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

    /// Those of the last [`WINDOW`] before `now`, oldest first.
    pub fn recent(&self, now: Instant) -> impl Iterator<Item = &Sample> {
        let is_recent = move |at: &Instant| now.saturating_duration_since(*at) <= WINDOW;
        let recent = self.kept.iter().filter(move |(at, _)| is_recent(at));
        recent.map(|(_, sample)| sample)
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
}

//! What a worker's thread does in a measurement: it forwards, and moves packets without looking at
//! them, in turns of some milliseconds, so that both meet the machine alike.

use crate::team::Forwarder;
use fastpath::dpdk::{Mbuf, thread_time_ns};
use fastpath::software::burst::{Burst, RxQueue, TxQueue};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One slice of either kind, of the thread's own time.
const SLICE: Duration = Duration::from_millis(10);
/// Goes before each slice: caches and branch predictors forget the other kind.
const WARM_UP: Duration = Duration::from_millis(2);
/// Turns between two looks at the clock.
const TURNS: usize = 64;

/// Cycles a packet of one worker, one figure a slice.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Forwarding.
    pub forward: Vec<f64>,
    /// Moving.
    pub floor: Vec<f64>,
    /// Forwarding, while control changes tables.
    pub busy: Vec<f64>,
}

/// Packets moved from each port to the next one that can send, unseen; how many.
fn pass(worker: &mut Forwarder<'_, '_>, burst: &mut Burst<Mbuf>) -> usize {
    let mut moved = 0;
    let (receive, mut transmit) = worker.queues();
    let ports = transmit.len();
    for _ in 0..TURNS {
        for (i, attached) in receive.iter_mut().enumerate() {
            attached.queue.poll(burst);
            let to = transmit.get_mut((i + 1) % ports.max(1));
            if let Some((_, queue)) = to.filter(|_| !burst.is_empty()) {
                moved += queue.send(burst);
            }
            burst.clear();
        }
    }
    moved
}

/// The same number of turns, forwarding.
fn forward(worker: &mut Forwarder<'_, '_>) -> usize {
    (0..TURNS).map(|_| worker.turn()).sum()
}

/// Calls `work` for `time` of the thread's own; cycles for each packet that it says it moved.
fn cycles(eal_hz: u64, time: Duration, mut work: impl FnMut() -> usize) -> f64 {
    let (start, mut packets) = (thread_time_ns(), 0);
    loop {
        packets += work();
        let spent = thread_time_ns() - start;
        if u128::from(spent) >= time.as_nanos() {
            let cycles = spent as f64 * eal_hz as f64 / 1e9;
            return cycles / packets.max(1) as f64;
        }
    }
}

/// How many slices of each kind fit `duration`.
pub fn slices(duration: Duration) -> usize {
    (duration.as_nanos() / (2 * (SLICE + WARM_UP)).as_nanos()).max(3) as usize
}

/// Measures `worker`, in step with the others that wait at `barrier`.
pub fn measure(
    mut worker: Forwarder<'_, '_>,
    burst: u16,
    slices: usize,
    barrier: &Barrier,
    hz: u64,
    busy: Option<&AtomicBool>,
) -> Series {
    let (receive, _) = worker.queues();
    for attached in receive {
        attached.queue.limit(burst);
    }
    let (mut series, mut packets) = (Series::default(), Burst::new());
    for _ in 0..slices {
        barrier.wait();
        cycles(hz, WARM_UP, || pass(&mut worker, &mut packets));
        let floor = cycles(hz, SLICE, || pass(&mut worker, &mut packets));
        series.floor.push(floor);
        barrier.wait();
        cycles(hz, WARM_UP, || forward(&mut worker));
        series
            .forward
            .push(cycles(hz, SLICE, || forward(&mut worker)));
        if let Some(busy) = busy {
            barrier.wait();
            busy.store(true, Ordering::Release);
            cycles(hz, WARM_UP, || forward(&mut worker));
            let meanwhile = cycles(hz, SLICE, || forward(&mut worker));
            series.busy.push(meanwhile);
            busy.store(false, Ordering::Release);
        }
    }
    series
}

/// The lower quartile, the median and the upper quartile.
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: usize| sorted.get(sorted.len() * share / 4).copied();
    [1, 2, 3].map(|share| at(share).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_few_and_many() {
        assert_eq!(quartiles(&[]), [0.0; 3]);
        assert_eq!(quartiles(&[5.0]), [5.0; 3]);
        let all: Vec<_> = (0..100).rev().map(f64::from).collect();
        assert_eq!(quartiles(&all), [25.0, 50.0, 75.0]);
    }

    #[test]
    fn each_kind_has_slices_however_short_it_is() {
        assert_eq!(slices(Duration::ZERO), 3);
        assert_eq!(slices(Duration::from_secs(1)), 41);
    }
}

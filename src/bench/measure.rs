//! What a worker's thread does in a measurement: it forwards, and moves packets without looking at
//! them, in turns of some milliseconds, so that both meet the machine alike.

use super::feed::Feed;
use fastpath::dpdk::{Fib, Mbuf, PoolAllocator, RxQueue as Receive, TxQueue as Transmit};
use fastpath::dpdk::{cycles, thread_time_ns};
use fastpath::software::burst::{Burst, RxQueue, TxQueue};
use fastpath::software::laps::{Cycles, Laps, Stage};
use fastpath::software::worker::Worker;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One slice of either kind, of the thread's own time.
const SLICE: Duration = Duration::from_millis(10);
/// Goes before each slice: caches and branch predictors forget the other kind.
const WARM_UP: Duration = Duration::from_millis(2);
/// Turns between two looks at the clock.
const TURNS: usize = 64;

/// A worker over DPDK's queues and tables, its stages measured or not.
pub type Measured<'a, 'e, C> = Worker<Receive<'a>, Transmit<'a>, PoolAllocator<'a>, Fib<'e>, C>;

/// Cycles a packet of one worker, one figure a slice in which packets came.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Forwarding.
    pub forward: Vec<f64>,
    /// Moving.
    pub floor: Vec<f64>,
    /// Forwarding, while control changes tables.
    pub busy: Vec<f64>,
    /// Each stage of forwarding.
    pub stages: [Vec<f64>; Stage::ALL.len()],
    /// Packets of a turn that had some.
    pub taken: Vec<f64>,
    /// Packets forwarded, where nothing was measured.
    pub counted: usize,
}

/// How a worker is measured.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The most packets taken from a queue at once.
    pub burst: u16,
    /// Slices of each kind.
    pub slices: usize,
    /// The counter's frequency.
    pub hz: u64,
    /// Packets may be missing: turns without any, and what feeds the devices, are left out.
    pub may_wait: bool,
}

/// What was done in a slice.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    packets: usize,
    turns: usize,
    /// Of turns with packets.
    cycles: u64,
    stages: Cycles,
}

impl Moved {
    fn per_packet(&self, cycles: u64) -> f64 {
        cycles as f64 / self.packets.max(1) as f64
    }
}

/// One turn, timed by itself where packets may be missing.
fn timed(moved: &mut Moved, method: Method, turn: impl FnOnce() -> usize) -> usize {
    if !method.may_wait {
        let packets = turn();
        moved.packets += packets;
        moved.turns += 1;
        return packets;
    }
    let before = cycles();
    let packets = turn();
    if packets != 0 {
        moved.cycles += cycles() - before;
        moved.packets += packets;
        moved.turns += 1;
    }
    packets
}

impl Series {
    fn push(&mut self, forward: &Moved) {
        self.forward.push(forward.per_packet(forward.cycles));
        let taken = forward.packets as f64 / forward.turns.max(1) as f64;
        self.taken.push(taken);
        let stages = self.stages.iter_mut().zip(forward.stages);
        stages.for_each(|(all, cycles)| all.push(forward.per_packet(cycles)));
    }
}

/// Packets moved from each port to the next one that can send, unseen.
fn pass<C: Laps>(
    worker: &mut Measured<'_, '_, C>,
    burst: &mut Burst<Mbuf>,
    feed: &mut Option<Feed<'_>>,
    method: Method,
    moved: &mut Moved,
) {
    let (receive, mut transmit) = worker.queues();
    let ports = transmit.len();
    for _ in 0..TURNS {
        if let (Some(feed), Some((_, queue))) = (feed.as_mut(), transmit.first_mut()) {
            feed.send(queue);
        }
        timed(moved, method, || {
            let mut packets = 0;
            for (i, attached) in receive.iter_mut().enumerate() {
                attached.queue.poll(burst);
                let to = transmit.get_mut((i + 1) % ports.max(1));
                if let Some((_, queue)) = to.filter(|_| !burst.is_empty()) {
                    packets += queue.send(burst);
                }
                burst.clear();
            }
            packets
        });
    }
}

/// The same number of turns, forwarding.
fn forward<C: Laps>(
    worker: &mut Measured<'_, '_, C>,
    feed: &mut Option<Feed<'_>>,
    method: Method,
    moved: &mut Moved,
) {
    for _ in 0..TURNS {
        if let Some(feed) = feed {
            let (_, mut transmit) = worker.queues();
            if let Some((_, queue)) = transmit.first_mut() {
                feed.send(queue);
            }
        }
        let packets = timed(moved, method, || worker.turn());
        let laps = worker.laps().take();
        if packets != 0 {
            let sums = moved.stages.iter_mut().zip(laps);
            sums.for_each(|(sum, cycles)| *sum += cycles);
        }
    }
}

/// Calls `work` for `time` of the thread's own.
fn slice(time: Duration, method: Method, mut work: impl FnMut(&mut Moved)) -> Moved {
    let (start, mut moved) = (thread_time_ns(), Moved::default());
    loop {
        work(&mut moved);
        let spent = thread_time_ns() - start;
        if u128::from(spent) >= time.as_nanos() {
            if !method.may_wait {
                moved.cycles = (spent as f64 * method.hz as f64 / 1e9) as u64;
            }
            return moved;
        }
    }
}

/// The same, behind as many turns as caches and predictors need.
fn warmed(method: Method, mut work: impl FnMut(&mut Moved)) -> Moved {
    slice(WARM_UP, method, &mut work);
    slice(SLICE, method, work)
}

/// How many slices of each kind fit `duration`.
pub fn slices(duration: Duration) -> usize {
    (duration.as_nanos() / (2 * (SLICE + WARM_UP)).as_nanos()).max(3) as usize
}

/// Measures `worker`, in step with the others that wait at `barrier`; `feed` sends by its first port what
/// comes in there again.
pub fn measure<C: Laps>(
    mut worker: Measured<'_, '_, C>,
    mut feed: Option<Feed<'_>>,
    method: Method,
    barrier: &Barrier,
    busy: Option<&AtomicBool>,
) -> Series {
    let (receive, _) = worker.queues();
    for attached in receive {
        attached.queue.limit(method.burst);
    }
    let (mut series, mut burst, feed) = (Series::default(), Burst::new(), &mut feed);
    for _ in 0..method.slices {
        barrier.wait();
        let floor = warmed(method, |moved| {
            pass(&mut worker, &mut burst, feed, method, moved);
        });
        barrier.wait();
        let quiet = warmed(method, |moved| forward(&mut worker, feed, method, moved));
        if floor.packets != 0 && quiet.packets != 0 {
            series.floor.push(floor.per_packet(floor.cycles));
            series.push(&quiet);
        }
        if let Some(busy) = busy {
            barrier.wait();
            busy.store(true, Ordering::Release);
            let meanwhile = warmed(method, |moved| forward(&mut worker, feed, method, moved));
            series.busy.push(meanwhile.per_packet(meanwhile.cycles));
            busy.store(false, Ordering::Release);
        }
    }
    series
}

/// Forwards some thousand packets.
pub fn count<C: Laps>(mut worker: Measured<'_, '_, C>, method: Method) -> Series {
    let (receive, _) = worker.queues();
    for attached in receive {
        attached.queue.limit(method.burst);
    }
    let mut counted = 0;
    while counted < 1 << 14 {
        counted += worker.turn();
    }
    Series {
        counted,
        ..Series::default()
    }
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

    #[test]
    fn turns_without_packets_are_left_out_where_packets_may_be_missing() {
        let method = |may_wait| Method {
            burst: 64,
            slices: 1,
            hz: 1,
            may_wait,
        };
        let (mut waits, mut runs) = (Moved::default(), Moved::default());
        for packets in [0, 5, 0, 3] {
            timed(&mut waits, method(true), || packets);
            timed(&mut runs, method(false), || packets);
        }
        assert_eq!((waits.packets, waits.turns), (8, 2));
        assert_eq!((runs.packets, runs.turns, runs.cycles), (8, 4, 0));
    }
}

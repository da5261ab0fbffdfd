//! Which packets a worker leaves samples of.
//!
//! Between two samples a random number of packets goes by, so that traffic with a rhythm is met
//! all over. No clock is read: control sets the mean by the rate that it sees.

use super::burst::{Burst, Frame};
use crate::table::PortId;
use crate::table::sample::{Sample, Samples};

/// Packets that go by until it is asked again whether anybody wants samples.
const PAUSE: u32 = 1024;

/// The means beyond which a sum would not fit.
const MOST: u32 = 1 << 30;

/// A worker's own way of picking.
#[derive(Clone, Debug)]
pub struct Picker {
    /// Packets that go by first.
    skip: u32,
    random: u64,
}

impl Picker {
    /// One that draws its numbers from `seed` on.
    pub const fn new(seed: u64) -> Self {
        Picker {
            skip: 0,
            random: seed,
        }
    }

    /// Leaves samples of a burst that came in on `port`, as often as is wanted: in most bursts, a
    /// comparison and a subtraction.
    #[inline(always)]
    pub fn pick<F: Frame>(&mut self, burst: &Burst<F>, port: PortId, samples: &Samples) {
        let len = burst.len() as u32;
        if self.skip >= len {
            self.skip -= len;
        } else {
            self.take(burst, port, samples);
        }
    }

    #[cold]
    #[inline(never)]
    fn take<F: Frame>(&mut self, burst: &Burst<F>, port: PortId, samples: &Samples) {
        let every = samples.every().min(MOST);
        if every == 0 || samples.is_full() {
            self.skip = if every == 0 { PAUSE } else { self.step(every) };
            return;
        }
        while let Some(frame) = burst.get(self.skip as usize) {
            samples.put(Sample::new(frame.bytes(), port, every));
            self.skip += self.step(every);
        }
        self.skip = self.skip.saturating_sub(burst.len() as u32);
    }

    /// From 1 to `2 * every - 1`, each as likely.
    fn step(&mut self, every: u32) -> u32 {
        // Knuth's MMIX; the high bits are good enough to pick by.
        let next = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = next.wrapping_add(1_442_695_040_888_963_407);
        let width = u64::from(2 * every - 1);
        1 + ((self.random >> 32) * width >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::super::heap::HeapFrame;
    use super::*;

    /// 1,000 flows one after another in bursts of 20, `rounds` times; the flows that were picked.
    fn picked(every: u32, rounds: usize) -> Vec<u16> {
        let samples = Samples::new(1 << 15);
        samples.set_every(every);
        let mut picker = Picker::new(7);
        let burst = |first: u16| {
            let mut burst = Burst::new();
            for flow in first..first + 20 {
                burst.push(HeapFrame::new(&flow.to_be_bytes())).unwrap();
            }
            burst
        };
        let bursts: Vec<_> = (0..1000).step_by(20).map(burst).collect();
        for _ in 0..rounds {
            for burst in &bursts {
                picker.pick(burst, PortId(3), &samples);
            }
        }
        let mut flows = Vec::new();
        while let Some(sample) = samples.take() {
            assert_eq!((sample.port, sample.packets), (PortId(3), every));
            flows.push(u16::from_be_bytes(sample.kept().try_into().unwrap()));
        }
        flows
    }

    #[test]
    fn one_of_so_many_is_taken_and_no_rhythm_hides_a_flow() {
        assert_eq!(picked(1, 1), (0..1000).collect::<Vec<_>>());
        for every in [2, 10, 100] {
            let rounds = 10 * every as usize;
            let flows = picked(every, rounds);
            let mean = 1000 * rounds / flows.len();
            let close = mean.abs_diff(every as usize) * 20 <= every as usize;
            assert!(close, "one of {mean} for one of {every}");
            let mut seen = flows.clone();
            seen.sort_unstable();
            seen.dedup();
            assert!(seen.len() > 990, "{} flows at one of {every}", seen.len());
        }
    }

    #[test]
    fn none_is_taken_unasked_or_without_room() {
        let mut burst = Burst::new();
        burst.push(HeapFrame::new(&[1; 60])).unwrap();
        let samples = Samples::new(2);
        let mut picker = Picker::new(7);
        for _ in 0..10 {
            picker.pick(&burst, PortId(0), &samples);
        }
        assert_eq!(samples.take(), None);
        samples.set_every(1);
        for _ in 0..2 * PAUSE {
            picker.pick(&burst, PortId(0), &samples);
        }
        assert!(samples.is_full());
        assert!(samples.take().is_some() && samples.take().is_some());
        assert_eq!(samples.take(), None);
    }
}

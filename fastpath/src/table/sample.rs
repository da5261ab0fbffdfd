//! Samples of what comes in: the first bytes of some frames, left by a worker for control to take.
//!
//! Control says how many packets go by for each one that is taken, from what it sees of the rate;
//! the room for samples bounds how many are taken until it looks again. A worker that finds no
//! room takes none.

use super::PortId;
use crossbeam::queue::ArrayQueue;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes kept of a frame: two tags, IPv6, VXLAN and what is inside it up to a TCP header fit.
pub const KEPT: usize = 192;

/// Samples that wait for control, at most.
pub const ROOM: usize = 512;

/// The start of a frame as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    bytes: [u8; KEPT],
    length: u32,
    /// The port that it came in by.
    pub port: PortId,
    /// How many packets it stands for.
    pub packets: u32,
}

impl Sample {
    /// The start of `frame`.
    pub fn new(frame: &[u8], port: PortId, packets: u32) -> Self {
        let mut bytes = [0; KEPT];
        for (to, from) in bytes.iter_mut().zip(frame) {
            *to = *from;
        }
        Sample {
            bytes,
            length: frame.len() as u32,
            port,
            packets,
        }
    }

    /// The bytes that were kept.
    pub fn kept(&self) -> &[u8] {
        let length = KEPT.min(self.length as usize);
        self.bytes.get(..length).unwrap_or_default()
    }

    /// The frame was longer than what was kept of it.
    pub fn is_cut(&self) -> bool {
        self.length as usize > KEPT
    }

    /// A frame of the length that it had, with `filler` for what was not kept.
    pub fn frame(&self, filler: u8) -> Vec<u8> {
        Frames::new(filler).of(self).to_vec()
    }
}

/// Frames of samples one after another, in one buffer: what was kept is all that is written for each.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    filler: u8,
}

impl Frames {
    /// With `filler` for what was not kept.
    pub fn new(filler: u8) -> Self {
        Frames {
            bytes: Vec::new(),
            filler,
        }
    }

    /// The frame of `sample`, of the length that it had.
    pub fn of(&mut self, sample: &Sample) -> &[u8] {
        let length = sample.length as usize;
        if self.bytes.len() < length.max(KEPT) {
            self.bytes.resize(length.max(KEPT), self.filler);
        }
        // Behind what was kept stands the filler; a frame that was kept whole ends there.
        for (to, from) in self.bytes.iter_mut().zip(sample.kept()) {
            *to = *from;
        }
        self.bytes.get(..length).unwrap_or_default()
    }
}

/// What one worker leaves for control.
#[derive(Debug)]
pub struct Samples {
    queue: ArrayQueue<Sample>,
    every: AtomicU32,
}

impl Samples {
    /// Room for `room` samples, at least 1; none is taken yet.
    pub fn new(room: usize) -> Self {
        Samples {
            queue: ArrayQueue::new(room.max(1)),
            every: AtomicU32::new(0),
        }
    }

    /// One of so many packets is to be taken, by the mean; 0: none.
    #[inline]
    pub fn every(&self) -> u32 {
        self.every.load(Ordering::Relaxed)
    }

    /// From now on one of `every` packets is taken; 0: none.
    pub fn set_every(&self, every: u32) {
        self.every.store(every, Ordering::Relaxed);
    }

    /// Leaves a sample; false if there is no room.
    pub fn put(&self, sample: Sample) -> bool {
        self.queue.push(sample).is_ok()
    }

    /// There is no room now.
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Takes the sample that has waited longest.
    pub fn take(&self) -> Option<Sample> {
        self.queue.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_length_and_nothing_of_the_one_before() {
        let mut frames = Frames::new(0xff);
        for length in [0, 60, KEPT, KEPT + 1, 1514, 61, 9000, 1500, KEPT - 1] {
            let frame: Vec<u8> = (0..length).map(|i| i as u8 ^ length as u8).collect();
            let sample = Sample::new(&frame, PortId(1), 1);
            let mut wanted = frame.clone();
            wanted.iter_mut().skip(KEPT).for_each(|b| *b = 0xff);
            assert_eq!(frames.of(&sample), wanted, "{length}");
            assert_eq!(sample.frame(0xff), wanted);
        }
    }
}

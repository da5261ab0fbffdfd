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
        let mut frame = self.kept().to_vec();
        frame.resize(self.length as usize, filler);
        frame
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

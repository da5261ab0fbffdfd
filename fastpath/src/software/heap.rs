//! Frames and queues on plain memory: what tests, benches and models drive a worker with.

use super::burst::{Allocator, BURST, Burst, Frame, RxQueue, TxQueue};
use super::prefetch::prefetch;
use crate::table::traffic::Traffic;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Headroom of a new frame, bytes: DPDK's default.
pub const HEADROOM: usize = 128;
/// Room for data of a new frame, bytes: DPDK's default; a longer one gets what it needs.
pub const DATAROOM: usize = 2048;

/// A frame in a box; as small as can be, since moving it is part of what `.ci/instructions` counts.
#[derive(Clone, Debug)]
pub struct HeapFrame {
    memory: Box<[u8]>,
    start: u32,
    len: u32,
    /// What a NIC would have told with it.
    rss: Option<u32>,
    mark: Option<u32>,
}

impl HeapFrame {
    /// A frame of `bytes`, with the usual room before and after.
    pub fn new(bytes: &[u8]) -> Self {
        HeapFrame::with_room(bytes, HEADROOM, DATAROOM.saturating_sub(bytes.len()))
    }

    /// A frame of `bytes` with exactly this much room. All room is filled with 0xa5.
    pub fn with_room(bytes: &[u8], headroom: usize, tailroom: usize) -> Self {
        let mut memory = vec![0xa5; headroom];
        memory.extend(bytes);
        memory.resize(headroom + bytes.len() + tailroom, 0xa5);
        HeapFrame {
            memory: memory.into(),
            start: headroom as u32,
            len: bytes.len() as u32,
            rss: None,
            mark: None,
        }
    }

    #[inline]
    fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// The same frame, with `hash` as what a NIC told with it.
    #[must_use]
    pub fn with_rss(self, hash: u32) -> Self {
        let rss = Some(hash);
        HeapFrame { rss, ..self }
    }

    /// The same frame, with `mark` as what a rule of a NIC put on it.
    #[must_use]
    pub fn with_mark(self, mark: u32) -> Self {
        let mark = Some(mark);
        HeapFrame { mark, ..self }
    }
}

impl Frame for HeapFrame {
    #[inline]
    fn bytes(&self) -> &[u8] {
        let range = self.range();
        self.memory.get(range).unwrap_or_default()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let range = self.range();
        self.memory.get_mut(range).unwrap_or_default()
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= self.start as usize;
        if fits {
            self.start -= n as u32;
            self.len += n as u32;
        }
        fits
    }

    #[inline]
    fn advance(&mut self, n: usize) -> bool {
        let fits = n <= self.len as usize;
        if fits {
            self.start += n as u32;
            self.len -= n as u32;
        }
        fits
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= self.memory.len().saturating_sub(self.start as usize);
        if fits {
            self.len = len as u32;
        }
        fits
    }

    #[inline]
    fn prefetch(&self) {
        if let Some(first) = self.memory.get(self.start as usize) {
            prefetch(first);
        }
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        self.rss
    }

    #[inline]
    fn mark(&self) -> Option<u32> {
        self.mark
    }
}

/// A wire: frames in order, both ends held by anybody.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Mutex<VecDeque<HeapFrame>>>);

impl Wire {
    /// An empty one.
    pub fn new() -> Self {
        Wire::default()
    }

    fn frames(&self) -> MutexGuard<'_, VecDeque<HeapFrame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame of `bytes` on it.
    pub fn put(&self, bytes: &[u8]) {
        self.put_frame(HeapFrame::new(bytes));
    }

    /// Puts `frame` on it.
    pub fn put_frame(&self, frame: HeapFrame) {
        self.frames().push_back(frame);
    }

    /// Takes all that is on it.
    pub fn take(&self) -> Vec<Vec<u8>> {
        self.frames()
            .drain(..)
            .map(|f| f.bytes().to_vec())
            .collect()
    }
}

impl RxQueue for Wire {
    type Frame = HeapFrame;

    fn poll(&mut self, burst: &mut Burst<HeapFrame>) -> Traffic {
        let mut frames = self.frames();
        let n = frames.len().min(burst.room());
        for frame in frames.drain(..n) {
            // `n` is within the room.
            let _ = burst.push(frame);
        }
        Traffic::default()
    }
}

/// The sending end of a [`Wire`] that takes only so many frames a call, as a ring nearly full.
#[derive(Clone, Debug)]
pub struct WireTx {
    /// Where they go.
    pub wire: Wire,
    /// How many a call of `send` takes, at most.
    pub at_most: usize,
}

impl WireTx {
    /// One that takes everything.
    pub fn new(wire: &Wire) -> Self {
        WireTx {
            wire: wire.clone(),
            at_most: BURST,
        }
    }
}

impl TxQueue for WireTx {
    type Frame = HeapFrame;

    fn send(&mut self, burst: &mut Burst<HeapFrame>) -> usize {
        let mut kept = Burst::new();
        let mut sent = 0;
        let mut frames = self.wire.frames();
        burst.drain(|_, frame| {
            if sent < self.at_most {
                sent += 1;
                frames.push_back(frame);
            } else {
                // As many as there were fit again.
                let _ = kept.push(frame);
            }
        });
        *burst = kept;
        sent
    }
}

/// Makes frames, as many as it is told to.
#[derive(Clone, Copy, Debug)]
pub struct HeapAllocator {
    /// How many are left.
    pub left: usize,
}

impl Default for HeapAllocator {
    fn default() -> Self {
        HeapAllocator { left: usize::MAX }
    }
}

impl Allocator for HeapAllocator {
    type Frame = HeapFrame;

    fn allocate(&mut self) -> Option<HeapFrame> {
        self.left = self.left.checked_sub(1)?;
        Some(HeapFrame::new(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_move_within_their_room() {
        let mut frame = HeapFrame::with_room(&[1, 2, 3, 4], 2, 3);
        assert!(!frame.prepend(3) && frame.prepend(2));
        assert_eq!(frame.bytes(), [0xa5, 0xa5, 1, 2, 3, 4]);
        assert!(!frame.advance(7) && frame.advance(4));
        assert!(!frame.set_len(6) && frame.set_len(5));
        assert_eq!(frame.bytes_mut(), [3, 4, 0xa5, 0xa5, 0xa5]);
        assert!(frame.set_len(0) && frame.bytes().is_empty());
    }

    #[test]
    fn a_full_queue_keeps_the_rest_in_order() {
        let (wire, mut burst) = (Wire::new(), Burst::new());
        for i in 0..5 {
            burst.push(HeapFrame::new(&[i])).unwrap();
        }
        let mut tx = WireTx::new(&wire);
        tx.at_most = 2;
        assert_eq!((tx.send(&mut burst), burst.len()), (2, 3));
        assert_eq!(burst[0].bytes(), [2]);
        assert_eq!(wire.take(), [[0], [1]]);
    }
}

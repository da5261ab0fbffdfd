//! Packets for devices that hand in what they send: a ring, a cable from one's own transmitter.

use fastpath::dpdk::{Mbuf, PoolAllocator, TxQueue as Transmit};
use fastpath::software::burst::{Allocator, Burst, Frame, TxQueue};

/// One worker's flows, sent again and again.
#[derive(Debug)]
pub struct Feed<'p> {
    /// One after the other, each of `length` bytes.
    frames: &'p [u8],
    length: usize,
    next: usize,
    allocator: PoolAllocator<'p>,
    /// What the device has not taken yet.
    waiting: Burst<Mbuf>,
    most: usize,
}

impl<'p> Feed<'p> {
    /// Of `frames`, one after the other, each of `length` bytes; up to `most` at once.
    pub fn new(frames: &'p [u8], length: u16, most: u16, allocator: PoolAllocator<'p>) -> Feed<'p> {
        Feed {
            frames,
            length: length.into(),
            next: 0,
            allocator,
            waiting: Burst::new(),
            most: most.into(),
        }
    }

    /// Sends as many as go at once; what is left goes first the next time.
    pub fn send(&mut self, queue: &mut Transmit<'_>) {
        while self.waiting.len() < self.most {
            let bytes = self.frames.get(self.next..self.next + self.length);
            let Some(bytes) = bytes else {
                self.next = 0;
                if self.frames.len() < self.length {
                    return;
                }
                continue;
            };
            let Some(mut frame) = self.allocator.allocate() else {
                break;
            };
            if !frame.set_len(self.length) {
                return;
            }
            frame.bytes_mut().copy_from_slice(bytes);
            self.next += self.length;
            if self.waiting.push(frame).is_err() {
                break;
            }
        }
        queue.send(&mut self.waiting);
    }
}

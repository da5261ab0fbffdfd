//! Frames going round in memory: what is sent comes in again, as it was at first.

use fastpath::software::burst::{Allocator, BURST, Burst, Frame, RxQueue, TxQueue};
use fastpath::software::heap::HeapFrame;
use fastpath::table::traffic::Traffic;
use std::cell::Cell;
use std::rc::Rc;

/// How many frames go round: their headers fill the first-level cache, as a NIC's ring would.
const FRAMES: usize = 512;
/// Bytes at the start of a frame that are put back as they were: an IPv6 header's end, and less than
/// the shortest frame has.
const HEAD: usize = 54;

type Slot = Cell<Option<HeapFrame>>;

/// The ring. Its ends are panic-free, for their code becomes part of the worker's.
#[derive(Clone)]
pub struct Ring {
    slots: Rc<[Slot; FRAMES]>,
    head: Rc<Cell<usize>>,
    tail: Rc<Cell<usize>>,
    /// Length and head of every packet, sent one after the other.
    heads: Rc<[(usize, [u8; HEAD])]>,
    next: Rc<Cell<usize>>,
}

/// The receiving end.
pub struct Receive(Ring);

/// The sending end.
pub struct Transmit(Ring);

/// Makes nothing: no packet here needs fragments.
pub struct Never;

impl Ring {
    /// `packets` in turn, all of one length.
    pub fn new(packets: &[Vec<u8>]) -> Self {
        let head = |packet: &Vec<u8>| {
            let mut head = [0; HEAD];
            head.iter_mut()
                .zip(packet)
                .for_each(|(to, from)| *to = *from);
            (packet.len(), head)
        };
        let frame = HeapFrame::new(packets.first().map_or(&[], |p| p));
        Ring {
            slots: Rc::new(std::array::from_fn(|_| Cell::new(Some(frame.clone())))),
            head: Rc::new(Cell::new(0)),
            tail: Rc::new(Cell::new(FRAMES)),
            heads: packets.iter().map(head).collect(),
            next: Rc::new(Cell::new(0)),
        }
    }

    /// With `hash` as what a NIC told with every frame.
    pub fn told(self, hash: u32) -> Self {
        for slot in self.slots.iter() {
            slot.set(slot.take().map(|frame| frame.with_rss(hash)));
        }
        self
    }

    pub fn receive(&self) -> Receive {
        Receive(self.clone())
    }

    pub fn transmit(&self) -> Transmit {
        Transmit(self.clone())
    }
}

impl RxQueue for Receive {
    type Frame = HeapFrame;

    #[inline]
    fn poll(&mut self, burst: &mut Burst<HeapFrame>) -> Traffic {
        let ring = &self.0;
        while burst.room() != 0 && ring.head.get() != ring.tail.get() {
            let slot = &ring.slots[ring.head.get() % FRAMES];
            ring.head.set(ring.head.get().wrapping_add(1));
            let Some(mut frame) = slot.take() else { break };
            let next = ring.next.get();
            let Some((len, head)) = ring.heads.get(next) else {
                break;
            };
            ring.next.set(if next + 1 == ring.heads.len() {
                0
            } else {
                next + 1
            });
            // What a NIC does by DMA: length and header as they came.
            let now = frame.bytes().len();
            let _ = if now < *len {
                frame.prepend(len - now)
            } else {
                frame.advance(now - len)
            };
            if let Some(to) = frame.bytes_mut().first_chunk_mut() {
                *to = *head;
            }
            let _ = burst.push(frame);
        }
        Traffic::default()
    }
}

impl TxQueue for Transmit {
    type Frame = HeapFrame;

    #[inline]
    fn send(&mut self, burst: &mut Burst<HeapFrame>) -> usize {
        let ring = &self.0;
        let sent = burst.len().min(BURST);
        burst.drain(|_, frame| {
            ring.slots[ring.tail.get() % FRAMES].set(Some(frame));
            ring.tail.set(ring.tail.get().wrapping_add(1));
        });
        sent
    }
}

impl Allocator for Never {
    type Frame = HeapFrame;

    fn allocate(&mut self) -> Option<HeapFrame> {
        None
    }
}

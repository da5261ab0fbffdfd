//! Owned packets in a fixed array, and what frames, queues and pools are to a worker.
//!
//! The traits are all that the software plane knows of DPDK; heap frames implement
//! them on plain memory for tests and benches.
#![allow(
    unsafe_code,
    reason = "a fixed array of which the first `len` are initialised, so that drivers fill it in place"
)]

use crate::table::traffic::Traffic;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut, Range};

/// The most packets handled in one pass.
pub const BURST: usize = 64;

/// One packet in one piece of memory, with some room before and after the data.
pub trait Frame: Sized {
    /// The data, from the first byte of the Ethernet header.
    fn bytes(&self) -> &[u8];
    /// The data, to be changed.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Moves the start `n` bytes towards the front; the new bytes are whatever was there. False,
    /// and nothing changed, without that much headroom.
    fn prepend(&mut self, n: usize) -> bool;
    /// Moves the start `n` bytes towards the end. False, and nothing changed, when the data is
    /// shorter.
    fn advance(&mut self, n: usize) -> bool;
    /// Moves the end so that the data is `len` bytes; new bytes are whatever was there. False, and
    /// nothing changed, without that much tailroom.
    fn set_len(&mut self, len: usize) -> bool;
    /// Asks the cache for the first bytes of the data.
    fn prefetch(&self);
    /// Drops all of `burst`; one call for all of them where that is cheaper.
    #[inline]
    fn drop_all(burst: &mut Burst<Self>) {
        burst.clear();
    }
    /// The hash that the NIC computed of the packet as it came in, if it told one.
    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        None
    }
    /// The mark that a rule of the NIC put on the packet.
    #[inline]
    fn mark(&self) -> Option<u32> {
        None
    }
}

/// A receive queue.
pub trait RxQueue {
    /// What it yields.
    type Frame: Frame;
    /// Appends what has arrived, up to the burst's free room. Never waits. Returns what arrived and
    /// was dropped at once: frames in more than one buffer.
    fn poll(&mut self, burst: &mut Burst<Self::Frame>) -> Traffic;
}

/// A transmit queue.
pub trait TxQueue {
    /// What it takes.
    type Frame: Frame;
    /// Takes from the front of `burst` what fits and returns how many; the unsent stay. Never
    /// waits.
    fn send(&mut self, burst: &mut Burst<Self::Frame>) -> usize;
}

/// Where new frames come from (fragments).
pub trait Allocator {
    /// What it makes.
    type Frame: Frame;
    /// An empty frame (length 0) with the usual headroom; `None` when there is none left.
    fn allocate(&mut self) -> Option<Self::Frame>;
}

/// Up to [`BURST`] owned packets. Dereferences to the slice of them.
pub struct Burst<F> {
    /// The first `len` are initialised.
    frames: [MaybeUninit<F>; BURST],
    len: usize,
}

impl<F> Burst<F> {
    /// Empty.
    pub const fn new() -> Self {
        Burst {
            frames: [const { MaybeUninit::uninit() }; BURST],
            len: 0,
        }
    }

    /// The lanes in use; the optimiser knows that they are below [`BURST`].
    #[inline]
    pub fn lanes(&self) -> Range<usize> {
        0..self.len.min(BURST)
    }

    /// How many more fit.
    #[inline]
    pub fn room(&self) -> usize {
        BURST - self.len.min(BURST)
    }

    /// Appends one.
    ///
    /// # Errors
    /// The frame itself, when the burst is full.
    #[inline]
    pub fn push(&mut self, frame: F) -> Result<(), F> {
        match self.frames.get_mut(self.len) {
            Some(slot) => {
                slot.write(frame);
                self.len += 1;
                Ok(())
            }
            None => Err(frame),
        }
    }

    /// The last one, taken out.
    #[inline]
    pub fn pop(&mut self) -> Option<F> {
        let last = self.len.checked_sub(1)?;
        let slot = self.frames.get(last)?;
        self.len = last;
        // SAFETY: it was within `len`, so initialised, and is no longer counted.
        Some(unsafe { slot.assume_init_read() })
    }

    /// Gives every frame with its lane to `take`; the burst is empty afterwards.
    #[inline]
    pub fn drain(&mut self, mut take: impl FnMut(usize, F)) {
        let lanes = self.lanes();
        // First, so that a panic in `take` leaks the rest and drops nothing twice.
        self.len = 0;
        for (lane, slot) in self.frames.iter().enumerate().take(lanes.end) {
            // SAFETY: below the old `len`, so initialised; read once, and no longer counted.
            take(lane, unsafe { slot.assume_init_read() });
        }
    }

    /// Moves all frames of `other` behind those here. False, and nothing changed, without the room.
    #[inline]
    pub fn append(&mut self, other: &mut Burst<F>) -> bool {
        let lanes = other.lanes();
        let (Some(from), Some(to)) = (
            other.frames.get(lanes.clone()),
            self.frames.get_mut(self.len..self.len + lanes.end),
        ) else {
            return false;
        };
        other.len = 0;
        for (to, from) in to.iter_mut().zip(from) {
            // SAFETY: below the old `len` of `other`, so initialised; read once, and no longer
            // counted there.
            to.write(unsafe { from.assume_init_read() });
        }
        self.len += lanes.end;
        true
    }

    /// Drops all of them.
    #[inline]
    pub fn clear(&mut self) {
        self.drain(|_, frame| drop(frame));
    }

    /// The free places, for a driver to fill from the first one on; then [`Burst::grow`].
    #[inline]
    pub fn spare(&mut self) -> &mut [MaybeUninit<F>] {
        self.frames.get_mut(self.len..).unwrap_or_default()
    }

    /// Counts `n` more frames in.
    ///
    /// # Safety
    /// The first `n` places of [`Burst::spare`] have been filled with owned frames.
    #[inline]
    pub unsafe fn grow(&mut self, n: usize) {
        self.len = (self.len + n).min(BURST);
    }

    /// Forgets the first `n` frames and moves the rest to the front.
    ///
    /// # Safety
    /// Somebody else (a driver) has taken ownership of them.
    #[inline]
    pub unsafe fn forget_front(&mut self, n: usize) {
        let n = n.min(self.len);
        let rest = self.len - n;
        if n != 0 && rest != 0 {
            let base = self.frames.as_mut_ptr();
            // SAFETY: `n` is within the array.
            let from = unsafe { base.add(n) };
            // SAFETY: both ranges lie within the array; the places left behind are not counted.
            unsafe { std::ptr::copy(from, base, rest) };
        }
        self.len = rest;
    }
}

impl<F> Default for Burst<F> {
    fn default() -> Self {
        Burst::new()
    }
}

impl<F> Deref for Burst<F> {
    type Target = [F];
    #[inline]
    fn deref(&self) -> &[F] {
        let frames = self.frames.get(..self.len).unwrap_or_default();
        // SAFETY: all of the first `len` are initialised, and `MaybeUninit<F>` is laid out as `F`.
        unsafe { &*(std::ptr::from_ref(frames) as *const [F]) }
    }
}

impl<F> DerefMut for Burst<F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [F] {
        let frames = self.frames.get_mut(..self.len).unwrap_or_default();
        // SAFETY: as in `deref`.
        unsafe { &mut *(std::ptr::from_mut(frames) as *mut [F]) }
    }
}

impl<F> Drop for Burst<F> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<F: std::fmt::Debug> std::fmt::Debug for Burst<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn holds_sixty_four_and_drops_each_once() {
        let witness = Rc::new(());
        let mut burst = Burst::new();
        for _ in 0..BURST {
            burst.push(Rc::clone(&witness)).unwrap();
        }
        assert!(burst.push(Rc::clone(&witness)).is_err());
        assert_eq!((burst.len(), burst.room(), burst.lanes()), (64, 0, 0..64));
        assert!(burst.spare().is_empty());
        drop(burst.pop());
        let mut lanes = Vec::new();
        burst.drain(|lane, frame| {
            lanes.push(lane);
            drop(frame);
        });
        assert_eq!(lanes, (0..63).collect::<Vec<_>>());
        assert_eq!(Rc::strong_count(&witness), 1);
        burst.push(Rc::clone(&witness)).unwrap();
        drop(burst);
        assert_eq!(Rc::strong_count(&witness), 1);
    }

    #[test]
    fn one_is_put_behind_another_or_left_alone() {
        let witness = Rc::new(());
        let of = |n| {
            let mut burst = Burst::new();
            (0..n).for_each(|i| burst.push((i, Rc::clone(&witness))).unwrap());
            burst
        };
        let (mut to, mut from) = (of(40), of(24));
        assert!(to.append(&mut from) && from.is_empty());
        let numbers: Vec<_> = to.iter().map(|(i, _)| *i).collect();
        assert_eq!(numbers, (0..40).chain(0..24).collect::<Vec<_>>());
        assert!(to.append(&mut from) && to.room() == 0);
        let mut one = of(1);
        assert!(!to.append(&mut one) && one.len() == 1 && to.len() == 64);
        drop((to, from, one));
        assert_eq!(Rc::strong_count(&witness), 1);
    }

    #[test]
    fn a_driver_fills_and_takes_in_place() {
        let mut burst = Burst::new();
        for (i, slot) in burst.spare().iter_mut().take(5).enumerate() {
            slot.write(Box::new(i));
        }
        // SAFETY: five were written.
        unsafe { burst.grow(5) };
        assert_eq!(*burst[4], 4);
        // A driver that takes three.
        let taken: Vec<_> = burst[..3].iter().map(|b| **b).collect();
        for i in 0..3 {
            // SAFETY: read once and forgotten below.
            drop(unsafe { std::ptr::read(&burst[i]) });
        }
        // SAFETY: the three were dropped above.
        unsafe { burst.forget_front(3) };
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(burst.iter().map(|b| **b).collect::<Vec<_>>(), [3, 4]);
        // SAFETY: none was taken.
        unsafe { burst.forget_front(0) };
        assert_eq!(burst.len(), 2);
    }
}

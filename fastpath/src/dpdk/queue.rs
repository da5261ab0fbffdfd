//! Receive and transmit queues: DPDK's burst calls, written out.
//!
//! `rte_eth_rx_burst` and `rte_eth_tx_burst` are static inline functions over the exported array
//! `rte_eth_fp_ops`; calling a C function around them would cost more than an empty poll itself.
//! The pointers are read anew for each burst, since starting and stopping a port rewrites them, and
//! callbacks (packet capture) are honoured.

use dpdk_sys::rte_mbuf;
use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::mbuf::Mbuf;
use crate::software::burst::{BURST, Burst, RxQueue as Receive, TxQueue as Transmit};
use crate::table::traffic::Traffic;

/// The entry of `port` in DPDK's array of burst functions.
#[inline(always)]
fn operations(port: u16) -> *const dpdk_sys::rte_eth_fp_ops {
    let all = (&raw const dpdk_sys::rte_eth_fp_ops).cast::<dpdk_sys::rte_eth_fp_ops>();
    // SAFETY: queues are made for ports that exist, whose numbers are below RTE_MAX_ETHPORTS.
    unsafe { all.add(port.into()) }
}

/// The first callback installed on a queue, null for none.
///
/// # Safety
/// `callbacks` is the array of an existing port and `queue` one of its queues.
#[inline(always)]
unsafe fn callback(callbacks: *mut *mut c_void, queue: u16) -> *mut c_void {
    // SAFETY: the array has RTE_MAX_QUEUES_PER_PORT entries.
    let slot = unsafe { callbacks.add(queue.into()) };
    // SAFETY: aligned and alive; DPDK accesses it atomically too.
    let slot = unsafe { AtomicPtr::from_ptr(slot) };
    // What is reached through it was released before it, and depends on it.
    slot.load(Ordering::Relaxed)
}

/// A receive queue of a started port. One thread polls it; the port gives it out once.
///
/// ```compile_fail
/// fn share<T: Sync>() {}
/// share::<fastpath::dpdk::RxQueue>();
/// ```
/// ```compile_fail
/// fn clone<T: Clone>() {}
/// clone::<fastpath::dpdk::RxQueue>();
/// ```
#[derive(Debug)]
pub struct RxQueue<'p> {
    port: u16,
    queue: u16,
    /// The most that a poll takes.
    most: u16,
    /// The port lives and stays started; Send, not Sync.
    _port: PhantomData<(&'p (), Cell<()>)>,
}

/// A transmit queue of a started port. One thread sends on it; the port gives it out once.
///
/// ```compile_fail
/// fn share<T: Sync>() {}
/// share::<fastpath::dpdk::TxQueue>();
/// ```
/// ```compile_fail
/// fn clone<T: Clone>() {}
/// clone::<fastpath::dpdk::TxQueue>();
/// ```
#[derive(Debug)]
pub struct TxQueue<'p> {
    port: u16,
    queue: u16,
    /// As of the receive queue.
    _port: PhantomData<(&'p (), Cell<()>)>,
}

const _: () = {
    const fn send<T: Send>() {}
    send::<RxQueue<'static>>();
    send::<TxQueue<'static>>();
};

impl RxQueue<'_> {
    /// `queue` is a configured queue of the started `port`, and nobody else's.
    pub(super) fn new(port: u16, queue: u16) -> Self {
        RxQueue {
            port,
            queue,
            most: BURST as u16,
            _port: PhantomData,
        }
    }

    /// From now on a poll takes at most `most` packets, at least one.
    pub fn limit(&mut self, most: u16) {
        self.most = most.clamp(1, BURST as u16);
    }

    /// Receives up to `count` packets into `into`.
    ///
    /// # Safety
    /// `into` has room for `count` pointers.
    #[inline(always)]
    unsafe fn receive(&mut self, into: *mut *mut rte_mbuf, count: u16) -> u16 {
        let operations = operations(self.port);
        // SAFETY: the port exists.
        let rxq = unsafe { &raw const (*operations).rxq };
        // SAFETY: the port exists.
        let burst = unsafe { (*operations).rx_pkt_burst };
        let Some(burst) = burst else { return 0 };
        // SAFETY: as above.
        let data = unsafe { (*rxq).data };
        // SAFETY: the array has RTE_MAX_QUEUES_PER_PORT entries.
        let slot = unsafe { data.add(self.queue.into()) };
        // SAFETY: within the array.
        let queue = unsafe { slot.read() };
        // SAFETY: `&mut self` of a queue given out once, so no other thread polls it.
        let received = unsafe { burst(queue, into, count) };
        // SAFETY: as above.
        let callbacks = unsafe { (*rxq).clbk };
        // SAFETY: the arrays of an existing port.
        let callback = unsafe { callback(callbacks, self.queue) };
        if callback.is_null() {
            return received;
        }
        // SAFETY: `into` holds `received` packets of `count` places.
        unsafe {
            dpdk_sys::rte_eth_call_rx_callbacks(
                self.port, self.queue, into, received, count, callback,
            )
        }
    }

    /// Takes what is not one segment out of the last `count` frames: larger than the pool's data
    /// room, on a driver that splits such frames.
    #[cold]
    fn refuse(burst: &mut Burst<Mbuf>, count: usize) -> Traffic {
        let (mut last, mut refused) = (Burst::new(), Traffic::default());
        for _ in 0..count {
            let Some(frame) = burst.pop() else { break };
            if frame.segments() == 1 {
                // As large as the other.
                let _ = last.push(frame);
            } else {
                refused += Traffic {
                    packets: 1,
                    bytes: frame.whole_len().into(),
                };
            }
        }
        while let Some(frame) = last.pop() {
            let _ = burst.push(frame);
        }
        refused
    }
}

impl Receive for RxQueue<'_> {
    type Frame = Mbuf;

    #[inline]
    fn poll(&mut self, burst: &mut Burst<Mbuf>) -> Traffic {
        let spare = burst.spare();
        let (into, room) = (spare.as_mut_ptr(), self.most.min(spare.len() as u16));
        // SAFETY: `Mbuf` is a transparent pointer to an mbuf, and there are `room` places.
        let received = usize::from(unsafe { self.receive(into.cast(), room) });
        let before = burst.len();
        // SAFETY: the driver filled the first `received` places with packets that are ours now.
        unsafe { burst.grow(received) };
        let new = burst.get(before..).unwrap_or_default();
        // No early exit: the branchless form costs one load a packet, of a line parse needs anyway.
        let split = new
            .iter()
            .fold(false, |any, frame| any | (frame.segments() != 1));
        if split {
            return RxQueue::refuse(burst, received);
        }
        Traffic::default()
    }
}

impl TxQueue<'_> {
    /// `queue` is a configured queue of the started `port`, and nobody else's.
    pub(super) fn new(port: u16, queue: u16) -> Self {
        TxQueue {
            port,
            queue,
            _port: PhantomData,
        }
    }

    /// Sends up to `count` packets of `from`: how many are left for the driver after callbacks
    /// (which may drop some), and how many of those, the first ones, it took.
    ///
    /// # Safety
    /// `from` holds `count` owned packets.
    #[inline(always)]
    unsafe fn transmit(&mut self, from: *mut *mut rte_mbuf, count: u16) -> (u16, u16) {
        let operations = operations(self.port);
        // SAFETY: the port exists.
        let txq = unsafe { &raw const (*operations).txq };
        // SAFETY: the port exists.
        let burst = unsafe { (*operations).tx_pkt_burst };
        let Some(burst) = burst else {
            return (count, 0);
        };
        // SAFETY: as above.
        let data = unsafe { (*txq).data };
        // SAFETY: the array has RTE_MAX_QUEUES_PER_PORT entries.
        let slot = unsafe { data.add(self.queue.into()) };
        // SAFETY: within the array.
        let queue = unsafe { slot.read() };
        // SAFETY: as above.
        let callbacks = unsafe { (*txq).clbk };
        // SAFETY: the arrays of an existing port.
        let callback = unsafe { callback(callbacks, self.queue) };
        let left = if callback.is_null() {
            count
        } else {
            // SAFETY: `from` holds `count` packets.
            unsafe {
                dpdk_sys::rte_eth_call_tx_callbacks(self.port, self.queue, from, count, callback)
            }
        };
        // SAFETY: `&mut self` of a queue given out once, so no other thread sends on it.
        (left, unsafe { burst(queue, from, left) })
    }
}

impl Transmit for TxQueue<'_> {
    type Frame = Mbuf;

    #[inline]
    fn send(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let count = burst.len();
        if count == 0 {
            return 0;
        }
        // SAFETY: `Mbuf` is a transparent pointer to an mbuf, and the burst owns `count` of them.
        let (left, sent) = unsafe { self.transmit(burst.as_mut_ptr().cast(), count as u16) };
        for _ in usize::from(left)..count {
            // Freed by a callback, which moved the others to the front.
            std::mem::forget(burst.pop());
        }
        // SAFETY: the driver owns the first `sent` now.
        unsafe { burst.forget_front(sent.into()) };
        count - burst.len()
    }
}

//! Packets that wait for their neighbor to be resolved.
//!
//! The first packets to a host on a connected prefix come before its MAC address is known. They are
//! tried again every [`INTERVAL_NS`], and dropped [`PATIENCE_NS`] after they came (the kernel's own
//! resolution needs a second to learn that nobody answers the first time).

use crate::table::PortId;
use crossbeam::queue::ArrayQueue;

/// How often a waiting packet is tried again.
pub const INTERVAL_NS: u64 = 1_000_000;

/// How long a packet waits.
pub const PATIENCE_NS: u64 = 1_000_000_000;

/// A packet, as it came.
#[derive(Debug)]
pub(super) struct Waiting<F> {
    pub(super) frame: F,
    pub(super) ingress: PortId,
    /// When it is given up.
    pub(super) until_ns: u64,
}

/// The packets that wait; as many as there is room for, which is none unless asked for. Its memory
/// is taken once: no packet allocates.
#[derive(Debug)]
pub(super) struct Hold<F> {
    waiting: ArrayQueue<Waiting<F>>,
    room: usize,
    next_ns: u64,
    now: fn() -> u64,
}

impl<F> Hold<F> {
    /// Room for nothing.
    pub(super) fn none() -> Self {
        Hold::new(0, || 0)
    }

    /// Room for `room` packets; `now` gives nanoseconds on a clock that never goes back, and is read
    /// only while a packet waits.
    #[inline(never)] // set-up, which may panic: the panic gate knows it by name
    pub(super) fn new(room: usize, now: fn() -> u64) -> Self {
        Hold {
            waiting: ArrayQueue::new(room.max(1)), // there is no queue of size 0
            room,
            next_ns: 0,
            now,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps `frame`, which came in on `ingress`; again, if it has waited before and is to wait
    /// until `until_ns` at most.
    ///
    /// # Errors
    /// It waited long enough, or there is no room: the frame comes back.
    pub(super) fn keep(
        &mut self,
        frame: F,
        ingress: PortId,
        until_ns: Option<u64>,
    ) -> Result<(), F> {
        if self.waiting.len() >= self.room {
            return Err(frame);
        }
        let now = (self.now)();
        let until_ns = until_ns.unwrap_or(now.saturating_add(PATIENCE_NS));
        if now >= until_ns {
            return Err(frame);
        }
        if self.waiting.is_empty() {
            self.next_ns = now.saturating_add(INTERVAL_NS);
        }
        let waiting = Waiting {
            frame,
            ingress,
            until_ns,
        };
        self.waiting.push(waiting).map_err(|full| full.frame)
    }

    /// How many are to be tried again now: all that wait, when it is time, else none.
    pub(super) fn due(&mut self) -> usize {
        let now = (self.now)();
        if self.waiting.is_empty() || now < self.next_ns {
            return 0;
        }
        self.next_ns = now.saturating_add(INTERVAL_NS);
        self.waiting.len()
    }

    /// The one that has waited longest.
    pub(super) fn take(&mut self) -> Option<Waiting<F>> {
        self.waiting.pop()
    }

    /// Gives all up; how many there were.
    pub(super) fn give_up(&mut self) -> usize {
        std::iter::from_fn(|| self.waiting.pop()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

    #[test]
    fn packets_are_tried_again_in_order_and_not_for_ever() {
        let mut hold = Hold::new(2, || NOW.get());
        assert!(hold.keep('a', PortId(1), None).is_ok() && hold.keep('b', PortId(2), None).is_ok());
        assert_eq!(hold.keep('c', PortId(1), None), Err('c'), "no room");
        assert_eq!(hold.due(), 0, "too early");
        NOW.set(INTERVAL_NS);
        assert_eq!(hold.due(), 2);
        let due: Vec<_> = std::iter::from_fn(|| hold.take()).collect();
        let seen: Vec<_> = due.iter().map(|w| (w.frame, w.ingress.0)).collect();
        assert_eq!(seen, [('a', 1), ('b', 2)]);
        let until = Some(due[0].until_ns);
        assert!(hold.keep('a', PortId(1), until).is_ok());
        assert_eq!(hold.due(), 0);
        NOW.set(PATIENCE_NS);
        assert_eq!(hold.due(), 1);
        assert!(hold.take().is_some());
        assert_eq!(hold.keep('a', PortId(1), until), Err('a'), "long enough");
        assert!(hold.is_empty());
    }

    #[test]
    fn without_room_nothing_waits() {
        assert_eq!(Hold::none().keep('a', PortId(1), None), Err('a'));
    }
}

//! Packets that wait for their neighbor to be resolved.
//!
//! The first packets to a host on a connected prefix come before its MAC address is known. They are
//! tried again every [`INTERVAL_NS`], and dropped [`PATIENCE_NS`] after they came (the kernel's own
//! resolution needs a second to learn that nobody answers the first time).

use crate::table::PortId;

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

/// The packets that wait; as many as there is room for, which is none unless asked for.
#[derive(Debug)]
pub(super) struct Hold<F> {
    waiting: Vec<Waiting<F>>,
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
    pub(super) fn new(room: usize, now: fn() -> u64) -> Self {
        Hold {
            waiting: Vec::with_capacity(room),
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
        self.waiting.push(Waiting {
            frame,
            ingress,
            until_ns,
        });
        Ok(())
    }

    /// All that wait, oldest first, when it is time to try them again.
    pub(super) fn due(&mut self) -> Option<Vec<Waiting<F>>> {
        let now = (self.now)();
        if self.waiting.is_empty() || now < self.next_ns {
            return None;
        }
        self.next_ns = now.saturating_add(INTERVAL_NS);
        Some(std::mem::replace(
            &mut self.waiting,
            Vec::with_capacity(self.room),
        ))
    }

    /// Gives all up; how many there were.
    pub(super) fn give_up(&mut self) -> usize {
        let count = self.waiting.len();
        self.waiting.clear();
        count
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
        assert!(hold.due().is_none(), "too early");
        NOW.set(INTERVAL_NS);
        let due = hold.due().unwrap();
        let seen: Vec<_> = due.iter().map(|w| (w.frame, w.ingress.0)).collect();
        assert_eq!(seen, [('a', 1), ('b', 2)]);
        let until = Some(due[0].until_ns);
        assert!(hold.keep('a', PortId(1), until).is_ok());
        assert!(hold.due().is_none());
        NOW.set(PATIENCE_NS);
        assert_eq!(hold.due().unwrap().len(), 1);
        assert_eq!(hold.keep('a', PortId(1), until), Err('a'), "long enough");
        assert!(hold.is_empty());
    }

    #[test]
    fn without_room_nothing_waits() {
        assert_eq!(Hold::none().keep('a', PortId(1), None), Err('a'));
    }
}

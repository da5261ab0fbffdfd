//! How many clients a server has at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A client's place among so many; free again when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// One of `most` places, of which `taken` are taken; none if all are.
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let free = |n| (n < most).then_some(n + 1);
        let before = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, free);
        before.ok().map(|_| Place(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

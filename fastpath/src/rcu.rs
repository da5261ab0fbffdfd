//! Publish, read, quiescent: two copies of a value, swapped under running readers without locks.
//!
//! A left-right pair with quiescent-state grace periods, words as in `rte_rcu_qsbr`. The writer
//! changes the standby copy, swaps one index, waits until every reader has passed a quiescent
//! point since (the *grace period*), and changes the other copy too. A reader pays one load to
//! read, one load and one store to its own cache line to be quiescent; it never waits and never
//! does a read-modify-write.
//!
//! A reference cannot be held across a quiescent point:
//!
//! ```compile_fail,E0502
//! let (_writer, registry) = fastpath::rcu::pair(1, 1);
//! let mut reader = registry.reader();
//! let value = reader.read();
//! reader.quiescent();
//! assert_eq!(*value, 1);
//! ```
//!
//! and a value that threads must not share cannot be published:
//!
//! ```compile_fail,E0277
//! let (_writer, registry) = fastpath::rcu::pair(std::cell::Cell::new(1), std::cell::Cell::new(1));
//! std::thread::spawn(move || registry.reader().read().get());
//! ```
//!
//! Why it is right (the loom model below tries it): a reader that loads a generation `g` sees every
//! swap made before `g` was announced (`Release`/`Acquire` on the generation), so once it has
//! stored `g` as seen it holds no reference to the copy that was retired then; its reads of that
//! copy come before the store and the writer's changes after its load of it (`Release`/`Acquire`
//! on the slot). Announcing before swapping breaks the first half, and the model shows it.
#![allow(
    unsafe_code,
    reason = "two copies shared by index; the grace period keeps writes and reads apart"
)]

use std::cell::UnsafeCell;

#[cfg(loom)]
use loom::{
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU64, atomic::AtomicUsize, atomic::Ordering},
    thread::yield_now as relax,
};
#[cfg(not(loom))]
use parking_lot::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, atomic::AtomicU64, atomic::AtomicUsize, atomic::Ordering};

#[cfg(not(loom))]
fn relax() {
    // A worker's turn takes microseconds; control has nothing better to do than to sleep over it.
    std::thread::sleep(std::time::Duration::from_micros(20));
}

/// What a slot says while its reader holds no reference: later than every generation.
const OFFLINE: u64 = u64::MAX;

/// The latest generation that a reader has seen; a cache line (pair) of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    seen: AtomicU64,
}

#[derive(Debug)]
struct Shared<T> {
    copies: [UnsafeCell<T>; 2],
    /// Index of the copy that readers take.
    active: AtomicUsize,
    /// Number of the latest grace period asked for.
    generation: AtomicU64,
    readers: Mutex<Vec<Arc<Slot>>>,
}

// SAFETY: `copies` is written by the one `Writer` only, in a copy that no reader can hold (see the
// module's text); all else is atomics and a mutex.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn readers(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        let readers = self.readers.lock();
        #[cfg(loom)]
        let readers = readers.unwrap_or_else(|e| e.into_inner());
        readers
    }

    fn active(&self) -> &UnsafeCell<T> {
        let [left, right] = &self.copies;
        if self.active.load(Ordering::Acquire) == 0 {
            left
        } else {
            right
        }
    }
}

/// Two copies of a value: the one that changes them, and where readers sign in. The copies must
/// be equal.
pub fn pair<T>(active: T, standby: T) -> (Writer<T>, Registry<T>) {
    let shared = Arc::new(Shared {
        copies: [UnsafeCell::new(active), UnsafeCell::new(standby)],
        active: AtomicUsize::new(0),
        generation: AtomicU64::new(0),
        readers: Mutex::new(Vec::new()),
    });
    let registry = Registry(Arc::clone(&shared));
    (Writer(shared), registry)
}

/// Where readers sign in, at any time, from any thread.
#[derive(Debug)]
pub struct Registry<T>(Arc<Shared<T>>);

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Registry(Arc::clone(&self.0))
    }
}

impl<T> Registry<T> {
    /// A new reader, online: from now on grace periods wait for it.
    pub fn reader(&self) -> Reader<T> {
        let slot = Arc::new(Slot {
            seen: AtomicU64::new(OFFLINE),
        });
        let mut readers = self.0.readers();
        // Under the lock: either the writer finds this slot in the list, or the lock has shown us
        // its swap.
        slot.seen
            .store(self.0.generation.load(Ordering::Acquire), Ordering::Release);
        readers.push(Arc::clone(&slot));
        drop(readers);
        Reader {
            shared: Arc::clone(&self.0),
            slot,
        }
    }
}

/// One thread's access to the active copy. While it lives it must reach
/// [`Reader::quiescent`] again and again, or be inside [`Reader::offline`]; dropped, it signs out.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    slot: Arc<Slot>,
}

impl<T> Reader<T> {
    /// Where it writes.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn place(&self) -> std::ops::Range<usize> {
        let start = std::ptr::from_ref(&*self.slot).addr();
        start..start + size_of::<Slot>()
    }

    /// The active copy, as it is until [`Reader::quiescent`].
    #[inline]
    pub fn read(&self) -> &T {
        let copy = self.shared.active().get();
        // SAFETY: the writer changes this copy only after this reader's next quiescent point, and
        // that needs `&mut self`, so the reference is gone by then.
        unsafe { &*copy }
    }

    /// Says that this reader holds no reference: one load, one store.
    #[inline]
    pub fn quiescent(&mut self) {
        let generation = self.shared.generation.load(Ordering::Acquire);
        self.slot.seen.store(generation, Ordering::Release);
    }

    /// Runs `work`, during which no grace period waits for this reader: a sleep, or a commit made
    /// by the reader's own thread.
    pub fn offline<R>(&mut self, work: impl FnOnce() -> R) -> R {
        struct Online<'a, T>(&'a Reader<T>);
        impl<T> Drop for Online<'_, T> {
            fn drop(&mut self) {
                let Reader { shared, slot } = self.0;
                let mut readers = shared.readers();
                // As when signing in.
                slot.seen
                    .store(shared.generation.load(Ordering::Acquire), Ordering::Release);
                if !readers.iter().any(|s| Arc::ptr_eq(s, slot)) {
                    readers.push(Arc::clone(slot));
                }
            }
        }
        self.slot.seen.store(OFFLINE, Ordering::Release);
        let _online = Online(self);
        work()
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.slot.seen.store(OFFLINE, Ordering::Release);
    }
}

/// The one that changes the copies. Neither `Clone` nor shared for writing.
#[derive(Debug)]
pub struct Writer<T>(Arc<Shared<T>>);

impl<T> Writer<T> {
    /// The active copy.
    pub fn current(&self) -> &T {
        let copy = self.0.active().get();
        // SAFETY: copies change through `&mut self` only.
        unsafe { &*copy }
    }

    /// Applies `change` to the standby copy, swaps, waits a grace period, and applies it to the
    /// other copy: twice in all, and it must do the same both times.
    ///
    /// # Errors
    /// What `change` says. From its first call: nothing was published, and the standby copy holds
    /// whatever `change` left in it, so `change` should undo its part or be safe to repeat. From
    /// its second: published, and the copies differ until a later change heals it.
    pub fn update<E>(&mut self, mut change: impl FnMut(&mut T) -> Result<(), E>) -> Result<(), E> {
        change(self.standby())?;
        self.swap();
        self.synchronize();
        change(self.standby())
    }

    /// Waits a grace period without a change: what was unreachable before the call is held by no
    /// reader after it.
    pub fn synchronize(&mut self) {
        let generation = self.announce();
        self.wait(generation);
    }

    /// The copy that no reader holds, between updates and after a grace period.
    fn standby(&mut self) -> &mut T {
        let [left, right] = &self.0.copies;
        let standby = if self.0.active.load(Ordering::Relaxed) == 0 {
            right
        } else {
            left
        };
        // SAFETY: readers take the active copy; those that took this one while it was active have
        // been waited for by the `synchronize` after the swap. `&mut self` keeps the writer alone.
        unsafe { &mut *standby.get() }
    }

    fn swap(&mut self) {
        let other = 1 - self.0.active.load(Ordering::Relaxed);
        self.0.active.store(other, Ordering::Release);
    }

    fn announce(&mut self) -> u64 {
        self.0.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn wait(&mut self, generation: u64) {
        loop {
            let mut readers = self.0.readers();
            let mut all = true;
            readers.retain(|slot| {
                let seen = slot.seen.load(Ordering::Acquire);
                all &= seen >= generation;
                seen != OFFLINE
            });
            drop(readers);
            if all {
                return;
            }
            relax();
        }
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;

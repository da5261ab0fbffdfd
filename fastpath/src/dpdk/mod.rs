//! The safe wrapper over DPDK, and the only caller of `dpdk-sys`.
//!
//! ```text
//!   Eal ─► Handle ─► Pool ──► Port ──► RxQueue, TxQueue   (each borrows from the one before it)
//!              ├───► Fib      │
//!              └───► Registered (a worker's thread)
//! ```
//! The borrows are the order of shutdown: queues, ports, pools and tables, EAL. `main` owns them and
//! runs its threads in a [`std::thread::scope`]; queues, pools and tables go to workers, ports and
//! EAL stay.
//!
//! ```no_run
//! use fastpath::dpdk::{Eal, Memory, Options, Pool, PoolOptions, Port, PortOptions, Registered};
//! use fastpath::software::burst::{Burst, RxQueue, TxQueue};
//!
//! # fn main() -> Result<(), fastpath::dpdk::Error> {
//! let eal = Eal::init(&Options { memory: Memory::automatic(128), ..Options::default() })?;
//! let pool = Pool::new(eal.handle(), PoolOptions::default())?;
//! let options = PortOptions::new("up1", "net_pcap,rx_pcap=in.pcap,tx_pcap=out.pcap");
//! let mut port = Port::open(&pool, &options, None)?;
//! port.start()?;
//! let handle = eal.handle();
//! if let Some((mut rx, mut tx)) = port.queues() {
//!     std::thread::scope(|threads| {
//!         threads.spawn(move || {
//!             let _registered = Registered::new(handle);
//!             let mut burst = Burst::new();
//!             loop {
//!                 rx[0].poll(&mut burst);
//!                 if burst.is_empty() {
//!                     break; // a pcap file yields nothing only at its end
//!                 }
//!                 tx[0].send(&mut burst);
//!                 burst.clear();
//!             }
//!         });
//!     });
//! }
//! drop(port); // stops, closes, writes out.pcap
//! # Ok(())
//! # }
//! ```
//!
//! Not for: what a packet is (see [`crate::software`]), which routes there are, which ports are
//! configured.
#![allow(
    unsafe_code,
    reason = "calls into DPDK; every block states what it relies on"
)]

mod caps;
mod device;
mod eal;
mod error;
mod fib;
mod fib_blocks;
mod fib_edge;
mod fib_kernel;
mod fib_options;
mod flow;
mod hairpin;
mod link;
mod logging;
mod mbuf;
mod pool;
mod port;
mod port_options;
mod queue;
mod rss;
#[cfg(test)]
mod rss_reference;

pub use caps::{Caps, Missing, Wanted};
pub use eal::{Eal, Handle, Memory, Options, Registered, free_hugepages_mib};
pub use error::{Cause, Errno, Error, Object};
pub use fib::Fib;
pub use fib_kernel::Kernel;
pub use fib_options::{EntrySize, FibOptions};
pub use flow::{Fate, Flow, FlowLimits, FlowOptions, MARK_NO_ROOM, Rules, SpreadBy, probe};
pub use hairpin::{Bound, Hairpins};
pub use link::{Link, LinkChanged};
pub use mbuf::{Mbuf, free_bulk};
pub use pool::{HEADROOM, Pool, PoolAllocator, PoolOptions};
pub use port::{Port, Queues};
pub use port_options::{PortOptions, PortStats};
pub use queue::{RxQueue, TxQueue};
pub use rss::{RSS_KEY, RssAlgorithm, RssOptions, RssState};

/// The time stamp counter: monotonic, of [`Eal::cycles_hz`] ticks a second, about 10 ns to read.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has the instruction.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads a counter; needs nothing.
    return unsafe { dpdk_sys::evenpath_cycles() };
}

/// Nanoseconds on a clock that never goes back; 0 until EAL runs, which measures the counter's
/// frequency. For limits on rates; a few ns to read.
#[inline]
pub fn now_ns() -> u64 {
    let scale = eal::NS_PER_CYCLE.load(std::sync::atomic::Ordering::Relaxed);
    (u128::from(cycles()) * u128::from(scale) >> 32) as u64
}

/// How long the calling thread has run on a core, nanoseconds: what others took of it is left out. A
/// system call.
pub fn thread_time_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: one record to fill; the clock is there in every kernel.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// DPDK's version, such as `DPDK 24.11.4`. Needs no EAL.
pub fn version() -> String {
    // SAFETY: needs nothing.
    let text = unsafe { dpdk_sys::rte_version() };
    // SAFETY: a constant string.
    let text = unsafe { std::ffi::CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// Asks the cache for the line at `address`, which may be any address.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint that never faults.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

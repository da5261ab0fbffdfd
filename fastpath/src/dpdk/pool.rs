//! Packet pools.

use dpdk_sys::{evenpath_mbuf_layout as layout, rte_mempool};
use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::eal::Handle;
use super::error::{Error, Failed, Object, check, check_ptr};
use super::mbuf::Mbuf;
use crate::software::burst::Allocator;

/// Bytes before the data of a new or received packet.
pub const HEADROOM: u16 = layout::EVENPATH_MBUF_HEADROOM as u16;

/// How a pool is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Number of buffers; 2^n - 1 wastes least. It must cover all descriptors of all queues, a burst
    /// and a cache per worker. Default: 8191.
    pub buffers: u32,
    /// Bytes per buffer for packet data, without the headroom. Default: 2048, which carries frames
    /// of 1518 bytes with room to spare. For af_xdp, frames are at most this less 256; for jumbo
    /// frames take 9728.
    pub data_room: u16,
    /// Buffers that each registered thread may keep for itself, at most 512 and `buffers` / 1.5.
    /// Default: 256.
    pub cache: u16,
    /// NUMA node, `None` for any.
    pub socket: Option<u16>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            buffers: 8191,
            data_room: 2048,
            cache: 256,
            socket: None,
        }
    }
}

/// A pool of packet buffers. It outlives, by borrow, every port that receives into it.
#[derive(Debug)]
pub struct Pool<'e> {
    raw: NonNull<rte_mempool>,
    name: String,
    options: PoolOptions,
    _eal: PhantomData<&'e ()>,
}

// SAFETY: a mempool belongs to no thread.
unsafe impl Send for Pool<'_> {}
// SAFETY: taking from and giving to a mempool is safe from any number of threads.
unsafe impl Sync for Pool<'_> {}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Pool<'static>>();
};

impl<'e> Pool<'e> {
    /// Makes a pool.
    ///
    /// # Errors
    /// Without enough memory, or with a cache that is too large for it.
    pub fn new(_eal: Handle<'e>, options: PoolOptions) -> Result<Pool<'e>, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("evenpath{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let object = || Object::Pool(name.clone());
        let c_name = CString::new(name.as_str()).unwrap_or_default();
        let room = options.data_room.saturating_add(HEADROOM);
        super::logging::take_error();
        // SAFETY: EAL is running, says the handle; the name is copied.
        let raw = check_ptr(unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                c_name.as_ptr(),
                options.buffers,
                options.cache.into(),
                0,
                room,
                options.socket.map_or(-1, i32::from),
            )
        })
        .at(object, "create")
        .map_err(|error| {
            let mib = u64::from(options.buffers) * (u64::from(room) + 192) >> 20;
            error.remedy(format!(
                "{} buffers of {room} bytes take about {} MiB: give EAL more memory or make the \
                 pool smaller",
                options.buffers,
                mib + 1
            ))
        })?;
        Ok(Pool {
            raw,
            name,
            options,
            _eal: PhantomData,
        })
    }

    /// How many of its buffers are in use: in a burst, in a queue of a port, or leaked.
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool lives.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.raw.as_ptr()) }
    }

    /// What it was made from.
    pub fn options(&self) -> PoolOptions {
        self.options
    }

    /// A source of empty frames for one thread, which should be [`super::Registered`].
    pub fn allocator(&self) -> PoolAllocator<'_> {
        PoolAllocator { pool: self }
    }

    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.raw.as_ptr()
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        let left = self.in_use();
        if left != 0 {
            // Freeing memory that somebody still holds would be worse than keeping it. net_af_xdp
            // never gives back what it had posted for reception; else this is a leak of ours.
            log::debug!(
                "pool {}: {left} buffers are still in use; it is not freed",
                self.name
            );
            return;
        }
        // SAFETY: ports borrow the pool, so none is left, and no buffer is out.
        unsafe { dpdk_sys::rte_mempool_free(self.raw.as_ptr()) };
    }
}

/// Takes empty frames from a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolAllocator<'p> {
    pool: &'p Pool<'p>,
}

impl Allocator for PoolAllocator<'_> {
    type Frame = Mbuf;

    fn allocate(&mut self) -> Option<Mbuf> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pool lives; there is room for one pointer.
        check(unsafe { dpdk_sys::evenpath_mbuf_alloc_bulk(self.pool.as_ptr(), &mut raw, 1) })
            .ok()?;
        let raw = NonNull::new(raw)?;
        // SAFETY: just taken from the pool, so ours alone.
        Some(unsafe { Mbuf::from_raw(raw) })
    }
}

//! One packet in DPDK's memory, owned like a `Box`.

use dpdk_sys::{mbuf, rte_mbuf};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::software::burst::{Burst, Frame};

/// A packet buffer of one segment. Dropping it gives it back to its pool.
///
/// Send, and neither Sync nor Clone:
/// ```compile_fail
/// fn share<T: Sync>() {}
/// share::<fastpath::dpdk::Mbuf>();
/// ```
/// ```compile_fail
/// fn clone<T: Clone>() {}
/// clone::<fastpath::dpdk::Mbuf>();
/// ```
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>, PhantomData<Cell<()>>);

// SAFETY: an mbuf is plain memory with one owner; pools take it back from any thread.
unsafe impl Send for Mbuf {}

const _: () = {
    const fn send<T: Send>() {}
    send::<Mbuf>();
    assert!(size_of::<Mbuf>() == size_of::<*mut rte_mbuf>());
    assert!(align_of::<Mbuf>() == align_of::<*mut rte_mbuf>());
};

impl Mbuf {
    /// # Safety
    /// The caller owns `raw` alone and gives that up.
    pub(super) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Mbuf(raw, PhantomData)
    }

    /// Number of segments; everything here expects 1.
    #[inline]
    pub(super) fn segments(&self) -> u16 {
        // SAFETY: owned.
        unsafe { mbuf::nb_segs(self.0.as_ptr()) }
    }

    /// Length over all segments, bytes.
    pub(super) fn whole_len(&self) -> u32 {
        // SAFETY: owned.
        unsafe { mbuf::pkt_len(self.0.as_ptr()) }
    }

    /// Offset and length of the data, and the size of the buffer, bytes.
    #[inline]
    fn extent(&self) -> (usize, usize, usize) {
        let raw = self.0.as_ptr();
        // SAFETY: owned.
        let start = unsafe { mbuf::data_off(raw) };
        // SAFETY: owned.
        let length = unsafe { mbuf::data_len(raw) };
        // SAFETY: owned.
        let size = unsafe { mbuf::buf_len(raw) };
        (start.into(), length.into(), size.into())
    }

    /// Sets offset and length. `start + length` is within the buffer, so both fit 16 bits.
    #[inline]
    fn set_extent(&mut self, start: usize, length: usize) {
        let raw = self.0.as_ptr();
        // SAFETY: owned.
        unsafe { mbuf::set_data_off(raw, start as u16) };
        // SAFETY: owned.
        unsafe { mbuf::set_data_len(raw, length as u16) };
        // SAFETY: owned.
        unsafe { mbuf::set_pkt_len(raw, length as u32) };
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        // SAFETY: owned.
        let buffer = unsafe { mbuf::buf_addr(self.0.as_ptr()) };
        let (start, _, _) = self.extent();
        // SAFETY: DPDK and `set_extent` keep the offset within the buffer.
        unsafe { buffer.add(start) }
    }
}

impl Frame for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: DPDK and `set_extent` keep offset + length within the buffer, which is owned.
        unsafe { std::slice::from_raw_parts(self.data(), self.extent().1) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and borrowed for change.
        unsafe { std::slice::from_raw_parts_mut(self.data(), self.extent().1) }
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> bool {
        let (start, length, _) = self.extent();
        let fits = n <= start;
        if fits {
            self.set_extent(start - n, length + n);
        }
        fits
    }

    #[inline]
    fn advance(&mut self, n: usize) -> bool {
        let (start, length, _) = self.extent();
        let fits = n <= length;
        if fits {
            self.set_extent(start + n, length - n);
        }
        fits
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> bool {
        let (start, _, size) = self.extent();
        let fits = len <= size.saturating_sub(start);
        if fits {
            self.set_extent(start, len);
        }
        fits
    }

    #[inline]
    fn prefetch(&self) {
        super::prefetch(self.data());
    }

    #[inline]
    fn drop_all(burst: &mut Burst<Self>) {
        free_bulk(burst);
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        const TOLD: u64 = dpdk_sys::evenpath_device_flags::EVENPATH_MBUF_RX_RSS_HASH as u64;
        let raw = self.0.as_ptr();
        // SAFETY: owned.
        let flags = unsafe { mbuf::ol_flags(raw) };
        // SAFETY: owned.
        (flags & TOLD != 0).then(|| unsafe { mbuf::hash_rss(raw) })
    }

    #[inline]
    fn mark(&self) -> Option<u32> {
        const MARKED: u64 = dpdk_sys::evenpath_device_flags::EVENPATH_MBUF_RX_FDIR_ID as u64;
        let raw = self.0.as_ptr();
        // SAFETY: owned.
        let flags = unsafe { mbuf::ol_flags(raw) };
        // SAFETY: owned.
        (flags & MARKED != 0).then(|| unsafe { mbuf::hash_fdir_hi(raw) })
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        free(&mut [self.0.as_ptr()]);
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, length, size) = self.extent();
        write!(f, "Mbuf {{ {length} bytes at {start} of {size} }}")
    }
}

/// Gives buffers that the caller owns back to their pools, in bulk.
#[inline]
fn free(raw: &mut [*mut rte_mbuf]) {
    // SAFETY: the pointers are of mbufs that `Mbuf`s owned and no longer do.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(raw.as_mut_ptr(), raw.len() as u32) };
}

/// Drops `frames` with one call for all of them, which is several times cheaper than one by one.
pub fn free_bulk(frames: &mut Burst<Mbuf>) {
    let count = frames.len();
    // SAFETY: `Mbuf` is a transparent pointer to an mbuf, all of which the burst owns; they are
    // forgotten below.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(frames.as_mut_ptr().cast(), count as u32) };
    // SAFETY: they were freed above.
    unsafe { frames.forget_front(count) };
}

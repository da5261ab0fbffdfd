//! One safe prefetch function.
#![allow(unsafe_code, reason = "prefetch instructions are intrinsics")]

/// Asks for the cache line of `place`, to be read soon. A hint: it changes nothing else.
#[inline(always)]
pub fn prefetch<T: ?Sized>(place: &T) {
    let address = std::ptr::from_ref(place).cast::<u8>();
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing architecturally and cannot fault; SSE is part of x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

//! Raw bindings to DPDK: what evenpath calls and nothing else.
//!
//! Made by the build script from `wrapper.h`, for the libdpdk that `pkg-config` finds (24.11 or
//! later). Functions of DPDK keep their names; those of `shim.c`, which wraps static inline
//! functions and hides what differs between releases, begin with `evenpath_`. No logic is here; the
//! one caller is `fastpath::dpdk`, which is also the documentation.
//!
//! Feature `static` links DPDK's archives with all drivers of [the build script's] list into the
//! binary; without it the shared libraries are used, and EAL loads drivers from its plugin folder.
//!
//! [the build script's]: https://doc.dpdk.org/guides-24.11/linux_gsg/build_dpdk.html
#![no_std]

/// What bindgen made.
#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    rustdoc::all,
    reason = "generated from C, with C's names"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

/// Fields of `rte_mbuf` by asserted offset.
pub mod mbuf {
    use crate::{evenpath_mbuf_layout as layout, rte_mbuf};

    macro_rules! field {
        ($name:ident, $set:ident, $offset:ident, $type:ty, $what:literal) => {
            #[doc = concat!("Reads ", $what, ".")]
            ///
            /// # Safety
            /// `mbuf` points to an mbuf that the caller owns or may read.
            #[inline(always)]
            pub const unsafe fn $name(mbuf: *const rte_mbuf) -> $type {
                // SAFETY: shim.c asserts that the field lies at this offset of the mbuf.
                let field = unsafe { mbuf.byte_add(layout::$offset as usize) };
                // SAFETY: the caller vouches for the mbuf; DPDK aligns it to 64 bytes.
                unsafe { field.cast::<$type>().read() }
            }

            #[doc = concat!("Writes ", $what, ".")]
            ///
            /// # Safety
            /// `mbuf` points to an mbuf that the caller owns.
            #[inline(always)]
            pub const unsafe fn $set(mbuf: *mut rte_mbuf, value: $type) {
                // SAFETY: shim.c asserts that the field lies at this offset of the mbuf.
                let field = unsafe { mbuf.byte_add(layout::$offset as usize) };
                // SAFETY: the caller vouches for the mbuf; DPDK aligns it to 64 bytes.
                unsafe { field.cast::<$type>().write(value) }
            }
        };
    }

    field!(
        buf_addr,
        set_buf_addr,
        EVENPATH_MBUF_BUF_ADDR,
        *mut u8,
        "the address of the buffer"
    );
    field!(
        data_off,
        set_data_off,
        EVENPATH_MBUF_DATA_OFF,
        u16,
        "where in the buffer the packet starts, bytes"
    );
    field!(
        nb_segs,
        set_nb_segs,
        EVENPATH_MBUF_NB_SEGS,
        u16,
        "the number of segments"
    );
    field!(
        pkt_len,
        set_pkt_len,
        EVENPATH_MBUF_PKT_LEN,
        u32,
        "the packet's length over all segments, bytes"
    );
    field!(
        data_len,
        set_data_len,
        EVENPATH_MBUF_DATA_LEN,
        u16,
        "this segment's length, bytes"
    );
    field!(
        buf_len,
        set_buf_len,
        EVENPATH_MBUF_BUF_LEN,
        u16,
        "the buffer's length, bytes"
    );
    field!(
        ol_flags,
        set_ol_flags,
        EVENPATH_MBUF_OL_FLAGS,
        u64,
        "the offload flags"
    );
    field!(
        hash_rss,
        set_hash_rss,
        EVENPATH_MBUF_HASH_RSS,
        u32,
        "the RSS hash that the device computed"
    );
    field!(
        hash_fdir_hi,
        set_hash_fdir_hi,
        EVENPATH_MBUF_HASH_FDIR_HI,
        u32,
        "the mark that a flow rule put on the packet"
    );
}

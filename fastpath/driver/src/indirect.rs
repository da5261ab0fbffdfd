//! Indirect actions, for C.

use crate::abi::Actions;
use crate::with;
use std::ffi::{c_char, c_int, c_void};

/// See c/sim.h.
///
/// # Safety
/// `action` is a record; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_share(
    port: u32,
    queue: u32,
    domain: u32,
    action: *const Actions,
    cookie: *mut c_void,
    why: *mut *const c_char,
) -> i64 {
    // SAFETY: the caller says so.
    let action = unsafe { &*action };
    let (at, cookie) = ((port, queue), cookie.expose_provenance());
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.share(at, domain, action.only()?, cookie)) }
}

/// See c/sim.h.
///
/// # Safety
/// `action` is a record; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_reshare(
    port: u32,
    queue: u32,
    id: u32,
    action: *const Actions,
    cookie: *mut c_void,
    why: *mut *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let action = unsafe { &*action };
    let (at, cookie) = ((port, queue), cookie.expose_provenance());
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.reshare(at, id, action.only()?, cookie)) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_unshare(
    port: u32,
    queue: u32,
    id: u32,
    cookie: *mut c_void,
    why: *mut *const c_char,
) -> c_int {
    let (at, cookie) = ((port, queue), cookie.expose_provenance());
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.unshare(at, id, cookie)) as c_int }
}

//! net_evenpath_sim: a DPDK driver whose NIC is the simulated e-switch.
//!
//! ```text
//!  rules: application ─► rte_flow ─► c/{flow,queue,items,actions}.c ─► here ─► fastpath::hardware::sim
//!  packets: wire ─► c/driver.c ─► here ─► fastpath::hardware::sim ─► wire | function | queue
//! ```
//! Loaded by EAL (`-d libnet_evenpath_sim.so`), pinned to DPDK 24.11, for tests of what goes through the
//! real entry points. C keeps DPDK's records and order of calls; here are the e-switch, of which a
//! process has one, and the numbers of c/sim.h.
#![allow(
    unsafe_code,
    reason = "called from C; every block states what it relies on"
)]

mod abi;
mod classic;
mod flaws;
mod indirect;
mod nic;

use abi::{Actions, Outcome, Pattern, Result_, Table};
use classic::Wanted;
use fastpath::hardware::Error;
use nic::Nic;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The standard library's: who waits for it sleeps. parking_lot's calls `sched_yield` first, for which
/// Linux's scheduler (EEVDF) puts a thread behind all others of its core, and packets wait for those.
static NIC: Mutex<Option<Nic>> = Mutex::new(None);

/// Every reason that was ever given: C wants them for good, and there are few.
static REASONS: Mutex<BTreeSet<CString>> = Mutex::new(BTreeSet::new());

fn reason(text: &str) -> *const c_char {
    let text = CString::new(text).unwrap_or_default();
    let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    if !reasons.contains(&text) {
        reasons.insert(text.clone());
    }
    // The string's bytes are its own allocation, which stays as long as it is in the set: for good.
    reasons.get(&text).map_or(std::ptr::null(), |r| r.as_ptr())
}

fn nic() -> MutexGuard<'static, Option<Nic>> {
    NIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with the NIC; its number, or a negative error number and why.
///
/// # Safety
/// `why` may be written.
unsafe fn with(why: *mut *const c_char, call: impl FnOnce(&mut Nic) -> Result<u64, Error>) -> i64 {
    let mut nic = self::nic();
    let done = match nic.as_mut() {
        Some(nic) => call(nic),
        None => Err(Error::new(Error::INVALID, "no port was attached")),
    };
    match done {
        Ok(number) => number as i64,
        Err(error) => {
            // SAFETY: the caller says so.
            unsafe { why.write(reason(&error.message)) };
            -i64::from(error.errno)
        }
    }
}

/// See c/sim.h.
///
/// # Safety
/// `profile` is a string; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_attach(
    port: u32,
    profile: *const c_char,
    switchdev: bool,
    function: bool,
    why: *mut *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let profile = unsafe { CStr::from_ptr(profile) }.to_string_lossy();
    let mut nic = self::nic();
    if nic.is_none() {
        *nic = Nic::new(&profile, switchdev);
    }
    let Some(nic) = nic.as_mut() else {
        // SAFETY: the caller says so.
        unsafe { why.write(reason("no such profile")) };
        return -Error::INVALID;
    };
    if nic.is_switchdev() != switchdev {
        // SAFETY: the caller says so.
        unsafe { why.write(reason("the NIC is in the other mode already")) };
        return -Error::INVALID;
    }
    nic.attach(port as u16, function, false);
    0
}

/// See c/sim.h.
#[unsafe(no_mangle)]
pub extern "C" fn evenpath_sim_rss_rows() -> u32 {
    nic().as_ref().map_or(0, Nic::rss_rows)
}

/// See c/sim.h.
#[unsafe(no_mangle)]
pub extern "C" fn evenpath_sim_hairpin(port: u32, queue: u32, tx_port: u32, tx_queue: u32) {
    let to = u16::try_from(tx_port).ok().map(|p| (p, tx_queue as u16));
    if let Some(nic) = nic().as_mut() {
        nic.hairpin((port as u16, queue as u16), to);
    }
}

/// See c/sim.h.
#[unsafe(no_mangle)]
pub extern "C" fn evenpath_sim_detach(port: u32) {
    let mut nic = self::nic();
    if nic.as_mut().is_some_and(|nic| nic.detach(port as u16) == 0) {
        *nic = None;
    }
}

/// See c/sim.h.
///
/// # Safety
/// `key` and `value` are strings; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_fault(
    key: *const c_char,
    value: *const c_char,
    why: *mut *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let key = unsafe { CStr::from_ptr(key) }.to_string_lossy();
    // SAFETY: the caller says so.
    let value = unsafe { CStr::from_ptr(value) }.to_string_lossy();
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.fault(&key, &value)) as c_int }
}

/// See c/sim.h.
#[unsafe(no_mangle)]
pub extern "C" fn evenpath_sim_isolate(port: u32, function: bool, isolated: bool) {
    if let Some(nic) = nic().as_mut() {
        nic.attach(port as u16, function, isolated);
    }
}

/// See c/sim.h.
///
/// # Safety
/// `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_forget(port: u32, why: *mut *const c_char) -> c_int {
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.forget(port)) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `table` is a record, all of whose pointers are good; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_table(table: *const Table, why: *mut *const c_char) -> i64 {
    // SAFETY: the caller says so.
    let table = unsafe { &*table };
    // SAFETY: the caller says so.
    let made = unsafe { table.read() };
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.create_table(made?)) }
}

/// See c/sim.h.
///
/// # Safety
/// `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_table_destroy(table: u32, why: *mut *const c_char) -> c_int {
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.destroy_table(table)) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `spec` is null or a record, `actions` is one; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_insert(
    port: u32,
    queue: u32,
    table: u32,
    index: u32,
    spec: *const Pattern,
    actions: *const Actions,
    template: u32,
    cookie: *mut c_void,
    why: *mut *const c_char,
) -> i64 {
    // SAFETY: the caller says so.
    let spec = unsafe { spec.as_ref() };
    // SAFETY: the caller says so.
    let actions = unsafe { &*actions };
    let place = Pattern::place(spec, index);
    let queue = Nic::queue(port, queue);
    // SAFETY: the caller says so.
    unsafe {
        with(why, |nic| {
            nic.insert(
                queue,
                table,
                place,
                actions.read(template)?,
                cookie.expose_provenance(),
            )
        })
    }
}

/// See c/sim.h.
///
/// # Safety
/// `actions` is a record; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_update(
    port: u32,
    queue: u32,
    rule: u64,
    actions: *const Actions,
    template: u32,
    cookie: *mut c_void,
    why: *mut *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let actions = unsafe { &*actions };
    let queue = Nic::queue(port, queue);
    // SAFETY: the caller says so.
    unsafe {
        with(why, |nic| {
            nic.update(
                queue,
                rule,
                actions.read(template)?,
                cookie.expose_provenance(),
            )
        }) as c_int
    }
}

/// See c/sim.h.
///
/// # Safety
/// `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_destroy(
    port: u32,
    queue: u32,
    rule: u64,
    cookie: *mut c_void,
    why: *mut *const c_char,
) -> c_int {
    let queue = Nic::queue(port, queue);
    // SAFETY: the caller says so.
    unsafe {
        with(why, |nic| {
            nic.destroy(queue, rule, cookie.expose_provenance())
        }) as c_int
    }
}

/// See c/sim.h.
///
/// # Safety
/// `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_push(
    port: u32,
    queue: u32,
    why: *mut *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.push(Nic::queue(port, queue))) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `results` has room for `n` records; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_pull(
    port: u32,
    queue: u32,
    results: *mut Result_,
    n: u32,
    why: *mut *const c_char,
) -> c_int {
    let put = |i: u32, result: Result_| {
        // SAFETY: within the room that the caller has.
        let place = unsafe { results.add(i as usize) };
        // SAFETY: as above.
        unsafe { place.write(result) };
    };
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.pull(Nic::queue(port, queue), n, put)) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// All pointers may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_count(
    rule: u64,
    packets: *mut u64,
    bytes: *mut u64,
    why: *mut *const c_char,
) -> c_int {
    let put = |place: *mut u64, count: u64| {
        // SAFETY: the caller says so.
        unsafe { place.write(count) };
    };
    let count = |nic: &mut Nic| {
        let count = nic.count(rule)?;
        put(packets, count.packets);
        put(bytes, count.bytes);
        Ok(0)
    };
    // SAFETY: the caller says so.
    unsafe { with(why, count) as c_int }
}

/// Whether the NIC has a rule: 0, or why not.
///
/// # Safety
/// The pointer may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_lacks(rule: u64, why: *mut *const c_char) -> c_int {
    // SAFETY: the caller says so.
    unsafe { with(why, |nic: &mut Nic| nic.lacks(rule).map(|()| 0)) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `spec` is a record; `hash` and `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_hash(
    table: u32,
    spec: *const Pattern,
    hash: *mut u32,
    why: *mut *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let values = unsafe { &*spec }.values();
    let find = |nic: &mut Nic| {
        let found = nic.hash(table, &values)?;
        // SAFETY: the caller says so.
        unsafe { hash.write(found) };
        Ok(0)
    };
    // SAFETY: the caller says so.
    unsafe { with(why, find) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `masks`, `values` and `actions` are records; `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_rule(
    port: u32,
    priority: u32,
    masks: *const Pattern,
    values: *const Pattern,
    actions: *const Actions,
    only_ask: bool,
    why: *mut *const c_char,
) -> i64 {
    // SAFETY: the caller says so.
    let pattern = unsafe { &*masks }.template();
    // SAFETY: the caller says so.
    let values = unsafe { &*values }.values();
    // SAFETY: the caller says so.
    let actions = unsafe { &*actions }.classic();
    let put = |nic: &mut Nic| {
        let (pattern, actions) = (pattern?, actions?);
        let wanted = Wanted {
            port,
            priority,
            pattern,
            values,
            actions,
        };
        nic.rule(wanted, only_ask)
    };
    // SAFETY: the caller says so.
    unsafe { with(why, put) }
}

/// See c/sim.h.
///
/// # Safety
/// `why` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_rule_destroy(rule: u64, why: *mut *const c_char) -> c_int {
    // SAFETY: the caller says so.
    unsafe { with(why, |nic| nic.rule_destroy(rule)) as c_int }
}

/// See c/sim.h.
///
/// # Safety
/// `frame` has `length` bytes that nobody else uses; `place` and `mark` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenpath_sim_receive(
    port: u32,
    frame: *mut u8,
    length: u32,
    place: *mut u32,
    mark: *mut u32,
) -> c_int {
    // SAFETY: the caller says so.
    let frame = unsafe { std::slice::from_raw_parts_mut(frame, length as usize) };
    let (outcome, to, put) = match nic().as_mut() {
        Some(nic) => nic.receive(port as u16, frame),
        None => (Outcome::Software, 0, None),
    };
    // SAFETY: the caller says so.
    unsafe { place.write(to) };
    // SAFETY: the caller says so.
    unsafe { mark.write(put.unwrap_or(u32::MAX)) };
    outcome as c_int
}

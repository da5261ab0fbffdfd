//! Longest-prefix match by `rte_fib` (IPv4, DIR24-8) and `rte_fib6` (IPv6, trie).
//!
//! One [`Fib`] is one copy; the software plane keeps two ([`crate::rcu`]) and writes only to the one
//! that nobody reads, so DPDK's own (incomplete) grace periods are not used.
//!
//! Two defects of DPDK are kept away from it: `fib_edge` and `fib_blocks` say which.

use dpdk_sys::{
    rte_fib_conf, rte_fib_dir24_8_nh_sz as size4, rte_fib_trie_nh_sz as size6, rte_fib_type,
    rte_fib6_conf, rte_fib6_type,
};
use std::ffi::CString;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::eal::Handle;
use super::error::{Cause, Errno, Error, Failed, Object, check, check_ptr};
use super::fib_blocks::{Blocks, Full};
use super::fib_edge::Edge;
use super::fib_kernel::Kernel;
use super::fib_options::{EntrySize, FibOptions, blocks};
use crate::software::burst::BURST;
use crate::table::{GroupId, Lpm, LpmWrite};

/// The IPv4 and the IPv6 lookup table.
///
/// Destinations from 224.0.0.0 and from ff00:: on are not for lookup: what it finds there is
/// undefined.
#[derive(Debug)]
pub struct Fib<'e> {
    pub(super) fib4: NonNull<dpdk_sys::rte_fib>,
    pub(super) fib6: NonNull<dpdk_sys::rte_fib6>,
    pub(super) kernel: [Kernel; 2],
    blocks4: Blocks,
    blocks6: Blocks,
    edge4: Edge,
    edge6: Edge,
    options: FibOptions,
    _eal: PhantomData<&'e ()>,
}

// SAFETY: the tables belong to no thread.
unsafe impl Send for Fib<'_> {}
// SAFETY: lookups only read, and changes need `&mut`.
unsafe impl Sync for Fib<'_> {}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Fib<'static>>();
};

impl<'e> Fib<'e> {
    /// Makes both tables, empty: every lookup gives [`GroupId::NONE`]. The widest vectors that CPU
    /// and EAL allow do the lookups.
    ///
    /// # Errors
    /// Without the memory for it.
    pub fn new(_eal: Handle<'e>, options: FibOptions) -> Result<Fib<'e>, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Both put their prefixes into pools of the same name, so the names must differ.
        let [name4, name6] =
            [4, 6].map(|v| CString::new(format!("evenpath{v}-{number}")).unwrap_or_default());
        let socket = options.socket.map_or(-1, i32::from);
        let short = |error: Error| {
            error.remedy(format!(
                "the tables of one copy take about {} MiB, and there are two: give EAL more memory \
                 or make them smaller",
                options.memory_mib()
            ))
        };
        // SAFETY: a plain record for which zeros are valid.
        let mut conf: rte_fib_conf = unsafe { std::mem::zeroed() };
        conf.type_ = rte_fib_type::RTE_FIB_DIR24_8;
        conf.default_nh = GroupId::NONE.0.into();
        conf.max_routes = options.routes4 as i32;
        conf.__bindgen_anon_1.dir24_8.nh_sz = match options.entry {
            EntrySize::Two => size4::RTE_FIB_DIR24_8_2B,
            EntrySize::Four => size4::RTE_FIB_DIR24_8_4B,
        };
        conf.__bindgen_anon_1.dir24_8.num_tbl8 = blocks(options.tbl8_4);
        super::logging::take_error();
        // SAFETY: EAL is running, says the handle; name and settings are copied.
        let raw = unsafe { dpdk_sys::rte_fib_create(name4.as_ptr(), socket, &mut conf) };
        let fib4 = check_ptr(raw)
            .at(|| Object::Fib4, "create")
            .map_err(short)?;
        // SAFETY: a plain record for which zeros are valid.
        let mut conf: rte_fib6_conf = unsafe { std::mem::zeroed() };
        conf.type_ = rte_fib6_type::RTE_FIB6_TRIE;
        conf.default_nh = GroupId::NONE.0.into();
        conf.max_routes = options.routes6 as i32;
        conf.__bindgen_anon_1.trie.nh_sz = match options.entry {
            EntrySize::Two => size6::RTE_FIB6_TRIE_2B,
            EntrySize::Four => size6::RTE_FIB6_TRIE_4B,
        };
        conf.__bindgen_anon_1.trie.num_tbl8 = blocks(options.tbl8_6);
        // SAFETY: as above.
        let raw = unsafe { dpdk_sys::rte_fib6_create(name6.as_ptr(), socket, &mut conf) };
        let fib6 = check_ptr(raw)
            .at(|| Object::Fib6, "create")
            .map_err(short)
            .inspect_err(|_| {
                // SAFETY: made above and not used yet.
                unsafe { dpdk_sys::rte_fib_free(fib4.as_ptr()) }
            })?;
        let mut fib = Fib {
            fib4,
            fib6,
            kernel: [Kernel::Scalar; 2],
            blocks4: Blocks::new(options.tbl8_4),
            blocks6: Blocks::new(options.tbl8_6),
            edge4: Edge::V4,
            edge6: Edge::V6,
            options,
            _eal: PhantomData,
        };
        if !fib.forget_reservation4() || !fib.forget_reservation6() {
            let cause =
                Cause::Refused("this DPDK lays its tables out in a way that we do not know");
            return Err(Error::new(Object::Fib4, "create", cause));
        }
        for kernel in [Kernel::Scalar, Kernel::Avx512] {
            fib.choose(kernel);
        }
        Ok(fib)
    }

    /// See the shim. Before each addition.
    fn forget_reservation4(&self) -> bool {
        // SAFETY: the table lives.
        let dp = unsafe { dpdk_sys::rte_fib_get_dp(self.fib4.as_ptr()) };
        // SAFETY: the shim compares the number of blocks before it writes.
        unsafe { dpdk_sys::evenpath_fib_forget_reservation(dp, blocks(self.options.tbl8_4)) }
    }

    /// See the shim. Before each addition.
    fn forget_reservation6(&self) -> bool {
        // SAFETY: the table lives.
        let dp = unsafe { dpdk_sys::rte_fib6_get_dp(self.fib6.as_ptr()) };
        // SAFETY: the shim compares the number of blocks before it writes.
        unsafe { dpdk_sys::evenpath_fib_forget_reservation(dp, blocks(self.options.tbl8_6)) }
    }

    /// Blocks in use, of [`FibOptions::tbl8_4`] and [`FibOptions::tbl8_6`].
    pub fn blocks_used(&self) -> (u32, u32) {
        (self.blocks4.used(), self.blocks6.used())
    }

    /// What it was made from.
    pub fn options(&self) -> FibOptions {
        self.options
    }

    /// Refuses what DPDK would refuse or, for a bit too many, take wrongly.
    fn check_entry(
        &self,
        object: Object,
        length: u8,
        longest: u8,
        group: GroupId,
    ) -> Result<(), Error> {
        let refuse = |reason| Err(Error::new(object.clone(), "change", Cause::Refused(reason)));
        if length == 0 || length > longest {
            return refuse("a prefix has a length of 1 to 32 (IPv4) or 128 (IPv6)");
        }
        if group > self.options.entry.largest_group() {
            return refuse("the group id does not fit the table's entries; use entries of 4 bytes");
        }
        Ok(())
    }
}

/// Removing what is not there is no error.
fn absent_is_fine(result: Result<i32, Errno>) -> Result<i32, Errno> {
    match result {
        Err(Errno(libc::ENOENT)) => Ok(0),
        other => other,
    }
}

impl Lpm for Fib<'_> {
    #[inline]
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]) {
        for (from, to) in destinations.chunks(BURST).zip(groups.chunks_mut(BURST)) {
            let count = from.len().min(to.len());
            let mut found = [0u64; BURST];
            // SAFETY: both arrays hold `count`; the addresses are not written, whatever C's type
            // says; no change happens while this copy is borrowed.
            unsafe {
                dpdk_sys::rte_fib_lookup_bulk(
                    self.fib4.as_ptr(),
                    from.as_ptr().cast_mut(),
                    found.as_mut_ptr(),
                    count as i32,
                )
            };
            for (group, nexthop) in to.iter_mut().zip(found) {
                *group = GroupId(nexthop as u32);
            }
        }
    }

    #[inline]
    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]) {
        for (from, to) in destinations.chunks(BURST).zip(groups.chunks_mut(BURST)) {
            let count = from.len().min(to.len());
            let mut found = [0u64; BURST];
            // SAFETY: both arrays hold `count`; the shim asserts that DPDK's address is 16 bytes;
            // no change happens while this copy is borrowed.
            unsafe {
                dpdk_sys::rte_fib6_lookup_bulk(
                    self.fib6.as_ptr(),
                    from.as_ptr().cast(),
                    found.as_mut_ptr(),
                    count as i32,
                )
            };
            for (group, nexthop) in to.iter_mut().zip(found) {
                *group = GroupId(nexthop as u32);
            }
        }
    }

    fn kernels(&self) -> [&'static str; 2] {
        self.kernel.map(Kernel::name)
    }
}

/// The table was made for so many blocks.
fn full(object: Object, tbl8: u32) -> Error {
    Error::new(object, "upsert", Cause::Errno(Errno(libc::ENOSPC))).remedy(format!(
        "all {tbl8} second-level blocks (tbl8) are in use: raise their number"
    ))
}

/// The table was made for so many prefixes.
fn explain(error: Error, routes: u32) -> Error {
    match error.errno() {
        Some(Errno(libc::ENOMEM)) => error.remedy(format!(
            "the table is made for {routes} prefixes: raise their number"
        )),
        _ => error,
    }
}

impl Fib<'_> {
    /// Writes one prefix as it stands; address left-aligned in 128 bits.
    fn write4(&mut self, address: u128, length: u8, group: Option<GroupId>) -> Result<(), Error> {
        let (table, ip, object) = (self.fib4.as_ptr(), (address >> 96) as u32, || Object::Fib4);
        let Some(group) = group else {
            // SAFETY: the table lives, and `&mut` keeps readers out.
            let rc = unsafe { dpdk_sys::rte_fib_delete(table, ip, length) };
            absent_is_fine(check(rc)).at(object, "remove")?;
            self.blocks4.remove((address, length));
            return Ok(());
        };
        let new = self.blocks4.insert((address, length));
        let new = new.map_err(|Full| full(Object::Fib4, self.options.tbl8_4))?;
        self.forget_reservation4();
        // SAFETY: as above.
        let rc = unsafe { dpdk_sys::rte_fib_add(table, ip, length, group.0.into()) };
        if rc < 0 && new {
            self.blocks4.remove((address, length));
        }
        let done = check(rc).at(object, "upsert");
        done.map_err(|error| explain(error, self.options.routes4))?;
        Ok(())
    }

    /// As `write4`.
    fn write6(&mut self, address: u128, length: u8, group: Option<GroupId>) -> Result<(), Error> {
        let (table, bytes, object) = (self.fib6.as_ptr(), address.to_be_bytes(), || Object::Fib6);
        let ip = (&raw const bytes).cast();
        let Some(group) = group else {
            // SAFETY: the table lives, `&mut` keeps readers out, and the address is only read.
            let rc = unsafe { dpdk_sys::rte_fib6_delete(table, ip, length) };
            absent_is_fine(check(rc)).at(object, "remove")?;
            self.blocks6.remove((address, length));
            return Ok(());
        };
        let new = self.blocks6.insert((address, length));
        let new = new.map_err(|Full| full(Object::Fib6, self.options.tbl8_6))?;
        self.forget_reservation6();
        // SAFETY: as above.
        let rc = unsafe { dpdk_sys::rte_fib6_add(table, ip, length, group.0.into()) };
        if rc < 0 && new {
            self.blocks6.remove((address, length));
        }
        let done = check(rc).at(object, "upsert");
        done.map_err(|error| explain(error, self.options.routes6))?;
        Ok(())
    }

    fn change4(&mut self, ip: Ipv4Addr, length: u8, group: Option<GroupId>) -> Result<(), Error> {
        let address = u128::from(ip.to_bits()) << 96;
        let (next, mut writes) = self.edge4.translate(address, length, group);
        writes.try_for_each(|write| self.write4(write.address, write.length, write.group))?;
        self.edge4 = next;
        Ok(())
    }

    fn change6(&mut self, ip: Ipv6Addr, length: u8, group: Option<GroupId>) -> Result<(), Error> {
        let (next, mut writes) = self.edge6.translate(ip.to_bits(), length, group);
        writes.try_for_each(|write| self.write6(write.address, write.length, write.group))?;
        self.edge6 = next;
        Ok(())
    }
}

impl LpmWrite for Fib<'_> {
    type Error = Error;

    fn upsert4(&mut self, prefix: Ipv4Addr, length: u8, group: GroupId) -> Result<(), Error> {
        self.check_entry(Object::Fib4, length, 32, group)?;
        self.change4(prefix, length, Some(group))
    }

    fn remove4(&mut self, prefix: Ipv4Addr, length: u8) -> Result<(), Error> {
        self.check_entry(Object::Fib4, length, 32, GroupId::NONE)?;
        self.change4(prefix, length, None)
    }

    fn upsert6(&mut self, prefix: Ipv6Addr, length: u8, group: GroupId) -> Result<(), Error> {
        self.check_entry(Object::Fib6, length, 128, group)?;
        self.change6(prefix, length, Some(group))
    }

    fn remove6(&mut self, prefix: Ipv6Addr, length: u8) -> Result<(), Error> {
        self.check_entry(Object::Fib6, length, 128, GroupId::NONE)?;
        self.change6(prefix, length, None)
    }
}

impl Drop for Fib<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody borrows it any more.
        unsafe { dpdk_sys::rte_fib_free(self.fib4.as_ptr()) };
        // SAFETY: nobody borrows it any more.
        unsafe { dpdk_sys::rte_fib6_free(self.fib6.as_ptr()) };
    }
}

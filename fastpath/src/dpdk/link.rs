//! A port's link: asked for, and reported by the driver's interrupt.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use super::error::{Errno, check};

/// State of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Carrier. The virtual drivers (pcap, ring, null, af_xdp) always say true: take the kernel's
    /// word for those.
    pub up: bool,
    /// Mbit/s, `None` when the driver does not know it.
    pub speed_mbps: Option<u32>,
}

/// Called with the new state, on a thread of DPDK: it must be quick and must not block.
pub type LinkChanged = Box<dyn Fn(bool) + Send + Sync>;

/// Reads the state now, without waiting for a negotiation.
pub(super) fn read(port: u16) -> Result<Link, Errno> {
    let mut raw = dpdk_sys::evenpath_link {
        speed_mbps: 0,
        up: false,
        full_duplex: false,
    };
    // SAFETY: the caller has the port; the record is alive.
    check(unsafe { dpdk_sys::evenpath_link_get(port, &mut raw) })?;
    Ok(Link {
        up: raw.up,
        speed_mbps: Some(raw.speed_mbps).filter(|&speed| speed != 0 && speed != u32::MAX),
    })
}

const EVENT: u32 = dpdk_sys::rte_eth_event_type::RTE_ETH_EVENT_INTR_LSC;

/// A callback registered with DPDK until dropped.
pub(super) struct Callback {
    port: u16,
    /// From `Box::into_raw`: DPDK holds the same pointer.
    changed: NonNull<LinkChanged>,
}

// SAFETY: the closure is Send and Sync, and registering is allowed from any thread.
unsafe impl Send for Callback {}

unsafe extern "C" fn called(port: u16, _: u32, argument: *mut c_void, _: *mut c_void) -> c_int {
    let Ok(link) = read(port) else { return 0 };
    // SAFETY: registered with this argument; `Callback` frees it after DPDK let go of it.
    let changed = unsafe { argument.cast::<LinkChanged>().as_ref() };
    if let Some(changed) = changed {
        changed(link.up);
    }
    0
}

impl Callback {
    pub(super) fn register(port: u16, changed: LinkChanged) -> Result<Callback, Errno> {
        let raw = Box::into_raw(Box::new(changed));
        // SAFETY: the function has the type that DPDK asks for; the argument outlives it.
        let rc = unsafe {
            dpdk_sys::rte_eth_dev_callback_register(port, EVENT, Some(called), raw.cast())
        };
        // SAFETY: from `Box::into_raw`, so not null.
        let changed = unsafe { NonNull::new_unchecked(raw) };
        check(rc).inspect_err(|_| {
            // SAFETY: DPDK did not keep it.
            drop(unsafe { Box::from_raw(raw) });
        })?;
        Ok(Callback { port, changed })
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        let argument = self.changed.as_ptr();
        loop {
            // SAFETY: the same function and argument as registered.
            let rc = unsafe {
                dpdk_sys::rte_eth_dev_callback_unregister(
                    self.port,
                    EVENT,
                    Some(called),
                    argument.cast(),
                )
            };
            // It is running at this moment.
            if rc != -libc::EAGAIN {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: from `Box::into_raw`, and DPDK let go of it.
        drop(unsafe { Box::from_raw(argument) });
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link callback of DPDK port {}", self.port)
    }
}

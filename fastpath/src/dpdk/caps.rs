//! What a device can do, compared with what is asked of it. Nothing is dropped in silence.

use std::ffi::CStr;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::error::{Errno, check};

/// DPDK's receive offload of that name.
pub(super) const RSS_HASH: u64 =
    dpdk_sys::evenpath_device_flags::EVENPATH_RX_OFFLOAD_RSS_HASH as u64;

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The driver's name, such as `net_af_xdp`.
    pub driver: String,
    /// The most receive queues.
    pub rx_queues: u16,
    /// The most transmit queues.
    pub tx_queues: u16,
    /// The smallest and largest MTU in bytes.
    pub mtu: (u16, u16),
    /// Header fields that RSS can spread by (`RTE_ETH_RSS_*`); 0 without RSS.
    pub rss_flow_types: u64,
    /// Bytes of the RSS key; 0 without RSS.
    pub rss_key_bytes: u8,
    /// Entries of the largest indirection table of RSS; 0 without RSS.
    pub indirection_rows: u16,
    /// Hash functions for RSS, a bit each, by DPDK's number.
    pub rss_algorithms: u32,
    /// The device can tell the RSS hash with each packet.
    pub rss_with_packet: bool,
    /// Link changes are reported by interrupt.
    pub link_interrupt: bool,
}

/// Something that a device lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Receive queues: wanted, the device's most.
    RxQueues(u16, u16),
    /// Transmit queues: wanted, the device's most.
    TxQueues(u16, u16),
    /// MTU in bytes: wanted, the device's smallest and largest.
    Mtu(u16, (u16, u16)),
    /// Something about RSS, in words.
    Rss(&'static str),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::RxQueues(want, most) => write!(f, "{want} rx queues (at most {most})"),
            Missing::TxQueues(want, most) => write!(f, "{want} tx queues (at most {most})"),
            Missing::Mtu(want, (least, most)) => {
                write!(f, "an MTU of {want} bytes ({least} to {most})")
            }
            Missing::Rss(what) => f.write_str(what),
        }
    }
}

/// What a port needs of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// MTU in bytes, when a certain one is asked for.
    pub mtu: Option<u16>,
}

impl Caps {
    /// Of a device that does not answer.
    pub(super) const fn none() -> Self {
        Caps {
            driver: String::new(),
            rx_queues: 0,
            tx_queues: 0,
            mtu: (0, 0),
            rss_flow_types: 0,
            rss_key_bytes: 0,
            indirection_rows: 0,
            rss_algorithms: 0,
            rss_with_packet: false,
            link_interrupt: false,
        }
    }

    /// Everything of `wanted` that is not there.
    pub fn missing(&self, wanted: Wanted) -> Vec<Missing> {
        let mut missing = Vec::new();
        if wanted.rx_queues > self.rx_queues {
            missing.push(Missing::RxQueues(wanted.rx_queues, self.rx_queues));
        }
        if wanted.tx_queues > self.tx_queues {
            missing.push(Missing::TxQueues(wanted.tx_queues, self.tx_queues));
        }
        if let Some(mtu) = wanted
            .mtu
            .filter(|mtu| !(self.mtu.0..=self.mtu.1).contains(mtu))
        {
            missing.push(Missing::Mtu(mtu, self.mtu));
        }
        missing
    }
}

/// DPDK's own record, from which [`Caps`] is read, and the device behind the port.
pub(super) struct Info {
    pub(super) caps: Caps,
    pub(super) device: Option<NonNull<dpdk_sys::rte_device>>,
}

/// Asks the device of `port`.
pub(super) fn info(port: u16) -> Result<Info, Errno> {
    let mut raw = MaybeUninit::<dpdk_sys::rte_eth_dev_info>::zeroed();
    // SAFETY: EAL is running (the caller has a port); the record is large enough.
    check(unsafe { dpdk_sys::rte_eth_dev_info_get(port, raw.as_mut_ptr()) })?;
    // SAFETY: zeroed, which is valid for this plain record, and then filled by DPDK.
    let raw = unsafe { raw.assume_init() };
    let driver = if raw.driver_name.is_null() {
        String::new()
    } else {
        // SAFETY: not null, and a driver's name is a constant string.
        let name = unsafe { CStr::from_ptr(raw.driver_name) };
        name.to_string_lossy().into_owned()
    };
    // SAFETY: null, or points to the flags of a device that exists.
    let flags = unsafe { raw.dev_flags.as_ref() }.copied().unwrap_or(0);
    let largest = match raw.max_mtu {
        0 => u16::MAX,
        some => some,
    };
    Ok(Info {
        caps: Caps {
            driver,
            rx_queues: raw.max_rx_queues,
            tx_queues: raw.max_tx_queues,
            mtu: (raw.min_mtu, largest),
            rss_flow_types: raw.flow_type_rss_offloads,
            rss_key_bytes: raw.hash_key_size,
            indirection_rows: raw.reta_size,
            rss_algorithms: raw.rss_algo_capa,
            rss_with_packet: raw.rx_offload_capa & RSS_HASH != 0,
            link_interrupt: flags & dpdk_sys::evenpath_device_flags::EVENPATH_DEV_INTR_LSC != 0,
        },
        device: NonNull::new(raw.device),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_named() {
        let caps = Caps {
            driver: "net_x".into(),
            rx_queues: 1,
            tx_queues: 16,
            mtu: (68, 1500),
            ..Caps::none()
        };
        let missing = caps.missing(Wanted {
            rx_queues: 4,
            tx_queues: 4,
            mtu: Some(9000),
        });
        assert_eq!(
            missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "4 rx queues (at most 1)",
                "an MTU of 9000 bytes (68 to 1500)"
            ]
        );
    }
}

//! From devargs to DPDK's port number.

use std::ffi::{CStr, CString};

use super::error::{Cause, Errno, Error, Failed, Object, check};
use super::port_options::PortOptions;

/// The devargs with a name of their own: virtual devices of one driver must differ in it.
fn named(device: &str, port: &str) -> String {
    let (driver, arguments) = match device.split_once(',') {
        Some((driver, arguments)) => (driver, Some(arguments)),
        None => (device, None),
    };
    let is_virtual = driver.trim_start_matches("vdev:").starts_with("net_");
    if !is_virtual || driver.ends_with(|c: char| c.is_ascii_digit()) {
        return device.to_owned();
    }
    match arguments {
        Some(arguments) => format!("{driver}_{port},{arguments}"),
        None => format!("{driver}_{port}"),
    }
}

fn find(name: &CStr) -> Option<u16> {
    // SAFETY: EAL is running (the caller has a pool); the string is read.
    let port = unsafe { dpdk_sys::evenpath_port_of_device(name.as_ptr()) };
    (u32::from(port) < dpdk_sys::RTE_MAX_ETHPORTS).then_some(port)
}

/// DPDK's number of the port that `options` name, and whether the device was made for it.
pub(super) fn find_or_create(options: &PortOptions) -> Result<(u16, bool), Error> {
    let devargs = named(&options.device, &options.name);
    let object = || Object::Device(devargs.clone());
    let zero = |_| {
        Error::new(
            object(),
            "open",
            Cause::Refused("the name contains a zero byte"),
        )
    };
    let name = devargs.split(',').next().unwrap_or_default();
    let name = CString::new(name).map_err(zero)?;
    if let Some(port) = find(&name) {
        return Ok((port, false));
    }
    let text = CString::new(devargs.as_str()).map_err(zero)?;
    super::logging::take_error();
    // SAFETY: EAL is running; the string is read.
    check(unsafe { dpdk_sys::rte_dev_probe(text.as_ptr()) })
        .at(object, "create")
        .map_err(|mut error| {
            // Drivers return -1 for any failure, which happens to be EPERM's number.
            if error.errno() == Some(Errno(libc::EPERM)) {
                error.cause = Cause::Refused("the driver failed");
            }
            if name.to_bytes().starts_with(b"net_") {
                error
            } else {
                error.remedy(
                    "a PCI device must be named when EAL starts, and be bound to vfio-pci unless \
                     its driver shares it with the kernel (mlx5)",
                )
            }
        })?;
    find(&name)
        .map(|port| (port, true))
        .ok_or_else(|| Error::new(object(), "create", Cause::Refused("the device has no port")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_devices_get_the_ports_name() {
        for (device, named_) in [
            ("net_null", "net_null_up1"),
            ("net_pcap,rx_pcap=a,b=c", "net_pcap_up1,rx_pcap=a,b=c"),
            ("net_ring0", "net_ring0"),
            ("0000:03:00.0,dv_flow_en=2", "0000:03:00.0,dv_flow_en=2"),
        ] {
            assert_eq!(named(device, "up1"), named_);
        }
    }
}

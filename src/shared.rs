//! Ports whose NIC the kernel goes on using: mlx5, which keeps its netdev beside DPDK.
//!
//! In flow isolation (`rte_flow_isolate`) DPDK gets what the program's root takes, and the kernel's netdev
//! all else: ARP, neighbor discovery, LLDP, multicast. What is for own addresses the root takes as well,
//! and the program hands it back. So there is no port of this kind without a program. What comes to a
//! worker and is the kernel's after all goes back by a tap beside the netdev.

use crate::output::Failure;
use control::config::offload::{Backend, Mode, Role, Side};
use control::config::{Config, Device, Kernel, Port};
use std::fs;
use std::path::Path;

/// Where the kernel says what its netdevs are.
const NETDEVS: &str = "/sys/class/net";

/// The netdev that keeps the kernel's share of a NIC, if the port is of this kind.
pub fn netdev(port: &Port) -> Option<&str> {
    let Kernel::Netdev(netdev) = &port.kernel else {
        return None;
    };
    let is_shared = match port.device.as_ref()? {
        Device::Pci(_) => true,
        // The test driver's kernel is a port of its own, but it is asked for the same.
        Device::Devargs(arguments) => arguments.starts_with("net_evenpath_sim"),
        Device::Xdp(_) | Device::Tap(_) => false,
    };
    is_shared.then_some(netdev)
}

/// Whether any port of `config` is of this kind.
pub fn any(config: &Config) -> bool {
    config.ports.iter().any(|port| netdev(port).is_some())
}

/// The MTU of the netdev, which is the NIC's.
pub fn mtu(port: &Port) -> Option<u16> {
    read(Path::new(NETDEVS), netdev(port)?, "mtu")?.parse().ok()
}

/// Whether `port`, if it is of this kind, can be so.
///
/// # Errors
/// What is in the way, and the remedy.
pub fn check(config: &Config, port: &Port) -> Result<(), Failure> {
    check_in(Path::new(NETDEVS), config, port)
}

fn check_in(netdevs: &Path, config: &Config, port: &Port) -> Result<(), Failure> {
    let Some(netdev) = netdev(port) else {
        return Ok(());
    };
    let failed = |cause: String, remedy: &str| {
        let object = format!("port {}", port.name);
        Err(Failure::run(object, "open", cause, Some(remedy)))
    };
    let offload = &config.offload;
    if offload.mode == Mode::Off || offload.backend == Backend::Rss {
        let remedy = format!(
            "set [offload] mode = \"required\", backend = \"mlx5\" and role = \"transit\", or device = \"xdp:{netdev}\""
        );
        let cause = format!(
            "its NIC is shared with netdev {netdev}, and only a program in the NIC tells whose packets \
             are whose; there is no hardware plane"
        );
        return failed(cause, &remedy);
    }
    let has_host = config.ports.iter().any(|p| p.side == Side::Host);
    if offload.role == Some(Role::Dpu) || (offload.role.is_none() && has_host) {
        let cause = format!(
            "its NIC cannot be shared with netdev {netdev} for role = \"dpu\": isolated from the kernel's share, \
             the port would not get what the e-switch leaves to software"
        );
        let remedy =
            "set kernel = \"tap\": a tap of the port's name carries the kernel's share both ways";
        return failed(cause, remedy);
    }
    if let Some(Device::Pci(arguments)) = &port.device {
        let address = arguments.split(',').next().unwrap_or_default();
        let device = fs::canonicalize(netdevs.join(netdev).join("device")).ok();
        let device = device.as_deref().and_then(Path::file_name);
        let device = device.map(|name| name.to_string_lossy().into_owned());
        match device {
            None => {
                let cause = format!("netdev {netdev} is not there, or is of no PCI device");
                return failed(
                    cause,
                    "name the netdev of that PCI device (ls /sys/class/net)",
                );
            }
            Some(device) if !device.ends_with(address) => {
                let cause = format!("netdev {netdev} is of {device}, not of {address}");
                return failed(
                    cause,
                    "name the netdev of that PCI device (ls /sys/class/net)",
                );
            }
            Some(_) => {}
        }
    }
    let own = read(netdevs, netdev, "address");
    if let (Some(mac), Some(own)) = (port.mac, own) {
        let each: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        if each.join(":") != own {
            // Neighbors learn the netdev's from the kernel, whatever we think.
            let remedy = "leave mac out, or give the netdev that one (ip link set dev … address …)";
            return failed("its mac is not the netdev's".into(), remedy);
        }
    }
    Ok(())
}

fn read(netdevs: &Path, netdev: &str, what: &str) -> Option<String> {
    let text = fs::read_to_string(netdevs.join(netdev).join(what)).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn verdict(port: &str, offload: &str) -> Result<(), String> {
        let root = std::env::temp_dir().join(format!("evenpath-shared-{}", std::process::id()));
        let (device, netdev) = (root.join("0000:03:00.0"), root.join("net/p0"));
        fs::create_dir_all(&device).expect("made");
        fs::create_dir_all(&netdev).expect("made");
        fs::write(netdev.join("address"), "02:00:00:00:00:01\n").expect("written");
        let link = netdev.join("device");
        if fs::symlink_metadata(&link).is_err() {
            // Of another test: the same.
            let _ = symlink(&device, link);
        }
        let text = format!("[[port]]\nname = \"up1\"\n{port}\n[offload]\n{offload}\n");
        let config = Config::parse(&text).expect("a configuration");
        let done = check_in(&root.join("net"), &config, &config.ports[0]);
        done.map_err(|why| why.to_string())
    }

    const TRANSIT: &str = "mode = \"required\"\nrole = \"transit\"";

    #[test]
    fn a_netdev_of_the_same_nic_is_shared() {
        for device in ["0000:03:00.0", "03:00.0,dv_flow_en=2"] {
            let port = format!("device = \"{device}\"\nkernel = \"p0\"");
            assert_eq!(verdict(&port, TRANSIT), Ok(()));
            assert_eq!(verdict(&port, "mode = \"auto\""), Ok(()), "wires alone");
            let port = format!("{port}\nmac = \"02:00:00:00:00:01\"");
            assert_eq!(verdict(&port, TRANSIT), Ok(()));
        }
        // Others are none of this module's business.
        for port in [
            "device = \"xdp:p9\"",
            "device = \"0000:03:00.0\"\nkernel = \"tap\"",
        ] {
            assert_eq!(verdict(port, "mode = \"off\""), Ok(()));
        }
    }

    #[test]
    fn what_cannot_be_shared_says_why() {
        let shared = "device = \"0000:03:00.0\"\nkernel = \"p0\"";
        for (port, offload, words) in [
            (shared, "mode = \"off\"", "there is no hardware plane"),
            (shared, "mode = \"auto\"\nrole = \"dpu\"", "role = \"dpu\""),
            (
                "device = \"0000:03:00.0\"\nkernel = \"p0\"\nside = \"host\"",
                "mode = \"auto\"",
                "role = \"dpu\"",
            ),
            (
                "device = \"0000:03:00.1\"\nkernel = \"p0\"",
                TRANSIT,
                "netdev p0 is of 0000:03:00.0, not of 0000:03:00.1",
            ),
            (
                "device = \"0000:03:00.0\"\nkernel = \"p9\"",
                TRANSIT,
                "netdev p9 is not there",
            ),
            (
                "device = \"0000:03:00.0\"\nkernel = \"p0\"\nmac = \"02:00:00:00:00:02\"",
                TRANSIT,
                "its mac is not the netdev's",
            ),
        ] {
            let why = verdict(port, offload).expect_err(words);
            assert!(
                why.starts_with("port up1: open: ") && why.contains(words),
                "{why}"
            );
        }
    }
}

//! `[[port]]`: names, devices, MAC addresses.

use super::offload::Side;
use super::reader::{Findings, Section, number};
use super::{Device, Kernel, Port};

const NAME: &str = "1 to 15 letters, digits, \".\", \"_\" or \"-\"";
pub(super) const MAC: &str = "a unicast MAC address, e.g. \"02:00:00:00:00:01\"";
const DEVICE: &str = "\"xdp:NETDEV\", \"tap:NETDEV\", a PCI address such as \"0000:03:00.0\", or DPDK \
                      device arguments such as \"net_null0\"";

pub(super) fn port(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Port {
    s.only(
        &["name", "device", "kernel", "mac", "mtu", "vlan", "side"],
        out,
    );
    let name = s.need("name", NAME, out, |v| port_name(v.as_str()?));
    let device = s
        .get("device", DEVICE, out, |v| device(v.as_str()?))
        .map(|at| at.value);
    let words = "a netdev of at most 15 bytes, \"tap\" or \"none\"";
    let kernel = s.get("kernel", words, out, |v| match v.as_str()? {
        "tap" => Some(Kernel::Tap),
        "none" => Some(Kernel::None),
        name => netdev(name).map(Kernel::Netdev),
    });
    let kernel = kernel.map_or_else(|| kernel_of(device.as_ref()), |at| at.value);
    let mac = s.get("mac", MAC, out, |v| mac(v.as_str()?));
    let mtu = s.get("mtu", "68..9600 bytes", out, |v| {
        u16::try_from(number(v)?)
            .ok()
            .filter(|m| (68..=9600).contains(m))
    });
    let vlan = s.number("vlan", 0..=4094, "1..4094, or 0 for untagged", 0, out);
    let side = s.get("side", "\"wire\" or \"host\"", out, |v| {
        let name = v.as_str()?;
        Side::ALL.into_iter().find(|s| s.name() == name)
    });
    Port {
        name: name.map_or_else(String::new, |at| at.value),
        device,
        kernel,
        mac: mac.map(|at| at.value),
        mtu: mtu.map(|at| at.value),
        vlan: u16::try_from(vlan).unwrap_or(0),
        side: side.map(|at| at.value).unwrap_or_default(),
    }
}

/// The netdev that a device is made from keeps the kernel's packets, unless said otherwise.
fn kernel_of(device: Option<&Device>) -> Kernel {
    match device {
        Some(Device::Xdp(netdev) | Device::Tap(netdev)) => Kernel::Netdev(netdev.clone()),
        _ => Kernel::None,
    }
}

fn port_name(name: &str) -> Option<String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    ((1..=15).contains(&name.len()) && name.bytes().all(legal)).then(|| name.into())
}

fn netdev(name: &str) -> Option<String> {
    let legal = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':';
    ((1..=15).contains(&name.len()) && name.bytes().all(legal)).then(|| name.into())
}

impl Device {
    /// A device as `port.device` names it.
    pub fn parse(text: &str) -> Option<Device> {
        device(text)
    }
}

fn device(text: &str) -> Option<Device> {
    if let Some(name) = text.strip_prefix("xdp:") {
        return netdev(name).map(Device::Xdp);
    }
    if let Some(name) = text.strip_prefix("tap:") {
        return netdev(name).map(Device::Tap);
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    if is_pci(text) {
        return Some(Device::Pci(text.into()));
    }
    let bus = [
        "auxiliary:",
        "pci:",
        "vdev:",
        "vmbus:",
        "fslmc:",
        "platform:",
    ];
    let vdev =
        text.starts_with("net_") || text.starts_with("eth_") || text.starts_with("virtio_user");
    (vdev || bus.iter().any(|b| text.starts_with(b))).then(|| Device::Devargs(text.into()))
}

/// `[DOMAIN:]BUS:DEVICE.FUNCTION[,ARGUMENTS]`, hexadecimal.
fn is_pci(text: &str) -> bool {
    let address = text.split(',').next().unwrap_or(text);
    let Some((slot, function)) = address.rsplit_once('.') else {
        return false;
    };
    let hex = |t: &str, most: usize| {
        (1..=most).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = slot.split(':').collect();
    let slot = match parts.as_slice() {
        [bus, device] => hex(bus, 2) && hex(device, 2),
        [domain, bus, device] => hex(domain, 8) && hex(bus, 2) && hex(device, 2),
        _ => false,
    };
    slot && matches!(function.as_bytes(), [b'0'..=b'7'])
}

/// Six bytes, `:` or `-` between, unicast and not zero.
pub(super) fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|p| p.len() == 2)?;
        *byte = u8::from_str_radix(part, 16)
            .ok()
            .filter(|_| !part.contains('+'))?;
    }
    (parts.next().is_none() && mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

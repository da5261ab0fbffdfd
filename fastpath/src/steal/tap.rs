//! The kernel's netdev of an exclusive port.

use netlink_packet_route::link::LinkAttribute;

use super::error::Error;
use super::link::{self, Link};
use super::mac::{Mac, is_unicast};

/// A tap that stands for an exclusive port in the kernel: it holds the port's addresses, and what
/// is for the kernel (ARP, ND, BGP) goes through it both ways.
///
/// It lives as long as its DPDK port, `net_tap{vdev}`. Its owner gives it the port's MAC address,
/// MTU and carrier, or FRR would not notice that the port's link went down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelTap {
    name: String,
    devargs: String,
}

impl KernelTap {
    /// A tap to be called `name`, with the port's MAC address; nothing of that name may exist.
    ///
    /// `vdev` numbers the DPDK device; no other device of `net_tap` may have it.
    pub fn prepare(name: &str, vdev: u16, mac: [u8; 6]) -> Result<KernelTap, Error> {
        link::check_name(name)?;
        if !is_unicast(mac) {
            return Err(Error::Mac {
                netdev: name.to_owned(),
                mac,
            });
        }
        if Link::find(name)?.is_some() {
            return Err(Error::Exists {
                netdev: name.to_owned(),
            });
        }
        Ok(KernelTap {
            name: name.to_owned(),
            devargs: devargs(vdev, name, mac),
        })
    }

    /// Name of the netdev.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The argument of EAL's `--vdev`, or of a hot plug.
    pub fn devargs(&self) -> &str {
        &self.devargs
    }

    /// Gives the tap the carrier of the port; the port must be started, else the kernel refuses.
    pub fn set_carrier(&self, up: bool) -> Result<(), Error> {
        Link::get(&self.name)?.set(LinkAttribute::Carrier(up.into()), "set carrier")
    }

    /// Gives the tap another MAC address.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), Error> {
        if !is_unicast(mac) {
            return Err(Error::Mac {
                netdev: self.name.clone(),
                mac,
            });
        }
        Link::get(&self.name)?.set(LinkAttribute::Address(mac.to_vec()), "set MAC address")
    }

    /// Gives the tap another MTU, in bytes of the IP packet.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), Error> {
        Link::get(&self.name)?.set(LinkAttribute::Mtu(mtu.into()), "set MTU")
    }
}

/// A tap with its netdev's name and MAC address, which is the DPDK port's too.
pub(super) fn devargs(vdev: u16, name: &str, mac: [u8; 6]) -> String {
    format!("net_tap{vdev},iface={name},mac={}", Mac(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0xab, 1];

    #[test]
    fn device_arguments_name_tap_and_mac() {
        let tap = KernelTap::prepare("absent0", 2, MAC).unwrap();
        assert_eq!(
            tap.devargs(),
            "net_tap2,iface=absent0,mac=02:00:00:00:ab:01"
        );
        assert_eq!(tap.name(), "absent0");
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused_at_once() {
        assert!(matches!(
            KernelTap::prepare("a/b", 0, MAC),
            Err(Error::Name { .. })
        ));
        for mac in [[0; 6], [1, 0, 0, 0, 0, 1], [0xff; 6]] {
            assert!(
                matches!(KernelTap::prepare("up1", 0, mac), Err(Error::Mac { .. })),
                "{mac:?}"
            );
        }
        let missing = KernelTap::prepare("absent0", 0, MAC).unwrap();
        assert!(matches!(
            missing.set_carrier(true),
            Err(Error::Missing { .. })
        ));
        assert!(matches!(missing.set_mac([1; 6]), Err(Error::Mac { .. })));
    }
}

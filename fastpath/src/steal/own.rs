//! The own addresses of this machine, as the BPF programs of one netdev see them.

use std::net::IpAddr;

use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle};

use super::error::Error;
use super::mac::is_unicast;

/// How many addresses of a family the programs can hold; `max_entries` in `bpf/decide.h`.
pub(super) const MAX_ADDRESSES: u32 = 8192;

/// What the programs of a netdev leave to the kernel, and whether they take anything at all.
///
/// A new one takes nothing. The owner adds every own address of the machine (of all its netdevs: a
/// host accepts packets to any of them on any), then calls [`enable`](Self::enable); from then on
/// frames to the MAC address that are not for an own address are evenpath's. Not needed here, since
/// no router forwards to them: multicast, 255.255.255.255, 169.254/16, fe80::/10, loopback.
/// Directed broadcasts of connected subnets do need adding.
///
/// It may outlive the port: its calls then change maps that nobody reads.
#[derive(Debug)]
pub struct OwnAddresses {
    netdev: String,
    config: MapHandle,
    own4: MapHandle,
    own6: MapHandle,
    settings: Settings,
}

/// `struct config` of `bpf/decide.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) enabled: bool,
    /// Interface index of the tap; 0 for XDP.
    pub(super) peer: u32,
    /// Interface index of the netdev; 0 for XDP.
    pub(super) uplink: u32,
    pub(super) mac: [u8; 6],
}

impl Settings {
    pub(super) fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[0..4].copy_from_slice(&u32::from(self.enabled).to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.peer.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.uplink.to_ne_bytes());
        bytes[12..18].copy_from_slice(&self.mac);
        bytes
    }
}

impl OwnAddresses {
    /// Finds the three maps among those of a program and writes `settings`.
    pub(super) fn new(
        netdev: &str,
        maps: impl IntoIterator<Item = MapHandle>,
        settings: Settings,
    ) -> Result<OwnAddresses, Error> {
        let (mut config, mut own4, mut own6) = (None, None, None);
        for map in maps {
            match map.name().to_str() {
                Some("config") => config = Some(map),
                Some("own4") => own4 = Some(map),
                Some("own6") => own6 = Some(map),
                _ => {}
            }
        }
        let (Some(config), Some(own4), Some(own6)) = (config, own4, own6) else {
            return Err(Error::NotAttached {
                netdev: netdev.to_owned(),
            });
        };
        let own = OwnAddresses {
            netdev: netdev.to_owned(),
            config,
            own4,
            own6,
            settings,
        };
        own.write()?;
        Ok(own)
    }

    /// Name of the netdev.
    pub fn netdev(&self) -> &str {
        &self.netdev
    }

    /// Leaves packets to `address` to the kernel; adding it twice is no error.
    pub fn add(&self, address: IpAddr) -> Result<(), Error> {
        let added = match address {
            IpAddr::V4(v4) => self.own4.update(&v4.octets(), &[1], MapFlags::ANY),
            IpAddr::V6(v6) => self.own6.update(&v6.octets(), &[1], MapFlags::ANY),
        };
        added.map_err(|error| match error.kind() {
            ErrorKind::TooBig => Error::TooManyAddresses {
                netdev: self.netdev.clone(),
                address,
            },
            _ => Error::kernel(&self.netdev, "add own address")(error),
        })
    }

    /// Takes packets to `address` as transit again; removing an absent one is no error.
    pub fn remove(&self, address: IpAddr) -> Result<(), Error> {
        let removed = match address {
            IpAddr::V4(v4) => self.own4.delete(&v4.octets()),
            IpAddr::V6(v6) => self.own6.delete(&v6.octets()),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::kernel(&self.netdev, "remove own address")(error))
            }
            _ => Ok(()),
        }
    }

    /// Takes frames to `mac` from now on: the netdev's address changed.
    pub fn set_mac(&mut self, mac: [u8; 6]) -> Result<(), Error> {
        if !is_unicast(mac) {
            return Err(Error::Mac {
                netdev: self.netdev.clone(),
                mac,
            });
        }
        self.change(|settings| settings.mac = mac)
    }

    /// Starts to take transit: call it when all own addresses were added.
    pub fn enable(&mut self) -> Result<(), Error> {
        self.change(|settings| settings.enabled = true)
    }

    /// Leaves everything to the kernel.
    pub fn disable(&mut self) -> Result<(), Error> {
        self.change(|settings| settings.enabled = false)
    }

    fn change(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        change(&mut self.settings);
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        self.config
            .update(
                &0_u32.to_ne_bytes(),
                &self.settings.to_bytes(),
                MapFlags::ANY,
            )
            .map_err(Error::kernel(&self.netdev, "write settings"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_layout_of_the_c_structure() {
        let settings = Settings {
            enabled: true,
            peer: 2,
            uplink: 3,
            mac: [2, 0, 0, 0, 0, 9],
        };
        let mut expected = Vec::new();
        for word in [1_u32, 2, 3] {
            expected.extend(word.to_ne_bytes());
        }
        expected.extend([2, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!(settings.to_bytes().as_slice(), expected);
    }
}

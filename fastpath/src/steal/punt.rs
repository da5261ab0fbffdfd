//! The way back to a netdev whose NIC gave its packets to DPDK.

use libbpf_rs::{Object, TC_EGRESS, TC_INGRESS};

use super::error::Error;
use super::link::Link;
use super::own::{OwnAddresses, Settings};
use super::program::{self, MUTE, PUNT, TC_OBJECT};
use super::{tap, tc};

/// A tap beside a netdev that the kernel keeps of a NIC in flow isolation: what DPDK writes into it the
/// kernel receives by the netdev, tags and all, as if the NIC had never given it away.
///
/// [`prepare`](Self::prepare) before its DPDK port, `net_tap{vdev}`, is opened,
/// [`attach`](Self::attach) between that and its start. The tap and our programs on it are gone with
/// the DPDK port, however the process ends; the netdev itself is not touched.
#[derive(Debug)]
pub struct PuntTap {
    link: Link,
    tap: String,
    devargs: String,
    object: Object,
}

impl PuntTap {
    /// Loads the programs of a tap beside `netdev`, to be called `ep-NETDEV`.
    ///
    /// `vdev` numbers the DPDK device; no other device of `net_tap` may have it.
    ///
    /// # Errors
    /// There is no such netdev, a tap of that name is there, or the kernel refuses the programs.
    pub fn prepare(netdev: &str, vdev: u16) -> Result<PuntTap, Error> {
        let link = Link::get(netdev)?;
        let tap = tc::tap_name(&link);
        if Link::find(&tap)?.is_some() {
            return Err(Error::Exists { netdev: tap });
        }
        let object = program::open(netdev, TC_OBJECT)?
            .load()
            .map_err(Error::kernel(netdev, "load tc programs"))?;
        Ok(PuntTap {
            devargs: tap::devargs(vdev, &tap, link.mac),
            link,
            tap,
            object,
        })
    }

    /// Name of the tap's netdev.
    pub fn name(&self) -> &str {
        &self.tap
    }

    /// The argument of EAL's `--vdev`, or of a hot plug.
    pub fn devargs(&self) -> &str {
        &self.devargs
    }

    /// The netdev's MTU when it was prepared, in bytes; the tap's port must be given it.
    pub fn mtu(&self) -> u16 {
        u16::try_from(self.link.mtu).unwrap_or(u16::MAX)
    }

    /// Attaches the programs to the tap, which exists since its port was opened; they live as long as it.
    ///
    /// # Errors
    /// The tap is not there, or the kernel refuses.
    pub fn attach(self) -> Result<(), Error> {
        let tap = Link::get(&self.tap)?;
        let settings = Settings {
            enabled: false,
            peer: tap.index,
            uplink: self.link.index,
            mac: self.link.mac,
        };
        let maps = tc::maps(&self.object, &self.tap)?;
        OwnAddresses::new(&self.tap, maps, settings)?;
        tc::attach(&self.object, &tap, TC_INGRESS, PUNT)?;
        tc::attach(&self.object, &tap, TC_EGRESS, MUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netdev_that_is_not_there_is_named() {
        let why = PuntTap::prepare("absent0", 64).unwrap_err().to_string();
        assert!(why.starts_with("netdev absent0: open: "), "{why}");
    }
}

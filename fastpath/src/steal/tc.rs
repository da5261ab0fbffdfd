//! A netdev shared by a tap of DPDK's `net_tap` and the kernel.

use std::os::fd::AsFd;

use libbpf_rs::{MapHandle, Object, TC_EGRESS, TC_INGRESS, TcAttachPoint, TcHook};
use netlink_packet_route::link::LinkAttribute;

use super::claim::Claim;
use super::error::Error;
use super::link::Link;
use super::own::{OwnAddresses, Settings};
use super::program::{self, Loaded, MUTE, RETURN, STEAL, TC_OBJECT};
use super::tap;

/// Where our filters sit; other owners' filters of lower numbers see the packets first.
const PRIORITY: u32 = 0x6570;
const HANDLE: u32 = 1;

/// A netdev whose transit is moved to a tap by our tc programs, and whose rest stays with the
/// kernel: any MTU, any checksum offload of the peer, a tenth of the speed of [`super::Xdp`].
///
/// [`prepare`](Self::prepare) before the port is opened, [`attach`](Self::attach) between that and
/// its start, or the kernel's first words on the tap come to the port; drop after the port was
/// closed.
///
/// When the process dies without a drop, its tap is gone and the filter passes everything to the
/// kernel; the filter itself stays until the next start or `tc qdisc del dev eth1 clsact`.
#[derive(Debug)]
pub struct Tc {
    link: Link,
    tap: String,
    devargs: String,
    object: Object,
    /// The clsact qdisc was made by us or by an instance that left it.
    own_clsact: bool,
    _claim: Claim,
}

impl Tc {
    /// Claims `netdev`, loads the programs, detaches what a killed instance left.
    ///
    /// `vdev` numbers the DPDK device, `net_tap{vdev}`; no other device of that driver may have it.
    pub fn prepare(netdev: &str, vdev: u16) -> Result<Tc, Error> {
        let link = Link::get(netdev)?;
        let claim = Claim::new(&link)?;
        let tap = tap_name(&link);
        if Link::find(&tap)?.is_some() {
            return Err(Error::Exists { netdev: tap });
        }
        let object = program::open(netdev, TC_OBJECT)?
            .load()
            .map_err(Error::kernel(netdev, "load tc programs"))?;
        let devargs = tap::devargs(vdev, &tap, link.mac);
        let mut tc = Tc {
            link,
            tap,
            devargs,
            object,
            own_clsact: false,
            _claim: claim,
        };
        tc.own_clsact = !tc.link.has_clsact()? || tc.detach_ours()?;
        Ok(tc)
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The argument of EAL's `--vdev`.
    pub fn devargs(&self) -> &str {
        &self.devargs
    }

    /// Name of the tap's netdev.
    pub fn tap(&self) -> &str {
        &self.tap
    }

    /// Attaches the programs to the netdev and to the tap, which exists since the port was opened.
    ///
    /// They take nothing before [`OwnAddresses::enable`].
    pub fn attach(&mut self) -> Result<OwnAddresses, Error> {
        let tap = Link::get(&self.tap)?;
        tap.set(LinkAttribute::Mtu(self.link.mtu), "set MTU of the tap")?;
        let maps = maps(&self.object, &self.link.name)?;
        let settings = Settings {
            enabled: false,
            peer: tap.index,
            uplink: self.link.index,
            mac: self.link.mac,
        };
        let own = OwnAddresses::new(&self.link.name, maps, settings)?;
        for (link, point, name) in [
            (&tap, TC_INGRESS, RETURN),
            (&tap, TC_EGRESS, MUTE),
            (&self.link, TC_INGRESS, STEAL),
        ] {
            attach(&self.object, link, point, name)?;
        }
        Ok(own)
    }

    /// Takes our filter off the netdev; says whether there was one.
    fn detach_ours(&self) -> Result<bool, Error> {
        let mut hook = hook(&self.object, &self.link, TC_INGRESS, STEAL)?;
        // The answer to a place without a filter is an error too.
        let there = hook.query().ok().and_then(Loaded::find);
        if there.is_none_or(|program| program.name != STEAL) {
            return Ok(false);
        }
        hook.detach()
            .map_err(Error::kernel(&self.link.name, "detach tc program"))?;
        Ok(true)
    }

    /// Leaves the netdev as it was found.
    fn clean_up(&self) -> Result<(), Error> {
        if Link::find(&self.link.name)?.is_none_or(|now| now.index != self.link.index) {
            return Ok(());
        }
        self.detach_ours()?;
        if !self.own_clsact || !self.link.has_clsact()? || self.link.has_filters()? {
            return Ok(());
        }
        hook(&self.object, &self.link, TC_INGRESS | TC_EGRESS, STEAL)?
            .destroy()
            .map_err(Error::kernel(&self.link.name, "remove clsact qdisc"))
    }
}

impl Drop for Tc {
    fn drop(&mut self) {
        if let Err(error) = self.clean_up() {
            log::warn!("{error}");
        }
    }
}

/// The place of our programs on a netdev, with the one of this name in it.
fn hook(object: &Object, link: &Link, point: TcAttachPoint, name: &str) -> Result<TcHook, Error> {
    let mut programs = object.progs();
    let program = programs.find(|program| program.name() == name);
    let program = program.ok_or_else(|| Error::NotAttached {
        netdev: link.name.clone(),
    })?;
    let mut hook = TcHook::new(program.as_fd());
    hook.ifindex(link.signed_index())
        .attach_point(point)
        .handle(HANDLE)
        .priority(PRIORITY);
    Ok(hook)
}

/// Puts the program of this name on a netdev.
pub(super) fn attach(
    object: &Object,
    link: &Link,
    point: TcAttachPoint,
    name: &str,
) -> Result<(), Error> {
    let mut hook = hook(object, link, point, name)?;
    hook.create()
        .map_err(Error::kernel(&link.name, "add clsact qdisc"))?;
    hook.attach()
        .map_err(Error::kernel(&link.name, "attach tc program"))?;
    Ok(())
}

/// The maps of loaded programs.
pub(super) fn maps(object: &Object, netdev: &str) -> Result<Vec<MapHandle>, Error> {
    let maps = object.maps().map(|map| MapHandle::try_from(&map));
    maps.collect::<Result<_, _>>()
        .map_err(Error::kernel(netdev, "open the programs' maps"))
}

/// `ep-eth1`, or by index where that would be too long.
pub(super) fn tap_name(link: &Link) -> String {
    match format!("ep-{}", link.name) {
        name if name.len() <= 15 => name,
        _ => format!("ep-{}", link.index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tap_is_named_after_the_netdev() {
        let link = |name: &str| Link {
            name: name.to_owned(),
            index: 17,
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
            xdp: None,
            generic_xdp: false,
        };
        assert_eq!(tap_name(&link("eth1")), "ep-eth1");
        assert_eq!(tap_name(&link("twelve-chars")), "ep-twelve-chars");
        assert_eq!(tap_name(&link("thirteen-char")), "ep-17");
    }
}

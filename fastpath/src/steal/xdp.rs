//! A netdev shared by DPDK's `net_af_xdp` and the kernel.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::{Program, Xdp as Attachment, XdpFlags};

use super::claim::Claim;
use super::error::Error;
use super::link::Link;
use super::own::{OwnAddresses, Settings};
use super::program::{self, Loaded, XDP_OBJECT};
use super::sys::{self, Channels};

/// What AF_XDP takes of a packet buffer's data room, beyond the usual headroom.
const HEADROOM_BYTES: u32 = 256;
/// An Ethernet header and two VLAN tags.
const HEADER_BYTES: u32 = 14 + 2 * 4;

/// A netdev whose transit goes to `net_af_xdp`, by our XDP program, and whose rest stays with the
/// kernel.
///
/// [`prepare`](Self::prepare) before the port is opened, [`attach`](Self::attach) after that, drop
/// after the port was closed. What the kernel's side must have: frames no larger than the packet
/// buffers allow, VLAN tags in the frame (`ethtool -K eth1 rxvlan off`), and, where the peer is a
/// virtual netdev of the same machine, checksums in its frames (`ethtool -K PEER tx off`; veth and
/// virtio leave them out else, and segments stay merged).
///
/// When the process dies without a drop, its sockets leave the program's map and the kernel gets
/// everything; the program itself stays until the next start or `ip link set dev eth1 xdp off`.
#[derive(Debug)]
pub struct Xdp {
    link: Link,
    queues: u16,
    devargs: String,
    // Open as long as the driver may read the object by its descriptor.
    _object: File,
    _claim: Claim,
}

impl Xdp {
    /// Claims `netdev`, detaches what a killed instance left, checks MTU and queues.
    ///
    /// `vdev` numbers the DPDK device, `net_af_xdp{vdev}`. `data_room` is that of the
    /// port's pool in bytes, without the headroom.
    pub fn prepare(netdev: &str, vdev: u16, data_room: u16) -> Result<Xdp, Error> {
        program::quiet();
        let link = Link::get(netdev)?;
        let claim = Claim::new(&link)?;
        let limit = mtu_limit(data_room);
        if link.mtu > limit {
            return Err(Error::Mtu {
                netdev: link.name,
                mtu: link.mtu,
                limit,
            });
        }
        let channels = sys::channels(netdev).map_err(Error::kernel(netdev, "read queues"))?;
        let queues = queues(netdev, channels)?;
        detach_ours(&link)?;
        if let Some((id, program)) = attached(&link)? {
            return Err(Error::ForeignXdp {
                netdev: link.name,
                program: program.name,
                id,
            });
        }
        let object = sys::memory_file(XDP_OBJECT)
            .map_err(Error::kernel(netdev, "make a file of the XDP program"))?;
        let devargs = devargs(vdev, netdev, object.as_raw_fd(), queues);
        Ok(Xdp {
            link,
            queues,
            devargs,
            _object: object,
            _claim: claim,
        })
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The argument of EAL's `--vdev`.
    pub fn devargs(&self) -> &str {
        &self.devargs
    }

    /// How many receive queues the port must be given: all of the netdev's, since packets of a
    /// queue without a socket go to the kernel.
    pub fn queues(&self) -> u16 {
        self.queues
    }

    /// Finds our program, which the driver attached when it set up the port's receive queues.
    ///
    /// It takes nothing before [`OwnAddresses::enable`].
    pub fn attach(&self) -> Result<OwnAddresses, Error> {
        let netdev = &self.link.name;
        let now = Link::get(netdev)?;
        if now.generic_xdp {
            log::warn!("netdev {netdev}: its driver has no native XDP: slower, in generic mode");
        }
        let Some((_, program)) =
            attached(&self.link)?.filter(|(_, program)| program.name == program::XDP)
        else {
            return Err(Error::NotAttached {
                netdev: netdev.clone(),
            });
        };
        let settings = Settings {
            enabled: false,
            peer: 0,
            uplink: 0,
            mac: now.mac,
        };
        OwnAddresses::new(netdev, program.maps(netdev)?, settings)
    }
}

impl Drop for Xdp {
    fn drop(&mut self) {
        match detach_ours(&self.link) {
            // The netdev went away before us, or took another name.
            Ok(()) | Err(Error::Missing { .. }) => {}
            Err(error) => log::warn!("{error}"),
        }
    }
}

/// The largest MTU in bytes whose frames fit, with two VLAN tags.
fn mtu_limit(data_room: u16) -> u32 {
    u32::from(data_room).saturating_sub(HEADROOM_BYTES + HEADER_BYTES)
}

/// The number of active receive queues, if the driver can bind them all.
///
/// It counts combined channels where the netdev has such, and takes any other netdev as one queue.
fn queues(netdev: &str, channels: Option<Channels>) -> Result<u16, Error> {
    let too_many = |queues, limit, keyword| {
        Err(Error::Queues {
            netdev: netdev.to_owned(),
            queues,
            limit,
            keyword,
        })
    };
    match channels {
        None => Ok(1),
        // max_entries of xsks_map.
        Some(channels) if channels.max_combined > 0 => match channels.combined + channels.rx {
            queues if queues > 64 => too_many(queues, 64, "combined"),
            _ if channels.rx > 0 => too_many(channels.combined + channels.rx, 0, "rx"),
            queues => Ok(queues.max(1) as u16),
        },
        Some(channels) if channels.rx > 1 => too_many(channels.rx, 1, "rx"),
        Some(_) => Ok(1),
    }
}

/// Busy polling is off: workers poll without pause, the kernel's side runs in softirq, which needs
/// no NAPI settings per netdev and was faster over veth (0.89 against 0.86 Mpps).
fn devargs(vdev: u16, netdev: &str, object: i32, queues: u16) -> String {
    format!(
        "net_af_xdp{vdev},iface={netdev},start_queue=0,queue_count={queues},busy_budget=0,\
         xdp_prog=/proc/self/fd/{object}"
    )
}

/// The XDP program on the netdev of this name and index, if any.
fn attached(link: &Link) -> Result<Option<(u32, Loaded)>, Error> {
    let now = Link::get(&link.name)?;
    if now.index != link.index {
        return Err(Error::Missing {
            netdev: link.name.clone(),
        });
    }
    Ok(now.xdp.and_then(|id| Some((id, Loaded::find(id)?))))
}

/// Takes our program off the netdev; another owner's stays.
fn detach_ours(link: &Link) -> Result<(), Error> {
    let Some((id, program)) = attached(link)? else {
        return Ok(());
    };
    if program.name != program::XDP {
        return Ok(());
    }
    let operation = "detach XDP";
    let fd = Program::fd_from_id(id).map_err(Error::kernel(&link.name, operation))?;
    Attachment::new(fd.as_fd())
        .detach(link.signed_index(), XdpFlags::NONE)
        .map_err(Error::kernel(&link.name, operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_arguments_name_netdev_queues_and_program() {
        assert_eq!(
            devargs(3, "eth1", 17, 4),
            "net_af_xdp3,iface=eth1,start_queue=0,queue_count=4,busy_budget=0,xdp_prog=/proc/self/fd/17"
        );
    }

    #[test]
    fn the_mtu_limit_leaves_room_for_headers_and_headroom() {
        assert_eq!(mtu_limit(2048), 1770);
        assert_eq!(mtu_limit(3712), 3434);
        assert_eq!(mtu_limit(100), 0);
    }

    #[test]
    fn all_queues_are_bound_or_none() {
        let count = |max_combined, combined, rx, tx| {
            queues("eth1", Some(Channels::new(max_combined, combined, rx, tx)))
        };
        assert_eq!(queues("eth1", None).unwrap(), 1);
        assert_eq!(count(0, 0, 0, 0).unwrap(), 1);
        assert_eq!(count(0, 0, 1, 1).unwrap(), 1);
        assert_eq!(count(8, 1, 0, 0).unwrap(), 1);
        assert_eq!(count(8, 8, 0, 0).unwrap(), 8);
        assert_eq!(count(64, 64, 0, 0).unwrap(), 64);
        let message = |result: Result<u16, Error>| result.unwrap_err().to_string();
        assert!(message(count(0, 0, 2, 2)).contains("`ethtool -L eth1 rx 1`"));
        assert!(message(count(128, 65, 0, 0)).contains("`ethtool -L eth1 combined 64`"));
        assert!(message(count(8, 4, 2, 2)).contains("`ethtool -L eth1 rx 0`"));
    }

    #[test]
    fn errors_name_the_remedy() {
        let error = Error::Mtu {
            netdev: "eth1".to_owned(),
            mtu: 9000,
            limit: 1770,
        };
        assert_eq!(
            error.to_string(),
            "netdev eth1: MTU 9000: frames do not fit in AF_XDP buffers; \
             `ip link set dev eth1 mtu 1770` or use device = \"tap:eth1\""
        );
    }
}

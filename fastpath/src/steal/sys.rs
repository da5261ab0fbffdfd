//! The two system calls that no safe library has: ethtool's channel counts and memfd.
#![allow(
    unsafe_code,
    reason = "an ioctl with a pointer in its argument, and a new file descriptor"
)]

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixDatagram;

/// `ETHTOOL_GCHANNELS` of linux/ethtool.h.
const GET_CHANNELS: u32 = 0x3c;
const SIOCETHTOOL: u64 = 0x8946;

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Channels {
    command: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    pub(super) max_combined: u32,
    pub(super) rx: u32,
    pub(super) tx: u32,
    other: u32,
    pub(super) combined: u32,
}

#[cfg(test)]
impl Channels {
    pub(super) fn new(max_combined: u32, combined: u32, rx: u32, tx: u32) -> Channels {
        Channels {
            max_combined,
            combined,
            rx,
            tx,
            ..Channels::default()
        }
    }
}

/// The queues of a netdev; `None` where its driver has no such notion.
pub(super) fn channels(netdev: &str) -> io::Result<Option<Channels>> {
    // Any socket reaches the device layer; this one needs no address family to be configured.
    let socket = UnixDatagram::unbound()?;
    let mut channels = Channels {
        command: GET_CHANNELS,
        ..Channels::default()
    };
    // SAFETY: ifreq is integers, arrays and a pointer, for all of which zeros are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero; longer names were refused before and would only be cut here.
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(netdev.bytes())
    {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // SAFETY: the kernel writes one struct ethtool_channels through ifru_data, which points to one
    // that outlives the call; the layout is asserted by its repr and the nine words of the header.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if answer == 0 {
        return Ok(Some(channels));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        error => Err(error),
    }
}

/// A file in memory that holds `bytes` and goes away with this process, however that ends.
pub(super) fn memory_file(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a C string with static lifetime.
    let fd = unsafe { libc::memfd_create(c"evenpath-xdp".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call returned this descriptor just now and nobody else knows it.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_structure_is_nine_words() {
        assert_eq!(mem::size_of::<Channels>(), 36);
        assert_eq!(mem::offset_of!(Channels, combined), 32);
    }

    #[test]
    fn loopback_has_no_channels_and_an_absent_netdev_is_an_error() {
        assert_eq!(channels("lo").unwrap(), None);
        assert_eq!(
            channels("absent0").unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
    }

    #[test]
    fn a_memory_file_is_read_by_its_path() {
        let file = memory_file(b"content").unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert_eq!(std::fs::read(path).unwrap(), b"content");
    }
}

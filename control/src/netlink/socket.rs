//! A netlink socket of the routing family.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The kernel never sends more in one datagram (`NETLINK_DUMP` allocates up to 32 KiB).
const LARGEST_DATAGRAM: usize = 64 << 10;

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens one in the calling thread's network namespace, subscribed to the groups whose bits are
    /// set, with room for `receive_bytes`; [`Socket::receive`] gives up after `patience`.
    pub fn open(groups: u32, receive_bytes: usize, patience: Duration) -> Result<Self, Errno> {
        let kind = SocketType::RAW;
        let fd = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, None)?;
        // Beyond the system's limit if we may, else up to it.
        if set_socket_recv_buffer_size_force(&fd, receive_bytes).is_err() {
            set_socket_recv_buffer_size(&fd, receive_bytes)?;
        }
        set_socket_timeout(&fd, Timeout::Recv, Some(patience))?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Socket {
            fd,
            buffer: vec![0; LARGEST_DATAGRAM],
        })
    }

    /// Sends one message to the kernel.
    pub fn send(&self, message: &[u8]) -> Result<(), Errno> {
        send(&self.fd, message, SendFlags::empty()).map(|_| ())
    }

    /// Waits for a datagram. `AGAIN`: nothing came; `NOBUFS`: something was lost.
    pub fn receive(&mut self) -> Result<&[u8], Errno> {
        let (received, length) = recv(&self.fd, &mut self.buffer, RecvFlags::TRUNC)?;
        if length > received {
            return Err(Errno::NOBUFS);
        }
        Ok(&self.buffer[..received])
    }
}

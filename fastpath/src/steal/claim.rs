//! One process a netdev.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::error::Error;
use super::link::Link;

/// Holds a netdev for this process until it is dropped or the process ends, however it ends.
///
/// An abstract socket address is unique within a network namespace, as an interface index is, and
/// the kernel frees it with the process. So a program that is attached while the claim succeeds is
/// a leftover of a dead instance and not a live one's.
#[derive(Debug)]
pub(super) struct Claim {
    _socket: UnixDatagram,
}

impl Claim {
    pub(super) fn new(link: &Link) -> Result<Claim, Error> {
        let name = format!("evenpath/netdev/{}", link.index);
        let socket = SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixDatagram::bind_addr(&address))
            .map_err(|cause| match cause.kind() {
                io::ErrorKind::AddrInUse => Error::Claimed {
                    netdev: link.name.clone(),
                },
                _ => Error::kernel(&link.name, "claim")(cause),
            })?;
        Ok(Claim { _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_claim_is_refused_until_the_first_ends() {
        let link = |index| Link {
            name: "eth1".to_owned(),
            index,
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
            xdp: None,
            generic_xdp: false,
        };
        // Far from any index in use, and different in each test process.
        let index = 0x4000_0000 | std::process::id();
        let first = Claim::new(&link(index)).unwrap();
        let refused = Claim::new(&link(index)).unwrap_err();
        assert!(
            refused.to_string().contains("another evenpath has it"),
            "{refused}"
        );
        drop(first);
        Claim::new(&link(index)).unwrap();
    }
}

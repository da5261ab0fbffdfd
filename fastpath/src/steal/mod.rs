//! Which packets of a kernel netdev are evenpath's.
//!
//! On a NIC that DPDK shares with the kernel the hardware parts them; on any other netdev a small
//! BPF program does: unicast IPv4 and IPv6 for our MAC address and not for an own address goes to
//! DPDK, everything else (ARP, ND, multicast, BGP, LLDP, frames for others) stays in the kernel.
//!
//! ```text
//!              ┌─ not ours ─► kernel (FRR, ping, ssh)
//!  netdev ─► program                                        Xdp: net_af_xdp on the netdev itself
//!              └─ transit ──► AF_XDP socket or tap ─► poll  Tc:  net_tap beside it
//! ```
//!
//! * [`Steal`]: either of [`Xdp`] and [`Tc`], for whoever does not care which.
//! * [`OwnAddresses`]: what the program of one netdev leaves to the kernel.
//! * [`KernelTap`]: the other way round, for a port that DPDK has to itself.
//! * [`PuntTap`]: what hardware took from a netdev of the kernel's and is the kernel's after all goes back.
//!
//! The order is: `prepare`, open the port with the device arguments, `attach`, start the port, add
//! all own addresses, enable; at the end drop the port, then this. No packet for an own address is
//! taken in between, since a fresh program takes none. All calls act in the network namespace of the
//! calling thread. Not for packets: nothing here is called by a worker.

mod claim;
mod error;
mod link;
mod mac;
mod own;
mod program;
#[cfg(test)]
mod program_tests;
mod punt;
mod sys;
mod tap;
mod tc;
mod xdp;

pub use error::Error;
pub use own::OwnAddresses;
pub use punt::PuntTap;
pub use tap::KernelTap;
pub use tc::Tc;
pub use xdp::Xdp;

/// A netdev that is shared with the kernel; dropped after its DPDK port was closed.
#[derive(Debug)]
pub enum Steal {
    /// By XDP and `net_af_xdp`: configuration `xdp:NETDEV`.
    Xdp(Xdp),
    /// By tc and `net_tap`: configuration `tap:NETDEV`.
    Tc(Tc),
}

impl Steal {
    /// The argument of EAL's `--vdev`.
    pub fn devargs(&self) -> &str {
        match self {
            Steal::Xdp(xdp) => xdp.devargs(),
            Steal::Tc(tc) => tc.devargs(),
        }
    }

    /// The DPDK name of the device: the part of [`devargs`](Self::devargs) before the first comma.
    pub fn device(&self) -> &str {
        self.devargs().split(',').next().unwrap_or_default()
    }

    /// The netdev's MAC address when it was prepared.
    pub fn mac(&self) -> [u8; 6] {
        self.link().mac
    }

    /// The netdev's index when it was prepared. One of the same name and another index is another
    /// netdev, which nothing of ours is attached to.
    pub fn ifindex(&self) -> u32 {
        self.link().index
    }

    /// The netdev's MTU when it was prepared, in bytes; a tap's port must be given it.
    pub fn mtu(&self) -> u16 {
        u16::try_from(self.link().mtu).unwrap_or(u16::MAX)
    }

    fn link(&self) -> &link::Link {
        match self {
            Steal::Xdp(xdp) => xdp.link(),
            Steal::Tc(tc) => tc.link(),
        }
    }

    /// How many receive queues the port must be given, and as many transmit queues: both drivers
    /// refuse other numbers. For [`Tc`] it is a default, and any number up to 16 is as good.
    pub fn queues(&self) -> u16 {
        match self {
            Steal::Xdp(xdp) => xdp.queues(),
            Steal::Tc(_) => 1,
        }
    }

    /// Between open and start of the port: finds or attaches the programs, which take nothing yet.
    pub fn attach(&mut self) -> Result<OwnAddresses, Error> {
        match self {
            Steal::Xdp(xdp) => xdp.attach(),
            Steal::Tc(tc) => tc.attach(),
        }
    }
}

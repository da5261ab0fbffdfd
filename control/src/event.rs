//! What comes into the control thread and what it asks of others.
//!
//! Threads that read sockets (FPM, rtnetlink, api, DPDK's link-state interrupt) send [`Event`]s;
//! the one control thread applies each to its state, writes the tables, and leaves [`Action`]s for
//! the threads that own sockets. No socket and no clock is touched here.

use crate::api::{Reply, Request};
use crate::fpm::FpmEvent;
use crate::marks::{Rule, Spread, SpreadNews};
use crate::offload::{Ask, Update};
use crate::warm::image::Image;
use fastpath::hardware::plan::Change;
use fastpath::hash::Rss;
use fastpath::table::PortId;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Instant, SystemTime};

/// A MAC address.
pub type Mac = [u8; 6];

/// Marks an interface index as that of a configured port, not of a netdev: see [`configured`].
const CONFIGURED: u32 = 1 << 31;

/// The interface index under which static addresses and neighbors of `port` enter, whether or not
/// the port has a netdev. The kernel's own indexes are positive `i32`s, so they never collide.
pub const fn configured(port: PortId) -> u32 {
    CONFIGURED | port.0 as u32
}

/// The port whose static configuration has `ifindex`, if it is such an index.
pub const fn configured_port(ifindex: u32) -> Option<PortId> {
    if ifindex & CONFIGURED != 0 {
        Some(PortId(ifindex as u16))
    } else {
        None
    }
}

/// When something was noticed, as near to the source as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// For intervals.
    pub at: Instant,
    /// For people and for joining with other logs.
    pub time: SystemTime,
}

impl Noticed {
    /// Now. For the threads that read sockets, not for control.
    pub fn now() -> Self {
        Noticed {
            at: Instant::now(),
            time: SystemTime::now(),
        }
    }
}

/// A netdev of the kernel: any of them, not only those of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its MAC address, if it has one of 6 bytes.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// `IFF_UP`.
    pub admin_up: bool,
    /// `IFF_LOWER_UP`.
    pub carrier: bool,
}

/// The kernel's neighbor states (`NUD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeighborState {
    /// Being asked for.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Not confirmed lately.
    Stale,
    /// Stale and in use: to be probed soon.
    Delay,
    /// Being probed.
    Probe,
    /// Nobody answers.
    Failed,
    /// The device needs no resolution.
    NoArp,
    /// Set by hand or by a daemon.
    Permanent,
}

impl NeighborState {
    /// True when packets may be sent to its MAC address.
    pub const fn is_usable(self) -> bool {
        !matches!(self, NeighborState::Incomplete | NeighborState::Failed)
    }

    /// The name of `show neighbor`.
    pub const fn name(self) -> &'static str {
        match self {
            NeighborState::Incomplete => "incomplete",
            NeighborState::Reachable => "reachable",
            NeighborState::Stale => "stale",
            NeighborState::Delay => "delay",
            NeighborState::Probe => "probe",
            NeighborState::Failed => "failed",
            NeighborState::NoArp => "noarp",
            NeighborState::Permanent => "permanent",
        }
    }
}

/// An entry of the kernel's neighbor tables, or a static one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The interface it is on.
    pub ifindex: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address, if known.
    pub mac: Option<Mac>,
    /// Its state.
    pub state: NeighborState,
    /// Put there by zebra (`NDA_PROTOCOL` 11): the fake gateway of BGP unnumbered.
    pub zebra: bool,
}

/// The borders of a dump of the kernel's links, addresses and neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSync {
    /// What is not reported again before the end is gone.
    Begin,
    /// The dump is complete.
    End,
}

/// Everything that comes in.
#[derive(Debug)]
pub enum Event {
    /// A netdev appeared or changed.
    Link(Link, Noticed),
    /// A netdev is gone.
    LinkGone {
        /// Its index.
        ifindex: u32,
        /// When that was noticed.
        noticed: Noticed,
    },
    /// One of our addresses.
    Address {
        /// The interface it is on: the kernel's index, or [`configured`].
        ifindex: u32,
        /// The address itself.
        address: IpAddr,
        /// Length of the connected prefix.
        prefix_len: u8,
    },
    /// An address of ours was removed.
    AddressGone {
        /// The interface it was on.
        ifindex: u32,
        /// The address itself.
        address: IpAddr,
        /// Length of the connected prefix.
        prefix_len: u8,
    },
    /// A neighbor appeared or changed.
    Neighbor(Neighbor, Noticed),
    /// A neighbor entry is gone.
    NeighborGone {
        /// The interface it was on.
        ifindex: u32,
        /// Its address.
        address: IpAddr,
        /// When that was noticed.
        noticed: Noticed,
    },
    /// A dump of the kernel's state begins or ends.
    KernelSync(KernelSync),
    /// From zebra.
    Fpm(FpmEvent),
    /// A port's own link state, as its driver sees it (link-state interrupt).
    PortCarrier {
        /// The port.
        port: PortId,
        /// It has a link.
        up: bool,
        /// When that was noticed.
        noticed: Noticed,
    },
    /// What a report in the down mask ([`fastpath::table::Down::set_port`]) is about has been told: this
    /// comes behind those events, from the thread that has set the bit.
    PortReported {
        /// The port.
        port: PortId,
        /// The number of the report.
        report: u32,
    },
    /// What came of [`Action::ProgramHash`].
    HashProgrammed {
        /// The port.
        port: PortId,
        /// As in the action.
        ticket: u64,
        /// Done, or why not.
        done: Result<(), String>,
    },
    /// What became of [`Action::Marks`] and [`Action::Spread`].
    Spread(Box<SpreadNews>),
    /// What became of [`Action::Offload`].
    Offload(Box<Update>),
    /// A question of the api, and where the answer goes.
    Request(Request, SyncSender<Reply>),
}

/// What control asks of the threads that own sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Resolve this neighbor and keep it resolved without traffic (`NTF_EXT_MANAGED`).
    Resolve {
        /// The netdev it is on.
        ifindex: u32,
        /// Its address.
        address: IpAddr,
    },
    /// No longer needed: let the kernel forget it.
    Release {
        /// The netdev it is on.
        ifindex: u32,
        /// Its address.
        address: IpAddr,
    },
    /// Resolve this neighbor once (`NTF_USE`): a packet waits for it.
    Probe {
        /// The netdev it is on.
        ifindex: u32,
        /// Its address.
        address: IpAddr,
    },
    /// An own address appeared or went: what the steering programs leave to the kernel.
    OwnAddress {
        /// The address.
        address: IpAddr,
        /// Appeared, or went.
        add: bool,
    },
    /// Make the NIC of a port hash so; answered by [`Event::HashProgrammed`].
    ProgramHash {
        /// The port.
        port: PortId,
        /// What the NIC is to hash by.
        rss: Rss,
        /// For the answer.
        ticket: u64,
    },
    /// What NICs are to mark; workers know what it means.
    Marks(Vec<Rule>),
    /// NICs are to spread packets over workers by this seed: not what workers hash by.
    Spread(Spread),
    /// What hardware is to forward: changes of the plan, numbered from 1; workers have them already.
    Offload(u64, Vec<Change>),
    /// A question that the owner of the hardware plane answers.
    AskOffload(Ask),
    /// What the state directory is to hold of the tables: [`crate::warm::file::store`].
    Keep(Arc<Image>),
    /// Bytes for zebra; answered by [`FpmEvent::Written`], and only then followed by more.
    FpmReply {
        /// Which connection; bytes for an earlier one are to be thrown away.
        connection: u64,
        /// Whole frames.
        bytes: Vec<u8>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_indexes_are_apart_from_the_kernels() {
        assert_eq!(configured_port(configured(PortId(63))), Some(PortId(63)));
        assert_eq!(configured_port(i32::MAX as u32), None);
    }
}

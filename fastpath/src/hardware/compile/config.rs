//! Where the program runs, and how large it may be.

use super::super::plan::Family;
use super::super::program::Rss;
use crate::table::PortId;

/// A hairpin queue pair of a port that packets come in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hairpin {
    /// The port that it sends by.
    pub egress: PortId,
    /// The receiving queue, on the port that packets come in by.
    pub queue: u16,
    /// The sending queue, on `egress`.
    pub tx_queue: u16,
}

/// Which packets the program sees, and by what they leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// From wire to wire in NIC mode: one program for each port that packets come in by (a NIC's
    /// ingress rules are each port's own), out by hairpin queues.
    Transit {
        /// The port that packets come in by.
        port: PortId,
        /// Its hairpin queues. Design A uses one for each egress port, Design B one for each next
        /// hop.
        hairpins: Vec<Hairpin>,
        /// How packets get to the workers.
        software: Rss,
        /// The kernel has a netdev of the port and takes what is for our own addresses.
        kernel: bool,
    },
    /// A DPU's e-switch: from the host's functions to the wires and back, one program for all ports.
    Dpu {
        /// The port that rules are made on.
        proxy: PortId,
        /// Ports on wires. From one to another the e-switch cannot forward.
        uplinks: Vec<PortId>,
        /// Ports of the host's functions.
        functions: Vec<PortId>,
    },
}

/// How a group's packets are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// A: rows by CRC-32, a table for each generation of a group. A dead next hop is two updates.
    Rows,
    /// B: an indirect RSS action over hairpin queues for each group, rewrites on the way out.
    /// Transit only. A change of members, and a dead next hop, is one update for each group.
    Rss,
}

/// What a program is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where.
    pub role: Role,
    /// How.
    pub design: Design,
    /// The largest IP packet that hardware forwards, bytes: longer ones are software's, and so are
    /// next hops with a smaller MTU.
    pub mtu: u16,
    /// Prefixes are expanded to lengths that are multiples of this, 1 to 8: one table for each such
    /// length in use, and up to 2^(stride - 1) rules for a prefix.
    pub stride: u8,
    /// The most rules of the table of one length.
    pub prefixes: u32,
}

impl Config {
    /// The usual sizes: a stride of 4 (8 rules at most for a prefix) and 131,072 rules a table.
    pub fn new(role: Role, design: Design, mtu: u16) -> Self {
        Config {
            role,
            design,
            mtu,
            stride: 4,
            prefixes: 1 << 17,
        }
    }

    /// The length that a prefix of `length` is kept at.
    pub(super) fn stored(&self, length: u8, family: Family) -> u8 {
        let stride = self.stride.clamp(1, 8);
        length
            .div_ceil(stride)
            .saturating_mul(stride)
            .min(family.width())
    }

    /// The most rules of the table of a length.
    pub(super) fn room(&self, length: u8) -> u32 {
        let all = 1_u32.checked_shl(length.into()).unwrap_or(u32::MAX);
        self.prefixes.min(all).max(1)
    }

    /// The port that tables are made on.
    pub(super) fn port(&self) -> PortId {
        match &self.role {
            Role::Transit { port, .. } => *port,
            Role::Dpu { proxy, .. } => *proxy,
        }
    }
}

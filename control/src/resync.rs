//! Dumps of the kernel's links, addresses and neighbors: what is not reported again is gone.

use crate::control::Control;
use crate::event::{KernelSync, configured_port};
use fastpath::table::LpmWrite;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Instant;

/// What a dump has reported so far.
#[derive(Debug, Default)]
pub struct Known {
    /// Links, by index.
    pub links: HashSet<u32>,
    /// Addresses: interface, address, length.
    pub addresses: HashSet<(u32, IpAddr, u8)>,
    /// Neighbors: interface, address.
    pub neighbors: HashSet<(u32, IpAddr)>,
}

impl<L: LpmWrite> Control<L> {
    pub(crate) fn kernel_sync(&mut self, sync: KernelSync, now: Instant) {
        match sync {
            KernelSync::Begin => self.known = Some(Known::default()),
            KernelSync::End => {
                if let Some(known) = self.known.take() {
                    self.sweep_kernel(&known, now);
                }
            }
        }
    }

    fn sweep_kernel(&mut self, known: &Known, now: Instant) {
        // Nothing says when it went: as late as now.
        let noticed = self.wall(now);
        let plan = &self.plan;
        let kernels = |ifindex: u32| configured_port(ifindex).is_none();
        let neighbors: Vec<(u32, IpAddr)> = plan
            .neighbors
            .all()
            .map(|(i, a, _)| (i, a))
            .filter(|n| kernels(n.0) && !known.neighbors.contains(n))
            .collect();
        let addresses: Vec<(u32, IpAddr, u8)> = plan
            .ports
            .addresses()
            .filter(|a| kernels(a.0) && !known.addresses.contains(a))
            .collect();
        let links: Vec<u32> = plan
            .ports
            .links()
            .map(|l| l.ifindex)
            .filter(|i| !known.links.contains(i))
            .collect();
        for (ifindex, address) in neighbors {
            self.neighbor_gone(ifindex, address, noticed, now);
        }
        for (ifindex, address, length) in addresses {
            self.address(ifindex, address, length, false, now);
        }
        for ifindex in links {
            self.link_gone(ifindex, noticed, now);
        }
    }
}

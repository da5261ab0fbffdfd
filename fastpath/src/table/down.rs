//! The down mask: what is dead and may still be named by a bucket.
//!
//! Whoever learns of a death first (the link-state interrupt, the netlink reader, control) sets a
//! bit, and the very next burst avoids the dead. Control then repairs the tables, and clears the
//! bit once nothing names the dead any more and it has heard of every report: what it handles may be
//! older news than the bit. So the mask is empty in the normal case, even with a
//! port that has been down for a month, and workers pay two loads a burst for it.

use super::{AdjacencyId, MAX_PORTS, PortId};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Dead ports and dead adjacencies.
#[derive(Debug)]
pub struct Down {
    ports: AtomicU64,
    /// How often each port was reported dead: tells control whether its repair is the latest.
    reports: [AtomicU32; MAX_PORTS],
    adjacencies: Box<[AtomicU64]>,
    dead_adjacencies: AtomicU32,
}

impl Down {
    /// Nothing dead; room for `adjacencies` ids.
    pub fn new(adjacencies: usize) -> Self {
        Down {
            ports: AtomicU64::new(0),
            reports: std::array::from_fn(|_| AtomicU32::new(0)),
            adjacencies: (0..adjacencies.div_ceil(64).max(1))
                .map(|_| AtomicU64::new(0))
                .collect(),
            dead_adjacencies: AtomicU32::new(0),
        }
    }

    /// True when anything is dead: what workers ask once a burst.
    #[inline]
    pub fn any(&self) -> bool {
        self.ports.load(Ordering::Acquire) != 0
            || self.dead_adjacencies.load(Ordering::Acquire) != 0
    }

    /// True when `port` is dead.
    #[inline]
    pub fn port(&self, port: PortId) -> bool {
        self.ports.load(Ordering::Acquire) >> (port.0 as u32 & 63) & 1 != 0
    }

    /// True when `id` is dead.
    #[inline]
    pub fn adjacency(&self, id: AdjacencyId) -> bool {
        self.adjacencies
            .get(id.0 as usize / 64)
            .is_some_and(|w| w.load(Ordering::Acquire) >> (id.0 & 63) & 1 != 0)
    }

    /// Marks `port` dead and reports so; any thread. Returns the number of this report, which control
    /// is to hear behind the news themselves.
    pub fn set_port(&self, port: PortId) -> u32 {
        let index = port.0 as usize & (MAX_PORTS - 1);
        let report = self.reports[index].fetch_add(1, Ordering::AcqRel) + 1;
        self.ports.fetch_or(1 << index, Ordering::AcqRel);
        report
    }

    /// Marks `port` dead while control repairs what names it: control's own, and no report.
    pub fn mark_port(&self, port: PortId) {
        self.ports
            .fetch_or(1 << (port.0 as u32 & 63), Ordering::AcqRel);
    }

    /// The number of the latest report of `port`'s death.
    pub fn report(&self, port: PortId) -> u32 {
        self.reports[port.0 as usize & (MAX_PORTS - 1)].load(Ordering::Acquire)
    }

    /// Clears `port` after a repair, or after its return, unless it was reported dead again since
    /// `report`, the latest that control has heard of. Returns whether it is clear.
    pub fn clear_port(&self, port: PortId, report: u32) -> bool {
        if self.report(port) != report {
            return false;
        }
        let bit = 1 << (port.0 as u32 & 63);
        self.ports.fetch_and(!bit, Ordering::AcqRel);
        // A report that came in between has set the bit before or after the line above; in the
        // first case it was just wiped out, so look again.
        if self.report(port) != report {
            self.ports.fetch_or(bit, Ordering::AcqRel);
            return false;
        }
        true
    }

    /// Marks `id` dead; control only.
    pub fn set_adjacency(&self, id: AdjacencyId) {
        if let Some(word) = self.adjacencies.get(id.0 as usize / 64) {
            let bit = 1 << (id.0 & 63);
            if word.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
                self.dead_adjacencies.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Clears `id`, once no bucket names it; control only.
    pub fn clear_adjacency(&self, id: AdjacencyId) {
        if let Some(word) = self.adjacencies.get(id.0 as usize / 64) {
            let bit = 1 << (id.0 & 63);
            if word.fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
                self.dead_adjacencies.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_reported_again_stays_dead() {
        let down = Down::new(0);
        assert!(!down.any());
        let first = down.set_port(PortId(63));
        assert!(down.any() && down.port(PortId(63)) && !down.port(PortId(0)));
        let second = down.set_port(PortId(63));
        assert!(!down.clear_port(PortId(63), first) && down.port(PortId(63)));
        assert!(down.clear_port(PortId(63), second) && !down.any());
    }

    #[test]
    fn controls_own_mark_is_no_report() {
        let down = Down::new(0);
        down.mark_port(PortId(1));
        assert!(down.port(PortId(1)) && down.report(PortId(1)) == 0);
        assert!(down.clear_port(PortId(1), 0) && !down.any());
        down.set_port(PortId(1));
        down.mark_port(PortId(1));
        assert!(!down.clear_port(PortId(1), 0) && down.port(PortId(1)));
    }

    #[test]
    fn adjacencies_are_counted_once() {
        let down = Down::new(200);
        let id = AdjacencyId(130);
        down.set_adjacency(id);
        down.set_adjacency(id);
        assert!(down.any() && down.adjacency(id) && !down.adjacency(AdjacencyId(131)));
        down.clear_adjacency(id);
        down.clear_adjacency(id);
        assert!(!down.any());
        assert!(
            !down.adjacency(AdjacencyId(1 << 20)),
            "out of range is not dead"
        );
    }
}

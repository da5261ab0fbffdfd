//! What one worker counted: written by it alone, read by anybody.
//!
//! At rest, summed over all workers, nothing is unaccounted:
//! `in + icmp sent + fragments = out + dropped + punted`; see [`Snapshot::balance`].

use super::sample::{self, Samples};
use super::traffic::{BucketCounters, Traffic};
use super::{DropReason, MAX_PORTS, PortId};
use std::sync::atomic::{AtomicU64, Ordering};

const REASONS: usize = DropReason::ALL.len();

/// A counter with one writer: a load and a store, never a locked instruction.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    #[inline]
    fn add(&self, n: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One port's counters: half a cache line pair, written by one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
struct PortCounters {
    in_packets: Counter,
    in_bytes: Counter,
    out_packets: Counter,
    out_bytes: Counter,
    kernel_packets: Counter,
    kernel_bytes: Counter,
}

/// Values of one port's NIC that were compared; seldom written.
#[derive(Debug, Default)]
struct NicCounters {
    alike: Counter,
    other: Counter,
}

/// The counters of one worker. All methods that count are for that worker alone.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    ports: [PortCounters; MAX_PORTS],
    dropped: [Counter; REASONS],
    punted: Counter,
    icmp_sent: Counter,
    fragments: Counter,
    fragments_in: Counter,
    fragments_matched: Counter,
    fragments_waited: Counter,
    fragments_by_addresses: Counter,
    marked: Counter,
    turns: Counter,
    buckets: BucketCounters,
    samples: Samples,
    nic: [NicCounters; MAX_PORTS],
}

impl Default for WorkerStats {
    fn default() -> Self {
        WorkerStats {
            ports: std::array::from_fn(|_| PortCounters::default()),
            dropped: std::array::from_fn(|_| Counter::default()),
            punted: Counter::default(),
            icmp_sent: Counter::default(),
            fragments: Counter::default(),
            fragments_in: Counter::default(),
            fragments_matched: Counter::default(),
            fragments_waited: Counter::default(),
            fragments_by_addresses: Counter::default(),
            marked: Counter::default(),
            turns: Counter::default(),
            buckets: BucketCounters::default(),
            samples: Samples::new(1),
            nic: std::array::from_fn(|_| NicCounters::default()),
        }
    }
}

impl WorkerStats {
    /// All zero; buckets are not counted, and there is no room for samples worth the name.
    pub fn new() -> Self {
        WorkerStats::default()
    }

    /// All zero, with counters for an arena of `buckets` buckets, and with room for samples.
    pub fn with_buckets(buckets: usize) -> Self {
        WorkerStats {
            buckets: BucketCounters::new(buckets),
            samples: Samples::new(sample::ROOM),
            ..WorkerStats::default()
        }
    }

    /// What was rewritten to be sent, by bucket, whether the transmit ring took it or not
    /// ([`DropReason::TxFull`]). Left out are packets of the router's own (ICMP errors).
    #[inline(always)]
    pub fn buckets(&self) -> &BucketCounters {
        &self.buckets
    }

    /// Samples of what came in, for control to take.
    #[inline(always)]
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// What came in from the network, all ports together: no bucket was given more, but for
    /// packets that had to wait.
    pub fn taken_in(&self) -> Traffic {
        let mut sum = Traffic::default();
        for port in &self.ports {
            sum += Traffic {
                packets: port.in_packets.get(),
                bytes: port.in_bytes.get(),
            };
        }
        sum
    }

    #[inline]
    fn port(&self, port: PortId) -> &PortCounters {
        &self.ports[usize::from(port.0) & (MAX_PORTS - 1)]
    }

    /// Frames came in from the network on `port`.
    #[inline]
    pub fn received(&self, port: PortId, packets: u64, bytes: u64) {
        self.port(port).in_packets.add(packets);
        self.port(port).in_bytes.add(bytes);
    }

    /// Frames came from the kernel's side of an exclusive `port`, to be sent on it.
    #[inline]
    pub fn received_from_kernel(&self, port: PortId, packets: u64, bytes: u64) {
        self.port(port).kernel_packets.add(packets);
        self.port(port).kernel_bytes.add(bytes);
    }

    /// Frames were handed to `port`'s transmit queue.
    #[inline]
    pub fn sent(&self, port: PortId, packets: u64, bytes: u64) {
        self.port(port).out_packets.add(packets);
        self.port(port).out_bytes.add(bytes);
    }

    /// Packets were dropped.
    #[inline]
    pub fn dropped(&self, reason: DropReason, packets: u64) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.add(packets);
        }
    }

    /// Packets were left to the kernel.
    #[inline]
    pub fn punted(&self, packets: u64) {
        self.punted.add(packets);
    }

    /// ICMP errors were made (and then went the way of any packet).
    #[inline]
    pub fn icmp_sent(&self, packets: u64) {
        self.icmp_sent.add(packets);
    }

    /// Fragments were made beyond the first of each packet.
    #[inline]
    pub fn fragments(&self, packets: u64) {
        self.fragments.add(packets);
    }

    /// Fragments came in, to be routed: how many; how many later ones go with their first, how
    /// many begin to wait for it, and how many go by their addresses.
    pub fn fragments_seen(&self, seen: u64, matched: u64, waited: u64, by_addresses: u64) {
        self.fragments_in.add(seen);
        self.fragments_matched.add(matched);
        self.fragments_waited.add(waited);
        self.fragments_by_addresses.add(by_addresses);
    }

    /// The groups of packets were known by their mark, without a lookup.
    #[inline]
    pub fn marked(&self, packets: u64) {
        self.marked.add(packets);
    }

    /// A turn of the main loop ended.
    #[inline]
    pub fn turn(&self) {
        self.turns.add(1);
    }

    /// How many turns have ended.
    #[inline]
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// The hash that came with packets of `port` was compared with the computed one.
    pub fn compared(&self, port: PortId, compared: NicCompared) {
        let nic = &self.nic[usize::from(port.0) & (MAX_PORTS - 1)];
        nic.alike.add(compared.alike);
        nic.other.add(compared.other);
    }

    /// What [`WorkerStats::compared`] was told of `port` in all.
    pub fn nic(&self, port: PortId) -> NicCompared {
        let nic = &self.nic[usize::from(port.0) & (MAX_PORTS - 1)];
        NicCompared {
            alike: nic.alike.get(),
            other: nic.other.get(),
        }
    }

    /// The counters now. While the worker runs, each is exact and they are not of one instant.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            ports: std::array::from_fn(|i| {
                let port = &self.ports[i];
                PortSnapshot {
                    in_packets: port.in_packets.get(),
                    in_bytes: port.in_bytes.get(),
                    out_packets: port.out_packets.get(),
                    out_bytes: port.out_bytes.get(),
                    kernel_packets: port.kernel_packets.get(),
                    kernel_bytes: port.kernel_bytes.get(),
                }
            }),
            dropped: std::array::from_fn(|i| self.dropped[i].get()),
            punted: self.punted.get(),
            icmp_sent: self.icmp_sent.get(),
            fragments: self.fragments.get(),
            fragments_in: self.fragments_in.get(),
            fragments_matched: self.fragments_matched.get(),
            fragments_waited: self.fragments_waited.get(),
            fragments_by_addresses: self.fragments_by_addresses.get(),
            marked: self.marked.get(),
            turns: self.turns.get(),
        }
    }
}

/// Hashes that came with packets, compared with those that were computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NicCompared {
    /// The same.
    pub alike: u64,
    /// Another one.
    pub other: u64,
}

/// One port's counters at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortSnapshot {
    /// Frames from the network.
    pub in_packets: u64,
    /// Their bytes, Ethernet header included, no frame check sequence.
    pub in_bytes: u64,
    /// Frames handed to the transmit queue, those from the kernel included.
    pub out_packets: u64,
    /// Their bytes.
    pub out_bytes: u64,
    /// Frames from the kernel's side of an exclusive port.
    pub kernel_packets: u64,
    /// Their bytes.
    pub kernel_bytes: u64,
}

/// A worker's counters at a time, or the sum of several workers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By [`PortId`].
    pub ports: [PortSnapshot; MAX_PORTS],
    dropped: [u64; REASONS],
    /// Packets left to the kernel.
    pub punted: u64,
    /// ICMP errors made.
    pub icmp_sent: u64,
    /// Fragments made beyond the first of each packet.
    pub fragments: u64,
    /// Fragments that came in to be routed.
    pub fragments_in: u64,
    /// Later ones of these that took the path of their first.
    pub fragments_matched: u64,
    /// Later ones that had to wait for their first, matched in the end or not.
    pub fragments_waited: u64,
    /// Later ones that went by their addresses: their first did not come in time.
    pub fragments_by_addresses: u64,
    /// Packets whose group was known by the mark of a NIC, without a lookup.
    pub marked: u64,
    /// Turns of the main loop.
    pub turns: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        WorkerStats::new().snapshot()
    }
}

impl Snapshot {
    /// Packets dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets dropped in all.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Frames that came in, from the network and from the kernel.
    pub fn received_total(&self) -> u64 {
        self.ports
            .iter()
            .map(|p| p.in_packets + p.kernel_packets)
            .sum()
    }

    /// Frames handed to transmit queues.
    pub fn sent_total(&self) -> u64 {
        self.ports.iter().map(|p| p.out_packets).sum()
    }

    /// What came in or was made, and what went out, was dropped or punted: equal at rest.
    pub fn balance(&self) -> (u64, u64) {
        (
            self.received_total() + self.icmp_sent + self.fragments,
            self.sent_total() + self.dropped_total() + self.punted,
        )
    }

    /// Adds another worker's counters.
    pub fn add(&mut self, other: &Snapshot) {
        for (mine, theirs) in self.ports.iter_mut().zip(&other.ports) {
            mine.in_packets += theirs.in_packets;
            mine.in_bytes += theirs.in_bytes;
            mine.out_packets += theirs.out_packets;
            mine.out_bytes += theirs.out_bytes;
            mine.kernel_packets += theirs.kernel_packets;
            mine.kernel_bytes += theirs.kernel_bytes;
        }
        for (mine, theirs) in self.dropped.iter_mut().zip(&other.dropped) {
            *mine += theirs;
        }
        self.punted += other.punted;
        self.icmp_sent += other.icmp_sent;
        self.fragments += other.fragments;
        self.fragments_in += other.fragments_in;
        self.fragments_matched += other.fragments_matched;
        self.fragments_waited += other.fragments_waited;
        self.fragments_by_addresses += other.fragments_by_addresses;
        self.marked += other.marked;
        self.turns += other.turns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_adds_up() {
        let stats = WorkerStats::new();
        stats.received(PortId(1), 3, 300);
        stats.received_from_kernel(PortId(1), 1, 60);
        stats.icmp_sent(1);
        stats.fragments(1);
        stats.sent(PortId(2), 4, 400);
        stats.dropped(DropReason::NoBuffer, 1);
        stats.punted(1);
        stats.turn();
        let one = stats.snapshot();
        assert_eq!(one.balance(), (6, 6));
        assert_eq!(
            (one.ports[1].in_bytes, one.ports[2].out_packets, one.turns),
            (300, 4, 1)
        );
        let mut sum = Snapshot::default();
        sum.add(&one);
        sum.add(&one);
        assert_eq!(sum.dropped(DropReason::NoBuffer), 2);
        assert_eq!((sum.balance(), sum.ports[1].kernel_bytes), ((12, 12), 120));
    }
}

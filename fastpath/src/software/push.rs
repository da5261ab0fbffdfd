//! Stage 5: verdict -> transmit queue, kernel, answer, or drop; each packet is counted here once.

use super::burst::{Allocator, Burst, Frame, TxQueue};
use super::fragments::Fragments;
use super::hold::Hold;
use super::icmp::{self, Limit, Refused};
use super::lanes::{Lanes, Verdict};
use super::{fragment, rewrite};
use crate::table::stats::WorkerStats;
use crate::table::{AdjacencyId, DropReason, Lpm, MAX_PORTS, PortId, Tables, View};
use crate::wire::{ipv4, ipv6};
use crossbeam::queue::ArrayQueue;
use std::net::IpAddr;
use std::sync::Arc;

/// Which side of a port a queue is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The wire.
    Network,
    /// The tap that carries an exclusive port's own traffic to and from the kernel.
    Kernel,
}

/// What becomes of packets for the kernel on a port that has no tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Punts {
    /// Dropped, as no-kernel: what is bifurcated to the kernel should not have come to us.
    #[default]
    Drop,
    /// Counted as punted, and gone: replay, where there is no kernel and one wants to know.
    Count,
}

/// Next hops that control should resolve: the port, and an address on it. Bounded, and lossy: the
/// next packet asks again.
pub type Gleans = ArrayQueue<(PortId, IpAddr)>;

/// A transmit queue and what waits for it.
struct Egress<T: TxQueue> {
    queue: T,
    port: PortId,
    role: Role,
    staged: Burst<T::Frame>,
    staged_bytes: u64,
}

/// No queue.
const NONE: u8 = u8::MAX;

/// All that a worker sends by.
pub(super) struct Outputs<T: TxQueue, A> {
    egress: Vec<Egress<T>>,
    network: [u8; MAX_PORTS],
    kernel: [u8; MAX_PORTS],
    allocator: A,
    made: Burst<T::Frame>,
    pub(super) stats: Arc<WorkerStats>,
    gleans: Arc<Gleans>,
    last_glean: Option<(PortId, IpAddr)>,
    pub(super) hold: Hold<T::Frame>,
    /// Until when the packet waits that is tried again now.
    pub(super) retried_until_ns: Option<u64>,
    /// Which way fragments go, and those that wait.
    pub(super) fragments: Fragments<T::Frame>,
    limit: Limit,
    punts: Punts,
}

impl<T: TxQueue, A: Allocator<Frame = T::Frame>> Outputs<T, A> {
    pub(super) fn new(
        queues: Vec<(T, PortId, Role)>,
        allocator: A,
        stats: Arc<WorkerStats>,
        gleans: Arc<Gleans>,
        limit: Limit,
        punts: Punts,
    ) -> Self {
        let mut outputs = Outputs {
            egress: Vec::new(),
            network: [NONE; MAX_PORTS],
            kernel: [NONE; MAX_PORTS],
            allocator,
            made: Burst::new(),
            stats,
            gleans,
            last_glean: None,
            hold: Hold::none(),
            fragments: Fragments::none(),
            retried_until_ns: None,
            limit,
            punts,
        };
        for (queue, port, role) in queues {
            let map = match role {
                Role::Network => &mut outputs.network,
                Role::Kernel => &mut outputs.kernel,
            };
            if let Some(at) = map.get_mut(usize::from(port.0)) {
                *at = outputs.egress.len() as u8;
            }
            outputs.egress.push(Egress {
                queue,
                port,
                role,
                staged: Burst::new(),
                staged_bytes: 0,
            });
        }
        outputs
    }

    /// The queues to the wire.
    pub(super) fn network_queues(&mut self) -> Vec<(PortId, &mut T)> {
        let all = self.egress.iter_mut();
        let network = all.filter(|egress| egress.role == Role::Network);
        network.map(|e| (e.port, &mut e.queue)).collect()
    }

    /// Sends what waits.
    #[inline]
    pub(super) fn flush(&mut self) {
        for egress in &mut self.egress {
            if !egress.staged.is_empty() {
                flush(egress, &self.stats);
            }
        }
        self.last_glean = None;
    }

    #[inline(always)]
    fn stage(&mut self, index: u8, frame: T::Frame, otherwise: DropReason) {
        let Some(egress) = self.egress.get_mut(usize::from(index)) else {
            self.stats.dropped(otherwise, 1);
            return;
        };
        egress.staged_bytes += frame.bytes().len() as u64;
        if egress.staged.push(frame).is_err() {
            // Cannot be: it is flushed when full.
            self.stats.dropped(DropReason::TxFull, 1);
        }
        if egress.staged.room() == 0 {
            flush(egress, &self.stats);
        }
    }

    #[inline(always)]
    fn send(&mut self, port: PortId, frame: T::Frame) {
        let index = self.network.get(usize::from(port.0)).copied();
        self.stage(index.unwrap_or(NONE), frame, DropReason::PortDown);
    }

    /// All of `burst`, which are `bytes` bytes, in one piece.
    #[inline(always)]
    fn send_all(&mut self, port: PortId, burst: &mut Burst<T::Frame>, bytes: u64) {
        let index = self.network.get(usize::from(port.0)).copied();
        let egress = self.egress.get_mut(usize::from(index.unwrap_or(NONE)));
        let Some(egress) = egress else {
            let stats = &self.stats;
            stats.dropped(DropReason::PortDown, burst.len() as u64);
            burst.clear();
            return;
        };
        if burst.room() == 0 && egress.staged.is_empty() {
            let of = (&mut egress.queue, port, egress.role);
            transmit(of, burst, bytes, &self.stats);
            return;
        }
        if !egress.staged.append(burst) {
            flush(egress, &self.stats);
            // Cannot be refused: it is empty.
            egress.staged.append(burst);
        }
        egress.staged_bytes += bytes;
        if egress.staged.room() == 0 {
            flush(egress, &self.stats);
        }
    }

    /// Frames from the kernel's side of `port`: unchanged to the wire.
    pub(super) fn forward_kernels(
        &mut self,
        port: PortId,
        burst: &mut Burst<T::Frame>,
        tables: &Tables,
    ) {
        let bytes = burst.iter().map(|f| f.bytes().len() as u64).sum();
        self.stats
            .received_from_kernel(port, burst.len() as u64, bytes);
        if tables.down.any() && tables.down.port(port) {
            self.stats.dropped(DropReason::PortDown, burst.len() as u64);
            burst.clear();
        }
        burst.drain(|_, frame| self.send(port, frame));
    }

    #[cold]
    fn punt(&mut self, port: PortId, has_kernel: bool, frame: T::Frame) {
        let index = self.kernel.get(usize::from(port.0)).copied();
        match (index.unwrap_or(NONE), self.punts) {
            (NONE, Punts::Count) => self.stats.punted(1),
            (index, _) if has_kernel => self.stage(index, frame, DropReason::NoKernel),
            _ => self.stats.dropped(DropReason::NoKernel, 1),
        }
    }

    #[cold]
    fn glean(&mut self, frame: T::Frame, ingress: PortId, port: PortId, address: Option<IpAddr>) {
        let wanted = address.map(|address| (port, address));
        // A flow's burst asks once, and so does a packet that waits.
        let is_news = |w: &(PortId, IpAddr)| Some(*w) != self.last_glean;
        if let Some(wanted) = wanted.filter(|w| self.retried_until_ns.is_none() && is_news(w)) {
            self.last_glean = Some(wanted);
            // Full: control is busy, and the next packet asks again.
            let _ = self.gleans.push(wanted);
        }
        let kept = self.hold.keep(frame, ingress, self.retried_until_ns);
        if kept.is_err() {
            self.stats.dropped(DropReason::NeighborUnresolved, 1);
        }
    }

    #[cold]
    fn refuse<L: Lpm>(
        &mut self,
        mut frame: T::Frame,
        refused: Refused,
        view: &View<L>,
        tables: &Tables,
    ) {
        self.stats.dropped(refused.reason, 1);
        if let Some(port) = icmp::answer(&mut frame, refused, view, tables, &mut self.limit) {
            self.stats.icmp_sent(1);
            self.send(port, frame);
        }
    }

    #[cold]
    fn fragment(
        &mut self,
        mut frame: T::Frame,
        l3: usize,
        len: u16,
        id: AdjacencyId,
        tables: &Tables,
    ) {
        let slot = tables.adjacencies.slot(id);
        let facts = slot.facts();
        let (mtu, rest) = (facts.mtu(), &mut self.made);
        let split = fragment::split(&mut frame, l3, len, mtu, &mut self.allocator, rest);
        if let Err(reason) = split {
            self.stats.dropped(reason, 1);
            return;
        }
        self.stats.fragments(self.made.len() as u64);
        let finish = |outputs: &mut Self, mut frame: T::Frame, l3: usize| {
            let header = frame.bytes().get(l3..).and_then(ipv4::Header::new);
            let len = header.map_or(0, |h| h.total_len()) as u16;
            match rewrite::forward(&mut frame, slot, facts, l3, len, false) {
                Verdict::Send => outputs.send(facts.port(), frame),
                Verdict::Drop(reason) => outputs.stats.dropped(reason, 1),
                // Each fits the MTU now.
                _ => outputs.stats.dropped(DropReason::TooBig, 1),
            }
        };
        finish(self, frame, l3);
        let mut rest = std::mem::take(&mut self.made);
        rest.drain(|_, frame| finish(self, frame, fragment::L3));
    }
}

#[cold]
fn destination(packet: Option<&[u8]>) -> Option<IpAddr> {
    let packet = packet?;
    if packet.first()? >> 4 == 6 {
        Some(IpAddr::V6(ipv6::Header::new(packet)?.destination().into()))
    } else {
        Some(IpAddr::V4(ipv4::Header::new(packet)?.destination().into()))
    }
}

#[inline(never)]
fn flush<T: TxQueue>(egress: &mut Egress<T>, stats: &WorkerStats) {
    let of = (&mut egress.queue, egress.port, egress.role);
    transmit(of, &mut egress.staged, egress.staged_bytes, stats);
    egress.staged_bytes = 0;
}

/// Sends `burst`, which is `bytes` bytes, by a queue of a port; it is empty afterwards.
#[inline(always)]
fn transmit<T: TxQueue>(
    (queue, port, role): (&mut T, PortId, Role),
    burst: &mut Burst<T::Frame>,
    mut bytes: u64,
    stats: &WorkerStats,
) {
    let sent = queue.send(burst) as u64;
    let unsent = burst.len() as u64;
    if unsent != 0 {
        bytes -= burst.iter().map(|f| f.bytes().len() as u64).sum::<u64>();
        // A ring is full when there is the least time to spare.
        T::Frame::drop_all(burst);
        stats.dropped(DropReason::TxFull, unsent);
    }
    match role {
        Role::Network => stats.sent(port, sent, bytes),
        Role::Kernel => stats.punted(sent),
    }
}

/// Hands every packet of a burst that came in on `ingress` to where its verdict says.
///
/// In: `verdict`, `egress`, `whole`; for what is not sent also `l3`, `l3_len`, `hash`, `adjacency`. Out:
/// nothing; the burst is empty. Touches packet memory of exceptions only.
#[inline(never)]
pub(super) fn push<T, A, L>(
    burst: &mut Burst<T::Frame>,
    lanes: &Lanes,
    ingress: PortId,
    outputs: &mut Outputs<T, A>,
    view: &View<L>,
    tables: &Tables,
) where
    T: TxQueue,
    A: Allocator<Frame = T::Frame>,
    L: Lpm,
{
    if let Some((port, bytes)) = lanes.whole {
        outputs.send_all(port, burst, bytes);
        return;
    }
    burst.drain(|i, frame| {
        let i = i & (super::burst::BURST - 1);
        let verdict = lanes.verdict[i];
        if verdict == Verdict::Send {
            outputs.send(lanes.egress[i], frame);
            return;
        }
        let (l3, len) = (usize::from(lanes.l3[i]), lanes.l3_len[i]);
        let facts = tables.adjacencies.slot(lanes.adjacency[i]).facts();
        match verdict {
            Verdict::Drop(reason) => {
                let refused = Refused {
                    l3,
                    len,
                    ingress,
                    reason,
                    mtu: facts.mtu(),
                };
                outputs.refuse(frame, refused, view, tables);
            }
            Verdict::Fragment => outputs.fragment(frame, l3, len, lanes.adjacency[i], tables),
            Verdict::AwaitFirst => {
                let kept = outputs.fragments.keep(frame, ingress, lanes.awaited[i]);
                if kept.is_err() {
                    // Cannot be: `follow` saw the room.
                    outputs.stats.dropped(DropReason::NoBuffer, 1);
                }
            }
            Verdict::Glean => {
                let address = destination(frame.bytes().get(l3..));
                outputs.glean(frame, ingress, facts.port(), address);
            }
            Verdict::Punt | Verdict::V4 | Verdict::V6 | Verdict::Send => {
                let facts = view.ports.get(usize::from(ingress.0));
                outputs.punt(ingress, facts.is_some_and(|f| f.kernel), frame);
            }
        }
    });
}

//! The main loop: one thread, pinned to one core. It owns its queues and shares only the tables,
//! read-only, and its counters, written by it alone.

use super::burst::{Allocator, BURST, Burst, Frame, RxQueue, TxQueue};
use super::fragments::{Fragments, follow};
use super::hold::Hold;
use super::icmp::Limit;
use super::lanes::Lanes;
use super::laps::{Laps, Stage, Timed, Untimed};
use super::lookup::lookup;
use super::marked::marked;
use super::nic;
use super::parse::parse;
use super::pick::Picker;
use super::push::{Outputs, push};
use super::rewrite::rewrite;
use super::select::select;
use crate::rcu;
use crate::table::stats::WorkerStats;
use crate::table::traffic::Traffic;
use crate::table::{DropReason, Lpm, PortFacts, PortId, Tables, View};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use super::push::{Gleans, Punts, Role};

/// One receive or transmit queue, and what it belongs to.
#[derive(Debug)]
pub struct Attached<Q> {
    /// The queue.
    pub queue: Q,
    /// Its port.
    pub port: PortId,
    /// Which side of the port.
    pub role: Role,
}

/// What a worker is made of.
#[derive(Debug)]
pub struct Parts<R, T, A, L> {
    /// Queues to poll, in this order.
    pub receive: Vec<Attached<R>>,
    /// Queues to send by: at most one for each port and role, and fewer than 256.
    pub transmit: Vec<Attached<T>>,
    /// Where frames for fragments come from.
    pub allocator: A,
    /// Prefixes, hash settings, facts about ports.
    pub views: rcu::Reader<View<L>>,
    /// Groups, adjacencies, the dead.
    pub tables: Arc<Tables>,
    /// This worker's counters; no other may count in them.
    pub stats: Arc<WorkerStats>,
    /// Where unresolved destinations are reported.
    pub gleans: Arc<Gleans>,
    /// How many ICMP errors it may send.
    pub icmp_limit: Limit,
    /// What becomes of packets for a kernel that is not there.
    pub punts: Punts,
}

/// One thread's forwarding; `C` is who is told how long its stages take.
pub struct Worker<R: RxQueue, T: TxQueue, A, L, C = Untimed> {
    receive: Vec<Attached<R>>,
    outputs: Outputs<T, A>,
    views: rcu::Reader<View<L>>,
    tables: Arc<Tables>,
    burst: Burst<R::Frame>,
    lanes: Lanes,
    picker: Picker,
    laps: C,
}

impl<R, T, A, L> Worker<R, T, A, L>
where
    R: RxQueue,
    T: TxQueue<Frame = R::Frame>,
    A: Allocator<Frame = R::Frame>,
    L: Lpm,
{
    /// A worker of these parts.
    pub fn new(parts: Parts<R, T, A, L>) -> Self {
        let transmit = parts.transmit.into_iter();
        Worker {
            receive: parts.receive,
            outputs: Outputs::new(
                transmit.map(|t| (t.queue, t.port, t.role)).collect(),
                parts.allocator,
                parts.stats,
                parts.gleans,
                parts.icmp_limit,
                parts.punts,
            ),
            views: parts.views,
            tables: parts.tables,
            burst: Burst::new(),
            lanes: Lanes::default(),
            picker: Picker::new(0),
            laps: Untimed,
        }
    }

    /// Measures its stages by the counter `now`, which costs some cycles a burst each.
    #[must_use]
    pub fn timed(self, now: fn() -> u64) -> Worker<R, T, A, L, Timed> {
        Worker {
            receive: self.receive,
            outputs: self.outputs,
            views: self.views,
            tables: self.tables,
            burst: self.burst,
            lanes: self.lanes,
            picker: self.picker,
            laps: Timed::new(now),
        }
    }
}

impl<R, T, A, L, C> Worker<R, T, A, L, C>
where
    R: RxQueue,
    T: TxQueue<Frame = R::Frame>,
    A: Allocator<Frame = R::Frame>,
    L: Lpm,
    C: Laps,
{
    /// Who is told how long the stages take.
    pub fn laps(&mut self) -> &mut C {
        &mut self.laps
    }

    /// Lets up to `packets` packets wait for their neighbor to be resolved, for a second at most;
    /// without it they are dropped at once. `now` gives nanoseconds on a clock that never goes
    /// back; it is read only while a packet waits.
    #[must_use]
    pub fn holding(mut self, packets: usize, now: fn() -> u64) -> Self {
        self.outputs.hold = Hold::new(packets, now);
        self
    }

    /// Lets up to `packets` later fragments wait for the first one of their datagram, for
    /// [`super::fragments::WINDOW_NS`] at most; without it they go by their addresses at once.
    /// `now` is read only when a fragment is there, as above; `secret` keeps others from aiming at
    /// one place of the cache, and is a constant where runs are to be alike.
    #[must_use]
    pub fn joining(mut self, packets: usize, now: fn() -> u64, secret: [u64; 2]) -> Self {
        self.outputs.fragments = Fragments::new(packets, now, secret);
        self
    }

    /// Its queues, for whoever moves packets by them between two turns: the floor of `bench`.
    pub fn queues(&mut self) -> (&mut [Attached<R>], Vec<(PortId, &mut T)>) {
        (&mut self.receive, self.outputs.network_queues())
    }

    /// How many packets wait for their neighbors, or for the first fragment.
    pub fn waiting(&self) -> usize {
        self.outputs.hold.len() + self.outputs.fragments.len()
    }

    /// Sends the fragments that wait, by their addresses: the end of a run.
    pub fn give_up_fragments(&mut self) {
        let view = self.views.read();
        let (burst, lanes, outputs) = (&mut self.burst, &mut self.lanes, &mut self.outputs);
        let waiting = outputs.fragments.len();
        release(burst, lanes, outputs, view, &self.tables, waiting, true);
        outputs.flush();
        self.views.quiescent();
    }

    /// Turns until told to stop; gives the worker back, queues and all.
    pub fn run(mut self, stop: &AtomicBool) -> Self {
        while !stop.load(Ordering::Relaxed) {
            self.turn();
        }
        self.give_up_fragments();
        let given_up = self.outputs.hold.give_up() as u64;
        let stats = &self.outputs.stats;
        stats.dropped(DropReason::NeighborUnresolved, given_up);
        self
    }

    /// One iteration of the main loop: each queue polled once, everything sent. Returns how many
    /// frames came in.
    #[inline(never)] // the panic gate looks for it by name
    pub fn turn(&mut self) -> usize {
        let view = self.views.read(); // valid up to `quiescent`
        let (tables, laps) = (&*self.tables, &mut self.laps);
        let (burst, lanes, outputs) = (&mut self.burst, &mut self.lanes, &mut self.outputs);
        laps.start();
        let (mut received, mut empty) = (0, true);
        for Attached { queue, port, role } in &mut self.receive {
            let refused = queue.poll(burst);
            laps.lap(Stage::Receive);
            if refused.packets != 0 {
                received += refuse(refused, *port, *role, &outputs.stats);
            }
            if burst.is_empty() {
                continue;
            }
            received += burst.len();
            empty &= burst.len() < BURST;
            if *role == Role::Kernel {
                outputs.forward_kernels(*port, burst, tables);
                continue;
            }
            count(burst, *port, &outputs.stats);
            self.picker.pick(burst, *port, outputs.stats.samples());
            let facts = port_facts(view, *port);
            if facts.nic_compare != 0 && is_compared(facts, &outputs.stats) {
                let compared = nic::compare(burst, *port, facts, &view.hash);
                outputs.stats.compared(*port, compared);
            }
            laps.lap(Stage::Count);
            forward(burst, lanes, (*port, facts), outputs, view, tables, laps);
        }
        if !outputs.hold.is_empty() {
            retry(burst, lanes, outputs, view, tables);
        }
        if !outputs.fragments.is_empty() {
            let due = outputs.fragments.due(empty);
            release(burst, lanes, outputs, view, tables, due, false);
        }
        laps.lap(Stage::Turn);
        outputs.flush();
        laps.lap(Stage::Send);
        outputs.stats.turn();
        self.views.quiescent(); // the borrow checker proves no reference to the view survives
        laps.lap(Stage::Turn);
        received
    }

    /// Runs `work` while grace periods do not wait for this worker: for a commit made by the
    /// worker's own thread (replay), or a sleep.
    pub fn offline<V>(&mut self, work: impl FnOnce() -> V) -> V {
        self.views.offline(work)
    }
}

/// The stages, over a burst that came in on `port`; the burst is empty afterwards.
#[inline(always)]
fn forward<F, T, A, L, C>(
    burst: &mut Burst<F>,
    lanes: &mut Lanes,
    (port, facts): (PortId, &PortFacts),
    outputs: &mut Outputs<T, A>,
    view: &View<L>,
    tables: &Tables,
    laps: &mut C,
) where
    F: Frame,
    T: TxQueue<Frame = F>,
    A: Allocator<Frame = F>,
    L: Lpm,
    C: Laps,
{
    parse(burst, lanes, port, facts, &view.hash); //  bytes       -> destination, hash
    if view.marks.is_on() {
        marked(burst, lanes, &view.marks, &tables.groups, &outputs.stats);
    }
    laps.lap(Stage::Parse);
    lookup(lanes, view, &tables.groups); //           destination -> group
    if lanes.fragments != 0 {
        // A packet that waited for its neighbor was counted then.
        let is_new = outputs.retried_until_ns.is_none();
        let stats = is_new.then_some(&*outputs.stats);
        let of = &mut outputs.fragments;
        follow(burst, lanes, port, of, &view.hash, &tables.groups, stats);
    }
    laps.lap(Stage::Lookup);
    let counters = outputs.stats.buckets();
    select(burst.lanes(), lanes, tables, counters); // group, hash -> adjacency
    laps.lap(Stage::Select);
    rewrite(burst, lanes, tables, counters); //       adjacency   -> new header, egress
    laps.lap(Stage::Rewrite);
    push(burst, lanes, port, outputs, view, tables); // egress    -> transmit queue
    laps.lap(Stage::Send);
}

/// Tries the packets again that wait for a neighbor, one by one: they are few and seldom.
#[cold]
#[inline(never)]
fn retry<F, T, A, L>(
    burst: &mut Burst<F>,
    lanes: &mut Lanes,
    outputs: &mut Outputs<T, A>,
    view: &View<L>,
    tables: &Tables,
) where
    F: Frame,
    T: TxQueue<Frame = F>,
    A: Allocator<Frame = F>,
    L: Lpm,
{
    outputs.fragments.is_retry = true;
    // Those that go on waiting come in again behind the last one.
    for _ in 0..outputs.hold.due() {
        let Some(waiting) = outputs.hold.take() else {
            break;
        };
        outputs.retried_until_ns = Some(waiting.until_ns);
        if burst.push(waiting.frame).is_err() {
            // Cannot be: it is empty.
            outputs.stats.dropped(DropReason::NoBuffer, 1);
        }
        let facts = &after_waiting(port_facts(view, waiting.ingress));
        let from = (waiting.ingress, facts);
        forward(burst, lanes, from, outputs, view, tables, &mut Untimed);
    }
    outputs.retried_until_ns = None;
    outputs.fragments.is_retry = false;
}

/// Sends those of the `due` fragments that wait whose first has come or whose time is up, or `all`.
#[cold]
#[inline(never)]
fn release<F, T, A, L>(
    burst: &mut Burst<F>,
    lanes: &mut Lanes,
    outputs: &mut Outputs<T, A>,
    view: &View<L>,
    tables: &Tables,
    due: usize,
    all: bool,
) where
    F: Frame,
    T: TxQueue<Frame = F>,
    A: Allocator<Frame = F>,
    L: Lpm,
{
    if due == 0 {
        return;
    }
    outputs.fragments.begin();
    outputs.fragments.is_retry = true;
    for _ in 0..due {
        let Some(waiting) = outputs.fragments.take(all) else {
            continue;
        };
        if burst.push(waiting.frame).is_err() {
            // Cannot be: it is empty.
            outputs.stats.dropped(DropReason::NoBuffer, 1);
        }
        let facts = &after_waiting(port_facts(view, waiting.ingress));
        let from = (waiting.ingress, facts);
        forward(burst, lanes, from, outputs, view, tables, &mut Untimed);
    }
    outputs.fragments.is_retry = false;
}

#[inline]
fn port_facts<L>(view: &View<L>, port: PortId) -> &PortFacts {
    let facts = view.ports.get(usize::from(port.0));
    facts.unwrap_or(&PortFacts::ABSENT)
}

/// The facts for a packet that has waited: since it came in, its NIC may have been told to hash by
/// something else, so the value that it told then is not taken.
fn after_waiting(facts: &PortFacts) -> PortFacts {
    PortFacts {
        nic_hash: 0,
        ..*facts
    }
}

/// Whether this turn compares what the NIC tells: each one before any value is taken, later one of
/// 64, which costs nothing that can be measured and finds a NIC that does something else now.
#[inline]
fn is_compared(facts: &PortFacts, stats: &WorkerStats) -> bool {
    facts.nic_hash == 0 || stats.turns() & 63 == 0
}

/// Counts what a queue has dropped at once; how many frames that is.
#[cold]
fn refuse(refused: Traffic, port: PortId, role: Role, stats: &WorkerStats) -> usize {
    let Traffic { packets, bytes } = refused;
    match role {
        Role::Kernel => stats.received_from_kernel(port, packets, bytes),
        Role::Network => stats.received(port, packets, bytes),
    }
    stats.dropped(DropReason::Oversized, packets);
    packets as usize
}

/// Counts what came in, and asks the cache for it, which takes the same look at each frame.
#[inline]
fn count<F: Frame>(burst: &Burst<F>, port: PortId, stats: &WorkerStats) {
    let bytes = burst.iter().map(|frame| {
        frame.prefetch();
        frame.bytes().len() as u64
    });
    let bytes = bytes.sum();
    stats.received(port, burst.len() as u64, bytes);
}

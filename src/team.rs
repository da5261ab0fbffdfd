//! The workers: one thread a core, each with its share of the queues.

use crate::output::Failure;
use crate::plane::{Layout, Share};
use core_affinity::CoreId;
use fastpath::dpdk::{Fib, Handle, Pool, PoolAllocator, Registered, RxQueue, TxQueue, now_ns};
use fastpath::rcu::Registry;
use fastpath::software::fragments;
use fastpath::software::icmp::Limit;
use fastpath::software::push::{Gleans, Punts};
use fastpath::software::worker::{Parts, Worker};
use fastpath::table::stats::WorkerStats;
use fastpath::table::{Tables, View};
use std::sync::Arc;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Packets that may wait for their neighbors, a worker: bursts to some hosts at once.
const HELD: usize = 256;

/// A worker over DPDK's queues and tables.
pub type Forwarder<'a, 'e> = Worker<RxQueue<'a>, TxQueue<'a>, PoolAllocator<'a>, Fib<'e>>;

/// What all workers share.
pub struct Team<'a, 'e> {
    pub handle: Handle<'e>,
    pub pool: &'a Pool<'e>,
    pub tables: &'a Arc<Tables>,
    pub registry: &'a Registry<View<Fib<'e>>>,
    pub stats: &'a [Arc<WorkerStats>],
    pub gleans: &'a Arc<Gleans>,
    pub layout: &'a Layout,
    pub icmp_rate: u32,
}

impl<'a, 'e> Team<'a, 'e> {
    /// Starts a thread for each share, on its core, that does `work` with the number of the worker
    /// and the worker itself.
    pub fn start<'s, V, W>(
        &self,
        scope: &'s Scope<'s, '_>,
        shares: Vec<Share<'a>>,
        work: W,
    ) -> Result<Vec<ScopedJoinHandle<'s, V>>, Failure>
    where
        'a: 's,
        'e: 's,
        V: Send + 's,
        W: Fn(usize, Forwarder<'a, 'e>) -> V + Clone + Send + 's,
    {
        let mut threads = Vec::new();
        for (number, share) in shares.into_iter().enumerate() {
            let core = self.layout.workers.get(number).copied();
            let (handle, pool) = (self.handle, self.pool);
            let parts = Parts {
                receive: share.receive,
                transmit: share.transmit,
                allocator: pool.allocator(),
                views: self.registry.reader(),
                tables: Arc::clone(self.tables),
                stats: Arc::clone(&self.stats[number]),
                gleans: Arc::clone(self.gleans),
                icmp_limit: Limit::new(self.icmp_rate, self.icmp_rate.clamp(1, 64), now_ns),
                punts: Punts::Drop,
            };
            let work = work.clone();
            let work = move || {
                if let Some(id) = core {
                    if !core_affinity::set_for_current(CoreId { id }) {
                        log::warn!("worker {number}: pin to core {id}: refused; it may wander");
                    }
                }
                // Without it each packet buffer would cost a visit to the shared pool.
                let registered = Registered::new(handle);
                if let Err(error) = &registered {
                    log::warn!("worker {number}: {error}; it runs without a buffer cache");
                }
                let worker = Worker::new(parts).holding(HELD, now_ns).joining(
                    fragments::ROOM,
                    now_ns,
                    fragments::secret(),
                );
                work(number, worker)
            };
            let thread = Builder::new().name(format!("worker-{number}"));
            let started = thread.spawn_scoped(scope, work).map_err(|cause| {
                let object = format!("worker {number}");
                Failure::run(object, "start thread", cause.to_string(), None)
            })?;
            threads.push(started);
        }
        Ok(threads)
    }
}

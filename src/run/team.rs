//! The workers: one thread a core, each with its share of the queues.

use crate::output::Failure;
use crate::plane::{Layout, Share};
use core_affinity::CoreId;
use fastpath::dpdk::{Fib, Handle, Pool, Registered, now_ns};
use fastpath::rcu::Registry;
use fastpath::software::fragments;
use fastpath::software::icmp::Limit;
use fastpath::software::push::{Gleans, Punts};
use fastpath::software::worker::{Parts, Worker};
use fastpath::table::stats::WorkerStats;
use fastpath::table::{Tables, View};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, Scope};

/// Packets that may wait for their neighbors, a worker: bursts to some hosts at once.
const HELD: usize = 256;

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
    pub stop: &'a AtomicBool,
}

impl<'a, 'e> Team<'a, 'e> {
    /// Starts a worker for each share; they end when `stop` is set, or with the scope.
    pub fn start<'s>(&self, scope: &'s Scope<'s, '_>, shares: Vec<Share<'a>>) -> Result<(), Failure>
    where
        'a: 's,
        'e: 's,
    {
        for (number, share) in shares.into_iter().enumerate() {
            let core = self.layout.workers.get(number).copied();
            let (handle, pool, stop) = (self.handle, self.pool, self.stop);
            let stats = Arc::clone(&self.stats[number]);
            let parts = Parts {
                receive: share.receive,
                transmit: share.transmit,
                allocator: pool.allocator(),
                views: self.registry.reader(),
                tables: Arc::clone(self.tables),
                stats: Arc::clone(&stats),
                gleans: Arc::clone(self.gleans),
                icmp_limit: Limit::new(self.icmp_rate, self.icmp_rate.clamp(1, 64), now_ns),
                punts: Punts::Drop,
            };
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
                drop(worker.run(stop));
                let counted = stats.snapshot();
                log::info!(
                    "worker {number}: stopped: {} packets received",
                    counted.received_total()
                );
            };
            let thread = Builder::new().name(format!("worker-{number}"));
            thread.spawn_scoped(scope, work).map_err(|cause| {
                Failure::run(
                    format!("worker {number}"),
                    "start thread",
                    cause.to_string(),
                    None,
                )
            })?;
        }
        Ok(())
    }
}

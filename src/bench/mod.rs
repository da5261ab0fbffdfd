//! `evenpath bench`: packets a second, on ports that it makes itself.
//!
//! Tables, hash and workers are those of `evenpath run`, routes go through control as zebra's do;
//! only who sends the packets and the ports are others.

mod measure;
mod prefixes;
mod traffic;
mod updates;
mod world;

use crate::cli::Bench;
use crate::output::{self, Done, Failure};
use crate::plane;
use crate::team::Team;
use control::control::Control;
use control::event::Noticed;
use control::port::Device;
use fastpath::dpdk::{Fib, Pool, Port};
use fastpath::software::push::{Gleans, Role};
use fastpath::table::DropReason;
use fastpath::table::stats::{Snapshot, WorkerStats};
use measure::{Series, quartiles};
use prefixes::Random;
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use traffic::{Flows, Folder};
use updates::{Changed, Pace, TakenIn};
use world::World;

/// Measures, and prints what was found.
pub fn bench(bench: &Bench, json: bool) -> Done {
    bench.check()?;
    let found = measured(bench)?;
    if json {
        return output::json(&found);
    }
    output::text(&found.text())
}

/// The cores of the workers, the last ones of `available`.
fn cores(available: &[usize], workers: usize) -> Result<&[usize], Failure> {
    let first = available.len().checked_sub(workers);
    first.map(|first| &available[first..]).ok_or_else(|| {
        let cause = format!(
            "each takes a core of its own, and {} are ours",
            available.len()
        );
        let object = format!("--workers {workers}");
        Failure::run(object, "place workers", cause, Some("ask for fewer"))
    })
}

fn measured(bench: &Bench) -> Result<Found, Failure> {
    let available = core_affinity::get_core_ids().unwrap_or_default();
    let available: Vec<_> = available.into_iter().map(|core| core.id).collect();
    let workers = usize::from(bench.workers);
    let cores = cores(&available, workers)?;

    let mut world = World::new(bench);
    let failed = |cause: std::io::Error| {
        let object = std::env::temp_dir().display().to_string();
        Failure::run(object, "write packets", cause.to_string(), None)
    };
    let folder = Folder::new().map_err(failed)?;
    let flows = Flows {
        count: bench.flows(),
        length: bench.frame_size() - crate::cli::bench::CHECK_SEQUENCE,
        files: bench.workers,
        encap: bench.encap,
    };
    let mut random = Random::new(bench.seed, 1);
    let files = traffic::write(&folder, flows, &world.prefixes, world::macs(), &mut random);
    world.attach(&files.map_err(failed)?, cores);
    let config = &world.config;

    let layout = plane::layout(&config.eal.cores, &available)?;
    let planned = plane::plan(config, workers)?;
    let queues = planned.iter().map(|plan| usize::from(plan.rx_queues)).sum();
    let mut room = plane::pool_options(config.ports.len(), queues, workers, world.data_room);
    room.buffers += bench.flows();
    let fibs = plane::fib_options(config);
    let memory = plane::memory(config, 2 * fibs.memory_mib() + plane::pool_mib(&room))?;
    let eal = plane::start_eal(config, &layout, memory)?;
    let pool = Pool::new(eal.handle(), room)?;
    let lookups = updates::lookups(&mut Fib::new(eal.handle(), fibs)?, &world)?;
    let (tables, writer, registry) = plane::tables(config, || Ok(Fib::new(eal.handle(), fibs)?))?;
    let hash = writer.views.current().hash.base().clone();

    let (mut sides, mut devices) = (Vec::new(), Vec::new());
    for plan in &planned {
        let mut port: Port<'_> = plane::open(&pool, config, plan, workers, &hash, (None, None))?;
        port.start()?;
        devices.push(Device {
            mac: port.mac(),
            mtu: port.mtu(),
            ..Device::default()
        });
        sides.push((plan.port, Role::Network, port));
    }
    let buckets = tables.groups.buckets_capacity();
    let stats = (0..workers).map(|_| Arc::new(WorkerStats::with_buckets(buckets)));
    let stats: Vec<_> = stats.collect();
    let now = Instant::now();
    let mut control = Control::new(config, &devices, writer, Noticed::now(), Instant::now);
    let mut taken = updates::take_in(&mut control, &world, now)?;
    taken.lookups = lookups;

    let gleans = Arc::new(Gleans::new(1));
    let (barrier, hz) = (Barrier::new(workers), eal.cycles_hz());
    let slices = measure::slices(Duration::from_secs(bench.duration.into()));
    let shares = plane::share(&sides, workers);
    let pace = Pace {
        routes: bench.updates,
        groups: bench.group_updates,
    };
    let busy = AtomicBool::new(false);
    let (series, changed) = thread::scope(|scope| {
        let team = Team {
            handle: eal.handle(),
            pool: &pool,
            tables: &tables,
            registry: &registry,
            stats: &stats,
            gleans: &gleans,
            layout: &layout,
            icmp_rate: config.icmp.rate,
        };
        let (barrier, burst) = (&barrier, bench.burst);
        let busy = pace.is_some().then_some(&busy);
        let threads = team.start(scope, shares, move |_, worker| {
            measure::measure(worker, burst, slices, barrier, hz, busy)
        })?;
        let changed = busy.map(|busy| {
            let is_over = || threads.iter().all(|thread| thread.is_finished());
            updates::change(&mut control, &world, pace, busy, is_over)
        });
        let joined = threads.into_iter().map(|thread| thread.join());
        // It panics with the worker, which aborts in a release anyway.
        let series: Vec<_> = joined.filter_map(Result::ok).collect();
        Ok::<_, Failure>((series, changed))
    })?;
    drop(sides);
    let mut counted = Snapshot::default();
    stats.iter().for_each(|one| counted.add(&one.snapshot()));
    all_forwarded(&counted)?;
    Ok(Found::new(bench, &series, hz, taken, changed))
}

/// A measurement in which packets were dropped measures something else.
fn all_forwarded(counted: &Snapshot) -> Result<(), Failure> {
    let (received, sent) = (counted.received_total(), counted.sent_total());
    if received == sent && received != 0 {
        return Ok(());
    }
    let reasons = DropReason::ALL.into_iter();
    let most = reasons.max_by_key(|reason| counted.dropped(*reason));
    let cause = format!(
        "{sent} of {received} packets were forwarded; most others were dropped as {}",
        most.map_or("?", DropReason::name)
    );
    Err(Failure::run("bench", "forward", cause, None))
}

/// What was found; cycles are those of the time stamp counter, medians of all slices.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Found {
    mpps: f64,
    cycles_per_packet: f64,
    floor_mpps: f64,
    floor_cycles: f64,
    forwarding_cost: f64,
    ratio_to_floor: f64,
    /// Between the quartiles, of the median.
    spread: f64,
    family: u8,
    routes: u32,
    members: u32,
    groups: u32,
    buckets: u32,
    ports: u16,
    flows: u32,
    frame_bytes: u16,
    burst: u16,
    encap: &'static str,
    workers: u16,
    device: &'static str,
    seed: u32,
    /// Decoded, planned and programmed, by one thread; decoded alone; programmed alone, without control.
    routes_per_second: f64,
    decoded_per_second: f64,
    lookups_per_second: f64,
    #[serde(flatten)]
    updates: Option<updates::Found>,
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Found {
    fn new(
        bench: &Bench,
        series: &[Series],
        hz: u64,
        taken: TakenIn,
        changed: Option<Changed>,
    ) -> Found {
        // Workers do the same at the same time: the figures of one are the others' too.
        let all = |of: fn(&Series) -> &Vec<f64>| series.iter().flat_map(of).copied();
        let forward: Vec<_> = all(|s| &s.forward).collect();
        let floor: Vec<_> = all(|s| &s.floor).collect();
        let [low, cycles, high] = quartiles(&forward);
        let [_, floor, _] = quartiles(&floor);
        let [_, busy, _] = quartiles(&all(|s| &s.busy).collect::<Vec<_>>());
        let rate =
            |time: Duration| (f64::from(bench.routes) / time.as_secs_f64().max(1e-9)).round();
        let mpps = |cycles: f64| rounded(series.len() as f64 * hz as f64 / cycles / 1e6);
        Found {
            mpps: mpps(cycles),
            cycles_per_packet: rounded(cycles),
            floor_mpps: mpps(floor),
            floor_cycles: rounded(floor),
            forwarding_cost: rounded(cycles - floor),
            ratio_to_floor: rounded(floor / cycles),
            spread: rounded((high - low) / cycles),
            family: bench.family,
            routes: bench.routes,
            members: bench.members,
            groups: bench.groups,
            buckets: bench.buckets,
            ports: bench.ports,
            flows: bench.flows(),
            frame_bytes: bench.frame_size(),
            burst: bench.burst,
            encap: bench.encap.name(),
            workers: bench.workers,
            device: bench.device.name(),
            seed: bench.seed,
            routes_per_second: rate(taken.all()),
            decoded_per_second: rate(taken.decoded),
            lookups_per_second: rate(taken.lookups),
            updates: changed.map(|changed| changed.found([cycles - floor, busy - floor])),
        }
    }

    fn text(&self) -> String {
        let mut out = format!(
            "IPv{}, {} routes, {} groups of {} next hops on {} ports, {} flows, {} bytes, encap {}, \
             bursts of {}, {} workers, net_{}\n\
             forwarding {:8.2} Mpps {:8.1} cycles a packet (quartiles {:.0} % apart)\n\
             floor      {:8.2} Mpps {:8.1} cycles a packet\n\
             cost of forwarding        {:8.1} cycles a packet\n",
            self.family,
            self.routes,
            self.groups,
            self.members,
            self.ports,
            self.flows,
            self.frame_bytes,
            self.encap,
            self.burst,
            self.workers,
            self.device,
            self.mpps,
            self.cycles_per_packet,
            self.spread * 100.0,
            self.floor_mpps,
            self.floor_cycles,
            self.forwarding_cost,
        );
        out += &format!(
            "routes taken in {:10.0} a second; decoding alone {:.0}, filling the lookup alone {:.0}\n",
            self.routes_per_second, self.decoded_per_second, self.lookups_per_second,
        );
        if let Some(found) = self.updates {
            let (routes, groups) = (found.routes_changed, found.groups_changed);
            out += &format!(
                "with changes              {:8.1} cycles a packet ({routes:.0} of routes a second, {groups:.0} of groups), {:.2} of that without\n",
                found.cost_meanwhile, found.ratio,
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_the_last_cores() {
        assert_eq!(cores(&[0, 1, 4], 2).unwrap(), [1, 4]);
        let error = cores(&[0, 1], 3).unwrap_err().to_string();
        assert!(error.contains("--workers 3") && error.contains("2 are ours"));
    }
}

//! `evenpath bench`: packets a second, on ports that it makes itself.
//!
//! Tables, hash and workers are those of `evenpath run`, routes go through control as zebra's do;
//! only who sends the packets and the ports are others.

mod feed;
mod found;
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
use fastpath::table::stats::{Snapshot, WorkerStats};
use fastpath::table::{DropReason, Lpm};
use feed::Feed;
use found::Found;
use measure::Method;
use prefixes::Random;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use traffic::{Flows, Folder};
use updates::Pace;
use world::World;

/// Measures, and prints what was found.
pub fn bench(bench: &Bench, json: bool) -> Done {
    bench.check()?;
    if let Some(file) = &bench.packets {
        return packets(bench, file);
    }
    let found = measured(bench)?;
    if bench.count {
        return output::text(&format!("{}\n", found.counted));
    }
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

/// The flows of `bench`, without check sequence.
fn flows(bench: &Bench) -> Flows {
    Flows {
        count: bench.flows(),
        length: bench.frame_size() - crate::cli::bench::CHECK_SEQUENCE,
        encap: bench.encap,
    }
}

/// Writes the packets of `bench` to `file`.
fn packets(bench: &Bench, file: &Path) -> Done {
    let (world, mut random) = (World::new(bench), Random::new(bench.seed, 1));
    let frames = traffic::frames(flows(bench), &world.prefixes, world::macs(), &mut random);
    let written = traffic::write(&[file.to_owned()], frames);
    written.map_err(|cause| {
        Failure::run(
            file.display().to_string(),
            "write packets",
            cause.to_string(),
            None,
        )
    })?;
    output::text("")
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
    let (given, flows) = (bench.given(), flows(bench));
    // Devices of our making read the packets from files; those that are fed, from here.
    let (mut files, mut fed) = (Vec::new(), vec![Vec::new(); workers]);
    {
        let mut random = Random::new(bench.seed, 1);
        let frames = traffic::frames(flows, &world.prefixes, world::macs(), &mut random);
        if given.is_empty() {
            files = folder.files(bench.workers);
            traffic::write(&files, frames).map_err(failed)?;
        } else if bench.feed {
            for (i, frame) in frames.enumerate() {
                fed[i % workers].extend(frame);
            }
        }
    }
    world.attach(&files, &given, cores);
    let config = &world.config;

    let layout = plane::layout(&config.eal.cores, &available)?;
    let planned = plane::plan(config, workers)?;
    let queues = planned.iter().map(|plan| usize::from(plan.rx_queues)).sum();
    let mut room = plane::pool_options(config.ports.len(), queues, workers, world.data_room);
    if given.is_empty() {
        // net_pcap keeps a copy of each of its packets.
        room.buffers += bench.flows();
    }
    let fibs = plane::fib_options(config);
    let memory = plane::memory(config, 2 * fibs.memory_mib() + plane::pool_mib(&room))?;
    let eal = plane::start_eal(config, &layout, memory)?;
    let pool = Pool::new(eal.handle(), room)?;
    let lookups = updates::lookups(&mut Fib::new(eal.handle(), fibs)?, &world)?;
    let (tables, writer, registry) = plane::tables(config, || Ok(Fib::new(eal.handle(), fibs)?))?;
    let hash = writer.views.current().hash.base().clone();
    let [lookup4, lookup6] = writer.views.current().lpm.kernels();
    let lookup = if bench.is_v6() { lookup6 } else { lookup4 };

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
    let method = Method {
        burst: bench.burst,
        slices: measure::slices(Duration::from_secs(bench.duration.into())),
        hz,
        may_wait: !given.is_empty(),
    };
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
        let (barrier, allocator, fed) = (&barrier, pool.allocator(), &fed);
        let (busy, is_count) = (pace.is_some().then_some(&busy), bench.count);
        let threads = team.start(scope, shares, move |number, worker| {
            #[cfg(feature = "stages")]
            let worker = worker.timed(fastpath::dpdk::cycles);
            if is_count {
                return measure::count(worker, method);
            }
            let frames = fed.get(number).filter(|frames| !frames.is_empty());
            let feed = frames.map(|all| Feed::new(all, flows.length, method.burst, allocator));
            measure::measure(worker, feed, method, barrier, busy)
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
    let dropped = lost(&counted, bench)?;
    let found = Found::new(bench, &series, hz, taken, changed);
    Ok(found.with(dropped, lookup))
}

/// How many packets were dropped. A measurement in which they were measures something else: of devices of
/// our making not one may be, of others one in a hundred, and what they would not take.
fn lost(counted: &Snapshot, bench: &Bench) -> Result<u64, Failure> {
    let (received, sent) = (counted.received_total(), counted.sent_total());
    let (given, name) = (!bench.given().is_empty(), bench.device_names());
    if received == 0 {
        let (cause, remedy) = (
            format!("no packet came in by {name}"),
            "send it some (--packets FILE writes them), or --feed if it hands in what it sends",
        );
        return Err(Failure::run("bench", "forward", cause, Some(remedy)));
    }
    let lost = received.saturating_sub(sent);
    let full = counted.dropped(DropReason::TxFull);
    if lost == 0 || given && (lost.saturating_sub(full)) * 100 <= received {
        return Ok(lost);
    }
    let reasons = DropReason::ALL.into_iter();
    let most = reasons.max_by_key(|reason| counted.dropped(*reason));
    let cause = format!(
        "{sent} of {received} packets were forwarded; most others were dropped as {}",
        most.map_or("?", DropReason::name)
    );
    let remedy = "let others send what --packets FILE writes, and nothing else";
    let failed = Failure::run("bench", "forward", cause, given.then_some(remedy));
    Err(failed)
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

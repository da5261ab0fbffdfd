//! `evenpath run`: ports, workers, the control thread and the threads that feed it.

mod desk;
mod feeds;
mod keeper;
mod ports;

use crate::cli::Run;
use crate::offload::rss::{self, ToNics};
use crate::offload::{self, Order, Plane, Wish};
use crate::output::{Done, Failure};
use crate::plane;
use crate::shared;
use crate::team::Team;
use control::config::{Config, Kernel};
use control::control::Control;
use control::event::Noticed;
use control::warm;
use desk::{Desk, Orders};
use fastpath::dpdk::{Fib, Pool};
use fastpath::software::push::{Gleans, Role};
use fastpath::table::stats::WorkerStats;
use feeds::{Feeds, Lost};
use keeper::Keeper;
use ports::Ports;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, Builder};
use std::time::Instant;

/// Unresolved destinations that may wait for control.
const GLEANS: usize = 1024;

/// Runs until SIGINT or SIGTERM.
pub fn run(arguments: &Run) -> Done {
    let config = Config::load(&arguments.config)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|cause| {
            Failure::run("signals", "install handlers", cause.to_string(), None)
        })?;
    }
    // EAL pins the calling thread: afterwards its core is all that can be seen.
    let available = core_affinity::get_core_ids().unwrap_or_default();
    let available: Vec<_> = available.into_iter().map(|core| core.id).collect();
    let layout = plane::layout(&config.eal.cores, &available)?;
    let workers = layout.workers.len().max(1);

    let mut planned = plane::plan(&config, workers)?;
    let with_taps = config
        .ports
        .iter()
        .filter(|port| port.kernel == Kernel::Tap || shared::netdev(port).is_some());
    let queues = planned
        .iter()
        .map(|plan| usize::from(plan.rx_queues))
        .sum::<usize>()
        + with_taps.count() * workers;
    let data_room = plane::data_room(&config, &planned);
    let room = plane::pool_options(config.ports.len(), queues, workers, data_room);
    let fibs = plane::fib_options(&config);
    let memory = plane::memory(&config, 2 * fibs.memory_mib() + plane::pool_mib(&room))?;
    let eal = plane::start_eal(&config, &layout, memory)?;
    let pool = Pool::new(eal.handle(), room)?;

    let (tables, writer, registry) = plane::tables(&config, || Ok(Fib::new(eal.handle(), fibs)?))?;

    let (events, inbox) = channel();
    let mut wish = Wish::of(&config);
    let (orders, ordered) = channel();
    let mut orders = wish.is_some().then_some(orders);
    let hash = writer.views.current().hash.base().clone();
    let mut ports = Ports::open(
        &pool,
        &config,
        &mut planned,
        workers,
        (&hash, &tables),
        &mut wish,
        (&events, orders.as_ref()),
    )?;
    let buckets = tables.groups.buckets_capacity();
    let stats = (0..workers).map(|_| Arc::new(WorkerStats::with_buckets(buckets)));
    let stats: Vec<_> = stats.collect();
    let gleans = Arc::new(Gleans::new(GLEANS));
    let mut control = Control::new(
        &config,
        &ports.devices,
        writer,
        Noticed::now(),
        Instant::now,
    );
    control.watch(&stats, Instant::now());
    let kept = warm::file::path(&config);
    match warm::file::load(&kept) {
        Ok(Some(image)) => control.resume(&image, Instant::now()),
        Ok(None) => {}
        Err(unusable) => log::warn!("{unusable}"),
    }
    control.keep_tables();
    let keeper = Keeper::start(kept)?;
    let sides = ports.take_sides();
    let network = sides.iter().filter(|side| side.1 == Role::Network);
    let network: Vec<_> = network.map(|(id, _, port)| (*id, port)).collect();
    let hairpins = ports.hairpins.take();
    let able = network.iter().filter(|(_, port)| port.flow().is_some());
    let able: Vec<_> = able.copied().collect();
    // Until the ports stop.
    let _bound = match hairpins.as_ref().map(|hairpins| hairpins.bind(&able)) {
        Some(Ok(bound)) => Some(bound),
        Some(Err(why)) => {
            if !wish.as_mut().is_some_and(|w| w.give_up(why.to_string())) {
                return Err(why.into());
            }
            None
        }
        None => None,
    };
    let settings = (&config, &hash);
    let hardware = wish.map(|wish| offload::open(&wish, settings, &network, hairpins.as_ref()));
    let hardware = match hardware.transpose()? {
        Some(Ok(plane)) => {
            control.offload();
            Some(plane)
        }
        Some(Err(why)) => {
            log::warn!("offload: {why}: software forwards everything");
            control.no_offload(why);
            orders = None;
            None
        }
        None => None,
    };
    let spreader = rss::open((&config, &hash), &network)?;
    if let Some(spreader) = &spreader {
        if config.offload.marks > 0 {
            control.mark(config.offload.marks as usize);
        }
        control.spread(spreader.news());
    }
    let (to_nics, for_nics) = channel();
    let nics = spreader.as_ref().map(|s| ToNics::new(to_nics, s));
    let news = events.clone();
    let lost = Arc::new(Lost::default());
    let feeds = Feeds::start(&config, &tables, &stats, &lost, events, &stop)?;
    let shares = plane::share(&sides, workers);
    // Workers go on until nothing is handed to them any more.
    let halt = AtomicBool::new(false);
    let done = thread::scope(|scope| {
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
        let (halt, stats) = (&halt, &stats);
        let started = team.start(scope, shares, move |number, worker| {
            drop(worker.run(halt));
            let received = stats[number].snapshot().received_total();
            log::info!("worker {number}: stopped: {received} packets received");
        });
        let hardware = hardware.map(|Plane { agent, setting }| {
            log::info!("offload: {}", setting.summary());
            let thread = Builder::new().name("offload".into());
            let news = &news;
            thread.spawn_scoped(scope, move || {
                // Rules, actions, tables; the ports stop behind them.
                drop(offload::serve(agent, &setting, &ordered, news));
            })
        });
        let hardware = hardware
            .transpose()
            .map_err(|cause| Failure::run("thread offload", "start", cause.to_string(), None));
        let spreading = spreader.map(|spreader| {
            let (thread, news) = (Builder::new().name("rss".into()), &news);
            thread.spawn_scoped(scope, move || rss::serve(spreader, &for_nics, news))
        });
        let spreading = spreading
            .transpose()
            .map_err(|cause| Failure::run("thread rss", "start", cause.to_string(), None));
        let ready = started.is_ok() && hardware.is_ok() && spreading.is_ok();
        if ready {
            log::info!("running: {}, {workers} worker(s)", config.summary());
            let held = shared::any(&config);
            let orders = orders.clone().map(|orders| Orders::new(orders, held));
            Desk::new(inbox, feeds, keeper, &mut ports, &gleans, &lost, orders)
                .spreading(nics.clone())
                .serve(&mut control, &sides, &stop);
        }
        stop.store(true, Ordering::Relaxed);
        halt.store(true, Ordering::Relaxed);
        let workers = started.map(|all| {
            for worker in all {
                // A worker that panicked has said so itself.
                let _ = worker.join();
            }
        });
        if let Some(orders) = orders {
            let _ = orders.send(Order::Stop);
        }
        if let Some(nics) = &nics {
            nics.stop();
        }
        workers.and(hardware.map(|_| ())).and(spreading.map(|_| ()))
    });
    log::info!("stopped");
    done.map(|()| ExitCode::SUCCESS)
}

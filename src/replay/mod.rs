//! `evenpath replay`: pcap files in, through the real drivers and a real worker, pcap files out.
//!
//! One thread does everything, in one order, so that the same input gives the same output.

mod capture;
pub mod learn;

use crate::cli::Replay;
use crate::output::{self, Done, Failure};
use crate::plane;
use control::api::message::Counters;
use control::config::Config;
use control::control::Control;
use control::event::Noticed;
use control::port::Device;
use fastpath::dpdk::{Eal, Fib, Memory, Options, Pool, PoolOptions, Port, PortOptions};
use fastpath::software::fragments;
use fastpath::software::icmp::Limit;
use fastpath::software::push::{Gleans, Punts, Role};
use fastpath::software::worker::{Parts, Worker};
use fastpath::table::PortId;
use fastpath::table::stats::WorkerStats;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Turns without a packet after which all files are at their end: a file yields nothing only then.
const IDLE_TURNS: usize = 2;

/// What a turn, up to 32 packets of each port, counts for where fragments wait for the first one:
/// a replay has no clock, or it would not be the same each time. Ten turns are the window.
const TURN_NS: u64 = 1_000_000;

thread_local!(static TURNS: Cell<u64> = const { Cell::new(0) });

/// Packet buffers of 9,728 bytes: those of one port's queues, a burst each and some to spare.
const BUFFERS: u32 = 4095;

/// Runs to the end of all input files.
pub fn replay(arguments: &Replay, json: bool) -> Done {
    let config = learn::with_netdevs(Config::load(&arguments.config)?);
    let inputs = inputs(&config, &arguments.inputs, &arguments.out)?;
    std::fs::create_dir_all(&arguments.out).map_err(|cause| {
        Failure::run(
            arguments.out.display().to_string(),
            "create",
            cause.to_string(),
            None,
        )
    })?;

    let fibs = plane::fib_options(&config);
    let room = PoolOptions {
        buffers: BUFFERS,
        data_room: 9728,
        ..PoolOptions::default()
    };
    let mib = 2 * fibs.memory_mib() + plane::pool_mib(&room) + 32;
    let eal = Eal::init(&Options {
        memory: Memory::Ordinary { mib },
        ..Options::default()
    })?;
    let pool = Pool::new(eal.handle(), room)?;
    let (tables, writer, registry) = plane::tables(&config, || Ok(Fib::new(eal.handle(), fibs)?))?;

    let mut ports = Vec::new();
    let mut devices = Vec::new();
    for (index, wanted) in config.ports.iter().enumerate() {
        let id = PortId(index as u16);
        let devargs = devargs(index, inputs.get(&id), &arguments.out, &wanted.name)?;
        let options = PortOptions {
            mac: wanted.mac,
            ..PortOptions::new(wanted.name.clone(), devargs)
        };
        let mut port = Port::open(&pool, &options, None)?;
        port.start()?;
        devices.push(Device {
            mac: port.mac(),
            mtu: wanted.mtu.unwrap_or(1500),
            // Nobody says which address the capture's port had.
            any_mac: wanted.mac.is_none(),
            ..Device::default()
        });
        ports.push((id, Role::Network, port));
    }

    let stream = match &arguments.fpm[..] {
        [] => None,
        paths => Some(learn::read(paths)?),
    };
    let mut control = Control::new(&config, &devices, writer, Noticed::now(), Instant::now);
    learn::teach(&mut control, &config, stream);

    let stats = Arc::new(WorkerStats::new());
    {
        let share = plane::share(&ports, 1).pop().unwrap_or_default();
        let mut worker = Worker::new(Parts {
            receive: share.receive,
            transmit: share.transmit,
            allocator: pool.allocator(),
            views: registry.reader(),
            tables: Arc::clone(&tables),
            stats: Arc::clone(&stats),
            gleans: Arc::new(Gleans::new(1)),
            // No clock in a replay: every answer that is due is given.
            icmp_limit: Limit::new(u32::MAX, 1, || 0),
            punts: Punts::Count,
        })
        .joining(fragments::ROOM, || TURNS.get() * TURN_NS, [0; 2]);
        let mut idle = 0;
        while idle < IDLE_TURNS {
            idle = if worker.turn() == 0 { idle + 1 } else { 0 };
            TURNS.set(TURNS.get() + 1);
        }
        worker.give_up_fragments();
    }
    drop(ports); // writes out what the files still lack
    let names = config.ports.iter().map(|port| port.name.as_str());
    report(&Counters::new(&stats.snapshot(), names), json)
}

/// Which file feeds which port.
fn inputs(
    config: &Config,
    given: &[(String, PathBuf)],
    out: &Path,
) -> Result<BTreeMap<PortId, PathBuf>, Failure> {
    let mut inputs = BTreeMap::new();
    for (name, path) in given {
        let object = || format!("--in {name}={}", path.display());
        let Some(port) = config.port(name) else {
            let names: Vec<_> = config.ports.iter().map(|port| port.name.as_str()).collect();
            let cause = format!("there is no port {name}");
            let remedy = format!("the configuration has {}", names.join(", "));
            return Err(Failure::run(object(), "find port", cause, Some(&remedy)));
        };
        capture::check(&object(), path, config, out)?;
        if inputs.insert(port, path.clone()).is_some() {
            let cause = "the port has a file already";
            return Err(Failure::run(
                object(),
                "attach",
                cause,
                Some("join the files, or name another port"),
            ));
        }
    }
    Ok(inputs)
}

/// The arguments of a port's pcap device.
fn devargs(
    index: usize,
    input: Option<&PathBuf>,
    out: &Path,
    name: &str,
) -> Result<String, Failure> {
    let output = out.join(format!("{name}.pcap"));
    let mut devargs = format!("net_pcap{index}");
    for (key, path) in input
        .map(|path| ("rx_pcap", path.as_path()))
        .into_iter()
        .chain([("tx_pcap", output.as_path())])
    {
        let text = path
            .to_str()
            .filter(|text| !text.contains([',', '=', '[', ']']));
        let Some(text) = text else {
            let cause = "DPDK's device arguments cannot carry a path with , = [ ] or bytes that are not UTF-8";
            return Err(Failure::run(
                path.display().to_string(),
                "open",
                cause,
                Some("rename it"),
            ));
        };
        devargs.push_str(&format!(",{key}={text}"));
    }
    Ok(devargs)
}

fn report(counters: &Counters, json: bool) -> Done {
    if json {
        return output::json(counters);
    }
    output::text(&crate::show::counters(counters))
}

//! The threads around control that read sockets: rtnetlink, FPM, api.

use crate::output::Failure;
use control::api::message::{Counters, DeviceCounters};
use control::api::server::{Limits, Server, ask_control};
use control::config::{Config, Kernel};
use control::event::{Action, Event};
use control::fpm;
use control::metrics;
use control::netlink::{Monitor, Requests, monitor};
use fastpath::table::stats::{Snapshot, WorkerStats};
use fastpath::table::{PortId, Tables};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The running threads, and the ways back to their sockets.
pub struct Feeds {
    /// What is asked of the kernel; nothing once the threads are to end.
    requests: Option<Sender<Action>>,
    /// Where answers for zebra go.
    answers: fpm::Outbox,
    threads: Vec<JoinHandle<()>>,
}

impl Feeds {
    /// Opens every socket, then starts the threads; they end when `stop` is set.
    pub fn start(
        config: &Config,
        tables: &Arc<Tables>,
        stats: &[Arc<WorkerStats>],
        lost: &Arc<Lost>,
        events: Sender<Event>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let limits = Limits::default();
        let api = Server::bind(&config.api.socket, limits)
            .map_err(|e| Failure::run("api", "start", e.to_string(), None))?;
        let netdevs = config
            .ports
            .iter()
            .enumerate()
            .filter_map(|(i, port)| match &port.kernel {
                Kernel::Netdev(name) => Some((name.clone(), PortId(i as u16))),
                Kernel::Tap | Kernel::None => None,
            });
        // A port that the kernel knows by another netdev, or by none, still goes down with this one.
        let wires = config.ports.iter().enumerate().filter_map(|(i, port)| {
            let wire = port.device.as_ref()?.netdev()?;
            let is_known = matches!(&port.kernel, Kernel::Netdev(_));
            (!is_known).then(|| (wire.to_owned(), PortId(i as u16)))
        });
        let monitor = Monitor::open(
            netdevs,
            Arc::clone(tables),
            events.clone(),
            monitor::RECEIVE_BYTES,
        )
        .map_err(|e| Failure::run("rtnetlink", "start", e.to_string(), None))?
        .with_wires(wires);
        let requests = Requests::open()
            .map_err(|e| Failure::run("rtnetlink", "start", e.to_string(), None))?;
        let listener = config
            .fpm
            .enable
            .then(|| fpm::Server::bind(config.fpm.listen))
            .transpose();
        let listener = listener.map_err(|e| Failure::run("fpm", "start", e.to_string(), None))?;

        let page = config.metrics.listen;
        let page = page.map(|address| metrics::server::Server::bind(address, limits.request));
        let page = page.transpose();
        let page = page.map_err(|e| Failure::run("metrics", "start", e.to_string(), None))?;

        let (wishes, asked) = channel();
        let mut feeds = Feeds {
            requests: Some(wishes),
            answers: listener
                .as_ref()
                .map(fpm::Server::outbox)
                .unwrap_or_default(),
            threads: Vec::new(),
        };
        feeds.thread("neighbors", move || requests.run(&asked))?;
        let (all, named, lost) = (stats.to_vec(), config.clone(), Arc::clone(lost));
        let counters = move || {
            let mut counters = counters(&named, &sum(&all));
            for (port, device) in named.ports.iter().zip(lost.all()) {
                if let Some(counters) = counters.ports.get_mut(&port.name) {
                    counters.device = device;
                }
            }
            counters
        };
        let handler = ask_control(events.clone(), limits, counters);
        if let Some(page) = page {
            let (handler, end) = (Arc::clone(&handler), Arc::clone(stop));
            feeds.thread("metrics", move || page.run(&handler, &end))?;
        }
        let end = Arc::clone(stop);
        feeds.thread("api", move || api.run(&handler, &end))?;
        let end = Arc::clone(stop);
        feeds.thread("netlink", move || monitor.run(&end))?;
        if let Some(listener) = listener {
            let end = Arc::clone(stop);
            feeds.thread("fpm", move || listener.run(&events, &end))?;
        }
        Ok(feeds)
    }

    fn thread(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let started = Builder::new().name(name.into()).spawn(work);
        self.threads.push(started.map_err(|cause| {
            Failure::run(format!("thread {name}"), "start", cause.to_string(), None)
        })?);
        Ok(())
    }

    /// Does what control asks of the sockets.
    pub fn act(&mut self, action: Action) {
        match (action, &self.requests) {
            // Thrown away: that connection is gone, and control hears so.
            (Action::FpmReply { connection, bytes }, _) => {
                self.answers.send(connection, bytes);
            }
            (action, Some(requests)) => {
                // Its thread ends after this one.
                let _ = requests.send(action);
            }
            (_, None) => {}
        }
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        self.requests = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// What devices lost, by port, as control has last read it: their counters belong to the thread that
/// has the ports.
#[derive(Default)]
pub struct Lost(Mutex<Vec<Option<DeviceCounters>>>);

impl Lost {
    /// By port; empty before the first reading.
    pub fn all(&self) -> Vec<Option<DeviceCounters>> {
        self.locked().clone()
    }

    /// Replaces all of it.
    pub fn set(&self, all: Vec<Option<DeviceCounters>>) {
        *self.locked() = all;
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Option<DeviceCounters>>> {
        // Whoever panicked with it held left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All workers' counters in one.
pub fn sum(stats: &[Arc<WorkerStats>]) -> Snapshot {
    let mut total = Snapshot::default();
    for one in stats {
        total.add(&one.snapshot());
    }
    total
}

/// The counters under the configured names.
pub fn counters(config: &Config, snapshot: &Snapshot) -> Counters {
    Counters::new(snapshot, config.ports.iter().map(|port| port.name.as_str()))
}

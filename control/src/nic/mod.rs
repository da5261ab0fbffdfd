//! Whose hash counts, port by port: the one that its NIC tells with a packet, or one that workers
//! compute.
//!
//! A NIC's value may be taken only if it was made by the settings in force. When these change, the
//! order is: workers compute (the change of settings and of this in one commit, whose grace period
//! no worker outlasts with the old view); the NIC is programmed; packets that carry the old value
//! leave the receive queues; values are compared with computed ones; only then are they taken.
//! Packets that wait for a neighbor or a first fragment are computed anyway
//! (`fastpath::software::worker`). Some values go on being compared as long as they are taken, and
//! the first one that differs ends it.
//!
//! The old value is gone when packets that were on their way through the NIC have reached a queue,
//! for which they get [`SETTLE`], and after that each worker has made more turns than a queue has
//! descriptors: a turn takes at least one packet of each queue that holds any.

mod steps;

use crate::port::Device;
use fastpath::hash::{Algorithm, Field, Policy, Rss, Settings};
use fastpath::table::PortId;
use fastpath::table::stats::{NicCompared, WorkerStats};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long packets may be inside a NIC after its driver says that it hashes anew: they are there
/// for microseconds.
pub const SETTLE: Duration = Duration::from_millis(100);

/// So many values must be those of software, and none another one, before any is taken.
pub const ALIKE: u64 = 256;

/// What a NIC is to hash by, for the settings whose number is `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What to program.
    pub rss: Rss,
    /// `Settings::rss_id`.
    pub id: u64,
}

/// Why a port's hashes are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No NIC is known to compute what is asked for.
    Algorithm(Algorithm),
    /// Both addresses must be on.
    Addresses,
    /// Both ports must be on, or none.
    Ports,
    /// These are on, for which each packet is read anyway.
    Tunnels(Vec<&'static str>),
    /// The settings were changed, and the NIC is not done with it.
    Changing,
    /// Values are compared; so many were the same.
    Comparing(u64),
    /// Of so many values compared, so many were others.
    Differs {
        /// The same as computed.
        alike: u64,
        /// Not.
        other: u64,
    },
    /// What the device lacks, or its driver says.
    Refused(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Algorithm(a) => write!(f, "the algorithm is {}", a.name()),
            Why::Addresses => f.write_str("source-ip and destination-ip are not both on"),
            Why::Ports => f.write_str("source-port and destination-port are not set alike"),
            Why::Tunnels(on) => write!(f, "{} on: each packet is read anyway", on.join(", ")),
            Why::Changing => f.write_str("the NIC is being given new settings"),
            Why::Comparing(alike) => write!(
                f,
                "the NIC's values are compared first: {alike} of {ALIKE} were the same"
            ),
            Why::Differs { alike, other } => {
                let all = alike + other;
                write!(
                    f,
                    "{other} of {all} values that the NIC told were not the computed ones"
                )
            }
            Why::Refused(reason) => f.write_str(reason),
        }
    }
}

/// What a NIC must hash by so that its value can be taken for `settings`.
///
/// # Errors
/// Why none can.
pub fn target(settings: &Settings) -> Result<Target, Why> {
    let has = |field| settings.fields().has(field);
    if settings.choice().algorithm != Algorithm::Toeplitz {
        return Err(Why::Algorithm(settings.choice().algorithm));
    }
    // A packet has them behind its ports: software reads all packets then.
    let tunnels = Field::ALL.into_iter().filter(|f| f.is_deep() && has(*f));
    let tunnels: Vec<_> = tunnels.collect();
    if !tunnels.is_empty() {
        return Err(Why::Tunnels(tunnels.into_iter().map(Field::name).collect()));
    }
    if !(has(Field::SourceIp) && has(Field::DestinationIp)) {
        return Err(Why::Addresses);
    }
    let id = settings.rss_id();
    settings
        .rss()
        .map(|rss| Target { rss, id })
        .ok_or(Why::Ports)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Computed(Why),
    /// The commit that makes workers compute is pending.
    Stopping,
    /// The plane was asked to program the NIC.
    Programming,
    /// Packets with the old value leave the NIC.
    Settling(Instant),
    /// They leave the queues; the turns of the workers when that began.
    Draining(Vec<u64>),
    /// What had been compared before.
    Comparing(NicCompared),
    Taken(NicCompared),
}

#[derive(Debug)]
struct Nic {
    phase: Phase,
    /// Descriptors of each receive queue.
    ring: u64,
    /// Number of the latest request to the plane: an answer to an earlier one is of no interest.
    ticket: u64,
}

/// Something to be done, or to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make this port's NIC hash so, and answer with the ticket.
    Program {
        /// The port.
        port: PortId,
        /// How.
        rss: Rss,
        /// To be given back.
        ticket: u64,
    },
    /// From now on the NIC's value is taken.
    Taken(PortId),
    /// From now on, or still, hashes are computed.
    Computed(PortId, Why),
}

/// All ports.
#[derive(Debug)]
pub struct Nics {
    ports: Vec<Nic>,
    target: Result<Target, Why>,
    workers: Vec<Arc<WorkerStats>>,
}

impl Nics {
    /// `devices` were given the base settings of `policy` when they were opened.
    pub fn new(devices: &[Device], policy: &Policy) -> Self {
        let target = target(policy.base());
        let port = |device: &Device| Nic {
            phase: match (&target, &device.nic) {
                (Err(why), _) => Phase::Computed(why.clone()),
                (Ok(_), Err(reason)) => Phase::Computed(Why::Refused(reason.clone())),
                (Ok(target), Ok(id)) if *id == target.id => {
                    Phase::Comparing(NicCompared::default())
                }
                (Ok(_), Ok(_)) => Phase::Stopping,
            },
            ring: device.ring.into(),
            ticket: 0,
        };
        Nics {
            ports: devices.iter().map(port).collect(),
            target,
            workers: Vec::new(),
        }
    }

    /// The workers whose counters tell how far they are.
    pub fn watch(&mut self, workers: &[Arc<WorkerStats>]) {
        self.workers = workers.to_vec();
    }

    /// Workers are about to hash by `policy`: in the same commit they stop taking values that are
    /// not of it.
    pub fn retarget(&mut self, policy: &Policy) -> Vec<Step> {
        let target = target(policy.base());
        let id = |t: &Result<Target, Why>| t.as_ref().map_or(0, |t| t.id);
        if id(&target) != 0 && id(&target) == id(&self.target) {
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (nic, port) in self.ports.iter_mut().zip((0..).map(PortId)) {
            let next = match &target {
                Ok(_) => Phase::Stopping,
                Err(why) => Phase::Computed(why.clone()),
            };
            if let Phase::Taken(_) = std::mem::replace(&mut nic.phase, next) {
                let why = target.as_ref().err().cloned().unwrap_or(Why::Changing);
                steps.push(Step::Computed(port, why));
            }
            nic.ticket += 1;
        }
        self.target = target;
        steps
    }

    /// For workers: whose value is taken, and whose is compared (`PortFacts`).
    pub fn facts(&self, port: PortId) -> (u64, u64) {
        let id = self.target.as_ref().map_or(0, |t| t.id);
        match self.ports.get(usize::from(port.0)).map(|p| &p.phase) {
            Some(Phase::Comparing(_)) => (0, id),
            Some(Phase::Taken(_)) => (id, id),
            _ => (0, 0),
        }
    }

    /// What [`Nics::facts`] says was published, and no worker has an earlier view any more.
    pub fn published(&mut self) -> Vec<Step> {
        let Ok(target) = &self.target else {
            return Vec::new();
        };
        let ports = self.ports.iter_mut().zip((0..).map(PortId));
        let stopping = ports.filter(|(nic, _)| nic.phase == Phase::Stopping);
        let program = stopping.map(|(nic, port)| {
            nic.phase = Phase::Programming;
            Step::Program {
                port,
                rss: target.rss,
                ticket: nic.ticket,
            }
        });
        program.collect()
    }

    /// The plane's answer to [`Step::Program`].
    pub fn programmed(
        &mut self,
        port: PortId,
        ticket: u64,
        done: Result<(), String>,
        now: Instant,
    ) -> Option<Step> {
        let nic = self.ports.get_mut(usize::from(port.0))?;
        if nic.ticket != ticket || nic.phase != Phase::Programming {
            return None;
        }
        match done {
            Ok(()) => {
                nic.phase = Phase::Settling(now);
                None
            }
            Err(reason) => {
                let why = Why::Refused(reason);
                nic.phase = Phase::Computed(why.clone());
                Some(Step::Computed(port, why))
            }
        }
    }

    fn turns(&self) -> Vec<u64> {
        self.workers.iter().map(|w| w.turns()).collect()
    }

    fn compared(&self, port: PortId) -> NicCompared {
        let one = |sum: NicCompared, worker: &Arc<WorkerStats>| {
            let found = worker.nic(port);
            NicCompared {
                alike: sum.alike + found.alike,
                other: sum.other + found.other,
            }
        };
        self.workers.iter().fold(NicCompared::default(), one)
    }

    /// Does what is due; what [`Nics::facts`] says then is to be published.
    pub fn tick(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut due = Vec::new();
        for (nic, port) in self.ports.iter().zip((0..).map(PortId)) {
            let since = |before: &NicCompared| {
                let all = self.compared(port);
                (all.alike - before.alike, all.other - before.other)
            };
            let next = match &nic.phase {
                Phase::Settling(since) => {
                    let is_over = now.saturating_duration_since(*since) >= SETTLE;
                    is_over.then(|| Phase::Draining(self.turns()))
                }
                Phase::Draining(then) => {
                    // The turn that was under way then does not count.
                    let mut turns = then.iter().zip(self.turns());
                    let are_gone = turns.all(|(then, now)| now - then > nic.ring);
                    are_gone.then(|| Phase::Comparing(self.compared(port)))
                }
                Phase::Comparing(before) | Phase::Taken(before) => match since(before) {
                    (alike, other) if other > 0 => {
                        Some(Phase::Computed(Why::Differs { alike, other }))
                    }
                    (alike, _) if alike >= ALIKE => Some(Phase::Taken(*before)),
                    _ => None,
                },
                _ => None,
            };
            due.push(next.filter(|next| *next != nic.phase));
        }
        for ((nic, port), next) in self.ports.iter_mut().zip((0..).map(PortId)).zip(due) {
            let Some(next) = next else { continue };
            match &next {
                Phase::Taken(_) => steps.push(Step::Taken(port)),
                Phase::Computed(why) => steps.push(Step::Computed(port, why.clone())),
                _ => {}
            }
            nic.phase = next;
        }
        steps
    }

    /// Why the hashes of `port` are computed; nothing when the NIC's are taken.
    pub fn why_computed(&self, port: PortId) -> Option<Why> {
        let nic = self.ports.get(usize::from(port.0));
        match nic.map(|nic| &nic.phase) {
            None => Some(Why::Refused("it has no device".into())),
            Some(Phase::Computed(why)) => Some(why.clone()),
            Some(Phase::Comparing(before)) => {
                let alike = self.compared(port).alike - before.alike;
                Some(Why::Comparing(alike.min(ALIKE)))
            }
            Some(Phase::Taken(_)) => None,
            Some(_) => Some(Why::Changing),
        }
    }
}

#[cfg(test)]
mod tests;

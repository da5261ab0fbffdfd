//! Listens to the kernel and tells control.
//!
//! Subscribe first, then dump, so that nothing falls between. When the kernel had to drop news
//! (`ENOBUFS`) everything is dumped again between [`KernelSync::Begin`] and `End`, and what is not
//! reported in between is gone.

use super::decode::{self, Heard, Message};
use super::socket::Socket;
use crate::event::{Event, KernelSync, Link, Noticed};
use fastpath::table::{PortId, Tables};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SendError, Sender};
use std::time::{Duration, Instant};

/// Room for news while this thread does not run: 20,000 neighbors change in about so much.
pub const RECEIVE_BYTES: usize = 16 << 20;

/// How often the thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(200);

/// A dump that takes longer is asked for again.
const DUMP_PATIENCE: Duration = Duration::from_secs(5);

// Bits of `struct sockaddr_nl::nl_groups`: RTNLGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV6_IFADDR.
const GROUPS: u32 = 1 | 1 << 2 | 1 << 4 | 1 << 8;

/// Why there is no monitor.
#[derive(Debug)]
pub struct MonitorError(Errno);

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rtnetlink: subscribe to links, addresses, neighbors: {}",
            self.0
        )
    }
}

impl std::error::Error for MonitorError {}

/// What is dumped, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// First, since a dead link is the most urgent.
    Links,
    Addresses,
    Neighbors,
}

impl Stage {
    /// `RTM_GETLINK`, `RTM_GETADDR`, `RTM_GETNEIGH`.
    const fn request(self) -> u16 {
        match self {
            Stage::Links => 18,
            Stage::Addresses => 22,
            Stage::Neighbors => 30,
        }
    }
}

/// The dump in progress.
#[derive(Clone, Copy, Debug)]
struct Dump {
    stage: Stage,
    sequence: u32,
    since: Instant,
    /// It met a change and is repeated.
    interrupted: bool,
    /// News were lost meanwhile: all over again.
    overrun: bool,
}

/// What a netdev is to a port.
#[derive(Clone, Copy, Debug)]
struct Netdev {
    port: PortId,
    /// It only carries the port's frames: its link is the device's, and control knows another
    /// netdev, or none, as the port's.
    wire: bool,
}

/// The listener; run it on a thread of its own.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    events: Sender<Event>,
    tables: Arc<Tables>,
    /// Netdevs of ports, by name.
    netdevs: BTreeMap<String, Netdev>,
    /// Their indexes, and whether they were up last.
    ports: BTreeMap<u32, (Netdev, bool)>,
    /// All netdevs, and whether their addresses are in a VRF's table.
    in_vrf: BTreeMap<u32, bool>,
    dump: Option<Dump>,
    sequence: u32,
    malformed: u64,
    overruns: u64,
}

/// The number of a report in the down mask, and of which port.
type Report = (PortId, u32);

/// Control is gone.
struct Gone;

impl<T> From<SendError<T>> for Gone {
    fn from(_: SendError<T>) -> Self {
        Gone
    }
}

impl Monitor {
    /// Subscribes, in the calling thread's network namespace. `netdevs` are those of ports.
    pub fn open(
        netdevs: impl IntoIterator<Item = (String, PortId)>,
        tables: Arc<Tables>,
        events: Sender<Event>,
        receive_bytes: usize,
    ) -> Result<Self, MonitorError> {
        Ok(Monitor {
            socket: Socket::open(GROUPS, receive_bytes, PATIENCE).map_err(MonitorError)?,
            events,
            tables,
            netdevs: netdevs
                .into_iter()
                .map(|(name, port)| (name, Netdev { port, wire: false }))
                .collect(),
            ports: BTreeMap::new(),
            in_vrf: BTreeMap::new(),
            dump: None,
            sequence: 0,
            malformed: 0,
            overruns: 0,
        })
    }

    /// Netdevs that the devices of ports are made from, where these are not the ports' netdevs:
    /// their links become [`Event::PortCarrier`], since the drivers do not report them.
    #[must_use]
    pub fn with_wires(mut self, wires: impl IntoIterator<Item = (String, PortId)>) -> Self {
        let wires = wires.into_iter();
        self.netdevs
            .extend(wires.map(|(name, port)| (name, Netdev { port, wire: true })));
        self
    }

    /// Listens until `stop` is set or control is gone.
    pub fn run(mut self, stop: &AtomicBool) {
        let _: Result<(), Gone> = self.listen(stop);
    }

    fn listen(&mut self, stop: &AtomicBool) -> Result<(), Gone> {
        self.resync()?;
        while !stop.load(Ordering::Relaxed) {
            match self.socket.receive() {
                Ok(datagram) => {
                    let noticed = Noticed::now();
                    let mut heard = Vec::new();
                    decode::messages(datagram, |message| heard.push(message));
                    for message in heard {
                        match message {
                            Ok(heard) => self.take(heard, noticed)?,
                            Err(error) => self.cannot_read(&error),
                        }
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.overrun()?,
                Err(errno) => {
                    log::error!("rtnetlink: receive: {errno}; asking for everything again");
                    std::thread::sleep(PATIENCE);
                    self.overrun()?;
                }
            }
            if self.dump.is_some_and(|d| d.since.elapsed() > DUMP_PATIENCE) {
                log::warn!("rtnetlink: dump: no end after {DUMP_PATIENCE:?}; asking again");
                self.resync()?;
            }
        }
        Ok(())
    }

    fn cannot_read(&mut self, error: &netlink_packet_core::DecodeError) {
        self.malformed += 1;
        if self.malformed == 1 {
            log::warn!("rtnetlink: decode: {error}; skipped, as will be others like it");
        }
    }

    fn overrun(&mut self) -> Result<(), Gone> {
        self.overruns += 1;
        log::warn!(
            "rtnetlink: receive: news were lost ({} times so far); asking for everything again",
            self.overruns
        );
        self.again()
    }

    /// Has everything dumped, once more if that is going on.
    fn again(&mut self) -> Result<(), Gone> {
        match &mut self.dump {
            // The kernel refuses a second dump beside one in progress, and always ends that one.
            Some(dump) => dump.overrun = true,
            None => self.resync()?,
        }
        Ok(())
    }

    fn resync(&mut self) -> Result<(), Gone> {
        self.events.send(Event::KernelSync(KernelSync::Begin))?;
        self.request(Stage::Links);
        Ok(())
    }

    fn request(&mut self, stage: Stage) {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.dump = Some(Dump {
            stage,
            sequence: self.sequence,
            since: Instant::now(),
            interrupted: false,
            overrun: false,
        });
        if let Err(errno) = self.socket.send(&dump_request(stage, self.sequence)) {
            // Asked again when patience runs out.
            log::warn!("rtnetlink: ask for {stage:?}: {errno}");
        }
    }

    fn take(&mut self, heard: Heard, noticed: Noticed) -> Result<(), Gone> {
        if let Some(dump) = &mut self.dump {
            dump.interrupted |= heard.interrupted && heard.sequence == dump.sequence;
        }
        match heard.message {
            Message::Link(link, in_vrf) => {
                let before = self.in_vrf.insert(link.ifindex, in_vrf);
                let reported = self.note_link(&link, noticed)?;
                self.events.send(Event::Link(link, noticed))?;
                self.all_told(reported)?;
                if before.is_some_and(|before| before != in_vrf) {
                    // Its addresses are another table's from now on, and the kernel does not say so.
                    self.again()?;
                }
            }
            Message::LinkGone(ifindex) => {
                self.in_vrf.remove(&ifindex);
                let reported = self.note_gone(ifindex, noticed)?;
                self.events.send(Event::LinkGone { ifindex, noticed })?;
                self.all_told(reported)?;
            }
            // Nobody reaches it through the main table.
            Message::Address(ifindex, ..) if self.in_vrf.get(&ifindex) == Some(&true) => {}
            Message::Address(ifindex, address, prefix_len) => self.events.send(Event::Address {
                ifindex,
                address,
                prefix_len,
            })?,
            Message::AddressGone(ifindex, address, prefix_len) => {
                self.events.send(Event::AddressGone {
                    ifindex,
                    address,
                    prefix_len,
                })?;
            }
            Message::Neighbor(neighbor) => self.events.send(Event::Neighbor(neighbor, noticed))?,
            Message::NeighborGone(ifindex, address) => self.events.send(Event::NeighborGone {
                ifindex,
                address,
                noticed,
            })?,
            Message::Done => self.dumped(heard.sequence)?,
            Message::Answer(errno) if errno != 0 => {
                let errno = Errno::from_raw_os_error(errno);
                log::warn!("rtnetlink: dump: {errno}");
            }
            Message::Answer(_) | Message::Other => {}
        }
        Ok(())
    }

    fn dumped(&mut self, sequence: u32) -> Result<(), Gone> {
        let Some(dump) = self.dump.filter(|d| d.sequence == sequence) else {
            return Ok(());
        };
        self.dump = None;
        let next = match dump.stage {
            _ if dump.overrun => return self.resync(),
            stage if dump.interrupted => stage,
            Stage::Links => Stage::Addresses,
            Stage::Addresses => Stage::Neighbors,
            Stage::Neighbors => {
                self.events.send(Event::KernelSync(KernelSync::End))?;
                return Ok(());
            }
        };
        self.request(next);
        Ok(())
    }

    /// A port that was up and is not any more is dead from the next burst on, whatever control is
    /// doing. Only the change counts: control clears the bit when it has repaired the tables and heard
    /// of the report.
    fn note_link(&mut self, link: &Link, noticed: Noticed) -> Result<Option<Report>, Gone> {
        let Some(&netdev) = self.netdevs.get(&link.name) else {
            // Renamed to something that is no port's.
            return self.note_gone(link.ifindex, noticed);
        };
        let up = link.admin_up && link.carrier;
        let before = self.ports.insert(link.ifindex, (netdev, up));
        self.note_change(netdev, before.map(|(_, up)| up), up, noticed)
    }

    fn note_gone(&mut self, ifindex: u32, noticed: Noticed) -> Result<Option<Report>, Gone> {
        match self.ports.remove(&ifindex) {
            Some((netdev, was_up)) => self.note_change(netdev, Some(was_up), false, noticed),
            None => Ok(None),
        }
    }

    /// Behind the news themselves.
    fn all_told(&self, reported: Option<Report>) -> Result<(), Gone> {
        if let Some((port, report)) = reported {
            self.events.send(Event::PortReported { port, report })?;
        }
        Ok(())
    }

    fn note_change(
        &self,
        Netdev { port, wire }: Netdev,
        was_up: Option<bool>,
        up: bool,
        noticed: Noticed,
    ) -> Result<Option<Report>, Gone> {
        let died = !up && was_up == Some(true);
        let report = died.then(|| (port, self.tables.down.set_port(port)));
        // Of a device control believes that it has a link until it is told.
        if wire && up != was_up.unwrap_or(true) {
            self.events.send(Event::PortCarrier { port, up, noticed })?;
        }
        Ok(report)
    }
}

/// `struct nlmsghdr`, then the header of the request, all of it unspecified.
fn dump_request(stage: Stage, sequence: u32) -> Vec<u8> {
    const REQUEST_AND_DUMP: u16 = 0x301;
    let payload: usize = match stage {
        Stage::Links => 16,
        Stage::Addresses => 8,
        Stage::Neighbors => 12,
    };
    let length = 16 + payload;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(stage.request().to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.resize(length, 0);
    bytes
}

//! Asks the kernel to resolve neighbors, and to keep them resolved without traffic.
//!
//! What is forwarded past the kernel never refreshes its neighbor entries. `NTF_EXT_MANAGED`
//! (Linux 5.16) makes the kernel do that by itself.

use super::decode::{self, Message};
use super::socket::Socket;
use crate::event::{Action, NeighborState, configured_port};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The kernel answers at once; a second means that something is very wrong.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after the kernel had no room for a neighbor it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many neighbors without room are remembered: as many as the kernel's table has by default, four times.
const REFUSED: usize = 4096;

/// Room for answers.
const RECEIVE_BYTES: usize = 256 << 10;

/// Why a neighbor cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// There is no socket.
    Open(Errno),
    /// The kernel refused.
    Neighbor {
        /// Interface.
        ifindex: u32,
        /// Address.
        address: IpAddr,
        /// What was asked for.
        operation: &'static str,
        /// Its reason.
        cause: Errno,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Open(cause) => write!(f, "rtnetlink: open: {cause}"),
            RequestError::Neighbor {
                ifindex,
                address,
                operation,
                cause,
            } => {
                write!(
                    f,
                    "neighbor {address} on interface {ifindex}: {operation}: {cause}"
                )?;
                f.write_str(match *cause {
                    Errno::PERM => "; run with CAP_NET_ADMIN",
                    Errno::NODEV => "; the interface is gone",
                    Errno::NETDOWN => "; asked again when the link is up",
                    Errno::NOBUFS => {
                        "; the kernel's table is full: asked again every second; raise \
                         net.ipv4.neigh.default.gc_thresh3 and that of net.ipv6"
                    }
                    _ => "",
                })
            }
        }
    }
}

impl std::error::Error for RequestError {}

/// A socket to ask with.
#[derive(Debug)]
pub struct Requests {
    socket: Socket,
    sequence: u32,
    managed: bool,
    told: BTreeSet<(&'static str, i32)>,
    refused: Refused,
}

/// Neighbors that are wanted and for which the kernel's table, one for all network namespaces,
/// had no room (`ENOBUFS`: as many as `gc_thresh3`). Nobody else asks for them again.
#[derive(Debug, Default)]
struct Refused(BTreeSet<(u32, IpAddr)>);

impl Refused {
    /// Takes in what became of `action`.
    fn note(&mut self, action: &Action, done: &Result<(), RequestError>) {
        let full = matches!(
            done,
            Err(RequestError::Neighbor {
                cause: Errno::NOBUFS,
                ..
            })
        );
        match *action {
            Action::Resolve { ifindex, address } if full => {
                if self.0.len() < REFUSED {
                    self.0.insert((ifindex, address));
                }
            }
            Action::Resolve { ifindex, address } | Action::Release { ifindex, address } => {
                self.0.remove(&(ifindex, address));
            }
            _ => {}
        }
    }

    /// The requests to make again.
    fn actions(&self) -> Vec<Action> {
        let wanted = self.0.iter();
        wanted
            .map(|&(ifindex, address)| Action::Resolve { ifindex, address })
            .collect()
    }
}

/// What is wanted of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Managed,
    Once,
    Released,
}

impl Wish {
    const fn operation(self) -> &'static str {
        match self {
            Wish::Managed => "keep resolved",
            Wish::Once => "resolve",
            Wish::Released => "release",
        }
    }
}

impl Requests {
    /// Opens the socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, RequestError> {
        Ok(Requests {
            socket: Socket::open(0, RECEIVE_BYTES, PATIENCE).map_err(RequestError::Open)?,
            sequence: 0,
            managed: true,
            told: BTreeSet::new(),
            refused: Refused::default(),
        })
    }

    /// Does what comes, until nobody can send any more. For a thread of its own: while links change
    /// the kernel may hold its lock for long, and control has better things to do than to wait.
    /// What the kernel had no room for is asked for again, every second.
    pub fn run(mut self, actions: &Receiver<Action>) {
        let mut last = Instant::now();
        loop {
            let next = if self.refused.0.is_empty() {
                actions.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                actions.recv_timeout(AGAIN.saturating_sub(last.elapsed()))
            };
            match next {
                Ok(action) => self.apply(&action),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if last.elapsed() >= AGAIN {
                for action in self.refused.actions() {
                    self.apply(&action);
                }
                last = Instant::now();
            }
        }
    }

    /// Does what `action` asks for, if it is about a neighbor. Each kind of failure is logged once.
    pub fn apply(&mut self, action: &Action) {
        let done = match *action {
            // Static neighbors are not the kernel's.
            Action::Resolve { ifindex, .. }
            | Action::Release { ifindex, .. }
            | Action::Probe { ifindex, .. }
                if configured_port(ifindex).is_some() =>
            {
                return;
            }
            Action::Resolve { ifindex, address } => self.resolve(ifindex, address),
            Action::Release { ifindex, address } => self.release(ifindex, address),
            Action::Probe { ifindex, address } => self.probe(ifindex, address),
            Action::OwnAddress { .. }
            | Action::Keep(_)
            | Action::Marks(_)
            | Action::Spread(_)
            | Action::Offload(..)
            | Action::AskOffload(_)
            | Action::FpmReply { .. }
            | Action::ProgramHash { .. } => return,
        };
        self.refused.note(action, &done);
        if let Err(error) = done {
            let key = match error {
                RequestError::Open(cause) => ("open", cause.raw_os_error()),
                RequestError::Neighbor {
                    operation, cause, ..
                } => (operation, cause.raw_os_error()),
            };
            if self.told.insert(key) {
                log::warn!("{error}; not said again for others");
            }
        }
    }

    /// Keeps `address` resolved until released. On a kernel before 5.16: resolves it once.
    pub fn resolve(&mut self, ifindex: u32, address: IpAddr) -> Result<(), RequestError> {
        if self.managed {
            match self.ask(ifindex, address, Wish::Managed) {
                Err(RequestError::Neighbor {
                    cause: Errno::INVAL | Errno::OPNOTSUPP,
                    ..
                }) => {
                    log::warn!(
                        "neighbors: keep resolved: this kernel cannot (needs Linux 5.16); they are \
                         resolved once"
                    );
                    self.managed = false;
                }
                done => return done,
            }
        }
        self.ask(ifindex, address, Wish::Once)
    }

    /// Resolves `address` once.
    pub fn probe(&mut self, ifindex: u32, address: IpAddr) -> Result<(), RequestError> {
        self.ask(ifindex, address, Wish::Once)
    }

    /// Lets the kernel forget `address` when it likes. No error if it has already.
    pub fn release(&mut self, ifindex: u32, address: IpAddr) -> Result<(), RequestError> {
        match self.ask(ifindex, address, Wish::Released) {
            Err(RequestError::Neighbor {
                cause: Errno::NOENT | Errno::NODEV,
                ..
            }) => Ok(()),
            done => done,
        }
    }

    fn ask(&mut self, ifindex: u32, address: IpAddr, wish: Wish) -> Result<(), RequestError> {
        let mut ask = || {
            // Asked to resolve a permanent entry, the kernel takes it for unresolved and forgets
            // its MAC address (seen on 6.18); zebra's stand-ins for IPv6 next hops are such.
            let get = RouteNetlinkMessage::GetNeighbour(neighbor(ifindex, address));
            match self.exchange(get, 0) {
                Ok(Message::Neighbor(n)) if n.state == NeighborState::Permanent => return Ok(()),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            let create = match wish {
                Wish::Managed | Wish::Once => NLM_F_CREATE,
                Wish::Released => 0,
            };
            let new = RouteNetlinkMessage::NewNeighbour(wished(ifindex, address, wish));
            let flags = NLM_F_ACK | NLM_F_REPLACE | create;
            self.exchange(new, flags).map(|_| ())
        };
        ask().map_err(|cause| RequestError::Neighbor {
            ifindex,
            address,
            operation: wish.operation(),
            cause,
        })
    }

    /// Sends a request and waits for its answer.
    fn exchange(&mut self, request: RouteNetlinkMessage, flags: u16) -> Result<Message, Errno> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let sequence = self.sequence;
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes)?;
        loop {
            let mut answer = None;
            decode::messages(self.socket.receive()?, |heard| {
                answer = answer
                    .take()
                    .or(heard.ok().filter(|h| h.sequence == sequence));
            });
            match answer.map(|heard| heard.message) {
                Some(Message::Answer(errno)) if errno != 0 => {
                    return Err(Errno::from_raw_os_error(errno));
                }
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }
}

fn neighbor(ifindex: u32, address: IpAddr) -> NeighbourMessage {
    let mut neighbor = NeighbourMessage::default();
    neighbor.header.ifindex = ifindex;
    neighbor.header.state = NeighbourState::None;
    let destination = match address {
        IpAddr::V4(a) => {
            neighbor.header.family = AddressFamily::Inet;
            NeighbourAddress::Inet(a)
        }
        IpAddr::V6(a) => {
            neighbor.header.family = AddressFamily::Inet6;
            NeighbourAddress::Inet6(a)
        }
    };
    let destination = NeighbourAttribute::Destination(destination);
    neighbor.attributes.push(destination);
    neighbor
}

/// State none and `NTF_USE`: the entry keeps what it knows, or starts to resolve. A replacement
/// without `NTF_EXT_MANAGED` takes that flag away.
fn wished(ifindex: u32, address: IpAddr, wish: Wish) -> NeighbourMessage {
    let mut neighbor = neighbor(ifindex, address);
    neighbor.header.flags = NeighbourFlags::Use;
    if wish == Wish::Managed {
        let managed = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
        neighbor.attributes.push(managed);
    }
    neighbor
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn outcome(cause: Errno) -> Result<(), RequestError> {
        Err(RequestError::Neighbor {
            ifindex: 3,
            address: ADDRESS,
            operation: Wish::Managed.operation(),
            cause,
        })
    }

    #[test]
    fn who_found_no_room_is_asked_for_again_as_long_as_it_is_wanted() {
        let (ifindex, address) = (3, ADDRESS);
        let wanted = Action::Resolve { ifindex, address };
        let released = Action::Release { ifindex, address };
        let ends = [
            (&wanted, Ok(())),
            (&wanted, outcome(Errno::NODEV)),
            (&released, Ok(())),
            (&released, outcome(Errno::NOBUFS)),
        ];
        for (action, done) in ends {
            let mut refused = Refused::default();
            refused.note(&wanted, &outcome(Errno::NETDOWN));
            assert!(refused.actions().is_empty());
            refused.note(&wanted, &outcome(Errno::NOBUFS));
            refused.note(&wanted, &outcome(Errno::NOBUFS));
            assert_eq!(refused.actions(), [wanted.clone()]);
            refused.note(action, &done);
            assert!(refused.actions().is_empty(), "{action:?} {done:?}");
        }
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let (mut refused, address) = (Refused::default(), ADDRESS);
        for ifindex in 0..2 * REFUSED as u32 {
            let wanted = Action::Resolve { ifindex, address };
            refused.note(&wanted, &outcome(Errno::NOBUFS));
        }
        assert_eq!(refused.actions().len(), REFUSED);
    }
}

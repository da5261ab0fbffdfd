//! Hairpin queues: packets of one port leave by another without software.
//!
//! ```text
//!  open all ports (flow.hairpins) ─► Hairpins::set_up ─► start all ─► Hairpins::bind ─► … ─► drop ─► stop
//! ```
//! mlx5 wants two ports bound by hand, after both are started, from the sending one to the receiving
//! one, and egress rules that are the application's own (`mlx5_rxq.c`, `mlx5_rx_hairpin_queue_setup`;
//! `mlx5_trigger.c`, `mlx5_hairpin_bind_single_port`; the same for a port with itself).

use super::error::{Cause, Error, Failed, check};
use super::port::Port;
use crate::hardware::compile::Hairpin;
use crate::table::PortId;
use dpdk_sys::rte_eth_hairpin_conf;
use std::marker::PhantomData;

/// Queue pairs from each port to each, itself included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hairpins {
    ports: Vec<Ends>,
    /// Pairs from one port to another.
    each: u16,
}

/// A port, and its first queues behind those of software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    id: PortId,
    index: u16,
    rx: u16,
    tx: u16,
}

impl Hairpins {
    /// Sets up `each` queue pairs from each of `ports` to each. They were opened with
    /// [`super::FlowOptions::hairpins`] `= each * ports.len()`, and are not started.
    ///
    /// # Errors
    /// A port has another number of such queues, or the driver refuses.
    pub fn set_up(ports: &[(PortId, &Port<'_>)], each: u16) -> Result<Hairpins, Error> {
        let ends = |(id, port): &(PortId, &Port<'_>)| {
            let ((rx, tx), index) = (port.software_queues(), port.index());
            let id = *id;
            Ends { id, index, rx, tx }
        };
        let hairpins = Hairpins {
            ports: ports.iter().map(ends).collect(),
            each,
        };
        let wanted = usize::from(each) * ports.len();
        for (n, (_, port)) in ports.iter().enumerate() {
            if usize::from(port.hairpins()) != wanted || port.is_started() {
                let cause = Cause::Refused("not the number that the port was opened with, or late");
                return Err(Error::new(port.object(), "set up hairpin queues", cause));
            }
            for (peer, queue, tx_queue) in hairpins.from(n) {
                let conf = conf(peer.index, tx_queue);
                // SAFETY: the port is configured with that queue and not started.
                check(unsafe {
                    dpdk_sys::rte_eth_rx_hairpin_queue_setup(port.index(), queue, 0, &conf)
                })
                .at(|| port.object(), "set up a hairpin queue to receive")?;
            }
            for (peer, queue, tx_queue) in hairpins.to(n) {
                let conf = conf(peer.index, queue);
                // SAFETY: as above.
                check(unsafe {
                    dpdk_sys::rte_eth_tx_hairpin_queue_setup(port.index(), tx_queue, 0, &conf)
                })
                .at(|| port.object(), "set up a hairpin queue to send")?;
            }
        }
        Ok(hairpins)
    }

    /// Queues of the `n`th port that lead to each: the peer, receiving queue here, sending queue there.
    fn from(&self, n: usize) -> impl Iterator<Item = (&Ends, u16, u16)> {
        let each = self.each;
        let own = self.ports.get(n).map_or(0, |ends| ends.rx);
        self.ports.iter().enumerate().flat_map(move |(to, peer)| {
            let (queue, tx_queue) = (own + to as u16 * each, peer.tx + n as u16 * each);
            (0..each).map(move |i| (peer, queue + i, tx_queue + i))
        })
    }

    /// Queues that lead to the `n`th port: the peer, receiving queue there, sending queue here.
    fn to(&self, n: usize) -> impl Iterator<Item = (&Ends, u16, u16)> {
        let each = self.each;
        let own = self.ports.get(n).map_or(0, |ends| ends.tx);
        self.ports.iter().enumerate().flat_map(move |(from, peer)| {
            let (queue, tx_queue) = (peer.rx + n as u16 * each, own + from as u16 * each);
            (0..each).map(move |i| (peer, queue + i, tx_queue + i))
        })
    }

    /// Those of a port that packets come in by, for its program.
    pub fn of(&self, port: PortId) -> Vec<Hairpin> {
        let n = self.ports.iter().position(|ends| ends.id == port);
        let all = n.into_iter().flat_map(|n| self.from(n));
        all.map(|(peer, queue, tx_queue)| Hairpin {
            egress: peer.id,
            queue,
            tx_queue,
        })
        .collect()
    }

    /// Binds all of them; the ports, the same as before, are started.
    ///
    /// # Errors
    /// A port is not started, or the driver refuses; nothing is bound then.
    pub fn bind<'p>(&self, ports: &[(PortId, &'p Port<'p>)]) -> Result<Bound<'p>, Error> {
        let mut bound = Bound {
            pairs: Vec::new(),
            _ports: PhantomData,
        };
        let same = |(id, port): &(PortId, &Port<'_>)| {
            let is = |ends: &Ends| ends.id == *id && ends.index == port.index();
            port.is_started() && self.ports.iter().any(is)
        };
        for (_, port) in ports {
            if ports.len() != self.ports.len() || !ports.iter().all(same) {
                let cause = Cause::Refused("not the ports that were set up, or not started");
                return Err(Error::new(port.object(), "bind hairpin queues", cause));
            }
            for (_, from) in ports {
                let (tx, rx) = (port.index(), from.index());
                // SAFETY: both are started.
                check(unsafe { dpdk_sys::rte_eth_hairpin_bind(tx, rx) })
                    .at(|| port.object(), "bind hairpin queues")?;
                bound.pairs.push((tx, rx));
            }
        }
        Ok(bound)
    }
}

/// One peer; bound by hand, rules of our own.
fn conf(port: u16, queue: u16) -> rte_eth_hairpin_conf {
    // SAFETY: a plain record for which zeros are valid.
    let mut conf: rte_eth_hairpin_conf = unsafe { std::mem::zeroed() };
    conf.set_peer_count(1);
    conf.set_manual_bind(1);
    conf.set_tx_explicit(1);
    conf.peers[0].port = port;
    conf.peers[0].queue = queue;
    conf
}

/// Bound until dropped, which must be before the ports stop: it borrows them.
#[derive(Debug)]
pub struct Bound<'p> {
    /// Sending port, receiving port.
    pairs: Vec<(u16, u16)>,
    _ports: PhantomData<&'p ()>,
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        for (tx, rx) in &self.pairs {
            // SAFETY: both are started: the ports are borrowed.
            if let Err(errno) = check(unsafe { dpdk_sys::rte_eth_hairpin_unbind(*tx, *rx) }) {
                log::warn!("DPDK ports {tx} and {rx}: unbind hairpin queues: {errno}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_pair_name_each_other() {
        let ends = |n: u16| Ends {
            id: PortId(10 + n),
            index: 20 + n,
            rx: 1 + n,
            tx: 2,
        };
        let hairpins = Hairpins {
            ports: (0..3).map(ends).collect(),
            each: 4,
        };
        let mut pairs = Vec::new();
        for n in 0..3 {
            let own = ends(n as u16);
            for (peer, queue, tx_queue) in hairpins.from(n) {
                let to = usize::from(peer.index - 20);
                let back = |(from, q, t): (&Ends, u16, u16)| {
                    from.index == own.index && q == queue && t == tx_queue
                };
                assert_eq!(hairpins.to(to).filter(|x| back(*x)).count(), 1);
                // Behind software's queues, and each once.
                assert!((own.rx..own.rx + 12).contains(&queue));
                assert!((2..14).contains(&tx_queue));
                pairs.push((n, queue));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 3 * 12);
        let of = hairpins.of(PortId(12));
        assert_eq!(of.len(), 12);
        let first = Hairpin {
            egress: PortId(10),
            queue: 3,
            tx_queue: 10,
        };
        assert_eq!(of[0], first);
        assert_eq!(hairpins.of(PortId(9)), []);
    }
}

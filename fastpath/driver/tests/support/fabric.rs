//! Three ports of one NIC, and the far ends of their wires.

use super::plan::Found;
use super::{open, received, send};
use fastpath::dpdk::{FlowOptions, Pool, Port, RxQueue, TxQueue};

/// The ports, started.
pub struct Fabric<'p> {
    pub near: Vec<Port<'p>>,
    far: Vec<Port<'p>>,
}

impl<'p> Fabric<'p> {
    /// Ports of a NIC of that profile; the first has these arguments, too.
    pub fn new(pool: &'p Pool<'p>, profile: &str, arguments: &str) -> Fabric<'p> {
        let near = |n: usize| {
            let function = u8::from(n > 0);
            let own = if n == 0 { arguments } else { "" };
            let device = format!("net_evenpath_sim{n},profile={profile},function={function}{own}");
            let flow = Some(FlowOptions::default());
            open(pool, format!("near{n}"), device, flow)
        };
        let far = |n: usize| {
            let device = format!("net_evenpath_wire{n},of=net_evenpath_sim{n}");
            open(pool, format!("far{n}"), device, None)
        };
        let mut fabric = Fabric {
            near: (0..3).map(near).collect(),
            far: (0..3).map(far).collect(),
        };
        for port in fabric.near.iter_mut().chain(&mut fabric.far) {
            port.start().unwrap();
        }
        fabric
    }

    /// Queues of all of them.
    pub fn ends<'q>(&'q self, pool: &'q Pool<'q>) -> Ends<'q> {
        let each = self.near.iter().zip(&self.far).map(|(near, far)| {
            let (mut rx, mut tx) = far.queues().unwrap();
            let worker = near.queues().unwrap().0.remove(0);
            (worker, rx.remove(0), tx.remove(0))
        });
        Ends {
            pool,
            each: each.collect(),
        }
    }
}

/// Of each port: what its worker receives, and its far end.
pub struct Ends<'q> {
    pool: &'q Pool<'q>,
    each: Vec<(RxQueue<'q>, RxQueue<'q>, TxQueue<'q>)>,
}

impl Ends<'_> {
    /// Sends one packet into a port: who had it.
    pub fn through(&mut self, port: usize, bytes: &[u8]) -> Found {
        send(self.pool, &mut self.each[port].2, &[bytes.to_vec()]);
        let mut found = Vec::new();
        for (at, (worker, far, _)) in self.each.iter_mut().enumerate() {
            found.extend(received(worker).into_iter().map(|f| (at, false, f)));
            found.extend(received(far).into_iter().map(|f| (at, true, f)));
        }
        found
    }
}

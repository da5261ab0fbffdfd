//! Three ports of one NIC, and the far ends of their wires.

use super::plan::{Found, PORTS, Setting, config};
use super::{open, received, send};
use fastpath::dpdk::{Bound, Flow, FlowOptions, Hairpins, Pool, Port, RxQueue, TxQueue};
use fastpath::hardware::Capabilities;
use fastpath::hardware::compile::Hairpin;
use fastpath::hardware::engine::Engine;
use fastpath::table::PortId;

/// Hairpin queues from one port to another: one for each next hop.
const EACH: u16 = 4;

/// The ports, started.
pub struct Fabric<'p> {
    setting: Setting,
    pub near: Vec<Port<'p>>,
    far: Vec<Port<'p>>,
    hairpins: Option<Hairpins>,
}

impl<'p> Fabric<'p> {
    /// Ports of a NIC of that profile; the first has these arguments, too.
    pub fn new(
        pool: &'p Pool<'p>,
        setting: Setting,
        profile: &str,
        arguments: &str,
        isolated: bool,
    ) -> Fabric<'p> {
        let transit = setting != Setting::Dpu;
        let near = |n: usize| {
            let function = u8::from(n > 0 && !transit);
            let mode = if transit { "nic" } else { "switchdev" };
            let own = if n == 0 { arguments } else { "" };
            let device = format!(
                "net_evenpath_sim{n},profile={profile},mode={mode},function={function}{own}"
            );
            let flow = FlowOptions {
                queues: setting.programs() as u16,
                hairpins: if transit { 3 * EACH } else { 0 },
                isolated,
                ..FlowOptions::default()
            };
            open(pool, format!("near{n}"), device, Some(flow))
        };
        let far = |n: usize| {
            let device = format!("net_evenpath_wire{n},of=net_evenpath_sim{n}");
            open(pool, format!("far{n}"), device, None)
        };
        let mut fabric = Fabric {
            setting,
            near: (0..3).map(near).collect(),
            far: (0..3).map(far).collect(),
            hairpins: None,
        };
        if transit {
            fabric.hairpins = Some(Hairpins::set_up(&fabric.ports(), EACH).unwrap());
        }
        for port in fabric.near.iter_mut().chain(&mut fabric.far) {
            port.start().unwrap();
        }
        fabric
    }

    /// The NIC's ports, with the program's numbers.
    pub fn ports(&self) -> Vec<(PortId, &Port<'p>)> {
        PORTS.into_iter().zip(&self.near).collect()
    }

    /// Binds hairpin queues, where there are any.
    pub fn bind(&self) -> Option<Bound<'_>> {
        let hairpins = self.hairpins.as_ref()?;
        Some(hairpins.bind(&self.ports()).unwrap())
    }

    /// Hairpin queues of a port.
    pub fn hairpins(&self, at: usize) -> Vec<Hairpin> {
        let all = self.hairpins.as_ref();
        all.map_or_else(Vec::new, |h| h.of(PORTS[at]))
    }

    /// The engine of the program of port `at`, which has its own flow queue.
    pub fn engine(&self, at: usize, capabilities: &Capabilities, kernel: bool) -> Engine<Flow<'_>> {
        let flow = Flow::on_queue(&self.ports(), capabilities.clone(), at as u16);
        let config = config(self.setting, at, &self.hairpins(at), kernel);
        Engine::new(flow.unwrap(), config)
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

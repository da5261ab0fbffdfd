//! The opened ports, the kernel's side of each, and what their links say.

use crate::nic;
use crate::offload::{Order, Wish};
use crate::output::Failure;
use crate::plane::{self, Planned};
use crate::shared;
use control::api::message::DeviceCounters;
use control::config::{Config, Kernel};
use control::event::{Event, Link, Mac, Noticed};
use control::port::Device;
use fastpath::dpdk::{FlowOptions, Hairpins, LinkChanged, Pool, Port};
use fastpath::hash::{Rss, Settings};
use fastpath::software::push::Role;
use fastpath::steal::{KernelTap, OwnAddresses};
use fastpath::table::{PortId, Tables};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// One side of a port: the wire, or the tap that carries its own traffic to the kernel.
pub type Side<'p> = (PortId, Role, Port<'p>);

/// A port on a netdev that the kernel keeps.
struct Shared {
    port: PortId,
    /// The netdev that our program is on.
    ifindex: u32,
    /// What its frames to us carry.
    mac: Mac,
    own: OwnAddresses,
    /// It is gone, and that was said.
    is_lost: bool,
}

/// All ports of a run.
pub struct Ports<'p> {
    sides: Vec<Side<'p>>,
    /// What each device says of itself, by port.
    pub devices: Vec<Device>,
    shared: Vec<Shared>,
    taps: Vec<(PortId, KernelTap)>,
    /// Ports whose link is asked for, besides what the device reports, and what it was then.
    polled: Vec<(PortId, bool)>,
    /// By which packets leave another port without a worker.
    pub hairpins: Option<Hairpins>,
    links: Links,
}

/// Who hears of links.
#[derive(Clone)]
struct Links {
    tables: Arc<Tables>,
    events: Sender<Event>,
    orders: Option<Sender<Order>>,
}

impl<'p> Ports<'p> {
    /// Opens and starts every port of `planned`; programs that part its packets take nothing yet.
    pub fn open(
        pool: &'p Pool<'p>,
        config: &Config,
        planned: &mut [Planned],
        workers: usize,
        (hash, tables): (&Settings, &Arc<Tables>),
        wish: &mut Option<Wish>,
        (events, orders): (&Sender<Event>, Option<&Sender<Order>>),
    ) -> Result<Self, Failure> {
        let mut all = Ports {
            sides: Vec::new(),
            devices: Vec::new(),
            shared: Vec::new(),
            taps: Vec::new(),
            polled: Vec::new(),
            hairpins: None,
            links: Links {
                tables: Arc::clone(tables),
                events: events.clone(),
                orders: orders.cloned(),
            },
        };
        let open = |plan: &Planned, flow| {
            let changed = all.links.changed(plan.port);
            plane::open(pool, config, plan, workers, hash, (flow, Some(changed)))
        };
        let (opened, hairpins) = devices(planned, wish, open)?;
        all.hairpins = hairpins;
        for plan in planned.iter_mut() {
            if let Some(steal) = &mut plan.steal {
                // Before the start, or the kernel's first frames on a tap would reach the port.
                all.shared.push(Shared {
                    port: plan.port,
                    ifindex: steal.ifindex(),
                    mac: steal.mac(),
                    own: steal.attach()?,
                    is_lost: false,
                });
            } else {
                // Even where the device promises to report: net_tap does, and never calls.
                all.polled.push((plan.port, true));
            }
        }
        for (id, mut port) in opened {
            let wanted = &config.ports[usize::from(id.0)];
            if !port.is_started() {
                port.start()?;
            }
            let nic = nic::opened(&port, hash);
            if let (Err(reason), Some(_)) = (&nic, hash.rss()) {
                log::info!("port {}: hashes are computed: {reason}", wanted.name);
            }
            all.devices.push(Device {
                mac: port.mac(),
                mtu: port.mtu(),
                nic,
                ring: port.rx_descriptors().into(),
                ..Device::default()
            });
            if wanted.kernel == Kernel::Tap {
                let (tap, kernel) = plane::open_kernel_tap(pool, &wanted.name, id, &port, workers)?;
                all.taps.push((id, tap));
                all.sides.push((id, Role::Kernel, kernel));
            }
            if let Some(netdev) = shared::netdev(wanted) {
                let punts = plane::open_punt_tap(pool, (&wanted.name, netdev), id, workers)?;
                all.sides.push((id, Role::Kernel, punts));
            }
            all.sides.push((id, Role::Network, port));
        }
        Ok(all)
    }

    /// The ports themselves, for whoever shares out their queues.
    pub fn take_sides(&mut self) -> Vec<Side<'p>> {
        std::mem::take(&mut self.sides)
    }

    /// From now on the programs hand over what is ours: every own address is known.
    pub fn enable(&mut self) {
        for shared in &mut self.shared {
            if let Err(error) = shared.own.enable() {
                log::error!("{error}");
            }
        }
    }

    /// The programs leave everything to the kernel.
    pub fn disable(&mut self) {
        for shared in &mut self.shared {
            if let Err(error) = shared.own.disable() {
                log::error!("{error}");
            }
        }
    }

    /// An own address of the router came or went: no port may take its packets from the kernel.
    pub fn own_address(&self, address: IpAddr, add: bool) {
        for Shared { own, .. } in &self.shared {
            let done = if add {
                own.add(address)
            } else {
                own.remove(address)
            };
            if let Err(error) = done {
                log::error!("{error}");
            }
        }
    }

    /// Looks at news of a netdev. A port is lost when its netdev was replaced by another one of
    /// that name, which nothing of ours is attached to; one with a new MAC address goes on with it.
    pub fn lost_by(&mut self, link: &Link) -> Option<PortId> {
        let named = |shared: &&mut Shared| shared.own.netdev() == link.name;
        let shared = self.shared.iter_mut().find(named)?;
        if link.ifindex != shared.ifindex {
            if !std::mem::replace(&mut shared.is_lost, true) {
                log::error!(
                    "port {}: its netdev was removed and made again; restart evenpath to use it",
                    link.name
                );
            }
            return Some(shared.port);
        }
        if let Some(mac) = link.mac.filter(|&mac| mac != shared.mac) {
            shared.mac = mac;
            if let Err(error) = shared.own.set_mac(mac) {
                log::error!("{error}");
            }
        }
        None
    }

    /// Gives the kernel's side of `port` the carrier that the port has.
    pub fn carrier(&self, port: PortId, up: bool) {
        for (_, tap) in self.taps.iter().filter(|(id, _)| *id == port) {
            if let Err(error) = tap.set_carrier(up) {
                log::error!("{error}");
            }
        }
    }

    /// Asks the devices for their links.
    pub fn poll_links(&mut self, sides: &[Side<'p>]) {
        for (id, was_up) in &mut self.polled {
            let side = sides
                .iter()
                .find(|(side, role, _)| side == id && *role == Role::Network);
            let Some((_, _, port)) = side else { continue };
            let up = port.link().map_or(*was_up, |link| link.up);
            if up != *was_up {
                *was_up = up;
                self.links.tell(*id, up);
            }
        }
    }
}

/// The opened devices, and the hairpin queues between them.
type Devices<'p> = (Vec<(PortId, Port<'p>)>, Option<Hairpins>);

/// Opens the device of every port by `open`, with a flow engine where `wish` has one, sets up hairpin
/// queues, and starts those ports. A port that refuses is left out of the hardware plane, if that may be, and all are opened anew:
/// each has hairpin queues to each.
fn devices<'p>(
    planned: &[Planned],
    wish: &mut Option<Wish>,
    open: impl Fn(&Planned, Option<FlowOptions>) -> Result<Port<'p>, Failure>,
) -> Result<Devices<'p>, Failure> {
    'again: loop {
        let mut opened = Vec::new();
        for plan in planned {
            let flow = wish.as_ref().and_then(|wish| wish.flow(plan.port));
            match open(plan, flow) {
                Ok(port) => opened.push((plan.port, port)),
                Err(why) => {
                    refused(wish, plan.port, why)?;
                    continue 'again;
                }
            }
        }
        let able = opened.iter().filter(|(_, port)| port.flow().is_some());
        let able: Vec<_> = able.map(|(id, port)| (*id, port)).collect();
        let each = wish.as_ref().and_then(Wish::hairpins);
        let hairpins = match each.map(|each| Hairpins::set_up(&able, each)).transpose() {
            Ok(hairpins) => hairpins,
            Err(why) => {
                if !wish.as_mut().is_some_and(|w| w.give_up(why.to_string())) {
                    return Err(why.into());
                }
                continue;
            }
        };
        for (id, port) in &mut opened {
            if port.flow().is_none() {
                continue;
            }
            if let Err(why) = port.start() {
                refused(wish, *id, why.into())?;
                continue 'again;
            }
        }
        return Ok((opened, hairpins));
    }
}

/// A port has refused, perhaps since it was to take part in the hardware plane: it is left out, if it may be.
fn refused(wish: &mut Option<Wish>, port: PortId, why: Failure) -> Result<(), Failure> {
    if !wish
        .as_mut()
        .is_some_and(|w| w.leave_out(port, &why.to_string()))
    {
        return Err(why);
    }
    log::warn!("{why}; the port is opened without hardware forwarding");
    Ok(())
}

/// What the devices lost, by port; `None` where one does not say.
pub fn lost(sides: &[Side<'_>]) -> Vec<Option<DeviceCounters>> {
    let network = sides.iter().filter(|side| side.1 == Role::Network);
    let mut all = Vec::new();
    for (id, _, port) in network {
        let at = usize::from(id.0);
        all.resize(all.len().max(at + 1), None);
        all[at] = port.stats().ok().map(|stats| DeviceCounters {
            missed: stats.rx_missed,
            no_buffer: stats.rx_no_buffer,
            in_errors: stats.rx_errors,
            out_errors: stats.tx_errors,
        });
    }
    all
}

/// Makes the NIC of `port` hash by `rss`, while it is running.
///
/// # Errors
/// Why it does not.
pub fn program_hash(sides: &[Side<'_>], port: PortId, rss: Rss) -> Result<(), String> {
    let mut sides = sides.iter();
    let side = sides.find(|(id, role, _)| *id == port && *role == Role::Network);
    let (_, _, port) = side.ok_or("it has no device")?;
    nic::program(port, rss)
}

impl Links {
    /// What a device's link-state interrupt does: workers first, then hardware, then control.
    fn changed(&self, port: PortId) -> LinkChanged {
        let links = self.clone();
        Box::new(move |up| links.tell(port, up))
    }

    fn tell(&self, port: PortId, up: bool) {
        let noticed = Noticed::now();
        let report = (!up).then(|| self.tables.down.set_port(port));
        if let Some(orders) = &self.orders {
            // Nobody listens where there is no hardware plane after all.
            let _ = orders.send(Order::Link(port, up));
        }
        // Control is gone only when the process ends.
        let _ = self.events.send(Event::PortCarrier { port, up, noticed });
        if let Some(report) = report {
            let _ = self.events.send(Event::PortReported { port, report });
        }
    }
}

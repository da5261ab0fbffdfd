//! Which ports take part, what their NIC can do, and which programs that makes.

use crate::output::Failure;
use control::config::offload::{Design as WishedDesign, Mode, Role as WishedRole, Side};
use control::config::{Config, Device, Port as Wanted};
use control::offload::Setting;
use fastpath::dpdk::{Flow, FlowOptions, Hairpins, Port, probe};
use fastpath::hardware::Capabilities;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::choose::{Place, choose};
use fastpath::hardware::compile::{Config as ProgramConfig, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::probe::Probed;
use fastpath::hardware::program::{Rss, RssFields};
use fastpath::hash::Settings;
use fastpath::table::PortId;

/// How ports are to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    mode: Mode,
    /// Of each port to each, and how many ports: of a transit router.
    hairpins: Option<(u16, u16)>,
}

/// Hairpin queues from one port to another: design B needs one for each next hop, design A one.
const HAIRPINS: u16 = 8;

impl Wish {
    /// What `config` wants, if it wants a hardware plane.
    pub fn of(config: &Config) -> Option<Wish> {
        let mode = config.offload.mode;
        let transit = config.offload.role == Some(WishedRole::Transit);
        let each = match config.offload.design {
            Some(WishedDesign::Rows) => 1,
            _ => HAIRPINS,
        };
        let ports = config.ports.iter().filter(|port| is_ours(port)).count();
        let hairpins = transit.then_some((each, ports as u16));
        (mode != Mode::Off).then_some(Wish { mode, hairpins })
    }

    /// How the flow engine of a port is to be configured; `None`: the kernel has its NIC.
    pub fn flow(&self, port: &Wanted) -> Option<FlowOptions> {
        // A transit router has a program for each port, which sends by all of them.
        let (each, ports) = self.hairpins.unwrap_or((0, 1));
        is_ours(port).then(|| FlowOptions {
            queues: ports,
            hairpins: each.saturating_mul(ports),
            ..FlowOptions::default()
        })
    }

    /// Hairpin queues from each port to each, which are to be set up before the ports start.
    pub fn hairpins(&self) -> Option<u16> {
        self.hairpins.map(|(each, _)| each)
    }

    /// A port could not be opened with a flow engine: whether it may be without.
    pub fn is_optional(&self) -> bool {
        self.mode != Mode::Required
    }
}

/// Whether DPDK has the port's NIC to itself.
const fn is_ours(port: &Wanted) -> bool {
    matches!(port.device, Some(Device::Pci(_) | Device::Devargs(_)))
}

/// A hardware plane.
pub struct Plane<'p> {
    /// Its programs.
    pub agent: Agent<Flow<'p>>,
    /// What was decided.
    pub setting: Setting,
}

/// Makes the programs of `ports`, which were opened as `wish` says and are started, with their hairpin
/// queues bound; `hash` is in force. Why there is no hardware plane, if there is none and `wish` allows
/// that.
///
/// # Errors
/// There is none, and there must be.
pub fn open<'p>(
    wish: &Wish,
    (config, hash): (&Config, &Settings),
    ports: &[(PortId, &'p Port<'p>)],
    hairpins: Option<&Hairpins>,
) -> Result<Result<Plane<'p>, String>, Failure> {
    match make(wish, (config, hash), ports, hairpins) {
        Err(why) if !wish.is_optional() => {
            let remedy = "set [offload] mode = \"auto\" to go on in software";
            Err(Failure::run("offload", "start", why, Some(remedy)))
        }
        other => Ok(other),
    }
}

fn make<'p>(
    wish: &Wish,
    (config, hash): (&Config, &Settings),
    ports: &[(PortId, &'p Port<'p>)],
    hairpins: Option<&Hairpins>,
) -> Result<Plane<'p>, String> {
    let able = ports.iter().filter(|(_, port)| port.flow().is_some());
    let able: Vec<(PortId, &'p Port<'p>)> = able.copied().collect();
    if able.is_empty() {
        return Err("no port's device has a flow engine that is asked for by templates".into());
    }
    let capabilities = capabilities(&able, config)?;
    let role = config.offload.role.unwrap_or(match capabilities.transfer {
        true => WishedRole::Dpu,
        false => WishedRole::Transit,
    });
    let place = match role {
        WishedRole::Dpu => Place::Dpu,
        WishedRole::Transit => Place::Transit,
    };
    let wished = config.offload.design.map(|design| match design {
        WishedDesign::Rows => Design::Rows,
        WishedDesign::Rss => Design::Rss,
    });
    let choice = choose(&capabilities, place, hash, wished);
    let Some(design) = choice.design else {
        return Err(choice.why);
    };
    let smallest = able.iter().map(|(_, port)| port.mtu()).min();
    let mtu = config.offload.mtu.or(smallest).unwrap_or(1500);
    let engines = match place {
        Place::Dpu => vec![(dpu(&able, config)?, Flow::new(&able, capabilities))],
        Place::Transit => {
            let hairpins = hairpins.ok_or("hairpin queues need role = \"transit\" to be said")?;
            let programs = able.iter().enumerate().map(|(n, (id, port))| {
                let flow = Flow::on_queue(&able, capabilities.clone(), n as u16);
                (transit((*id, port), hairpins, hash), flow)
            });
            programs.collect()
        }
    };
    let engines = engines.into_iter().map(|(role, flow)| {
        let flow = flow.map_err(|error| error.to_string())?;
        Ok(Engine::new(flow, ProgramConfig::new(role, design, mtu)))
    });
    let agent = Agent::new(engines.collect::<Result<_, String>>()?);
    Ok(Plane {
        agent,
        setting: Setting {
            mode: wish.mode.name(),
            what: format!("role {}, {} ports", role.name(), able.len()),
            design_reason: choice.why,
            ports: config.ports.iter().map(|port| port.name.clone()).collect(),
        },
    })
}

/// Between wires and functions of the host.
fn dpu(able: &[(PortId, &Port<'_>)], config: &Config) -> Result<Role, String> {
    let on = |side: Side| {
        let here = move |id: &PortId| config.ports[usize::from(id.0)].side == side;
        let all = able.iter().map(|(id, _)| *id).filter(here);
        all.collect::<Vec<PortId>>()
    };
    let (uplinks, functions) = (on(Side::Wire), on(Side::Host));
    let Some(proxy) = uplinks.first().copied().filter(|_| !functions.is_empty()) else {
        return Err(
            "role = \"dpu\" needs a port on a wire and one of the host: set side = \"host\" there"
                .into(),
        );
    };
    Ok(Role::Dpu {
        proxy,
        uplinks,
        functions,
    })
}

/// From wire to wire, for what comes in by one port. The NIC is told to hash for workers' queues as it
/// does without a program, for workers may go by that hash.
fn transit((id, port): (PortId, &Port<'_>), hairpins: &Hairpins, hash: &Settings) -> Role {
    let rss = hash.rss();
    Role::Transit {
        port: id,
        hairpins: hairpins.of(id),
        software: Rss {
            queues: (0..port.rx_queues()).collect(),
            key: rss.as_ref().map(|rss| Box::new(rss.key)),
            fields: match rss.as_ref().is_some_and(|rss| !rss.source_port) {
                true => RssFields::Addresses,
                false => RssFields::Flow,
            },
            symmetric: rss.is_some_and(|rss| rss.sorted),
        },
        kernel: false,
    }
}

/// What the NIC of these ports can do: asked of a port on a wire, which has the e-switch's rules, and
/// tried there.
fn capabilities(able: &[(PortId, &Port<'_>)], config: &Config) -> Result<Capabilities, String> {
    let is_wire =
        |(id, _): &&(PortId, &Port<'_>)| config.ports[usize::from(id.0)].side == Side::Wire;
    let first = able.iter().find(is_wire).or(able.first());
    let (_, port) = first.ok_or("no port takes part")?;
    let driver = &port.caps().driver;
    if let Some((_, other)) = able.iter().find(|(_, p)| p.caps().driver != *driver) {
        return Err(format!(
            "ports {} and {} are of different NICs: {driver} and {}",
            port.name(),
            other.name(),
            other.caps().driver
        ));
    }
    let Probed {
        capabilities,
        lacks,
    } = probe(port);
    for lack in &lacks {
        log::info!("offload: {driver}: no {}: {}", lack.what, lack.why);
    }
    match lacks.first() {
        Some(lack) if capabilities.queues == 0 => {
            Err(format!("port {}: {}", port.name(), lack.why))
        }
        _ => Ok(capabilities),
    }
}

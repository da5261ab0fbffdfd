//! Which ports take part, what their NIC can do, and which programs that makes.

use crate::output::Failure;
use control::config::offload::{Design as WishedDesign, Mode, Role as WishedRole, Side};
use control::config::{Config, Device, Port as Wanted};
use control::offload::Setting;
use fastpath::dpdk::{Flow, FlowOptions, Port, probe};
use fastpath::hardware::Capabilities;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::choose::{Place, choose};
use fastpath::hardware::compile::{Config as ProgramConfig, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::probe::Probed;
use fastpath::hash::Settings;
use fastpath::table::PortId;

/// How ports are to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    mode: Mode,
}

impl Wish {
    /// What `config` wants, if it wants a hardware plane.
    pub fn of(config: &Config) -> Option<Wish> {
        let mode = config.offload.mode;
        (mode != Mode::Off).then_some(Wish { mode })
    }

    /// How the flow engine of a port is to be configured; `None`: the kernel has its NIC.
    pub fn flow(&self, port: &Wanted) -> Option<FlowOptions> {
        match port.device {
            Some(Device::Pci(_) | Device::Devargs(_)) => Some(FlowOptions::default()),
            Some(Device::Xdp(_) | Device::Tap(_)) | None => None,
        }
    }

    /// A port could not be opened with a flow engine: whether it may be without.
    pub fn is_optional(&self) -> bool {
        self.mode != Mode::Required
    }
}

/// A hardware plane.
pub struct Plane<'p> {
    /// Its programs.
    pub agent: Agent<Flow<'p>>,
    /// What was decided.
    pub setting: Setting,
}

/// Makes the programs of `ports`, which were opened as `wish` says and are started; `hash` is in force. Why there is no
/// hardware plane, if there is none and `wish` allows that.
///
/// # Errors
/// There is none, and there must be.
pub fn open<'p>(
    wish: &Wish,
    (config, hash): (&Config, &Settings),
    ports: &[(PortId, &'p Port<'p>)],
) -> Result<Result<Plane<'p>, String>, Failure> {
    match make(wish, (config, hash), ports) {
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
) -> Result<Plane<'p>, String> {
    let able = ports.iter().filter(|(_, port)| port.flow().is_some());
    let able: Vec<(PortId, &'p Port<'p>)> = able.copied().collect();
    if able.is_empty() {
        return Err("no port's device has a flow engine that is asked for by templates".into());
    }
    let wanted = |id: PortId| &config.ports[usize::from(id.0)];
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
    if role == WishedRole::Transit {
        return Err(
            "role = \"transit\" needs hairpin queues, which no port was opened with".into(),
        );
    }
    let on = |side: Side| {
        let here = able.iter().filter(move |(id, _)| wanted(*id).side == side);
        here.map(|(id, _)| *id).collect::<Vec<PortId>>()
    };
    let (uplinks, functions) = (on(Side::Wire), on(Side::Host));
    let Some(proxy) = uplinks.first().copied().filter(|_| !functions.is_empty()) else {
        return Err(
            "role = \"dpu\" needs a port on a wire and one of the host: set side = \"host\" there"
                .into(),
        );
    };
    let smallest = able.iter().map(|(_, port)| port.mtu()).min();
    let mtu = config.offload.mtu.or(smallest).unwrap_or(1500);
    let role_name = role.name();
    let role = Role::Dpu {
        proxy,
        uplinks,
        functions,
    };
    let flow = Flow::new(&able, capabilities).map_err(|error| error.to_string())?;
    let engine = Engine::new(flow, ProgramConfig::new(role, design, mtu));
    Ok(Plane {
        agent: Agent::new(vec![engine]),
        setting: Setting {
            mode: wish.mode.name(),
            what: format!("role {}, {} ports", role_name, able.len()),
            design_reason: choice.why,
            ports: config.ports.iter().map(|port| port.name.clone()).collect(),
        },
    })
}

/// What the NIC of these ports can do: asked of a port on a wire, which has the e-switch's rules, and
/// tried there.
fn capabilities(able: &[(PortId, &Port<'_>)], config: &Config) -> Result<Capabilities, String> {
    let is_wire = |(id, _): &&(PortId, &Port<'_>)| config.ports[usize::from(id.0)].side == Side::Wire;
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

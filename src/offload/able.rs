//! Which ports take part, what their NIC can do, and which programs that makes.

use crate::output::Failure;
use crate::shared;
use control::config::offload::{Backend, Design as WishedDesign, Mode, Role as WishedRole, Side};
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
    /// Hairpin queues of each port to each: of a transit router.
    hairpins: Option<u16>,
    /// Ports that take part.
    ports: Vec<PortId>,
    /// Of these the kernel has the NIC, too: they must.
    shared: Vec<PortId>,
    /// Why there is no hardware plane, if one was found to be impossible.
    unable: Option<String>,
}

/// Hairpin queues from one port to another: design B needs one for each next hop, design A one.
const HAIRPINS: u16 = 8;

impl Wish {
    /// What `config` wants, if it wants a hardware plane.
    pub fn of(config: &Config) -> Option<Wish> {
        let mode = config.offload.mode;
        let each = match config.offload.design {
            Some(WishedDesign::Rows) => 1,
            _ => HAIRPINS,
        };
        let that = |which: fn(&Wanted) -> bool| {
            let all = config.ports.iter().enumerate();
            let all = all.filter(|(_, port)| which(port));
            all.map(|(n, _)| PortId(n as u16)).collect()
        };
        let forwards = mode != Mode::Off && config.offload.backend == Backend::Mlx5;
        forwards.then(|| Wish {
            mode,
            hairpins: (role(config) == WishedRole::Transit).then_some(each),
            ports: that(is_ours),
            shared: that(|port| shared::netdev(port).is_some()),
            unable: None,
        })
    }

    /// How the flow engine of a port is to be configured; `None`: it takes no part.
    pub fn flow(&self, port: PortId) -> Option<FlowOptions> {
        // A transit router has a program for each port, which sends by all of them.
        let ports = self.ports.len() as u16;
        self.ports.contains(&port).then(|| FlowOptions {
            queues: self.hairpins.map_or(1, |_| ports),
            hairpins: self.hairpins.map_or(0, |each| each.saturating_mul(ports)),
            isolated: self.shared.contains(&port),
            ..FlowOptions::default()
        })
    }

    /// Hairpin queues from each port to each, which are to be set up before the ports start.
    pub fn hairpins(&self) -> Option<u16> {
        self.hairpins.filter(|_| !self.ports.is_empty())
    }

    /// A port has refused to take part: true if the others may go on without it.
    pub fn leave_out(&mut self, port: PortId, why: &str) -> bool {
        let may = self.is_optional() && self.ports.contains(&port) && !self.shared.contains(&port);
        self.ports.retain(|p| !may || *p != port);
        if may && self.ports.is_empty() {
            self.unable = Some(why.to_owned());
        }
        may
    }

    /// There can be no hardware plane: true if ports may be without one.
    pub fn give_up(&mut self, why: String) -> bool {
        let may = self.is_optional() && self.shared.is_empty();
        if may {
            self.ports.clear();
            self.unable = Some(why);
        }
        may
    }

    /// A hardware plane is not what there must be.
    const fn is_optional(&self) -> bool {
        !matches!(self.mode, Mode::Required)
    }
}

/// Which role is meant: without a port of the host there is nothing but wires to go between.
fn role(config: &Config) -> WishedRole {
    let has_host = config.ports.iter().any(|port| port.side == Side::Host);
    config.offload.role.unwrap_or(match has_host {
        true => WishedRole::Dpu,
        false => WishedRole::Transit,
    })
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
    let made = match &wish.unable {
        Some(why) => Err(why.clone()),
        None => make(wish, (config, hash), ports, hairpins),
    };
    match made {
        Err(why) if !wish.is_optional() => {
            let remedy = "set [offload] mode = \"auto\" to go on in software";
            Err(Failure::run("offload", "start", why, Some(remedy)))
        }
        Err(why) if !wish.shared.is_empty() => {
            let remedy =
                "set device = \"xdp:NETDEV\" where kernel = \"NETDEV\", to go on in software";
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
    let role = role(config);
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
            let hairpins = hairpins.ok_or("there are no hairpin queues")?;
            let programs = able.iter().enumerate().map(|(n, (id, port))| {
                let flow = Flow::on_queue(&able, capabilities.clone(), n as u16);
                let kernel = wish.shared.contains(id);
                (transit((*id, port), hairpins, hash, kernel), flow)
            });
            programs.collect()
        }
    };
    let engines = engines.into_iter().map(|(role, flow)| {
        let flow = flow.map_err(|error| error.to_string())?;
        let program = ProgramConfig {
            prefixes: config.offload.prefixes,
            ..ProgramConfig::new(role, design, mtu)
        };
        Ok(Engine::new(flow, program))
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
fn transit(
    (id, port): (PortId, &Port<'_>),
    hairpins: &Hairpins,
    hash: &Settings,
    kernel: bool,
) -> Role {
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
        kernel,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(offload: &str, kernel: &str) -> Wish {
        let port = |n: u8, more: &str| {
            format!("[[port]]\nname = \"p{n}\"\ndevice = \"0000:03:00.{n}\"\n{more}\n")
        };
        let ports = [port(0, kernel), port(1, ""), port(2, "")].concat();
        let text = format!("{ports}[offload]\n{offload}\n");
        Wish::of(&Config::parse(&text).expect("a configuration")).expect("wanted")
    }

    const ALL: [PortId; 3] = [PortId(0), PortId(1), PortId(2)];

    fn queues(wish: &Wish) -> Vec<Option<(u16, u16)>> {
        let each = ALL.iter().map(|port| wish.flow(*port));
        each.map(|f| f.map(|f| (f.queues, f.hairpins))).collect()
    }

    #[test]
    fn wires_alone_are_a_transit_routers() {
        for role in ["", "role = \"transit\""] {
            let mut wish = wish(&format!("mode = \"auto\"\n{role}"), "");
            assert_eq!(wish.hairpins(), Some(8), "{role}");
            assert_eq!(queues(&wish), [Some((3, 24)); 3]);
            // Each has hairpin queues to those that are left.
            assert!(wish.leave_out(PortId(1), "") && !wish.leave_out(PortId(1), ""));
            assert_eq!(queues(&wish), [Some((2, 16)), None, Some((2, 16))]);
            assert!(wish.give_up("no hairpin queues".into()));
            assert_eq!((queues(&wish), wish.hairpins()), (vec![None; 3], None));
            assert_eq!(wish.unable.as_deref(), Some("no hairpin queues"));
        }
        for more in [
            "role = \"dpu\"",
            "\n[[port]]\nname = \"h\"\nside = \"host\"",
        ] {
            let wish = wish(&format!("mode = \"auto\"\n{more}"), "");
            assert_eq!(
                (queues(&wish), wish.hairpins()),
                (vec![Some((1, 0)); 3], None)
            );
        }
    }

    #[test]
    fn what_must_be_is_not_left_out() {
        let mut required = wish("mode = \"required\"", "");
        assert!(!required.leave_out(PortId(0), "") && !required.give_up(String::new()));
        assert_eq!(queues(&required), [Some((3, 24)); 3]);
        // Without a program a port whose NIC the kernel has too gets no packets.
        let mut shared = wish("mode = \"auto\"", "kernel = \"eth0\"");
        let isolated = ALL.map(|port| shared.flow(port).is_some_and(|f| f.isolated));
        assert_eq!(isolated, [true, false, false]);
        assert!(!shared.leave_out(PortId(0), "") && !shared.give_up(String::new()));
        assert!(shared.leave_out(PortId(2), ""));
    }
}

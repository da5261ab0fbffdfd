//! `evenpath export`: the hardware plane's programs, for others to execute.

use crate::calc::offline;
use crate::cli;
use crate::output::{self, Done, Failure};
use crate::verify::Wait;
use control::api::client::Client;
use control::api::message::{Exported, VerifyQuery};
use control::api::{Request, Response};
use control::config::Config;
use control::config::offload::{Design as WishedDesign, Role as WishedRole, Side};
use fastpath::hardware::Capabilities;
use fastpath::hardware::audit::Copied;
use fastpath::hardware::choose::{Place, choose};
use fastpath::hardware::compile::{Compiler, Config as ProgramConfig, Design, Hairpin, Role};
use fastpath::hardware::export::{Ethdev, whole};
use fastpath::hardware::plan::Change;
use fastpath::hardware::program::{Rss, RssFields};
use fastpath::hardware::sim::Profile;
use fastpath::table::PortId;
use std::path::Path;

/// Hairpin queues to each port of design B: one for each next hop.
const HAIRPINS: u16 = 16;

/// `evenpath export`.
pub fn export(what: &cli::Export, socket: &Path, as_json: bool) -> Done {
    let cli::Export::Testpmd(args) = what;
    let mut client = match &args.config {
        Some(file) => return written(&from_file(file, args)?, as_json),
        None => Client::connect(socket)?,
    };
    let (mut query, mut wait) = (VerifyQuery::default(), Wait::default());
    let mut text = String::new();
    loop {
        let Response::Export(mut piece) = client.ask(&Request::Export(query.clone()))? else {
            let cause = "it is to another question";
            return Err(Failure::run("answer", "read", cause, None));
        };
        if piece.next.is_none() {
            piece.text.insert_str(0, &text);
            return written(&piece, as_json);
        }
        query.next = piece.next;
        if piece.text.is_empty() {
            wait.sleep();
        } else if as_json {
            text += &piece.text;
        } else {
            output::text(&piece.text)?;
        }
    }
}

/// The end of a script, or all of it.
fn written(exported: &Exported, as_json: bool) -> Done {
    for unsaid in &exported.not_said {
        eprintln!("evenpath: note: not said: {unsaid}");
    }
    if as_json {
        return output::json(exported);
    }
    output::text(&exported.text)
}

/// The programs that a configuration makes.
fn from_file(file: &Path, args: &cli::Testpmd) -> Result<Exported, Failure> {
    let config = Config::load(file)?;
    let control = offline(file)?;
    let plan = control.hardware_plan();
    let programs = programs(&config, args, &plan)?;
    let compiled = programs
        .into_iter()
        .map(|(config, can)| Copied::of(&Compiler::anew(config, can, &plan)));
    Ok(whole(&compiled.collect::<Vec<_>>(), &ethdevs(&config)).into())
}

fn ethdevs(config: &Config) -> Vec<Ethdev> {
    let transit = place(config) == Place::Transit;
    let each = config.ports.iter().enumerate().map(|(n, port)| Ethdev {
        port: PortId(n as u16),
        name: port.name.clone(),
        number: n as u16,
        isolated: transit,
    });
    each.collect()
}

fn on(config: &Config, side: Side) -> Vec<PortId> {
    let each = config.ports.iter().enumerate();
    let here = each.filter(|(_, port)| port.side == side);
    here.map(|(n, _)| PortId(n as u16)).collect()
}

fn place(config: &Config) -> Place {
    match config.offload.role {
        Some(WishedRole::Dpu) => Place::Dpu,
        Some(WishedRole::Transit) => Place::Transit,
        None if on(config, Side::Host).is_empty() => Place::Transit,
        None => Place::Dpu,
    }
}

/// The programs that `config` makes on such a NIC.
fn programs(
    config: &Config,
    args: &cli::Testpmd,
    plan: &[Change],
) -> Result<Vec<(ProgramConfig, Capabilities)>, Failure> {
    let failed = |why: String, remedy| Failure::run("program", "export testpmd", why, remedy);
    let place = place(config);
    let profile = Profile::named(args.nic.name());
    let profile = profile.ok_or_else(|| failed("no such NIC".into(), None))?;
    let profile = match place {
        Place::Dpu => profile.switchdev(),
        Place::Transit => profile,
    };
    let can = profile.capabilities;
    let wanted = config.offload.design.map(|design| match design {
        WishedDesign::Rows => Design::Rows,
        WishedDesign::Rss => Design::Rss,
    });
    let policy = plan.iter().find_map(|change| match change {
        Change::Hash(policy) => Some(policy.base().clone()),
        _ => None,
    });
    let choice = choose(&can, place, &policy.unwrap_or_default(), wanted);
    let design = choice
        .design
        .ok_or_else(|| failed(choice.why.clone(), Some("change [offload]")))?;
    let smallest = config.ports.iter().map(|p| p.mtu.unwrap_or(1500)).min();
    let mtu = config.offload.mtu.or(smallest).unwrap_or(1500);
    let (wires, functions) = (on(config, Side::Wire), on(config, Side::Host));
    let roles = match place {
        Place::Dpu => {
            let proxy = wires.first().copied().filter(|_| !functions.is_empty());
            let why = "role = \"dpu\" needs a port on a wire and one of the host";
            let remedy = Some("set side = \"host\" there");
            vec![Role::Dpu {
                proxy: proxy.ok_or_else(|| failed(why.into(), remedy))?,
                uplinks: wires,
                functions,
            }]
        }
        Place::Transit => {
            let each = match design {
                Design::Rows => 1,
                Design::Rss => HAIRPINS,
            };
            let transit = |port: &PortId| transit(*port, &wires, each, args.queues);
            wires.iter().map(transit).collect()
        }
    };
    let each = roles.into_iter().map(|role| {
        let program = ProgramConfig {
            prefixes: config.offload.prefixes,
            ..ProgramConfig::new(role, design, mtu)
        };
        (program, can.clone())
    });
    Ok(each.collect())
}

/// The role of `port` among `wires`, with so many hairpin queues to each other port, numbered behind
/// the queues of software.
fn transit(port: PortId, wires: &[PortId], each: u16, queues: u16) -> Role {
    let place = |of: PortId, among: PortId| {
        let others = wires.iter().filter(|p| **p != among);
        others.clone().position(|p| *p == of).unwrap_or(0) as u16
    };
    let others = wires.iter().copied().filter(|p| *p != port);
    let hairpins = others.flat_map(|egress| {
        let (queue, tx_queue) = (place(egress, port) * each, place(port, egress) * each);
        (0..each).map(move |n| Hairpin {
            egress,
            queue: queues + queue + n,
            tx_queue: queues + tx_queue + n,
        })
    });
    Role::Transit {
        port,
        hairpins: hairpins.collect(),
        software: Rss {
            queues: (0..queues).collect(),
            key: None,
            fields: RssFields::Flow,
            symmetric: false,
        },
        kernel: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: &str = r#"
[[port]]
name = "host0"
device = "0000:03:00.2"
kernel = "none"
mac = "02:00:00:00:00:01"
side = "host"
[[port]]
name = "up1"
device = "0000:03:00.0"
kernel = "none"
mac = "02:00:00:00:00:02"
[[port]]
name = "up2"
device = "0000:03:00.1"
kernel = "none"
mac = "02:00:00:00:00:03"
[[neighbor]]
port = "up1"
address = "169.254.0.1"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "up2"
address = "169.254.0.3"
mac = "02:00:00:00:00:12"
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "169.254.0.1", port = "up1" }, { via = "169.254.0.3", port = "up2" }]
[hash]
algorithm = "crc32"
symmetric = false
ipv6-label = false
"#;

    fn script(name: &str, more: &str, nic: cli::export::Nic) -> Result<Exported, Failure> {
        let folder = std::env::temp_dir();
        let file = folder.join(format!(
            "evenpath-export-{}-{name}.toml",
            std::process::id()
        ));
        std::fs::write(&file, format!("{PORTS}{more}")).expect("write");
        let args = cli::Testpmd {
            config: Some(file.clone()),
            nic,
            queues: 2,
        };
        let exported = from_file(&file, &args);
        std::fs::remove_file(&file).expect("remove");
        exported
    }

    #[test]
    fn a_dpu_by_its_sides() {
        let script = script("dpu", "", cli::export::Nic::Bf3).expect("a script");
        assert_eq!(script.not_said, [""; 0]);
        for line in [
            "#   1 up1",
            "# After the ports: -- -i --disable-device-start",
            "flow configure 1 queues_number 1 queues_size 256",
            "pattern eth / ipv4 dst spec 10.0.0.0 / end actions jump group",
            "insertion_type index hash_func crc32 rules_number 64",
            "represented_port ethdev_port_id 2 / end",
        ] {
            assert!(
                script.text.contains(line),
                "no {line:?} in\n{}",
                script.text
            );
        }
    }

    #[test]
    fn transit_has_a_program_for_each_port() {
        let more = "[offload]\nrole = \"transit\"\n";
        let script = script("transit", more, cli::export::Nic::Cx7).expect("a script");
        // One hairpin queue each way, behind two of software.
        for line in [
            "--flow-isolate-all --rxq=2 --txq=2 --hairpinq=1 --hairpin-mode=0x12 --hairpin-map=1:2:2:2:1",
            "flow configure 1 ",
            "flow configure 2 ",
            "rss func default level 0 types udp tcp end queues 0 1 end",
            "actions count / modify_field",
            "queue index 2 / end",
        ] {
            assert!(
                script.text.contains(line),
                "no {line:?} in\n{}",
                script.text
            );
        }
    }

    #[test]
    fn what_no_nic_can() {
        let more = "[offload]\ndesign = \"rss\"\n";
        let why = script("rss", more, cli::export::Nic::Cx7).expect_err("refused");
        let words = "program: export testpmd: design = \"rss\" needs hairpin queues";
        assert!(why.to_string().starts_with(words), "{why}");
    }
}

//! The plan against what is in the NIC: what is asked of the owner of the programs, and answered.

use super::*;
use control::api::Response;
use control::api::message::Verified;
use control::offload::{Ask, Audit, Setting, script};
use fastpath::hardware::agent::Agent;
use fastpath::hardware::compile::{Config as ProgramConfig, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::sim::{Kind, Profile, Sim};
use std::time::Instant;

/// The e-switch of the lab's ports, the first of which is on a wire.
fn agent() -> Agent<Sim> {
    let ports: Vec<PortId> = (0..4).map(PortId).collect();
    let mut sim = Sim::new(Profile::bf3().switchdev());
    for (n, port) in ports.iter().enumerate() {
        let kind = if n == 0 { Kind::Uplink } else { Kind::Function };
        sim.attach(*port, kind, false);
    }
    let role = Role::Dpu {
        proxy: ports[0],
        uplinks: ports[..1].to_vec(),
        functions: ports[1..].to_vec(),
    };
    Agent::new(vec![Engine::new(
        sim,
        ProgramConfig::new(role, Design::Rows, 1500),
    )])
}

impl World {
    /// Hands on what hardware is told, and asks what it is asked.
    fn pump(&mut self, agent: &mut Agent<Sim>) -> Option<Ask> {
        let mut asked = None;
        for action in self.lab.control.actions() {
            match action {
                Action::Offload(number, changes) => agent.apply(number, changes),
                Action::AskOffload(ask) => asked = Some(ask),
                _ => {}
            }
        }
        asked
    }

    fn verify(&mut self, agent: &mut Agent<Sim>) -> Result<Verified, String> {
        let (reply, answer) = crossbeam::channel::bounded(1);
        self.lab
            .event(Event::Request(Request::VerifyOffload, reply));
        let ask = self.pump(agent).expect("asked");
        if let Some(audit) = Audit::of(agent, ask) {
            audit.make();
        }
        match answer.try_recv().expect("an answer") {
            Reply::Ok(Response::Verify(verified)) => Ok(verified),
            Reply::Error(error) => Err(error.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

fn leaf(ifindex: u32, gateway: &str) -> Via {
    Via::Hop(Hop {
        gateway: Some(ip(gateway)),
        ifindex,
        onlink: false,
        encap: false,
    })
}

#[test]
fn what_hardware_was_not_told_is_named() {
    let mut world = World::new(&config(Answer::Trap));
    let mut agent = agent();
    world.say(vec![bgp(prefix("10.9.0.0/16"), leaf(P1, "169.254.0.2"))]);
    world.pump(&mut agent);
    assert!(agent.settle(Instant::now(), 1 << 16));
    let all = world.verify(&mut agent).expect("an audit");
    assert!(all.differences.is_empty(), "{:?}", all.differences);
    assert!(all.checked.rules > 30);
    // One that got lost on its way.
    world.say(vec![bgp(prefix("10.10.0.0/16"), leaf(P1, "169.254.0.2"))]);
    world.lab.control.actions().for_each(drop);
    let lost = world.verify(&mut agent).expect("an audit").differences;
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(
        (&*lost[0].of, &*lost[0].object),
        ("hardware", "prefix 10.10.0.0/16")
    );
    assert_eq!(lost[0].found, "no rule");
    // Next hops have names.
    let adjacency = Adjacency::forward(PortId(1), 1500, [2, 0, 0, 0, 0, 0x77], [2; 6], 0);
    let hop = world
        .lab
        .control
        .hardware_plan()
        .into_iter()
        .find_map(|change| match change {
            Change::Nexthop(id, Some(_)) => Some(id),
            _ => None,
        });
    agent.apply(
        9,
        vec![Change::Nexthop(hop.expect("there"), Some(adjacency))],
    );
    let busy = world.verify(&mut agent).expect_err("not settled");
    assert!(
        busy.starts_with("hardware: verify: 1 changes wait") || busy.contains("under way"),
        "{busy}"
    );
    assert!(agent.settle(Instant::now(), 1 << 16));
    let wrong = world.verify(&mut agent).expect("an audit").differences;
    let named = |d: &control::api::message::Difference| {
        d.object.starts_with("nexthop 169.254.0.") && d.found.contains("020000000077")
    };
    assert!(wrong.iter().any(named), "{wrong:?}");
}

#[test]
fn the_programs_in_force_as_a_script() {
    let mut world = World::new(&config(Answer::Trap));
    let mut agent = agent();
    world.say(vec![bgp(prefix("10.9.0.0/16"), leaf(P1, "169.254.0.2"))]);
    world.pump(&mut agent);
    assert!(agent.settle(Instant::now(), 1 << 16));
    let setting = Setting {
        ports: ["up1", "up2", "host0", "host1"].map(String::from).to_vec(),
        ..Setting::default()
    };
    let Reply::Ok(Response::Export(exported)) = script(&agent, &setting) else {
        panic!("a script");
    };
    assert!(exported.not_said.is_empty() && exported.rules > 30);
    assert!(exported.text.contains("#   1 up2\n"));
    assert!(
        exported
            .text
            .contains("ipv4 dst spec 10.9.0.0 / end actions jump group")
    );
    // Without hardware there is nothing to export, and nothing to audit.
    let mut lab = Lab::dpu();
    assert!(matches!(lab.ask(&Request::VerifyOffload), Response::Verify(v) if v.is_good()));
}

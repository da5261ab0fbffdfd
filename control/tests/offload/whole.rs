//! Control, the agent and a simulated e-switch together: a recorded session of zebra, and what all three
//! say of it.

use super::told::newest;
use super::*;
use control::api::Response;
use control::api::message::{Offload, OffloadQuery};
use control::offload::{Setting, look};
use fastpath::hardware::agent::Agent;
use fastpath::hardware::compile::{Config as Program, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::sim::{Kind, Outcome, Profile, Sim};
use fastpath::hash::{Algorithm, Field};
use std::time::Instant;

const UPLINKS: [PortId; 2] = [PortId(0), PortId(1)];
const HOST: PortId = PortId(2);

struct Whole {
    world: World,
    agent: Agent<Sim>,
    setting: Setting,
    now: Instant,
}

impl Whole {
    fn new() -> Self {
        let world = World::new(&config(Answer::Trap));
        let mut sim = Sim::new(Profile::bf3().switchdev());
        for port in UPLINKS {
            sim.attach(port, Kind::Uplink, false);
        }
        sim.attach(HOST, Kind::Function, false);
        let role = Role::Dpu {
            proxy: UPLINKS[0],
            uplinks: UPLINKS.to_vec(),
            functions: vec![HOST],
        };
        let program = Program::new(role, Design::Rows, 1500);
        let setting = Setting {
            mode: "auto",
            ports: ["up1", "up2", "host0"].map(String::from).to_vec(),
            ..Setting::default()
        };
        let now = world.lab.now;
        Whole {
            world,
            agent: Agent::new(vec![Engine::new(sim, program)]),
            setting,
            now,
        }
    }

    /// Until nobody has anything to say; what zebra was told.
    fn settle(&mut self) -> BTreeMap<String, &'static str> {
        let mut told = BTreeMap::new();
        for _ in 0..20 {
            let mut answers = crate::lab::answers::Told::new();
            let changes = self.world.both(&mut answers);
            told.extend(newest(answers));
            for (number, changes) in changes {
                self.agent.apply(number, changes);
            }
            assert!(self.agent.settle(self.now, 1 << 20));
            while let Some(news) = self.agent.news(10) {
                let update = Update { news, status: None };
                self.world.lab.event(Event::Offload(Box::new(update)));
            }
        }
        told
    }

    fn ask(&mut self, query: OffloadQuery) -> Offload {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let request = Request::ShowOffload(query);
        self.world.lab.event(Event::Request(request, reply));
        for action in self.world.lab.control.actions().collect::<Vec<_>>() {
            if let Action::AskOffload(ask) = action {
                let said = look(&self.agent, (&self.setting, 0.0), &ask);
                ask.reply.send(said).expect("asked");
            }
        }
        match answer.try_recv() {
            Ok(Reply::Ok(Response::Offload(view))) => *view,
            other => panic!("{other:?}"),
        }
    }

    fn of(&mut self, to: &str) -> (String, Vec<String>) {
        let query = OffloadQuery {
            prefix: Some(prefix(to)),
            ..OffloadQuery::default()
        };
        let of = self.ask(query).of.expect("of a prefix");
        (of.state, of.reasons)
    }

    /// UDP from the host to `to`: where the NIC sends it.
    fn send(&mut self, to: [u8; 4], port: u16) -> Outcome {
        let mac = self.world.told.ports[&HOST].mac;
        let mut frame = [&mac[..], &[2, 0, 0, 0, 3, 0, 8, 0]].concat();
        let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, 64, 17, 0, 0, 10, 244, 1, 10];
        header.extend(to);
        let sum = fastpath::wire::checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(header);
        frame.extend(port.to_be_bytes());
        frame.extend([0x13, 0x88, 0, 12, 0, 0, 1, 2, 3, 4]);
        let sim = self.agent.engines_mut()[0].steering_mut();
        sim.receive(HOST, &mut frame)
    }
}

fn crc() -> Request {
    let fields = [(Field::Ipv6Label.name().to_owned(), false)].into();
    let change = HashChange {
        algorithm: Some(Algorithm::Crc32.name().into()),
        symmetric: Some(false),
        fields,
        ..HashChange::default()
    };
    Request::SetHash(SetHash {
        change,
        ..SetHash::default()
    })
}

#[test]
fn a_session_of_zebra_ends_up_in_hardware() {
    let mut whole = Whole::new();
    let stream = crate::lab::stream("10.3-02-initial-sync");
    whole.world.lab.feed(&stream);
    let told = whole.settle();
    let service = "10.100.1.0/24";
    assert_eq!(told[service], "trap", "{told:?}");
    let (state, why) = whole.of(service);
    assert_eq!(state, "sw");
    assert!(why[0].starts_with("algorithm = \"mix\""), "{why:?}");
    let now = whole.world.lab.now;
    let answer = whole.world.lab.control.answer(&crc(), now);
    assert!(matches!(answer, Reply::Ok(_)), "{answer:?}");
    whole.world.lab.pass(Duration::from_secs(1));
    let told = whole.settle();
    assert_eq!(told[service], "offload", "{told:?}");
    // Packets leave by the ports that workers would choose.
    let mut seen = BTreeSet::new();
    for n in 0..64 {
        match whole.send([10, 100, 1, 10], 1000 + n) {
            Outcome::Sent(port) => seen.insert(port),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(seen, UPLINKS.into());
    whole.now += Duration::from_secs(2);
    whole.settle();
    let counted = whole
        .world
        .lab
        .control
        .offloaded()
        .map(|o| o.total().packets);
    assert_eq!(counted, Some(64));
    let groups = whole.world.lab.groups();
    assert!(groups.iter().any(|g| g.plane == "hw"), "{groups:?}");
    let by_hardware = |m: &control::api::message::Member| m.hardware_packets.unwrap_or(0);
    let sums = groups
        .iter()
        .map(|g| g.members.iter().map(by_hardware).sum::<u64>());
    assert_eq!(sums.max(), Some(64));
    // A wire is cut: the NIC knows first, and zebra is told when it has lasted.
    whole.agent.port_down(UPLINKS[0]);
    assert_eq!(whole.settle(), BTreeMap::new());
    let ways = (0..64).map(|n| whole.send([10, 100, 1, 10], 1000 + n));
    let ways: Vec<Outcome> = ways.collect();
    let leaves = |to| ways.iter().filter(|w| **w == Outcome::Sent(to)).count();
    assert_eq!((leaves(UPLINKS[0]), leaves(HOST)), (0, 0));
    assert!((10..54).contains(&leaves(UPLINKS[1])), "the others stay");
    let (state, why) = whole.of(service);
    assert_eq!(state, "partial");
    assert!(why.iter().any(|w| w.contains(" on up1 is down")), "{why:?}");
    whole.now += Duration::from_secs(1);
    assert_eq!(whole.settle()[service], "trap");
    // Control has heard of it: the other leaf has all, and it is hardware's again.
    whole.world.lab.carrier(P0, false);
    assert_eq!(whole.settle()[service], "offload");
    for n in 0..64 {
        assert_eq!(
            whole.send([10, 100, 1, 10], 1000 + n),
            Outcome::Sent(UPLINKS[1])
        );
    }
    let status = whole.ask(OffloadQuery::default()).status;
    assert_eq!((&*status.role, &*status.design), ("dpu", "rows"));
    assert_eq!(status.ports_down, ["up1"]);
    assert!(status.prefixes.hw > 2 && status.failures == 0, "{status:?}");
    let kinds: Vec<&str> = status.tables.iter().map(|t| t.kind.as_str()).collect();
    // One next hop is left, which needs no rows.
    let expected = [
        "root", "admit", "prefixes", "groups", "nexthops", "software",
    ];
    assert_eq!(kinds, expected);
}

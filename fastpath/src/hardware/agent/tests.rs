//! One program of a simulated e-switch: a function of the host, and two wires.

use super::*;
use crate::hardware::compile::{Config, Design, Role};
use crate::hardware::plan::{Entry, Lead};
use crate::hardware::program::{Action, IndirectId, Operation, RuleId, Table, TableId};
use crate::hardware::sim::{Faults, Kind, Outcome, Profile, Sim};
use crate::hardware::{Capabilities, Completion, Error};
use crate::hash::Settings;
use standings::PATIENCE;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const HOST: PortId = PortId(0);
const WIRES: [PortId; 2] = [PortId(1), PortId(2)];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const GROUP: GroupId = GroupId(7);
/// 16.0.0.0, the first prefix of 24 bits.
const FIRST: u32 = 0x1000_0000;

/// A simulated NIC that remembers what it was asked for.
struct Recorder {
    sim: Sim,
    log: Vec<Operation>,
}

impl Steering for Recorder {
    fn capabilities(&self) -> &Capabilities {
        self.sim.capabilities()
    }
    fn create_table(&mut self, table: &Table) -> Result<(), Error> {
        self.sim.create_table(table)
    }
    fn destroy_table(&mut self, table: TableId) -> Result<(), Error> {
        self.sim.destroy_table(table)
    }
    fn enqueue(&mut self, q: u32, o: &Operation, later: bool, cookie: u64) -> Result<(), Error> {
        self.sim.enqueue(q, o, later, cookie)?;
        self.log.push(o.clone());
        Ok(())
    }
    fn push(&mut self, queue: u32) -> Result<(), Error> {
        self.sim.push(queue)
    }
    fn pull(&mut self, queue: u32, done: &mut Vec<Completion>) -> Result<(), Error> {
        self.sim.pull(queue, done)
    }
    fn count(&mut self, rule: RuleId) -> Result<Count, Error> {
        self.sim.count(rule)
    }
    fn table_hash(&mut self, table: TableId, values: &[u128]) -> Result<u32, Error> {
        self.sim.table_hash(table, values)
    }
    fn indirect(&self, id: IndirectId) -> Option<&Action> {
        self.sim.indirect(id)
    }
}

fn agent() -> Agent<Recorder> {
    let mut sim = Sim::new(Profile::bf3().switchdev());
    sim.attach(HOST, Kind::Function, false);
    for wire in WIRES {
        sim.attach(wire, Kind::Uplink, false);
    }
    let role = Role::Dpu {
        proxy: WIRES[0],
        uplinks: WIRES.to_vec(),
        functions: vec![HOST],
    };
    let log = Vec::new();
    let config = Config::new(role, Design::Rows, 1500);
    Agent::new(vec![Engine::new(Recorder { sim, log }, config)])
}

fn nexthop(n: u32) -> Change {
    let to = [2, 0, 0, 0, 1, n as u8];
    let adjacency = Adjacency::forward(WIRES[n as usize % 2], 1500, to, MAC, 0);
    Change::Nexthop(NexthopId(n), Some(adjacency))
}

fn group(id: GroupId, members: u32) -> Change {
    Change::Group(id, Some((0..64).map(|b| NexthopId(b % members)).collect()))
}

fn nth(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(FIRST + (n << 8)))
}

fn prefix(n: u32, to: GroupId) -> Change {
    Change::Prefix(nth(n), 24, Some(Lead::Group(to)))
}

/// All but prefixes: ports, the hash, two next hops, one on each wire, and their group.
fn base() -> Vec<Change> {
    let entry = Entry {
        mac: MAC,
        untagged: true,
    };
    let ports = [HOST, WIRES[0], WIRES[1]];
    let mut changes: Vec<Change> = ports.map(|p| Change::Port(p, Some(entry))).into();
    changes.push(Change::Hash(Box::new(
        Settings::new(Design::Rows.hash()).into(),
    )));
    changes.extend([nexthop(0), nexthop(1), group(GROUP, 2)]);
    changes
}

fn with_prefixes(n: u32) -> Vec<Change> {
    let prefixes = (0..n).map(|n| prefix(n, GROUP));
    base().into_iter().chain(prefixes).collect()
}

/// All news, prefixes by number.
fn told(agent: &mut Agent<Recorder>) -> Vec<(u32, State)> {
    let mut all = Vec::new();
    while let Some(news) = agent.news(100) {
        assert!(news.prefixes.len() <= 100 && news.groups.len() <= 100);
        all.extend(news.prefixes.into_iter().map(|(a, _, s)| match a {
            IpAddr::V4(a) => ((a.to_bits() - FIRST) >> 8, s),
            IpAddr::V6(_) => unreachable!(),
        }));
    }
    all
}

fn settled(agent: &mut Agent<Recorder>, now: Instant) -> Vec<(u32, State)> {
    assert!(agent.settle(now, 1 << 20));
    told(agent)
}

fn all(n: u32, state: State) -> Vec<(u32, State)> {
    (0..n).map(|n| (n, state)).collect()
}

#[test]
fn what_hardware_forwards_is_told_once() {
    let (mut agent, now) = (agent(), Instant::now());
    agent.apply(1, with_prefixes(300));
    let found = settled(&mut agent, now);
    assert_eq!(found, all(300, State::Hardware));
    assert_eq!(agent.prefixes(), (300, 0));
    assert_eq!(agent.standing().state, State::Hardware);
    assert_eq!(settled(&mut agent, now + PATIENCE), []);
    // Nothing is told of a prefix that goes; one that comes again is news.
    agent.apply(2, vec![Change::Prefix(nth(5), 24, None)]);
    assert_eq!(settled(&mut agent, now), []);
    assert_eq!(agent.prefixes(), (299, 0));
    agent.apply(3, vec![prefix(5, GROUP)]);
    assert!(agent.settle(now, 1 << 20));
    let news = agent.news(100).unwrap();
    assert_eq!(
        (news.applied, &news.prefixes[..]),
        (3, &[(nth(5), 24, State::Hardware)][..])
    );
}

/// Whoever has replaced a prefix is told again, even if it was hardware's all along.
#[test]
fn a_replaced_prefix_is_told_again() {
    let (mut agent, now) = (agent(), Instant::now());
    let other = GroupId(8);
    let mut changes = with_prefixes(2);
    changes.extend([group(other, 1), prefix(9, other)]);
    agent.apply(1, changes);
    assert_eq!(settled(&mut agent, now).len(), 3);
    agent.apply(2, vec![prefix(1, other)]);
    assert_eq!(settled(&mut agent, now), [(1, State::Hardware)]);
}

#[test]
fn link_state_comes_before_control() {
    let (mut agent, now) = (agent(), Instant::now());
    agent.apply(1, with_prefixes(3));
    settled(&mut agent, now);
    agent.port_down(WIRES[1]);
    // What control says before it has heard of it changes nothing; what it does not know stays.
    agent.apply(2, vec![nexthop(1), nexthop(3)]);
    assert_eq!(settled(&mut agent, now), [], "not at once");
    assert_eq!(agent.group(GROUP).state, State::Partial, "but true");
    let then = now + PATIENCE;
    assert_eq!(settled(&mut agent, then), all(3, State::Partial));
    agent.port_up(WIRES[1]);
    assert_eq!(settled(&mut agent, then), all(3, State::Hardware));
    // Control's word that it is dead holds, link or not.
    agent.apply(3, vec![Change::Nexthop(NexthopId(1), None)]);
    agent.port_down(WIRES[1]);
    agent.port_up(WIRES[1]);
    settled(&mut agent, then);
    assert_eq!(agent.group(GROUP).state, State::Partial);
}

/// What is over within a second is not told.
#[test]
fn a_flap_is_not_told() {
    let (mut agent, now) = (agent(), Instant::now());
    agent.apply(1, with_prefixes(50));
    settled(&mut agent, now);
    for n in 0..10 {
        let at = now + Duration::from_millis(90 * n);
        agent.port_down(WIRES[0]);
        assert_eq!(settled(&mut agent, at), []);
        agent.port_up(WIRES[0]);
        assert_eq!(settled(&mut agent, at), []);
    }
    assert_eq!(settled(&mut agent, now + 3 * PATIENCE), []);
}

/// The operations for a link that is lost are the next ones, whatever waits.
#[test]
fn a_lost_link_waits_for_nothing() {
    let (mut agent, now) = (agent(), Instant::now());
    agent.apply(1, with_prefixes(10));
    settled(&mut agent, now);
    // Waiting changes, and waiting operations.
    agent.apply(2, (10..20_000).map(|n| prefix(n, GROUP)).collect());
    for _ in 0..40 {
        agent.turn(now);
    }
    assert!(agent.waiting() > 8_000);
    agent.engines[0].steering_mut().log.clear();
    agent.port_down(WIRES[0]);
    agent.turn(now);
    let log = &agent.engines[0].steering().log;
    let first = log.iter().position(|o| matches!(o, Operation::Update(..)));
    assert_eq!(first, Some(0), "operations before");
    assert_eq!(agent.group(GROUP).state, State::Partial, "after one turn");
    // Nor does it wait for what is told of 100,000 prefixes.
    let found = settled(&mut agent, now);
    assert_eq!(found.len(), 19_990, "new ones, some of them before");
    let found = settled(&mut agent, now + PATIENCE);
    assert!(found.len() >= 10, "those that were told before");
    assert_eq!(agent.prefixes(), (0, 20_000));
}

/// Each operation fails once, at once or late: the plan is hardware's in the end, by retries alone.
#[test]
fn whatever_fails_heals_and_is_told_truly() {
    let start = Instant::now();
    let mut round = 0;
    loop {
        round += 1;
        let late = round % 2 == 0;
        let (mut agent, mut now) = (agent(), start);
        let operation = round / 2 + 1;
        let mut faults = Faults::default();
        if late {
            faults.late.insert(operation);
        } else {
            faults.refused.insert(operation);
        }
        agent.engines[0].steering_mut().sim.set_faults(faults);
        agent.apply(1, with_prefixes(2));
        let mut found: BTreeMap<u32, State> = settled(&mut agent, now).into_iter().collect();
        while agent.failures() > 0 {
            assert!(now < start + Duration::from_secs(5), "{round}");
            for (n, state) in &found {
                assert_eq!(agent.prefix(nth(*n), 24).state, *state, "{round}");
            }
            now = agent.deadline().unwrap().max(now);
            found.extend(settled(&mut agent, now));
        }
        found.extend(settled(&mut agent, now + PATIENCE));
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            all(2, State::Hardware)
        );
        assert_eq!(agent.engines[0].steering().sim.misuses(), [""; 0]);
        if agent.engines[0].steering().sim.tally().operations < operation {
            break;
        }
    }
    assert!(round > 200, "{round}");
}

/// What fails for good is tried ever less often.
#[test]
fn retries_back_off() {
    let (mut agent, mut now) = (agent(), Instant::now());
    agent.apply(1, with_prefixes(1));
    settled(&mut agent, now);
    let faults = Faults {
        tables: (1..=1000).collect(),
        ..Faults::default()
    };
    agent.engines[0].steering_mut().sim.set_faults(faults);
    agent.apply(
        2,
        vec![group(GROUP, 1), group(GroupId(9), 2), prefix(1, GroupId(9))],
    );
    let start = now;
    assert!(agent.settle(now, 1 << 16));
    while now < start + Duration::from_secs(120) {
        now = agent.deadline().unwrap().max(now);
        assert!(agent.settle(now, 1 << 16));
    }
    // 0.1, 0.2, 0.4 … 25.6, 30, 30.
    assert!((9..=13).contains(&agent.retries()), "{}", agent.retries());
    assert!(agent.failures() > 0);
}

/// UDP from the host to the first prefix.
fn udp(port: u16) -> Vec<u8> {
    let mut bytes = [&MAC[..], &[2, 0, 0, 0, 3, 0, 8, 0]].concat();
    let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, 64, 17, 0, 0];
    header.extend([10, 0, 0, 1, 16, 0, 0, 9]);
    let sum = crate::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.extend([0x03, 0xe8]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    bytes
}

#[test]
fn packets_are_counted_once() {
    let (mut agent, mut now) = (agent(), Instant::now());
    agent.apply(1, with_prefixes(1));
    settled(&mut agent, now);
    let mut sum = 0;
    for round in 0..5 {
        for port in 0..10 {
            let mut frame = udp(1000 + port);
            let outcome = agent.engines[0]
                .steering_mut()
                .sim
                .receive(HOST, &mut frame);
            assert!(matches!(outcome, Outcome::Sent(_)));
        }
        // The rule of one of them is another one in between.
        now += Duration::from_secs(1);
        agent.settle(now, 1 << 16);
        while let Some(news) = agent.news(10) {
            sum += news.counts.iter().map(|c| c.1.packets).sum::<u64>();
        }
        assert_eq!(sum, 10 * (round + 1));
        agent.port_down(WIRES[0]);
        agent.settle(now, 1 << 16);
        agent.port_up(WIRES[0]);
        agent.settle(now, 1 << 16);
    }
}

//! Programming a NIC: 100,000 prefixes over 1,000 groups of 64 buckets, and one group's members.
//!
//! Three times in one run: compiled alone; compiled and carried out through rte_flow, DPDK and the
//! conformance driver; and as many bare insertions through the same (what `dpdk-test-flow-perf` does, which
//! of 24.11 knows no templates). The ratios say what the compiler costs beside the calls.

#[path = "../tests/support/mod.rs"]
mod support;

use fastpath::dpdk::{Flow, FlowOptions, Pool, PoolOptions, Port};
use fastpath::hardware::Steering;
use fastpath::hardware::audit::Snapshot;
use fastpath::hardware::compile::{Compiler, Config, Design, Role, State};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::hardware::program::{
    Action, ActionsTemplate, Does, Domain, Field, Group, Insertion, Item, Operation,
    PatternTemplate, Place, Rule, RuleId, Table, TableId,
};
use fastpath::hardware::sim::Profile;
use fastpath::hash::Settings;
use fastpath::table::{Adjacency, GroupId, PortId};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const PREFIXES: u32 = 100_000;
const GROUPS: u32 = 1_000;
const BUCKETS: u32 = 64;
const NEXTHOPS: u32 = 16;
const PORTS: [PortId; 2] = [PortId(0), PortId(1)];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn config() -> Config {
    let role = Role::Dpu {
        proxy: PORTS[0],
        uplinks: vec![PORTS[0]],
        functions: vec![PORTS[1]],
    };
    Config::new(role, Design::Rows, 1500)
}

fn buckets(group: u32, shift: u32) -> Change {
    let member = |b: u32| NexthopId((group + (b + shift) % 4) % NEXTHOPS);
    Change::Group(GroupId(group), Some((0..BUCKETS).map(member).collect()))
}

/// Ports, the hash that the NIC computes, next hops, groups, prefixes.
fn plan() -> Vec<Change> {
    let mut plan = vec![Change::Hash(Box::new(
        Settings::new(Design::Rows.hash()).into(),
    ))];
    let entry = Entry {
        mac: MAC,
        untagged: true,
    };
    plan.extend(PORTS.map(|port| Change::Port(port, Some(entry))));
    plan.extend((0..NEXTHOPS).map(|n| {
        let adjacency = Adjacency::forward(PORTS[1], 1500, [2, 0, 0, 0, 1, n as u8], MAC, 0);
        Change::Nexthop(NexthopId(n), Some(adjacency))
    }));
    plan.extend((0..GROUPS).map(|g| buckets(g, 0)));
    plan.extend((0..PREFIXES).map(|n| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + (n << 8));
        Change::Prefix(address.into(), 24, Some(Lead::Group(GroupId(n % GROUPS))))
    }));
    plan
}

fn said(what: &str, operations: u64, took: Duration) -> f64 {
    let rate = operations as f64 / took.as_secs_f64();
    let took = took.as_secs_f64() * 1e3;
    println!("{what:32} {operations:7} operations {took:9.2} ms {rate:10.0} /s");
    rate
}

/// As many rules of a table of /24 as `rules`, one after the other.
fn bare(flow: &mut impl Steering, rules: u32) -> Duration {
    let table = Table {
        id: TableId(1 << 20),
        port: PORTS[0],
        domain: Domain::Transfer,
        group: Group(1 << 16),
        priority: 0,
        insertion: Insertion::Pattern,
        size: rules,
        pattern: PatternTemplate::masked(
            &[Item::Eth, Item::Ipv4],
            &[(Field::Ipv4Destination, 0xffff_ff00)],
        ),
        actions: vec![ActionsTemplate::per_rule(&[Action::Jump(Group(5))])],
    };
    flow.create_table(&table).expect("a table");
    let does = Does::new(0, [Action::Jump(Group(5))]);
    let (begin, mut done) = (Instant::now(), Vec::new());
    let mut completed = 0;
    for n in 0..rules {
        let rule = Rule {
            id: RuleId(1 << 40 | u64::from(n)),
            table: table.id,
            place: Place::values([u128::from(0x0a00_0000 + (n << 8))]),
            does: does.clone(),
        };
        let operation = Operation::Insert(rule);
        while let Err(error) = flow.enqueue(0, &operation, true, n.into()) {
            assert!(error.is_busy(), "{error}");
            flow.push(0).expect("pushed");
            flow.pull(0, &mut done).expect("pulled");
            completed += done.drain(..).filter(|c| c.done).count();
        }
    }
    while completed < rules as usize {
        flow.push(0).expect("pushed");
        flow.pull(0, &mut done).expect("pulled");
        completed += done.drain(..).filter(|c| c.done).count();
    }
    begin.elapsed()
}

fn main() {
    let plan = plan();
    let can = Profile::bf3().switchdev().capabilities;
    let begin = Instant::now();
    let compiled = Compiler::anew(config(), can.clone(), &plan);
    let took = begin.elapsed();
    let rules = compiled.rules().count() as u64;
    for group in (0..GROUPS).map(GroupId) {
        assert_eq!(compiled.group(group).state, State::Hardware, "{group:?}");
    }
    let compile = said("compile: initial programming", rules, took);
    let begin = Instant::now();
    let snapshot = Snapshot::of(&compiled);
    let copied = begin.elapsed();
    assert_eq!(snapshot.differences(&snapshot.anew(&plan)), []);
    println!(
        "audit: a copy in {:.0} ms, held against a program compiled anew in {:.0} ms",
        copied.as_secs_f64() * 1e3,
        (begin.elapsed() - copied).as_secs_f64() * 1e3
    );

    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).expect("a pool");
    let mut ports: Vec<Port> = (0..2)
        .map(|n| {
            let device = format!("net_evenpath_sim{n},profile=bf3,function={n}");
            let options = Some(FlowOptions::default());
            support::open(&pool, format!("near{n}"), device, options)
        })
        .collect();
    for port in &mut ports {
        port.start().expect("started");
    }
    let ports: Vec<(PortId, &Port)> = PORTS.into_iter().zip(&ports).collect();
    let flow = Flow::new(&ports, can).expect("a flow engine");
    let mut engine = Engine::new(flow, config());
    let mut step = |what: &str, changes: &[Change]| {
        let (before, begin) = (engine.operations().done, Instant::now());
        changes.iter().for_each(|change| engine.apply(change));
        assert!(engine.settle(usize::MAX), "operations are left");
        let took = begin.elapsed();
        assert_eq!(engine.operations().failed, 0);
        said(what, engine.operations().done - before, took)
    };
    let driver = step("driver: initial programming", &plan);
    step("driver: one group's members", &[buckets(0, 1)]);
    let dead = Change::Nexthop(NexthopId(3), None);
    step("driver: a dead next hop", &[dead]);
    let took = bare(engine.steering_mut(), PREFIXES);
    let bare = said("driver: bare insertions", PREFIXES.into(), took);
    println!(
        "ratios: compile / bare {:.2}, through the compiler / bare {:.2}",
        compile / bare,
        driver / bare
    );
}

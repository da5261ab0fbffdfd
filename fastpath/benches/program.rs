//! Programming: a full table and a change of members, compiled alone and carried out by a simulated NIC.
//!
//! 100,000 prefixes over 1,000 groups of 64 buckets. Pure compile: every operation completes at once.

use fastpath::hardware::compile::{Config, Design, Hairpin, Role, State};
use fastpath::hardware::crc::Input;
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::hardware::program::{
    Action, IndirectId, Operation, Rss, RssFields, RuleId, Table, TableId,
};
use fastpath::hardware::sim::{Kind, Profile, Sim};
use fastpath::hardware::{Capabilities, Completion, Count, Error, Steering};
use fastpath::hash::Settings;
use fastpath::table::{Adjacency, GroupId, PortId};
use std::net::Ipv4Addr;
use std::time::Instant;

const PREFIXES: u32 = 100_000;
const GROUPS: u32 = 1_000;
const BUCKETS: u32 = 64;

/// Does nothing, at once.
struct Instantly {
    can: Capabilities,
    done: Vec<Completion>,
}

impl Steering for Instantly {
    fn capabilities(&self) -> &Capabilities {
        &self.can
    }

    fn create_table(&mut self, _: &Table) -> Result<(), Error> {
        Ok(())
    }

    fn destroy_table(&mut self, _: TableId) -> Result<(), Error> {
        Ok(())
    }

    fn enqueue(&mut self, _: u32, _: &Operation, _: bool, cookie: u64) -> Result<(), Error> {
        self.done.push(Completion { cookie, done: true });
        Ok(())
    }

    fn push(&mut self, _: u32) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self, _: u32, done: &mut Vec<Completion>) -> Result<(), Error> {
        done.append(&mut self.done);
        Ok(())
    }

    fn count(&mut self, _: RuleId) -> Result<Count, Error> {
        Ok(Count::default())
    }

    fn table_hash(&mut self, _: TableId, values: &[u128]) -> Result<u32, Error> {
        Ok(Input::Flow4.hash(values))
    }

    fn indirect(&self, _: IndirectId) -> Option<&Action> {
        None
    }
}

fn config() -> Config {
    let role = Role::Transit {
        port: PortId(0),
        hairpins: vec![Hairpin {
            egress: PortId(1),
            queue: 8,
            tx_queue: 8,
        }],
        software: Rss {
            queues: vec![0],
            key: None,
            fields: RssFields::Flow,
            symmetric: false,
        },
        kernel: true,
    };
    Config::new(role, Design::Rows, 1500)
}

fn buckets(group: u32, shift: u32) -> Change {
    let member = |b: u32| NexthopId((group + (b + shift) % 4) % 16);
    Change::Group(GroupId(group), Some((0..BUCKETS).map(member).collect()))
}

/// Carries changes out, and says how long that took.
fn step_of<S: Steering>(
    name: &str,
    engine: &mut Engine<S>,
) -> impl FnMut(&str, &mut dyn Iterator<Item = Change>) {
    move |what, changes| {
        let (before, begin) = (engine.operations(), Instant::now());
        for change in changes {
            engine.apply(&change);
        }
        assert!(engine.settle(usize::MAX), "operations are left");
        let (after, took) = (engine.operations(), begin.elapsed());
        let done = after.done - before.done;
        let rate = done as f64 / took.as_secs_f64();
        let took = took.as_secs_f64() * 1e3;
        println!("{name:8} {what:28} {done:7} operations {took:9.2} ms {rate:10.0} /s");
    }
}

fn run<S: Steering>(name: &str, steering: S) {
    let mut engine = Engine::new(steering, config());
    let mac = [2, 0, 0, 0, 0, 1];
    let entry = Entry {
        mac,
        untagged: true,
    };
    engine.apply(&Change::Port(PortId(0), Some(entry)));
    // What the NIC computes: with the defaults groups would be software's, and cost nothing.
    let settings = Settings::new(Design::Rows.hash());
    engine.apply(&Change::Hash(Box::new(settings.into())));
    let mut step = step_of(name, &mut engine);
    let adjacency = |n: u8| Adjacency::forward(PortId(1), 1500, [2, 0, 0, 0, 1, n], mac, 0);
    let nexthop = |n: u32, up: bool| Change::Nexthop(NexthopId(n), up.then(|| adjacency(n as u8)));
    let prefix = |n: u32| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + (n << 8));
        let lead = Lead::Group(GroupId(n % GROUPS));
        Change::Prefix(address.into(), 24, Some(lead))
    };
    let groups = (0..16)
        .map(|n| nexthop(n, true))
        .chain((0..GROUPS).map(|g| buckets(g, 0)));
    step("next hops and groups", &mut groups.into_iter());
    step("prefixes", &mut (0..PREFIXES).map(prefix));
    drop(step);
    for group in (0..GROUPS).map(GroupId) {
        let state = engine.compiler().group(group).state;
        assert_eq!(state, State::Hardware, "{name}: {group:?}");
    }
    let mut step = step_of(name, &mut engine);
    step("one prefix", &mut std::iter::once(prefix(PREFIXES)));
    step("a dead next hop", &mut std::iter::once(nexthop(3, false)));
    step("it returns", &mut std::iter::once(nexthop(3, true)));
    step("one group's members", &mut std::iter::once(buckets(0, 1)));
    step(
        "all groups' members",
        &mut (0..GROUPS).map(|g| buckets(g, 2)),
    );
}

fn main() {
    let mut profile = Profile::bf3();
    profile.capabilities.depth = 1024;
    let can = profile.capabilities.clone();
    run("compile", Instantly { can, done: vec![] });
    let mut sim = Sim::new(profile);
    sim.attach(PortId(0), Kind::Uplink, true);
    sim.attach(PortId(1), Kind::Uplink, true);
    run("sim", sim);
}

//! Each call of rte_flow may fail: packets go by software then, and a later attempt heals it. The faults
//! are in the driver, which reads them from a file while it runs.

mod support;

use fastpath::dpdk::{Flow, Pool, PoolOptions, Port};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Family};
use fastpath::hardware::sim::{Profile, Sim};
use fastpath::table::PortId;
use std::path::PathBuf;
use support::fabric::{Ends, Fabric};
use support::plan::{PORTS, Random, changes, config, directly, frame, model, plan};

/// Few, so that there are few operations to fail.
const BUCKETS: u32 = 4;

/// What the driver reads.
struct File(PathBuf);

impl File {
    /// Replaced in one piece: the driver sees the old one or this.
    fn say(&self, faults: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, faults).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }
}

fn tell<S: fastpath::hardware::Steering>(engine: &mut Engine<S>, changes: &[Change]) {
    changes.iter().for_each(|change| engine.apply(change));
    // A queue that is full for no reason of ours stops a turn.
    assert!((0..4).any(|_| engine.settle(usize::MAX)));
}

/// Packets fare as in the model, or are left to software; how many were forwarded.
fn inspect(ends: &mut Ends<'_>, model: &mut Engine<Sim>, what: &str) -> usize {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut forwarded = 0;
    for _ in 0..60 {
        let (port, bytes) = (random.below(3) as usize, frame(&mut random));
        let found = ends.through(port, &bytes);
        let left = vec![(port, false, bytes.clone())];
        let expected = directly(model.steering_mut(), port, &bytes);
        assert!(
            found == left || found == expected,
            "{what}: {found:02x?}, and not {expected:02x?}"
        );
        forwarded += usize::from(found[0].1);
    }
    forwarded
}

struct World<'w> {
    file: &'w File,
    ports: Vec<(PortId, &'w Port<'w>)>,
    ends: Ends<'w>,
    profile: Profile,
}

fn engine<'p>(ports: &[(PortId, &'p Port<'p>)], profile: &Profile) -> Engine<Flow<'p>> {
    let flow = Flow::new(ports, profile.capabilities.clone()).unwrap();
    Engine::new(flow, config())
}

/// Carries out a change with one fault after another: how many there were, and how many packets were
/// left to software for one that were not otherwise.
fn try_all(world: &mut World<'_>, name: &str, before: &[Change], change: &[Change]) -> [usize; 2] {
    let mut wanted = Engine::new(model(world.profile.clone()), config());
    tell(&mut wanted, before);
    world.file.say("");
    let (count, expected) = {
        let mut real = engine(&world.ports, &world.profile);
        tell(&mut real, before);
        let at = real.operations();
        tell(&mut real, change);
        tell(&mut wanted, change);
        let now = real.operations();
        let count = (now.enqueued - at.enqueued, now.tables - at.tables);
        (count, inspect(&mut world.ends, &mut wanted, name))
    };
    let operations =
        (1..=count.0).flat_map(|n| ["late", "refuse", "busy"].map(|fault| format!("{fault}={n}")));
    let tables = (1..=count.1).map(|n| format!("table={n}"));
    let mut tried = [0; 2];
    for fault in operations.chain(tables) {
        let what = format!("{name}: {fault}");
        world.file.say("");
        let mut real = engine(&world.ports, &world.profile);
        tell(&mut real, before);
        let at = real.operations();
        world.file.say(&fault);
        tell(&mut real, change);
        let now = real.operations();
        if fault.starts_with("busy") {
            // Of a queue with nothing in it that is no word about room: the operation has failed.
            let waited = now.waited - at.waited;
            assert_eq!(waited + now.failed, 1, "{what}");
        } else {
            assert!(now.failed > 0, "{what}");
        }
        let forwarded = inspect(&mut world.ends, &mut wanted, &what);
        world.file.say("");
        for _ in 0..3 {
            real.retry();
            assert!(real.settle(usize::MAX), "{what}");
        }
        assert_eq!(real.compiler().failures(), 0, "{what}");
        let healed = inspect(&mut world.ends, &mut wanted, &what);
        assert_eq!(healed, expected, "{what}");
        tried[0] += 1;
        tried[1] += usize::from(forwarded < expected);
    }
    tried
}

/// Rows by another hash than ours: no group goes by them, and others do.
fn disagree(world: &mut World<'_>) {
    world.file.say("hash=other");
    let mut wanted = Engine::new(model(world.profile.clone()), config());
    let mut real = engine(&world.ports, &world.profile);
    tell(&mut real, &plan(BUCKETS));
    tell(&mut wanted, &plan(BUCKETS));
    for family in Family::ALL {
        assert_eq!(real.agrees(family), Some(false));
    }
    let forwarded = inspect(&mut world.ends, &mut wanted, "hash=other");
    assert!(forwarded > 3, "group 9 needs no hash");
    world.file.say("");
    drop(real);
    let mut real = engine(&world.ports, &world.profile);
    tell(&mut real, &plan(BUCKETS));
    assert!(inspect(&mut world.ends, &mut wanted, "our hash") > forwarded);
}

#[test]
fn whatever_fails_software_forwards_and_it_heals() {
    let file = File(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults"));
    file.say("");
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let fabric = Fabric::new(&pool, "bf3", &format!(",faults={}", file.0.display()));
    let mut world = World {
        file: &file,
        ports: PORTS.into_iter().zip(&fabric.near).collect(),
        ends: fabric.ends(&pool),
        profile: Profile::bf3().switchdev(),
    };
    disagree(&mut world);
    let mut before = Vec::new();
    let mut history = vec![("all of it", plan(BUCKETS))];
    history.extend(changes(BUCKETS));
    for (name, change) in history {
        let [faults, felt] = try_all(&mut world, name, &before, &change);
        println!("{name}: {faults} faults, {felt} of them felt");
        assert!(faults > 3 && felt > 0, "{name}: {faults}, {felt}");
        before.extend(change);
    }
}

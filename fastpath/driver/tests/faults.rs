//! Each call of rte_flow may fail: packets go by software then, and a later attempt heals it. The faults
//! are in the driver, which reads them from a file while it runs.

mod support;

use fastpath::dpdk::{Flow, Pool, PoolOptions};
use fastpath::hardware::compile::Design;
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::{Change, Family};
use fastpath::hardware::sim::{Profile, Sim};
use std::path::PathBuf;
use support::fabric::{Ends, Fabric};
use support::plan::{Random, Setting, changes, config, directly, frame, model, plan};

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

struct World<'w> {
    setting: Setting,
    file: &'w File,
    fabric: &'w Fabric<'w>,
    ends: Ends<'w>,
    profile: Profile,
}

impl<'w> World<'w> {
    /// An engine of the first port's program.
    fn engine(&self) -> Engine<Flow<'w>> {
        self.fabric.engine(0, &self.profile.capabilities, false)
    }

    fn model(&self) -> Engine<Sim> {
        let hairpins = self.fabric.hairpins(0);
        let sim = model(self.setting, self.profile.clone(), 0, &hairpins, false);
        Engine::new(sim, config(self.setting, 0, &hairpins, false))
    }

    /// Packets fare as in the model, or are left to software; how many were forwarded.
    fn inspect(&mut self, model: &mut Engine<Sim>, what: &str) -> usize {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut forwarded = 0;
        for _ in 0..60 {
            // The program of a transit router is that of one port.
            let ports = if self.setting == Setting::Dpu { 3 } else { 1 };
            let port = random.below(ports) as usize;
            let bytes = frame(&mut random);
            let found = self.ends.through(port, &bytes);
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
}

/// Carries out a change with one fault after another: how many there were, and how many packets were
/// left to software for one that were not otherwise.
fn try_all(world: &mut World<'_>, name: &str, before: &[Change], change: &[Change]) -> [usize; 2] {
    let mut wanted = world.model();
    tell(&mut wanted, before);
    world.file.say("");
    let (count, expected) = {
        let mut real = world.engine();
        tell(&mut real, before);
        let at = real.operations();
        tell(&mut real, change);
        tell(&mut wanted, change);
        let now = real.operations();
        let count = (now.enqueued - at.enqueued, now.tables - at.tables);
        (count, world.inspect(&mut wanted, name))
    };
    let operations =
        (1..=count.0).flat_map(|n| ["late", "refuse", "busy"].map(|fault| format!("{fault}={n}")));
    let tables = (1..=count.1).map(|n| format!("table={n}"));
    let mut tried = [0; 2];
    for fault in operations.chain(tables) {
        let what = format!("{name}: {fault}");
        world.file.say("");
        let mut real = world.engine();
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
        let forwarded = world.inspect(&mut wanted, &what);
        world.file.say("");
        for _ in 0..3 {
            real.retry();
            assert!(real.settle(usize::MAX), "{what}");
        }
        assert_eq!(real.compiler().failures(), 0, "{what}");
        let healed = world.inspect(&mut wanted, &what);
        assert_eq!(healed, expected, "{what}");
        tried[0] += 1;
        tried[1] += usize::from(forwarded < expected);
    }
    tried
}

/// Rows by another hash than ours: no group goes by them, and others do.
fn disagree(world: &mut World<'_>) {
    world.file.say("hash=other");
    let mut wanted = world.model();
    let mut real = world.engine();
    tell(&mut real, &plan(world.setting, BUCKETS));
    tell(&mut wanted, &plan(world.setting, BUCKETS));
    for family in Family::ALL {
        assert_eq!(real.agrees(family), Some(false));
    }
    let forwarded = world.inspect(&mut wanted, "hash=other");
    assert!(forwarded > 3, "group 9 needs no hash");
    world.file.say("");
    drop(real);
    let mut real = world.engine();
    tell(&mut real, &plan(world.setting, BUCKETS));
    assert!(world.inspect(&mut wanted, "our hash") > forwarded);
}

fn whatever_fails(pool: &Pool<'_>, file: &File, setting: Setting, name: &str) {
    file.say("");
    let arguments = format!(",faults={}", file.0.display());
    let fabric = Fabric::new(pool, setting, name, &arguments, false);
    let _bound = fabric.bind();
    let mut world = World {
        setting,
        file,
        fabric: &fabric,
        ends: fabric.ends(pool),
        profile: setting.profile(name),
    };
    if setting == Setting::Dpu {
        disagree(&mut world);
    }
    let mut before = Vec::new();
    let mut history = vec![("all of it", plan(setting, BUCKETS))];
    history.extend(changes(BUCKETS));
    for (name, change) in history {
        let [faults, felt] = try_all(&mut world, name, &before, &change);
        println!("{setting:?}: {name}: {faults} faults, {felt} of them felt");
        // Nobody sends to who is back and no member.
        let unused = name == "it is back";
        assert!(
            faults > 3 && (felt > 0 || unused),
            "{name}: {faults}, {felt}"
        );
        before.extend(change);
    }
}

#[test]
fn whatever_fails_software_forwards_and_it_heals() {
    let file = File(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults"));
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    whatever_fails(&pool, &file, Setting::Dpu, "bf3");
    whatever_fails(&pool, &file, Setting::Transit(Design::Rss), "cx7");
}

//! What hardware does with a packet is what software does, bit for bit, or it leaves the packet to
//! software: for random plans, histories of changes and packets, on simulated NICs.

#[path = "../fields/builder.rs"]
#[allow(dead_code, reason = "this crate builds frames and takes none apart")]
mod builder;
mod faults;
#[path = "../fields/packets.rs"]
#[allow(dead_code, reason = "this crate builds frames and takes none apart")]
mod frames;
mod history;
mod oracle;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod world;

use fastpath::hardware::compile::Design;
use fastpath::hardware::engine::Engine;
use fastpath::hardware::plan::Family;
use fastpath::hardware::sim::{Faults, Outcome, Profile};
use oracle::{Software, judge};
use traffic::Random;
use world::{PORTS, Setting, World};

/// How many packets hardware forwarded, and how many there were, by family.
#[derive(Debug, Default)]
struct Score {
    forwarded: [usize; 2],
    packets: [usize; 2],
}

fn any(random: &mut Random, port: usize) -> Vec<u8> {
    if random.one_in(3) {
        random.plain(port)
    } else {
        random.frame(port)
    }
}

/// Compares hardware with what software did, and counts.
fn count(world: &mut World, (port, frame): (usize, &[u8]), software: &Software, score: &mut Score) {
    let hardware = world.hardware(port, frame);
    let forwarded = judge(frame, software, &hardware)
        .unwrap_or_else(|why| panic!("port {port}, {frame:02x?}: {why}"));
    let family = Family::ALL[usize::from(frame.get(12) == Some(&0x86))] as usize;
    score.packets[family] += 1;
    score.forwarded[family] += usize::from(forwarded);
}

/// `packets` packets after every change of a history.
fn histories(
    setting: Setting,
    profile: &Profile,
    (seed, changes, packets): (u64, usize, usize),
) -> Score {
    let mut random = Random(seed);
    let mut score = Score::default();
    let mut world = World::new(setting, profile);
    random.plan(&mut world);
    world.settle();
    for _ in 0..changes {
        random.change(&mut world);
        world.settle();
        for _ in 0..packets {
            let port = random.below(PORTS);
            let frame = any(&mut random, port);
            let software = world.software(port, &frame);
            count(&mut world, (port, &frame), &software, &mut score);
        }
    }
    println!("{setting:?}: {score:?}");
    for nic in &world.nics {
        assert_eq!(nic.steering().misuses(), [""; 0]);
        assert_eq!(nic.compiler().failures(), 0);
    }
    score
}

/// Every setting, and a NIC for it.
const ALL: [(Setting, fn() -> Profile); 4] = [
    (Setting::Transit(Design::Rows), Profile::bf3),
    (Setting::Transit(Design::Rows), Profile::cx6dx),
    (Setting::Transit(Design::Rss), Profile::cx7),
    (Setting::Dpu, Profile::bf3),
];

fn is_used(score: &Score, family: Family) -> bool {
    score.forwarded[family as usize] * 20 > score.packets[family as usize]
}

#[test]
fn whatever_the_plan_hardware_equals_software() {
    for (seed, (setting, profile)) in ALL.into_iter().enumerate() {
        let score = histories(setting, &profile(), (seed as u64, 150, 60));
        let used = Family::ALL.iter().all(|f| is_used(&score, *f));
        assert!(used, "{setting:?}: {score:?}");
    }
}

/// Through histories in which one operation of twelve fails, several at once: nothing is ever lost,
/// and what is tried again long enough is as if nothing had failed.
#[test]
fn histories_full_of_faults_heal() {
    for (seed, (setting, profile)) in ALL.into_iter().cycle().take(8).enumerate() {
        let mut random = Random(0x6661_696c + seed as u64);
        let mut score = Score::default();
        let mut world = World::new(setting, &profile());
        random.plan(&mut world);
        world.settle();
        let (mut failed, mut left) = (0, 0);
        let failures = |world: &World| world.nics.iter().any(|n| n.compiler().failures() > 0);
        for _ in 0..120 {
            for nic in &mut world.nics {
                let mut numbers = || (1..400).filter(|_| random.one_in(24)).collect();
                nic.steering_mut().set_faults(Faults {
                    late: numbers(),
                    refused: numbers(),
                    tables: numbers(),
                    ..Faults::default()
                });
            }
            random.change(&mut world);
            world.settle();
            for _ in 0..20 {
                let port = random.below(PORTS);
                let outcome = world.hardware(port, &random.plain(port)).outcome;
                assert!(!matches!(outcome, Outcome::Lost(_)), "{outcome:?}");
            }
            failed += usize::from(failures(&world));
            // Now and then a failure is left for the next change.
            for _ in 0..random.below(3) {
                world.nics.iter_mut().for_each(Engine::retry);
                world.settle();
            }
            if failures(&world) {
                left += 1;
                continue;
            }
            for _ in 0..30 {
                let port = random.below(PORTS);
                let frame = any(&mut random, port);
                let software = world.stages(port, &frame);
                count(&mut world, (port, &frame), &software, &mut score);
            }
        }
        for nic in &world.nics {
            assert_eq!(nic.steering().misuses(), [""; 0]);
        }
        let forwarded: usize = score.forwarded.iter().sum();
        assert!(forwarded > 100, "{setting:?}: {score:?}");
        assert!(
            failed > 20 && left > 0,
            "{setting:?}: {failed} failed, {left} left"
        );
    }
}

/// A million packets, of which a part is checked against a whole worker too. More, if
/// `EVENPATH_PACKETS` says so.
#[test]
fn a_million_packets() {
    let wanted = std::env::var("EVENPATH_PACKETS").ok();
    let wanted: usize = wanted.map_or(1_000_000, |n| n.parse().expect("a number of packets"));
    let each = wanted.div_ceil(ALL.len());
    let total: Vec<Score> = std::thread::scope(|scope| {
        let threads =
            ALL.map(|(setting, profile)| scope.spawn(move || many(setting, &profile(), each)));
        threads.map(|t| t.join().unwrap()).into()
    });
    println!("{total:?}");
    assert!(total.iter().flat_map(|s| s.packets).sum::<usize>() >= wanted);
    let used = |score: &Score| Family::ALL.iter().all(|f| is_used(score, *f));
    assert!(total.iter().all(used), "{total:?}");
}

fn many(setting: Setting, profile: &Profile, packets: usize) -> Score {
    let mut random = Random(0x6d69_6c6c);
    let mut score = Score::default();
    let mut world = World::new(setting, profile);
    random.plan(&mut world);
    for n in 0..packets {
        if n % 2_500 == 0 {
            random.change(&mut world);
            world.settle();
        }
        let port = random.below(PORTS);
        let frame = any(&mut random, port);
        let software = world.stages(port, &frame);
        if n % 64 == 0 {
            let whole = world.software(port, &frame);
            let fragments = software.sent.first().is_some_and(|s| s.0 == usize::MAX);
            assert!(software == whole || fragments, "{frame:02x?}");
        }
        count(&mut world, (port, &frame), &software, &mut score);
    }
    score
}

/// While operations are under way, packets go as before the change or as after it, or by software.
#[test]
fn between_two_plans_packets_go_by_one_of_them() {
    for (seed, (setting, profile)) in ALL.into_iter().cycle().take(8).enumerate() {
        let seed = seed + 1000;
        let mut random = Random(0x7472_616e + seed as u64);
        let mut world = World::new(setting, &profile());
        random.plan(&mut world);
        world.settle();
        for nic in &mut world.nics {
            nic.steering_mut().set_faults(Faults {
                pace: Some(3),
                ballast: 248,
                ..Faults::default()
            });
        }
        let mut forwarded = 0;
        for _ in 0..60 {
            let probes: Vec<_> = (0..40)
                .map(|_| {
                    let port = random.below(PORTS);
                    let frame = random.plain(port);
                    let before = world.stages(port, &frame);
                    (port, frame, before)
                })
                .collect();
            random.change(&mut world);
            let after: Vec<_> = probes.iter().map(|p| world.stages(p.0, &p.1)).collect();
            loop {
                let busy = world.nics.iter_mut().fold(false, |b, nic| nic.turn() | b);
                for ((port, frame, before), after) in probes.iter().zip(&after) {
                    let hardware = world.hardware(*port, frame);
                    let new = judge(frame, after, &hardware);
                    let either = new.clone().or_else(|_| judge(frame, before, &hardware));
                    forwarded += usize::from(either.unwrap_or_else(|why| panic!("{why}")));
                    assert!(busy || new.is_ok(), "{new:?}");
                }
                if !busy {
                    break;
                }
            }
        }
        assert!(forwarded > 1000, "{setting:?}: {forwarded}");
    }
}

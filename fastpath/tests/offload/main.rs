//! What hardware does with a packet is what software does, bit for bit, or it leaves the packet to
//! software: for random plans, histories of changes and packets, on simulated NICs.

#[path = "../fields/builder.rs"]
#[allow(dead_code, reason = "this crate builds frames and takes none apart")]
mod builder;
#[path = "../fields/packets.rs"]
#[allow(dead_code, reason = "this crate builds frames and takes none apart")]
mod frames;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod world;

use fastpath::hardware::compile::Design;
use fastpath::hardware::plan::Family;
use fastpath::hardware::sim::Profile;
use traffic::Random;
use world::{PORTS, Setting, World, judge};

/// How many packets hardware forwarded, and how many there were, by family.
#[derive(Debug, Default)]
struct Score {
    forwarded: [usize; 2],
    packets: [usize; 2],
}

fn check(world: &mut World, port: usize, frame: &[u8], score: &mut Score) {
    let (software, hardware) = (world.software(port, frame), world.hardware(port, frame));
    let forwarded = judge(frame, &software, &hardware)
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
            let frame = if random.one_in(3) {
                random.plain(port)
            } else {
                random.frame(port)
            };
            check(&mut world, port, &frame, &mut score);
        }
    }
    println!("{setting:?}: {score:?}");
    for nic in &world.nics {
        assert_eq!(nic.steering().misuses(), [""; 0]);
        assert_eq!(nic.compiler().failures(), 0);
    }
    score
}

fn is_used(score: &Score, family: Family) -> bool {
    score.forwarded[family as usize] * 20 > score.packets[family as usize]
}

#[test]
fn transit_by_rows_equals_software() {
    let setting = Setting::Transit(Design::Rows);
    let score = histories(setting, &Profile::bf3(), (1, 300, 100));
    assert!(
        is_used(&score, Family::V4) && is_used(&score, Family::V6),
        "{score:?}"
    );
    let score = histories(setting, &Profile::cx6dx(), (2, 300, 100));
    assert!(is_used(&score, Family::V4), "{score:?}");
}

#[test]
fn transit_by_rss_equals_software() {
    let setting = Setting::Transit(Design::Rss);
    let score = histories(setting, &Profile::cx7(), (3, 300, 100));
    assert!(
        is_used(&score, Family::V4) && is_used(&score, Family::V6),
        "{score:?}"
    );
}

#[test]
fn a_dpu_equals_software() {
    let score = histories(Setting::Dpu, &Profile::bf3(), (4, 300, 100));
    assert!(
        is_used(&score, Family::V4) && is_used(&score, Family::V6),
        "{score:?}"
    );
}

//! Groups against what they promise: random histories of routes, links, neighbors, drains, restarts
//! and time. After every step, for every bucket: nobody's flows move but by the rules, none is lost
//! while anybody can take it, shares are even where that is promised, and as few move as can.

use crate::oracle::Random;
use crate::oracle::history::{ACTIVE, FORCED, History};
use crate::oracle::world::{Router, SECOND, Truth};
use control::config::{Config, DealBy, Fpm, Resilient};
use control::deal::Recovery;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn rules(random: &mut Random, gateways: usize) -> Resilient {
    let recovery = [
        None,
        None,
        Some(Recovery::Immediate),
        Some(Recovery::Immediate),
        Some(Recovery::Idle),
        Some(Recovery::Never),
    ];
    Resilient {
        enable: random.one_of(2),
        recovery: recovery[random.below(6)],
        start_timer: Duration::ZERO,
        hold_down: [Duration::ZERO, 15 * SECOND][usize::from(random.one_of(3))],
        active_timer: ACTIVE,
        unbalanced_timer: [None, Some(FORCED)][random.below(2)],
        buckets: [64, 64, 128, 256][random.below(4)].max(gateways.next_power_of_two() as u32),
        weight_error: [1_000_000, 100_000, 20_000][random.below(3)],
        deal: [DealBy::RoundRobin, DealBy::Rendezvous][usize::from(random.one_of(6))],
        deal_seed: Some(random.below(1 << 20) as u32),
    }
}

fn history(seed: u64, steps: usize) -> [usize; 4] {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let gateways =
        [2, 3, 4, 6, 8, 8, 12, 24, 128][random.below(if seed % 16 == 0 { 9 } else { 7 })];
    let rules = rules(&mut random, gateways);
    let recovery = rules.rules(0).recovery;
    // What zebra says is done at once: other tests are about protocols that restart.
    let fpm = Fpm {
        restart_hold: Duration::ZERO,
        ..crate::lab::config().fpm
    };
    let config = Config {
        resilient: rules.clone(),
        fpm,
        ..crate::lab::config()
    };
    let router = Router::whole(&config, gateways as u8, random.one_of(2));
    let mut history = History {
        router,
        truth: Truth::default(),
        recovery,
        belongs: BTreeMap::new(),
        used: BTreeMap::new(),
        last: BTreeMap::new(),
        grain: BTreeMap::new(),
        uneven: BTreeMap::new(),
        withdrawn: BTreeMap::new(),
        unknown: BTreeMap::new(),
        restarted: None,
        started: BTreeMap::new(),
        announced: BTreeSet::new(),
        when: format!("seed {seed}: {gateways} of {rules:?}"),
        rules,
        seen: [0; 4],
    };
    for _ in 0..steps {
        history.step(&mut random);
    }
    history.seen
}

/// A share of all histories; HISTORIES=5000 takes more than the 240 of every run.
fn histories(part: u64) {
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value.and_then(|s| s.parse().ok()).unwrap_or(default)
    };
    let (from, count) = (number("SEED", 1), number("HISTORIES", 240));
    let (mut seen, mut broken) = ([0; 4], Vec::new());
    for seed in (from..from + count).filter(|seed| seed % 2 == part) {
        match std::panic::catch_unwind(|| history(seed, 40)) {
            Ok(one) => seen.iter_mut().zip(one).for_each(|(all, one)| *all += one),
            Err(_) => broken.push(seed),
        }
    }
    println!("moves, returns, even tables, least moves: {seen:?}");
    assert!(broken.is_empty(), "broken: {broken:?}");
    let enough = (count / 10) as usize;
    assert!(seen.iter().all(|n| *n > enough), "{seen:?}");
}

#[test]
fn random_histories_keep_every_promise() {
    histories(0);
}

#[test]
fn and_so_do_the_others() {
    histories(1);
}

/// Each of these has found something once, or finds a fault put in that no other finds.
const FOUND: [u64; 88] = [
    65, 125, 266, 309, 593, 898, 972, 1158, 1176, 1224, 1241, 1305, 1420, 1482, 1615, 1666, 2176,
    2306, 2331, 2485, 2492, 2700, 2713, 2728, 2851, 2978, 2986, 3019, 3041, 3048, 3144, 3385, 3406,
    3431, 3433, 3595, 3710, 3930, 4037, 4224, 4278, 4381, 4553, 4615, 4657, 4664, 4727, 4750, 4903,
    5086, 5096, 5104, 5154, 5192, 5845, 5894, 5943, 5977, 6084, 6345, 6393, 6462, 6508, 6556, 6574,
    6748, 6830, 6855, 7170, 7287, 7311, 7429, 7508, 7691, 7706, 7991, 8415, 8429, 8435, 8641, 8713,
    8810, 8973, 9059, 9326, 9404, 9748, 9969,
];

#[test]
fn those_that_were_broken_once() {
    let broken = |seed: &&u64| std::panic::catch_unwind(|| history(**seed, 40)).is_err();
    let broken: Vec<&u64> = FOUND.iter().filter(broken).collect();
    assert!(broken.is_empty(), "broken: {broken:?}");
}

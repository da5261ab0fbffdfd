//! Over all recorded conversations, scenario by scenario: how many flows move, and whose they were.
//! None of a next hop that stays, while nobody comes and no weight changes.
//!
//! `cargo test -p control --test all surviving -- --nocapture` prints the table.

use crate::lab;
use crate::lab::bench::Bench;
use crate::lab::{Flows, Lab, P0, STREAMS, stream};
use control::config::Resilient;
use control::deal::Recovery;
use fastpath::table::PortId;
use std::collections::BTreeSet;
use std::time::Duration;

/// What became of the flows of prefixes that are there before and after.
#[derive(Default)]
struct Count {
    flows: usize,
    /// Of next hops that are gone.
    dead: usize,
    /// To next hops that came.
    came: usize,
    /// Between next hops that were there and still are.
    surviving: usize,
}

impl Count {
    fn add(&mut self, before: &Flows, after: &Flows) {
        for (prefix, old) in before {
            let Some(new) = after.get(prefix) else {
                continue;
            };
            let used = |all: &[Option<PortId>]| all.iter().flatten().copied().collect();
            let (was, is): (BTreeSet<PortId>, BTreeSet<PortId>) = (used(old), used(new));
            self.flows += old.len();
            for (from, to) in old.iter().zip(new).filter(|(from, to)| from != to) {
                let count = match (from, to) {
                    (Some(from), _) if !is.contains(from) => &mut self.dead,
                    (_, Some(to)) if !was.contains(to) => &mut self.came,
                    (None, _) => &mut self.came,
                    _ => &mut self.surviving,
                };
                *count += 1;
            }
        }
    }
}

/// Name, and whether zebra connects first.
fn scenarios() -> Vec<(String, bool)> {
    let text = std::fs::read_to_string(format!("{STREAMS}/expect.txt")).expect("expect.txt");
    let line = |line: &str| {
        let name = line.split(' ').next().expect("name").to_string();
        (name, line.contains("connect=1"))
    };
    text.lines().map(line).collect()
}

/// The conversation of a recording: a version and a set, and the fifth run by itself.
fn conversation(name: &str) -> String {
    let mut words = name.split('-');
    let (version, number) = (
        words.next().expect("version"),
        words.next().expect("number"),
    );
    let run = if number >= "x08" { "5" } else { "" };
    format!(
        "{version}-{}{run}",
        number.trim_end_matches(char::is_numeric)
    )
}

fn replay(resilient: bool) -> Count {
    let mut config = lab::config();
    config.resilient = Resilient {
        enable: resilient,
        ..Resilient::default()
    };
    let (mut total, mut lab, mut current) = (Count::default(), Lab::dpu_of(&config), String::new());
    println!("resilient = {resilient}");
    println!(
        "{:<48} {:>7} {:>6} {:>8} {:>8} {:>9}",
        "scenario", "flows", "moved", "of dead", "to new", "surviving"
    );
    for (name, connects) in scenarios() {
        if conversation(&name) != current {
            lab = Lab::dpu_of(&config);
            current = conversation(&name);
        }
        let is = |what: &str| name.contains(what);
        let mut count = Count::default();
        let mut before = lab.fpm_flows();
        let mut step = |lab: &mut Lab| {
            let after = lab.fpm_flows();
            count.add(&before, &after);
            before = after;
        };
        if connects {
            lab.connect();
            step(&mut lab);
        }
        if is("link-down") || is("flap-down") {
            lab.carrier(P0, false);
            step(&mut lab);
        } else if is("link-up") || is("flap-up") {
            lab.carrier(P0, true);
            step(&mut lab);
        }
        lab.feed(&stream(&name));
        step(&mut lab);
        lab.pass(Duration::from_secs(31));
        step(&mut lab);
        let moved = count.dead + count.came + count.surviving;
        println!(
            "{name:<48} {:>7} {moved:>6} {:>8} {:>8} {:>9}",
            count.flows, count.dead, count.came, count.surviving
        );
        if !is("weight-change") || resilient {
            assert_eq!(count.surviving, 0, "{name}, resilient = {resilient}");
            total.surviving += count.surviving;
        }
        total.flows += count.flows;
        total.dead += count.dead;
        total.came += count.came;
    }
    println!(
        "{:<48} {:>7} {:>6} {:>8} {:>8} {:>9}\n",
        "all",
        total.flows,
        total.dead + total.came,
        total.dead,
        total.came,
        total.surviving
    );
    total
}

#[test]
fn no_flow_of_a_next_hop_that_stays_moves() {
    for resilient in [false, true] {
        let total = replay(resilient);
        // There was something to see; to who comes nothing moves at once when resilient.
        assert!(total.flows > 4_000_000 && total.dead > 100_000);
        assert_eq!(total.came == 0, resilient, "{}", total.came);
    }
}

/// FRR names another next hop that cannot be used, with a weight that takes a larger table.
#[test]
fn a_next_hop_that_cannot_be_used_moves_nothing() {
    for recovery in Recovery::ALL {
        let mut bench = Bench::new(Resilient {
            recovery: Some(recovery),
            weight_error: 20_000,
            start_timer: Duration::ZERO,
            ..Resilient::default()
        });
        let equal = [(10, 1), (11, 1), (12, 1)];
        bench.route(&equal);
        let before = bench.table();
        bench.up(13, false);
        bench.route(&[&equal[..], &[(13, 12_266)]].concat());
        let after = bench.table();
        assert_eq!((before.len(), after.len()), (128, 8192));
        assert!(after == before.repeat(64), "{recovery:?}");
        bench.route(&equal);
        assert!(bench.table() == after, "{recovery:?}");
    }
}

/// FRR no longer names a next hop that has no buckets while others wait for theirs.
#[test]
fn a_withdrawal_gives_nothing_to_those_who_wait() {
    for recovery in [Recovery::Idle, Recovery::Never] {
        let mut bench = Bench::new(Resilient {
            recovery: Some(recovery),
            weight_error: 1_000_000,
            start_timer: Duration::ZERO,
            ..Resilient::default()
        });
        let all = [(10, 1), (11, 1), (12, 1), (13, 1)];
        for n in [11, 12, 13] {
            bench.up(n, false);
        }
        bench.route(&all);
        bench.up(11, true);
        bench.up(12, true);
        let before = bench.table();
        assert!(before.iter().all(|n| *n == 10), "{recovery:?}");
        bench.route(&all[..3]);
        assert!(bench.table() == before, "{recovery:?}");
    }
}

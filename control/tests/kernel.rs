//! The kernel's resilient next-hop groups as an oracle: what a kernel did with groups of 64 buckets
//! (`kernel/resilient.txt`, recorded by `kernel/record.py`), and what evenpath does with the same
//! orders, timers and busy buckets. Where the two differ on purpose, the test says in what, and that
//! ours is the better by the measure.

use crate::lab::bench::{Bench, moved};
use control::config::Resilient;
use std::collections::BTreeMap;
use std::time::Duration;

/// What an order made of a table.
#[derive(Debug)]
struct Change {
    order: String,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Change {
    fn moved(&self) -> usize {
        moved(&self.before, &self.after).len()
    }

    /// Buckets that `owner` had and has no longer.
    fn lost(&self, owner: u8) -> usize {
        let all = moved(&self.before, &self.after).into_iter();
        all.filter(|b| self.before[*b] == owner).count()
    }

    /// Moved buckets of next hops that have others still.
    fn surviving(&self) -> usize {
        let stays = |b: &usize| self.after.contains(&self.before[*b]);
        moved(&self.before, &self.after)
            .iter()
            .filter(|b| stays(b))
            .count()
    }

    fn shares(&self) -> BTreeMap<u8, usize> {
        let mut shares = BTreeMap::new();
        for owner in &self.after {
            *shares.entry(*owner).or_default() += 1;
        }
        shares
    }

    fn is_even(&self) -> bool {
        let shares = self.shares();
        let (most, least) = (shares.values().max(), shares.values().min());
        most.zip(least)
            .is_some_and(|(most, least)| most - least <= 1)
    }

    /// The longest run of buckets with one owner.
    fn run(&self) -> usize {
        let runs = self.after.chunk_by(|a, b| a == b).map(<[u8]>::len);
        runs.max().unwrap_or(0)
    }
}

fn members(words: &[&str]) -> Vec<(u8, u32)> {
    let member = |word: &&str| {
        let (n, weight) = word.split_once(':').expect("member");
        (n.parse().expect("number"), weight.parse().expect("weight"))
    };
    words.iter().map(member).collect()
}

/// What the kernel and evenpath made of each order of a history; the first is the fresh deal.
fn history(name: &str) -> Vec<(Change, Change)> {
    let text = include_str!("kernel/resilient.txt");
    let start = text
        .find(&format!("history {name}\n"))
        .expect("the history");
    let lines = text[start..].lines().skip(1);
    let (mut rules, mut bench) = (Resilient::default(), None);
    let (mut busy, mut order) = (Vec::new(), String::new());
    let (mut kernels, mut ours) = (Vec::new(), Vec::new());
    let mut changes = Vec::new();
    for line in lines.take_while(|line| !line.starts_with("history")) {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers = || {
            words[1..]
                .iter()
                .map(|w| w.parse::<u32>().expect("a number"))
        };
        if words[0] == "timers" {
            let timers: Vec<u64> = numbers().map(u64::from).collect();
            rules.enable = true;
            rules.active_timer = Duration::from_secs(timers[0]);
            rules.unbalanced_timer = Some(Duration::from_secs(timers[1])).filter(|t| !t.is_zero());
            continue;
        }
        let bench = bench.get_or_insert_with(|| Bench::new(rules.clone()));
        match words[0] {
            "busy" => busy = numbers().collect(),
            // To zebra every set is a group with an id of its own.
            "group" | "newid" => bench.route(&members(&words[1..])),
            "dies" => bench.up(words[1].parse().expect("number"), false),
            "wait" => bench.pass(words[1].parse().expect("seconds"), &busy),
            "table" => {
                let table: Vec<u8> = numbers().map(|n| n as u8).collect();
                let change = |before: &mut Vec<u8>, after: Vec<u8>| Change {
                    order: order.clone(),
                    before: std::mem::replace(before, after.clone()),
                    after,
                };
                if kernels.is_empty() {
                    (kernels, ours) = (table.clone(), bench.table());
                }
                let kernel = change(&mut kernels, table);
                changes.push((kernel, change(&mut ours, bench.table())));
            }
            other => panic!("{other}"),
        }
        if words[0] != "table" {
            order = line.chars().take(40).collect();
            bench.traffic(busy.iter().copied());
        }
    }
    assert!(!changes.is_empty());
    changes
}

/// Only the buckets of the dead move, whoever uses them, and the shares are as exact.
#[test]
fn a_removal_moves_what_the_kernel_moves() {
    for (name, dead) in [("removal", [11, 13]), ("weighted removal", [12, 10])] {
        let changes = history(name);
        assert_eq!(changes.len(), 3);
        for ((kernel, ours), dead) in changes[1..].iter().zip(dead) {
            for each in [kernel, ours] {
                assert_eq!(each.surviving(), 0, "{name}: {}", each.order);
                assert_eq!(each.moved(), each.lost(dead), "{name}: {}", each.order);
                assert!(!each.after.contains(&dead));
            }
            let counts = kernel.shares().into_iter().zip(ours.shares());
            for ((n, theirs), (m, has)) in counts {
                assert!(
                    n == m && theirs.abs_diff(has) <= 1,
                    "{name}: {n}: {theirs} {has}"
                );
            }
            assert!(name != "removal" || ours.is_even());
        }
    }
}

/// Nothing busy moves for a newcomer; what is idle does, as many buckets as in the kernel.
#[test]
fn a_newcomer_gets_what_it_gets_from_the_kernel() {
    let changes = history("newcomer");
    let counts: Vec<(usize, usize)> = changes
        .iter()
        .map(|(kernel, ours)| (kernel.moved(), ours.moved()))
        .collect();
    assert_eq!(counts, [(0, 0), (0, 0), (0, 0), (8, 8), (8, 8)]);
    for (kernel, ours) in &changes[3..] {
        for each in [kernel, ours] {
            let went = moved(&each.before, &each.after);
            assert!(
                went.iter().all(|b| each.after[*b] == 13),
                "to the newcomer alone"
            );
        }
    }
    let idle = |change: &Change| {
        moved(&change.before, &change.after)
            .iter()
            .all(|b| b % 8 == 0)
    };
    assert!(idle(&changes[3].0) && idle(&changes[3].1));
    let (kernel, ours) = &changes[4];
    assert!(kernel.is_even() && ours.is_even());
}

/// The unbalanced timer forces the surplus when the kernel does, and no more than the kernel.
#[test]
fn the_unbalanced_timer_forces_what_the_kernel_forces() {
    let changes = history("unbalanced");
    let counts: Vec<(usize, usize)> = changes
        .iter()
        .map(|(kernel, ours)| (kernel.moved(), ours.moved()))
        .collect();
    assert_eq!(counts, [(0, 0), (0, 0), (0, 0), (16, 16)]);
    assert!(changes[3].1.is_even());
}

/// Other weights move idle buckets only. Half of them are busy: the kernel deals next hops one after
/// another, so what was idle was all of the one that lacks buckets, and nothing could move. Evenpath
/// deals in turns: what is idle is as much one's as the other's.
#[test]
fn other_weights_move_idle_buckets_and_sooner_than_in_the_kernel() {
    let changes = history("weights");
    let counts: Vec<(usize, usize)> = changes
        .iter()
        .map(|(kernel, ours)| (kernel.moved(), ours.moved()))
        .collect();
    assert_eq!(counts, [(0, 0), (0, 0), (0, 16), (16, 0)]);
    let (kernel, ours) = &changes[3];
    assert_eq!(kernel.shares(), ours.shares());
    let (kernel, ours) = &changes[0];
    assert_eq!(
        (kernel.run(), ours.run()),
        (32, 1),
        "how evenly buckets are spread"
    );
}

/// FRR gives a set of other members another id. To the kernel that is a group that has nothing to do
/// with the one before: flows of next hops that stay move. To evenpath it is the same group.
#[test]
fn another_id_moves_flows_in_the_kernel_and_none_here() {
    let changes = history("new id");
    let (kernel, ours) = &changes[1];
    assert!(kernel.surviving() > 0 && kernel.moved() > kernel.lost(11));
    assert_eq!((ours.surviving(), ours.moved()), (0, ours.lost(11)));
    assert!(ours.is_even());
    // And back: all buckets are busy, nobody moves for who returns.
    let (kernel, ours) = &changes[2];
    assert!(kernel.surviving() > 0);
    assert_eq!(ours.moved(), 0);
}

/// Everybody has a bucket, or weights would mean no traffic at all.
#[test]
fn a_small_weight_has_a_bucket_here_and_none_in_the_kernel() {
    let changes = history("small weight");
    let (kernel, ours) = &changes[0];
    assert_eq!(kernel.shares(), BTreeMap::from([(10, 64)]));
    assert_eq!(ours.shares(), BTreeMap::from([(10, 63), (11, 1)]));
}

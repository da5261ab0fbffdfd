//! What `calc --what-if … --group` says of groups is what becomes of them: random changes, each
//! asked about first, then made, and the tables compared bucket for bucket.

mod bench;
mod counters;

use crate::lab::{P0, prefix};
use bench::{Bench, GATEWAYS, ROUTES, Table, interface, via};
use control::api::message::{Foreseen, WhatIf};
use control::api::{Reply, Request};
use control::config::{DealBy, Resilient};
use control::deal::Recovery;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the answer says that a table becomes.
fn then(before: &Table, said: Option<&control::api::message::GroupForeseen>) -> Table {
    let Some(said) = said else {
        return before.clone();
    };
    let most = said.size.max(said.size_then) as usize;
    assert_eq!(said.size as usize, before.len());
    let mut table: Table = (0..most)
        .map(|b| before[b % before.len()].clone())
        .collect();
    for path in &said.paths {
        assert_eq!(path.numbers.len() as u64, path.buckets);
        for &b in &path.numbers {
            assert_eq!(table[b as usize], path.from, "bucket {b}");
            table[b as usize] = path.to.clone();
        }
    }
    // Of a smaller table each bucket stands for several of the larger one.
    for b in said.size_then as usize..most {
        assert_eq!(table[b], table[b % said.size_then as usize], "bucket {b}");
    }
    table.truncate(said.size_then as usize);
    table
}

/// Asks, makes, compares; how much moved by each kind of change.
fn history(rules: Resilient, seed: u64, sizes: &[u32]) -> BTreeMap<String, u64> {
    let mut bench = Bench::new(rules, seed);
    let mut moved = BTreeMap::new();
    let mut drained = BTreeSet::new();
    for step in 0..100 {
        let seconds = [0, 1, 4, 30][bench.below(4)];
        bench.pass(seconds);
        let before = (bench.routes.clone(), bench.failed.clone());
        let Some((change, route)) = bench.draw(sizes) else {
            continue;
        };
        let (kind, what) = change.split_once([':', '=']).expect("a change");
        let place = what.split('*').next().unwrap_or_default().to_string();
        if kind == "undrain" && !drained.remove(&place) {
            (bench.routes, bench.failed) = before;
            continue;
        }
        if kind == "drain" {
            drained.insert(place);
        }
        let query = WhatIf {
            what_if: vec![change.clone()],
            prefix: route.map(|r| prefix(ROUTES[r])),
            buckets: true,
            ..WhatIf::default()
        };
        bench.on.sample();
        bench.pass(0);
        let (tables, ways) = (bench.tables(), bench.on.ways());
        let (said, _) = bench.ask(&query);
        let still = bench
            .tables()
            .into_iter()
            .all(|(route, now)| tables[route].1 == now.1);
        assert!(still, "{step}: {change}: asking changes nothing");
        let dry = (kind == "buckets").then(|| bench.resize(what, true));
        bench.make(&change);
        let (now, ways_now) = (bench.tables(), bench.on.ways());
        let groups = bench.on.lab.groups().into_iter();
        let surplus: BTreeMap<u32, u64> = groups.map(|g| (g.id, g.surplus.into())).collect();
        let mut flows = 0;
        for (i, name) in ROUTES.into_iter().enumerate() {
            let (group, table) = &tables[name];
            let one = said.each.iter().find(|g| g.group == *group);
            let expected = then(table, one.filter(|_| route.is_none_or(|r| r == i)));
            let other = |b: &usize| expected.get(*b) != now[name].1.get(*b);
            let size = expected.len().max(now[name].1.len());
            let others: Vec<usize> = (0..size).filter(other).collect();
            assert!(
                others.is_empty(),
                "{step}: {change}: {name}: buckets {others:?}"
            );
            if let Some(one) = one {
                // What is left to move is what the group shows then.
                assert_eq!(one.sums.surplus, surplus[&now[name].0], "{step}: {change}");
            }
            let is_its = |f: &usize| f % 3 == i && route.is_none_or(|r| r == i);
            let moves = |f: &usize| ways[*f] != ways_now[*f];
            flows += (0..ways.len()).filter(|f| is_its(f) && moves(f)).count() as u64;
        }
        let by_paths: u64 = said
            .each
            .iter()
            .flat_map(|g| &g.paths)
            .map(|p| p.buckets)
            .sum();
        assert_eq!(by_paths, said.sums.buckets_moved);
        assert!(said.sums.active_buckets_moved <= Some(by_paths));
        // An adjacency made anew is no other next hop.
        if kind != "up" {
            assert_eq!(said.sums.flows_moved, flows, "{step}: {change}: flows");
        }
        if let Some(dry) = dry {
            // `set resilient … --dry-run` says the same, and it is so.
            let sums = (said.sums.buckets_moved, said.sums.active_buckets_moved);
            assert_eq!((dry.buckets_moved, dry.active_buckets_moved), sums);
            assert_eq!((dry.flows_moved, dry.flows), (flows, ways.len() as u64));
            *moved.entry("flows of buckets".into()).or_insert(0) += flows;
        }
        *moved.entry(kind.to_string()).or_insert(0) += by_paths;
    }
    moved
}

#[test]
fn what_was_said_is_what_happens() {
    let resilient = Resilient {
        enable: true,
        active_timer: Duration::from_secs(20),
        ..Resilient::default()
    };
    let cases = [
        (Resilient::default(), &[][..]),
        (resilient.clone(), &[64, 128, 256, 512][..]),
        (
            Resilient {
                recovery: Some(Recovery::Never),
                ..resilient.clone()
            },
            &[],
        ),
        (
            Resilient {
                hold_down: Duration::from_secs(7),
                ..Resilient::default()
            },
            &[],
        ),
        (
            Resilient {
                deal: DealBy::Rendezvous,
                deal_seed: Some(5),
                ..Resilient::default()
            },
            &[],
        ),
    ];
    let mut all = BTreeMap::new();
    for (i, (rules, sizes)) in cases.into_iter().enumerate() {
        for (kind, moved) in history(rules, 11 + i as u64, sizes) {
            *all.entry(kind).or_insert(0) += moved;
        }
    }
    // Every kind of change was asked about, and moved something.
    let kinds = [
        "add",
        "buckets",
        "down",
        "drain",
        "flows of buckets",
        "remove",
        "undrain",
        "up",
    ];
    assert!(kinds.iter().all(|k| all.get(*k) > Some(&0)), "{all:?}");
}

/// A link takes all its next hops at once and gives them back one by one.
#[test]
fn a_link_that_goes_and_comes() {
    let mut bench = Bench::new(Resilient::default(), 1);
    let all = |changes: &[&str]| WhatIf {
        what_if: changes.iter().map(|c| c.to_string()).collect(),
        buckets: true,
        ..WhatIf::default()
    };
    let check = |before: &BTreeMap<_, (u32, Table)>, said: &Foreseen, bench: &Bench| {
        for (route, (group, table)) in bench.tables() {
            let one = said.each.iter().find(|g| g.group == group);
            assert!(then(&before[route].1, one) == table, "{route}");
        }
    };
    let before = bench.tables();
    let (said, _) = bench.ask(&all(&["down:up1"]));
    assert!(said.groups_changed >= 3 && said.sums.buckets_moved > 0);
    bench.on.lab.link(P0, "p0", false);
    for gateway in GATEWAYS.iter().filter(|g| interface(**g).0 == P0) {
        bench.on.lab.neighbor_gone(P0, &via(*gateway).to_string());
    }
    check(&before, &said, &bench);
    let down = bench.tables();
    let (back, _) = bench.ask(&all(&["up:up1"]));
    bench.on.lab.link(P0, "p0", true);
    for gateway in GATEWAYS {
        bench.neighbor(gateway, true);
    }
    check(&down, &back, &bench);
    // Behind a dead port nobody returns.
    bench.on.lab.carrier(P0, false);
    let (none, _) = bench.ask(&all(&["up:192.0.2.10"]));
    assert_eq!((none.groups_changed, none.sums.buckets_moved), (0, 0));
    bench.on.lab.carrier(P0, true);
    for gateway in GATEWAYS {
        bench.neighbor(gateway, true);
    }
    // There and back again is no change, and is not listed.
    let (none, _) = bench.ask(&all(&["down:192.0.2.10", "up:192.0.2.10"]));
    assert_eq!((none.groups_changed, none.sums.buckets_moved), (0, 0));
}

#[test]
fn one_answer_is_of_few_groups_and_what_is_wrong_is_refused() {
    let mut bench = Bench::new(Resilient::default(), 1);
    let ask = |changes: &[&str], group: Option<u32>| WhatIf {
        what_if: changes.iter().map(|c| c.to_string()).collect(),
        group,
        ..WhatIf::default()
    };
    let all = bench.ask(&ask(&["remove:192.0.2.10"], None)).0;
    assert_eq!((all.groups, all.groups_changed), (3, 3));
    let id = bench.tables()[ROUTES[1]].0;
    let one = bench.ask(&ask(&["remove:192.0.2.10"], Some(id))).0;
    assert_eq!((one.groups, one.each[0].group), (1, id));
    assert!(one.each[0].paths.iter().all(|p| p.numbers.is_empty()));
    let sum: u64 = all.each.iter().map(|g| g.sums.buckets_moved).sum();
    assert_eq!(all.sums.buckets_moved, sum);
    // The last one is not taken from a group that is named.
    let two = ["remove:192.0.2.10", "remove:192.0.2.20"];
    let first = bench.tables()[ROUTES[0]].0;
    for (changes, group, words) in [
        (&[][..], None, "there is none to think of"),
        (&["seed=7"], None, "set hash"),
        (&["buckets=128", "down:up1"], None, "no other change"),
        (&["down:up9"], None, "ports are up1"),
        (&["up:up1"], None, "it is up already"),
        (&["down:192.0.2.99"], None, "no route has such a next hop"),
        (&["drain:192.0.2.99"], None, "no route has such a next hop"),
        (
            &["drain:192.0.2.10@up2"],
            None,
            "no route has such a next hop",
        ),
        (&["remove:192.0.2.10@typo"], None, "ports are up1"),
        (&["remove:192.0.2.10@typo"], Some(id), "ports are up1"),
        (
            &["add:192.0.2.99@up1"],
            None,
            "name the one that is to get it",
        ),
        (&["down:up1"], Some(999), "there is no such group"),
        (&two, Some(first), "it is the only next hop"),
    ] {
        let request = Request::WhatIf(Box::new(ask(changes, group)));
        match bench.on.lab.control.answer(&request, bench.on.lab.now) {
            Reply::Error(error) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{changes:?}: {other:?}"),
        }
    }
    // By the name of its netdev, too, and in no group but those that have it there.
    let by_netdev = bench.ask(&ask(&["remove:192.0.2.10@p0"], None)).0;
    assert_eq!(by_netdev.sums, all.sums);
    let gone = bench.ask(&ask(&two, None)).0;
    let note = gone
        .each
        .iter()
        .find(|g| g.group == first)
        .and_then(|g| g.note.clone());
    assert!(note.is_some_and(|n| n.contains("the route would be gone")));
}

//! Counters over time: what members forwarded is never lost and never another's, whatever becomes of
//! buckets, groups and sizes.

use super::bench::Bench;
use crate::lab::prefix;
use control::activity::INTERVAL;
use control::api::message::Metrics;
use control::api::{Request, Response};
use control::config::Resilient;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Packets and bytes by next hop.
type Sums = BTreeMap<IpAddr, (u64, u64)>;

fn shown(bench: &mut Bench) -> Sums {
    let Response::Metrics(metrics) = bench.on.lab.ask(&Request::ShowMetrics) else {
        panic!("metrics");
    };
    let Metrics { nexthops, .. } = *metrics;
    let sum = |n: &control::api::message::NexthopMetrics| {
        (n.via.expect("a gateway"), (n.packets, n.bytes))
    };
    let all = nexthops.iter().map(sum);
    all.filter(|s| s.1.0 > 0).collect()
}

#[test]
fn what_members_forwarded_is_kept_through_all_changes() {
    let mut bench = Bench::new(
        Resilient {
            enable: true,
            ..Resilient::default()
        },
        23,
    );
    let mut expected = Sums::new();
    let mut kinds = BTreeMap::new();
    for step in 0..120 {
        // Some packets on every bucket, by the tables that workers read: whose they are is known.
        for (route, (_, table)) in bench.tables() {
            let lab = &bench.on.lab;
            let word = lab.tables.groups.word(lab.lookup(prefix(route).address()));
            for (b, place) in table.iter().enumerate() {
                let bytes = 60 + b % 7;
                let worker = &bench.on.stats[(b + step) % 2];
                worker.buckets().count(word.base() + b as u32, bytes);
                if let Some(via) = place.via {
                    let sum = expected.entry(via).or_default();
                    *sum = (sum.0 + 1, sum.1 + bytes as u64);
                }
            }
        }
        // Half of the changes come before anybody has read the counters.
        if bench.below(2) == 0 {
            bench.on.lab.pass(INTERVAL);
        }
        if let Some((change, _)) = bench.draw(&[64, 128, 256]) {
            let kind = change.split([':', '=']).next().unwrap_or_default();
            // An undrain of what is not drained is refused.
            if kind != "undrain" {
                *kinds.entry(kind.to_string()).or_insert(0) += 1;
                bench.make(&change);
            }
        }
        bench.on.lab.pass(INTERVAL);
        assert_eq!(shown(&mut bench), expected, "{step}");
        // The members of the groups have no more than that, and buckets of a group what it has.
        let mut of_groups = Sums::new();
        for group in bench.on.lab.groups().iter().filter(|g| g.routes > 0) {
            for m in &group.members {
                let Some(via) = m.via else { continue };
                let sum = of_groups.entry(via).or_default();
                sum.0 += m.packets.unwrap_or(0);
                sum.1 += m.bytes.unwrap_or(0);
            }
        }
        for (via, sum) in of_groups {
            let all = expected.get(&via).copied().unwrap_or_default();
            assert!(sum.0 <= all.0 && sum.1 <= all.1, "{step}: {via}");
        }
    }
    assert!(kinds.len() >= 6, "{kinds:?}");
}

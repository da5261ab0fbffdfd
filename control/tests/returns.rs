//! Who returns gets back what it had, all of it, and nobody else's flows move; and what has settled
//! stays, whatever news comes in.

use crate::lab::bench::{Bench, gateway, moved};
use crate::lab::{P0, P1, ip};
use control::api::message::Drain;
use control::config::Resilient;
use control::deal::Recovery;
use control::event::NeighborState;
use std::time::Duration;

const ALL: [(u8, u32); 6] = [(10, 1), (11, 1), (12, 1), (13, 1), (14, 1), (15, 1)];

fn coarse(enable: bool) -> Resilient {
    Resilient {
        enable,
        recovery: Some(Recovery::Immediate),
        weight_error: 1_000_000,
        active_timer: Duration::from_secs(10),
        ..Resilient::default()
    }
}

/// Four of six next hops die and return in another order.
#[test]
fn every_flow_finds_its_member_again_in_whatever_order_they_return() {
    for enable in [false, true] {
        let mut bench = Bench::new(coarse(enable));
        bench.route(&ALL);
        let before = bench.table();
        for n in [12, 14, 10, 15] {
            bench.up(n, false);
        }
        let mut there = vec![11, 13];
        for n in [15, 14, 12, 10] {
            bench.up(n, true);
            there.push(n);
            let table = bench.table();
            for (b, (owner, is)) in before.iter().zip(&table).enumerate() {
                assert!(
                    owner == is || !there.contains(owner),
                    "enable {enable}: {n} is back, and bucket {b} of {owner} is with {is}"
                );
            }
        }
        assert_eq!(bench.table(), before);
    }
}

/// A link takes all its next hops at once; the kernel gives them back one by one.
#[test]
fn a_link_gives_every_flow_its_member_back() {
    for first in 10..14 {
        let mut bench = Bench::new(coarse(false));
        bench.lab.link(P1, "p1", true);
        let far: Vec<u8> = (20..24).collect();
        for &n in &far {
            bench
                .lab
                .neighbor(P1, &gateway(n), NeighborState::Reachable, n);
        }
        bench.route_by(&[(10, 1), (11, 1), (12, 1), (13, 1)], &[20, 21, 22, 23]);
        let before = bench.table();
        bench.lab.link(P0, "p0", false);
        for n in 10..14 {
            bench.lab.neighbor_gone(P0, &gateway(n));
        }
        assert!(bench.table().iter().all(|n| far.contains(n)));
        bench.lab.link(P0, "p0", true);
        for i in 0..4 {
            bench.up(10 + (first + i) % 4, true);
        }
        assert_eq!(bench.table(), before, "{first} first");
    }
}

/// Rounding leaves one bucket more to somebody when a member dies; that is no reason to take it away
/// with the next news, be it from the kernel or from FRR.
#[test]
fn what_a_death_has_left_stays_where_it_is() {
    let mut seen = 0;
    for seed in 1..200_u32 {
        let weight = |n: u32| 1 + (n * 7919 + seed * 104_729) % 97;
        let members: Vec<(u8, u32)> = (10..16).map(|n| (n, weight(n.into()))).collect();
        let mut bench = Bench::new(coarse(false));
        bench.route(&members);
        let before = bench.table();
        bench.up(13, false);
        let dead = bench.table();
        assert!(moved(&before, &dead).iter().all(|&b| before[b] == 13));
        // A survivor has another MAC address, and the old one again.
        bench
            .lab
            .neighbor(P0, &gateway(11), NeighborState::Reachable, 99);
        bench.up(11, true);
        assert_eq!(bench.table(), dead, "seed {seed}: news of a survivor");
        let rest: Vec<_> = members.iter().copied().filter(|m| m.0 != 13).collect();
        bench.route(&rest);
        assert_eq!(bench.table(), dead, "seed {seed}: FRR says the same");
        seen += 1;
    }
    assert_eq!(seen, 199);
}

/// A newcomer keeps what it got of idle buckets when another one returns.
#[test]
fn a_newcomer_keeps_its_buckets_when_others_return() {
    let mut bench = Bench::new(coarse(true));
    bench.route(&ALL[..3]);
    bench.up(11, false);
    bench.route(&ALL[..4]);
    bench.pass(15, &[]);
    let without = bench.table();
    let new = |table: &[u8]| -> Vec<usize> { (0..64).filter(|&b| table[b] == 13).collect() };
    assert!(new(&without).len() >= 16, "{:?}", bench.shares());
    bench.up(11, true);
    let with = bench.table();
    let changed = moved(&without, &with);
    assert!(changed.iter().all(|&b| with[b] == 11), "onto 11 only");
    bench.up(11, false);
    bench.up(11, true);
    assert_eq!(bench.table(), with);
}

/// Where nobody is in service, who is held down goes before whom the operator spares; and stays so,
/// whatever news comes in.
#[test]
fn a_last_resort_does_not_change_with_the_next_news() {
    let rules = Resilient {
        hold_down: Duration::from_secs(15),
        ..coarse(false)
    };
    let mut bench = Bench::new(rules);
    bench.route(&ALL[..3]);
    let drain = Drain {
        nexthop: ip(&gateway(10)),
        port: None,
        back: false,
        over: 0,
        force: false,
        dry_run: false,
    };
    bench.drain(drain).expect("others take over");
    bench.up(11, false);
    bench.up(11, true);
    let with = |bench: &Bench| bench.shares().into_keys().collect::<Vec<u8>>();
    assert_eq!(with(&bench), [12], "11 is held down");
    bench.up(12, false);
    assert_eq!(with(&bench), [11]);
    bench
        .lab
        .neighbor(P0, &gateway(10), NeighborState::Reachable, 10);
    bench
        .lab
        .neighbor(P0, &gateway(11), NeighborState::Reachable, 11);
    bench.up(10, false);
    bench.up(10, true);
    assert_eq!(with(&bench), [11]);
    bench.pass(20, &[]);
    assert_eq!(with(&bench), [11], "in service again");
    bench.up(11, false);
    assert_eq!(with(&bench), [10], "rather than nobody");
}

/// Shares change while a next hop is away, and one that is away as well is named no longer: when the
/// first is back, everybody has its share.
#[test]
fn who_returns_to_other_weights_leaves_shares_even() {
    let rules = Resilient {
        buckets: 256,
        ..coarse(false)
    };
    let mut bench = Bench::new(rules);
    bench.route(&[(10, 1), (11, 3), (12, 1), (13, 44), (14, 3)]);
    bench.up(11, false);
    bench.up(12, false);
    bench.route(&[(10, 12), (11, 2), (12, 73), (13, 31_133), (14, 1)]);
    bench.route(&[(10, 12), (11, 2), (12, 73), (13, 1), (14, 1)]);
    bench.route(&[(10, 12), (11, 2), (13, 1), (14, 1)]);
    let size = bench.table().len();
    bench.up(11, true);
    let part = |weight: usize| size / 16 * weight;
    let expected = [(10, part(12)), (11, part(2)), (13, part(1)), (14, part(1))];
    assert_eq!(bench.shares(), expected.into());
}

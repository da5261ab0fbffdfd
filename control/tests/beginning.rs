//! The first ten seconds of a route: whoever comes then gets its share at once, in resilient groups
//! too. Who was lost meanwhile returns by the rules.

use crate::lab::bench::{Bench, HERE, shares};
use control::config::Resilient;
use control::deal::Recovery;
use std::time::Duration;

const TWO: &[(u8, u32)] = &[(10, 1), (11, 1)];
const THREE: &[(u8, u32)] = &[(10, 1), (11, 1), (12, 1)];

fn bench(recovery: Recovery) -> Bench {
    Bench::new(Resilient {
        enable: true,
        recovery: Some(recovery),
        ..Resilient::default()
    })
}

fn all_busy(bench: &mut Bench, seconds: u32) {
    let all: Vec<u32> = (0..64).collect();
    bench.pass(seconds, &all);
}

#[test]
fn who_is_resolved_a_little_later_has_its_share_at_once() {
    for recovery in [Recovery::Immediate, Recovery::Idle, Recovery::Never] {
        let mut bench = bench(recovery);
        [11, 12].into_iter().for_each(|n| bench.up(n, false));
        bench.route(THREE);
        assert_eq!(bench.shares(), shares(&[(10, 64)]));
        all_busy(&mut bench, 1);
        bench.up(11, true);
        assert_eq!(
            bench.shares(),
            shares(&[(10, 32), (11, 32)]),
            "{recovery:?}"
        );
        all_busy(&mut bench, 8);
        bench.up(12, true);
        let even = shares(&[(10, 22), (11, 21), (12, 21)]);
        assert_eq!(bench.shares(), even, "{recovery:?}");
    }
}

#[test]
fn who_is_resolved_much_later_gets_what_is_idle() {
    let mut bench = bench(Recovery::Idle);
    bench.up(11, false);
    bench.route(TWO);
    all_busy(&mut bench, 11);
    bench.up(11, true);
    all_busy(&mut bench, 200);
    assert_eq!(bench.shares(), shares(&[(10, 64)]));
}

#[test]
fn so_has_whose_session_comes_up_a_little_later_and_no_other() {
    for recovery in [Recovery::Immediate, Recovery::Idle, Recovery::Never] {
        let mut bench = bench(recovery);
        bench.route(&TWO[..1]);
        all_busy(&mut bench, 5);
        bench.route(TWO);
        assert_eq!(
            bench.shares(),
            shares(&[(10, 32), (11, 32)]),
            "{recovery:?}"
        );
        all_busy(&mut bench, 6);
        let table = bench.table();
        bench.route(THREE);
        all_busy(&mut bench, 5);
        assert_eq!(bench.table(), table, "{recovery:?}: it comes too late");
    }
}

#[test]
fn who_was_lost_in_it_returns_by_the_rules() {
    let mut bench = bench(Recovery::Idle);
    bench.route(TWO);
    all_busy(&mut bench, 2);
    bench.up(11, false);
    all_busy(&mut bench, 2);
    bench.up(11, true);
    all_busy(&mut bench, 5);
    assert_eq!(bench.shares(), shares(&[(10, 64)]));
    // So does who was withdrawn.
    let mut bench = self::bench(Recovery::Idle);
    bench.route(&TWO[..1]);
    bench.route(TWO);
    bench.route(&TWO[..1]);
    all_busy(&mut bench, 2);
    bench.route(TWO);
    assert_eq!(bench.shares(), shares(&[(10, 64)]));
    all_busy(&mut bench, 5);
    assert_eq!(bench.shares(), shares(&[(10, 64)]));
}

#[test]
fn with_recovery_never_who_serves_other_routes_was_not_lost() {
    let mut bench = Bench::new(Resilient {
        recovery: Some(Recovery::Never),
        hold_down: Duration::ZERO,
        ..Resilient::default()
    });
    let shares_of = |bench: &Bench, to: &str| {
        let owner = |id| bench.lab.tables.adjacencies.slot(id).header()[5];
        let all: Vec<u8> = bench
            .lab
            .first_flows(to, 64)
            .into_iter()
            .map(owner)
            .collect();
        [10, 11].map(|n| all.iter().filter(|o| **o == n).count())
    };
    bench.route(&TWO[..1]);
    bench.route_to(0, &TWO[..1]);
    all_busy(&mut bench, 20);
    bench.route(TWO);
    assert_eq!(shares_of(&bench, HERE), [32, 32]);
    // The other hears of it later.
    all_busy(&mut bench, 20);
    bench.route_to(0, TWO);
    assert_eq!(shares_of(&bench, "11.0.0.1"), [32, 32]);
    // Both lose it and get it again: it waits.
    for members in [&TWO[..1], TWO] {
        bench.route(members);
        bench.route_to(0, members);
    }
    assert_eq!(shares_of(&bench, HERE), [64, 0]);
    assert_eq!(shares_of(&bench, "11.0.0.1"), [64, 0]);
}

//! Groups that hold still: who gets which buckets, and when, by the rules of `[resilient]`.

use crate::lab::bench::{Bench, gateway, moved, shares};
use crate::lab::ip;
use control::api::message::{Drain, DrainState};
use control::config::{DealBy, Resilient};
use control::deal::Recovery;
use std::time::Duration;

const TWO: &[(u8, u32)] = &[(10, 1), (11, 1)];
const THREE: &[(u8, u32)] = &[(10, 1), (11, 1), (12, 1)];

#[test]
fn a_newcomer_gets_what_falls_idle_and_no_more() {
    let mut bench = Bench::resilient();
    bench.route(TWO);
    let before = bench.table();
    bench.route(THREE);
    assert_eq!(bench.table(), before, "nobody moves for a newcomer");
    // Every bucket but these eight is in use.
    let busy: Vec<u32> = (0..64).filter(|b| b % 8 != 0).collect();
    bench.pass(119, &busy);
    assert_eq!(bench.table(), before, "120 seconds make idle");
    bench.pass(5, &busy);
    let after = bench.table();
    assert_eq!(moved(&before, &after), [0, 8, 16, 24, 32, 40, 48, 56]);
    assert_eq!(bench.shares()[&12], 8);
    // Now all fall idle: only what is beyond quotas moves.
    bench.pass(130, &[]);
    assert_eq!(bench.shares(), shares(&[(10, 21), (11, 22), (12, 21)]));
    let kept = moved(&before, &bench.table());
    assert_eq!(kept.len(), 21, "nothing moved twice");
    let settled = bench.table();
    bench.pass(300, &[]);
    assert_eq!(bench.table(), settled, "in balance nothing moves");
}

#[test]
fn the_unbalanced_timer_forces_the_surplus_and_no_more() {
    let mut bench = Bench::new(Resilient {
        enable: true,
        unbalanced_timer: Some(Duration::from_secs(30)),
        ..Resilient::default()
    });
    bench.route(TWO);
    let before = bench.table();
    bench.route(THREE);
    let busy: Vec<u32> = (0..64).collect();
    bench.pass(29, &busy);
    assert_eq!(bench.table(), before);
    bench.pass(3, &busy);
    assert_eq!(bench.shares(), shares(&[(10, 22), (11, 21), (12, 21)]));
    assert_eq!(moved(&before, &bench.table()).len(), 21);
}

#[test]
fn the_smallest_move_at_once_when_not_resilient() {
    let mut bench = Bench::new(Resilient {
        weight_error: 1_000_000,
        ..Resilient::default()
    });
    bench.route(TWO);
    let before = bench.table();
    bench.route(THREE);
    assert_eq!(bench.shares(), shares(&[(10, 22), (11, 21), (12, 21)]));
    assert_eq!(moved(&before, &bench.table()).len(), 21);
}

#[test]
fn only_the_buckets_of_the_dead_move_and_evenly() {
    for enable in [false, true] {
        let mut bench = Bench::new(Resilient {
            enable,
            weight_error: 1_000_000,
            ..Resilient::default()
        });
        let four = [(10, 1), (11, 1), (12, 1), (13, 1)];
        bench.route(&four);
        let before = bench.table();
        bench.up(12, false);
        let after = bench.table();
        assert!(moved(&before, &after).iter().all(|&b| before[b] == 12));
        let held: Vec<usize> = bench.shares().into_values().collect();
        assert!(
            held.iter()
                .max()
                .zip(held.iter().min())
                .is_some_and(|(a, b)| a - b <= 1)
        );
        // zebra's own update names another set: nothing moves again.
        bench.route(&[(10, 1), (11, 1), (13, 1)]);
        assert_eq!(bench.table(), after);
    }
}

#[test]
fn without_patience_nothing_moves_in_the_background() {
    let mut bench = Bench::new(Resilient::default());
    bench.route(&[(10, 3), (11, 5), (12, 7), (13, 11)]);
    bench.up(12, false);
    bench.route(&[(10, 3), (11, 5), (13, 11)]);
    let table = bench.table();
    bench.pass(400, &[]);
    assert_eq!(bench.table(), table, "idle or not");
}

#[test]
fn routes_that_come_all_the_time_do_not_keep_buckets_from_moving() {
    let mut bench = Bench::resilient();
    bench.route(TWO);
    bench.route(THREE);
    for _ in 0..130 {
        bench.route(THREE);
        bench.pass(1, &[]);
    }
    assert_eq!(bench.shares().len(), 3);
}

/// Who returns after a death, and what it gets at once and later.
fn returning(recovery: Recovery, hold_down: u64) -> (Bench, Vec<u8>, Vec<u8>) {
    let mut bench = Bench::new(Resilient {
        recovery: Some(recovery),
        hold_down: Duration::from_secs(hold_down),
        ..Resilient::default()
    });
    bench.route(TWO);
    let before = bench.table();
    bench.up(11, false);
    assert_eq!(bench.shares(), shares(&[(10, 64)]));
    bench.pass(1, &[]);
    bench.up(11, true);
    let after = bench.table();
    (bench, before, after)
}

#[test]
fn who_returns_gets_its_buckets_as_the_policy_says() {
    let (_, before, after) = returning(Recovery::Immediate, 0);
    assert_eq!(after, before);

    let (mut bench, before, after) = returning(Recovery::Immediate, 60);
    assert_eq!(moved(&before, &after).len(), 32, "held down");
    bench.pass(58, &[]);
    assert_eq!(bench.table(), after);
    bench.pass(3, &[]);
    assert_eq!(bench.table(), before);

    let (mut bench, _, after) = returning(Recovery::Idle, 0);
    assert_eq!(after, [10; 64]);
    let busy: Vec<u32> = (0..60).collect();
    bench.pass(125, &busy);
    assert_eq!(bench.shares(), shares(&[(10, 60), (11, 4)]));

    let (mut bench, _, after) = returning(Recovery::Never, 0);
    assert_eq!(after, [10; 64]);
    bench.pass(300, &[]);
    assert_eq!(bench.table(), after);
    // Unless nobody else is left.
    bench.up(10, false);
    assert_eq!(bench.table(), [11; 64]);
    bench.up(10, true);
    assert_eq!(bench.table(), [11; 64], "now 10 is the one that waits");
    let back = bench.drain(undrain(10)).expect("parked ones can be called");
    assert_eq!((back.state, back.buckets_left), (DrainState::InService, 0));
    // All have been idle for long.
    bench.pass(5, &[]);
    assert_eq!(bench.shares(), shares(&[(10, 32), (11, 32)]));
}

fn drain(n: u8, over: u32) -> Drain {
    Drain {
        nexthop: ip(&gateway(n)),
        port: None,
        back: false,
        over,
        force: false,
        dry_run: false,
    }
}

fn undrain(n: u8) -> Drain {
    Drain {
        back: true,
        ..drain(n, 0)
    }
}

#[test]
fn a_drain_moves_what_falls_idle_and_forces_the_rest_at_its_end() {
    let mut bench = Bench::new(Resilient {
        weight_error: 1_000_000,
        ..Resilient::default()
    });
    bench.route(THREE);
    let before = bench.table();
    let own: Vec<u32> = (0..64).filter(|&b| before[b as usize] == 11).collect();
    let busy = &own[..5];
    bench.pass(10, busy);
    let dry = Drain {
        dry_run: true,
        ..drain(11, 60)
    };
    let would = bench.drain(dry).expect("a drain");
    assert_eq!((would.buckets, would.active_buckets), (21, Some(5 + 16)));
    assert_eq!(bench.table(), before);
    let done = bench.drain(drain(11, 60)).expect("a drain");
    assert_eq!((done.state, done.buckets_left), (DrainState::Draining, 21));
    assert_eq!(done.idle_after_seconds, 15.0);
    bench.pass(10, busy);
    assert_eq!(bench.shares()[&11], 5, "idle for 15 seconds by now");
    assert!(
        moved(&before, &bench.table())
            .iter()
            .all(|&b| before[b] == 11)
    );
    bench.pass(45, busy);
    assert_eq!(bench.shares()[&11], 5);
    bench.pass(8, busy);
    assert_eq!(bench.shares(), shares(&[(10, 32), (12, 32)]));
    assert!(
        moved(&before, &bench.table())
            .iter()
            .all(|&b| before[b] == 11)
    );
    // A route that comes later keeps away from it too.
    bench.route(&[(10, 1), (11, 1)]);
    assert_eq!(bench.shares(), shares(&[(10, 64)]));
    bench.route(THREE);
    let back = bench.drain(undrain(11)).expect("undrain");
    assert_eq!(back.state, DrainState::InService);
    assert_eq!(bench.shares()[&11], 21, "what it had, at once");
}

#[test]
fn a_drain_ends_when_nothing_is_left_and_refuses_to_leave_nobody() {
    let mut bench = Bench::resilient();
    bench.route(TWO);
    bench.pass(130, &[]);
    let done = bench.drain(drain(10, 600)).expect("a drain");
    assert_eq!((done.buckets_moved, done.buckets_left), (32, 0), "all idle");
    let refused = bench.drain(drain(11, 0)).expect_err("the last one");
    assert!(
        refused.contains("no other next hop in service"),
        "{refused}"
    );
    let forced = Drain {
        force: true,
        ..drain(11, 0)
    };
    let done = bench.drain(forced).expect("forced");
    assert_eq!(done.notes.len(), 1, "{:?}", done.notes);
    assert_eq!(bench.table().len(), 64);
    for (n, why) in [(14, "no route"), (99, "no route")] {
        let error = bench.drain(drain(n, 0)).expect_err("unknown");
        assert!(error.contains(why), "{error}");
    }
    let error = bench.drain(drain(10, 90_000)).expect_err("too long");
    assert!(error.contains("0..86400"), "{error}");
    let wrong = Drain {
        port: Some("up9".into()),
        ..drain(10, 0)
    };
    let error = bench.drain(wrong).expect_err("no port");
    assert!(error.contains("ports are up1, up2, host0"), "{error}");
}

#[test]
fn by_rendezvous_history_does_not_count() {
    let rules = |seed| Resilient {
        deal: DealBy::Rendezvous,
        deal_seed: Some(seed),
        buckets: 256,
        ..Resilient::default()
    };
    let all = [(10, 1), (11, 1), (12, 2), (13, 1), (14, 1)];
    let mut one = Bench::new(rules(5));
    one.route(&all);
    // Another one learned them one by one, lost some, and got them back.
    let mut other = Bench::new(rules(5));
    for n in 1..=all.len() {
        let mut some: Vec<_> = all[all.len() - n..].to_vec();
        some.reverse();
        other.route(&some);
    }
    other.up(12, false);
    let dead = other.table();
    other.route(&all[1..]);
    other.up(12, true);
    other.route(&all);
    assert_eq!(other.table(), one.table());
    assert_eq!(one.table().len(), 256);
    let gone = moved(&one.table(), &dead);
    assert!(gone.iter().all(|&b| one.table()[b] == 12), "only its own");
    let mut seeded = Bench::new(rules(6));
    seeded.route(&all);
    assert_ne!(seeded.table(), one.table());
}

#[test]
fn weights_are_within_the_bound_and_tables_as_large_as_that_takes() {
    for (weights, size) in [(&[3, 2][..], 128), (&[254, 1], 256), (&[1, 1], 64)] {
        let mut bench = Bench::new(Resilient::default());
        let members: Vec<(u8, u32)> = (10..).zip(weights.iter().copied()).collect();
        bench.route(&members);
        assert_eq!(bench.table().len(), size, "{weights:?}");
        let total: u32 = weights.iter().sum();
        for (n, weight) in members {
            let due = size as f64 * f64::from(weight) / f64::from(total);
            let has = bench.shares()[&n] as f64;
            assert!(
                (has / due - 1.0).abs() <= 0.01,
                "{weights:?}: {has} of {due}"
            );
        }
    }
}

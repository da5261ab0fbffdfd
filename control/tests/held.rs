//! Next hops that are held down: they count as away for their time, whatever routes do and however often
//! evenpath is started meanwhile.

use crate::lab;
use crate::oracle::Random;
use crate::oracle::world::{Router, SECOND, Truth};
use control::config::{Config, DealBy, Resilient};
use control::deal::Recovery;
use control::event::NeighborState;

fn router(rules: Resilient) -> (Router, Random) {
    let config = Config {
        resilient: Resilient {
            hold_down: 60 * SECOND,
            weight_error: 1_000_000,
            ..rules
        },
        ..lab::config()
    };
    (Router::whole(&config, 4, false), Random(7))
}

fn has(router: &Router, prefix: u8, n: u8) -> usize {
    let table = router.tables(prefix).0;
    table.iter().filter(|owner| **owner == n).count()
}

/// Fails and is back at once.
fn flaps(router: &mut Router, n: u8) {
    router.neighbor(n, NeighborState::Failed);
    router.neighbor(n, NeighborState::Reachable);
}

#[test]
fn a_restart_while_no_route_has_it_does_not_free_it() {
    let (mut router, mut random) = router(Resilient::default());
    router.route(&mut random, 1, &[(1, 1), (2, 1)].into());
    flaps(&mut router, 1);
    assert_eq!(has(&router, 1, 1), 0, "held down");
    router.route(&mut random, 1, &[(2, 1)].into());
    router.lab.pass(10 * SECOND);
    let mut truth = Truth::default();
    truth.routes.insert(1, [(2, 1)].into());
    // Not even two of them.
    let next = router.restarted(&truth, &mut random);
    let mut next = next.restarted(&truth, &mut random);
    next.route(&mut random, 1, &[(1, 1), (2, 1)].into());
    assert_eq!(has(&next, 1, 1), 0, "still held down");
    next.lab.pass(49 * SECOND);
    assert_eq!(has(&next, 1, 1), 0, "a second is left");
    next.lab.pass(2 * SECOND);
    let half = next.tables(1).0.len() / 2;
    assert_eq!(has(&next, 1, 1), half, "it was none of that route's before");
}

#[test]
fn who_waits_goes_before_who_is_held_down() {
    let (mut router, mut random) = router(Resilient {
        recovery: Some(Recovery::Never),
        ..Resilient::default()
    });
    router.route(&mut random, 1, &[(1, 1), (2, 1), (3, 1)].into());
    router.lab.pass(20 * SECOND);
    flaps(&mut router, 1);
    router.lab.pass(61 * SECOND);
    assert_eq!(has(&router, 1, 1), 0, "it waits to be called");
    flaps(&mut router, 3);
    let size = router.tables(1).0.len();
    assert_eq!(has(&router, 1, 2), size);
    router.neighbor(2, NeighborState::Failed);
    assert_eq!(has(&router, 1, 1), size, "it was not lost lately");
    router.neighbor(1, NeighborState::Failed);
    assert_eq!(has(&router, 1, 3), size, "nobody else is left");
}

#[test]
fn a_table_of_before_gives_nothing_to_who_was_lost_since() {
    for deal in [DealBy::RoundRobin, DealBy::Rendezvous] {
        let (mut router, mut random) = router(Resilient {
            deal,
            ..Resilient::default()
        });
        let mut truth = Truth::default();
        for prefix in [1, 2] {
            truth.routes.insert(prefix, [(1, 1), (2, 1)].into());
            router.route(&mut random, prefix, &truth.routes[&prefix]);
        }
        let before = router.tables(2).0;
        let mut next = router.restarted(&truth, &mut random);
        assert_eq!(next.tables(2).0, before);
        next.route(&mut random, 2, &[(1, 1)].into());
        flaps(&mut next, 2);
        next.route(&mut random, 2, &[(1, 1), (2, 1)].into());
        for prefix in [1, 2] {
            assert_eq!(has(&next, prefix, 2), 0, "{deal:?}: {prefix}: held down");
        }
        next.lab.pass(61 * SECOND);
        for prefix in [1, 2] {
            assert_eq!(next.tables(prefix).0, before, "{deal:?}: {prefix}");
        }
    }
}

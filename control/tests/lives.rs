//! Restarts soon after restarts: next hops that are still away from before the one are so at the next,
//! and every flow goes as it went last, until they come.

use crate::lab;
use crate::oracle::Random;
use crate::oracle::naive::{Table, Weights};
use crate::oracle::world::{Router, SECOND, Truth, interface};
use control::api::message::SetResilient;
use control::api::{Reply, Request};
use control::config::{Config, DealBy, Resilient};
use control::deal::Recovery;
use control::event::NeighborState;
use std::time::Duration;

const GATEWAYS: u8 = 6;

fn config(enable: bool, recovery: Option<Recovery>) -> Config {
    Config {
        resilient: Resilient {
            enable,
            recovery,
            ..Resilient::default()
        },
        ..lab::config()
    }
}

/// A router with a route to `members`, and the world it lives in.
fn begin(config: &Config, members: &[(u8, u32)]) -> (Router, Truth, Random) {
    let (mut router, mut truth) = (Router::whole(config, GATEWAYS, false), Truth::default());
    let (mut random, weights) = (Random(7), members.iter().copied().collect::<Weights>());
    router.route(&mut random, 1, &weights);
    truth.routes.insert(1, weights);
    (router, truth, random)
}

fn table(router: &Router) -> Table {
    router.tables(1).0
}

fn up(router: &mut Router, n: u8) {
    router.neighbor(n, NeighborState::Reachable);
}

#[test]
fn a_second_restart_starts_from_what_forwarded_last() {
    for enable in [false, true] {
        let members = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)];
        let (router, mut truth, mut random) = begin(&config(enable, None), &members);
        let whole = table(&router);
        // A link is cut while evenpath is down, then a neighbor is gone as well.
        truth.cut.insert(interface(2));
        let second = router.restarted(&truth, &mut random);
        let without = table(&second);
        assert!(without.iter().all(|n| [1, 3, 5].contains(n)));
        let moved = (whole.iter().zip(&without)).filter(|(was, is)| was != is);
        assert!(moved.into_iter().all(|(was, _)| [2, 4].contains(was)));
        truth.dead.insert(3);
        let third = second.restarted(&truth, &mut random);
        assert!(table(&third).iter().all(|n| [1, 5].contains(n)));
        let mut last = third.restarted(&truth, &mut random);
        assert!(table(&last) == table(&third));
        up(&mut last, 3);
        assert!(table(&last) == without, "as in the second life");
        last.link(interface(2), true);
        (2..=4).for_each(|n| up(&mut last, n));
        assert!(table(&last) == whole, "and as in the first");
        let kept = last.lab.control.image(last.lab.now).tables;
        assert!(kept.iter().all(|table| table.older.is_empty()));
    }
}

#[test]
fn who_comes_late_takes_what_it_had_and_nothing_else_moves() {
    let config = config(true, Some(Recovery::Immediate));
    let equal: Vec<(u8, u32)> = (1..=GATEWAYS).map(|n| (n, 1)).collect();
    let (mut router, mut truth, mut random) = begin(&config, &equal);
    // They keep what they have: nothing of it is idle.
    let weights = [(1, 8), (2, 47), (3, 3), (4, 1), (5, 98), (6, 1)];
    truth.routes.insert(1, weights.into());
    router.route(&mut random, 1, &truth.routes[&1]);
    let before = table(&router);
    truth.dead.extend(3..=GATEWAYS);
    let mut next = router.restarted(&truth, &mut random);
    next.lab.pass(20 * SECOND);
    for n in 3..=GATEWAYS {
        let was = table(&next);
        up(&mut next, n);
        for (b, (from, to)) in was.iter().zip(table(&next)).enumerate() {
            assert!(*from == to || to == n, "{n} is back, {b}: {from} to {to}");
        }
    }
    assert!(table(&next) == before);
}

#[test]
fn a_table_that_never_forwarded_is_nobodys_after_a_restart() {
    let (mut router, mut truth, mut random) = begin(&config(true, None), &[(1, 1), (3, 1)]);
    let had = table(&router);
    router.drain(1, false, 600).expect("a drain");
    router.link(interface(1), false);
    truth.cut.insert(interface(1));
    truth.dead.extend([1, 3]);
    // The same next hops, when none of them can be used.
    truth.routes.insert(2, truth.routes[&1].clone());
    router.route(&mut random, 2, &truth.routes[&2]);
    let mut next = router.restarted(&truth, &mut random);
    next.link(interface(1), true);
    up(&mut next, 3);
    up(&mut next, 1);
    assert!(table(&next) == had, "what it had");
    let other = next.tables(2).0;
    assert!(
        other.iter().all(|n| *n == 3),
        "nothing of what it never had"
    );
}

#[test]
fn who_was_back_and_is_lost_returns_by_the_rules() {
    let members = [(1, 1), (2, 1), (3, 1), (4, 1)];
    let never = config(true, Some(Recovery::Never));
    let (router, mut truth, mut random) = begin(&never, &members);
    let before = table(&router);
    truth.dead.insert(4);
    let mut next = router.restarted(&truth, &mut random);
    next.neighbor(3, NeighborState::Failed);
    up(&mut next, 3);
    assert!(!table(&next).contains(&3), "it waits to be called");
    truth.dead.remove(&4);
    let mut last = next.restarted(&truth, &mut random);
    assert!(!table(&last).contains(&3), "after another restart as well");
    for (was, is) in before.iter().zip(table(&last)) {
        assert!(*was == is || *was == 3);
    }
    last.drain(3, true, 0).expect("called for");
    (0..300).for_each(|_| last.lab.pass(SECOND));
    assert!(table(&last).contains(&3));
}

#[test]
fn tables_of_before_take_another_size_with_those_of_now() {
    let members = [(1, 1), (2, 1), (3, 1), (4, 1)];
    let (router, mut truth, mut random) = begin(&config(true, None), &members);
    let before = table(&router);
    truth.dead.insert(2);
    let mut next = router.restarted(&truth, &mut random);
    let request = Request::SetResilient(SetResilient {
        settings: [("buckets".into(), "256".into())].into(),
        dry_run: false,
    });
    let (control, now) = (&mut next.lab.control, next.lab.now);
    let reply = next.lab.view.offline(|| control.answer(&request, now));
    assert!(matches!(reply, Reply::Ok(_)));
    next.lab.pass(SECOND);
    assert_eq!(table(&next).len(), 256);
    // Any news, then who was away.
    next.neighbor(1, NeighborState::Stale);
    up(&mut next, 2);
    assert!(table(&next) == before.repeat(4));
}

#[test]
fn who_is_drained_keeps_what_it_had_in_the_last_of_several_lives() {
    let mut config = config(false, None);
    config.resilient.deal = DealBy::Rendezvous;
    let (mut router, mut truth, mut random) = begin(&config, &[(1, 20), (4, 1), (6, 1)]);
    for n in [4, 6] {
        router.neighbor(n, NeighborState::Failed);
    }
    assert!(table(&router).iter().all(|n| *n == 1));
    truth.cut.insert(interface(1));
    let mut second = router.restarted(&truth, &mut random);
    second.drain(6, false, 600).expect("a drain");
    let keeps = table(&second);
    assert!(keeps.contains(&6), "it keeps what it has");
    for order in 0..8 {
        let third = second.restarted(&truth, &mut random);
        assert_eq!(table(&third), keeps, "{order}");
    }
}

/// Bucket by bucket: after a start whoever is here has what it had, whenever it comes. The buckets of who is
/// yet to come stay with whom they are; only in a group that spares no flows they make shares even.
#[test]
fn each_who_comes_back_has_what_it_had_and_no_other_flow_moves() {
    let mut returns = 0;
    for seed in 1..=60 {
        let mut random = Random(seed);
        let recovery = [None, Some(Recovery::Immediate), Some(Recovery::Idle)];
        let mut config = config(random.one_of(2), recovery[random.below(3)]);
        config.resilient.start_timer = Duration::ZERO;
        config.resilient.weight_error = 1_000_000;
        let is_patient = config.resilient.enable || recovery[2] == config.resilient.recovery;
        let mut members: Vec<(u8, u32)> = (1..=GATEWAYS).map(|n| (n, 1)).collect();
        random.shuffle(&mut members);
        members.truncate(2 + random.below(5));
        members
            .iter_mut()
            .for_each(|m| m.1 += random.below(4) as u32);
        let (router, mut truth, _) = begin(&config, &members);
        let had = table(&router);
        let mut away: Vec<u8> = members.iter().map(|m| m.0).collect();
        away.retain(|_| random.one_of(2));
        truth.dead.extend(away.iter().copied());
        let mut next = router.restarted(&truth, &mut random);
        let mut before = table(&next);
        random.shuffle(&mut away);
        let comes = std::iter::once(None).chain(away.into_iter().map(Some));
        for n in comes {
            if let Some(n) = n {
                truth.dead.remove(&n);
                next.lab.pass(random.below(10) as u32 * SECOND);
                up(&mut next, n);
                returns += 1;
            }
            let is = table(&next);
            for (b, (was, is)) in before.iter().zip(&is).enumerate() {
                let about = format!("seed {seed}: {n:?}: bucket {b} from {was} to {is}");
                if truth.can(had[b]) {
                    assert_eq!(*is, had[b], "{about}");
                } else if *was != 0 {
                    assert!(is == was || !is_patient, "{about}");
                }
            }
            before = is;
        }
        assert_eq!(before, had, "seed {seed}");
    }
    assert!(returns > 60, "{returns}");
}

//! Who gets how many, said as plainly as it can be: what moves in the background, and what those get who
//! share the buckets of one that is gone.

use crate::lab;
use crate::lab::bench::{Bench, moved};
use crate::oracle::Random;
use crate::oracle::naive::{Weights, fewest, held, is_even};
use crate::oracle::world::{Router, SECOND, interface};
use control::config::{Config, Resilient};

/// The least that must move until everybody has its share rounded up or down, not one more: who has that
/// already keeps it, whatever largest remainders would say.
#[test]
fn in_the_background_no_more_moves_than_has_to() {
    let (mut random, mut moves) = (Random(19), 0);
    for round in 0..40 {
        let mut bench = Bench::resilient();
        let count = 3 + random.below(4) as u8;
        let mut weights = || -> Vec<(u8, u32)> {
            let all = 10..10 + count;
            all.map(|n| (n, 1 + random.below(9) as u32)).collect()
        };
        bench.route(&weights());
        let next = weights();
        bench.route(&next);
        let before = bench.table();
        bench.pass(130, &[]);
        let after = bench.table();
        let due: Weights = next.into_iter().collect();
        let about = format!(
            "{round}: {:?} to {:?} of {due:?}",
            held(&before),
            held(&after)
        );
        assert!(is_even(&after, &due, 64), "{about}");
        let least = fewest(&before, &due, 64);
        assert_eq!(moved(&before, &after).len(), least, "{about}");
        moves += usize::from(least > 0);
    }
    assert!(moves > 20, "{moves}");
}

/// FRR names a next hop that nobody knows yet in the place of one that goes. Nobody has come who could
/// take anything: those below their shares get what is free, one as much as the other.
#[test]
fn what_is_free_is_shared_alike_also_if_somebody_comes_who_cannot_be_used() {
    let mut bench = Bench::resilient();
    let weights = |all: &[u8]| -> Vec<(u8, u32)> { all.iter().map(|n| (*n, 1)).collect() };
    for n in [16, 17] {
        bench.up(n, true);
    }
    bench.route(&weights(&[10, 11, 12, 13, 14, 15]));
    bench.route(&weights(&[10, 11, 12, 13, 14, 15, 16, 17]));
    // Four buckets fall idle: two for each newcomer.
    let idle = [1, 2, 3, 4];
    let busy: Vec<u32> = (0..64).filter(|b| !idle.contains(b)).collect();
    bench.pass(130, &busy);
    let before = bench.table();
    let had = held(&before);
    assert_eq!((had[&16], had[&17]), (2, 2), "{had:?}");
    bench.route(&weights(&[11, 12, 13, 14, 15, 16, 17, 99]));
    let (after, has) = (bench.table(), held(&bench.table()));
    assert!(moved(&before, &after).iter().all(|b| before[*b] == 10));
    for n in 11..16 {
        assert_eq!(has[&n], had[&n], "{n} has its share and more");
    }
    assert!(has[&16].abs_diff(has[&17]) <= 1, "{has:?}");
}

/// An outage of all next hops of a set does not end a drain: those that return together have what they had.
#[test]
fn an_outage_of_all_does_not_end_a_drain() {
    for enable in [false, true] {
        let config = Config {
            resilient: Resilient {
                enable,
                weight_error: 1_000_000,
                ..Resilient::default()
            },
            ..lab::config()
        };
        let (mut router, mut random) = (Router::whole(&config, 6, false), Random(20));
        router.route(&mut random, 1, &[(2, 1), (4, 1), (6, 1)].into());
        let before = router.tables(1).0;
        let pass = |router: &mut Router, seconds: u32| {
            for _ in 0..seconds {
                router.traffic(1, 0..before.len());
                router.lab.pass(SECOND);
            }
        };
        pass(&mut router, 20);
        router.drain(4, false, 60).expect("a drain");
        pass(&mut router, 5);
        assert_eq!(router.tables(1).0, before, "all are in use");
        router.link(interface(4), false);
        pass(&mut router, 5);
        assert_eq!(router.tables(1).0, vec![0; before.len()]);
        router.link(interface(4), true);
        assert_eq!(router.tables(1).0, before, "enable {enable}");
        pass(&mut router, 40);
        assert_eq!(router.tables(1).0, before, "the drain has its time");
        pass(&mut router, 15);
        assert!(!router.tables(1).0.contains(&4), "which is over");
    }
}

//! Who forwards when nobody else is left keeps what it has when others return; and a table that was made
//! when nobody could be used has given nobody anything.

use crate::lab;
use crate::oracle::Random;
use crate::oracle::world::{Router, SECOND, interface};
use control::config::{Config, Resilient};
use control::deal::Recovery;
use control::event::NeighborState;

fn router(enable: bool, recovery: Option<Recovery>) -> (Router, Random) {
    let config = Config {
        resilient: Resilient {
            enable,
            recovery,
            weight_error: 1_000_000,
            active_timer: 10 * SECOND,
            ..Resilient::default()
        },
        ..lab::config()
    };
    (Router::whole(&config, 4, false), Random(7))
}

fn has(router: &Router, prefix: u8, n: u8) -> usize {
    let table = router.tables(prefix).0;
    table.iter().filter(|owner| **owner == n).count()
}

#[test]
fn the_last_resort_waits_no_longer() {
    for enable in [false, true] {
        let (mut router, mut random) = router(enable, Some(Recovery::Never));
        router.route(&mut random, 1, &[(1, 1), (2, 1), (3, 1)].into());
        router.lab.pass(20 * SECOND);
        let back = |router: &mut Router, n: u8| router.neighbor(n, NeighborState::Reachable);
        let lost = |router: &mut Router, n: u8| router.neighbor(n, NeighborState::Failed);
        lost(&mut router, 1);
        back(&mut router, 1);
        assert_eq!(has(&router, 1, 1), 0, "it waits to be called");
        lost(&mut router, 2);
        lost(&mut router, 3);
        let size = router.tables(1).0.len();
        assert_eq!(has(&router, 1, 1), size, "nobody else is left");
        back(&mut router, 2);
        back(&mut router, 3);
        assert_eq!(has(&router, 1, 1), size, "others wait now, its flows stay");
        // It is in service again: who is called for gets a share of it, as buckets fall idle, no more.
        router.drain(2, true, 0).expect("called for");
        assert_eq!(has(&router, 1, 1), size, "nothing is idle yet");
        (0..60).for_each(|_| router.lab.pass(SECOND));
        let halves = [has(&router, 1, 1), has(&router, 1, 2), has(&router, 1, 3)];
        assert_eq!(halves, [size / 2, size / 2, 0], "enable {enable}");
    }
}

#[test]
fn a_table_made_when_nobody_could_be_used_has_given_nobody_anything() {
    for enable in [false, true] {
        let (mut router, mut random) = router(enable, None);
        router.route(&mut random, 1, &[(1, 1), (3, 1)].into());
        router.drain(1, false, 600).expect("a drain");
        let had = has(&router, 1, 1);
        router.link(interface(1), false);
        router.route(&mut random, 2, &[(1, 1), (3, 1)].into());
        router.link(interface(1), true);
        for n in [1, 3] {
            router.neighbor(n, NeighborState::Reachable);
        }
        assert_eq!(has(&router, 2, 1), 0, "it is being drained");
        assert_eq!(has(&router, 2, 3), router.tables(2).0.len());
        assert_eq!(has(&router, 1, 1), had, "and keeps what it had");
    }
}

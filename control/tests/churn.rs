//! What comes and goes leaves nothing behind.

use crate::lab::{Lab, PODS, prefix};
use control::event::NeighborState;

#[test]
fn hosts_that_come_and_go_are_forgotten() {
    let mut lab = Lab::dpu();
    lab.address(PODS, "10.128.0.1", 9);
    for n in 0..20_000_u32 {
        let host = format!("10.{}.{}.{}", 129 + n / 65_536, n >> 8 & 0xff, n & 0xff);
        lab.neighbor(PODS, &host, NeighborState::Reachable, 5);
        if n % 1000 == 7 {
            assert_eq!(
                lab.ports(&host)[0],
                Some(fastpath::table::PortId(2)),
                "{host}"
            );
            assert!(prefix(&format!("{host}/32")).is_host());
        }
        lab.neighbor_gone(PODS, &host);
    }
    let (nexthops, sets) = lab.control.remembered();
    assert!(nexthops < 8192 && sets < 8192, "{nexthops} {sets}");
    // Only the connected prefixes' groups are left.
    assert!(lab.groups().len() < 10);
}

//! Destinations on connected prefixes whose neighbor is not known.

use crate::lab::{Lab, P0, PODS, ip, prefix};
use control::event::{Action, NeighborState};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use control::glean::{AT_ONCE, SCANNED};
use fastpath::table::PortId;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// fd00:244:1::.
const SCANNED_NET: u128 = 0xfd00_0244_0001 << 80;

fn asked(lab: &mut Lab) -> Vec<Action> {
    lab.control.actions().collect()
}

/// A packet on its way to `address` by that port.
fn glean(lab: &mut Lab, port: u16, address: &str) {
    let now = lab.now;
    lab.control.glean([(PortId(port), ip(address))], now);
}

/// Routes through 169.254.0.0; what is asked for then.
fn route(lab: &mut Lab) -> Vec<Action> {
    let hop = Hop {
        gateway: Some(ip("169.254.0.0")),
        ifindex: P0,
        onlink: false,
        encap: false,
    };
    let route = Route {
        kind: RouteKind::Unicast,
        protocol: 186,
        via: Via::Hop(hop),
        prefsrc: None,
        mtu: 0,
    };
    let mut batch = Batch::default();
    batch.put(Message::Route(prefix("10.9.0.0/16"), route));
    lab.batch(batch);
    asked(lab)
}

fn resolve() -> Action {
    Action::Resolve {
        ifindex: P0,
        address: ip("169.254.0.0"),
    }
}

#[test]
fn a_next_hop_that_failed_is_asked_for_again() {
    let mut lab = Lab::dpu();
    assert!(route(&mut lab).contains(&resolve()));
    // As `ip neigh replace … nud failed` has it: the kernel keeps it resolved no longer.
    lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 1);
    assert_eq!(asked(&mut lab), [resolve()]);
    lab.neighbor(P0, "169.254.0.0", NeighborState::Incomplete, 1);
    lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 1);
    assert_eq!(asked(&mut lab), [], "lately");
    lab.pass(Duration::from_secs(3));
    lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 1);
    assert_eq!(asked(&mut lab), [resolve()]);
    lab.neighbor(PODS, "10.244.1.77", NeighborState::Failed, 1);
    assert_eq!(asked(&mut lab), [], "no next hop");
}

#[test]
fn a_host_is_asked_for_once_and_a_next_hop_is_left_to_the_kernel() {
    let mut lab = Lab::dpu();
    lab.neighbor_gone(P0, "169.254.0.0");
    assert!(route(&mut lab).contains(&resolve()));
    // A packet to the next hop itself: asking once would end its being kept resolved.
    glean(&mut lab, 0, "169.254.0.0");
    assert_eq!(asked(&mut lab), []);
    let probe = Action::Probe {
        ifindex: PODS,
        address: ip("10.244.1.77"),
    };
    glean(&mut lab, 2, "10.244.1.77");
    assert_eq!(asked(&mut lab), [probe]);
    glean(&mut lab, 2, "10.244.1.77");
    assert_eq!(asked(&mut lab), [], "lately");
}

/// Hosts of the connected /24 and /64 of PODS, each once.
fn scan() -> impl Iterator<Item = (PortId, IpAddr)> {
    (0..).map(|host| (PortId(2), Ipv6Addr::from(SCANNED_NET | host).into()))
}

#[test]
fn a_scan_gives_way_to_others() {
    let mut lab = Lab::dpu();
    asked(&mut lab);
    let now = lab.now;
    let mut left = scan();
    assert!(lab.control.glean(&mut left, now), "there is more");
    assert_eq!(
        left.next(),
        scan().nth(AT_ONCE),
        "of which nothing was taken"
    );
    assert_eq!(asked(&mut lab).len(), AT_ONCE);
    assert!(!lab.control.glean(left.take(3), now));
}

#[test]
fn a_scan_is_asked_for_only_so_fast_and_next_hops_all_the_same() {
    let mut lab = Lab::dpu();
    assert!(route(&mut lab).contains(&resolve()));
    let start = lab.now;
    let mut all = scan();
    let mut probes = |lab: &mut Lab, now| {
        for _ in 0..2 * SCANNED / AT_ONCE {
            lab.control.glean(&mut all, now);
        }
        asked(lab).len()
    };
    assert_eq!(probes(&mut lab, start), SCANNED);
    // zebra's routes wait for this one.
    lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 1);
    assert_eq!(asked(&mut lab), [resolve()]);
    let later = start + Duration::from_millis(999);
    assert_eq!(probes(&mut lab, later), 0);
    let later = start + Duration::from_secs(1);
    assert_eq!(probes(&mut lab, later), SCANNED);
}

//! Destinations on connected prefixes whose neighbor is not known.

use crate::lab::{Lab, P0, PODS, ip, prefix};
use control::event::{Action, Event, NeighborState};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use fastpath::table::PortId;
use std::time::Duration;

fn asked(lab: &mut Lab) -> Vec<Action> {
    lab.control.actions().collect()
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
    let to = |port, address: &str| Event::Glean {
        port: PortId(port),
        address: ip(address),
    };
    lab.event(to(0, "169.254.0.0"));
    assert_eq!(asked(&mut lab), []);
    let probe = Action::Probe {
        ifindex: PODS,
        address: ip("10.244.1.77"),
    };
    lab.event(to(2, "10.244.1.77"));
    assert_eq!(asked(&mut lab), [probe]);
    lab.event(to(2, "10.244.1.77"));
    assert_eq!(asked(&mut lab), [], "lately");
}

//! What the router does, one rule a test, seen through the tables that workers read.

use crate::lab;
use crate::lab::zebra::{hop, route, say};
use crate::lab::{FAKE, Lab, P0, P1, PODS, ip, port, prefix};
use control::api::message::RouteQuery;
use control::api::{Reply, Request, Response};
use control::config::{Address, Config, Kernel, Neighbor, Nexthop, Route, Target};
use control::event::{Action, Event, KernelSync, NeighborState};
use control::fpm::decode::{Hop, Message, Object, Route as FpmRoute, RouteKind, Via};
use fastpath::table::{Disposition, DropReason, GroupId, PortId, Tables};
use std::collections::BTreeMap;
use std::time::Duration;

fn bgp(lab: &mut Lab, to: &str, via: Via) {
    say(lab, vec![Message::Route(prefix(to), route(186, via))]);
}

fn both() -> Via {
    Via::Hops([(hop("169.254.0.0", P0), 1), (hop("169.254.0.2", P1), 1)].into())
}

fn spread(pairs: &[(Option<u16>, usize)]) -> BTreeMap<Option<u16>, usize> {
    pairs.iter().copied().collect()
}

fn disposition(lab: &Lab, destination: &str) -> Disposition {
    lab.tables
        .adjacencies
        .slot(lab.flows(destination)[0])
        .facts()
        .disposition()
}

fn note(lab: &mut Lab, of: &str) -> String {
    let query = RouteQuery {
        prefix: Some(prefix(of)),
        ..RouteQuery::default()
    };
    match lab.ask(&Request::ShowRoute(query)) {
        Response::Route(r) => r
            .routes
            .last()
            .and_then(|r| r.note.clone())
            .unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

fn object(id: u32, hop: Hop) -> Message {
    Message::Nexthop(id, Object::Hop(hop))
}

fn group(id: u32, members: &[(u32, u32)]) -> Message {
    Message::Nexthop(
        id,
        Object::Group {
            members: members.into(),
            resilient: None,
        },
    )
}

#[test]
fn unknown_ids_are_waited_for_in_any_order_and_keep_what_was() {
    let mut lab = Lab::dpu();
    lab.connect();
    bgp(&mut lab, "10.9.0.0/16", Via::Id(36));
    assert_eq!(lab.lookup(ip("10.9.0.1")), GroupId::NONE);
    assert_eq!(note(&mut lab, "10.9.0.0/16"), "nexthop group 36 unknown");
    say(&mut lab, vec![group(36, &[(24, 1), (37, 1)])]);
    say(&mut lab, vec![object(24, hop("169.254.0.0", P0))]);
    assert_eq!(lab.lookup(ip("10.9.0.1")), GroupId::NONE, "one is missing");
    say(&mut lab, vec![object(37, hop("169.254.0.2", P1))]);
    assert_eq!(
        lab.spread("10.9.0.1"),
        spread(&[(Some(0), 32), (Some(1), 32)])
    );
    let before = lab.ports("10.9.0.1");
    bgp(&mut lab, "10.9.0.0/16", Via::Id(99));
    assert_eq!(lab.ports("10.9.0.1"), before, "99 was never sent");
    // Deleted and sent anew in one frame: replaced.
    say(
        &mut lab,
        vec![Message::DelNexthop(99), object(99, hop("169.254.0.2", P1))],
    );
    assert_eq!(lab.spread("10.9.0.1"), spread(&[(Some(1), 64)]));
    // The same id with another content moves its users.
    say(&mut lab, vec![object(99, hop("169.254.0.0", P0))]);
    assert_eq!(lab.spread("10.9.0.1"), spread(&[(Some(0), 64)]));
    say(&mut lab, vec![Message::DelNexthop(99)]);
    assert_eq!(
        lab.spread("10.9.0.1"),
        spread(&[(Some(0), 64)]),
        "in use: kept"
    );
}

#[test]
fn a_death_is_repaired_and_a_return_restores() {
    for (kill, revive) in [
        (
            (|lab: &mut Lab| lab.carrier(P0, false)) as fn(&mut Lab),
            (|lab: &mut Lab| lab.carrier(P0, true)) as fn(&mut Lab),
        ),
        (
            |lab| lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 0),
            |lab| lab.neighbor(P0, "169.254.0.0", NeighborState::Reachable, 2),
        ),
        (
            |lab| {
                let noticed = lab.noticed();
                let port = PortId(0);
                lab.event(Event::PortCarrier {
                    port,
                    up: false,
                    noticed,
                });
            },
            |lab| {
                let noticed = lab.noticed();
                let port = PortId(0);
                lab.event(Event::PortCarrier {
                    port,
                    up: true,
                    noticed,
                });
            },
        ),
    ] {
        let mut lab = Lab::dpu();
        bgp(&mut lab, "0.0.0.0/0", both());
        let home = lab.ports("203.0.113.1");
        assert_eq!(
            lab.spread("203.0.113.1"),
            spread(&[(Some(0), 32), (Some(1), 32)])
        );
        kill(&mut lab);
        assert_eq!(lab.spread("203.0.113.1"), spread(&[(Some(1), 64)]));
        lab.neighbor(P1, "169.254.0.2", NeighborState::Failed, 0);
        let down = Disposition::Drop(DropReason::NexthopDown);
        assert_eq!(disposition(&lab, "203.0.113.1"), down);
        lab.neighbor(P1, "169.254.0.2", NeighborState::Stale, 2);
        revive(&mut lab);
        assert_eq!(lab.ports("203.0.113.1"), home);
        assert!(lab.control.is_whole());
    }
}

#[test]
fn workers_do_at_once_what_control_writes_next() {
    let mut lab = Lab::dpu();
    for n in 10..15 {
        lab.neighbor(P0, &format!("10.1.0.{n}"), NeighborState::Reachable, n);
    }
    lab.address(P0, "10.1.0.1", 24);
    let hops = (10_u8..15).map(|n| (hop(&format!("10.1.0.{n}"), P0), u32::from(n)));
    bgp(&mut lab, "10.9.0.0/16", Via::Hops(hops.collect()));
    for n in [12, 14, 10] {
        let id = lab
            .flows("10.9.0.1")
            .into_iter()
            .find(|&id| lab.tables.adjacencies.slot(id).header()[5] == n);
        let id = id.expect("a bucket of the member");
        lab.tables.down.set_adjacency(id);
        let workers = lab.flows("10.9.0.1");
        lab.tables.down.clear_adjacency(id);
        lab.neighbor(P0, &format!("10.1.0.{n}"), NeighborState::Failed, 0);
        assert_eq!(lab.flows("10.9.0.1"), workers);
    }
}

#[test]
fn a_new_mac_moves_no_flow() {
    let mut lab = Lab::dpu();
    bgp(&mut lab, "0.0.0.0/0", both());
    let (ports, old) = (lab.ports("203.0.113.1"), lab.flows("203.0.113.1"));
    lab.neighbor(P0, "169.254.0.0", NeighborState::Reachable, 77);
    assert_eq!(lab.ports("203.0.113.1"), ports);
    let mac_of = |id| lab.tables.adjacencies.slot(id).header()[5];
    let new = lab.flows("203.0.113.1");
    let changed = new.iter().zip(&old).filter(|(n, o)| n != o).count();
    assert_eq!(changed, 32);
    assert!(new.iter().all(|&id| [77, 2].contains(&mac_of(id))));
    assert!(lab.control.is_whole());
}

#[test]
fn the_fake_gateway_and_the_real_one_are_told_apart() {
    let mut lab = Lab::dpu();
    let onlink = |ifindex| Hop {
        onlink: true,
        ..hop(FAKE, ifindex)
    };
    let fake = Via::Hops([(onlink(P0), 1), (onlink(P1), 1)].into());
    bgp(&mut lab, "10.9.0.0/16", fake.clone());
    assert_eq!(
        lab.spread("10.9.0.1"),
        spread(&[(Some(0), 32), (Some(1), 32)])
    );
    let actions: Vec<Action> = lab.control.actions().collect();
    let asked = |a: &Action| matches!(a, Action::Resolve { address, .. } if *address == ip(FAKE));
    assert!(
        !actions.iter().any(asked),
        "zebra's entry is left alone: {actions:?}"
    );

    // Another lab: the leaf on p0 is 169.254.0.1 itself, an ordinary neighbor.
    let mut lab = Lab::new(&lab::config());
    lab.link(P0, "p0", true);
    lab.link(P1, "p1", true);
    lab.address(P0, "169.254.0.0", 31);
    bgp(&mut lab, "10.9.0.0/16", Via::Hop(hop(FAKE, P0)));
    let actions: Vec<Action> = lab.control.actions().collect();
    let resolve = Action::Resolve {
        ifindex: P0,
        address: ip(FAKE),
    };
    assert!(actions.contains(&resolve), "{actions:?}");
    lab.neighbor(P0, FAKE, NeighborState::Reachable, 1);
    assert_eq!(lab.spread("10.9.0.1"), spread(&[(Some(0), 64)]));
    // zebra's fake gateway on p1 arrives later, its route first.
    bgp(&mut lab, "10.8.0.0/16", Via::Hop(onlink(P1)));
    assert_eq!(lab.control.actions().count(), 0, "not ours to ask for");
    assert_eq!(lab.spread("10.8.0.1"), spread(&[(None, 64)]));
    lab.neighbor_by(P1, FAKE, NeighborState::Permanent, 9, true);
    assert_eq!(lab.spread("10.8.0.1"), spread(&[(Some(1), 64)]));
    assert_eq!(lab.spread("10.9.0.1"), spread(&[(Some(0), 64)]));
}

#[test]
fn wanted_neighbors_are_asked_for_again_when_the_kernel_forgets_them() {
    let mut lab = Lab::dpu();
    lab.control.actions().for_each(drop);
    bgp(&mut lab, "10.9.0.0/16", Via::Hop(hop("169.254.0.0", P0)));
    let resolve = Action::Resolve {
        ifindex: P0,
        address: ip("169.254.0.0"),
    };
    assert_eq!(lab.control.actions().collect::<Vec<_>>(), [resolve.clone()]);
    lab.neighbor(P0, "169.254.0.0", NeighborState::Probe, 2);
    assert_eq!(lab.control.actions().count(), 0);
    lab.neighbor_gone(P0, "169.254.0.0");
    assert_eq!(lab.control.actions().collect::<Vec<_>>(), [resolve.clone()]);
    lab.link(P0, "p0", false);
    assert_eq!(lab.control.actions().count(), 0, "no link, no question");
    lab.link(P0, "p0", true);
    assert_eq!(lab.control.actions().collect::<Vec<_>>(), [resolve]);
    say(&mut lab, vec![Message::DelRoute(prefix("10.9.0.0/16"))]);
    let release = Action::Release {
        ifindex: P0,
        address: ip("169.254.0.0"),
    };
    assert_eq!(lab.control.actions().collect::<Vec<_>>(), [release]);
}

#[test]
fn connected_prefixes_glean_until_the_neighbor_is_known() {
    let mut lab = Lab::dpu();
    assert_eq!(disposition(&lab, "10.244.1.1"), Disposition::Punt, "own");
    assert_eq!(disposition(&lab, "10.244.1.5"), Disposition::Glean);
    let glean = (PortId(2), ip("10.244.1.5"));
    lab.control.actions().for_each(drop);
    let now = lab.now;
    lab.control.glean([glean, glean], now);
    let probe = Action::Probe {
        ifindex: PODS,
        address: ip("10.244.1.5"),
    };
    assert_eq!(
        lab.control.actions().collect::<Vec<_>>(),
        [probe],
        "once a second"
    );
    lab.neighbor(PODS, "10.244.1.5", NeighborState::Reachable, 5);
    assert_eq!(lab.spread("10.244.1.5"), spread(&[(Some(2), 64)]));
    assert_eq!(
        lab.control.actions().count(),
        0,
        "hosts are not kept resolved"
    );
    // A better route than the connected prefix: the neighbor is not on the link by it.
    bgp(&mut lab, "10.244.1.4/30", Via::Hop(hop("169.254.0.2", P1)));
    assert_eq!(lab.spread("10.244.1.5"), spread(&[(Some(1), 64)]));
    say(&mut lab, vec![Message::DelRoute(prefix("10.244.1.4/30"))]);
    lab.pass(Duration::from_secs(5)); // The only one of BGP is kept for a restart.
    assert_eq!(lab.spread("10.244.1.5"), spread(&[(Some(2), 64)]));
    lab.neighbor(PODS, "10.244.1.5", NeighborState::Failed, 0);
    assert_eq!(disposition(&lab, "10.244.1.5"), Disposition::Glean);
    // Without a link the prefix is not connected, and another way may exist.
    bgp(&mut lab, "10.244.1.0/24", Via::Hop(hop("169.254.0.2", P1)));
    assert_eq!(
        disposition(&lab, "10.244.1.5"),
        Disposition::Glean,
        "connected wins"
    );
    lab.link(PODS, "pods0", false);
    assert_eq!(lab.spread("10.244.1.5"), spread(&[(Some(1), 64)]));
    lab.link(PODS, "pods0", true);
    assert_eq!(disposition(&lab, "10.244.1.5"), Disposition::Glean);
    lab.address_gone(PODS, "10.244.1.1", 24);
    assert_eq!(lab.spread("10.244.1.1"), spread(&[(Some(1), 64)]));
    // A gateway outside any connected prefix is no host on the link.
    assert_eq!(lab.lookup(ip("172.31.0.1")), GroupId::NONE);
}

#[test]
fn the_kernels_own_routes() {
    let mut lab = Lab::dpu();
    let kernel = |lab: &mut Lab, to: &str, via| {
        say(lab, vec![Message::Route(prefix(to), route(2, via))]);
    };
    let device = |ifindex| {
        Via::Hop(Hop {
            gateway: None,
            ..hop("0.0.0.0", ifindex)
        })
    };
    // A copy of a connected prefix does not outlive it, though its delete is lost.
    kernel(&mut lab, "10.244.1.0/24", device(PODS));
    assert_eq!(disposition(&lab, "10.244.1.9"), Disposition::Glean);
    assert_eq!(
        note(&mut lab, "10.244.1.0/24"),
        "a copy; rtnetlink speaks for it"
    );
    lab.address_gone(PODS, "10.244.1.1", 24);
    assert_eq!(lab.lookup(ip("10.244.1.9")), GroupId::NONE);
    // Routes through a gateway or a device that nobody else knows of.
    kernel(&mut lab, "198.19.0.0/24", Via::Hop(hop("169.254.0.2", P1)));
    assert_eq!(lab.spread("198.19.0.9"), spread(&[(Some(1), 64)]));
    kernel(&mut lab, "198.18.4.0/24", device(PODS));
    assert_eq!(disposition(&lab, "198.18.4.9"), Disposition::Glean);
    // Through an interface that is not a port: the kernel's business.
    kernel(&mut lab, "192.0.2.0/24", Via::Hop(hop("10.0.0.254", 99)));
    assert_eq!(disposition(&lab, "192.0.2.9"), Disposition::Punt);
    let mixed = Via::Hops([(hop("10.0.0.254", 99), 1), (hop("169.254.0.2", P1), 1)].into());
    bgp(&mut lab, "192.0.3.0/24", mixed);
    assert_eq!(
        lab.spread("192.0.3.9"),
        spread(&[(Some(1), 64)]),
        "the port's member alone"
    );
}

#[test]
fn routes_that_drop_say_why() {
    let mut lab = Lab::dpu();
    for (kind, reason) in [
        (RouteKind::Blackhole, DropReason::Blackhole),
        (RouteKind::Unreachable, DropReason::Unreachable),
        (RouteKind::Prohibit, DropReason::Prohibited),
    ] {
        let route = FpmRoute {
            kind,
            ..route(196, Via::Nothing)
        };
        say(
            &mut lab,
            vec![Message::Route(prefix("198.18.0.0/24"), route)],
        );
        assert_eq!(disposition(&lab, "198.18.0.9"), Disposition::Drop(reason));
    }
    let encap = Hop {
        encap: true,
        ..hop("169.254.0.2", P1)
    };
    bgp(&mut lab, "198.18.1.0/24", Via::Hop(encap));
    assert_eq!(
        disposition(&lab, "198.18.1.9"),
        Disposition::Drop(DropReason::NexthopDown)
    );
}

#[test]
fn too_many_buckets_are_refused_and_nothing_else_suffers() {
    let mut lab = Lab::sized(&lab::config(), Tables::new(64, 256, 256));
    lab.link(P0, "p0", true);
    lab.link(P1, "p1", true);
    for n in 1..9 {
        lab.neighbor(P0, &format!("192.0.2.{n}"), NeighborState::Reachable, n);
    }
    let pair = |a: u8, b: u8| {
        let hops = [a, b].map(|n| (hop(&format!("192.0.2.{n}"), P0), 1));
        Via::Hops(hops.into())
    };
    for n in 1..8 {
        bgp(&mut lab, &format!("10.{n}.0.0/16"), pair(n, n + 1));
    }
    let works = (1..8).filter(|n| lab.lookup(ip(&format!("10.{n}.0.1"))) != GroupId::NONE);
    let works: Vec<i32> = works.collect();
    assert_eq!(works, [1, 2, 3], "three groups of 64 in 256 buckets");
    let why = note(&mut lab, "10.4.0.0/16");
    assert!(
        why.contains("64 buckets") && why.contains("of 256"),
        "{why}"
    );
    // Others hold the groups of those that change now.
    bgp(&mut lab, "10.12.0.0/16", pair(2, 3));
    bgp(&mut lab, "10.13.0.0/16", pair(3, 4));
    // What is installed makes do with one of the next hops meant, when its update finds no room:
    // with one that it had, and flows that use it stay …
    let before = lab.flows("10.3.0.1");
    bgp(&mut lab, "10.3.0.0/16", pair(4, 5));
    assert!(note(&mut lab, "10.3.0.0/16").contains("of 256"));
    let after = lab.flows("10.3.0.1");
    let four = &after[0];
    assert!(after.iter().all(|a| a == four), "one next hop");
    assert_eq!(
        before.iter().filter(|a| *a == four).count(),
        32,
        "it had half"
    );
    // … else with a new one, not with those that are no longer meant.
    let before = lab.flows("10.2.0.1");
    bgp(&mut lab, "10.2.0.0/16", pair(7, 8));
    assert!(note(&mut lab, "10.2.0.0/16").contains("of 256"));
    let after = lab.flows("10.2.0.1");
    assert!(after.iter().all(|a| *a == after[0] && !before.contains(a)));
    assert_eq!(lab.spread("10.2.0.1"), spread(&[(Some(0), 64)]));
    bgp(&mut lab, "10.2.0.0/16", pair(2, 3));
    // Room again: tried again.
    for gone in ["10.1.0.0/16", "10.13.0.0/16"] {
        say(&mut lab, vec![Message::DelRoute(prefix(gone))]);
    }
    lab.pass(Duration::from_secs(11));
    lab.pass(Duration::from_secs(11));
    assert_eq!(note(&mut lab, "10.3.0.0/16"), "");
    let stayed = lab.flows("10.3.0.1").iter().filter(|a| *a == four).count();
    assert_eq!(stayed, 32, "and the newcomer has its half");
    assert_eq!(note(&mut lab, "10.4.0.0/16"), "");
    assert_eq!(lab.spread("10.4.0.1"), spread(&[(Some(0), 64)]));
}

#[test]
fn a_dump_of_the_kernel_takes_away_what_it_does_not_report() {
    let mut lab = Lab::dpu();
    lab.event(Event::KernelSync(KernelSync::Begin));
    lab.link(P1, "p1", true);
    lab.address(P1, "169.254.0.3", 31);
    lab.leaf(P1, true);
    lab.event(Event::KernelSync(KernelSync::End));
    assert_eq!(lab.lookup(ip("10.244.1.5")), GroupId::NONE);
    assert_eq!(
        lab.lookup(ip("10.0.0.1")),
        GroupId::NONE,
        "own address gone"
    );
    bgp(&mut lab, "0.0.0.0/0", both());
    assert_eq!(lab.spread("203.0.113.1"), spread(&[(Some(1), 64)]));
}

#[test]
fn a_held_resync_is_released_by_hand() {
    let mut lab = Lab::dpu();
    lab.connect();
    for n in 0..100 {
        bgp(&mut lab, &format!("10.9.{n}.0/24"), both());
    }
    lab.pass(Duration::from_secs(6));
    lab.connect();
    bgp(&mut lab, "10.9.1.0/24", both());
    lab.pass(Duration::from_secs(6));
    assert_eq!(lab.spread("10.9.7.1").len(), 2, "held");
    assert_eq!(lab.ask(&Request::FpmRelease), Response::Released(99));
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.lookup(ip("10.9.7.1")), GroupId::NONE);
    assert_eq!(lab.spread("10.9.1.1").len(), 2);
    let Response::Events(events) = lab.ask(&Request::ShowEvents) else {
        panic!("events");
    };
    let held = events
        .iter()
        .any(|e| e.object == "fpm" && e.what == "resync held");
    assert!(held, "{events:?}");
}

#[test]
fn a_configuration_without_kernel_and_zebra_forwards() {
    let mut config = Config {
        ports: vec![
            port("host0", Kernel::None),
            port("up1", Kernel::None),
            port("up2", Kernel::None),
        ],
        ..Config::default()
    };
    let [host0, up1, up2] = [0, 1, 2].map(PortId);
    config.addresses = vec![Address {
        port: host0,
        address: ip("10.244.1.1"),
        prefix_len: 24,
    }];
    config.neighbors = vec![
        Neighbor {
            port: up1,
            address: ip("169.254.0.1"),
            mac: [2, 0, 0, 0, 1, 1],
        },
        Neighbor {
            port: up2,
            address: ip("169.254.0.3"),
            mac: [2, 0, 0, 0, 1, 3],
        },
    ];
    let nexthops = vec![
        Nexthop {
            via: Some(ip("169.254.0.1")),
            port: up1,
            weight: 1,
        },
        Nexthop {
            via: Some(ip("169.254.0.3")),
            port: up2,
            weight: 3,
        },
    ];
    let to = |text, target| Route {
        prefix: prefix(text),
        target,
    };
    config.routes = vec![
        to("10.0.0.0/8", Target::Nexthops(nexthops)),
        to("10.66.0.0/16", Target::Prohibit),
    ];
    let mut lab = Lab::new(&config);
    assert_eq!(
        lab.spread("10.1.2.3"),
        spread(&[(Some(1), 16), (Some(2), 48)])
    );
    assert_eq!(
        disposition(&lab, "10.66.0.1"),
        Disposition::Drop(DropReason::Prohibited)
    );
    assert_eq!(disposition(&lab, "10.244.1.1"), Disposition::Punt);
    assert_eq!(disposition(&lab, "10.244.1.2"), Disposition::Glean);
    let flow = control::api::message::Flow {
        ingress: "host0".into(),
        source: ip("10.244.1.2"),
        destination: ip("10.1.2.3"),
        protocol: 6,
        source_port: 1,
        destination_port: 80,
        flow_label: 0,
    };
    let Response::Calc(calc) = lab.ask(&Request::Calc(flow.clone())) else {
        panic!("calc");
    };
    assert_eq!((calc.prefix, calc.buckets), (prefix("10.0.0.0/8"), 64));
    let at = lab.ports("10.1.2.3")[calc.bucket as usize];
    assert_eq!(calc.port, format!("up{}", at.expect("port").0));
    let nowhere = Request::Calc(control::api::message::Flow {
        ingress: "eth9".into(),
        ..flow
    });
    let Reply::Error(error) = lab.control.answer(&nowhere, lab.now) else {
        panic!("eth9");
    };
    assert_eq!(
        error.to_string(),
        "port eth9: calc: no such port; ports are host0, up1, up2"
    );
}

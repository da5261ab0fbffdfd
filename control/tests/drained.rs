//! Next hops that are spared, and what becomes of that when routes and ports come and go.

use crate::lab::zebra::{hop, route, say};
use crate::lab::{Lab, P0, P1, ip, prefix};
use control::api::message::{Drain, Nexthop};
use control::api::{Reply, Request, Response};
use control::event::{Action, NeighborState, Noticed};
use control::fpm::decode::{Message, Via};
use fastpath::table::{AdjacencyId, Tables};
use std::time::{Duration, SystemTime};

const TO: &str = "203.0.113.1";
const LEAF1: &str = "169.254.0.0";
const LEAF2: &str = "169.254.0.2";

fn default_route(lab: &mut Lab, leaves: &[(&str, u32)]) {
    let hops = leaves.iter().map(|(via, on)| (hop(via, *on), 1)).collect();
    let to = Message::Route(prefix("0.0.0.0/0"), route(186, Via::Hops(hops)));
    say(lab, vec![to]);
}

fn both(lab: &mut Lab) {
    default_route(lab, &[(LEAF1, P0), (LEAF2, P1)]);
}

/// By which ports flows leave.
fn used(lab: &Lab) -> Vec<Option<u16>> {
    lab.spread(TO).into_keys().collect()
}

fn ask(lab: &mut Lab, wanted: Drain) -> Result<(), String> {
    let (control, now) = (&mut lab.control, lab.now);
    let reply = lab
        .view
        .offline(|| control.answer(&Request::Drain(wanted), now));
    match reply {
        Reply::Ok(_) => Ok(()),
        Reply::Error(error) => Err(error.to_string()),
    }
}

fn leaf1(port: Option<&str>, back: bool) -> Drain {
    Drain {
        nexthop: ip(LEAF1),
        port: port.map(Into::into),
        back,
        over: 0,
        force: false,
        dry_run: false,
    }
}

#[test]
fn who_is_undrained_while_no_route_has_it_is_back_with_the_next() {
    let mut lab = Lab::dpu();
    both(&mut lab);
    ask(&mut lab, leaf1(None, false)).expect("drained");
    assert_eq!(used(&lab), [Some(1)]);
    default_route(&mut lab, &[(LEAF2, P1)]);
    ask(&mut lab, leaf1(None, true)).expect("undrained");
    both(&mut lab);
    assert_eq!(used(&lab), [Some(0), Some(1)]);
    // One that no route has stays drained until somebody says otherwise.
    ask(&mut lab, leaf1(None, false)).expect("drained");
    default_route(&mut lab, &[(LEAF2, P1)]);
    both(&mut lab);
    assert_eq!(used(&lab), [Some(1)]);
}

#[test]
fn what_is_said_of_all_ports_includes_what_was_said_of_one() {
    let mut lab = Lab::dpu();
    both(&mut lab);
    ask(&mut lab, leaf1(Some("up1"), false)).expect("drained");
    ask(&mut lab, leaf1(None, false)).expect("drained");
    let one = ask(&mut lab, leaf1(Some("up1"), true)).expect_err("it is more");
    assert!(one.contains("it is drained on all ports"), "{one}");
    ask(&mut lab, leaf1(None, true)).expect("undrained");
    assert_eq!(used(&lab), [Some(0), Some(1)]);
    // It stays so, whatever routes do.
    default_route(&mut lab, &[(LEAF2, P1)]);
    both(&mut lab);
    assert_eq!(used(&lab), [Some(0), Some(1)]);
    let again = ask(&mut lab, leaf1(None, true)).expect_err("twice");
    assert!(again.contains("it is not drained"), "{again}");
    ask(&mut lab, leaf1(Some("up1"), false)).expect("drained");
    ask(&mut lab, leaf1(None, true)).expect("undrained on all ports");
    assert_eq!(used(&lab), [Some(0), Some(1)]);
}

fn state(lab: &mut Lab, via: &str) -> String {
    let Response::Nexthop(all) = lab.ask(&Request::ShowNexthop) else {
        panic!("next hops");
    };
    let it = |n: &&Nexthop| n.via == Some(ip(via));
    all.iter().find(it).expect("known").state.clone()
}

#[test]
fn a_next_hop_without_room_says_so_and_comes_in_when_there_is_some() {
    // Room for two.
    let adjacencies = AdjacencyId::FIRST_FREE.0 as usize + 2;
    let mut lab = Lab::sized(&crate::lab::config(), Tables::new(64, 4096, adjacencies));
    lab.link(P0, "p0", true);
    lab.link(P1, "p1", true);
    let other = "172.31.0.1";
    default_route(&mut lab, &[(LEAF1, P0), (LEAF2, P1), (other, P0)]);
    lab.neighbor(P0, LEAF1, NeighborState::Reachable, 2);
    lab.neighbor(P1, LEAF2, NeighborState::Reachable, 2);
    let flows = lab.flows(TO);
    assert_eq!(used(&lab), [Some(0), Some(1)]);
    // Another MAC address takes another adjacency before the old one can be given back.
    lab.neighbor(P0, LEAF1, NeighborState::Reachable, 9);
    assert_eq!(used(&lab), [Some(0), Some(1)]);
    let moved = lab
        .flows(TO)
        .iter()
        .zip(&flows)
        .filter(|(a, b)| a != b)
        .count();
    assert!(moved <= 32, "{moved}");
    lab.neighbor(P0, other, NeighborState::Reachable, 3);
    assert_eq!(state(&mut lab, other), "no-room");
    lab.neighbor(P1, LEAF2, NeighborState::Failed, 2);
    assert_eq!(state(&mut lab, other), "up");
    assert_eq!(used(&lab), [Some(0)]);
}

/// What is kept of the drain, in milliseconds since 1970.
fn kept_until(lab: &Lab) -> Vec<u64> {
    let drains = lab.control.image(lab.now).drains;
    drains.iter().map(|d| d.until_ms).collect()
}

#[test]
fn what_is_said_of_a_next_hop_without_routes_is_kept_as_well() {
    let mut lab = Lab::dpu();
    both(&mut lab);
    lab.control.keep_tables();
    ask(&mut lab, leaf1(None, false)).expect("drained");
    default_route(&mut lab, &[(LEAF2, P1)]);
    lab.pass(Duration::from_secs(10));
    let keeps = |lab: &mut Lab| {
        let all = lab.control.actions();
        all.filter(|a| matches!(a, Action::Keep(_))).count()
    };
    assert_eq!((keeps(&mut lab), kept_until(&lab).len()), (1, 1));
    ask(&mut lab, leaf1(None, true)).expect("undrained");
    lab.pass(Duration::from_secs(10));
    assert_eq!((keeps(&mut lab), kept_until(&lab).len()), (1, 0));
}

/// When what happened happened, in seconds since 1970.
fn events(lab: &mut Lab) -> Vec<u64> {
    match lab.ask(&Request::ShowEvents) {
        Response::Events(all) => all.iter().map(|e| e.time_ns / 1_000_000_000).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_drain_has_its_time_whenever_the_clock_is_set() {
    let mut lab = Lab::dpu();
    both(&mut lab);
    lab.control.keep_tables();
    let hour = || Drain {
        over: 3600,
        ..leaf1(None, false)
    };
    ask(&mut lab, hour()).expect("draining");
    lab.pass(Duration::from_secs(10));
    let keeps = |lab: &mut Lab| {
        let all = lab.control.actions();
        all.filter(|a| matches!(a, Action::Keep(_))).count()
    };
    assert_eq!((keeps(&mut lab), kept_until(&lab)), (1, vec![3_600_000]));
    // NTP comes late, and it has not been 1970 for long.
    let right = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let clock = |lab: &mut Lab, time| {
        let at = lab.now;
        lab.control.set_clock(Noticed { at, time });
    };
    clock(&mut lab, right);
    lab.pass(Duration::from_secs(10));
    assert_eq!(keeps(&mut lab), 1, "by the right clock");
    let until = 1_800_000_000_000 + 3_590_000;
    assert_eq!(kept_until(&lab), [until]);
    let before = events(&mut lab);
    ask(&mut lab, leaf1(None, true)).expect("undrained");
    ask(&mut lab, hour()).expect("draining");
    let all = events(&mut lab);
    assert!(before.iter().all(|s| *s < 100), "{before:?}");
    assert_eq!(all[before.len()..], [1_800_000_010; 2]);
    // The next evenpath, a minute later.
    let image = lab.control.image(lab.now);
    let mut next = Lab::dpu();
    clock(&mut next, right + Duration::from_secs(70));
    let now = next.now;
    next.control.resume(&image, now);
    assert_eq!(kept_until(&next), [until + 20_000]);
}

//! Next hops that are spared, and what becomes of that when routes and ports come and go.

use crate::lab::zebra::{hop, route, say};
use crate::lab::{Lab, P0, P1, ip, prefix};
use control::api::message::{Drain, Nexthop};
use control::api::{Reply, Request, Response};
use control::event::NeighborState;
use control::fpm::decode::{Message, Via};
use fastpath::table::{AdjacencyId, Tables};

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

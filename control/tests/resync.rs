//! How a resync ends, whatever else zebra says meanwhile; and that a table that goes, by its end or
//! by that of a restart, leaves others their turn.

use crate::lab::zebra::{hop, route, say};
use crate::lab::{Lab, P0, P1, config, ip, prefix};
use control::api::{Request, Response};
use control::config::{Config, Fpm};
use control::event::{Event, Neighbor, NeighborState};
use control::fpm::decode::{Message, Via};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// `settle` of the lab.
const SETTLE: Duration = Duration::from_secs(5);
const HOLD: Duration = Duration::from_secs(3);
const BGP: u8 = 186;
const STATIC: u8 = 196;

fn lab() -> Lab {
    let fpm = Fpm {
        restart_hold: HOLD,
        ..config().fpm
    };
    let mut lab = Lab::dpu_of(&Config { fpm, ..config() });
    lab.connect();
    lab
}

fn add(protocol: u8, to: &str, leaves: &[u32]) -> Message {
    let hop = |leaf: &u32| match leaf {
        0 => (hop("169.254.0.0", P0), 1),
        _ => (hop("169.254.0.2", P1), 1),
    };
    let via = Via::Hops(leaves.iter().map(hop).collect());
    Message::Route(prefix(to), route(protocol, via))
}

/// Routes of BGP, and a static one.
fn told() -> Vec<Message> {
    let bgp = (1..=4).map(|i| add(BGP, &format!("10.{i}.0.0/16"), &[0, 1]));
    bgp.chain([add(STATIC, "198.18.0.0/15", &[0])]).collect()
}

fn phase(lab: &mut Lab) -> String {
    match lab.ask(&Request::ShowFpm) {
        Response::Fpm(fpm) => fpm.sync,
        other => panic!("{other:?}"),
    }
}

fn has(lab: &mut Lab, to: &str) -> bool {
    lab.routes().iter().any(|r| r.prefix == prefix(to))
}

/// Time passes, and each second a route of BGP comes or goes that has no part in the resync.
fn churn(lab: &mut Lab, time: Duration) {
    for _ in 0..time.as_secs() {
        let word = match has(lab, "10.99.0.0/16") {
            true => Message::DelRoute(prefix("10.99.0.0/16")),
            false => add(BGP, "10.99.0.0/16", &[1]),
        };
        say(lab, vec![word]);
        lab.pass(SECOND);
    }
}

#[test]
fn a_resync_is_over_when_nothing_of_before_comes_whatever_else_changes() {
    let mut lab = lab();
    say(&mut lab, told());
    lab.pass(SETTLE);
    lab.connect();
    let mut back = told();
    back.remove(3);
    say(&mut lab, back);
    churn(&mut lab, SETTLE - SECOND);
    assert!(has(&mut lab, "10.4.0.0/16") && phase(&mut lab) == "filling");
    churn(&mut lab, SECOND);
    assert!(!has(&mut lab, "10.4.0.0/16") && phase(&mut lab) == "complete");
}

#[test]
fn a_held_resync_is_over_when_all_are_back_whatever_else_changes() {
    let mut lab = lab();
    say(&mut lab, told());
    lab.pass(SETTLE);
    // zebra is killed, and bgpd with it.
    lab.connect();
    let mut back = told();
    say(&mut lab, back.split_off(4));
    lab.pass(SETTLE);
    assert_eq!(phase(&mut lab), "held");
    lab.pass(10 * SETTLE);
    back.remove(3);
    say(&mut lab, back);
    churn(&mut lab, SETTLE - SECOND);
    assert!(has(&mut lab, "10.4.0.0/16") && phase(&mut lab) == "held");
    churn(&mut lab, SECOND);
    assert!(!has(&mut lab, "10.4.0.0/16") && phase(&mut lab) == "complete");
}

#[test]
fn a_held_resync_keeps_next_hops_that_bgp_leaves_out_no_longer_than_a_restart_does() {
    let mut lab = lab();
    let six = || {
        Message::Route(
            prefix("fd00:10::/32"),
            route(BGP, Via::Hop(hop("fe80::ff:fe00:2", P0))),
        )
    };
    say(&mut lab, told());
    say(&mut lab, vec![six()]);
    let before = lab.fpm_flows();
    lab.pass(SETTLE);
    // The operator has taken IPv6 out of BGP, and leaf 2 out of service, and restarted FRR.
    lab.connect();
    let half: Vec<_> = (1..=4)
        .map(|i| add(BGP, &format!("10.{i}.0.0/16"), &[0]))
        .collect();
    lab.pass(SECOND);
    say(&mut lab, half);
    lab.pass(HOLD - Duration::from_millis(1));
    assert_eq!(lab.fpm_flows(), before, "leaf 2 may be on its way");
    lab.pass(Duration::from_millis(1));
    assert_eq!(
        lab.spread("10.1.0.1").into_keys().collect::<Vec<_>>(),
        [Some(0)]
    );
    lab.pass(10 * SETTLE);
    assert_eq!(phase(&mut lab), "held");
    // What is told from here on counts at once, of routes as well that come only now.
    say(&mut lab, vec![add(BGP, "10.1.0.0/16", &[0, 1])]);
    say(&mut lab, vec![add(BGP, "10.1.0.0/16", &[0])]);
    assert_eq!(
        lab.spread("10.1.0.1").into_keys().collect::<Vec<_>>(),
        [Some(0)]
    );
}

/// More than one slice of routes.
const MANY: u32 = 9000;

fn many() -> impl Iterator<Item = String> {
    (0..MANY).map(|i| format!("172.{}.{}.{}/32", 16 + (i >> 16), i >> 8 & 255, i & 255))
}

/// Ticks until nothing is left to do at once: how many routes of zebra there are after each.
fn ticks(lab: &mut Lab) -> Vec<usize> {
    let mut left = Vec::new();
    while lab.control.next_deadline().is_some_and(|at| at <= lab.now) {
        let (control, now) = (&mut lab.control, lab.now);
        lab.view.offline(|| control.tick(now));
        left.push(lab.routes().iter().filter(|r| r.source == "fpm").count());
    }
    left
}

#[test]
fn a_table_that_goes_leaves_others_their_turn() {
    for way in [
        "bgpd has ended",
        "nothing came back",
        "both leaves have died",
    ] {
        let mut lab = lab();
        say(&mut lab, many().map(|p| add(BGP, &p, &[0, 1])).collect());
        let delete = || many().map(|p| Message::DelRoute(prefix(&p))).collect();
        match way {
            "bgpd has ended" => {
                say(&mut lab, delete());
                lab.now += HOLD;
            }
            "nothing came back" => {
                lab.pass(SETTLE);
                lab.connect();
                lab.pass(SETTLE);
                let (control, now) = (&mut lab.control, lab.now);
                assert_eq!(lab.view.offline(|| control.release(now)), u64::from(MANY));
            }
            _ => {
                say(&mut lab, delete());
                lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 0);
                let dead = Neighbor {
                    ifindex: P1,
                    address: ip("169.254.0.2"),
                    mac: None,
                    state: NeighborState::Failed,
                    zebra: false,
                };
                let (news, now) = (Event::Neighbor(dead, lab.noticed()), lab.now);
                lab.view.offline(|| lab.control.handle(news, now));
            }
        }
        let left = ticks(&mut lab);
        assert!(
            left.len() >= 2 && left.last() == Some(&0),
            "{way}: {left:?}"
        );
        let went = left.windows(2).map(|w| w[0] - w[1]);
        assert!(went.max() <= Some(4096), "{way}: {left:?}");
        assert!(left[0] >= MANY as usize - 2 * 4096, "{way}: {left:?}");
    }
}

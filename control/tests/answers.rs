//! What zebra is told of the routes that it sent.

use crate::lab;
use crate::lab::answers::newest;
use crate::lab::narrow::Narrow;
use crate::lab::{Lab, P0, P1, STREAMS, ip, prefix, stream};
use control::config::{self, Answer};
use control::event::NeighborState;
use control::fpm::Batch;
use control::fpm::attribute::Messages;
use control::fpm::decode::{self, Hop, Message, Object, Route, RouteKind, Via};
use control::fpm::frame::Frames;
use control::report::Programmed;
use fastpath::table::{GroupId, LpmWrite, Tables};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn via(gateways: &[(&str, u32)]) -> Via {
    let hop = |&(gateway, ifindex): &(&str, u32)| Hop {
        gateway: Some(ip(gateway)),
        ifindex,
        onlink: false,
        encap: false,
    };
    match gateways {
        [one] => Via::Hop(hop(one)),
        _ => Via::Hops(gateways.iter().map(|g| (hop(g), 1)).collect()),
    }
}

fn leaf1() -> Via {
    via(&[("169.254.0.0", P0)])
}

fn both() -> Via {
    via(&[("169.254.0.0", P0), ("169.254.0.2", P1)])
}

fn route(protocol: u8, kind: RouteKind, via: Via) -> Route {
    Route {
        kind,
        protocol,
        via,
        prefsrc: None,
        mtu: 0,
    }
}

fn say<L: LpmWrite>(lab: &mut Lab<L>, messages: Vec<Message>) {
    let mut batch = Batch::default();
    messages.into_iter().for_each(|m| batch.put(m));
    lab.batch(batch);
}

fn bgp<L: LpmWrite>(lab: &mut Lab<L>, to: &str, via: Via) {
    let route = route(186, RouteKind::Unicast, via);
    say(lab, vec![Message::Route(prefix(to), route)]);
}

fn dpu(answer: Answer) -> Lab {
    let fpm = config::Fpm {
        answer,
        ..lab::config().fpm
    };
    let mut lab = Lab::dpu_of(&config::Config {
        fpm,
        ..lab::config()
    });
    lab.connect();
    lab
}

fn one(prefix: &str, what: &'static str) -> Vec<(String, &'static str)> {
    vec![(prefix.to_owned(), what)]
}

#[test]
fn software_is_told_as_configured() {
    for (policy, what) in [
        (Answer::Offload, Some("offload")),
        (Answer::OffloadTrap, Some("offload-trap")),
        (Answer::Trap, Some("trap")),
        (Answer::None, None),
    ] {
        let mut lab = dpu(policy);
        bgp(&mut lab, "10.9.0.0/16", both());
        let told = what.map(|w| one("10.9.0.0/16", w)).unwrap_or_default();
        assert_eq!(lab.told(), told);
        assert_ne!(lab.lookup(ip("10.9.0.1")), GroupId::NONE);
        bgp(&mut lab, "10.9.0.0/16", leaf1());
        assert_eq!(lab.told(), told, "each update is answered");
        let sent: u64 = lab.answers().sent.values().sum();
        assert_eq!(sent, 2 * told.len() as u64);
    }
}

#[test]
fn hardware_is_told_when_it_takes_over_and_when_it_gives_up() {
    let mut lab = dpu(Answer::Trap);
    let it = prefix("10.9.0.0/16");
    bgp(&mut lab, "10.9.0.0/16", both());
    assert_eq!(lab.told(), one("10.9.0.0/16", "trap"));
    for (programmed, told) in [
        (Programmed::Software, None),
        (Programmed::Hardware, Some("offload")),
        (Programmed::Hardware, None),
        (Programmed::Partial, Some("trap")),
        (Programmed::Failed, Some("failed")),
        (Programmed::Software, Some("trap")),
    ] {
        lab.control.report(it, programmed);
        lab.pass(Duration::ZERO);
        let expected = told.map(|w| one("10.9.0.0/16", w)).unwrap_or_default();
        assert_eq!(lab.told(), expected, "{programmed:?}");
    }
    lab.control
        .report(prefix("10.8.0.0/16"), Programmed::Hardware);
    lab.control
        .report(prefix("10.244.1.0/24"), Programmed::Hardware);
    lab.pass(Duration::ZERO);
    assert_eq!(lab.told(), [], "not zebra's");
}

#[test]
fn a_route_that_waits_for_a_neighbor_is_told_when_it_becomes_the_kernels() {
    let mut lab = dpu(Answer::Offload);
    lab.leaf(P0, false);
    bgp(&mut lab, "10.9.0.0/16", leaf1());
    assert_eq!(lab.told(), [], "nobody knows the way yet");
    // Its netdev is no port of ours any more.
    lab.link(P0, "elsewhere", true);
    assert_eq!(lab.told(), one("10.9.0.0/16", "offload"));
}

#[test]
fn routes_that_drop_are_told_and_those_of_the_kernel_are_not() {
    let mut lab = dpu(Answer::Offload);
    for (kind, to) in [
        (RouteKind::Blackhole, "198.18.1.0/24"),
        (RouteKind::Unreachable, "198.18.2.0/24"),
        (RouteKind::Prohibit, "198.18.3.0/24"),
    ] {
        let message = Message::Route(prefix(to), route(196, kind, Via::Nothing));
        say(&mut lab, vec![message]);
        assert_eq!(lab.told(), one(to, "offload"));
    }
    let kernel = route(2, RouteKind::Unicast, leaf1());
    say(
        &mut lab,
        vec![Message::Route(prefix("198.19.0.0/24"), kernel)],
    );
    let sentinel = route(196, RouteKind::Blackhole, Via::Nothing);
    say(
        &mut lab,
        vec![Message::Route(prefix("fec0::ffff/128"), sentinel)],
    );
    bgp(&mut lab, "fe80::/64", leaf1());
    assert_eq!(lab.told(), []);
}

#[test]
fn nothing_is_told_before_a_next_hop_can_be_used() {
    let mut lab = dpu(Answer::Offload);
    let gone = via(&[("169.254.0.77", P0)]);
    bgp(&mut lab, "10.9.0.0/16", gone.clone());
    bgp(&mut lab, "10.8.0.0/16", gone.clone());
    bgp(&mut lab, "10.7.0.0/16", gone);
    assert_eq!(lab.told(), []);
    assert_eq!(lab.answers().unusable, 3);
    lab.neighbor(P0, "169.254.0.77", NeighborState::Incomplete, 7);
    lab.delete("10.8.0.0/16");
    bgp(&mut lab, "10.7.0.0/16", both());
    assert_eq!(lab.told(), one("10.7.0.0/16", "offload"));
    assert_eq!(lab.answers().unusable, 1);
    lab.neighbor(P0, "169.254.0.77", NeighborState::Reachable, 7);
    assert_eq!(lab.told(), one("10.9.0.0/16", "offload"));
    // Its death is no news: BGP says itself what follows.
    lab.neighbor(P0, "169.254.0.77", NeighborState::Failed, 7);
    lab.neighbor(P0, "169.254.0.77", NeighborState::Reachable, 7);
    assert_eq!(lab.told(), []);
    // Outside our ports the kernel forwards it.
    bgp(&mut lab, "192.0.2.0/24", via(&[("10.0.0.254", 99)]));
    assert_eq!(lab.told(), one("192.0.2.0/24", "offload"));
}

#[test]
fn a_route_that_waits_for_an_id_is_told_when_that_comes() {
    let mut lab = dpu(Answer::Offload);
    bgp(&mut lab, "10.9.0.0/16", Via::Id(34));
    assert_eq!(lab.told(), []);
    let Via::Hop(hop) = leaf1() else {
        unreachable!()
    };
    say(&mut lab, vec![Message::Nexthop(34, Object::Hop(hop))]);
    assert_eq!(lab.told(), one("10.9.0.0/16", "offload"));
}

#[test]
fn while_zebra_does_not_read_the_newest_word_on_each_route_is_kept() {
    let mut lab = dpu(Answer::Offload);
    bgp(&mut lab, "10.0.0.0/16", both());
    assert!(lab.load().is_some(), "handed over, and never written");
    for _ in 0..50 {
        for n in 1..200 {
            bgp(&mut lab, &format!("10.{n}.0.0/16"), both());
            bgp(&mut lab, &format!("10.{n}.0.0/16"), leaf1());
        }
    }
    assert!(lab.load().is_none(), "one load at a time");
    lab.delete("10.7.0.0/16");
    let answers = lab.answers();
    assert_eq!(
        (answers.waiting, answers.superseded),
        (199, 50 * 199 * 2 - 198)
    );
    lab.written();
    let told = lab.told();
    assert_eq!(told.len(), 198, "each once, the deleted one not");
    assert!(
        told.iter()
            .all(|(p, w)| p != "10.7.0.0/16" && *w == "offload")
    );
    let answers = lab.answers();
    assert_eq!((answers.waiting, answers.sent["offload"]), (0, 199));
}

#[test]
fn another_connection_is_told_all_and_nothing_of_the_one_before() {
    let mut lab = dpu(Answer::Offload);
    bgp(&mut lab, "10.1.0.0/16", both());
    assert!(lab.load().is_some());
    bgp(&mut lab, "10.2.0.0/16", both());
    bgp(&mut lab, "10.3.0.0/16", both());
    lab.connect();
    lab.pass(Duration::ZERO);
    assert_eq!(lab.told(), [], "the new one has not asked yet");
    let answers = lab.answers();
    assert_eq!((answers.waiting, answers.dropped), (0, 3));
    lab.control
        .report(prefix("10.1.0.0/16"), Programmed::Hardware);
    bgp(&mut lab, "10.3.0.0/16", both());
    assert_eq!(lab.told(), one("10.3.0.0/16", "offload"));
}

/// Three groups of 64 buckets in 256, of which a block of 64 is lost to the fixed groups.
fn small() -> Lab {
    let mut lab = Lab::sized(&lab::config(), Tables::new(64, 256, 256));
    lab.link(P0, "p0", true);
    lab.link(P1, "p1", true);
    for n in 1..9 {
        lab.neighbor(P0, &format!("192.0.2.{n}"), NeighborState::Reachable, n);
    }
    lab.connect();
    lab
}

fn pair(a: u8, b: u8) -> Via {
    let [a, b] = [a, b].map(|n| format!("192.0.2.{n}"));
    via(&[(&a, P0), (&b, P0)])
}

#[test]
fn a_route_without_room_is_told_as_failed_and_again_when_it_has_found_some() {
    let mut lab = small();
    for n in 1..6 {
        bgp(&mut lab, &format!("10.{n}.0.0/16"), pair(n, n + 1));
    }
    let told = newest(lab.told());
    let failed = told.iter().filter(|t| *t.1 == "failed");
    let failed: Vec<&str> = failed.map(|t| t.0.as_str()).collect();
    assert_eq!(
        (told.len(), failed),
        (5, vec!["10.4.0.0/16", "10.5.0.0/16"])
    );
    let answers = lab.answers();
    assert_eq!((answers.failed, answers.sent["offload-failed"]), (2, 2));
    // No room yet: nothing new.
    lab.pass(Duration::from_secs(11));
    assert_eq!(lab.told(), []);
    // A group goes: room for one of them, soon.
    lab.delete("10.1.0.0/16");
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.told(), one("10.4.0.0/16", "offload"));
    assert_ne!(lab.lookup(ip("10.4.0.1")), GroupId::NONE);
    // One that is deleted meanwhile is forgotten.
    lab.delete("10.5.0.0/16");
    lab.delete("10.2.0.0/16");
    lab.pass(Duration::from_secs(11));
    assert_eq!((lab.told(), lab.answers().failed), (vec![], 0));
    let control::api::Response::Events(events) = lab.ask(&control::api::Request::ShowEvents) else {
        panic!("events");
    };
    let cause = |e: &control::api::message::Happening| e.details.get("cause").cloned();
    let of = |what: &str| {
        let all = events.iter().filter(|e| e.what == what);
        all.map(|e| (e.object.clone(), cause(e).unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let lost = of("no room");
    assert_eq!(lost.len(), 2, "{events:?}");
    assert!(
        lost[0].1.contains("64 buckets") && lost[0].1.contains("of 256"),
        "{lost:?}"
    );
    assert_eq!(
        of("has room"),
        [("route 10.4.0.0/16".to_owned(), String::new())]
    );
}

#[test]
fn a_prefix_that_the_lookup_refuses_is_told_as_failed() {
    let mut config = lab::config();
    config.fpm.answer = Answer::None;
    let tables = Tables::new(64, 4096, 256);
    let mut lab = Lab::over(&config, tables, || Narrow::new(3), Instant::now);
    lab.link(P0, "p0", true);
    lab.neighbor(P0, "169.254.0.0", NeighborState::Reachable, 2);
    lab.connect();
    for n in 0..5 {
        bgp(&mut lab, &format!("10.{n}.0.0/16"), leaf1());
    }
    let refused = [
        ("10.3.0.0/16".into(), "failed"),
        ("10.4.0.0/16".into(), "failed"),
    ];
    assert_eq!(lab.told(), refused, "and no word of the others");
    // Once in, it is told: zebra would believe in the failure for ever.
    lab.delete("10.0.0.0/16");
    lab.pass(Duration::from_secs(11));
    assert_eq!(lab.told(), one("10.3.0.0/16", "offload"));
    assert_ne!(lab.lookup(ip("10.3.0.1")), GroupId::NONE);
    bgp(&mut lab, "10.3.0.0/16", leaf1());
    assert_eq!(lab.told(), []);
}

/// In the recorded conversations each route that zebra 10.7.1 holds back is answered, once a
/// message, by what made zebra let it go there.
#[test]
fn recorded_conversations() {
    let mut names: Vec<String> = std::fs::read_dir(STREAMS)
        .expect("streams")
        .filter_map(|e| e.expect("entry").file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".fpm")?.to_owned()))
        .filter(|name| name.starts_with("10.7.1-f") && !name.ends_with(".reply"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 18);
    let (mut lab, mut answered) = (dpu(Answer::Offload), 0);
    for name in names {
        if name.contains("reconnect") || name.contains("server-absent") {
            lab.connect();
        }
        let (mut asked, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        let mut frames = Frames::default();
        frames.push(&stream(&name));
        while let Some(payload) = frames.next_frame().expect("frames") {
            for message in Messages(payload) {
                let (kind, body) = message.expect("message");
                match decode::message(kind, body).expect("message") {
                    Message::Route(p, r) if r.protocol != 2 => _ = asked.insert(p.to_string()),
                    Message::DelRoute(p) => _ = deleted.insert(p.to_string()),
                    _ => {}
                }
            }
        }
        lab.feed(&stream(&name));
        let told = lab.told();
        answered += told.len();
        let told = newest(told);
        assert!(told.values().all(|w| *w == "offload"), "{name}: {told:?}");
        let told: BTreeSet<String> = told.into_keys().collect();
        assert_eq!(told, asked, "{name}, deleted: {deleted:?}");
    }
    assert!(answered > 20, "{answered}");
}

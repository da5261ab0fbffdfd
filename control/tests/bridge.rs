//! What a protocol loses all at once is kept until it is back: over the recorded restarts of bgpd,
//! frame by frame, in all versions; and in the end the routes are those of a router that keeps
//! nothing, whatever zebra says.

use crate::lab;
use crate::lab::zebra::{hop, route, say};
use crate::lab::{Flows, Lab, P0, P1, config, prefix, stream};
use control::api::{Request, Response};
use control::config::{Config, Fpm};
use control::event::NeighborState;
use control::fpm::Batch;
use control::fpm::decode::{Message, Object, Route, RouteKind, Via};
use control::fpm::frame::Frames;
use std::collections::BTreeSet;
use std::time::Duration;

const HOLD: Duration = Duration::from_secs(5);
const VERSIONS: [&str; 3] = ["8.4.4", "10.3", "10.7.1"];
const BGP: u8 = 186;

fn keeping(hold: Duration) -> Config {
    let fpm = Fpm {
        restart_hold: hold,
        ..config().fpm
    };
    Config { fpm, ..config() }
}

/// The frames of a stream; whether each only deletes.
fn frames(name: &str) -> Vec<(bool, Batch)> {
    let mut frames = Frames::default();
    frames.push(&stream(name));
    let mut all = Vec::new();
    while let Some(payload) = frames.next_frame().expect("frames") {
        let mut batch = Batch::default();
        batch.put_frame(payload);
        let (routes, objects) = (batch.routes(), batch.objects());
        let deletes = routes.iter().all(|r| r.1.is_none()) && objects.iter().all(|o| o.1.is_none());
        all.push((deletes, batch));
    }
    all
}

/// All routes of zebra: prefix, protocol, what it does, next hops.
fn told(lab: &mut Lab) -> BTreeSet<String> {
    let routes = lab.routes().into_iter().filter(|r| r.source == "fpm");
    let lines = routes.map(|r| {
        let hops = r.nexthops.iter().map(|n| format!("{:?} {}", n.via, n.port));
        let hops: Vec<String> = hops.collect();
        format!("{} {:?} {} {hops:?}", r.prefix, r.protocol, r.kind)
    });
    lines.collect()
}

fn kept(lab: &mut Lab) -> u64 {
    match lab.ask(&Request::ShowFpm) {
        Response::Fpm(fpm) => fpm.kept.iter().map(|k| k.routes).sum(),
        other => panic!("{other:?}"),
    }
}

fn events(lab: &mut Lab) -> Vec<String> {
    match lab.ask(&Request::ShowEvents) {
        Response::Events(all) => all.into_iter().map(|e| e.what).collect(),
        other => panic!("{other:?}"),
    }
}

/// A router that has been told all up to `name`, which comes last and is not fed.
fn before(steps: &[&str], hold: Duration) -> Lab {
    let mut lab = Lab::dpu_of(&keeping(hold));
    lab.connect();
    for step in steps {
        lab.feed(&stream(step));
    }
    lab.pass(Duration::from_secs(31));
    lab
}

/// Feeds `name` frame by frame with `gap` between the last delete of all and the next frame, and
/// looks at all flows on the way.
fn restart(lab: &mut Lab, name: &str, gap: Duration, mut look: impl FnMut(&mut Lab)) {
    let frames = frames(name);
    let burst = frames.iter().position(|f| !f.0).unwrap_or(frames.len());
    assert!(burst >= 250, "{name}: {burst} deletes");
    for (i, (_, batch)) in frames.into_iter().enumerate() {
        if i == burst {
            look(lab);
            lab.pass(gap);
            look(lab);
        }
        lab.batch(batch);
        lab.pass(Duration::from_micros(10));
        if i % 50 == 0 {
            look(lab);
        }
    }
    look(lab);
}

fn assert_same(before: &Flows, now: &Flows, without: &[&str], when: &str) {
    for (prefix, flows) in before {
        let there = now.get(prefix);
        match without.contains(&prefix.as_str()) {
            true => assert!(there.is_none(), "{when}: {prefix} is still there"),
            false => assert_eq!(there, Some(flows), "{when}: {prefix}"),
        }
    }
}

#[test]
fn a_graceful_restart_is_not_noticed() {
    for version in VERSIONS {
        let steps = [format!("{version}-x01-gr-initial-sync")];
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let mut lab = before(&steps, HOLD);
        let flows = lab.fpm_flows();
        assert!(flows.len() >= 250, "{}", flows.len());
        let name = format!("{version}-x03-gr-bgpd-start");
        let mut most = 0;
        // 1.26 s were the longest that was seen.
        restart(&mut lab, &name, Duration::from_millis(1260), |lab| {
            most = most.max(kept(lab));
            // Also of bgpd 8.4, which speaks as soon as it knows one leaf.
            assert_same(&flows, &lab.fpm_flows(), &[], &name);
        });
        assert_eq!((most, kept(&mut lab)), (250, 0), "{name}");
        lab.pass(HOLD);
        assert_same(&flows, &lab.fpm_flows(), &[], &name);
        let said = events(&mut lab);
        for what in [
            "bgp IPv4: all routes deleted",
            "bgp IPv6: all routes deleted",
            "bgp IPv4: restart over",
            "bgp IPv6: restart over",
        ] {
            assert!(said.iter().any(|s| s == what), "{what}: {said:?}");
        }
    }
}

#[test]
fn what_was_withdrawn_meanwhile_goes_after_the_hold_time() {
    for version in VERSIONS {
        for (sync, start) in [
            ("x01-gr-initial-sync", "x04-gr-bgpd-kill9-changed"),
            (
                "x08-gr-conffile-initial-sync",
                "x09-gr-conffile-kill9-start",
            ),
        ] {
            let (sync, start) = (format!("{version}-{sync}"), format!("{version}-{start}"));
            if !std::path::Path::new(&format!("{}/{sync}.fpm", lab::STREAMS)).exists() {
                assert_eq!(version, "8.4.4", "{sync}");
                continue;
            }
            let mut lab = before(&[&sync], HOLD);
            let flows = lab.fpm_flows();
            restart(&mut lab, &start, Duration::from_millis(1260), |_| ());
            assert_eq!(kept(&mut lab), 1, "{start}");
            let (gone, half) = ("10.100.9.0/24", "10.100.8.0/24");
            let now = lab.fpm_flows();
            assert_eq!(now.get(gone), flows.get(gone), "{start}: not yet");
            lab.pass(HOLD);
            let now = lab.fpm_flows();
            let rest = |all: &Flows| {
                let mut all = all.clone();
                all.remove(half);
                all
            };
            assert_same(&rest(&flows), &rest(&now), &[gone], &start);
            let left: BTreeSet<_> = now[half].iter().collect();
            assert_eq!(left.len(), 1, "{start}: one leaf has withdrawn it");
            let told = told(&mut lab);
            let mut never = before(&[&sync], Duration::ZERO);
            restart(&mut never, &start, Duration::from_millis(1260), |_| ());
            assert_eq!(told, self::told(&mut never), "{start}");
        }
    }
}

#[test]
fn a_real_stop_ends_with_the_routes_gone() {
    for version in VERSIONS {
        let mut lab = before(&[&format!("{version}-23-server-down-10s-resync")], HOLD);
        let flows = lab.fpm_flows();
        restart(
            &mut lab,
            &format!("{version}-24-dpu-bgpd-stop"),
            Duration::ZERO,
            |_| (),
        );
        let bgp = |lab: &mut Lab| {
            let routes = lab.routes().into_iter();
            let all = routes.filter(|r| r.protocol.as_deref() == Some("bgp"));
            all.map(|r| r.note.unwrap_or_default()).collect::<Vec<_>>()
        };
        let notes = bgp(&mut lab);
        let marked = notes
            .iter()
            .filter(|n| *n == "deleted by zebra; kept for now");
        assert_eq!((marked.count(), notes.len()), (250, 250), "{version}");
        assert_same(&flows, &lab.fpm_flows(), &[], version);
        let until = lab.control.next_deadline().expect("it has a deadline");
        assert!(until <= lab.now + HOLD, "{version}");
        lab.pass(HOLD);
        assert_eq!(bgp(&mut lab).len(), 0, "{version}");
        assert!(
            lab.flows("10.100.1.1") == lab.flows("203.0.113.1"),
            "{version}: no route"
        );
        // bgpd is started again, later than that.
        lab.feed(&stream(&format!("{version}-25-dpu-bgpd-start")));
        lab.pass(Duration::from_secs(31));
        assert_same(&flows, &lab.fpm_flows(), &[], version);
    }
}

fn leaves(which: &[u32]) -> Via {
    let one = |leaf: &u32| match leaf {
        0 => (hop("169.254.0.0", P0), 1),
        _ => (hop("169.254.0.2", P1), 1),
    };
    Via::Hops(which.iter().map(one).collect())
}

fn add(text: &str, which: &[u32]) -> Message {
    Message::Route(prefix(text), route(BGP, leaves(which)))
}

fn del(text: &str) -> Message {
    Message::DelRoute(prefix(text))
}

/// Two prefixes over both leaves and one over the first alone.
fn three(hold: Duration) -> Lab {
    let mut lab = Lab::dpu_of(&keeping(hold));
    lab.connect();
    let both = ["0.0.0.0/0", "10.1.0.0/16"];
    say(&mut lab, both.iter().map(|p| add(p, &[0, 1])).collect());
    say(&mut lab, vec![add("10.2.0.0/16", &[0])]);
    lab.pass(Duration::from_secs(31));
    lab
}

fn has(lab: &mut Lab, text: &str) -> bool {
    lab.routes().iter().any(|r| r.prefix == prefix(text))
}

#[test]
fn one_withdrawal_acts_when_the_burst_is_over_or_with_the_next_word() {
    let mut lab = three(HOLD);
    say(&mut lab, vec![del("10.2.0.0/16")]);
    assert!(has(&mut lab, "10.2.0.0/16"));
    lab.pass(Duration::from_millis(49));
    assert!(has(&mut lab, "10.2.0.0/16"));
    lab.pass(Duration::from_millis(1));
    assert!(!has(&mut lab, "10.2.0.0/16") && kept(&mut lab) == 0);
    // An update says that the protocol lives.
    say(&mut lab, vec![del("10.1.0.0/16")]);
    assert!(has(&mut lab, "10.1.0.0/16"));
    say(&mut lab, vec![add("0.0.0.0/0", &[1])]);
    assert!(!has(&mut lab, "10.1.0.0/16"));
    // The last one of all is kept: bgpd may have ended.
    say(&mut lab, vec![del("0.0.0.0/0")]);
    lab.pass(HOLD - Duration::from_millis(1));
    assert!(has(&mut lab, "0.0.0.0/0") && kept(&mut lab) == 1);
    lab.pass(Duration::from_millis(1));
    assert!(!has(&mut lab, "0.0.0.0/0") && kept(&mut lab) == 0);
}

/// [`three`], whose bgpd has lost all, and is back after a second, with what its first leaf told.
fn half_back() -> (Lab, Flows) {
    let mut lab = three(HOLD);
    let flows = lab.fpm_flows();
    let all = ["0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16"];
    say(&mut lab, all.iter().map(|p| del(p)).collect());
    lab.pass(Duration::from_secs(1));
    say(&mut lab, all.iter().map(|p| add(p, &[0])).collect());
    assert_same(&flows, &lab.fpm_flows(), &[], "the first leaf is back");
    (lab, flows)
}

fn leaves_of(lab: &mut Lab, to: &str) -> Vec<Option<u16>> {
    lab.spread(to).into_keys().collect()
}

#[test]
fn the_flows_of_a_leaf_stay_while_bgpd_knows_only_the_other() {
    let (mut lab, flows) = half_back();
    let note = |lab: &mut Lab| {
        let routes = lab.routes().into_iter();
        let whole = routes.filter(|r| r.source == "fpm" && r.note.is_some());
        whole.count()
    };
    assert_eq!((kept(&mut lab), note(&mut lab)), (0, 2));
    lab.pass(Duration::from_secs(3));
    let both = ["0.0.0.0/0", "10.1.0.0/16"];
    say(&mut lab, both.iter().map(|p| add(p, &[0, 1])).collect());
    assert_same(&flows, &lab.fpm_flows(), &[], "the second is back");
    assert_eq!(note(&mut lab), 0);
    let said = events(&mut lab);
    assert_eq!(
        said.last().map(String::as_str),
        Some("bgp IPv4: restart over")
    );
    // From here on a next hop that is left out is left out at once.
    say(&mut lab, vec![add("10.1.0.0/16", &[1])]);
    assert_eq!(leaves_of(&mut lab, "10.1.0.1"), [Some(1)]);
}

#[test]
fn a_leaf_that_does_not_come_back_is_left_after_the_hold_time() {
    let (mut lab, flows) = half_back();
    // One of them is changed in another way: that is done at once.
    say(&mut lab, vec![add("10.2.0.0/16", &[1])]);
    assert_eq!(leaves_of(&mut lab, "10.2.0.1"), [Some(1)]);
    // One is withdrawn, by somebody who lives.
    say(&mut lab, vec![del("0.0.0.0/0")]);
    assert!(!has(&mut lab, "0.0.0.0/0"));
    lab.pass(HOLD - Duration::from_millis(1));
    let now = lab.fpm_flows();
    assert_eq!(now["10.1.0.0/16"], flows["10.1.0.0/16"]);
    lab.pass(Duration::from_millis(1));
    assert_eq!(leaves_of(&mut lab, "10.1.0.1"), [Some(0)]);
    // And in a second restart likewise; a leaf that dies in it is left at once.
    let all = ["10.1.0.0/16", "10.2.0.0/16"];
    say(&mut lab, all.iter().map(|p| add(p, &[0, 1])).collect());
    say(&mut lab, all.iter().map(|p| del(p)).collect());
    say(&mut lab, all.iter().map(|p| add(p, &[0])).collect());
    assert_eq!(leaves_of(&mut lab, "10.1.0.1"), [Some(0), Some(1)]);
    lab.neighbor(P1, "169.254.0.2", NeighborState::Failed, 2);
    assert_eq!(leaves_of(&mut lab, "10.1.0.1"), [Some(0)]);
}

#[test]
fn a_resync_that_begins_with_one_leaf_moves_no_flow_of_the_other() {
    let both = ["0.0.0.0/0", "10.1.0.0/16"];
    for second in [true, false] {
        let mut lab = three(HOLD);
        let flows = lab.fpm_flows();
        lab.connect();
        say(&mut lab, both.iter().map(|p| add(p, &[0])).collect());
        say(&mut lab, vec![add("10.2.0.0/16", &[0])]);
        lab.pass(Duration::from_secs(1));
        assert_same(&flows, &lab.fpm_flows(), &[], "the first leaf is back");
        // What is told in full, and then withdrawn, is withdrawn.
        say(&mut lab, vec![add("10.2.0.0/16", &[0, 1])]);
        say(&mut lab, vec![add("10.2.0.0/16", &[0])]);
        assert_eq!(leaves_of(&mut lab, "10.2.0.1"), [Some(0)]);
        if second {
            say(&mut lab, both.iter().map(|p| add(p, &[0, 1])).collect());
        }
        lab.pass(Duration::from_secs(31));
        match second {
            true => assert_same(&flows, &lab.fpm_flows(), &[], "the second is back"),
            false => assert_eq!(leaves_of(&mut lab, "10.1.0.1"), [Some(0)], "swept"),
        }
    }
}

#[test]
fn nothing_is_kept_towards_the_dead() {
    let mut lab = three(HOLD);
    lab.neighbor(P0, "169.254.0.0", NeighborState::Failed, 2);
    say(&mut lab, vec![del("10.2.0.0/16")]);
    assert!(
        !has(&mut lab, "10.2.0.0/16"),
        "it has no living next hop: at once"
    );
    say(&mut lab, vec![del("0.0.0.0/0"), del("10.1.0.0/16")]);
    assert_eq!(kept(&mut lab), 2);
    let live = lab.spread("10.1.0.1");
    assert_eq!(live.into_iter().collect::<Vec<_>>(), [(Some(1), 64)]);
    // While kept, the last living one dies: they go, and what covers them counts.
    lab.neighbor(P1, "169.254.0.2", NeighborState::Failed, 2);
    assert!(kept(&mut lab) == 0 && !has(&mut lab, "10.1.0.0/16"));
}

#[test]
fn other_ids_and_other_members_keep_the_flows_of_who_stays() {
    let mut lab = Lab::dpu_of(&keeping(HOLD));
    lab.connect();
    let single = |id, hop| Message::Nexthop(id, Object::Hop(hop));
    let group = |id, of: [u32; 2]| {
        let members = of.map(|i| (i, 1)).into();
        let resilient = None;
        Message::Nexthop(id, Object::Group { members, resilient })
    };
    let names = |ids: [u32; 3]| {
        let (p0, p1) = (hop("169.254.0.0", P0), hop("169.254.0.2", P1));
        let group = group(ids[2], [ids[0], ids[1]]);
        vec![single(ids[0], p0), single(ids[1], p1), group]
    };
    let by = |text: &str, id| Message::Route(prefix(text), route(BGP, Via::Id(id)));
    let all = ["0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16"];
    let mut first = names([1, 2, 3]);
    first.extend(all.map(|p| by(p, 3)));
    say(&mut lab, first);
    lab.pass(Duration::from_secs(31));
    let flows = lab.fpm_flows();
    assert_eq!(flows.len(), 3);
    say(&mut lab, all.map(del).into());
    lab.pass(Duration::from_secs(1));
    // The old ids mean nothing any more, and then something else: no kept route follows.
    say(
        &mut lab,
        vec![Message::DelNexthop(3), Message::DelNexthop(2)],
    );
    say(&mut lab, names([2, 3, 1]));
    assert_eq!(lab.fpm_flows(), flows);
    say(&mut lab, names([21, 22, 23]));
    say(&mut lab, vec![by("0.0.0.0/0", 23), by("10.1.0.0/16", 21)]);
    assert_eq!(kept(&mut lab), 1);
    lab.pass(HOLD);
    let now = lab.fpm_flows();
    assert_eq!(now["0.0.0.0/0"], flows["0.0.0.0/0"]);
    let stays = now["10.1.0.0/16"].iter().zip(&flows["10.1.0.0/16"]);
    assert!(stays.clone().all(|(now, _)| now.is_some_and(|p| p.0 == 0)));
    assert!(!now.contains_key("10.2.0.0/16"));
    say(&mut lab, vec![by("10.1.0.0/16", 23), by("10.2.0.0/16", 23)]);
    assert_eq!(lab.fpm_flows(), flows, "home again");
}

#[test]
fn a_connection_that_ends_leaves_it_to_the_resync() {
    let mut lab = three(HOLD);
    say(
        &mut lab,
        vec![del("0.0.0.0/0"), del("10.1.0.0/16"), del("10.2.0.0/16")],
    );
    assert_eq!(kept(&mut lab), 3);
    lab.close();
    lab.pass(10 * HOLD);
    let flows = lab.fpm_flows();
    assert_eq!(
        (flows.len(), kept(&mut lab)),
        (3, 0),
        "zebra ended with bgpd"
    );
    lab.connect();
    say(
        &mut lab,
        vec![add("0.0.0.0/0", &[0, 1]), add("10.1.0.0/16", &[0, 1])],
    );
    assert_eq!(lab.fpm_flows(), flows);
    lab.pass(Duration::from_secs(5));
    let now = lab.fpm_flows();
    assert_same(&flows, &now, &["10.2.0.0/16"], "swept");
}

/// What is left of a table by a resync that ends before bgpd has any session, and what of it is
/// there when everything has come back one by one.
#[test]
fn a_restart_of_all_daemons_sweeps_when_all_have_come_back() {
    let mut lab = three(HOLD);
    let six = Via::Hop(hop("fe80::ff:fe00:2", P0));
    let static4 = || Message::Route(prefix("198.18.0.0/15"), route(196, leaves(&[0])));
    let over_six = || Message::Route(prefix("fd00:10::/32"), route(BGP, six.clone()));
    say(&mut lab, vec![static4(), over_six()]);
    let flows = lab.fpm_flows();
    assert_eq!(flows.len(), 5);
    // bgpd and staticd end before zebra does.
    let mut last_words: Vec<_> = flows.keys().map(|p| del(p)).collect();
    last_words.retain(|m| !matches!(m, Message::DelRoute(p) if *p == prefix("198.18.0.0/15")));
    say(&mut lab, last_words);
    lab.close();
    lab.pass(Duration::from_secs(20));
    lab.connect();
    // staticd is the first that speaks, and the sentinel is its, too.
    let sentinel = Route {
        kind: RouteKind::Blackhole,
        ..route(196, Via::Nothing)
    };
    say(
        &mut lab,
        vec![
            static4(),
            Message::Route(prefix("fec0::ffff/128"), sentinel),
        ],
    );
    assert_eq!(lab.fpm_flows(), flows, "held");
    for (wait, words) in [
        (3, vec![add("0.0.0.0/0", &[0, 1])]),
        (1, vec![add("10.1.0.0/16", &[0, 1])]),
        (2, vec![over_six()]),
    ] {
        lab.pass(Duration::from_secs(wait));
        say(&mut lab, words);
        assert_eq!(lab.fpm_flows(), flows);
    }
    // Nothing more comes: what was withdrawn meanwhile goes.
    lab.pass(Duration::from_secs(5));
    assert_same(&flows, &lab.fpm_flows(), &["10.2.0.0/16"], "swept");
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Random words of two protocols about few prefixes of both families, leaves that come and go.
#[test]
fn in_the_end_it_is_as_if_nothing_had_been_kept() {
    let mut bridged = 0;
    for seed in 1..=40 {
        let mut random = Random(seed << 32 | 0x9e37_79b9);
        let mut labs = [HOLD, Duration::ZERO].map(|hold| {
            let mut lab = Lab::dpu_of(&keeping(hold));
            lab.connect();
            lab
        });
        let count = 1 + random.below(6);
        for _ in 0..120 {
            let words: Vec<Message> = (0..1 + random.below(4))
                .map(|_| {
                    let number = random.below(count);
                    let text = match number % 2 {
                        0 => format!("10.{number}.0.0/16"),
                        _ => format!("fd00:{number}::/32"),
                    };
                    let via = [&[0][..], &[1], &[0, 1]][random.below(3) as usize];
                    let protocol = if number < 4 { BGP } else { 188 };
                    match random.below(5) {
                        0 | 1 => Message::Route(prefix(&text), route(protocol, leaves(via))),
                        _ => del(&text),
                    }
                })
                .collect();
            let wait = Duration::from_millis([0, 1, 20, 60, 2000, 6000][random.below(6) as usize]);
            let (dice, leaf, up) = (random.below(12), random.below(2), random.below(2) == 0);
            for lab in &mut labs {
                say(lab, words.clone());
                lab.pass(wait);
                if dice == 0 {
                    lab.carrier([P0, P1][leaf as usize], up);
                }
            }
            bridged += kept(&mut labs[0]);
            assert_eq!(kept(&mut labs[1]), 0);
        }
        for lab in &mut labs {
            lab.pass(HOLD);
            lab.pass(HOLD);
        }
        let [kept_some, kept_none] = &mut labs;
        assert_eq!(told(kept_some), told(kept_none), "seed {seed}");
        assert_eq!(kept(kept_some), 0);
    }
    assert!(bridged > 500, "{bridged}: something was kept on the way");
}

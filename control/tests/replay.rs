//! Every recorded conversation with a real zebra, replayed in order, against what an independent
//! decoder says it means (`fpm/expect.py`).

use crate::lab;
use crate::lab::{Lab, P0, P1, STREAMS, fnv, stream};
use control::api::message::{Fpm, Route};
use control::api::{Request, Response};
use std::collections::BTreeMap;
use std::time::Duration;

/// A line of `expect.txt`.
struct Expected {
    name: String,
    numbers: BTreeMap<String, u64>,
    digest: u64,
}

fn expected() -> Vec<Expected> {
    let text = std::fs::read_to_string(format!("{STREAMS}/expect.txt")).expect("expect.txt");
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("name").to_string();
        let mut digest = 0;
        let mut numbers = BTreeMap::new();
        for (key, value) in words.filter_map(|w| w.split_once('=')) {
            if key == "digest" {
                digest = u64::from_str_radix(value, 16).expect("digest");
            } else {
                numbers.insert(key.to_string(), value.parse().expect("number"));
            }
        }
        Expected {
            name,
            numbers,
            digest,
        }
    };
    text.lines().map(line).collect()
}

/// zebra's routes in the form of `expect.py`.
fn lines(lab: &mut Lab) -> Vec<String> {
    let ifindex = |port: &str| match port {
        "up1" => P0,
        "up2" => P1,
        "host0" => lab::PODS,
        "lo" => 1,
        other => other.trim_start_matches("if").parse().expect("ifindex"),
    };
    let wanted = |r: &Route| {
        let kernels = r.protocol.as_deref() == Some("kernel");
        r.source == "fpm" && !(kernels && r.nexthops.iter().all(|n| n.via.is_none()))
    };
    let line = |route: &Route| {
        let mut hops: Vec<String> = route
            .nexthops
            .iter()
            .map(|n| {
                let via = n.via.map(|a| a.to_string()).unwrap_or_default();
                // In the recordings no leaf has that address itself.
                let fake = if via == lab::FAKE { "!" } else { "" };
                format!("{via}@{}{fake}*{}", ifindex(&n.port), n.weight)
            })
            .collect();
        hops.sort();
        let mut words = vec![route.prefix.to_string(), route.kind.clone()];
        words.extend(hops);
        words.join(" ")
    };
    let mut all: Vec<(String, String)> = lab
        .routes()
        .iter()
        .filter(|r| wanted(r))
        .map(|r| (r.prefix.to_string(), line(r)))
        .collect();
    all.sort();
    all.into_iter().map(|l| l.1).collect()
}

fn fpm(lab: &mut Lab) -> Fpm {
    match lab.ask(&Request::ShowFpm) {
        Response::Fpm(fpm) => fpm,
        other => panic!("{other:?}"),
    }
}

/// Replays all streams, each fed by `feed`.
fn replay(feed: impl Fn(&mut Lab, &[u8])) {
    let mut lab = Lab::dpu();
    let all = expected();
    assert_eq!(all.len(), 170);
    let mut conversation = String::new();
    for expected in all {
        let name = &expected.name;
        let number = |key: &str| expected.numbers[key];
        // Version and set; a router of its own for each set and for x08, the fifth run.
        let set: String = name.chars().take_while(|c| *c != '-').collect::<String>()
            + name
                .split('-')
                .nth(1)
                .expect("number")
                .trim_end_matches(char::is_numeric);
        if set != conversation || name.contains("-x08-") {
            lab = Lab::dpu();
            conversation = set;
        }
        if number("connect") == 1 {
            lab.connect();
        }
        let before = fpm(&mut lab);
        feed(&mut lab, &stream(name));
        lab.pass(Duration::from_secs(31));
        let after = fpm(&mut lab);
        assert_eq!(after.frames - before.frames, number("frames"), "{name}");
        for kind in ["newroute", "delroute", "newnexthop", "delnexthop"] {
            let came = after.messages[kind] - before.messages[kind];
            assert_eq!(came, number(kind), "{name}: {kind}");
        }
        assert_eq!(after.malformed, 0, "{name}");
        assert_eq!(
            after.sync == "held",
            number("held") == 1,
            "{name}: {}",
            after.sync
        );
        let lines = lines(&mut lab);
        let text = lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n");
        if let Ok(listed) = std::fs::read_to_string(format!("{STREAMS}/{name}.routes")) {
            assert_eq!(text, listed, "{name}");
        }
        assert_eq!(lines.len() as u64, number("routes"), "{name}\n{text}");
        assert_eq!(fnv(&text), expected.digest, "{name}\n{text}");
        forwards(&mut lab, name);
    }
}

/// Every route of zebra is forwarded by as the tables say, with the shares that its weights give.
fn forwards(lab: &mut Lab, name: &str) {
    for route in lab.routes() {
        if route.source != "fpm" || !route.selected || route.nexthops.is_empty() {
            continue;
        }
        let group = route.group.unwrap_or_else(|| panic!("{name}: {route:?}"));
        assert_eq!(
            lab.lookup(route.prefix.address()).0,
            group,
            "{name}: {route:?}"
        );
        let total: u32 = route.nexthops.iter().map(|n| n.weight).sum();
        let buckets: u32 = route.nexthops.iter().filter_map(|n| n.buckets).sum();
        let gateways = route.nexthops.iter().all(|n| n.via.is_some());
        for hop in route.nexthops.iter().filter(|_| gateways) {
            assert_eq!(hop.state, "up", "{name}: {route:?}");
            let has = hop.buckets.expect("buckets");
            let due = f64::from(buckets) * f64::from(hop.weight) / f64::from(total);
            assert!((f64::from(has) - due).abs() < 1.0, "{name}: {route:?}");
        }
    }
}

#[test]
fn every_stream_at_once() {
    replay(Lab::feed);
}

#[test]
fn every_stream_frame_by_frame() {
    replay(Lab::feed_frames);
}

//! What `calc --what-if` says is what control does then: random changes of a route's members, each
//! asked about first, then made; and how long an answer keeps control.

use crate::lab;
use crate::lab::{Lab, P0, P1, ip, prefix};
use control::api::message::{Flow, HashChange, Packet, SetHash, Trace, Traced, Traces};
use control::api::{Reply, Request, Response};
use control::event::NeighborState;
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Eight next hops, four on each uplink.
const GATEWAYS: [u8; 8] = [10, 11, 12, 13, 20, 21, 22, 23];

fn interface(gateway: u8) -> (u32, &'static str) {
    if gateway < 20 {
        (P0, "up1")
    } else {
        (P1, "up2")
    }
}

fn route(lab: &mut Lab, members: &BTreeMap<u8, u32>) {
    let hop = |(&gateway, &weight): (&u8, &u32)| {
        let hop = Hop {
            gateway: Some(ip(&format!("192.0.2.{gateway}"))),
            ifindex: interface(gateway).0,
            onlink: false,
            encap: false,
        };
        (hop, weight)
    };
    let route = Route {
        kind: RouteKind::Unicast,
        protocol: 186,
        via: Via::Hops(members.iter().map(hop).collect()),
        prefsrc: None,
        mtu: 0,
    };
    let mut batch = Batch::default();
    batch.put(Message::Route(prefix("10.9.0.0/16"), route));
    lab.batch(batch);
}

fn neighbor(lab: &mut Lab, gateway: u8, there: bool) {
    let state = match there {
        true => NeighborState::Reachable,
        false => NeighborState::Failed,
    };
    let address = format!("192.0.2.{gateway}");
    lab.neighbor(interface(gateway).0, &address, state, gateway);
}

/// An IPv4 UDP packet of one flow, in hex.
fn packet(flow: u16) -> Packet {
    let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    header.extend([10, 244, 1, 7, 10, 9, 1, 2]);
    let words = header
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let ports = [flow.to_be_bytes(), [0, 53], [0, 8], [0, 0]].concat();
    let link = [2, 0, 0, 0, 0xff, lab::PODS as u8, 2, 0, 0, 0, 0, 9, 8, 0];
    let bytes = [link.to_vec(), header, ports].concat();
    let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Packet {
        frame: digits.concat(),
        first: None,
    }
}

/// The answers for all of `packets`, and how often it had to be asked.
fn ask(lab: &mut Lab, changes: &[String], packets: &[Packet]) -> (Vec<Traced>, usize) {
    let query = Trace {
        ingress: Some("host0".into()),
        what_if: changes.to_vec(),
        ..Trace::default()
    };
    let (mut all, mut times) = (Vec::new(), 0);
    while all.len() < packets.len() {
        times += 1;
        let request = Request::Traces(Box::new(Traces {
            query: query.clone(),
            packets: packets[all.len()..].to_vec(),
        }));
        match lab.control.answer(&request, lab.now) {
            Reply::Ok(Response::Traces(some)) if !some.is_empty() => all.extend(some),
            other => panic!("{changes:?}: {other:?}"),
        }
    }
    (all, times)
}

type Place = Option<(String, String)>;

fn place(way: &control::api::message::Way) -> Place {
    let calc = way.calc.as_ref()?;
    Some((calc.port.clone(), calc.nexthop.to_string()))
}

#[test]
fn what_was_said_is_what_happens() {
    let mut lab = Lab::dpu();
    lab.connect();
    let packets: Vec<Packet> = (0..40).map(packet).collect();
    let mut state = 3_u64;
    let mut below = move |n: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for gateway in GATEWAYS {
        neighbor(&mut lab, gateway, true);
    }
    let mut members = BTreeMap::from([(10, 1), (20, 1)]);
    let mut failed = std::collections::BTreeSet::new();
    route(&mut lab, &members);
    let mut moved = BTreeMap::new();
    for step in 0..200 {
        let gateway = GATEWAYS[below(8)];
        let at = format!("192.0.2.{gateway}@{}", interface(gateway).1);
        let is_in = members.contains_key(&gateway);
        let change = match below(4) {
            0 | 1 if !is_in && !failed.contains(&gateway) => {
                members.insert(gateway, 1 + below(3) as u32);
                format!("add:{at}*{}", members[&gateway])
            }
            0 if is_in && members.len() > 1 => {
                members.remove(&gateway);
                if let (1, Some(mut only)) = (members.len(), members.first_entry()) {
                    // Alone its weight does not matter, and is not kept.
                    only.insert(1);
                }
                format!("remove:{at}")
            }
            _ if is_in && failed.remove(&gateway) => format!("up:{at}"),
            2 if is_in && members.keys().filter(|g| !failed.contains(*g)).count() > 1 => {
                failed.insert(gateway);
                format!("down:{at}")
            }
            _ => continue,
        };
        let (said, _) = ask(&mut lab, &[change.clone()], &packets);
        match change.split_once(':').map(|c| c.0) {
            Some("up") => neighbor(&mut lab, gateway, true),
            Some("down") => neighbor(&mut lab, gateway, false),
            _ => route(&mut lab, &members),
        }
        let (now, _) = ask(&mut lab, &[], &packets);
        for (i, (said, now)) in said.iter().zip(&now).enumerate() {
            let then = said.then.as_ref().expect("what if");
            assert_eq!(
                place(&then.way),
                place(&now.now),
                "{step}: {change}: flow {i}"
            );
            let kind = change.split(':').next().unwrap_or_default().to_string();
            *moved.entry(kind).or_insert(0) += u32::from(then.moves);
        }
    }
    // Every kind of change was asked about, and moved something.
    assert!(
        moved.len() == 4 && moved.values().all(|m| *m > 0),
        "{moved:?}"
    );
}

/// Scripts may ask the short question, and get what the long one says.
#[test]
fn the_short_question_is_answered_as_the_long_one() {
    let mut lab = Lab::dpu();
    lab.connect();
    for gateway in GATEWAYS {
        neighbor(&mut lab, gateway, true);
    }
    route(&mut lab, &GATEWAYS.map(|g| (g, 1)).into());
    let flow = |to: &str, sport| Flow {
        ingress: "host0".into(),
        source: ip("10.244.1.7"),
        destination: ip(to),
        protocol: 17,
        source_port: sport,
        destination_port: 2152,
        flow_label: 0,
    };
    let both = |lab: &mut Lab, flow: Flow| {
        let long = Trace {
            flow: Some(flow.clone()),
            ..Trace::default()
        };
        let now = lab.now;
        let mut answer = |request| lab.control.answer(&request, now);
        let short = answer(Request::Calc(flow));
        (short, answer(Request::Trace(Box::new(long))))
    };
    for sport in 0..20 {
        let (short, long) = both(&mut lab, flow("10.9.1.2", sport));
        let (Reply::Ok(Response::Calc(short)), Reply::Ok(Response::Trace(long))) = (short, long)
        else {
            panic!("{sport}: answers");
        };
        assert_eq!(Some(short), long.now.calc);
    }
    let refused = |lab: &mut Lab, flow: Flow| match both(lab, flow).0 {
        Reply::Error(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let why = refused(&mut lab, flow("192.0.2.200", 1));
    assert_eq!(why, "flow to 192.0.2.200: calc: no route");
    let why = refused(&mut lab, flow("10.244.1.1", 1));
    assert_eq!(why, "flow to 10.244.1.1: calc: it is the kernel's");
    // With the TEID in the hash a flow of GTP-U is none without it.
    let mut change = HashChange::default();
    change.fields.insert("gtp-teid".into(), true);
    let wanted = Request::SetHash(SetHash {
        change,
        ..SetHash::default()
    });
    let (control, now) = (&mut lab.control, lab.now);
    let done = lab.view.offline(|| control.answer(&wanted, now));
    assert!(matches!(done, Reply::Ok(_)), "{done:?}");
    lab.pass(Duration::ZERO);
    let (short, long) = both(&mut lab, flow("10.9.1.2", 1));
    assert!(matches!(short, Reply::Error(_)), "{short:?}");
    assert_eq!(short, long);
}

/// A link takes all its next hops at once and gives them back one by one.
#[test]
fn a_link_that_goes_and_comes() {
    let mut lab = Lab::dpu();
    lab.connect();
    let packets: Vec<Packet> = (0..64).map(packet).collect();
    let members: BTreeMap<u8, u32> = GATEWAYS.map(|g| (g, 1)).into();
    for gateway in GATEWAYS {
        neighbor(&mut lab, gateway, true);
    }
    route(&mut lab, &members);
    let (said, _) = ask(&mut lab, &["down:up1".into()], &packets);
    lab.link(P0, "p0", false);
    for gateway in GATEWAYS.iter().filter(|g| interface(**g).0 == P0) {
        lab.neighbor_gone(P0, &format!("192.0.2.{gateway}"));
    }
    let (now, _) = ask(&mut lab, &["up:up1".into()], &packets);
    lab.link(P0, "p0", true);
    for gateway in GATEWAYS {
        neighbor(&mut lab, gateway, true);
    }
    let (back, _) = ask(&mut lab, &[], &packets);
    let then = |traced: &Traced| place(&traced.then.as_ref().expect("what if").way);
    for i in 0..packets.len() {
        assert_eq!(then(&said[i]), place(&now[i].now), "down: flow {i}");
        assert_eq!(then(&now[i]), place(&back[i].now), "up: flow {i}");
    }
}

/// Prints how long one answer keeps control, at the median and at the most; the bound is generous,
/// since tests are not optimized and machines are busy.
#[test]
fn no_answer_keeps_control_long() {
    let mut lab = Lab::dpu();
    lab.connect();
    for gateway in GATEWAYS {
        neighbor(&mut lab, gateway, true);
    }
    route(&mut lab, &GATEWAYS.map(|g| (g, 1)).into());
    let packets: Vec<Packet> = (0..1000).map(packet).collect();
    for changes in [&[][..], &["seed=7".to_string()], &["down:up1".to_string()]] {
        let mut times = Vec::new();
        let mut done = 0;
        while done < packets.len() {
            let request = Request::Traces(Box::new(Traces {
                query: Trace {
                    ingress: Some("host0".into()),
                    what_if: changes.to_vec(),
                    ..Trace::default()
                },
                packets: packets[done..].to_vec(),
            }));
            let begin = Instant::now();
            let reply = lab.control.answer(&request, lab.now);
            times.push(begin.elapsed());
            let Reply::Ok(Response::Traces(some)) = reply else {
                panic!("{reply:?}");
            };
            done += some.len();
        }
        times.sort_unstable();
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{changes:?}: {} answers, {median:?}, at most {most:?}",
            times.len()
        );
        assert!(times.len() > 1, "1,000 packets are no one answer");
    }
}

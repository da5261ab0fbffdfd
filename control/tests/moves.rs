//! What a dry run says would move is what moves when the change is made, flow by flow.

use crate::lab;
use crate::lab::sampled::{HOST, Sampled};
use crate::lab::{Lab, config, stream};
use control::activity::INTERVAL;
use control::api::message::{Balance, HashChange, HashChanged, SetHash, Verdict};
use control::api::moves::Moves;
use control::api::{Reply, Request, Response};
use control::config::Config;
use fastpath::software::parse::describe;
use fastpath::table::sample::Sample;
use std::time::Duration;

/// The recordings' router with flows to destinations behind both leaves; every tenth to one of our
/// own.
fn sampled(flows: u16) -> Sampled {
    let text = "[hash]\nseed = 50\n[[hash-profile]]\nname = \"some\"\nprefixes = [\"10.1.0.0/16\"]\nseed = 9\n";
    let parsed = Config::parse(text).expect("configuration");
    let mut config = config();
    (config.hash, config.hash_profiles) = (parsed.hash, parsed.hash_profiles);
    let mut sampled = Sampled::over(Lab::dpu_of(&config), flows, |flow| match flow % 10 {
        9 => [10, 244, 1, 1],
        _ => [10, (flow % 4) as u8, 0, 10],
    });
    sampled.lab.connect();
    sampled.lab.feed(&stream("10.3-02-initial-sync"));
    sampled
}

/// Asks for a change of the hash, and makes it.
trait Change {
    fn set(&mut self, change: &HashChange, profile: Option<&str>, dry_run: bool) -> HashChanged;
    fn check(&mut self, change: HashChange, profile: Option<&str>) -> Box<Moves>;
}

impl Change for Sampled {
    fn set(&mut self, change: &HashChange, profile: Option<&str>, dry_run: bool) -> HashChanged {
        let request = Request::SetHash(SetHash {
            change: change.clone(),
            profile: profile.map(Into::into),
            dry_run,
            ..SetHash::default()
        });
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let event = control::event::Event::Request(request, reply);
        let Lab {
            control, view, now, ..
        } = &mut self.lab;
        view.offline(|| control.handle(event, *now));
        match answer.recv().expect("an answer") {
            Reply::Ok(Response::SetHash(changed)) => changed,
            other => panic!("{other:?}"),
        }
    }

    /// Asks, makes the change, and holds the answer against what became of each flow.
    fn check(&mut self, change: HashChange, profile: Option<&str>) -> Box<Moves> {
        let before = self.ways();
        let said = self.set(&change, profile, true).moves.expect("moves");
        assert_eq!(self.ways(), before, "a dry run changes nothing");
        let done = self.set(&change, profile, false).moves.expect("moves");
        assert_eq!(said, done, "asked and done");
        let after = self.ways();
        let (mut flows, mut moved, mut packets, mut of) = (0, 0, 0, 0);
        for (i, (from, to)) in before.iter().zip(&after).enumerate() {
            if from.is_some() {
                let weight = if i < 10 { 2 } else { 1 };
                (flows, of) = (flows + 1, of + weight);
                moved += u64::from(from != to);
                packets += if from != to { weight } else { 0 };
            }
        }
        assert_eq!((said.flows, said.flows_other_member), (flows, moved));
        assert_eq!(said.packets_sampled, of);
        let share = |a: u64, b: u64| Some(a as f64 / b as f64);
        assert_eq!(said.share_of_flows, share(moved, flows));
        assert_eq!(said.share_of_packets, share(packets, of));
        assert_eq!(said.paths.iter().map(|p| p.flows).sum::<u64>(), moved);
        said
    }
}

/// What is said of the group behind 10.0.0.10 when only those `kept` of the flows come in, with so
/// many packets each.
fn balance(kept: impl Fn(&Sampled, &[u8]) -> u32) -> Balance {
    let mut sampled = sampled(3000);
    let frames = sampled.frames.clone();
    let is_ours = |f: &&Vec<u8>| f[30..34] == [10, 0, 0, 10];
    for (i, frame) in frames.iter().filter(is_ours).enumerate() {
        let packets = kept(&sampled, frame);
        if packets > 0 {
            let samples = sampled.stats[i % 2].samples();
            assert!(samples.put(Sample::new(frame, HOST, packets)));
        }
    }
    sampled.lab.pass(INTERVAL);
    let id = sampled.lab.lookup(lab::ip("10.0.0.10")).0;
    let groups = sampled.lab.groups();
    let group = groups.iter().find(|g| g.id == id).expect("the group");
    group.balance.clone().expect("somebody counts")
}

/// The bucket of a frame.
fn bucket(sampled: &Sampled, frame: &[u8]) -> u32 {
    let view = sampled.lab.view.read();
    let facts = &view.ports[usize::from(HOST.0)];
    let found = describe(frame, HOST, facts, &view.hash).expect("a packet");
    found.hash % 64
}

#[test]
fn whose_doing_it_is_that_a_group_is_not_used_evenly() {
    let even = balance(|_, _| 10);
    assert_eq!(even.verdict, Verdict::Even, "{even:?}");
    assert!(
        even.flows > 600 && even.p_value.is_some_and(|p| p > 0.01),
        "{even:?}"
    );
    assert!(even.max_over_mean.is_some_and(|m| m < 1.2), "{even:?}");
    // The router before this one hashes alike and has two uplinks too: half of the buckets stay
    // empty, on both of our members.
    let polarised = balance(|s, f| 10 * u32::from(bucket(s, f) / 2 % 2 == 0));
    assert_eq!(polarised.verdict, Verdict::Polarised, "{polarised:?}");
    let large = balance(|s, f| if bucket(s, f) == 7 { 10_000 } else { 10 });
    assert_eq!(large.verdict, Verdict::LargeFlows, "{large:?}");
    assert!(large.max_over_mean.is_some_and(|m| m > 1.5), "{large:?}");
    let few = balance(|s, f| u32::from(bucket(s, f) == 7));
    assert!(few.flows > 1, "{few:?}");
    let none = balance(|_, _| 0);
    assert_eq!((none.verdict, none.flows), (Verdict::NoTraffic, 0));
    // Of those that come in nearly all are one member's.
    let one_sided = balance(|s, f| u32::from(bucket(s, f) % 2 == 0 || bucket(s, f) % 16 == 1));
    assert!(one_sided.p_value.is_some_and(|p| p < 1e-9), "{one_sided:?}");
    assert_eq!(one_sided.verdict, Verdict::Polarised, "{one_sided:?}");
}

fn fields(fields: &[(&str, bool)]) -> HashChange {
    HashChange {
        fields: fields.iter().map(|(f, on)| (f.to_string(), *on)).collect(),
        ..HashChange::default()
    }
}

#[test]
fn what_is_said_is_what_moves() {
    let mut sampled = sampled(400);
    sampled.sample();
    let seed = HashChange {
        seed: Some(51),
        ..HashChange::default()
    };
    let moves = sampled.check(seed, None);
    // Dealt anew: half of the flows, but for the profile's quarter, whose seed is its own.
    let share = moves.share_of_flows.expect("traffic");
    assert!((0.3..0.45).contains(&share), "{share}");
    assert_eq!(moves.expected_share, Some(0.5));
    assert!(moves.flows_other_bucket > moves.flows_other_member);

    let off = |on| fields(&[("destination-ip", on)]);
    assert!(sampled.check(off(false), None).flows_other_member > 0);
    sampled.check(off(true), None);
    let asymmetric = HashChange {
        symmetric: Some(false),
        ..HashChange::default()
    };
    assert!(sampled.check(asymmetric, None).flows_other_member > 0);
    let profile = HashChange {
        seed: Some(77),
        ..HashChange::default()
    };
    let moves = sampled.check(profile, Some("some"));
    let moved = moves.flows_other_member;
    assert!(
        moved > 0 && moved <= moves.flows / 4 + 10,
        "its quarter alone"
    );
    let ports = fields(&[("source-port", false), ("destination-port", false)]);
    assert!(sampled.check(ports, None).flows_other_member > 0);
}

#[test]
fn without_traffic_it_says_so() {
    let mut sampled = sampled(40);
    let seed = |seed| HashChange {
        seed: Some(seed),
        ..HashChange::default()
    };
    let none = sampled.set(&seed(51), None, true).moves.expect("watched");
    assert_eq!(
        (none.flows, none.share_of_flows, none.buckets_active),
        (0, None, 0)
    );
    let expected = none.expected_share.expect("groups");
    assert!(none.window_s == 10 && (0.4..=0.5).contains(&expected));
    assert!(none.groups > 0 && none.buckets >= 64);
    sampled.sample();
    assert!(sampled.set(&seed(51), None, true).moves.expect("").flows > 0);
    sampled.lab.pass(Duration::from_secs(11));
    assert_eq!(sampled.set(&seed(51), None, true).moves.expect("").flows, 0);
    let same = sampled.set(&fields(&[("source-ip", true)]), None, true);
    assert_eq!(same.moves, None, "nothing changes");
}

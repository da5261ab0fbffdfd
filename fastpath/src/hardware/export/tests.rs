//! What testpmd is told, word by word; that it takes it is told by testpmd itself (`driver/tests/export.rs`).

use super::*;
use crate::hardware::compile::{Config, Design, Hairpin};
use crate::hardware::engine::Engine;
use crate::hardware::plan::{Change, Entry, Lead, NexthopId};
use crate::hardware::program::{Rss, RssFields};
use crate::hardware::sim::{Kind, Profile, Sim};
use crate::hash::Settings;
use crate::table::{Adjacency, GroupId};

/// One group of so many buckets over two next hops, in transit by Design B.
fn transit(buckets: u32) -> Engine<Sim> {
    let mut sim = Sim::new(Profile::cx7());
    let (port, egress) = (PortId(0), PortId(1));
    sim.attach(port, Kind::Uplink, true);
    sim.attach(egress, Kind::Uplink, true);
    let hairpins: Vec<Hairpin> = (0..2)
        .map(|n| Hairpin {
            egress,
            queue: 4 + n,
            tx_queue: 6 + n,
        })
        .collect();
    for hairpin in &hairpins {
        sim.hairpin((port, hairpin.queue), (egress, hairpin.tx_queue));
    }
    let role = Role::Transit {
        port,
        hairpins,
        software: Rss {
            queues: vec![0, 1],
            key: None,
            fields: RssFields::Flow,
            symmetric: false,
        },
        kernel: true,
    };
    let mut engine = Engine::new(sim, Config::new(role, Design::Rss, 1500));
    let mac = [2, 0, 0, 0, 0, 1];
    let hop = |n: u8| {
        let adjacency = Adjacency::forward(egress, 1500, [2, 0, 0, 0, 1, n], mac, 0);
        Change::Nexthop(NexthopId(n.into()), Some(adjacency))
    };
    let entry = Entry {
        mac,
        untagged: true,
    };
    let all = (0..buckets).map(|b| NexthopId(b % 2)).collect();
    for change in [
        Change::Hash(Box::new(Settings::new(Design::Rss.hash()).into())),
        Change::Port(port, Some(entry)),
        hop(0),
        hop(1),
        Change::Group(GroupId(1), Some(all)),
        Change::Prefix([10, 0, 0, 0].into(), 8, Some(Lead::Group(GroupId(1)))),
    ] {
        engine.apply(&change);
    }
    assert!(engine.settle(usize::MAX));
    assert_eq!(engine.compiler().failures(), 0);
    engine
}

fn script(engine: &Engine<Sim>) -> Script {
    let port = |number, name: &str| Ethdev {
        port: PortId(number),
        name: name.into(),
        number: number + 3,
        isolated: true,
    };
    whole(
        &[Copied::of(engine.compiler())],
        &[port(0, "up1"), port(1, "up2")],
    )
}

fn has(script: &Script, line: &str) -> bool {
    script.text.lines().any(|l| l == line)
}

#[test]
fn hairpin_queues_and_an_rss_action_that_rules_share() {
    let script = script(&transit(4));
    assert_eq!(script.unsaid, [""; 0]);
    assert_eq!(script.indirects, 1);
    for line in [
        "#   3 up1",
        "# After the ports: -- -i --disable-device-start --flow-isolate-all --rxq=2 --txq=2 --hairpinq=6 \
         --hairpin-mode=0x12 --hairpin-map=3:4:4:6:1 --hairpin-map=3:5:4:7:1",
        "flow queue 4 create 0 template_table 0 pattern_template 0 actions_template 0 postpone yes \
         pattern tx_queue tx_queue_value spec 6 / end actions jump group 7 / end",
    ] {
        assert!(has(&script, line), "no {line:?} in\n{}", script.text);
    }
    let with = |words: &str| {
        let mut lines = script.text.lines().filter(|l| l.contains(words));
        lines.next().unwrap_or_default().to_owned()
    };
    // The key is 40 bytes of the seed's.
    let shared = with("indirect_action");
    let (head, tail) = shared.split_once(" key ").unwrap();
    let (key, queues) = tail.split_once(' ').unwrap();
    assert_eq!(
        head,
        "flow queue 3 indirect_action 0 create ingress action_id 0 postpone no action \
         rss func toeplitz level 0 types udp tcp end"
    );
    assert_eq!(key.len(), 80);
    // Which of them a next hop has does not matter.
    let dealt = ["queues 4 5 4 5 end / end", "queues 5 4 5 4 end / end"];
    assert!(dealt.contains(&queues), "{queues}");
    let template = with("template indirect 0 / end");
    assert!(template.ends_with("mask rss / end"), "{template}");
    let rewrite = with("dst_type mac_dst src_type value src_value 020000000100 width 48");
    let ttl = "modify_field op add dst_type ipv4_ttl src_type value src_value ff width 8";
    assert!(rewrite.contains(ttl), "{rewrite}");
    let last = |words: &str| script.text.rfind(words);
    let (root, lpm) = (last("jump group 1 /"), last("spec 10.0.0.0"));
    assert!(lpm.is_some(), "{}", script.text);
    assert!(root > lpm, "packets are let in last");
}

#[test]
fn what_testpmd_cannot_say_is_left_to_software() {
    let script = script(&transit(256));
    assert_eq!(
        script.unsaid,
        [
            "an indirect action: an RSS action over 256 queues: testpmd takes at most 128",
            "a table of group 19: its indirect action could not be said",
        ]
    );
    let select = "pattern end actions jump group 19 / end";
    assert!(!script.text.contains(select), "nothing would be there");
    let longest = script.text.lines().map(str::len).max();
    assert!(longest <= Some(LINE));
}

#[test]
fn ports_that_testpmd_does_not_have() {
    let engine = transit(4);
    let script = whole(&[Copied::of(engine.compiler())], &[]);
    assert_eq!((script.tables, script.rules), (0, 0));
    let missing = "a program: port 0 is not among testpmd's";
    assert!(script.unsaid.iter().any(|u| u == missing));
}

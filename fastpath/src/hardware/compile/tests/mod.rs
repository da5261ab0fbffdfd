//! What is said of the state, and when nobody is let in.

mod costs;
mod order;
mod own;
mod renew;
mod room;

use super::*;
use crate::hardware::engine::Engine;
use crate::hardware::plan::{Change, Entry, Lead, NexthopId};
use crate::hardware::program::{Action, Operation, Rss, RssFields};
use crate::hardware::sim::{Faults, Kind as PortKind, Profile, Sim, Tally};
use crate::hash::{Algorithm, Choice, Settings};
use crate::table::Adjacency;
use std::net::IpAddr;

const PORT: PortId = PortId(0);
const OUT: PortId = PortId(1);

fn transit(design: Design, profile: Profile) -> Engine<Sim> {
    let mut sim = Sim::new(profile);
    sim.attach(PORT, PortKind::Uplink, true);
    sim.attach(OUT, PortKind::Uplink, true);
    let hairpins: Vec<_> = (0..8)
        .map(|n| Hairpin {
            egress: OUT,
            queue: 16 + n,
            tx_queue: 32 + n,
        })
        .collect();
    for hairpin in &hairpins {
        sim.hairpin((PORT, hairpin.queue), (OUT, hairpin.tx_queue));
    }
    let software = Rss {
        queues: vec![0, 1],
        key: None,
        fields: RssFields::Flow,
        symmetric: false,
    };
    let role = Role::Transit {
        port: PORT,
        hairpins,
        software,
        kernel: true,
    };
    let mut engine = Engine::new(sim, Config::new(role, design, 1500));
    let entry = Entry {
        mac: [2, 0, 0, 0, 0, 1],
        untagged: true,
    };
    engine.apply(&Change::Port(PORT, Some(entry)));
    engine.apply(&hash(|_| ()));
    engine
}

/// What rows can hash, but for what `change` does to it.
fn hash(change: impl Fn(&mut Choice)) -> Change {
    let mut choice = Design::Rows.hash();
    change(&mut choice);
    Change::Hash(Box::new(Settings::new(choice).into()))
}

fn nexthop(n: u32, usable: bool) -> Change {
    let mac = [2, 0, 0, 1, (n >> 8) as u8, n as u8];
    let adjacency = Adjacency::forward(OUT, 1500, mac, [2, 0, 0, 0, 0, 2], 0);
    Change::Nexthop(NexthopId(n), usable.then_some(adjacency))
}

fn group(n: u32, buckets: &[u32]) -> Change {
    let buckets: Vec<_> = buckets.iter().map(|b| NexthopId(*b)).collect();
    Change::Group(GroupId(n), Some(buckets.into()))
}

fn prefix(text: &str, group: Option<u32>) -> Change {
    let (address, length) = text.split_once('/').unwrap();
    let lead = group.map(|g| Lead::Group(GroupId(g)));
    Change::Prefix(address.parse().unwrap(), length.parse().unwrap(), lead)
}

/// Applies changes and carries them out: what the NIC was asked for.
fn carry(engine: &mut Engine<Sim>, changes: &[Change]) -> Tally {
    engine.steering_mut().set_faults(Faults::default());
    for change in changes {
        engine.apply(change);
    }
    assert!(engine.settle(1 << 24));
    engine.steering().tally()
}

/// 10.0.0.0/8 by two next hops, and 11.0.0.0/8 by one.
fn two_groups(profile: Profile) -> Engine<Sim> {
    let mut engine = transit(Design::Rows, profile);
    let all = [
        nexthop(0, true),
        nexthop(1, true),
        group(1, &[0, 1]),
        group(2, &[0]),
        prefix("10.0.0.0/8", Some(1)),
        prefix("11.0.0.0/8", Some(2)),
    ];
    carry(&mut engine, &all);
    engine
}

fn group_state(engine: &Engine<Sim>, n: u32) -> (State, Vec<String>) {
    let standing = engine.compiler().group(GroupId(n));
    let reasons = standing.reasons.iter().map(ToString::to_string);
    (standing.state, reasons.collect())
}

fn prefix_state(engine: &Engine<Sim>, text: &str) -> (State, Vec<String>) {
    let (address, length) = text.split_once('/').unwrap();
    let address: IpAddr = address.parse().unwrap();
    let standing = engine.compiler().prefix(address, length.parse().unwrap());
    let reasons = standing.reasons.iter().map(ToString::to_string);
    (standing.state, reasons.collect())
}

#[test]
fn what_cannot_be_hashed_stays_in_software_and_says_why() {
    let mut engine = two_groups(Profile::cx7());
    carry(&mut engine, &[prefix("2001:db8::/32", Some(1))]);
    let jumbo = "the NIC has no full-dword jumbo definers, which IPv6 needs".to_owned();
    assert_eq!(
        group_state(&engine, 1),
        (State::Partial, vec![jumbo.clone()])
    );
    assert_eq!(
        prefix_state(&engine, "10.0.0.0/8"),
        (State::Hardware, vec![])
    );
    assert_eq!(
        prefix_state(&engine, "2001:db8::/32"),
        (State::Software, vec![jumbo])
    );
    carry(&mut engine, &[hash(|c| c.algorithm = Algorithm::Mix)]);
    let (state, reasons) = group_state(&engine, 1);
    assert_eq!(state, State::Software);
    assert_eq!(
        reasons[0],
        "algorithm = \"mix\", and the NIC computes \"crc32\""
    );
    assert_eq!(
        group_state(&engine, 2),
        (State::Hardware, vec![]),
        "needs no hash"
    );
    let vlan = Adjacency::forward(OUT, 1500, [2; 6], [4; 6], 7);
    carry(&mut engine, &[Change::Nexthop(NexthopId(0), Some(vlan))]);
    let why = "nexthop 0 is behind a VLAN tag".to_owned();
    assert_eq!(group_state(&engine, 2), (State::Software, vec![why]));
    let small = Adjacency::forward(OUT, 1400, [2; 6], [4; 6], 0);
    carry(&mut engine, &[Change::Nexthop(NexthopId(0), Some(small))]);
    let why = "nexthop 0: MTU 1400 is smaller than packets that hardware forwards".to_owned();
    assert_eq!(group_state(&engine, 2), (State::Software, vec![why]));
    let elsewhere = Adjacency::forward(PortId(9), 1500, [2; 6], [4; 6], 0);
    carry(
        &mut engine,
        &[Change::Nexthop(NexthopId(0), Some(elsewhere))],
    );
    let why = "nexthop 0: no hairpin queue to port 9".to_owned();
    assert_eq!(group_state(&engine, 2), (State::Software, vec![why]));
    assert_eq!(group_state(&engine, 77).0, State::Software);
}

/// Where the driver computes other rows than software, no group is by rows.
#[test]
fn a_nic_with_another_hash_is_not_trusted() {
    for other_hash in [false, true] {
        let profile = Profile {
            other_hash,
            ..Profile::bf3()
        };
        let mut engine = two_groups(profile);
        assert_eq!(engine.agrees(Family::V4), Some(!other_hash));
        assert_eq!(engine.agrees(Family::V6), None);
        assert_eq!(group_state(&engine, 2), (State::Hardware, vec![]));
        let (state, reasons) = group_state(&engine, 1);
        assert_eq!(state == State::Software, other_hash);
        let why = "table: create: the driver's rte_flow_calc_table_hash is not our CRC";
        assert_eq!(other_hash, reasons.iter().any(|r| r.starts_with(why)));
        assert_eq!(engine.steering().misuses(), [""; 0]);
        assert_eq!(engine.nexthop_count(NexthopId(0)), Default::default());
    }
}

/// A full table closes what covers the prefix that it has no room for.
#[test]
fn a_full_table_hides_shorter_prefixes() {
    let mut config = transit(Design::Rows, Profile::bf3())
        .compiler()
        .config()
        .clone();
    config.prefixes = 2;
    let mut engine = Engine::new(Sim::new(Profile::bf3()), config);
    engine.steering_mut().attach(PORT, PortKind::Uplink, true);
    let entry = Entry {
        mac: [2; 6],
        untagged: true,
    };
    let all = [
        Change::Port(PORT, Some(entry)),
        nexthop(0, true),
        group(1, &[0]),
        prefix("10.0.0.0/8", Some(1)),
        prefix("10.1.0.0/24", Some(1)),
        prefix("10.1.1.0/24", Some(1)),
        prefix("10.1.2.0/24", Some(1)),
    ];
    carry(&mut engine, &all);
    let full = "the table of /24 is full".to_owned();
    assert_eq!(
        prefix_state(&engine, "10.1.2.0/24"),
        (State::Software, vec![full])
    );
    let (state, why) = prefix_state(&engine, "10.0.0.0/8");
    let hidden = "a longer prefix within it is not in hardware";
    assert_eq!((state, why[0].as_str()), (State::Software, hidden));
    carry(&mut engine, &[prefix("10.1.0.0/24", None)]);
    for text in ["10.1.2.0/24", "10.0.0.0/8", "10.1.1.0/24"] {
        assert_eq!(prefix_state(&engine, text).0, State::Hardware, "{text}");
    }
}

#[test]
fn nobody_is_let_in_before_the_frame_is_there() {
    let mut engine = transit(Design::Rows, Profile::bf3());
    let tables = |e: &Engine<Sim>| e.steering().size().0;
    assert_eq!(
        (tables(&engine), engine.compiler().standing().state),
        (0, State::Software)
    );
    // Each rule of it but those of the root, which come last.
    let mut nth = 0;
    loop {
        nth += 1;
        engine = transit(Design::Rows, Profile::bf3());
        engine.steering_mut().set_faults(Faults {
            late: [nth].into(),
            ..Faults::default()
        });
        assert!(engine.settle(1 << 20));
        let standing = engine.compiler().standing();
        assert_eq!(standing, Standing::software(Reason::NotReady), "{nth}");
        assert!(!engine.compiler().admits(PORT) && engine.compiler().failures() == 1);
        let inserted = engine.steering().tally().inserted;
        engine.retry();
        assert!(engine.settle(1 << 20));
        assert_eq!(engine.compiler().standing().state, State::Hardware);
        if inserted == nth {
            break;
        }
    }
    assert_eq!(nth, 35);
    let mut rules = engine.compiler().rules();
    assert!(rules.all(|rule| Operation::Insert(rule.clone()).rule() == Some(rule.id)));
}

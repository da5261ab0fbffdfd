//! Operations counted, and what is said of the state.

use super::super::engine::Engine;
use super::super::plan::{Change, Entry, Lead, NexthopId};
use super::super::program::{Operation, Rss, RssFields};
use super::super::sim::{Faults, Kind as PortKind, Profile, Sim, Tally};
use super::*;
use crate::hash::{Algorithm, Choice, Field, Settings};
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
    let mut choice = Choice {
        algorithm: Algorithm::Crc32,
        ..Choice::default()
    };
    choice.fields = choice.fields.with(Field::Ipv6Label, false);
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

/// A dead next hop is two updates, whether one group uses it or 10,000.
#[test]
fn a_dead_next_hop_is_two_updates() {
    for groups in [1, 100, 10_000] {
        let mut engine = transit(Design::Rows, Profile::bf3());
        let mut changes = vec![nexthop(0, true), nexthop(1, true)];
        for n in 0..groups {
            changes.push(group(n, &[0, 1]));
            let [high, low] = (n as u16).to_be_bytes();
            changes.push(prefix(&format!("10.{high}.{low}.0/24"), Some(n)));
            changes.push(prefix(&format!("2001:db8:{n:x}::/48"), Some(n)));
        }
        let tally = carry(&mut engine, &changes);
        // A group: its rule, two rows, one update, for each family.
        assert!(tally.inserted >= u64::from(groups) * 2 * 4, "{tally:?}");
        assert_eq!(group_state(&engine, 0), (State::Hardware, vec![]));
        let dead = carry(&mut engine, &[nexthop(0, false)]);
        let two = Tally {
            operations: 2,
            updated: 2,
            ..Tally::default()
        };
        assert_eq!(dead, two, "{groups} groups");
        let why = "nexthop 0 is down or not resolved".to_owned();
        assert_eq!(group_state(&engine, 0), (State::Partial, vec![why]));
        assert_eq!(carry(&mut engine, &[nexthop(0, true)]), two);
        assert_eq!(group_state(&engine, groups - 1), (State::Hardware, vec![]));
    }
}

#[test]
fn a_prefix_is_one_rule_and_never_more_than_eight() {
    let mut engine = transit(Design::Rows, Profile::bf3());
    let base = [
        nexthop(0, true),
        nexthop(1, true),
        group(1, &[0, 1]),
        group(2, &[0]),
    ];
    carry(&mut engine, &base);
    carry(
        &mut engine,
        &[
            prefix("10.0.0.0/8", Some(1)),
            prefix("2001:db8::/32", Some(2)),
        ],
    );
    for (text, rules) in [
        ("10.1.0.0/16", 1),
        ("10.1.1.0/24", 1),
        ("10.1.1.1/32", 1),
        ("10.2.0.0/15", 2),
        ("10.2.0.0/22", 4),
        ("10.1.128.0/17", 8),
        ("0.0.0.0/0", 0),
        ("2001:db8:1::/48", 1),
        ("2001:db8:8::/45", 8),
    ] {
        let tally = carry(&mut engine, &[prefix(text, Some(1))]);
        // The default route has its rule from the beginning.
        let updated = u64::from(rules == 0);
        // The first prefix to lead to a group of a family brings the group's own rules in.
        let first = if text == "2001:db8:1::/48" {
            tally.inserted - 1
        } else {
            0
        };
        assert_eq!(tally.inserted, rules + first, "{text}");
        assert!(first > 0 || tally.updated == updated, "{text}: {tally:?}");
        assert_eq!(prefix_state(&engine, text).0, State::Hardware, "{text}");
        let moved = carry(&mut engine, &[prefix(text, Some(2))]);
        assert!(
            moved.updated == rules.max(1) || first > 0,
            "{text}: {moved:?}"
        );
        let gone = carry(&mut engine, &[prefix(text, None)]);
        assert_eq!((gone.destroyed, gone.updated), (rules, updated), "{text}");
    }
}

/// Under a prefix of the same table that remains, places change hands and do not go.
#[test]
fn places_go_back_to_the_shorter_prefix() {
    let mut engine = transit(Design::Rows, Profile::bf3());
    carry(
        &mut engine,
        &[nexthop(0, true), group(1, &[0]), group(2, &[0])],
    );
    let all = [
        prefix("10.0.0.0/21", Some(1)),
        prefix("10.0.0.0/23", Some(2)),
    ];
    carry(&mut engine, &all);
    let gone = carry(&mut engine, &[prefix("10.0.0.0/23", None)]);
    assert_eq!((gone.updated, gone.inserted, gone.destroyed), (2, 0, 0));
    let gone = carry(&mut engine, &[prefix("10.0.0.0/21", None)]);
    assert_eq!((gone.updated, gone.inserted, gone.destroyed), (0, 0, 8));
}

#[test]
fn other_members_are_one_generation_and_one_update() {
    let mut engine = transit(Design::Rows, Profile::bf3());
    let buckets: Vec<u32> = (0..64).map(|b| b % 3).collect();
    let mut changes: Vec<_> = (0..4).map(|n| nexthop(n, true)).collect();
    changes.extend([group(1, &buckets), prefix("10.0.0.0/8", Some(1))]);
    carry(&mut engine, &changes);
    let fewer: Vec<u32> = (0..64).map(|b| b % 2).collect();
    let tally = carry(&mut engine, &[group(1, &fewer)]);
    // The rows of before go, and the rule of the next hop that nobody uses any more.
    let expected = Tally {
        tables: 1,
        operations: 64 + 1 + 64 + 1,
        inserted: 64,
        updated: 1,
        destroyed: 64 + 1,
        ..Tally::default()
    };
    assert_eq!(tally, expected);
    // The same buckets once more are nothing.
    assert_eq!(carry(&mut engine, &[group(1, &fewer)]), Tally::default());
    let size = engine.steering().size();
    for _ in 0..20 {
        carry(&mut engine, &[group(1, &buckets)]);
        carry(&mut engine, &[group(1, &fewer)]);
    }
    assert_eq!(engine.steering().size(), size, "nothing is left behind");
}

/// Design B: a change of members is one update of the group's RSS action.
#[test]
fn other_members_of_an_rss_group_are_one_update() {
    let mut engine = transit(Design::Rss, Profile::cx7());
    engine.apply(&hash(|c| {
        c.algorithm = Algorithm::Toeplitz;
        c.fields = c.fields.with(Field::IpProtocol, false);
    }));
    let buckets: Vec<u32> = (0..64).map(|b| b % 3).collect();
    let mut changes: Vec<_> = (0..3).map(|n| nexthop(n, true)).collect();
    changes.extend([group(1, &buckets), prefix("10.0.0.0/8", Some(1))]);
    carry(&mut engine, &changes);
    assert_eq!(group_state(&engine, 1), (State::Hardware, vec![]));
    let other: Vec<u32> = (0..64).map(|b| b / 5 % 3).collect();
    let tally = carry(&mut engine, &[group(1, &other)]);
    assert_eq!((tally.indirect, tally.operations), (1, 1));
    let dead = carry(&mut engine, &[nexthop(0, false)]);
    let why = "nexthop 0 is down or not resolved".to_owned();
    assert_eq!(group_state(&engine, 1), (State::Software, vec![why]));
    assert_eq!(dead.updated, 1, "{dead:?}");
}

#[test]
fn what_cannot_be_hashed_stays_in_software_and_says_why() {
    let mut engine = transit(Design::Rows, Profile::cx7());
    let all = [
        nexthop(0, true),
        nexthop(1, true),
        group(1, &[0, 1]),
        group(2, &[0]),
        prefix("10.0.0.0/8", Some(1)),
        prefix("2001:db8::/32", Some(1)),
        prefix("11.0.0.0/8", Some(2)),
    ];
    carry(&mut engine, &all);
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
    assert_eq!(nth, 30);
    let mut rules = engine.compiler().rules();
    assert!(rules.all(|rule| Operation::Insert(rule.clone()).rule() == Some(rule.id)));
}

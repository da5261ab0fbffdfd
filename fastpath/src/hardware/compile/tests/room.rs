//! What a NIC has no room for is software's, and says so, until there is some.

use super::*;

/// A router whose tables of prefixes have `prefixes` places and whose NIC has `entries` of memory.
fn small(prefixes: u32, entries: u64) -> Engine<Sim> {
    let mut profile = Profile::bf3();
    profile.entries = entries;
    let mut config = transit(Design::Rows, Profile::bf3())
        .compiler()
        .config()
        .clone();
    config.prefixes = prefixes;
    let mut sim = Sim::new(profile);
    sim.attach(PORT, PortKind::Uplink, true);
    sim.attach(OUT, PortKind::Uplink, true);
    if let Role::Transit { hairpins, .. } = &config.role {
        for hairpin in hairpins {
            sim.hairpin((PORT, hairpin.queue), (OUT, hairpin.tx_queue));
        }
    }
    let mut engine = Engine::new(sim, config);
    let entry = Entry {
        mac: [2, 0, 0, 0, 0, 1],
        untagged: true,
    };
    carry(
        &mut engine,
        &[
            Change::Port(PORT, Some(entry)),
            hash(|_| ()),
            nexthop(0, true),
            nexthop(1, true),
        ],
    );
    engine
}

fn nth(n: u32) -> String {
    format!("10.1.{n}.0/24")
}

/// Prefixes that hardware has, and those that wait for room.
fn shares(engine: &Engine<Sim>, prefixes: impl Iterator<Item = u32>) -> (usize, usize) {
    let full = (State::Software, vec!["the table of /24 is full".to_owned()]);
    let states: Vec<_> = prefixes.map(|n| prefix_state(engine, &nth(n))).collect();
    let waiting = states.iter().filter(|s| **s == full).count();
    let there = states.iter().filter(|s| s.0 == State::Hardware).count();
    assert_eq!(there + waiting, states.len(), "{states:?}");
    (there, waiting)
}

#[test]
fn who_leaves_a_full_table_makes_room_for_who_waits() {
    let mut engine = small(8, 1 << 24);
    carry(&mut engine, &[group(1, &[0])]);
    let come: Vec<Change> = (0..20).map(|n| prefix(&nth(n), Some(1))).collect();
    let came = carry(&mut engine, &come);
    assert_eq!(shares(&engine, 0..20), (8, 12));
    // To wait is no failure: nothing is tried in vain.
    assert_eq!((came.failed, engine.compiler().failures()), (0, 0));
    engine.retry();
    assert!(engine.settle(1 << 20));
    assert_eq!(engine.steering().tally(), came);
    // Who is there may move.
    let other = [group(2, &[1]), prefix("12.0.0.0/8", Some(2))];
    carry(&mut engine, &other);
    let moved = carry(&mut engine, &[prefix(&nth(0), Some(2))]);
    assert_eq!((moved.updated, moved.operations), (1, 1));
    // Five leave, and five take their places: no more operations than that.
    let leave: Vec<Change> = (0..5).map(|n| prefix(&nth(n), None)).collect();
    let left = carry(&mut engine, &leave);
    assert_eq!((left.destroyed, left.inserted, left.operations), (5, 5, 10));
    assert_eq!(shares(&engine, 5..20), (8, 7));
    // Who waits no more has no place kept.
    let gone: Vec<Change> = (16..20).map(|n| prefix(&nth(n), None)).collect();
    let gone = carry(&mut engine, &gone);
    assert_eq!(gone.operations, 0);
    assert_eq!(shares(&engine, 5..16), (8, 3));
    let leave: Vec<Change> = (5..9).map(|n| prefix(&nth(n), None)).collect();
    let left = carry(&mut engine, &leave);
    assert_eq!((left.destroyed, left.inserted), (4, 3));
    assert_eq!(shares(&engine, 9..16), (7, 0));
    assert_eq!(engine.steering().misuses(), [""; 0]);
}

/// A group by 64 rows, and a prefix that leads there.
fn rows(n: u32) -> [Change; 2] {
    let buckets: Vec<u32> = (0..64).map(|b| b % 2).collect();
    [group(n, &buckets), prefix(&format!("{n}.0.0.0/8"), Some(n))]
}

#[test]
fn a_group_without_memory_is_softwares_until_there_is_some() {
    let mut used = Vec::new();
    let mut engine = small(8, 1 << 24);
    for n in 11..=13 {
        carry(&mut engine, &rows(n));
        used.push(engine.steering().memory().0);
    }
    // Enough for two of three.
    let mut engine = small(8, used[1] + (used[2] - used[1]) / 2);
    for n in 11..=13 {
        carry(&mut engine, &rows(n));
    }
    assert_eq!(group_state(&engine, 12), (State::Hardware, vec![]));
    let (state, reasons) = group_state(&engine, 13);
    assert_eq!(state, State::Software);
    let why = "table: create: no steering memory is left (errno 12)";
    assert!(reasons.iter().any(|r| r == why), "{reasons:?}");
    assert_eq!(prefix_state(&engine, "13.0.0.0/8").0, State::Software);
    assert!(engine.compiler().failures() > 0);
    // In vain, as long as there is none.
    engine.retry();
    assert!(engine.settle(1 << 20));
    assert_eq!(group_state(&engine, 13).0, State::Software);
    assert_eq!(group_state(&engine, 11), (State::Hardware, vec![]));
    let leave = [prefix("11.0.0.0/8", None), Change::Group(GroupId(11), None)];
    carry(&mut engine, &leave);
    engine.retry();
    assert!(engine.settle(1 << 20));
    assert_eq!(engine.compiler().failures(), 0);
    assert_eq!(group_state(&engine, 13), (State::Hardware, vec![]));
    assert_eq!(prefix_state(&engine, "13.0.0.0/8").0, State::Hardware);
    assert_eq!(engine.steering().misuses(), [""; 0]);
}

#[test]
fn a_length_without_memory_is_softwares_with_all_that_covers_it() {
    let mut engine = small(8, 1 << 24);
    carry(&mut engine, &rows(10));
    carry(&mut engine, &rows(11));
    let without = engine.steering().memory().0;
    carry(&mut engine, &[prefix(&nth(1), Some(10))]);
    let with = engine.steering().memory().0;
    let mut engine = small(8, with - 1);
    assert!(with > without);
    carry(&mut engine, &rows(10));
    carry(&mut engine, &rows(11));
    carry(&mut engine, &[prefix(&nth(1), Some(10))]);
    assert_eq!(prefix_state(&engine, &nth(1)).0, State::Software);
    // The shorter one would take its packets.
    let (state, why) = prefix_state(&engine, "10.0.0.0/8");
    let hidden = "a longer prefix within it is not in hardware";
    assert_eq!((state, &*why[0]), (State::Software, hidden));
    assert_eq!(prefix_state(&engine, "11.0.0.0/8").0, State::Hardware);
    assert!(engine.compiler().failures() > 0);
    let leave = [prefix("11.0.0.0/8", None), Change::Group(GroupId(11), None)];
    carry(&mut engine, &leave);
    engine.retry();
    assert!(engine.settle(1 << 20));
    assert_eq!(engine.compiler().failures(), 0);
    for text in [&nth(1), "10.0.0.0/8"] {
        assert_eq!(prefix_state(&engine, text), (State::Hardware, vec![]));
    }
}

/// Counters run out: hardware forwards, and what it cannot count it does not.
#[test]
fn without_counters_next_hops_are_forwarded_to_uncounted() {
    let mut found = Vec::new();
    for counters in 0..64 {
        let mut profile = Profile::bf3();
        profile.capabilities.counters = counters;
        let mut engine = two_groups(profile);
        assert_eq!(group_state(&engine, 1), (State::Hardware, vec![]));
        assert_eq!(group_state(&engine, 2), (State::Hardware, vec![]));
        assert_eq!(engine.steering().misuses(), [""; 0]);
        assert_eq!(engine.compiler().failures(), 0);
        let counting = |n: u32| engine.compiler().counting(NexthopId(n)).len();
        found.push(counting(0) + counting(1));
        assert_eq!(engine.nexthop_count(NexthopId(0)), Default::default());
    }
    assert!(found.is_sorted() && found.contains(&1), "{found:?}");
    assert_eq!((found[0], found[63]), (0, 2));
}

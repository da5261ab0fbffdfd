//! Operations counted.

use super::*;

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
        gone: 2,
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
    engine.apply(&hash(|c| *c = Design::Rss.hash()));
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

/// Whoever is dead does not wait for prefixes: no operation comes before the two updates.
#[test]
fn a_dead_next_hop_overtakes_prefixes() {
    let mut engine = transit(Design::Rows, Profile::bf3());
    let base = [
        nexthop(0, true),
        nexthop(1, true),
        group(1, &[0, 1]),
        prefix("10.0.0.0/8", Some(1)),
        prefix("2001:db8::/32", Some(1)),
    ];
    carry(&mut engine, &base);
    for n in 0..100_000_u32 {
        let [_, high, middle, low] = n.to_be_bytes();
        let text = format!("11.{high}.{middle}.{low}/32");
        engine.apply(&prefix(&text, Some(1)));
    }
    // Some are under way.
    engine.advance(100, 4);
    engine.apply(&nexthop(0, false));
    let compiler = engine.compiler_mut();
    for _ in 0..2 {
        let step = compiler.step();
        let does = match step {
            Some(Step::Operate(_, Operation::Update(_, does))) => does,
            other => panic!("{other:?}"),
        };
        assert_eq!(does.actions, [Action::Jump(SOFTWARE)]);
    }
    let step = compiler.step();
    assert!(matches!(step, Some(Step::Operate(_, Operation::Insert(_)))));
}

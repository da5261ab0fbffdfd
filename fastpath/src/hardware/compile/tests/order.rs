//! In which order things come and go.

use super::*;
use crate::hardware::program::{Action, Domain, Indirect, Insertion, Rule};
use std::collections::HashMap;

/// Groups that rules in the NIC jump to and where packets would be lost: no rule there, or a row
/// without one.
fn holes(engine: &Engine<Sim>) -> Vec<Group> {
    let mut rules: HashMap<TableId, u32> = HashMap::new();
    for rule in engine.compiler().rules() {
        *rules.entry(rule.table).or_default() += 1;
    }
    let mut sound: HashMap<Group, bool> = HashMap::new();
    for (table, _) in engine.compiler().tables() {
        let there = rules.get(&table.id).copied().unwrap_or(0);
        let is_sound = match table.insertion {
            Insertion::Index(_) => there == table.size,
            Insertion::Pattern => there > 0,
        };
        *sound.entry(table.group).or_default() |= is_sound;
    }
    // What leaves by a hairpin queue that no next hop has: nothing.
    let tables = engine.compiler().tables();
    let egress: BTreeSet<TableId> = tables
        .filter(|(t, _)| t.domain == Domain::Egress)
        .map(|(t, _)| t.id)
        .collect();
    let jump = |rule: Rule| match rule.does.actions.last() {
        Some(Action::Jump(group)) if !egress.contains(&rule.table) => Some(*group),
        _ => None,
    };
    let mut led: Vec<Group> = engine.compiler().rules().filter_map(jump).collect();
    led.sort_unstable();
    led.dedup();
    led.retain(|group| sound.get(group) != Some(&true));
    led
}

/// Whatever is in force leads to what is in force, after each operation: things are there before they
/// are pointed to, and go when nothing points to them any more.
#[test]
fn nothing_leads_to_what_is_not_there_yet_or_no_more() {
    let few: Vec<u32> = (0..8).map(|b| b % 3).collect();
    let other: Vec<u32> = (0..8).map(|b| 3 + b % 2).collect();
    let more: Vec<u32> = (0..16).map(|b| b % 5).collect();
    for design in [Design::Rows, Design::Rss] {
        let mut engine = transit(design, Profile::bf3());
        if design == Design::Rss {
            engine.apply(&hash(|c| *c = Design::Rss.hash()));
        }
        // Before the frame is there nobody is let in, and its own order is free.
        carry(&mut engine, &[]);
        let fresh = engine.steering().size();
        engine.steering_mut().set_faults(Faults {
            pace: Some(1),
            ..Faults::default()
        });
        let mut changes: Vec<Vec<Change>> = vec![(0..5).map(|n| nexthop(n, true)).collect()];
        changes.push(vec![group(1, &few), prefix("10.0.0.0/8", Some(1))]);
        changes.push(vec![group(1, &other)]);
        changes.push(vec![nexthop(3, false)]);
        changes.push(vec![group(1, &more), nexthop(3, true)]);
        changes.push(vec![group(2, &[4]), prefix("10.0.0.0/8", Some(2))]);
        changes.push(vec![Change::Group(GroupId(1), None), group(2, &few)]);
        changes.push(vec![
            prefix("10.0.0.0/8", None),
            Change::Group(GroupId(2), None),
        ]);
        let (mut steps, mut most) = (0, 0);
        for change in &changes {
            change.iter().for_each(|c| engine.apply(c));
            while engine.advance(1, 1) || engine.compiler().under_way() > 0 {
                assert_eq!(holes(&engine), [], "{design:?}: {change:?}");
                steps += 1;
            }
            most = most.max(engine.steering().size().1);
        }
        let (tables, rules) = engine.steering().size();
        assert!(steps > 50 && most > rules + 8, "{design:?}: {steps}");
        // What was made once for all prefixes of a length stays.
        assert_eq!((tables, rules), (fresh.0 + 1, fresh.1), "{design:?}");
        assert_eq!(engine.steering().misuses(), [""; 0]);
    }
}

/// Next hops that leave and return have the hairpin queues that they had, in whatever order they left.
#[test]
fn a_hairpin_queue_is_the_first_that_is_free() {
    let mut engine = transit(Design::Rss, Profile::bf3());
    carry(&mut engine, &[hash(|c| *c = Design::Rss.hash())]);
    let queues = |engine: &Engine<Sim>| {
        let group = |i: &Indirect| i.action.clone();
        let mut all: Vec<String> = engine
            .compiler()
            .indirects()
            .map(|i| format!("{:?}", group(&i)))
            .collect();
        all.sort_unstable();
        all
    };
    let all: Vec<Change> = (0..6).map(|n| nexthop(n, true)).collect();
    carry(&mut engine, &all);
    carry(
        &mut engine,
        &[
            group(1, &[0, 1, 2, 3, 4, 5, 0, 1]),
            prefix("10.0.0.0/8", Some(1)),
        ],
    );
    let first = queues(&engine);
    assert!(
        first.len() == 1 && first[0].contains("queues: [16, 17, 18, 19, 20, 21, 16, 17]"),
        "{first:?}"
    );
    for order in [[5, 4, 3, 2, 1, 0], [2, 5, 0, 3, 1, 4]] {
        carry(
            &mut engine,
            &[prefix("10.0.0.0/8", None), Change::Group(GroupId(1), None)],
        );
        for n in order {
            carry(&mut engine, &[nexthop(n, false)]);
        }
        carry(&mut engine, &all);
        carry(
            &mut engine,
            &[
                group(1, &[0, 1, 2, 3, 4, 5, 0, 1]),
                prefix("10.0.0.0/8", Some(1)),
            ],
        );
        assert_eq!(queues(&engine), first, "{order:?}");
    }
}

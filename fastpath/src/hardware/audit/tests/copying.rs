//! Copies made piece by piece, of programs that change meanwhile.

use super::super::super::program::RuleId;
use super::*;

/// All of a copy, in order.
fn words(copied: Copied) -> Vec<String> {
    let named = |id| copied.rules.iter().any(|(rule, _)| rule.table == id);
    let tables = copied.tables.values().filter(|t| named(t.id));
    let tables = tables.map(|t| format!("{t:?}"));
    let rules = copied.rules.iter().map(|r| format!("{r:?}"));
    let shared = copied.indirects.values().map(|i| format!("{i:?}"));
    let settled = format!("{} {}", copied.unsettled, copied.failures);
    let mut all: Vec<String> = tables.chain(rules).chain(shared).chain([settled]).collect();
    all.sort();
    all
}

fn begun(setting: Setting) -> (Engine<Sim>, Copying) {
    let mut engine = engine(setting);
    let plan = Plan::new(setting);
    settle(&mut engine, &plan.0.values().cloned().collect::<Vec<_>>());
    let copying = Copying::begin(&mut engine);
    (engine, copying)
}

#[test]
fn a_copy_is_what_there_is_when_it_is_whole() {
    for setting in SETTINGS {
        let mut random = random(0x5851_f42d_4c95_7f2d);
        let mut between = 0;
        for round in 0..40 {
            let (mut engine, mut copying) = begun(setting);
            // Programs that refuse now and then are copied with what is missing.
            let next = engine.steering().tally().operations + 1;
            let late = (next..next + 300).filter(|_| round % 3 == 0);
            let late = late.filter(|_| random(12) == 0).collect();
            engine.steering_mut().set_faults(Faults {
                late,
                ..Faults::default()
            });
            let mut changes = 30;
            loop {
                let piece = copying.turn(&mut engine, 3);
                assert!(piece.entries <= 3, "{piece:?}");
                if changes == 0 && engine.compiler().under_way() == 0 && piece.is_whole {
                    break;
                }
                if changes > 0 {
                    changes -= 1;
                    engine.apply(&any(&mut random));
                    between += usize::from(!piece.is_whole);
                }
                engine.advance(random(4) as u32, 1);
                if random(9) == 0 {
                    engine.retry();
                }
            }
            let Finished { copy: altered, .. } = copying.finish(&mut engine, false);
            let copied = words(altered.settle());
            assert!(copied.len() > 40);
            assert_eq!(copied, words(Copied::of(engine.compiler())), "{setting:?}");
        }
        assert!(between > 500, "{setting:?}: {between} changes amid a copy");
    }
}

#[test]
fn what_changed_before_its_turn_is_copied_once_more_and_no_more() {
    let (mut engine, mut copying) = begun(Setting::Rows);
    assert!(!copying.turn(&mut engine, 3).is_whole);
    // Dead: an update for each family, which was copied or was not.
    settle(&mut engine, &[Change::Nexthop(NexthopId(2), None)]);
    let rest = copying.turn(&mut engine, usize::MAX);
    assert!(rest.is_whole);
    let Finished {
        copy: altered,
        lost,
        ..
    } = copying.finish(&mut engine, false);
    assert_eq!(lost, []);
    assert_eq!(
        words(altered.settle()),
        words(Copied::of(engine.compiler()))
    );
    // Nothing is kept for anybody any more.
    settle(&mut engine, &[hop(2, 2)]);
    assert_eq!(engine.compiler_mut().altered(9), (vec![], vec![], 0));
    let mut copying = Copying::begin(&mut engine);
    settle(&mut engine, &[hop(2, 3)]);
    copying.give_up(&mut engine);
    assert_eq!(engine.compiler_mut().altered(9), (vec![], vec![], 0));
}

#[test]
fn drivers_are_asked_about_what_they_have() {
    for setting in SETTINGS {
        let (mut engine, mut copying) = begun(setting);
        let mut pieces = 0;
        while !copying.turn(&mut engine, 4).is_whole {
            pieces += 1;
        }
        let found = copying.finish(&mut engine, false).lost;
        assert!(found.is_empty() && pieces > 3, "{setting:?} {found:?}");
        // Of a driver that has lost everything.
        let mut copying = Copying::begin(&mut engine);
        *engine.steering_mut() = super::engine(setting).into_steering();
        assert!(copying.turn(&mut engine, usize::MAX).is_whole);
        let found = copying.finish(&mut engine, false).lost;
        assert!(found.len() > 8, "{setting:?} {found:?}");
        let shared = found
            .iter()
            .any(|d| d.object.starts_with("indirect action "));
        assert_eq!(shared, setting == Setting::Rss);
    }
}

/// Each rule of a program by itself: an audit names it, and it is put in again if that is asked for.
#[test]
fn a_rule_that_the_nic_has_lost_is_named_and_put_in_again() {
    for setting in SETTINGS {
        let (mut engine, mut copying) = begun(setting);
        copying.give_up(&mut engine);
        let rules: Vec<(RuleId, String)> = Copied::of(engine.compiler())
            .rules
            .iter()
            .map(|(rule, purpose)| (rule.id, words::purpose(purpose)))
            .collect();
        assert!(rules.len() > 30);
        let look = |engine: &mut Engine<Sim>, repair| {
            let mut copying = Copying::begin(engine);
            assert!(copying.turn(engine, usize::MAX).is_whole);
            copying.finish(engine, repair)
        };
        for (rule, object) in rules {
            engine.steering_mut().miss(rule);
            let found = look(&mut engine, false);
            let lost = Difference {
                object,
                planned: "the NIC has it".into(),
                found: "the NIC has no such rule (errno 2)".into(),
            };
            assert_eq!((found.lost, found.repaired), (vec![lost.clone()], 0));
            // Asking is not repairing.
            let found = look(&mut engine, true);
            assert_eq!((found.lost, found.repaired), (vec![lost], 1));
            assert!(engine.compiler().failures() > 0, "{rule:?}");
            engine.retry();
            assert!(engine.settle(usize::MAX));
            assert_eq!(engine.compiler().failures(), 0, "{rule:?}");
            let found = look(&mut engine, true);
            assert_eq!((found.lost, found.repaired), (vec![], 0), "{rule:?}");
            assert_eq!(engine.steering().misuses(), [""; 0]);
        }
        let plan = Plan::new(setting);
        assert_eq!(differences(&engine, &plan), [], "{setting:?}");
    }
}

//! The rules of groups as they are shown, and as they change while packets flow.

mod lab;

use control::api::message::{Group, Resilient as Shown};
use control::api::{Request, Response};
use control::config::{DealBy, Resilient};
use control::deal::Recovery;
use lab::bench::Bench;
use lab::ip;
use std::time::Duration;

const TWO: &[(u8, u32)] = &[(10, 1), (11, 1)];
const THREE: &[(u8, u32)] = &[(10, 1), (11, 1), (12, 1)];

fn shown(bench: &mut Bench) -> Shown {
    match bench.lab.ask(&Request::ShowResilient) {
        Response::Resilient(shown) => shown,
        other => panic!("{other:?}"),
    }
}

fn group(bench: &mut Bench) -> Group {
    let groups = bench.lab.groups();
    let several = groups.into_iter().filter(|g| g.buckets > 1);
    several.last().expect("a group of several")
}

#[test]
fn show_resilient_tells_rules_and_room() {
    let mut bench = Bench::resilient();
    let before = shown(&mut bench);
    assert_eq!((before.groups_in_use, before.groups_possible), (0, 1023));
    bench.route(TWO);
    let now = shown(&mut bench);
    assert!(now.enable && now.unbalanced_timer.is_none());
    assert_eq!((now.buckets, now.active_timer), (64, 120));
    assert_eq!((now.recovery.as_str(), now.weight_error), ("idle", 1.0));
    assert_eq!((now.deal.as_str(), now.deal_seed), ("round-robin", None));
    assert_eq!(now.buckets_total, 65_536);
    assert_eq!(now.buckets_in_use, before.buckets_in_use + 64);
    assert_eq!((now.groups_in_use, now.groups_possible), (1, 1023));
    assert_eq!((now.groups_unbalanced, now.surplus), (0, 0));
    bench.route(THREE);
    let now = shown(&mut bench);
    assert_eq!((now.groups_unbalanced, now.surplus), (1, 21));
    bench.pass(10, &[]);
    let off = group(&mut bench);
    assert_eq!((off.surplus, off.weight_error), (21, 1.0), "12 has none");
    assert_eq!(off.dealt.unbalanced_seconds, Some(10.0));
    assert_eq!(
        off.dealt.weight_error_note.as_deref(),
        Some("64 buckets are fixed, 256 would do")
    );
    bench.pass(120, &[]);
    assert_eq!(shown(&mut bench).eased, 21);
    let off = group(&mut bench);
    assert_eq!((off.surplus, off.dealt.unbalanced_seconds), (0, None));
    assert_eq!(off.weight_error, 0.03125, "22 of 21 1/3");
}

#[test]
fn a_group_says_why_it_misses_the_bound() {
    let note = |rules: Resilient, members: &[(u8, u32)]| {
        let mut bench = Bench::new(rules);
        bench.route(members);
        let group = group(&mut bench);
        (group.dealt.weight_error_note, group.weight_error)
    };
    let (none, error) = note(Resilient::default(), THREE);
    assert!(none.is_none() && error <= 0.01, "{error}");
    let exact = Resilient {
        weight_error: 100,
        ..Resilient::default()
    };
    let rendezvous = Resilient {
        deal: DealBy::Rendezvous,
        deal_seed: Some(1),
        ..Resilient::default()
    };
    for (rules, members, words) in [
        (exact.clone(), &[(10, 65_535), (11, 1)], "no room for 65536"),
        (exact, &[(10, 40_000), (11, 1)], "no table is exact enough"),
        (rendezvous, &[(10, 1), (11, 1)], "by chance"),
    ] {
        let (note, error) = note(rules, members);
        assert!(
            note.as_ref().is_some_and(|n| n.contains(words)),
            "{note:?} {error}"
        );
    }
    let mut bench = Bench::new(Resilient {
        recovery: Some(Recovery::Never),
        hold_down: Duration::ZERO,
        ..Resilient::default()
    });
    bench.route(TWO);
    bench.up(11, false);
    assert!(
        group(&mut bench).dealt.parked.is_empty(),
        "it cannot be used"
    );
    bench.up(11, true);
    assert_eq!(group(&mut bench).dealt.parked, [ip("192.0.2.11")]);
}

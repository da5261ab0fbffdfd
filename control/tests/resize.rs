//! The rules of groups as they are shown, and as they change while packets flow.

use crate::lab;
use crate::lab::bench::{Bench, moved};
use crate::lab::ip;
use control::api::message::{Group, Resilient as Shown, ResilientChanged, SetResilient};
use control::api::{Reply, Request, Response};
use control::config::{DealBy, Resilient};
use control::deal::Recovery;
use fastpath::table::{GroupId, Tables};
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

fn set(bench: &mut Bench, words: &str, dry_run: bool) -> Result<ResilientChanged, String> {
    let words: Vec<&str> = words.split(' ').collect();
    let settings = words.chunks(2).map(|p| (p[0].into(), p[1].into()));
    let request = Request::SetResilient(SetResilient {
        settings: settings.collect(),
        dry_run,
    });
    let (control, now) = (&mut bench.lab.control, bench.lab.now);
    let reply = bench.lab.view.offline(|| {
        let reply = control.answer(&request, now);
        control.tick(now);
        reply
    });
    match reply {
        Reply::Ok(Response::SetResilient(changed)) => Ok(changed),
        Reply::Error(error) => Err(error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_larger_table_is_the_old_one_repeated_and_counts_go_along() {
    let mut bench = Bench::resilient();
    bench.route(THREE);
    bench.traffic([5, 5, 9]);
    bench.pass(1, &[]);
    let (before, room) = (bench.table(), shown(&mut bench).buckets_in_use);
    let group = group(&mut bench).id;
    for dry_run in [true, false] {
        let done = set(&mut bench, "buckets 256", dry_run).expect("a size");
        assert_eq!((done.groups_resized, done.buckets_moved), (1, 0));
        assert_eq!(done.active_buckets_moved, Some(0));
        assert_eq!(done.buckets_in_use, room - 64 + 256);
        let now = bench.table();
        let expected = [before.clone(), before.repeat(4)][usize::from(!dry_run)].clone();
        assert_eq!(now, expected);
    }
    let now = shown(&mut bench);
    assert_eq!((now.buckets, now.buckets_in_use), (256, room + 192));
    assert_eq!(now.live, ["buckets"]);
    // What the old buckets counted is parted over the new ones, who were active stay so.
    let control = &bench.lab.control;
    let sums = control.activity().buckets(GroupId(group));
    let packets: Vec<u64> = (0..4).map(|k| sums[5 + 64 * k].traffic.packets).collect();
    assert_eq!((sums.len(), packets.iter().sum::<u64>()), (256, 2));
    assert!(sums[5 + 64].active.is_some() && sums[6].active.is_none());
    // New traffic is counted where it goes now.
    bench.traffic([200]);
    bench.pass(1, &[]);
    let sums = bench.lab.control.activity().buckets(GroupId(group));
    assert_eq!(sums[200].traffic.packets, 1);
}

#[test]
fn in_a_smaller_table_the_busiest_stay() {
    let mut bench = Bench::new(Resilient {
        enable: true,
        buckets: 256,
        ..Resilient::default()
    });
    bench.route(THREE);
    let before = bench.table();
    // Of four buckets that become one, the last is in use, but for the first ten.
    let busy: Vec<u32> = (0..64).map(|b| if b < 10 { b } else { b + 192 }).collect();
    bench.pass(3, &busy);
    let would = set(&mut bench, "buckets 64", true).expect("a size");
    assert_eq!(bench.table(), before, "a dry run changes nothing");
    let done = set(&mut bench, "buckets 64", false).expect("a size");
    let after = bench.table();
    assert_eq!(after.len(), 64);
    for &b in &busy {
        assert_eq!(after[b as usize % 64], before[b as usize], "{b} stays");
    }
    let moves = (0..256).filter(|&b| after[b % 64] != before[b]).count() as u64;
    assert_eq!(
        (done.buckets_moved, done.active_buckets_moved),
        (moves, Some(0))
    );
    assert_eq!((would.buckets_moved, would.surplus), (moves, done.surplus));
    let events = match bench.lab.ask(&Request::ShowEvents) {
        Response::Events(events) => events,
        other => panic!("{other:?}"),
    };
    let event = events.last().expect("an event");
    assert_eq!(
        (event.object.as_str(), event.what.as_str()),
        ("resilient", "buckets 64")
    );
}

#[test]
fn without_room_nothing_changes_and_the_numbers_are_named() {
    let mut config = lab::config();
    config.resilient.enable = true;
    let mut bench = Bench::over(lab::Lab::sized(&config, Tables::new(64, 4096, 256)));
    bench.route(THREE);
    let (before, room) = (bench.table(), shown(&mut bench).buckets_in_use);
    let error = set(&mut bench, "buckets 4096 hold-down 9", false).expect_err("no room");
    let words = format!("a group of 4096 buckets does not fit, {room} of 4096 are in use");
    assert!(error.contains(&words), "{error}");
    assert_eq!((bench.table(), shown(&mut bench).hold_down), (before, 0));
    assert_eq!(shown(&mut bench).buckets_in_use, room);
}

#[test]
fn the_start_timer_counts_for_routes_that_begin() {
    let busy: Vec<u32> = (0..64).collect();
    for (setting, seconds, share) in [("start-timer 30", 20, 32), ("start-timer 0", 5, 0)] {
        let mut bench = Bench::resilient();
        bench.up(11, false);
        bench.route(TWO);
        let would = set(&mut bench, setting, true).expect("a timer");
        assert_eq!((would.changes.len(), would.buckets_moved), (1, 0));
        assert_eq!(
            shown(&mut bench).start_timer,
            10,
            "a dry run changes nothing"
        );
        set(&mut bench, setting, false).expect("a timer");
        assert_eq!(shown(&mut bench).live, ["start-timer"]);
        bench.pass(seconds, &busy);
        bench.up(11, true);
        let has = bench.shares().get(&11).copied();
        assert_eq!(has.unwrap_or(0), share, "{setting}");
    }
}

#[test]
fn timers_change_live_and_what_is_wrong_is_refused() {
    let mut bench = Bench::resilient();
    bench.route(TWO);
    bench.route(THREE);
    bench.pass(5, &[]);
    let before = bench.table();
    set(&mut bench, "active-timer 2", false).expect("a timer");
    bench.pass(3, &[]);
    assert_eq!(moved(&before, &bench.table()).len(), 21);
    for (words, error) in [
        (
            "buckets 100",
            "resilient buckets: set: 100 is not allowed; allowed are 64, 128",
        ),
        ("enable yes", "allowed are on, off"),
        ("active-timer 0", "allowed are 1..65535 seconds"),
        (
            "unbalanced-timer 0",
            "allowed are 1..4294967294 seconds, never",
        ),
        ("recovery soon", "allowed are auto, immediate, idle, never"),
        ("start-timer 3601", "allowed are 0..3600 seconds"),
        ("weight-error nan", "allowed are 0.01..100 percent"),
        ("bucket 64", "did you mean buckets?"),
        ("deal rendezvous", "only a restart changes it"),
    ] {
        let refused = set(&mut bench, words, false).expect_err(words);
        assert!(refused.contains(error), "{refused}");
    }
    let same = set(&mut bench, "unbalanced-timer 4294967295", false).expect("never");
    assert!(same.changes.is_empty());
    let done = set(&mut bench, "enable off recovery never", false).expect("off");
    assert_eq!(done.changes.len(), 2);
}

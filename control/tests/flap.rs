//! Whatever zebra does while members come and go, the flows of those who stay do not move, and who
//! returns gets its own flows back: bucket by bucket, over whole recorded conversations.

use crate::lab::{Flows, Lab, P0, STREAMS, stream};
use fastpath::table::PortId;
use std::collections::BTreeSet;

/// Flows moved only off ports that are gone or onto ports that came.
fn assert_steady(before: &Flows, after: &Flows, when: &str) {
    for (prefix, old) in before {
        let Some(new) = after.get(prefix) else {
            continue;
        };
        let used =
            |flows: &[Option<PortId>]| flows.iter().flatten().copied().collect::<BTreeSet<_>>();
        let (was, is) = (used(old), used(new));
        for (bucket, (from, to)) in old.iter().zip(new).enumerate() {
            let left = from.is_none_or(|p| !is.contains(&p));
            let came = to.is_none_or(|p| !was.contains(&p));
            assert!(
                from == to || left || came,
                "{when}: {prefix}: bucket {bucket}: {from:?} -> {to:?}"
            );
        }
    }
}

/// Both ports are used by every flow's prefix as they were in `full`.
fn assert_restored(full: &Flows, now: &Flows, when: &str) {
    for (prefix, flows) in now {
        if let Some(before) = full.get(prefix) {
            assert_eq!(flows, before, "{when}: {prefix}");
        }
    }
}

fn names(version: &str, set: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("{STREAMS}/expect.txt")).expect("expect.txt");
    let start = format!("{version}-{set}");
    let mut names = Vec::new();
    for line in text.lines().filter(|l| l.starts_with(&start)) {
        let name = line.split(' ').next().expect("name");
        let number = &name[start.len()..];
        if number.starts_with(char::is_numeric) {
            names.push(format!("{name} {}", line.contains("connect=1")));
        }
    }
    names
}

fn converse(version: &str, set: &str, feed: fn(&mut Lab, &[u8])) {
    let mut lab = Lab::dpu();
    let mut full = Flows::new();
    let mut restored = 0;
    for name in names(version, set) {
        let (name, connect) = name.split_once(' ').expect("two words");
        let before = lab.fpm_flows();
        if connect == "true" {
            lab.connect();
        }
        let is = |what: &str| name.contains(what);
        if is("link-down") || is("flap-down") {
            lab.carrier(P0, false);
            let repaired = lab.fpm_flows();
            assert_steady(&before, &repaired, &format!("{name}: carrier lost"));
            for (prefix, flows) in &repaired {
                let alive = flows.iter().all(|p| *p == Some(PortId(1)));
                assert!(alive, "{name}: {prefix}: {flows:?}");
            }
            feed(&mut lab, &stream(name));
            // zebra's own update, later, finds nothing left to move.
            assert_eq!(repaired, lab.fpm_flows(), "{name}: after zebra");
        } else if is("link-up") || is("flap-up") {
            lab.carrier(P0, true);
            let repaired = lab.fpm_flows();
            assert_steady(&before, &repaired, &format!("{name}: carrier back"));
            feed(&mut lab, &stream(name));
            assert_steady(&repaired, &lab.fpm_flows(), &format!("{name}: after zebra"));
        } else {
            feed(&mut lab, &stream(name));
            if !is("weight-change") {
                assert_steady(&before, &lab.fpm_flows(), name);
            }
        }
        let now = lab.fpm_flows();
        let whole = now.len() == 250
            && now
                .values()
                .all(|f| f.contains(&Some(PortId(0))) && f.contains(&Some(PortId(1))));
        if whole && full.is_empty() {
            full = now;
        } else if whole {
            assert_restored(&full, &now, name);
            restored += 1;
        }
    }
    assert_eq!(full.len(), 250);
    assert!(restored >= 2, "{restored} times whole again");
}

#[test]
fn numbered() {
    for version in ["8.4.4", "10.3", "10.7.1"] {
        converse(version, "", Lab::feed);
    }
}

#[test]
fn numbered_frame_by_frame() {
    for version in ["8.4.4", "10.3", "10.7.1"] {
        converse(version, "", Lab::feed_frames);
    }
}

#[test]
fn unnumbered() {
    for version in ["8.4.4", "10.3", "10.7.1"] {
        converse(version, "u", Lab::feed);
        converse(version, "u", Lab::feed_frames);
    }
}

//! `evenpath bench`: the binary as a person meets it.

use serde_json::Value;
use std::process::{Command, Output};

fn bench(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenpath"))
        .args(["bench", "--json"])
        .args(arguments.split_whitespace())
        .output()
        .expect("evenpath starts")
}

fn found(arguments: &str) -> Value {
    let output = bench(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {error}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

/// The command fails where a packet is dropped, so each success says that all were forwarded.
#[test]
fn packets_of_both_families_reach_all_ports_and_the_figures_agree() {
    for (family, device, encap, frame) in [
        (4, "pcap", "vxlan", 96),
        (4, "pcap", "none", 64),
        (6, "null", "none", 66),
    ] {
        let found = found(&format!(
            "--family {family} --device {device} --encap {encap} --routes 3000 --members 5 --groups 7 --ports 4 \
             --flows 2000 --burst 16 --duration 1 --seed 9"
        ));
        let number = |name: &str| found[name].as_f64().expect(name);
        for (name, expected) in [
            ("routes", 3000),
            ("members", 5),
            ("groups", 7),
            ("ports", 4),
            ("flows", 2000),
            ("frame_bytes", frame),
            ("burst", 16),
            ("workers", 1),
            ("family", family),
        ] {
            assert_eq!(found[name].as_u64(), Some(expected), "{name}: {found}");
        }
        let (forward, floor) = (number("cycles_per_packet"), number("floor_cycles"));
        assert!(floor > 0.0 && forward > floor, "{found}");
        assert!((number("forwarding_cost") - (forward - floor)).abs() < 0.03);
        let ratio = number("mpps") / number("floor_mpps");
        assert!((ratio - number("ratio_to_floor")).abs() < 0.03, "{found}");
    }
}

#[test]
fn arguments_that_do_not_go_together_are_named() {
    for (arguments, code, words) in [
        (
            "--family 6 --frame-size 65",
            2,
            "--frame-size <N>': such a packet takes 66 bytes",
        ),
        (
            "--members 100",
            2,
            "--buckets <N>': expected a power of two",
        ),
        (
            "--workers 64",
            1,
            "--workers 64: place workers: each takes a core of its own",
        ),
        ("--routes 0", 2, "0 is not in 1..=1000000"),
        ("--family 7", 2, "7 is not in 4..=6"),
        ("--burst 65", 2, "65 is not in 1..=64"),
        ("--device eth0", 2, "invalid value 'eth0'"),
    ] {
        let output = bench(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
        assert!(error.contains(words), "{arguments}: {error}");
        assert!(output.stdout.is_empty());
    }
}

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
        for (name, known) in [
            ("lookup", &["scalar", "avx512"][..]),
            (
                "cpu",
                &["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"],
            ),
        ] {
            let word = found[name].as_str().expect(name);
            assert!(known.contains(&word), "{name}: {found}");
        }
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
        (
            "--device xdp:eth0",
            2,
            "xdp: is for `evenpath run`; give net_af_xdp0,iface=NETDEV",
        ),
        ("--feed", 2, "it has packets of its own"),
    ] {
        let output = bench(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
        assert!(error.contains(words), "{arguments}: {error}");
        assert!(output.stdout.is_empty());
    }
}

/// A file that is gone when this is.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let name = format!("evenpath-test-{}-{name}", std::process::id());
        Temporary(std::env::temp_dir().join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Given devices: a file of one's own, written by `--packets`, and a ring that is fed.
#[test]
fn given_devices_are_measured_and_all_packets_are_forwarded() {
    let (file, table) = (Temporary::new("given.pcap"), "--routes 500 --flows 700");
    let path = file.0.display();
    let output = bench(&format!("{table} --packets {path}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{error}"
    );
    // 24 bytes of the file, and of each packet 16 and the frame without its check sequence.
    let length = std::fs::metadata(&file.0).expect("the file").len();
    assert_eq!(length, 24 + 700 * (16 + 60));

    let pcap = format!("--device net_pcap0,rx_pcap={path},infinite_rx=1");
    for (devices, ports, most) in [
        (format!("{pcap} --device net_null1,no-rx=1"), 1, 64.0),
        (pcap.clone(), 1, 64.0),
        (
            "--device net_ring0 --device net_null1,no-rx=1 --device net_null2,no-rx=1 --feed \
             --burst 8"
                .to_owned(),
            2,
            8.0,
        ),
    ] {
        let found = found(&format!("{table} {devices} --duration 1"));
        let number = |name: &str| found[name].as_f64().expect(name);
        assert_eq!(found["ports"].as_u64(), Some(ports), "{found}");
        assert_eq!(found["dropped"].as_u64(), Some(0), "{found}");
        assert!(number("floor_cycles") > 0.0, "{found}");
        assert!(
            number("cycles_per_packet") > number("floor_cycles"),
            "{found}"
        );
        assert_eq!(number("taken"), most, "{found}");
    }
}

#[test]
fn devices_without_packets_of_ours_are_named() {
    for (devices, words) in [
        (
            "--device net_null0,no-rx=1",
            "bench: forward: no packet came in by net_null0,no-rx=1; send it some",
        ),
        // Frames of zeros.
        ("--device net_null0", "0 of "),
        ("--device net_null0", "nothing else"),
        ("--device net_nosuch0", "device net_nosuch0: create: "),
        ("--device 0000:ff:1f.7", "be bound to vfio-pci unless"),
    ] {
        let output = bench(&format!("--routes 100 --duration 1 {devices}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{devices}: {error}");
        assert!(error.contains(words), "{devices}: {error}");
    }
}

/// Cycles by stage are there in a build that measures them, and there alone.
#[test]
fn stages_are_measured_by_a_build_for_it_alone() {
    let found = found("--routes 100 --duration 1 --device null");
    let Some(stages) = found["stages"].as_object() else {
        assert!(!cfg!(feature = "stages"), "{found}");
        return;
    };
    assert!(cfg!(feature = "stages"), "{found}");
    let names: Vec<_> = stages.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "receive", "count", "parse", "lookup", "select", "rewrite", "send", "turn"
        ]
    );
    let cycles = |name: &str| stages[name].as_f64().expect("a number");
    for name in ["receive", "parse", "lookup", "select", "rewrite", "send"] {
        assert!(cycles(name) > 0.0, "{found}");
    }
    // The rest is the loop around the turns, and that others had the core for a while.
    let (sum, all) = (
        names.iter().map(|name| cycles(name)).sum::<f64>(),
        &found["cycles_per_packet"],
    );
    let share = sum / all.as_f64().expect("a number");
    assert!((0.7..1.5).contains(&share), "{share}: {found}");
}

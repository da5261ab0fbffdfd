//! Routes from streams that zebra wrote, neighbors from the configuration.

use super::Lab;
use super::frame::{Mac, Packet, TCP, UDP, mac, mark};
use super::pcap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The side of the pods, and the leaves' link-local addresses, which every stream's IPv6 routes name.
const LINKS: &str = r#"
[hash]
seed = 11

[[port]]
name = "pods0"
[[port]]
name = "p0"
mac = "02:00:00:00:00:01"
[[port]]
name = "p1"
mac = "02:00:00:00:01:01"

[[address]]
port = "pods0"
address = "10.244.1.1/24"
[[address]]
port = "pods0"
address = "fd00:244:1::1/64"
[[neighbor]]
port = "pods0"
address = "10.244.1.2"
mac = "02:00:00:00:0a:02"
[[neighbor]]
port = "p0"
address = "fe80::ff:fe00:2"
mac = "02:00:00:00:00:02"
[[neighbor]]
port = "p1"
address = "fe80::ff:fe00:102"
mac = "02:00:00:00:01:02"
"#;

const NUMBERED: &str = r#"
[[address]]
port = "p0"
address = "169.254.0.1/31"
[[address]]
port = "p1"
address = "169.254.0.3/31"
[[neighbor]]
port = "p0"
address = "169.254.0.0"
mac = "02:00:00:00:00:02"
[[neighbor]]
port = "p1"
address = "169.254.0.2"
mac = "02:00:00:00:01:02"
"#;

/// What zebra puts into the kernel for its fake gateway.
const FAKE_GATEWAY: &str = r#"
[[neighbor]]
port = "p0"
address = "169.254.0.1"
mac = "02:00:00:00:00:02"
[[neighbor]]
port = "p1"
address = "169.254.0.1"
mac = "02:00:00:00:01:02"
"#;

/// How many flows of each kind there are.
const EACH: usize = 200;

fn stream(name: &str) -> PathBuf {
    let streams = Path::new(env!("CARGO_MANIFEST_DIR")).join("control/tests/fpm");
    streams.join(format!("{name}.fpm"))
}

/// Flows from a pod to prefixes that both leaves announce: [`EACH`] of IPv4 and of IPv6 to such of
/// equal weight, then of either to such of weights 102 and 255. Marked 0.. .
fn flows() -> Vec<Packet> {
    let v4 = |i: u16, to: String| Packet::new("10.244.1.2", &to, UDP, (1000 + i, 53));
    let v6 = |i: u16, to: String| Packet::new("fd00:244:1::2", &to, TCP, (1000 + i, 443));
    let numbers = || 0..EACH as u16;
    let kinds = [
        numbers()
            .map(|i| v4(i, format!("10.100.{}.9", i % 90 + 10)))
            .collect::<Vec<_>>(),
        numbers()
            .map(|i| v6(i, format!("fd00:100:{:x}::9", i % 14 + 10)))
            .collect(),
        numbers()
            .map(|i| v4(i, format!("10.200.{}.9", i % 40)))
            .collect(),
        numbers()
            .map(|i| v6(i, format!("fd00:200:{:x}::9", i % 8)))
            .collect(),
    ];
    let marked = kinds.into_iter().flatten().zip(0..);
    marked.map(|(flow, mark)| Packet { mark, ..flow }).collect()
}

fn capture(lab: &Lab, flows: &[Packet]) -> PathBuf {
    let frames: Vec<_> = flows
        .iter()
        .map(|flow| flow.frame(mac(10, 1), mac(10, 2), None))
        .collect();
    lab.capture("pods.pcap", &frames)
}

/// What left by an uplink, checked byte by byte: how many of each kind.
fn left(lab: &Lab, flows: &[Packet], port: &str, leaf: Mac, ours: Mac) -> [usize; 4] {
    let mut kinds = [0; 4];
    for frame in lab.left("out", port) {
        let index = mark(&frame) as usize;
        assert_eq!(frame, flows[index].forwarded(leaf, ours, None), "{port}");
        kinds[index / EACH] += 1;
    }
    kinds
}

fn uplinks(lab: &Lab, flows: &[Packet]) -> [[usize; 4]; 2] {
    [
        left(lab, flows, "p0", mac(0, 2), mac(0, 1)),
        left(lab, flows, "p1", mac(1, 2), mac(1, 1)),
    ]
}

/// Replays `flows` with streams of `names`; both leaves must get their share of every kind.
fn both_leaves(lab: &str, config: &str, names: &[&str]) {
    let lab = Lab::new(lab);
    let config = lab.file("evenpath.toml", config);
    let flows = flows();
    let input = capture(&lab, &flows);
    let streams: Vec<_> = names.iter().map(|name| stream(name)).collect();
    let summary = lab.summary(&config, &[("pods0", &input)], "out", &streams);
    assert_eq!(summary["dropped"], serde_json::json!({}), "{names:?}");
    let [p0, p1] = uplinks(&lab, &flows);
    for kind in 0..4 {
        assert_eq!(p0[kind] + p1[kind], EACH, "{names:?}");
        // Half, or 102 of 357, of 200: within four standard deviations.
        let share = if kind < 2 { 72..=128 } else { 32..=82 };
        assert!(share.contains(&p0[kind]), "{names:?}: {p0:?} {p1:?}");
    }
}

#[test]
fn streams_with_nexthop_groups() {
    for version in ["8.4.4", "10.3", "10.7.1"] {
        let names = ["01-connect-empty", "02-initial-sync"].map(|n| format!("{version}-{n}"));
        let config = [LINKS, NUMBERED].concat();
        both_leaves(
            &format!("groups-{version}"),
            &config,
            &[&names[0], &names[1]],
        );
    }
}

#[test]
fn streams_with_inline_next_hops() {
    let config = [LINKS, NUMBERED].concat();
    both_leaves("inline-8", &config, &["8.4.4-26-no-nhg-resync"]);
    both_leaves("inline-10", &config, &["10.3-26-no-nhg-resync"]);
}

#[test]
fn streams_of_links_without_addresses() {
    let names = [
        "10.3-u01-unnumbered-connect",
        "10.3-u02-unnumbered-initial-sync",
    ];
    both_leaves("unnumbered", LINKS, &names);
    let config = [LINKS, FAKE_GATEWAY].concat();
    both_leaves("fake", &config, &["8.4.4-u05-unnumbered-no-nhg-resync"]);
}

#[test]
fn what_comes_back_reaches_the_pod() {
    let lab = Lab::new("back");
    let config = lab.file("evenpath.toml", [LINKS, NUMBERED].concat());
    let back = Packet::new("10.100.10.9", "10.244.1.2", UDP, (53, 1000));
    let input = lab.capture("p0.pcap", &[back.frame(mac(0, 1), mac(0, 2), None)]);
    let streams = ["10.3-01-connect-empty", "10.3-02-initial-sync"].map(stream);
    lab.summary(&config, &[("p0", &input)], "out", &streams);
    let sent = lab.left("out", "pods0");
    let [sent] = &sent[..] else {
        panic!("{} frames", sent.len());
    };
    // The port has no MAC address of the configuration.
    assert_eq!((&sent[..6], sent[6] & 1), (&mac(10, 2)[..], 0));
    let from = sent[6..12].try_into().expect("6 bytes");
    assert_eq!(*sent, back.forwarded(mac(10, 2), from, None));
}

#[test]
fn of_a_stream_cut_short_all_that_is_whole_counts() {
    let lab = Lab::new("cut");
    let config = lab.file("evenpath.toml", [LINKS, NUMBERED].concat());
    let flows = flows();
    let input = capture(&lab, &flows);
    let whole = std::fs::read(stream("10.3-02-initial-sync")).expect("recorded");
    // Leaf 1 has announced all of IPv6, and the next hop of IPv4 begins: README of the streams.
    let cut = lab.file("cut.fpm", &whole[..3464 + 10]);
    let (out, first) = (lab.path("out"), stream("10.3-01-connect-empty"));
    let fpm = OsStr::new("--fpm");
    let arguments = [
        OsStr::new("--out"),
        out.as_os_str(),
        fpm,
        first.as_os_str(),
        fpm,
        cut.as_os_str(),
    ];
    let said = lab.replay(&config, &[("pods0", &input)], &arguments);
    assert_eq!(said.code, 0, "{}", said.error);
    let warning = "--fpm: the stream ends within a frame: its last 10 bytes are left out";
    assert!(said.error.contains(warning), "{}", said.error);
    let summary = said.balanced();
    assert_eq!(summary["dropped"]["no-route"], 2 * EACH);
    assert_eq!(uplinks(&lab, &flows), [[0, EACH, 0, EACH], [0; 4]]);
}

#[test]
fn what_is_no_stream_is_refused() {
    let lab = Lab::new("garbage");
    let config = lab.file("evenpath.toml", [LINKS, NUMBERED].concat());
    let input = lab.file("pods.pcap", pcap::bytes(&[], pcap::ETHERNET));
    let garbage = lab.file("garbage.fpm", b"GET / HTTP/1.1\r\n\r\n");
    let absent = lab.path("absent.fpm");
    for (file, words) in [
        (
            &garbage,
            "decode FPM: fpm: frame at byte 0: version 71; only 1 is known, is this zebra?; give the \
             bytes that zebra sent to its FPM server, as they are",
        ),
        (
            &absent,
            "read: No such file or directory (os error 2); give the bytes that zebra sent to its FPM \
             server, as they are",
        ),
    ] {
        let out = lab.path("out");
        let arguments = [
            OsStr::new("--out"),
            out.as_os_str(),
            OsStr::new("--fpm"),
            file.as_os_str(),
        ];
        let said = lab.replay(&config, &[("pods0", &input)], &arguments);
        let expected = format!("evenpath: {}: {words}\n", file.display());
        assert_eq!(
            (said.code, said.out, said.error),
            (1, String::new(), expected)
        );
    }
}

//! One seed, one spread: replays agree with each other and with `evenpath calc -c`.

use super::frame::{ICMP, ICMPV6, Numbers, Packet, TCP, UDP, mac, mark};
use super::{Lab, said};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

pub const CONFIG: &str = r#"
[hash]
seed = 1234567

[[port]]
name = "host0"
[[port]]
name = "up1"
[[port]]
name = "up2"
[[port]]
name = "up3"

[[address]]
port = "up1"
address = "192.0.2.0/31"
[[address]]
port = "up2"
address = "192.0.2.2/31"
[[address]]
port = "up3"
address = "192.0.2.4/31"
[[neighbor]]
port = "up1"
address = "192.0.2.1"
mac = "02:00:00:00:00:01"
[[neighbor]]
port = "up2"
address = "192.0.2.3"
mac = "02:00:00:00:00:02"
[[neighbor]]
port = "up3"
address = "192.0.2.5"
mac = "02:00:00:00:00:03"
[[neighbor]]
port = "up1"
address = "fe80::1"
mac = "02:00:00:00:00:01"
[[neighbor]]
port = "up3"
address = "fe80::3"
mac = "02:00:00:00:00:03"
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "192.0.2.1", port = "up1" }, { via = "192.0.2.3", port = "up2", weight = 2 }, { via = "192.0.2.5", port = "up3" }]
[[route]]
prefix = "2001:db8::/32"
nexthops = [{ via = "fe80::1", port = "up1" }, { via = "fe80::3", port = "up3", weight = 3 }]
"#;

pub const UPLINKS: [&str; 3] = ["up1", "up2", "up3"];

/// Random flows between addresses of the routed prefixes, each followed by its other direction;
/// marked 0.. .
fn flows(count: u32) -> Vec<Packet> {
    let mut n = Numbers(5);
    let mut flows = Vec::new();
    for i in 0..count {
        let is_v6 = i % 2 == 1;
        let mut address = || {
            let random = n.next();
            if is_v6 {
                let [a, b, c, d] = [0, 16, 32, 48].map(|shift| random >> shift & 0xffff);
                format!("2001:db8:{a:x}:{b:x}::{c:x}:{d:x}")
            } else {
                let [a, b, c] = [0, 8, 16].map(|shift| random >> shift & 0xff);
                format!("10.{a}.{b}.{c}")
            }
        };
        let (source, destination) = (address(), address());
        let (protocol, has_ports) = match (i / 2 % 3, is_v6) {
            (0, _) => (TCP, true),
            (1, _) => (UDP, true),
            (_, false) => (ICMP, false),
            (_, true) => (ICMPV6, false),
        };
        let mut port = || if has_ports { n.below(65536) as u16 } else { 0 };
        let ports = (port(), port());
        let label = if is_v6 { n.below(1 << 20) as u32 } else { 0 };
        let flow = Packet {
            label,
            ..Packet::new(&source, &destination, protocol, ports)
        };
        flows.extend([flow.reversed(), flow]);
    }
    flows
        .into_iter()
        .zip(0..)
        .map(|(flow, mark)| Packet { mark, ..flow })
        .collect()
}

/// By mark, the port by which it left.
fn ways(lab: &Lab, out: &str) -> BTreeMap<u32, &'static str> {
    let mut ways = BTreeMap::new();
    for port in UPLINKS {
        for frame in lab.left(out, port) {
            assert_eq!(ways.insert(mark(&frame), port), None, "sent twice");
        }
    }
    ways
}

fn capture(lab: &Lab, flows: &[Packet]) -> std::path::PathBuf {
    let frames: Vec<_> = flows
        .iter()
        .map(|flow| flow.frame(mac(9, 9), mac(9, 8), None))
        .collect();
    lab.capture("in.pcap", &frames)
}

fn calc(config: &Path, flow: &Packet) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenpath"));
    command
        .args(["calc", "--json", "-i", "host0", "-c"])
        .arg(config);
    let (source, destination) = (flow.source.to_string(), flow.destination.to_string());
    let (protocol, label) = (flow.protocol.to_string(), flow.label.to_string());
    command.args(["-s", &source, "-d", &destination, "-p", &protocol]);
    command.args(["--flow-label", &label]);
    if matches!(flow.protocol, TCP | UDP) {
        let (sport, dport) = (flow.ports.0.to_string(), flow.ports.1.to_string());
        command.args(["--sport", &sport, "--dport", &dport]);
    }
    let said = said(&mut command);
    assert_eq!((said.code, said.error.as_str()), (0, ""), "{flow:?}");
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn calc_names_the_port_by_which_the_packet_left() {
    let lab = Lab::new("calc");
    let config = lab.file("evenpath.toml", CONFIG);
    let flows = flows(240);
    let input = capture(&lab, &flows);
    let summary = lab.summary(&config, &[("host0", &input)], "out", &[]);
    assert_eq!(summary["dropped"], serde_json::json!({}));
    let ways = ways(&lab, "out");
    assert_eq!(ways.len(), flows.len());
    for pair in flows.chunks(2) {
        let [back, flow] = [&pair[0], &pair[1]];
        assert_eq!(ways[&back.mark], ways[&flow.mark], "{flow:?}");
    }
    // All ports, families and protocols are among one pair in seven.
    let mut seen: BTreeMap<(bool, u8, &str), u32> = BTreeMap::new();
    for pair in flows.chunks(2).step_by(7) {
        let told = [&pair[0], &pair[1]].map(|flow| {
            let told = calc(&config, flow);
            let way = ways[&flow.mark];
            assert_eq!(told["port"], way, "{flow:?}");
            let seen_as = (flow.source.is_ipv6(), flow.protocol, way);
            *seen.entry(seen_as).or_default() += 1;
            told
        });
        for same in ["bucket", "hash", "group"] {
            assert_eq!(told[0][same], told[1][same], "{:?}", pair[1]);
        }
    }
    for (is_v6, protocol) in [
        (false, TCP),
        (false, UDP),
        (false, ICMP),
        (true, TCP),
        (true, UDP),
        (true, ICMPV6),
    ] {
        assert!(
            seen.keys().any(|k| (k.0, k.1) == (is_v6, protocol)),
            "{seen:?}"
        );
    }
    for port in UPLINKS {
        assert!(seen.keys().any(|k| k.2 == port), "{seen:?}");
    }
}

#[test]
fn the_seed_alone_decides_the_spread() {
    let lab = Lab::new("seed");
    let config = lab.file("evenpath.toml", CONFIG);
    let other = lab.file("other.toml", CONFIG.replace("1234567", "1234568"));
    let flows = flows(200);
    let input = capture(&lab, &flows);
    let inputs = [("host0", &*input)];
    let first = lab.summary(&config, &inputs, "first", &[]);
    let second = lab.summary(&config, &inputs, "second", &[]);
    assert_eq!(first, second);
    for port in ["host0", "up1", "up2", "up3"] {
        assert_eq!(lab.left("first", port), lab.left("second", port), "{port}");
    }
    lab.summary(&other, &inputs, "other", &[]);
    let (before, after) = (ways(&lab, "first"), ways(&lab, "other"));
    assert_eq!((before.len(), after.len()), (flows.len(), flows.len()));
    let stayed = before.iter().filter(|&(mark, port)| after[mark] == *port);
    // By chance 1/4 + 1/16 + 1/16 stay of IPv4, 10/16 of IPv6; both directions of a flow move as
    // one: half of all, within four standard deviations.
    let stayed = stayed.count() / 2;
    assert!((72..=128).contains(&stayed), "{stayed} of 200");
}

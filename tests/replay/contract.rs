//! The written-down configuration and the summary: every packet where it belongs, byte by byte.

use super::Lab;
use super::frame::{Packet, TCP, UDP, checksum, ethernet, mac};
use serde_json::json;
use std::collections::BTreeMap;

const CONFIG: &str = r#"
[hash]
seed = 7

[[port]]
name = "host0"
[[port]]
name = "host1"
mac = "02:00:00:00:0a:01"
vlan = 100
[[port]]
name = "up1"
device = "xdp:eth1"
kernel = "eth1"
mac = "02:00:00:00:0b:01"
[[port]]
name = "up2"
kernel = "none"
mac = "02:00:00:00:0b:02"

[[address]]
port = "host0"
address = "10.244.1.1/24"
[[address]]
port = "host0"
address = "fd00:244:1::1/64"
[[address]]
port = "host1"
address = "10.244.2.1/24"
[[address]]
port = "up1"
address = "169.254.0.0/31"
[[address]]
port = "up2"
address = "169.254.0.2/31"
[[neighbor]]
port = "host0"
address = "10.244.1.2"
mac = "02:00:00:00:0a:10"
[[neighbor]]
port = "host1"
address = "10.244.2.2"
mac = "02:00:00:00:0a:11"
[[neighbor]]
port = "up1"
address = "169.254.0.1"
mac = "02:00:00:00:01:01"
[[neighbor]]
port = "up2"
address = "169.254.0.3"
mac = "02:00:00:00:01:02"
[[neighbor]]
port = "up1"
address = "fe80::1"
mac = "02:00:00:00:01:01"
[[neighbor]]
port = "up2"
address = "fe80::2"
mac = "02:00:00:00:01:02"
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "169.254.0.1", port = "up1" }, { via = "169.254.0.3", port = "up2", weight = 3 }]
[[route]]
prefix = "10.7.0.0/16"
nexthops = [{ via = "169.254.0.1", port = "up1" }]
[[route]]
prefix = "2001:db8::/32"
nexthops = [{ via = "fe80::1", port = "up1" }, { via = "fe80::2", port = "up2" }]
[[route]]
prefix = "10.9.0.0/16"
type = "blackhole"
"#;

const HOST: &str = "10.244.1.2";

fn udp(destination: &str, sport: u16) -> Packet {
    Packet::new(HOST, destination, UDP, (sport, 53))
}

/// Flows to the spread prefixes, marked 0..: 200 of IPv4, then 100 of IPv6.
fn flows() -> Vec<Packet> {
    let v4 = (0..200).map(|i| udp(&format!("10.0.{i}.1"), 20_000 + i));
    let v6 = (0..100).map(|i| {
        let ports = (30_000 + i, 443);
        Packet::new("fd00:244:1::2", &format!("2001:db8::{i:x}"), TCP, ports)
    });
    let marked = v4.chain(v6).zip(0..);
    marked
        .map(|(packet, mark)| Packet { mark, ..packet })
        .collect()
}

#[test]
fn every_packet_is_where_the_configuration_sends_it() {
    let lab = Lab::new("contract");
    let config = lab.file("evenpath.toml", CONFIG);
    let (flows, from) = (flows(), mac(10, 16));
    // No `mac`: whatever unicast address the capture's port had.
    let anybody = |i: usize| [2, 7, 7, 7, 7, i as u8];
    let mut host0: Vec<_> = flows
        .iter()
        .enumerate()
        .map(|(i, packet)| packet.frame(anybody(i), from, None))
        .collect();
    let to_host1 = udp("10.244.2.2", 1);
    let tagged = udp("10.7.0.1", 2);
    host0.push(to_host1.frame(anybody(1), from, None));
    host0.push(tagged.frame(anybody(2), from, Some(42)));
    let other = |packet: Packet| packet.frame(anybody(3), from, None);
    let dying = Packet {
        ttl: 1,
        ..udp("10.0.0.1", 3)
    };
    let large = Packet {
        payload: 3000,
        ..udp("10.7.0.2", 4)
    };
    let fragmented = Packet {
        may_fragment: true,
        ..large.clone()
    };
    host0.extend([
        other(dying.clone()),
        other(udp("192.0.2.1", 5)),
        other(udp("10.9.0.1", 6)),
        other(udp("10.9.0.2", 7)),
        other(udp("10.244.1.77", 8)),
        other(udp("10.244.1.1", 9)),
        other(large),
        other(fragmented),
        ethernet([255; 6], from, None, 0x0806, &[0; 46]),
    ]);
    let mut broken = other(udp("10.0.0.1", 10));
    broken[24] ^= 1;
    host0.push(broken);

    let (ours, sender) = (mac(10, 1), mac(10, 17));
    let back = udp("10.7.0.3", 11);
    let host1 = [
        back.frame(ours, sender, Some(100)),
        back.frame(mac(10, 2), sender, Some(100)),
        back.frame(ours, sender, Some(101)),
        back.frame(ours, sender, None),
    ];
    let host0_file = lab.capture("host0.pcap", &host0);
    let host1_file = lab.capture("host1.pcap", &host1);
    let inputs = [("host0", &*host0_file), ("host1", &*host1_file)];
    let summary = lab.summary(&config, &inputs, "out", &[]);

    assert_eq!(
        summary["dropped"],
        json!({
            "bad-checksum": 1, "blackhole": 2, "neighbor-unresolved": 1, "no-route": 1,
            "not-for-us": 1, "too-big": 1, "ttl-exceeded": 1, "unknown-vlan": 2
        })
    );
    // An own address and ARP; time exceeded, unreachable, fragmentation needed.
    assert_eq!(
        (&summary["punted"], &summary["icmp-sent"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(summary["fragments"], 2);
    let ports = ["host0", "host1", "up1", "up2"];
    assert_eq!(summary["ports"].as_object().expect("ports").len(), 4);
    let left: BTreeMap<_, _> = ports.map(|port| (port, lab.left("out", port))).into();
    for (port, frames_in) in ports.into_iter().zip([host0.len(), host1.len(), 0, 0]) {
        assert_eq!(summary["ports"][port]["in"], frames_in, "{port}");
        assert_eq!(summary["ports"][port]["out"], left[port].len(), "{port}");
    }

    // Each flow left once, as a router sends it on.
    let (up1, up2) = (&left["up1"], &left["up2"]);
    let at1 = |p: &Packet| p.forwarded(mac(1, 1), mac(11, 1), None);
    let at2 = |p: &Packet| p.forwarded(mac(1, 2), mac(11, 2), None);
    let mut ways = [[0; 2]; 2];
    for packet in &flows {
        let by1 = up1.iter().filter(|f| **f == at1(packet)).count();
        let by2 = up2.iter().filter(|f| **f == at2(packet)).count();
        assert_eq!(by1 + by2, 1, "{packet:?}");
        ways[usize::from(packet.source.is_ipv6())][by2] += 1;
    }
    // Weights 1:3 of 200 and 1:1 of 100, within four standard deviations.
    assert!((26..=74).contains(&ways[0][0]), "{ways:?}");
    assert!((30..=70).contains(&ways[1][0]), "{ways:?}");
    for packet in [&tagged, &back] {
        assert!(up1.contains(&at1(packet)), "{packet:?}");
    }
    // And besides: two of one way, and three fragments.
    assert_eq!(up1.len(), ways[0][0] + ways[1][0] + 2 + 3);
    assert_eq!(up2.len(), ways[0][1] + ways[1][1]);
    assert_eq!(
        left["host1"],
        [to_host1.forwarded(mac(10, 17), ours, Some(100))]
    );
    let is_fragment = |f: &&Vec<u8>| f[12..14] == [8, 0] && (f[20] & 0x3f, f[21]) != (0, 0);
    let fragments: Vec<_> = up1.iter().filter(is_fragment).collect();
    assert_eq!(fragments.len(), 3);
    for frame in fragments {
        assert_eq!((&frame[..6], checksum(&frame[14..34])), (&mac(1, 1)[..], 0));
    }

    // Time exceeded quotes what was sent, from the port's own address.
    let answers = &left["host0"];
    let kinds: Vec<_> = answers.iter().map(|f| (f[34], f[35])).collect();
    assert_eq!(kinds, [(11, 0), (3, 0), (3, 4)]);
    for answer in answers {
        assert_eq!(&answer[..6], &mac(10, 16));
        assert_eq!(&answer[26..34], [[10, 244, 1, 1], [10, 244, 1, 2]].concat());
        assert_eq!((checksum(&answer[14..34]), checksum(&answer[34..])), (0, 0));
    }
    assert!(answers[0][42..].starts_with(&dying.packet()[..28]));
    assert_eq!(&answers[2][40..42], 1500_u16.to_be_bytes());
}

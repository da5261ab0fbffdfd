//! The same of frames that scapy built (`golden/generate.py`): what is in them is what we read.

#[allow(dead_code, reason = "writing is for other tests")]
#[path = "../support/pcap.rs"]
mod pcap;

use super::{described, every, policy};
use fastpath::hash::{FlowKey, Tuple};
use std::path::Path;

fn keys(name: &str) -> Vec<(FlowKey, bool)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let frames = pcap::read(&folder.join(format!("{name}.in.pcap")));
    let policy = policy(every(), true);
    let all = frames.iter().map(|f| described(f, 3, &policy));
    all.map(|d| (d.flow.key, d.quoted)).collect()
}

/// The packet inside: UDP over IPv4 or TCP over IPv6, from port 5 to 6.
fn inner(v6: bool) -> Tuple {
    let mut tuple = Tuple {
        v6,
        protocol: if v6 { 6 } else { 17 },
        sport: 5,
        dport: 6,
        ..Tuple::default()
    };
    for (end, last) in [(&mut tuple.src, 1), (&mut tuple.dst, 2)] {
        if v6 {
            end[..6].copy_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 1]);
            end[15] = last;
        } else {
            end[12..].copy_from_slice(&[192, 168, 0, last]);
        }
    }
    tuple
}

#[test]
fn what_is_inside() {
    for (name, wanted) in [
        ("gre", &[false, false, true][..]),
        ("ipip", &[false, true, false]),
        ("6in4", &[true, true]),
        ("vxlan", &[false, false]),
        ("geneve", &[false]),
        ("gtpu", &[false, false]),
        (
            "encapsulations",
            &[
                false, false, true, false, true, false, true, false, true, true, true, false,
            ],
        ),
    ] {
        let found: Vec<_> = keys(name).into_iter().map(|k| k.0.inner).collect();
        let wanted: Vec<_> = wanted.iter().map(|v6| Some(inner(*v6))).collect();
        assert_eq!(found, wanted, "{name}");
    }
}

/// Every transport with ports, behind AH, extension headers and a first fragment's header.
#[test]
fn ports_are_found() {
    let found = keys("transports");
    let protocols: Vec<_> = found.iter().map(|k| k.0.outer.protocol).collect();
    assert_eq!(protocols, [6, 132, 33, 33, 136, 136, 17, 17, 17, 17, 17]);
    for (key, _) in found {
        assert_eq!((key.outer.sport, key.outer.dport), (1000, 2000), "{key:?}");
    }
}

#[test]
fn tunnel_ids_and_queue_pairs() {
    let teids: Vec<_> = keys("gtpu").into_iter().map(|k| k.0.teid).collect();
    assert_eq!(teids, [Some(0x1122_3344), Some(1)]);
    let pairs: Vec<_> = keys("rocev2").into_iter().map(|k| k.0.qp).collect();
    assert_eq!(pairs[0], Some(0x12_3456));
    for name in [
        "plain",
        "vlan",
        "qinq",
        "ipv4-options",
        "ipv6-extensions",
        "fragments",
    ] {
        for (key, quoted) in keys(name) {
            assert_eq!(
                (key.teid, key.qp, key.inner, quoted),
                (None, None, None, false),
                "{name}"
            );
        }
    }
}

#[test]
fn errors_are_of_the_flow_they_quote() {
    let found = keys("icmp-errors");
    assert!(found.len() == 5 && found.iter().all(|k| k.1));
    for (key, _) in &found[..3] {
        let outer = key.outer;
        assert_eq!(
            (&outer.src[12..], &outer.dst[12..]),
            (&[8; 4][..], &[172, 16, 0, 9][..])
        );
        assert_eq!((outer.protocol, outer.sport, outer.dport), (17, 2000, 1000));
    }
    for (key, _) in &found[3..] {
        assert_eq!(key.outer, inner(true).reversed());
    }
}

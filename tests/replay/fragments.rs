//! Fragments in a replay: on one way, and on the same one in every replay.

use super::Lab;
use super::agree::{CONFIG, UPLINKS};
use super::frame::{Packet, UDP, checksum, ethernet, mac};

/// The datagram of flow `n` in two fragments, marked by its number as identification.
fn pieces(n: u16) -> [Vec<u8>; 2] {
    let whole = Packet {
        may_fragment: true,
        ..Packet::new("192.0.2.9", "10.1.2.3", UDP, (1000 + n, 53))
    }
    .packet();
    let (header, data) = whole.split_at(20);
    let (first, later) = data.split_at(24);
    [(first, 0x2000_u16), (later, 3)].map(|(data, word)| {
        let mut packet = [header, data].concat();
        packet[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&n.to_be_bytes());
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        packet[10..12].fill(0);
        let sum = checksum(&packet[..20]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        ethernet(mac(9, 9), mac(9, 8), None, 0x0800, &packet)
    })
}

/// Later fragments first, some far before and some far behind their first one.
#[test]
fn two_replays_of_fragments_are_alike() {
    let lab = Lab::new("fragments");
    let config = lab.file("evenpath.toml", CONFIG);
    let mut frames = Vec::new();
    for group in 0..20 {
        let (firsts, laters): (Vec<_>, Vec<_>) = (0..50)
            .map(|n| pieces(group * 50 + n))
            .map(|[first, later]| (first, later))
            .unzip();
        frames.extend(laters.iter().step_by(2).cloned());
        frames.extend(firsts);
        frames.extend(laters.into_iter().skip(1).step_by(2));
    }
    let input = lab.capture("in.pcap", &frames);
    let said = ["a", "b"].map(|out| lab.summary(&config, &[("host0", &input)], out, &[]));
    assert_eq!(said[0], said[1]);

    let mut used = 0;
    let mut ways = vec![Vec::new(); 1000];
    for port in UPLINKS {
        let left = ["a", "b"].map(|out| lab.left(out, port));
        assert_eq!(left[0], left[1], "{port}");
        used += usize::from(!left[0].is_empty());
        for frame in &left[0] {
            ways[usize::from(u16::from_be_bytes([frame[18], frame[19]]))].push(port);
        }
    }
    assert_eq!(used, 3);
    assert!(
        ways.iter().all(|w| w.len() == 2 && w[0] == w[1]),
        "{ways:?}"
    );
}

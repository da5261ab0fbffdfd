//! Packets in place of flags.

use crate::{CONFIG, File, calc, json};
use serde_json::Value;

/// An IPv4 UDP frame for `host0`, whose MAC address replay and calc take as given.
const FRAME: &str =
    "020000000009 020000000002 0800 4500001c abcd0000 40110000 0af40102 0a000001 4e200050 00080000";

fn frame(ttl: u8) -> String {
    let text = FRAME
        .replace("40110000", &format!("{ttl:02x}110000"))
        .replace(' ', "");
    let mut bytes: Vec<u8> = (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
        .collect();
    let sum: u32 = bytes[14..34]
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    digits.concat()
}

#[test]
fn a_packet_takes_the_way_of_its_flow_and_says_why() {
    let file = File::new("packet.toml", CONFIG);
    let flow = "-i host0 -s 10.244.1.2 -d 10.0.0.1 -p udp --sport 20000 --dport 80";
    let way = json(&file, flow);
    assert_eq!(json(&file, &format!("-i host0 --hex {}", frame(64))), way);
    let expired = json(&file, &format!("-i host0 --hex {}", frame(1)));
    assert_eq!(
        (&expired["outcome"], &expired["reason"]),
        (&"dropped".into(), &"ttl-exceeded".into())
    );
    let bytes: Vec<u8> = (0..42)
        .map(|i| u8::from_str_radix(&frame(64)[2 * i..2 * i + 2], 16).expect("hex"))
        .collect();
    let head = [0xa1b2_c3d4_u32, 0x4_0002, 0, 0, 65535, 1, 0, 0, 42, 42];
    let pcap: Vec<u8> = head
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .chain(bytes)
        .collect();
    let capture = File::new("packet.pcap", "");
    std::fs::write(&capture.0, pcap).expect("write");
    assert_eq!(
        json(&file, &format!("-i host0 --pcap {}:1", capture.0.display())),
        way
    );
    assert_eq!(
        calc(&file, &format!("-i host0 --pcap {}:2", capture.0.display())).0,
        1
    );
    let (code, text, _) = calc(&file, &format!("-i host0 --hex {} --explain", frame(64)));
    assert!(code == 0 && text.contains("does not count: off"), "{text}");
    assert!(
        text.contains("the bucket's first choice is taken"),
        "{text}"
    );
}

/// `bytes` as a capture file, a packet each.
fn capture(name: &str, packets: &[Vec<u8>]) -> File {
    let file = File::new(name, "");
    let head = [0xa1b2_c3d4_u32, 0x4_0002, 0, 0, 65535, 1];
    let mut all: Vec<u8> = head.iter().flat_map(|w| w.to_le_bytes()).collect();
    for packet in packets {
        let len = packet.len() as u32;
        all.extend([0, 0, len, len].iter().flat_map(|w| w.to_le_bytes()));
        all.extend(packet);
    }
    std::fs::write(&file.0, all).expect("write");
    file
}

/// The frame of a UDP fragment from 10.1.1.2 to 10.2.0.1: identification, flags and offset.
fn fragment(ident: u16, word: u16, data: &[u8]) -> Vec<u8> {
    let len = (20 + data.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend([len, ident, word].map(u16::to_be_bytes).concat());
    header.extend([64, 17, 0, 0, 10, 1, 1, 2, 10, 2, 0, 1]);
    let sum: u32 = header
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let link = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 2, 8, 0];
    [link.to_vec(), header, data.to_vec()].concat()
}

#[test]
fn a_later_fragment_follows_the_first_of_its_file() {
    let file = File::new("fragments.toml", CONFIG);
    let udp = |sport: u16| [sport.to_be_bytes(), [0, 53], [0, 24], [0, 0]].concat();
    // The same identification twice: each later one follows the first one before it.
    let packets: Vec<Vec<u8>> = (0..16)
        .flat_map(|flow| {
            let first = fragment(7, 0x2000, &udp(flow));
            [first, fragment(7, 1, &[flow as u8; 16])]
        })
        .chain([fragment(8, 1, &[9; 16])])
        .collect();
    let pcap = capture("fragments.pcap", &packets);
    let flag = format!("-i host0 --pcap {}", pcap.0.display());
    let (code, text, error) = calc(&file, &format!("{flag} --all --json"));
    assert_eq!((code, error.as_str()), (0, ""));
    let all: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(all.len(), 33);
    let note = |way: &Value| way["notes"][0].as_str().unwrap_or_default().to_string();
    for flow in 0..16 {
        let whole = format!("-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --sport {flow} --dport 53");
        let (first, later) = (&all[2 * flow], &all[2 * flow + 1]);
        assert_eq!(*first, json(&file, &whole));
        assert_eq!(first["hash"], later["hash"]);
        assert!(note(later).contains("follows its first"), "{later}");
        assert_eq!(json(&file, &format!("{flag}:{}", 2 * flow + 2)), *later);
    }
    assert!(note(&all[32]).contains("without its first"), "{}", all[32]);
    let (_, text, _) = calc(&file, &format!("{flag} --all --what-if down:up1"));
    let line = text.lines().next().unwrap_or_default();
    assert!(
        line.starts_with("1 up") && line.ends_with("-> up2"),
        "{line}"
    );
}

//! The verdict once more, written for clarity, against the programs on random frames.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::frames::*;
use super::runner::Verdict::{self, Kernel, Ours};
use super::runner::{OWN, Program};
use crate::steal::program::STEAL;

fn verdict(frame: &[u8]) -> Verdict {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let mut at = 12;
    while at < 20 && matches!(word(at), Some(DOT1Q | QINQ)) {
        at += 4;
    }
    let packet = frame.get(at + 2..).unwrap_or_default();
    let own = |address: String| OWN.contains(&address.as_str());
    let kernels = match word(at) {
        Some(IPV4) if packet.len() >= 20 && packet[0] >> 4 == 4 => {
            let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
            let reserved = to.octets()[0] == 0 || to.octets()[0] >= 240;
            let limited = to.is_multicast() || to.is_loopback() || to.is_link_local();
            reserved || limited || own(to.to_string())
        }
        Some(IPV6) if packet.len() >= 40 && packet[0] >> 4 == 6 => {
            let to = Ipv6Addr::from(*packet[24..].first_chunk::<16>().expect("40 bytes"));
            let limited = to.is_multicast() || to.is_loopback() || to.is_unicast_link_local();
            to.is_unspecified() || limited || own(to.to_string())
        }
        _ => true,
    };
    if kernels || !frame.starts_with(&OUR_MAC) {
        Kernel
    } else {
        Ours
    }
}

#[test]
fn random_frames_get_the_models_verdict() {
    // xorshift64; any seed but 0.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let bases = [
        "198.51.100.9",
        "10.0.0.1",
        "224.0.0.5",
        "2001:db8::2",
        "2001:db8::1",
        "fe80::1",
    ];
    let bytes = [
        0, 1, 2, 0x08, 0x81, 0x88, 0xa8, 0x86, 0xdd, 0xfe, 0x80, 127, 169, 254, 255,
    ];
    let mut seen = [0; 2];
    let programs = Program::both();
    for _ in 0..5_000 {
        let (kind, payload) = packet(bases[random(bases.len())]);
        let mut types: Vec<u16> = (0..random(4)).map(|i| [DOT1Q, QINQ][i & 1]).collect();
        types.push(kind);
        let mut frame = ethernet(OUR_MAC, &types, &payload);
        for _ in 0..random(4) {
            let at = random(frame.len());
            frame[at] = bytes[random(bytes.len())];
        }
        if random(4) == 0 {
            frame.truncate(14 + random(frame.len() - 14));
        }
        let expected = verdict(&frame);
        seen[usize::from(expected == Ours)] += 1;
        for program in &programs {
            // The runner refuses some cut frames for tc; the table of cut frames has the rest.
            if program.name != STEAL || frame.len() >= 54 {
                assert_eq!(
                    program.run(&frame),
                    expected,
                    "{}: {frame:02x?}",
                    program.name
                );
            }
        }
    }
    assert!(
        seen.iter().all(|&count| count > 1000),
        "both verdicts are tried: {seen:?}"
    );
}

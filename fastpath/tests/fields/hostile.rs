//! Frames cut at each length and damaged in each byte: nothing panics, nothing is read beyond the
//! end, and the parse stage says what `describe` says.

use super::{FACTS, builder, every, icmp, packets, policy, samples, set};
use fastpath::hash::{Algorithm, Choice, Field, Fields, Policy, Settings};
use fastpath::software::burst::{BURST, Burst};
use fastpath::software::heap::HeapFrame;
use fastpath::software::lanes::{Lanes, Verdict};
use fastpath::software::parse::{describe, parse};
use fastpath::table::PortId;
use std::net::IpAddr;

const PORT: PortId = PortId(3);

/// Sends frames through the stage, a burst at a time, and compares; returns how many were routed.
fn compare(frames: &[Vec<u8>], policy: &Policy, lanes: &mut Lanes) -> usize {
    let mut routed = 0;
    for chunk in frames.chunks(BURST) {
        let mut burst = Burst::new();
        for frame in chunk {
            let frame = HeapFrame::with_room(frame, 0, 0);
            assert!(burst.push(frame).is_ok());
        }
        parse(&burst, lanes, PORT, &FACTS, policy);
        let (mut v4, mut v6) = (0, 0);
        for (i, frame) in chunk.iter().enumerate() {
            let found = match describe(frame, PORT, &FACTS, policy) {
                Ok(found) => found,
                Err(verdict) => {
                    assert_eq!(lanes.verdict[i], verdict, "{frame:02x?}");
                    continue;
                }
            };
            routed += 1;
            // The hot ways know nothing that the general reader does not.
            let general = policy.base().hash(&found.flow.key);
            assert_eq!(found.hash, general, "{frame:02x?}");
            let (verdict, lane, destination) = if found.destination.is_ipv4() {
                v4 += 1;
                let to = lanes.v4.destinations[v4 - 1];
                (Verdict::V4, lanes.v4.lanes[v4 - 1], IpAddr::V4(to.into()))
            } else {
                v6 += 1;
                let to = lanes.v6.destinations[v6 - 1];
                (Verdict::V6, lanes.v6.lanes[v6 - 1], IpAddr::V6(to.into()))
            };
            assert_eq!(lanes.verdict[i], verdict, "{frame:02x?}");
            assert_eq!((usize::from(lane), destination), (i, found.destination));
            assert_eq!(
                (usize::from(lanes.l3[i]), lanes.l3_len[i], lanes.hash[i]),
                (found.l3, found.len, found.hash),
                "{frame:02x?}"
            );
        }
        assert_eq!((lanes.v4.len, lanes.v6.len), (v4, v6));
    }
    routed
}

fn whole() -> Vec<Vec<u8>> {
    let mut frames: Vec<_> = samples().iter().map(|p| p.frame()).collect();
    frames.extend(icmp::frames());
    frames
}

/// With the hot ways that settings choose: outer fields, tunnels by what names them, by what is
/// inside, by all; each way of the algorithms.
fn policies() -> Vec<Policy> {
    let inner = |f: Field| (Field::InnerIpProtocol..=Field::InnerIpv6Label).contains(&f);
    let outer = Fields::default();
    let also = |more: &dyn Fn(Field) -> bool| set(|f| outer.has(f) || more(f));
    let teid = |f| f == Field::GtpTeid;
    let mut all = vec![
        policy(outer, true),
        policy(every(), true),
        policy(every(), false),
    ];
    all.push(policy(also(&inner), true));
    all.push(policy(also(&teid), true));
    all.push(policy(also(&|f| f == Field::RoceQp), true));
    all.push(policy(set(|f| f == Field::InnerDestinationPort), true));
    for algorithm in [Algorithm::Toeplitz, Algorithm::Crc32] {
        for fields in [outer, also(&|f| teid(f) || inner(f))] {
            let choice = Choice {
                fields,
                algorithm,
                ..Choice::default()
            };
            all.push(Settings::new(choice).into());
        }
    }
    all
}

#[test]
fn the_stage_says_what_describe_says() {
    let frames: Vec<_> = packets::all().iter().map(|p| p.frame()).collect();
    for policy in policies() {
        let routed = compare(&frames, &policy, &mut Lanes::default());
        assert_eq!(routed, frames.len(), "all of these are sound");
    }
}

/// Cut as they are, and with their IP length told anew, so that the cut is in what is inside.
#[test]
fn cut_at_each_length() {
    for policy in policies() {
        let mut lanes = Lanes::default();
        for frame in whole() {
            let cuts = (0..frame.len()).map(|n| frame[..n].to_vec());
            let cuts: Vec<_> = cuts.collect();
            assert_eq!(
                compare(&cuts, &policy, &mut lanes),
                0,
                "the IP length says so"
            );
            let refitted: Vec<_> = cuts.into_iter().map(builder::refitted).collect();
            let routed = compare(&refitted, &policy, &mut lanes);
            // All that hold their Ethernet header (22 bytes at most) and IP header (40).
            assert!(routed + 64 > frame.len(), "{routed} of {}", frame.len());
        }
    }
}

#[test]
fn each_byte_damaged() {
    for policy in policies() {
        let mut lanes = Lanes::default();
        for frame in whole() {
            let mut damaged = Vec::new();
            for at in 0..frame.len() {
                for byte in [0, 0xff, frame[at] ^ 1, frame[at] ^ 0x80] {
                    let mut other = frame.clone();
                    other[at] = byte;
                    damaged.push(builder::refitted(other.clone()));
                    damaged.push(other);
                }
            }
            let routed = compare(&damaged, &policy, &mut lanes);
            assert!(routed > frame.len(), "{routed} of {}", damaged.len());
        }
    }
}

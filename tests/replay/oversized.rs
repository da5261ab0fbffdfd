//! Frames that no packet buffer holds, as captures of a host with large receive offload have them.

use super::Lab;
use super::agree::{CONFIG, UPLINKS};
use super::frame::{Packet, UDP, mac};
use serde_json::json;

/// They are in the summary, and more of them in a row than two turns take do not end the replay.
#[test]
fn a_replay_goes_on_behind_frames_that_are_too_long() {
    let lab = Lab::new("oversized");
    let config = lab.file("evenpath.toml", CONFIG);
    let packet = |payload| Packet {
        payload,
        ..Packet::new("192.0.2.9", "10.1.2.3", UDP, (1000, 53))
    };
    let frame = |payload| packet(payload).frame(mac(9, 9), mac(9, 8), None);
    let mut frames = vec![frame(12_000); 200];
    frames.push(frame(100));
    let input = lab.capture("in.pcap", &frames);
    let summary = lab.summary(&config, &[("host0", &input)], "out", &[]);
    assert_eq!(summary["dropped"], json!({"oversized": 200}));
    assert_eq!(summary["ports"]["host0"]["in"], 201);
    let left: usize = UPLINKS.iter().map(|p| lab.left("out", p).len()).sum();
    assert_eq!(left, 1);
}

//! Capture files, as far as these tests need them: whole Ethernet frames, little endian.

use std::path::Path;

/// Microseconds since the epoch; our DPDK writes the one with nanoseconds.
const MAGIC: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
/// LINKTYPE_ETHERNET.
pub const ETHERNET: u32 = 1;

/// The bytes of a file with `frames` of that link type.
pub fn bytes(frames: &[Vec<u8>], link_type: u32) -> Vec<u8> {
    let mut file = Vec::new();
    // Version 2.4; time zone, accuracy; longest frame.
    for word in [MAGIC[0], 4 << 16 | 2, 0, 0, 65535, link_type] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        for word in [second as u32, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The frames of the file at `path`.
pub fn read(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).expect("the file is there");
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes"));
    assert!(MAGIC.contains(&word(0)), "{}: no pcap", path.display());
    assert_eq!(word(20), ETHERNET);
    let (mut at, mut frames) = (24, Vec::new());
    while at < file.len() {
        let (held, len) = (word(at + 8), word(at + 12));
        assert_eq!(held, len, "cut short");
        at += 16;
        frames.push(file[at..at + len as usize].to_vec());
        at += len as usize;
    }
    frames
}

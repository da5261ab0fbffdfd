//! Looks at capture files before the driver does: it takes any link type, and names no cause.

use crate::output::Failure;
use control::config::Config;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// First words of what libpcap reads: pcap with microseconds, with nanoseconds, pcapng.
const FORMATS: [u32; 3] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0x0a0d_0d0a];
/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

const NAME_A_PCAP: &str = "name a capture file in pcap format";

/// Whether `path` can be the input that is called `object`, with output to `out`.
pub fn check(object: &str, path: &Path, config: &Config, out: &Path) -> Result<(), Failure> {
    let fail = |operation, cause: String, remedy| {
        Err(Failure::run(object, operation, cause, Some(remedy)))
    };
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, mut file) = match opened {
        Ok(opened) => opened,
        Err(cause) => return fail("open", cause.to_string(), NAME_A_PCAP),
    };
    let identity = (metadata.dev(), metadata.ino());
    let is_output = config.ports.iter().any(|port| {
        let output = out.join(format!("{}.pcap", port.name));
        output
            .metadata()
            .is_ok_and(|m| (m.dev(), m.ino()) == identity)
    });
    if is_output {
        let cause = "the replay would write its output over it";
        return fail("read", cause.into(), "name another --out directory");
    }
    // What is read from a pipe would be missing later.
    if !metadata.is_file() && !metadata.is_dir() {
        return Ok(());
    }
    let mut header = [0; 24];
    if let Err(cause) = file.read_exact(&mut header) {
        let cause = match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => "it is not in pcap format".into(),
            _ => cause.to_string(),
        };
        return fail("read", cause, NAME_A_PCAP);
    }
    let word = |at: usize| {
        let bytes = header[at..].first_chunk().copied();
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let is_swapped = !FORMATS.contains(&word(0));
    let in_order = |word: u32| if is_swapped { word.swap_bytes() } else { word };
    match FORMATS.iter().position(|f| *f == in_order(word(0))) {
        None => fail("read", "it is not in pcap format".into(), NAME_A_PCAP),
        // The upper bits say how the frame check sequence is kept.
        Some(0 | 1) if in_order(word(20)) & 0xffff != ETHERNET => {
            let link = in_order(word(20)) & 0xffff;
            let cause = format!("its frames are of link type {link}, not Ethernet ({ETHERNET})");
            fail(
                "read",
                cause,
                "capture on an Ethernet device, not on \"any\"",
            )
        }
        Some(_) => Ok(()),
    }
}

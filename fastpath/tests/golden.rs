//! Packets in, packets out, made by scapy (`golden/generate.py`): byte-exact forwarding. The same
//! packets, cut at every length and damaged at every byte, are the corpus for what must not crash:
//! each variant fares as in the naive router.

mod support;

use fastpath::hash::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::model::{Fate, fate};
use support::{Options, Router, pcap, port_mac};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

type Frames = Vec<Vec<u8>>;

/// Name, frames in, frames out.
fn all() -> BTreeMap<String, (Frames, Frames)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".in.pcap") {
            let read = |suffix| pcap::read(&folder().join(format!("{name}.{suffix}.pcap")));
            all.insert(name.to_owned(), (read("in"), read("out")));
        }
    }
    assert!(all.len() >= 20, "a file is missing: {:?}", all.keys());
    all
}

#[test]
fn what_scapy_expects_comes_out() {
    for (name, (frames, wanted)) in all() {
        let mut router = Router::new(Options::default());
        let out = router.send(0, &frames).concat();
        assert_eq!(out.len(), wanted.len(), "{name}: {:?}", router.counters());
        for (i, (mut got, mut wanted)) in out.into_iter().zip(wanted).enumerate() {
            // scapy does not pad frames up to the shortest; ours came in unpadded as well.
            let longest = got.len().max(wanted.len());
            got.resize(longest, 0);
            wanted.resize(longest, 0);
            assert_eq!(got, wanted, "{name}: frame {i}");
        }
    }
}

#[test]
fn cut_and_damaged_packets_fare_as_in_the_model() {
    let settings = Settings::default();
    for (name, (frames, _)) in all() {
        let mut router = Router::new(Options::default());
        for frame in frames {
            let cut = (0..=frame.len().min(200)).map(|len| frame[..len].to_vec());
            let damaged = (0..frame.len().min(120)).flat_map(|at| {
                [0x00, 0xff, frame[at] ^ 1, frame[at] ^ 0x80].map(|value| {
                    let mut frame = frame.clone();
                    frame[at] = value;
                    frame
                })
            });
            for variant in cut.chain(damaged) {
                let mut out = router.send_one(0, &variant);
                let wanted = match fate(&settings, 0, &variant) {
                    Fate::Sent(port, frames) => frames.into_iter().map(|f| (port, f)).collect(),
                    Fate::Punted => vec![],
                    Fate::Dropped(_, answer) => Vec::from_iter(answer),
                };
                while router.gleans.pop().is_some() {}
                assert_eq!(out.len(), wanted.len(), "{name}: {variant:02x?}");
                for ((port, got), (to, frame)) in out.iter_mut().zip(&wanted) {
                    if got.len() <= 60 {
                        got.truncate(frame.len());
                    }
                    assert_eq!((&*port, &*got), (to, frame), "{name}: {variant:02x?}");
                    assert_eq!(got[6..12], port_mac(*port));
                }
            }
        }
    }
}

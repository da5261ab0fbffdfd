//! What a replay refuses, in which words: object, operation, cause, remedy.

use super::frame::{Packet, UDP, mac};
use super::{Lab, pcap};
use std::ffi::OsStr;

const CONFIG: &str = "[[port]]\nname = \"host0\"\n[[port]]\nname = \"up1\"\n";

/// Replays `inputs` and expects this error, whole.
fn refused(lab: &Lab, inputs: &[(&str, &str)], out: &str, expected: &str) {
    let config = lab.file("evenpath.toml", CONFIG);
    let out = lab.path(out);
    let paths: Vec<_> = inputs
        .iter()
        .map(|(port, file)| (*port, lab.path(file)))
        .collect();
    let inputs: Vec<_> = paths.iter().map(|(port, path)| (*port, &**path)).collect();
    let said = lab.replay(&config, &inputs, &[OsStr::new("--out"), out.as_os_str()]);
    let expected = expected.replace("DIR", lab.0.to_str().expect("UTF-8"));
    assert_eq!(
        (said.code, said.out.as_str(), said.error),
        (1, "", format!("evenpath: {expected}\n"))
    );
}

#[test]
fn ports_and_paths_that_cannot_be() {
    let lab = Lab::new("paths");
    let frame = Packet::new("10.0.0.1", "10.0.0.2", UDP, (1, 2)).frame(mac(1, 1), mac(1, 2), None);
    lab.capture("in.pcap", &[frame.clone()]);
    lab.capture("a,b.pcap", &[frame]);
    refused(
        &lab,
        &[("host9", "in.pcap")],
        "out",
        "--in host9=DIR/in.pcap: find port: there is no port host9; the configuration has host0, up1",
    );
    refused(
        &lab,
        &[("host0", "absent.pcap")],
        "out",
        "--in host0=DIR/absent.pcap: open: No such file or directory (os error 2); name a capture \
         file in pcap format",
    );
    refused(
        &lab,
        &[("host0", "in.pcap"), ("host0", "in.pcap")],
        "out",
        "--in host0=DIR/in.pcap: attach: the port has a file already; join the files, or name another \
         port",
    );
    refused(
        &lab,
        &[("host0", "a,b.pcap")],
        "out",
        "DIR/a,b.pcap: open: DPDK's device arguments cannot carry a path with , = [ ] or bytes that \
         are not UTF-8; rename it",
    );
}

#[test]
fn files_that_are_no_ethernet_captures() {
    let lab = Lab::new("files");
    lab.file(
        "text.pcap",
        "not a capture, and longer than the header of one would be",
    );
    lab.file("empty.pcap", "");
    lab.file("cooked.pcap", pcap::bytes(&[], 113));
    let no_pcap = "it is not in pcap format; name a capture file in pcap format";
    for name in ["text.pcap", "empty.pcap"] {
        let expected = format!("--in host0=DIR/{name}: read: {no_pcap}");
        refused(&lab, &[("host0", name)], "out", &expected);
    }
    refused(
        &lab,
        &[("host0", "cooked.pcap")],
        "out",
        "--in host0=DIR/cooked.pcap: read: its frames are of link type 113, not Ethernet (1); capture \
         on an Ethernet device, not on \"any\"",
    );
}

#[test]
fn an_input_is_never_overwritten() {
    let lab = Lab::new("same");
    let frame = Packet::new("10.0.0.1", "10.0.0.2", UDP, (1, 2)).frame(mac(1, 1), mac(1, 2), None);
    let input = lab.capture("host0.pcap", &[frame.clone()]);
    lab.capture("up1.pcap", &[frame.clone()]);
    // The directory by another name: the file is the same.
    std::fs::create_dir_all(lab.path("deep")).expect("directory");
    for (port, name) in [("host0", "host0.pcap"), ("host0", "up1.pcap")] {
        let expected = format!(
            "--in {port}=DIR/{name}: read: the replay would write its output over it; name another \
             --out directory"
        );
        refused(&lab, &[(port, name)], "deep/..", &expected);
    }
    assert_eq!(pcap::read(&input), [frame]);
}

#[test]
fn wrong_usage_is_2() {
    let lab = Lab::new("usage");
    let config = lab.file("evenpath.toml", CONFIG);
    let said = lab.replay(&config, &[("", &lab.path("in.pcap"))], &[]);
    assert_eq!(said.code, 2);
    assert!(
        said.error.contains("expected PORT=FILE.pcap"),
        "{}",
        said.error
    );
}

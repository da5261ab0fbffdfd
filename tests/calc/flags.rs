//! What flags say of tunnels, of the way out and of packets: needed, refused, never ignored.

use super::{CONFIG, File, calc, json};

const FLOW: &str = "-i host0 -s 10.244.1.2 -d 10.0.0.1";

/// Refused as wrong usage, in these words.
fn refused(file: &File, flow: &str, words: &str) {
    let (code, out, error) = calc(file, &format!("{FLOW} {flow}"));
    assert!(code == 2 && error.contains(words), "{flow}: {code} {error}");
    assert!(!out.contains("0x"), "{flow}: {out}");
}

#[test]
fn a_field_that_is_on_must_be_given_whatever_the_tunnel() {
    let file = File::new("fields.toml", CONFIG);
    let words = "--inner-src and --inner-dst required for frames in a tunnel";
    for tunnel in [
        "-p 4",
        "-p 41",
        "-p gre",
        "-p udp --sport 1 --dport 2152",
        "-p udp --sport 1 --dport 4789",
        "-p udp --sport 1 --dport 4790",
        "-p udp --sport 1 --dport 6081",
    ] {
        refused(&file, &format!("{tunnel} -hf sip inner-source-ip"), words);
        let ports = format!("{tunnel} -hf inner-source-port --inner-src 10.1.1.1");
        refused(&file, &ports, "--inner-protocol required");
        let all = "--inner-src 192.0.2.1 --inner-dst 192.0.2.2";
        let way = json(
            &file,
            &format!("{FLOW} {tunnel} -hf sip inner-source-ip {all}"),
        );
        assert_eq!(way["fields"]["inner-source-ip"], "192.0.2.1", "{tunnel}");
    }
    let udp = |port| format!("-p udp --sport 1 --dport {port}");
    let words = "--teid required for GTP-U frames (UDP to 2152): gtp-teid is on";
    refused(&file, &format!("{} -hf gtp-teid", udp(2152)), words);
    refused(
        &file,
        &format!("{} -hf roce-qp", udp(4791)),
        "--qp required",
    );
    let deeper = "-p 4 -hf gtp-teid --inner-protocol udp --inner-sport 1 --inner-dport 2152";
    refused(&file, deeper, "--teid required");
    let way = json(&file, &format!("{FLOW} {deeper} --teid 7"));
    assert_eq!(way["fields"]["gtp-teid"], "7");
    // Neither is looked for in TCP.
    assert_eq!(
        calc(
            &file,
            &format!("{FLOW} -p tcp --sport 1 --dport 2152 -hf gtp-teid sip")
        )
        .0,
        0
    );
}

#[test]
fn what_the_fast_path_would_not_look_for_is_refused() {
    let file = File::new("elsewhere.toml", CONFIG);
    for (flow, words) in [
        (
            "-p tcp --sport 1 --dport 2152 --teid 7",
            "--teid is for GTP-U frames",
        ),
        (
            "-p udp --sport 1 --dport 53 --teid 7",
            "--teid is for GTP-U frames",
        ),
        (
            "-p udp --sport 1 --dport 2152 --qp 7",
            "--qp is for RoCEv2 frames",
        ),
        ("-p 4 --teid 7", "--teid is for GTP-U frames"),
        (
            "-p tcp --sport 1 --dport 80 --inner-src 192.0.2.1",
            "--inner-* are for frames of a tunnel",
        ),
        (
            "-p udp --sport 1 --dport 4791 --inner-src 192.0.2.1",
            "--inner-* are for frames",
        ),
        (
            "-p 4 --inner-protocol gre --inner-sport 5",
            "--inner-sport and --inner-dport are for TCP",
        ),
        // The TEID of the first tunnel counts; what that carries is not looked into for ids.
        (
            "-p udp --sport 1 --dport 2152 --teid 1 --inner-protocol udp --inner-sport 1 \
             --inner-dport 4791 --qp 7",
            "--qp is for RoCEv2 frames",
        ),
    ] {
        refused(&file, flow, words);
    }
}

/// An echo request to 10.0.0.1, checksums right, with this TTL.
fn echo(ttl: u8) -> String {
    let mut frame = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 8, 0];
    let mut header = vec![
        0x45, 0, 0, 28, 0, 1, 0, 0, ttl, 1, 0, 0, 10, 244, 1, 2, 10, 0, 0, 1,
    ];
    let sum = fastpath::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    frame.extend([8, 0, 0xf7, 0xfe, 0, 1, 0, 0]);
    let digits: Vec<_> = frame.iter().map(|b| format!("{b:02x}")).collect();
    digits.concat()
}

#[test]
fn the_way_out_is_expected_of_every_answer() {
    let file = File::new("out.toml", CONFIG);
    let (code, out, error) = calc(&file, &format!("-i host0 --hex {}", echo(64)));
    assert_eq!(code, 0, "{error}");
    let port = out.trim_end().lines().last().unwrap_or_default();
    let other = if port == "up1" { "up2" } else { "up1" };
    assert_eq!(
        calc(&file, &format!("-i host0 --hex {} -o {port}", echo(64))).0,
        0
    );
    assert_eq!(
        calc(&file, &format!("-i host0 --hex {} -o {other}", echo(64))).0,
        1
    );
    let (code, _, error) = calc(&file, &format!("-i host0 --hex {} -o {port}", echo(1)));
    let words = format!("it does not leave by {port}: dropped");
    assert!(code == 1 && error.contains(&words), "{code} {error}");
    for with in ["-c 4", "--find-sport up1"] {
        let (code, _, error) = calc(
            &file,
            &format!("{FLOW} -p udp --sport 1 --dport 53 -o up9 {with}"),
        );
        assert!(
            code == 2 && error.contains("cannot be used with"),
            "{with}: {error}"
        );
    }
}

#[test]
fn a_packet_says_itself_what_flags_say_of_a_flow() {
    let file = File::new("both.toml", CONFIG);
    for flag in [
        "--sport 5",
        "--dport 5",
        "--vid 9",
        "--flow-label 1",
        "--teid 7",
        "--qp 7",
        "--inner-src 192.0.2.1",
        "--inner-dst 192.0.2.1",
        "--inner-protocol udp",
        "--inner-sport 5",
        "--inner-dport 5",
        "--inner-flow-label 5",
    ] {
        for packet in [format!("--hex {}", echo(64)), "--pcap none".into()] {
            let (code, _, error) = calc(&file, &format!("-i host0 {packet} {flag}"));
            assert!(
                code == 2 && error.contains("cannot be used with"),
                "{flag}: {error}"
            );
        }
    }
    let (code, _, error) = calc(
        &file,
        &format!("-i host0 --hex {} --find-sport all", echo(64)),
    );
    let words = "it has no source port of its own that could be another";
    assert!(code == 1 && error.contains(words), "{error}");
    let none = format!("{FLOW} -p udp --dport 53 --find-sport all --count 0");
    assert_eq!(calc(&file, &none).0, 2);
}

/// A capture of frames of which `kept` bytes at most were kept.
fn capture(frames: &[Vec<u8>], kept: usize) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1]
        .map(u32::to_le_bytes)
        .concat();
    for frame in frames {
        let some = frame.len().min(kept);
        let header = [0, 0, some as u32, frame.len() as u32].map(u32::to_le_bytes);
        file.extend(header.concat());
        file.extend(&frame[..some]);
    }
    file
}

fn udp(sport: u16, length: usize) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 8, 0];
    let mut header = vec![
        0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 244, 1, 2, 10, 0, 0, 1,
    ];
    header[2..4].copy_from_slice(&(length as u16 - 14).to_be_bytes());
    let sum = fastpath::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    frame.extend(sport.to_be_bytes());
    frame.extend(53_u16.to_be_bytes());
    frame.extend((length as u16 - 34).to_be_bytes());
    frame.resize(length, 0);
    frame
}

#[test]
fn packets_cut_by_a_capture_and_packets_too_long_to_ask() {
    let file = File::new("cut.toml", CONFIG);
    let path = std::env::temp_dir().join(format!("evenpath-{}-cut.pcap", std::process::id()));
    let frames = [udp(1, 1400), udp(2, 60), udp(3, 40_000), udp(4, 1400)];
    let ask = |kept: usize, all: &str| {
        std::fs::write(&path, capture(&frames, kept)).expect("write");
        calc(&file, &format!("-i host0 --pcap {}{all}", path.display()))
    };
    let (whole, cut) = (ask(65_535, ""), ask(96, ""));
    assert_eq!((cut.0, &cut.1), (0, &whole.1), "{}", cut.2);
    let note = "packet 1 is cut by the capture: what is missing counts as zeros";
    assert!(
        cut.2.contains(note) && whole.2.is_empty(),
        "{} {}",
        cut.2,
        whole.2
    );

    let (code, out, error) = ask(96, " --all");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (1, 4), "{out} {error}");
    assert_eq!(lines[2], "3 not asked: 40000 bytes, at most 24576");
    assert!(lines[3].starts_with("4 up"), "{out}");
    assert!(error.contains("3 of 4 packets are cut"), "{error}");
    std::fs::remove_file(&path).expect("remove");
}

/// Profiles that have fields of their own do not keep `-hf` from being asked.
#[test]
fn fields_for_all_at_once() {
    let profile = "[[hash-profile]]\nname = \"labels\"\nprefixes = [\"10.7.0.0/16\"]\n";
    let mut text = format!("{CONFIG}{profile}");
    for field in [
        "ip-protocol",
        "source-ip",
        "destination-ip",
        "source-port",
        "destination-port",
    ] {
        text += &format!("{field} = false\n");
    }
    let file = File::new("everywhere.toml", &text);
    let way = json(
        &file,
        &format!("{FLOW} -p tcp --sport 1 --dport 2 -hf sip dip"),
    );
    let fields: Vec<_> = way["fields"].as_object().expect("fields").keys().collect();
    assert_eq!(fields, ["destination-ip", "source-ip"]);
}

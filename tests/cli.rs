//! The command line as a person meets it: texts, exit codes, streams.

use std::path::PathBuf;
use std::process::{Command, Output};

fn evenpath(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenpath"))
        .args(arguments)
        .output()
        .expect("evenpath starts")
}

/// Exit code, standard output, standard error.
fn said(arguments: &[&str]) -> (i32, String, String) {
    let output = evenpath(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().expect("not killed"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A file that is gone with the value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenpath-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("write");
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_default_configuration_passes_its_own_check() {
    let (code, text, _) = said(&["config", "default"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("# evenpath.toml: "), "{text}");
    let file = File::new("default.toml", &text);
    let expected = format!(
        "{}: ok: 0 ports, 0 addresses, 0 neighbors, 0 static routes\n",
        file.path()
    );
    assert_eq!(
        said(&["config", "check", file.path()]),
        (0, expected, String::new())
    );
    let (code, json, _) = said(&["config", "check", "--json", file.path()]);
    assert!(
        code == 0 && json.contains(r#""ok":true,"ports":0"#),
        "{json}"
    );
}

#[test]
fn every_error_of_a_file_is_printed_with_its_line() {
    let file = File::new("bad.toml", "[hash]\nsource_ip = true\nseed = -1\n");
    let (code, text, _) = said(&["config", "check", file.path()]);
    let expected = format!(
        "{0}:2: hash.source_ip: unknown key; did you mean source-ip?\n\
         {0}:3: hash.seed: -1 is not allowed; allowed: \"random\" or 0..4294967295\n",
        file.path()
    );
    assert_eq!((code, text), (1, expected));
    let (code, json, _) = said(&["config", "check", "--json", file.path()]);
    assert!(
        code == 1 && json.contains(r#""line":2,"key":"hash.source_ip""#),
        "{json}"
    );
    let (code, _, error) = said(&["config", "check", "/nonexistent/e.toml"]);
    assert_eq!(code, 1);
    assert!(
        error.starts_with("evenpath: /nonexistent/e.toml: read: No such file"),
        "{error}"
    );
}

#[test]
fn calc_wants_what_the_hash_wants() {
    let base = [
        "calc", "-i", "host0", "-s", "10.0.0.1", "-d", "10.0.0.1", "-p",
    ];
    for (rest, words) in [
        (
            &["tcp"][..],
            "--sport and --dport required for TCP and UDP frames",
        ),
        (
            &["udp", "--sport", "1"],
            "--sport and --dport required for TCP and UDP frames",
        ),
        (
            &["17", "--dport", "1"],
            "--sport and --dport required for TCP and UDP frames",
        ),
        (
            &["sctp"],
            "--sport and --dport required for SCTP, DCCP and UDP-Lite frames",
        ),
        (&["icmp", "--sport", "1"], "frames only"),
        (&["ip"], "expected tcp, udp, icmp, sctp, gre, esp or 0..255"),
        (
            &["256"],
            "expected tcp, udp, icmp, sctp, gre, esp or 0..255",
        ),
        (
            &["tcp", "--sport", "65536", "--dport", "1"],
            "65536 is not in 0..=65535",
        ),
    ] {
        let (code, out, error) = said(&[&base[..], rest].concat());
        assert_eq!(code, 2, "{rest:?}");
        assert!(out.is_empty() && error.contains(words), "{rest:?}: {error}");
    }
    let (code, _, error) = said(&["calc", "-i", "a", "-s", "::1", "-d", "1.1.1.1", "-p", "1"]);
    assert!(
        code == 2 && error.contains("-s and -d must both be IPv4 or both IPv6"),
        "{error}"
    );
    let (code, _, error) = said(&["calc", "-i", "a", "-s", "1.1.1.1", "-p", "icmp"]);
    assert!(code == 2 && error.contains("--dst <ADDRESS>"), "{error}");
}

#[test]
fn without_a_running_evenpath_show_says_what_to_look_at() {
    let (code, out, error) = said(&["show", "port", "--socket", "/nonexistent/api.sock"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        error,
        "evenpath: /nonexistent/api.sock: connect: No such file or directory (os error 2); is \
         `evenpath run` running, and is this its socket (--socket PATH)?\n"
    );
}

#[test]
fn wrong_usage_is_2_and_help_has_examples() {
    for wrong in [
        &["shwo"][..],
        &["show"],
        &["show", "route", "10.1.0.0/8"],
        &["show", "route", "x"],
        &["set", "hash", "source-port", "maybe"],
        &["set", "hash", "seed", "1", "symmetric"],
        &["set", "resilient", "buckets", "64", "enable"],
    ] {
        assert_eq!(said(wrong).0, 2, "{wrong:?}");
    }
    assert!(
        said(&["show", "route", "10.1.0.0/8"])
            .2
            .contains("did you mean 10.0.0.0/8?")
    );
    for help in [
        &["--help"][..],
        &["config", "--help"],
        &["show", "--help"],
        &["calc", "--help"],
    ] {
        let (code, text, _) = said(help);
        assert!(code == 0 && text.contains("Examples:"), "{help:?}: {text}");
    }
    let (code, version, _) = said(&["--version"]);
    assert!(code == 0 && version.starts_with(concat!("evenpath ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn cumulus_files_are_imported_from_their_place() {
    let root = std::env::temp_dir().join(format!("evenpath-{}-root", std::process::id()));
    let folder = root.join("etc/cumulus/datapath");
    std::fs::create_dir_all(&folder).expect("make");
    let at = root.to_str().expect("UTF-8");
    let (code, out, err) = said(&["config", "import", "--root", at]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("neither traffic.conf nor nvue_traffic.conf is there"),
        "{err}"
    );

    let traffic = folder.join("traffic.conf");
    std::fs::write(
        &traffic,
        "ecmp_hash_seed = 50\nsflow.rate = 1\n# about sampling\n",
    )
    .expect("write");
    std::fs::write(folder.join("nvue_traffic.conf"), "ecmp_hash_seed = 51\n").expect("write");
    let (code, out, err) = said(&["config", "import", "--root", at]);
    let note = format!(
        "note: {}: 1 setting skipped: not about ECMP\n",
        traffic.display()
    );
    assert_eq!((code, err), (0, note));
    assert!(
        out.contains("seed = 51 ") && out.contains("nvue_traffic.conf:1, over "),
        "{out}"
    );
    let file = File::new("imported.toml", &out);
    assert_eq!(said(&["config", "check", file.path()]).0, 0, "{out}");

    std::fs::write(&traffic, "ecmp_hash_seed = -1\n").expect("write");
    let path = traffic.to_str().expect("UTF-8");
    let expected =
        format!("{path}:1: ecmp_hash_seed: \"-1\" is not allowed; allowed: 0..4294967295\n");
    assert_eq!(
        said(&["config", "import", path]),
        (1, String::new(), expected)
    );
    assert_eq!(
        said(&["config", "import", "--root", at, path]).0,
        2,
        "one or the other"
    );
    std::fs::remove_dir_all(&root).expect("remove");
}

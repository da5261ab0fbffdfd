//! `evenpath calc -c`: where flows go, from the configuration alone.

mod changes;
mod flags;
mod packets;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const CONFIG: &str = r#"
[hash]
seed = 50

[[port]]
name = "host0"
[[port]]
name = "up1"
kernel = "eth1"
[[port]]
name = "up2"
kernel = "eth2"

[[address]]
port = "host0"
address = "10.244.1.1/24"
[[neighbor]]
port = "host0"
address = "10.244.1.2"
mac = "02:00:00:00:00:02"
[[neighbor]]
port = "up1"
address = "169.254.0.1"
mac = "02:00:00:00:01:01"
[[neighbor]]
port = "up2"
address = "fe80::3"
mac = "02:00:00:00:01:03"
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "169.254.0.1", port = "up1" }, { via = "fe80::3", port = "up2", weight = 3 }]
[[route]]
prefix = "2001:db8::/32"
nexthops = [{ via = "fe80::3", port = "up2" }]
[[route]]
prefix = "10.9.0.0/16"
type = "blackhole"
[[route]]
prefix = "10.8.0.0/16"
nexthops = [{ via = "169.254.0.7", port = "up1" }]
"#;

/// A file that is gone with the value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenpath-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("write");
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Exit code, standard output, standard error of `evenpath calc -c file flow…`.
fn calc(file: &File, flow: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_evenpath"))
        .args(["calc", "-c"])
        .arg(&file.0)
        .args(flow.split(' '))
        .output()
        .expect("evenpath starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().expect("not killed"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(file: &File, flow: &str) -> Value {
    let (code, text, error) = calc(file, &format!("{flow} --json"));
    assert_eq!((code, error.as_str()), (0, ""), "{flow}");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_last_line_is_the_port_and_the_json_is_the_contract() {
    let file = File::new("calc.toml", CONFIG);
    let flow = "-i host0 -s 10.244.1.2 -d 10.0.0.1 -p tcp --sport 20000 --dport 80";
    let way = json(&file, flow);
    let keys: Vec<&str> = way
        .as_object()
        .expect("object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "port",
            "nexthop",
            "prefix",
            "group",
            "bucket",
            "buckets",
            "hash",
            "algorithm",
            "fields",
            "plane"
        ]
    );
    let port = way["port"].as_str().expect("port");
    let nexthop = if port == "up1" {
        "169.254.0.1"
    } else {
        "fe80::3"
    };
    assert_eq!(way["nexthop"], nexthop);
    assert_eq!(way["prefix"], "10.0.0.0/8");
    assert_eq!(
        (&way["algorithm"], &way["plane"]),
        (&"mix".into(), &"software".into())
    );
    assert!(way["bucket"].as_u64() < way["buckets"].as_u64());
    let hash = way["hash"].as_str().expect("hash");
    assert!(hash.len() == 10 && hash.starts_with("0x"), "{hash}");
    let hash = u64::from_str_radix(&hash[2..], 16).expect("hex");
    // The bucket is the hash's low bits.
    let buckets = way["buckets"].as_u64().expect("buckets");
    assert_eq!(way["bucket"], hash % buckets);
    let fields = way["fields"].as_object().expect("fields");
    for (name, value) in [
        ("source-ip", "10.244.1.2"),
        ("destination-ip", "10.0.0.1"),
        ("source-port", "20000"),
        ("destination-port", "80"),
        ("ip-protocol", "6"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    let (code, text, _) = calc(&file, flow);
    assert_eq!((code, text.lines().last()), (0, Some(port)));
    assert_eq!(json(&file, flow), way, "deterministic");
}

#[test]
fn flows_spread_by_weight_and_keep_their_way_in_both_directions() {
    let file = File::new("spread.toml", CONFIG);
    let mut ports: BTreeMap<String, u32> = BTreeMap::new();
    for sport in 0..100 {
        let flow = format!("-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --sport {sport} --dport 53");
        let back = format!("-i host0 -s 10.2.0.1 -d 10.1.1.2 -p udp --sport 53 --dport {sport}");
        let (way, back) = (json(&file, &flow), json(&file, &back));
        assert_eq!(
            (&way["hash"], &way["port"]),
            (&back["hash"], &back["port"]),
            "{flow}"
        );
        *ports.entry(way["port"].to_string()).or_default() += 1;
    }
    // Weights 1 and 3: 25 of 100, within four standard deviations.
    let (up1, up2) = (ports["\"up1\""], ports["\"up2\""]);
    assert!((8..=42).contains(&up1) && up1 + up2 == 100, "{ports:?}");
}

#[test]
fn seeds_move_flows_and_other_families_and_links_work() {
    let file = File::new("seed.toml", CONFIG);
    let other = File::new("other.toml", &CONFIG.replace("seed = 50", "seed = 51"));
    let flow = "-i host0 -s 10.244.1.2 -d 10.0.0.1 -p 47";
    assert_ne!(json(&file, flow)["hash"], json(&other, flow)["hash"]);
    let way = json(
        &file,
        "-i host0 -s 2001:db8::1 -d 2001:db8::2 -p icmp --flow-label 7",
    );
    assert_eq!(
        (&way["port"], &way["nexthop"]),
        (&"up2".into(), &"fe80::3".into())
    );
    assert_eq!(
        (&way["fields"]["ip-protocol"], &way["fields"]["ipv6-label"]),
        (&"58".into(), &"7".into())
    );
    // On the link itself: the next hop is the destination.
    let way = json(&file, "-i up1 -s 10.0.0.1 -d 10.244.1.2 -p icmp");
    assert_eq!(
        (&way["port"], &way["nexthop"]),
        (&"host0".into(), &"10.244.1.2".into())
    );
    assert_eq!(way["buckets"], 1);
}

#[test]
fn what_goes_nowhere_says_why() {
    let file = File::new("nowhere.toml", CONFIG);
    for (flow, words) in [
        (
            "-i up9 -s 10.0.0.1 -d 10.0.0.2 -p icmp",
            "port up9: calc: no such port; ports are host0, up1, up2",
        ),
        ("-i up1 -s 10.0.0.1 -d 192.0.2.1 -p icmp", "calc: no route"),
        ("-i up1 -s 10.0.0.1 -d 10.9.0.1 -p icmp", "blackhole"),
        ("-i up1 -s 10.0.0.1 -d 10.8.0.1 -p icmp", "nexthop-down"),
        ("-i up1 -s 10.0.0.1 -d 10.244.1.1 -p icmp", "kernel"),
        ("-i up1 -s 10.0.0.1 -d 10.244.1.77 -p icmp", "not resolved"),
    ] {
        let (code, out, error) = calc(&file, flow);
        assert_eq!((code, out.as_str()), (1, ""), "{flow}");
        assert!(
            error.starts_with("evenpath: ") && error.contains(words),
            "{flow}: {error}"
        );
    }
    let bad = File::new("bad-calc.toml", "[hash]\nsede = 1\n");
    let (code, _, error) = calc(&bad, "-i up1 -s 10.0.0.1 -d 10.0.0.2 -p icmp");
    assert!(
        code == 1 && error.contains(":2: hash.sede: unknown key; did you mean seed?"),
        "{error}"
    );
}

/// Output of `cl-ecmpcalc FLAGS…`, a link to evenpath.
fn drop_in(flags: &str) -> (i32, String, String) {
    let link = File(std::env::temp_dir().join(format!("evenpath-{}-dir", std::process::id())));
    let _ = std::fs::create_dir(&link.0);
    let name = link.0.join("cl-ecmpcalc");
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_evenpath"), &name);
    let output = Command::new(&name)
        .args(flags.split(' '))
        .output()
        .expect("starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("not killed");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn as_cl_ecmpcalc_it_prints_what_the_text_shows() {
    let file = File::new("dropin.toml", CONFIG);
    let flow = "-i host0 -s 10.0.0.1 -d 10.0.0.1 -p tcp";
    let config = format!("--config {}", file.0.display());
    let (code, out, _) = drop_in(&format!("{flow} --sport 20000 --dport 80 {config}"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        (code, lines.len(), lines[0]),
        (0, 2, "ecmpcalc: will query software")
    );
    assert!(["up1", "up2"].contains(&lines[1]), "{out}");
    let (code, out, error) = drop_in(&format!("{flow} {config}"));
    assert_eq!((code, out.as_str()), (2, "ecmpcalc: will query software\n"));
    let words = "cl-ecmpcalc: error: --sport and --dport required for TCP and UDP frames\n";
    assert!(
        error.starts_with("usage: cl-ecmpcalc [-h] [-v]") && error.ends_with(words),
        "{error}"
    );
    let (code, out, _) = drop_in(&format!("{flow} --sport 1 --dport 2 -c 4 {config}"));
    let member = out.lines().last().and_then(|l| l.parse::<u32>().ok());
    assert!(code == 0 && member.is_some_and(|m| m < 4), "{out}");
}

#[test]
fn the_flags_of_cl_ecmpcalc() {
    let file = File::new("flags.toml", CONFIG);
    let flow = "-i host0 -s 10.244.1.2 -d 10.0.0.1 -p tcp --sport 20000 --dport 80";
    let other = File::new("flags-seed.toml", &CONFIG.replace("seed = 50", "seed = 51"));
    assert_eq!(json(&file, &format!("{flow} -hs 51")), json(&other, flow));
    let few = json(&file, &format!("{flow} -hf sip dip"));
    let names: Vec<&String> = few["fields"].as_object().expect("fields").keys().collect();
    assert_eq!(names, ["destination-ip", "source-ip"]);
    let (code, _, note) = calc(
        &file,
        &format!("{flow} --hardware --hashfunction crc16-ccitt"),
    );
    assert!(
        code == 0 && note.contains("--hashfunction has no effect here"),
        "{note}"
    );
    let way = json(&file, flow);
    let port = way["port"].as_str().expect("port");
    let wrong = if port == "up1" { "up2" } else { "up1" };
    assert_eq!(calc(&file, &format!("{flow} -o {port}")).0, 0);
    assert_eq!(calc(&file, &format!("{flow} -o {wrong}")).0, 1);
    let other = flow.replace("10.0.0.1", "192.0.2.1");
    assert_eq!(
        json(&file, &format!("{other} -e {}", way["group"]))["group"],
        way["group"]
    );
    let (code, _, error) = calc(&file, &flow.replace("host0", "lo"));
    assert!(
        code == 1 && error.contains("lo is the loopback: only physical ports"),
        "{error}"
    );
    let tagged = CONFIG.replace("name = \"host0\"", "name = \"host0\"\nvlan = 5");
    let tagged = File::new("flags-vlan.toml", &tagged);
    assert_eq!(calc(&tagged, &format!("{flow} --vid 5")).0, 0);
    let (code, _, error) = calc(&tagged, &format!("{flow} --vid 6"));
    assert!(
        code == 1 && error.contains("it carries VLAN 5, not 6"),
        "{error}"
    );
}

#[test]
fn what_is_inside_a_tunnel_must_be_said_when_it_counts() {
    let file = File::new("tunnel.toml", CONFIG);
    let flow =
        "-i host0 -s 10.244.1.2 -d 10.0.0.1 -p 4 -hf sip inner-source-ip inner-destination-ip";
    let (code, _, error) = calc(&file, flow);
    let words = "--inner-src and --inner-dst required for frames in a tunnel";
    assert!(code == 2 && error.contains(words), "{error}");
    let inner = format!("{flow} --inner-src 192.0.2.1 --inner-dst 192.0.2.2 --inner-protocol udp");
    let way = json(&file, &inner);
    assert_eq!(way["fields"]["inner-source-ip"], "192.0.2.1");
    assert_ne!(
        way["hash"],
        json(&file, &inner.replace("192.0.2.2", "192.0.2.3"))["hash"]
    );
}

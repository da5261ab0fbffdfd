//! What if, and which source ports.

use crate::{CONFIG, File, calc, json};

#[test]
fn what_would_be_is_what_the_other_configuration_says() {
    let file = File::new("whatif.toml", CONFIG);
    let other = File::new(
        "whatif-other.toml",
        &CONFIG.replace("seed = 50", "seed = 7"),
    );
    for sport in 0..16 {
        let flow = format!("-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --sport {sport} --dport 53");
        let asked = json(&file, &format!("{flow} --what-if seed=7"));
        assert_eq!(asked["what-if"]["way"], json(&other, &flow));
        let down = json(&file, &format!("{flow} --what-if down:up1"));
        assert_eq!(down["what-if"]["way"]["port"], "up2");
        assert_eq!(
            (
                &down["what-if"]["buckets-moved"],
                &down["what-if"]["buckets"]
            ),
            (&16.into(), &64.into())
        );
        assert_eq!(down["what-if"]["moves"], (down["port"] == "up1"));
    }
    let flow = "-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --sport 1 --dport 53";
    let both = format!("{flow} --what-if down:up1 --what-if down:fe80::3");
    assert_eq!(calc(&file, &both).0, 1, "no next hop is left");
    let (code, _, error) = calc(&file, &format!("{flow} --what-if burn:up1"));
    assert!(
        code == 2 && error.contains("expected down, up, add, remove, drain or undrain"),
        "{error}"
    );
}

#[test]
fn source_ports_that_take_a_way() {
    let file = File::new("sports.toml", CONFIG);
    let flow = "-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --dport 53";
    let found = json(&file, &format!("{flow} --find-sport up1 --count 5"));
    let found = found.as_array().expect("array");
    assert_eq!(found.len(), 5);
    for each in found {
        let way = json(&file, &format!("{flow} --sport {}", each["sport"]));
        assert_eq!(way["port"], "up1");
    }
    let all = json(&file, &format!("{flow} --find-sport all"));
    let mut ports: Vec<&str> = all
        .as_array()
        .expect("array")
        .iter()
        .filter_map(|f| f["port"].as_str())
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, ["up1", "up2"]);
    assert_eq!(calc(&file, &format!("{flow} --find-sport up9")).0, 1);
}

#[test]
fn what_if_takes_what_set_hash_takes() {
    let profile = "\n[[hash-profile]]\nname = \"p\"\nprefixes = [\"10.2.0.0/16\"]\nseed = 9\n";
    let file = File::new("profile.toml", &format!("{CONFIG}{profile}"));
    let other = format!("{CONFIG}{}source-port = false\n", profile.replace('9', "8"));
    let other = File::new("profile-other.toml", &other);
    for sport in 0..8 {
        let flow = format!("-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --sport {sport} --dport 53");
        let now = json(&file, &flow);
        let asked = |change: &str| json(&file, &format!("{flow} --what-if {change}"));
        // A seed of its own is not that of the router.
        assert_eq!(asked("seed=7")["what-if"]["way"], now);
        let way = &asked("seed=8,source-port=off@p")["what-if"]["way"];
        assert_eq!(*way, json(&other, &flow));
        // -hs means this calculation, whatever the profile.
        assert_ne!(json(&file, &format!("{flow} -hs 7"))["hash"], now["hash"]);
    }
    let flow = "-i host0 -s 10.1.1.2 -d 10.2.0.1 -p udp --sport 1 --dport 53";
    for (change, words) in [
        ("seed=1@q", "there is no such profile; profiles are p"),
        ("seed=random", "not known before"),
        ("colour=on", "there is no such field"),
        ("seed=4294967296", "allowed are 0..4294967295"),
    ] {
        let (code, _, error) = calc(&file, &format!("{flow} --what-if {change}"));
        assert!(code != 0 && error.contains(words), "{change}: {error}");
    }
    let (code, text, _) = calc(&file, &format!("{flow} --explain"));
    let order = "ends: source first, by the lower address";
    assert!(code == 0 && text.contains(order), "{text}");
    assert!(text.contains("plane software: no hardware plane"), "{text}");
}

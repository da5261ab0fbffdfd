use super::super::{Config, Seed};
use fastpath::hash::Field;

fn problems(text: &str) -> String {
    Config::parse(text).expect_err(text).to_string()
}

#[test]
fn a_profile_says_what_differs() {
    let text = "[[hash-profile]]\nname = \"anycast\"\n\
                prefixes = [\"10.9.0.0/16\", \"2001:db8:9::/48\"]\nipv6-label = false\nseed = 7\n";
    let config = Config::parse(text).expect("a profile");
    let [profile] = config.hash_profiles.as_slice() else {
        panic!("{config:?}");
    };
    assert_eq!(
        (profile.name.as_str(), profile.prefixes.len()),
        ("anycast", 2)
    );
    assert_eq!(profile.fields, [(Field::Ipv6Label, false)].into());
    assert_eq!(
        (profile.seed, profile.symmetric),
        (Some(Seed::Fixed(7)), None)
    );
}

#[test]
fn what_is_wrong_with_a_profile() {
    let one = "[[hash-profile]]\nname = \"a\"\nprefixes = [\"10.0.0.0/8\"]\n";
    for (text, words) in [
        (
            "name = \"b\"",
            "line 4: hash-profile[2].prefixes: missing; it has no default",
        ),
        (
            "name = \"b\"\nprefixes = []",
            "line 6: hash-profile[2].prefixes: a list is not allowed; \
          allowed: a list of prefixes, e.g. [\"10.9.0.0/16\", \"2001:db8:9::/48\"]",
        ),
        (
            "name = \"a\"\nprefixes = [\"11.0.0.0/8\"]",
            "line 4: hash-profile[2].name: \"a\" is already on line 1; remove one of them",
        ),
        (
            "name = \"b\"\nprefixes = [\"11.0.0.0/8\",\n\"10.0.0.0/8\"]",
            "line 7: hash-profile[2].prefixes: 10.0.0.0/8 is already on line 3; remove one of them",
        ),
        (
            "name = \"b\"\nprefixes = [\"11.0.0.0/8\"]\nipv6_label = true",
            "line 7: hash-profile[2].ipv6_label: unknown key; did you mean ipv6-label?",
        ),
        (
            "name = \"b c\"\nprefixes = [\"11.0.0.0/8\"]",
            "line 5: hash-profile[2].name: \"b c\" is not allowed; allowed: 1 to 15 letters, digits, _ -",
        ),
        (
            "name = \"b\"\nprefixes = [\"11.0.0.0/8\"]\nseed = 4294967296",
            "line 7: hash-profile[2].seed: 4294967296 is not allowed; allowed: \"random\" or \
             0..4294967295",
        ),
        (
            "name = \"b\"\nprefixes = [\"11.0.0.0/8\"]\nalgorithm = \"crc16\"\nroce-qp = \"on\"",
            "line 7: hash-profile[2].algorithm: \"crc16\" is not allowed; allowed: \"mix\", \
             \"toeplitz\" or \"crc32\"\n\
             line 8: hash-profile[2].roce-qp: \"on\" is not allowed; allowed: true or false",
        ),
        (
            "name = \"b\"\nprefixes = [\"11.0.0.0/8\"]\ncolour = 1",
            "line 7: hash-profile[2].colour: unknown key; known here: name, prefixes, ip-protocol, \
             source-ip, destination-ip, source-port, destination-port, ipv6-label, ingress-interface, \
             gtp-teid, inner-ip-protocol, inner-source-ip, inner-destination-ip, inner-source-port, \
             inner-destination-port, inner-ipv6-label, roce-qp, symmetric, seed, algorithm",
        ),
    ] {
        assert_eq!(problems(&format!("{one}[[hash-profile]]\n{text}\n")), words);
    }
    let none = "ip-protocol = false\nsource-ip = false\ndestination-ip = false\n\
                source-port = false\ndestination-port = false\nipv6-label = false\n";
    assert!(problems(&format!("{one}{none}")).contains("no field is on"));
    let host = problems("[[hash-profile]]\nname = \"a\"\nprefixes = [\"10.0.0.1/8\"]\n");
    assert!(host.contains("10.0.0.1/8"), "{host}");
}

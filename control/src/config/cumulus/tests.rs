//! Files as operators have them, and what is wrong with others.

use super::*;
use crate::config::Config;

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.into(),
        text: text.into(),
    }
}

fn one(text: &str) -> Imported {
    import(&[source("traffic.conf", text)]).expect("imported")
}

fn errors(sources: &[Source]) -> String {
    import(sources).expect_err("refused").to_string()
}

/// What is printed reads back as what was meant.
fn same(imported: &Imported) {
    let config = Config::parse(&imported.toml).expect("our own TOML");
    assert_eq!(config.hash, imported.hash, "{}", imported.toml);
    assert_eq!(config.resilient, imported.resilient, "{}", imported.toml);
}

/// A file as a switch has it: buffers, comments, custom fields written down but not enabled.
const SHIPPED: &str = "\
# /etc/cumulus/datapath/traffic.conf
traffic.packet_priority_source_set = [802.1p,dscp]
priority_group.control.cos_list = [7]
#priority_group.control.alias = \"Control\"
ingress_service_pool.0.percent = 50.0  # all priority groups
dos_enable = false

# Enable resilient hashing
#resilient_hash_enable = FALSE
#resilient_hash_entries_ecmp = 128
#symmetric_hash_enable = TRUE
#ecmp_max_paths = 0
#ecmp_hash_seed = 42

# Uncomment to enable custom fields configured below
#hash_config.enable = true
hash_config.ip_prot = true
hash_config.sip = true
hash_config.dip = true
hash_config.sport = true
hash_config.dport = true
hash_config.ip6_label = true
hash_config.ing_intf = false
hash_config.inner_ip_prot = false
hash_config.inner_sport = false

#lag_hash_config.enable = true
lag_hash_config.smac = true
lag_hash_config.sip  = true
forwarding_table.profile = default
";

#[test]
fn the_file_as_shipped_is_the_default() {
    let imported = one(SHIPPED);
    assert_eq!(imported.hash, Hash::default());
    assert_eq!(imported.resilient, Resilient::default());
    assert_eq!(
        imported.notes,
        [
            "traffic.conf: 2 settings of lag_hash_config not imported: bonds are the kernel's",
            "traffic.conf: 5 settings skipped: not about ECMP",
        ]
    );
    same(&imported);
}

#[test]
fn everything_that_is_ours_arrives() {
    let imported = one("hash_config.enable=TRUE\n\
         hash_config.sport = False # as in the text\n\
         \thash_config.dport\t=\tfalse\r\n\
         hash_config.ing_intf = True\n\
         symmetric_hash_enable = FALSE\n\
         ecmp_hash_seed = 4294967295\n\
         resilient_hash_enable = true\n\
         resilient_hash_entries_ecmp = 4096\n\
         resilient_hash_active_timer = 30\n\
         resilient_hash_max_unbalanced_timer = 600\n");
    let fields = Fields::default()
        .with(Field::SourcePort, false)
        .with(Field::DestinationPort, false)
        .with(Field::IngressInterface, true);
    assert_eq!(
        imported.hash,
        Hash {
            fields,
            symmetric: false,
            seed: Seed::Fixed(u32::MAX),
            ..Hash::default()
        }
    );
    assert_eq!(
        imported.resilient,
        Resilient {
            enable: true,
            buckets: 4096,
            active_timer: Duration::from_secs(30),
            unbalanced_timer: Some(Duration::from_secs(600)),
            ..Resilient::default()
        }
    );
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    same(&imported);
}

#[test]
fn each_field_is_its_own_key_in_both_spellings() {
    for (key, field) in [
        ("ip_prot", Field::IpProtocol),
        ("sip", Field::SourceIp),
        ("dip", Field::DestinationIp),
        ("sport", Field::SourcePort),
        ("dport", Field::DestinationPort),
        ("ip6_label", Field::Ipv6Label),
        ("ing_intf", Field::IngressInterface),
        ("gtp_teid", Field::GtpTeid),
        ("inner_ip_prot", Field::InnerIpProtocol),
        ("inner_sip", Field::InnerSourceIp),
        ("inner_dip", Field::InnerDestinationIp),
        ("inner_sport", Field::InnerSourcePort),
        ("inner_dport", Field::InnerDestinationPort),
        ("inner_ip6_label", Field::InnerIpv6Label),
    ] {
        for key in [key.into(), key.replace('_', "-")] {
            let on = !field.default_on();
            let text = format!("hash_config.enable = true\nhash_config.{key} = {on}\n");
            let fields = Fields::default().with(field, on);
            let imported = import(&[source("traffic.conf", &text)]).expect(&key);
            assert_eq!(imported.hash.fields, fields, "{key}");
            same(&imported);
        }
    }
}

#[test]
fn custom_fields_have_no_effect_unless_enabled() {
    for (enable, why) in [
        (
            "",
            "hash_config.enable: it is not set, so that the hash_config fields have no effect; \
             the defaults apply",
        ),
        (
            "hash_config.enable = false\n",
            "hash_config.enable: traffic.conf:1: it is false, so that the hash_config fields have \
             no effect; the defaults apply",
        ),
    ] {
        let imported = one(&format!(
            "{enable}hash_config.sport = false\necmp_hash_seed = 0\n"
        ));
        assert_eq!(imported.hash.fields, Fields::default());
        assert_eq!(imported.hash.seed, Seed::Fixed(0), "the seed has effect");
        assert_eq!(imported.notes, [why]);
        same(&imported);
    }
}

#[test]
fn what_nvue_wrote_takes_precedence_key_by_key() {
    let traffic = source(
        "etc/traffic.conf",
        "hash_config.enable = true\nhash_config.sip = false\nhash_config.dip = false\n\
         ecmp_hash_seed = 1\n",
    );
    let nvue = source(
        "etc/nvue_traffic.conf",
        "ecmp_hash_seed = 2\nhash_config.sip = true\n",
    );
    let imported = import(&[traffic.clone(), nvue.clone()]).expect("imported");
    assert_eq!(imported, import(&[nvue, traffic]).expect("imported"));
    assert_eq!(imported.hash.seed, Seed::Fixed(2));
    assert!(imported.hash.fields.has(Field::SourceIp));
    assert!(!imported.hash.fields.has(Field::DestinationIp));
    for line in [
        "# Imported from etc/traffic.conf, etc/nvue_traffic.conf; the last takes precedence.",
        "source-ip = true                    # etc/nvue_traffic.conf:2, over etc/traffic.conf:2",
        "destination-ip = false              # etc/traffic.conf:3",
        "seed = 2                            # etc/nvue_traffic.conf:1, over etc/traffic.conf:4",
        "symmetric = true                    # default",
    ] {
        assert!(
            imported.toml.lines().any(|l| l == line),
            "{line}\n{}",
            imported.toml
        );
    }
    let note = "symmetric hashing will switch itself off: source-ip and destination-ip differ";
    assert_eq!(imported.notes, [note]);
    same(&imported);
}

#[test]
fn the_last_of_a_key_counts() {
    let imported = one("hash_config.enable = true\nhash_config.sport = false\n\
                        hash_config.dport = false\nhash_config.sport = true\n\
                        ecmp_hash_seed = 1\necmp_hash_seed = 2\n");
    assert!(imported.hash.fields.has(Field::SourcePort));
    assert_eq!(imported.hash.seed, Seed::Fixed(2));
    assert_eq!(
        imported.notes[..2],
        [
            "traffic.conf:4: hash_config.sport again: traffic.conf:2 does not count",
            "traffic.conf:6: ecmp_hash_seed again: traffic.conf:5 does not count",
        ]
    );
    same(&imported);
}

#[test]
fn every_problem_of_every_file_is_named() {
    let traffic = source(
        "traffic.conf",
        "hash_config.sipp = true\n\
         hash_config.colour = true\n\
         hash_config.sip = yes\n\
         resilient_hash_entries_ecmp = 100\n\
         ecmp_hash_seed = 4294967296\n\
         ecmp_hash_sede = 1\n\
         this is no setting\n\
         symmetric_hash_enabel = TRUE\n\
         resilient_hash_active_timer = 120000\n\
         resilient_hash_max_unbalanced_timer =\n\
         ecmp_hash_seed = +1\n\
         = true\n",
    );
    let nvue = source("nvue_traffic.conf", "resilient_hash_enable = 1\n");
    let fields = "hash_config.enable, hash_config.ip_prot, hash_config.sip, hash_config.dip, \
                  hash_config.sport, hash_config.dport, hash_config.ip6_label, \
                  hash_config.ing_intf, hash_config.gtp_teid, hash_config.inner_ip_prot, \
                  hash_config.inner_sip, hash_config.inner_dip, hash_config.inner_sport, \
                  hash_config.inner_dport, hash_config.inner_ip6_label";
    let expected = format!(
        "traffic.conf:1: hash_config.sipp: unknown key (= true); did you mean hash_config.sip?\n\
         traffic.conf:2: hash_config.colour: unknown key (= true); known here: {fields}\n\
         traffic.conf:3: hash_config.sip: \"yes\" is not allowed; allowed: true or false\n\
         traffic.conf:4: resilient_hash_entries_ecmp: \"100\" is not allowed; allowed: 64, 128, \
         256, 512, 1024, 2048 or 4096\n\
         traffic.conf:5: ecmp_hash_seed: \"4294967296\" is not allowed; allowed: 0..4294967295\n\
         traffic.conf:6: ecmp_hash_sede: unknown key (= 1); did you mean ecmp_hash_seed?\n\
         traffic.conf:7: \"this is no setting\" is not understood; expected KEY = VALUE\n\
         traffic.conf:8: symmetric_hash_enabel: unknown key (= TRUE); did you mean \
         symmetric_hash_enable?\n\
         traffic.conf:9: resilient_hash_active_timer: \"120000\" is not allowed; allowed: \
         1..65535 seconds (datapath.conf of older releases had milliseconds)\n\
         traffic.conf:10: resilient_hash_max_unbalanced_timer: \"\" is not allowed; allowed: \
         1..4294967295 seconds, the last: never\n\
         traffic.conf:11: ecmp_hash_seed: \"+1\" is not allowed; allowed: 0..4294967295\n\
         traffic.conf:12: \"= true\" is not understood; expected KEY = VALUE\n\
         nvue_traffic.conf:1: resilient_hash_enable: \"1\" is not allowed; allowed: true or false"
    );
    assert_eq!(errors(&[nvue, traffic]), expected);
}

#[test]
fn no_field_at_all_is_refused_where_the_last_one_went() {
    let mut text = String::from("hash_config.enable = true\n");
    for key in ["ip_prot", "sip", "dip", "sport", "dport", "ip6_label"] {
        text += &format!("hash_config.{key} = false\n");
    }
    assert_eq!(
        errors(&[source("traffic.conf", &text)]),
        "traffic.conf:7: hash_config.ip6_label: false leaves no field, so that all packets would \
         take one member; leave one at true"
    );
    same(&one(&text.replace("enable = true", "enable = false")));
}

#[test]
fn adaptive_routing_and_path_counts_are_named() {
    let imported = one("adaptive_routing.enable = TRUE\n\
                        interface.swp51.adaptive_routing.enable = TRUE\n\
                        ecmp_max_paths = 200\n");
    assert_eq!(
        imported.notes,
        [
            "traffic.conf:3: ecmp_max_paths is not imported: FRR's maximum-paths says how many \
             next hops a route has",
            "traffic.conf: 2 settings of adaptive_routing not imported: not in this version",
        ]
    );
}

#[test]
fn a_strange_file_name_stays_in_its_comment() {
    let imported = import(&[source("a\nseed = 9", "ecmp_hash_seed = 3\n")]).expect("imported");
    same(&imported);
    assert_eq!(imported.hash.seed, Seed::Fixed(3));
}

#[test]
fn no_text_is_too_strange() {
    // A fixed linear congruential generator: line noise from the characters that matter.
    let alphabet = b"hash_config.sip ecmp_hash_seed=true#\n\r\t0-\xff\xef\xbb\xbf\"[]";
    let mut state = 1_u64;
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..60)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                alphabet[(state >> 33) as usize % alphabet.len()]
            })
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(imported) = import(&[source("traffic.conf", &text)]) {
            same(&imported);
        }
    }
}

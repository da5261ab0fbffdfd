//! The examples of the vendor's guide, as they stand there.

use super::*;

fn read(files: &[(&str, &str)]) -> Imported {
    let sources: Vec<Source> = files
        .iter()
        .map(|(name, text)| Source {
            name: (*name).into(),
            text: (*text).into(),
        })
        .collect();
    import(&sources).expect("imported")
}

fn without(fields: &[Field]) -> Fields {
    let off = |on: Fields, field: &Field| on.with(*field, false);
    fields.iter().fold(Fields::default(), off)
}

/// "HASH config for ECMP to enable custom fields".
const PORTS: &str = "\
# HASH config for ECMP to enable custom fields
# Fields will be applicable for ECMP hash
# calculation
#Note : Currently supported only for MLX platform
# Uncomment to enable custom fields configured below
hash_config.enable = true
#hash Fields available ( assign true to enable)
#ip protocol
hash_config.ip_prot = true
#source ip
hash_config.sip = true
#destination ip
hash_config.dip = true
#source port
hash_config.sport = false
#destination port
hash_config.dport = false
";

#[test]
fn ports_are_left_out() {
    let imported = read(&[("traffic.conf", PORTS)]);
    let ports = [Field::SourcePort, Field::DestinationPort];
    assert_eq!(imported.hash.fields, without(&ports));
    assert!(imported.hash.symmetric && imported.notes.is_empty());
    assert_eq!(imported.hash.seed, Seed::Random, "none is given");
}

#[test]
fn nvue_decides_where_both_speak() {
    let nvue = "hash_config.enable = True\nhash_config.sport = True\n";
    let imported = read(&[("nvue_traffic.conf", nvue), ("traffic.conf", PORTS)]);
    assert_eq!(imported.hash.fields, without(&[Field::DestinationPort]));
    assert_eq!(
        imported.notes,
        ["symmetric hashing will switch itself off: source-port and destination-port differ"]
    );
    let off = read(&[
        ("nvue_traffic.conf", "hash_config.enable = False\n"),
        ("traffic.conf", PORTS),
    ]);
    assert_eq!(off.hash.fields, Fields::default());
    let why = "hash_config.enable: nvue_traffic.conf:1: it is false, ";
    assert!(off.notes[0].starts_with(why), "{:?}", off.notes);
}

#[test]
fn symmetric_is_switched_off_by_hand() {
    let imported = read(&[("traffic.conf", "symmetric_hash_enable = FALSE\n")]);
    assert!(!imported.hash.symmetric);
    let uneven = format!("{PORTS}hash_config.dport = true\nsymmetric_hash_enable = FALSE\n");
    let imported = read(&[("traffic.conf", &uneven)]);
    let said = |words: &str| imported.notes.iter().any(|n| n.contains(words));
    assert!(!said("switch itself off"), "it was off already");
}

#[test]
fn the_teid_counts_by_the_key_of_ecmp() {
    let right = "hash_config.enable = true\n#GTP-U teid\nhash_config.gtp_teid = true\n";
    let imported = read(&[("traffic.conf", right)]);
    assert!(imported.hash.fields.has(Field::GtpTeid));
    assert!(imported.notes.is_empty());
    // The guide's sentence, unlike its example, names the key of bonds.
    let wrong = "#GTP-U teid\nlag_hash_config.gtp_teid = TRUE\n";
    let imported = read(&[("traffic.conf", wrong)]);
    assert!(!imported.hash.fields.has(Field::GtpTeid));
    assert_eq!(
        imported.notes,
        [
            "traffic.conf: 1 setting of lag_hash_config not imported: bonds are the kernel's",
            "traffic.conf: lag_hash_config.gtp_teid is about bonds; the TEID counts for ECMP by \
             hash_config.gtp_teid",
        ]
    );
}

#[test]
fn the_seed_is_any_of_32_bits() {
    for (text, seed) in [("50", 50), ("0", 0), ("4294967295", u32::MAX)] {
        let text = format!(
            "#Specify the hash seed for Equal cost multipath entries\n\
             # and for custom ecmp and lag hash\n# Default value: random\n\
             # Value Range: {{0..4294967295}}\necmp_hash_seed = {text}\n"
        );
        let imported = read(&[("traffic.conf", &text)]);
        assert_eq!(imported.hash.seed, Seed::Fixed(seed));
    }
    for text in ["4294967296", "-1", "random", "0x32", "1.5", ""] {
        let text = format!("ecmp_hash_seed = {text}");
        let name = "traffic.conf".into();
        let refused = import(&[Source { name, text }]).expect_err("refused");
        let words = refused.to_string();
        assert!(words.ends_with("allowed: 0..4294967295"), "{words}");
    }
}

#[test]
fn resilient_takes_every_size_that_a_switch_has() {
    for buckets in [64, 128, 256, 512, 1024, 2048, 4096] {
        let text = format!(
            "# Enable resilient hashing\nresilient_hash_enable = TRUE\n\
             # Resilient hashing flowset entries per ECMP group\n\
             # Valid values - 64, 512, 1024, 2048, 4096\n\
             resilient_hash_entries_ecmp = {buckets}\n"
        );
        let imported = read(&[("traffic.conf", &text)]);
        assert!(imported.resilient.enable);
        assert_eq!(imported.resilient.buckets, buckets);
    }
    let commented = "resilient_hash_enable = TRUE\n# resilient_hash_entries_ecmp = 64\n";
    assert_eq!(read(&[("traffic.conf", commented)]).resilient.buckets, 64);
}

#[test]
fn the_file_of_adaptive_routing_is_known_for_what_it_is() {
    let text = "## Global adaptive-routing enable/disable setting\n\
                adaptive_routing.enable = TRUE\n\
                #adaptive_routing.profile0.mode = STICKY_FREE\n\
                ## Per-port configuration for adaptive-routing\n\
                interface.swp51.adaptive_routing.enable = TRUE\n\
                interface.swp51.adaptive_routing.link_util_thresh = 70\n";
    let imported = read(&[("adaptive_routing.conf", text)]);
    assert_eq!(imported.hash, Hash::default());
    assert_eq!(
        imported.notes,
        [
            "adaptive_routing.conf: 3 settings of adaptive_routing not imported: not in this \
             version"
        ]
    );
}

//! The keys of `traffic.conf` that are ours, and what they may be.

use crate::config::nearest::nearest;
use fastpath::hash::Field;

/// A setting that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// `hash_config.enable`: without it the fields below have no effect.
    CustomFields,
    /// `hash_config.FIELD`.
    Field(Field),
    /// `symmetric_hash_enable`.
    Symmetric,
    /// `ecmp_hash_seed`.
    Seed,
    /// `resilient_hash_enable`.
    Resilient,
    /// `resilient_hash_entries_ecmp`.
    Buckets,
    /// `resilient_hash_active_timer`.
    ActiveTimer,
    /// `resilient_hash_max_unbalanced_timer`.
    UnbalancedTimer,
}

/// A value that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Flag(bool),
    Number(u32),
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It becomes a setting of ours.
    Ours(Key),
    /// Hashing over the members of a bond.
    Lag,
    /// Adaptive routing.
    Adaptive,
    /// `ecmp_max_paths`: how many next hops a route may have.
    MaxPaths,
    /// Buffers, queues, marking, and whatever else the file holds.
    Other,
    /// Looks like ours and is not; what was probably meant.
    Unknown(Option<&'static str>),
}

/// Our keys under the names that files use. The text and later releases write `inner-sport`, the
/// files that Cumulus Linux ships `inner_sport`; every field is taken in both spellings.
const NAMES: [(&str, Key); 21] = [
    ("hash_config.enable", Key::CustomFields),
    ("hash_config.ip_prot", Key::Field(Field::IpProtocol)),
    ("hash_config.sip", Key::Field(Field::SourceIp)),
    ("hash_config.dip", Key::Field(Field::DestinationIp)),
    ("hash_config.sport", Key::Field(Field::SourcePort)),
    ("hash_config.dport", Key::Field(Field::DestinationPort)),
    ("hash_config.ip6_label", Key::Field(Field::Ipv6Label)),
    ("hash_config.ing_intf", Key::Field(Field::IngressInterface)),
    ("hash_config.gtp_teid", Key::Field(Field::GtpTeid)),
    (
        "hash_config.inner_ip_prot",
        Key::Field(Field::InnerIpProtocol),
    ),
    ("hash_config.inner_sip", Key::Field(Field::InnerSourceIp)),
    (
        "hash_config.inner_dip",
        Key::Field(Field::InnerDestinationIp),
    ),
    (
        "hash_config.inner_sport",
        Key::Field(Field::InnerSourcePort),
    ),
    (
        "hash_config.inner_dport",
        Key::Field(Field::InnerDestinationPort),
    ),
    (
        "hash_config.inner_ip6_label",
        Key::Field(Field::InnerIpv6Label),
    ),
    ("symmetric_hash_enable", Key::Symmetric),
    ("ecmp_hash_seed", Key::Seed),
    ("resilient_hash_enable", Key::Resilient),
    ("resilient_hash_entries_ecmp", Key::Buckets),
    ("resilient_hash_active_timer", Key::ActiveTimer),
    ("resilient_hash_max_unbalanced_timer", Key::UnbalancedTimer),
];

/// Where every key must be one of [`NAMES`].
const SPACES: [&str; 4] = [
    "hash_config.",
    "resilient_hash_",
    "ecmp_",
    "symmetric_hash_",
];

impl Key {
    /// The name that a file uses.
    pub fn name(self) -> &'static str {
        let at = NAMES.iter().find(|(_, key)| *key == self);
        at.map_or("", |(name, _)| name)
    }

    /// What it may be, in words.
    pub const fn allowed(self) -> &'static str {
        match self {
            Key::CustomFields | Key::Field(_) | Key::Symmetric | Key::Resilient => "true or false",
            Key::Seed => "0..4294967295",
            Key::Buckets => "64, 128, 256, 512, 1024, 2048 or 4096",
            Key::ActiveTimer => {
                "1..65535 seconds (datapath.conf of older releases had milliseconds)"
            }
            Key::UnbalancedTimer => "1..4294967295 seconds, the last: never",
        }
    }

    /// The value that `text` is.
    pub fn value(self, text: &str) -> Option<Value> {
        // `str::parse` takes a sign, the files do not.
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = || text.parse::<u32>().ok().filter(|_| digits);
        let number = match self {
            Key::CustomFields | Key::Field(_) | Key::Symmetric | Key::Resilient => {
                return match text.to_ascii_lowercase().as_str() {
                    "true" => Some(Value::Flag(true)),
                    "false" => Some(Value::Flag(false)),
                    _ => None,
                };
            }
            Key::Seed => number(),
            Key::Buckets => number().filter(|n| n.is_power_of_two() && (64..=4096).contains(n)),
            Key::ActiveTimer => number().filter(|n| (1..=65_535).contains(n)),
            Key::UnbalancedTimer => number().filter(|n| *n != 0),
        };
        number.map(Value::Number)
    }
}

impl Owner {
    /// Whose the key written as `name` is.
    pub fn of(name: &str) -> Owner {
        if name.starts_with("lag_hash_config.") {
            return Owner::Lag;
        }
        if name.starts_with("adaptive_routing.") || name.contains(".adaptive_routing.") {
            return Owner::Adaptive;
        }
        if name == "ecmp_max_paths" {
            return Owner::MaxPaths;
        }
        let plain = name.replace('-', "_");
        if let Some((_, key)) = NAMES.iter().find(|(known, _)| *known == plain) {
            return Owner::Ours(*key);
        }
        let meant = nearest(&plain, &NAMES.map(|(known, _)| known));
        // A slip in a name that would otherwise pass as somebody else's is a slip all the same.
        if meant.is_some() || SPACES.iter().any(|space| plain.starts_with(space)) {
            return Owner::Unknown(meant);
        }
        Owner::Other
    }
}

/// The names in the space of `name`: what may be written there.
pub(super) fn known_beside(name: &str) -> Vec<&'static str> {
    let space = SPACES
        .into_iter()
        .find(|s| name.replace('-', "_").starts_with(s));
    let here = NAMES.iter().map(|(known, _)| *known);
    here.filter(|known| space.is_none_or(|space| known.starts_with(space)))
        .collect()
}

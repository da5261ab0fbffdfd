//! Hash settings on the socket: those in force, and changes of them.

use super::message::Error;
use super::moves::Moves;
use crate::config::nearest;
use fastpath::hash::{Algorithm, Choice, Field, Fields};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Changes of hash settings; what is not named stays as it is. `{"fields":{"source-port":false}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct HashChange {
    /// Fields to turn on or off, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, bool>,
    /// Whether both directions of a flow are to take the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symmetric: Option<bool>,
    /// The seed, 0 to 4294967295; what is beyond is refused in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The algorithm, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

impl HashChange {
    /// Nothing is to change.
    pub fn is_empty(&self) -> bool {
        *self == HashChange::default()
    }

    /// `choice` with these changes.
    ///
    /// # Errors
    /// An unknown field or algorithm, a seed out of range, or no field
    /// left on.
    pub fn apply(&self, choice: Choice) -> Result<Choice, Error> {
        let mut changed = choice;
        for (name, &on) in &self.fields {
            let field = field(name)?;
            changed.fields = changed.fields.with(field, on);
        }
        if let Some(symmetric) = self.symmetric {
            changed.symmetric = symmetric;
        }
        if let Some(seed) = self.seed {
            changed.seed = u32::try_from(seed).map_err(|_| {
                let cause = format!("{seed} is out of range");
                refused("seed", cause, Some("allowed are 0..4294967295".into()))
            })?;
        }
        if let Some(name) = &self.algorithm {
            changed.algorithm = Algorithm::named(name).ok_or_else(|| {
                let names = Algorithm::ALL.map(Algorithm::name).join(", ");
                let cause = format!("{name} is unknown");
                refused("algorithm", cause, Some(format!("allowed are {names}")))
            })?;
        }
        if changed.fields == Fields::EMPTY {
            let cause = "no field would be on, so that all packets would take one member";
            let remedy = "turn another one on first, or in the same command".into();
            return Err(refused("", cause.into(), Some(remedy)));
        }
        Ok(changed)
    }
}

fn field(name: &str) -> Result<Field, Error> {
    let found = Field::ALL.into_iter().find(|f| f.name() == name);
    found.ok_or_else(|| {
        let fields = Field::ALL.map(Field::name);
        let others = ["symmetric", "seed", "algorithm"];
        let remedy = match nearest(name, &[&fields[..], &others].concat()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!(
                "fields are {}; beside them there are {}",
                fields.join(", "),
                others.join(", ")
            ),
        };
        refused(name, "there is no such field".into(), Some(remedy))
    })
}

/// An error about the hash, or one setting of it.
pub(crate) fn refused(setting: &str, cause: String, remedy: Option<String>) -> Error {
    Error {
        object: format!("hash {setting}").trim_end().into(),
        operation: "set".into(),
        cause,
        remedy,
    }
}

/// To change the hash while packets flow: all of it between two bursts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetHash {
    /// Settings of this profile; none: those of `[hash]`, which profiles inherit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What is to change.
    pub change: HashChange,
    /// Draw a new seed; one given in `change` is not looked at.
    pub draw_seed: bool,
    /// Say what would move, and change nothing.
    pub dry_run: bool,
    /// The seed that was drawn; no client can name it ([`super::prepare`]).
    #[serde(skip)]
    pub drawn: Option<Drawn>,
}

/// A seed that was drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The seed.
    pub seed: u32,
    /// The file that keeps it over restarts once it is in force.
    pub kept: Option<PathBuf>,
}

/// What a change did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HashChanged {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Whose settings; none: those of `[hash]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What differs now; empty: it was so already.
    pub changes: Vec<Changed>,
    /// What else is to be known: what is kept over a restart, and what is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What moves; none: nothing changes, or nobody counts packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Box<Moves>>,
}

/// A setting with another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changed {
    /// Its name: a field, `symmetric`, `seed`, `algorithm`.
    pub setting: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

/// The hash settings in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hash {
    /// All fields by name: on or off.
    pub fields: BTreeMap<String, bool>,
    /// What each field is, by name.
    #[serde(default)]
    pub descriptions: BTreeMap<String, String>,
    /// Both directions of a flow take the same way.
    pub symmetric: bool,
    /// Why symmetric is off though it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Fields that are on and differ between the directions of some flows though symmetric is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The seed.
    pub seed: u32,
    /// Where it is from: `configured`, `kept` (drawn once, in `seed-file`), `drawn` (at this start;
    /// it could not be kept), `live` (set since the start).
    #[serde(default)]
    pub seed_source: String,
    /// The file that holds it over restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_file: Option<String>,
    /// The file for a seed that is drawn now.
    #[serde(skip)]
    pub keeps_in: Option<PathBuf>,
    /// `mix`, `toeplitz` or `crc32`.
    pub algorithm: String,
    /// Settings that differ from those at the start and are lost at a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<String>,
    /// Settings of their own for some destinations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<HashProfile>,
    /// Whose hash is used, port by port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortHash>,
}

/// Where the hashes of packets that come in on a port are from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortHash {
    /// The port.
    pub port: String,
    /// `nic` or `software`.
    pub from: String,
    /// Why they are computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Settings for some destinations, as in force: what is not its own is that of the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HashProfile {
    /// Its name.
    pub name: String,
    /// The destinations.
    pub prefixes: Vec<String>,
    /// The settings that are its own, by name.
    pub own: Vec<String>,
    /// All fields by name: on or off.
    pub fields: BTreeMap<String, bool>,
    /// Both directions of a flow take the same way.
    pub symmetric: bool,
    /// Why symmetric is off though it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Fields that are on and differ between the directions of some flows though symmetric is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The seed.
    pub seed: u32,
    /// Where it is from: as for the hash, or `inherited`.
    pub seed_source: String,
    /// The file that holds it over restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_file: Option<String>,
    /// The file for a seed that is drawn now.
    #[serde(skip)]
    pub keeps_in: Option<PathBuf>,
    /// `mix`, `toeplitz` or `crc32`.
    pub algorithm: String,
    /// Settings that were made its own since the start, or given another value, and are lost at a
    /// restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<String>,
}

/// What a field is, in the words of `nv show system forwarding ecmp-hash` where it has it.
pub const fn description(field: Field) -> &'static str {
    match field {
        Field::IpProtocol => "IP protocol",
        Field::SourceIp => "Source IPv4/IPv6 Address",
        Field::DestinationIp => "Destination IPv4/IPv6 Address",
        Field::SourcePort => "TCP/UDP source port",
        Field::DestinationPort => "TCP/UDP destination port",
        Field::Ipv6Label => "IPv6 flow label",
        Field::IngressInterface => "Ingress interface",
        Field::GtpTeid => "GTP-U TEID",
        Field::InnerIpProtocol => "Inner IP protocol",
        Field::InnerSourceIp => "Inner source IPv4/IPv6 Address",
        Field::InnerDestinationIp => "Inner destination IPv4/IPv6 Address",
        Field::InnerSourcePort => "Inner TCP/UDP source port",
        Field::InnerDestinationPort => "Inner TCP/UDP destination port",
        Field::InnerIpv6Label => "Inner IPv6 flow label",
        Field::RoceQp => "RoCEv2 destination queue pair",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> HashChange {
        serde_json::from_str(json).expect("a change")
    }

    #[test]
    fn a_change_touches_what_it_names() {
        let choice =
            change(r#"{"fields":{"source-port":false,"ingress-interface":true},"seed":7}"#)
                .apply(Choice::default())
                .expect("applied");
        let fields = Fields::default()
            .with(Field::SourcePort, false)
            .with(Field::IngressInterface, true);
        let expected = Choice {
            fields,
            seed: 7,
            ..Choice::default()
        };
        assert_eq!(choice, expected);
        let back = change(r#"{"symmetric":false,"algorithm":"mix","seed":4294967295}"#);
        let choice = back.apply(choice).expect("applied");
        assert_eq!((choice.symmetric, choice.seed), (false, u32::MAX));
        assert_eq!(choice.fields, fields);
        assert!(HashChange::default().is_empty() && !back.is_empty());
    }

    #[test]
    fn a_refused_change_says_what_is_allowed() {
        let one = Choice {
            fields: Fields::EMPTY.with(Field::SourceIp, true),
            ..Choice::default()
        };
        for (json, words) in [
            (
                r#"{"fields":{"source_prot":true}}"#,
                "hash source_prot: set: there is no such field; did you mean source-port?",
            ),
            (
                r#"{"seed":4294967296}"#,
                "hash seed: set: 4294967296 is out of range; allowed are 0..4294967295",
            ),
            (
                r#"{"fields":{"source-ip":false}}"#,
                "hash: set: no field would be on, so that all packets would take one member; \
                 turn another one on first, or in the same command",
            ),
        ] {
            let error = change(json).apply(one).expect_err(json);
            assert_eq!(error.to_string(), words);
        }
        let error = change(r#"{"algorithm":"crc16"}"#).apply(one).expect_err("");
        let words = error.to_string();
        assert!(
            words.starts_with("hash algorithm: set: crc16 is unknown; allowed are mix"),
            "{words}"
        );
        for (name, words) in [
            ("colour", "fields are ip-protocol, source-ip, "),
            (
                "colour",
                "; beside them there are symmetric, seed, algorithm",
            ),
            ("symetric", "did you mean symmetric?"),
        ] {
            let wrong = change(&format!(r#"{{"fields":{{"{name}":true}}}}"#));
            let error = wrong.apply(one).expect_err(name).to_string();
            assert!(error.contains(words), "{error}");
        }
        let other = r#"{"fields":{"source-ip":false,"source-port":true}}"#;
        assert!(change(other).apply(one).is_ok(), "on in the same change");
    }
}

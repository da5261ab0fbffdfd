//! Which design a NIC gets, and why: by what it can do and by the hash that must be its own.
//!
//! Design A (rows by CRC-32) and design B (indirect RSS over hairpin queues) hash differently, so the
//! settings in force decide where both are possible. Where neither hashes so, hardware still forwards
//! to groups of one next hop: rows then, which cost no hairpin queue for each next hop.

use super::Capabilities;
use super::compile::{Design, Reason, can_hash};
use super::plan::Family;
use crate::hash::{Algorithm, Choice as HashChoice, Field, Settings};
use std::fmt;

/// From where to where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between wires and functions of the host, in the e-switch.
    Dpu,
    /// From wire to wire, in NIC mode.
    Transit,
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The design; `None`: the NIC forwards nothing.
    pub design: Option<Design>,
    /// Why, for an operator.
    pub why: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.design {
            Some(design) => write!(out, "{}: {}", name(design), self.why),
            None => write!(out, "none: {}", self.why),
        }
    }
}

/// The name in the configuration (`[offload] design`).
const fn name(design: Design) -> &'static str {
    match design {
        Design::Rows => "rows",
        Design::Rss => "rss",
    }
}

impl Design {
    /// The hash that silicon of this design computes for both families, with the default seed: CRC-32
    /// of addresses, ports and IP protocol, or Toeplitz without the protocol. Neither takes the IPv6
    /// label or both directions alike.
    pub fn hash(self) -> HashChoice {
        let default = HashChoice::default();
        let fields = default.fields.with(Field::Ipv6Label, false);
        let (algorithm, fields) = match self {
            Design::Rows => (Algorithm::Crc32, fields),
            Design::Rss => (Algorithm::Toeplitz, fields.with(Field::IpProtocol, false)),
        };
        HashChoice {
            algorithm,
            fields,
            symmetric: false,
            ..default
        }
    }
}

/// Why a NIC cannot be used there at all.
fn impossible(can: &Capabilities, place: Place) -> Option<String> {
    let nic = &can.name;
    match place {
        Place::Dpu if !can.transfer => Some(format!(
            "role = \"dpu\" needs an e-switch in switchdev mode, and {nic} is not"
        )),
        // In the e-switch no packet goes from wire to wire.
        Place::Transit if can.transfer => Some(format!(
            "role = \"transit\" needs NIC mode, and {nic} is in switchdev mode"
        )),
        Place::Transit if !can.hairpin => Some(format!(
            "role = \"transit\" needs hairpin queues, and {nic} has none"
        )),
        _ => None,
    }
}

/// What a design hashes of each family, or why it does not.
type Hashes = [Result<(), Vec<Reason>>; 2];

fn listed(reasons: &[Reason]) -> String {
    let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    words.join("; ")
}

fn why(hashes: &Hashes) -> String {
    match hashes {
        [Ok(()), Ok(())] => "the NIC computes the hash in force".into(),
        [Ok(()), Err(six)] => format!(
            "the NIC computes the hash in force for IPv4; of IPv6 only groups of one next hop are \
             hardware's: {}",
            listed(six)
        ),
        [Err(four), Ok(())] => format!(
            "the NIC computes the hash in force for IPv6; of IPv4 only groups of one next hop are \
             hardware's: {}",
            listed(four)
        ),
        [Err(four), Err(six)] => {
            let mut all = four.clone();
            all.extend(six.iter().filter(|r| !four.contains(r)).cloned());
            format!(
                "only groups of one next hop are hardware's: {}",
                listed(&all)
            )
        }
    }
}

/// Chooses for the settings that packets outside of hash profiles have; `wanted` is the operator's
/// word, which goes first.
pub fn choose(
    can: &Capabilities,
    place: Place,
    settings: &Settings,
    wanted: Option<Design>,
) -> Choice {
    let none = |why| Choice { design: None, why };
    if let Some(why) = impossible(can, place) {
        return none(why);
    }
    if place == Place::Dpu && wanted == Some(Design::Rss) {
        let why = "design = \"rss\" needs hairpin queues, which an e-switch does not have";
        return none(why.into());
    }
    let hashes = |design| Family::ALL.map(|family| can_hash(settings, family, design, can));
    let score = |design| hashes(design).iter().filter(|h| h.is_ok()).count();
    let design = match (wanted, place) {
        (Some(design), _) => design,
        (None, Place::Dpu) => Design::Rows,
        (None, Place::Transit) if score(Design::Rss) > score(Design::Rows) => Design::Rss,
        (None, Place::Transit) => Design::Rows,
    };
    let mut why = why(&hashes(design));
    if wanted.is_some() {
        why = format!("as configured; {why}");
    }
    Choice {
        design: Some(design),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sim::Profile;
    use super::*;

    fn settings(algorithm: Algorithm, off: &[Field]) -> Settings {
        let mut choice = HashChoice {
            algorithm,
            ..HashChoice::default()
        };
        for field in off {
            choice.fields = choice.fields.with(*field, false);
        }
        Settings::new(choice)
    }

    fn said(profile: &Profile, place: Place, settings: &Settings) -> String {
        choose(&profile.capabilities, place, settings, None).to_string()
    }

    const JUMBO: &str = "the NIC has no full-dword jumbo definers, which IPv6 needs";
    const LABEL: &str = "ipv6-label is hashed, and the NIC cannot";
    const MIX: &str = "algorithm = \"mix\", and the NIC computes \"crc32\"";

    #[test]
    fn the_hash_in_force_decides() {
        let crc = Settings::new(Design::Rows.hash());
        let toeplitz = Settings::new(Design::Rss.hash());
        let mix = settings(Algorithm::Mix, &[Field::Ipv6Label]);
        let all = "the NIC computes the hash in force";
        let only = "only groups of one next hop are hardware's";
        for place in [Place::Dpu, Place::Transit] {
            for profile in [Profile::cx6dx(), Profile::cx7(), Profile::bf3()] {
                let jumbo = profile.capabilities.full_dw_jumbo;
                let profile = match place {
                    Place::Dpu => profile.switchdev(),
                    Place::Transit => profile,
                };
                let rows = match jumbo {
                    true => format!("rows: {all}"),
                    false => format!("rows: {all} for IPv4; of IPv6 {only}: {JUMBO}"),
                };
                assert_eq!(said(&profile, place, &crc), rows);
                let jumbo = if jumbo { "" } else { JUMBO };
                let found = said(&profile, place, &mix);
                assert!(
                    found.starts_with(&format!("rows: {only}: {MIX}")),
                    "{found}"
                );
                assert!(found.ends_with(jumbo), "{found}");
                let found = said(&profile, place, &toeplitz);
                match place {
                    Place::Transit => assert_eq!(found, format!("rss: {all}")),
                    Place::Dpu => assert!(found.starts_with(&format!("rows: {only}")), "{found}"),
                }
            }
        }
        // The label is in the way of one family.
        let labelled = settings(Algorithm::Crc32, &[]);
        let found = said(&Profile::bf3(), Place::Transit, &labelled);
        assert_eq!(
            found,
            format!("rows: {all} for IPv4; of IPv6 {only}: {LABEL}")
        );
    }

    #[test]
    fn what_the_nic_lacks_is_named() {
        let crc = settings(Algorithm::Crc32, &[Field::Ipv6Label]);
        let found = said(&Profile::bf3(), Place::Dpu, &crc);
        let lacks = "none: role = \"dpu\" needs an e-switch in switchdev mode, and bf3 is not";
        assert_eq!(found, lacks);
        let found = said(&Profile::bf3().switchdev(), Place::Transit, &crc);
        let lacks = "none: role = \"transit\" needs NIC mode, and bf3 is in switchdev mode";
        assert_eq!(found, lacks);
        let mut bare = Profile::cx7();
        bare.capabilities.hairpin = false;
        let found = said(&bare, Place::Transit, &crc);
        let lacks = "none: role = \"transit\" needs hairpin queues, and cx7 has none";
        assert_eq!(found, lacks);
        // Without rows: single next hops, and why not more.
        let mut bare = Profile::cx7();
        bare.capabilities.index = false;
        let found = said(&bare, Place::Transit, &crc);
        assert!(
            found.contains("the NIC has no tables of rows by hash"),
            "{found}"
        );
    }

    #[test]
    fn the_operator_goes_first() {
        let crc = settings(Algorithm::Crc32, &[Field::Ipv6Label]);
        let can = Profile::bf3().capabilities;
        let choice = choose(&can, Place::Transit, &crc, Some(Design::Rss));
        assert_eq!(choice.design, Some(Design::Rss));
        assert!(
            choice.why.starts_with("as configured; only groups of one"),
            "{choice}"
        );
        let can = Profile::bf3().switchdev().capabilities;
        let choice = choose(&can, Place::Dpu, &crc, Some(Design::Rss));
        assert_eq!(choice.design, None);
        assert!(choice.why.contains("hairpin queues"), "{choice}");
    }
}

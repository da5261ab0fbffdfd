//! Changes to think of: `down:up1`, `seed=7`, `add:169.254.0.5@up3*2`, `buckets=1024`.

use crate::api::hash::{HashChange, SetHash};
use crate::api::resilient::{SETTINGS, SetResilient};
use crate::config;
use crate::drain::LONGEST;
use fastpath::hash::{Choice, Field, Fields};
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// How long a drain takes if nothing is said, seconds: as `evenpath drain`.
const DRAIN: u32 = 60;
const KINDS: &str = "down, up, add, remove, drain or undrain";

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A port loses its link, or its link comes back with the neighbors of its next hops.
    Port {
        /// The port's name.
        port: String,
        /// Comes back.
        up: bool,
    },
    /// A next hop's neighbor is lost or found.
    Nexthop {
        /// Its address.
        via: IpAddr,
        /// On this port only.
        port: Option<String>,
        /// Found.
        up: bool,
    },
    /// The route names one next hop more.
    Add {
        /// Its address.
        via: IpAddr,
        /// Its port.
        port: String,
        /// Its weight, from 1.
        weight: u32,
    },
    /// The route names one next hop less.
    Remove {
        /// Its address.
        via: IpAddr,
        /// On this port only.
        port: Option<String>,
    },
    /// What `drain` does to a next hop.
    Drain {
        /// Its address.
        via: IpAddr,
        /// On this port only.
        port: Option<String>,
        /// How long buckets in use may stay.
        over: Duration,
    },
    /// What `undrain` does.
    Undrain {
        /// Its address.
        via: IpAddr,
        /// On this port only.
        port: Option<String>,
    },
    /// What `set hash` is asked.
    Hash(SetHash),
    /// What `set resilient` is asked.
    Rules(SetResilient),
}

/// The field that is called `name`, here or in `traffic.conf`.
pub fn field(name: &str) -> Option<Field> {
    let alias = match name {
        "sip" | "src_ip" => "source-ip",
        "dip" | "dst_ip" => "destination-ip",
        "sport" | "src_port" => "source-port",
        "dport" | "dst_port" => "destination-port",
        "ip_prot" | "ip-prot" | "proto" => "ip-protocol",
        "in_port" | "ing_intf" => "ingress-interface",
        "flow_label" | "ipv6_label" => "ipv6-label",
        other => other,
    };
    let ours = alias.replace('_', "-");
    Field::ALL.into_iter().find(|f| f.name() == ours)
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((kind, what)) = text.split_once(':') {
            let (place, number) = match what.split_once('*') {
                Some((place, number)) if matches!(kind, "add" | "drain") => {
                    let range = match kind {
                        "add" => (1..=65_535, "a weight is 1 to 65535"),
                        _ => (0..=LONGEST, "a drain takes 0 to 86400 seconds"),
                    };
                    let number = number.parse().ok().filter(|n| range.0.contains(n));
                    (place, Some(number.ok_or(range.1)?))
                }
                _ => (what, None),
            };
            let (via, port) = match place.split_once('@') {
                Some((via, port)) => (via, Some(port.to_string())),
                None => (place, None),
            };
            let address = via.parse::<IpAddr>();
            let wrong = || format!("{via}: expected a next hop's address");
            return match (kind, address, port) {
                ("down" | "up", Ok(via), port) => Ok(Change::Nexthop {
                    via,
                    port,
                    up: kind == "up",
                }),
                ("down" | "up", Err(_), None) => Ok(Change::Port {
                    port: via.into(),
                    up: kind == "up",
                }),
                ("add", Ok(via), Some(port)) => {
                    let weight = number.unwrap_or(1);
                    Ok(Change::Add { via, port, weight })
                }
                ("add", Ok(_), None) => Err("expected add:NEXTHOP@PORT[*WEIGHT]".into()),
                ("remove", Ok(via), port) => Ok(Change::Remove { via, port }),
                ("drain", Ok(via), port) => {
                    let over = Duration::from_secs(number.unwrap_or(DRAIN).into());
                    Ok(Change::Drain { via, port, over })
                }
                ("undrain", Ok(via), port) => Ok(Change::Undrain { via, port }),
                ("down" | "up" | "add" | "remove" | "drain" | "undrain", ..) => Err(wrong()),
                _ => Err(format!("{kind}: expected {KINDS}")),
            };
        }
        let name = text.split_once('=').map_or("", |(name, _)| name);
        match SETTINGS.contains(&name) {
            true => rules(text).map(Change::Rules),
            false => hash(text).map(Change::Hash),
        }
    }
}

/// `SETTING=VALUE[,SETTING=VALUE…]`: one `set resilient`, all of it at once.
fn rules(text: &str) -> Result<SetResilient, String> {
    let pairs = text.split(',').map(|each| {
        let (name, value) = each.split_once('=').ok_or("expected SETTING=VALUE[,…]")?;
        Ok::<_, String>((name.to_string(), value.to_string()))
    });
    let wanted = SetResilient {
        settings: pairs.collect::<Result<_, _>>()?,
        dry_run: true,
    };
    // What would be refused whatever the rules are now, is refused at once.
    let any = wanted.apply(&config::Resilient::default());
    any.map_err(|error| error.to_string())?;
    Ok(wanted)
}

/// `SETTING=VALUE[,SETTING=VALUE…][@PROFILE]`: one `set hash`, all of it at once.
fn hash(text: &str) -> Result<SetHash, String> {
    let (settings, profile) = match text.split_once('@') {
        Some((settings, profile)) => (settings, Some(profile.to_string())),
        None => (text, None),
    };
    let mut change = HashChange::default();
    for each in settings.split(',') {
        let (name, value) = each.split_once('=').ok_or(
            "expected down:PORT, down:NEXTHOP[@PORT], up:…, add:NEXTHOP@PORT[*WEIGHT], \
             remove:NEXTHOP[@PORT], drain:NEXTHOP[@PORT][*SECONDS], undrain:…, \
             SETTING=VALUE[,…][@PROFILE] as for set hash, or SETTING=VALUE[,…] as for set resilient",
        )?;
        let on = || match value {
            "on" | "true" => Ok(true),
            "off" | "false" => Ok(false),
            other => Err::<bool, String>(format!("{other}: expected on or off")),
        };
        match name {
            "seed" => {
                let seed = value.parse();
                let wrong = || match value {
                    "random" => "which seed will be drawn is not known before".into(),
                    other => format!("{other}: a seed is 0 to 4294967295"),
                };
                change.seed = Some(seed.map_err(|_| wrong())?);
            }
            "symmetric" => change.symmetric = Some(on()?),
            "algorithm" => change.algorithm = Some(value.into()),
            other => {
                let name = field(other).map_or(other, |f| f.name());
                change.fields.insert(name.into(), on()?);
            }
        }
    }
    // What would be refused whatever the settings are now, is refused at once.
    let all = Field::ALL.into_iter();
    let any = Choice {
        fields: all.fold(Fields::EMPTY, |fields, f| fields.with(f, true)),
        ..Choice::default()
    };
    change.apply(any).map_err(|error| error.to_string())?;
    Ok(SetHash {
        profile,
        change,
        ..SetHash::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_by_their_words() {
        let read = |text: &str| text.parse::<Change>();
        let via: IpAddr = "fe80::3".parse().expect("address");
        let port = |up| Change::Port {
            port: "up1".into(),
            up,
        };
        assert_eq!(read("down:up1"), Ok(port(false)));
        assert_eq!(read("up:up1"), Ok(port(true)));
        let nexthop = Change::Nexthop {
            via,
            port: Some("up2".into()),
            up: false,
        };
        assert_eq!(read("down:fe80::3@up2"), Ok(nexthop));
        let add = Change::Add {
            via,
            port: "up2".into(),
            weight: 3,
        };
        assert_eq!(read("add:fe80::3@up2*3"), Ok(add));
        assert_eq!(
            read("remove:fe80::3"),
            Ok(Change::Remove { via, port: None })
        );
        let over = |seconds| Change::Drain {
            via,
            port: None,
            over: Duration::from_secs(seconds),
        };
        assert_eq!(read("drain:fe80::3"), Ok(over(60)));
        assert_eq!(read("drain:fe80::3*0"), Ok(over(0)));
        let undrain = Change::Undrain {
            via,
            port: Some("up1".into()),
        };
        assert_eq!(read("undrain:fe80::3@up1"), Ok(undrain));
        let Ok(Change::Rules(rules)) = read("buckets=128,unbalanced-timer=never") else {
            panic!("rules");
        };
        assert_eq!(rules.settings.len(), 2);
        let change = |change: &str, profile: Option<&str>| {
            let change = serde_json::from_str(change).expect("a change");
            Ok(Change::Hash(SetHash {
                profile: profile.map(Into::into),
                change,
                ..SetHash::default()
            }))
        };
        assert_eq!(read("seed=7"), change(r#"{"seed":7}"#, None));
        let both = r#"{"fields":{"source-ip":false,"gtp-teid":true},"symmetric":true}"#;
        assert_eq!(
            read("sip=off,gtp-teid=on,symmetric=on@anycast"),
            change(both, Some("anycast"))
        );
        for wrong in [
            "seed=-1",
            "sip=maybe",
            "algorithm=md5",
            "add:fe80::3",
            "add:x@up1",
            "burn:up1",
            "x",
            "add:fe80::3@up2*0",
            "colour=on",
            "seed=4294967296",
            "seed=random",
            "seed=1,",
            "drain:fe80::3*86401",
            "undrain:fe80::3*5",
            "buckets=100",
            "buckets=128,seed=7",
            "buckets=128,",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

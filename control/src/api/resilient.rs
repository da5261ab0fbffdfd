//! Groups that hold still, on the api socket: the rules in force, and how groups fare by them.

use super::hash::Changed;
use super::message::Error;
use crate::config::{self, nearest};
use crate::deal::Recovery;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// The rules of groups in force, and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Resilient {
    /// The number of buckets is fixed, and who is new gets those that fall idle.
    pub enable: bool,
    /// Buckets of a group; at least so many if not enabled.
    pub buckets: u32,
    /// Seconds without packets after which a bucket may move.
    pub active_timer: u64,
    /// Seconds out of balance after which a group is balanced by force; none: never.
    pub unbalanced_timer: Option<u64>,
    /// What a member that returns gets: `immediate`, `idle`, `never`.
    pub recovery: String,
    /// Seconds that a member that returns must wait.
    pub hold_down: u64,
    /// Seconds from a route's start in which its next hops get their share at once.
    pub start_timer: u64,
    /// How far a member may be from its share, percent; what sizes tables if not enabled.
    pub weight_error: f64,
    /// `round-robin` or `rendezvous`.
    pub deal: String,
    /// The seed of rendezvous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deal_seed: Option<u32>,
    /// Settings that differ from those at the start and are lost at a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<String>,
    /// Buckets that all groups share.
    pub buckets_total: u32,
    /// Those of them that are taken, by groups of one next hop too.
    pub buckets_in_use: u32,
    /// Groups of several next hops.
    pub groups_in_use: u64,
    /// Those, and how many more of `buckets` buckets there is room for now.
    pub groups_possible: u64,
    /// Groups in which somebody holds buckets beyond its due.
    pub groups_unbalanced: u64,
    /// These buckets.
    pub surplus: u64,
    /// Buckets that have moved in the background since the start.
    pub eased: u64,
    /// Routes that found no room, which are tried again.
    pub routes_failed: u64,
}

/// What else there is to know of how a group's buckets are dealt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Dealt {
    /// Why the weight error is more than the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_error_note: Option<String>,
    /// Since when somebody has held more than its due, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unbalanced_seconds: Option<f64>,
    /// Members that were lost, are usable, and do not return by themselves (`recovery = "never"`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<IpAddr>,
}

/// To change the rules of groups while packets flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetResilient {
    /// Settings and their values, both as words: `{"buckets":"128","unbalanced-timer":"never"}`.
    pub settings: BTreeMap<String, String>,
    /// Say what would move, and change nothing.
    pub dry_run: bool,
}

/// What a change of the rules did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResilientChanged {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What differs now; empty: it was so already.
    pub changes: Vec<Changed>,
    /// What else is to be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Groups that get a table of another size.
    pub groups_resized: u64,
    /// Buckets that all groups take together afterwards, those of one next hop too.
    pub buckets_in_use: u32,
    /// Buckets of the tables that change, counted in the larger of both sizes.
    pub buckets: u64,
    /// Those of them whose flows take another next hop.
    pub buckets_moved: u64,
    /// Those of them that forwarded something lately; none: nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_buckets_moved: Option<u64>,
    /// Flows with a choice in the sample of the last 10 seconds.
    pub flows: u64,
    /// Those that take another next hop.
    pub flows_moved: u64,
    /// Buckets that are beyond what their owners are due afterwards, and move as they fall idle.
    pub surplus: u64,
}

/// What `set resilient` changes.
pub(crate) const SETTINGS: [&str; 8] = [
    "enable",
    "buckets",
    "active-timer",
    "unbalanced-timer",
    "recovery",
    "hold-down",
    "start-timer",
    "weight-error",
];

/// An error about the rules, or one of them.
pub(crate) fn refused(setting: &str, cause: String, remedy: Option<&str>) -> Error {
    Error {
        object: format!("resilient {setting}").trim_end().into(),
        operation: "set".into(),
        cause,
        remedy: remedy.map(Into::into),
    }
}

impl SetResilient {
    /// `from` with these settings.
    ///
    /// # Errors
    /// An unknown setting, one that only a restart changes, a value that is not allowed, or two
    /// that exclude each other.
    pub fn apply(&self, from: &config::Resilient) -> Result<config::Resilient, Error> {
        let mut to = from.clone();
        for (name, value) in &self.settings {
            let number = |range: std::ops::RangeInclusive<u64>| {
                value.parse().ok().filter(|n| range.contains(n))
            };
            let seconds = |range| number(range).map(Duration::from_secs);
            let allowed = match name.as_str() {
                "enable" => {
                    let on = ["off", "on"].iter().position(|v| v == value);
                    to.enable = on.map_or(to.enable, |on| on == 1);
                    on.is_none().then_some("on, off")
                }
                "buckets" => {
                    let n = number(0..=u64::MAX).and_then(config::Resilient::buckets_of);
                    to.buckets = n.unwrap_or(to.buckets);
                    n.is_none().then_some("64, 128, 256, 512, 1024, 2048, 4096")
                }
                "active-timer" => {
                    let timer = seconds(1..=65_535);
                    to.active_timer = timer.unwrap_or(to.active_timer);
                    timer.is_none().then_some("1..65535 seconds")
                }
                "unbalanced-timer" => {
                    let never = value == "never" || number(0..=u64::MAX) == Some(u32::MAX.into());
                    let timer = seconds(1..=u64::from(u32::MAX) - 1);
                    to.unbalanced_timer = timer;
                    let known = never || timer.is_some();
                    (!known).then_some("1..4294967294 seconds, never")
                }
                "recovery" => {
                    let found = config::Resilient::recovery_of(value);
                    to.recovery = found.unwrap_or(to.recovery);
                    found.is_none().then_some("auto, immediate, idle, never")
                }
                "hold-down" => {
                    let timer = seconds(0..=65_535);
                    to.hold_down = timer.unwrap_or(to.hold_down);
                    timer.is_none().then_some("0..65535 seconds")
                }
                "start-timer" => {
                    let timer = seconds(0..=3600);
                    to.start_timer = timer.unwrap_or(to.start_timer);
                    timer.is_none().then_some("0..3600 seconds")
                }
                "weight-error" => {
                    let percent = value.parse().ok();
                    let ppm = percent.and_then(config::Resilient::weight_error_of);
                    to.weight_error = ppm.unwrap_or(to.weight_error);
                    ppm.is_none().then_some("0.01..100 percent")
                }
                "deal" | "deal-seed" => {
                    let remedy = "write it under [resilient] of the configuration and restart";
                    let cause = "only a restart changes it".into();
                    return Err(refused(name, cause, Some(remedy)));
                }
                _ => {
                    let remedy = match nearest(name, &SETTINGS) {
                        Some(meant) => format!("did you mean {meant}?"),
                        None => format!("settings are {}", SETTINGS.join(", ")),
                    };
                    let cause = "there is no such setting".into();
                    return Err(refused(name, cause, Some(&remedy)));
                }
            };
            if let Some(allowed) = allowed {
                let remedy = format!("allowed are {allowed}");
                return Err(refused(
                    name,
                    format!("{value} is not allowed"),
                    Some(&remedy),
                ));
            }
        }
        if to.enable && to.deal == config::DealBy::Rendezvous {
            let cause = "rendezvous deals by what the members are now, enable by what they were";
            let remedy = "set deal = \"round-robin\" and restart";
            return Err(refused("enable", cause.into(), Some(remedy)));
        }
        Ok(to)
    }
}

/// The settings in which `from` and `to` differ.
pub fn differences(from: &config::Resilient, to: &config::Resilient) -> Vec<Changed> {
    let all = |r: &config::Resilient| {
        let seconds = |d: Duration| d.as_secs().to_string();
        [
            if r.enable { "on" } else { "off" }.into(),
            r.buckets.to_string(),
            seconds(r.active_timer),
            r.unbalanced_timer.map_or("never".into(), seconds),
            r.recovery.map_or("auto", Recovery::name).into(),
            seconds(r.hold_down),
            seconds(r.start_timer),
            (r.weight_error as f64 / 10_000.0).to_string(),
        ]
    };
    let pairs = SETTINGS.into_iter().zip(all(from).into_iter().zip(all(to)));
    pairs
        .filter(|(_, (from, to)): &(_, (String, String))| from != to)
        .map(|(setting, (from, to))| Changed {
            setting: setting.into(),
            from,
            to,
        })
        .collect()
}

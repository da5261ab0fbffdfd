//! Groups that hold still, on the api socket: the rules in force, and how groups fare by them.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

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

//! Figures for monitoring, as `show metrics --json` prints them and the exposition is made of.

use super::message::{Counters, Failover, OffloadMarks, OffloadStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// All figures. Nothing here costs more the more routes there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Metrics {
    /// evenpath's version.
    pub version: String,
    /// What the program was compiled for.
    pub cpu: String,
    /// By which instructions IPv4 is looked up; empty: there is no choice.
    pub lookup_ipv4: String,
    /// The same of IPv6.
    pub lookup_ipv6: String,
    /// Packet counters; without the repairs.
    pub counters: Counters,
    /// Ports: up or not.
    pub ports_up: BTreeMap<String, bool>,
    /// Next hops that routes have.
    pub nexthops: Vec<NexthopMetrics>,
    /// Members of groups of several, the first of them by group.
    pub members: Vec<MemberMetrics>,
    /// Members more that are left out.
    pub members_omitted: u64,
    /// Routes of all sources.
    pub routes: u64,
    /// Groups of several next hops.
    pub groups: u64,
    /// Those in which somebody holds buckets beyond its due.
    pub groups_unbalanced: u64,
    /// These buckets.
    pub buckets_surplus: u64,
    /// Buckets that all groups share.
    pub buckets_total: u64,
    /// Those of them that are taken.
    pub buckets_in_use: u64,
    /// Buckets that moved in the background.
    pub eased: u64,
    /// Changes of the hash while packets flowed.
    pub hash_changes: u64,
    /// Changes of the rules of groups.
    pub rules_changes: u64,
    /// Events that control has handled.
    pub events: u64,
    /// The FPM session.
    pub fpm: FpmMetrics,
    /// Repairs.
    pub failover: Failover,
    /// The hardware plane, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload: Option<OffloadStatus>,
    /// Prefixes that NICs mark, if they are to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<OffloadMarks>,
    /// Packets that hardware has sent.
    pub hardware_packets: u64,
    /// Their bytes.
    pub hardware_bytes: u64,
}

/// The FPM session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct FpmMetrics {
    /// zebra is connected.
    pub connected: bool,
    /// How often it has connected.
    pub connections: u64,
    /// `idle`, `filling`, `held`, `complete`.
    pub sync: String,
    /// Routes from FPM.
    pub routes: u64,
    /// Routes not seen again in the resync so far.
    pub unrefreshed: u64,
    /// Frames received.
    pub frames: u64,
    /// Messages by kind.
    pub messages: BTreeMap<String, u64>,
    /// Messages that could not be read.
    pub malformed: u64,
}

/// A next hop, over all groups that have and had it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NexthopMetrics {
    /// Gateway; none: what is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Port, by name.
    pub port: String,
    /// It can be used.
    pub up: bool,
    /// Buckets that it has.
    pub buckets: u64,
    /// Packets that its buckets forwarded, hardware's among them; never less than before, whatever
    /// becomes of groups.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of the packets that hardware sent.
    #[serde(default)]
    pub hardware_packets: u64,
    /// Their bytes.
    #[serde(default)]
    pub hardware_bytes: u64,
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemberMetrics {
    /// The group.
    pub group: u32,
    /// Gateway; none: what is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Port, by name.
    pub port: String,
    /// Buckets that it has there.
    pub buckets: u64,
    /// Packets that it forwarded in this group and those that this group followed.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

//! What a change of the hash moves, as `set hash` answers it. Shares are from 0 to 1.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What moves, judged by a sample of the packets that came in lately. Groups of one bucket and
/// their packets have no choice and do not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moves {
    /// What "lately" is, seconds.
    pub window_s: u64,
    /// Groups with a choice.
    pub groups: u64,
    /// Those of them that forwarded something lately.
    pub groups_active: u64,
    /// Their buckets.
    pub buckets: u64,
    /// Those of the buckets that forwarded something lately.
    pub buckets_active: u64,
    /// Packets in the sample.
    pub packets_sampled: u64,
    /// Packets more, of whose headers too little was kept to judge them.
    pub packets_unjudged: u64,
    /// Flows in the sample: packets with the same values of all fields that are on before or after.
    pub flows: u64,
    /// Flows that take another bucket of their group.
    pub flows_other_bucket: u64,
    /// Flows that take another member: these move.
    pub flows_other_member: u64,
    /// Share of the flows that move; none: no traffic was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_flows: Option<f64>,
    /// Share of the packets that are of flows that move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_packets: Option<f64>,
    /// What would move of very many flows if every one of them were dealt anew, by the members'
    /// buckets: not measured, but reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_share: Option<f64>,
    /// From where to where, the paths with most packets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Path>,
    /// The groups with most flows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub largest: Vec<GroupMoves>,
}

/// Flows that go from one member to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Path {
    /// Where they go now.
    pub from: Place,
    /// Where they would.
    pub to: Place,
    /// How many.
    pub flows: u64,
    /// Their share of all packets.
    pub share_of_packets: f64,
}

/// A next hop.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// Its gateway; none: what is on the link, or nothing that is usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Its port, by name; none: packets are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// What moves in one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupMoves {
    /// Its id.
    pub group: u32,
    /// Flows of the sample.
    pub flows: u64,
    /// Those that move.
    pub flows_other_member: u64,
    /// Their share of the group's flows.
    pub share_of_flows: f64,
    /// Their share of the group's packets.
    pub share_of_packets: f64,
}

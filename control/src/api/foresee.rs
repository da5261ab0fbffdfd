//! What changes would do to groups, as `calc --what-if … --group` answers it.

use super::moves::Place;
use crate::prefix::Prefix;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::ops::AddAssign;

/// What is asked. Of all groups if none is named: those of routes through gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct WhatIf {
    /// Changes to think of, made one after another, e.g. `down:up1`.
    pub what_if: Vec<String>,
    /// The group with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The group of exactly this prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// The group of the route that a packet to this address takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Only groups behind this one: the `next` of the previous answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// The number of each bucket that moves, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub buckets: bool,
}

/// What moves. Sums over all groups that were looked at, changed or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Foreseen {
    /// The changes, as asked.
    pub changes: Vec<String>,
    /// Flows and activity are those of so many seconds.
    pub window_s: u64,
    /// Groups that were looked at.
    pub groups: u64,
    /// Those of them of which a bucket moves, or the size changes.
    pub groups_changed: u64,
    /// Of all these groups.
    #[serde(flatten)]
    pub sums: Sums,
    /// Those that change, one by one.
    pub each: Vec<GroupForeseen>,
    /// Ask again with this as `after`; none: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// How much there is, and how much of it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sums {
    /// Buckets, counted in the larger of both sizes.
    pub buckets: u64,
    /// Those that would lead to another next hop.
    pub buckets_moved: u64,
    /// Those of them that forwarded something lately; none: nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_buckets_moved: Option<u64>,
    /// Flows of the sample.
    pub flows: u64,
    /// Those that would take another next hop.
    pub flows_moved: u64,
    /// Packets that the sample stands for.
    pub recent_packets: u64,
    /// Those of flows that would move.
    pub recent_packets_moved: u64,
    /// Packets that the buckets have forwarded so far.
    pub packets: u64,
    /// Those of buckets that would move.
    pub packets_moved: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of buckets that would move.
    pub bytes_moved: u64,
    /// Buckets that their owners would hold beyond what they are due: they move as they fall idle.
    pub surplus: u64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        let active = (self.active_buckets_moved, other.active_buckets_moved);
        *self = Sums {
            buckets: self.buckets + other.buckets,
            buckets_moved: self.buckets_moved + other.buckets_moved,
            active_buckets_moved: match active {
                (None, one) | (one, None) => one,
                (Some(a), Some(b)) => Some(a + b),
            },
            flows: self.flows + other.flows,
            flows_moved: self.flows_moved + other.flows_moved,
            recent_packets: self.recent_packets + other.recent_packets,
            recent_packets_moved: self.recent_packets_moved + other.recent_packets_moved,
            packets: self.packets + other.packets,
            packets_moved: self.packets_moved + other.packets_moved,
            bytes: self.bytes + other.bytes,
            bytes_moved: self.bytes_moved + other.bytes_moved,
            surplus: self.surplus + other.surplus,
        };
    }
}

/// What would become of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupForeseen {
    /// Its id.
    pub group: u32,
    /// Routes that use it.
    pub routes: u64,
    /// Its buckets now.
    pub size: u32,
    /// Its buckets then; a bucket of the smaller table stands for several of the larger one.
    pub size_then: u32,
    /// Of this group.
    #[serde(flatten)]
    pub sums: Sums,
    /// What else is to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// From whom to whom buckets go, most of them first.
    pub paths: Vec<BucketPath>,
    /// Flows that move, the busiest; at most [`FLOWS_NAMED`] of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<FlowMoved>,
}

/// Flows named of each group.
pub const FLOWS_NAMED: usize = 16;

/// Buckets that go from one next hop to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BucketPath {
    /// Who has them.
    pub from: Place,
    /// Who would have them.
    pub to: Place,
    /// How many.
    pub buckets: u64,
    /// Those of them that forwarded something lately; none: nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_buckets: Option<u64>,
    /// Flows of the sample in them.
    pub flows: u64,
    /// Their numbers in the larger of both tables, if asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<u32>,
}

/// A flow of the sample that would move; fields that are not hashed are zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FlowMoved {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Source port, 0 if it has none.
    pub source_port: u16,
    /// Destination port, 0 if it has none.
    pub destination_port: u16,
    /// Packets that the sample stands for.
    pub packets: u64,
    /// Its bucket now.
    pub bucket: u32,
    /// Where it goes.
    pub from: Place,
    /// Where it would go.
    pub to: Place,
}

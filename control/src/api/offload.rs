//! The hardware plane on the api socket.

use crate::prefix::Prefix;
use serde::{Deserialize, Serialize};

/// Which part of the hardware plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct OffloadQuery {
    /// This prefix, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// This group, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// The hardware plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Offload {
    /// All of it.
    #[serde(flatten)]
    pub status: OffloadStatus,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<OffloadOf>,
}

/// The hardware plane in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadStatus {
    /// `[offload] mode`.
    pub mode: String,
    /// `hw`, `partial` or `sw`: whether hardware forwards at all.
    pub state: String,
    /// Why not, or not everywhere.
    pub reasons: Vec<String>,
    /// What the NIC calls itself.
    pub nic: String,
    /// `dpu` or `transit`.
    pub role: String,
    /// `rows` or `rss`.
    pub design: String,
    /// Why this design.
    pub design_reason: String,
    /// The largest IP packet that hardware forwards, bytes.
    pub mtu: u16,
    /// Prefixes.
    pub prefixes: OffloadShares,
    /// Groups.
    pub groups: OffloadShares,
    /// Tables in the NIC, by kind.
    pub tables: Vec<OffloadTable>,
    /// Operations since the start.
    pub operations: OffloadOperations,
    /// What failed and was not made good.
    pub failures: u64,
    /// How often what failed was tried again.
    pub retries: u64,
    /// Changes that wait to be taken in.
    pub waiting: u64,
    /// Operations under way.
    pub under_way: u64,
    /// Ports that have lost their link.
    pub ports_down: Vec<String>,
    /// `[offload] backend`, where it is `rss`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backend: String,
    /// Backend `rss`: how packets of each port get to workers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<OffloadSpread>,
    /// Backend `rss`: prefixes that NICs mark, if they are to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<OffloadMarks>,
}

/// How packets of a port get to workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadSpread {
    /// The port.
    pub port: String,
    /// Its receive queues, one for each worker.
    pub queues: u16,
    /// `rule`, `ethdev`, `driver` or `none`: who was told to spread.
    pub by: String,
    /// How, or why not by a rule.
    pub how: String,
    /// Prefixes whose rule is in the NIC.
    pub marks: u64,
    /// Why one is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks_reason: Option<String>,
}

/// Prefixes that NICs mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadMarks {
    /// How many may have a mark.
    pub slots: u64,
    /// How many have one.
    pub prefixes: u64,
    /// How many the NICs have room for, as far as they have said.
    pub room: u64,
    /// Packets whose lookup was skipped.
    pub lookups_skipped: u64,
}

/// How many are whose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadShares {
    /// Hardware's.
    pub hw: u64,
    /// Hardware's in part.
    pub partial: u64,
    /// Software's.
    pub sw: u64,
}

/// The tables of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadTable {
    /// What they are for.
    pub kind: String,
    /// How many there are.
    pub tables: u64,
    /// Rules in them.
    pub rules: u64,
    /// Rules that they have room for.
    pub room: u64,
}

/// Operations on rules since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadOperations {
    /// Taken by the driver.
    pub enqueued: u64,
    /// Completed as asked.
    pub done: u64,
    /// Refused, or completed with an error.
    pub failed: u64,
    /// Found the queue full, and waited.
    pub waited: u64,
    /// Tables made.
    pub tables: u64,
    /// Completed in the last second.
    pub per_second: f64,
}

/// One prefix or group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct OffloadOf {
    /// The prefix, or `group N`.
    pub object: String,
    /// The group that the prefix leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// `hw`, `partial` or `sw`.
    pub state: String,
    /// Why not all of it is hardware's.
    pub reasons: Vec<String>,
}

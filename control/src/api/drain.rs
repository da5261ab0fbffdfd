//! `drain` and `undrain` on the api socket.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Take a next hop out of its groups, or let it back in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drain {
    /// Its address.
    pub nexthop: IpAddr,
    /// On this port only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Let it back in.
    #[serde(default)]
    pub back: bool,
    /// Seconds after which what is left is moved by force, 0 to 86400; 0: at once.
    #[serde(default)]
    pub over: u32,
    /// Also if a group has nobody else: there it stays in use.
    #[serde(default)]
    pub force: bool,
    /// Only say what would move.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainState {
    /// It gets no new buckets and keeps those in use.
    Draining,
    /// It has no buckets, but where nobody else has any.
    Drained,
    /// It is not drained.
    InService,
}

impl DrainState {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            DrainState::Draining => "draining",
            DrainState::Drained => "drained",
            DrainState::InService => "in-service",
        }
    }
}

/// What a drain did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drained {
    /// The next hop.
    pub nexthop: IpAddr,
    /// On this port only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// How far it is.
    pub state: DrainState,
    /// Groups that have it as a member.
    pub groups: u64,
    /// Buckets that it had there.
    pub buckets: u64,
    /// Of these, used within `idle-after-seconds`; none: nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_buckets: Option<u64>,
    /// Buckets that moved at once.
    pub buckets_moved: u64,
    /// Buckets that it has now.
    pub buckets_left: u64,
    /// A bucket without packets for so long moves.
    pub idle_after_seconds: f64,
    /// Then what is left is moved by force.
    pub seconds_left: f64,
    /// Nothing was changed.
    pub dry_run: bool,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

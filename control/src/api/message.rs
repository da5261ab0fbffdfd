//! What is asked and answered on the api socket, and what `--json` prints.
//!
//! These names are a contract with scripts: add to them, do not rename them.

pub use super::drain::*;
pub use super::failover::{AtMost, Failover, Times};
pub use super::foresee::*;
pub use super::hash::{Hash, HashChange, HashChanged, HashProfile, PortHash, SetHash};
pub use super::metrics::*;
pub use super::offload::*;
pub use super::resilient::*;
pub use super::trace::*;
pub use super::verify::*;
pub use super::view::*;

use crate::prefix::Prefix;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A question. On the wire: `{"request":"show-route","of":{"prefix":"10.0.0.0/8"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", content = "of", rename_all = "kebab-case")]
pub enum Request {
    /// Routes, in the order of [`Prefix`].
    ShowRoute(RouteQuery),
    /// Groups of the fast path, by id.
    ShowGroup(GroupQuery),
    /// Next hops.
    ShowNexthop,
    /// Neighbors.
    ShowNeighbor,
    /// Ports.
    ShowPort,
    /// Packet counters.
    ShowCounters,
    /// The FPM session.
    ShowFpm,
    /// The hash settings in force.
    ShowHash,
    /// How long repairs took.
    ShowFailover,
    /// The rules of groups in force.
    ShowResilient,
    /// The hardware plane.
    ShowOffload(OffloadQuery),
    /// What happened lately.
    ShowEvents,
    /// Figures for monitoring.
    ShowMetrics,
    /// Which way a flow takes.
    Calc(Flow),
    /// Change the hash, or say what a change would do.
    SetHash(SetHash),
    /// Change the rules of groups, or say what a change would do.
    SetResilient(SetResilient),
    /// Which way a flow or a packet takes, what if, and why.
    Trace(Box<Trace>),
    /// The same of many packets.
    Traces(Box<Traces>),
    /// What changes would do to groups.
    WhatIf(Box<WhatIf>),
    /// Take a next hop out of its groups, or let it back in.
    Drain(Drain),
    /// Where the tables are not what is planned, piece by piece.
    Verify(VerifyQuery),
    /// Where the hardware plane's programs are not what is planned, piece by piece.
    VerifyOffload(VerifyQuery),
    /// The hardware plane's programs as a script for testpmd, piece by piece.
    Export(VerifyQuery),
    /// Sweep now what a held FPM resync did not bring.
    FpmRelease,
}

impl Request {
    /// It changes what packets meet, and does so even if nobody waits for the answer.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Request::SetHash(wanted) => !wanted.dry_run,
            Request::SetResilient(wanted) => !wanted.dry_run,
            Request::Drain(wanted) => !wanted.dry_run,
            Request::FpmRelease => true,
            _ => false,
        }
    }
}

/// Which routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RouteQuery {
    /// The route of exactly this prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// The route that a packet to this address takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Only routes behind this one: the `next` of the previous answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Prefix>,
}

/// Which groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct GroupQuery {
    /// The group with this id; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Each bucket, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub buckets: bool,
}

/// The header fields of a flow, as `calc` takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Flow {
    /// The port that it comes in on, by name.
    pub ingress: String,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port; 0 for protocols without.
    #[serde(default)]
    pub source_port: u16,
    /// Destination port; 0 for protocols without.
    #[serde(default)]
    pub destination_port: u16,
    /// IPv6 flow label, 20 bits.
    #[serde(default)]
    pub flow_label: u32,
}

/// An answer: `{"ok":{"route":…}}` or `{"error":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// What was asked for.
    Ok(Response),
    /// Why not.
    Error(Error),
}

/// What an answer holds, by request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::ShowRoute`].
    Route(Routes),
    /// To [`Request::ShowGroup`].
    Group(Vec<Group>),
    /// To [`Request::ShowNexthop`].
    Nexthop(Vec<Nexthop>),
    /// To [`Request::ShowNeighbor`].
    Neighbor(Vec<Neighbor>),
    /// To [`Request::ShowPort`].
    Port(Vec<Port>),
    /// To [`Request::ShowCounters`].
    Counters(Counters),
    /// To [`Request::ShowFpm`].
    Fpm(Fpm),
    /// To [`Request::ShowHash`].
    Hash(Hash),
    /// To [`Request::ShowResilient`].
    Resilient(Resilient),
    /// To [`Request::ShowOffload`].
    Offload(Box<Offload>),
    /// To [`Request::SetResilient`].
    SetResilient(ResilientChanged),
    /// To [`Request::SetHash`].
    SetHash(HashChanged),
    /// To [`Request::ShowFailover`].
    Failover(Box<Failover>),
    /// To [`Request::ShowEvents`], oldest first.
    Events(Vec<Happening>),
    /// To [`Request::ShowMetrics`].
    Metrics(Box<Metrics>),
    /// To [`Request::Calc`].
    Calc(Calc),
    /// To [`Request::Trace`].
    Trace(Box<Traced>),
    /// To [`Request::Traces`], in their order.
    Traces(Vec<Traced>),
    /// To [`Request::WhatIf`].
    WhatIf(Box<Foreseen>),
    /// To [`Request::Drain`].
    Drain(Drained),
    /// To [`Request::Export`].
    Export(Box<Exported>),
    /// To [`Request::Verify`] and [`Request::VerifyOffload`].
    Verify(Verified),
    /// To [`Request::FpmRelease`]: how many routes were swept.
    Released(u64),
}

/// An error for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What it is about: `port up1`, `10.0.0.0/8`.
    pub object: String,
    /// What was tried.
    pub operation: String,
    /// Why it failed.
    pub cause: String,
    /// What can be done, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.operation, self.cause)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

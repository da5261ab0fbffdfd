//! The long question of `evenpath calc`: a flow or a packet, what if, and why.

use super::message::{Calc, Flow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The headers inside a flow's tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tunnel {
    /// Tunnel endpoint id of GTPv1-U.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teid: Option<u32>,
    /// Destination queue pair of RoCEv2, 24 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qp: Option<u32>,
    /// Source address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Destination address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpAddr>,
    /// IP protocol number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// Source port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// IPv6 flow label, 20 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_label: Option<u32>,
}

/// What is asked: `flow`, or `ingress` and `packet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trace {
    /// A flow by its fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// What is inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// The VLAN id of its frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vid: Option<u16>,
    /// The port that a packet comes in on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// The packet's frame, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
    /// The frame of the first fragment of its datagram, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Calculate on this group, whatever the route is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Calculate on a group of this many equal members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
    /// Changes that the answer takes as made, e.g. `seed=7`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assume: Vec<String>,
    /// Changes to be made after that: a second answer says what then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what_if: Vec<String>,
    /// Say why.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// Try source ports in place of the flow's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sports: Option<Sports>,
}

/// The same question about many packets, of which `query` has none. The answers are those to the
/// first of them, at least one; the others are to be asked for again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Traces {
    /// The question.
    pub query: Trace,
    /// The packets.
    pub packets: Vec<Packet>,
}

/// A packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packet {
    /// Its frame, in hex.
    pub frame: String,
    /// The frame of the first fragment of its datagram, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

/// Source ports to try: a page of them from `from` on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sports {
    /// A port, a next hop, or `all`.
    pub to: String,
    /// The first source port of the page.
    pub from: u16,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traced {
    /// Where it goes.
    #[serde(flatten)]
    pub now: Way,
    /// Where it would go.
    #[serde(default, rename = "what-if", skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// Source ports that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sports: Option<Found>,
}

/// What would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Then {
    /// The changes, as asked.
    pub changes: Vec<String>,
    /// The flow would leave by another port or to another next hop.
    pub moves: bool,
    /// Buckets of the group that would move.
    pub buckets_moved: u32,
    /// Of how many.
    pub buckets: u32,
    /// Where it would go.
    pub way: Way,
}

impl Then {
    /// Changes that do not matter to what goes `way`.
    pub(crate) fn unmoved(changes: &[String], way: Way) -> Self {
        Then {
            changes: changes.to_vec(),
            moves: false,
            buckets_moved: 0,
            buckets: 0,
            way,
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Way {
    /// The way, of what is forwarded.
    #[serde(flatten)]
    pub calc: Option<Calc>,
    /// `forwarded` (left out), `fragmented` (and forwarded), `dropped`, `punted`, `unresolved`, `member`.
    #[serde(default = "forwarded", skip_serializing_if = "is_forwarded")]
    pub outcome: String,
    /// Why it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of the member, from 0, of a group of equal members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u32>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why, if asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explain>,
}

fn forwarded() -> String {
    "forwarded".into()
}

fn is_forwarded(outcome: &str) -> bool {
    outcome == "forwarded"
}

/// Why a flow goes its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explain {
    /// All fields.
    pub fields: Vec<FieldUse>,
    /// The hash profile; none: the router's own settings.
    pub profile: Option<String>,
    /// The seed.
    pub seed: u32,
    /// Both directions hash alike.
    pub symmetric: bool,
    /// Where both directions hash alike: which end is put first.
    #[serde(default)]
    pub order: Vec<String>,
    /// The plane that forwards it, and why that one.
    #[serde(default)]
    pub plane: String,
    /// `first`, `second` or `another`: which choice of the bucket is taken.
    pub choice: Option<String>,
    /// The MAC addresses that the frame leaves with, and its VLAN tag.
    pub rewrite: BTreeMap<String, String>,
}

/// What the hash makes of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FieldUse {
    /// Its name.
    pub name: String,
    /// Its value, if the packet has one.
    pub value: Option<String>,
    /// It counts.
    pub used: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A page of source ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Those that take the way asked for; of `all`, the first of each member.
    pub found: Vec<Sport>,
    /// The members that have buckets, as port and next hop.
    pub members: Vec<(String, Option<IpAddr>)>,
    /// Where the next page begins.
    pub next: Option<u16>,
}

/// A source port and its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sport {
    /// The source port.
    pub sport: u16,
    /// Where the flow leaves.
    pub port: String,
    /// To which next hop.
    pub nexthop: Option<IpAddr>,
}

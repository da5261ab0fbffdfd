//! What is offloaded, and why the rest is not: from what the NIC has, not from what it ought to.

use super::super::Error;
use super::super::plan::NexthopId;
use crate::hash::{Algorithm, Field};
use crate::table::PortId;
use std::fmt;

/// Who forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Software, all of it.
    Software,
    /// Hardware in part.
    Partial,
    /// Hardware, but for what is always software's (fragments, options, TTL ≤ 1 and so on).
    Hardware,
}

impl State {
    /// The name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            State::Software => "sw",
            State::Partial => "partial",
            State::Hardware => "hw",
        }
    }
}

/// Why not all of it is hardware's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The hash algorithm in force, and the one that the design has.
    Algorithm(Algorithm, Algorithm),
    /// A field is hashed that the NIC does not hash.
    FieldOn(Field),
    /// A field is not hashed that the NIC hashes.
    FieldOff(Field),
    /// RSS hashes both addresses, and both ports or none.
    RssFields,
    /// The NIC has no tables of rows.
    NoIndex,
    /// Both IPv6 addresses do not fit into its definers.
    NoJumbo,
    /// It has no indirect RSS actions.
    NoIndirect,
    /// More buckets than rows that a table can have.
    Rows(u32),
    /// The next hop is dead or not resolved.
    Down(NexthopId),
    /// The next hop's frames carry a VLAN tag.
    Tagged(NexthopId),
    /// Its MTU is smaller than packets that hardware forwards.
    Mtu(NexthopId, u16),
    /// No hairpin queue leads to its port, or none is left.
    NoHairpin(NexthopId, PortId),
    /// It is behind a port that is not of the NIC's e-switch.
    Elsewhere(NexthopId, PortId),
    /// It is on a wire: packets from a wire cannot go there within the e-switch.
    WireToWire(NexthopId),
    /// Nothing leads to the group.
    Unused,
    /// It is being programmed.
    Building,
    /// An operation failed; it will be tried again.
    Failed,
    /// A table was not made.
    Table(Error),
    /// Rules that no longer hold could not be changed, so nothing is let in.
    Suspended,
    /// The program's frame is not complete.
    NotReady,
    /// No such group or prefix is known.
    Unknown,
    /// The prefix leads to what software does alone.
    NotAGroup,
    /// A hash profile has other settings for part of the prefix.
    Profile,
    /// A longer prefix within it is not in hardware, so it cannot be either.
    Hidden,
    /// The table of its length is full.
    Full(u8),
}

/// A reason in words, with names that people know.
pub struct Named<'a> {
    reason: &'a Reason,
    nexthop: &'a dyn Fn(NexthopId) -> Option<String>,
    port: &'a dyn Fn(PortId) -> Option<String>,
}

impl Reason {
    /// In words, with these names; who has none is called by number.
    pub fn named<'a>(
        &'a self,
        nexthop: &'a dyn Fn(NexthopId) -> Option<String>,
        port: &'a dyn Fn(PortId) -> Option<String>,
    ) -> Named<'a> {
        Named {
            reason: self,
            nexthop,
            port,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(&|_| None, &|_| None).fmt(out)
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hop = |n: &NexthopId| (self.nexthop)(*n).unwrap_or_else(|| n.0.to_string());
        let port = |p: &PortId| (self.port)(*p).unwrap_or_else(|| p.0.to_string());
        match self.reason {
            Reason::Algorithm(has, wants) => write!(
                out,
                "algorithm = \"{}\", and the NIC computes \"{}\"",
                has.name(),
                wants.name()
            ),
            Reason::FieldOn(field) => {
                write!(out, "{} is hashed, and the NIC cannot", field.name())
            }
            Reason::FieldOff(field) => write!(
                out,
                "{} is not hashed, and the NIC hashes all five or none",
                field.name()
            ),
            Reason::RssFields => out.write_str("RSS hashes both addresses, and both ports or none"),
            Reason::NoIndex => out.write_str("the NIC has no tables of rows by hash"),
            Reason::NoJumbo => {
                out.write_str("the NIC has no full-dword jumbo definers, which IPv6 needs")
            }
            Reason::NoIndirect => out.write_str("the NIC has no indirect RSS actions"),
            Reason::Rows(n) => write!(out, "{n} buckets are more rows than a table can have"),
            Reason::Down(n) => write!(out, "nexthop {} is down or not resolved", hop(n)),
            Reason::Tagged(n) => write!(out, "nexthop {} is behind a VLAN tag", hop(n)),
            Reason::Mtu(n, mtu) => write!(
                out,
                "nexthop {}: MTU {mtu} is smaller than packets that hardware forwards",
                hop(n)
            ),
            Reason::NoHairpin(n, to) => {
                let (hop, to) = (hop(n), port(to));
                write!(out, "nexthop {hop}: no hairpin queue to port {to}")
            }
            Reason::Elsewhere(n, at) => {
                let (hop, at) = (hop(n), port(at));
                write!(out, "nexthop {hop}: port {at} is not of the NIC's e-switch")
            }
            Reason::WireToWire(n) => {
                write!(
                    out,
                    "nexthop {} is on a wire: from wires by software",
                    hop(n)
                )
            }
            Reason::Unused => out.write_str("no prefix leads to it"),
            Reason::Building => out.write_str("being programmed"),
            Reason::Failed => out.write_str("an operation failed; it is tried again"),
            Reason::Table(error) => write!(out, "table: create: {error}"),
            Reason::Suspended => {
                out.write_str("rules that no longer hold could not be changed: nothing is let in")
            }
            Reason::NotReady => out.write_str("the program's frame is not complete"),
            Reason::Unknown => out.write_str("not known"),
            Reason::NotAGroup => out.write_str("leads to what software does alone"),
            Reason::Profile => out.write_str("a hash profile has other settings for part of it"),
            Reason::Hidden => out.write_str("a longer prefix within it is not in hardware"),
            Reason::Full(n) => write!(out, "the table of /{n} is full"),
        }
    }
}

/// Who forwards something, and why not hardware alone. Hardware has reasons, too, where a part of
/// what it might forward is software's by design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub state: State,
    /// Why not all of it.
    pub reasons: Vec<Reason>,
}

impl Standing {
    /// That of several programs together, which all have to forward for it to be hardware's.
    pub fn all(each: impl Iterator<Item = Standing>) -> Self {
        let merge = |mut a: Standing, b: Standing| {
            if a.state != b.state {
                a.state = State::Partial;
            }
            for reason in b.reasons {
                if !a.reasons.contains(&reason) {
                    a.reasons.push(reason);
                }
            }
            a
        };
        let none = || Standing::software(Reason::NotReady);
        each.reduce(merge).unwrap_or_else(none)
    }

    pub(super) fn software(reason: Reason) -> Self {
        Standing {
            state: State::Software,
            reasons: vec![reason],
        }
    }
}

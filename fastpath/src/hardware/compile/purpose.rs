//! What rules are for, for those who look at a program from outside.

use super::super::plan::{Family, NexthopId, address};
use super::super::program::RuleId;
use super::Compiler;
use super::ledger::Kind;
use crate::table::GroupId;
use std::net::IpAddr;

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Every program has it.
    Frame,
    /// Lets packets of a port in.
    Entry,
    /// Lets packets into the prefixes of a family.
    Admission(Family),
    /// Hands what is for an own address to the kernel.
    Own(IpAddr),
    /// A prefix, after expansion.
    Prefix(IpAddr, u8),
    /// Where a group's packets go.
    Group(GroupId, Family),
    /// A row or rule of a generation of a group.
    Row(GroupId, Family),
    /// Sends to a next hop, or guards that.
    Nexthop(NexthopId, Family),
    /// There is no such rule.
    Unknown,
}

impl Compiler {
    /// What a rule is for.
    pub fn purpose(&self, rule: RuleId) -> Purpose {
        match self.ledger.kind(rule) {
            None => Purpose::Unknown,
            Some(Kind::Static) => Purpose::Frame,
            Some(Kind::Root) => Purpose::Entry,
            Some(Kind::Admit(family)) => Purpose::Admission(family),
            Some(Kind::Own(slot)) => Purpose::Own(address(slot.family, slot.address)),
            Some(Kind::Slot(slot)) => {
                Purpose::Prefix(address(slot.family, slot.address), slot.length)
            }
            Some(Kind::Select(id, family)) => Purpose::Group(id, family),
            Some(Kind::Row(id, family, _)) => Purpose::Row(id, family),
            Some(Kind::Hop(id, family)) => Purpose::Nexthop(id, family),
        }
    }

    /// Whether the NIC has that rule, as it has confirmed it.
    pub fn has_rule(&self, rule: RuleId) -> bool {
        self.ledger.have(rule).is_some()
    }
}

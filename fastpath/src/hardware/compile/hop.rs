//! Next hops: a group of one rule for each family, which rewrites and sends.
//!
//! Whatever happens to a next hop, its rules are updated: two operations, whoever uses it. A dead one
//! hands its packets to software, which knows each bucket's second choice.

use super::super::plan::{Family, NexthopId};
use super::super::program::{
    Action, ActionsTemplate, Does, Field, Group, Item, Modify, PatternTemplate, Place, RuleId,
    TableId, Target,
};
use super::frame::SOFTWARE;
use super::ledger::Kind;
use super::state::Reason;
use super::{Compiler, Design, Hairpin, Role};
use crate::table::{Adjacency, Disposition, GroupId, PortId};
use std::collections::BTreeMap;

/// The rules of a next hop for one family.
#[derive(Debug)]
pub(super) struct Side {
    /// Where packets for it jump to; of Design B none.
    pub(super) group: Group,
    pub(super) rule: RuleId,
    /// The rule has been there.
    pub(super) ready: bool,
    pub(super) tables: Vec<TableId>,
    /// Ports from which packets cannot go where it leads, and the rules that hand them to software.
    pub(super) guards: BTreeMap<PortId, RuleId>,
    pub(super) guard_table: Option<TableId>,
    pub(super) counts: bool,
    /// Which groups use it, and how often.
    pub(super) users: BTreeMap<GroupId, u32>,
}

/// A next hop.
#[derive(Debug, Default)]
pub(super) struct Hop {
    pub(super) adjacency: Option<Adjacency>,
    pub(super) sides: [Option<Side>; 2],
    /// Of Design B: the queue pair that is its own.
    pub(super) hairpin: Option<Hairpin>,
    /// Of Design B: its rules that are on their way out.
    pub(super) leaving: [u32; 2],
}

impl Hop {
    /// Nothing is known of it and nobody uses it.
    fn is_unused(&self) -> bool {
        let sides = self.sides.iter().all(Option::is_none);
        self.adjacency.is_none() && sides && self.leaving == [0; 2] && self.hairpin.is_none()
    }
}

fn number(mac: &[u8]) -> u64 {
    mac.iter().take(6).fold(0, |n, b| n << 8 | u64::from(*b))
}

impl Compiler {
    /// Why hardware cannot send to a next hop; `Ok`: the port and the header to send with.
    pub(super) fn sendable(&self, id: NexthopId, family: Family) -> Result<Adjacency, Reason> {
        let hop = self.hops.get(&id);
        let adjacency = hop.and_then(|h| h.adjacency).ok_or(Reason::Down(id))?;
        if adjacency.disposition != Disposition::Forward {
            return Err(Reason::Down(id));
        }
        if adjacency.header_len != 14 {
            return Err(Reason::Tagged(id));
        }
        if adjacency.mtu < self.config.mtu {
            return Err(Reason::Mtu(id, adjacency.mtu));
        }
        let port = adjacency.port;
        let reaches = match &self.config.role {
            Role::Dpu {
                uplinks, functions, ..
            } => uplinks.contains(&port) || functions.contains(&port),
            Role::Transit { hairpins, .. } => match self.config.design {
                Design::Rows => hairpins.iter().any(|h| h.egress == port),
                Design::Rss => hop.is_some_and(|h| {
                    h.leaving[family as usize] == 0 && h.hairpin.is_some_and(|h| h.egress == port)
                }),
            },
        };
        match &self.config.role {
            _ if reaches => Ok(adjacency),
            Role::Dpu { .. } => Err(Reason::Elsewhere(id, port)),
            Role::Transit { .. } => Err(Reason::NoHairpin(id, port)),
        }
    }

    pub(super) fn rewrite(
        &self,
        adjacency: &Adjacency,
        family: Family,
        counts: bool,
    ) -> Vec<Action> {
        let (destination, source) = adjacency.header.split_at(6);
        let ttl = match family {
            Family::V4 => Target::Ipv4Ttl,
            Family::V6 => Target::Ipv6HopLimit,
        };
        let mut actions = vec![
            Action::Modify(Modify::set(Target::MacDestination, number(destination))),
            Action::Modify(Modify::set(Target::MacSource, number(source))),
            Action::Modify(Modify::decrement(ttl)),
        ];
        if counts {
            actions.insert(0, Action::Count);
        }
        actions
    }

    /// What a next hop's rule does while it is usable.
    fn forward(&self, adjacency: &Adjacency, family: Family, counts: bool) -> Does {
        let mut actions = self.rewrite(adjacency, family, counts);
        match &self.config.role {
            Role::Dpu { .. } => actions.push(Action::RepresentedPort(adjacency.port)),
            Role::Transit { hairpins, .. } if self.config.design == Design::Rows => {
                let hairpin = hairpins.iter().find(|h| h.egress == adjacency.port);
                actions.push(Action::Queue(hairpin.map_or(0, |h| h.queue)));
            }
            Role::Transit { .. } => {}
        }
        Does::new(0, actions)
    }

    /// One more bucket table of a group has a next hop in it.
    pub(super) fn acquire(&mut self, id: NexthopId, family: Family, group: GroupId) {
        let at = family as usize;
        let hop = self.hops.entry(id).or_default();
        if hop.sides[at].is_none() {
            let side = match self.config.design {
                Design::Rows => Some(self.make_side(id, family)),
                Design::Rss => self.make_egress(id, family),
            };
            if let Some(hop) = self.hops.get_mut(&id) {
                hop.sides[at] = side;
            }
            self.refresh_side(id, family);
        }
        let side = self.hops.get_mut(&id).and_then(|h| h.sides[at].as_mut());
        if let Some(side) = side {
            *side.users.entry(group).or_insert(0) += 1;
        }
    }

    /// One fewer.
    pub(super) fn release(&mut self, id: NexthopId, family: Family, group: GroupId) {
        let at = family as usize;
        let Some(hop) = self.hops.get_mut(&id) else {
            return;
        };
        let Some(side) = &mut hop.sides[at] else {
            return;
        };
        if let Some(count) = side.users.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                side.users.remove(&group);
            }
        }
        if side.users.is_empty() {
            if let Some(side) = hop.sides[at].take() {
                self.counters -= u32::from(side.counts);
                let mut cells: Vec<RuleId> = side.guards.into_values().collect();
                cells.push(side.rule);
                hop.leaving[at] += u32::from(self.config.design == Design::Rss);
                self.retire(side.group, cells, side.tables);
            }
        }
        let unused = self.hops.get(&id).is_some_and(Hop::is_unused);
        if unused {
            self.hops.remove(&id);
        }
    }

    fn make_side(&mut self, id: NexthopId, family: Family) -> Side {
        let counts = self.counter();
        let group = self.ledger.group();
        let mut tables = Vec::new();
        let mut guard_table = None;
        let jump = ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)]);
        if let Role::Dpu { uplinks, .. } = &self.config.role {
            let pattern =
                PatternTemplate::exact(&[Item::RepresentedPort], &[Field::RepresentedPort]);
            let size = uplinks.len() as u32 + 2;
            let spec = self.pattern_table((group, 0, size), pattern, vec![jump.clone()]);
            guard_table = Some(self.ledger.table(spec));
            tables.extend(guard_table);
        }
        let example = Adjacency::forward(PortId(0), 0, [0; 6], [0; 6], 0);
        let mut template =
            ActionsTemplate::per_rule(&self.forward(&example, family, counts).actions);
        for templated in &mut template.0 {
            // Of the rewrites the addresses are each rule's, the decrement is the same for all.
            let decrement = matches!(&templated.action, Action::Modify(m)
                if matches!(m.target, Target::Ipv4Ttl | Target::Ipv6HopLimit));
            templated.fixed = decrement || templated.action == Action::Count;
        }
        let any = PatternTemplate::default();
        let spec = self.pattern_table((group, 1, 1), any, vec![template, jump]);
        let table = self.ledger.table(spec);
        tables.push(table);
        let rule = self
            .ledger
            .cell(Kind::Hop(id, family), table, Place::values([]));
        Side {
            group,
            rule,
            ready: false,
            tables,
            guards: BTreeMap::new(),
            guard_table,
            counts,
            users: BTreeMap::new(),
        }
    }

    /// Looks again at what the rule of a next hop ought to do.
    pub(super) fn refresh_side(&mut self, id: NexthopId, family: Family) {
        let at = family as usize;
        let sendable = self.sendable(id, family);
        let Some(side) = self.hops.get(&id).and_then(|h| h.sides[at].as_ref()) else {
            return;
        };
        let (rule, counts) = (side.rule, side.counts);
        let Ok(adjacency) = sendable else {
            let does = match self.config.design {
                Design::Rows => Some(Does::new(1, [Action::Jump(SOFTWARE)])),
                // No packet gets there; what was last known does no harm.
                Design::Rss => return,
            };
            return self.ledger.want(rule, does);
        };
        if !self.guard(id, family, adjacency.port) {
            let does = Does::new(1, [Action::Jump(SOFTWARE)]);
            return self.ledger.want(rule, Some(does));
        }
        let does = self.forward(&adjacency, family, counts);
        self.ledger.want(rule, Some(does));
    }

    /// An operation about a next hop has come to its end.
    pub(super) fn hop_changed(&mut self, id: NexthopId, family: Family, cell: RuleId) {
        let at = family as usize;
        let Some(side) = self.hops.get_mut(&id).and_then(|h| h.sides[at].as_mut()) else {
            return;
        };
        let users: Vec<GroupId> = side.users.keys().copied().collect();
        if cell != side.rule {
            self.refresh_side(id, family);
        } else {
            let sends = self
                .ledger
                .have(cell)
                .and_then(|d| d.actions.last().cloned());
            if let (Some(Action::RepresentedPort(port)), true) =
                (sends, self.ledger.is_settled(cell))
            {
                self.drop_guards(id, family, port);
            }
            // Groups wait for the rule to be there; what it does is its own affair.
            let side = self.hops.get_mut(&id).and_then(|h| h.sides[at].as_mut());
            let ready = self.ledger.have(cell).is_some();
            let was_ready = side.is_some_and(|s| std::mem::replace(&mut s.ready, ready));
            if !was_ready {
                for group in users {
                    self.progress(group, family);
                }
            }
        }
    }

    /// The rule of a next hop is there (`Some(true)`), will not be (`Some(false)`), or is awaited.
    pub(super) fn hop_ready(&self, id: NexthopId, family: Family) -> Option<bool> {
        let side = self
            .hops
            .get(&id)
            .and_then(|h| h.sides[family as usize].as_ref());
        let Some(side) = side else {
            return Some(false);
        };
        if self.ledger.have(side.rule).is_some() {
            Some(true)
        } else if self.ledger.has_failed(side.rule) {
            Some(false)
        } else {
            None
        }
    }

    /// All next hops that the plan or a group knows.
    pub fn nexthops(&self) -> impl Iterator<Item = NexthopId> + '_ {
        self.hops.keys().copied()
    }

    /// The next hop that a rule counts for, if it does.
    pub(in super::super) fn counts_for(&self, rule: RuleId) -> Option<NexthopId> {
        let counts = self.ledger.have(rule)?.actions.contains(&Action::Count);
        match self.ledger.kind(rule)? {
            Kind::Hop(id, _) if counts => Some(id),
            _ => None,
        }
    }

    /// The rules that count what hardware sends to a next hop.
    pub(in super::super) fn counting(&self, id: NexthopId) -> Vec<RuleId> {
        let sides = self
            .hops
            .get(&id)
            .into_iter()
            .flat_map(|h| h.sides.iter().flatten());
        sides.filter(|s| s.counts).map(|s| s.rule).collect()
    }

    /// A next hop leads elsewhere, or is dead.
    pub(super) fn set_nexthop(&mut self, id: NexthopId, adjacency: Option<Adjacency>) {
        let hop = self.hops.entry(id).or_default();
        if hop.adjacency == adjacency {
            return;
        }
        hop.adjacency = adjacency;
        self.assign_hairpin(id);
        for family in Family::ALL {
            self.refresh_side(id, family);
        }
        if self.config.design == Design::Rss {
            // Whether the group can be hardware's at all depends on each member.
            self.consider_all(id);
        }
        if self.hops.get(&id).is_some_and(Hop::is_unused) {
            self.hops.remove(&id);
        }
    }

    /// Gives a next hop of Design B a queue pair to its port, if it has none and one is left.
    fn assign_hairpin(&mut self, id: NexthopId) {
        let Some(hop) = self.hops.get_mut(&id) else {
            return;
        };
        let Some(port) = hop.adjacency.map(|a| a.port) else {
            return;
        };
        if hop.hairpin.is_none() && hop.leaving == [0; 2] {
            // The first one, whatever was given back in which order.
            let free = self.hairpins.iter().enumerate();
            let free = free.filter(|(_, h)| h.egress == port);
            let free = free.min_by_key(|(_, h)| h.queue).map(|(at, _)| at);
            hop.hairpin = free.map(|at| self.hairpins.swap_remove(at));
        }
    }

    /// A rule of a next hop is no more; of Design B its queue pair may be another's.
    pub(super) fn hop_gone(&mut self, id: NexthopId, family: Family) {
        let Some(hop) = self.hops.get_mut(&id) else {
            return;
        };
        let leaving = &mut hop.leaving[family as usize];
        if *leaving == 0 {
            return;
        }
        *leaving -= 1;
        let mut waiting = vec![id];
        if hop.leaving == [0; 2] && hop.sides.iter().all(Option::is_none) {
            self.hairpins.extend(hop.hairpin.take());
            if hop.is_unused() {
                self.hops.remove(&id);
            }
            let without = |(id, h): (&NexthopId, &Hop)| h.hairpin.is_none().then_some(*id);
            waiting.extend(self.hops.iter().filter_map(without));
            waiting.sort_unstable();
            waiting.dedup();
        }
        for id in waiting {
            self.assign_hairpin(id);
            // A group that gave it up and took it again at once waits for the new rule, which could
            // not be asked for beside the old one.
            for family in Family::ALL {
                self.refresh_side(id, family);
            }
            self.consider_all(id);
        }
    }

    /// Looks again at all groups with a next hop.
    fn consider_all(&mut self, id: NexthopId) {
        for group in self.sets_with(id) {
            for family in Family::ALL {
                self.consider(group, family);
            }
        }
    }
}

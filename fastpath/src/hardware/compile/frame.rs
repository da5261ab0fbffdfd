//! The frame of a program: who is let in, and what is software's by its headers.
//!
//! ```text
//!  root      our MAC, IP, no tag ─► ADMIT4 | ADMIT6; our MAC, tagged IP ─► SOFTWARE; else untouched
//!  ADMIT     where the kernel has a netdev of the port, and so tagged IP comes here: own addresses ─► KERNEL,
//!            then what is tagged ─► SOFTWARE
//!            martians, multicast, TTL ≤ 1, longer than the MTU, fragments ─► SOFTWARE
//!            sound header without options, and UDP or TCP ─► LPM; the rest ─► SOFTWARE
//!  LPM       a table for each length; hit ─► SELECT(group) | KERNEL | SOFTWARE
//!  SOFTWARE  to the workers' queues, or to the e-switch manager
//! ```
//!
//! Only UDP and TCP are let in: of other protocols NIC and software do not read the same ports.

use super::super::plan::{Entry, Family};
use super::super::program::{
    Action, ActionsTemplate, Does, Domain, Field, Group, Insertion, Item, Masked, PatternTemplate,
    Place, RuleId, Table, TableId,
};
use super::ledger::Kind;
use super::own::Owned;
use super::{Compiler, Role};
use crate::table::PortId;
use crate::wire::{ethernet, ipv6, transport};
use std::collections::{BTreeMap, BTreeSet};

/// Where packets of a family are let in.
pub(super) const ADMIT: [Group; 2] = [Group(1), Group(2)];
/// Where their prefixes are.
pub(in super::super) const LPM: [Group; 2] = [Group(3), Group(4)];
/// To software.
pub(in super::super) const SOFTWARE: Group = Group(5);
/// To the kernel.
pub(super) const KERNEL: Group = Group(6);

/// What of the frame changes.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Rules without which nobody is let in.
    unready: BTreeSet<RuleId>,
    /// The rules that let packets into LPM, and may not.
    pub(super) admits: [Vec<RuleId>; 2],
    pub(super) kernel: bool,
    /// Own addresses, of each family.
    pub(super) own: [Owned; 2],
    root: Option<TableId>,
    roots: BTreeMap<PortId, Vec<RuleId>>,
    ports: BTreeMap<PortId, Entry>,
}

impl Frame {
    /// Everything is there without which nobody is let in.
    pub(super) fn is_ready(&self) -> bool {
        self.unready.is_empty()
    }
}

/// A mask over the first `n` bits of a field.
pub(super) fn leading(field: Field, n: u32) -> u128 {
    let width = field.width();
    field.full() & !(field.full().checked_shr(n.min(width)).unwrap_or(0))
}

pub(super) fn to(group: Group) -> Does {
    Does::new(0, [Action::Jump(group)])
}

impl Compiler {
    /// A table of patterns of this program.
    pub(super) fn pattern_table(
        &self,
        (group, priority, size): (Group, u32, u32),
        pattern: PatternTemplate,
        actions: Vec<ActionsTemplate>,
    ) -> Table {
        Table {
            id: TableId(0),
            port: self.config.port(),
            domain: self.domain(),
            group,
            priority,
            insertion: Insertion::Pattern,
            size,
            pattern,
            actions,
        }
    }

    pub(super) fn domain(&self) -> Domain {
        match self.config.role {
            Role::Transit { .. } => Domain::Ingress,
            Role::Dpu { .. } => Domain::Transfer,
        }
    }

    /// A counter for one more rule, if there is one.
    pub(super) fn counter(&mut self) -> bool {
        let left = self.counters < self.can.counters;
        self.counters += u32::from(left);
        left
    }

    /// Wants all that every program has.
    pub(super) fn build_frame(&mut self) {
        let software = match &self.config.role {
            Role::Transit { software, .. } => Action::Rss(software.clone()),
            Role::Dpu { .. } => Action::ToManager,
        };
        self.fixed_rule(SOFTWARE, &software);
        if let Role::Transit { kernel: true, .. } = self.config.role {
            self.fixed_rule(KERNEL, &Action::SendToKernel);
            self.frame.kernel = true;
        }
        for family in Family::ALL {
            self.build_lpm(family);
            self.build_admission(family);
        }
        self.build_egress();
        let mut fields = vec![Field::EthDestination, Field::EthType, Field::EthHasVlan];
        let mut items = vec![Item::Eth];
        if self.domain() == Domain::Transfer {
            items.insert(0, Item::RepresentedPort);
            fields.insert(0, Field::RepresentedPort);
        }
        let pattern = PatternTemplate::exact(&items, &fields);
        let jump = ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)]);
        // Four rules a port, twice while an address changes.
        let size = 8 * crate::table::MAX_PORTS as u32;
        let root = self.pattern_table((Group(0), 0, size), pattern, vec![jump]);
        self.frame.root = Some(self.ledger.table(root));
    }

    /// A group with one rule that does this with every packet.
    fn fixed_rule(&mut self, group: Group, action: &Action) {
        let actions = ActionsTemplate::fixed(std::slice::from_ref(action));
        let spec = self.pattern_table((group, 0, 1), PatternTemplate::default(), vec![actions]);
        let table = self.ledger.table(spec);
        self.fixed_cell(table, Place::values([]), Does::new(0, [action.clone()]));
    }

    /// A rule of the frame, without which nobody is let in.
    pub(super) fn fixed_cell(&mut self, table: TableId, place: Place, does: Does) -> RuleId {
        let cell = self.ledger.cell(Kind::Static, table, place);
        self.ledger.want(cell, Some(does));
        self.frame.unready.insert(cell);
        cell
    }

    /// A rule without which nobody is let in.
    pub(super) fn await_rule(&mut self, cell: RuleId) {
        self.frame.unready.insert(cell);
    }

    /// A table of what goes to `whose` group by its headers, with one rule for each of `places`.
    pub(super) fn exception(
        &mut self,
        (group, priority, whose): (Group, u32, Group),
        pattern: PatternTemplate,
        places: Vec<Place>,
    ) {
        let counts = (0..places.len()).all(|_| self.counter());
        let mut actions = vec![Action::Jump(whose)];
        if counts {
            actions.insert(0, Action::Count);
        }
        let template = ActionsTemplate::fixed(&actions);
        let size = places.len() as u32;
        let spec = self.pattern_table((group, priority, size), pattern, vec![template]);
        let table = self.ledger.table(spec);
        for place in places {
            self.fixed_cell(table, place, Does::new(0, actions.clone()));
        }
    }

    fn build_admission(&mut self, family: Family) {
        let group = ADMIT[family as usize];
        let mut priority = 0;
        let mut next = || {
            priority += 1;
            priority - 1
        };
        self.build_own(family, &mut next);
        let item = match family {
            Family::V4 => Item::Ipv4,
            Family::V6 => Item::Ipv6,
        };
        for (field, bits, values) in martians(family) {
            let pattern =
                PatternTemplate::masked(&[Item::Eth, item], &[(field, leading(field, bits))]);
            let places = values.iter().map(|v| Place::values([*v])).collect();
            self.exception((group, next(), SOFTWARE), pattern, places);
        }
        let (ttl, length, fragmented, protocol) = match family {
            Family::V4 => (
                Field::Ipv4Ttl,
                Field::Ipv4Length,
                Field::Ipv4Fragmented,
                Field::Ipv4Protocol,
            ),
            Family::V6 => (
                Field::Ipv6HopLimit,
                Field::Ipv6Length,
                Field::Ipv6Fragmented,
                Field::Ipv6Protocol,
            ),
        };
        let items = [Item::Eth, item];
        // 0 and 1.
        let pattern = PatternTemplate::masked(&items, &[(ttl, 0xfe)]);
        self.exception((group, next(), SOFTWARE), pattern, vec![Place::values([0])]);
        let pattern = PatternTemplate::exact(&items, &[fragmented]);
        self.exception((group, next(), SOFTWARE), pattern, vec![Place::values([1])]);
        let header = if family == Family::V6 {
            ipv6::HEADER
        } else {
            0
        };
        let most = self.config.mtu.saturating_sub(header as u16);
        for (masked, place) in longer_than(length, most, self.can.ranges) {
            let pattern = PatternTemplate {
                items: items.to_vec(),
                fields: vec![masked],
                relaxed: false,
            };
            self.exception((group, next(), SOFTWARE), pattern, vec![place]);
        }
        for (l4, number) in [(Item::Udp, transport::UDP), (Item::Tcp, transport::TCP)] {
            let mut fields = vec![Field::L3Ok];
            let mut values = vec![1];
            if family == Family::V4 {
                fields.extend([Field::Ipv4ChecksumOk, Field::Ipv4Ihl]);
                values.extend([1, 5]);
            }
            fields.extend([fragmented, protocol]);
            values.extend([0, number.into()]);
            let pattern = PatternTemplate::exact(&[Item::Integrity, Item::Eth, item, l4], &fields);
            let jump = ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)]);
            let spec = self.pattern_table((group, next(), 1), pattern, vec![jump]);
            let table = self.ledger.table(spec);
            let cell = self
                .ledger
                .cell(Kind::Admit(family), table, Place::values(values));
            self.ledger.want(cell, Some(to(LPM[family as usize])));
            self.frame.unready.insert(cell);
            self.frame.admits[family as usize].push(cell);
        }
        let rest = vec![Place::values([])];
        self.exception((group, next(), SOFTWARE), PatternTemplate::default(), rest);
    }

    /// A port that packets come in by, or none any more.
    pub(super) fn set_port(&mut self, port: PortId, entry: Option<Entry>) {
        let known = match (&self.config.role, entry) {
            (_, None) => self.frame.ports.remove(&port),
            (Role::Transit { port: own, .. }, _) if *own != port => return,
            (
                Role::Dpu {
                    uplinks, functions, ..
                },
                _,
            ) if !uplinks.contains(&port) && !functions.contains(&port) => return,
            (_, Some(entry)) => self.frame.ports.insert(port, entry),
        };
        if known != entry {
            if entry.is_some_and(|entry| !entry.untagged) {
                self.refuse_untagged();
            }
            for cell in self.frame.roots.remove(&port).unwrap_or_default() {
                self.ledger.want(cell, None);
            }
            self.open_roots();
        }
    }

    /// Lets packets in, by ports that are known and closed, once the frame is ready.
    fn open_roots(&mut self) {
        let Some(root) = self.frame.root.filter(|_| self.frame.is_ready()) else {
            return;
        };
        let of_port = self.domain() == Domain::Transfer;
        for (port, entry) in &self.frame.ports {
            if self.frame.roots.contains_key(port) {
                continue;
            }
            let mac = entry.mac.iter().fold(0, |n, b| n << 8 | u128::from(*b));
            let mut cells = Vec::new();
            for (family, ethertype) in [(0, ethernet::IPV4), (1, ethernet::IPV6)] {
                for tagged in [0, 1] {
                    // Where the kernel has a netdev, the tags are looked at behind own addresses.
                    let in_hardware = tagged == 0 && entry.untagged || self.frame.kernel;
                    let group = if in_hardware { ADMIT[family] } else { SOFTWARE };
                    let mut values = vec![mac, ethertype.into(), tagged];
                    if of_port {
                        values.insert(0, port.0.into());
                    }
                    let cell = self.ledger.cell(Kind::Root, root, Place::values(values));
                    self.ledger.want(cell, Some(to(group)));
                    cells.push(cell);
                }
            }
            self.frame.roots.insert(*port, cells);
        }
    }

    /// A rule of the frame is there.
    pub(super) fn frame_settled(&mut self, cell: RuleId) {
        if self.frame.unready.remove(&cell) && self.frame.is_ready() {
            self.open_roots();
        }
    }

    /// Packets of this port are let in.
    pub(super) fn is_open(&self, port: PortId) -> bool {
        let cells = self.frame.roots.get(&port);
        cells.is_some_and(|c| c.iter().all(|id| self.ledger.is_settled(*id)))
    }
}

impl Compiler {
    /// Packets of any port are let in.
    pub(super) fn is_any_open(&self) -> bool {
        self.frame.roots.keys().any(|port| self.is_open(*port))
    }
}

/// Addresses that are the kernel's or nobody's: a field, how many leading bits, their values.
fn martians(family: Family) -> Vec<(Field, u32, Vec<u128>)> {
    match family {
        Family::V4 => [Field::Ipv4Destination, Field::Ipv4Source]
            .into_iter()
            .flat_map(|field| {
                [
                    (field, 4, vec![0xe000_0000, 0xf000_0000]),
                    (field, 8, vec![0, 0x7f00_0000]),
                ]
            })
            .collect(),
        Family::V6 => [Field::Ipv6Destination, Field::Ipv6Source]
            .into_iter()
            .flat_map(|field| {
                [
                    (field, 8, vec![0xff << 120]),
                    (field, 10, vec![0xfe80 << 112]),
                    (field, 127, vec![0]),
                ]
            })
            .collect(),
    }
}

/// Matches for lengths above `most`: one range, or a mask for each of its bits that is 0.
fn longer_than(field: Field, most: u16, ranges: bool) -> Vec<(Masked, Place)> {
    let masked = |mask, range| Masked { field, mask, range };
    if most == u16::MAX {
        return Vec::new();
    }
    if ranges {
        let place = Place::Pattern {
            spec: vec![u128::from(most) + 1],
            last: vec![0xffff],
        };
        return vec![(masked(0xffff, true), place)];
    }
    let zeros = (0..16).rev().filter(|bit| most >> bit & 1 == 0);
    zeros
        .map(|bit| {
            let mask = 0xffff_u16 << bit;
            let value = most & mask | 1 << bit;
            (masked(mask.into(), false), Place::values([value.into()]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_above_the_mtu_are_met_exactly() {
        for most in [0, 1, 576, 1460, 1500, 9000, 65_534, 65_535] {
            for ranges in [true, false] {
                let all = longer_than(Field::Ipv4Length, most, ranges);
                for length in 0..=u16::MAX {
                    let met = all.iter().any(|(masked, place)| match place {
                        Place::Pattern { spec, last } if masked.range => {
                            (spec[0]..=last[0]).contains(&length.into())
                        }
                        Place::Pattern { spec, .. } => u128::from(length) & masked.mask == spec[0],
                        Place::Index(_) => false,
                    });
                    assert_eq!(met, length > most, "{length} {most}");
                }
            }
        }
    }

    #[test]
    fn leading_bits() {
        assert_eq!(leading(Field::Ipv4Source, 4), 0xf000_0000);
        assert_eq!(leading(Field::Ipv4Source, 32), 0xffff_ffff);
        assert_eq!(leading(Field::Ipv6Source, 127), u128::MAX - 1);
        assert_eq!(leading(Field::Ipv6Source, 128), u128::MAX);
        assert_eq!(leading(Field::Ipv4Source, 0), 0);
    }
}

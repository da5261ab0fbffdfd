//! Own addresses, where the kernel has a netdev of the port: whatever is for them is the kernel's, ahead
//! of all that is software's by its headers. BGP has a TTL of 1, a ping is neither UDP nor TCP, and
//! neighbor discovery is for link-local addresses; software would have nobody to hand them to.
//!
//! Whatever tags their frames carry, for the kernel has netdevs of VLANs that are none of ours: only behind these
//! rules is a frame software's for its tags.
//!
//! Prefixes of full length that lead to the kernel are own addresses. One without a rule, for want of room
//! or since it was refused, goes the way of other prefixes: the kernel's if hardware understands its
//! packets, else software's, which punts them.

use super::super::plan::{Family, Lead};
use super::super::program::{
    Action, ActionsTemplate, Field, Item, PatternTemplate, Place, RuleId, TableId,
};
use super::Compiler;
use super::frame::{ADMIT, KERNEL, SOFTWARE, leading, to};
use super::ledger::{Kind, Slot};
use std::collections::BTreeMap;

/// Own addresses of a family that have rules: a router has some for each of its ports.
const ROOM: u32 = 1024;

/// Of one family.
#[derive(Debug, Default)]
pub(super) struct Owned {
    table: Option<TableId>,
    cells: BTreeMap<u128, RuleId>,
    /// Some have found no room.
    crowded: bool,
    /// What is software's for its tags, or for want of them.
    tags: Option<TableId>,
}

impl Compiler {
    /// Wants what comes before all exceptions, at priorities that `next` gives.
    pub(super) fn build_own(&mut self, family: Family, mut next: impl FnMut() -> u32) {
        if !self.frame.kernel {
            return;
        }
        let group = ADMIT[family as usize];
        let (item, field) = of(family);
        let pattern = PatternTemplate::exact(&[Item::Eth, item], &[field]);
        let jump = ActionsTemplate::per_rule(&[Action::Jump(SOFTWARE)]);
        let spec = self.pattern_table((group, next(), ROOM), pattern, vec![jump]);
        let table = self.ledger.table(spec);
        self.frame.own[family as usize].table = Some(table);
        // Multicast to our own MAC address, and link-local addresses, which are all own ones.
        let kernels: &[(u32, u128)] = match family {
            Family::V4 => &[(4, 0xe000_0000)],
            Family::V6 => &[(8, 0xff << 120), (10, 0xfe80 << 112)],
        };
        for (bits, value) in kernels {
            let pattern =
                PatternTemplate::masked(&[Item::Eth, item], &[(field, leading(field, *bits))]);
            let places = vec![Place::values([*value])];
            self.exception((group, next(), KERNEL), pattern, places);
        }
        // Items without a VLAN match tagged frames, too (mlx5.rst, "Limitations").
        let pattern = PatternTemplate::exact(&[Item::Eth], &[Field::EthHasVlan]);
        let jump = ActionsTemplate::fixed(&[Action::Jump(SOFTWARE)]);
        let spec = self.pattern_table((group, next(), 2), pattern, vec![jump]);
        let table = self.ledger.table(spec);
        self.fixed_cell(table, Place::values([1]), to(SOFTWARE));
        self.frame.own[family as usize].tags = Some(table);
    }

    /// Frames without a tag are none of a port's that is behind one, but for those to own addresses.
    pub(super) fn refuse_untagged(&mut self) {
        for family in Family::ALL {
            if let Some(table) = self.frame.own[family as usize].tags.take() {
                self.fixed_cell(table, Place::values([0]), to(SOFTWARE));
            }
        }
    }

    /// A prefix leads elsewhere: of full length it may be an own address now, or none any more.
    pub(super) fn set_own(&mut self, family: Family, address: u128, is_own: bool) {
        let owned = &self.frame.own[family as usize];
        let Some(table) = owned.table else { return };
        let cell = match owned.cells.get(&address) {
            Some(cell) => *cell,
            None if !is_own => return,
            None => {
                let (used, room) = self.ledger.fill(table);
                if used >= room as usize {
                    self.frame.own[family as usize].crowded = true;
                    return;
                }
                let slot = Slot {
                    family,
                    address,
                    length: family.width(),
                };
                let cell = self.ledger.cell(Kind::Own(slot), table, place(address));
                self.frame.own[family as usize].cells.insert(address, cell);
                if !self.frame.is_ready() {
                    // Known before anything is let in: let in with them, then.
                    self.await_rule(cell);
                }
                cell
            }
        };
        self.ledger.want(cell, is_own.then(|| to(KERNEL)));
    }

    /// An own address's rule is no more: if it is wanted again meanwhile, or another wants the room.
    pub(super) fn own_gone(&mut self, slot: Slot, cell: RuleId) {
        let owned = &mut self.frame.own[slot.family as usize];
        owned.cells.remove(&slot.address);
        let crowded = std::mem::take(&mut owned.crowded);
        self.frame_settled(cell);
        let all = match crowded {
            true => {
                let mut all = self.lpm[slot.family as usize].kernels(slot.length);
                all.sort_unstable();
                all
            }
            false => vec![slot.address],
        };
        for address in all {
            let lead = self.lpm[slot.family as usize].lead(address, slot.length);
            if lead == Some(Lead::Kernel) {
                self.set_own(slot.family, address, true);
            }
        }
    }

    /// The table is of own addresses.
    pub(super) fn is_of_own(&self, table: TableId) -> bool {
        self.frame.own.iter().any(|o| o.table == Some(table))
    }
}

const fn of(family: Family) -> (Item, Field) {
    match family {
        Family::V4 => (Item::Ipv4, Field::Ipv4Destination),
        Family::V6 => (Item::Ipv6, Field::Ipv6Destination),
    }
}

fn place(address: u128) -> Place {
    Place::values([address])
}

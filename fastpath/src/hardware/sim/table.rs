//! Tables with their rules, and which rule a packet hits.

use super::super::crc::Input;
use super::super::program::{Does, HashFunction, Insertion, PatternTemplate, Place, RuleId, Table};
use super::packet::Packet;
use std::collections::HashMap;

/// How far a rule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its insertion has not completed.
    Inserting,
    /// It is in force.
    Ready,
    /// Its insertion failed; it must be destroyed all the same.
    Failed,
    /// An update failed: it does what it did, and takes no other (`mlx5dr_rule_action_update`).
    Broken,
    /// In force, and nobody has its handle: until its table goes or its row is written.
    Lost,
}

/// A rule as the NIC has it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) table: u32,
    pub(super) place: Place,
    pub(super) does: Does,
    pub(super) stage: Stage,
    /// An operation about it is under way.
    pub(super) busy: bool,
    /// The queue that its operations use.
    pub(super) queue: u32,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Number in the driver's pool, for the bug that takes it for the row.
    pub(super) pool: u32,
}

/// A table as the NIC has it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) spec: Table,
    pub(super) entries: u64,
    /// Rules in any stage.
    pub(super) rules: u32,
    /// Given out of the pool so far.
    pub(super) pooled: u32,
    patterns: HashMap<Vec<u128>, RuleId>,
    /// Rules of tables with ranges, in the order of insertion.
    ranges: Vec<(Vec<u128>, Vec<u128>, RuleId)>,
    rows: Vec<Option<RuleId>>,
    input: Option<Input>,
    /// What is added to its hash, where the NIC has another one.
    pub(super) twist: u32,
}

fn has_ranges(pattern: &PatternTemplate) -> bool {
    pattern.fields.iter().any(|f| f.range)
}

impl Made {
    pub(super) fn new(spec: Table, entries: u64) -> Self {
        let rows = match spec.insertion {
            Insertion::Index(_) => spec.size as usize,
            Insertion::Pattern => 0,
        };
        Made {
            entries,
            rules: 0,
            pooled: 0,
            patterns: HashMap::new(),
            ranges: Vec::new(),
            rows: vec![None; rows],
            input: Input::of(&spec.pattern),
            twist: 0,
            spec,
        }
    }

    /// The hash of a packet with these values, where that is known.
    pub(super) fn hash(&self, values: &[u128]) -> Option<u32> {
        let is_crc = self.spec.insertion == Insertion::Index(HashFunction::Crc32);
        self.input
            .filter(|_| is_crc)
            .map(|input| input.hash(values) ^ self.twist)
    }

    /// The rule that has the place.
    pub(super) fn at(&self, place: &Place) -> Option<RuleId> {
        match place {
            Place::Index(row) => self.rows.get(*row as usize).copied().flatten(),
            Place::Pattern { spec, .. } => self.patterns.get(spec).copied(),
        }
    }

    /// Puts a rule in force.
    pub(super) fn put(&mut self, place: &Place, id: RuleId) {
        match place {
            Place::Index(row) => self.set_row(*row, Some(id)),
            Place::Pattern { spec, last } if has_ranges(&self.spec.pattern) => {
                self.ranges.push((spec.clone(), last.clone(), id));
            }
            Place::Pattern { spec, .. } => {
                self.patterns.insert(spec.clone(), id);
            }
        }
    }

    pub(super) fn set_row(&mut self, row: u32, to: Option<RuleId>) {
        if let Some(slot) = self.rows.get_mut(row as usize) {
            *slot = to;
        }
    }

    /// Takes a rule out.
    pub(super) fn take(&mut self, place: &Place, id: RuleId) {
        match place {
            // Of one that is not there another may have the place.
            Place::Index(row) => {
                if self.at(place) == Some(id) {
                    self.set_row(*row, None);
                }
            }
            Place::Pattern { .. } if has_ranges(&self.spec.pattern) => {
                self.ranges.retain(|r| r.2 != id);
            }
            Place::Pattern { spec, .. } => {
                if self.at(place) == Some(id) {
                    self.patterns.remove(spec);
                }
            }
        }
    }

    /// The rule that a packet hits. `Err`: a row that nothing was put in, so the packet is lost.
    pub(super) fn hit(
        &self,
        packet: &mut Packet,
        values: &mut Vec<u128>,
    ) -> Result<Option<RuleId>, ()> {
        let pattern = &self.spec.pattern;
        if let Insertion::Index(hash) = self.spec.insertion {
            // Such a table is always hit, whatever the packet is.
            let row = match hash {
                HashFunction::Linear => packet.linear(),
                HashFunction::Crc32 => {
                    read(pattern, packet, values);
                    let hash = self
                        .input
                        .map_or(0, |input| input.hash(values) ^ self.twist);
                    packet.hash_result = hash;
                    hash
                }
            };
            let at = row as usize & self.rows.len().wrapping_sub(1);
            return match self.rows.get(at) {
                Some(Some(id)) => Ok(Some(*id)),
                _ => Err(()),
            };
        }
        if !packet.has_items(pattern) {
            return Ok(None);
        }
        read(pattern, packet, values);
        if has_ranges(pattern) {
            let within = |(spec, last, _): &&(Vec<u128>, Vec<u128>, RuleId)| {
                let each = values.iter().zip(spec.iter().zip(last));
                each.into_iter()
                    .all(|(v, (first, last))| (first..=last).contains(&v))
            };
            return Ok(self.ranges.iter().find(within).map(|r| r.2));
        }
        Ok(self.patterns.get(values.as_slice()).copied())
    }
}

fn read(pattern: &PatternTemplate, packet: &Packet, values: &mut Vec<u128>) {
    values.clear();
    let each = pattern.fields.iter();
    values.extend(each.map(|f| packet.field(f.field) & f.mask));
}

/// The row that the driver's update writes in place of a rule's own: the number of the rule in its
/// pool, which hands out 0, 64, 128, 192, 1, 65 and so on where there are 128 or more, and in order
/// below that (v24.11 `mlx5_flow_hw.c:4146`).
pub(super) fn wrong_row(nth: u32, size: u32) -> u32 {
    if size < 128 {
        return nth % size.max(1);
    }
    let slabs = size / 64;
    (nth % slabs * 64 + nth / slabs) % size
}

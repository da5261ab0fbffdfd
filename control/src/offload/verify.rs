//! Audits of the hardware plane, and its programs for others: what control gives along, piece by piece,
//! and what is made of the copies.

use super::inquiry::{PATIENCE, Told};
use super::{Setting, What};
use crate::api::message::{Checked, Difference, Exported, Verified, VerifyNext, VerifyQuery};
use crate::control::Control;
use fastpath::hardware::audit::{self, Altered, Copied, Snapshot};
use fastpath::hardware::compile::Role;
use fastpath::hardware::export::{Ethdev, testpmd};
use fastpath::hardware::plan::{Change, NexthopId};
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// The most differences of all programs that are listed.
pub(super) const LISTED: usize = 1000;
/// Buckets, and prefixes, that a piece of the plan has; of buckets those of one group more.
const BUCKETS: usize = 16_384;
const PREFIXES: usize = 8_192;

/// A program, and the plan that it ought to be of.
#[derive(Debug)]
pub struct Comparison {
    pub(super) copy: Altered,
    /// What the driver has said already.
    pub(super) lost: Vec<audit::Difference>,
    pub(super) plan: Vec<Arc<[Change]>>,
    /// Ports that hardware knows to be down before control does.
    pub(super) down: Vec<PortId>,
    pub(super) names: Arc<BTreeMap<NexthopId, String>>,
    pub(super) say: SyncSender<Verified>,
}

impl Comparison {
    /// Compares. Takes as long as compiling the whole plan.
    pub(super) fn make(self) {
        let program = Snapshot::from(self.copy.settle());
        let told = || self.plan.iter().flat_map(|piece| piece.iter());
        let mut hops = BTreeMap::new();
        for change in told() {
            if let Change::Nexthop(id, adjacency) = change {
                hops.insert(*id, adjacency.is_some_and(|a| self.down.contains(&a.port)));
            }
        }
        let dead = hops.into_iter().filter(|(_, is_dead)| *is_dead);
        let dead: Vec<Change> = dead.map(|(id, _)| Change::Nexthop(id, None)).collect();
        let planned = program.anew(told().chain(&dead));
        let mut verified = Verified {
            checked: Checked {
                rules: program.rules() as u64,
                ..Checked::default()
            },
            ..Verified::default()
        };
        let found = program.differences(&planned).into_iter().chain(self.lost);
        for difference in found {
            if verified.differences.len() == LISTED {
                verified.omitted += 1;
                continue;
            }
            verified.differences.push(Difference {
                of: "hardware".into(),
                object: named(&self.names, difference.object),
                planned: difference.planned,
                found: difference.found,
            });
        }
        // Who asked may have gone away meanwhile.
        let _ = self.say.send(verified);
    }
}

/// With a next hop's name in place of its number.
fn named(names: &BTreeMap<NexthopId, String>, object: String) -> String {
    let number = object.strip_prefix("nexthop ").and_then(|rest| {
        let (number, rest) = rest.split_once(", ")?;
        Some((NexthopId(number.parse().ok()?), rest))
    });
    let name = number.and_then(|(id, rest)| Some((names.get(&id)?, rest)));
    name.map_or(object.clone(), |(name, rest)| {
        format!("nexthop {name}, {rest}")
    })
}

/// A piece of a script.
#[derive(Debug)]
pub(super) enum Line {
    /// There are more.
    Piece(String),
    /// The last one, and the sum.
    Last(Box<Exported>),
}

/// Programs that are to be written as a script for testpmd.
#[derive(Debug)]
pub struct Scripting {
    copies: Vec<Altered>,
    ports: Vec<Ethdev>,
    say: SyncSender<Line>,
}

impl Scripting {
    pub(super) fn new(copies: Vec<Altered>, setting: &Setting, say: SyncSender<Line>) -> Self {
        let transit = |c: &Altered| matches!(c.config().role, Role::Transit { .. });
        let transit = copies.iter().any(transit);
        let each = setting.ports.iter().enumerate();
        let ports = each.map(|(n, name)| Ethdev {
            port: PortId(n as u16),
            name: name.clone(),
            number: n as u16,
            isolated: transit,
        });
        Scripting {
            ports: ports.collect(),
            copies,
            say,
        }
    }

    /// Writes, as fast as somebody takes it; ends when nobody does any more.
    pub(super) fn make(self) {
        let programs: Vec<Copied> = self.copies.into_iter().map(Altered::settle).collect();
        let mut say = |text| self.say.send(Line::Piece(text)).is_ok();
        let Some(script) = testpmd(&programs, &self.ports, &mut say) else {
            return;
        };
        let _ = self.say.send(Line::Last(Box::new(script.into())));
    }
}

/// An audit of the hardware plane that is being told the plan.
#[derive(Debug, Default)]
pub(super) struct Telling {
    number: u32,
    groups: Vec<GroupId>,
    /// Of the routes: what comes to another one is a change that is told anyway.
    places: usize,
    asked: Option<Instant>,
}

impl Telling {
    /// The number of another question, which takes the place of this one.
    fn another(&mut self) -> u32 {
        let number = self.number.wrapping_add(1);
        *self = Telling {
            number,
            ..Telling::default()
        };
        number
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn tidy(&mut self, now: Instant) {
        let is_old = |asked: Instant| now.saturating_duration_since(asked) >= PATIENCE;
        if self.asked.is_some_and(is_old) {
            self.another();
        }
    }
}

impl<L: LpmWrite> Control<L> {
    /// A piece of the plan, as the hardware plane knows it: by the numbers that it was told.
    pub(super) fn audit_offload(&mut self, query: &VerifyQuery, now: Instant) -> What {
        let Some(offload) = &mut self.offload else {
            return What::Show;
        };
        let mut changes = Vec::new();
        let telling = &mut offload.telling;
        if query.next.is_none() {
            *telling = Telling {
                number: telling.another(),
                asked: Some(now),
                groups: self.plan.groups.iter().map(|g| g.0).collect(),
                places: self.rib.places(),
            };
            offload.feed.facts(&self.plan, &mut changes);
        }
        let next = query.next.unwrap_or(VerifyNext {
            audit: telling.number,
            at: 0,
        });
        if next.audit != telling.number {
            // Of one that is over.
            return What::Verify(Told {
                is_first: false,
                repair: false,
                changes,
                is_all: false,
                next,
            });
        }
        let groups = telling.groups.len();
        let end = groups + telling.places;
        let mut at = end.min(next.at as usize);
        let mut buckets = 0;
        while let Some(id) = telling.groups.get(at).filter(|_| buckets < BUCKETS) {
            if let Some(table) = offload.feed.table(&self.plan, *id) {
                buckets += table.len();
                changes.push(Change::Group(*id, Some(table)));
            }
            at += 1;
        }
        // A piece is of groups or of prefixes.
        if at >= groups && buckets == 0 {
            let most = PREFIXES.min(end - at);
            for (prefix, entry) in self.rib.slice(at - groups, most) {
                if entry.group != GroupId::NONE {
                    let lead = super::feed::lead(&self.plan, entry.group);
                    changes.push(super::feed::change(prefix, lead));
                }
            }
            at += most;
        }
        let is_all = at == end;
        if is_all {
            *telling = Telling {
                number: telling.number,
                ..Telling::default()
            };
        }
        What::Verify(Told {
            is_first: query.next.is_none(),
            repair: query.repair,
            changes,
            is_all,
            next: VerifyNext {
                audit: next.audit,
                at: if is_all { u64::MAX } else { at as u64 },
            },
        })
    }

    /// The beginning of an export, or more of it.
    pub(super) fn export_offload(&mut self, query: &VerifyQuery) -> What {
        let Some(offload) = &mut self.offload else {
            return What::Show;
        };
        let is_first = query.next.is_none();
        let next = query.next.unwrap_or_else(|| VerifyNext {
            audit: offload.telling.another(),
            at: 0,
        });
        What::Export(is_first, next)
    }
}

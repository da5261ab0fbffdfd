//! Guards of next hops in an e-switch: from where packets cannot go there, to software.

use super::super::plan::{Family, NexthopId};
use super::super::program::Place;
use super::frame::{SOFTWARE, to};
use super::ledger::Kind;
use super::{Compiler, Role};
use crate::table::PortId;

impl Compiler {
    /// Ports from which the e-switch cannot forward to `to`, or to which it would send back.
    pub(super) fn barred(&self, to: PortId) -> Vec<PortId> {
        match &self.config.role {
            Role::Transit { .. } => Vec::new(),
            Role::Dpu { uplinks, .. } if uplinks.contains(&to) => uplinks.clone(),
            Role::Dpu { .. } => vec![to],
        }
    }

    /// Wants the guards of a next hop that leads to `port`; whether all are there.
    pub(super) fn guard(&mut self, id: NexthopId, family: Family, port: PortId) -> bool {
        let at = family as usize;
        let barred = self.barred(port);
        let Some(side) = self.hops.get_mut(&id).and_then(|h| h.sides[at].as_mut()) else {
            return false;
        };
        let Some(table) = side.guard_table else {
            return barred.is_empty();
        };
        for from in &barred {
            side.guards.entry(*from).or_insert_with(|| {
                let place = Place::values([from.0.into()]);
                let cell = self.ledger.cell(Kind::Hop(id, family), table, place);
                self.ledger.want(cell, Some(to(SOFTWARE)));
                cell
            });
        }
        barred.iter().all(|from| {
            let guard = side.guards.get(from);
            guard.is_some_and(|g| self.ledger.have(*g).is_some())
        })
    }

    /// Guards against ways that a next hop, which leads to `port` now, no longer has.
    pub(super) fn drop_guards(&mut self, id: NexthopId, family: Family, port: PortId) {
        let barred = self.barred(port);
        let side = self
            .hops
            .get_mut(&id)
            .and_then(|h| h.sides[family as usize].as_mut());
        if let Some(side) = side {
            let over: Vec<PortId> = side.guards.keys().copied().collect();
            for from in over.into_iter().filter(|p| !barred.contains(p)) {
                if let Some(cell) = side.guards.remove(&from) {
                    self.ledger.want(cell, None);
                }
            }
        }
    }
}

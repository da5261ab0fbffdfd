//! Design B: rewrites on the way out, keyed by the hairpin queue that a next hop has for itself.

use super::super::plan::{Family, NexthopId};
use super::super::program::{
    Action, ActionsTemplate, Domain, Field, Group, Insertion, Item, PatternTemplate, Place, Table,
    TableId,
};
use super::frame::to;
use super::hop::Side;
use super::ledger::Kind;
use super::{Compiler, Design, Role};
use crate::table::{Adjacency, PortId};
use std::collections::BTreeMap;

/// Egress rules that rewrite are here.
const REWRITE: Group = Group(7);

impl Compiler {
    /// Design B: what leaves by hairpin queues is rewritten on its way out.
    pub(super) fn build_egress(&mut self) {
        let Role::Transit { hairpins, .. } = &self.config.role else {
            return;
        };
        if self.config.design != Design::Rss {
            return;
        }
        let hairpins = hairpins.clone();
        let mut ports: Vec<PortId> = hairpins.iter().map(|h| h.egress).collect();
        ports.sort_unstable();
        ports.dedup();
        for port in ports {
            let own: Vec<_> = hairpins.iter().filter(|h| h.egress == port).collect();
            let size = own.len() as u32;
            let table = |group, priority, items: &[Item], actions: Vec<Action>| {
                let mut fixed = ActionsTemplate::per_rule(&actions);
                for templated in &mut fixed.0 {
                    templated.fixed = templated.action == Action::Count;
                }
                Table {
                    id: TableId(0),
                    port,
                    domain: Domain::Egress,
                    group,
                    priority,
                    insertion: Insertion::Pattern,
                    size,
                    pattern: PatternTemplate::exact(items, &[Field::TxQueue]),
                    actions: vec![fixed],
                }
            };
            // Tables of other ports' programs stand beside it: each at its own priority.
            let priority = u32::from(self.config.port().0);
            let root = table(
                Group(0),
                priority,
                &[Item::TxQueue],
                vec![Action::Jump(REWRITE)],
            );
            let example = Adjacency::forward(port, 0, [0; 6], [0; 6], 0);
            let sides = Family::ALL.map(|family| {
                let item = [Item::Ipv4, Item::Ipv6][family as usize];
                let items = [Item::TxQueue, Item::Eth, item];
                let actions = self.rewrite(&example, family, false);
                table(REWRITE, 2 * priority + family as u32, &items, actions)
            });
            let root = self.ledger.table(root);
            for hairpin in own {
                let place = Place::values([hairpin.tx_queue.into()]);
                self.fixed_cell(root, place, to(REWRITE));
            }
            let sides = sides.map(|spec| self.ledger.table(spec));
            self.egress.insert(port, sides);
        }
    }

    pub(super) fn make_egress(&mut self, id: NexthopId, family: Family) -> Option<Side> {
        let hairpin = self.hops.get(&id)?.hairpin?;
        let table = self.egress.get(&hairpin.egress)?[family as usize];
        let place = Place::values([hairpin.tx_queue.into()]);
        let rule = self.ledger.cell(Kind::Hop(id, family), table, place);
        Some(Side {
            group: self.ledger.group(),
            rule,
            ready: false,
            tables: Vec::new(),
            guards: BTreeMap::new(),
            guard_table: None,
            counts: false,
            users: BTreeMap::new(),
        })
    }
}

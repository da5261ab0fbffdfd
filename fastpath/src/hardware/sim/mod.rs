//! A simulated e-switch: executes programs on packet bytes, by the rules alone.
//!
//! It has the semantics of an mlx5 NIC under DPDK 24.11 with hardware steering, and its limits, as
//! far as they are known without one: groups and priorities, masked matches, rows by CRC-32 or by tag,
//! the rules of its domains for what nothing matches, wire to wire impossible in the e-switch, queues
//! whose operations complete later and may fail then, memory, counters. What it does not know it
//! refuses. Misuse is refused too, and remembered ([`Sim::misuses`]): a real driver would not notice.
//!
//! ```text
//!  NIC mode:  port ─► ingress, group 0 ─► … ─► queue of software | kernel
//!                                          └─► hairpin queue ─► egress of its port ─► wire
//!  switchdev: port ─► transfer, group 0 ─► … ─► represented port
//!                                          └─► nothing matched ─► ingress of that port ─► software
//! ```

mod admit;
mod packet;
mod profile;
mod queue;
mod run;
mod table;

pub use profile::{Profile, entries};
pub use queue::{Faults, Tally};
pub use run::{Loss, Outcome};

use super::program::{
    Action, Domain, Group, HashFunction, Indirect, IndirectId, Insertion, Operation, RuleId, Table,
    TableId,
};
use super::{Capabilities, Completion, Count, Error, Steering};
use crate::table::PortId;
use queue::Queue;
use std::collections::{BTreeMap, HashMap, HashSet};
use table::{Held, Made, Stage};

/// Where a port's packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A wire.
    Uplink,
    /// A function of the host, with a representor.
    Function,
}

/// A port of the NIC.
#[derive(Clone, Copy, Debug)]
struct Attached {
    kind: Kind,
    /// In isolated mode what the root does not match is the kernel's (`rte_flow_isolate`).
    isolated: bool,
}

/// Which tables a packet can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Ingress(PortId),
    Egress(PortId),
    Transfer,
}

impl Scope {
    fn of(table: &Table) -> Scope {
        match table.domain {
            Domain::Ingress => Scope::Ingress(table.port),
            Domain::Egress => Scope::Egress(table.port),
            Domain::Transfer => Scope::Transfer,
        }
    }
}

/// The NIC.
#[derive(Debug)]
pub struct Sim {
    profile: Profile,
    ports: BTreeMap<PortId, Attached>,
    /// Receiving port and queue -> sending port and queue.
    hairpins: HashMap<(PortId, u16), (PortId, u16)>,
    tables: HashMap<u32, Made>,
    /// Tables of a group, by priority.
    groups: HashMap<(Scope, Group), Vec<(u32, u32)>>,
    rules: HashMap<RuleId, Held>,
    indirects: HashMap<IndirectId, Indirect>,
    /// Numbers whose insertion has not completed, or failed.
    unfinished: HashSet<IndirectId>,
    queues: Vec<Queue>,
    faults: Faults,
    tally: Tally,
    entries: u64,
    counters: u32,
    /// Rules that were lost so far.
    strays: u64,
    /// Rules that are not there, by their handles.
    missing: HashSet<RuleId>,
    misuses: Vec<String>,
}

impl Sim {
    /// A NIC without ports.
    pub fn new(profile: Profile) -> Self {
        let queues = (0..profile.capabilities.queues).map(|_| Queue::default());
        Sim {
            queues: queues.collect(),
            profile,
            ports: BTreeMap::new(),
            hairpins: HashMap::new(),
            tables: HashMap::new(),
            groups: HashMap::new(),
            rules: HashMap::new(),
            indirects: HashMap::new(),
            unfinished: HashSet::new(),
            faults: Faults::default(),
            tally: Tally::default(),
            entries: 0,
            counters: 0,
            strays: 0,
            missing: HashSet::new(),
            misuses: Vec::new(),
        }
    }

    /// Gives it a port; `isolated`: what the root group does not match is the kernel's, else
    /// software's.
    pub fn attach(&mut self, port: PortId, kind: Kind, isolated: bool) {
        self.ports.insert(port, Attached { kind, isolated });
    }

    /// Binds queue `queue` of `port` to the sending queue `tx_queue` of `egress`: packets in the first
    /// leave by the second, without software (`rte_eth_rx_hairpin_queue_setup`).
    pub fn hairpin(&mut self, queue: (PortId, u16), to: (PortId, u16)) {
        self.set_hairpin(queue, Some(to));
    }

    /// The same, or binds it no longer (`rte_eth_hairpin_unbind`).
    pub fn set_hairpin(&mut self, queue: (PortId, u16), to: Option<(PortId, u16)>) {
        match to {
            Some(to) => self.hairpins.insert(queue, to),
            None => self.hairpins.remove(&queue),
        };
    }

    /// What is to go wrong from now on; counting begins anew.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.tally = Tally::default();
    }

    /// From now on it is another NIC in these: tables of rows that are made hash otherwise than our
    /// CRC; rows can be updated, and others are written ([`Profile::index_update_bug`]).
    pub fn set_flaws(&mut self, other_hash: bool, index_update_bug: bool) {
        self.profile.other_hash = other_hash;
        self.profile.index_update_bug = index_update_bug;
    }

    /// What was asked of it since the faults were set.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// What a real driver would not have noticed, in words; programs of ours have none.
    pub fn misuses(&self) -> &[String] {
        &self.misuses
    }

    /// Steering entries in use, and how many there are.
    pub fn memory(&self) -> (u64, u64) {
        (self.entries, self.profile.entries)
    }

    /// Tables and rules, those included whose insertion failed and that were not destroyed.
    pub fn size(&self) -> (usize, usize) {
        let known = self.rules.values().filter(|h| h.stage != Stage::Lost);
        (self.tables.len(), known.count())
    }

    /// Rules that are in force though nobody has a handle of them.
    pub fn lost(&self) -> usize {
        self.rules.len() - self.size().1
    }

    fn is_lost(&self, id: RuleId) -> bool {
        self.rules.get(&id).is_some_and(|h| h.stage == Stage::Lost)
    }

    fn misuse<T>(&mut self, what: String) -> Result<T, Error> {
        self.misuses.push(what.clone());
        Err(Error::new(Error::INVALID, what))
    }
}

impl Steering for Sim {
    fn capabilities(&self) -> &Capabilities {
        &self.profile.capabilities
    }

    fn create_table(&mut self, table: &Table) -> Result<(), Error> {
        self.tally.tables += 1;
        if self.faults.tables.contains(&self.tally.tables) {
            return Err(Error::new(Error::IO, "injected: the table was not made"));
        }
        if let Err(misuse) = table.check() {
            return self.misuse(format!("table {}: create: {misuse}", table.id.0));
        }
        if self.tables.contains_key(&table.id.0) {
            return self.misuse(format!(
                "table {}: create: there is one already",
                table.id.0
            ));
        }
        self.profile.check(table)?;
        let crc = Insertion::Index(HashFunction::Crc32);
        if table.insertion == crc && table.rows_by().is_none() {
            let why = "what a definer of these fields hashes is not known";
            return Err(Error::new(Error::NOT_SUPPORTED, why));
        }
        let entries = entries(table);
        if self.entries + entries > self.profile.entries {
            return Err(Error::new(Error::NO_MEMORY, "no steering memory is left"));
        }
        let at = (Scope::of(table), table.group);
        let order = self.groups.entry(at).or_default();
        let place = order.partition_point(|(priority, _)| *priority <= table.priority);
        order.insert(place, (table.priority, table.id.0));
        self.entries += entries;
        let mut made = Made::new(table.clone(), entries);
        made.twist = u32::from(self.profile.other_hash);
        self.tables.insert(table.id.0, made);
        Ok(())
    }

    fn destroy_table(&mut self, table: TableId) -> Result<(), Error> {
        self.tally.gone += 1;
        if self.faults.kept.contains(&self.tally.gone) {
            return Err(Error::new(Error::BUSY, "injected: the table is in use"));
        }
        match self.tables.get(&table.0) {
            Some(made) if made.rules == 0 => {
                self.entries -= made.entries;
                let at = (Scope::of(&made.spec), made.spec.group);
                if let Some(order) = self.groups.get_mut(&at) {
                    order.retain(|(_, id)| *id != table.0);
                }
                self.tables.remove(&table.0);
                // What was in force without a handle goes with it.
                self.rules.retain(|_, held| held.table != table.0);
                Ok(())
            }
            Some(made) => {
                let rules = made.rules;
                self.misuse(format!("table {}: destroy: it has {rules} rules", table.0))
            }
            None => self.misuse(format!("table {}: destroy: there is none", table.0)),
        }
    }

    fn enqueue(
        &mut self,
        queue: u32,
        operation: &Operation,
        postpone: bool,
        cookie: u64,
    ) -> Result<(), Error> {
        self.take(queue, operation, cookie)?;
        if postpone { Ok(()) } else { self.push(queue) }
    }

    fn push(&mut self, queue: u32) -> Result<(), Error> {
        let Some(held) = self.queues.get_mut(queue as usize) else {
            return self.misuse(format!("flow queue {queue}: push: there is none"));
        };
        held.push();
        Ok(())
    }

    fn pull(&mut self, queue: u32, done: &mut Vec<Completion>) -> Result<(), Error> {
        self.complete(queue, done)
    }

    fn count(&mut self, rule: RuleId) -> Result<Count, Error> {
        match self.rules.get(&rule) {
            Some(_) if self.missing.contains(&rule) => Err(missing()),
            Some(held) if held.stage == Stage::Ready && queue::counts(&held.does) => Ok(Count {
                packets: held.packets,
                bytes: held.bytes,
            }),
            Some(_) => Err(Error::new(Error::INVALID, "the rule does not count")),
            None => Err(Error::new(Error::NOT_FOUND, "no such rule")),
        }
    }

    fn table_hash(&mut self, table: TableId, values: &[u128]) -> Result<u32, Error> {
        let Some(made) = self.tables.get(&table.0) else {
            return Err(Error::new(Error::NOT_FOUND, "no such table"));
        };
        let hash = made.hash(values);
        hash.ok_or(Error::new(
            Error::NOT_SUPPORTED,
            "not a table of rows by CRC-32",
        ))
    }

    fn indirect(&self, id: IndirectId) -> Option<&Action> {
        self.indirects.get(&id).map(|i| &i.action)
    }

    fn lacks(&mut self, rule: RuleId) -> Option<Error> {
        let is_there = self.rules.contains_key(&rule) && !self.missing.contains(&rule);
        (!is_there).then(missing)
    }
}

fn missing() -> Error {
    Error::new(Error::NOT_FOUND, "the NIC has no such rule")
}

#[cfg(test)]
mod tests;

//! The one NIC of the process.

use crate::abi::{Outcome, Result_};
use crate::classic::Classic;
use crate::flaws::Flaws;
use fastpath::hardware::program::{
    Action, Does, Domain, Indirect, IndirectId, Operation, Place, Rule, RuleId, Table, TableId,
};
use fastpath::hardware::sim::{self, Kind, Profile, Sim};
use fastpath::hardware::{Completion, Count, Error, Steering};
use fastpath::table::PortId;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Flow queues of a port, and ports: each queue of each port is one of the e-switch's.
const QUEUES: u32 = 4;
const PORTS: u32 = 64;
/// The queue of rules of the first API.
pub const CLASSIC: u32 = QUEUES * PORTS;

/// The e-switch, and the numbers that were given out.
pub struct Nic {
    pub(crate) sim: Sim,
    attached: BTreeSet<u16>,
    tables: u32,
    rules: u64,
    /// Port of each table, and table and queue of each rule, for when a port stops.
    made: HashMap<u32, u32>,
    held: HashMap<u64, (u32, u32)>,
    /// Indirect actions, with port and queue.
    actions: u32,
    shared: HashMap<IndirectId, (u32, u32)>,
    /// Completed, and not fetched yet.
    done: HashMap<u32, VecDeque<Completion>>,
    pub(crate) flaws: Flaws,
    pub(crate) classic: Classic,
}

impl Nic {
    /// Of that profile, in that mode.
    pub fn new(profile: &str, switchdev: bool) -> Option<Nic> {
        let mut profile = Profile::named(profile)?;
        if switchdev {
            profile = profile.switchdev();
        }
        // One more, for rules of the first API.
        profile.capabilities.queues = CLASSIC + 1;
        // C keeps count of each queue's room.
        profile.capabilities.depth = u32::MAX;
        Some(Nic {
            sim: Sim::new(profile),
            attached: BTreeSet::new(),
            tables: 0,
            rules: 0,
            made: HashMap::new(),
            held: HashMap::new(),
            actions: 0,
            shared: HashMap::new(),
            done: HashMap::new(),
            flaws: Flaws::default(),
            classic: Classic::default(),
        })
    }

    /// The e-switch's number of a port's queue.
    pub const fn queue(port: u32, queue: u32) -> u32 {
        port * QUEUES + queue
    }

    pub fn attach(&mut self, port: u16, function: bool, isolated: bool) {
        let kind = if function {
            Kind::Function
        } else {
            Kind::Uplink
        };
        self.attached.insert(port);
        self.sim.attach(PortId(port), kind, isolated);
    }

    pub fn is_switchdev(&self) -> bool {
        self.sim.capabilities().transfer
    }

    pub fn rss_rows(&self) -> u32 {
        self.sim.capabilities().rss_rows
    }

    /// Where what comes into a hairpin queue leaves.
    pub fn hairpin(&mut self, (port, queue): (u16, u16), to: Option<(u16, u16)>) {
        let to = to.map(|(port, queue)| (PortId(port), queue));
        self.sim.set_hairpin((PortId(port), queue), to);
    }

    /// A port is gone; how many are left.
    pub fn detach(&mut self, port: u16) -> usize {
        self.attached.remove(&port);
        self.attached.len()
    }

    /// An argument of a port that says what goes wrong; those of all ports add up.
    pub fn fault(&mut self, key: &str, value: &str) -> Result<u64, Error> {
        self.flaws.add(key, value)?;
        self.flaws.set(&mut self.sim);
        Ok(0)
    }

    /// Before anything is asked of the e-switch: what goes wrong may have been changed.
    pub(crate) fn look(&mut self) {
        self.flaws.look(&mut self.sim);
    }

    pub fn create_table(&mut self, mut table: Table) -> Result<u64, Error> {
        self.look();
        table.id = TableId(self.tables);
        self.sim.create_table(&table)?;
        self.tables += 1;
        self.made.insert(table.id.0, table.port.0.into());
        Ok(table.id.0.into())
    }

    pub fn destroy_table(&mut self, table: u32) -> Result<u64, Error> {
        self.sim.destroy_table(TableId(table))?;
        self.made.remove(&table);
        Ok(0)
    }

    fn enqueue(&mut self, queue: u32, operation: &Operation, cookie: usize) -> Result<(), Error> {
        self.look();
        self.sim.enqueue(queue, operation, true, cookie as u64)
    }

    pub fn insert(
        &mut self,
        queue: u32,
        table: u32,
        place: Place,
        does: Does,
        cookie: usize,
    ) -> Result<u64, Error> {
        let id = self.rules;
        let rule = Rule {
            id: RuleId(id),
            table: TableId(table),
            place,
            does,
        };
        self.enqueue(queue, &Operation::Insert(rule), cookie)?;
        self.rules += 1;
        self.held.insert(id, (table, queue));
        Ok(id)
    }

    pub fn update(
        &mut self,
        queue: u32,
        rule: u64,
        does: Does,
        cookie: usize,
    ) -> Result<u64, Error> {
        self.enqueue(queue, &Operation::Update(RuleId(rule), does), cookie)?;
        Ok(0)
    }

    pub fn destroy(&mut self, queue: u32, rule: u64, cookie: usize) -> Result<u64, Error> {
        self.enqueue(queue, &Operation::Destroy(RuleId(rule)), cookie)?;
        Ok(0)
    }

    pub fn share(
        &mut self,
        (port, queue): (u32, u32),
        domain: u32,
        action: Action,
        cookie: usize,
    ) -> Result<u64, Error> {
        let id = IndirectId(self.actions);
        let indirect = Indirect {
            id,
            port: PortId(port as u16),
            domain: match domain {
                0 => Domain::Ingress,
                1 => Domain::Egress,
                _ => Domain::Transfer,
            },
            action,
        };
        let operation = Operation::InsertIndirect(indirect);
        self.enqueue(Nic::queue(port, queue), &operation, cookie)?;
        self.actions += 1;
        self.shared.insert(id, (port, queue));
        Ok(id.0.into())
    }

    pub fn reshare(
        &mut self,
        (port, queue): (u32, u32),
        id: u32,
        action: Action,
        cookie: usize,
    ) -> Result<u64, Error> {
        let operation = Operation::UpdateIndirect(IndirectId(id), action);
        self.enqueue(Nic::queue(port, queue), &operation, cookie)?;
        Ok(0)
    }

    pub fn unshare(
        &mut self,
        (port, queue): (u32, u32),
        id: u32,
        cookie: usize,
    ) -> Result<u64, Error> {
        let operation = Operation::DestroyIndirect(IndirectId(id));
        self.enqueue(Nic::queue(port, queue), &operation, cookie)?;
        Ok(0)
    }

    /// The port stops: all that is in its tables, and they, are gone (mlx5.rst, "Notes for rte_flow").
    pub fn forget(&mut self, port: u32) -> Result<u64, Error> {
        let queues = Nic::queue(port, 0)..Nic::queue(port + 1, 0);
        let settle = |nic: &mut Nic| {
            for queue in queues.clone() {
                nic.sim.push(queue)?;
                nic.sim.pull(queue, &mut Vec::new())?;
                nic.done.remove(&queue);
            }
            Ok::<(), Error>(())
        };
        settle(self)?;
        self.forget_classic(port)?;
        let of = |table: &u32| self.made.get(table) == Some(&port);
        let rules = self.held.iter().filter(|(_, (table, _))| of(table));
        let rules: Vec<(u64, u32)> = rules.map(|(id, (_, queue))| (*id, *queue)).collect();
        for (id, queue) in rules {
            self.held.remove(&id);
            // Refused: it was destroyed before.
            let _gone = self.enqueue(queue, &Operation::Destroy(RuleId(id)), 0);
        }
        settle(self)?;
        let shared = self.shared.iter().filter(|(_, (p, _))| *p == port);
        let shared: Vec<(IndirectId, u32)> = shared.map(|(id, (_, q))| (*id, *q)).collect();
        for (id, queue) in shared {
            self.shared.remove(&id);
            // Refused: it was destroyed before.
            let destroy = Operation::DestroyIndirect(id);
            let _gone = self.enqueue(Nic::queue(port, queue), &destroy, 0);
        }
        settle(self)?;
        let tables = self.made.iter().filter(|(_, p)| **p == port);
        let tables: Vec<u32> = tables.map(|(table, _)| *table).collect();
        tables
            .into_iter()
            .try_fold(0, |_, table| self.destroy_table(table))
    }

    pub fn push(&mut self, queue: u32) -> Result<u64, Error> {
        self.sim.push(queue)?;
        Ok(0)
    }

    /// Hands over up to `n` completions, and says how many.
    pub fn pull(
        &mut self,
        queue: u32,
        n: u32,
        mut put: impl FnMut(u32, Result_),
    ) -> Result<u64, Error> {
        // What was held back may be let go.
        self.look();
        let mut more = Vec::new();
        self.sim.pull(queue, &mut more)?;
        let done = self.done.entry(queue).or_default();
        done.extend(more);
        let mut count = 0;
        while let Some(one) = (count < n).then(|| done.pop_front()).flatten() {
            put(count, Result_::new(one.cookie as usize, one.done));
            count += 1;
        }
        Ok(count.into())
    }

    /// A number for one more rule.
    pub fn next_rule(&mut self) -> u64 {
        self.rules += 1;
        self.rules - 1
    }

    pub fn count(&mut self, rule: u64) -> Result<Count, Error> {
        self.sim.count(RuleId(rule))
    }

    pub fn lacks(&mut self, rule: u64) -> Result<(), Error> {
        self.sim.lacks(RuleId(rule)).map_or(Ok(()), Err)
    }

    pub fn hash(&mut self, table: u32, values: &[u128]) -> Result<u32, Error> {
        self.sim.table_hash(TableId(table), values)
    }

    /// What becomes of a frame, where, and with which mark.
    pub fn receive(&mut self, port: u16, frame: &mut [u8]) -> (Outcome, u32, Option<u32>) {
        match self.sim.receive(PortId(port), frame) {
            sim::Outcome::Sent(to) => (Outcome::Sent, to.0.into(), None),
            sim::Outcome::Software { queue, mark, .. } => {
                (Outcome::Software, queue.unwrap_or_default().into(), mark)
            }
            sim::Outcome::Kernel => (Outcome::Kernel, 0, None),
            sim::Outcome::Lost(_) => (Outcome::Lost, 0, None),
        }
    }
}

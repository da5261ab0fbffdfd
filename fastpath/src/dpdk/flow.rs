//! rte_flow's asynchronous template API, as [`Steering`].
//!
//! ```text
//!  Port::open (isolate, configure, flow engine) ─► Port::start ─► Flow::new ─► tables ─► operations
//! ```
//! DPDK checks nothing on its fast entry points, not even the port, and mlx5 next to nothing in
//! release builds (v24.11 `lib/ethdev/rte_flow.c:2086`, `mlx5_flow_hw.c:3915`): a wrong number is a
//! call through a wild pointer or a write to another rule. So everything that names something is
//! looked up here, and a rule with an operation under way takes no other.
//!
//! What an operation changes counts when its completion was pulled. A handle whose insertion failed
//! is kept until it is destroyed, as DPDK wants it; one whose destruction was taken is nobody's any
//! more, whatever comes of it (mlx5 gives its memory to the next rule, v24.11 `mlx5_flow_hw.c:4494`).
//! Dropping a [`Flow`] waits for what is under way and destroys rules, indirect actions, tables and
//! templates, in this order; the ports, which it borrows, stop after it.

mod actions;
mod admit;
mod close;
mod items;
mod operations;
mod probe;
mod queue;
mod refusal;
mod rules;
mod rules_call;
mod setup;
mod tables;
#[cfg(test)]
mod tests;

pub use probe::probe;
pub use rules::{Fate, MARK_NO_ROOM, Rules, SpreadBy};
pub use setup::{FlowLimits, FlowOptions};
pub(super) use setup::{configure, isolate};

use super::port::Port;
use crate::hardware::program::{self, IndirectId, Operation, RuleId, TableId};
use crate::hardware::{Capabilities, Completion, Count, Error, Steering};
use crate::table::PortId;
use actions::Names;
use dpdk_sys::{rte_flow, rte_flow_action_handle};
use queue::{Pending, Pendings, What};
use refusal::Refusal;
use std::collections::HashMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use tables::{Made, unknown};

/// A port of the program.
struct Attached<'p> {
    id: PortId,
    /// DPDK's number.
    index: u16,
    /// Of each flow queue: operations under way, and whether some are postponed.
    queues: Vec<(u32, bool)>,
    given: Option<Given<'p>>,
}

/// Flow queues of a port, which nobody else has: one's completions are not another's.
struct Given<'p> {
    all: &'p AtomicU32,
    mine: u32,
}

impl<'p> Given<'p> {
    fn take(all: &'p AtomicU32, mine: u32) -> Option<Self> {
        let taken = all.fetch_update(Ordering::Acquire, Ordering::Relaxed, |others| {
            (others & mine == 0).then_some(others | mine)
        });
        taken.is_ok().then_some(Given { all, mine })
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.all.fetch_and(!self.mine, Ordering::Release);
    }
}

/// A rule.
struct Held {
    table: TableId,
    row: Option<u32>,
    flow: NonNull<rte_flow>,
    /// Index of its port.
    at: usize,
    queue: u32,
    busy: bool,
    /// Its insertion completed, and well, and nobody has asked for its destruction.
    ready: bool,
    /// It has COUNT.
    counts: bool,
    /// The indirect actions that it has.
    uses: Vec<IndirectId>,
}

/// An indirect action.
struct Shared {
    action: program::Action,
    handle: NonNull<rte_flow_action_handle>,
    at: usize,
    queue: u32,
    busy: bool,
    /// As of a rule.
    ready: bool,
    /// Rules that have it.
    users: u32,
}

/// The flow engines of the ports of one NIC. One thread uses it.
pub struct Flow<'p> {
    capabilities: Capabilities,
    /// DPDK's number of our flow queue 0.
    first: u32,
    ports: Vec<Attached<'p>>,
    tables: HashMap<TableId, Made>,
    rules: HashMap<RuleId, Held>,
    indirects: HashMap<IndirectId, Shared>,
    pendings: Pendings,
    lost: u64,
}

// SAFETY: DPDK's flow functions may be called from any thread, one at a time for each queue, and mlx5
// locks what its queues share; handles are numbers to us. It is not Sync.
unsafe impl Send for Flow<'_> {}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Flow<'static>>();
};

impl<'p> Flow<'p> {
    /// Of these ports, which are started and were opened with [`super::PortOptions::flow`].
    /// `capabilities` are the device's; number and depth of queues and of counters are moved to what
    /// the ports got. They are nobody else's until this is dropped, and for good if what is in them
    /// could not be taken out then.
    ///
    /// # Errors
    /// A port is not as it must be or another's, one is given twice, or none.
    pub fn new(
        ports: &[(PortId, &'p Port<'p>)],
        capabilities: Capabilities,
    ) -> Result<Flow<'p>, Error> {
        Flow::on(ports, capabilities, 0..u32::MAX)
    }

    /// The same with one flow queue of each port alone, which is its flow queue 0: programs that have
    /// ports in common (transit: each sends by all) have a queue each.
    ///
    /// # Errors
    /// As above, or a port has no such queue.
    pub fn on_queue(
        ports: &[(PortId, &'p Port<'p>)],
        capabilities: Capabilities,
        queue: u16,
    ) -> Result<Flow<'p>, Error> {
        let queue = u32::from(queue);
        Flow::on(ports, capabilities, queue..queue + 1)
    }

    fn on(
        ports: &[(PortId, &'p Port<'p>)],
        mut capabilities: Capabilities,
        wanted: Range<u32>,
    ) -> Result<Flow<'p>, Error> {
        if ports.is_empty() {
            return Err(Error::new(Error::INVALID, "flow engine: no ports"));
        }
        let mut attached: Vec<Attached<'p>> = Vec::new();
        for (id, port) in ports {
            let name = port.name();
            if attached.iter().any(|a| a.id == *id) {
                return invalid(format!("port {name}: flow engine: number {} twice", id.0));
            }
            let Some(limits) = port.flow().filter(|_| port.is_started()) else {
                let why = format!("port {name}: flow engine: not configured, or not started");
                return Err(Error::new(Error::INVALID, why));
            };
            // More than 32 are never had.
            let last = wanted.end.min(limits.queues.into()).min(32);
            if wanted.start >= last {
                let queue = wanted.start;
                return invalid(format!("port {name}: flow engine: no flow queue {queue}"));
            }
            let mine = (wanted.start..last).fold(0, |mine, queue| mine | 1 << queue);
            capabilities.queues = capabilities.queues.min(last - wanted.start);
            capabilities.depth = capabilities.depth.min(limits.depth);
            capabilities.counters = capabilities.counters.min(limits.counters);
            let Some(given) = Given::take(port.flow_given(), mine) else {
                return invalid(format!("port {name}: flow engine: somebody has it"));
            };
            attached.push(Attached {
                id: *id,
                index: port.index(),
                queues: vec![(0, false); usize::from(limits.queues)],
                given: Some(given),
            });
        }
        Ok(Flow {
            capabilities,
            first: wanted.start,
            ports: attached,
            tables: HashMap::new(),
            rules: HashMap::new(),
            indirects: HashMap::new(),
            pendings: Pendings::default(),
            lost: 0,
        })
    }

    /// Operations whose completions were not pulled yet.
    pub fn under_way(&self) -> usize {
        self.pendings.len()
    }

    /// Rules whose destruction completed with an error: whether the device still has them nobody
    /// knows, until their table goes.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Runs `call` with who knows names, for what is on port `at`: handles of indirect actions are
    /// of one port (of mlx5 they are numbers in its own pool).
    fn named<T>(&self, at: usize, call: impl FnOnce(Names<'_>) -> T) -> T {
        let port = |id: PortId| Some(self.ports.iter().find(|p| p.id == id)?.index);
        let handle = |id: IndirectId| {
            let shared = self.indirects.get(&id)?;
            (shared.ready && shared.at == at).then_some(shared.handle.as_ptr())
        };
        call(Names {
            port: &port,
            handle: &handle,
        })
    }

    /// Index of a port of the program.
    fn port(&self, id: PortId) -> Result<usize, Error> {
        let found = self.ports.iter().position(|p| p.id == id);
        found.ok_or_else(|| Error::new(Error::NOT_FOUND, format!("port {}: there is none", id.0)))
    }

    /// DPDK's number of a flow queue.
    const fn lane(&self, queue: u32) -> u32 {
        self.first + queue
    }

    /// Whether the ports have that queue.
    fn check_queue(&self, queue: u32) -> Result<(), Error> {
        if queue < self.capabilities.queues {
            return Ok(());
        }
        invalid(format!("flow queue {queue}: there is none"))
    }

    fn push_port(&mut self, at: usize, queue: u32) -> Result<(), Error> {
        let lane = self.lane(queue);
        let port = &mut self.ports[at];
        let Some((_, postponed)) = port.queues.get_mut(queue as usize) else {
            return Ok(());
        };
        if std::mem::take(postponed) {
            let mut refusal = Refusal::new();
            // SAFETY: the port is open and started, its flow engine configured with that queue.
            let rc = unsafe { dpdk_sys::rte_flow_push(port.index, lane, refusal.as_mut()) };
            if let Err(error) = refusal.check("push", rc) {
                *postponed = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The operation was completed.
    fn completed(&mut self, pending: Pending, done: bool) -> Completion {
        match pending.what {
            What::Insert(id) => {
                if let Some(held) = self.rules.get_mut(&id) {
                    (held.busy, held.ready) = (false, done);
                }
            }
            What::Update(id, counts, mut uses) => {
                if let Some(held) = self.rules.get_mut(&id) {
                    held.busy = false;
                    if done {
                        held.counts = counts;
                        std::mem::swap(&mut held.uses, &mut uses);
                    }
                }
                // What it had before, or will not have.
                self.release(&uses);
            }
            What::Destroy(id) => {
                self.lost += u64::from(!done);
                self.forget(id);
            }
            What::InsertIndirect(id) => {
                if let Some(shared) = self.indirects.get_mut(&id) {
                    (shared.busy, shared.ready) = (false, done);
                }
            }
            What::UpdateIndirect(id, action) => {
                if let Some(shared) = self.indirects.get_mut(&id) {
                    shared.busy = false;
                    if done {
                        shared.action = action;
                    }
                }
            }
            What::DestroyIndirect(id) => drop(self.indirects.remove(&id)),
        }
        Completion {
            cookie: pending.cookie,
            done,
        }
    }

    /// Rules stop using these indirect actions.
    fn release(&mut self, used: &[IndirectId]) {
        for id in used {
            if let Some(shared) = self.indirects.get_mut(id) {
                shared.users = shared.users.saturating_sub(1);
            }
        }
    }

    /// The rule's handle is gone.
    fn forget(&mut self, id: RuleId) {
        let Some(held) = self.rules.remove(&id) else {
            return;
        };
        self.release(&held.uses);
        if let Some(made) = self.tables.get_mut(&held.table) {
            made.rules -= 1;
            if let Some(row) = held.row {
                made.rows.remove(&row);
            }
        }
    }
}

fn invalid<T>(what: String) -> Result<T, Error> {
    Err(Error::new(Error::INVALID, what))
}

impl Steering for Flow<'_> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn create_table(&mut self, table: &program::Table) -> Result<(), Error> {
        let id = table.id.0;
        table.check()?;
        if self.tables.contains_key(&table.id) {
            return invalid(format!("table {id}: create: there is one already"));
        }
        let at = self.port(table.port)?;
        let port = self.ports[at].index;
        let made = self.named(at, |names| Made::new(table, port, names))?;
        self.tables.insert(table.id, made);
        Ok(())
    }

    fn destroy_table(&mut self, table: TableId) -> Result<(), Error> {
        let Some(made) = self.tables.get(&table) else {
            return invalid(format!("table {}: destroy: there is none", table.0));
        };
        if made.rules != 0 {
            let rules = made.rules;
            return invalid(format!("table {}: destroy: it has {rules} rules", table.0));
        }
        match self.tables.remove(&table).map(Made::destroy) {
            Some(Err((made, error))) => {
                self.tables.insert(table, *made);
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn enqueue(
        &mut self,
        queue: u32,
        operation: &Operation,
        postpone: bool,
        cookie: u64,
    ) -> Result<(), Error> {
        self.check_queue(queue)?;
        // What other ports' queues hold goes out before: a failure then changes nothing.
        if !postpone {
            self.push(queue)?;
        }
        let (at, what) = match operation {
            Operation::Insert(rule) => self.insert(queue, rule, postpone),
            Operation::Update(id, does) => self.update(queue, *id, does, postpone),
            Operation::Destroy(id) => self.destroy(queue, *id, postpone),
            Operation::InsertIndirect(indirect) => self.insert_indirect(queue, indirect, postpone),
            Operation::UpdateIndirect(id, action) => {
                self.update_indirect(queue, *id, action, postpone)
            }
            Operation::DestroyIndirect(id) => self.destroy_indirect(queue, *id, postpone),
        }?;
        self.note(at, queue, cookie, postpone, what);
        Ok(())
    }

    fn push(&mut self, queue: u32) -> Result<(), Error> {
        self.check_queue(queue)?;
        (0..self.ports.len()).try_for_each(|at| self.push_port(at, queue))
    }

    fn pull(&mut self, queue: u32, done: &mut Vec<Completion>) -> Result<(), Error> {
        self.check_queue(queue)?;
        // What one port's queue says wrongly is no reason to leave another's unread.
        let each = (0..self.ports.len()).map(|at| self.pull_port(at, queue, done));
        each.fold(Ok(()), Result::and)
    }

    fn count(&mut self, rule: RuleId) -> Result<Count, Error> {
        let Some(held) = self.rules.get(&rule) else {
            return Err(Error::new(Error::NOT_FOUND, "no such rule"));
        };
        if !held.ready || !held.counts {
            return Err(Error::new(Error::INVALID, "the rule does not count"));
        }
        queue::count(self.ports[held.at].index, held.flow)
    }

    fn lacks(&mut self, rule: RuleId) -> Option<Error> {
        let held = self.rules.get(&rule).filter(|held| held.ready)?;
        let asked = queue::ask(self.ports[held.at].index, held.flow);
        asked.err().filter(|e| e.errno == Error::NOT_FOUND)
    }

    fn table_hash(&mut self, table: TableId, values: &[u128]) -> Result<u32, Error> {
        let Some(made) = self.tables.get(&table) else {
            return Err(Error::new(Error::NOT_FOUND, "no such table"));
        };
        let at = self.port(made.spec.port)?;
        self.named(at, |names| made.hash(values, names))
    }

    fn indirect(&self, id: IndirectId) -> Option<&program::Action> {
        self.indirects.get(&id).map(|s| &s.action)
    }
}

//! Operations: given to DPDK, and what becomes of them.

use super::Flow;
use super::refusal::Refusal;
use crate::hardware::program::{Action, IndirectId, RuleId};
use crate::hardware::{Completion, Count, Error};
use dpdk_sys::{
    rte_flow, rte_flow_action, rte_flow_action_type, rte_flow_op_result, rte_flow_op_status,
    rte_flow_query_count,
};
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};

/// What an operation is about, with what must be known when it completes.
pub(super) enum What {
    Insert(RuleId),
    /// Whether it counts then, and the indirect actions that it has then.
    Update(RuleId, bool, Vec<IndirectId>),
    Destroy(RuleId),
    InsertIndirect(IndirectId),
    UpdateIndirect(IndirectId, Action),
    DestroyIndirect(IndirectId),
}

/// An operation under way.
pub(super) struct Pending {
    pub(super) cookie: u64,
    pub(super) what: What,
    at: usize,
    queue: u32,
}

/// All operations under way. DPDK gets a number and not a pointer, so that one that it makes up does
/// no harm.
#[derive(Default)]
pub(super) struct Pendings {
    slots: Vec<Option<Pending>>,
    free: Vec<usize>,
}

impl Pendings {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The number that the next operation has, as DPDK's `user_data`.
    pub(super) fn next(&self) -> *mut c_void {
        let slot = self.free.last().copied().unwrap_or(self.slots.len());
        std::ptr::without_provenance_mut(slot + 1)
    }

    fn fill(&mut self, pending: Pending) {
        match self.free.pop() {
            Some(slot) => self.slots[slot] = Some(pending),
            None => self.slots.push(Some(pending)),
        }
    }

    /// The operation of that number, on that queue.
    fn take(&mut self, user_data: *mut c_void, at: usize, queue: u32) -> Option<Pending> {
        let slot = user_data.addr().checked_sub(1)?;
        let here = |p: &Pending| p.at == at && p.queue == queue;
        self.slots.get(slot)?.as_ref().filter(|p| here(p))?;
        self.free.push(slot);
        self.slots[slot].take()
    }
}

/// Completions that one call of `rte_flow_pull` fetches.
const PULL: usize = 32;

impl Flow<'_> {
    /// Operations under way on one port's queue.
    fn under_way_on(&self, at: usize, queue: u32) -> u32 {
        let queues = self.ports.get(at).map(|p| &p.queues);
        queues
            .and_then(|q| q.get(queue as usize))
            .map_or(0, |q| q.0)
    }

    /// Whether one port's queue takes one more. DPDK is not asked: for indirect actions mlx5 calls a
    /// full queue ENOMEM, and a rule whose update it refuses for want of room stays marked, so that
    /// its destruction never ends (v24.11 `mlx5_flow_hw.c:12361` and `:4259`).
    pub(super) fn check_depth(&self, at: usize, queue: u32) -> Result<(), Error> {
        if self.under_way_on(at, queue) < self.capabilities.depth {
            return Ok(());
        }
        let why = format!("flow queue {queue}: it is full");
        Err(Error::new(Error::BUSY, why))
    }

    /// What a driver's refusal means: that a queue with nothing in it is busy is said of something
    /// else, and waiting for room would be for ever (`mlx5dr_rule_enqueue_precheck_update`: the
    /// rule's last update failed).
    pub(super) fn judge(&self, at: usize, queue: u32, error: Error) -> Error {
        if error.is_busy() && self.under_way_on(at, queue) == 0 {
            return Error::new(Error::IO, format!("{error}, and nothing is under way"));
        }
        error
    }

    /// Notes what was given to DPDK.
    pub(super) fn note(&mut self, at: usize, queue: u32, cookie: u64, postpone: bool, what: What) {
        self.pendings.fill(Pending {
            cookie,
            what,
            at,
            queue,
        });
        if let Some((under_way, postponed)) = self.ports[at].queues.get_mut(queue as usize) {
            *under_way += 1;
            // An operation that is not postponed takes those before it along.
            *postponed = postpone;
        }
    }

    /// Fetches all completions of one port's queue that there are.
    pub(super) fn pull_port(
        &mut self,
        at: usize,
        queue: u32,
        done: &mut Vec<Completion>,
    ) -> Result<(), Error> {
        let none = rte_flow_op_result {
            status: rte_flow_op_status::RTE_FLOW_OP_ERROR,
            user_data: null_mut(),
        };
        let mut all = Ok(());
        while self.under_way_on(at, queue) > 0 {
            let mut results = [none; PULL];
            let mut refusal = Refusal::new();
            // SAFETY: the port is open and started, its flow engine configured with that queue; as
            // many records as are announced may be filled.
            let rc = unsafe {
                dpdk_sys::rte_flow_pull(
                    self.ports[at].index,
                    self.lane(queue),
                    results.as_mut_ptr(),
                    PULL as u16,
                    refusal.as_mut(),
                )
            };
            let count = refusal.check("pull", rc)? as usize;
            let some = results.get(..count).unwrap_or(&results);
            all = all.and(self.sort_out(at, queue, some, done));
            if count < PULL {
                break;
            }
        }
        all
    }

    /// Finds what results are about. One that is about nothing does not keep the others from being
    /// heard: DPDK tells each once.
    pub(super) fn sort_out(
        &mut self,
        at: usize,
        queue: u32,
        results: &[rte_flow_op_result],
        done: &mut Vec<Completion>,
    ) -> Result<(), Error> {
        let mut all = Ok(());
        for result in results {
            let Some(pending) = self.pendings.take(result.user_data, at, queue) else {
                let why = "pull: the driver completed what it was not given";
                all = Err(Error::new(Error::IO, why));
                continue;
            };
            self.ports[at].queues[queue as usize].0 -= 1;
            let good = result.status == rte_flow_op_status::RTE_FLOW_OP_SUCCESS;
            done.push(self.completed(pending, good));
        }
        all
    }
}

/// What a rule with COUNT has counted.
pub(super) fn count(port: u16, flow: NonNull<rte_flow>) -> Result<Count, Error> {
    let counted = query(port, flow, rte_flow_action_type::RTE_FLOW_ACTION_TYPE_COUNT)?;
    Ok(Count {
        packets: counted.hits,
        bytes: counted.bytes,
    })
}

/// Whether the driver has a rule, as far as it can be asked.
pub(super) fn ask(port: u16, flow: NonNull<rte_flow>) -> Result<(), Error> {
    query(port, flow, rte_flow_action_type::RTE_FLOW_ACTION_TYPE_VOID).map(drop)
}

fn query(
    port: u16,
    flow: NonNull<rte_flow>,
    what: rte_flow_action_type::Type,
) -> Result<rte_flow_query_count, Error> {
    let action = |type_| rte_flow_action {
        type_,
        conf: null(),
    };
    let actions = [
        action(what),
        action(rte_flow_action_type::RTE_FLOW_ACTION_TYPE_END),
    ];
    // SAFETY: a plain record for which zeros are valid.
    let mut counted: rte_flow_query_count = unsafe { std::mem::zeroed() };
    let mut refusal = Refusal::new();
    // SAFETY: the rule is of this port and was inserted; the record is what COUNT fills, and nobody
    // fills anything for VOID.
    let rc = unsafe {
        dpdk_sys::rte_flow_query(
            port,
            flow.as_ptr(),
            actions.as_ptr(),
            std::ptr::from_mut(&mut counted).cast(),
            refusal.as_mut(),
        )
    };
    refusal.check("query", rc)?;
    Ok(counted)
}

//! What is given out and taken back, without a driver.

use super::super::queue::{Pendings, What};
use super::super::{Attached, Flow, Given, Held, Shared};
use crate::hardware::program::{Action, IndirectId, Rss, RssFields, RuleId, TableId};
use crate::hardware::sim::Profile;
use crate::hardware::{Completion, Error, Steering};
use crate::table::PortId;
use dpdk_sys::{rte_flow_op_result, rte_flow_op_status as status};
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::atomic::AtomicU32;

/// Of two ports, which no driver has: nothing may be asked of DPDK.
fn flow() -> ManuallyDrop<Flow<'static>> {
    let mut capabilities = Profile::bf3().capabilities;
    capabilities.depth = 2;
    let ports = [0, 1].map(|n| Attached {
        id: PortId(n),
        index: u16::MAX,
        queues: vec![(0, false)],
        given: None,
    });
    ManuallyDrop::new(Flow {
        capabilities,
        first: 0,
        ports: ports.into(),
        tables: Default::default(),
        rules: Default::default(),
        indirects: Default::default(),
        pendings: Pendings::default(),
        lost: 0,
    })
}

fn shared(at: usize, ready: bool) -> Shared {
    Shared {
        action: Action::Rss(Rss {
            queues: vec![0],
            key: None,
            fields: RssFields::Flow,
            symmetric: false,
        }),
        handle: NonNull::dangling(),
        at,
        queue: 0,
        busy: false,
        ready,
        users: 0,
    }
}

/// mlx5's handles are numbers in a pool of each port, and what is being destroyed may be gone already.
#[test]
fn a_rule_gets_indirect_actions_of_its_own_port_that_stay() {
    let mut flow = flow();
    for (id, at, ready) in [(1, 0, true), (2, 1, true), (3, 0, false)] {
        flow.indirects.insert(IndirectId(id), shared(at, ready));
    }
    let given = |flow: &Flow<'_>, at| {
        let handle = |id| flow.named(at, |names| (names.handle)(IndirectId(id)).is_some());
        [1, 2, 3].map(handle)
    };
    assert_eq!(given(&flow, 0), [true, false, false]);
    assert_eq!(given(&flow, 1), [false, true, false]);
}

fn result(slot: usize) -> rte_flow_op_result {
    rte_flow_op_result {
        status: status::RTE_FLOW_OP_SUCCESS,
        user_data: without_provenance_mut(slot + 1),
    }
}

#[test]
fn what_nobody_asked_for_hides_no_other_result() {
    let mut flow = flow();
    let action = |n| What::UpdateIndirect(IndirectId(n), shared(0, true).action);
    flow.note(0, 0, 70, true, action(0));
    flow.note(0, 0, 71, true, action(1));
    let mut done = Vec::new();
    // The second is of no operation, and the fourth of one that was heard of.
    let results = [0, 9, 1, 0].map(result);
    let said = flow.sort_out(0, 0, &results, &mut done);
    assert_eq!(said.unwrap_err().errno, Error::IO);
    let expected = [70, 71].map(|cookie| Completion { cookie, done: true });
    assert_eq!((done.as_slice(), flow.under_way()), (&expected[..], 0));
}

/// Each port has a queue of its own, and says itself when it is full.
#[test]
fn a_full_queue_is_busy_before_dpdk_is_asked() {
    let mut flow = flow();
    for cookie in 0..2 {
        assert_eq!(flow.check_depth(0, 0), Ok(()));
        flow.note(0, 0, cookie, true, What::Destroy(RuleId(cookie)));
    }
    assert!(flow.check_depth(0, 0).unwrap_err().is_busy());
    assert_eq!(flow.check_depth(1, 0), Ok(()));
}

/// mlx5 says EBUSY of a rule whose last update failed, too, and always will.
#[test]
fn an_empty_queue_is_never_busy() {
    let mut flow = flow();
    let busy = || Error::new(Error::BUSY, "no");
    assert!(!flow.judge(0, 0, busy()).is_busy());
    flow.note(0, 0, 7, true, What::Destroy(RuleId(7)));
    assert!(flow.judge(0, 0, busy()).is_busy());
    assert!(!flow.judge(1, 0, busy()).is_busy());
    let other = Error::new(Error::NO_MEMORY, "no");
    assert_eq!(flow.judge(1, 0, other.clone()), other);
}

/// One that is being destroyed.
fn going(uses: &[IndirectId]) -> Held {
    Held {
        table: TableId(1),
        row: None,
        flow: NonNull::dangling(),
        at: 0,
        queue: 0,
        busy: true,
        ready: false,
        counts: true,
        uses: uses.to_vec(),
    }
}

#[test]
fn a_rule_that_is_being_destroyed_counts_no_more() {
    let mut flow = flow();
    flow.rules.insert(RuleId(1), going(&[]));
    let said = flow.count(RuleId(1));
    assert_eq!(said.unwrap_err().errno, Error::INVALID);
}

/// mlx5 gives the memory of a rule to the next one when its destruction completes, however it does.
#[test]
fn a_destruction_that_fails_leaves_no_handle() {
    let mut flow = flow();
    flow.indirects.insert(IndirectId(5), shared(0, true));
    flow.hold(&[IndirectId(5)]);
    flow.rules.insert(RuleId(1), going(&[IndirectId(5)]));
    flow.note(0, 0, 70, true, What::Destroy(RuleId(1)));
    let mut failed = result(0);
    failed.status = status::RTE_FLOW_OP_ERROR;
    let mut done = Vec::new();
    flow.sort_out(0, 0, &[failed], &mut done).unwrap();
    let (cookie, done) = (done[0].cookie, done[0].done);
    assert_eq!((cookie, done, flow.lost()), (70, false, 1));
    assert!(flow.claim(0, RuleId(1)).is_err());
    let said = flow.count(RuleId(1));
    assert_eq!(said.unwrap_err().errno, Error::NOT_FOUND);
    assert_eq!(flow.indirects[&IndirectId(5)].users, 0);
}

#[test]
fn a_flow_queue_has_one_owner() {
    let port = AtomicU32::new(0);
    let first = Given::take(&port, 0b011);
    assert!(first.is_some() && Given::take(&port, 0b110).is_none());
    let third = Given::take(&port, 0b100);
    assert!(third.is_some());
    drop(first);
    assert!(Given::take(&port, 0b011).is_some());
    assert!(Given::take(&port, 0b100).is_none());
}

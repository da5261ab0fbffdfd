//! What a port needs before it starts, so that rules can be put into its device.

use super::refusal::Refusal;
use crate::hardware::Error;
use dpdk_sys::{rte_flow_port_attr, rte_flow_port_info, rte_flow_queue_attr, rte_flow_queue_info};

/// How the flow engine of a port is configured; for good (mlx5 refuses to change it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowOptions {
    /// Flow queues: each thread that programs needs one.
    pub queues: u16,
    /// Operations that one of them holds.
    pub depth: u32,
    /// Rules with COUNT there can be; moved to what the device has.
    pub counters: u32,
    /// What no root rule takes is the kernel's (`rte_flow_isolate`).
    pub isolated: bool,
    /// Hairpin queues of the port, as many to receive as to send ([`super::super::Hairpins`]); not in
    /// switchdev mode.
    pub hairpins: u16,
}

impl Default for FlowOptions {
    fn default() -> Self {
        FlowOptions {
            queues: 1,
            depth: 256,
            counters: 1 << 16,
            isolated: false,
            hairpins: 0,
        }
    }
}

/// What was got of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    /// Flow queues.
    pub queues: u16,
    /// Operations that one of them holds.
    pub depth: u32,
    /// Rules with COUNT there can be.
    pub counters: u32,
}

/// Isolates a port, which must not have been configured (mlx5.rst, "Flow isolated mode").
pub(in super::super) fn isolate(port: u16) -> Result<(), Error> {
    let mut refusal = Refusal::new();
    // SAFETY: the port exists; one record to fill.
    let rc = unsafe { dpdk_sys::rte_flow_isolate(port, 1, refusal.as_mut()) };
    refusal.check("isolate", rc)?;
    Ok(())
}

/// Configures the flow engine of a port that is configured and not started (v24.11
/// `lib/ethdev/rte_flow.c:1680`).
pub(in super::super) fn configure(port: u16, options: &FlowOptions) -> Result<FlowLimits, Error> {
    // SAFETY: plain records for which zeros are valid.
    let (mut info, mut queue): (rte_flow_port_info, rte_flow_queue_info) =
        unsafe { std::mem::zeroed() };
    let mut refusal = Refusal::new();
    // SAFETY: the port exists; three records to fill.
    let rc = unsafe { dpdk_sys::rte_flow_info_get(port, &mut info, &mut queue, refusal.as_mut()) };
    refusal.check("ask the flow engine", rc)?;
    // 0 is "no limit" with some drivers, mlx5 among them.
    let most = |wanted: u32, limit: u32| {
        if limit == 0 {
            wanted
        } else {
            wanted.min(limit)
        }
    };
    let limits = FlowLimits {
        queues: most(options.queues.into(), info.max_nb_queues) as u16,
        depth: most(options.depth, queue.max_size),
        counters: most(options.counters, info.max_nb_counters),
    };
    if limits.queues == 0 || limits.depth == 0 {
        let why = "configure the flow engine: at least one queue of one operation is needed";
        return Err(Error::new(Error::INVALID, why));
    }
    // SAFETY: a plain record for which zeros are valid.
    let mut attr: rte_flow_port_attr = unsafe { std::mem::zeroed() };
    attr.nb_counters = limits.counters;
    // mlx5 wants all queues of one size.
    let each = rte_flow_queue_attr { size: limits.depth };
    let mut queues = vec![std::ptr::from_ref(&each); usize::from(limits.queues)];
    let mut refusal = Refusal::new();
    // SAFETY: the port exists, is configured and stopped; as many records as are announced are read.
    let rc = unsafe {
        dpdk_sys::rte_flow_configure(
            port,
            &attr,
            limits.queues,
            queues.as_mut_ptr(),
            refusal.as_mut(),
        )
    };
    refusal.check("configure the flow engine", rc)?;
    Ok(limits)
}

//! What the NIC of a port can do: asked of its driver, and tried.

use super::Flow;
use crate::dpdk::error::check;
use crate::dpdk::port::Port;
use crate::hardware::probe::{self, Lack, Probed, Told};
use crate::hardware::{Capabilities, Error};
use crate::table::PortId;
use std::borrow::Cow;

/// Drivers whose template API means what programs rely on: mlx5's on its buses, and the one whose NIC
/// is the simulated e-switch.
const KNOWN: [&str; 3] = ["mlx5_pci", "mlx5_auxiliary", "net_evenpath_sim"];

/// A NIC that is asked for nothing.
fn nothing(name: String) -> Capabilities {
    Capabilities {
        name: Cow::Owned(name),
        transfer: false,
        hairpin: false,
        index: false,
        linear: false,
        full_dw_jumbo: false,
        integrity: false,
        ranges: false,
        indirect_rss: false,
        min_rows_log: 0,
        max_rows_log: 0,
        rss_rows: 0,
        counters: 0,
        queues: 0,
        depth: 0,
    }
}

/// Whether hairpin queues can be had (`rte_eth_dev_hairpin_capability_get`).
fn hairpin(port: &Port<'_>) -> Result<(), String> {
    // SAFETY: a plain record for which zeros are valid.
    let mut cap: dpdk_sys::rte_eth_hairpin_cap = unsafe { std::mem::zeroed() };
    // SAFETY: the port exists; one record to fill.
    let rc = unsafe { dpdk_sys::rte_eth_dev_hairpin_capability_get(port.index(), &mut cap) };
    check(rc).map(drop).map_err(|errno| errno.to_string())
}

/// Tries what the NIC of `port` can do. It is started, and nothing is programmed there. Nothing can be
/// had of a driver that we do not know, or of a port without a flow engine, and that is said.
pub fn probe(port: &Port<'_>) -> Probed {
    let name = port.caps().driver.clone();
    let none = |name: String, why: String| Probed {
        capabilities: nothing(name),
        lacks: vec![Lack {
            what: "a hardware plane",
            why,
        }],
    };
    if !KNOWN.contains(&name.as_str()) {
        let why = format!("driver {name}: what its rte_flow means is not known");
        return none(name, why);
    }
    // As much as there is: what the port has is less.
    let limits = Capabilities {
        counters: u32::MAX,
        queues: u32::MAX,
        depth: u32::MAX,
        ..nothing(name.clone())
    };
    let told = Told {
        name: name.clone(),
        hairpin: hairpin(port),
        rss_rows: port.caps().indirection_rows.into(),
    };
    let id = PortId(0);
    let tried = Flow::new(&[(id, port)], limits).and_then(|mut flow| {
        let probed = probe::probe(&mut flow, id, told);
        flow.close()?;
        Ok::<_, Error>(probed)
    });
    tried.unwrap_or_else(|error| none(name, error.to_string()))
}

//! The hash that a NIC told with a packet, taken where it is certain to be the one of software.
//!
//! Certain are TCP and UDP right behind a plain IP header of an untagged frame, with settings that
//! are those the NIC was given. NICs differ in what they do with the rest: extension headers,
//! fragments, tags, the packets inside tunnels, headers cut short.

use super::burst::{Burst, Frame};
use super::parse::hash_told;
use crate::hash::{Policy, Rest, Settings, toeplitz};
use crate::table::stats::NicCompared;
use crate::table::{PortFacts, PortId};
use crate::wire::tunnel::{PORT_GENEVE, PORT_GTPU, PORT_VXLAN, PORT_VXLAN_GPE};

/// Bytes of a TCP header without options, and of a UDP header.
const TCP: (u8, usize) = (6, 20);
const UDP: (u8, usize) = (17, 8);

/// What a NIC told with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    value: u32,
    /// What it hashes by: `PortFacts::nic_hash`.
    by: u64,
}

/// What the NIC told with `frame`; `None` where it is not to be asked.
#[inline(always)]
pub(super) fn told<F: Frame>(frame: &F, facts: &PortFacts) -> Option<Told> {
    if facts.nic_hash == 0 {
        return None;
    }
    let by = facts.nic_hash;
    frame.rss_hash().map(|value| Told { value, by })
}

/// The value of `told` for a packet whose ports, in `rest`, start `segment`, right behind a plain IP
/// header; `None` where it may be another one than `settings` make.
#[inline(always)]
pub(super) fn value(
    told: Option<Told>,
    settings: &Settings,
    segment: &[u8],
    rest: &Rest,
) -> Option<u32> {
    let told = told?;
    (told.by == settings.rss_id() && is_certain(segment, rest)).then_some(told.value)
}

/// Compares what the NIC told with each packet of `burst`, where it would be taken, with what is
/// computed; `facts` say what it should hash by. The way of every packet is the one of the stage,
/// three times: computed, with the value, and with another value, which only a packet whose value
/// is looked at tells from the other two.
#[cold]
#[inline(never)]
pub(super) fn compare<F: Frame>(
    burst: &Burst<F>,
    port: PortId,
    facts: &PortFacts,
    policy: &Policy,
) -> NicCompared {
    let mut found = NicCompared::default();
    for frame in burst.iter() {
        let Some(value) = frame.rss_hash() else {
            continue;
        };
        let by = facts.nic_compare;
        let with = |value| {
            let told = Some(Told { value, by });
            hash_told(frame.bytes(), told, port, facts, policy)
        };
        let (taken, flipped) = (with(value), with(!value));
        if taken == flipped {
            continue;
        }
        match taken == hash_told(frame.bytes(), None, port, facts, policy) {
            true => found.alike += 1,
            false => found.other += 1,
        }
    }
    found
}

#[inline(always)]
fn is_certain(segment: &[u8], rest: &Rest) -> bool {
    let is_tunnel = |port| matches!(port, PORT_VXLAN | PORT_VXLAN_GPE | PORT_GENEVE | PORT_GTPU);
    // A NIC that finds half a header takes the addresses alone, one that knows a tunnel may take
    // what is inside.
    let is_whole = match rest.protocol {
        protocol if protocol == TCP.0 => segment.len() >= TCP.1,
        protocol if protocol == UDP.0 => segment.len() >= UDP.1 && !is_tunnel(rest.dport),
        _ => false,
    };
    is_whole && toeplitz::is_covered(rest.protocol)
}

//! Stage 3: group and hash -> adjacency: one member of each packet's ECMP group.

use super::burst::BURST;
use super::lanes::{Alike, Lanes, Verdict};
use super::prefetch::prefetch;
use crate::table::traffic::BucketCounters;
use crate::table::{AdjacencyId, DropReason, GroupId, PortId, Tables};
use std::ops::Range;

/// Picks a member for every packet.
///
/// In: `group`, `hash`. Out: `bucket`, `adjacency`; `verdict` of what only dead members could take, and
/// then `alike` no more.
/// Touches no packet memory. `counters` are those that `rewrite` counts in.
#[inline(never)]
pub fn select(range: Range<usize>, lanes: &mut Lanes, tables: &Tables, counters: &BucketCounters) {
    let groups = &tables.groups;
    let range = range.start..range.end.min(BURST);
    for i in range.clone() {
        let word = groups.word(lanes.group[i]);
        let index = word.base().wrapping_add(word.bucket(lanes.hash[i]));
        lanes.bucket[i] = index;
        prefetch(groups.bucket_address(index));
        prefetch(counters.address(index));
    }
    for i in range.clone() {
        let id = groups.bucket(lanes.bucket[i]).first;
        lanes.adjacency[i] = id;
        prefetch(tables.adjacencies.slot(id));
    }
    if tables.down.any() {
        lanes.alike = Alike::Mixed;
        for i in range {
            if matches!(lanes.verdict[i], Verdict::V4 | Verdict::V6) {
                match living(tables, lanes.group[i], lanes.hash[i]) {
                    Ok(id) => lanes.adjacency[i] = id,
                    Err(reason) => lanes.verdict[i] = Verdict::Drop(reason),
                }
            }
        }
    }
}

/// The member for one packet, with regard to the dead.
pub fn member(tables: &Tables, group: GroupId, hash: u32) -> Result<AdjacencyId, DropReason> {
    if tables.down.any() {
        return living(tables, group, hash);
    }
    let word = tables.groups.word(group);
    let index = word.base().wrapping_add(word.bucket(hash));
    Ok(tables.groups.bucket(index).first)
}

/// The egress port of an adjacency that has one.
fn port_of(tables: &Tables, id: AdjacencyId) -> Option<PortId> {
    let facts = tables.adjacencies.slot(id).facts();
    facts.is_forward().then(|| facts.port())
}

#[cold]
fn living(tables: &Tables, group: GroupId, hash: u32) -> Result<AdjacencyId, DropReason> {
    let word = tables.groups.word(group);
    let down = &tables.down;
    let chosen = tables
        .groups
        .living(word, hash, down, |id| port_of(tables, id));
    chosen.map_err(
        |first| match port_of(tables, first).is_some_and(|port| down.port(port)) {
            true => DropReason::PortDown,
            false => DropReason::NexthopDown,
        },
    )
}

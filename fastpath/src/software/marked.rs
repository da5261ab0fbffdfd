//! Before the lookup, where NICs mark packets: the group of those whose mark is believed.

use super::burst::{BURST, Burst, Frame};
use super::lanes::{Alike, Family, Lanes};
use super::prefetch::prefetch;
use crate::table::stats::WorkerStats;
use crate::table::{GroupId, Groups, Marks};

/// Takes the packets out of what is to be looked up whose mark names the prefix that a lookup would
/// find, and counts them.
///
/// In: `v4`, `v6`, what the NIC told. Out: `group`, `v4`, `v6`, `alike`. Touches no packet memory.
// Cold for the layout of the loop that calls it, in which nothing is to cost anything without marks.
#[cold]
#[inline(never)]
pub fn marked<F: Frame>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    marks: &Marks,
    groups: &Groups,
    stats: &WorkerStats,
) {
    let Lanes { v4, v6, group, .. } = lanes;
    let four = take(v4, burst, group, groups, |mark, destination| {
        marks.group4(mark, destination)
    });
    let six = take(v6, burst, group, groups, |mark, destination| {
        marks.group6(mark, destination)
    });
    if four + six != 0 {
        // What is left to be looked up has other places than its lanes.
        lanes.alike = Alike::Mixed;
    }
    stats.marked(four + six);
}

#[inline(always)]
fn take<F: Frame, A: Copy>(
    family: &mut Family<A>,
    burst: &Burst<F>,
    group: &mut [GroupId; BURST],
    groups: &Groups,
    known: impl Fn(u32, A) -> Option<GroupId>,
) -> u64 {
    let all = family.len.min(BURST);
    let mut left = 0;
    for i in 0..all {
        let (lane, destination) = (family.lanes[i], family.destinations[i]);
        let mark = burst.get(usize::from(lane)).and_then(Frame::mark);
        match mark.and_then(|mark| known(mark, destination)) {
            Some(found) => {
                group[usize::from(lane) & (BURST - 1)] = found;
                prefetch(groups.word_address(found));
            }
            None => {
                family.put(left, lane.into(), destination);
                left += 1;
            }
        }
    }
    family.len = left;
    (all - left) as u64
}

//! Stage 2: destination -> nexthop group, in bulk, a family at a time.

use super::burst::BURST;
use super::lanes::{Alike, Family, Lanes};
use super::prefetch::prefetch;
use crate::table::{GroupId, Groups, Lpm, View};

/// Looks up every packet to be routed.
///
/// In: `v4`, `v6`. Out: `group`. Touches no packet memory.
#[inline(never)]
pub fn lookup<L: Lpm>(lanes: &mut Lanes, view: &View<L>, groups: &Groups) {
    let Lanes { v4, v6, group, .. } = lanes;
    match lanes.alike {
        Alike::V4 => {
            let found = group.get_mut(..v4.len).unwrap_or_default();
            let destinations = v4.destinations.get(..v4.len).unwrap_or_default();
            view.lpm.lookup4(destinations, found);
            return known(found, view.default4, groups);
        }
        Alike::V6 => {
            let found = group.get_mut(..v6.len).unwrap_or_default();
            let destinations = v6.destinations.get(..v6.len).unwrap_or_default();
            view.lpm.lookup6(destinations, found);
            return known(found, view.default6, groups);
        }
        Alike::Mixed => {}
    }
    if v4.len != 0 {
        let (destinations, found) = (&v4.destinations, &mut v4.groups);
        if let (Some(destinations), Some(found)) =
            (destinations.get(..v4.len), found.get_mut(..v4.len))
        {
            view.lpm.lookup4(destinations, found);
        }
        scatter(v4, view.default4, group, groups);
    }
    if v6.len != 0 {
        let (destinations, found) = (&v6.destinations, &mut v6.groups);
        if let (Some(destinations), Some(found)) =
            (destinations.get(..v6.len), found.get_mut(..v6.len))
        {
            view.lpm.lookup6(destinations, found);
        }
        scatter(v6, view.default6, group, groups);
    }
}

/// What was found stands where it belongs.
#[inline(always)]
fn known(group: &mut [GroupId], default: GroupId, groups: &Groups) {
    for group in group {
        if *group == GroupId::NONE {
            *group = default;
        }
        prefetch(groups.word_address(*group));
    }
}

#[inline(always)]
fn scatter<A>(family: &Family<A>, default: GroupId, group: &mut [GroupId; BURST], groups: &Groups) {
    let found = family.lanes.iter().zip(&family.groups).take(family.len);
    for (lane, found) in found {
        let found = if *found == GroupId::NONE {
            default
        } else {
            *found
        };
        group[usize::from(*lane) & (BURST - 1)] = found;
        prefetch(groups.word_address(found));
    }
}

/// The group of one IPv4 destination.
pub fn group4<L: Lpm>(view: &View<L>, destination: u32) -> GroupId {
    let mut found = [GroupId::NONE];
    view.lpm.lookup4(&[destination], &mut found);
    let [found] = found;
    if found == GroupId::NONE {
        view.default4
    } else {
        found
    }
}

/// The group of one IPv6 destination.
pub fn group6<L: Lpm>(view: &View<L>, destination: [u8; 16]) -> GroupId {
    let mut found = [GroupId::NONE];
    view.lpm.lookup6(&[destination], &mut found);
    let [found] = found;
    if found == GroupId::NONE {
        view.default6
    } else {
        found
    }
}

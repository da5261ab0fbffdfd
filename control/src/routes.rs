//! From routes to prefixes in the tables: which route of a prefix wins, and what follows.

use crate::dplane::Fixed;
use crate::nexthop::{Key, SetId};
use crate::plan::Plan;
use crate::port::is_link_local;
use crate::prefix::Prefix;
use crate::rib::{Entry, Place, Rib, Source, Target};
use fastpath::table::{GroupId, LpmWrite};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

/// `RTPROT_KERNEL`: connected, local and the kernel's own routes alike.
pub const PROTOCOL_KERNEL: u8 = 2;

/// True for prefixes that a router may forward to: not link-local, loopback or multicast ones.
pub fn is_forwardable(prefix: Prefix) -> bool {
    let address = prefix.address();
    let inside = match address {
        IpAddr::V4(_) => prefix.length() >= 4,
        IpAddr::V6(_) => prefix.length() >= 8,
    };
    !(inside && (address.is_multicast() || address.is_loopback() || is_link_local(address)))
}

/// The interface of a set that is nothing but "on this link".
pub fn on_link<L: LpmWrite>(plan: &Plan<L>, set: SetId) -> Option<u32> {
    match plan.sets.members(set)[..] {
        [(only, _)] => {
            let key = plan.nexthops.get(only)?.key;
            key.gateway.is_none().then_some(key.ifindex)
        }
        _ => None,
    }
}

/// Finds the winner among the routes of `prefix` and points it there; other prefixes that depend
/// on it are looked at too.
pub fn drive<L: LpmWrite>(plan: &mut Plan<L>, rib: &mut Rib, prefix: Prefix, now: Instant) {
    if let Some(place) = rib.find(prefix) {
        drive_at(plan, rib, (prefix, place), now);
    }
}

/// The same of a prefix whose place is known.
pub fn drive_at<L: LpmWrite>(
    plan: &mut Plan<L>,
    rib: &mut Rib,
    (prefix, place): (Prefix, Place),
    now: Instant,
) {
    let (mut todo, mut next) = (BTreeSet::new(), Some((prefix, place)));
    while let Some((prefix, place)) = next {
        let entry = rib.at_mut(place);
        let base = base(plan, entry);
        let before = std::mem::replace(&mut entry.base, base);
        if base != before {
            let link = |won: Option<(Source, Target)>| match won {
                Some((_, Target::Set(set))) => on_link(plan, set),
                _ => None,
            };
            if base.is_some() != before.is_some() || link(base) != link(before) {
                let inside = plan.neighbors.within(prefix);
                let hosts = inside
                    .map(|(_, a)| Prefix::host(a))
                    .filter(|p| *p != prefix);
                todo.extend(hosts);
            }
        }
        let neighbor = entry.others.as_ref().and_then(|o| o.neighbor);
        let won = match neighbor {
            Some(ifindex) => neighbor_route(plan, rib, prefix, ifindex).or(base),
            None => base,
        };
        let entry = rib.at_mut(place);
        point(plan, entry, prefix, won, now);
        if entry.is_empty() {
            rib.tidy(prefix);
        }
        let mut rest = std::iter::from_fn(|| todo.pop_first());
        next = rest.find_map(|p| Some((p, rib.find(p)?)));
    }
}

/// The winner but for neighbors.
fn base<L: LpmWrite>(plan: &mut Plan<L>, entry: &mut Entry) -> Option<(Source, Target)> {
    let others = entry.others.as_deref();
    if let (Some(fpm), Some(others)) = (&mut entry.fpm, others) {
        // zebra sends own addresses and connected prefixes along and loses their deletes, so once
        // rtnetlink has said that it is one, it stays one.
        let known = !others.local.is_empty() || !others.connected.is_empty();
        if known && fpm.protocol == PROTOCOL_KERNEL {
            fpm.copy |= match fpm.target {
                Some(Target::Set(set)) => on_link(plan, set).is_some(),
                _ => true,
            };
        }
    }
    if let Some(others) = others {
        if !others.local.is_empty() {
            return Some((Source::Local, Target::Fixed(Fixed::Punt)));
        }
        // Without a link a prefix is not connected: another route to it may be better.
        let mut up = others.connected.iter().copied();
        if let Some(ifindex) = up.find(|&i| plan.ports.is_interface_up(i)) {
            let set = plan.single(Key::on_link(ifindex));
            return Some((Source::Connected, Target::Set(set)));
        }
        if let Some(target) = others.fixed {
            return Some((Source::Static, target));
        }
    }
    let fpm = entry.fpm.as_ref().filter(|f| !f.copy)?;
    Some((Source::Fpm, fpm.target?))
}

/// The host route to the neighbor `prefix` on `ifindex`, if what covers it otherwise is that link.
fn neighbor_route<L: LpmWrite>(
    plan: &mut Plan<L>,
    rib: &Rib,
    prefix: Prefix,
    ifindex: u32,
) -> Option<(Source, Target)> {
    let address = prefix.address();
    let (_, cover) = rib.longest(address, |e| e.base.is_some())?;
    let Some((_, Target::Set(set))) = cover.base else {
        return None;
    };
    let link = on_link(plan, set)?;
    let port = plan.ports.of(ifindex)?;
    (plan.ports.of(link) == Some(port)).then(|| {
        let set = plan.single(Key::host(address, ifindex));
        (Source::Neighbor, Target::Set(set))
    })
}

/// Points `prefix` to what `won` says.
fn point<L: LpmWrite>(
    plan: &mut Plan<L>,
    entry: &mut Entry,
    prefix: Prefix,
    won: Option<(Source, Target)>,
    now: Instant,
) {
    if entry.won == won && entry.failed.is_none() {
        return;
    }
    let changed = std::mem::replace(&mut entry.won, won) != won;
    let again = entry.failed.take().is_some();
    let group = match won {
        None => GroupId::NONE,
        Some((_, Target::Fixed(fixed))) => plan.dplane.fixed(fixed),
        Some((_, Target::Set(set))) => match plan.enter(entry.group, (prefix, set), now) {
            Ok(group) => group,
            Err(full) => {
                entry.failed = Some(full.to_string().into());
                match changed {
                    true => plan.make_do(entry.group, (prefix, set), now),
                    false => entry.group,
                }
            }
        },
    };
    if again != entry.failed.is_some() {
        plan.room_changed.push(prefix);
    }
    if group != entry.group {
        plan.groups.attach(group);
        plan.groups.detach(entry.group);
        entry.group = group;
        plan.dplane.point(prefix, group);
    }
}

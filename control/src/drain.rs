//! Sparing next hops: `drain` takes one out of its groups without breaking the flows that it
//! carries as long as there is time, `undrain` lets it back in. And the background pass that moves
//! idle buckets, which drains have in common with resilient groups.

use crate::answer::error;
use crate::api::message::{Drain, DrainState, Drained, Error};
use crate::bucket::Member;
use crate::control::Control;
use crate::nexthop::{Hold, Key, Nexthop, Standing};
use crate::plan::{Plan, Repair};
use crate::port::Ports;
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often buckets are looked at that may have to move.
const EASE: Duration = Duration::from_secs(1);
/// A bucket of a member being drained is idle after this part of the time that the drain has, if
/// that is sooner than the active timer.
const PART_OF_DRAIN: u32 = 4;
/// The longest drain: a day.
pub(crate) const LONGEST: u32 = 86_400;

/// A next hop that the operator spares.
#[derive(Clone, Debug)]
pub struct Spared {
    /// Its address.
    pub(crate) via: IpAddr,
    /// On this port only.
    pub(crate) port: Option<PortId>,
    /// What is left then is moved by force.
    pub(crate) until: Instant,
    /// How long it had.
    pub(crate) over: Duration,
    /// That is done, or nothing was left to do.
    pub(crate) done: bool,
}

impl Spared {
    fn is(&self, key: &Key, port: Option<PortId>) -> bool {
        key.gateway == Some(self.via) && !key.host && (self.port.is_none() || self.port == port)
    }

    /// What is said of `via` on `port`, or on all ports, says the same and more.
    pub(crate) fn is_within(&self, via: IpAddr, port: Option<PortId>) -> bool {
        self.via == via && (port.is_none() || self.port == port)
    }
}

/// What spares the next hop `key` on `port`: what was said of that port counts before what was said
/// of all.
fn find<'s>(spared: &'s [Spared], key: &Key, port: Option<PortId>) -> Option<&'s Spared> {
    let all = spared.iter().filter(|s| s.is(key, port));
    all.max_by_key(|s| s.port.is_some())
}

/// What the operator wants of the next hop `key` on `port`, if something.
pub(crate) fn wish(spared: &[Spared], key: &Key, port: Option<PortId>) -> Option<Hold> {
    Some(match find(spared, key, port)?.done {
        true => Hold::Drained,
        false => Hold::Draining,
    })
}

/// After how long without packets a bucket of `owner` may move in the background, by the active
/// timer of all and what drains there are.
pub(crate) fn patience(
    owner: Option<&Nexthop>,
    spared: &[Spared],
    ports: &Ports,
    active: Duration,
) -> Duration {
    let drain = owner
        .filter(|n| n.hold == Hold::Draining)
        .and_then(|n| find(spared, &n.key, ports.of(n.key.ifindex)));
    drain.map_or(active, |d| active.min(d.over / PART_OF_DRAIN))
}

impl<L: LpmWrite> Plan<L> {
    /// What the operator wants of a next hop.
    pub(crate) fn wish_for(&self, key: &Key) -> Option<Hold> {
        wish(&self.spared, key, self.ports.of(key.ifindex))
    }

    /// How long what holds `nexthop` has yet to last.
    pub(crate) fn hold_left(&self, nexthop: &Nexthop, now: Instant) -> Option<Duration> {
        let until = match nexthop.hold {
            Hold::Down(until) => until,
            Hold::Draining => {
                let port = self.ports.of(nexthop.key.ifindex);
                find(&self.spared, &nexthop.key, port)?.until
            }
            Hold::Free | Hold::Drained => return None,
        };
        Some(until.saturating_duration_since(now))
    }

    fn hold(&mut self, members: &[Member], hold: Hold, now: Instant) -> Repair {
        for &member in members {
            if let Some(nexthop) = self.nexthops.get_mut(member) {
                nexthop.hold = hold;
            }
        }
        self.reconsider(members, now)
    }

    /// Buckets that `members` have in their groups, and these groups.
    pub(crate) fn buckets_of(&self, members: &[Member]) -> (usize, BTreeSet<GroupId>) {
        let all = members.iter().filter_map(|m| self.nexthops.get(*m));
        let groups: BTreeSet<GroupId> = all.flat_map(|n| n.groups.iter().copied()).collect();
        let share = |id: &GroupId| {
            let group = self.groups.get(*id);
            let of = |m: &Member| group.map_or(0, |g| g.share(*m));
            members.iter().map(of).sum::<usize>()
        };
        (groups.iter().map(share).sum(), groups)
    }
}

impl<L: LpmWrite> Control<L> {
    fn spared(&self, via: IpAddr, port: Option<PortId>) -> Vec<Member> {
        let is_it = |n: &Nexthop| {
            n.key.gateway == Some(via)
                && !n.key.host
                && (port.is_none() || self.plan.ports.of(n.key.ifindex) == port)
        };
        let all = self.plan.nexthops.iter();
        all.filter(|(_, n)| is_it(n) && !n.groups.is_empty())
            .map(|(m, _)| m)
            .collect()
    }

    /// The groups in which nobody but `members` can take packets.
    fn stranded(&self, members: &[Member], groups: &BTreeSet<GroupId>) -> Vec<GroupId> {
        let plan = &self.plan;
        let other = |id: &GroupId| {
            let set = plan.groups.get(*id).map(|g| plan.sets.members(g.set));
            set.is_some_and(|set| {
                set.iter().any(|(m, _)| {
                    let standing = plan.nexthops.get(*m).map(Nexthop::standing);
                    !members.contains(m) && standing == Some(Standing::In)
                })
            })
        };
        groups.iter().copied().filter(|id| !other(id)).collect()
    }

    /// Any of `groups` has buckets for `members`, or will have if its next hops return as they are.
    fn is_left_to(&self, members: &[Member], groups: &BTreeSet<GroupId>) -> bool {
        let mut all = groups.iter().filter_map(|id| self.plan.groups.get(*id));
        all.any(|g| g.is_left_to(members))
    }

    /// Active buckets of `members` in `groups`: used within `idle`.
    fn active(
        &self,
        members: &[Member],
        groups: &BTreeSet<GroupId>,
        idle: Duration,
        now: Instant,
    ) -> usize {
        let of = |id: &GroupId| {
            let owners = self.plan.groups.get(*id).map(|g| g.effective.as_slice());
            let owned = owners.unwrap_or_default().iter().enumerate();
            owned
                .filter(|(b, m)| {
                    let quiet = self.activity.idle_for(*id, *b, now);
                    members.contains(m) && quiet.is_none_or(|q| q < idle)
                })
                .count()
        };
        groups.iter().map(of).sum()
    }

    fn port_named(&self, name: &str) -> Result<PortId, Error> {
        let ports = &self.plan.ports;
        ports.all().find(|p| ports.name(*p) == name).ok_or_else(|| {
            let names: Vec<&str> = ports.all().map(|p| ports.name(p)).collect();
            let remedy = format!("ports are {}", names.join(", "));
            error(
                format!("port {name}"),
                "drain",
                "no such port".into(),
                Some(&remedy),
            )
        })
    }

    /// Takes a next hop out of its groups, or lets it back in.
    pub(crate) fn drain(&mut self, wanted: &Drain, now: Instant) -> Result<Drained, Error> {
        let fail = |cause: &str, remedy: &str| {
            let object = format!("nexthop {}", wanted.nexthop);
            error(object, "drain", cause.into(), Some(remedy))
        };
        if wanted.over > LONGEST {
            return Err(fail("that is too long", "0..86400 seconds are allowed"));
        }
        let port = wanted.port.as_deref();
        let port = port.map(|p| self.port_named(p)).transpose()?;
        let members = self.spared(wanted.nexthop, port);
        let spared = &self.plan.spared;
        let known = spared.iter().any(|s| s.is_within(wanted.nexthop, port));
        let everywhere = |s: &Spared| s.via == wanted.nexthop && s.port.is_none();
        if wanted.back && port.is_some() && spared.iter().any(everywhere) {
            let remedy = "undrain it without a port, then drain it on those where it is to be";
            return Err(fail("it is drained on all ports", remedy));
        }
        if members.is_empty() && !(wanted.back && known) {
            let remedy = "`evenpath show nexthop` lists those that routes have";
            return Err(fail("no route has such a next hop", remedy));
        }
        if wanted.back && !known && !self.is_parked(&members) {
            return Err(fail("it is not drained", "`evenpath show nexthop` tells"));
        }
        let over = Duration::from_secs(wanted.over.into());
        let (before, groups) = self.plan.buckets_of(&members);
        let active = self.active(&members, &groups, self.patience(over), now);
        let stranded = match wanted.back {
            true => Vec::new(),
            false => self.stranded(&members, &groups),
        };
        if let (Some(first), false) = (stranded.first(), wanted.force || wanted.dry_run) {
            let cause = format!(
                "{} of {} groups have no other next hop in service, group {} among them",
                stranded.len(),
                groups.len(),
                first.0
            );
            let remedy = "--force: those groups go on using it";
            return Err(fail(&cause, remedy));
        }
        let mut notes = Vec::new();
        if !stranded.is_empty() {
            let all = groups.len();
            notes.push(format!(
                "{} of {all} groups have no other next hop and go on using it",
                stranded.len()
            ));
        }
        let mut moved = 0;
        if !wanted.dry_run {
            self.plan
                .spared
                .retain(|s| !s.is_within(wanted.nexthop, port));
            let hold = if wanted.back {
                self.plan.groups.unpark(&members);
                Hold::Free
            } else {
                self.plan.spared.push(Spared {
                    via: wanted.nexthop,
                    port,
                    until: now + over,
                    over,
                    done: over.is_zero(),
                });
                match over.is_zero() {
                    true => Hold::Drained,
                    false => Hold::Draining,
                }
            };
            let repair = self.plan.hold(&members, hold, now);
            // Also where no group has it, and nothing changes but this.
            self.keeping.touch(now);
            moved = repair.moved + self.ease(now);
            self.end_drains(now);
            let what = match hold {
                Hold::Free => "undrained",
                Hold::Drained => "drained",
                _ => "draining",
            };
            let details = vec![
                ("buckets", before.to_string()),
                ("buckets-moved", moved.to_string()),
                ("seconds", wanted.over.to_string()),
            ];
            let object = format!("nexthop {}", wanted.nexthop);
            let noticed = self.wall(now);
            self.happening(object, what.into(), details, noticed);
        }
        let (left, _) = self.plan.buckets_of(&members);
        let is_left = self.is_left_to(&members, &groups);
        let state = match (wanted.back, over.is_zero() || !is_left) {
            (true, _) => DrainState::InService,
            (false, true) => DrainState::Drained,
            (false, false) => DrainState::Draining,
        };
        Ok(Drained {
            nexthop: wanted.nexthop,
            port: wanted.port.clone(),
            state,
            groups: groups.len() as u64,
            buckets: before as u64,
            active_buckets: self.activity.is_watching().then_some(active as u64),
            buckets_moved: moved as u64,
            buckets_left: left as u64,
            idle_after_seconds: self.patience(over).as_secs_f64(),
            seconds_left: f64::from(wanted.over),
            dry_run: wanted.dry_run,
            notes,
        })
    }

    fn is_parked(&self, members: &[Member]) -> bool {
        let parked = |m: &Member| self.plan.groups.iter().any(|(_, g)| g.parked.contains(m));
        members.iter().any(parked)
    }

    /// After how long without packets a bucket of a drain over `over` counts as idle.
    fn patience(&self, over: Duration) -> Duration {
        let active = self.plan.groups.rules().active_timer;
        active.min(over / PART_OF_DRAIN)
    }

    /// Moves buckets in the background that may move by now; how many.
    pub(crate) fn ease(&mut self, now: Instant) -> usize {
        self.ease_at = None;
        if !self.plan.groups.is_uneasy() {
            return 0;
        }
        self.activity.read(&self.plan.groups, now);
        let plan = &mut self.plan;
        let active = plan.groups.rules().active_timer;
        let (activity, nexthops, spared) = (&self.activity, &plan.nexthops, &plan.spared);
        let ports = &plan.ports;
        let patience = |owner: Member| patience(nexthops.get(owner), spared, ports, active);
        let idle = |id, bucket, owner| {
            let quiet = activity.idle_for(id, bucket, now);
            quiet.is_some_and(|q| q >= patience(owner))
        };
        let around = (nexthops, &plan.sets, &plan.dplane);
        let changed = plan.groups.ease(now, idle, around);
        let moved: usize = changed.iter().map(|c| c.1).sum();
        if moved > 0 {
            self.counters.eased += moved as u64;
            let object = match changed.as_slice() {
                [(id, _)] => format!("group {}", id.0),
                all => format!("{} groups", all.len()),
            };
            let details = vec![("buckets-moved", moved.to_string())];
            let noticed = self.wall(now);
            self.happening(object, "eased".into(), details, noticed);
        }
        moved
    }

    /// What drains and returns are due at `now`.
    pub(crate) fn release_and_ease(&mut self, now: Instant) {
        self.plan.groups.grow_up(now);
        if let Some(repair) = self.plan.release(now) {
            let noticed = self.wall(now);
            self.repaired("hold-down".into(), "over".into(), &repair, noticed, now);
        }
        if self.ease_at.is_some_and(|at| now >= at) {
            self.ease(now);
        }
        self.end_drains(now);
    }

    /// Drains whose time is over, or that have nothing left to do, are done.
    fn end_drains(&mut self, now: Instant) {
        let open: Vec<usize> = (0..self.plan.spared.len())
            .filter(|&i| !self.plan.spared[i].done)
            .collect();
        for i in open {
            let spared = self.plan.spared[i].clone();
            let members = self.spared(spared.via, spared.port);
            let (left, groups) = self.plan.buckets_of(&members);
            // After a start what it has may yet come back.
            let is_empty = !self.is_left_to(&members, &groups) && self.plan.groups.past().is_none();
            if now < spared.until && !is_empty {
                continue;
            }
            self.plan.spared[i].done = true;
            let repair = self.plan.hold(&members, Hold::Drained, now);
            let details = vec![
                ("buckets-forced", left.to_string()),
                ("buckets-moved", repair.moved.to_string()),
            ];
            let noticed = self.wall(now);
            let object = format!("nexthop {}", spared.via);
            self.happening(object, "drained".into(), details, noticed);
        }
    }

    /// When [`Control::release_and_ease`] is due.
    pub(crate) fn next_ease(&self) -> Option<Instant> {
        let open = self.plan.spared.iter().filter(|s| !s.done);
        let drains = open.map(|s| s.until).min();
        [self.ease_at, drains, self.plan.next_release()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Notes that there is something to do in the background.
    pub(crate) fn plan_easing(&mut self, now: Instant) {
        if self.plan.groups.is_uneasy() {
            self.ease_at.get_or_insert(now + EASE);
        }
    }
}

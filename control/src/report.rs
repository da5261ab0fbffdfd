//! What zebra is told of the routes that it sent: each is answered by what the tables hold of it.
//!
//! A route is judged when the commit that it is part of is in force for every worker, so bgpd
//! (`bgp suppress-fib-pending`, with zebra's `--asic-offload=notify_on_offload`) announces it no
//! earlier than it forwards. Whoever programs routes says so by [`Control::report`], and of what was
//! said of a prefix only the newest counts: a connection that does not take its answers costs a
//! word a route and nobody's time. Another connection starts from nothing; the resync asks again.

use crate::api::message::Answers;
use crate::backlog::SLICE;
use crate::bridge::Origin;
use crate::config::Answer as Policy;
use crate::control::Control;
use crate::event::Action;
use crate::fpm::answer::{Answer, LONGEST, OFFLOAD, OFFLOAD_FAILED, TRAP};
use crate::group::Changes;
use crate::map::Map;
use crate::prefix::Prefix;
use crate::rib::{Due, Entry, Place};
use crate::routes::PROTOCOL_KERNEL;
use fastpath::table::{AdjacencyId, GroupId, LpmWrite};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// Answers handed over at once, and no more until they are written.
const LOAD: usize = 2048;
/// Routes that have become usable with their group are judged at once, if they are no more than these.
const AT_ONCE: usize = 16;

/// What forwards a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Programmed {
    /// Hardware, all of it.
    Hardware,
    /// Hardware, but for packets that it leaves to software.
    Partial,
    /// Software.
    Software,
    /// Nothing: it found no room.
    Failed,
}

impl Programmed {
    /// The flags of the answer, if there is to be one; `told` are those of the one before.
    ///
    /// A failure is always told, and so is its end, which nothing else would tell.
    pub fn flags(self, policy: Policy, told: u32) -> Option<u32> {
        match (self, policy) {
            (Programmed::Failed, _) => Some(OFFLOAD_FAILED),
            (Programmed::Hardware, _) | (_, Policy::Offload) => Some(OFFLOAD),
            (_, Policy::OffloadTrap) => Some(OFFLOAD | TRAP),
            (_, Policy::Trap) => Some(TRAP),
            (_, Policy::None) => (told == OFFLOAD_FAILED).then_some(OFFLOAD),
        }
    }
}

/// Answers by flags.
type Sent = BTreeMap<u32, u64>;

/// What there is to tell zebra.
#[derive(Debug, Default)]
pub struct Reports {
    /// Somebody is connected.
    open: bool,
    /// `nlmsg_pid` of zebra's messages.
    port: u32,
    /// To be judged after the next commit; true: zebra waits for an answer.
    touched: Vec<(Prefix, Option<Place>, bool)>,
    /// In the tables, but no next hop can be used yet.
    unusable: Map<GroupId, BTreeSet<Prefix>>,
    /// Of groups of which one could be used then: to be told in slices, since it may be all of a table.
    ready: VecDeque<(Instant, BTreeSet<Prefix>)>,
    /// Routes with an answer that is due.
    waiting: usize,
    /// Handed over and not written yet.
    load: Option<Sent>,
    sent: Sent,
    superseded: u64,
    dropped: u64,
}

impl Reports {
    /// Another connection, or none: whatever was to be said to the last one is lost.
    fn reset(&mut self, open: bool) {
        let load = self.load.take().unwrap_or_default();
        let waiting = std::mem::take(&mut self.waiting) as u64;
        self.dropped += waiting + load.values().sum::<u64>();
        self.open = open;
        self.touched.clear();
        self.unusable.clear();
        self.ready.clear();
    }

    /// When [`Control::tell_ready`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.ready.front().map(|(since, _)| *since)
    }

    /// The `nlmsg_pid` of zebra's latest messages; 0: none came.
    pub(crate) fn from(&mut self, port: u32) {
        if port != 0 {
            self.port = port;
        }
    }

    /// zebra has sent a route, which is there: it waits for an answer.
    pub(crate) fn asked(&mut self, prefix: Prefix, place: Place) {
        if self.open {
            self.touched.push((prefix, Some(place), true));
        }
    }

    /// Something else became of a route.
    pub(crate) fn touched(&mut self, prefix: Prefix) {
        if self.open {
            self.touched.push((prefix, None, false));
        }
    }

    /// The route of `prefix`, in `group` so far, is replaced or gone.
    pub(crate) fn leaves(&mut self, prefix: Prefix, group: GroupId) {
        if let Some(all) = self.unusable.get_mut(&group) {
            all.remove(&prefix);
        }
        for (_, all) in &mut self.ready {
            all.remove(&prefix);
        }
    }

    /// zebra has deleted the route of `prefix`, in `group` so far: deletes need no answer, also where
    /// one `was_due`.
    pub(crate) fn gone(&mut self, prefix: Prefix, group: GroupId, was_due: bool) {
        self.leaves(prefix, group);
        self.overtaken(was_due);
    }

    /// An answer that was due is not any more.
    fn overtaken(&mut self, was_due: bool) {
        self.superseded += u64::from(was_due);
        self.waiting -= usize::from(was_due);
    }

    /// The load is written.
    pub(crate) fn written(&mut self) {
        for (flags, answers) in self.load.take().unwrap_or_default() {
            *self.sent.entry(flags).or_default() += answers;
        }
    }

    pub(crate) fn view(&self, policy: Policy, failed: u64) -> Answers {
        let name = |flags: u32| match flags {
            OFFLOAD => "offload",
            TRAP => "trap",
            OFFLOAD_FAILED => "offload-failed",
            _ => "offload-trap",
        };
        let load: u64 = self.load.as_ref().map_or(0, |load| load.values().sum());
        let ready: u64 = self.ready.iter().map(|(_, all)| all.len() as u64).sum();
        Answers {
            policy: policy.name().into(),
            sent: self
                .sent
                .iter()
                .map(|(f, n)| (name(*f).into(), *n))
                .collect(),
            waiting: self.waiting as u64 + load + ready,
            unusable: self.unusable.values().map(|all| all.len() as u64).sum(),
            superseded: self.superseded,
            dropped: self.dropped,
            failed,
        }
    }
}

impl<L: LpmWrite> Control<L> {
    /// Another connection, or none: whatever was to be said to the last one is lost.
    pub(crate) fn reset_reports(&mut self, open: bool) {
        while let Some((_, entry)) = self.rib.next_queued() {
            if let Some(route) = &mut entry.fpm {
                route.due = None;
            }
        }
        self.reports.reset(open);
    }

    /// `prefix` is forwarded by that, from now on and for every packet: what it takes to say so to
    /// zebra, if the route is one of its. Of several reports the latest counts.
    pub fn report(&mut self, prefix: Prefix, programmed: Programmed) {
        if let Some(place) = self.rib.find(prefix) {
            self.tell((prefix, place), programmed, false);
        }
    }

    fn tell(&mut self, (prefix, place): (Prefix, Place), programmed: Programmed, asked: bool) {
        let route = self.rib.at(place).fpm.as_ref();
        let generation = self.session.generation;
        let Some(route) = route.filter(|r| self.reports.open && r.generation == generation) else {
            return;
        };
        // The kernel's own routes are no news to zebra, and what it has deleted is no route of its.
        let origin = Origin::of(route.protocol, prefix);
        if route.protocol == PROTOCOL_KERNEL || self.bridges.keeps(origin, prefix) {
            return;
        }
        let Some(route) = self.rib.at_mut(place).fpm.as_mut() else {
            return;
        };
        let before = route.due.take();
        self.reports.overtaken(before.is_some());
        let asked = asked || before.is_some_and(|b| b.asked);
        match programmed.flags(self.config.fpm.answer, route.told) {
            Some(flags) if asked || flags != route.told => {
                route.due = Some(Due { flags, asked });
                self.reports.waiting += 1;
                self.rib.queue(place);
            }
            // It waits, whatever it was told of the route that this one replaces.
            None if asked => route.told = 0,
            _ => {}
        }
    }

    /// A commit is in force: judges what it was about.
    pub(crate) fn report_commit(&mut self, changes: &Changes, now: Instant) {
        let ids = changes.dealt.iter().chain(&changes.gone);
        for id in ids {
            let usable = self.forwards(*id);
            if let Some(all) = self.reports.unusable.remove(id) {
                let touched = &mut self.reports.touched;
                match usable {
                    true if all.len() <= AT_ONCE => {
                        touched.extend(all.into_iter().map(|p| (p, None, true)));
                    }
                    true => self.reports.ready.push_back((now, all)),
                    false => _ = self.reports.unusable.insert(*id, all),
                }
            }
        }
        let mut touched = std::mem::take(&mut self.reports.touched);
        for (prefix, place, asked) in touched.drain(..) {
            let place = match place {
                Some(place) => self.rib.still(place, prefix),
                None => self.rib.find(prefix),
            };
            let Some(place) = place else {
                continue;
            };
            let entry = self.rib.at(place);
            let waits = entry.fpm.as_ref().is_none_or(|f| f.waits.is_some());
            match self.programmed(prefix, entry) {
                // What its id means is yet to come; until then it is what it was.
                _ if waits => {}
                Some(programmed) => self.tell((prefix, place), programmed, asked),
                None if asked && entry.group != GroupId::NONE => {
                    let waiting = self.reports.unusable.entry(entry.group).or_default();
                    waiting.insert(prefix);
                }
                None => {}
            }
        }
        if touched.capacity() <= 2 * SLICE {
            // The next slice needs as much.
            self.reports.touched = touched;
        }
        self.hand_over();
    }

    /// A slice of the routes that have become usable is judged with the next commit.
    pub(crate) fn tell_ready(&mut self) {
        let reports = &mut self.reports;
        for _ in 0..SLICE {
            let Some((_, all)) = reports.ready.front_mut() else {
                return;
            };
            match all.pop_first() {
                Some(prefix) => reports.touched.push((prefix, None, true)),
                None => _ = reports.ready.pop_front(),
            }
        }
    }

    /// What the tables of software do with a route; none: nothing yet, its next hops are unresolved.
    fn programmed(&self, prefix: Prefix, entry: &Entry) -> Option<Programmed> {
        if entry.failed.is_some() {
            return Some(Programmed::Failed);
        }
        if entry.group == GroupId::NONE {
            return None;
        }
        self.forwards(entry.group)
            .then(|| self.programmed_by(prefix))
    }

    /// Packets to a group go on from here.
    fn forwards(&self, id: GroupId) -> bool {
        match self.plan.groups.get(id) {
            None => true, // one of the fixed groups
            Some(group) if group.alive => true,
            Some(group) => {
                // All next hops outside our ports: the kernel forwards it.
                let groups = &self.plan.dplane.tables().groups;
                groups.bucket(group.word.base()).first == AdjacencyId::PUNT
            }
        }
    }

    /// Gives the writer a load, if it is done with the one before.
    pub(crate) fn hand_over(&mut self) {
        if self.reports.load.is_some() || self.reports.waiting == 0 {
            return;
        }
        let count = self.reports.waiting.min(LOAD);
        let mut bytes = Vec::with_capacity(count * LONGEST);
        let mut load = Sent::new();
        let mut left = count;
        while left > 0 {
            let Some((prefix, entry)) = self.rib.next_queued() else {
                break;
            };
            let Some(route) = entry.fpm.as_mut() else {
                continue;
            };
            let Some(due) = route.due.take() else {
                continue;
            };
            left -= 1;
            self.reports.waiting -= 1;
            route.told = due.flags;
            *load.entry(due.flags).or_default() += 1;
            let answer = Answer {
                prefix,
                protocol: route.protocol,
                kind: route.kind,
                flags: due.flags,
                port: self.reports.port,
            };
            answer.encode(&mut bytes);
        }
        if !bytes.is_empty() {
            self.reports.load = Some(load);
            let connection = self.session.connection;
            self.actions
                .push_back(Action::FpmReply { connection, bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_by_policy() {
        use Programmed::{Failed, Hardware, Partial, Software};
        for (policy, software) in [
            (Policy::Offload, Some(OFFLOAD)),
            (Policy::OffloadTrap, Some(OFFLOAD | TRAP)),
            (Policy::Trap, Some(TRAP)),
            (Policy::None, None),
        ] {
            assert_eq!(Software.flags(policy, 0), software);
            assert_eq!(Partial.flags(policy, 0), software);
            assert_eq!(Hardware.flags(policy, 0), Some(OFFLOAD));
            assert_eq!(Failed.flags(policy, 0), Some(OFFLOAD_FAILED));
            let healed = Software.flags(policy, OFFLOAD_FAILED);
            assert_eq!(
                healed,
                software.or(Some(OFFLOAD)),
                "a failure's end is told"
            );
        }
    }
}

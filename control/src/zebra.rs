//! What zebra says, applied: objects, routes, connections, sweeps.

use crate::backlog::{SLICE, Work};
use crate::bridge::Origin;
use crate::control::Control;
use crate::dplane::Fixed;
use crate::fpm::decode::{Route, RouteKind, Via};
use crate::fpm::{Batch, FpmEvent};
use crate::nexthop::Key;
use crate::object::Resolved;
use crate::prefix::Prefix;
use crate::restart::{is_of_use, narrow};
use crate::rib::{FpmRoute, Target};
use crate::routes::{PROTOCOL_KERNEL, drive, drive_at, is_forwardable};
use crate::session::{Phase, Verdict};
use fastpath::table::LpmWrite;
use std::collections::BTreeSet;
use std::time::Instant;

impl<L: LpmWrite> Control<L> {
    /// From zebra's socket, in its order: what a connection has said is done before the next begins.
    pub(crate) fn fpm(&mut self, event: FpmEvent, now: Instant) {
        let event = self.backlog.in_turn(event, now);
        if let Some(event) = event {
            self.fpm_event(event, now);
        }
        self.work_off(now);
    }

    fn fpm_event(&mut self, event: FpmEvent, now: Instant) {
        match event {
            FpmEvent::Connected { connection, peer } => {
                self.bridges.resync();
                self.session.connected(connection, self.fpm_routes, now);
                self.reset_reports(true);
                self.fpm_fresh = 0;
                // Ids mean something else to another zebra; routes keep what they had.
                self.objects.clear();
                self.fpm_happened(format!("connected from {peer}"), vec![], now);
            }
            FpmEvent::Batch(batch) => self.batch(*batch, now),
            FpmEvent::Written { connection } => {
                if connection == self.session.connection {
                    self.reports.written();
                    self.hand_over();
                }
            }
            FpmEvent::Closed { connection, reason } => {
                if connection == self.session.connection {
                    // Who was about to lose its routes may come back with zebra: a resync tells.
                    self.bridges.leave();
                    self.session.connected = false;
                    self.reset_reports(false);
                    let routes = vec![("routes-kept", self.fpm_routes.to_string())];
                    self.fpm_happened(format!("closed: {reason}"), routes, now);
                }
            }
        }
    }

    pub(crate) fn fpm_happened(
        &mut self,
        what: String,
        details: Vec<(&str, String)>,
        now: Instant,
    ) {
        let noticed = self.wall(now);
        self.happening("fpm".into(), what, details, noticed);
    }

    fn batch(&mut self, mut batch: Batch, now: Instant) {
        self.backlog.ticket = batch.ticket.take().or(self.backlog.ticket.take());
        self.session.counts.add(&batch.counts);
        self.reports.from(batch.port);
        self.times.heard(batch.noticed, now);
        let (objects, routes) = batch.into_changes();
        let plan = &mut self.plan;
        let (changed, woken) = self
            .objects
            .apply(objects, &mut plan.nexthops, &mut plan.sets);
        self.redrive(&changed, woken, now);
        self.backlog.told(routes, now);
    }

    /// Routes that name an id with another meaning than before, and those that waited.
    fn redrive(&mut self, changed: &BTreeSet<u32>, woken: Vec<Prefix>, now: Instant) {
        let generation = self.session.generation;
        let mut prefixes = woken;
        // zebra names contents by ids and does not change them in use; if it does, all is searched.
        if changed.iter().any(|id| self.objects.is_used(*id)) {
            let users = self.rib.iter().filter(|(_, e)| {
                let fpm = e.fpm.as_ref().filter(|f| f.generation == generation);
                fpm.and_then(|f| f.id)
                    .is_some_and(|id| changed.contains(&id))
            });
            prefixes.extend(users.map(|(p, _)| p));
        }
        for prefix in prefixes {
            let Some(place) = self.rib.find(prefix) else {
                continue;
            };
            let Some(route) = self.rib.at_mut(place).fpm.as_mut() else {
                continue;
            };
            let Some(id) = route.id.filter(|_| route.generation == generation) else {
                continue;
            };
            let before = route.target;
            let waited = route.waits.is_some();
            point_at(route, self.objects.resolved(id), id);
            let context = (&self.plan, &mut self.bridges, &self.session);
            let is_stale = route.meant.is_some();
            narrow(context, prefix, (before, false, is_stale), route);
            let (change, plan) = ((before, route.target), &self.plan);
            self.times.follow(change, &plan.sets, &plan.nexthops, now);
            match route.waits {
                Some(_) => self.objects.wait(id, prefix),
                None => self.objects.stop_waiting(id, prefix),
            }
            match waited {
                true => self.reports.asked(prefix, place),
                false => self.reports.touched(prefix),
            }
            drive_at(&mut self.plan, &mut self.rib, (prefix, place), now);
        }
    }

    /// Does a slice of what waits, and what is due when nothing of zebra's does.
    pub(crate) fn work_off(&mut self, now: Instant) {
        for _ in 0..SLICE {
            let Some((prefix, work)) = self.backlog.pop() else {
                self.judge(now);
                self.bridge(now);
                match self.backlog.next_event() {
                    Some(event) => self.fpm_event(event, now),
                    None if self.backlog.is_empty() => break,
                    None => {}
                }
                continue;
            };
            match work {
                Work::Told(Some(route)) => self.fpm_route(prefix, route, now),
                Work::Told(None) => self.fpm_route_gone(prefix, now),
                Work::Drop => self.drop_route(prefix, now),
                Work::Narrow => self.take_at_its_word(prefix, now),
            }
        }
        self.backlog.done();
    }

    fn fpm_route(&mut self, prefix: Prefix, route: Route, now: Instant) {
        if Some(prefix) == self.session.sentinel {
            self.session.sentinel();
            return;
        }
        if !is_forwardable(prefix) {
            self.session.ignored += 1;
            return;
        }
        let origin = Origin::of(route.protocol, prefix);
        let was_kept = self.bridges.keeps(origin, prefix);
        for withdrawn in self.bridges.heard(origin, prefix, now) {
            self.drop_route(withdrawn, now);
        }
        let generation = self.session.generation;
        let place = self.rib.place(prefix);
        let entry = self.rib.at_mut(place);
        self.reports.leaves(prefix, entry.group);
        let before = entry.fpm.take();
        let had = before.as_ref().and_then(|b| b.target);
        let is_back = |b: &FpmRoute| b.generation != generation;
        if before.as_ref().is_some_and(is_back) {
            self.session.refreshed(now);
        }
        let is_stale = |b: &FpmRoute| is_back(b) || b.meant.is_some();
        let is_stale = before.as_ref().is_some_and(is_stale);
        if let Some(before) = &before {
            self.let_go(prefix, before);
        }
        let mut fpm = FpmRoute {
            kind: route.kind,
            protocol: route.protocol,
            id: None,
            target: None,
            meant: None,
            waits: None,
            copy: before
                .as_ref()
                .is_some_and(|b| b.copy && b.protocol == route.protocol),
            generation,
            told: before.as_ref().map_or(0, |b| b.told),
            due: before.as_ref().and_then(|b| b.due),
        };
        match (route.kind, route.via) {
            (RouteKind::Blackhole, _) => fpm.target = Some(Target::Fixed(Fixed::Blackhole)),
            (RouteKind::Unreachable, _) => fpm.target = Some(Target::Fixed(Fixed::Unreachable)),
            (RouteKind::Prohibit, _) => fpm.target = Some(Target::Fixed(Fixed::Prohibit)),
            (RouteKind::Local, _) => fpm.target = Some(Target::Fixed(Fixed::Punt)),
            (RouteKind::Unicast, Via::Nothing) => {}
            (RouteKind::Unicast, Via::Id(id)) => {
                fpm.id = Some(id);
                fpm.target = before.and_then(|b| b.target);
                self.objects.used(id);
                point_at(&mut fpm, self.objects.resolved(id), id);
                if fpm.waits.is_some() {
                    self.objects.wait(id, prefix);
                }
            }
            (RouteKind::Unicast, Via::Hop(hop)) => {
                fpm.target = Some(Target::Set(self.plan.single(Key::of(&hop))));
            }
            (RouteKind::Unicast, Via::Hops(hops)) => {
                let nexthops = &mut self.plan.nexthops;
                let members = hops
                    .iter()
                    .map(|(hop, w)| (nexthops.intern(Key::of(hop)), *w));
                let members = members.collect();
                fpm.target = Some(Target::Set(self.plan.sets.intern(members)));
            }
        }
        if fpm.protocol != PROTOCOL_KERNEL {
            self.fpm_routes += 1;
            self.fpm_fresh += 1;
        }
        self.bridges.more(origin);
        let context = (&self.plan, &mut self.bridges, &self.session);
        narrow(context, prefix, (had, was_kept, is_stale), &mut fpm);
        let (change, plan) = ((had, fpm.target), &self.plan);
        self.times.follow(change, &plan.sets, &plan.nexthops, now);
        self.rib.at_mut(place).fpm = Some(fpm);
        self.reports.asked(prefix, place);
        drive_at(&mut self.plan, &mut self.rib, (prefix, place), now);
    }

    fn fpm_route_gone(&mut self, prefix: Prefix, now: Instant) {
        let Some(entry) = self.rib.get_mut(prefix) else {
            return;
        };
        let group = entry.group;
        let Some(route) = entry.fpm.as_mut() else {
            return;
        };
        let origin = Origin::of(route.protocol, prefix);
        if self.bridges.keeps(origin, prefix) {
            return;
        }
        let was_due = route.due.take().is_some();
        self.reports.gone(prefix, group, was_due);
        let (change, plan) = ((route.target, None), &self.plan);
        self.times.follow(change, &plan.sets, &plan.nexthops, now);
        if !is_of_use(plan, route.target) || !self.bridges.keep(origin, prefix, now) {
            self.drop_route(prefix, now);
            return;
        }
        // Whatever becomes of the id is no longer said of this route.
        let waited = route.waits.take().is_some();
        let fresh = route.generation == self.session.generation;
        if let Some(id) = route.id.take().filter(|_| fresh) {
            self.objects.unused(id);
            if waited {
                self.objects.stop_waiting(id, prefix);
            }
        }
    }

    /// zebra's route to `prefix` is no more.
    pub(crate) fn drop_route(&mut self, prefix: Prefix, now: Instant) {
        let Some(entry) = self.rib.get_mut(prefix) else {
            return;
        };
        let group = entry.group;
        let Some(route) = entry.fpm.take() else {
            return;
        };
        self.reports.gone(prefix, group, route.due.is_some());
        self.let_go(prefix, &route);
        drive(&mut self.plan, &mut self.rib, prefix, now);
    }

    /// A route of zebra is replaced or gone.
    fn let_go(&mut self, prefix: Prefix, route: &FpmRoute) {
        let fresh = route.generation == self.session.generation;
        if route.protocol != PROTOCOL_KERNEL {
            self.fpm_routes -= 1;
            self.fpm_fresh -= u64::from(fresh);
        }
        let origin = Origin::of(route.protocol, prefix);
        self.bridges.less(origin, prefix, fresh);
        if let Some(id) = route.id.filter(|_| fresh) {
            self.objects.unused(id);
            if route.waits.is_some() {
                self.objects.stop_waiting(id, prefix);
            }
        }
    }

    /// Sweeps if a resync is over, or holds it.
    pub(crate) fn judge(&mut self, now: Instant) {
        if !self.backlog.is_empty() {
            return;
        }
        let missing = self.fpm_routes - self.fpm_fresh;
        let all_of_one = self.bridges.misses_all_of_one();
        match self.session.verdict(missing, all_of_one, now) {
            Verdict::Wait => {}
            Verdict::Sweep => _ = self.sweep(now),
            Verdict::Hold => {
                log::warn!(
                    "fpm: resync: {missing} of {} routes did not come back; kept. \
                     `evenpath fpm release` deletes them",
                    self.fpm_routes
                );
                let missing = vec![("missing", missing.to_string())];
                self.fpm_happened("resync held".into(), missing, now);
            }
        }
    }

    /// Deletes zebra's routes that the latest resync has not brought; how many.
    pub(crate) fn sweep(&mut self, now: Instant) -> u64 {
        let generation = self.session.generation;
        self.bridges.refilled();
        let (mut swept, mut routes, mut work) = (0, self.fpm_routes, Vec::new());
        for (prefix, entry) in self.rib.iter() {
            let Some(fpm) = &entry.fpm else { continue };
            let origin = Origin::of(fpm.protocol, prefix);
            if fpm.generation != generation {
                swept += 1;
                routes -= u64::from(fpm.protocol != PROTOCOL_KERNEL);
                work.push((prefix, Work::Drop));
            } else if fpm.meant.is_some() && !self.bridges.holds_fewer(origin, prefix) {
                work.push((prefix, Work::Narrow));
            }
        }
        self.backlog.push(work, now);
        self.counters.swept += swept;
        let details = vec![("swept", swept.to_string()), ("routes", routes.to_string())];
        self.fpm_happened("resync complete".into(), details, now);
        swept
    }

    /// A held resync was right: sweeps now. How many routes go.
    pub fn release(&mut self, now: Instant) -> u64 {
        if self.session.phase != Phase::Held {
            return 0;
        }
        self.session.release();
        let swept = self.sweep(now);
        self.work_off(now);
        swept
    }
}

/// What the id that a route names means for it. While it means nothing the route stays as it was.
fn point_at(route: &mut FpmRoute, resolved: Resolved, id: u32) {
    route.waits = None;
    match resolved {
        Resolved::Set(set) => route.target = Some(Target::Set(set)),
        Resolved::Blackhole => route.target = Some(Target::Fixed(Fixed::Blackhole)),
        Resolved::Unknown(_) => route.waits = Some(id),
    }
}

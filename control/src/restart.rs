//! What control does while a protocol restarts: routes that it lost stay as they were, with all their
//! next hops ([`crate::bridge`]), as long as these can be used.

use crate::backlog::Work;
use crate::bridge::{Bridges, Origin, Outcome};
use crate::bucket::Member;
use crate::control::Control;
use crate::plan::Plan;
use crate::prefix::Prefix;
use crate::rib::{FpmRoute, Target};
use crate::routes::drive;
use crate::session::Session;
use fastpath::table::LpmWrite;
use std::collections::HashSet;
use std::time::Instant;

impl<L: LpmWrite> Control<L> {
    /// Carries out what is decided about routes that were lost.
    pub(crate) fn bridge(&mut self, now: Instant) {
        if !self.backlog.is_empty() {
            return;
        }
        for (origin, outcome) in self.bridges.look(now) {
            let (what, details, gone) = match outcome {
                Outcome::Withdrawn(gone) => {
                    self.later(gone, Work::Drop, now);
                    continue;
                }
                Outcome::Narrowed(fewer) => {
                    let routes = vec![("routes", fewer.len().to_string())];
                    self.later(fewer, Work::Narrow, now);
                    let what = "next hops that did not come back are left";
                    (format!("{origin}: {what}"), routes, Vec::new())
                }
                Outcome::Begun(routes) => {
                    let seconds = self.config.fpm.restart_hold.as_secs();
                    log::warn!("fpm: {origin}: all {routes} routes deleted; kept for {seconds} s");
                    let details = vec![
                        ("routes-kept", routes.to_string()),
                        ("seconds", seconds.to_string()),
                    ];
                    (format!("{origin}: all routes deleted"), details, Vec::new())
                }
                Outcome::Over { back, gone, fewer } => {
                    log::info!(
                        "fpm: {origin}: {back} routes came back, {} with fewer next hops, {} went",
                        fewer.len(),
                        gone.len()
                    );
                    let details = vec![
                        ("routes-back", back.to_string()),
                        ("routes-gone", gone.len().to_string()),
                        ("with-fewer-nexthops", fewer.len().to_string()),
                    ];
                    self.later(fewer, Work::Narrow, now);
                    (format!("{origin}: restart over"), details, gone)
                }
            };
            self.later(gone, Work::Drop, now);
            self.fpm_happened(what, details, now);
        }
    }

    /// All of a table may be gone: that must not keep neighbors waiting.
    fn later(&mut self, prefixes: Vec<Prefix>, work: Work, now: Instant) {
        let work = prefixes.into_iter().map(|p| (p, work.clone()));
        self.backlog.push(work, now);
    }

    /// The next hops that zebra has left out of the route to `prefix` are not coming back.
    pub(crate) fn take_at_its_word(&mut self, prefix: Prefix, now: Instant) {
        let route = self.rib.get_mut(prefix).and_then(|e| e.fpm.as_mut());
        let Some((route, meant)) = route.and_then(|r| r.meant.take().map(|m| (r, m))) else {
            return;
        };
        let before = route.target.replace(meant);
        let (change, plan) = ((before, Some(meant)), &self.plan);
        self.times.follow(change, &plan.sets, &plan.nexthops, now);
        self.reports.touched(prefix);
        drive(&mut self.plan, &mut self.rib, prefix, now);
    }

    /// Next hops have died: routes that are only kept and can no longer be used go at once, since
    /// there may be another way.
    pub(crate) fn let_dead_go(&mut self, now: Instant) {
        let (lost, plan) = (std::mem::take(&mut self.plan.lost), &self.plan);
        if !self.bridges.keeps_any() {
            return;
        }
        // No route is looked at as long as no set has lost all that it had.
        let had = |members: &[(Member, u32)]| members.iter().any(|m| lost.contains(&m.0));
        let sets = plan.sets.iter().filter(|(_, members)| had(members));
        let targets = sets.map(|(set, _)| Some(Target::Set(set)));
        let dead: HashSet<_> = targets.filter(|t| !is_of_use(plan, *t)).collect();
        if dead.is_empty() {
            return;
        }
        let dead = self.bridges.kept().filter(|(_, prefix)| {
            let fpm = self.rib.get(*prefix).and_then(|e| e.fpm.as_ref());
            fpm.is_some_and(|f| dead.contains(&f.target))
        });
        let dead: Vec<_> = dead.map(|(_, prefix)| (prefix, Work::Drop)).collect();
        self.backlog.push_first(dead, now);
    }
}

/// Whether `route` loses next hops only because its protocol, that has just come back, has not yet
/// heard of them: then it keeps those of before, `had`, and what is said of it is kept in mind. A
/// bgpd without graceful restart announces what its first leaf told before it has a session with the
/// second, whose flows would move to the first and back. In a resync of all daemons that is so, too.
/// It must have been lost: `was_kept` by a bridge until now, or `is_stale`, which is to say of before
/// the resync. Later words about it count likewise as long as it is held, which the bridge limits.
pub(crate) fn narrow<L: LpmWrite>(
    (plan, bridges, session): (&Plan<L>, &mut Bridges, &Session),
    prefix: Prefix,
    (had, was_kept, is_stale): (Option<Target>, bool, bool),
    route: &mut FpmRoute,
) {
    let origin = Origin::of(route.protocol, prefix);
    bridges.is_whole(origin, prefix);
    if !(was_kept || is_stale) || !bridges.may_hold(origin) {
        route.meant = None;
        return;
    }
    route.meant = None;
    let (Some(Target::Set(old)), Some(Target::Set(new))) = (had, route.target) else {
        return;
    };
    let (old, new) = (plan.sets.members(old), plan.sets.members(new));
    let stays = |m: &(_, u32)| old.iter().any(|o| o.0 == m.0);
    // While it waits for an id it is as it was, and nothing is known yet.
    let fewer = route.waits.is_some() || new.len() < old.len() && new.iter().all(stays);
    let refilling = is_stale && session.is_refilling();
    if fewer && bridges.has_fewer(origin, prefix, refilling) {
        route.meant = std::mem::replace(&mut route.target, had);
    }
}

/// A route to there does what it is meant to do: drops, or has a next hop that can be used.
pub(crate) fn is_of_use<L: LpmWrite>(plan: &Plan<L>, target: Option<Target>) -> bool {
    match target {
        Some(Target::Set(set)) => {
            let members = plan.sets.members(set);
            members.iter().any(|m| plan.nexthops.is_up(m.0))
        }
        Some(Target::Fixed(_)) => true,
        None => false,
    }
}

//! Audits: the plan against the tables that workers read, word by word, for `evenpath verify`.
//!
//! Between two events plan and tables are in step, so each piece of an audit is right in itself; an
//! audit is cut into pieces so that events do not wait for it. Nothing is repaired here.

mod lookup;
#[cfg(test)]
mod tests;

use crate::api::message::{Checked, Difference, Error, Verified, VerifyNext, VerifyQuery};
use crate::control::Control;
use crate::nexthop::look;
use crate::prefix::Prefix;
use fastpath::table::{Adjacencies, Adjacency, AdjacencyId, GroupId, GroupWord, LpmWrite, PortId};
use std::time::{Duration, Instant};

/// How much is looked at at once: a prefix counts [`PREFIX`], a group one and its buckets.
const WORK: usize = 16_384;
const PREFIX: usize = 8;
/// The most differences that a piece lists.
const LISTED: usize = 256;
/// An audit that nobody asks for any more is given up after this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// An audit under way: what there was when it began.
#[derive(Debug)]
struct Audit {
    number: u32,
    asked: Instant,
    groups: Vec<GroupId>,
    prefixes: Vec<Prefix>,
}

/// The audit under way, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Audits {
    under_way: Option<Box<Audit>>,
    count: u32,
}

/// What one piece has found.
#[derive(Debug, Default)]
struct Findings {
    checked: Checked,
    differences: Vec<Difference>,
    omitted: u64,
}

impl Findings {
    fn put(&mut self, object: String, planned: String, found: String) {
        if self.differences.len() == LISTED {
            self.omitted += 1;
            return;
        }
        self.differences.push(Difference {
            of: "software".into(),
            object,
            planned,
            found,
        });
    }

    /// Notes a difference, if it is one.
    fn compare<T: PartialEq>(
        &mut self,
        object: impl FnOnce() -> String,
        planned: &T,
        found: &T,
        words: impl Fn(&T) -> String,
    ) {
        if planned != found {
            self.put(object(), words(planned), words(found));
        }
    }
}

impl<L: LpmWrite> Control<L> {
    /// A piece of an audit.
    ///
    /// # Errors
    /// That audit is over: another one began, or nobody asked for a minute.
    pub(crate) fn verify(&mut self, query: &VerifyQuery, now: Instant) -> Result<Verified, Error> {
        let mut findings = Findings::default();
        let at = match query.next {
            None => {
                let audit = self.begin_audit(now);
                self.audits.count += 1;
                self.audits.under_way = Some(Box::new(audit));
                self.check_facts(&mut findings);
                self.check_nexthops(&mut findings);
                0
            }
            Some(next) => next.at as usize,
        };
        let audit = self.audits.under_way.take();
        let Some(mut audit) =
            audit.filter(|a| query.next.is_none_or(|next| next.audit == a.number))
        else {
            return Err(crate::answer::error(
                "audit".into(),
                "verify",
                "it is over: another one began, or nobody asked for a minute".into(),
                Some("begin a new one"),
            ));
        };
        audit.asked = now;
        let at = self.check_from(&audit, at, &mut findings);
        let next = at.map(|at| VerifyNext {
            audit: audit.number,
            at: at as u64,
        });
        self.audits.under_way = next.map(|_| audit);
        Ok(Verified {
            checked: findings.checked,
            differences: findings.differences,
            omitted: findings.omitted,
            repaired: 0,
            next,
        })
    }

    /// Gives up an audit that nobody asks for any more.
    pub(crate) fn tidy_audit(&mut self, now: Instant) {
        let is_old = |a: &Audit| now.saturating_duration_since(a.asked) >= PATIENCE;
        if self.audits.under_way.as_deref().is_some_and(is_old) {
            self.audits.under_way = None;
        }
    }

    fn begin_audit(&self, now: Instant) -> Audit {
        Audit {
            number: self.audits.count,
            asked: now,
            groups: self.plan.groups.iter().map(|(id, _)| id).collect(),
            prefixes: self.rib.iter().map(|(prefix, _)| prefix).collect(),
        }
    }

    /// Looks at groups, then at prefixes, from the one at this place on; where to go on, if there.
    fn check_from(&self, audit: &Audit, at: usize, findings: &mut Findings) -> Option<usize> {
        let mut work = 0;
        let all = audit.groups.len() + audit.prefixes.len();
        for at in at..all {
            if work >= WORK {
                return Some(at);
            }
            if let Some(id) = audit.groups.get(at) {
                work += 1 + self.check_group(*id, findings);
            } else if let Some(prefix) = audit.prefixes.get(at - audit.groups.len()) {
                work += PREFIX;
                self.check_prefix(*prefix, findings);
            }
        }
        None
    }

    /// Ports, the hash, what always drops or punts, the down mask.
    fn check_facts(&self, findings: &mut Findings) {
        let (plan, view) = (&self.plan, self.plan.dplane.view());
        let facts = plan.ports.facts();
        for (n, (planned, found)) in facts.iter().zip(&view.ports).enumerate() {
            let object = || format!("port {}", plan.ports.name(PortId(n as u16)));
            findings.compare(object, planned, found, |facts| format!("{facts:?}"));
        }
        findings.checked.ports += plan.ports.all().count() as u64;
        let policy = self.hashing.policy();
        findings.compare(|| "hash".into(), &policy, &view.hash, |p| format!("{p:?}"));
        let tables = plan.dplane.tables();
        let fresh = Adjacencies::new(0);
        for id in (0..AdjacencyId::FIRST_FREE.0).map(AdjacencyId) {
            let words = |a: &Adjacencies| (a.slot(id).facts(), a.slot(id).header());
            let object = || format!("adjacency {}", id.0);
            let (planned, found) = (words(&fresh), words(&tables.adjacencies));
            findings.compare(object, &planned, &found, |slot| format!("{slot:?}"));
        }
        let none = (GroupWord::default(), tables.groups.bucket(0));
        let found = (tables.groups.word(GroupId::NONE), Default::default());
        findings.compare(
            || "group 0".into(),
            &(found.1, GroupWord::default()),
            &(none.1, found.0),
            |word| format!("{word:?}"),
        );
        for (fixed, id, adjacency) in plan.dplane.fixed_groups() {
            let word = tables.groups.word(id);
            let bucket = tables.groups.bucket(word.base());
            let object = || format!("group {} ({})", id.0, fixed.name());
            let found = (word.size(), bucket.first, bucket.second);
            let planned = (1, adjacency, adjacency);
            findings.compare(object, &planned, &found, |f| format!("{f:?}"));
        }
        if !tables.down.any() {
            return;
        }
        let dead = || ("not marked dead".into(), "marked dead".into());
        for port in plan.ports.all().filter(|p| tables.down.port(*p)) {
            let (planned, found) = dead();
            findings.put(format!("port {}", plan.ports.name(port)), planned, found);
        }
        let ids = (0..tables.adjacencies.capacity() as u32).map(AdjacencyId);
        for id in ids.filter(|id| tables.down.adjacency(*id)) {
            let (planned, found) = dead();
            findings.put(self.adjacency_words(id), planned, found);
        }
    }

    /// Next hops by what ports and neighbors say, and their rewrites.
    fn check_nexthops(&self, findings: &mut Findings) {
        let plan = &self.plan;
        let slots = &plan.dplane.tables().adjacencies;
        let used = plan.nexthops.iter().filter(|(_, n)| !n.groups.is_empty());
        for (_, nexthop) in used {
            findings.checked.nexthops += 1;
            let name = || self.nexthop_words(&nexthop.key);
            let planned = look(&nexthop.key, &plan.ports, &plan.neighbors);
            findings.compare(name, &planned, &nexthop.outlook, |o| format!("{o:?}"));
            match (nexthop.adjacency, &planned.adjacency) {
                (Some(id), Some(planned)) => {
                    let slot = slots.slot(id);
                    let object = || format!("{} adjacency {}", name(), id.0);
                    let found = seen(slot.facts(), &slot.header());
                    findings.compare(object, &words(planned), &found, Clone::clone);
                }
                (None, None) => {}
                (id, planned) => {
                    let says = |there| if there { "an adjacency" } else { "none" }.to_owned();
                    findings.put(name(), says(planned.is_some()), says(id.is_some()));
                }
            }
        }
    }

    /// A group's word and buckets; how many of those.
    fn check_group(&self, id: GroupId, findings: &mut Findings) -> usize {
        let plan = &self.plan;
        let Some(group) = plan.groups.get(id) else {
            return 0;
        };
        let words = |word: &GroupWord| format!("{} buckets at {}", word.size(), word.base());
        let table = &plan.dplane.tables().groups;
        findings.checked.groups += 1;
        let object = || format!("group {}", id.0);
        findings.compare(object, &group.word, &table.word(id), words);
        let members = plan.sets.members(group.set);
        let choices = group.choices(&members, &plan.nexthops);
        let mut count = 0;
        for (b, (first, second)) in choices.enumerate() {
            count += 1;
            let found = table.bucket(group.word.base() + b as u32);
            for (what, planned, found) in [
                ("", first, found.first),
                (" second choice", second, found.second),
            ] {
                let object = || format!("group {} bucket {b}{what}", id.0);
                findings.compare(object, &planned, &found, |id| self.adjacency_words(*id));
            }
        }
        if count != group.word.size() as usize {
            let size = format!("{} buckets", group.word.size());
            findings.put(object(), format!("{count} buckets"), size);
        }
        findings.checked.buckets += count as u64;
        count
    }

    fn nexthop_words(&self, key: &crate::nexthop::Key) -> String {
        let port = self.plan.ports.interface(key.ifindex);
        match key.gateway {
            Some(via) => format!("nexthop {via} on {port}"),
            None => format!("link {port}"),
        }
    }

    /// An adjacency, and whose it is.
    fn adjacency_words(&self, id: AdjacencyId) -> String {
        let mut all = self.plan.nexthops.iter();
        let owner = all.find(|(_, n)| n.adjacency == Some(id));
        match (owner, id) {
            (Some((_, nexthop)), _) => {
                format!("adjacency {} ({})", id.0, self.nexthop_words(&nexthop.key))
            }
            (None, AdjacencyId::NO_ROUTE) => "no-route".into(),
            (None, AdjacencyId::BLACKHOLE) => "blackhole".into(),
            (None, AdjacencyId::UNREACHABLE) => "unreachable".into(),
            (None, AdjacencyId::PROHIBITED) => "prohibit".into(),
            (None, AdjacencyId::NEXTHOP_DOWN) => "nexthop-down".into(),
            (None, AdjacencyId::PUNT) => "the kernel".into(),
            (None, _) => format!("adjacency {} (nobody's)", id.0),
        }
    }
}

/// What an adjacency does, in words.
fn words(adjacency: &Adjacency) -> String {
    let all = Adjacencies::new(AdjacencyId::FIRST_FREE.0 as usize + 1);
    all.write(AdjacencyId::FIRST_FREE, adjacency);
    let slot = all.slot(AdjacencyId::FIRST_FREE);
    seen(slot.facts(), &slot.header())
}

fn seen(facts: fastpath::table::adjacency::Facts, header: &[u8; 24]) -> String {
    let bytes = &header[..facts.header_len()];
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "{:?} by port {}, MTU {}, header {}",
        facts.disposition(),
        facts.port().0,
        facts.mtu(),
        hex.join("")
    )
}

//! What each bucket of each group forwarded, and when it last did: the book of the control thread.
//!
//! Workers count packets and bytes in a word for each bucket of the arena ([`traffic`]); no clock is
//! read for a packet. Control reads the words every [`INTERVAL`] and whenever groups change, and
//! keeps the sums here by group and number of the bucket, wherever its buckets lie in the arena.
//!
//! * **When.** A bucket counts as active at the time of the reading that found it used, so what
//!   [`Activity::idle_for`] says is never longer than it was idle, but for packets since the last
//!   reading, and shorter by [`INTERVAL`] at most.
//! * **Groups that follow another.** zebra gives a new group for every change of membership, and
//!   routes move there. A bucket of the group they move to is as active as the one that held its
//!   flows before: at once, and again when the old group goes, which also leaves its packets and
//!   bytes to the first group that followed it. Sizes are powers of two and buckets the hash's low
//!   bits: in a larger table each bucket stands for several (what was counted is parted evenly), in
//!   a smaller one for the latest, and the sum.
//! * **Whose packets.** Those of a reading are the member's that held the bucket at the reading
//!   before. As a reading follows every deal at once, those of the time between the new deal and
//!   that reading go to the old owner, and so do those that a worker sent by the second choice
//!   while the down mask said that the owner is dead: milliseconds both.
//! * **A reading that came too late.** A word cannot tell packets from bytes if a worker took in
//!   more than [`Traffic::fits`] between two readings: control stood still for seconds. Its buckets
//!   count as active then, nothing is added to their sums, and [`Activity::uncounted`] says up to
//!   how much they lack.
//!
//! [`traffic`]: fastpath::table::traffic

use crate::bucket::Member;
use crate::group::{Changes, Group, Groups};
use fastpath::table::stats::WorkerStats;
use fastpath::table::{GroupId, GroupWord, Traffic};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From one reading to the next. A worker would have to forward 130 Gbyte/s to outrun it.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// One bucket's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The reading that last found it used; none: it never was.
    pub active: Option<Instant>,
    /// What it forwarded since evenpath started.
    pub traffic: Traffic,
}

/// One group's page.
#[derive(Clone, Debug)]
struct Page {
    word: GroupWord,
    /// Since when it is watched, or the group was that it followed.
    since: Instant,
    /// Who owned which bucket at the last reading.
    owners: Vec<Member>,
    buckets: Vec<Bucket>,
    members: BTreeMap<Member, Traffic>,
    /// The groups to which routes went from here.
    heirs: BTreeSet<GroupId>,
}

/// One worker's counters, as last read.
#[derive(Debug)]
struct Watched {
    stats: Arc<WorkerStats>,
    /// By place in the arena.
    words: Vec<u64>,
    taken_in: Traffic,
    is_late: bool,
}

/// The book.
#[derive(Debug, Default)]
pub struct Activity {
    workers: Vec<Watched>,
    pages: HashMap<GroupId, Page>,
    /// What each next hop has forwarded, in groups that are gone too.
    totals: HashMap<Member, Traffic>,
    read_at: Option<Instant>,
    uncounted: Traffic,
}

impl Activity {
    /// A book of what `workers` count from now on. Without workers it stays empty.
    pub fn new(workers: &[Arc<WorkerStats>]) -> Self {
        let watched = workers.iter().map(|stats| Watched {
            words: (0..stats.buckets().len() as u32)
                .map(|i| stats.buckets().word(i))
                .collect(),
            taken_in: stats.taken_in(),
            is_late: false,
            stats: Arc::clone(stats),
        });
        Activity {
            workers: watched.collect(),
            ..Activity::default()
        }
    }

    /// When [`Activity::read`] is due; never without workers.
    pub fn due(&self) -> Option<Instant> {
        self.read_at.map(|at| at + INTERVAL)
    }

    /// Reads every bucket of `groups`.
    pub fn read(&mut self, groups: &Groups, now: Instant) {
        if self.workers.is_empty() {
            return;
        }
        self.judge();
        for (id, group) in groups.iter() {
            let page = open(&mut self.pages, id, group, now);
            page.read(&mut self.workers, &mut self.totals, now);
            page.owners.clone_from(&group.effective);
        }
        for worker in &mut self.workers {
            if worker.is_late {
                self.uncounted += worker.stats.taken_in() - worker.taken_in;
                worker.is_late = false;
            }
            worker.taken_in = worker.stats.taken_in();
        }
        self.read_at = Some(now);
    }

    /// Follows `changes` of `groups`, which are in the tables by now; nothing else may have taken
    /// the buckets of a group that is gone.
    pub fn follow(&mut self, groups: &Groups, changes: &Changes, now: Instant) {
        if self.workers.is_empty() || changes.is_empty() {
            return;
        }
        self.judge();
        for &id in &changes.dealt {
            if let Some(group) = groups.get(id) {
                let page = open(&mut self.pages, id, group, now);
                page.read(&mut self.workers, &mut self.totals, now);
                page.owners.clone_from(&group.effective);
            }
        }
        for &(from, to) in &changes.moved {
            if let Some(group) = groups.get(to) {
                open(&mut self.pages, to, group, now);
            }
            self.leave(from, to, now, false);
        }
        for &id in &changes.gone {
            let heirs = self.pages.get(&id).map(|p| p.heirs.clone());
            let living = heirs.into_iter().flatten();
            let living: Vec<GroupId> = living.filter(|h| self.pages.contains_key(h)).collect();
            for (i, &heir) in living.iter().enumerate() {
                self.leave(id, heir, now, i == 0);
            }
            if living.is_empty() {
                // Its words must be read all the same: another group will have its buckets.
                if let Some(page) = self.pages.get_mut(&id) {
                    page.read(&mut self.workers, &mut self.totals, now);
                }
            }
            self.pages.remove(&id);
        }
    }

    /// `group` has other buckets, and no worker uses those that it had: what these counted is read
    /// for the last time, and parted or added up over the new ones.
    pub fn resized(&mut self, id: GroupId, group: &Group, now: Instant) {
        if self.workers.is_empty() {
            return;
        }
        self.judge();
        let Some(mut old) = self.pages.remove(&id) else {
            return;
        };
        old.read(&mut self.workers, &mut self.totals, now);
        let mut new = Page {
            word: group.word,
            since: old.since,
            owners: group.effective.clone(),
            buckets: vec![Bucket::default(); group.word.size() as usize],
            members: BTreeMap::new(),
            heirs: std::mem::take(&mut old.heirs),
        };
        new.inherit(&old, true);
        self.pages.insert(id, new);
    }

    /// How long the bucket `bucket` of `group` has forwarded nothing: since it was last found
    /// active or, if it never was, since the group is watched. `None`: there is no such bucket, or
    /// nobody counts.
    pub fn idle_for(&self, group: GroupId, bucket: usize, now: Instant) -> Option<Duration> {
        let page = self.pages.get(&group)?;
        let since = page.buckets.get(bucket)?.active.unwrap_or(page.since);
        Some(now.saturating_duration_since(since))
    }

    /// The sums of all buckets of `group`, by number; empty if there is no such group.
    pub fn buckets(&self, group: GroupId) -> &[Bucket] {
        self.pages.get(&group).map_or(&[], |p| &p.buckets)
    }

    /// How many buckets of `group` were active within `window` before `now`.
    pub fn active(&self, group: GroupId, window: Duration, now: Instant) -> usize {
        let buckets = self.buckets(group).iter().filter_map(|b| b.active);
        let ages = buckets.map(|at| now.saturating_duration_since(at));
        ages.filter(|age| *age <= window).count()
    }

    /// What `member` forwarded in `group` and those that it followed.
    pub fn member(&self, group: GroupId, member: Member) -> Traffic {
        let page = self.pages.get(&group);
        let found = page.and_then(|p| p.members.get(&member));
        found.copied().unwrap_or_default()
    }

    /// What `member` has forwarded in all groups that have and had it.
    pub fn total(&self, member: Member) -> Traffic {
        self.totals.get(&member).copied().unwrap_or_default()
    }

    /// Other next hops will have the numbers that are not `kept`.
    pub(crate) fn forget(&mut self, kept: impl Fn(Member) -> bool) {
        self.totals.retain(|member, _| kept(*member));
        for page in self.pages.values_mut() {
            page.members.retain(|member, _| kept(*member));
        }
    }

    /// Somebody counts.
    pub fn is_watching(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Up to so much is missing in all sums, since readings came too late; zero as a rule.
    pub fn uncounted(&self) -> Traffic {
        self.uncounted
    }

    /// Finds out whose words say too little by now.
    fn judge(&mut self) {
        for worker in &mut self.workers {
            let since = worker.stats.taken_in() - worker.taken_in;
            worker.is_late |= !since.fits();
        }
    }

    /// Routes go from the group `from` to the group `to`: `to` is as active. With `all` it gets the
    /// sums as well: `from` goes.
    fn leave(&mut self, from: GroupId, to: GroupId, now: Instant, all: bool) {
        // Both are pages of one book.
        let Some(mut old) = self.pages.remove(&from) else {
            return;
        };
        old.read(&mut self.workers, &mut self.totals, now);
        if let Some(new) = self.pages.get_mut(&to) {
            new.inherit(&old, all);
            old.heirs.insert(to);
        }
        self.pages.insert(from, old);
    }
}

/// The page of `group`, begun if there is none.
fn open<'a>(
    pages: &'a mut HashMap<GroupId, Page>,
    id: GroupId,
    group: &Group,
    now: Instant,
) -> &'a mut Page {
    pages.entry(id).or_insert_with(|| Page {
        word: group.word,
        since: now,
        owners: group.effective.clone(),
        buckets: vec![Bucket::default(); group.word.size() as usize],
        members: BTreeMap::new(),
        heirs: BTreeSet::new(),
    })
}

impl Page {
    /// Takes in what was counted since the last reading.
    fn read(
        &mut self,
        workers: &mut [Watched],
        totals: &mut HashMap<Member, Traffic>,
        now: Instant,
    ) {
        for (i, bucket) in self.buckets.iter_mut().enumerate() {
            let index = self.word.base().wrapping_add(i as u32);
            let mut sum = Traffic::default();
            for worker in &mut *workers {
                let Some(before) = worker.words.get_mut(index as usize) else {
                    continue;
                };
                let word = worker.stats.buckets().word(index);
                if word == *before {
                    continue;
                }
                bucket.active = Some(now);
                if !worker.is_late {
                    sum += Traffic::between(*before, word);
                }
                *before = word;
            }
            if sum.packets != 0 {
                bucket.traffic += sum;
                if let Some(&owner) = self.owners.get(i) {
                    *self.members.entry(owner).or_default() += sum;
                    *totals.entry(owner).or_default() += sum;
                }
            }
        }
    }

    /// Takes over from `old`: how active it is, and with `all` its sums.
    fn inherit(&mut self, old: &Page, all: bool) {
        self.since = self.since.min(old.since);
        let (here, there) = (self.buckets.len(), old.buckets.len());
        for b in 0..here.max(there) {
            let (Some(new), Some(was)) = (
                self.buckets.get_mut(b % here.max(1)),
                old.buckets.get(b % there.max(1)),
            ) else {
                return;
            };
            new.active = new.active.max(was.active);
            if all {
                new.traffic += part(was.traffic, b / there.max(1), (here / there.max(1)).max(1));
            }
        }
        if all {
            for (&member, &traffic) in &old.members {
                *self.members.entry(member).or_default() += traffic;
            }
        }
    }
}

/// The `i`-th of `parts` equal parts of `whole`; the first has what is left over.
fn part(whole: Traffic, i: usize, parts: usize) -> Traffic {
    let (i, parts) = (i as u64, parts as u64);
    let of = |n: u64| n / parts + if i == 0 { n % parts } else { 0 };
    Traffic {
        packets: of(whole.packets),
        bytes: of(whole.bytes),
    }
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;

//! The forwarding tables as control writes them: ids given out and taken back, commits in order.
//!
//! What is named is written before what names it: adjacencies, then buckets and group words, then
//! prefixes, all prefixes of a commit in one swap. Ids come back in the opposite order, and are
//! given out again only after a grace period.

use crate::arena::Arena;
use crate::marks::{Book, Edit, Rule};
use crate::prefix::Prefix;
use fastpath::hash::Policy;
use fastpath::table::group::Bucket;
use fastpath::table::{
    Adjacency, AdjacencyId, GroupId, GroupWord, LpmWrite, MAX_PORTS, Marks, PortFacts, PortId,
    Tables, View, Writer,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;

/// A table that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// No group is left of this many.
    Groups(u32),
    /// No block of `wanted` buckets is left: `used` of `capacity` are taken.
    Buckets {
        /// How many were asked for.
        wanted: u32,
        /// How many are taken.
        used: u32,
        /// How many there are.
        capacity: u32,
    },
    /// No adjacency is left of this many.
    Adjacencies(u32),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Full::Groups(n) => write!(f, "all {n} groups are in use; raise tables.groups"),
            Full::Buckets {
                wanted,
                used,
                capacity,
            } => write!(
                f,
                "a group of {wanted} buckets does not fit, {used} of {capacity} are in use; \
                 raise tables.buckets"
            ),
            Full::Adjacencies(n) => {
                write!(
                    f,
                    "all {n} adjacencies are in use; raise tables.adjacencies"
                )
            }
        }
    }
}

impl std::error::Error for Full {}

/// Numbers from `next` on, and those that came back.
#[derive(Debug)]
struct Ids {
    next: u32,
    end: u32,
    back: Vec<u32>,
}

impl Ids {
    fn take(&mut self) -> Option<u32> {
        self.back.pop().or_else(|| {
            let id = self.next;
            (id < self.end).then(|| {
                self.next += 1;
                id
            })
        })
    }
}

/// Groups of one bucket that always exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fixed {
    /// To the kernel.
    Punt,
    /// Dropped in silence.
    Blackhole,
    /// Dropped, answered by host unreachable.
    Unreachable,
    /// Dropped, answered by administratively prohibited.
    Prohibit,
}

const FIXED: [(Fixed, AdjacencyId); 4] = [
    (Fixed::Punt, AdjacencyId::PUNT),
    (Fixed::Blackhole, AdjacencyId::BLACKHOLE),
    (Fixed::Unreachable, AdjacencyId::UNREACHABLE),
    (Fixed::Prohibit, AdjacencyId::PROHIBITED),
];

/// Room for so many changes is kept from one commit to the next.
const KEPT: usize = 1 << 14;

/// What commits have published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Prefixes, and where each leads now; [`GroupId::NONE`]: nowhere.
    pub prefixes: BTreeMap<Prefix, GroupId>,
    /// Facts about ports have changed.
    pub facts: bool,
    /// The hash has.
    pub policy: bool,
}

/// The tables, and who has which id.
#[derive(Debug)]
pub struct Dplane<L: LpmWrite> {
    writer: Writer<L>,
    groups: Ids,
    adjacencies: Ids,
    arena: Arena,
    fixed: [GroupId; FIXED.len()],
    /// Prefixes to point elsewhere at the next commit, the last word on each counts;
    /// [`GroupId::NONE`]: to remove.
    pending: Vec<(Prefix, GroupId)>,
    facts: Option<Box<[PortFacts; MAX_PORTS]>>,
    policy: Option<Box<Policy>>,
    /// What commits have published since somebody last looked, if anybody wants to know.
    recorded: Option<Box<Recorded>>,
    /// Which prefixes NICs mark, if any are to be.
    marks: Option<Box<Book>>,
    retired_adjacencies: Vec<AdjacencyId>,
    retired_groups: Vec<(GroupId, GroupWord)>,
    generation: u64,
}

impl<L: LpmWrite> Dplane<L> {
    /// Over tables that nobody has written to.
    pub fn new(writer: Writer<L>) -> Self {
        let tables = &writer.tables;
        let ids = |next, capacity: usize| Ids {
            next,
            end: u32::try_from(capacity).unwrap_or(u32::MAX),
            back: Vec::new(),
        };
        let mut dplane = Dplane {
            groups: ids(1, tables.groups.capacity()),
            adjacencies: ids(AdjacencyId::FIRST_FREE.0, tables.adjacencies.capacity()),
            arena: Arena::new(tables.groups.buckets_capacity()),
            writer,
            fixed: [GroupId::NONE; FIXED.len()],
            pending: Vec::new(),
            facts: None,
            policy: None,
            recorded: None,
            marks: None,
            retired_adjacencies: Vec::new(),
            retired_groups: Vec::new(),
            generation: 0,
        };
        // Block 0 is what the word of an unwritten group names: it drops, and stays so.
        let _ = dplane.arena.take(0);
        for (i, (_, adjacency)) in FIXED.into_iter().enumerate() {
            if let Ok((id, word)) = dplane.group(0) {
                dplane.set_bucket(word, 0, adjacency, adjacency);
                dplane.publish(id, word);
                dplane.fixed[i] = id;
            }
        }
        dplane
    }

    /// What workers read.
    pub fn tables(&self) -> &Tables {
        &self.writer.tables
    }

    /// The view that workers read.
    pub fn view(&self) -> &View<L> {
        self.writer.views.current()
    }

    /// By which instructions IPv4 and IPv6 are looked up.
    pub fn lookup_kernels(&self) -> [&'static str; 2] {
        self.view().lpm.kernels()
    }

    /// How many commits there were.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Buckets in use, and how many there are.
    pub fn buckets(&self) -> (u32, u32) {
        (self.arena.used(), self.arena.capacity())
    }

    /// How many more groups of `1 << order` buckets there is room for.
    pub fn room(&self, order: u32) -> u32 {
        let ids = self.groups.end - self.groups.next + self.groups.back.len() as u32;
        self.arena.room(order).min(ids)
    }

    /// The group that always does this.
    pub fn fixed(&self, fixed: Fixed) -> GroupId {
        self.fixed[fixed as usize]
    }

    /// The groups that always exist, and what their one bucket says.
    pub(crate) fn fixed_groups(&self) -> [(Fixed, GroupId, AdjacencyId); FIXED.len()] {
        FIXED.map(|(fixed, adjacency)| (fixed, self.fixed(fixed), adjacency))
    }

    /// Spoils the view that workers read: tests of audits.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self, mut how: impl FnMut(&mut View<L>)) {
        let done = self.writer.views.update(|view| {
            how(view);
            Ok::<(), Infallible>(())
        });
        let Ok(()) = done;
    }

    /// A new adjacency, complete, that nothing names yet.
    pub fn adjacency(&mut self, adjacency: &Adjacency) -> Result<AdjacencyId, Full> {
        let Some(id) = self.adjacencies.take() else {
            return Err(Full::Adjacencies(self.adjacencies.end));
        };
        let id = AdjacencyId(id);
        self.writer.tables.adjacencies.write(id, adjacency);
        Ok(id)
    }

    /// How many more adjacencies there is room for.
    pub fn adjacency_room(&self) -> usize {
        let fresh = self.adjacencies.end.saturating_sub(self.adjacencies.next);
        fresh as usize + self.adjacencies.back.len()
    }

    /// Nothing names this adjacency any more.
    pub fn retire_adjacency(&mut self, id: AdjacencyId) {
        self.retired_adjacencies.push(id);
    }

    /// A new group of `1 << order` buckets: fill them, then [`Dplane::publish`].
    pub fn group(&mut self, order: u32) -> Result<(GroupId, GroupWord), Full> {
        let Some(base) = self.arena.take(order) else {
            return Err(Full::Buckets {
                wanted: 1 << order,
                used: self.arena.used(),
                capacity: self.arena.capacity(),
            });
        };
        let Some(id) = self.groups.take() else {
            self.arena.give(base, order);
            return Err(Full::Groups(self.groups.end));
        };
        Ok((GroupId(id), GroupWord::new(base, order)))
    }

    /// Who has which part of the buckets.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Other buckets for a group that there is: fill them, then [`Dplane::publish`].
    pub fn block(&mut self, order: u32) -> Result<GroupWord, Full> {
        let base = self.arena.take(order).ok_or(Full::Buckets {
            wanted: 1 << order,
            used: self.arena.used(),
            capacity: self.arena.capacity(),
        })?;
        Ok(GroupWord::new(base, order))
    }

    /// Takes back buckets that no group's word has named since before a grace period.
    pub fn give_block(&mut self, word: GroupWord) {
        self.arena.give(word.base(), word.log2());
    }

    /// Writes the bucket `index` of a group; true when its first choice changed.
    pub fn set_bucket(
        &self,
        word: GroupWord,
        index: usize,
        first: AdjacencyId,
        second: AdjacencyId,
    ) -> bool {
        let at = word.base() + index as u32;
        let (old, new) = (
            self.writer.tables.groups.bucket(at),
            Bucket { first, second },
        );
        if old != new {
            self.writer.tables.groups.set_bucket(at, new);
        }
        old.first != first
    }

    /// The group's buckets are complete: prefixes may name it.
    pub fn publish(&self, id: GroupId, word: GroupWord) {
        self.writer.tables.groups.set_word(id, word);
    }

    /// From the next commit on no prefix names this group any more.
    pub fn retire_group(&mut self, id: GroupId, word: GroupWord) {
        self.retired_groups.push((id, word));
    }

    /// With the next commit `prefix` points to `group`; [`GroupId::NONE`] removes it.
    pub fn point(&mut self, prefix: Prefix, group: GroupId) {
        self.pending.push((prefix, group));
    }

    /// With the next commit these are the facts about ports.
    pub fn set_facts(&mut self, facts: [PortFacts; MAX_PORTS]) {
        let current = self.facts.as_deref().unwrap_or(&self.view().ports);
        if *current != facts {
            self.facts = Some(Box::new(facts));
        }
    }

    /// With the next commit packets are hashed by this: all of it from one burst to the next.
    pub fn set_policy(&mut self, policy: Policy) {
        let current = self.policy.as_deref().unwrap_or(&self.view().hash);
        if *current != policy {
            self.policy = Some(Box::new(policy));
        }
    }

    /// From now on what commits publish is kept for [`Dplane::recorded`].
    pub fn record(&mut self) {
        self.recorded.get_or_insert_default();
    }

    /// What commits have published since this was last asked.
    pub fn recorded(&mut self) -> Recorded {
        let recorded = self.recorded.as_mut().map(|r| std::mem::take(&mut **r));
        recorded.unwrap_or_default()
    }

    /// From now on prefixes have marks; workers look at them.
    pub fn mark(&mut self, marks: Book) {
        let (slots, ..) = marks.counts();
        let done = self.writer.views.update(|view| {
            view.marks = Marks::new(slots);
            Ok::<(), Infallible>(())
        });
        let Ok(()) = done;
        self.marks = Some(Box::new(marks));
    }

    /// Which prefixes have marks.
    pub fn marks(&self) -> Option<&Book> {
        self.marks.as_deref()
    }

    /// The same, to change it.
    pub fn marks_mut(&mut self) -> Option<&mut Book> {
        self.marks.as_deref_mut()
    }

    /// What NICs are to do about marks since this was last asked.
    pub fn mark_rules(&mut self) -> Vec<Rule> {
        self.marks.as_mut().map(|m| m.rules()).unwrap_or_default()
    }

    /// Publishes what is pending in one swap, and takes retired ids back after a grace period.
    /// Which prefixes the lookup table refused, and why; they are not in it any more.
    pub fn commit(&mut self) -> Vec<(Prefix, String)> {
        let mut refused: BTreeMap<Prefix, String> = BTreeMap::new();
        let marking = self.marks.as_ref().is_some_and(|m| m.is_due());
        let is_due = !self.pending.is_empty() || self.facts.is_some() || self.policy.is_some();
        if is_due || marking {
            let (mut pending, facts) = (std::mem::take(&mut self.pending), self.facts.take());
            settle(&mut pending);
            let policy = self.policy.take();
            let edits = self.marks.as_mut().map(|m| m.follow(&pending));
            let edits = edits.unwrap_or_default();
            let done = self.writer.views.update(|view| {
                if let Some(facts) = &facts {
                    view.ports = **facts;
                }
                if let Some(policy) = &policy {
                    view.hash = (**policy).clone();
                }
                for &(prefix, group) in &pending {
                    if let Err(error) = point(view, prefix, group) {
                        refused.insert(prefix, error.to_string());
                    }
                }
                edit(&mut view.marks, &edits, &refused);
                Ok::<(), Infallible>(())
            });
            let Ok(()) = done;
            if !refused.is_empty() {
                // Whatever a refused prefix pointed to may go away: it must point nowhere.
                let done = self.writer.views.update(|view| {
                    for &prefix in refused.keys() {
                        if let Err(error) = point(view, prefix, GroupId::NONE) {
                            log::error!("fib: {prefix}: remove: {error}");
                        }
                    }
                    Ok::<(), Infallible>(())
                });
                let Ok(()) = done;
            }
            if let Some(marks) = &mut self.marks {
                refused.keys().for_each(|prefix| marks.refused(*prefix));
            }
            if let Some(recorded) = &mut self.recorded {
                recorded.prefixes.extend(pending.iter().copied());
                let none = refused.keys().map(|p| (*p, GroupId::NONE));
                recorded.prefixes.extend(none);
                recorded.facts |= facts.is_some();
                recorded.policy |= policy.is_some();
            }
            if pending.capacity() <= KEPT {
                pending.clear();
                self.pending = pending;
            }
            self.generation += 1;
            self.take_back();
        } else if !self.retired_adjacencies.is_empty() || !self.retired_groups.is_empty() {
            self.writer.views.synchronize();
            self.take_back();
        }
        refused.into_iter().collect()
    }

    /// Waits until no worker holds what was unreachable before, and takes those ids back that no
    /// commit has to come first for.
    pub fn synchronize(&mut self) {
        self.writer.views.synchronize();
        let adjacencies = std::mem::take(&mut self.retired_adjacencies);
        self.adjacencies
            .back
            .extend(adjacencies.iter().map(|a| a.0));
    }

    fn take_back(&mut self) {
        let adjacencies = std::mem::take(&mut self.retired_adjacencies);
        self.adjacencies
            .back
            .extend(adjacencies.iter().map(|a| a.0));
        for (id, word) in std::mem::take(&mut self.retired_groups) {
            self.publish(id, GroupWord::default());
            self.arena.give(word.base(), word.log2());
            self.groups.back.push(id.0);
        }
    }

    /// The port that an adjacency forwards by, for [`fastpath::table::Groups::living`].
    pub fn port_of(&self, id: AdjacencyId) -> Option<PortId> {
        let facts = self.writer.tables.adjacencies.slot(id).facts();
        facts.is_forward().then(|| facts.port())
    }
}

/// In order, as tables like it best, and each prefix once.
fn settle(pending: &mut Vec<(Prefix, GroupId)>) {
    // Stable, and in one pass where zebra has sent them in order.
    pending.sort_by_key(|p| p.0);
    pending.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 = later.1;
        }
        same
    });
}

/// Does `edits`; a prefix that was refused has no slot.
fn edit(marks: &mut Marks, edits: &[Edit], refused: &BTreeMap<Prefix, String>) {
    for edit in edits {
        match *edit {
            Edit::Clear(slot) => marks.clear(slot),
            Edit::Set(mark, prefix, _) if refused.contains_key(&prefix) => {
                marks.clear(marks.slot(mark));
            }
            Edit::Set(mark, prefix, group) => {
                marks.set(mark, prefix.address(), prefix.length(), group);
            }
        }
    }
}

/// Points `prefix` to `group` in `view`, or removes it.
fn point<L: LpmWrite>(view: &mut View<L>, prefix: Prefix, group: GroupId) -> Result<(), L::Error> {
    let length = prefix.length();
    match (prefix.address(), length) {
        (IpAddr::V4(_), 0) => view.default4 = group,
        (IpAddr::V6(_), 0) => view.default6 = group,
        (IpAddr::V4(address), _) if group == GroupId::NONE => view.lpm.remove4(address, length)?,
        (IpAddr::V6(address), _) if group == GroupId::NONE => view.lpm.remove6(address, length)?,
        (IpAddr::V4(address), _) => view.lpm.upsert4(address, length, group)?,
        (IpAddr::V6(address), _) => view.lpm.upsert6(address, length, group)?,
    }
    Ok(())
}

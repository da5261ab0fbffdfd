//! Other rules while packets flow: which tables change with them, and the change itself, made
//! before anything is broken.

use super::table::deal;
use super::{Group, Groups};
use crate::arena::Arena;
use crate::bucket::{Member, Terms, settle};
use crate::deal::{Deal, Recovery, Rules, by_rendezvous};
use crate::dplane::{Dplane, Full};
use crate::nexthop::{Members, Nexthops, Sets};
use crate::quota::Rounding;
use fastpath::table::{GroupId, GroupWord, LpmWrite};
use std::collections::BTreeMap;
use std::time::Instant;

/// What a bucket is worth keeping where it is: it was active lately, packets that it forwarded.
pub type Worth = (bool, u64);

/// The groups whose tables other rules change.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The rules.
    pub rules: Rules,
    /// By id, as they are to be; with the word of now.
    pub groups: BTreeMap<GroupId, Group>,
}

impl Groups {
    /// What `rules` would change: pure. `worth` tells of a bucket what it carries.
    ///
    /// # Errors
    /// There is no room for the new tables beside the old ones, group by group.
    pub fn plan<L: LpmWrite>(
        &self,
        rules: &Rules,
        worth: impl Fn(GroupId, usize) -> Worth,
        (nexthops, sets, dplane): (&Nexthops, &Sets, &Dplane<L>),
    ) -> Result<Adoption, Full> {
        let sizes = |r: &Rules| (r.resilient, r.buckets, r.bound, r.deal);
        let resizes = sizes(rules) != sizes(&self.rules);
        let calls = rules.recovery != Recovery::Never;
        let mut room = Room::of(dplane);
        let mut groups = BTreeMap::new();
        let mut ids: Vec<GroupId> = self.all.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(group) = self.all.get(&id).filter(|g| g.home.len() > 1) else {
                continue;
            };
            let members = sets.members(group.set);
            let old = group.home.len();
            let size = match resizes {
                true => wanted(rules, &members, old, room.most()),
                false => old,
            };
            let mut next = group.clone();
            if size != old {
                room.exchange(group.word, size)?;
                next.resize(size, &members, rules, nexthops, |b| worth(id, b));
            } else if calls && !group.parked.is_empty() {
                next.follow(&members, nexthops, rules);
            } else {
                continue;
            }
            groups.insert(id, next);
        }
        Ok(Adoption {
            rules: rules.clone(),
            groups,
        })
    }

    /// Puts what [`Groups::plan`] said, with nothing changed in between, into the tables: of each
    /// group first the new table, then one store that points workers there. Old tables are given
    /// back after a grace period; `follow` is told of each group that changed, with the word that
    /// it had, when no worker uses that any more and before anybody else gets its buckets.
    ///
    /// # Errors
    /// There was no room all the same: the groups until then have changed.
    pub fn adopt<L: LpmWrite>(
        &mut self,
        adoption: Adoption,
        now: Instant,
        (nexthops, sets, dplane): (&Nexthops, &Sets, &mut Dplane<L>),
        mut follow: impl FnMut(GroupId, &Group),
    ) -> Result<(), Full> {
        self.rules = adoption.rules;
        self.memo.clear();
        let mut left: Vec<(GroupId, GroupWord)> = Vec::new();
        let mut done = Ok(());
        for (id, mut group) in adoption.groups {
            let members = sets.members(group.set);
            let (old, order) = (group.word, group.home.len().ilog2());
            if old.log2() != order {
                let mut block = dplane.block(order);
                if block.is_err() && !left.is_empty() {
                    self.leave(&mut left, dplane, &mut follow);
                    block = dplane.block(order);
                }
                group.word = match block {
                    Ok(word) => word,
                    Err(full) => {
                        done = Err(full);
                        break;
                    }
                };
                left.push((id, old));
            }
            let party = group.party(&members, nexthops);
            group.weigh(&party, &self.rules, now);
            group.write(&members, nexthops, dplane);
            dplane.publish(id, group.word);
            self.remember(&group, now);
            self.all.insert(id, group);
            self.changes.dealt.insert(id);
            self.note_balance(id);
        }
        self.leave(&mut left, dplane, &mut follow);
        done
    }

    /// Gives back the blocks that groups have left.
    fn leave<L: LpmWrite>(
        &self,
        left: &mut Vec<(GroupId, GroupWord)>,
        dplane: &mut Dplane<L>,
        follow: &mut impl FnMut(GroupId, &Group),
    ) {
        if left.is_empty() {
            return;
        }
        dplane.synchronize();
        for (id, old) in left.drain(..) {
            if let Some(group) = self.all.get(&id) {
                follow(id, group);
            }
            dplane.give_block(old);
        }
    }
}

/// How many buckets a group of `members` that has `old` is to have by `rules`. For want of room
/// (`most`) it may get fewer than are needed, but not fewer than it has.
fn wanted(rules: &Rules, members: &Members, old: usize, most: usize) -> usize {
    let needed = rules.size(members, 1, 1 << GroupWord::MAX_LOG2);
    if needed <= old {
        return needed;
    }
    rules.size(members, 1, most).max(old)
}

/// The arena while tables are exchanged: what [`Groups::adopt`] will do to it.
struct Room {
    arena: Arena,
    left: Vec<GroupWord>,
}

impl Room {
    fn of<L: LpmWrite>(dplane: &Dplane<L>) -> Self {
        Room {
            arena: dplane.arena().clone(),
            left: Vec::new(),
        }
    }

    /// Buckets of the largest table that is not too much.
    fn most(&self) -> usize {
        let free = self.arena.capacity() - self.arena.used();
        (free as usize / super::PART_OF_FREE).max(1)
    }

    /// A table of `size` buckets takes the place of the one at `old`.
    fn exchange(&mut self, old: GroupWord, size: usize) -> Result<(), Full> {
        let order = size.ilog2();
        if self.arena.take(order).is_none() {
            for word in self.left.drain(..) {
                self.arena.give(word.base(), word.log2());
            }
            if self.arena.take(order).is_none() {
                return Err(Full::Buckets {
                    wanted: 1 << order,
                    used: self.arena.used(),
                    capacity: self.arena.capacity(),
                });
            }
        }
        self.left.push(old);
        Ok(())
    }
}

impl Group {
    /// Takes a table of `size` buckets. In a larger one each bucket is there several times, and no
    /// flow moves. In a smaller one each bucket stands for several and goes to the owner that
    /// carries most of what is active there, then of what there was, then to whom most of them
    /// have; the flows of the others move. By rendezvous all are dealt anew.
    fn resize(
        &mut self,
        size: usize,
        members: &Members,
        rules: &Rules,
        nexthops: &Nexthops,
        worth: impl Fn(usize) -> Worth,
    ) {
        let old = self.home.len();
        let heirs: Vec<usize> = (0..size).map(|b| self.heir(b, size, &worth)).collect();
        let of = |table: &[Member]| -> Vec<Member> {
            let owner = |i: &usize| table.get(*i).copied().unwrap_or_default();
            heirs.iter().map(owner).collect()
        };
        (self.home, self.effective, self.seconds) =
            (of(&self.home), of(&self.effective), of(&self.seconds));
        for life in self.awaited.iter_mut().flat_map(|a| &mut a.lives) {
            *life = of(life);
        }
        let party = self.party(members, nexthops);
        if let Deal::Rendezvous(seed) = rules.deal {
            self.home = by_rendezvous(members, size, seed, nexthops).0;
            if party.is_alive() {
                self.rank((members, &party), seed, |_| false, nexthops);
            }
            return;
        }
        if size < old && party.is_alive() && self.alive && !rules.is_patient() {
            // What flows are left to their owners must not leave shares uneven.
            let leaves = |b: usize| party.leaving.binary_search(&self.effective[b]).is_ok();
            let wish = self.effective.clone();
            let how = (Some(&wish[..]), Rounding::Exact);
            let dealt = deal(&self.effective, &party, how, |b| !leaves(b));
            let all = Terms {
                members,
                leaving: &[],
                preferred: Some(&dealt),
                rounding: Rounding::Exact,
            };
            self.home = match party.complete {
                true => dealt.clone(),
                false => settle(Some(&self.home), size, &all, |_| true),
            };
            self.effective = dealt;
        }
        self.choose_seconds(&party, rules, nexthops);
    }

    /// Which of the old buckets bucket `b` of `size` follows.
    fn heir(&self, b: usize, size: usize, worth: &impl Fn(usize) -> Worth) -> usize {
        let old = self.effective.len();
        if size >= old {
            return b % old;
        }
        let mut owners: BTreeMap<Member, (u64, u64, usize, usize)> = BTreeMap::new();
        for i in (b..old).step_by(size) {
            let (active, packets) = worth(i);
            let sum = owners.entry(self.effective[i]).or_insert((0, 0, 0, i));
            sum.0 += if active { packets.max(1) } else { 0 };
            sum.1 += packets;
            sum.2 += 1;
        }
        let first = |i: usize| std::cmp::Reverse(i);
        let best = owners.values().max_by_key(|s| (s.0, s.1, s.2, first(s.3)));
        best.map_or(b, |s| s.3)
    }
}

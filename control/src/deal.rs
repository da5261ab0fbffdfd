//! How groups deal their buckets, as the operator wants it, and who takes part in a deal.

use crate::bucket::{Member, size_for};
use crate::nexthop::{Known, Members, Standing};
use crate::quota::{Ppm, Rounding, quotas, size_within};
use crate::rendezvous::{self, Contender};
use fastpath::table::GroupWord;
use std::time::Duration;

/// What a member that returns gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recovery {
    /// The buckets that it had, at once.
    Immediate,
    /// Its share, as buckets fall idle.
    Idle,
    /// Nothing, until somebody calls for it or nobody else is left.
    Never,
}

impl Recovery {
    /// All of them.
    pub const ALL: [Recovery; 3] = [Recovery::Immediate, Recovery::Idle, Recovery::Never];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Recovery::Immediate => "immediate",
            Recovery::Idle => "idle",
            Recovery::Never => "never",
        }
    }
}

/// How buckets are dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deal {
    /// In turns, with regard to who has which already.
    RoundRobin,
    /// By [`rendezvous`], with this seed.
    Rendezvous(u32),
}

/// The rules of all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Resilient: a fixed number of buckets, and who is new gets only those that fall idle.
    pub resilient: bool,
    /// Buckets of a group of several members, a power of two; at least so many if not resilient.
    pub buckets: usize,
    /// How far a member may be from its exact share: what sizes tables that are not resilient.
    pub bound: Ppm,
    /// What a member that returns gets.
    pub recovery: Recovery,
    /// A member that returns counts as away for so long.
    pub hold_down: Duration,
    /// So long after a route's start its next hops get their share at once.
    pub start_timer: Duration,
    /// A bucket without packets for so long is idle.
    pub active_timer: Duration,
    /// A group that has not been in balance for so long is balanced by force; none: never.
    pub unbalanced_timer: Option<Duration>,
    /// How buckets are dealt.
    pub deal: Deal,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            resilient: false,
            buckets: 64,
            bound: 10_000,
            recovery: Recovery::Immediate,
            hold_down: Duration::ZERO,
            start_timer: Duration::from_secs(10),
            active_timer: Duration::from_secs(120),
            unbalanced_timer: None,
            deal: Deal::RoundRobin,
        }
    }
}

impl Rules {
    /// How many buckets a group of `members` gets that had `wide` of them, when tables of up to
    /// `most` are allowed.
    ///
    /// Tables never shrink along their lineage: that would move flows. By rendezvous all groups
    /// have the same number, or who learned a different history would have another table.
    pub fn size(&self, members: &[(Member, u32)], wide: usize, most: usize) -> usize {
        if members.len() <= 1 {
            return 1;
        }
        let least = size_for(members.len(), self.buckets);
        if matches!(self.deal, Deal::Rendezvous(_)) {
            least
        } else if self.resilient {
            least.max(wide)
        } else {
            let most = most.min(1 << GroupWord::MAX_LOG2);
            size_within(members, (least, most), self.bound).0.max(wide)
        }
    }

    /// What holds while the flows of a group are too young to be spared.
    pub fn at_the_beginning(&self) -> Self {
        Rules {
            resilient: false,
            recovery: Recovery::Immediate,
            ..self.clone()
        }
    }

    /// Surplus buckets stay until they may move, when members come as well as when they return.
    pub fn is_patient(&self) -> bool {
        self.resilient || self.recovery != Recovery::Immediate
    }
}

/// The members of a group by what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// They get buckets.
    pub due: Vec<(Member, u32)>,
    /// They get none and keep those that they have until these may move.
    pub leaving: Vec<Member>,
    /// All members get buckets.
    pub complete: bool,
    /// Those due are but the last resort.
    pub last_resort: bool,
}

impl Party {
    /// Of `members`, those in `parked` wait; `table` tells who has buckets now.
    ///
    /// If nobody is due, those are that wait, or else those that are held down, for who was lost lately
    /// may be lost again; and if there are none, whoever can be used: an operator's wish to spare a next
    /// hop does not outweigh that packets are lost.
    pub fn of(
        members: &Members,
        parked: &[Member],
        table: &[Member],
        nexthops: &impl Known,
    ) -> Self {
        let standing = |m: Member| match nexthops.standing(m) {
            Standing::In if parked.binary_search(&m).is_ok() => Standing::Waiting,
            Standing::HeldDown if table.contains(&m) => Standing::In,
            other => other,
        };
        let which = |wanted: &dyn Fn(Standing) -> bool| -> Vec<(Member, u32)> {
            let all = members.iter().copied();
            all.filter(|m| wanted(standing(m.0))).collect()
        };
        let mut due = which(&|s| s == Standing::In);
        let last_resort = due.is_empty();
        for resort in [Standing::In, Standing::HeldDown] {
            if due.is_empty() {
                let others = members.iter().copied();
                due = others
                    .filter(|m| nexthops.standing(m.0) == resort)
                    .collect();
            }
        }
        if due.is_empty() {
            return Party {
                due: which(&|s| s != Standing::Out),
                leaving: Vec::new(),
                complete: false,
                last_resort: true,
            };
        }
        Party {
            last_resort,
            complete: !last_resort && due.len() == members.len(),
            leaving: which(&|s| s == Standing::Leaving)
                .iter()
                .map(|m| m.0)
                .collect(),
            due,
        }
    }

    /// Somebody can be used.
    pub fn is_alive(&self) -> bool {
        !self.due.is_empty()
    }

    /// `member` gets buckets.
    pub fn is_due(&self, member: Member) -> bool {
        self.due.binary_search_by_key(&member, |m| m.0).is_ok()
    }

    /// Who gets buckets, ascending.
    pub fn those_due(&self) -> Vec<Member> {
        self.due.iter().map(|m| m.0).collect()
    }

    /// How many buckets of `table` are held beyond quotas, of those leaving: all.
    pub fn surplus(&self, table: &[Member]) -> usize {
        if self.due.is_empty() {
            return 0;
        }
        let held = self.held(table);
        let quota = quotas(&self.due, table.len(), &held, Rounding::Even);
        let over = held.iter().zip(quota).map(|(h, q)| h.saturating_sub(q));
        over.sum::<usize>() + self.left_behind(table)
    }

    /// How many buckets of `table` those hold that are leaving.
    pub fn left_behind(&self, table: &[Member]) -> usize {
        let leaving = |m: &&Member| self.leaving.binary_search(m).is_ok();
        table.iter().filter(leaving).count()
    }

    /// How many buckets of `table` each of those due holds.
    pub fn held(&self, table: &[Member]) -> Vec<usize> {
        let mut held = vec![0; self.due.len()];
        for owner in table {
            if let Ok(i) = self.due.binary_search_by_key(owner, |m| m.0) {
                held[i] += 1;
            }
        }
        held
    }
}

/// What rendezvous knows of `members`.
pub fn contenders(members: &[(Member, u32)], nexthops: &impl Known) -> Vec<Contender> {
    let known = |&(member, weight): &(Member, u32)| {
        let name = nexthops.known(member).map_or(0, |n| n.title);
        Contender {
            member,
            name,
            weight,
        }
    };
    members.iter().map(known).collect()
}

/// The table that rendezvous gives `members`, and who is second.
pub fn by_rendezvous(
    members: &[(Member, u32)],
    size: usize,
    seed: u32,
    nexthops: &impl Known,
) -> (Vec<Member>, Vec<Member>) {
    rendezvous::deal(&contenders(members, nexthops), size, seed)
}

//! How many buckets each member is due, and how large a table has to be for weights to come out
//! right.
//!
//! Shares are dealt by largest remainder, so a member is less than one bucket off its exact share,
//! unless that share is below one bucket: then it has one. In a table of `n` buckets a member of
//! weight `w` of `W` is therefore off by less than `W / (w n)` of its share.

use crate::bucket::Member;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A relative error: parts per million.
pub type Ppm = u64;

/// How quotas regard who holds what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// By largest remainder, whoever holds what; only ties go to who holds more. For shares that
    /// have changed by themselves.
    #[default]
    Exact,
    /// Whoever holds its exact share rounded up or down is due what it holds: rounding alone takes
    /// no bucket from anybody. For who comes, and for what is left to the background.
    Even,
    /// The same, and who holds less than that gets what is free and no more, unless it has nothing:
    /// that somebody goes takes no bucket from those who stay.
    Kept,
}

/// How many buckets each of `members` (owner, weight from 1) is due of `size`, when it holds
/// `held` of them now.
///
/// Everybody gets its exact share rounded up or down, but at least 1; `rounding` says which.
pub fn quotas(
    members: &[(Member, u32)],
    size: usize,
    held: &[usize],
    rounding: Rounding,
) -> Vec<usize> {
    let largest = by_largest_remainder(members, size, held);
    if rounding == Rounding::Exact || held.iter().all(|&h| h == 0) {
        return largest;
    }
    let share = Share::of(members, size);
    // Who is poorer than one bucket has one at the cost of the rich, if floors do not leave room.
    let least: usize = (0..members.len()).map(|i| share.floor(i).max(1)).sum();
    let poor = (0..members.len()).filter(|&i| least > size && share.floor(i) == 0);
    let poor = poor.count();
    let bounds = |i: usize| {
        let least = share.floor(i).saturating_sub(poor);
        (least.max(1), share.ceil(i).max(1))
    };
    let bounds: Vec<(usize, usize)> = (0..members.len()).map(bounds).collect();
    let within = held.iter().zip(&bounds);
    let mut quota: Vec<usize> = within.map(|(h, b)| (*h).clamp(b.0, b.1)).collect();
    let mut used: usize = quota.iter().sum();
    // Nobody needs to give more than these bounds demand; then nothing moves that could stay.
    let spares = rounding == Rounding::Kept && !held.contains(&0);
    while used > size {
        let least = |i: usize| if spares { held[i] } else { bounds[i].0 };
        let over = (0..quota.len()).filter(|&i| quota[i] > least(i));
        let Some(i) = over.min_by_key(|&i| {
            // Who was to get one costs nobody anything.
            let keeps = quota[i] <= held[i];
            (
                keeps,
                share.lack(i, quota[i]),
                held[i],
                std::cmp::Reverse(i),
            )
        }) else {
            return largest;
        };
        quota[i] -= 1;
        used -= 1;
    }
    while used < size {
        let under = (0..quota.len()).filter(|&i| quota[i] < bounds[i].1);
        let Some(i) =
            under.max_by_key(|&i| (share.lack(i, quota[i]), held[i], std::cmp::Reverse(i)))
        else {
            return largest;
        };
        quota[i] += 1;
        used += 1;
    }
    quota
}

/// Lowers the `quota` of those of `members` who hold less, while only `most` buckets are to be had: the next
/// one always goes to who has fewest for its weight (Sainte-Laguë's rule; of equals to who holds more, then to
/// who comes first). Nobody's quota becomes less than what it holds; entries behind those of members stay.
pub fn lower(quota: &mut [usize], members: &[(Member, u32)], held: &[usize], most: usize) {
    let poor: Vec<usize> = (0..members.len()).filter(|&i| held[i] < quota[i]).collect();
    let lack: usize = poor.iter().map(|&i| quota[i] - held[i]).sum();
    if lack <= most {
        return;
    }
    let claims = poor.into_iter().map(|who| Claim {
        has: held[who],
        due: std::mem::replace(&mut quota[who], held[who]),
        weight: members[who].1.max(1),
        held: held[who],
        who,
    });
    let mut claims: BinaryHeap<Claim> = claims.collect();
    for _ in 0..most {
        let Some(mut claim) = claims.pop() else {
            break;
        };
        claim.has += 1;
        quota[claim.who] = claim.has;
        if claim.has < claim.due {
            claims.push(claim);
        }
    }
}

/// Somebody wants a bucket more than it has; the greatest claim is served first.
#[derive(PartialEq, Eq)]
struct Claim {
    has: usize,
    due: usize,
    weight: u32,
    held: usize,
    who: usize,
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> Ordering {
        // (2 has + 1) / weight, without a division.
        let cost = |a: &Self, b: &Self| (2 * a.has as u64 + 1) * u64::from(b.weight);
        let poorer = cost(other, self).cmp(&cost(self, other));
        let held = self.held.cmp(&other.held);
        poorer.then(held).then(other.who.cmp(&self.who))
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Exact shares, in units of 1/total bucket.
struct Share {
    total: i128,
    due: Vec<i128>,
}

impl Share {
    fn of(members: &[(Member, u32)], size: usize) -> Self {
        let weight = |m: &(Member, u32)| i128::from(m.1.max(1));
        let total: i128 = members.iter().map(weight).sum();
        let due = members.iter().map(|m| size as i128 * weight(m)).collect();
        Share {
            total: total.max(1),
            due,
        }
    }

    fn floor(&self, i: usize) -> usize {
        (self.due[i] / self.total) as usize
    }

    fn ceil(&self, i: usize) -> usize {
        ((self.due[i] + self.total - 1) / self.total) as usize
    }

    /// What the exact share lacks, or by how much it is exceeded, with `quota` buckets.
    fn lack(&self, i: usize, quota: usize) -> i128 {
        self.due[i] - quota as i128 * self.total
    }
}

/// Everybody gets the whole part of its exact share, but at least 1. What is left goes by the
/// largest remainder; ties go to who holds more, then to who comes first.
fn by_largest_remainder(members: &[(Member, u32)], size: usize, held: &[usize]) -> Vec<usize> {
    let share = Share::of(members, size);
    let mut quota: Vec<usize> = (0..members.len()).map(|i| share.floor(i).max(1)).collect();
    let mut used: usize = quota.iter().sum();
    while used > size {
        // The buckets that everybody has as a minimum come from those furthest above their share.
        let richest = (0..members.len())
            .filter(|&i| quota[i] > 1)
            .min_by_key(|&i| (share.lack(i, quota[i]), i));
        let Some(richest) = richest else { break };
        quota[richest] -= 1;
        used -= 1;
    }
    if used < size {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&i| {
            let lack = share.lack(i, quota[i]);
            (-lack, std::cmp::Reverse(held[i]), i)
        });
        for &i in order.iter().cycle().take(size - used) {
            quota[i] += 1;
        }
    }
    quota
}

/// How far the worst member is from its exact share when each of `members` (owner, weight) has as
/// many of `size` buckets as `held` says: the larger of too much and too little, relative to the
/// exact share.
pub fn error(members: &[(Member, u32)], size: usize, held: &[usize]) -> Ppm {
    let total: u128 = members.iter().map(|m| u128::from(m.1.max(1))).sum();
    let off = members.iter().zip(held).map(|(member, &held)| {
        let due = size as u128 * u128::from(member.1.max(1));
        let has = held as u128 * total;
        // Rounded up: what is reported is never less than what is.
        (has.abs_diff(due) * 1_000_000).div_ceil(due.max(1))
    });
    u64::try_from(off.max().unwrap_or(0)).unwrap_or(u64::MAX)
}

/// The smallest table of `least` to `most` buckets (powers of two; `least` has room for all) in
/// which a fresh deal to `members` is within `bound`; the most exact one if there is none. How many
/// buckets, and the error that is left.
pub fn size_within(
    members: &[(Member, u32)],
    (least, most): (usize, usize),
    bound: Ppm,
) -> (usize, Ppm) {
    let none = vec![0; members.len()];
    let mut best = (least, Ppm::MAX);
    let mut size = least;
    loop {
        let held = by_largest_remainder(members, size, &none);
        let off = error(members, size, &held);
        if off < best.1 {
            best = (size, off);
        }
        size *= 2;
        if best.1 <= bound || size > most {
            return best;
        }
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;

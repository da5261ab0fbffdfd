//! How many buckets each member is due, and how large a table has to be for weights to come out
//! right.
//!
//! Shares are dealt by largest remainder, so a member is less than one bucket off its exact share,
//! unless that share is below one bucket: then it has one. In a table of `n` buckets a member of
//! weight `w` of `W` is therefore off by less than `W / (w n)` of its share.

use crate::bucket::Member;

/// A relative error: parts per million.
pub type Ppm = u64;

/// How many buckets each of `members` (owner, weight from 1) is due of `size`, when it holds
/// `held` of them now.
///
/// Everybody gets the whole part of its exact share, but at least 1. What is left goes by the
/// largest remainder; ties go to who holds more, then to who comes first. When somebody has
/// `departed`, who holds more than the whole part comes first, and may even keep one bucket more
/// than that if nobody is new: a departure takes no bucket from those who stay.
pub fn quotas(
    members: &[(Member, u32)],
    size: usize,
    held: &[usize],
    departed: bool,
) -> Vec<usize> {
    let total: i128 = members.iter().map(|m| i128::from(m.1.max(1))).sum();
    let due = |i: usize| size as i128 * i128::from(members[i].1.max(1));
    let mut quota: Vec<usize> = (0..members.len())
        .map(|i| ((due(i) / total.max(1)) as usize).max(1))
        .collect();
    let mut used: usize = quota.iter().sum();
    // What the exact share lacks or exceeds, in units of 1/total bucket.
    let lack = |i: usize, quota: usize| due(i) - quota as i128 * total;
    while used > size {
        // The buckets that everybody has as a minimum come from those furthest above their share.
        let richest = (0..members.len())
            .filter(|&i| quota[i] > 1)
            .min_by_key(|&i| (lack(i, quota[i]), i));
        let Some(richest) = richest else { break };
        quota[richest] -= 1;
        used -= 1;
    }
    if used < size {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&i| {
            let holds_more = departed && held[i] > quota[i] && lack(i, quota[i]) > 0;
            (
                !holds_more,
                -lack(i, quota[i]),
                std::cmp::Reverse(held[i]),
                i,
            )
        });
        for &i in order.iter().cycle().take(size - used) {
            quota[i] += 1;
        }
    }
    if departed && held.iter().all(|&h| h > 0) {
        keep_one_more(&mut quota, held);
    }
    quota
}

/// When nobody came, rounding alone must not take a bucket from anybody: removing a member can
/// lower another's rounded share (the paradoxes of apportionment). So who holds one more than its
/// quota keeps it, at the cost of who would gain most; each pays once.
fn keep_one_more(quota: &mut [usize], held: &[usize]) {
    let mut paid = vec![false; quota.len()];
    for i in 0..quota.len() {
        if held[i] == quota[i] + 1 {
            let gains = |j: usize| quota[j].saturating_sub(held[j]);
            let most = (0..quota.len())
                .filter(|&j| !paid[j] && gains(j) > 0)
                .max_by_key(|&j| (gains(j), std::cmp::Reverse(j)));
            if let Some(j) = most {
                paid[j] = true;
                quota[j] -= 1;
                quota[i] += 1;
            }
        }
    }
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
        let held = quotas(members, size, &none, false);
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

//! Members and weights to buckets: pure, deterministic, and moving no flow without need.
//!
//! A table is a slice of owners, one a bucket. Owners are numbers that stay with a next hop for as
//! long as anybody remembers it. Everything that deals buckets by turns in evenpath is [`settle()`], so what
//! workers do in the first burst after a death ([`second_choices`]) is what control writes next.

use crate::quota::{Rounding, lower, quotas};
use std::collections::BTreeMap;

/// The owner of a bucket: a next hop's number.
pub type Member = u32;

/// Whose bucket has never forwarded anything: no next hop has this number.
pub const NOBODY: Member = Member::MAX;

/// Owns nothing: an empty bucket of an unfinished deal.
const EMPTY: usize = usize::MAX;

/// How many buckets a group of `members` gets: 1 for one, else `configured` (a power of two), or
/// the next power of two that has a bucket for everybody.
pub fn size_for(members: usize, configured: usize) -> usize {
    if members <= 1 {
        1
    } else {
        configured.max(members).next_power_of_two()
    }
}

/// `table` with `size` buckets, a multiple of its own: every flow stays where it is, since the
/// bucket is the hash's low bits.
pub fn widened(table: &[Member], size: usize) -> Vec<Member> {
    let factor = (size / table.len().max(1)).max(1);
    table.repeat(factor)
}

/// Who takes part in a deal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Who gets buckets: owner and weight from 1, ascending by owner, at most as many as buckets.
    pub members: &'a [(Member, u32)],
    /// Who gets none but keeps what it has until that may move: being drained. Ascending, none of
    /// `members`.
    pub leaving: &'a [Member],
    /// A table of the same size: whom a bucket goes to if there is a choice.
    pub preferred: Option<&'a [Member]>,
    /// What members are due of what they hold.
    pub rounding: Rounding,
}

/// Deals `size` buckets to `members` (owner and weight, ascending by owner, at most `size`).
///
/// * Whoever has a bucket in `previous` (of the same size) and is still a member keeps it, unless
///   it holds more than its quota.
/// * Orphaned buckets, and those given up, go to whom `preferred` (of the same size) names if it is
///   below its quota, the rest in turn to those below.
/// * Without `previous` the deal is round robin.
pub fn derive(
    previous: Option<&[Member]>,
    members: &[(Member, u32)],
    size: usize,
    preferred: Option<&[Member]>,
) -> Vec<Member> {
    let is_member = |owner: &Member| members.binary_search_by_key(owner, |m| m.0).is_ok();
    let rounding = match previous {
        Some(table) if !table.iter().all(is_member) => Rounding::Kept,
        _ => Rounding::Exact,
    };
    let terms = Terms {
        members,
        leaving: &[],
        preferred,
        rounding,
    };
    settle(previous, size, &terms, |_| true)
}

/// [`derive()`] that moves only what it may: buckets of nobody that takes part, and of those beyond
/// the quota of their owner (of members leaving: all) the ones that `may_move` names.
pub fn settle(
    previous: Option<&[Member]>,
    size: usize,
    terms: &Terms<'_>,
    may_move: impl Fn(usize) -> bool,
) -> Vec<Member> {
    let members = terms.members;
    debug_assert!(members.is_sorted_by_key(|m| m.0) && members.len() <= size);
    if members.is_empty() {
        return Vec::new();
    }
    let index = |owner: Member| match members.binary_search_by_key(&owner, |m| m.0) {
        Ok(i) => i,
        Err(_) => match terms.leaving.binary_search(&owner) {
            Ok(i) => members.len() + i,
            Err(_) => EMPTY,
        },
    };
    let of = |table: Option<&[Member]>| -> Vec<usize> {
        let known = |b| table.and_then(|t| t.get(b)).map_or(EMPTY, |&o| index(o));
        (0..size).map(known).collect()
    };
    let (mut owner, wish) = (of(previous), of(terms.preferred));
    let mut held = vec![0; members.len() + terms.leaving.len()];
    for &o in owner.iter().filter(|&&o| o != EMPTY) {
        held[o] += 1;
    }
    let mut quota = quotas(members, size, &held[..members.len()], terms.rounding);
    quota.resize(held.len(), 0);
    // What those leaving keep, and others for now, cannot be shared.
    let most = to_be_had(&owner, &held, &quota, &may_move);
    lower(&mut quota, members, &held, most);
    let below = |held: &[usize], i: usize| i != EMPTY && held[i] < quota[i];

    for b in 0..size {
        if owner[b] == EMPTY && below(&held, wish[b]) {
            owner[b] = wish[b];
            held[wish[b]] += 1;
        }
    }
    for b in 0..size {
        let (from, to) = (owner[b], wish[b]);
        if from != EMPTY
            && held[from] > quota[from]
            && to != from
            && below(&held, to)
            && may_move(b)
        {
            held[from] -= 1;
            held[to] += 1;
            owner[b] = to;
        }
    }
    give_up(&mut owner, &mut held, &quota, &may_move);
    let mut turn = 0;
    for slot in owner.iter_mut().filter(|o| **o == EMPTY) {
        let next = (turn..turn + members.len())
            .map(|i| i % members.len())
            .find(|&i| below(&held, i));
        let Some(next) = next else { break };
        *slot = next;
        held[next] += 1;
        turn = next + 1;
    }
    let name = |o: usize| match members.get(o) {
        Some(member) => member.0,
        None => match o.checked_sub(members.len()) {
            Some(i) => terms.leaving.get(i).copied().unwrap_or(members[0].0),
            None => members[0].0,
        },
    };
    owner.into_iter().map(name).collect()
}

/// How many buckets are nobody's, or held beyond quotas by somebody whose buckets `may_move`.
fn to_be_had(
    owner: &[usize],
    held: &[usize],
    quota: &[usize],
    may_move: impl Fn(usize) -> bool,
) -> usize {
    let (mut free, mut movable) = (0_usize, vec![0_usize; held.len()]);
    for (b, &o) in owner.iter().enumerate() {
        if o == EMPTY {
            free += 1;
        } else if held[o] > quota[o] && may_move(b) {
            movable[o] += 1;
        }
    }
    let beyond = held.iter().zip(quota).map(|(h, q)| h.saturating_sub(*q));
    let given = beyond.zip(movable).map(|(b, m)| b.min(m));
    free + given.sum::<usize>()
}

/// Empties buckets of members above their quota that `may_move`, evenly spread over these.
fn give_up(
    owner: &mut [usize],
    held: &mut [usize],
    quota: &[usize],
    may_move: impl Fn(usize) -> bool,
) {
    let surplus: Vec<usize> = (0..held.len())
        .map(|i| held[i].saturating_sub(quota[i]))
        .collect();
    let offered: Vec<bool> = (0..owner.len())
        .map(|b| owner[b] != EMPTY && surplus[owner[b]] > 0 && may_move(b))
        .collect();
    let mut movable = vec![0; held.len()];
    for (&o, _) in owner.iter().zip(&offered).filter(|(_, offered)| **offered) {
        movable[o] += 1;
    }
    let mut seen = vec![0; held.len()];
    for (slot, _) in owner.iter_mut().zip(&offered).filter(|(_, o)| **o) {
        let i = *slot;
        let given = surplus[i].min(movable[i]);
        seen[i] += 1;
        // The k-th of n is given up where k * given / n grows by one.
        if seen[i] * given / movable[i] > (seen[i] - 1) * given / movable[i] {
            *slot = EMPTY;
            held[i] -= 1;
        }
    }
}

/// For each bucket of `table` the member that gets it if its owner alone is lost; the owner itself
/// when nobody else takes part. What is beyond an owner's quota stays where it is.
pub fn second_choices(table: &[Member], terms: &Terms<'_>) -> Vec<Member> {
    let mut seconds = table.to_vec();
    let members = terms.members;
    let place = |owner: Member| members.binary_search_by_key(&owner, |m| m.0).ok();
    let mut held = vec![0; members.len()];
    let mut owned: BTreeMap<Member, Vec<usize>> = BTreeMap::new();
    for (b, &owner) in table.iter().enumerate() {
        owned.entry(owner).or_default().push(b);
        if let Some(i) = place(owner) {
            held[i] += 1;
        }
    }
    let (mut rest, mut has) = (Vec::new(), Vec::new());
    for (lost, buckets) in owned {
        rest.clear();
        has.clear();
        for (i, member) in members.iter().enumerate().filter(|(_, m)| m.0 != lost) {
            rest.push(*member);
            has.push(held[i]);
        }
        if rest.is_empty() {
            continue;
        }
        let mut quota = quotas(&rest, table.len(), &has, Rounding::Kept);
        lower(&mut quota, &rest, &has, buckets.len());
        let mut open = Vec::new();
        for b in buckets {
            let wish = terms.preferred.and_then(|t| t.get(b)).copied();
            let wish = wish.and_then(|w| rest.binary_search_by_key(&w, |m| m.0).ok());
            match wish.filter(|&i| has[i] < quota[i]) {
                Some(i) => {
                    has[i] += 1;
                    seconds[b] = rest[i].0;
                }
                None => open.push(b),
            }
        }
        let mut turn = 0;
        for b in open {
            let next = (turn..turn + rest.len())
                .map(|i| i % rest.len())
                .find(|&i| has[i] < quota[i]);
            // Somebody else holds more than its quota: then it is anybody's turn.
            let next = next.unwrap_or(turn % rest.len());
            has[next] += 1;
            seconds[b] = rest[next].0;
            turn = next + 1;
        }
    }
    seconds
}

/// How many buckets differ.
pub fn moved(from: &[Member], to: &[Member]) -> usize {
    from.iter().zip(to).filter(|(old, new)| old != new).count()
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;

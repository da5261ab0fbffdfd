//! Members and weights to buckets: pure, deterministic, and moving no flow without need.
//!
//! A table is a slice of owners, one a bucket. Owners are numbers that stay with a next hop for as
//! long as anybody remembers it. Everything that deals buckets in evenpath is [`derive()`], so what
//! workers do in the first burst after a death ([`second_choices`]) is what control writes next.

/// The owner of a bucket: a next hop's number.
pub type Member = u32;

/// Owns nothing: an empty bucket of an unfinished deal.
const NOBODY: usize = usize::MAX;

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

/// How many buckets each of `members` (owner, weight from 1) is due of `size`, when it holds
/// `held` of them now.
///
/// Everybody gets the whole part of its exact share, but at least 1. What is left goes by the
/// largest remainder; ties go to who holds more, then to who comes first. When somebody has
/// `departed`, who holds more than the whole part comes first, and may even keep one bucket more
/// than that if nobody is new: a departure takes no bucket from those who stay.
fn quotas(members: &[(Member, u32)], size: usize, held: &[usize], departed: bool) -> Vec<usize> {
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
    debug_assert!(members.is_sorted_by_key(|m| m.0) && members.len() <= size);
    if members.is_empty() {
        return Vec::new();
    }
    let index = |owner: Member| {
        members
            .binary_search_by_key(&owner, |m| m.0)
            .unwrap_or(NOBODY)
    };
    let of = |table: Option<&[Member]>| -> Vec<usize> {
        let known = |b| table.and_then(|t| t.get(b)).map_or(NOBODY, |&o| index(o));
        (0..size).map(known).collect()
    };
    let (mut owner, wish) = (of(previous), of(preferred));
    let mut held = vec![0; members.len()];
    for &o in owner.iter().filter(|&&o| o != NOBODY) {
        held[o] += 1;
    }
    let departed = previous.is_some() && owner.contains(&NOBODY);
    let quota = quotas(members, size, &held, departed);
    let below = |held: &[usize], i: usize| i != NOBODY && held[i] < quota[i];

    for b in 0..size {
        if owner[b] == NOBODY && below(&held, wish[b]) {
            owner[b] = wish[b];
            held[wish[b]] += 1;
        }
    }
    for b in 0..size {
        let (from, to) = (owner[b], wish[b]);
        if from != NOBODY && held[from] > quota[from] && to != from && below(&held, to) {
            held[from] -= 1;
            held[to] += 1;
            owner[b] = to;
        }
    }
    give_up(&mut owner, &mut held, &quota);
    let mut turn = 0;
    for slot in owner.iter_mut().filter(|o| **o == NOBODY) {
        let next = (turn..turn + members.len())
            .map(|i| i % members.len())
            .find(|&i| below(&held, i));
        let Some(next) = next else { break };
        *slot = next;
        held[next] += 1;
        turn = next + 1;
    }
    owner
        .into_iter()
        .map(|o| members.get(o).map_or(members[0].0, |m| m.0))
        .collect()
}

/// Empties buckets of members above their quota, evenly spread over those they hold.
fn give_up(owner: &mut [usize], held: &mut [usize], quota: &[usize]) {
    let holds = held.to_vec();
    let surplus: Vec<usize> = (0..held.len())
        .map(|i| held[i].saturating_sub(quota[i]))
        .collect();
    let mut seen = vec![0; held.len()];
    for slot in owner.iter_mut().filter(|o| **o != NOBODY) {
        let i = *slot;
        seen[i] += 1;
        // The k-th of n is given up where k * surplus / n grows by one.
        if seen[i] * surplus[i] / holds[i] > (seen[i] - 1) * surplus[i] / holds[i] {
            *slot = NOBODY;
            held[i] -= 1;
        }
    }
}

/// For each bucket of `table` the member that gets it if its owner alone is lost; the owner itself
/// in a table of one member. `members` are the owners in `table`, `preferred` as for [`derive()`].
pub fn second_choices(
    table: &[Member],
    members: &[(Member, u32)],
    preferred: Option<&[Member]>,
) -> Vec<Member> {
    let mut seconds = table.to_vec();
    if members.len() < 2 {
        return seconds;
    }
    let mut rest = Vec::with_capacity(members.len());
    for &(lost, _) in members {
        rest.clear();
        rest.extend(members.iter().copied().filter(|m| m.0 != lost));
        let after = derive(Some(table), &rest, table.len(), preferred);
        for ((second, &first), &next) in seconds.iter_mut().zip(table).zip(&after) {
            if first == lost {
                *second = next;
            }
        }
    }
    seconds
}

/// True when going from `from` to `to` (tables of the same size) moves no bucket without need: as
/// many as members hold less afterwards, all told.
pub fn is_minimal(from: &[Member], to: &[Member]) -> bool {
    if from.len() != to.len() {
        return false;
    }
    let sorted = |table: &[Member]| {
        let mut owners = table.to_vec();
        owners.sort_unstable();
        owners
    };
    let (before, after) = (sorted(from), sorted(to));
    let lost = before.chunk_by(|a, b| a == b).map(|held| {
        let start = after.partition_point(|m| *m < held[0]);
        let keeps = after[start..].partition_point(|m| *m == held[0]);
        held.len().saturating_sub(keeps)
    });
    moved(from, to) == lost.sum::<usize>()
}

/// How many buckets differ.
pub fn moved(from: &[Member], to: &[Member]) -> usize {
    from.iter().zip(to).filter(|(old, new)| old != new).count()
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;

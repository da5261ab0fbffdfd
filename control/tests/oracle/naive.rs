//! What buckets are to do, said as simply as it can be: slow, and without a look at how control
//! does it. A table is the owner of each bucket, by number; 0 is nobody.

use std::collections::{BTreeMap, BTreeSet};

pub type Table = Vec<u8>;
pub type Weights = BTreeMap<u8, u32>;

/// How many buckets each owner has.
pub fn held(table: &[u8]) -> BTreeMap<u8, usize> {
    let mut held = BTreeMap::new();
    for owner in table {
        *held.entry(*owner).or_default() += 1;
    }
    held
}

/// Of how many to how many buckets each of `due` is within one bucket of its exact share. Whoever's
/// share is below one bucket has one, which the others pay for if they must.
pub fn bounds(due: &Weights, size: usize) -> BTreeMap<u8, (usize, usize)> {
    let total: f64 = due.values().map(|w| f64::from(*w)).sum();
    let exact = |w: u32| size as f64 * f64::from(w) / total;
    let floor = |w: &u32| ((exact(*w) + 1e-9).floor() as usize).max(1);
    let is_crowded = due.values().map(floor).sum::<usize>() > size;
    let poor = due.values().filter(|w| is_crowded && exact(**w) < 1.0);
    let poor = poor.count();
    let of = |(n, w): (&u8, &u32)| {
        let least = (exact(*w) + 1e-9).floor() as usize;
        let most = (exact(*w) - 1e-9).ceil() as usize;
        (*n, (least.saturating_sub(poor).max(1), most.max(1)))
    };
    due.iter().map(of).collect()
}

/// [`bounds()`] in a table of `size` that was last dealt when it had `grain` buckets, and has only
/// been repeated since: what was one bucket is several now, and a share is uneven by as many.
fn coarse(due: &Weights, size: usize, grain: usize) -> BTreeMap<u8, (usize, usize)> {
    let times = size / grain;
    let then = bounds(due, grain);
    let of = |(n, (least, most)): (u8, (usize, usize))| {
        let (fewer, more) = then[&n];
        (n, (least.min(fewer * times), most.max(more * times)))
    };
    bounds(due, size).into_iter().map(of).collect()
}

/// Everybody's share is within its bounds.
pub fn is_even(table: &[u8], due: &Weights, grain: usize) -> bool {
    let held = held(table);
    let bounds = coarse(due, table.len(), grain);
    bounds.iter().all(|(n, (least, most))| {
        let has = held.get(n).copied().unwrap_or(0);
        (*least..=*most).contains(&has)
    })
}

/// Nobody has come, so no flow of those who stay moves: whoever has got buckets is not above its
/// bounds, and as long as anybody is below its own nobody got more than it needed to be no longer.
pub fn is_spread_evenly(was: &[u8], is: &[u8], due: &Weights, grain: usize) -> bool {
    let (before, after) = (held(was), held(is));
    let has = |held: &BTreeMap<u8, usize>, n: &u8| held.get(n).copied().unwrap_or(0);
    let bounds = coarse(due, is.len(), grain);
    let is_below = bounds.iter().any(|(n, b)| has(&after, n) < b.0);
    bounds.iter().all(|(n, (least, most))| {
        let got = has(&after, n) > has(&before, n);
        !got || has(&after, n) <= if is_below { *least } else { *most }
    })
}

/// Only buckets of those who are gone were dealt: who got some had, before the last of them, no more for its
/// weight than anybody has, who has one more at most or all that it is due (of a table last dealt with `grain`
/// buckets: each of which is several now).
pub fn is_shared_alike(was: &[u8], is: &[u8], due: &Weights, grain: usize) -> bool {
    let (before, after) = (held(was), held(is));
    let has = |held: &BTreeMap<u8, usize>, n: &u8| held.get(n).copied().unwrap_or(0) as f64;
    let total: f64 = due.values().map(|w| f64::from(*w)).sum();
    let (size, one) = (is.len() as f64, (is.len() / grain) as f64);
    if due.values().any(|w| size * f64::from(*w) < total) {
        // Who has less than one by right has one, at whoever's cost.
        return true;
    }
    let got = due.iter().filter(|d| has(&after, d.0) > has(&before, d.0));
    let mut pairs = got.flat_map(|g| due.iter().map(move |other| (g, other)));
    pairs.all(|((n, weight), (other, others))| {
        let (its, theirs) = (has(&after, n), has(&after, other));
        let is_served = theirs + one > size * f64::from(*others) / total;
        let (weight, others) = (f64::from(*weight), f64::from(*others));
        is_served || (2.0 * its - one) / weight <= (2.0 * theirs + one) / others + 1e-9
    })
}

/// The smallest number of buckets that must change hands until those of `due` are within bounds and
/// nobody else has any: those of others, and of those above their bounds the surplus; more only if
/// that is not enough for those below.
pub fn fewest(table: &[u8], due: &Weights, grain: usize) -> usize {
    let held = held(table);
    let orphans = table.iter().filter(|o| !due.contains_key(o)).count();
    let (mut above, mut below) = (0, 0);
    for (n, (least, most)) in coarse(due, table.len(), grain) {
        let has = held.get(&n).copied().unwrap_or(0);
        above += has.saturating_sub(most);
        below += least.saturating_sub(has);
    }
    orphans + above.max(below.saturating_sub(orphans))
}

/// `table` repeated until it has `size` buckets: the same flows.
pub fn repeated(table: &[u8], size: usize) -> Table {
    (0..size).map(|b| table[b % table.len()]).collect()
}

/// The shares of those who are in both sets have changed, one to another.
pub fn is_reweighed(before: &Weights, after: &Weights) -> bool {
    let both: Vec<u8> = before
        .keys()
        .copied()
        .filter(|n| after.contains_key(n))
        .collect();
    let ratio = |n: &u8| f64::from(before[n]) / f64::from(after[n]);
    both.iter()
        .any(|n| (ratio(n) / ratio(&both[0]) - 1.0).abs() > 1e-9)
}

/// Who is in `after` and not in `before`.
pub fn came(before: &Weights, after: &Weights) -> BTreeSet<u8> {
    let is_new = |n: &&u8| !before.contains_key(n);
    after.keys().filter(is_new).copied().collect()
}

/// splitmix64's finalizer.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Highest random weight: of all draws weight / -log2(draw), the highest; `names` are what the
/// routers of a fleet call the members.
pub fn by_rendezvous(due: &Weights, names: &BTreeMap<u8, u64>, size: usize, seed: u32) -> Table {
    let claim = |b: u64, n: u8, weight: u32| {
        let draw = mix(mix(b << 32 | u64::from(seed)) ^ names[&n]);
        f64::from(weight) / -(draw as f64 / 2_f64.powi(64)).log2()
    };
    let best = |b: u64| {
        let claims = due.iter().map(|(n, w)| (claim(b, *n, *w), *n));
        claims.max_by(|x, y| x.0.total_cmp(&y.0)).map_or(0, |c| c.1)
    };
    (0..size as u64).map(best).collect()
}

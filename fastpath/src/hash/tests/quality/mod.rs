//! How evenly flows spread: one field alone ([`sweep`]), two routers in a row ([`tiers`]), and what
//! a single bit of a field does ([`avalanche`]).
//!
//! The measure is Pearson's statistic over members that are dealt a table of 4,096 buckets in turn,
//! each of which expects its share of the buckets. When each flow picks a bucket by chance, mean and
//! variance of the statistic are known exactly: the mean is the number of members minus one, the
//! variance for n flows and shares p is 2(k-1) + (sum(1/p) - k² - 2k + 2)/n, so that few flows need
//! no approximation. Statistics of several seeds are summed, and the sum is told in standard
//! deviations of its own: too even is as wrong as uneven.
//!
//! A cell of a table is one such figure. The default algorithm must be within ±3 in each. Even an ideal
//! hash is outside in one cell of 200 (the sum over few members has a longer tail than the normal
//! distribution's one of 370), so the others are asked again: a cell outside is measured with
//! [`AGAIN`] times as many other seeds, where chance does not last, and a fault of the hash is
//! √[`AGAIN`] times as many deviations.
//!
//! Seeds are fixed and were not picked: they are the first ones of a row. All tables are printed by
//! `cargo test -p fastpath --lib quality -- --nocapture`.

mod avalanche;
mod sweep;
mod tiers;

use super::*;

const BUCKETS: usize = 4096;

/// So many seeds in the row of a cell.
const SEEDS: u32 = 8;

/// So many times [`SEEDS`] other seeds for a cell that is outside.
const AGAIN: u32 = 16;

/// Of the 320 cells of a table 1.6 are outside by chance, and more than 6 in one table of 600.
const OUTSIDE: usize = 6;

fn settings(algorithm: Algorithm, fields: Fields, seed: u32) -> Settings {
    Settings::new(Choice {
        fields,
        symmetric: true,
        seed,
        algorithm,
    })
}

/// The default fields and `extra`.
fn fields(extra: &[Field]) -> Fields {
    let on = |set: Fields, field: &Field| set.with(*field, true);
    extra.iter().fold(Fields::default(), on)
}

/// Pearson's statistic of flows per bucket for `members`, less its exact mean, and its variance.
fn pearson(buckets: &[u32], members: usize) -> (f64, f64) {
    let (mut counts, mut shares) = (vec![0.0; members], vec![0.0; members]);
    for (bucket, count) in buckets.iter().enumerate() {
        counts[bucket % members] += f64::from(*count);
        shares[bucket % members] += 1.0 / buckets.len() as f64;
    }
    let (n, k): (f64, f64) = (counts.iter().sum(), members as f64);
    let parts = counts.iter().zip(&shares);
    let chi: f64 = parts.map(|(c, p)| (c - n * p).powi(2) / (n * p)).sum();
    let inverse: f64 = shares.iter().map(|p| 1.0 / p).sum();
    let variance = 2.0 * (k - 1.0) + (inverse - k * k - 2.0 * k + 2.0) / n;
    (chi - (k - 1.0), variance)
}

/// Statistics, each less its mean and with its variance, as one figure in standard deviations.
fn sigmas(statistics: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let sum = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
    let (off, variance) = statistics.into_iter().fold((0.0, 0.0), sum);
    off / variance.sqrt()
}

/// How many of `members` have no flow in any of their buckets.
fn idle(buckets: &[u32], members: usize) -> usize {
    let is_idle = |m: &usize| buckets.iter().skip(*m).step_by(members).all(|c| *c == 0);
    (0..members).filter(is_idle).count()
}

/// A line of a table in Markdown.
fn print(words: impl IntoIterator<Item = String>) {
    println!("| {} |", words.into_iter().collect::<Vec<_>>().join(" | "));
}

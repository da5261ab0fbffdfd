//! How evenly the traffic of a group is spread, and whose doing it is when it is not: the deal's,
//! the hash's, the traffic's own.
//!
//! Flows are those of the packets sampled lately, told apart by what the settings in force hash.

use crate::answer_group::LATELY;
use crate::api::message::{Balance, Verdict};
use crate::bucket::Member;
use crate::control::Control;
use crate::group::Group;
use crate::moves::Flows;
use crate::quota::{self, Ppm};
use fastpath::table::{GroupId, LpmWrite};
use std::collections::BTreeMap;

/// Below this the flows of a group do not come out evenly by chance: one in a thousand times.
const UNLIKELY: f64 = 0.001;
/// Fewer flows a member than this say nothing about a hash (the usual rule for chi-squared).
const ENOUGH: f64 = 5.0;
/// Buckets in use are so many standard deviations fewer than chance has it.
const POLARISED: f64 = 6.0;
/// The busiest member forwards so much more than its share.
const UNEVEN: f64 = 1.5;

/// The probability that chi-squared with `freedom` degrees exceeds `x` by chance: the regularized
/// upper incomplete gamma function Q(freedom / 2, x / 2) (Abramowitz and Stegun 6.5.29 and 6.5.31).
pub fn chance(x: f64, freedom: usize) -> f64 {
    if x <= 0.0 || freedom == 0 {
        return 1.0;
    }
    let (a, x) = (freedom as f64 / 2.0, x / 2.0);
    // x^a e^-x / gamma(a), in logarithms.
    let scale = (a * x.ln() - x - ln_gamma(freedom)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..1000 {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * 1e-15 {
                break;
            }
        }
        return (1.0 - scale * sum).clamp(0.0, 1.0);
    }
    // The continued fraction, by Lentz's method.
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for n in 1..1000 {
        let n = f64::from(n);
        let numerator = -n * (n - a);
        b += 2.0;
        d = numerator * d + b;
        d = 1.0 / if d.abs() < tiny { tiny } else { d };
        c = b + numerator / c;
        c = if c.abs() < tiny { tiny } else { c };
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (scale * fraction).clamp(0.0, 1.0)
}

/// ln gamma(n / 2): exactly, by the recurrence from gamma(1) = 1 and gamma(1/2) = sqrt(pi).
fn ln_gamma(n: usize) -> f64 {
    let (mut at, mut ln) = match n % 2 {
        0 => (1.0, 0.0),
        _ => (0.5, 0.5 * std::f64::consts::PI.ln()),
    };
    while at < n as f64 / 2.0 - 0.25 {
        ln += f64::ln(at);
        at += 1.0;
    }
    ln
}

/// By how many standard deviations fewer of `buckets` are `used` than `flows` thrown at them by
/// chance would use (Weiss 1958).
fn shortfall(flows: u64, used: u64, buckets: u64) -> f64 {
    let (flows, used, n) = (flows as f64, used as f64, buckets as f64);
    let load = flows / n;
    let empty = (-load).exp();
    let expected = n * (1.0 - empty);
    let variance = n * empty * (1.0 - (1.0 + load) * empty);
    (expected - used) / variance.max(0.25).sqrt()
}

impl<L: LpmWrite> Control<L> {
    /// How far the members of `group` are from their exact shares of its buckets.
    pub(crate) fn weight_error(&self, group: &Group) -> Ppm {
        let members = self.plan.sets.members(group.set);
        let held: Vec<usize> = members.iter().map(|m| group.share(m.0)).collect();
        quota::error(&members, group.effective.len(), &held)
    }

    /// How evenly `group` is used, as `flows` have it.
    pub(crate) fn balance(&self, id: GroupId, group: &Group, flows: &Flows) -> Option<Balance> {
        if group.effective.len() < 2 || !group.alive || !self.activity.is_watching() {
            return None;
        }
        let mut shares: BTreeMap<Member, f64> = BTreeMap::new();
        for owner in &group.effective {
            *shares.entry(*owner).or_default() += 1.0;
        }
        let size = group.effective.len() as f64;
        let mut by_bucket: BTreeMap<u32, u64> = BTreeMap::new();
        let mut by_member: BTreeMap<Member, (f64, f64)> = BTreeMap::new();
        let (mut count, mut packets) = (0, 0.0);
        for (bucket, sampled) in flows.of(id) {
            *by_bucket.entry(bucket).or_default() += 1;
            let owner = group.effective.get(bucket as usize)?;
            let (f, p) = by_member.entry(*owner).or_default();
            (*f, *p) = (*f + 1.0, *p + sampled as f64);
            (count, packets) = (count + 1, packets + sampled as f64);
        }
        let mut balance = Balance {
            window_s: LATELY.as_secs(),
            flows: count,
            ..Balance::default()
        };
        if count == 0 {
            return Some(balance);
        }
        // Against the share of buckets: whether these are what they should be is another question.
        let loads: Vec<f64> = shares
            .iter()
            .map(|(m, share)| by_member.get(m).map_or(0.0, |b| b.1) * size / (share * packets))
            .collect();
        let mean = loads.iter().sum::<f64>() / loads.len() as f64;
        let variance = loads.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / loads.len() as f64;
        let most = loads.iter().copied().fold(0.0, f64::max);
        balance.max_over_mean = Some(most);
        balance.variation = Some(variance.sqrt() / mean);
        let expected = |share: &f64| count as f64 * share / size;
        if shares.len() > 1 && shares.values().all(|s| expected(s) >= ENOUGH) {
            let off = |(m, share): (&Member, &f64)| {
                let has = by_member.get(m).map_or(0.0, |b| b.0);
                (has - expected(share)).powi(2) / expected(share)
            };
            let x = shares.iter().map(off).sum();
            balance.p_value = Some(chance(x, shares.len() - 1));
        }
        let used = by_bucket.len() as u64;
        let short = shortfall(count, used, group.effective.len() as u64);
        balance.verdict = if shares.len() < 2 {
            Verdict::OneMember
        } else if balance.p_value.is_none() {
            Verdict::FewFlows
        } else if short > POLARISED {
            Verdict::Polarised
        } else if balance.p_value.is_some_and(|p| p < UNLIKELY) {
            Verdict::UnevenHash
        } else if group.surplus > 0 {
            Verdict::UnevenDeal
        } else if most > UNEVEN {
            Verdict::LargeFlows
        } else {
            Verdict::Even
        };
        Some(balance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.8.
        for (x, freedom, p) in [
            (3.841, 1, 0.05),
            (6.635, 1, 0.01),
            (5.991, 2, 0.05),
            (18.307, 10, 0.05),
            (23.209, 10, 0.01),
            (124.342, 100, 0.05),
            (149.449, 100, 0.001),
            (2.558, 10, 0.99),
        ] {
            let is = chance(x, freedom);
            assert!((is / p - 1.0).abs() < 0.01, "{x} {freedom}: {is}");
        }
        assert_eq!(chance(0.0, 5), 1.0);
        assert!(chance(1e6, 3) < 1e-300);
    }

    #[test]
    fn flows_of_a_polarised_router_leave_buckets_empty() {
        // The router before this one kept every flow whose lowest bit was 1 for its other uplink.
        assert!(shortfall(1000, 32, 64) > 30.0);
        // By chance 40 flows use about 30 of 64 buckets, 1000 all of them.
        assert!(shortfall(40, 30, 64).abs() < 2.0);
        assert!(shortfall(1000, 64, 64).abs() < 1.0);
        assert!(shortfall(1, 1, 4096).abs() < 1.0);
    }
}

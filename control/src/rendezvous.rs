//! Buckets by rendezvous (highest random weight; Thaler and Ravishankar 1998): who gets a bucket
//! follows from the members alone, not from the order or the history in which they were learned.
//!
//! Several routers in front of the same anycast servers that agree on the seed therefore hold the
//! same table, and a router that loses a flow's packets to another one loses no flow. A member that
//! leaves or comes moves its own buckets only. The price: shares come out by chance, with a standard
//! deviation of the square root of the share's buckets, and not to within one bucket.
//!
//! Everything is integer arithmetic, as routers of different architectures must agree; the results
//! are part of what versions must keep (`names_and_ranks_are_what_they_always_were`).

use crate::bucket::Member;
use std::net::IpAddr;

/// Somebody who may get buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its number here.
    pub member: Member,
    /// Its name among routers: [`name()`].
    pub name: u64,
    /// Its weight, from 1.
    pub weight: u32,
}

/// The finalizer of splitmix64 (Steele, Lea and Flood 2014).
const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn mix_bytes(start: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(start, |so_far, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(so_far ^ u64::from_le_bytes(word)).wrapping_add(chunk.len() as u64)
    })
}

/// What all routers call a next hop: its address, the same for all that share the servers' link.
/// Link-local addresses, and next hops without one, say nothing by themselves: of these the port's
/// name counts as well.
pub fn name(gateway: Option<IpAddr>, port: &str) -> u64 {
    let (bytes, local) = match gateway {
        Some(IpAddr::V4(a)) => (a.to_ipv6_mapped().octets(), a.is_link_local()),
        Some(IpAddr::V6(a)) => (a.octets(), a.segments()[0] & 0xffc0 == 0xfe80),
        None => ([0; 16], true),
    };
    let address = mix_bytes(0, &bytes);
    if local {
        mix_bytes(address, port.as_bytes())
    } else {
        address
    }
}

/// -log2 of `x` / 2^64, in units of 2^-32; `x` 0 counts as 1.
fn distance(x: u64) -> u64 {
    let x = x.max(1);
    let zeros = x.leading_zeros();
    // The mantissa, 1 to 2, with 31 bits behind the point; each squaring yields a bit of its log2.
    let mut mantissa = (x << zeros) >> 32;
    let mut log = 0;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 31;
        log <<= 1;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            log |= 1;
        }
    }
    (u64::from(zeros + 1) << 32) - log
}

/// A contender's claim to one bucket.
#[derive(Clone, Copy)]
struct Claim {
    who: Contender,
    draw: u64,
    /// Computed only where weights differ.
    distance: u64,
}

impl Claim {
    /// Weight / distance is distributed so that the largest of all is a member's with the
    /// probability of its share (Schindelhauer and Schomaker 2005).
    fn beats(&self, other: &Claim) -> bool {
        let ours = u128::from(self.who.weight.max(1)) * u128::from(other.distance);
        let theirs = u128::from(other.who.weight.max(1)) * u128::from(self.distance);
        (ours, self.draw, self.who.name) > (theirs, other.draw, other.who.name)
    }
}

/// Who gets each of `size` buckets, and who takes over if it alone is lost: the same for every
/// router with the same `seed`, whatever the order of `contenders`. Nobody: two empty tables.
pub fn deal(contenders: &[Contender], size: usize, seed: u32) -> (Vec<Member>, Vec<Member>) {
    let weighted = contenders.iter().any(|c| c.weight != contenders[0].weight);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for bucket in 0..size as u64 {
        let place = mix(bucket << 32 | u64::from(seed));
        let (mut best, mut next): (Option<Claim>, Option<Claim>) = (None, None);
        for who in contenders {
            let draw = mix(place ^ who.name);
            let claim = Claim {
                who: *who,
                draw,
                distance: if weighted { distance(draw) } else { 1 },
            };
            if best.is_none_or(|b| claim.beats(&b)) {
                (best, next) = (Some(claim), best);
            } else if next.is_none_or(|n| claim.beats(&n)) {
                next = Some(claim);
            }
        }
        if let Some(best) = best {
            first.push(best.who.member);
            second.push(next.unwrap_or(best).who.member);
        }
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(n: u32, weight: impl Fn(u32) -> u32) -> Vec<Contender> {
        let named = |i: u32| name(Some(IpAddr::from([10, 0, (i >> 8) as u8, i as u8])), "up1");
        let contender = |i| Contender {
            member: 1000 - i,
            name: named(i),
            weight: weight(i),
        };
        (0..n).map(contender).collect()
    }

    #[test]
    fn names_and_ranks_are_what_they_always_were() {
        let v4: IpAddr = [10, 0, 0, 1].into();
        let local: IpAddr = "fe80::1".parse().unwrap_or(v4);
        assert_eq!(name(Some(v4), "up1"), name(Some(v4), "up2"));
        assert_ne!(name(Some(local), "up1"), name(Some(local), "up2"));
        assert_ne!(name(None, "up1"), name(None, "up2"));
        let names = [
            name(Some(v4), "up1"),
            name(Some(local), "up1"),
            name(None, "up1"),
        ];
        assert_eq!(names, GOLDEN_NAMES, "{names:#x?}");
        let (first, second) = deal(&some(4, |_| 1), 16, 7);
        assert_eq!((&first[..], &second[..]), (&GOLDEN[0][..], &GOLDEN[1][..]));
        let (first, second) = deal(&some(4, |i| 1 + i), 16, 7);
        assert_eq!((&first[..], &second[..]), (&GOLDEN[2][..], &GOLDEN[3][..]));
    }

    // Computed by another implementation (floating point).
    const GOLDEN_NAMES: [u64; 3] = [
        0x50f6_b7f5_c615_6938,
        0x1f02_14cb_3823_48f3,
        0xf8ab_fb10_4cf9_6438,
    ];
    const GOLDEN: [[Member; 16]; 4] = [
        [
            997, 997, 1000, 1000, 999, 999, 998, 999, 998, 999, 998, 999, 997, 997, 999, 998,
        ],
        [
            1000, 1000, 997, 998, 1000, 998, 999, 1000, 999, 998, 997, 997, 1000, 999, 997, 1000,
        ],
        [
            997, 997, 1000, 998, 999, 999, 998, 999, 997, 999, 997, 997, 997, 997, 997, 998,
        ],
        [
            1000, 998, 997, 1000, 998, 998, 999, 997, 998, 998, 998, 999, 998, 999, 999, 997,
        ],
    ];

    #[test]
    fn distances_are_logarithms() {
        assert_eq!(distance(1 << 63), 1 << 32);
        assert_eq!(distance(1 << 60), 4 << 32);
        assert_eq!(distance(1), 64 << 32);
        assert_eq!(distance(0), 64 << 32);
        for x in [3_u64 << 61, u64::MAX / 3, 12_345_678_901_234_567_890] {
            let exact = -(x as f64 / 2_f64.powi(64)).log2() * 2_f64.powi(32);
            assert!((distance(x) as f64 - exact).abs() < 64.0, "{x}");
        }
    }

    #[test]
    fn order_and_history_do_not_matter() {
        let mut all = some(9, |i| 1 + i % 3);
        let table = deal(&all, 1024, 42);
        all.reverse();
        assert_eq!(deal(&all, 1024, 42), table);
        all.swap(1, 5);
        assert_eq!(deal(&all, 1024, 42), table);
        assert_ne!(deal(&all, 1024, 43), table, "unequal by seed");
    }

    #[test]
    fn only_what_the_lost_had_moves_and_it_moves_to_the_second() {
        for weights in [|_| 1, |i: u32| 1 + i % 4] {
            let all = some(7, weights);
            let (first, second) = deal(&all, 2048, 3);
            for lost in &all {
                let rest: Vec<Contender> = all.iter().copied().filter(|c| c != lost).collect();
                let (after, _) = deal(&rest, 2048, 3);
                for b in 0..2048 {
                    let expected = if first[b] == lost.member {
                        second[b]
                    } else {
                        first[b]
                    };
                    assert_eq!(after[b], expected, "bucket {b}");
                }
            }
        }
    }

    #[test]
    fn shares_follow_weights_by_chance() {
        let all = some(8, |i| [1, 2, 4, 8][i as usize % 4]);
        let (first, _) = deal(&all, 65_536, 1);
        let total: u32 = all.iter().map(|c| c.weight).sum();
        for c in &all {
            let share = f64::from(c.weight) / f64::from(total);
            let has = first.iter().filter(|&&m| m == c.member).count() as f64;
            let sigma = (65_536.0 * share * (1.0 - share)).sqrt();
            assert!((has - 65_536.0 * share).abs() < 4.0 * sigma, "{c:?}: {has}");
        }
    }

    #[test]
    fn one_and_none() {
        assert_eq!(deal(&[], 64, 1), (vec![], vec![]));
        let one = some(1, |_| 5);
        assert_eq!(deal(&one, 2, 1), (vec![1000; 2], vec![1000; 2]));
    }
}

use super::*;

/// A small deterministic generator (xorshift64*): tests need variety, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

fn count(table: &[Member], owner: Member) -> usize {
    table.iter().filter(|&&o| o == owner).count()
}

/// True when going from `from` to `to` (tables of the same size) moves no bucket without need: as
/// many as members hold less afterwards, all told.
fn is_minimal(from: &[Member], to: &[Member]) -> bool {
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

fn some_members(random: &mut Random, most: usize, weights: usize) -> Vec<(Member, u32)> {
    let mut all = Vec::new();
    for owner in 0..most as u32 {
        if random.below(2) == 0 {
            all.push((owner * 3 + 1, 1 + random.below(weights) as u32));
        }
    }
    if all.is_empty() {
        all.push((7, 1));
    }
    all
}

/// Every member has its exact share rounded up or down, and at least one bucket. With `slack` 1
/// it may be one off: what a departure leaves behind with unequal weights.
fn assert_balanced(table: &[Member], members: &[(Member, u32)], slack: u64) {
    let equal = members.iter().all(|m| m.1 == members[0].1);
    let slack = if equal { 0 } else { slack };
    let total: u64 = members.iter().map(|m| u64::from(m.1)).sum();
    let poor = members
        .iter()
        .filter(|m| table.len() as u64 * u64::from(m.1) < total)
        .count();
    let mut all = 0;
    for &(owner, weight) in members {
        let has = count(table, owner) as u64;
        let due = table.len() as u64 * u64::from(weight);
        assert!(has >= 1, "{owner} has no bucket");
        assert!(
            has * total < due + total * (1 + slack) || has == 1,
            "{owner} has {has}"
        );
        // What the minimum of one bucket costs is taken from the others, one at a time.
        assert!(
            (has + 1 + slack + poor as u64) * total > due,
            "{owner} has {has} of {due}/{total}"
        );
        all += has;
    }
    assert_eq!(all, table.len() as u64);
}

#[test]
fn a_fresh_deal_is_round_robin() {
    let three = [(4, 1), (5, 1), (9, 1)];
    let table = derive(None, &three, 64, None);
    assert_eq!(table[..7], [4, 5, 9, 4, 5, 9, 4]);
    assert_eq!(
        [4, 5, 9].map(|m| count(&table, m)),
        [22, 21, 21],
        "the remainder goes to the first"
    );
    assert_eq!(derive(None, &[(3, 7)], 1, None), [3]);
    assert!(derive(None, &[], 64, None).is_empty());
}

#[test]
fn shares_follow_weights_as_zebra_sends_them() {
    for (a, b, expected) in [
        (101, 254, [18, 46]), // 10.3: 10000 and 25000 Mbit/s
        (102, 255, [18, 46]), // 10.7.1
        (28, 71, [18, 46]),   // 8.4.4
        (3, 2, [38, 26]),
        (100, 40, [46, 18]),
        (1, 65536, [1, 63]),
    ] {
        let table = derive(None, &[(1, a), (2, b)], 64, None);
        assert_eq!([1, 2].map(|m| count(&table, m)), expected, "{a}:{b}");
    }
}

#[test]
fn sizes_are_powers_of_two_with_room_for_all() {
    assert_eq!(size_for(1, 64), 1);
    assert_eq!(size_for(2, 64), 64);
    assert_eq!(size_for(64, 64), 64);
    assert_eq!(size_for(65, 64), 128);
    assert_eq!(size_for(1000, 64), 1024);
    assert_eq!(widened(&[1, 2], 8), [1, 2, 1, 2, 1, 2, 1, 2]);
    assert_eq!(widened(&[3], 2), [3, 3]);
}

#[test]
fn random_histories_stay_balanced_and_move_the_least() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let size = 64 << random.below(3);
        let weights = [1, 1, 3, 256][random.below(4)];
        let most = 2 + random.below(30);
        let mut members = some_members(&mut random, most, weights);
        let mut table = derive(None, &members, size, None);
        assert_balanced(&table, &members, 0);
        for _ in 0..6 {
            let next = some_members(&mut random, most, weights);
            let after = derive(Some(&table), &next, size, None);
            let came = next.iter().any(|m| count(&table, m.0) == 0);
            let left = table.iter().any(|o| !next.iter().any(|m| m.0 == *o));
            assert_balanced(&after, &next, u64::from(left && !came));
            // The least: every bucket of those that left, and of those that stay what they hold
            // beyond what they have afterwards.
            let orphans = table
                .iter()
                .filter(|o| !next.iter().any(|m| m.0 == **o))
                .count();
            let shrunk: usize = next
                .iter()
                .map(|m| count(&table, m.0).saturating_sub(count(&after, m.0)))
                .sum();
            assert_eq!(moved(&table, &after), orphans + shrunk);
            assert_eq!(
                after,
                derive(Some(&table), &next, size, None),
                "deterministic"
            );
            (table, members) = (after, next);
        }
        assert!(!members.is_empty());
    }
}

#[test]
fn losing_members_moves_nothing_of_those_who_stay() {
    let mut random = Random(2);
    for round in 0..3000 {
        let weights = [1, 3, 256][round % 3];
        let most = 3 + random.below(40);
        let mut members = some_members(&mut random, most, weights);
        let mut table = derive(None, &members, 64, None);
        while members.len() > 1 {
            members.remove(random.below(members.len()));
            let after = derive(Some(&table), &members, 64, None);
            for (old, new) in table.iter().zip(&after) {
                let stays = members.iter().any(|m| m.0 == *old);
                assert!(!stays || old == new, "a bucket of {old} went to {new}");
            }
            table = after;
        }
    }
}

#[test]
fn second_choices_are_what_a_loss_writes() {
    let mut random = Random(3);
    for round in 0..500 {
        let most = 2 + random.below(20);
        let members = some_members(&mut random, most, [1, 3, 256][round % 3]);
        if members.len() < 2 {
            continue;
        }
        let home = derive(None, &members, 128, None);
        let partly: Vec<_> = members[1..].to_vec();
        for (table, usable) in [
            (home.clone(), &members),
            (derive(Some(&home), &partly, 128, Some(&home)), &partly),
        ] {
            let terms = Terms {
                members: usable,
                leaving: &[],
                preferred: Some(&home),
                rounding: Rounding::Kept,
            };
            let seconds = second_choices(&table, &terms);
            for &(lost, _) in usable {
                let rest: Vec<_> = usable.iter().copied().filter(|m| m.0 != lost).collect();
                if rest.is_empty() {
                    assert_eq!(seconds, table);
                    continue;
                }
                // As control repairs: what workers do already is preferred.
                let repaired = derive(Some(&table), &rest, 128, Some(&seconds));
                for b in 0..table.len() {
                    let workers = if table[b] == lost {
                        seconds[b]
                    } else {
                        table[b]
                    };
                    assert_eq!(repaired[b], workers, "bucket {b} after losing {lost}");
                }
            }
        }
    }
}

/// One is leaving and keeps its buckets; another is lost, and what that frees is less than the shares of those
/// who get it: who got the last of its buckets had no more for its weight than anybody has, before and after.
#[test]
fn what_a_loss_frees_is_shared_alike_while_somebody_leaves() {
    let (mut random, mut short) = (Random(5), 0);
    for round in 0..600 {
        let most = 6 + random.below(20);
        let members = some_members(&mut random, most, [1, 1, 4, 256][round % 4]);
        if members.len() < 4 {
            continue;
        }
        let size = [64, 256][round % 2];
        let table = derive(None, &members, size, None);
        let mut due = members.clone();
        let leaving = [due.remove(random.below(due.len())).0];
        let terms = Terms {
            members: &due,
            leaving: &leaving,
            preferred: Some(&table),
            rounding: Rounding::Kept,
        };
        let seconds = second_choices(&table, &terms);
        let lost = due[random.below(due.len())].0;
        let rest: Vec<_> = due.iter().copied().filter(|m| m.0 != lost).collect();
        let wish: Vec<Member> = (0..size)
            .map(|b| {
                if table[b] == lost {
                    seconds[b]
                } else {
                    table[b]
                }
            })
            .collect();
        let terms = Terms {
            members: &rest,
            preferred: Some(&wish),
            ..terms
        };
        let after = settle(Some(&table), size, &terms, |_| false);
        assert_eq!(
            after, wish,
            "{round}: what workers did is what control writes"
        );
        let total: u64 = rest.iter().map(|m| u64::from(m.1)).sum();
        for &(got, weight) in &rest {
            let has = count(&after, got) as u64;
            if has as usize == count(&table, got) {
                continue;
            }
            for &(other, others) in &rest {
                let its = count(&after, other) as u64;
                let is_served = (its + 1) * total > size as u64 * u64::from(others);
                let is_alike =
                    (2 * has - 1) * u64::from(others) <= (2 * its + 1) * u64::from(weight);
                assert!(
                    is_served || is_alike,
                    "{round}: {got} of weight {weight} has {has}, {other} of {others} {its}"
                );
                short += usize::from(!is_served);
            }
        }
    }
    assert!(short > 1000, "{short}");
}

#[test]
fn a_member_that_returns_takes_its_own_buckets() {
    let two = [(1, 1), (2, 1)];
    let home = derive(None, &two, 64, None);
    let alone = derive(Some(&home), &two[1..], 64, None);
    assert_eq!(derive(Some(&alone), &two, 64, Some(&home)), home);
    let weighted = [(1, 28), (2, 71), (3, 28)];
    let home = derive(None, &weighted, 64, None);
    let less = derive(Some(&home), &[weighted[0], weighted[1]], 64, None);
    let back = derive(Some(&less), &weighted, 64, Some(&home));
    assert!(is_minimal(&less, &back) && is_minimal(&less, &home));
    assert_balanced(&back, &weighted, 0);
}

#[test]
fn minimal_means_that_nobody_gives_and_takes() {
    assert!(is_minimal(&[1, 1, 2, 2], &[1, 3, 2, 3]), "3 came");
    assert!(is_minimal(&[1, 1, 2, 2], &[3, 3, 2, 2]), "1 left");
    assert!(!is_minimal(&[1, 1, 2, 2], &[2, 1, 1, 2]), "swapped");
    assert!(
        !is_minimal(&[1, 1, 2, 2], &[3, 3, 1, 1]),
        "1 gives what it has and takes what 2 leaves"
    );
    assert!(!is_minimal(&[1, 1], &[1]), "other size");
}

#[test]
fn weights_that_change_and_change_back_restore_the_table() {
    for (a, b) in [(28, 71), (101, 254), (1, 3), (7, 5)] {
        let home = derive(None, &[(1, a), (2, b)], 64, None);
        let even = derive(Some(&home), &[(1, 50), (2, 50)], 64, None);
        let back = derive(Some(&even), &[(1, a), (2, b)], 64, Some(&home));
        assert_eq!(back, home, "{a}:{b}");
    }
}

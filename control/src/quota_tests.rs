use super::*;

fn equal(n: usize) -> Vec<(Member, u32)> {
    (0..n as Member).map(|m| (m, 1)).collect()
}

fn fresh(members: &[(Member, u32)], size: usize) -> Vec<usize> {
    quotas(members, size, &vec![0; members.len()], Rounding::Kept)
}

#[test]
fn every_number_of_equal_members_is_within_the_stated_bound() {
    for n in 1..=128_usize {
        for log2 in (n.next_power_of_two().ilog2())..=16 {
            let size = 1 << log2;
            let held = fresh(&equal(n), size);
            let (most, least) = (held.iter().max(), held.iter().min());
            assert!(
                most.zip(least).is_some_and(|(a, b)| a - b <= 1),
                "{n} of {size}"
            );
            assert_eq!(held.iter().sum::<usize>(), size);
            // Less than one bucket off: W / (w n) of the share.
            let bound = (n as u64 * 1_000_000).div_ceil(size as u64);
            assert!(error(&equal(n), size, &held) <= bound, "{n} of {size}");
        }
    }
}

#[test]
fn a_table_for_any_number_of_members_is_within_one_percent() {
    // Not more than the next power of two above 100 buckets a member.
    for n in 2..=128_usize {
        let least = 64.max(n.next_power_of_two());
        let (size, off) = size_within(&equal(n), (least, 65_536), 10_000);
        assert!(off <= 10_000, "{n} members: {off} ppm of {size}");
        assert!(size <= (100 * n).next_power_of_two(), "{n} members: {size}");
        let half = size / 2;
        if half >= least {
            let before = error(&equal(n), half, &fresh(&equal(n), half));
            assert!(before > 10_000, "{n} members: {half} would do");
        }
    }
}

#[test]
fn the_cases_that_others_get_wrong() {
    // Weights, buckets for 1 %, buckets of each, error in ppm.
    type Case<'a> = (&'a [u32], usize, &'a [usize], Ppm);
    let fifteen = [1; 15];
    let mut dealt = [136; 15];
    dealt[..8].fill(137);
    let cases: [Case<'_>; 5] = [
        (&fifteen, 2048, &dealt, 3_907),
        (&[3, 2], 128, &[77, 51], 3_907),
        (&[100, 40], 64, &[46, 18], 15_625),
        (&[254, 1], 256, &[255, 1], 3_907),
        (&[65_535, 1], 65_536, &[65_535, 1], 0),
    ];
    for (weights, size, expected, off) in cases {
        let members: Vec<(Member, u32)> = (0..).zip(weights.iter().copied()).collect();
        let bound = if off > 10_000 { off } else { 10_000 };
        assert_eq!(
            size_within(&members, (64, 65_536), bound),
            (size, off),
            "{weights:?}"
        );
        assert_eq!(fresh(&members, size), expected, "{weights:?}");
    }
    let members = [(1, 100), (2, 40)];
    let (size, off) = size_within(&members, (64, 65_536), 10_000);
    assert!(off <= 10_000 && size > 64, "{size}: {off} ppm");
}

#[test]
fn what_cannot_be_exact_is_as_exact_as_it_gets() {
    let members: Vec<(Member, u32)> = vec![(1, 65_535), (2, 1)];
    let (size, off) = size_within(&members, (64, 4096), 10_000);
    assert_eq!(size, 4096);
    let held = fresh(&members, size);
    assert_eq!(held, [4095, 1]);
    assert_eq!(off, 15_000_000, "one bucket of 4,096 is 16 times its share");
    assert_eq!(error(&[(1, 1)], 1, &[1]), 0);
    assert_eq!(error(&[], 64, &[]), 0);
}

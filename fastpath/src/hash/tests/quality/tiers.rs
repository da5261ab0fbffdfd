//! Two routers in a row: of the flows that the first sends to one member, the second must use all of
//! its own.

use super::*;

const TIER: [usize; 5] = [2, 3, 4, 8, 16];

const FLOWS: u32 = 60_000;

/// What is compared: its name, how the routers hash, and flow i.
struct Case {
    name: &'static str,
    algorithm: Algorithm,
    fields: Fields,
    flow: fn(u32) -> FlowKey,
}

/// What RSS hashes and nothing else: `toeplitz` is the NIC's value then, with nothing mixed over it.
fn rss_alone() -> Fields {
    let fields = Fields::default().with(Field::Ipv6Label, false);
    fields.with(Field::IpProtocol, false)
}

/// Bucket of each flow, with this seed.
fn flows(case: &Case, seed: u32) -> Vec<usize> {
    let settings = settings(case.algorithm, case.fields, seed);
    let bucket = |i| settings.hash(&(case.flow)(i)) as usize % BUCKETS;
    (0..FLOWS).map(bucket).collect()
}

/// Router 2's buckets, by the flows that router 1 with so many `members` sends to its member 0.
fn second(one: &[usize], two: &[usize], members: usize) -> Vec<u32> {
    let mut buckets = vec![0; BUCKETS];
    let flows = one.iter().zip(two);
    for (_, bucket) in flows.filter(|(first, _)| *first % members == 0) {
        buckets[*bucket] += 1;
    }
    buckets
}

/// Over eight pairs of seeds: the standard deviations over the second tier's members, and how many of
/// these are idle at worst.
type Found = (f64, usize);

/// Sizes of both tiers, with another seed, with the same one.
type Cell = ((usize, usize), Found, Found);

/// Every pair of sizes. Prints the table.
fn table(case: &Case) -> Vec<Cell> {
    let all: Vec<_> = (0..=SEEDS).map(|seed| flows(case, seed)).collect();
    println!();
    let head = [case.name, "2nd: 2"].map(String::from).into_iter();
    print(head.chain(TIER[1..].iter().map(ToString::to_string)));
    println!("|---:|{}", "---:|".repeat(TIER.len()));
    let mut cells = Vec::new();
    for first in TIER {
        let found = |step: usize, members: usize| {
            let pairs = all.iter().take(SEEDS as usize).zip(&all[step..]);
            let pairs: Vec<_> = pairs.map(|(one, two)| second(one, two, first)).collect();
            let worst = pairs.iter().map(|b| idle(b, members)).max();
            let sigmas = sigmas(pairs.iter().map(|b| pearson(b, members)));
            (sigmas, worst.unwrap_or_default())
        };
        let row = TIER.map(|members| ((first, members), found(1, members), found(0, members)));
        let word = |((_, members), other, same): &Cell| {
            let used = members - other.1;
            format!("{:+.1}, {used} used ({})", other.0, members - same.1)
        };
        print([first.to_string()].into_iter().chain(row.iter().map(word)));
        cells.extend(row);
    }
    cells
}

/// A cell with [`AGAIN`] times as many other pairs of seeds.
fn again(case: &Case, (first, members): (usize, usize)) -> f64 {
    let mut one = flows(case, SEEDS);
    let pairs = (SEEDS + 1..=SEEDS + SEEDS * AGAIN).map(|seed| {
        let two = flows(case, seed);
        let found = pearson(&second(&one, &two, first), members);
        one = two;
        found
    });
    sigmas(pairs)
}

/// Of `members` that flows reach whose buckets are all multiples of `step`.
fn reached(step: usize, members: usize) -> usize {
    (0..BUCKETS)
        .step_by(step)
        .map(|bucket| bucket % members)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}

/// Every size of both tiers: another seed uses all members, as evenly as chance; the same seed only
/// those whose number fits, of two tiers of one size a single one.
#[test]
fn another_seed_uses_all_members_of_the_second_tier() {
    for algorithm in [Algorithm::Mix, Algorithm::Toeplitz] {
        let case = Case {
            name: algorithm.name(),
            algorithm,
            fields: Fields::default(),
            flow: |i| practical(i, i & 1 == 0),
        };
        let cells = table(&case);
        assert_eq!(cells.len(), 25);
        let outside = |cell: &&Cell| cell.1.0.abs() > 3.0;
        assert!(cells.iter().filter(outside).count() <= OUTSIDE);
        for (sizes, other, same) in cells {
            let name = algorithm.name();
            assert_eq!(other.1, 0, "{name} {sizes:?}");
            if other.0.abs() > 3.0 {
                let again = again(&case, sizes);
                println!(
                    "{name} {sizes:?}: {:+.1}, with other seeds {again:+.1}",
                    other.0
                );
                assert!(again.abs() <= 3.0, "{name} {sizes:?}: {again}");
            }
            let reached = reached(sizes.0, sizes.1);
            assert_eq!(sizes.1 - same.1, reached, "{name} {sizes:?}");
            assert!(sizes.0 != sizes.1 || reached == 1 && same.0 > 100.0);
        }
    }
}

/// The NIC's value as such, with the protocol and the label off: another seed uses all members, and
/// being linear too evenly for chance.
#[test]
fn toeplitz_alone_uses_all_members_of_the_second_tier() {
    let cells = table(&Case {
        name: "toeplitz, addresses and ports alone",
        algorithm: Algorithm::Toeplitz,
        fields: rss_alone(),
        flow: |i| practical(i, i & 1 == 0),
    });
    for (sizes, other, same) in &cells {
        assert_eq!(other.1, 0, "{sizes:?}");
        assert_eq!(sizes.1 - same.1, reached(sizes.0, sizes.1), "{sizes:?}");
    }
    assert!(cells.iter().any(|(_, other, _)| other.0 < -5.0));
}

/// The CRC has no seed: of the flows that one router sends to a member the next one of its size sends
/// all to one, whatever the seeds. IPv6 with its flow label is mixed, by the seed, and spreads.
#[test]
fn crc32_routers_in_a_row_use_one_member_each() {
    let case = |name, flow| Case {
        name,
        algorithm: Algorithm::Crc32,
        fields: Fields::default(),
        flow,
    };
    for (sizes, other, same) in table(&case("crc32, IPv4", |i| practical(i, false))) {
        assert_eq!(other, same, "{sizes:?}");
        let reached = reached(sizes.0, sizes.1);
        assert_eq!(sizes.1 - other.1, reached, "{sizes:?}");
        assert!(sizes.0 != sizes.1 || reached == 1);
    }
    for (sizes, other, _) in table(&case("crc32, IPv6", |i| practical(i, true))) {
        assert_eq!(other.1, 0, "{sizes:?}");
        assert!(other.0.abs() <= 3.0, "{sizes:?}: {}", other.0);
    }
}

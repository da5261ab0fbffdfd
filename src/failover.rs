//! `evenpath show failover` for people.

use crate::table::Table;
use control::api::message::{Failover, Times};
use std::fmt::Write;

/// `us` microseconds in the unit that fits: `47 us`, `1.25 ms`, `3.00 s`.
pub fn time(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// A bound of a histogram: `500 us`, `2 ms`, `10 s`.
fn bound(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// How many are in each bucket.
fn apart(times: &Times) -> Vec<(Option<u64>, u64)> {
    let mut before = 0;
    let one = times.buckets.iter().map(|b| {
        let here = b.count.saturating_sub(before);
        before = b.count;
        (b.le_us, here)
    });
    one.collect()
}

/// `failover` as two tables: percentiles, and the histograms from the first to the last time.
pub fn words(failover: &Failover) -> String {
    let parts = [
        ("detect", &failover.detect),
        ("repair", &failover.repair),
        ("fpm-lag", &failover.fpm_lag),
    ];
    let mut text = format!(
        "{} repairs, {} buckets moved; FRR's updates: {} pending, none for {}\n\n",
        failover.repairs, failover.buckets_moved, failover.fpm_pending, failover.fpm_none
    );
    let mut table = Table::new(["PART", "COUNT", "P50", "P90", "P99", "LONGEST"]);
    table.right([1, 2, 3, 4, 5]);
    for (name, t) in parts {
        let times = [t.p50_us, t.p90_us, t.p99_us, t.max_us];
        let times = times.map(|us| if t.count == 0 { "-".into() } else { time(us) });
        table.row([name.into(), t.count.to_string()].into_iter().chain(times));
    }
    text += &table.text("");
    let columns = parts.map(|(_, times)| apart(times));
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    let at = |column: &Vec<(Option<u64>, u64)>, row: usize| column.get(row).map_or(0, |b| b.1);
    let filled: Vec<usize> = (0..rows)
        .filter(|&row| columns.iter().any(|c| at(c, row) > 0))
        .collect();
    if let (Some(&first), Some(&last)) = (filled.first(), filled.last()) {
        let mut table = Table::new(["UP TO", "DETECT", "REPAIR", "FPM-LAG"]);
        table.right([0, 1, 2, 3]);
        for row in first..=last {
            let limit = columns.iter().find_map(|c| c.get(row)).and_then(|b| b.0);
            let limit = limit.map_or("more".into(), bound);
            let counts = columns.iter().map(|c| at(c, row).to_string());
            table.row([limit].into_iter().chain(counts));
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", table.text(""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::histogram::Histogram;
    use std::time::Duration;

    #[test]
    fn times_in_the_unit_that_fits() {
        for (us, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1250, "1.25 ms"),
            (999_999, "999.99 ms"),
            (61_020_000, "61.02 s"),
        ] {
            assert_eq!(time(us), text);
        }
    }

    #[test]
    fn three_parts_and_their_histograms() {
        let times = |all: &[u64]| {
            let mut histogram = Histogram::default();
            for &us in all {
                histogram.record(Duration::from_micros(us));
            }
            Times::from(&histogram)
        };
        let failover = Failover {
            repairs: 3,
            buckets_moved: 96,
            detect: times(&[40, 45, 180]),
            repair: times(&[12, 15, 15]),
            fpm_lag: times(&[]),
            fpm_pending: 2,
            fpm_none: 1,
        };
        let expected = "\
3 repairs, 96 buckets moved; FRR's updates: 2 pending, none for 1

PART     COUNT    P50     P90     P99  LONGEST
detect       3  50 us  180 us  180 us   180 us
repair       3  15 us   15 us   15 us    15 us
fpm-lag      0      -       -       -        -

 UP TO  DETECT  REPAIR  FPM-LAG
 20 us       0       3        0
 50 us       2       0        0
100 us       0       0        0
200 us       1       0        0
";
        assert_eq!(words(&failover), expected);
        let never = words(&Failover::default());
        assert!(
            never.ends_with("fpm-lag      0    -    -    -        -\n"),
            "{never}"
        );
    }
}

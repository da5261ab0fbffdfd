//! How long repairs took, part by part.

use crate::histogram::Histogram;
use serde::{Deserialize, Serialize};

/// Repairs since the start and how long their parts took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Failover {
    /// Repairs of the tables, after a loss or a return.
    pub repairs: u64,
    /// Buckets that they moved.
    pub buckets_moved: u64,
    /// From the moment that the news was read from the kernel or the driver until control took it.
    pub detect: Times,
    /// From then on until the tables were right; workers avoid the dead from its beginning.
    pub repair: Times,
    /// From then on until FRR's last update that concerns the same next hops.
    pub fpm_lag: Times,
    /// Repairs for which updates of FRR are still waited for.
    pub fpm_pending: u64,
    /// Repairs for which none came.
    pub fpm_none: u64,
}

/// How long something took each time, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Times {
    /// How often it was timed.
    pub count: u64,
    /// All of it together.
    pub sum_us: u64,
    /// Half of the times were no longer; this and the next two up to the width of a bucket.
    pub p50_us: u64,
    /// 90 of 100 were no longer.
    pub p90_us: u64,
    /// 99 of 100 were no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
    /// A histogram with fixed buckets of 1, 2, 5 of each power of ten.
    pub buckets: Vec<AtMost>,
}

/// A bucket of a histogram: how many were no longer than that, those of the buckets before included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AtMost {
    /// Microseconds; absent in the last one, which has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub le_us: Option<u64>,
    /// How many.
    pub count: u64,
}

impl From<&Histogram> for Times {
    fn from(histogram: &Histogram) -> Self {
        let mut count = 0;
        let buckets = histogram.buckets().map(|(le_us, here)| {
            count += here;
            AtMost { le_us, count }
        });
        Times {
            buckets: buckets.collect(),
            count: histogram.count(),
            sum_us: histogram.sum_us(),
            p50_us: histogram.percentile_us(50),
            p90_us: histogram.percentile_us(90),
            p99_us: histogram.percentile_us(99),
            max_us: histogram.max_us(),
        }
    }
}

//! No two workers write to one pair of cache lines, and nobody else writes to those: by address, of what
//! each has been given as `evenpath run` gives it, one worker after another.
//!
//! What a worker owns alone besides (lanes, bursts, fragments, packets that wait) is in its `Worker`, which
//! moves to its thread; DPDK's queues and buffer caches are its own likewise.

use super::stats::WorkerStats;
use crate::rcu;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a pair of cache lines: x86 fetches both.
const PAIR: usize = 128;

fn pairs(range: &Range<usize>) -> Range<usize> {
    range.start / PAIR..range.end.div_ceil(PAIR)
}

/// What `workers` workers with counters for `buckets` buckets write, each.
fn written(workers: usize, buckets: usize) -> Vec<Vec<Range<usize>>> {
    let (_writer, registry) = rcu::pair(0, 0);
    // Between them come what other threads write: control's own.
    let mut others = Vec::new();
    let all: Vec<_> = (0..workers)
        .map(|i| {
            others.push(Box::new(i));
            let stats = Arc::new(WorkerStats::with_buckets(buckets));
            others.push(Box::new(i));
            (stats, registry.reader())
        })
        .collect();
    let places = all.iter().map(|(stats, reader)| {
        let start = Arc::as_ptr(stats).addr();
        let counters = start..start + size_of::<WorkerStats>();
        let [words, memory] = stats.buckets().place();
        assert!(memory.end - words.end >= PAIR, "nobody's");
        vec![counters, words, reader.place()]
    });
    places.collect()
}

#[test]
fn no_two_workers_write_to_one_pair_of_lines() {
    for buckets in [1, 7, 16, 100, 4096, 65_536] {
        let mut owners = HashMap::new();
        for (worker, places) in written(8, buckets).iter().enumerate() {
            for pair in places.iter().flat_map(pairs) {
                let owner = *owners.entry(pair).or_insert(worker);
                assert_eq!(owner, worker, "of {buckets} buckets, at {:#x}", pair * PAIR);
            }
        }
    }
}

/// The counters' and the slot's first and last lines hold nothing else: all of their pairs are theirs.
#[test]
fn counters_and_slots_fill_their_lines() {
    for places in written(3, 64) {
        for whole in [&places[0], &places[2]] {
            assert_eq!((whole.start % PAIR, whole.end % PAIR), (0, 0));
        }
    }
}

use super::*;
use crate::deal::Rules;
use fastpath::table::PortId;

fn of(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

/// A page of `1 << log2` buckets at `base`, dealt to members 7 and 8 in turn.
fn page(base: u32, log2: u32, since: Instant) -> Page {
    let size = 1_usize << log2;
    Page {
        word: GroupWord::new(base, log2),
        since,
        owners: (0..size).map(|b| 7 + b as Member % 2).collect(),
        buckets: vec![Bucket::default(); size],
        members: BTreeMap::new(),
        heirs: BTreeSet::new(),
    }
}

fn watched(stats: &[Arc<WorkerStats>]) -> Activity {
    Activity::new(stats)
}

fn workers(n: usize) -> Vec<Arc<WorkerStats>> {
    let new = |_| Arc::new(WorkerStats::with_buckets(64));
    (0..n).map(new).collect()
}

#[test]
fn all_workers_add_up_by_bucket_and_by_owner() {
    let stats = workers(2);
    let mut book = watched(&stats);
    let start = Instant::now();
    let mut page = page(8, 2, start);
    stats[0].buckets().count(8, 100);
    stats[1].buckets().count(8, 60);
    stats[1].buckets().count(11, 1514);
    stats[0].buckets().count(7, 9999);
    stats[0].buckets().count(12, 9999);
    let later = start + INTERVAL;
    page.read(&mut book.workers, &mut book.totals, later);
    let active = |b: &Bucket| b.active == Some(later);
    let found: Vec<_> = page
        .buckets
        .iter()
        .map(|b| (active(b), b.traffic))
        .collect();
    let none = (false, of(0, 0));
    assert_eq!(found, [(true, of(2, 160)), none, none, (true, of(1, 1514))]);
    let members: Vec<_> = page.members.clone().into_iter().collect();
    assert_eq!(members, [(7, of(2, 160)), (8, of(1, 1514))]);
    // What was read is not read again.
    page.read(&mut book.workers, &mut book.totals, later + INTERVAL);
    assert_eq!(page.buckets[0].active, Some(later));
    assert_eq!(page.buckets[0].traffic, of(2, 160));
}

#[test]
fn what_comes_too_late_is_active_and_not_added() {
    let stats = workers(2);
    let mut book = watched(&stats);
    let now = Instant::now();
    let mut page = page(0, 1, now);
    // The first worker took in what a word cannot hold; the second was read in time.
    stats[0].received(PortId(3), 1 << 27, 1 << 36);
    stats[0].buckets().count(0, 1);
    stats[1].received(PortId(3), 1, 60);
    stats[1].buckets().count(1, 60);
    book.judge();
    page.read(&mut book.workers, &mut book.totals, now);
    assert_eq!(page.buckets[0].active, Some(now));
    assert_eq!(page.buckets[0].traffic, of(0, 0));
    assert_eq!(page.buckets[1].traffic, of(1, 60));
    let none = Groups::new(Rules::default());
    book.read(&none, now);
    assert_eq!(book.uncounted(), of(1 << 27, 1 << 36));
    // The next one is in time again.
    stats[0].buckets().count(0, 60);
    book.read(&none, now + INTERVAL);
    book.judge();
    page.read(&mut book.workers, &mut book.totals, now + INTERVAL);
    assert_eq!(page.buckets[0].traffic, of(1, 60));
    assert_eq!(book.uncounted(), of(1 << 27, 1 << 36));
}

#[test]
fn a_doubled_table_repeats_and_a_halved_one_merges() {
    let start = Instant::now();
    let at = |s: u64| start + Duration::from_secs(s);
    let bucket = |s, packets, bytes| Bucket {
        active: Some(at(s)),
        traffic: of(packets, bytes),
    };
    let mut old = page(0, 1, start);
    old.buckets = vec![bucket(5, 7, 701), Bucket::default()];
    old.members = [(7, of(7, 701))].into();

    let mut wide = page(8, 2, at(9));
    wide.buckets[2] = bucket(6, 1, 60);
    wide.inherit(&old, true);
    let ages = wide.buckets.iter().map(|b| b.active);
    assert!(ages.eq([Some(at(5)), None, Some(at(6)), None]));
    let sums: Vec<_> = wide.buckets.iter().map(|b| b.traffic).collect();
    assert_eq!(sums, [of(4, 351), of(0, 0), of(4, 410), of(0, 0)]);
    assert_eq!((wide.since, wide.members[&7]), (start, of(7, 701)));

    let mut narrow = page(16, 0, at(9));
    narrow.inherit(&wide, true);
    assert_eq!(narrow.buckets, [bucket(6, 8, 761)]);
    // Activity alone, as long as the old group lives.
    let mut other = page(16, 0, at(9));
    other.inherit(&wide, false);
    assert_eq!(other.buckets[0].active, Some(at(6)));
    assert_eq!(
        (other.buckets[0].traffic, other.members.len()),
        (of(0, 0), 0)
    );
}

#[test]
fn without_workers_it_is_empty_and_never_due() {
    let mut book = Activity::default();
    let now = Instant::now();
    book.read(&Groups::new(Rules::default()), now);
    assert_eq!((book.due(), book.is_watching()), (None, false));
    assert_eq!(book.idle_for(GroupId(1), 0, now), None);
    assert!(book.buckets(GroupId(1)).is_empty());
}

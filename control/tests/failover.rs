//! Failover: its parts are timed, and no repair looks at a prefix.

use crate::lab;
use crate::lab::flat::Flat;
use crate::lab::{Lab, P0, P1, config, ip, prefix};
use control::api::message::{Failover, Happening};
use control::api::{Request, Response};
use control::event::{Event, Link, Neighbor, NeighborState, Noticed};
use control::failover::{LIMIT, QUIET};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use fastpath::table::naive::NaiveLpm;
use fastpath::table::{LpmWrite, Tables};
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

const MS: Duration = Duration::from_millis(1);
const LEAVES: [&str; 2] = ["192.0.2.1", "192.0.2.3"];

thread_local! {
    static NOW: Cell<Instant> = Cell::new(Instant::now());
}

/// When a repair is done: 40 microseconds after whatever time it is.
fn clock() -> Instant {
    NOW.get() + Duration::from_micros(40)
}

/// The next hops of a route: one on each port, or fewer.
fn via(leaves: &[usize]) -> Via {
    let hop = |i: usize| Hop {
        gateway: Some(ip(LEAVES[i])),
        ifindex: [P0, P1][i],
        onlink: false,
        encap: false,
    };
    Via::Hops(leaves.iter().map(|&i| (hop(i), 1)).collect())
}

struct Bench(Lab);

impl Bench {
    /// Two leaves, up, and 100 routes by both.
    fn new() -> Self {
        let tables = Tables::new(64, 65_536, 64);
        let mut lab = Lab::over(&config(), tables, NaiveLpm::new, clock);
        lab.now = NOW.get();
        lab.connect();
        lab.link(P0, "p0", true);
        lab.link(P1, "p1", true);
        let mut bench = Bench(lab);
        bench.leaf(0, true);
        bench.leaf(1, true);
        bench.routes(0..100, &[0, 1]);
        bench
    }

    fn pass(&mut self, time: Duration) {
        NOW.set(NOW.get() + time);
        self.0.pass(time);
    }

    fn routes(&mut self, which: std::ops::Range<u8>, leaves: &[usize]) {
        self.routes_read(which, leaves, None);
    }

    /// Routes whose message was read so long ago.
    fn routes_read(&mut self, which: std::ops::Range<u8>, leaves: &[usize], ago: Option<Duration>) {
        let mut batch = Batch::default();
        batch.noticed = ago.map(|ago| self.earlier(ago));
        for i in which {
            let route = Route {
                kind: RouteKind::Unicast,
                protocol: 186,
                via: via(leaves),
                prefsrc: None,
                mtu: 0,
            };
            batch.put(Message::Route(prefix(&format!("10.{i}.0.0/16")), route));
        }
        self.0.batch(batch);
    }

    /// News of a leaf's neighbor, read 250 microseconds ago.
    fn leaf(&mut self, i: usize, up: bool) {
        let neighbor = Neighbor {
            ifindex: [P0, P1][i],
            address: ip(LEAVES[i]),
            mac: up.then_some([2, 0, 0, 0, 0, i as u8]),
            state: [NeighborState::Failed, NeighborState::Reachable][usize::from(up)],
            zebra: false,
        };
        let noticed = self.earlier(Duration::from_micros(250));
        self.0.event(Event::Neighbor(neighbor, noticed));
    }

    fn earlier(&self, time: Duration) -> Noticed {
        Noticed {
            at: self.0.now.checked_sub(time).expect("the machine ran then"),
            time: SystemTime::UNIX_EPOCH,
        }
    }

    fn events(&mut self) -> Vec<Happening> {
        match self.0.ask(&Request::ShowEvents) {
            Response::Events(events) => events,
            other => panic!("{other:?}"),
        }
    }

    /// A detail of the latest event about next hops.
    fn detail(&mut self, name: &str) -> Option<String> {
        let events = self.events();
        let last = events.iter().rfind(|e| e.object != "fpm").expect("one");
        last.details.get(name).cloned()
    }

    fn failover(&mut self) -> Failover {
        match self.0.ask(&Request::ShowFailover) {
            Response::Failover(failover) => *failover,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_loss_is_timed_in_three_parts() {
    let mut bench = Bench::new();
    bench.leaf(0, false);
    for (name, value) in [
        ("detect-us", "250"),
        ("repair-us", "40"),
        ("groups", "1"),
        ("prefixes", "100"),
        ("buckets-moved", "32"),
        ("fpm-lag", "pending"),
    ] {
        assert_eq!(bench.detail(name).as_deref(), Some(value), "{name}");
    }
    bench.pass(62 * MS);
    bench.routes(0..60, &[1]);
    bench.pass(20 * MS);
    bench.routes(60..100, &[1]);
    bench.pass(QUIET - MS);
    assert_eq!(bench.failover().fpm_pending, 1);
    bench.pass(MS);
    assert_eq!(bench.detail("fpm-lag"), None);
    // From the tables being right, 40 us after the news was taken.
    assert_eq!(bench.detail("fpm-lag-ms").as_deref(), Some("81.9"));
    assert_eq!(bench.detail("fpm-prefixes").as_deref(), Some("100"));
    let shown = bench.failover();
    assert_eq!((shown.repairs, shown.buckets_moved), (1, 32));
    assert_eq!((shown.fpm_pending, shown.fpm_none), (0, 0));
    assert_eq!((shown.detect.max_us, shown.repair.max_us), (250, 40));
    assert_eq!((shown.fpm_lag.count, shown.fpm_lag.max_us), (1, 81_960));
    let filled = |bound| shown.fpm_lag.buckets.iter().find(|b| b.le_us == bound);
    assert_eq!(filled(Some(50_000)).map(|b| b.count), Some(0));
    assert_eq!(filled(Some(100_000)).map(|b| b.count), Some(1));
    assert_eq!(filled(None).map(|b| b.count), Some(1));
}

#[test]
fn counters_have_the_histograms_too() {
    let mut bench = Bench::new();
    bench.leaf(0, false);
    let shown = bench.failover();
    assert_eq!(shown.repair.count, 1);
    match bench.0.ask(&Request::ShowCounters) {
        Response::Counters(counters) => assert_eq!(counters.failover.as_deref(), Some(&shown)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_an_update_there_is_no_lag() {
    let mut bench = Bench::new();
    bench.leaf(0, false);
    bench.pass(LIMIT);
    // By the other leaf only.
    bench.routes(200..250, &[1]);
    assert_eq!(bench.detail("fpm-lag").as_deref(), Some("pending"));
    bench.pass(MS);
    assert_eq!(bench.detail("fpm-lag").as_deref(), Some("none"));
    let shown = bench.failover();
    assert_eq!((shown.fpm_none, shown.fpm_lag.count), (1, 0));
    bench.routes(0..50, &[1]);
    bench.pass(QUIET);
    assert_eq!(bench.failover().fpm_lag.count, 0, "too late");
}

#[test]
fn updates_about_other_next_hops_do_not_count() {
    let mut bench = Bench::new();
    bench.leaf(0, false);
    bench.pass(10 * MS);
    bench.routes(200..210, &[1]);
    bench.pass(QUIET);
    assert_eq!(bench.detail("fpm-lag").as_deref(), Some("pending"));
    // As they were: zebra goes on naming the dead for a while.
    bench.routes(0..10, &[0, 1]);
    bench.pass(QUIET);
    let lag = format!("{}.9", 10 + QUIET.as_millis() - 1);
    assert_eq!(bench.detail("fpm-lag-ms"), Some(lag));
    assert_eq!(bench.detail("fpm-prefixes").as_deref(), Some("10"));
}

#[test]
fn a_return_ends_the_wait_for_the_loss() {
    let mut bench = Bench::new();
    bench.leaf(0, false);
    bench.pass(50 * MS);
    bench.leaf(0, true);
    let events = bench.events();
    let lags: Vec<_> = events.iter().map(|e| e.details.get("fpm-lag")).collect();
    let lags: Vec<&str> = lags.into_iter().flatten().map(String::as_str).collect();
    assert_eq!(lags, ["none", "pending"]);
    // An update that takes routes away counts as well.
    bench.pass(5 * MS);
    let mut batch = Batch::default();
    batch.put(Message::DelRoute(prefix("10.0.0.0/16")));
    bench.0.batch(batch);
    bench.pass(QUIET);
    assert_eq!(bench.detail("fpm-lag-ms").as_deref(), Some("4.9"));
}

#[test]
fn what_frr_notices_first_is_timed_from_its_message() {
    let mut bench = Bench::new();
    let (before, ago) = (bench.events().len(), Some(Duration::from_micros(90)));
    bench.routes_read(0..60, &[1], ago);
    let events = bench.events();
    assert_eq!(events.len(), before + 1);
    let event = events.last().expect("one");
    assert_eq!(
        (event.object.as_str(), event.what.as_str()),
        ("nexthop 192.0.2.1 on up1", "taken out by zebra")
    );
    for (name, value) in [("detect-us", "90"), ("repair-us", "40"), ("prefixes", "60")] {
        assert_eq!(event.details[name], value, "{name}");
    }
    assert_eq!(event.details.get("fpm-lag"), None, "FRR was first");
    let shown = bench.failover();
    assert_eq!((shown.repairs, shown.fpm_pending), (1, 0));
    assert_eq!((shown.detect.max_us, shown.repair.max_us), (90, 40));
    // Who is back is no loss, and a route that goes altogether leaves nothing to repair.
    bench.routes_read(0..60, &[0, 1], ago);
    let mut batch = Batch::default();
    batch.noticed = Some(bench.earlier(MS));
    batch.put(Message::DelRoute(prefix("10.0.0.0/16")));
    bench.0.batch(batch);
    // Nor is what was repaired before FRR noticed.
    bench.leaf(0, false);
    bench.routes_read(1..100, &[1], ago);
    assert_eq!(bench.failover().repairs, 2);
    let told = |e: &&Happening| e.what == "taken out by zebra";
    assert_eq!(bench.events().iter().filter(told).count(), 1);
}

#[test]
fn a_dead_port_is_timed_as_its_next_hops_are() {
    let mut bench = Bench::new();
    let link = Link {
        ifindex: P0,
        name: "p0".into(),
        mac: Some([2, 0, 0, 0, 0xff, P0 as u8]),
        mtu: 1500,
        admin_up: true,
        carrier: false,
    };
    let noticed = bench.earlier(Duration::from_micros(7));
    bench.0.event(Event::Link(link, noticed));
    assert_eq!(bench.detail("detect-us").as_deref(), Some("7"));
    assert_eq!(bench.detail("buckets-moved").as_deref(), Some("32"));
    assert_eq!(bench.detail("fpm-lag").as_deref(), Some("pending"));
}

#[test]
fn the_last_thousand_events_are_kept_and_many_waits_end() {
    let mut bench = Bench::new();
    for i in 0..1500_u16 {
        bench.leaf(usize::from(i % 2), (i / 2) % 2 == 1);
    }
    let events = bench.events();
    assert_eq!(events.len(), 1000);
    let shown = bench.failover();
    assert_eq!((shown.repairs, shown.fpm_pending), (1500, 2));
    assert_eq!(shown.fpm_none, 1498);
    let pending = |e: &&Happening| e.details.get("fpm-lag").is_some_and(|l| l == "pending");
    assert_eq!(events.iter().filter(pending).count(), 2);
    assert!(events[998..].iter().all(|e| pending(&e)));
}

/// What the latest event says.
fn latest<L: LpmWrite>(lab: &mut Lab<L>, names: [&str; 3]) -> [usize; 3] {
    let Response::Events(events) = lab.ask(&Request::ShowEvents) else {
        panic!("events");
    };
    let details = &events.last().expect("one").details;
    names.map(|name| details[name].parse().expect("a number"))
}

const TOLD: [&str; 3] = ["prefixes", "groups", "buckets-moved"];

/// For any number of prefixes a repair writes as much, and none of them.
fn is_flat(family: u8) {
    for prefixes in [1, 1_000, 20_000, 500_000] {
        let mut flat = Flat::prefixes(family, prefixes);
        let last = flat.address(prefixes - 1);
        let group = flat.lab.lookup(last);
        for up in [false, true, false] {
            let writes = flat.writes(|flat| flat.up(up));
            assert_eq!(writes, 0, "{prefixes} prefixes");
            assert_eq!(latest(&mut flat.lab, TOLD), [prefixes, 1, 32]);
        }
        assert_eq!(flat.lab.lookup(last), group);
        let out = flat.lab.spread(&last.to_string());
        assert_eq!(out, [(Some(1), 64)].into(), "all by p1");
        // The port as a whole, beside.
        flat.up(true);
        let writes = flat.writes(|flat| flat.lab.link(P0, "p0", false));
        assert_eq!(writes, 0, "{prefixes} prefixes");
        assert_eq!(latest(&mut flat.lab, TOLD), [prefixes, 1, 32]);
    }
}

#[test]
fn no_repair_touches_ipv4_prefixes() {
    is_flat(4);
}

#[test]
fn no_repair_touches_ipv6_prefixes() {
    is_flat(6);
}

#[test]
fn a_repair_writes_the_buckets_of_the_dead_in_each_group_and_no_other() {
    for groups in [1, 10, 100, 1_000, 10_000] {
        let mut flat = Flat::groups(4, groups);
        let writes = flat.writes(|flat| flat.up(false));
        assert_eq!(writes, 0, "{groups} groups");
        let [prefixes, changed, moved] = latest(&mut flat.lab, TOLD);
        assert_eq!((prefixes, changed), (groups, groups));
        // A third of 64, and who has the odd one depends on the group.
        let third = groups * 21..=groups * 22;
        assert!(third.contains(&moved), "{moved} buckets of {groups} groups");
        let writes = flat.writes(|flat| flat.up(true));
        let back = latest(&mut flat.lab, TOLD);
        assert_eq!((writes, back), (0, [groups, groups, moved]));
    }
}

#[test]
fn recorded_updates_of_every_frr_end_the_wait() {
    for frr in ["8.4.4", "10.3", "10.7.1"] {
        let mut lab = Lab::dpu();
        lab.connect();
        for part in ["01-connect-empty", "02-initial-sync"] {
            lab.feed_frames(&lab::stream(&format!("{frr}-{part}")));
        }
        lab.carrier(P0, false);
        lab.pass(100 * MS);
        lab.feed_frames(&lab::stream(&format!("{frr}-03-leaf1-link-flap-down")));
        lab.pass(QUIET + 100 * MS);
        let Response::Events(events) = lab.ask(&Request::ShowEvents) else {
            panic!("events");
        };
        let gone = events.iter().filter(|e| e.what == "gone");
        let timed = gone.filter(|e| e.details.contains_key("fpm-lag-ms"));
        assert!(timed.count() >= 2, "{frr}: an IPv4 and an IPv6 next hop");
    }
}

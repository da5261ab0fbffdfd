//! What buckets forwarded, as the control thread keeps it while groups come, change and go.

use crate::lab::{Lab, P0, P1, ip, stream};
use control::activity::INTERVAL;
use control::api::message::{Group, GroupQuery};
use control::api::{Request, Response};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use control::prefix::Prefix;
use fastpath::table::stats::WorkerStats;
use fastpath::table::{GroupId, Traffic};
use std::sync::Arc;
use std::time::Duration;

/// A destination behind both leaves in the recordings.
const BOTH: &str = "10.0.0.10";

struct Counted {
    lab: Lab,
    stats: Vec<Arc<WorkerStats>>,
}

impl Counted {
    /// The recordings' router in full swing, watched with two workers.
    fn new() -> Self {
        let mut lab = Lab::dpu();
        let new = |_| Arc::new(WorkerStats::with_buckets(65_536));
        let stats: Vec<_> = (0..2).map(new).collect();
        lab.control.watch(&stats, lab.now);
        lab.connect();
        lab.feed(&stream("10.3-02-initial-sync"));
        Counted { lab, stats }
    }

    fn group(&self) -> GroupId {
        self.lab.lookup(ip(BOTH))
    }

    /// Worker `worker` forwards one packet of `bytes` for each of `hashes`, as the tables are.
    fn forward(&self, worker: usize, hashes: impl IntoIterator<Item = u32>, bytes: usize) {
        let word = self.lab.tables.groups.word(self.group());
        for hash in hashes {
            let index = word.base() + word.bucket(hash);
            self.stats[worker].buckets().count(index, bytes);
        }
    }

    fn route(&mut self) -> Prefix {
        let over = |p: &Prefix| p.contains(ip(BOTH));
        let routes = self.lab.routes().into_iter().map(|r| r.prefix);
        routes.filter(over).max_by_key(|p| p.length()).expect("one")
    }

    fn bucket(&self, number: usize) -> (Traffic, Option<Duration>) {
        let book = self.lab.control.activity();
        let (group, now) = (self.group(), self.lab.now);
        let traffic = book.buckets(group)[number].traffic;
        (traffic, book.idle_for(group, number, now))
    }

    fn shown(&mut self) -> Group {
        let query = GroupQuery {
            id: Some(self.group().0),
            buckets: true,
        };
        match self.lab.ask(&Request::ShowGroup(query)) {
            Response::Group(groups) => groups[0].clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn of(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

#[test]
fn buckets_are_read_in_time_and_grow_idle() {
    let mut counted = Counted::new();
    counted.forward(0, [5, 5, 64 + 5], 100);
    counted.forward(1, [5, 6], 1000);
    assert_eq!(counted.bucket(5).0, of(0, 0), "not read yet");
    counted.lab.pass(INTERVAL);
    assert_eq!(counted.bucket(5), (of(4, 1300), Some(Duration::ZERO)));
    assert_eq!(counted.bucket(6), (of(1, 1000), Some(Duration::ZERO)));
    counted.lab.pass(Duration::from_secs(9));
    counted.forward(1, [6], 60);
    counted.lab.pass(Duration::from_secs(3));
    assert_eq!(counted.bucket(5).1, Some(Duration::from_secs(12)));
    assert_eq!(counted.bucket(6), (of(2, 1060), Some(Duration::ZERO)));
    let group = counted.shown();
    assert_eq!(group.active_buckets, Some(1), "10 seconds count");
    let by_port = |name: &str| {
        let member = group.members.iter().find(|m| m.port == name);
        member.map(|m| (m.packets, m.bytes)).expect("a member")
    };
    // Dealt in turn: 5 and 6 are different members'.
    let sums = [by_port("up1"), by_port("up2")];
    assert!(sums.contains(&(Some(4), Some(1300))) && sums.contains(&(Some(2), Some(1060))));
    assert_eq!((group.each[6].packets, group.each[6].idle_ms), (2, Some(0)));
    assert_eq!(group.each[7].idle_ms, None);
    assert_eq!(group.each.len(), 64);
}

#[test]
fn packets_are_the_owners_of_their_time() {
    let mut counted = Counted::new();
    let own = |c: &mut Counted| -> Vec<(String, u64)> {
        let members = c.shown().members.into_iter();
        let mut own: Vec<_> = members.map(|m| (m.port, m.packets.unwrap())).collect();
        own.sort();
        own
    };
    counted.forward(0, 0..64, 100);
    // The link goes before anybody read: what was sent until then was each owner's.
    counted.lab.carrier(P0, false);
    let halves = [("up1".to_string(), 32), ("up2".to_string(), 32)];
    assert_eq!(own(&mut counted), halves);
    counted.forward(1, 0..64, 100);
    counted.lab.pass(INTERVAL);
    assert_eq!(own(&mut counted)[1].1, 96, "all of it by up2 now");
    assert_eq!(counted.bucket(0).0, of(2, 200));
}

#[test]
fn another_group_takes_over_what_was_known_of_its_flows() {
    let mut counted = Counted::new();
    counted.forward(0, [3], 100);
    counted.lab.pass(INTERVAL);
    counted.lab.pass(Duration::from_secs(5));
    counted.forward(0, [4], 100);
    // Another weight: another group, and the route moves there.
    let before = counted.group();
    let hop = |gateway: &str, ifindex| Hop {
        gateway: gateway.parse().ok(),
        ifindex,
        onlink: false,
        encap: false,
    };
    let hops = [(hop("169.254.0.0", P0), 1), (hop("169.254.0.2", P1), 3)];
    let mut batch = Batch::default();
    let to = counted.route();
    let other = Route {
        kind: RouteKind::Unicast,
        protocol: 186,
        via: Via::Hops(hops.into()),
        prefsrc: None,
        mtu: 0,
    };
    batch.put(Message::Route(to, other));
    counted.lab.batch(batch);
    assert_ne!(counted.group(), before);
    assert_eq!(counted.shown().buckets, 64);
    let ago = Duration::from_secs(5);
    assert_eq!(counted.bucket(3), (of(0, 0), Some(ago)));
    assert_eq!(counted.bucket(4), (of(0, 0), Some(Duration::ZERO)));
    // Other routes go on using the old one: the sums are still its own.
    let book = counted.lab.control.activity();
    assert_eq!(book.buckets(before)[3].traffic, of(1, 100));
    assert_eq!(book.active(counted.group(), ago, counted.lab.now), 2);
    assert_eq!(book.active(counted.group(), INTERVAL, counted.lab.now), 1);
}

#[test]
fn through_a_group_of_one_the_sums_stay_and_every_bucket_is_as_active() {
    let mut counted = Counted::new();
    let before = counted.group();
    counted.forward(0, [3, 3, 4], 100);
    counted.lab.pass(INTERVAL);
    counted.lab.pass(Duration::from_secs(5));
    counted.lab.feed(&stream("10.3-07-leaf2-bgpd-stop"));
    assert_ne!(counted.group(), before);
    assert_eq!(counted.shown().buckets, 1);
    let ago = Duration::from_secs(5);
    assert_eq!(counted.bucket(0), (of(3, 300), Some(ago)));
    counted.lab.feed(&stream("10.3-08-leaf2-bgpd-start"));
    assert_eq!(counted.shown().buckets, 64);
    assert!((0..64).all(|b| counted.bucket(b).1 == Some(ago)));
    // Buckets of the arena that were another group's: nothing of that is taken for theirs.
    counted.lab.pass(INTERVAL);
    let group = counted.shown();
    let each: u64 = group.each.iter().map(|b| b.packets).sum();
    let owned: u64 = group.members.iter().filter_map(|m| m.packets).sum();
    assert_eq!((each, owned), (3, 3));
}

//! Routers with many prefixes or many groups behind one next hop that dies, over lookups that count
//! what is written to them.

use super::{Lab, P0, P1, config, ip};
use control::event::{Event, Neighbor, NeighborState};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use control::prefix::Prefix;
use fastpath::table::naive::{NaiveLpm, NotAPrefix};
use fastpath::table::{GroupId, Lpm, LpmWrite, Tables};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A lookup that counts writes, of both of its copies.
pub struct Counted {
    lpm: NaiveLpm,
    writes: Arc<AtomicUsize>,
}

impl Counted {
    fn write(&mut self) -> &mut NaiveLpm {
        self.writes.fetch_add(1, Ordering::Relaxed);
        &mut self.lpm
    }
}

impl Lpm for Counted {
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]) {
        self.lpm.lookup4(destinations, groups);
    }

    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]) {
        self.lpm.lookup6(destinations, groups);
    }
}

impl LpmWrite for Counted {
    type Error = NotAPrefix;

    fn upsert4(&mut self, prefix: Ipv4Addr, length: u8, group: GroupId) -> Result<(), NotAPrefix> {
        self.write().upsert4(prefix, length, group)
    }

    fn remove4(&mut self, prefix: Ipv4Addr, length: u8) -> Result<(), NotAPrefix> {
        self.write().remove4(prefix, length)
    }

    fn upsert6(&mut self, prefix: Ipv6Addr, length: u8, group: GroupId) -> Result<(), NotAPrefix> {
        self.write().upsert6(prefix, length, group)
    }

    fn remove6(&mut self, prefix: Ipv6Addr, length: u8) -> Result<(), NotAPrefix> {
        self.write().remove6(prefix, length)
    }
}

/// The other next hops of [`Flat::groups`]: enough for 11,175 different pairs.
const OTHERS: u16 = 150;

/// A router whose next hop on p0 dies and returns.
pub struct Flat {
    pub lab: Lab<Counted>,
    pub family: u8,
    writes: Arc<AtomicUsize>,
}

/// Prefix number `i`: a /24 or a /64.
fn prefix(family: u8, i: usize) -> Prefix {
    let prefix = match family {
        4 => Prefix::new(Ipv4Addr::from(0x1000_0000 + ((i as u32) << 8)).into(), 24),
        _ => {
            let address = (0x2001_0db8_u128 << 96) | ((i as u128) << 64);
            Prefix::new(Ipv6Addr::from(address).into(), 64)
        }
    };
    prefix.expect("prefix")
}

fn gateway(family: u8, n: u16) -> IpAddr {
    match family {
        4 => Ipv4Addr::from(0xc000_0200 + u32::from(n)).into(),
        _ => Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(n)).into(),
    }
}

/// A route by next hop 1 on p0 and `others` on p1.
fn route(family: u8, others: &[u16]) -> Route {
    let hop = |n: u16, ifindex| Hop {
        gateway: Some(gateway(family, n)),
        ifindex,
        onlink: false,
        encap: false,
    };
    let others = others.iter().map(|&n| (hop(n, P1), 1));
    Route {
        kind: RouteKind::Unicast,
        protocol: 186,
        via: Via::Hops(std::iter::once((hop(1, P0), 1)).chain(others).collect()),
        prefsrc: None,
        mtu: 0,
    }
}

impl Flat {
    fn new(family: u8, tables: Tables, others: u16) -> Self {
        let mut config = config();
        // 64 buckets, whatever the number of members.
        config.resilient.weight_error = 1_000_000;
        let writes = Arc::new(AtomicUsize::new(0));
        let counted = || Counted {
            lpm: NaiveLpm::new(),
            writes: Arc::clone(&writes),
        };
        let mut lab = Lab::over(&config, tables, counted, Instant::now);
        lab.connect();
        lab.link(P0, "p0", true);
        lab.link(P1, "p1", true);
        let mut flat = Flat {
            lab,
            family,
            writes,
        };
        flat.up(true);
        for n in 2..2 + others {
            let address = gateway(family, n).to_string();
            flat.lab
                .neighbor(P1, &address, NeighborState::Reachable, n as u8);
        }
        flat
    }

    /// `count` prefixes over two next hops: one group.
    pub fn prefixes(family: u8, count: usize) -> Self {
        let mut flat = Flat::new(family, Tables::new(64, 65_536, 64), 1);
        let mut batch = Batch::default();
        for i in 0..count {
            batch.put(Message::Route(prefix(family, i), route(family, &[2])));
        }
        flat.lab.batch(batch);
        flat
    }

    /// `count` prefixes over the next hop that dies and two others each, no two alike.
    pub fn groups(family: u8, count: usize) -> Self {
        let mut flat = Flat::new(family, Tables::new(16_384, 1 << 20, 1024), OTHERS);
        let pairs = (2..2 + OTHERS).flat_map(|a| (a + 1..2 + OTHERS).map(move |b| [a, b]));
        let mut batch = Batch::default();
        for (i, pair) in pairs.take(count).enumerate() {
            batch.put(Message::Route(prefix(family, i), route(family, &pair)));
        }
        flat.lab.batch(batch);
        flat
    }

    /// News of the next hop on p0.
    pub fn news(&self, up: bool) -> Event {
        let neighbor = Neighbor {
            ifindex: P0,
            address: gateway(self.family, 1),
            mac: up.then_some([2, 0, 0, 0, 0, 1]),
            state: [NeighborState::Failed, NeighborState::Reachable][usize::from(up)],
            zebra: false,
        };
        Event::Neighbor(neighbor, self.lab.noticed())
    }

    /// The next hop on p0 dies or returns.
    pub fn up(&mut self, up: bool) {
        let news = self.news(up);
        self.lab.event(news);
    }

    /// The same; how long control took over it, all in all.
    pub fn timed(&mut self, up: bool) -> Duration {
        let news = self.news(up);
        let Lab {
            control, view, now, ..
        } = &mut self.lab;
        let begin = Instant::now();
        view.offline(|| control.handle(news, *now));
        begin.elapsed()
    }

    /// How many times prefixes were written in `change`, in both copies of the lookup.
    pub fn writes(&mut self, change: impl FnOnce(&mut Self)) -> usize {
        let before = self.writes.load(Ordering::Relaxed);
        change(self);
        self.writes.load(Ordering::Relaxed) - before
    }

    /// An address of prefix number `i`.
    pub fn address(&self, i: usize) -> IpAddr {
        ip(&prefix(self.family, i).address().to_string())
    }
}

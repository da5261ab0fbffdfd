//! What news of a link or a neighbor costs does not depend on how many prefixes there are: counted in
//! prefixes that control looks at, in every state in which it might look at all of them.

use crate::lab;
use crate::lab::{Lab, P0, P1};
use control::api::message::Drain;
use control::api::{Reply, Request};
use control::config::Config;
use control::event::{Action, Event, Link, Neighbor, NeighborState};
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};
use control::prefix::Prefix;
use control::warm::image::{Image, with_head};
use fastpath::table::Tables;
use std::net::Ipv4Addr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// At most so many routes are worked on before other events get their turn.
const SLICE: u64 = 4096;
/// Where p0 is after its netdev has come back.
const AGAIN: u32 = 33;

fn prefix(i: usize) -> Prefix {
    Prefix::new(Ipv4Addr::from(0x1000_0000 + ((i as u32) << 8)).into(), 24).expect("prefix")
}

fn gateway(n: u8) -> String {
    format!("192.0.2.{n}")
}

/// A router with `count` prefixes.
struct Bench {
    lab: Lab,
    count: usize,
    /// What each piece of news cost.
    cost: Vec<(&'static str, u64)>,
}

impl Bench {
    fn new(config: &Config, count: usize) -> Self {
        Bench {
            lab: Lab::sized(config, Tables::new(64, 65_536, 64)),
            count,
            cost: Vec::new(),
        }
    }

    /// Some of the prefixes by these next hops, or by none any more; number 1 is on p0.
    fn say(&mut self, which: std::ops::Range<usize>, hops: &[u8]) {
        let hop = |n: u8| Hop {
            gateway: Some(lab::ip(&gateway(n))),
            ifindex: if n == 1 { P0 } else { P1 },
            onlink: false,
            encap: false,
        };
        let mut batch = Batch::default();
        for i in which {
            let route = Route {
                kind: RouteKind::Unicast,
                protocol: 186,
                via: Via::Hops(hops.iter().map(|n| (hop(*n), 1)).collect()),
                prefsrc: None,
                mtu: 0,
            };
            batch.put(match hops {
                [] => Message::DelRoute(prefix(i)),
                _ => Message::Route(prefix(i), route),
            });
        }
        self.lab.batch(batch);
    }

    fn link(&self, ifindex: u32, carrier: bool) -> Event {
        let link = Link {
            ifindex,
            name: if ifindex == P1 { "p1" } else { "p0" }.into(),
            mac: Some([2, 0, 0, 0, 0xff, ifindex as u8]),
            mtu: 1500,
            admin_up: true,
            carrier,
        };
        Event::Link(link, self.lab.noticed())
    }

    fn neighbor(&self, ifindex: u32, n: u8, state: NeighborState) -> Event {
        let neighbor = Neighbor {
            ifindex,
            address: lab::ip(&gateway(n)),
            mac: Some([2, 0, 0, 0, 0, n]).filter(|_| state.is_usable()),
            state,
            zebra: false,
        };
        Event::Neighbor(neighbor, self.lab.noticed())
    }

    /// Handles `news`, and what is due after it, no more than a slice of all prefixes at once.
    fn hears(&mut self, what: &'static str, news: Event) {
        let Lab {
            control, view, now, ..
        } = &mut self.lab;
        let before = control.looks();
        view.offline(|| control.handle(news, *now));
        self.cost.push((what, control.looks() - before));
        while control.next_deadline().is_some_and(|at| at <= *now) {
            let before = control.looks();
            view.offline(|| control.tick(*now));
            let looks = control.looks() - before;
            assert!(looks <= 2 * SLICE, "{what}: {looks} looks at once");
        }
    }

    /// Time in which zebra's resync ends, and what is to be kept is.
    fn rests(&mut self) {
        self.lab.now += 10 * SECOND;
        let Lab {
            control, view, now, ..
        } = &mut self.lab;
        while control.next_deadline().is_some_and(|at| at <= *now) {
            view.offline(|| control.tick(*now));
        }
    }

    /// The operator spares next hop 2, or no longer.
    fn drain(&mut self, back: bool) {
        let drain = Drain {
            nexthop: lab::ip(&gateway(2)),
            port: None,
            back,
            over: 600,
            force: false,
            dry_run: false,
        };
        let (control, now) = (&mut self.lab.control, self.lab.now);
        let request = Request::Drain(drain);
        let reply = self.lab.view.offline(|| control.answer(&request, now));
        assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
    }

    /// Everything that links and neighbors can say.
    fn hears_all(&mut self) {
        use NeighborState::{Failed, Reachable};
        self.hears("p0 down", self.link(P0, false));
        self.hears("p0 up", self.link(P0, true));
        self.hears("1 failed", self.neighbor(P0, 1, Failed));
        self.hears("1 back", self.neighbor(P0, 1, Reachable));
        let (address, noticed) = (lab::ip(&gateway(1)), self.lab.noticed());
        let gone = Event::NeighborGone {
            ifindex: P0,
            address,
            noticed,
        };
        self.hears("1 gone", gone);
        self.hears("1 there", self.neighbor(P0, 1, Reachable));
        self.hears("p1 down", self.link(P1, false));
        self.hears("p1 up", self.link(P1, true));
    }

    /// Half of the prefixes with another history than the others: two tables of one set.
    fn lives(&mut self) {
        self.lab.connect();
        self.arrives();
        let (half, count) = (self.count.div_ceil(2), self.count);
        self.say(0..count, &[1, 2]);
        self.say(half..count, &[1, 2, 3]);
        self.say(half..count, &[1, 2]);
    }

    fn arrives(&mut self) {
        use NeighborState::Reachable;
        self.hears("p0 comes", self.link(P0, true));
        self.hears("p1 comes", self.link(P1, true));
        self.hears("1 comes", self.neighbor(P0, 1, Reachable));
        self.hears("2 comes", self.neighbor(P1, 2, Reachable));
        self.hears("3 comes", self.neighbor(P1, 3, Reachable));
    }

    fn ways(&self) -> Vec<Vec<Option<fastpath::table::PortId>>> {
        let last = self.count - 1;
        let address = |i: usize| prefix(i).address().to_string();
        [0, last].map(|i| self.lab.ports(&address(i))).into()
    }
}

/// What all this costs with so many prefixes.
fn costs(count: usize) -> Vec<(&'static str, u64)> {
    let config = lab::config();
    let mut first = Bench::new(&config, count);
    first.lives();
    first.lab.pass(20 * SECOND);
    first.hears_all();
    let ways = first.ways();
    let image = first.lab.control.image(first.lab.now);
    let tables = image.tables.len();
    assert_eq!(tables, 1 + usize::from(count > 1), "two histories");

    // Routes are there before links and neighbors are: tables are taken up when these come.
    let mut next = Bench::new(&config, count);
    next.lab.control.keep_tables();
    let image = Image::read(&with_head(&image.body())).expect("an image");
    next.lab.control.resume(&image, next.lab.now);
    next.lab.connect();
    next.say(0..count, &[1, 2]);
    next.arrives();
    assert_eq!(next.ways(), ways, "{count}: the same flows");
    next.hears_all();
    assert_eq!(next.ways(), ways, "{count}: the same flows again");
    next.rests();
    // The netdev of p0 goes and comes back as another one.
    let noticed = next.lab.noticed();
    let gone = Event::LinkGone {
        ifindex: P0,
        noticed,
    };
    next.hears("p0 gone", gone);
    next.hears("p0 again", next.link(AGAIN, true));
    next.hears("p0 gone again", {
        let noticed = next.lab.noticed();
        Event::LinkGone {
            ifindex: AGAIN,
            noticed,
        }
    });
    next.hears("p0 as before", next.link(P0, true));
    next.hears("1 resolved", {
        next.neighbor(P0, 1, NeighborState::Reachable)
    });
    // Tables are kept while news comes.
    next.rests();
    next.lab.control.actions().for_each(drop);
    next.drain(false);
    next.lab.now += 10 * SECOND;
    next.hears_all();
    next.drain(true);
    let kept = next.lab.control.actions();
    let kept = kept.filter(|a| matches!(a, Action::Keep(_))).count();
    assert_eq!(kept, 1, "{count}");
    // bgpd restarts: all routes are kept without zebra's word.
    next.say(0..count, &[]);
    next.lab.pass(SECOND);
    next.hears("1 failed, kept", {
        next.neighbor(P0, 1, NeighborState::Failed)
    });
    next.hears("1 back, kept", {
        next.neighbor(P0, 1, NeighborState::Reachable)
    });
    next.hears("p1 down, kept", next.link(P1, false));
    next.hears("p1 up, kept", next.link(P1, true));
    first.cost.extend(next.cost);
    first.cost
}

#[test]
fn news_costs_the_same_however_many_prefixes_there_are() {
    let many = costs(100);
    for count in [1_000, 20_000] {
        assert_eq!(costs(count), many, "{count} prefixes");
    }
    // A handful of routes that zebra waits for is told at once.
    for (one, hundred) in costs(1).iter().zip(&many) {
        assert!(one.1.abs_diff(hundred.1) <= 1, "{one:?} {hundred:?}");
    }
}

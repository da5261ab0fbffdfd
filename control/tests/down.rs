//! The down mask: workers avoid a dead port before control knows, and until it does.

use crate::lab::zebra::{hop, route, say};
use crate::lab::{Lab, P0, P1, prefix};
use control::event::{Event, Link};
use control::fpm::decode::{Message, Via};
use fastpath::table::PortId;
use std::collections::BTreeMap;

/// A default route by both leaves.
fn lab() -> Lab {
    let mut lab = Lab::dpu();
    let both = [(hop("169.254.0.0", P0), 1), (hop("169.254.0.2", P1), 1)].into();
    let to = Message::Route(prefix("0.0.0.0/0"), route(186, Via::Hops(both)));
    say(&mut lab, vec![to]);
    lab
}

/// All flows leave by up2.
fn up2() -> BTreeMap<Option<u16>, usize> {
    [(Some(1), 64)].into()
}

/// Carrier of p0 as its netdev tells it, at once or behind other news.
fn p0(lab: &Lab, carrier: bool) -> Event {
    let link = Link {
        ifindex: P0,
        name: "p0".into(),
        mac: Some([2, 0, 0, 0, 0xff, P0 as u8]),
        mtu: 1500,
        admin_up: true,
        carrier,
    };
    Event::Link(link, lab.noticed())
}

fn reported(report: u32) -> Event {
    let port = PortId(0);
    Event::PortReported { port, report }
}

#[test]
fn a_bit_set_by_who_saw_it_first_is_cleared_after_the_repair() {
    let mut lab = lab();
    let report = lab.tables.down.set_port(PortId(0));
    assert_eq!(lab.spread("203.0.113.1"), up2(), "before control knows");
    let early = lab.ports("203.0.113.1");
    let (down, now) = (p0(&lab, false), lab.now);
    lab.view.offline(|| lab.control.handle(down, now));
    assert_eq!(lab.ports("203.0.113.1"), early);
    lab.event(reported(report));
    assert_eq!(lab.ports("203.0.113.1"), early);
    // Noticed twice, by netlink and by interrupt.
    let report = lab.tables.down.set_port(PortId(0));
    let noticed = lab.noticed();
    let interrupt = Event::PortCarrier {
        port: PortId(0),
        up: false,
        noticed,
    };
    lab.view.offline(|| lab.control.handle(interrupt, now));
    lab.event(reported(report));
}

#[test]
fn older_news_do_not_give_packets_to_a_dead_port() {
    let mut lab = lab();
    let (before, now) = (lab.ports("203.0.113.1"), lab.now);
    // Died, returned, was given another MTU and died again before control came to any of it.
    let first = lab.tables.down.set_port(PortId(0));
    let second = lab.tables.down.set_port(PortId(0));
    let queue = [
        p0(&lab, false),
        reported(first),
        p0(&lab, true),
        p0(&lab, true),
        p0(&lab, false),
    ];
    for event in queue {
        lab.view.offline(|| lab.control.handle(event, now));
        assert_eq!(lab.spread("203.0.113.1"), up2());
        assert!(lab.tables.down.port(PortId(0)));
    }
    lab.event(reported(second));
    assert_eq!(lab.spread("203.0.113.1"), up2());
    lab.link(P0, "p0", true);
    assert_eq!(lab.ports("203.0.113.1"), before);
}

//! Marks on equals marks off, bit for bit: two routers get the same packets and the same routes, one of
//! them from a NIC that marks by rules which come and go later than routes do, and lies now and then.

mod support;

use fastpath::software::heap::HeapFrame;
use fastpath::table::stats::Snapshot;
use fastpath::table::{GroupId, LpmWrite, Marks, View};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use support::packet::{V4, V6, frame};
use support::random::Random;
use support::{Options, PORTS, ROUTES, Router, neighbor_mac, port_mac};

const SLOTS: u32 = 8;

type Prefix = (IpAddr, u8);

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)) << 96,
        IpAddr::V6(a) => a.into(),
    }
}

fn contains(outer: Prefix, inner: Prefix) -> bool {
    let mask = !u128::MAX.checked_shr(outer.1.into()).unwrap_or(0);
    outer.0.is_ipv4() == inner.0.is_ipv4()
        && outer.1 <= inner.1
        && bits(inner.0) & mask == bits(outer.0)
}

/// Few prefixes, many of which lie in others.
fn prefix(random: &mut Random) -> Prefix {
    let length = [8, 12, 16, 20, 24, 28, 32][random.below(7)];
    let two = |random: &mut Random| random.below(2) as u32;
    if random.below(2) == 0 {
        let (a, b, c, d) = (two(random), two(random), two(random), two(random));
        let address = 10 << 24 | a << 20 | b << 16 | c << 12 | d << 8 | a << 4 | b;
        let mask = u32::MAX << (32 - length);
        (Ipv4Addr::from(address & mask).into(), length)
    } else {
        let length = length * 2;
        let low = (0..8).fold(0_u128, |n, _| n << 8 | u128::from(two(random)));
        let address = 0x2001_0db8 << 96 | low << 56;
        let mask = u128::MAX << (128 - length);
        (Ipv6Addr::from(address & mask).into(), length)
    }
}

fn destination(random: &mut Random, routes: &BTreeMap<Prefix, GroupId>) -> IpAddr {
    let (address, length) = match routes.keys().nth(random.below(routes.len().max(1))) {
        Some(known) if random.below(8) != 0 => *known,
        _ => prefix(random),
    };
    let anywhere = u128::from(random.next()) << 64 | u128::from(random.next());
    let host = anywhere & u128::MAX.checked_shr(length.into()).unwrap_or(0);
    match address {
        IpAddr::V4(_) => Ipv4Addr::from(((bits(address) | host) >> 96) as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(bits(address) | host).into(),
    }
}

fn packet(random: &mut Random, to: IpAddr, port: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..20).map(|_| random.next() as u8).collect();
    let (ethertype, packet) = match to {
        IpAddr::V4(destination) => {
            let packet = V4 {
                tos: 0,
                id: random.next() as u16,
                fragment_word: [0, 0, 0, 0x2000, 0x0010][random.below(5)],
                ttl: [64, 64, 1][random.below(3)],
                protocol: [6, 17, 47][random.below(3)],
                source: Ipv4Addr::from(0x0a00_0000 | random.next() as u32 >> 8),
                destination,
                options: Vec::new(),
                payload,
            };
            (0x0800, packet.bytes())
        }
        IpAddr::V6(destination) => {
            let packet = V6 {
                label: 7,
                next_header: 17,
                hop_limit: 64,
                source: "2001:db8::77".parse().unwrap(),
                destination,
                payload,
            };
            (0x86dd, packet.bytes())
        }
    };
    frame(port_mac(port), neighbor_mac(port), &[], ethertype, &packet)
}

/// As control does it: one slot a prefix that has no longer one in it.
#[derive(Default)]
struct Book {
    routes: BTreeMap<Prefix, GroupId>,
    slots: BTreeMap<u32, (Prefix, u32)>,
    generation: u64,
}

fn change(view: &mut View<impl LpmWrite>, (address, length): Prefix, group: Option<GroupId>) {
    let done = match (address, group) {
        (IpAddr::V4(a), Some(group)) => view.lpm.upsert4(a, length, group).is_ok(),
        (IpAddr::V6(a), Some(group)) => view.lpm.upsert6(a, length, group).is_ok(),
        (IpAddr::V4(a), None) => view.lpm.remove4(a, length).is_ok(),
        (IpAddr::V6(a), None) => view.lpm.remove6(a, length).is_ok(),
    };
    assert!(done, "{address}/{length}");
}

/// Without what is another's by design: how often the lookup was skipped.
fn alike(mut counters: Snapshot) -> Snapshot {
    counters.marked = 0;
    counters
}

/// How many lookups were skipped, and how many were not though there was a mark.
fn history(seed: u64, steps: usize, lies: bool) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut with, mut without) = (
        Router::new(Options::default()),
        Router::new(Options::default()),
    );
    with.update(|view| view.marks = Marks::new(SLOTS as usize));
    let marks = Marks::new(SLOTS as usize);
    let mut book = Book::default();
    for (address, length, group) in ROUTES {
        let route = (address.parse().unwrap(), length);
        book.routes.insert(route, GroupId(group));
    }
    // What the NIC has: behind what software has.
    let mut rules: Vec<(Prefix, u32)> = Vec::new();
    let (mut put, mut marked) = (0, 0);
    for _ in 0..steps {
        match random.below(4) {
            0 | 1 => {
                let route = prefix(&mut random);
                let group = GroupId(1 + random.below(12) as u32);
                let group = (random.below(3) != 0).then_some(group);
                match group {
                    Some(group) => book.routes.insert(route, group),
                    None => book.routes.remove(&route),
                };
                let over = |slot: &(Prefix, u32)| contains(slot.0, route);
                let gone = book.slots.iter().filter(|(_, s)| over(s));
                let gone: Vec<u32> = gone.map(|(slot, _)| *slot).collect();
                book.slots.retain(|slot, _| !gone.contains(slot));
                with.update(|view| {
                    change(view, route, group);
                    gone.iter().for_each(|slot| view.marks.clear(*slot));
                });
                without.update(|view| change(view, route, group));
            }
            2 => {
                let slot = random.below(SLOTS as usize) as u32;
                let leaf = |p: &Prefix| !book.routes.keys().any(|q| q != p && contains(*p, *q));
                let leaves: Vec<Prefix> = book.routes.keys().copied().filter(leaf).collect();
                let taken = leaves[random.below(leaves.len())];
                book.generation += 1;
                let mark = marks.mark(slot, book.generation);
                let group = book.routes[&taken];
                book.slots.insert(slot, (taken, mark));
                with.update(|view| view.marks.set(mark, taken.0, taken.1, group));
                rules.push((taken, mark));
            }
            _ => {
                // Late, and in any order.
                if !rules.is_empty() {
                    rules.remove(random.below(rules.len()));
                }
            }
        }
        for _ in 0..random.below(6) {
            let port = random.below(PORTS);
            let to = match rules.len() {
                0 => destination(&mut random, &book.routes),
                n if random.below(2) == 0 => {
                    let (prefix, _) = rules[n - 1 - random.below(n.min(12))];
                    let under = BTreeMap::from([(prefix, GroupId::NONE)]);
                    destination(&mut random, &under)
                }
                _ => destination(&mut random, &book.routes),
            };
            let bytes = packet(&mut random, to, port);
            let mut frame = HeapFrame::new(&bytes);
            let length = if to.is_ipv4() { 32 } else { 128 };
            let hit = rules.iter().find(|(p, _)| contains(*p, (to, length)));
            let lie = lies && random.below(4) == 0;
            let told = match (lie, hit) {
                (true, _) if random.below(2) == 0 => Some(random.next() as u32),
                (true, _) => rules.first().map(|rule| rule.1),
                (false, hit) => hit.map(|rule| rule.1),
            };
            if let Some(mark) = told {
                frame = frame.with_mark(mark);
                marked += 1;
            }
            put += 1;
            with.rx[port].put_frame(frame);
            without.rx[port].put(&bytes);
        }
        assert_eq!(with.settle(), without.settle(), "seed {seed}");
        let (a, b) = (with.counters(), without.counters());
        assert_eq!(alike(a), alike(b), "seed {seed}, {put} packets");
        while with.gleans.pop().is_some() {}
        while without.gleans.pop().is_some() {}
    }
    assert_eq!(without.counters().marked, 0);
    let skipped = with.counters().marked;
    assert!(skipped <= marked);
    (skipped, marked - skipped)
}

#[test]
fn marks_on_is_marks_off_bit_for_bit() {
    let (mut skipped, mut looked_up) = (0, 0);
    for seed in 0..24 {
        let found = history(seed, 300, false);
        skipped += found.0;
        looked_up += found.1;
    }
    // Both happen, and often: else nothing was tried.
    assert!(skipped > 2000, "{skipped} lookups skipped");
    assert!(looked_up > 3000, "{looked_up} stale marks looked up");
}

#[test]
fn nobody_s_word_is_taken() {
    let (mut skipped, mut looked_up) = (0, 0);
    for seed in 100..120 {
        let found = history(seed, 300, true);
        skipped += found.0;
        looked_up += found.1;
    }
    assert!(skipped > 1000 && looked_up > 4000, "{skipped}, {looked_up}");
}

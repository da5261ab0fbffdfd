//! Rules of rte_flow's first API through the real entry points: packets are spread over the queues as our
//! hash says, and marked, or the driver refuses and says why.

mod support;

use fastpath::dpdk::{
    MARK_NO_ROOM, Mbuf, Pool, PoolOptions, Port, PortOptions, RssAlgorithm, RssOptions, Rules,
    RxQueue, SpreadBy, TxQueue,
};
use fastpath::hardware::Error;
use fastpath::hash::{Algorithm, Choice, Field, Fields, FlowKey, Settings, Tuple};
use fastpath::software::burst::{Burst, Frame, RxQueue as _};
use std::net::IpAddr;
use support::{open, send};

const QUEUES: u16 = 4;

/// Toeplitz over addresses and, with `ports`, ports.
fn settings(seed: u32, symmetric: bool, ports: bool) -> Settings {
    let mut fields = Fields::EMPTY
        .with(Field::SourceIp, true)
        .with(Field::DestinationIp, true);
    for field in [Field::SourcePort, Field::DestinationPort] {
        fields = fields.with(field, ports);
    }
    Settings::new(Choice {
        fields,
        symmetric,
        seed,
        algorithm: Algorithm::Toeplitz,
    })
}

fn options(settings: &Settings) -> RssOptions {
    let rss = settings.rss().unwrap();
    RssOptions {
        key: rss.key,
        ports: rss.source_port,
        algorithm: match rss.sorted {
            true => RssAlgorithm::SortedToeplitz,
            false => RssAlgorithm::Toeplitz,
        },
    }
}

fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// A frame of the flow, and what is hashed of it.
fn frame(n: u32, protocol: u8) -> (Vec<u8>, FlowKey) {
    let (sport, dport) = (1000 + n as u16 * 7, 80 + (n % 5) as u16);
    let ports = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    let mut key = Tuple {
        v6: n % 2 == 1,
        protocol,
        ..Tuple::default()
    };
    if matches!(protocol, 6 | 17) {
        (key.sport, key.dport) = (sport, dport);
    }
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if key.v6 {
        let (src, dst) = (
            [0xfd, 1, n as u8].to_vec(),
            [0x20, 1, 0xd, 0xb8, n as u8 % 16],
        );
        key.src[..3].copy_from_slice(&src);
        key.dst[..5].copy_from_slice(&dst);
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, protocol, 64]);
        bytes.extend(key.src);
        bytes.extend(key.dst);
    } else {
        let (src, dst) = ([172, 16, 0, n as u8], [10, n as u8 % 16, 0, 9]);
        key.src[12..].copy_from_slice(&src);
        key.dst[12..].copy_from_slice(&dst);
        let mut header = vec![0x45, 0, 0, 44, 0, 1, 0, 0, 64, protocol, 0, 0];
        header.extend(src);
        header.extend(dst);
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        bytes.extend([8, 0]);
        bytes.extend(header);
    }
    bytes.extend(&ports);
    bytes.extend([0, 24, 0, 0]);
    // A whole TCP header, or what is in UDP.
    bytes.extend([0x50; 16]);
    let key = FlowKey {
        outer: key,
        ..FlowKey::default()
    };
    (bytes, key)
}

/// By which queue a frame came, and with which mark.
fn found(queues: &mut [RxQueue<'_>]) -> Vec<(usize, Option<u32>)> {
    let mut all = Vec::new();
    for (n, queue) in queues.iter_mut().enumerate() {
        let mut burst: Burst<Mbuf> = Burst::new();
        queue.poll(&mut burst);
        all.extend(burst.iter().map(|frame| (n, frame.mark())));
    }
    all
}

struct World<'q> {
    pool: &'q Pool<'q>,
    queues: Vec<RxQueue<'q>>,
    wire: TxQueue<'q>,
}

impl World<'_> {
    fn through(&mut self, bytes: &[u8]) -> (usize, Option<u32>) {
        send(self.pool, &mut self.wire, &[bytes.to_vec()]);
        let all = found(&mut self.queues);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }

    /// All flows, as `settings` spread them; how many took each queue.
    fn is_spread(&mut self, settings: &Settings, marked: impl Fn(&FlowKey) -> Option<u32>) {
        let mut counts = [0; QUEUES as usize];
        for n in 0..200 {
            for protocol in [17, 6] {
                let (bytes, key) = frame(n, protocol);
                let queue = settings.hash(&key) as usize % usize::from(QUEUES);
                assert_eq!(self.through(&bytes), (queue, marked(&key)), "{key:?}");
                counts[queue] += 1;
            }
            // Of what has no ports the addresses.
            let (bytes, key) = frame(n, 47);
            let (queue, mark) = self.through(&bytes);
            let addresses = super_settings(settings);
            let expected = addresses.hash(&key) as usize % usize::from(QUEUES);
            assert_eq!((queue, mark), (expected, marked(&key)), "{key:?}");
        }
        assert!(counts.iter().all(|n| *n > 40), "{counts:?}");
    }
}

/// The same without ports.
fn super_settings(settings: &Settings) -> Settings {
    let choice = settings.choice();
    let off = [Field::SourcePort, Field::DestinationPort];
    let fields = off.iter().fold(choice.fields, |f, p| f.with(*p, false));
    Settings::new(Choice { fields, ..choice })
}

fn ports<'p>(pool: &'p Pool<'p>, n: u8, arguments: &str) -> (Port<'p>, Port<'p>) {
    let device = format!("net_evenpath_sim{n},profile=cx7,mode=nic{arguments}");
    let near = PortOptions {
        rx_queues: QUEUES,
        ..PortOptions::new(format!("near{n}"), device)
    };
    let mut near = Port::open(pool, &near, None).unwrap();
    let device = format!("net_evenpath_wire{n},of=net_evenpath_sim{n}");
    let mut far = open(pool, format!("far{n}"), device, None);
    near.start().unwrap();
    far.start().unwrap();
    (near, far)
}

fn spread_and_marked(pool: &Pool<'_>) {
    let (near, far) = ports(pool, 0, "");
    let mut world = World {
        pool,
        queues: near.queues().unwrap().0,
        wire: far.queues().unwrap().1.remove(0),
    };
    let mut rules = Rules::new(&near).unwrap();
    assert!(Rules::new(&near).is_err(), "they are somebody's");
    let nobody = |_: &FlowKey| None;
    for (seed, symmetric, with_ports) in [(1, false, true), (2, true, true), (3, true, false)] {
        let settings = settings(seed, symmetric, with_ports);
        let by = rules.spread(&options(&settings)).unwrap();
        let expected = match symmetric {
            // mlx5 refuses the other name of it.
            true => SpreadBy::Symmetric,
            false => SpreadBy::Toeplitz,
        };
        assert_eq!(by, expected);
        world.is_spread(&settings, nobody);
    }
    let four: IpAddr = "10.3.0.0".parse().unwrap();
    let six: IpAddr = "2001:db8:500::".parse().unwrap();
    rules.mark(77, four, 16).unwrap();
    rules.mark(0xff_ffef, six, 40).unwrap();
    let marked = |key: &FlowKey| match (key.outer.v6, key.outer.dst) {
        (false, dst) if dst[13] == 3 => Some(77),
        (true, dst) if dst[4] == 5 => Some(0xff_ffef),
        _ => None,
    };
    // The last one in force still.
    world.is_spread(&settings(3, true, false), marked);
    // Marks are there still, spread by the new one.
    let other = settings(4, false, true);
    rules.spread(&options(&other)).unwrap();
    world.is_spread(&other, marked);
    assert_eq!(rules.marked(), 2);
    rules.unmark(77);
    world.is_spread(&other, |key| marked(key).filter(|m| *m != 77));
    let beyond = rules.mark(0xff_fff0, four, 16).unwrap_err();
    assert_eq!(beyond.errno, Error::INVALID, "beyond what mlx5 has");
    drop(rules);
    for n in 0..20 {
        assert_eq!(world.through(&frame(n, 17).0), (0, None), "no rule is left");
    }
    // And somebody else may have them.
    drop(Rules::new(&near).unwrap());
}

/// What a NIC refuses, and what goes on then.
fn refused(pool: &Pool<'_>) {
    let file = std::env::temp_dir().join(format!("evenpath-rules-{}", std::process::id()));
    let says = |text: &str| std::fs::write(&file, text).unwrap();
    says("no-mark=1");
    let (near, far) = ports(pool, 1, &format!(",faults={}", file.display()));
    let mut world = World {
        pool,
        queues: near.queues().unwrap().0,
        wire: far.queues().unwrap().1.remove(0),
    };
    let mut rules = Rules::new(&near).unwrap();
    let one = settings(9, true, true);
    rules.spread(&options(&one)).unwrap();
    let to = |n: u8| IpAddr::from([10, n, 0, 0]);
    let refused = rules.mark(1, to(1), 16).unwrap_err();
    assert_eq!(refused.errno, Error::NOT_SUPPORTED);
    assert_eq!(
        refused.to_string(),
        "rule: MARK is not supported (errno 95)"
    );
    // Two rules spread, three mark: of so many a NIC has room.
    says("rules=5");
    for n in 1..4 {
        rules.mark(n.into(), to(n), 16).unwrap();
    }
    let full = rules.mark(4, to(4), 16).unwrap_err();
    assert_eq!(full.errno, MARK_NO_ROOM);
    rules.unmark(2);
    rules.mark(4, to(4), 16).unwrap();
    let marked = |key: &FlowKey| match key.outer.dst[13] {
        n @ (1 | 3 | 4) if !key.outer.v6 => Some(u32::from(n)),
        _ => None,
    };
    world.is_spread(&one, marked);
    // Spread anew there is room for no more.
    let other = settings(10, true, true);
    says("rules=1");
    let none = rules.spread(&options(&other));
    // One rule for all packets is what is left of the forms, and mlx5 has no such rule.
    assert!(none.is_err() || rules.marked() == 0, "{none:?}");
    says("");
    rules.spread(&options(&other)).unwrap();
    rules.mark(1, to(1), 16).unwrap();
    world.is_spread(&other, |key| marked(key).filter(|m| *m == 1));
    // What fails late is not in, and can be tried again.
    says("late=1");
    assert_eq!(rules.mark(3, to(3), 16).unwrap_err().errno, Error::IO);
    world.is_spread(&other, |key| marked(key).filter(|m| *m == 1));
    says("");
    rules.mark(3, to(3), 16).unwrap();
    world.is_spread(&other, |key| marked(key).filter(|m| [1, 3].contains(m)));
    std::fs::remove_file(&file).unwrap();
}

/// A device without rte_flow says so.
fn unknown(pool: &Pool<'_>) {
    let mut null = open(pool, "null", "net_null0", None);
    null.start().unwrap();
    let mut rules = Rules::new(&null).unwrap();
    let refused = rules
        .spread(&options(&settings(1, true, true)))
        .unwrap_err();
    let said = "rule: Function not implemented (errno 38)";
    assert_eq!(refused.to_string(), said);
    let refused = rules.mark(1, [10, 0, 0, 0].into(), 8).unwrap_err();
    assert_eq!(refused.errno, 38);
}

#[test]
fn rules_of_the_first_api() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    unknown(&pool);
    spread_and_marked(&pool);
    refused(&pool);
}

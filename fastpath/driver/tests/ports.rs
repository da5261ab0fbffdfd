//! What ports of the driver refuse before anything is programmed, and what is said of ports whose NIC
//! is asked for nothing.

mod support;

use fastpath::dpdk::{FlowOptions, Hairpins, Pool, PoolOptions, Port, PortOptions, probe};
use fastpath::table::PortId;
use support::open;

fn hairpins(count: u16) -> Option<FlowOptions> {
    Some(FlowOptions {
        hairpins: count,
        ..FlowOptions::default()
    })
}

/// Hairpin queues: where there are none, of another number, too early, and of other ports.
fn hairpin_order(pool: &Pool<'_>) {
    let switchdev = PortOptions {
        flow: hairpins(2),
        ..PortOptions::new("s", "net_evenpath_sim8,profile=bf3")
    };
    let port = PortOptions {
        rx_queues: 3,
        ..switchdev
    };
    let refused = Port::open(pool, &port, None).unwrap_err().to_string();
    assert!(refused.contains("5 rx queues (at most 4)"), "{refused}");

    let device = |n| format!("net_evenpath_sim{n},profile=bf3,mode=nic");
    let mut a = open(pool, "a", device(0), hairpins(4));
    let mut b = open(pool, "b", device(1), hairpins(4));
    let (one, other) = (PortId(3), PortId(4));
    let wrong = Hairpins::set_up(&[(one, &a), (other, &b)], 1).unwrap_err();
    assert!(wrong.to_string().contains("not the number"), "{wrong}");
    let pairs = Hairpins::set_up(&[(one, &a), (other, &b)], 2).unwrap();
    assert_eq!(pairs.of(one).len(), 4);
    a.start().unwrap();
    let early = pairs.bind(&[(one, &a), (other, &b)]).unwrap_err();
    assert!(early.to_string().contains("not started"), "{early}");
    let late = Hairpins::set_up(&[(one, &a), (other, &b)], 2).unwrap_err();
    assert!(late.to_string().contains("or late"), "{late}");
    b.start().unwrap();
    let other_way = pairs.bind(&[(one, &b), (other, &a)]).unwrap_err();
    assert!(
        other_way.to_string().contains("not the ports"),
        "{other_way}"
    );
    let ports = [(one, &a), (other, &b)];
    let bound = pairs.bind(&ports).unwrap();
    // Once more is no mistake (v24.11 `mlx5_trigger.c:529`).
    drop(pairs.bind(&ports).unwrap());
    drop(bound);
    // All of them, again.
    drop(pairs.bind(&ports).unwrap());
    assert!(probe(&a).capabilities.hairpin);
}

/// What is not known is asked for nothing, and that is said.
fn unknown(pool: &Pool<'_>) {
    let mut null = open(pool, "null", "net_null0", None);
    null.start().unwrap();
    let probed = probe(&null);
    let can = &probed.capabilities;
    assert_eq!(
        (can.transfer, can.hairpin, can.index),
        (false, false, false)
    );
    assert_eq!((can.queues, can.depth, can.counters), (0, 0, 0));
    let why = "driver net_null: what its rte_flow means is not known";
    assert_eq!(probed.lacks.len(), 1);
    assert_eq!(
        (probed.lacks[0].what, &*probed.lacks[0].why),
        ("a hardware plane", why)
    );
    // Of a known one without a flow engine, or that is not started, too.
    let mut bare = open(pool, "bare", "net_evenpath_sim7", None);
    for _ in 0..2 {
        let probed = probe(&bare);
        assert!(!probed.capabilities.index && !probed.capabilities.transfer);
        assert!(
            probed.lacks[0].why.contains("not configured"),
            "{:?}",
            probed.lacks
        );
        if bare.start().is_err() {
            break;
        }
    }
}

/// In switchdev mode, each profile: what it lacks, and why.
fn reasons(pool: &Pool<'_>) {
    let definer = "both IPv6 addresses in one pattern";
    for (profile, lacks) in [
        ("cx6dx", vec!["hairpin queues", definer]),
        ("cx7", vec!["hairpin queues", definer]),
        ("bf3", vec!["hairpin queues"]),
    ] {
        let device = format!("net_evenpath_sim6,profile={profile}");
        let mut port = open(pool, "port", device, hairpins(0));
        port.start().unwrap();
        let probed = probe(&port);
        let what: Vec<_> = probed.lacks.iter().map(|lack| lack.what).collect();
        assert_eq!(what, lacks, "{profile}: {:?}", probed.lacks);
        assert!(probed.lacks.iter().all(|lack| !lack.why.is_empty()));
        // Nothing is left of it, and it can be asked again.
        assert_eq!(probe(&port), probed);
    }
}

#[test]
fn what_ports_refuse_and_lack() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    unknown(&pool);
    hairpin_order(&pool);
    reasons(&pool);
}

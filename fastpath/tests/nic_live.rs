//! The NIC's hash while settings change under running workers: what is compared, and that no packet
//! that has waited takes a value from before.

mod support;

use fastpath::hash::{Algorithm, Choice, Rss, Settings, toeplitz};
use fastpath::software::heap::HeapFrame;
use fastpath::software::hold::INTERVAL_NS;
use fastpath::table::stats::NicCompared;
use fastpath::table::{GroupId, LpmWrite, PortId};
use std::cell::Cell;
use support::packet::{V4, to_router, udp, v4, v6};
use support::{Options, Router};

thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

fn settings() -> Settings {
    Settings::new(Choice {
        algorithm: Algorithm::Toeplitz,
        seed: 7,
        ..Choice::default()
    })
}

fn router() -> Router {
    NOW.set(0);
    Router::new(Options {
        settings: settings(),
        holding: (64, || NOW.get()),
        ..Options::default()
    })
}

fn flow(to: &str, sport: u16) -> Vec<u8> {
    let packet = V4 {
        payload: udp(sport, 443, 10),
        ..v4("10.9.9.9", to)
    };
    to_router(1, &packet.bytes())
}

/// What a NIC programmed with `rss` tells with an IPv4 frame.
fn told(rss: &Rss, frame: &[u8]) -> u32 {
    let (mut src, mut dst) = (&frame[26..30], &frame[30..34]);
    let (mut sport, mut dport) = (&frame[34..36], &frame[36..38]);
    if rss.sorted && src > dst {
        (src, dst) = (dst, src);
    }
    if rss.sorted && sport > dport {
        (sport, dport) = (dport, sport);
    }
    toeplitz::hash(&rss.key, &[src, dst, sport, dport].concat())
}

#[test]
fn values_are_compared_where_they_would_be_taken() {
    let mut router = router();
    let (id, rss) = (settings().rss_id(), settings().rss().unwrap());
    router.update(|view| view.ports[1].nic_compare = id);
    let flows: Vec<_> = (0..40).map(|i| flow("10.244.1.10", 1000 + i)).collect();
    let plain = router.send(1, &flows);
    let stats = std::sync::Arc::clone(&router.stats);
    let compared = || stats.nic(PortId(1));
    assert_eq!(compared(), NicCompared::default(), "nothing was told");
    let mut send = |with: &dyn Fn(usize, &Vec<u8>) -> HeapFrame| {
        for (i, frame) in flows.iter().enumerate() {
            router.rx[1].put_frame(with(i, frame));
        }
        router.settle()
    };
    let right = send(&|_, f| HeapFrame::new(f).with_rss(told(&rss, f)));
    assert_eq!(
        compared(),
        NicCompared {
            alike: 40,
            other: 0
        }
    );
    let wrong = send(&|i, f| {
        let told = told(&rss, f);
        HeapFrame::new(f).with_rss(told ^ u32::from(i % 4 == 0))
    });
    assert_eq!(
        compared(),
        NicCompared {
            alike: 70,
            other: 10
        }
    );
    assert_eq!((&right, &wrong), (&plain, &plain), "none is taken");
    // Where a value would not be looked at, there is nothing to compare.
    let seven = to_router(1, &v6("fd00:16::9", "fd00:f4::10").bytes());
    router.rx[1].put_frame(HeapFrame::new(&seven[..30]).with_rss(1));
    let other = Settings::new(Choice {
        seed: 8,
        ..settings().choice()
    });
    router.update(|view| view.ports[1].nic_compare = other.rss_id());
    router.rx[1].put_frame(HeapFrame::new(&flows[0]).with_rss(1));
    router.settle();
    assert_eq!(compared().alike + compared().other, 80);
    // While values are taken, one turn of 64 compares.
    router.update(|view| (view.ports[1].nic_compare, view.ports[1].nic_hash) = (id, id));
    for _ in 0..640 {
        router.rx[1].put_frame(HeapFrame::new(&flows[0]).with_rss(1));
        router.worker.turn();
    }
    assert_eq!(compared().other, 20);
}

/// Packets that wait for their neighbor carry a value of the settings that were in force when they
/// came; meanwhile the NIC has others, and its values are taken.
#[test]
fn a_packet_that_waited_is_computed() {
    let mut router = router();
    let id = settings().rss_id();
    let flows: Vec<_> = (0..40).map(|i| flow("10.244.1.7", 1000 + i)).collect();
    for frame in &flows {
        router.rx[1].put_frame(HeapFrame::new(frame).with_rss(0));
    }
    assert!(router.settle().iter().all(Vec::is_empty));
    assert_eq!(router.worker.waiting(), 40);
    router.update(|view| {
        view.ports[1].nic_hash = id;
        view.lpm
            .upsert4([10, 244, 1, 7].into(), 32, GroupId(2))
            .unwrap();
    });
    NOW.set(INTERVAL_NS);
    let waited = router.settle();
    let computed = router.send(1, &flows);
    assert_eq!(waited, computed);
    // The value does matter: all packets that come with this one take one way.
    for frame in &flows {
        router.rx[1].put_frame(HeapFrame::new(frame).with_rss(0));
    }
    let taken = router.settle();
    assert!(taken[1].is_empty() != taken[2].is_empty());
    assert!(!computed[1].is_empty() && !computed[2].is_empty());
}

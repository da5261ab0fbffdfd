//! net_pcap: what is read from a file is written to another, byte by byte.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{Eal, Options, Pool, PoolOptions, Port, PortOptions, Registered};
use fastpath::software::burst::{Burst, RxQueue, TxQueue};
use fastpath::table::traffic::Traffic;
use std::path::Path;

#[path = "support/pcap.rs"]
mod pcap;

/// 1,000 frames of every size from 14 to 1,013 bytes, all different.
fn frames() -> Vec<Vec<u8>> {
    (0..1000u32)
        .map(|i| {
            (0..14 + i)
                .map(|j| (i.wrapping_mul(2_654_435_761) >> 16) as u8 ^ j as u8)
                .collect()
        })
        .collect()
}

#[test]
fn pcap_in_and_out_byte_exact() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [input, output] = ["vdev_in.pcap", "vdev_out.pcap"].map(|name| directory.join(name));
    let wanted = frames();
    // One that fills two buffers: the driver splits it, we refuse it.
    let mut sent = wanted.clone();
    sent.insert(500, vec![0xee; 3000]);
    pcap::write(&input, &sent);

    let eal = Eal::init(&Options::default()).unwrap();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let from = PortOptions {
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: Some(1600),
        ..PortOptions::new("from", format!("net_pcap,rx_pcap={}", input.display()))
    };
    let to = PortOptions::new("to", format!("net_pcap,tx_pcap={}", output.display()));
    let mut from_port = Port::open(&pool, &from, None).unwrap();
    let mut to_port = Port::open(&pool, &to, None).unwrap();
    assert_eq!(from_port.caps().driver, "net_pcap");
    assert_eq!(
        (from_port.mac(), from_port.mtu()),
        ([2, 0, 0, 0, 0, 1], 1600)
    );
    assert!(from_port.queues().is_none(), "not started");
    from_port.start().unwrap();
    to_port.start().unwrap();

    let (mut rx, _tx) = from_port.queues().unwrap();
    let (_rx, mut tx) = to_port.queues().unwrap();
    assert!(from_port.queues().is_none(), "given once");
    let handle = eal.handle();
    let (received, refused) = std::thread::scope(|threads| {
        threads
            .spawn(|| {
                let _registered = Registered::new(handle).unwrap();
                let mut burst = Burst::new();
                let (mut received, mut refused) = (0, Traffic::default());
                loop {
                    let now = rx[0].poll(&mut burst);
                    refused += now;
                    if burst.is_empty() && now.packets == 0 {
                        return (received, refused);
                    }
                    received += burst.len();
                    let count = burst.len();
                    assert_eq!(tx[0].send(&mut burst), count);
                    assert!(burst.is_empty());
                }
            })
            .join()
            .unwrap()
    });
    let split = Traffic {
        packets: 1,
        bytes: 3000,
    };
    assert_eq!((received, refused), (wanted.len(), split));
    assert_eq!(from_port.stats().unwrap().packets.0, sent.len() as u64);
    assert_eq!(to_port.stats().unwrap().packets.1, wanted.len() as u64);

    drop((rx, tx, _rx, _tx));
    drop((from_port, to_port));
    assert_eq!(pcap::read(&output), wanted);
    assert_eq!(pool.in_use(), 0);

    // The device went with the port: the same name can be used again.
    let again = Port::open(&pool, &from, None).unwrap();
    drop(again);
    assert_eq!(pool.in_use(), 0);
}

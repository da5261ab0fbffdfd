//! net_ring: a device whose receive queue is its transmit queue. Frames, room, full rings, leaks.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{
    Eal, HEADROOM, Mbuf, Options, Pool, PoolOptions, Port, PortOptions, Registered, free_bulk,
};
use fastpath::software::burst::{Allocator, BURST, Burst, Frame, RxQueue, TxQueue};

fn frame_room(pool: &Pool) {
    let mut frame = pool.allocator().allocate().unwrap();
    assert_eq!(frame.bytes(), b"");
    let room = usize::from(pool.options().data_room);
    assert!(!frame.set_len(room + 1));
    assert!(frame.set_len(room));
    assert!(frame.set_len(60));
    frame.bytes_mut().fill(7);
    assert!(frame.prepend(4));
    frame.bytes_mut()[..4].copy_from_slice(b"abcd");
    assert_eq!(frame.bytes().len(), 64);
    assert!(!frame.prepend(usize::from(HEADROOM) - 3));
    assert!(frame.prepend(usize::from(HEADROOM) - 4));
    assert!(!frame.advance(1000));
    assert!(frame.advance(usize::from(HEADROOM) - 4));
    assert_eq!(&frame.bytes()[..6], b"abcd\x07\x07");
    assert!(frame.advance(64));
    assert_eq!(frame.bytes(), b"");
    frame.prefetch();
}

fn fill(pool: &Pool, burst: &mut Burst<Mbuf>, first: u32) {
    for number in first.. {
        if burst.room() == 0 {
            return;
        }
        let mut frame = pool.allocator().allocate().unwrap();
        assert!(frame.set_len(60));
        frame.bytes_mut().fill(0);
        frame.bytes_mut()[..4].copy_from_slice(&number.to_be_bytes());
        burst.push(frame).unwrap();
    }
}

fn numbers(burst: &Burst<Mbuf>) -> Vec<u32> {
    burst
        .iter()
        .map(|f| u32::from_be_bytes(*f.bytes().first_chunk().unwrap()))
        .collect()
}

fn single(pool: &Pool, number: u32) -> Mbuf {
    let mut frame = pool.allocator().allocate().unwrap();
    assert!(frame.set_len(4));
    frame.bytes_mut().copy_from_slice(&number.to_be_bytes());
    frame
}

#[test]
fn ring_loops_fills_and_leaks_nothing() {
    let eal = Eal::init(&Options::default()).unwrap();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    frame_room(&pool);
    assert_eq!(pool.in_use(), 0);

    let options = PortOptions::new("loop", "net_ring");
    let mut port = Port::open(&pool, &options, None).unwrap();
    port.start().unwrap();
    assert!(port.link().unwrap().up);
    let (mut rx, mut tx) = port.queues().unwrap();
    let (rx, tx) = (&mut rx[0], &mut tx[0]);
    let mut burst = Burst::new();

    rx.poll(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(tx.send(&mut burst), 0);

    // There and back, in order, behind what the burst held before.
    fill(&pool, &mut burst, 100);
    assert_eq!(tx.send(&mut burst), BURST);
    assert!(burst.is_empty());
    burst.push(single(&pool, 7)).unwrap();
    rx.poll(&mut burst);
    let expected: Vec<u32> = std::iter::once(7).chain(100..163).collect();
    assert_eq!(numbers(&burst), expected);
    burst.clear();
    rx.poll(&mut burst);
    assert_eq!(numbers(&burst), [163]);
    free_bulk(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(pool.in_use(), 0);

    // A full ring takes the front of a burst and leaves the rest. Bursts of 50, so that the last
    // one that fits is cut in two.
    let mut taken = 0;
    let left = loop {
        for number in 0..50 {
            burst.push(single(&pool, number)).unwrap();
        }
        let sent = tx.send(&mut burst);
        taken += sent;
        if sent < 50 {
            break numbers(&burst);
        }
        assert!(taken < 1 << 16, "the ring never fills");
    };
    assert!(!left.is_empty() && left.len() < 50, "{}", left.len());
    assert_eq!(left, (50 - left.len() as u32..50).collect::<Vec<_>>());
    assert_eq!(tx.send(&mut burst), 0);
    assert_eq!(numbers(&burst), left);
    assert_eq!(pool.in_use() as usize, taken + left.len());
    burst.clear();

    // Another thread drains it: queues are Send.
    let handle = eal.handle();
    let received = std::thread::scope(|threads| {
        threads
            .spawn(move || {
                let _registered = Registered::new(handle).unwrap();
                let mut burst = Burst::new();
                let mut received = 0;
                loop {
                    rx.poll(&mut burst);
                    if burst.is_empty() {
                        return received;
                    }
                    received += burst.len();
                    burst.clear();
                }
            })
            .join()
            .unwrap()
    });
    assert_eq!(received, taken);
    assert_eq!(pool.in_use(), 0);
}

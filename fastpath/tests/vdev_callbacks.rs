//! Callbacks on queues, as packet capture installs them: our burst calls honour them, also when they
//! take packets away.
#![cfg(feature = "dpdk")]
#![allow(
    unsafe_code,
    reason = "plays the part of a capture library, which calls DPDK itself"
)]

use dpdk_sys::{rte_eth_rxtx_callback, rte_mbuf};
use fastpath::dpdk::{Eal, Options, Pool, PoolOptions, Port, PortOptions};
use fastpath::software::burst::{Allocator, Burst, Frame, RxQueue, TxQueue};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frees the first packet of `count` and closes the gap.
fn take_first(mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
    if count == 0 {
        return 0;
    }
    // SAFETY: DPDK passes `count` packets.
    let mbufs = unsafe { std::slice::from_raw_parts_mut(mbufs, count.into()) };
    // SAFETY: the first one is ours to drop; it is not passed on.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr(), 1) };
    mbufs.copy_within(1.., 0);
    count - 1
}

fn count(seen: *mut c_void, count: u16) {
    // SAFETY: the tests below pass a counter that outlives the callback.
    let seen = unsafe { &*seen.cast::<AtomicU32>() };
    seen.fetch_add(count.into(), Ordering::Relaxed);
}

unsafe extern "C" fn on_receive(
    _: u16,
    _: u16,
    mbufs: *mut *mut rte_mbuf,
    received: u16,
    _: u16,
    seen: *mut c_void,
) -> u16 {
    count(seen, received);
    take_first(mbufs, received)
}

unsafe extern "C" fn on_send(
    _: u16,
    _: u16,
    mbufs: *mut *mut rte_mbuf,
    sent: u16,
    seen: *mut c_void,
) -> u16 {
    count(seen, sent);
    take_first(mbufs, sent)
}

fn burst_of(pool: &Pool, numbers: std::ops::Range<u8>) -> Burst<fastpath::dpdk::Mbuf> {
    let mut burst = Burst::new();
    for number in numbers {
        let mut frame = pool.allocator().allocate().unwrap();
        assert!(frame.set_len(60));
        frame.bytes_mut().fill(number);
        burst.push(frame).unwrap();
    }
    burst
}

fn numbers(burst: &Burst<fastpath::dpdk::Mbuf>) -> Vec<u8> {
    burst.iter().map(|frame| frame.bytes()[0]).collect()
}

#[test]
fn callbacks_see_and_take_packets() {
    let (seen_in, seen_out) = (AtomicU32::new(0), AtomicU32::new(0));
    let argument = |seen: &AtomicU32| std::ptr::from_ref(seen).cast_mut().cast::<c_void>();
    let eal = Eal::init(&Options::default()).unwrap();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let mut port = Port::open(&pool, &PortOptions::new("loop", "net_ring"), None).unwrap();
    port.start().unwrap();
    let index = port.index();
    let (mut rx, mut tx) = port.queues().unwrap();
    let (rx, tx) = (&mut rx[0], &mut tx[0]);

    // SAFETY: port and queue exist; the counter outlives the callback.
    let receive: *const rte_eth_rxtx_callback = unsafe {
        dpdk_sys::rte_eth_add_rx_callback(index, 0, Some(on_receive), argument(&seen_in))
    };
    assert!(!receive.is_null());
    let mut burst = burst_of(&pool, 0..10);
    assert_eq!(tx.send(&mut burst), 10);
    rx.poll(&mut burst);
    assert_eq!(numbers(&burst), (1..10).collect::<Vec<_>>());
    burst.clear();
    rx.poll(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(seen_in.load(Ordering::Relaxed), 10);
    // SAFETY: installed above; nobody polls now.
    let removed = unsafe { dpdk_sys::rte_eth_remove_rx_callback(index, 0, receive) };
    assert_eq!(removed, 0);

    // SAFETY: port and queue exist; the counter outlives the callback.
    let send: *const rte_eth_rxtx_callback =
        unsafe { dpdk_sys::rte_eth_add_tx_callback(index, 0, Some(on_send), argument(&seen_out)) };
    assert!(!send.is_null());
    let mut burst = burst_of(&pool, 0..10);
    assert_eq!(tx.send(&mut burst), 10, "the callback's one is gone too");
    assert!(burst.is_empty());
    rx.poll(&mut burst);
    assert_eq!(numbers(&burst), (1..10).collect::<Vec<_>>());
    burst.clear();
    assert_eq!(seen_out.load(Ordering::Relaxed), 10);

    // Into a ring that has less room than the burst: what is left is owned once and in order.
    let mut sent = 0;
    let left = loop {
        let mut burst = burst_of(&pool, 0..50);
        let taken = tx.send(&mut burst);
        assert_eq!(taken + burst.len(), 50);
        // One of each burst went to the callback and not into the ring.
        sent += taken - 1;
        if taken < 50 {
            break burst;
        }
    };
    let first = 50 - left.len() as u8;
    assert_eq!(numbers(&left), (first..50).collect::<Vec<_>>());
    assert_eq!(pool.in_use() as usize, sent + left.len());
    drop(left);
    // SAFETY: installed above; nobody sends now.
    let removed = unsafe { dpdk_sys::rte_eth_remove_tx_callback(index, 0, send) };
    assert_eq!(removed, 0);
    let mut received = 0;
    loop {
        rx.poll(&mut burst);
        if burst.is_empty() {
            break;
        }
        received += burst.len();
        burst.clear();
    }
    assert_eq!((received, pool.in_use()), (sent, 0));
}

//! EAL with the driver, ports, and frames in and out of them.
#![allow(dead_code, reason = "each test program uses some of it")]

pub mod fabric;
pub mod plan;

use fastpath::dpdk::{Eal, FlowOptions, Mbuf, Options, Pool, Port, PortOptions, RxQueue, TxQueue};
use fastpath::software::burst::{Allocator, Burst, Frame, RxQueue as _, TxQueue as _};
use std::time::{Duration, Instant};

/// EAL, with the driver loaded.
pub fn eal() -> Eal {
    let mut plugin = std::env::current_exe().unwrap();
    plugin.set_file_name("libnet_evenpath_sim.so");
    let options = Options {
        extra: vec!["-d".into(), plugin.display().to_string()],
        ..Options::default()
    };
    Eal::init(&options).unwrap()
}

/// A port, not started; with `flow` a flow engine.
pub fn open<'p>(
    pool: &'p Pool<'p>,
    name: impl Into<String>,
    device: impl Into<String>,
    flow: Option<FlowOptions>,
) -> Port<'p> {
    let options = PortOptions {
        flow,
        ..PortOptions::new(name, device)
    };
    Port::open(pool, &options, None).unwrap()
}

/// One burst of what a queue has.
pub fn received(queue: &mut RxQueue<'_>) -> Vec<Vec<u8>> {
    let mut burst: Burst<Mbuf> = Burst::new();
    queue.poll(&mut burst);
    let frames = burst.iter().map(|f| f.bytes().to_vec()).collect();
    burst.clear();
    frames
}

/// What a queue has, waited for until there are `n` of those that are `wanted`, or five seconds.
pub fn awaited(queue: &mut RxQueue<'_>, n: usize, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let (mut found, until) = (Vec::new(), Instant::now() + Duration::from_secs(5));
    while found.len() < n && Instant::now() < until {
        found.extend(received(queue).into_iter().filter(|f| wanted(f)));
        std::thread::sleep(Duration::from_millis(1));
    }
    found
}

/// Sends up to a burst of frames, all of which must be taken.
pub fn send(pool: &Pool<'_>, queue: &mut TxQueue<'_>, frames: &[Vec<u8>]) {
    let mut burst = Burst::new();
    for bytes in frames {
        let mut frame = pool.allocator().allocate().unwrap();
        assert!(frame.set_len(bytes.len()));
        frame.bytes_mut().copy_from_slice(bytes);
        burst.push(frame).unwrap();
    }
    assert_eq!(queue.send(&mut burst), frames.len());
}

//! The RSS hash of a device: asked for, refused with reasons, programmed, read back.
//!
//! net_null keeps what it is told and hashes nothing; it names no algorithm but its own.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{
    Eal, Options, Pool, PoolOptions, Port, PortOptions, RssAlgorithm, RssOptions,
};
use fastpath::software::burst::{Burst, Frame, RxQueue};

fn options(algorithm: RssAlgorithm) -> RssOptions {
    RssOptions {
        key: std::array::from_fn(|i| i as u8 * 5 + 1),
        ports: true,
        algorithm,
    }
}

#[test]
fn a_device_is_asked_and_what_it_says_is_checked() {
    let eal = Eal::init(&Options::default()).unwrap();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let sorted = options(RssAlgorithm::SortedToeplitz);
    let asked = PortOptions {
        rx_queues: 2,
        rss: Some(sorted),
        ..PortOptions::new("null", "net_null,size=100")
    };
    // What it cannot do does not keep the port from working.
    let mut port = Port::open(&pool, &asked, None).unwrap();
    port.start().unwrap();
    assert!(port.rss(), "spread over queues all the same");
    assert_eq!(port.nic_hash(), None);
    let missing: Vec<String> = port
        .caps()
        .lacks_rss(&sorted)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        missing,
        [
            "sorted Toeplitz as hash for RSS",
            "the RSS hash with each packet"
        ]
    );
    let before = port.rss_state().unwrap();
    assert_eq!(
        port.set_rss(&sorted).unwrap_err().to_string(),
        "port null: set the RSS hash: the device lacks sorted Toeplitz as hash for RSS"
    );
    assert_eq!(port.rss_state().unwrap(), before, "nothing was changed");

    // What it can be told, it says back.
    for ports in [true, false] {
        let own = RssOptions {
            ports,
            ..options(RssAlgorithm::Driver)
        };
        assert!(!own.is(&before));
        port.set_rss(&own).unwrap();
        let state = port.rss_state().unwrap();
        assert!(own.is(&state), "{state:?}");
        assert_eq!(state.key, own.key);
        assert_eq!(port.nic_hash(), None, "whose value nobody knows");
    }

    let (mut rx, _tx) = port.queues().unwrap();
    let mut burst = Burst::new();
    rx[0].poll(&mut burst);
    assert_eq!(burst.len(), 64);
    assert!(burst.iter().all(|frame| frame.rss_hash().is_none()));
}

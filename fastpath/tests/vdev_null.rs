//! net_null: several queues on several registered threads; and what errors say.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{
    Eal, Object, Options, Pool, PoolOptions, Port, PortOptions, Registered, cycles, now_ns, version,
};
use fastpath::software::burst::{Burst, Frame, RxQueue, TxQueue};

fn refusal(pool: &Pool, options: &PortOptions) -> String {
    Port::open(pool, options, None).unwrap_err().to_string()
}

fn errors(eal: &Eal, pool: &Pool) {
    let again = Eal::init(&Options::default()).unwrap_err();
    assert_eq!(again.object, Object::Eal);
    assert!(again.to_string().contains("started before"), "{again}");

    let options = PoolOptions {
        buffers: 1 << 24,
        ..PoolOptions::default()
    };
    let text = Pool::new(eal.handle(), options).unwrap_err().to_string();
    assert!(text.contains("out of memory (ENOMEM)"), "{text}");
    assert!(text.contains("give EAL more memory"), "{text}");

    let text = refusal(pool, &PortOptions::new("up1", "net_nosuch0"));
    assert!(text.starts_with("device net_nosuch0: create: "), "{text}");
    let text = refusal(pool, &PortOptions::new("up1", "0000:ff:1f.7"));
    assert!(text.contains("must be named when EAL starts"), "{text}");
    let no_file = PortOptions::new("up1", "net_pcap,rx_pcap=/no/such.pcap");
    let text = refusal(pool, &no_file);
    assert!(
        text.contains("/no/such.pcap: No such file"),
        "the driver's own words: {text}"
    );

    let many = PortOptions {
        rx_queues: 2000,
        ..PortOptions::new("up1", "net_null")
    };
    let text = refusal(pool, &many);
    assert!(
        text.starts_with("port up1: configure: the device lacks 2000 rx queues"),
        "{text}"
    );
    let jumbo = PortOptions {
        mtu: Some(9000),
        ..PortOptions::new("up1", "net_null")
    };
    let text = refusal(pool, &jumbo);
    assert!(
        text.contains("frames take up to 9022 bytes and buffers hold 2048"),
        "{text}"
    );

    let options = PortOptions::new("up1", "net_null7");
    let _first = Port::open(pool, &options, None).unwrap();
    let text = refusal(pool, &PortOptions::new("up2", "net_null7"));
    assert_eq!(text, "port up2: open: another port uses that device");
}

#[test]
fn null_on_two_threads_and_errors() {
    let eal = Eal::init(&Options::default()).unwrap();
    let options = PoolOptions {
        buffers: 4095,
        ..PoolOptions::default()
    };
    let pool = Pool::new(eal.handle(), options).unwrap();
    errors(&eal, &pool);
    assert!(version().starts_with("DPDK "));
    assert!(eal.cycles_hz() > 1_000_000);
    assert!(cycles() < cycles());
    let (start, started) = (now_ns(), std::time::Instant::now());
    std::thread::sleep(std::time::Duration::from_millis(20));
    let ratio = (now_ns() - start) as f64 / started.elapsed().as_nanos() as f64;
    assert!((0.95..1.05).contains(&ratio), "{ratio}");

    let options = PortOptions {
        rx_queues: 2,
        tx_queues: 2,
        ..PortOptions::new("null", "net_null,size=100")
    };
    let mut port = Port::open(&pool, &options, None).unwrap();
    port.start().unwrap();
    assert!(!port.reports_link());
    let (rx, tx) = port.queues().unwrap();
    assert_eq!((rx.len(), tx.len()), (2, 2));
    let handle = eal.handle();
    std::thread::scope(|threads| {
        for (mut rx, mut tx) in rx.into_iter().zip(tx) {
            threads.spawn(move || {
                let _registered = Registered::new(handle).unwrap();
                let mut burst = Burst::new();
                for _ in 0..1000 {
                    rx.poll(&mut burst);
                    assert_eq!(burst.len(), 64);
                    assert!(burst.iter().all(|frame| frame.bytes().len() == 100));
                    assert_eq!(tx.send(&mut burst), 64);
                }
            });
        }
    });
    assert_eq!(port.stats().unwrap().packets, (128_000, 128_000));
    drop(port);
    assert_eq!(pool.in_use(), 0);
}

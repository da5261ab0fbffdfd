//! Link changes reported by a driver: virtio-user, which loses its link when the other end of the
//! vhost-user socket goes.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{Eal, Options, Pool, PoolOptions, Port, PortOptions};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_link_that_goes_down_is_reported() {
    let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vdev_link.sock");
    let _ = std::fs::remove_file(&socket);
    let eal = Eal::init(&Options {
        single_file_segments: true,
        ..Options::default()
    })
    .unwrap();
    let options = PoolOptions {
        buffers: 4095,
        ..PoolOptions::default()
    };
    let pool = Pool::new(eal.handle(), options).unwrap();
    let socket = socket.display();

    let far = PortOptions::new("far", format!("net_vhost,iface={socket},client=0"));
    let mut far = Port::open(&pool, &far, None).unwrap();
    far.start().unwrap();
    let near = PortOptions::new("near", format!("net_virtio_user,path={socket},server=0"));
    let (sender, changes) = mpsc::channel();
    let changed = Box::new(move |up| sender.send(up).unwrap());
    let mut near = Port::open(&pool, &near, Some(changed)).unwrap();
    assert!(near.reports_link());
    near.start().unwrap();
    assert!(near.link().unwrap().up);
    assert_eq!(changes.try_recv(), Err(mpsc::TryRecvError::Empty));

    drop(far);
    assert_eq!(changes.recv_timeout(Duration::from_secs(5)), Ok(false));
    assert!(!near.link().unwrap().up);
    // Unregistered with the port: the closure, and with it the sender, is gone.
    drop(near);
    assert_eq!(changes.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    assert_eq!(pool.in_use(), 0);
}

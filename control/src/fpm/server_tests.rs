use super::*;
use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

struct Served {
    address: SocketAddr,
    events: Receiver<Event>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn new() -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address().unwrap();
        let (sender, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&stop);
        let thread = Some(thread::spawn(move || server.run(&sender, &end)));
        Served {
            address,
            events,
            stop,
            thread,
        }
    }

    fn next(&self) -> FpmEvent {
        match self.events.recv_timeout(Duration::from_secs(10)).unwrap() {
            Event::Fpm(event) => event,
            other => panic!("{other:?}"),
        }
    }

    fn batch(&self) -> Batch {
        match self.next() {
            FpmEvent::Batch(batch) => *batch,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A frame that deletes 10.0.X.0/24.
fn deletion(x: u8) -> Vec<u8> {
    let mut message = vec![0; 28 + 8];
    message[..4].copy_from_slice(&36_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&25_u16.to_ne_bytes());
    (message[16], message[17], message[20]) = (2, 24, 254);
    message[28..30].copy_from_slice(&8_u16.to_ne_bytes());
    message[30..32].copy_from_slice(&1_u16.to_ne_bytes());
    message[32..36].copy_from_slice(&[10, 0, x, 0]);
    let mut frame = vec![1, 1, 0, 40];
    frame.extend(message);
    frame
}

#[test]
fn what_comes_byte_by_byte_arrives_whole() {
    let served = Served::new();
    let mut zebra = TcpStream::connect(served.address).unwrap();
    zebra.set_nodelay(true).unwrap();
    assert!(matches!(
        served.next(),
        FpmEvent::Connected { connection: 1, .. }
    ));
    let begin = Instant::now();
    for byte in deletion(7) {
        zebra.write_all(&[byte]).unwrap();
    }
    let batch = served.batch();
    let stamp = batch.noticed.expect("when it was read").at;
    assert!(begin <= stamp && stamp <= Instant::now());
    let (_, routes) = batch.into_changes();
    assert_eq!(routes, [("10.0.7.0/24".parse().unwrap(), None)]);
    drop(zebra);
    assert!(
        matches!(served.next(), FpmEvent::Closed { connection: 1, reason } if reason == "closed by zebra")
    );
}

#[test]
fn while_control_is_busy_the_reader_reads_on_and_keeps_the_latest_word() {
    let served = Served::new();
    let mut zebra = TcpStream::connect(served.address).unwrap();
    served.next();
    zebra.write_all(&deletion(0)).unwrap();
    let held = served.batch();
    // More than socket buffers hold: a reader that waited would stop the writer.
    let many: Vec<u8> = (0..4000).flat_map(|i| deletion((i % 5) as u8)).collect();
    for _ in 0..200 {
        zebra.write_all(&many).unwrap();
    }
    thread::sleep(Duration::from_millis(20));
    assert!(
        served.events.try_recv().is_err(),
        "control has a batch still"
    );
    drop(held);
    let (mut messages, mut largest) = (0, 0);
    while messages < 200 * 4000 {
        let batch = served.batch();
        messages += batch.counts.delroute;
        largest = largest.max(batch.routes().len());
    }
    assert_eq!((messages, largest), (800_000, 5));
}

#[test]
fn the_latest_connection_counts() {
    let served = Served::new();
    let mut first = TcpStream::connect(served.address).unwrap();
    assert!(matches!(
        served.next(),
        FpmEvent::Connected { connection: 1, .. }
    ));
    let mut second = TcpStream::connect(served.address).unwrap();
    assert!(matches!(
        served.next(),
        FpmEvent::Connected { connection: 2, .. }
    ));
    first
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "the first was closed");
    second.write_all(&deletion(1)).unwrap();
    assert_eq!(served.batch().routes().len(), 1);
}

#[test]
fn garbage_closes_the_connection_and_the_next_one_is_served() {
    let served = Served::new();
    let mut zebra = TcpStream::connect(served.address).unwrap();
    served.next();
    zebra.write_all(&deletion(1)).unwrap();
    zebra.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut routes = 0;
    let reason = loop {
        match served.next() {
            FpmEvent::Batch(batch) => routes += batch.routes().len(),
            FpmEvent::Closed { reason, .. } => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(routes, 1, "what came before counts");
    assert!(
        reason.contains("40") && reason.contains("version"),
        "{reason}"
    );
    let _again = TcpStream::connect(served.address).unwrap();
    assert!(matches!(
        served.next(),
        FpmEvent::Connected { connection: 2, .. }
    ));
}

#[test]
fn it_ends_when_told_to_and_says_who_has_its_address() {
    let mut served = Served::new();
    let _zebra = TcpStream::connect(served.address).unwrap();
    served.next();
    let taken = Server::bind(served.address).unwrap_err().to_string();
    assert!(taken.contains("[fpm] listen"), "{taken}");
    let start = Instant::now();
    served.stop.store(true, Ordering::Relaxed);
    served.thread.take().unwrap().join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
}

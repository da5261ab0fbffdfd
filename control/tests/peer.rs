//! Answers over a real socket, to a zebra that reads them, that does not, that comes back.

use crate::lab::Lab;
use crate::lab::answers::{newest, read};
use control::event::{Action, Event};
use control::fpm::answer::{Answer, OFFLOAD};
use control::fpm::decode::RouteKind;
use control::fpm::frame::Frames;
use control::fpm::{Outbox, Server};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The server, and control in the test's own thread.
struct Evenpath {
    lab: Lab,
    address: SocketAddr,
    outbox: Outbox,
    events: Receiver<Event>,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Evenpath {
    fn new() -> Self {
        let server = Server::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let (address, outbox) = (server.address().expect("address"), server.outbox());
        let (sender, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&stop);
        let server = Some(thread::spawn(move || server.run(&sender, &end)));
        Evenpath {
            lab: Lab::dpu(),
            address,
            outbox,
            events,
            stop,
            server,
        }
    }

    fn zebra(&self) -> TcpStream {
        let zebra = TcpStream::connect(self.address).expect("connect");
        zebra.set_nodelay(true).expect("nodelay");
        zebra
    }

    /// Control does what comes in, until `over` or nothing more does.
    fn serve(&mut self, mut over: impl FnMut(&mut Lab) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !over(&mut self.lab) {
            assert!(Instant::now() < deadline, "it comes to no end");
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(5)) {
                self.lab.event(event);
            }
            self.lab.pass(Duration::ZERO);
            for action in self.lab.control.actions() {
                if let Action::FpmReply { connection, bytes } = action {
                    self.outbox.send(connection, bytes);
                }
            }
        }
    }

    /// How many routes zebra has sent that control has taken.
    fn taken(lab: &mut Lab) -> u64 {
        use control::api::{Request, Response};
        match lab.ask(&Request::ShowFpm) {
            Response::Fpm(fpm) => fpm.messages["newroute"],
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Evenpath {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.server.take().map(JoinHandle::join);
    }
}

/// Routes as zebra writes them: blackholes, which need no next hop; an answer is one, but for flags.
fn routes(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in numbers {
        let route = Answer {
            prefix: format!("10.{}.{}.0/24", n >> 8, n & 255)
                .parse()
                .expect("prefix"),
            protocol: 186,
            kind: RouteKind::Blackhole,
            flags: 0,
            port: 77,
        };
        route.encode(&mut bytes);
    }
    bytes
}

/// Reads what is there, for as long as something comes.
fn drain(zebra: &mut TcpStream, frames: &mut Frames) {
    zebra
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("timeout");
    loop {
        let count = match zebra.read(frames.room(1 << 16)) {
            Ok(0) => return,
            Ok(count) => count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(e) => panic!("{e}"),
        };
        frames.received(count);
    }
}

#[test]
fn a_route_is_answered_on_its_connection() {
    let mut evenpath = Evenpath::new();
    let mut zebra = evenpath.zebra();
    zebra.write_all(&routes(0..300)).expect("write");
    evenpath.serve(|lab| lab.answers().sent.get("offload") == Some(&300));
    let mut bytes = vec![0; 300 * 40];
    zebra.read_exact(&mut bytes).expect("answers");
    assert_eq!(bytes[16..20], 77_u32.to_ne_bytes(), "zebra's own port");
    assert_eq!(bytes[28..32], OFFLOAD.to_ne_bytes());
    let mut frames = Frames::default();
    frames.push(&bytes);
    assert_eq!(newest(read(&mut frames)).len(), 300);
}

#[test]
fn who_does_not_read_stalls_nobody_and_hears_the_newest_later() {
    const ROUTES: u32 = 20_000;
    const ROUNDS: u64 = 10;
    let mut evenpath = Evenpath::new();
    let mut zebra = evenpath.zebra();
    let mut writer = zebra.try_clone().expect("clone");
    let updates = thread::spawn(move || {
        for _ in 0..ROUNDS {
            writer.write_all(&routes(0..ROUTES)).expect("write");
        }
    });
    // 8 MB of answers, of which sockets take a fraction: reader and control go on.
    let all = u64::from(ROUTES) * ROUNDS;
    evenpath.serve(|lab| Evenpath::taken(lab) == all);
    updates.join().expect("zebra was never stopped");
    let answers = evenpath.lab.answers();
    let bound = u64::from(ROUTES) + 2048; // a word a route, and one load on its way
    assert!(answers.waiting <= bound, "{answers:?}");
    assert!(answers.waiting > 0, "sockets took them all: {answers:?}");
    assert!(answers.superseded > 0, "{answers:?}");
    // It reads at last, while control goes on.
    let stop = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&stop);
    let reader = thread::spawn(move || {
        let mut frames = Frames::default();
        while !end.load(Ordering::Relaxed) {
            drain(&mut zebra, &mut frames);
        }
        drain(&mut zebra, &mut frames);
        read(&mut frames)
    });
    evenpath.serve(|lab| lab.answers().waiting == 0);
    stop.store(true, Ordering::Relaxed);
    let told = reader.join().expect("reader");
    let sent = evenpath.lab.answers().sent["offload"];
    assert_eq!(told.len() as u64, sent, "what is counted is what arrived");
    assert_eq!(newest(told).len(), ROUTES as usize, "nothing is missing");
}

#[test]
fn a_new_connection_hears_nothing_that_was_for_the_old_one() {
    let mut evenpath = Evenpath::new();
    let mut old = evenpath.zebra();
    // More than sockets take: a load is in the middle of being written when the next one connects.
    old.write_all(&routes(0..60_000)).expect("write");
    evenpath.serve(|lab| Evenpath::taken(lab) == 60_000);
    assert!(evenpath.lab.answers().waiting > 0);
    let mut new = evenpath.zebra();
    evenpath.serve(|lab| lab.answers().dropped > 0);
    new.write_all(&routes(7..9)).expect("write");
    evenpath.serve(|lab| Evenpath::taken(lab) == 60_002 && lab.answers().waiting == 0);
    let mut frames = Frames::default();
    drain(&mut new, &mut frames);
    let told = newest(read(&mut frames));
    assert_eq!(
        told.into_keys().collect::<Vec<_>>(),
        ["10.0.7.0/24", "10.0.8.0/24"]
    );
    let answers = evenpath.lab.answers();
    let accounted = answers.sent["offload"] + answers.superseded + answers.dropped;
    assert_eq!(
        accounted, 60_002,
        "each answer was sent, replaced or dropped: {answers:?}"
    );
}

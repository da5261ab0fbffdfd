//! The kernel itself as the other side: each test runs again as a process of its own in a new
//! network namespace. Needs root and iproute2; says so where it cannot run.

use control::event::{Action, Event, KernelSync, NeighborState, configured};
use control::netlink::{Monitor, Requests};
use fastpath::table::{PortId, Tables};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PORT: PortId = PortId(3);

/// True in the process that has the namespace; elsewhere runs that process and checks it.
fn in_namespace(test: &str) -> bool {
    if std::env::var_os("EVENPATH_NAMESPACE").is_some() {
        return true;
    }
    let root = Command::new("unshare").args(["-n", "true"]).status();
    if !root.is_ok_and(|s| s.success()) {
        eprintln!("{test}: not run: network namespaces need root");
        return false;
    }
    let status = Command::new("unshare")
        .arg("-n")
        .arg(std::env::current_exe().expect("path of the test"))
        .args([test, "--exact", "--nocapture"])
        .env("EVENPATH_NAMESPACE", "1")
        .status()
        .expect("unshare starts");
    assert!(status.success(), "{test} in its namespace");
    false
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip starts").success(), "ip {arguments}");
}

fn ip_says(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    String::from_utf8(output.expect("ip starts").stdout).expect("UTF-8")
}

/// Another namespace, alive as long as the value.
struct Peer(Child);

impl Peer {
    fn new() -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "60"]).spawn();
        let peer = Peer(child.expect("unshare starts"));
        let own = std::fs::read_link("/proc/self/ns/net").expect("namespace");
        let its = format!("/proc/{}/ns/net", peer.0.id());
        wait("the peer's namespace", || {
            std::fs::read_link(&its).is_ok_and(|ns| ns != own)
        });
        peer
    }

    fn ip(&self, arguments: &str) {
        let status = Command::new("nsenter")
            .args(["-n", "-t", &self.0.id().to_string(), "ip"])
            .args(arguments.split(' '))
            .status();
        assert!(status.expect("nsenter starts").success(), "ip {arguments}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "no {what} within 10 s"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The first event that `wanted` takes, within 10 s; those before it are dropped.
fn expect<T>(what: &str, events: &Receiver<Event>, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let event = events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .unwrap_or_else(|_| panic!("no {what}"));
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

fn synced(event: &Event) -> Option<()> {
    matches!(event, Event::KernelSync(KernelSync::End)).then_some(())
}

fn monitor(tables: &Arc<Tables>, receive_bytes: usize) -> (Monitor, Receiver<Event>) {
    let (sender, events) = channel();
    let netdevs = [("va".to_owned(), PORT)];
    let monitor = Monitor::open(netdevs, Arc::clone(tables), sender, receive_bytes);
    (monitor.expect("monitor"), events)
}

fn start(monitor: Monitor) {
    std::thread::spawn(move || monitor.run(&AtomicBool::new(false)));
}

fn index(name: &str) -> u32 {
    let text = ip_says(&format!("-o link show {name}"));
    text.split(':')
        .next()
        .and_then(|n| n.trim().parse().ok())
        .expect("index")
}

#[test]
fn a_wires_link_is_the_devices() {
    if !in_namespace("a_wires_link_is_the_devices") {
        return;
    }
    ip("link add wire type veth peer name far");
    ip("link set wire up");
    ip("link set far up");
    let tables = Arc::new(Tables::new(64, 64, 64));
    let (monitor, events) = monitor(&tables, 1 << 20);
    start(monitor.with_wires([("wire".to_owned(), PORT)]));
    let carrier = |event: &Event| match *event {
        Event::PortCarrier { port, up, .. } => Some((port, up)),
        _ => None,
    };
    expect("end of dump", &events, |event| {
        assert_eq!(
            carrier(event),
            None,
            "it was up, as is believed of a device"
        );
        synced(event)
    });
    ip("link set far down");
    assert_eq!(expect("carrier loss", &events, carrier), (PORT, false));
    assert!(tables.down.port(PORT), "the bit is set before that");
    ip("link set far up");
    assert_eq!(expect("carrier", &events, carrier), (PORT, true));
    ip("link del wire");
    assert_eq!(expect("its end", &events, carrier), (PORT, false));
}

#[test]
fn a_lost_carrier_is_a_down_bit_before_control_knows() {
    if !in_namespace("a_lost_carrier_is_a_down_bit_before_control_knows") {
        return;
    }
    ip("link add va type veth peer name vb");
    ip("link set va up");
    ip("link set vb up");
    let tables = Arc::new(Tables::new(64, 64, 64));
    let (monitor, events) = monitor(&tables, 1 << 20);
    start(monitor);
    expect("end of dump", &events, synced);
    assert!(!tables.down.port(PORT) && tables.down.report(PORT) == 0);

    let down = |event: &Event| match event {
        Event::Link(link, noticed) if link.name == "va" && !link.carrier => Some(noticed.at),
        _ => None,
    };
    let asked = Instant::now();
    ip("link set vb down");
    let noticed = expect("carrier loss", &events, down);
    assert!(
        tables.down.port(PORT),
        "the bit is set before the event is sent"
    );
    let reported = |event: &Event| match event {
        Event::PortReported { port: PORT, report } => Some(*report),
        _ => None,
    };
    assert_eq!(expect("what that was about", &events, reported), 1);
    let took = noticed - asked;
    println!("from starting `ip` to noticing: {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");

    // More news about a dead port are no new death.
    ip("link set va mtu 1400");
    expect("the new MTU", &events, |event| match event {
        Event::Link(link, _) if link.mtu == 1400 => Some(()),
        _ => None,
    });
    assert_eq!(tables.down.report(PORT), 1);

    // It returns, control clears the bit, and it dies again, by its own admin state this time.
    ip("link set vb up");
    expect("carrier", &events, |event| match event {
        Event::Link(link, _) if link.name == "va" && link.carrier => Some(()),
        _ => None,
    });
    assert!(tables.down.clear_port(PORT, 1));
    ip("link set va down");
    expect("admin down", &events, down);
    assert!(tables.down.port(PORT) && tables.down.report(PORT) == 2);

    // A netdev that goes away was up, too.
    ip("link set va up");
    expect("carrier", &events, |event| match event {
        Event::Link(link, _) if link.name == "va" && link.carrier => Some(()),
        _ => None,
    });
    ip("link del va");
    // It is switched off first.
    assert_eq!(expect("what that was about", &events, reported), 3);
    expect("end of the netdev", &events, |event| {
        matches!(event, Event::LinkGone { .. }).then_some(())
    });
    assert_eq!(tables.down.report(PORT), 3);
}

#[test]
fn neighbors_are_kept_resolved_without_traffic() {
    if !in_namespace("neighbors_are_kept_resolved_without_traffic") {
        return;
    }
    ip("link add va type veth peer name vb address 02:00:00:00:00:0b");
    let peer = Peer::new();
    ip(&format!("link set vb netns {}", peer.0.id()));
    ip("addr add 10.0.0.1/24 dev va");
    ip("link set va addrgenmode none");
    ip("addr add fe80::1/64 dev va nodad");
    ip("link set va up");
    for arguments in [
        "addr add 10.0.0.2/24 dev vb",
        "link set vb addrgenmode none",
        "addr add fe80::2/64 dev vb nodad",
        "link set vb up",
    ] {
        peer.ip(arguments);
    }
    let tables = Arc::new(Tables::new(64, 64, 64));
    let (monitor, events) = monitor(&tables, 1 << 20);
    start(monitor);
    expect("end of dump", &events, synced);
    let va = index("va");
    let mut requests = Requests::open().expect("socket");
    let both = ["10.0.0.2", "fe80::2"].map(|a| a.parse::<IpAddr>().expect("address"));
    let reachable = |wanted: IpAddr| {
        move |event: &Event| match event {
            Event::Neighbor(n, _) if n.address == wanted && n.state == NeighborState::Reachable => {
                n.mac
            }
            _ => None,
        }
    };
    for address in both {
        requests.resolve(va, address).expect("resolve");
        let mac = expect("resolution", &events, reachable(address));
        assert_eq!(mac, [2, 0, 0, 0, 0, 0x0b], "{address}");
        let entry = ip_says(&format!("neigh show to {address} dev va"));
        assert!(
            entry.contains("managed") && entry.contains("REACHABLE"),
            "{entry}"
        );
        // Asking again must not disturb what is there.
        requests.resolve(va, address).expect("again");
        let entry = ip_says(&format!("neigh show to {address} dev va"));
        assert!(
            entry.contains("managed") && entry.contains("REACHABLE"),
            "{entry}"
        );
    }
    // Lost carrier takes the entries along; asked for again, they return.
    peer.ip("link set vb down");
    for _ in both {
        expect("end of an entry", &events, |event| {
            matches!(event, Event::NeighborGone { .. }).then_some(())
        });
    }
    peer.ip("link set vb up");
    peer.ip("addr replace fe80::2/64 dev vb nodad");
    expect("carrier", &events, |event| match event {
        Event::Link(link, _) if link.name == "va" && link.carrier => Some(()),
        _ => None,
    });
    requests.resolve(va, both[0]).expect("resolve");
    expect("resolution", &events, reachable(both[0]));
    requests.release(va, both[0]).expect("release");
    let entry = ip_says(&format!("neigh show to {} dev va", both[0]));
    assert!(
        !entry.contains("managed") && entry.contains("REACHABLE"),
        "{entry}"
    );
    // What never was can be released, and probing works without an entry.
    requests
        .release(va, "10.0.0.77".parse().expect("address"))
        .expect("release");
    assert_eq!(ip_says("neigh show to 10.0.0.77 dev va"), "");
    requests
        .probe(va, "10.0.0.77".parse().expect("address"))
        .expect("probe");
    let entry = ip_says("neigh show to 10.0.0.77 dev va");
    assert!(entry.contains("INCOMPLETE"), "{entry}");
    // By way of actions: those that cannot be done keep no other from being done.
    let (actions, wishes) = channel();
    for (ifindex, address) in [(configured(PORT), both[0]), (9999, both[0]), (va, both[1])] {
        for action in [
            Action::Release { ifindex, address },
            Action::Resolve { ifindex, address },
        ] {
            actions.send(action).expect("send");
        }
    }
    drop(actions);
    Requests::open().expect("socket").run(&wishes);
    let entry = ip_says(&format!("neigh show to {} dev va", both[1]));
    assert!(entry.contains("managed"), "{entry}");
    let error = requests
        .resolve(9999, both[0])
        .expect_err("no such interface")
        .to_string();
    assert_eq!(
        error,
        "neighbor 10.0.0.2 on interface 9999: keep resolved: No such device (os error 19); the \
         interface is gone"
    );
}

#[test]
fn lost_news_are_asked_for_again() {
    if !in_namespace("lost_news_are_asked_for_again") {
        return;
    }
    ip("link add va type veth peer name vb");
    ip("link set va up");
    ip("link set vb up");
    let tables = Arc::new(Tables::new(64, 64, 64));
    // The least that the kernel grants: two dozen news fit.
    let (monitor, events) = monitor(&tables, 1);
    let neighbors = 3000;
    let mut batch = String::new();
    let address = |i: u32| IpAddr::from((0x0a00_0000 + i).to_be_bytes());
    for i in 1..=neighbors {
        let _ = writeln!(
            batch,
            "neigh add {} lladdr 02:00:00:00:00:01 nud permanent dev va",
            address(i)
        );
    }
    let path = std::env::temp_dir().join(format!("evenpath-neighbors-{}", std::process::id()));
    let run = |batch: &str| {
        std::fs::write(&path, batch).expect("write");
        ip(&format!("-batch {}", path.display()));
    };
    run(&batch);
    start(monitor);
    // And a second storm while it listens, in which every other one goes away again.
    let mut storm = String::new();
    for i in (1..=neighbors).step_by(2) {
        let _ = writeln!(storm, "neigh del {} dev va", address(i));
    }
    run(&storm);
    std::fs::remove_file(&path).expect("remove");
    let expected: BTreeSet<IpAddr> = (1..=neighbors)
        .filter(|i| i % 2 == 0)
        .map(address)
        .collect();

    // What control does: mark, refill, sweep.
    let (mut known, mut seen, mut begins) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut complete = false;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !(complete && known == expected) {
        let event = events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .unwrap_or_else(|_| {
                panic!(
                    "{begins} dumps, complete: {complete}, {} neighbors known",
                    known.len()
                )
            });
        match event {
            Event::KernelSync(KernelSync::Begin) => {
                (begins, complete) = (begins + 1, false);
                seen.clear();
            }
            Event::KernelSync(KernelSync::End) => {
                known.retain(|a| seen.contains(a));
                complete = true;
            }
            Event::Neighbor(n, _) if n.state == NeighborState::Permanent => {
                known.insert(n.address);
                seen.insert(n.address);
            }
            Event::NeighborGone { address, .. } => {
                known.remove(&address);
            }
            _ => {}
        }
    }
    assert!(begins >= 2, "nothing was lost: the test does not test");
    println!("{begins} dumps until all was known");
}

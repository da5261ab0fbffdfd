//! Ports whose wires end in netdevs, in a network namespace of this test's own.
//!
//! ```text
//!  far0 ──veth── wire0 ─ net_evenpath_sim0 ─┐ e-switch
//!  far1 ──veth── wire1 ─ net_evenpath_sim1 ─┘ (a function)
//! ```
//! Needs root, `ip`, `unshare` and `python3`.

mod support;

use fastpath::dpdk::{Flow, FlowOptions, Pool, PoolOptions, Port, PortOptions, RxQueue, TxQueue};
use fastpath::hardware::Steering;
use fastpath::hardware::program::{
    Action, ActionsTemplate, Does, Domain, Field, Group, Insertion, Item, Modify, Operation,
    PatternTemplate, Place, Rule, RuleId, Table, TableId, Target,
};
use fastpath::hardware::sim::Profile;
use fastpath::table::PortId;
use fastpath::wire::checksum::checksum;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::{awaited, eal, send};

const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const NEXT: [u8; 6] = [2, 0, 0, 0, 0x0a, 0x0a];

/// Runs one command line, which must succeed.
fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output = output.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// IPv4 to the router's address, or another, of so many bytes.
fn frame(to: [u8; 6], length: u16) -> Vec<u8> {
    let mut bytes = [&to[..], &[2, 0, 0, 0, 1, 0, 8, 0]].concat();
    let mut header = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 64, 17, 0, 0];
    header[2..4].copy_from_slice(&(length - 14).to_be_bytes());
    header.extend([10, 0, 0, 1, 10, 0, 5, 2]);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.resize(length.into(), 0x5a);
    bytes
}

fn is_ipv4(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0]
}

/// What comes for the router leaves by port 1, to the next hop.
fn program(flow: &mut Flow<'_>) {
    let fields = [Field::EthDestination, Field::EthType];
    let table = |id: u32, group: u32, fields: &[Field], actions: &[Action]| Table {
        id: TableId(id),
        port: PortId(0),
        domain: Domain::Transfer,
        group: Group(group),
        priority: 0,
        insertion: Insertion::Pattern,
        size: 1,
        pattern: PatternTemplate::exact(&[Item::Eth], fields),
        actions: vec![ActionsTemplate::per_rule(actions)],
    };
    let jump = [Action::Jump(Group(1))];
    let leave = [
        Action::Count,
        Action::Modify(Modify::set(Target::MacDestination, number(NEXT))),
        Action::RepresentedPort(PortId(1)),
    ];
    flow.create_table(&table(1, 0, &fields, &jump)).unwrap();
    flow.create_table(&table(2, 1, &[], &leave)).unwrap();
    let matched = [number(ROUTER).into(), 0x0800];
    for (id, values, actions) in [(2, &[][..], &leave[..]), (1, &matched, &jump)] {
        let rule = Rule {
            id: RuleId(id),
            table: TableId(id as u32),
            place: Place::values(values),
            does: Does::new(0, actions),
        };
        flow.enqueue(0, &Operation::Insert(rule), false, 1).unwrap();
        let mut done = Vec::new();
        flow.pull(0, &mut done).unwrap();
        assert!(done[0].done);
    }
}

struct World<'q> {
    pool: &'q Pool<'q>,
    /// Receive and transmit queue of the far ends, and of the first port's worker.
    far: [(RxQueue<'q>, TxQueue<'q>); 2],
    worker: (RxQueue<'q>, TxQueue<'q>),
}

fn queues<'q>(port: &'q Port<'_>) -> (RxQueue<'q>, TxQueue<'q>) {
    let (mut rx, mut tx) = port.queues().unwrap();
    (rx.remove(0), tx.remove(0))
}

/// Waits up to five seconds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Frames that the e-switch forwards: no worker is asked, let alone needed.
fn forwarded(world: &mut World<'_>, flow: &mut Flow<'_>, port: &Port<'_>) {
    let frames: Vec<_> = (0..20).map(|n| frame(ROUTER, 60 + n * 250)).collect();
    send(world.pool, &mut world.far[0].1, &frames);
    let found = awaited(&mut world.far[1].0, frames.len(), is_ipv4);
    let expected = frames.iter().map(|f| [&NEXT[..], &f[6..]].concat());
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(flow.count(RuleId(2)).unwrap().packets, 20);
    assert_eq!(port.stats().unwrap().packets.0, 0);

    // Here, since net_af_packet takes its netdev down and up.
    run("ip neighbor replace 10.9.0.9 lladdr 02:00:00:00:00:99 dev far0");
    // The kernel leaves the checksum to its NIC: the wire has it nevertheless.
    let socket = UdpSocket::bind("10.9.0.2:1000").unwrap();
    socket.send_to(&[0x77; 33], "10.9.0.9:2000").unwrap();
    let found = awaited(&mut world.far[1].0, 1, is_ipv4);
    let ip = &found[0][14..];
    let pseudo = [&ip[12..20], &[0, 17], &ip[24..26], &ip[20..]].concat();
    assert_eq!((ip[9], checksum(&pseudo)), (17, 0), "{found:?}");

    // No wire has a packet of several segments.
    let lost = port.stats().unwrap().rx_errors;
    let gso = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
               s.setsockopt(17, 103, 1000)\ns.sendto(bytes(4000), ('10.9.0.9', 2000))";
    assert!(
        Command::new("python3")
            .args(["-c", gso])
            .status()
            .unwrap()
            .success()
    );
    eventually("refused", || port.stats().unwrap().rx_errors == lost + 1);
}

/// What it leaves to software, and what software sends.
fn left(world: &mut World<'_>, port: &Port<'_>) {
    let mut tagged = frame([9; 6], 100);
    tagged[0] = 2;
    tagged.splice(12..12, [0x81, 0, 0x20, 7]);
    let frames = [frame([2; 6], 64), tagged, frame([2; 6], 1514)];
    send(world.pool, &mut world.far[0].1, &frames);
    let ours = |f: &[u8]| f[12] != 0x86;
    let found = awaited(&mut world.worker.0, 3, ours);
    assert_eq!(found, frames, "as they came, with their tags");

    send(world.pool, &mut world.worker.1, &frames[..1]);
    // The far end sees what its kernel sent, too.
    let for_it = |f: &[u8]| f[..6] == [2; 6];
    assert_eq!(awaited(&mut world.far[0].0, 1, for_it), frames[..1]);

    // It does not fit a packet buffer.
    let missed = port.stats().unwrap().rx_missed;
    send(world.pool, &mut world.far[0].1, &[frame([2; 6], 4000)]);
    eventually("missed", || port.stats().unwrap().rx_missed == missed + 1);
}

/// Carrier of the netdev, which the device reports by itself.
fn links(port: &Port<'_>, changes: &mpsc::Receiver<bool>) {
    assert!(port.reports_link() && port.link().unwrap().up);
    let wait = Duration::from_secs(5);
    for (state, up) in [("down", false), ("up", true)] {
        run(&format!("ip link set dev far0 {state}"));
        assert_eq!(changes.recv_timeout(wait), Ok(up));
        assert_eq!(port.link().unwrap().up, up);
    }
    // Once each.
    run("ip link set dev wire0 alias something");
    let quiet = changes.recv_timeout(Duration::from_millis(200));
    assert_eq!(quiet, Err(mpsc::RecvTimeoutError::Timeout));
}

fn in_the_namespace() {
    run("ip link set dev lo up");
    for n in 0..2 {
        run(&format!(
            "ip link add wire{n} mtu 5000 type veth peer name far{n} mtu 5000"
        ));
        run(&format!("sysctl -qw net.ipv6.conf.far{n}.disable_ipv6=1"));
        run(&format!("ip link set dev wire{n} up"));
        run(&format!("ip link set dev far{n} up"));
    }
    run("ip address add 10.9.0.2/24 dev far0");

    let eal = eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let jumbo = PoolOptions {
        buffers: 1023,
        data_room: 9728,
        ..PoolOptions::default()
    };
    let jumbo = Pool::new(eal.handle(), jumbo).unwrap();
    let (sender, changes) = mpsc::channel();
    let near = |n: usize, changed: Option<mpsc::Sender<bool>>| {
        let options = PortOptions {
            mtu: Some(1500),
            flow: Some(FlowOptions::default()),
            ..PortOptions::new(
                format!("wire{n}"),
                format!("net_evenpath_sim{n},profile=bf3,iface=wire{n},function={n}"),
            )
        };
        let changed = changed.map(|c| Box::new(move |up| c.send(up).unwrap()) as _);
        Port::open(&pool, &options, changed).unwrap()
    };
    let mut near = [near(0, Some(sender)), near(1, None)];
    // The netdev's MTU is the port's.
    assert!(run("ip -o link show dev wire0").contains("mtu 1500"));
    run("ip link set dev wire0 mtu 5000");
    run("ip link set dev wire1 mtu 5000");
    let far = |n: usize| {
        let frames = "blocksz=65536,framesz=8192,framecnt=256";
        let device = format!("net_af_packet{n},iface=far{n},{frames}");
        support::open(&jumbo, format!("far{n}"), device, None)
    };
    let mut far = [far(0), far(1)];
    for port in near.iter_mut().chain(&mut far) {
        port.start().unwrap();
    }
    assert!(run("ip -o link show dev wire0").contains("NOARP"));

    let mut world = World {
        pool: &jumbo,
        far: [queues(&far[0]), queues(&far[1])],
        worker: queues(&near[0]),
    };
    let capabilities = Profile::bf3().switchdev().capabilities;
    let ports = [(PortId(0), &near[0]), (PortId(1), &near[1])];
    let mut flow = Flow::new(&ports, capabilities).unwrap();
    program(&mut flow);
    forwarded(&mut world, &mut flow, &near[0]);
    left(&mut world, &near[0]);
    links(&near[0], &changes);
    flow.close().unwrap();
    drop(near);
    drop(far);
    assert_eq!((pool.in_use(), jumbo.in_use()), (0, 0));
    let after = run("ip -o link show dev wire0");
    assert!(!after.contains("NOARP"), "as it was: {after}");
    let ipv6 = run("sysctl -n net.ipv6.conf.wire0.disable_ipv6");
    assert_eq!(ipv6.trim(), "0");
}

#[test]
fn a_wire_may_end_in_a_netdev() {
    const INSIDE: &str = "EVENPATH_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return in_the_namespace();
    }
    let output = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_wire_may_end_in_a_netdev", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare of util-linux is needed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "as root, inside: {said}");
}

//! A small program through the real entry points of rte_flow: wrapper, DPDK, driver, e-switch, and back.

mod support;

use fastpath::dpdk::{Flow, FlowOptions, Pool, PoolOptions, Port, RxQueue, TxQueue};
use fastpath::hardware::program::{
    Action, ActionsTemplate, Does, Domain, Field, Group, HashFunction, Insertion, Item, Modify,
    Operation, PatternTemplate, Place, Rule, RuleId, Table, TableId, Target,
};
use fastpath::hardware::sim::Profile;
use fastpath::hardware::{Capabilities, Completion, Error, Steering};
use fastpath::table::PortId;
use support::{open, received};

/// The program's numbers, which are not DPDK's.
const WIRE: PortId = PortId(10);
const HOST: PortId = PortId(11);

const ROUTER: u128 = 0x0200_0000_0099;
const NEXT: u64 = 0x0200_0000_0a0a;
const OURS: u64 = 0x0200_0000_0b0b;

/// UDP over IPv4 with this TTL, from 10.0.0.1:1000 to 10.0.`net`.2:`port`.
fn frame(net: u8, ttl: u8, port: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 1, 0, 8, 0];
    let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, ttl, 17, 0, 0];
    header.extend([10, 0, 0, 1, 10, 0, net, 2]);
    let sum = fastpath::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.extend([0x03, 0xe8]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    bytes
}

/// The same as the next hop gets it.
fn forwarded(net: u8, ttl: u8, port: u16) -> Vec<u8> {
    let mut bytes = frame(net, ttl - 1, port);
    bytes[..6].copy_from_slice(&NEXT.to_be_bytes()[2..]);
    bytes[6..12].copy_from_slice(&OURS.to_be_bytes()[2..]);
    bytes
}

fn table(id: u32, group: u32, size: u32, pattern: PatternTemplate, acts: &[&[Action]]) -> Table {
    Table {
        id: TableId(id),
        port: WIRE,
        domain: Domain::Transfer,
        group: Group(group),
        priority: 0,
        insertion: Insertion::Pattern,
        size,
        pattern,
        actions: acts.iter().map(|a| ActionsTemplate::per_rule(a)).collect(),
    }
}

fn rewrite() -> Vec<Action> {
    vec![
        Action::Count,
        Action::Modify(Modify::set(Target::MacDestination, NEXT)),
        Action::Modify(Modify::set(Target::MacSource, OURS)),
        Action::Modify(Modify::decrement(Target::Ipv4Ttl)),
        Action::RepresentedPort(HOST),
    ]
}

/// Rows of the group: the fewest that the NIC has.
const ROWS: u32 = 16;

/// Root, prefixes of 24 bits, rows, next hop.
fn tables() -> [Table; 4] {
    let root = PatternTemplate::exact(&[Item::Eth], &[Field::EthDestination, Field::EthType]);
    let prefix = (Field::Ipv4Destination, 0xffff_ff00);
    let lpm = PatternTemplate::masked(&[Item::Eth, Item::Ipv4], &[prefix]);
    let all = PatternTemplate::exact(&[Item::Eth], &[]);
    let jump = [Action::Jump(Group(9))];
    let mut rows = table(3, 2, ROWS, PatternTemplate::flow4(), &[&jump]);
    rows.insertion = Insertion::Index(HashFunction::Crc32);
    [
        table(1, 0, 4, root, &[&jump]),
        table(2, 1, 16, lpm, &[&jump]),
        rows,
        table(4, 3, 1, all, &[&rewrite(), &[Action::ToManager]]),
    ]
}

fn rule(id: u64, table: u32, place: Place, actions: &[Action]) -> Operation {
    Operation::Insert(Rule {
        id: RuleId(id),
        table: TableId(table),
        place,
        does: Does::new(0, actions),
    })
}

fn values(values: &[u128]) -> Place {
    Place::values(values)
}

fn jump(group: u32) -> [Action; 1] {
    [Action::Jump(Group(group))]
}

const NET: u128 = 0x0a00_0500;

fn rules() -> Vec<Operation> {
    let mut all = vec![
        rule(1, 1, values(&[ROUTER, 0x0800]), &jump(1)),
        rule(2, 2, values(&[NET]), &jump(2)),
        rule(3, 4, values(&[]), &rewrite()),
    ];
    all.extend((0..ROWS).map(|row| rule(10 + u64::from(row), 3, Place::Index(row), &jump(3))));
    all
}

/// One operation, to its end.
fn operate(flow: &mut Flow<'_>, operation: &Operation) -> bool {
    flow.enqueue(0, operation, false, 77).unwrap();
    let mut done = Vec::new();
    flow.pull(0, &mut done).unwrap();
    assert_eq!((done.len(), done[0].cookie), (1, 77));
    done[0].done
}

fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> i32 {
    result.unwrap_err().errno
}

struct Ends<'q> {
    wire: (RxQueue<'q>, TxQueue<'q>),
    host: RxQueue<'q>,
    worker: RxQueue<'q>,
}

/// Frames sent into the wire: what the worker gets, and what the host gets.
fn send(pool: &Pool<'_>, ends: &mut Ends<'_>, frames: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    support::send(pool, &mut ends.wire.1, frames);
    let software = received(&mut ends.worker);
    let sent = received(&mut ends.host);
    assert!(received(&mut ends.wire.0).is_empty());
    (software, sent)
}

/// Tables and rules, in batches that the queue of four operations holds.
fn program(flow: &mut Flow<'_>) {
    for table in tables() {
        flow.create_table(&table).unwrap();
    }
    let (mut done, mut busy) = (Vec::new(), 0);
    for (cookie, operation) in rules().iter().enumerate() {
        while let Err(error) = flow.enqueue(0, operation, true, cookie as u64) {
            assert!(error.is_busy(), "{error}");
            busy += 1;
            assert_eq!(flow.under_way(), 4);
            // Postponed operations do not complete by themselves.
            let before = done.len();
            flow.pull(0, &mut done).unwrap();
            assert_eq!(done.len(), before);
            flow.push(0).unwrap();
            flow.pull(0, &mut done).unwrap();
        }
    }
    flow.push(0).unwrap();
    flow.pull(0, &mut done).unwrap();
    assert_eq!((busy, flow.under_way()), (4, 0));
    let expected = |cookie| Completion { cookie, done: true };
    assert_eq!(done, (0..19).map(expected).collect::<Vec<_>>());
}

/// What must be refused, and changes nothing.
fn refusals(flow: &mut Flow<'_>) {
    let invalid = Error::INVALID;
    // Ours: DPDK would not have looked.
    assert_eq!(errno(flow.push(1)), invalid, "no such queue");
    let other = Operation::Destroy(RuleId(99));
    assert_eq!(errno(flow.enqueue(0, &other, false, 0)), invalid);
    let row = rule(50, 3, Place::Index(ROWS), &jump(3));
    assert_eq!(errno(flow.enqueue(0, &row, false, 0)), invalid, "beyond");
    let row = rule(50, 3, Place::Index(1), &jump(3));
    assert_eq!(errno(flow.enqueue(0, &row, false, 0)), invalid, "taken");
    let update = Operation::Update(RuleId(10), Does::new(0, jump(3)));
    assert_eq!(errno(flow.enqueue(0, &update, false, 0)), invalid, "a row");
    let mut actions = rewrite();
    actions[4] = Action::RepresentedPort(PortId(12));
    let nowhere = Operation::Update(RuleId(3), Does::new(0, actions));
    let refused = errno(flow.enqueue(0, &nowhere, false, 0));
    assert_eq!(refused, Error::NOT_FOUND);
    assert_eq!(
        errno(flow.destroy_table(TableId(4))),
        invalid,
        "it has rules"
    );
    // The driver's: fields that no definer of this NIC holds.
    let mut wide = table(9, 4, ROWS, PatternTemplate::flow6(), &[&jump(3)]);
    wide.insertion = Insertion::Index(HashFunction::Crc32);
    let error = flow.create_table(&wide).unwrap_err();
    assert_eq!(error.errno, Error::TOO_BIG);
    assert!(error.message.contains("definer"), "{error}");
    assert_eq!(flow.under_way(), 0);
}

fn run(flow: &mut Flow<'_>, pool: &Pool<'_>, ends: &mut Ends<'_>) {
    let invalid = Error::INVALID;
    program(flow);
    // Hit: by the host's port, rewritten, and not a packet for the worker. Miss: the worker's.
    let hits: Vec<_> = (0..8).map(|i| frame(5, 64, 2000 + i)).collect();
    let others = [frame(6, 64, 1), vec![0xff; 60]];
    let (software, sent) = send(pool, ends, &[&hits[..], &others].concat());
    assert_eq!(software, others);
    let expected: Vec<_> = (0..8).map(|i| forwarded(5, 64, 2000 + i)).collect();
    assert_eq!(sent, expected);
    let counted = flow.count(RuleId(3)).unwrap();
    assert_eq!(
        (counted.packets, counted.bytes),
        (8, 8 * hits[0].len() as u64)
    );
    assert_eq!(errno(flow.count(RuleId(2))), Error::INVALID, "no COUNT");

    // The row that the device computes is that of our model.
    let values = [0x0a00_0001, 0x0a00_0002, 17, 1000, 2000];
    assert_eq!(flow.table_hash(TableId(3), &values), Ok(0x08b9_2fa2));
    refusals(flow);

    broken_update(flow, pool, ends, &hits);

    // The second of two equal rules fails late, and its handle is to be destroyed.
    let twin = rule(60, 2, values_of_net(), &jump(2));
    assert!(!operate(flow, &twin));
    let update = Operation::Update(RuleId(60), Does::new(0, jump(2)));
    assert_eq!(errno(flow.enqueue(0, &update, false, 0)), Error::INVALID);
    assert!(operate(flow, &Operation::Destroy(RuleId(60))));

    // Back, and then the prefix goes.
    let alive = Operation::Update(RuleId(3), Does::new(0, rewrite()));
    assert!(operate(flow, &alive));
    assert_eq!(send(pool, ends, &hits).1.len(), 8);
    // Which fails late: the rule may be there, and nobody has it.
    let gone = Operation::Destroy(RuleId(2));
    assert!(!operate(flow, &gone));
    assert_eq!((flow.lost(), send(pool, ends, &hits).1.len()), (1, 8));
    assert_eq!(
        errno(flow.enqueue(0, &gone, false, 0)),
        invalid,
        "no handle"
    );
    // It goes with its table.
    flow.destroy_table(TableId(2)).unwrap();
    assert!(operate(flow, &Operation::Destroy(RuleId(1))));
    assert_eq!(send(pool, ends, &hits), (hits, Vec::new()));
}

/// The twentieth operation here completes with an error: the rule does what it did, takes no other
/// update, and stays until its table goes.
fn broken_update(flow: &mut Flow<'_>, pool: &Pool<'_>, ends: &mut Ends<'_>, hits: &[Vec<u8>]) {
    let dead = Does::new(1, [Action::ToManager]);
    let update = Operation::Update(RuleId(3), dead.clone());
    assert!(!operate(flow, &update));
    let (software, sent) = send(pool, ends, &hits[..1]);
    assert_eq!((software.len(), sent.len()), (0, 1));
    // The driver says EBUSY, and nothing is under way.
    let refused = flow.enqueue(0, &update, false, 0).unwrap_err();
    assert!(!refused.is_busy(), "{refused}");
    assert!(operate(flow, &Operation::Destroy(RuleId(3))));
    assert_eq!(errno(flow.count(RuleId(3))), Error::NOT_FOUND);
    assert_eq!(send(pool, ends, &hits[..1]).1.len(), 1, "still in force");
    flow.destroy_table(TableId(4)).unwrap();
    let [.., last] = tables();
    flow.create_table(&last).unwrap();
    let rule = Rule {
        id: RuleId(3),
        table: last.id,
        place: values(&[]),
        does: dead,
    };
    assert!(operate(flow, &Operation::Insert(rule)));
    let (software, sent) = send(pool, ends, hits);
    assert_eq!((software, sent.len()), (hits.to_vec(), 0), "as they came");
}

/// A queue is full when we say so, before the driver is asked, which holds four.
fn shallow<'p>(ports: &[(PortId, &'p Port<'p>)], capabilities: &Capabilities) {
    let capabilities = Capabilities {
        depth: 2,
        ..capabilities.clone()
    };
    let mut flow = Flow::new(ports, capabilities).unwrap();
    let [root, ..] = tables();
    flow.create_table(&root).unwrap();
    let rule = |id: u64| rule(id, 1, values(&[ROUTER, id.into()]), &jump(1));
    for id in 0..2 {
        flow.enqueue(0, &rule(id), true, id).unwrap();
    }
    assert!(flow.enqueue(0, &rule(2), true, 2).unwrap_err().is_busy());
    assert_eq!(flow.under_way(), 2);
    flow.close().unwrap();
}

fn values_of_net() -> Place {
    values(&[NET])
}

#[test]
fn the_nic_forwards_what_it_was_told_to() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let engine = Some(FlowOptions {
        depth: 4,
        ..FlowOptions::default()
    });
    let mut wire = open(
        &pool,
        "wire",
        "net_evenpath_sim0,profile=cx7,late=24,late=30",
        engine,
    );
    let mut host = open(&pool, "host", "net_evenpath_sim1,function=1", engine);
    let mut far = open(
        &pool,
        "far",
        "net_evenpath_wire0,of=net_evenpath_sim0",
        None,
    );
    let mut guest = open(
        &pool,
        "guest",
        "net_evenpath_wire1,of=net_evenpath_sim1",
        None,
    );

    let capabilities = Profile::cx7().switchdev().capabilities;
    let early = Flow::new(&[(WIRE, &wire)], capabilities.clone()).err();
    assert_eq!(early.map(|e| e.errno), Some(Error::INVALID), "not started");
    for port in [&mut wire, &mut host, &mut far, &mut guest] {
        port.start().unwrap();
    }
    assert!(
        Flow::new(&[(WIRE, &far)], capabilities.clone()).is_err(),
        "no engine"
    );

    let ports = [(WIRE, &wire), (HOST, &host)];
    let twice = [ports[0], ports[1], (PortId(12), &wire)];
    assert!(
        Flow::new(&twice, capabilities.clone()).is_err(),
        "a port twice"
    );
    let twice = [ports[0], (WIRE, &host)];
    assert!(
        Flow::new(&twice, capabilities.clone()).is_err(),
        "a number twice"
    );
    shallow(&ports, &capabilities);
    let mut flow = Flow::new(&ports, capabilities.clone()).unwrap();
    assert_eq!(
        (flow.capabilities().queues, flow.capabilities().depth),
        (1, 4)
    );
    let other = Flow::new(&[(WIRE, &host)], capabilities.clone()).err();
    assert_eq!(other.map(|e| e.errno), Some(Error::INVALID), "taken");
    let (mut worker, _) = wire.queues().unwrap();
    let (mut far_rx, mut far_tx) = far.queues().unwrap();
    let (mut guest_rx, _) = guest.queues().unwrap();
    let mut ends = Ends {
        wire: (far_rx.remove(0), far_tx.remove(0)),
        host: guest_rx.remove(0),
        worker: worker.remove(0),
    };
    run(&mut flow, &pool, &mut ends);
    // Workers have seen the misses, and what came while the next hop was dead.
    assert_eq!(wire.stats().unwrap().packets.0, 2 + 8 + 8);
    flow.close().unwrap();
    assert_eq!(pool.in_use(), 0);
}

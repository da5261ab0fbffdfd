//! One table, one rule, one limit at a time.

use super::*;
use crate::hardware::program::{
    ActionsTemplate, Does, Field, HashFunction, Insertion, Item, LINEAR_TAG, Masked, Modify,
    PatternTemplate, Place, Rss, RssFields, Rule, Source, Target, Verb,
};

mod limits;

const P0: PortId = PortId(0);
const P1: PortId = PortId(1);

/// UDP over IPv4 with this TTL, from 10.0.0.1:1000 to 10.0.0.2:`port`.
fn frame(ttl: u8, port: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 8, 0];
    let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, ttl, 17, 0, 0];
    header.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    let sum = crate::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.extend([0x03, 0xe8]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    bytes
}

struct Bench {
    sim: Sim,
    next: u64,
}

impl Bench {
    fn new(profile: Profile) -> Self {
        let mut sim = Sim::new(profile);
        sim.attach(P0, Kind::Uplink, false);
        sim.attach(P1, Kind::Uplink, true);
        sim.attach(PortId(2), Kind::Function, false);
        Bench { sim, next: 0 }
    }

    fn table(
        &mut self,
        group: u32,
        priority: u32,
        insertion: Insertion,
        pattern: PatternTemplate,
        acts: &[&[Action]],
    ) -> Table {
        self.next += 1;
        Table {
            id: TableId(self.next as u32),
            port: P0,
            domain: Domain::Ingress,
            group: Group(group),
            priority,
            insertion,
            size: 64,
            pattern,
            actions: acts.iter().map(|a| ActionsTemplate::per_rule(a)).collect(),
        }
    }

    /// A table of patterns with one action, made.
    fn patterns(
        &mut self,
        group: u32,
        priority: u32,
        fields: &[(Item, Field, u128)],
        action: Action,
    ) -> Table {
        let items: Vec<_> = fields.iter().map(|f| f.0).collect();
        let masks: Vec<_> = fields.iter().map(|f| (f.1, f.2)).collect();
        let pattern = PatternTemplate::masked(&items, &masks);
        let table = self.table(group, priority, Insertion::Pattern, pattern, &[&[action]]);
        self.sim.create_table(&table).unwrap();
        table
    }

    fn rule(&mut self, table: &Table, place: Place, actions: &[Action]) -> Rule {
        self.next += 1;
        Rule {
            id: RuleId(self.next),
            table: table.id,
            place,
            does: Does::new(0, actions),
        }
    }

    fn operate(&mut self, operation: Operation) -> bool {
        self.sim.enqueue(0, &operation, false, 9).unwrap();
        let mut done = Vec::new();
        self.sim.pull(0, &mut done).unwrap();
        assert_eq!((done.len(), done[0].cookie), (1, 9));
        done[0].done
    }

    fn insert(&mut self, table: &Table, place: Place, actions: &[Action]) -> RuleId {
        let rule = self.rule(table, place, actions);
        let id = rule.id;
        assert!(self.operate(Operation::Insert(rule)));
        id
    }

    fn send(&mut self, frame: &[u8]) -> Outcome {
        self.sim.receive(P0, &mut frame.to_vec())
    }
}

const TTL: (Item, Field, u128) = (Item::Ipv4, Field::Ipv4Ttl, 0xff);

fn queue(n: u16) -> Outcome {
    Outcome::Software {
        queue: Some(n),
        mark: None,
        meta: 0,
    }
}

#[test]
fn priorities_masks_and_what_nothing_matches() {
    let mut b = Bench::new(Profile::bf3());
    let nothing = Outcome::Software {
        queue: None,
        mark: None,
        meta: 0,
    };
    assert_eq!(
        b.send(&frame(9, 1)),
        nothing,
        "the root has no rule: software's"
    );
    assert_eq!(
        b.sim.receive(P1, &mut frame(9, 1)),
        Outcome::Kernel,
        "isolated"
    );
    let root = b.patterns(
        0,
        0,
        &[(Item::Ipv4, Field::Ipv4Ttl, 0xf0)],
        Action::Jump(Group(1)),
    );
    b.insert(&root, Place::values([0]), &[Action::Jump(Group(1))]);
    assert_eq!(b.send(&frame(9, 1)), Outcome::Lost(Loss::Miss(Group(1))));
    assert_eq!(b.send(&frame(16, 1)), nothing);
    let coarse = b.patterns(1, 1, &[], Action::Queue(0));
    b.insert(&coarse, Place::values([]), &[Action::Queue(7)]);
    let fine = b.patterns(1, 0, &[TTL], Action::Queue(0));
    let first = b.insert(&fine, Place::values([9]), &[Action::Queue(3)]);
    assert_eq!(b.send(&frame(9, 1)), queue(3));
    assert_eq!(b.send(&frame(8, 1)), queue(7));
    assert!(b.operate(Operation::Update(first, Does::new(0, [Action::Queue(4)]))));
    assert_eq!(b.send(&frame(9, 1)), queue(4));
    // Equal rules do not lie over each other: the second one fails, and is to be destroyed.
    let twin = b.rule(&fine, Place::values([9]), &[Action::Queue(5)]);
    let id = twin.id;
    assert!(!b.operate(Operation::Insert(twin)) && b.operate(Operation::Destroy(id)));
    assert_eq!(b.send(&frame(9, 1)), queue(4));
    assert!(b.operate(Operation::Destroy(first)));
    assert_eq!(b.send(&frame(9, 1)), queue(7));
    assert!(b.sim.misuses().is_empty());
}

#[test]
fn headers_must_be_sound_and_complete_to_match() {
    let mut b = Bench::new(Profile::bf3());
    let items = [Item::Integrity, Item::Eth, Item::Ipv4, Item::Udp];
    let fields = [Field::L3Ok, Field::Ipv4ChecksumOk, Field::Ipv4Fragmented];
    let pattern = PatternTemplate::exact(&items, &fields);
    let table = b.table(0, 0, Insertion::Pattern, pattern, &[&[Action::Queue(0)]]);
    b.sim.create_table(&table).unwrap();
    b.insert(&table, Place::values([1, 1, 0]), &[Action::Queue(1)]);
    let good = frame(64, 9);
    assert_eq!(b.send(&good), queue(1));
    let change = |at: usize, to: u8| {
        let mut bad = good.clone();
        bad[at] = to;
        bad
    };
    let mut short = good.clone();
    short.truncate(14 + 31);
    let mut stump = frame(64, 9);
    stump[16..18].copy_from_slice(&[0, 27]);
    let sum = crate::wire::checksum::checksum(&[&stump[14..24], &[0, 0], &stump[26..34]].concat());
    stump[24..26].copy_from_slice(&sum.to_be_bytes());
    for bad in [
        change(24, 1),
        change(14, 0x55),
        change(14, 0x46),
        short,
        stump,
    ] {
        assert_ne!(b.send(&bad), queue(1), "{bad:x?}");
    }
}

#[test]
fn rows_are_chosen_by_the_crc_and_rewritten_packets_leave_by_a_hairpin() {
    let mut b = Bench::new(Profile::bf3());
    b.sim.hairpin((P0, 20), (P1, 5));
    let root = b.patterns(0, 0, &[], Action::Jump(Group(1)));
    b.insert(&root, Place::values([]), &[Action::Jump(Group(1))]);
    let rewrite = |row: u64| {
        [
            Action::Count,
            Action::Modify(Modify::set(Target::MacDestination, 0x0200_0000_0900 + row)),
            Action::Modify(Modify::decrement(Target::Ipv4Ttl)),
            Action::Queue(20),
        ]
    };
    let insertion = Insertion::Index(HashFunction::Crc32);
    let rows = b.table(1, 0, insertion, PatternTemplate::flow4(), &[&rewrite(0)]);
    b.sim.create_table(&rows).unwrap();
    let mut ids = Vec::new();
    for row in 0..63 {
        ids.push(b.insert(&rows, Place::Index(row), &rewrite(row.into())));
    }
    let golden = [0x0a00_0001, 0x0a00_0002, 17, 1000, 2000];
    assert_eq!(b.sim.table_hash(rows.id, &golden), Ok(0x08b9_2fa2));
    let mut packet = frame(64, 2000);
    assert_eq!(b.sim.receive(P0, &mut packet), Outcome::Sent(P1));
    // The golden vector's row is 34.
    assert_eq!((packet[5], packet[22]), (34, 63));
    assert!(crate::wire::checksum::is_valid(&packet[14..34]));
    assert_eq!(
        b.sim.count(ids[34]),
        Ok(Count {
            packets: 1,
            bytes: 46
        })
    );
    let empty = (0..2000).filter(|p| b.send(&frame(64, *p)) == Outcome::Lost(Loss::EmptyRow));
    assert!(empty.count() > 0, "row 63 was not filled");
    // What it leaves by has rules, too.
    let mut egress = b.table(
        0,
        0,
        Insertion::Pattern,
        PatternTemplate::exact(&[Item::TxQueue], &[Field::TxQueue]),
        &[&rewrite(0)[1..2]],
    );
    (egress.domain, egress.port) = (Domain::Egress, P1);
    b.sim.create_table(&egress).unwrap();
    b.insert(&egress, Place::values([5]), &[rewrite(0xff)[1].clone()]);
    assert_eq!(
        (b.sim.receive(P0, &mut packet), packet[5]),
        (Outcome::Sent(P1), 0xff)
    );
}

/// Another window of the hash in tag 255 gives another row.
#[test]
fn linear_tables_take_their_row_from_the_tag() {
    let mut b = Bench::new(Profile::bf3());
    let copy = |offset, width, from, at| Modify {
        verb: Verb::Set,
        target: Target::Tag(LINEAR_TAG),
        offset,
        width,
        source: Source::Field(from, at),
    };
    let root = b.patterns(0, 0, &[], Action::Jump(Group(1)));
    b.insert(&root, Place::values([]), &[Action::Jump(Group(1))]);
    // Bits 8 to 13 of the hash to the tag's lowest six, counted from the top both.
    let actions = [
        Action::Modify(copy(10, 6, Target::HashResult, 18)),
        Action::Jump(Group(2)),
    ];
    let mut hash = b.table(
        1,
        0,
        Insertion::Index(HashFunction::Crc32),
        PatternTemplate::flow4(),
        &[&actions],
    );
    hash.size = 1;
    b.sim.create_table(&hash).unwrap();
    b.insert(&hash, Place::Index(0), &actions);
    let linear = Insertion::Index(HashFunction::Linear);
    let rows = b.table(
        2,
        0,
        linear,
        PatternTemplate::default(),
        &[&[Action::Queue(0)]],
    );
    b.sim.create_table(&rows).unwrap();
    for row in 0..64 {
        b.insert(&rows, Place::Index(row), &[Action::Queue(row as u16)]);
    }
    assert_eq!(
        b.send(&frame(64, 2000)),
        queue(0x08b9_2fa2_u32 as u16 >> 8 & 63)
    );
}

#[test]
fn the_e_switch_forwards_to_functions_and_from_them_only() {
    let mut b = Bench::new(Profile::bf3().switchdev());
    let pattern = PatternTemplate::exact(&[Item::RepresentedPort], &[Field::RepresentedPort]);
    let mut table = b.table(
        0,
        0,
        Insertion::Pattern,
        pattern,
        &[&[Action::Jump(Group(1))]],
    );
    table.domain = Domain::Transfer;
    b.sim.create_table(&table).unwrap();
    b.insert(&table, Place::values([0]), &[Action::Jump(Group(1))]);
    b.insert(&table, Place::values([2]), &[Action::Jump(Group(1))]);
    let any = PatternTemplate::default();
    let mut out = b.table(
        1,
        0,
        Insertion::Pattern,
        any,
        &[&[Action::RepresentedPort(P0)]],
    );
    out.domain = Domain::Transfer;
    b.sim.create_table(&out).unwrap();
    let rule = b.insert(&out, Place::values([]), &[Action::RepresentedPort(P1)]);
    let from = |b: &mut Bench, port| b.sim.receive(PortId(port), &mut frame(9, 9));
    assert_eq!(from(&mut b, 0), Outcome::Lost(Loss::WireToWire));
    assert_eq!(from(&mut b, 2), Outcome::Sent(P1));
    assert_eq!(from(&mut b, 1), Outcome::Kernel, "missed, and isolated");
    let to_function = Does::new(0, [Action::RepresentedPort(PortId(2))]);
    assert!(b.operate(Operation::Update(rule, to_function)));
    assert_eq!(from(&mut b, 0), Outcome::Sent(PortId(2)));
}

#[test]
fn rss_is_toeplitz_over_a_table_of_queues() {
    let mut b = Bench::new(Profile::cx6dx());
    let key = crate::hash::toeplitz::key(3);
    let rss = |symmetric| Rss {
        queues: (0..32).collect(),
        key: Some(Box::new(key)),
        fields: RssFields::Flow,
        symmetric,
    };
    let indirect = Indirect {
        id: IndirectId(1),
        port: P0,
        domain: Domain::Ingress,
        action: Action::Rss(rss(false)),
    };
    assert!(b.operate(Operation::InsertIndirect(indirect)));
    let root = b.patterns(0, 0, &[], Action::Indirect(IndirectId(1)));
    b.insert(&root, Place::values([]), &[Action::Indirect(IndirectId(1))]);
    let input = [10, 0, 0, 1, 10, 0, 0, 2, 0x03, 0xe8, 0, 80];
    let row = crate::hash::toeplitz::hash(&key, &input) & 31;
    assert_eq!(b.send(&frame(64, 80)), queue(row as u16));
    assert!(b.operate(Operation::UpdateIndirect(
        IndirectId(1),
        Action::Rss(rss(true))
    )));
    let sorted = [&input[..8], &[0, 80, 0x03, 0xe8]].concat();
    let row = crate::hash::toeplitz::hash(&key, &sorted) & 31;
    assert_eq!(b.send(&frame(64, 80)), queue(row as u16));
    let gone = Operation::DestroyIndirect(IndirectId(1));
    assert!(b.sim.enqueue(0, &gone, false, 0).is_err(), "a rule has it");
}

//! Rules that nobody can change any more, and tables that stay.

use super::*;
use crate::hardware::sim::Outcome;

/// UDP over IPv4 to 10.0.`net`.2, for us.
fn frame(net: u8) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9, 9, 8, 0];
    let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, 64, 17, 0, 0];
    header.extend([11, 0, 0, 1, 10, 0, net, 2]);
    let sum = crate::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(header);
    bytes.extend([0x03, 0xe8, 0x07, 0xd0, 0, 12, 0, 0, 1, 2, 3, 4]);
    bytes
}

/// Whether hardware forwards packets to 10.0.`net`.2, by which MAC address; else they are software's.
fn forwarded(engine: &mut Engine<Sim>, net: u8) -> Option<u8> {
    let mut bytes = frame(net);
    match engine.steering_mut().receive(PORT, &mut bytes) {
        Outcome::Sent(OUT) => Some(bytes[5]),
        Outcome::Software { .. } => {
            assert_eq!(bytes, frame(net), "as it came");
            None
        }
        other => panic!("{other:?}"),
    }
}

/// Two prefixes with a group each, and what covers them.
fn programmed() -> Engine<Sim> {
    let mut engine = transit(Design::Rows, Profile::bf3());
    let all = [
        nexthop(0, true),
        nexthop(1, true),
        group(1, &[0]),
        group(2, &[1]),
        prefix("10.0.0.0/8", Some(1)),
        prefix("10.0.5.0/24", Some(1)),
        prefix("10.0.6.0/24", Some(2)),
    ];
    carry(&mut engine, &all);
    assert_eq!(forwarded(&mut engine, 5), Some(0));
    assert_eq!(forwarded(&mut engine, 6), Some(1));
    engine
}

fn fail(engine: &mut Engine<Sim>, change: &Change) {
    engine.steering_mut().set_faults(Faults {
        late: [1].into(),
        ..Faults::default()
    });
    engine.apply(change);
    assert!(engine.settle(1 << 20));
}

fn suspended(engine: &Engine<Sim>) -> bool {
    engine.compiler().standing() == Standing::software(Reason::Suspended)
}

/// Renews what is to be renewed: the tables made for it.
fn renew(engine: &mut Engine<Sim>) -> u64 {
    engine.steering_mut().set_faults(Faults::default());
    engine.retry();
    assert!(engine.settle(1 << 20));
    assert_eq!(engine.compiler().failures(), 0);
    assert_eq!(engine.steering().lost(), 0);
    assert_eq!(engine.steering().misuses(), [""; 0]);
    assert_eq!(engine.compiler().standing().state, State::Hardware);
    engine.steering().tally().tables
}

/// It does what it did and takes no other update: nobody is let in, until its table was made again.
#[test]
fn an_update_that_fails_has_its_table_made_again() {
    for (change, net, after) in [
        (prefix("10.0.5.0/24", Some(2)), 5, Some(1)),
        (group(2, &[0]), 6, Some(0)),
        (nexthop(1, false), 6, None),
    ] {
        let mut engine = programmed();
        fail(&mut engine, &change);
        assert!(suspended(&engine), "{change:?}");
        for net in [5, 6, 7] {
            assert_eq!(forwarded(&mut engine, net), None, "{change:?}");
        }
        assert_eq!(renew(&mut engine), 1, "{change:?}");
        assert_eq!(forwarded(&mut engine, net), after, "{change:?}");
        assert_eq!(forwarded(&mut engine, 7), Some(0), "{change:?}");
    }
}

/// Its handle is void: it is not asked for again, and its table is made again without it.
#[test]
fn a_destruction_that_fails_has_its_table_made_again() {
    let mut engine = programmed();
    fail(&mut engine, &prefix("10.0.6.0/24", None));
    assert!(suspended(&engine) && engine.steering().lost() == 1);
    assert_eq!(forwarded(&mut engine, 6), None);
    // Wanted again, it is nobody's all the same.
    carry(&mut engine, &[prefix("10.0.6.0/24", Some(2))]);
    assert!(suspended(&engine) && engine.steering().lost() == 1);
    carry(&mut engine, &[prefix("10.0.6.0/24", None)]);
    assert_eq!(renew(&mut engine), 1);
    assert_eq!(engine.steering().tally().inserted, 1, "10.0.5.0/24");
    assert_eq!(forwarded(&mut engine, 6), Some(0), "10.0.0.0/8");
    assert_eq!(forwarded(&mut engine, 5), Some(0));
}

/// As long as it is empty, packets would be lost there: nobody is let in before.
#[test]
fn a_table_is_emptied_behind_a_closed_door() {
    let mut engine = programmed();
    fail(&mut engine, &prefix("10.0.5.0/24", Some(2)));
    engine.steering_mut().set_faults(Faults {
        pace: Some(1),
        ..Faults::default()
    });
    engine.retry();
    let mut seen = [0; 2];
    while engine.advance(1, 1) || engine.compiler().under_way() > 0 {
        for net in [5, 6, 7] {
            let sent = forwarded(&mut engine, net);
            assert!(sent.is_none() || sent == Some(u8::from(net != 7)), "{net}");
            seen[usize::from(sent.is_some())] += 1;
        }
    }
    assert!(seen[0] > 15 && seen[1] > 3, "{seen:?}");
    assert_eq!(engine.compiler().standing().state, State::Hardware);
}

/// Rules of the door are renewed though it is open: what they do not take is software's.
#[test]
fn the_door_itself_is_made_again() {
    let mut engine = programmed();
    // The prefix, and then the door that is to be closed for it.
    engine.steering_mut().set_faults(Faults {
        late: (1..=3).collect(),
        ..Faults::default()
    });
    engine.apply(&prefix("10.0.5.0/24", Some(2)));
    assert!(engine.settle(1 << 20));
    assert_eq!(renew(&mut engine), 3, "two of the door, and a length");
    assert_eq!(forwarded(&mut engine, 5), Some(1));
}

/// A table that the driver keeps keeps its group's number, and is asked for again.
#[test]
fn a_table_that_stays_keeps_its_group() {
    let mut engine = programmed();
    let tables = engine.steering().size().0;
    engine.steering_mut().set_faults(Faults {
        kept: [1].into(),
        ..Faults::default()
    });
    engine.apply(&prefix("10.0.6.0/24", None));
    engine.apply(&Change::Group(GroupId(2), None));
    assert!(engine.settle(1 << 20));
    assert_eq!(engine.compiler().failures(), 1);
    let of = |engine: &Engine<Sim>| -> Vec<_> {
        let all = engine.compiler().tables();
        all.map(|(t, _)| (t.group, t.priority, t.id)).collect()
    };
    let kept = of(&engine);
    assert_eq!(kept.len(), engine.steering().size().0);
    engine.apply(&group(3, &[1]));
    engine.apply(&prefix("10.0.6.0/24", Some(3)));
    assert!(engine.settle(1 << 20));
    for (group, priority, id) in of(&engine) {
        let same = |k: &&(_, _, _)| (k.0, k.1) == (group, priority);
        let other = kept.iter().filter(same).any(|k| k.2 != id);
        assert!(!other, "{group:?} is two tables'");
    }
    assert_eq!(renew(&mut engine), 0);
    assert_eq!(engine.steering().size().0, tables);
}

//! What is for the kernel beside a port gets there, whatever its headers are.

use super::*;
use crate::hardware::sim::Outcome;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A packet of that protocol to `to`, with a TTL that is software's, and no sound checksum.
fn packet(to: &str, protocol: u8, ttl: u8) -> Vec<u8> {
    let mut bytes = [&MAC[..], &[2, 0, 0, 0, 1, 0]].concat();
    match to.parse().unwrap() {
        IpAddr::V4(to) => {
            bytes.extend([8, 0, 0x45, 0xc0, 0, 40, 0, 7, 0x20, 0, ttl, protocol, 0, 0]);
            bytes.extend([169, 254, 0, 1]);
            bytes.extend(to.octets());
        }
        IpAddr::V6(to) => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, protocol, ttl]);
            bytes.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 1, 1]);
            bytes.extend(to.octets());
        }
    }
    bytes.extend([0; 20]);
    bytes
}

/// The same behind VLAN tags.
fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], tags.as_flattened(), &frame[12..]].concat()
}

/// Whether such packets are the kernel's, whatever their tags; else they are software's, all of them.
fn is_kernels(engine: &mut Engine<Sim>, to: &str) -> bool {
    let headers = [(6, 1), (58, 255), (1, 64), (17, 64)];
    let frames = headers.map(|(protocol, ttl)| packet(to, protocol, ttl));
    let tags: [&[[u8; 4]]; 3] = [
        &[],
        &[[0x81, 0, 0, 30]],
        &[[0x88, 0xa8, 0, 7], [0x81, 0, 0, 30]],
    ];
    let all = tags
        .into_iter()
        .flat_map(|tags| frames.iter().map(move |f| tagged(f, tags)));
    let each: Vec<bool> = all
        .map(
            |mut frame| match engine.steering_mut().receive(PORT, &mut frame) {
                Outcome::Kernel => true,
                Outcome::Software { .. } => false,
                other => panic!("{to}: {other:?}"),
            },
        )
        .collect();
    assert!(each.iter().all(|one| *one == each[0]), "{to}: {each:?}");
    each[0]
}

fn own(text: &str, is_own: bool) -> Change {
    let address: IpAddr = text.parse().unwrap();
    let length = if address.is_ipv4() { 32 } else { 128 };
    Change::Prefix(address, length, is_own.then_some(Lead::Kernel))
}

#[test]
fn own_addresses_come_before_all_exceptions() {
    let mut engine = two_groups(Profile::bf3());
    let all = ["169.254.0.0", "10.0.0.7", "2001:db8::7", "fd00::1"];
    for to in all {
        assert!(!is_kernels(&mut engine, to), "{to}: not own yet");
    }
    let tally = carry(&mut engine, &all.map(|a| own(a, true)));
    assert_eq!(tally.inserted, 8, "by its door, and as a prefix");
    for to in all {
        assert!(is_kernels(&mut engine, to), "{to}");
    }
    // Nobody tells of these: neighbor discovery asks link-local addresses.
    for to in ["fe80::1:2", "ff02::5", "224.0.0.5"] {
        assert!(is_kernels(&mut engine, to), "{to}");
    }
    // It goes, and a shorter prefix is no own address.
    carry(
        &mut engine,
        &[own(all[1], false), prefix("10.0.0.6/31", None)],
    );
    carry(
        &mut engine,
        &[Change::Prefix([10, 9, 0, 0].into(), 16, Some(Lead::Kernel))],
    );
    for to in [all[1], "10.9.0.1"] {
        assert!(!is_kernels(&mut engine, to), "{to}");
    }
    assert!(is_kernels(&mut engine, all[0]));
    carry(&mut engine, &[own(all[1], true)]);
    assert!(is_kernels(&mut engine, all[1]), "it is back");
    assert_eq!(engine.steering().misuses(), [""; 0]);
    let names: Vec<_> = engine
        .compiler()
        .rules()
        .map(|r| engine.compiler().purpose(r.id))
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|p| matches!(p, Purpose::Own(_)))
            .count(),
        4
    );
}

/// Where the kernel has no netdev of the port they are software's, which hands them to a tap.
#[test]
fn without_a_netdev_there_are_none() {
    let mut config = two_groups(Profile::bf3()).compiler().config().clone();
    if let Role::Transit { kernel, .. } = &mut config.role {
        *kernel = false;
    }
    let mut engine = Engine::new(Sim::new(Profile::bf3()), config);
    engine.steering_mut().attach(PORT, PortKind::Uplink, false);
    let entry = Entry {
        mac: MAC,
        untagged: true,
    };
    carry(
        &mut engine,
        &[Change::Port(PORT, Some(entry)), own("10.0.0.7", true)],
    );
    for to in ["10.0.0.7", "fe80::1", "224.0.0.5"] {
        assert!(!is_kernels(&mut engine, to), "{to}");
    }
}

/// A sound UDP packet of 40 bytes to `to`, which hardware forwards if it has a route.
fn sound(to: [u8; 4]) -> Vec<u8> {
    let mut frame = packet("10.0.0.0", 17, 64);
    frame[30..34].copy_from_slice(&to);
    frame[26..30].copy_from_slice(&[10, 1, 1, 1]);
    frame[20..22].copy_from_slice(&[0x40, 0]);
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = crate::wire::checksum::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[38..40].copy_from_slice(&[0, 20]);
    frame
}

/// What is no own address's goes where it would without a netdev beside: tagged frames to software, and
/// on a port behind a tag all of them.
#[test]
fn tags_are_softwares_behind_own_addresses() {
    for untagged in [true, false] {
        let mut engine = two_groups(Profile::bf3());
        let entry = Entry { mac: MAC, untagged };
        let changes = [
            Change::Port(PORT, Some(entry)),
            prefix("10.0.0.0/8", Some(1)),
            own("10.0.0.7", true),
        ];
        carry(&mut engine, &changes);
        for (tags, to, expected) in [
            (
                &[][..],
                [10, 9, 9, 9],
                if untagged { "hardware" } else { "software" },
            ),
            (&[[0x81, 0, 0, 30]], [10, 9, 9, 9], "software"),
            (&[], [10, 0, 0, 7], "kernel"),
            (&[[0x81, 0, 0, 30]], [10, 0, 0, 7], "kernel"),
        ] {
            let outcome = engine
                .steering_mut()
                .receive(PORT, &mut tagged(&sound(to), tags));
            let found = match outcome {
                Outcome::Kernel => "kernel",
                Outcome::Software { .. } => "software",
                Outcome::Sent(OUT) => "hardware",
                _ => "nobody",
            };
            assert_eq!(found, expected, "{untagged} {tags:?} {to:?}: {outcome:?}");
        }
        assert_eq!(engine.steering().misuses(), [""; 0]);
    }
}

/// Each operation fails late once: nothing is lost, and the next attempt heals it.
#[test]
fn an_own_address_whose_rule_fails_heals() {
    for late in 1..=4 {
        let mut engine = two_groups(Profile::bf3());
        carry(&mut engine, &[own("10.0.0.7", true)]);
        engine.steering_mut().set_faults(Faults {
            late: [late].into(),
            ..Faults::default()
        });
        engine.apply(&own("10.0.0.7", false));
        engine.apply(&own("10.0.0.8", true));
        assert!(engine.settle(1 << 20));
        for _ in 0..3 {
            engine.retry();
            assert!(engine.settle(1 << 20));
        }
        assert_eq!(engine.compiler().failures(), 0, "{late}");
        assert!(is_kernels(&mut engine, "10.0.0.8"), "{late}");
        assert!(!is_kernels(&mut engine, "10.0.0.7"), "{late}");
        assert_eq!(engine.steering().misuses(), [""; 0]);
    }
}

/// More own addresses than have room go the way of prefixes, until there is some.
#[test]
fn who_finds_no_room_gets_the_next() {
    let mut engine = two_groups(Profile::bf3());
    let address = |n: u32| std::net::Ipv4Addr::from_bits(0x0b00_0000 + n).to_string();
    let all: Vec<Change> = (0..1025).map(|n| own(&address(n), true)).collect();
    carry(&mut engine, &all);
    assert!(is_kernels(&mut engine, &address(3)));
    assert!(!is_kernels(&mut engine, &address(1024)));
    carry(&mut engine, &[own(&address(3), false)]);
    assert!(is_kernels(&mut engine, &address(1024)));
}

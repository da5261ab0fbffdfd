//! Each operation may fail: packets go by software then, what is said of the state is true, and a
//! later attempt heals it.

use crate::oracle::judge;
use crate::traffic::Random;
use crate::world::{Setting, World, group};
use fastpath::hardware::compile::{Design, Reason, State};
use fastpath::hardware::plan::{Change as Planned, Lead, NexthopId};
use fastpath::hardware::sim::{Faults, Profile};
use fastpath::hash::{Policy, Settings};
use std::net::IpAddr;

/// What fails, by its ordinal number.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// An operation completes with an error.
    Late(u64),
    /// It is refused.
    Refused(u64),
    /// A table is not made.
    Table(u64),
}

impl Fault {
    fn faults(self) -> Faults {
        let mut faults = Faults::default();
        match self {
            Fault::Late(n) => faults.late.insert(n),
            Fault::Refused(n) => faults.refused.insert(n),
            Fault::Table(n) => faults.tables.insert(n),
        };
        faults
    }
}

fn prefix(text: &str) -> (IpAddr, u8) {
    let (address, length) = text.split_once('/').unwrap();
    (address.parse().unwrap(), length.parse().unwrap())
}

fn lead(world: &mut World, text: &str, to: Option<u32>) {
    let (address, length) = prefix(text);
    world.set_prefix(address, length, to.map(|n| Lead::Group(group(n))));
}

/// Small tables, nested prefixes, both families.
fn plan(world: &mut World) {
    let design = match world.setting {
        Setting::Dpu => Design::Rows,
        Setting::Transit(design) => design,
    };
    world.set_hash(&Policy::new(Settings::new(design.hash()), Vec::new()));
    let ports = match world.setting {
        // Packets come in by port 0: a function.
        Setting::Dpu => [1, 2, 4, 1],
        Setting::Transit(_) => [1, 2, 4, 2],
    };
    for (n, port) in (0..).zip(ports) {
        world.set_nexthop(n, Some(World::adjacency(n, port, 1500)));
    }
    world.set_group(0, Some(vec![0, 1, 0, 1]));
    world.set_group(1, Some(vec![2]));
    world.set_group(2, Some(vec![1, 2]));
    for (text, to) in [
        ("0.0.0.0/0", 1),
        ("10.0.0.0/8", 0),
        ("10.1.0.0/16", 1),
        ("10.1.4.0/22", 2),
        ("2001:db8::/32", 0),
        ("2001:db8:0:4000::/50", 2),
    ] {
        lead(world, text, Some(to));
    }
}

type Change = (&'static str, fn(&mut World));

/// One of every kind.
const CHANGES: [Change; 13] = [
    ("a new prefix", |w| lead(w, "10.1.5.0/24", Some(0))),
    ("a new prefix of eight rules", |w| {
        lead(w, "10.16.0.0/13", Some(1))
    }),
    ("a prefix moves", |w| lead(w, "10.1.0.0/16", Some(2))),
    ("a prefix goes", |w| lead(w, "10.1.4.0/22", None)),
    ("the default route goes", |w| lead(w, "0.0.0.0/0", None)),
    ("other members", |w| w.set_group(0, Some(vec![0, 2, 0, 2]))),
    ("more buckets", |w| w.set_group(2, Some(vec![1, 2, 3, 1]))),
    ("one member", |w| w.set_group(0, Some(vec![1]))),
    ("several members", |w| w.set_group(1, Some(vec![0, 2]))),
    ("a dead next hop", |w| w.set_nexthop(1, None)),
    ("another MAC address", |w| {
        w.set_nexthop(1, Some(World::adjacency(77, 2, 1500)))
    }),
    ("another port", |w| {
        w.set_nexthop(2, Some(World::adjacency(2, 1, 1500)))
    }),
    ("another hash", |w| w.set_hash(&Policy::default())),
];

/// Hardware and software agree, or software forwards; and what is said of each prefix is so. How many
/// packets hardware forwarded.
fn inspect(world: &mut World, packets: usize, what: &dyn Fn() -> String) -> usize {
    let mut random = Random(5);
    let mut forwarded = 0;
    for _ in 0..packets {
        let frame = random.plain(0);
        let (software, hardware) = (world.stages(0, &frame), world.hardware(0, &frame));
        let sent = judge(&frame, &software, &hardware);
        let sent = sent.unwrap_or_else(|why| panic!("{}: {frame:02x?}: {why}", what()));
        forwarded += usize::from(sent);
        let state = state(world, &frame);
        let is_true = match state {
            None => !sent,
            Some(State::Software) => !sent,
            Some(State::Hardware) => sent || is_martian(&frame),
            Some(State::Partial) => true,
        };
        assert!(
            is_true,
            "{}: {state:?}, and sent: {sent}: {frame:02x?}",
            what()
        );
    }
    forwarded
}

fn destination(frame: &[u8]) -> IpAddr {
    if frame[12] == 0x86 {
        <[u8; 16]>::try_from(&frame[38..54]).unwrap().into()
    } else {
        <[u8; 4]>::try_from(&frame[30..34]).unwrap().into()
    }
}

/// What no rule lets in, whatever prefix it is under.
fn is_martian(frame: &[u8]) -> bool {
    let is = |address: IpAddr| match address {
        IpAddr::V4(a) => matches!(a.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(a) => {
            let local = a.segments()[0] & 0xffc0 == 0xfe80;
            local || a.is_multicast() || a.to_bits() <= 1
        }
    };
    let source: IpAddr = if frame[12] == 0x86 {
        <[u8; 16]>::try_from(&frame[22..38]).unwrap().into()
    } else {
        <[u8; 4]>::try_from(&frame[26..30]).unwrap().into()
    };
    is(destination(frame)) || is(source)
}

/// What is said of the prefix that a frame goes by.
fn state(world: &World, frame: &[u8]) -> Option<State> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(four) => u128::from(four.to_bits()) << 96,
        IpAddr::V6(six) => six.to_bits(),
    };
    let address = destination(frame);
    let covers = |(prefix, length): &&(IpAddr, u8)| {
        let differing = bits(*prefix) ^ bits(address);
        prefix.is_ipv4() == address.is_ipv4() && differing.leading_zeros() >= u32::from(*length)
    };
    let longest = world.prefixes.keys().filter(covers).max_by_key(|p| p.1)?;
    Some(world.nics[0].compiler().prefix(longest.0, longest.1).state)
}

const EACH: [(Setting, fn() -> Profile); 3] = [
    (Setting::Transit(Design::Rows), Profile::bf3),
    (Setting::Transit(Design::Rss), Profile::cx7),
    (Setting::Dpu, Profile::bf3),
];

/// Runs `change` with one fault after another; how many there were.
fn try_all(
    setting: Setting,
    profile: &Profile,
    name: &str,
    change: fn(&mut World),
    step: u64,
) -> u64 {
    let mut faults = 0;
    let programmed = |profile: &Profile| {
        let mut world = World::with_nics(setting, profile, 1);
        if name != "all of it" {
            plan(&mut world);
        }
        world.settle();
        world
    };
    let mut world = programmed(profile);
    world.nics[0].steering_mut().set_faults(Faults::default());
    change(&mut world);
    world.settle();
    let tally = world.nics[0].steering().tally();
    let expected = inspect(&mut world, 60, &|| format!("{setting:?}: {name}"));
    let size = world.nics[0].steering().size();
    let operations = (1..=tally.operations).step_by(step as usize);
    let tables = (1..=tally.tables).step_by(step as usize).map(Fault::Table);
    let all = operations
        .flat_map(|n| [Fault::Late(n), Fault::Refused(n)])
        .chain(tables);
    for fault in all {
        let what = || format!("{setting:?}: {name}: {fault:?}");
        let mut world = programmed(profile);
        world.nics[0].steering_mut().set_faults(fault.faults());
        change(&mut world);
        world.settle();
        inspect(&mut world, 60, &what);
        faults += 1;
        for _ in 0..3 {
            world.nics[0].retry();
            world.settle();
        }
        let nic = &world.nics[0];
        assert_eq!(nic.compiler().failures(), 0, "{}", what());
        assert_eq!(nic.steering().misuses(), [""; 0], "{}", what());
        assert_eq!(nic.steering().size(), size, "{}", what());
        let healed = inspect(&mut world, 60, &what);
        assert_eq!(healed, expected, "{}", what());
    }
    faults
}

/// Where rules send, they count: each packet that hardware forwards is one of its next hop's.
#[test]
fn hardware_counts_what_it_forwards() {
    for (setting, profile) in EACH {
        let mut world = World::with_nics(setting, &profile(), 1);
        plan(&mut world);
        world.settle();
        let forwarded = inspect(&mut world, 300, &|| format!("{setting:?}"));
        let of = |n| world.nics[0].nexthop_count(NexthopId(n));
        let counts: Vec<_> = (0..4).map(of).collect();
        let packets: u64 = counts.iter().map(|c| c.packets).sum();
        let rewrites_on_egress = setting == Setting::Transit(Design::Rss);
        let expected = if rewrites_on_egress {
            0
        } else {
            forwarded as u64
        };
        assert_eq!(packets, expected, "{setting:?}: {counts:?}");
        // 20 bytes of data behind UDP: 62 with IPv4, 82 with IPv6.
        let bytes: u64 = counts.iter().map(|c| c.bytes).sum();
        assert!(bytes >= packets * 62 && bytes <= packets * 82, "{counts:?}");
    }
}

/// A queue may be full though nothing of ours is in it: the change is not done, and is not forgotten.
#[test]
fn a_full_queue_is_asked_again() {
    for (setting, profile) in EACH {
        let mut world = World::with_nics(setting, &profile(), 1);
        plan(&mut world);
        world.settle();
        let nic = &mut world.nics[0];
        let busy = [1, 2].into();
        nic.steering_mut().set_faults(Faults {
            busy,
            ..Faults::default()
        });
        nic.apply(&Planned::Nexthop(NexthopId(1), None));
        for _ in 0..2 {
            assert!(!nic.turn(), "{setting:?}");
            assert!(nic.compiler().under_way() > 0, "{setting:?}");
        }
        assert!(nic.turn() && nic.settle(9), "{setting:?}");
        assert_eq!(nic.operations().waited, 2, "{setting:?}");
        assert_eq!(nic.operations().failed, 0, "{setting:?}");
    }
}

#[test]
fn any_operation_of_a_change_may_fail() {
    for (setting, profile) in EACH {
        let mut faults = 0;
        for (name, change) in CHANGES {
            faults += try_all(setting, &profile(), name, change, 1);
        }
        assert!(faults > 100, "{setting:?}: {faults}");
    }
}

#[test]
fn any_operation_of_the_first_program_may_fail() {
    for (setting, profile) in EACH {
        let faults = try_all(setting, &profile(), "all of it", plan, 1);
        assert!(faults > 50, "{setting:?}: {faults}");
    }
}

/// Whatever comes first, nothing is left half done when nothing is under way.
#[test]
fn what_is_begun_is_ended() {
    for (setting, profile) in EACH {
        let mut random = Random(0x656e_6465);
        for nth in 0..40 {
            let mut world = World::with_nics(setting, &profile(), 1);
            // Groups may come before next hops, and both before those are resolved.
            if random.one_in(2) {
                for n in 0..3 {
                    world.set_group(n, Some(vec![n, n + 1]));
                    let net = ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"][n as usize];
                    lead(&mut world, net, Some(n));
                }
                if random.one_in(2) {
                    world.settle();
                }
            }
            plan(&mut world);
            for n in 0..4 {
                if random.one_in(2) {
                    world.set_nexthop(n, None);
                }
            }
            if random.one_in(2) {
                world.settle();
            }
            for _ in 0..random.below(12) {
                let n = random.below(4) as u32;
                match random.below(3) {
                    0 => world.set_nexthop(n, None),
                    1 => world
                        .set_nexthop(n, Some(World::adjacency(n, [1, 2, 4, 1][n as usize], 1500))),
                    _ => world.set_group(n % 3, Some((0..8).map(|b| (b + n) % 4).collect())),
                }
                if random.one_in(2) {
                    world.settle();
                }
            }
            world.settle();
            let compiler = world.nics[0].compiler();
            for group in (0..3).map(group) {
                let standing = compiler.group(group);
                let building = standing.reasons.contains(&Reason::Building);
                assert!(!building, "{setting:?}, {nth}: {group:?}: {standing:?}");
            }
        }
    }
}

//! Whatever happened, a program is as if compiled anew; and each kind of thing that is not is named.

mod copying;

use super::super::compile::{Config, Design, Hairpin, Role};
use super::super::engine::Engine;
use super::super::plan::{Entry, Lead, NexthopId};
use super::super::program::{Rss, RssFields};
use super::super::sim::{Faults, Kind, Profile, Sim};
use super::*;
use crate::hash::{Choice, Settings};
use crate::table::{Adjacency, GroupId};
use std::collections::BTreeMap;
use std::net::IpAddr;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const SETTINGS: [Setting; 3] = [Setting::Dpu, Setting::Rows, Setting::Rss];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    Dpu,
    Rows,
    Rss,
}

impl Setting {
    fn design(self) -> Design {
        match self {
            Setting::Dpu | Setting::Rows => Design::Rows,
            Setting::Rss => Design::Rss,
        }
    }
}

fn engine(setting: Setting) -> Engine<Sim> {
    let (port, egress) = (PortId(0), [PortId(1), PortId(2)]);
    let (mut sim, role) = match setting {
        Setting::Dpu => {
            let role = Role::Dpu {
                proxy: port,
                uplinks: vec![port],
                functions: egress.to_vec(),
            };
            (Sim::new(Profile::bf3().switchdev()), role)
        }
        Setting::Rows | Setting::Rss => {
            let hairpins = (0..16).map(|n| Hairpin {
                egress: egress[usize::from(n) % 2],
                queue: 8 + n,
                tx_queue: 40 + n,
            });
            let role = Role::Transit {
                port,
                hairpins: hairpins.collect(),
                software: Rss {
                    queues: vec![0, 1],
                    key: None,
                    fields: RssFields::Flow,
                    symmetric: false,
                },
                kernel: true,
            };
            (Sim::new(Profile::bf3()), role)
        }
    };
    for n in 0..3 {
        let kind = match setting {
            Setting::Dpu if n > 0 => Kind::Function,
            _ => Kind::Uplink,
        };
        sim.attach(PortId(n), kind, setting != Setting::Dpu);
    }
    if let Role::Transit { hairpins, .. } = &role {
        for h in hairpins {
            sim.hairpin((port, h.queue), (h.egress, h.tx_queue));
        }
    }
    Engine::new(sim, Config::new(role, setting.design(), 1500))
}

/// The plan, by what each change is about: later ones replace earlier ones.
#[derive(Clone, Default)]
struct Plan(BTreeMap<String, Change>);

impl Plan {
    fn new(setting: Setting) -> Self {
        let entry = Entry {
            mac: MAC,
            untagged: true,
        };
        let mut plan = Plan::default();
        plan.put(Change::Hash(Box::new(
            Settings::new(setting.design().hash()).into(),
        )));
        for n in 0..3 {
            plan.put(Change::Port(PortId(n), Some(entry)));
        }
        for n in 0..4 {
            plan.put(hop(n, n as u8));
        }
        plan.put(group(1, &[0, 1, 2, 3]));
        plan.put(group(2, &[2]));
        plan.put(prefix("10.0.0.0", 8, Some(1)));
        plan.put(prefix("10.2.0.0", 15, Some(2)));
        plan.put(prefix("2001:db8::", 32, Some(1)));
        plan
    }

    fn put(&mut self, change: Change) {
        let key = match &change {
            Change::Port(port, _) => format!("1 {}", port.0),
            Change::Nexthop(id, _) => format!("2 {}", id.0),
            Change::Group(id, _) => format!("3 {}", id.0),
            Change::Prefix(address, length, _) => format!("4 {address}/{length}"),
            Change::Hash(_) => "0".into(),
        };
        self.0.insert(key, change);
    }
}

fn hop(n: u32, mac: u8) -> Change {
    let port = PortId(1 + n as u16 % 2);
    let adjacency = Adjacency::forward(port, 1500, [2, 0, 0, 0, 1, mac], MAC, 0);
    Change::Nexthop(NexthopId(n), Some(adjacency))
}

fn group(id: u32, members: &[u32]) -> Change {
    let buckets = (0..16).map(|b| NexthopId(members[b % members.len()]));
    Change::Group(GroupId(id), Some(buckets.collect()))
}

fn prefix(address: &str, length: u8, group: Option<u32>) -> Change {
    let lead = group.map(|g| Lead::Group(GroupId(g)));
    Change::Prefix(address.parse().unwrap(), length, lead)
}

fn settle(engine: &mut Engine<Sim>, changes: &[Change]) {
    for change in changes {
        engine.apply(change);
    }
    assert!(engine.settle(usize::MAX));
}

fn differences(engine: &Engine<Sim>, plan: &Plan) -> Vec<Difference> {
    let found = Snapshot::of(engine.compiler());
    let planned = found.anew(plan.0.values());
    assert!(planned.rules() > 30);
    found.differences(&planned)
}

/// A NIC that has followed one plan, held against another one.
fn between(setting: Setting, change: Change) -> Vec<[String; 3]> {
    let mut plan = Plan::new(setting);
    let mut engine = engine(setting);
    settle(&mut engine, &plan.0.values().cloned().collect::<Vec<_>>());
    assert_eq!(differences(&engine, &plan), [], "{setting:?}");
    plan.put(change);
    let found = differences(&engine, &plan).into_iter();
    found.map(|d| [d.object, d.planned, d.found]).collect()
}

#[test]
fn each_kind_of_thing_that_is_not_as_planned_is_named() {
    for setting in SETTINGS {
        let lost = between(setting, prefix("10.9.0.0", 16, Some(2)));
        assert_eq!(lost.len(), 1, "{setting:?} {lost:?}");
        assert_eq!(
            lost[0],
            ["prefix 10.9.0.0/16", "to group 2, IPv4", "no rule"].map(String::from)
        );
        let extra = between(setting, prefix("2001:db8::", 32, None));
        assert!(
            extra
                .iter()
                .any(|d| d[0] == "prefix 2001:db8::/32" && d[1] == "no rule"),
            "{extra:?}"
        );
        let moved = between(setting, prefix("10.0.0.0", 8, Some(2)));
        let words = ["prefix 10.0.0.0/8", "to group 2, IPv4", "to group 1, IPv4"];
        assert!(
            moved.contains(&words.map(String::from)),
            "{setting:?} {moved:?}"
        );
        // A prefix of 15 bits is two rules of 16.
        let kernel = Change::Prefix([10, 2, 0, 0].into(), 15, Some(Lead::Software));
        assert_eq!(between(setting, kernel).len(), 2, "{setting:?}");
        let mac = between(setting, hop(1, 0x77));
        assert!(!mac.is_empty() && mac.len() <= 6, "{setting:?} {mac:?}");
        if setting != Setting::Rss {
            assert_eq!(mac.len(), 2, "one a family: {mac:?}");
            assert_eq!(mac[0][0], "nexthop 1, IPv4");
            assert!(
                mac[0][1].contains("destination MAC 020000000177"),
                "{mac:?}"
            );
            assert!(
                mac[0][2].contains("destination MAC 020000000101"),
                "{mac:?}"
            );
        }
        let dead = between(setting, Change::Nexthop(NexthopId(1), None));
        assert!(!dead.is_empty(), "{setting:?}");
        let members = between(setting, group(1, &[0, 1, 2, 2]));
        assert!(
            members.iter().any(|d| d[0].starts_with("group 1, IPv4")),
            "{members:?}"
        );
        let entry = Entry {
            mac: [2, 0, 0, 0, 0, 0x11],
            untagged: true,
        };
        let port = between(setting, Change::Port(PortId(0), Some(entry)));
        assert_eq!(
            port.len(),
            8,
            "four rules there ought to be, and four there are: {port:?}"
        );
        assert!(
            port.iter()
                .all(|d| d[0].starts_with("entry of a port: group 0, "))
        );
        let policy = Settings::new(Choice::default()).into();
        let hash = between(setting, Change::Hash(Box::new(policy)));
        assert!(
            hash.iter()
                .all(|d| d[0].starts_with("group 1, ") && d[1] == "to software"),
            "{hash:?}"
        );
        assert_eq!(hash.len(), 2);
    }
}

#[test]
fn what_failed_is_a_difference() {
    let (plan, mut engine) = (Plan::new(Setting::Dpu), engine(Setting::Dpu));
    engine.steering_mut().set_faults(Faults {
        late: [90].into(),
        ..Faults::default()
    });
    for change in plan.0.values() {
        engine.apply(change);
    }
    engine.settle(usize::MAX);
    assert_eq!(engine.compiler().failures(), 1);
    let found = differences(&engine, &plan);
    assert!(
        found.iter().any(|d| d.found == "1 failed, 0 under way"),
        "{found:?}"
    );
    assert!(found.len() > 1);
    engine.retry();
    assert!(engine.settle(usize::MAX));
    assert_eq!(differences(&engine, &plan), []);
}

/// Numbers below what is asked for; xorshift64.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % below
    }
}

/// Any change of next hops, groups or prefixes.
fn any(random: &mut impl FnMut(u64) -> u64) -> Change {
    match random(5) {
        0 => {
            let n = random(6) as u32;
            match random(3) {
                0 => Change::Nexthop(NexthopId(n), None),
                _ => hop(n, random(4) as u8),
            }
        }
        1 | 2 => {
            let members: Vec<u32> = (0..=random(4)).map(|_| random(6) as u32).collect();
            match random(8) {
                0 => Change::Group(GroupId(random(4) as u32), None),
                _ => group(random(4) as u32, &members),
            }
        }
        _ => {
            let length = 8 + random(9) as u8;
            let bits = (10 << 24 | random(1 << 16) as u32) & !(u32::MAX >> length);
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(bits));
            let lead = match random(6) {
                0 => None,
                1 => Some(Lead::Software),
                _ => Some(Lead::Group(GroupId(random(4) as u32))),
            };
            Change::Prefix(address, length, lead)
        }
    }
}

#[test]
fn whatever_happened_a_program_is_as_if_compiled_anew() {
    let mut random = random(0x9e37_79b9_7f4a_7c15);
    for setting in SETTINGS {
        let (mut plan, mut engine) = (Plan::new(setting), engine(setting));
        settle(&mut engine, &plan.0.values().cloned().collect::<Vec<_>>());
        for step in 0..300 {
            let change = any(&mut random);
            plan.put(change.clone());
            settle(&mut engine, &[change]);
            if step % 10 == 0 {
                assert_eq!(differences(&engine, &plan), [], "{setting:?} {step}");
            }
        }
    }
}

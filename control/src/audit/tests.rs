//! Each kind of thing is spoiled once, and named.

use super::*;
use crate::api::{Reply, Request, Response};
use crate::config::Config;
use crate::dplane::Fixed;
use crate::event::Noticed;
use crate::port::Device;
use fastpath::hash::Policy;
use fastpath::table::group::Bucket;
use fastpath::table::naive::NaiveLpm;
use fastpath::table::{Tables, View, Writer};
use std::net::IpAddr;
use std::sync::Arc;

const CONFIG: &str = r#"
[[port]]
name = "host0"
device = "net_null0"
kernel = "none"
[[port]]
name = "up1"
device = "net_null1"
kernel = "none"
[[port]]
name = "up2"
device = "net_null2"
kernel = "none"
[[address]]
port = "up1"
address = "169.254.0.0/31"
[[address]]
port = "up2"
address = "169.254.0.2/31"
[[neighbor]]
port = "up1"
address = "169.254.0.1"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "up2"
address = "169.254.0.3"
mac = "02:00:00:00:00:12"
[[neighbor]]
port = "up1"
address = "fe80::1"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "up2"
address = "fe80::3"
mac = "02:00:00:00:00:12"
[[route]]
prefix = "0.0.0.0/0"
nexthops = [{ via = "169.254.0.1", port = "up1" }]
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "169.254.0.1", port = "up1" }, { via = "169.254.0.3", port = "up2" }]
[[route]]
prefix = "10.0.0.0/9"
nexthops = [{ via = "169.254.0.3", port = "up2" }]
[[route]]
prefix = "10.128.0.0/10"
type = "blackhole"
[[route]]
prefix = "2001:db8::/32"
nexthops = [{ via = "fe80::1", port = "up1" }, { via = "fe80::3", port = "up2" }]
"#;

fn control(more: &str) -> (Control<NaiveLpm>, Arc<Tables>) {
    let config = Config::parse(&format!("{CONFIG}{more}")).expect("configuration");
    let tables = Arc::new(Tables::new(64, 4096, 64));
    let view = || View::new(NaiveLpm::new(), Policy::default());
    let (writer, _registry) = Writer::new(Arc::clone(&tables), view(), view());
    let devices = [const { 0 }; 3].map(|n| Device {
        mac: [2, 0, 0, 0, 0, n],
        ..Device::default()
    });
    let control = Control::new(&config, &devices, writer, Noticed::now(), Instant::now);
    (control, tables)
}

/// All pieces of an audit.
fn audit(control: &mut Control<NaiveLpm>) -> Verified {
    let mut all = Verified::default();
    loop {
        let query = VerifyQuery {
            next: all.next,
            ..VerifyQuery::default()
        };
        match control.answer(&Request::Verify(query), Instant::now()) {
            Reply::Ok(Response::Verify(piece)) => all.add(piece, usize::MAX),
            other => panic!("{other:?}"),
        }
        if all.next.is_none() {
            return all;
        }
    }
}

/// What an audit finds after this was done.
fn after(spoil: impl FnOnce(&mut Control<NaiveLpm>, &Tables)) -> Vec<[String; 3]> {
    let (mut control, tables) = control("");
    spoil(&mut control, &tables);
    let found = audit(&mut control).differences;
    let each = found.into_iter().map(|d| [d.object, d.planned, d.found]);
    each.collect()
}

fn group_of(control: &Control<NaiveLpm>, prefix: &str) -> GroupId {
    let prefix = prefix.parse().expect("prefix");
    control.rib.get(prefix).expect("there").group
}

#[test]
fn what_is_as_planned_is_counted() {
    let (mut control, _) = control("");
    let all = audit(&mut control);
    assert_eq!(all.differences, []);
    assert!(all.is_good());
    // Own addresses, connected prefixes and neighbors have prefixes of their own.
    assert_eq!((all.checked.ports, all.checked.prefixes), (3, 11));
    // 10.0.0.0/8 is 10.0.0.0/9 and the rest; the /31s are an own address and a neighbor.
    assert_eq!(all.checked.covered, 2);
    assert!(all.checked.addresses > 20 && all.checked.buckets > 128);
}

#[test]
fn prefixes() {
    let found = after(|control, _| {
        let to = control.plan.dplane.fixed(Fixed::Blackhole);
        control.plan.dplane.spoil(|view| {
            let done = view.lpm.upsert6("2001:db8::".parse().expect("v6"), 32, to);
            done.expect("upsert");
        });
    });
    assert!(found.len() > 1);
    for [object, planned, found] in &found {
        assert!(
            object.starts_with("prefix 2001:db8::/32 at 2001:db8:"),
            "{object}"
        );
        assert!(planned.starts_with("group ") && found == "blackhole");
    }
    // One that is lost, and one too many.
    let lost = after(|control, _| {
        control.plan.dplane.spoil(|view| {
            view.lpm.remove4([10, 0, 0, 0].into(), 9).expect("remove");
        });
    });
    assert!(
        lost.iter()
            .all(|d| d[0].starts_with("prefix 10.0.0.0/9 at 10."))
    );
    // By its lowest and highest addresses, and by chance.
    for address in ["10.0.0.0", "10.127.255.255"] {
        let named = format!("prefix 10.0.0.0/9 at {address}");
        assert!(lost.iter().any(|d| d[0] == named), "{lost:?}");
    }
    let extra = after(|control, _| {
        let to = control.plan.dplane.fixed(Fixed::Blackhole);
        control.plan.dplane.spoil(|view| {
            let done = view.lpm.upsert4([10, 255, 255, 0].into(), 24, to);
            done.expect("upsert");
        });
    });
    assert_eq!(extra.len(), 1, "{extra:?}");
    assert_eq!(extra[0][0], "prefix 10.0.0.0/8 at 10.255.255.255");
    let default = after(|control, _| {
        control
            .plan
            .dplane
            .spoil(|view| view.default4 = GroupId::NONE);
    });
    assert!(
        default
            .iter()
            .any(|d| d[0].starts_with("prefix 0.0.0.0/0 at "))
    );
    assert!(default.iter().all(|d| d[2] == "no route"));
}

#[test]
fn an_address_of_its_own_is_found_between_longer_prefixes() {
    let mut more = String::new();
    for n in 0..40 {
        more += &format!("[[route]]\nprefix = \"11.{n}.0.0/16\"\ntype = \"blackhole\"\n");
    }
    more += "[[route]]\nprefix = \"11.0.0.0/8\"\ntype = \"unreachable\"\n";
    let (mut control, _) = control(&more);
    let prefix = "11.0.0.0/8".parse().expect("prefix");
    assert_eq!(
        control.own_address(prefix),
        "11.40.0.0".parse::<IpAddr>().ok()
    );
    assert!(audit(&mut control).is_good());
}

#[test]
fn groups_and_buckets() {
    let found = after(|control, tables| {
        let id = group_of(control, "10.0.0.0/8");
        tables.groups.set_word(id, GroupWord::new(0, 3));
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0][1].starts_with("64 buckets at ") && found[0][2] == "8 buckets at 0");
    for (second, name) in [(false, "bucket 5"), (true, "bucket 5 second choice")] {
        let mut wanted = String::new();
        let found = after(|control, tables| {
            let id = group_of(control, "10.0.0.0/8");
            wanted = format!("group {} {name}", id.0);
            let at = tables.groups.word(id).base() + 5;
            let mut bucket = tables.groups.bucket(at);
            let place = if second {
                &mut bucket.second
            } else {
                &mut bucket.first
            };
            *place = AdjacencyId(40);
            tables.groups.set_bucket(at, bucket);
        });
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0][0], wanted);
        assert!(found[0][1].contains("nexthop 169.254.0."), "{found:?}");
        assert_eq!(found[0][2], "adjacency 40 (nobody's)");
    }
    let found = after(|control, tables| {
        let word = tables.groups.word(control.plan.dplane.fixed(Fixed::Punt));
        tables.groups.set_bucket(word.base(), Bucket::default());
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0][0].ends_with("(the kernel)"));
}

#[test]
fn rewrites_ports_and_the_hash() {
    let found = after(|control, tables| {
        let used = control
            .plan
            .nexthops
            .iter()
            .filter(|n| !n.1.groups.is_empty());
        let mut of = used.filter(|(_, n)| n.key.gateway == "169.254.0.3".parse().ok());
        let id = of.find_map(|(_, n)| n.adjacency).expect("there");
        let wrong = Adjacency::forward(PortId(2), 1500, [2, 0, 0, 0, 0, 0x99], [2; 6], 0);
        tables.adjacencies.write(id, &wrong);
    });
    assert!(!found.is_empty());
    assert!(found[0][0].starts_with("nexthop 169.254.0.3 on up2 adjacency "));
    assert!(
        found[0][1].contains("header 020000000012") && found[0][2].contains("header 020000000099")
    );
    let found = after(|_, tables| {
        tables
            .adjacencies
            .write(AdjacencyId::BLACKHOLE, &Adjacency::punt());
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0][0], "adjacency 1");
    let found = after(|control, _| {
        control.plan.dplane.spoil(|view| view.ports[1].mac = [9; 6]);
    });
    assert_eq!((found.len(), found[0][0].as_str()), (1, "port up1"));
    let found = after(|control, _| {
        control.plan.dplane.spoil(|view| {
            let mut choice = view.hash.base().choice();
            choice.seed = choice.seed.wrapping_add(1);
            view.hash = fastpath::hash::Settings::new(choice).into();
        });
    });
    assert_eq!((found.len(), found[0][0].as_str()), (1, "hash"));
}

#[test]
fn down_bits() {
    let found = after(|_, tables| {
        tables.down.set_port(PortId(1));
        tables.down.set_adjacency(AdjacencyId(40));
    });
    let names: Vec<&str> = found.iter().map(|d| d[0].as_str()).collect();
    assert_eq!(names, ["port up1", "adjacency 40 (nobody's)"]);
    assert!(found.iter().all(|d| d[2] == "marked dead"));
}

#[test]
fn an_audit_is_cut_into_pieces_and_given_up() {
    let mut more = String::new();
    for n in 0..3000 {
        let (c, d) = (n / 256, n % 256);
        more += &format!("[[route]]\nprefix = \"12.{c}.{d}.0/24\"\ntype = \"blackhole\"\n");
    }
    let (mut control, _) = control(&more);
    let now = Instant::now();
    let first = control
        .verify(&VerifyQuery::default(), now)
        .expect("a piece");
    assert!(first.next.is_some() && first.checked.prefixes < 3000);
    let all = audit(&mut control);
    assert!(all.is_good() && all.checked.prefixes == 3011);
    // That was another one.
    let query = VerifyQuery {
        next: first.next,
        ..VerifyQuery::default()
    };
    let why = control.verify(&query, now).expect_err("over");
    assert!(
        why.to_string().starts_with("audit: verify: it is over"),
        "{why}"
    );
    let first = control
        .verify(&VerifyQuery::default(), now)
        .expect("a piece");
    control.tidy_audit(now + PATIENCE / 2);
    assert!(control.audits.under_way.is_some());
    control.tidy_audit(now + PATIENCE);
    assert!(control.audits.under_way.is_none());
    let query = VerifyQuery {
        next: first.next,
        ..VerifyQuery::default()
    };
    assert!(control.verify(&query, now).is_err());
}

#[test]
fn of_many_differences_some_are_listed() {
    let (mut control, tables) = control("");
    for bucket in 0..4096 {
        tables.groups.set_bucket(bucket, Bucket::default());
    }
    let all = audit(&mut control);
    assert_eq!(all.differences.len(), LISTED);
    assert!(all.omitted > 0 && !all.is_good());
    let mut few = Verified::default();
    let sum = all.omitted + all.differences.len() as u64;
    few.add(all, 10);
    assert_eq!((few.differences.len(), few.omitted), (10, sum - 10));
}

use super::*;
use control::api::message::{
    Answers, DeviceCounters, Fpm, Hash, HashProfile, KeptRoutes, PortCounters, Routes,
};
use std::collections::BTreeMap;

fn member(via: &str, port: &str, weight: u32, state: &str, buckets: Option<u32>) -> Member {
    Member {
        via: via.parse().ok(),
        port: port.into(),
        weight,
        state: state.into(),
        buckets,
        packets: buckets.map(u64::from),
        bytes: buckets.map(|b| 100 * u64::from(b)),
        hardware_packets: None,
        hardware_bytes: None,
    }
}

fn route(prefix: &str, source: &str, kind: &str, nexthops: Vec<Member>) -> Route {
    Route {
        prefix: prefix.parse().expect("prefix"),
        source: source.into(),
        protocol: None,
        selected: true,
        kind: kind.into(),
        group: None,
        nexthops,
        note: None,
    }
}

#[test]
fn routes_are_a_table() {
    let mut bgp = route(
        "10.0.0.0/8",
        "fpm",
        "unicast",
        vec![
            member("169.254.0.1", "up1", 1, "up", None),
            member("169.254.0.3", "up2", 2, "port-down", None),
        ],
    );
    bgp.protocol = Some("bgp".into());
    bgp.group = Some(1);
    let mut parked = route("203.0.113.0/24", "fpm", "unicast", vec![]);
    parked.note = Some("nexthop group 34 unknown".into());
    parked.selected = false;
    let routes = vec![
        bgp,
        route(
            "10.244.1.0/24",
            "connected",
            "connected",
            vec![member("", "host0", 1, "up", None)],
        ),
        route("192.0.2.0/24", "static", "blackhole", vec![]),
        parked,
    ];
    let text = words(&Response::Route(Routes { routes, next: None }));
    assert_eq!(
        text,
        "   PREFIX          SOURCE     GROUP  NEXTHOP      PORT   WEIGHT  STATE
*  10.0.0.0/8      fpm (bgp)      1  169.254.0.1  up1         1  up
                                     169.254.0.3  up2         2  port-down
*  10.244.1.0/24   connected      -  on link      host0       1  up
*  192.0.2.0/24    static         -  blackhole    -           -
   203.0.113.0/24  fpm            -  unicast      -           -  nexthop group 34 unknown
"
    );
    assert_eq!(words(&Response::Route(Routes::default())), "no routes\n");
}

#[test]
fn groups_show_how_buckets_are_dealt() {
    let groups = vec![Group {
        id: 7,
        buckets: 64,
        active_buckets: Some(3),
        routes: 250,
        plane: "software".into(),
        members: vec![
            member("169.254.0.1", "up1", 1, "up", Some(64)),
            member("fe80::3", "up2", 1, "unresolved", Some(0)),
        ],
        dealt: Default::default(),
        fpm_ids: vec![34],
        weight_error: 0.015625,
        surplus: 3,
        balance: Some(control::api::message::Balance {
            window_s: 10,
            flows: 1500,
            max_over_mean: Some(1.02),
            variation: Some(0.015),
            p_value: Some(0.4),
            verdict: control::api::message::Verdict::Polarised,
        }),
        each: vec![Bucket {
            bucket: 0,
            via: Some("169.254.0.1".parse().unwrap()),
            port: Some("up1".into()),
            packets: 5,
            bytes: 320,
            idle_ms: Some(12_345),
        }],
    }];
    assert_eq!(
        words(&Response::Group(groups)),
        "\
GROUP  BUCKETS  ACTIVE  ROUTES  PLANE     NEXTHOP      PORT  WEIGHT  HAS  PACKETS  BYTES  STATE
    7       64       3     250  software  169.254.0.1  up1        1   64       64   6400  up
                                          fe80::3      up2        1    0        0      0  unresolved
group 7: weight error 1.56 %; 3 buckets to move when idle; 1500 flows sampled in 10 s; busiest \
member 1.02 of its share, variation 0.015; p = 0.400; traffic is polarised: it comes in few of the \
buckets, as from a router that hashes alike; set another seed here or there

BUCKET  NEXTHOP      PORT  PACKETS  BYTES    IDLE
     0  169.254.0.1  up1         5    320  12.3 s
"
    );
}

#[test]
fn counters_name_every_drop() {
    let port = PortCounters {
        input: 100,
        output: 7,
        in_bytes: 6400,
        out_bytes: 448,
        from_kernel: 5,
        device: Some(DeviceCounters {
            missed: 12,
            out_errors: 1,
            ..DeviceCounters::default()
        }),
    };
    let counters = Counters {
        ports: BTreeMap::from([
            ("host0".into(), port),
            ("up1".into(), PortCounters::default()),
        ]),
        dropped: BTreeMap::from([("no-route".into(), 2)]),
        punted: 1,
        icmp_sent: 3,
        fragments: 0,
        fragments_in: 9,
        fragments_matched: 4,
        fragments_waited: 2,
        fragments_by_addresses: 1,
        failover: None,
        fpm_answers: Some(Box::new(Answers {
            sent: BTreeMap::from([("offload".into(), 250), ("offload-failed".into(), 2)]),
            waiting: 5,
            superseded: 1,
            ..Answers::default()
        })),
    };
    assert_eq!(
        words(&Response::Counters(counters)),
        "\
PORT    IN  OUT  IN-BYTES  OUT-BYTES  FROM-KERNEL
host0  100    7      6400        448            5
up1      0    0         0          0            0

LOST BY DEVICE  MISSED  NO-BUFFER  IN-ERRORS  OUT-ERRORS
host0               12          0          0           1

DROPPED   PACKETS
no-route        2

OTHER                   PACKETS
punted                        1
icmp-sent                     3
fragments                     0
fragments-in                  9
fragments-matched             4
fragments-waited              2
fragments-by-addresses        1

ANSWER TO ZEBRA  COUNT
offload            250
offload-failed       2
waiting              5
superseded           1
dropped              0
"
    );
}

#[test]
fn a_held_resync_says_what_to_do() {
    let fpm = Fpm {
        listen: "127.0.0.1:2620".into(),
        connected: true,
        connections: 2,
        sync: "held".into(),
        skipped: BTreeMap::from([("newneigh".into(), 4)]),
        restarts: 3,
        kept: vec![KeptRoutes {
            of: "bgp IPv4".into(),
            routes: 199,
            back: 1,
            fewer_nexthops: 0,
            left_ms: 3940,
        }],
        ..Fpm::default()
    };
    let text = words(&Response::Fpm(fpm));
    assert!(text.contains("restarts       3\n"), "{text}");
    assert!(
        text.contains(
            "\nKEPT      ROUTES  BACK  WITH FEWER NEXT HOPS  SECONDS LEFT\nbgp IPv4     199     1                     0           3.9\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("zebra          connected (2 connections so far)\n"),
        "{text}"
    );
    assert!(
        text.contains("\nSKIPPED   COUNT\nnewneigh      4\n"),
        "{text}"
    );
    assert!(text.ends_with("then: evenpath fpm release\n"), "{text}");
}

#[test]
fn ports_neighbors_nexthops_hash_and_events_are_tables() {
    let port = Port {
        name: "up1".into(),
        id: 0,
        state: "down".into(),
        reason: Some("no-carrier".into()),
        kernel: Some("eth1".into()),
        ifindex: Some(4),
        mac: "02:00:00:00:00:01".into(),
        mtu: 1500,
        vlan: 0,
        addresses: vec!["169.254.0.0/31".into(), "fe80::1/64".into()],
        hash: "software".into(),
        hash_reason: Some("the algorithm is mix".into()),
    };
    assert_eq!(
        words(&Response::Port(vec![port])),
        "\
PORT  STATE              KERNEL  MAC                 MTU  VLAN  HASH      ADDRESSES
up1   down (no-carrier)  eth1    02:00:00:00:00:01  1500     -  software  169.254.0.0/31, fe80::1/64
hash: software (the algorithm is mix): up1
"
    );
    let neighbor = Neighbor {
        port: "up1".into(),
        address: "169.254.0.1".parse().expect("address"),
        mac: None,
        state: "incomplete".into(),
        source: "kernel".into(),
        wanted: true,
    };
    assert_eq!(
        words(&Response::Neighbor(vec![neighbor])),
        "\
NEIGHBOR     PORT  MAC  STATE       SOURCE  WANTED
169.254.0.1  up1   -    incomplete  kernel  yes
"
    );
    let nexthop = Nexthop {
        via: None,
        port: "host0".into(),
        state: "up".into(),
        mac: Some("02:00:00:00:00:09".into()),
        adjacency: Some(16),
        groups: 1,
        buckets: 21,
        hold: Some("draining".into()),
        hold_seconds_left: Some(9.5),
        hardware_packets: None,
        hardware_bytes: None,
    };
    assert_eq!(
        words(&Response::Nexthop(vec![nexthop])),
        "\
NEXTHOP  PORT   STATE         MAC                ADJACENCY  GROUPS  BUCKETS
on link  host0  up, draining  02:00:00:00:00:09         16       1       21
"
    );
    let hash = Hash {
        fields: BTreeMap::from([("source-ip".into(), true), ("gtp-teid".into(), false)]),
        symmetric: false,
        note: Some("off: source-ip is on and destination-ip is off".into()),
        seed: 50,
        algorithm: "mix".into(),
        live: vec!["source-ip".into()],
        profiles: vec![HashProfile {
            name: "rdma".into(),
            prefixes: vec!["10.8.0.0/16".into()],
            own: vec!["roce-qp".into(), "seed".into()],
            fields: BTreeMap::from([("roce-qp".into(), true), ("source-ip".into(), false)]),
            symmetric: true,
            note: None,
            caveats: vec!["roce-qp is on: each end has a queue pair of its own".into()],
            seed: 9,
            seed_source: "live".into(),
            seed_file: None,
            keeps_in: None,
            algorithm: "mix".into(),
            live: vec!["seed".into()],
        }],
        ..Hash::default()
    };
    let text = words(&Response::Hash(hash));
    let expected = "
symmetric  off: source-ip is on and destination-ip is off
seed       50 ()
algorithm  mix
set live   source-ip; a restart takes what the configuration says

profile rdma: 10.8.0.0/16
  fields     roce-qp
  symmetric  on, but roce-qp is on: each end has a queue pair of its own
  seed       9 (set live)
  algorithm  mix
  its own    roce-qp, seed
  set live   seed
";
    assert!(text.ends_with(expected), "{text}");
    let event = Happening {
        time_ns: 1_000_000_000,
        object: "port up1".into(),
        what: "down".into(),
        details: BTreeMap::from([("noticed-by".into(), "netlink".into())]),
    };
    assert_eq!(
        words(&Response::Events(vec![event])),
        "\
TIME (UTC)                  ABOUT     WHAT  DETAILS
1970-01-01 00:00:01.000000  port up1  down  noticed-by netlink
"
    );
}

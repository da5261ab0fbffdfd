//! The figures for Prometheus: read strictly, and compared with what `show` says.

mod strict;

use crate::lab;
use crate::lab::bench::Bench;
use crate::lab::{Lab, P0, P1, stream};
use control::activity::INTERVAL;
use control::api;
use control::api::message::{
    Counters, DeviceCounters, Failover, Fpm, HashChange, Metrics, PortCounters, Resilient, SetHash,
    Times,
};
use control::api::{Request, Response};
use control::config::{Config, Nexthop, Route, Target};
use control::metrics::{MEMBERS, exposition};
use fastpath::table::stats::WorkerStats;
use fastpath::table::{DropReason, PortId, Tables};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strict::{Family, read};

type Families = BTreeMap<String, Family>;

fn metrics(lab: &mut Lab) -> Metrics {
    match lab.ask(&Request::ShowMetrics) {
        Response::Metrics(metrics) => *metrics,
        other => panic!("{other:?}"),
    }
}

fn families(lab: &mut Lab) -> Families {
    let text = exposition(&metrics(lab));
    read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The one sample of `name` with these labels.
fn value(all: &Families, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = labels.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let wanted: strict::Labels = wanted.collect();
    let family = all.get(name).unwrap_or_else(|| panic!("{name}"));
    let mut found = family.samples.iter().filter(|s| s.1 == wanted);
    found
        .next()
        .unwrap_or_else(|| panic!("{name} {labels:?}"))
        .2
}

fn check_times(all: &Families, part: &str, times: &Times) {
    let name = format!("evenpath_failover_{part}_seconds");
    let family = &all[&name];
    let of = |suffix: &str| {
        let full = format!("{name}{suffix}");
        let samples = family.samples.iter().filter(move |s| s.0 == full);
        samples
            .map(|s| (s.1.get("le").cloned(), s.2))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("_count"), [(None, times.count as f64)]);
    let sum = of("_sum")[0].1;
    assert!((sum * 1e6 - times.sum_us as f64).abs() < 0.5, "{sum}");
    for (at_most, (le, count)) in times.buckets.iter().zip(of("_bucket")) {
        let le = le.expect("le");
        match at_most.le_us {
            None => assert_eq!(le, "+Inf"),
            Some(us) => {
                let seconds: f64 = le.parse().expect("a number");
                assert!((seconds * 1e6 - us as f64).abs() < 1e-3, "{le}");
            }
        }
        assert_eq!(count, at_most.count as f64);
    }
    assert_eq!(times.buckets.len(), of("_bucket").len());
}

#[test]
fn what_devices_lost_is_there_where_they_say_so() {
    let mut lab = Lab::dpu();
    let mut metrics = metrics(&mut lab);
    let device = DeviceCounters {
        missed: 4,
        no_buffer: 3,
        in_errors: 2,
        out_errors: 1,
    };
    let counters = PortCounters {
        device: Some(device),
        ..PortCounters::default()
    };
    metrics.counters.ports = BTreeMap::from([
        ("host0".into(), PortCounters::default()),
        ("up1".into(), counters),
    ]);
    let all = read(&exposition(&metrics)).expect("an exposition");
    for (part, lost) in [
        ("receive_missed", 4.0),
        ("receive_no_buffer", 3.0),
        ("receive_errors", 2.0),
        ("transmit_errors", 1.0),
    ] {
        let name = format!("evenpath_port_{part}_total");
        assert_eq!(value(&all, &name, &[("port", "up1")]), lost, "{name}");
        assert_eq!(all[&name].samples.len(), 1, "{name}");
    }
}

#[test]
fn figures_are_those_of_show() {
    let mut lab = Lab::dpu();
    let stats = Arc::new(WorkerStats::with_buckets(65_536));
    lab.control.watch(&[Arc::clone(&stats)], lab.now);
    let counted = Arc::clone(&stats);
    lab.control.count_by(move || counted.snapshot());
    lab.connect();
    lab.feed(&stream("10.3-02-initial-sync"));
    stats.received(PortId(2), 100, 6400);
    stats.received_from_kernel(PortId(1), 3, 180);
    stats.sent(PortId(0), 60, 3840);
    stats.sent(PortId(1), 33, 2112);
    stats.dropped(DropReason::NoRoute, 7);
    stats.dropped(DropReason::TtlExceeded, 2);
    stats.punted(1);
    stats.icmp_sent(2);
    stats.fragments(4);
    let word = lab.tables.groups.word(lab.lookup(lab::ip("10.0.0.10")));
    for hash in 0..64 {
        let index = word.base() + word.bucket(hash);
        stats.buckets().count(index, 100 + hash as usize);
    }
    lab.pass(INTERVAL);
    lab.carrier(P0, false);
    lab.pass(Duration::from_secs(1));
    lab.carrier(P0, true);
    let change = HashChange {
        seed: Some(9),
        ..HashChange::default()
    };
    let (control, now) = (&mut lab.control, lab.now);
    let wanted = Request::SetHash(SetHash {
        change,
        ..SetHash::default()
    });
    lab.view.offline(|| control.answer(&wanted, now));

    let all = families(&mut lab);
    let Response::Counters(counters) = lab.ask(&Request::ShowCounters) else {
        panic!("counters");
    };
    let Counters { ports, dropped, .. } = &counters;
    assert_eq!(ports["host0"].input, 100);
    for (port, c) in ports {
        for (part, shown) in [
            ("receive_packets", c.input),
            ("receive_bytes", c.in_bytes),
            ("transmit_packets", c.output),
            ("transmit_bytes", c.out_bytes),
            ("from_kernel_packets", c.from_kernel),
        ] {
            let name = format!("evenpath_port_{part}_total");
            assert_eq!(
                value(&all, &name, &[("port", port)]),
                shown as f64,
                "{name}"
            );
        }
        assert_eq!(value(&all, "evenpath_port_up", &[("port", port)]), 1.0);
    }
    for reason in DropReason::ALL {
        let shown = dropped.get(reason.name()).copied().unwrap_or(0);
        let labels = [("reason", reason.name())];
        assert_eq!(
            value(&all, "evenpath_dropped_packets_total", &labels),
            shown as f64
        );
    }
    let Response::Fpm(fpm) = lab.ask(&Request::ShowFpm) else {
        panic!("fpm");
    };
    let Fpm {
        messages,
        frames,
        routes,
        ..
    } = &fpm;
    for (kind, n) in messages {
        let labels = [("kind", kind.as_str())];
        assert_eq!(
            value(&all, "evenpath_fpm_messages_total", &labels),
            *n as f64
        );
    }
    let failover: Failover = *counters.failover.clone().expect("repairs");
    assert!(failover.repair.count > 0 && failover.buckets_moved > 0);
    let Response::Resilient(Resilient {
        buckets_in_use,
        groups_in_use,
        ..
    }) = lab.ask(&Request::ShowResilient)
    else {
        panic!("resilient");
    };
    for (name, shown) in [
        ("punted_packets_total", counters.punted),
        ("icmp_sent_packets_total", counters.icmp_sent),
        ("fragments_sent_packets_total", counters.fragments),
        ("fpm_frames_total", *frames),
        ("fpm_routes", *routes),
        ("fpm_connected", 1),
        ("repairs_total", failover.repairs),
        ("repair_moved_buckets_total", failover.buckets_moved),
        ("hash_changes_total", 1),
        ("rules_changes_total", 0),
        ("buckets_in_use", buckets_in_use.into()),
        ("buckets_capacity", 65_536),
        ("groups", groups_in_use),
        ("group_members_omitted", 0),
        ("routes", metrics(&mut lab).routes),
    ] {
        let name = format!("evenpath_{name}");
        assert_eq!(value(&all, &name, &[]), shown as f64, "{name}");
    }
    for (part, times) in [
        ("detect", &failover.detect),
        ("repair", &failover.repair),
        ("fpm_lag", &failover.fpm_lag),
    ] {
        check_times(&all, part, times);
    }
    let groups = lab.groups();
    let mut packets = 0;
    for group in groups.iter().filter(|g| g.buckets > 1) {
        for m in &group.members {
            let (id, via) = (group.id.to_string(), m.via.expect("a gateway").to_string());
            let labels = [("group", &*id), ("nexthop", &*via), ("port", &*m.port)];
            let of = |name: &str| value(&all, &format!("evenpath_group_member_{name}"), &labels);
            assert_eq!(of("packets_total"), m.packets.expect("counted") as f64);
            assert_eq!(of("bytes_total"), m.bytes.expect("counted") as f64);
            assert_eq!(of("buckets"), f64::from(m.buckets.expect("buckets")));
            packets += m.packets.expect("counted");
        }
    }
    let nexthops = &all["evenpath_nexthop_packets_total"].samples;
    assert_eq!(
        (packets, nexthops.iter().map(|s| s.2).sum::<f64>()),
        (64, 64.0)
    );
    // A port that is down, and a session that is not there.
    lab.carrier(P1, false);
    let all = families(&mut lab);
    assert_eq!(value(&all, "evenpath_port_up", &[("port", "up2")]), 0.0);
    let states = &all["evenpath_fpm_sync"].samples;
    assert_eq!(states.iter().map(|s| s.2).sum::<f64>(), 1.0);
}

/// Series of members are bounded, whatever zebra sends; what is left out is counted.
#[test]
fn there_are_never_more_series_than_said() {
    let mut config = lab::config();
    config.resilient.enable = true;
    let tables = Tables::new(8192, 1 << 18, 4096);
    let mut bench = Bench::over(Lab::sized(&config, tables));
    let pairs = (10..16).flat_map(|a| (10..16).map(move |b| (a, b)));
    let mut groups = 0;
    // Weights make sets of their own.
    'all: for weight in 1..200 {
        for (a, b) in pairs.clone().filter(|(a, b)| a < b) {
            bench.route_to(groups, &[(a, 1), (b, weight)]);
            groups += 1;
            if usize::from(groups) * 2 > MEMBERS + 40 {
                break 'all;
            }
        }
    }
    let metrics = metrics(&mut bench.lab);
    assert_eq!(metrics.groups, u64::from(groups));
    assert_eq!(metrics.members.len(), MEMBERS);
    let rest = 2 * u64::from(groups) - MEMBERS as u64;
    assert_eq!(metrics.members_omitted, rest);
    let all = read(&exposition(&metrics)).expect("an exposition");
    assert_eq!(
        value(&all, "evenpath_group_members_omitted", &[]),
        rest as f64
    );
}

#[test]
fn the_reader_is_strict() {
    let head = "# HELP x_total X.\n# TYPE x_total counter\n";
    assert!(read(&format!("{head}x_total{{a=\"\\\"\\n\"}} 1\n")).is_ok());
    for wrong in [
        "x_total 1",
        "x_total{a=\"1\",a=\"2\"} 1\n",
        "x_total{a=\"1\"} 1\nx_total{a=\"1\"} 2\n",
        "x_total{a=\"\\x\"} 1\n",
        "x_total{1=\"1\"} 1\n",
        "x_total{a=\"1} 1\n",
        "x_total  1\n",
        "x_total -1\n",
        "y_total 1\n",
        "# TYPE x_total gauge\n",
    ] {
        assert!(read(&format!("{head}{wrong}")).is_err(), "{wrong}");
    }
    let head = "# HELP h H.\n# TYPE h histogram\n";
    let buckets = |a: u32, b: u32, count: u32| {
        format!(
            "{head}h_bucket{{le=\"1\"}} {a}\nh_bucket{{le=\"+Inf\"}} {b}\nh_sum 1\nh_count {count}\n"
        )
    };
    assert!(read(&buckets(1, 2, 2)).is_ok());
    assert!(read(&buckets(3, 2, 2)).is_err() && read(&buckets(1, 2, 3)).is_err());
}

#[test]
fn a_static_route_and_zebras_through_one_gateway_are_one_series() {
    let leaf = |leaf: u8, port| Nexthop {
        via: Some(lab::ip(&format!("169.254.0.{leaf}"))),
        port,
        weight: 1,
    };
    let own = vec![leaf(0, PortId(0)), leaf(2, PortId(1))];
    let config = Config {
        routes: vec![Route {
            prefix: lab::prefix("192.0.2.0/24"),
            target: Target::Nexthops(own),
        }],
        ..lab::config()
    };
    let mut lab = Lab::dpu_of(&config);
    lab.connect();
    lab.feed(&stream("10.3-02-initial-sync"));
    let all = families(&mut lab);
    let leaf1 = [("nexthop", "169.254.0.0"), ("port", "up1")];
    let Response::Nexthop(nexthops) = lab.ask(&Request::ShowNexthop) else {
        panic!("next hops");
    };
    // But for its own host route, which goes by one bucket.
    let leaf = |n: &&api::message::Nexthop| n.via == Some(lab::ip("169.254.0.0")) && n.buckets > 1;
    let both: u64 = nexthops.iter().filter(leaf).map(|n| n.buckets).sum();
    assert!(both > 64, "{both}: of both");
    assert_eq!(value(&all, "evenpath_nexthop_buckets", &leaf1), both as f64);
    assert_eq!(value(&all, "evenpath_nexthop_up", &leaf1), 1.0);
}

//! `show events` has the last thousand, each repair with its three parts.

use crate::lab::bench::{Bench, gateway};
use crate::lab::{P0, ip};
use control::api::message::Happening;
use control::api::{Request, Response};
use control::event::{Event, Neighbor, NeighborState, Noticed};
use std::time::{Duration, SystemTime};

/// News of a neighbor that were stamped `late` before control takes them.
fn turn(bench: &mut Bench, n: u8, up: bool, late: Duration, time_s: u64) {
    let state = [NeighborState::Failed, NeighborState::Reachable][usize::from(up)];
    let neighbor = Neighbor {
        ifindex: P0,
        address: ip(&gateway(n)),
        mac: Some([2, 0, 0, 0, P0 as u8, n]).filter(|_| up),
        state,
        zebra: false,
    };
    let noticed = Noticed {
        at: bench.lab.now - late,
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(time_s),
    };
    bench.lab.event(Event::Neighbor(neighbor, noticed));
}

fn events(bench: &mut Bench) -> Vec<Happening> {
    match bench.lab.ask(&Request::ShowEvents) {
        Response::Events(events) => events,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_thousand_with_their_parts() {
    let mut bench = Bench::new(control::config::Resilient::default());
    bench.route(&[(10, 1), (11, 1)]);
    for step in 0..1100_u64 {
        bench.lab.pass(Duration::from_millis(20));
        turn(
            &mut bench,
            10,
            step % 2 == 1,
            Duration::from_micros(step + 1),
            step,
        );
        // FRR has its say about every hundredth.
        if step % 100 == 50 {
            bench.lab.pass(Duration::from_millis(70));
            bench.route(&[(10, 1), (11, 1 + (step / 100 % 2) as u32)]);
        }
    }
    let all = events(&mut bench);
    assert_eq!(all.len(), 1000);
    let object = format!("neighbor {} on up1", gateway(10));
    let repairs: Vec<&Happening> = all.iter().filter(|e| e.object == object).collect();
    assert!(repairs.len() > 950, "{}", repairs.len());
    let mut last = None;
    let mut said = 0;
    for (i, event) in repairs.iter().enumerate() {
        let step = event.time_ns / 1_000_000_000;
        // None is missing in between, and the latest is the last.
        assert!(last.is_none_or(|last| step == last + 1), "{step}");
        last = Some(step);
        let detail = |name: &str| event.details.get(name).map(String::as_str);
        let micros = |name: &str| detail(name).and_then(|t| t.parse::<u64>().ok());
        assert_eq!(micros("detect-us"), Some(step + 1));
        assert!(micros("repair-us").is_some(), "{event:?}");
        assert_eq!(detail("prefixes"), Some("1"));
        assert!(micros("buckets-moved").is_some_and(|moved| moved > 0));
        match (detail("fpm-lag"), detail("fpm-lag-ms")) {
            (Some("pending"), None) => assert_eq!(i + 1, repairs.len(), "the last one"),
            (Some("none"), None) => assert_ne!(step % 100, 50),
            (None, Some(lag)) => {
                assert_eq!(step % 100, 50);
                assert_eq!(detail("fpm-prefixes"), Some("1"));
                // Control's times are the test's, the end of a repair the machine's: no bound here.
                assert!(lag.parse::<f64>().is_ok_and(|ms| ms >= 0.0), "{lag}");
                said += 1;
            }
            other => panic!("{step}: {other:?}"),
        }
    }
    assert_eq!((last, said), (Some(1099), 10));
}

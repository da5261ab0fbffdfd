//! The largest groups and the largest weights that zebra can say, from its bytes to `show group`.

use crate::lab::{self, Lab, P0, ip};
use crate::oracle::naive::{Weights, bounds};
use control::event::NeighborState;
use control::fpm::Batch;
use fastpath::table::Tables;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What `ip` numbers as `RTM_NEWROUTE`, `RTM_NEWNEXTHOP` (linux/rtnetlink.h).
const ROUTE: u16 = 24;
const NEXTHOP: u16 = 104;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, header: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = [header, &attributes.concat()].concat();
    let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes
}

/// 10.9.0.0/16 by the next hops 192.0.2.1 and so on, each an object, with these weights.
fn said(weights: &Weights) -> Vec<u8> {
    let header = [2, 0, 186, 0, 0, 0, 0, 0];
    let hop = |n: &u8| {
        let id = attribute(1, &u32::from(*n).to_ne_bytes());
        let port = attribute(5, &P0.to_ne_bytes());
        message(
            NEXTHOP,
            &header,
            &[id, port, attribute(6, &[192, 0, 2, *n])],
        )
    };
    let mut bytes: Vec<u8> = weights.keys().flat_map(hop).collect();
    // struct nexthop_grp: the id, the weight less one as two bytes, the low one first, two spare ones.
    let entry = |(n, weight): (&u8, &u32)| {
        let [low, high, ..] = (weight - 1).to_le_bytes();
        [&u32::from(*n).to_ne_bytes()[..], &[low, high, 0, 0]].concat()
    };
    let members: Vec<u8> = weights.iter().flat_map(entry).collect();
    let id = 1000_u32.to_ne_bytes();
    let group = [attribute(1, &id), attribute(2, &members)];
    bytes.extend(message(NEXTHOP, &[0, 0, 186, 0, 0, 0, 0, 0], &group));
    let route = [2, 16, 0, 0, 254, 186, 0, 1, 0, 0, 0, 0];
    let to = [attribute(1, &[10, 9, 0, 0]), attribute(30, &id)];
    bytes.extend(message(ROUTE, &route, &to));
    bytes
}

/// Who has how many buckets by `show group`, and the error that it names, in percent.
fn shown(weights: &Weights) -> (BTreeMap<u8, usize>, usize, f64) {
    let mut lab = Lab::sized(&lab::config(), Tables::new(256, 16_384, 1024));
    lab.connect();
    lab.link(P0, "p0", true);
    for n in weights.keys() {
        let gateway = format!("192.0.2.{n}");
        lab.neighbor(P0, &gateway, NeighborState::Reachable, *n);
    }
    let mut batch = Batch::default();
    batch.put_frame(&said(weights));
    assert_eq!(batch.counts.malformed, 0);
    lab.batch(batch);
    assert_ne!(lab.lookup(ip("10.9.0.1")), fastpath::table::GroupId::NONE);
    let groups = lab.groups();
    let [group] = groups.as_slice() else {
        panic!("{} groups", groups.len());
    };
    let number = |via: Option<IpAddr>| match via {
        Some(IpAddr::V4(address)) => address.octets()[3],
        other => panic!("{other:?}"),
    };
    let said: Weights = group
        .members
        .iter()
        .map(|m| (number(m.via), m.weight))
        .collect();
    assert_eq!(said, *weights, "weights");
    let has = group.members.iter();
    let has = has.map(|m| (number(m.via), m.buckets.unwrap_or(0) as usize));
    (has.collect(), group.buckets as usize, group.weight_error)
}

#[test]
fn a_hundred_and_twenty_eight_members_and_weights_to_65535() {
    let all = |weight: &dyn Fn(u8) -> u32| (1..=128).map(|n| (n, weight(n))).collect();
    let kinds: [(Weights, usize); 5] = [
        (all(&|_| 1), 128),
        (all(&|_| 65_535), 128),
        (all(&|n| [65_535, 32_768][usize::from(n % 2)]), 4096),
        (all(&|n| if n == 77 { 65_535 } else { 1 }), 4096),
        ([(1, 65_535), (2, 1)].into(), 4096),
    ];
    for (weights, most) in kinds {
        let (has, size, error) = shown(&weights);
        assert!(size <= most, "{size} buckets");
        assert_eq!(has.values().sum::<usize>(), size);
        let total: f64 = weights.values().map(|w| f64::from(*w)).sum();
        let mut worst = 0_f64;
        for (n, (least, most)) in bounds(&weights, size) {
            assert!((least..=most).contains(&has[&n]), "{n}: {}", has[&n]);
            let share = size as f64 * f64::from(weights[&n]) / total;
            worst = worst.max((has[&n] as f64 / share - 1.0).abs());
        }
        assert!((error - worst).abs() < 0.0001, "{error}, it is {worst}");
    }
}

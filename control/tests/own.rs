//! What the kernel keeps: own addresses and directed broadcasts.

use crate::lab::{Lab, P0, P1, PODS, ip};
use control::event::{Action, Link};
use control::port::{Ports, directed_broadcast, is_link_local};
use control::prefix::Prefix;
use fastpath::table::Disposition;
use std::collections::BTreeSet;
use std::net::IpAddr;

fn disposition(lab: &Lab, destination: &str) -> Disposition {
    let id = lab.flows(destination)[0];
    lab.tables.adjacencies.slot(id).facts().disposition()
}

fn own(lab: &mut Lab) -> Vec<(String, bool)> {
    let actions = lab.control.actions().filter_map(|action| match action {
        Action::OwnAddress { address, add } => Some((address.to_string(), add)),
        _ => None,
    });
    actions.collect()
}

fn said(address: &str, add: bool) -> (String, bool) {
    (ip(address).to_string(), add)
}

#[test]
fn directed_broadcasts_are_the_kernels_like_own_addresses() {
    let mut lab = Lab::dpu();
    own(&mut lab);
    lab.address(PODS, "10.7.0.1", 24);
    let both = [said("10.7.0.1", true), said("10.7.0.255", true)];
    assert_eq!(own(&mut lab), both);
    assert_eq!(disposition(&lab, "10.7.0.255"), Disposition::Punt);
    assert_eq!(disposition(&lab, "10.7.0.254"), Disposition::Glean);
    // A second address of the subnet has the same one, and so has the upper half.
    lab.address(PODS, "10.7.0.2", 24);
    lab.address(PODS, "10.7.0.129", 25);
    assert_eq!(
        own(&mut lab),
        [said("10.7.0.2", true), said("10.7.0.129", true)]
    );
    lab.address_gone(PODS, "10.7.0.1", 24);
    lab.address_gone(PODS, "10.7.0.2", 24);
    assert_eq!(
        own(&mut lab),
        [said("10.7.0.1", false), said("10.7.0.2", false)]
    );
    assert_eq!(disposition(&lab, "10.7.0.255"), Disposition::Punt);
    lab.address_gone(PODS, "10.7.0.129", 25);
    let both = [said("10.7.0.129", false), said("10.7.0.255", false)];
    assert_eq!(own(&mut lab), both);
    assert_ne!(disposition(&lab, "10.7.0.255"), Disposition::Punt);
}

#[test]
fn point_to_point_links_have_none() {
    let mut lab = Lab::dpu();
    own(&mut lab);
    lab.address(PODS, "10.7.0.0", 31);
    lab.address(PODS, "10.8.0.1", 32);
    lab.address(PODS, "fd00:7::1", 64);
    let three = ["10.7.0.0", "10.8.0.1", "fd00:7::1"].map(|a| said(a, true));
    assert_eq!(own(&mut lab), three);
}

#[test]
fn an_own_address_that_is_a_broadcast_elsewhere_stays_own() {
    let mut lab = Lab::dpu();
    own(&mut lab);
    lab.address(PODS, "10.7.0.255", 32);
    lab.address(PODS, "10.7.0.1", 24);
    assert_eq!(
        own(&mut lab),
        [said("10.7.0.255", true), said("10.7.0.1", true)]
    );
    lab.address_gone(PODS, "10.7.0.1", 24);
    assert_eq!(own(&mut lab), [said("10.7.0.1", false)]);
    assert_eq!(disposition(&lab, "10.7.0.255"), Disposition::Punt);
    lab.address(PODS, "10.7.0.1", 24);
    lab.address_gone(PODS, "10.7.0.255", 32);
    assert_eq!(
        own(&mut lab),
        [said("10.7.0.1", true)],
        "still the kernel's"
    );
}

/// What [`Ports`] says, by looking at all addresses.
fn naive(ports: &Ports, all: &BTreeSet<(u32, IpAddr, u8)>, address: IpAddr) -> BTreeSet<u32> {
    let is_theirs =
        |a: &&(u32, IpAddr, u8)| a.1 == address || directed_broadcast(a.1, a.2) == Some(address);
    let said: BTreeSet<_> = ports.addresses().collect();
    assert_eq!(said, *all);
    all.iter().filter(is_theirs).map(|a| a.0).collect()
}

/// The lowest of `all`, fit to answer from, on `ifindex` or else on any.
fn source(all: &BTreeSet<(u32, IpAddr, u8)>, ifindex: u32, v4: bool) -> Option<IpAddr> {
    let fit =
        |a: &&(u32, IpAddr, u8)| a.1.is_ipv4() == v4 && !a.1.is_loopback() && !is_link_local(a.1);
    let lowest = |on: &dyn Fn(u32) -> bool| {
        let here = all.iter().filter(fit).filter(|a| on(a.0));
        here.map(|a| a.1).min()
    };
    lowest(&|i| i == ifindex).or_else(|| lowest(&|_| true))
}

#[test]
fn indexes_of_addresses_say_what_a_search_of_all_does() {
    let config = crate::lab::config();
    let mut ports = Ports::new(&config.ports, &[]);
    for (ifindex, name) in [(P0, "p0"), (P1, "p1")] {
        ports.link(Link {
            ifindex,
            name: name.into(),
            mac: None,
            mtu: 1500,
            admin_up: true,
            carrier: true,
        });
    }
    assert!(ports.new_facts().is_some() && ports.new_facts().is_none());
    let mut state = 5_u64;
    let mut below = move |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % n
    };
    let mut all = BTreeSet::new();
    for _ in 0..3000 {
        let (ifindex, last) = ([1, P0, P1][below(3) as usize], below(8));
        let address = match below(5) {
            0 => format!("10.0.0.{last}"),
            1 => format!("127.0.0.{last}"),
            2 => format!("fd00::{last}"),
            3 => format!("fe80::{last}"),
            _ => format!("::{last}"),
        };
        let address = ip(&address);
        let length = match address.is_ipv4() {
            true => [8, 29, 30, 31, 32][below(5) as usize],
            false => 64,
        };
        let entry = (ifindex, address, length);
        let (said, is_news) = match below(2) {
            0 => (ports.address(ifindex, address, length), all.insert(entry)),
            _ => (
                ports.address_gone(ifindex, address, length),
                all.remove(&entry),
            ),
        };
        assert_eq!(said, is_news);
        assert_eq!(ports.new_facts().is_some(), is_news);
        for asked in [
            address,
            ip("10.0.0.3"),
            ip("10.0.0.7"),
            ip("10.255.255.255"),
        ] {
            assert_eq!(ports.kernels(asked), naive(&ports, &all, asked));
        }
        for (port, ifindex) in [(0, P0), (1, P1), (2, 0)] {
            let fact = ports.facts()[port];
            let v4 = source(&all, ifindex, true);
            let v6 = source(&all, ifindex, false);
            assert_eq!(fact.source4.map(IpAddr::from), v4, "{all:?}");
            assert_eq!(fact.source6.map(IpAddr::from), v6, "{all:?}");
        }
        let near = ip(&format!("10.0.0.{last}"));
        let covers = |a: &(u32, IpAddr, u8)| {
            a.0 == P0 && Prefix::containing(a.1, a.2).is_ok_and(|p| p.contains(near))
        };
        assert_eq!(ports.is_on_link(P0, near), all.iter().any(covers));
    }
}

//! What the kernel keeps: own addresses and directed broadcasts.

use crate::lab::{Lab, PODS, ip};
use control::event::Action;
use fastpath::table::Disposition;

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

//! What DPDK is given, byte for byte.

use super::items::Pattern;
use crate::hardware::program::{Field, Item, Masked, PatternTemplate};
use crate::table::PortId;
use dpdk_sys::{rte_flow_item, rte_flow_item_type as kind};
use std::ffi::c_void;

mod actions;
mod handles;

/// The bytes at `at`, of which there are `length`.
fn bytes(at: *const c_void, length: usize) -> Vec<u8> {
    assert!(!at.is_null());
    // SAFETY: the lists under test point to records of at least that size.
    unsafe { std::slice::from_raw_parts(at.cast::<u8>(), length) }.to_vec()
}

/// Zeros but for these bytes.
fn with(length: usize, at: &[(usize, &[u8])]) -> Vec<u8> {
    let mut all = vec![0; length];
    for (offset, part) in at {
        all[*offset..offset + part.len()].copy_from_slice(part);
    }
    all
}

fn types(items: &[rte_flow_item]) -> Vec<u32> {
    items.iter().map(|i| i.type_).collect()
}

fn rule(pattern: &PatternTemplate, spec: &[u128], last: &[u128]) -> Pattern {
    let port = |id: PortId| (id.0 < 4).then_some(id.0 + 10);
    Pattern::rule(pattern, spec, last, &port).unwrap()
}

#[test]
fn flow_of_ipv4_as_template_and_as_rule() {
    let pattern = PatternTemplate::flow4();
    let template = Pattern::template(&pattern);
    let items = template.items();
    let expected = [
        kind::RTE_FLOW_ITEM_TYPE_ETH,
        kind::RTE_FLOW_ITEM_TYPE_IPV4,
        kind::RTE_FLOW_ITEM_TYPE_UDP,
        kind::RTE_FLOW_ITEM_TYPE_END,
    ];
    assert_eq!(types(items), expected);
    // No field of ETH matters: no mask, which is no match.
    let eth = &items[0];
    assert!(eth.spec.is_null() && eth.last.is_null() && eth.mask.is_null());
    assert!(items.iter().all(|i| i.spec.is_null() && i.last.is_null()));
    let mask = with(20, &[(9, &[0xff; 1]), (12, &[0xff; 8])]);
    assert_eq!(bytes(items[1].mask, 20), mask);
    assert_eq!(bytes(items[2].mask, 8), with(8, &[(0, &[0xff; 4])]));

    let made = rule(&pattern, &[0x0a00_0001, 0x0a00_0002, 17, 1000, 2000], &[]);
    let items = made.items();
    assert!(items.iter().all(|i| i.mask.is_null() && i.last.is_null()));
    let spec = with(20, &[(9, &[17]), (12, &[10, 0, 0, 1, 10, 0, 0, 2])]);
    assert_eq!(bytes(items[1].spec, 20), spec);
    let ports = with(8, &[(0, &[0x03, 0xe8, 0x07, 0xd0])]);
    assert_eq!(bytes(items[2].spec, 8), ports);
}

/// Value of a field of an item; size of the item's record; which of its bytes are not 0.
type Case<'a> = (Item, Field, u128, usize, usize, &'a [u8]);

#[test]
fn every_field_has_its_place() {
    use Field as F;
    let mac = 0x0211_2233_4455;
    let cases: &[Case<'_>] = &[
        (
            Item::Eth,
            F::EthDestination,
            mac,
            20,
            0,
            &[2, 0x11, 0x22, 0x33, 0x44, 0x55],
        ),
        (
            Item::Eth,
            F::EthSource,
            mac,
            20,
            6,
            &[2, 0x11, 0x22, 0x33, 0x44, 0x55],
        ),
        (Item::Eth, F::EthType, 0x86dd, 20, 12, &[0x86, 0xdd]),
        (Item::Eth, F::EthHasVlan, 1, 20, 14, &[1]),
        (Item::Ipv4, F::Ipv4Ihl, 5, 20, 0, &[5]),
        (Item::Ipv4, F::Ipv4Length, 1500, 20, 2, &[5, 0xdc]),
        (Item::Ipv4, F::Ipv4Fragmented, 1, 20, 6, &[0x3f, 0xff]),
        (Item::Ipv4, F::Ipv4Fragmented, 0, 20, 6, &[0, 0]),
        (Item::Ipv4, F::Ipv4Ttl, 64, 20, 8, &[64]),
        (
            Item::Ipv6,
            F::Ipv6Label,
            0xabcde,
            44,
            0,
            &[0, 0x0a, 0xbc, 0xde],
        ),
        (Item::Ipv6, F::Ipv6Length, 1280, 44, 4, &[5, 0]),
        (Item::Ipv6, F::Ipv6Protocol, 6, 44, 6, &[6]),
        (Item::Ipv6, F::Ipv6HopLimit, 9, 44, 7, &[9]),
        (
            Item::Ipv6,
            F::Ipv6Source,
            0xfe80 << 112 | 1,
            44,
            8,
            &[0xfe, 0x80],
        ),
        (
            Item::Ipv6,
            F::Ipv6Destination,
            0x2001 << 112,
            44,
            24,
            &[0x20, 1],
        ),
        (Item::Tcp, F::SourcePort, 179, 20, 0, &[0, 179]),
        (Item::Tcp, F::DestinationPort, 179, 20, 2, &[0, 179]),
        (
            Item::Tag,
            F::Tag(3),
            0x0102_0304,
            5, // the other three are padding
            0,
            &0x0102_0304_u32.to_ne_bytes(),
        ),
        (Item::Tag, F::Tag(3), 0, 5, 4, &[3]),
        (Item::Meta, F::Meta, 7, 4, 0, &7_u32.to_ne_bytes()),
        (Item::TxQueue, F::TxQueue, 258, 2, 0, &258_u16.to_ne_bytes()),
        (
            Item::RepresentedPort,
            F::RepresentedPort,
            2,
            2,
            0,
            &12_u16.to_ne_bytes(),
        ),
        (Item::Integrity, F::L3Ok, 1, 16, 8, &[1 << 2]),
        (Item::Integrity, F::Ipv4ChecksumOk, 1, 16, 8, &[1 << 5]),
    ];
    for (item, field, value, length, at, part) in cases {
        let made = rule(&PatternTemplate::exact(&[*item], &[*field]), &[*value], &[]);
        let found = bytes(made.items()[0].spec, *length);
        let mut expected = with(*length, &[(*at, part)]);
        match field {
            F::Ipv6Source => expected[23] = 1,
            F::Tag(_) => expected[4] = 3,
            _ => {}
        }
        assert_eq!(found, expected, "{field:?}");
    }
    // has_hop_ext, has_route_ext, has_frag_ext.
    let made = rule(
        &PatternTemplate::exact(&[Item::Ipv6], &[F::Ipv6Fragmented]),
        &[1],
        &[],
    );
    let bits = bytes(made.items()[0].spec, 44)[40..].to_vec();
    assert_eq!(bits, [1 << 2, 0, 0, 0]);
}

#[test]
fn ranges_stand_in_last_alone() {
    let mut pattern = PatternTemplate::masked(
        &[Item::Eth, Item::Ipv4],
        &[(Field::Ipv4Length, 0xffff), (Field::Ipv4Ttl, 0xff)],
    );
    pattern.fields[0].range = true;
    let template = Pattern::template(&pattern);
    let ipv4 = &template.items()[1];
    assert_eq!(
        bytes(ipv4.mask, 20),
        with(20, &[(2, &[0xff, 0xff]), (8, &[0xff])])
    );
    assert_eq!(bytes(ipv4.last, 20), with(20, &[(2, &[0xff, 0xff])]));
    let made = rule(&pattern, &[1501, 3], &[65535, 3]);
    let ipv4 = &made.items()[1];
    assert_eq!(
        bytes(ipv4.spec, 20),
        with(20, &[(2, &[5, 0xdd]), (8, &[3])])
    );
    assert_eq!(bytes(ipv4.last, 20), with(20, &[(2, &[0xff, 0xff])]));
}

#[test]
fn several_tags_and_ports_that_are_not_there() {
    let field = |field: Field| Masked {
        field,
        mask: field.full(),
        range: false,
    };
    let pattern = PatternTemplate {
        items: vec![Item::Tag, Item::Tag],
        fields: vec![field(Field::Tag(2)), field(Field::Tag(9))],
        relaxed: false,
    };
    let made = rule(&pattern, &[1, 7], &[]);
    let index = |i: usize| bytes(made.items()[i].spec, 5)[4];
    assert_eq!((index(0), index(1)), (2, 9));
    let template = Pattern::template(&pattern);
    assert_eq!(bytes(template.items()[1].mask, 5), [0xff; 5]);
    assert_eq!(bytes(template.items()[1].spec, 5), [0, 0, 0, 0, 9]);
    let port = PatternTemplate::exact(&[Item::RepresentedPort], &[Field::RepresentedPort]);
    assert!(Pattern::rule(&port, &[4], &[], &|id| (id.0 < 4).then_some(1)).is_none());
}

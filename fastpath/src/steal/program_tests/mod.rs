//! The BPF programs in the kernel's own test runner: packet in, verdict out. Needs root.

mod frames;
mod model;
mod runner;

use std::net::IpAddr;

use self::frames::*;
use self::runner::Program;
use self::runner::Verdict::{self, Kernel, Ours};
use super::own::MAX_ADDRESSES;
use super::program::STEAL;

/// What a destination address alone decides, in frames to our MAC address.
const DESTINATIONS: &[(&str, Verdict)] = &[
    ("198.51.100.9", Ours),
    ("10.0.0.2", Ours),
    ("10.244.1.254", Ours),
    ("169.253.255.255", Ours),
    ("223.255.255.255", Ours),
    ("1.0.0.0", Ours),
    ("126.255.255.255", Ours),
    ("128.0.0.0", Ours),
    ("169.254.0.0", Kernel), // own
    ("10.0.0.1", Kernel),    // own
    ("10.244.1.255", Kernel),
    ("169.254.0.1", Kernel), // link-local and not own
    ("169.254.255.255", Kernel),
    ("224.0.0.1", Kernel),
    ("224.0.0.5", Kernel),
    ("239.255.255.255", Kernel),
    ("240.0.0.1", Kernel),
    ("255.255.255.255", Kernel),
    ("127.0.0.1", Kernel),
    ("0.0.0.0", Kernel),
    ("0.255.255.255", Kernel),
    ("2001:db8::2", Ours),
    ("2001:db8:1::1", Ours),
    ("fd00::1", Ours),
    ("fe7f::1", Ours),
    ("fec0::1", Ours),
    ("::2", Ours),
    ("::1:0:0:1", Ours),
    ("2001:db8::1", Kernel), // own
    ("fe80::1", Kernel),
    ("fe80::ffff:ffff:ffff:ffff", Kernel),
    ("febf::1", Kernel),
    ("ff02::1", Kernel),
    ("ff02::1:ff00:1", Kernel),
    ("ff0e::1", Kernel),
    ("::", Kernel),
    ("::1", Kernel),
];

#[test]
fn the_destination_decides_with_any_number_of_tags_up_to_two() {
    for program in Program::both() {
        for &(destination, expected) in DESTINATIONS {
            let (kind, payload) = packet(destination);
            for tags in [&[][..], &[DOT1Q], &[QINQ], &[QINQ, DOT1Q], &[DOT1Q, DOT1Q]] {
                let types = [tags, &[kind]].concat();
                let verdict = program.run(&ethernet(OUR_MAC, &types, &payload));
                assert_eq!(
                    verdict, expected,
                    "{}: {destination}, tags {tags:04x?}",
                    program.name
                );
            }
            let types = [QINQ, DOT1Q, DOT1Q, kind];
            let verdict = program.run(&ethernet(OUR_MAC, &types, &payload));
            assert_eq!(
                verdict, Kernel,
                "{}: {destination}, three tags",
                program.name
            );
        }
    }
}

#[test]
fn what_is_not_ip_or_not_to_our_mac_address_is_the_kernels() {
    let v4 = || ipv4("198.51.100.9");
    let v6 = || ipv6("2001:db8::2");
    type Case = (&'static str, [u8; 6], u16, Vec<u8>, Verdict);
    let cases: &[Case] = &[
        ("plain IPv4", OUR_MAC, IPV4, v4(), Ours),
        ("plain IPv6", OUR_MAC, IPV6, v6(), Ours),
        (
            "another host's MAC",
            [0x02, 0, 0, 0, 0, 0x03],
            IPV4,
            v4(),
            Kernel,
        ),
        (
            "MAC that differs in the first byte",
            [0x06, 0, 0, 0, 0, 0x01],
            IPV6,
            v6(),
            Kernel,
        ),
        ("broadcast MAC", [0xff; 6], IPV4, v4(), Kernel),
        (
            "IPv4 multicast MAC",
            [0x01, 0, 0x5e, 0, 0, 5],
            IPV4,
            ipv4("224.0.0.5"),
            Kernel,
        ),
        (
            "IPv6 multicast MAC",
            [0x33, 0x33, 0, 0, 0, 1],
            IPV6,
            ipv6("ff02::1"),
            Kernel,
        ),
        ("ARP request", [0xff; 6], 0x0806, vec![0; 46], Kernel),
        ("ARP reply", OUR_MAC, 0x0806, vec![0; 46], Kernel),
        (
            "ND to our link-local address",
            OUR_MAC,
            IPV6,
            ipv6("fe80::ff:fe00:1"),
            Kernel,
        ),
        (
            "LLDP",
            [0x01, 0x80, 0xc2, 0, 0, 0x0e],
            0x88cc,
            vec![0; 46],
            Kernel,
        ),
        (
            "802.1X",
            [0x01, 0x80, 0xc2, 0, 0, 0x03],
            0x888e,
            vec![0; 46],
            Kernel,
        ),
        ("802.1X to our MAC", OUR_MAC, 0x888e, vec![0; 46], Kernel),
        ("MPLS", OUR_MAC, 0x8847, v4(), Kernel),
        ("PPPoE", OUR_MAC, 0x8864, v4(), Kernel),
        ("IPv4 marked as IPv6", OUR_MAC, IPV6, v4(), Kernel),
        ("IPv6 marked as IPv4", OUR_MAC, IPV4, v6(), Kernel),
        ("TTL 1", OUR_MAC, IPV4, with(v4(), 8, &[1]), Ours),
        ("TTL 0", OUR_MAC, IPV4, with(v4(), 8, &[0]), Ours),
        ("hop limit 1", OUR_MAC, IPV6, with(v6(), 7, &[1]), Ours),
        (
            "first fragment",
            OUR_MAC,
            IPV4,
            with(v4(), 6, &[0x20, 0]),
            Ours,
        ),
        (
            "last fragment",
            OUR_MAC,
            IPV4,
            with(v4(), 6, &[0, 0x40]),
            Ours,
        ),
        (
            "fragment to us",
            OUR_MAC,
            IPV4,
            with(ipv4("10.0.0.1"), 6, &[0x20, 0x40]),
            Kernel,
        ),
        ("IPv6 fragment", OUR_MAC, IPV6, with(v6(), 6, &[44]), Ours),
        (
            "IPv6 fragment to us",
            OUR_MAC,
            IPV6,
            with(ipv6("2001:db8::1"), 6, &[44]),
            Kernel,
        ),
        (
            "IPv4 with options",
            OUR_MAC,
            IPV4,
            with(v4(), 0, &[0x4f]),
            Ours,
        ),
        (
            "hop-by-hop options",
            OUR_MAC,
            IPV6,
            with(v6(), 6, &[0]),
            Ours,
        ),
        (
            "BGP to us",
            OUR_MAC,
            IPV4,
            bgp(ipv4("169.254.0.0"), 20),
            Kernel,
        ),
        (
            "BGP to us by IPv6",
            OUR_MAC,
            IPV6,
            bgp(ipv6("2001:db8::1"), 40),
            Kernel,
        ),
        ("BGP of others", OUR_MAC, IPV4, bgp(v4(), 20), Ours),
    ];
    for program in Program::both() {
        for (name, mac, kind, payload, expected) in cases {
            let verdict = program.run(&ethernet(*mac, &[*kind], payload));
            assert_eq!(verdict, *expected, "{}: {name}", program.name);
        }
    }
}

#[test]
fn a_frame_cut_short_anywhere_in_its_headers_is_the_kernels() {
    for program in Program::both() {
        for (kind, payload, header) in [(IPV4, ipv4("198.51.100.9"), 20), (IPV6, ipv6("::2"), 40)] {
            for types in [vec![kind], vec![DOT1Q, kind], vec![QINQ, DOT1Q, kind]] {
                let frame = ethernet(OUR_MAC, &types, &payload);
                let complete = 10 + 4 * types.len() + header;
                // The runner itself refuses frames without an Ethernet header, and for tc untagged
                // ones without an IP header.
                let least = if program.name == STEAL && types.len() == 1 {
                    complete
                } else {
                    14
                };
                for length in least..=frame.len() {
                    let expected = if length < complete { Kernel } else { Ours };
                    let verdict = program.run(&frame[..length]);
                    assert_eq!(
                        verdict, expected,
                        "{}: {length} of {types:04x?}",
                        program.name
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_is_taken_before_enable_or_after_disable() {
    let frame = ethernet(OUR_MAC, &[IPV4], &ipv4("198.51.100.9"));
    for mut program in [Program::xdp(3), Program::tc(1)] {
        assert_eq!(program.run(&frame), Kernel, "{}: new", program.name);
        program.own.enable().unwrap();
        assert_eq!(program.run(&frame), Ours, "{}: enabled", program.name);
        program.own.disable().unwrap();
        assert_eq!(program.run(&frame), Kernel, "{}: disabled", program.name);
    }
}

#[test]
fn addresses_and_mac_change_while_it_runs() {
    for mut program in Program::both() {
        for address in ["198.51.100.9", "2001:db8::2"] {
            let (kind, payload) = packet(address);
            let frame = ethernet(OUR_MAC, &[kind], &payload);
            let parsed: IpAddr = address.parse().unwrap();
            for _ in 0..2 {
                program.own.add(parsed).unwrap();
                assert_eq!(
                    program.run(&frame),
                    Kernel,
                    "{}: {address} added",
                    program.name
                );
            }
            for _ in 0..2 {
                program.own.remove(parsed).unwrap();
                assert_eq!(
                    program.run(&frame),
                    Ours,
                    "{}: {address} removed",
                    program.name
                );
            }
        }
        let frame = |mac| ethernet(mac, &[IPV4], &ipv4("198.51.100.9"));
        program.own.set_mac(PEER_MAC).unwrap();
        assert_eq!(program.run(&frame(OUR_MAC)), Kernel);
        assert_eq!(program.run(&frame(PEER_MAC)), Ours);
        assert!(program.own.set_mac([0xff; 6]).is_err());
        assert_eq!(program.run(&frame(PEER_MAC)), Ours);
    }
}

#[test]
fn a_full_table_names_the_address_that_did_not_fit() {
    for program in Program::both() {
        let address = |i: u32| IpAddr::from(i.to_be_bytes());
        let full = (1..=u32::from(u16::MAX)).find_map(|i| program.own.add(address(i)).err());
        let message = full.expect("a bound").to_string();
        let last = MAX_ADDRESSES - 3 + 1; // three IPv4 addresses were there
        assert!(message.starts_with(&format!("netdev test: add own address {}", address(last))));
        assert!(
            message.contains("table of 8192 addresses is full"),
            "{message}"
        );
    }
}

#[test]
fn without_a_socket_or_a_tap_the_kernel_takes_over() {
    let frame = ethernet(OUR_MAC, &[IPV4], &ipv4("198.51.100.9"));
    let mut xdp = Program::xdp(2);
    xdp.own.enable().unwrap();
    xdp.ours = i32::MAX; // the production program has one verdict while no socket is bound
    assert_eq!(xdp.run(&frame), Kernel);
    let mut tc = Program::tc(0x7fff_fff0);
    tc.own.enable().unwrap();
    assert_eq!(tc.run(&frame), Kernel);
}

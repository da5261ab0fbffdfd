//! The recordings are what Linux 6.18 sent when iproute2 did what their names say to a veth.

use super::*;

fn recorded(bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    messages(bytes, |heard| {
        all.push(heard.expect("recorded message").message)
    });
    all
}

fn only(bytes: &[u8]) -> Message {
    let mut all = recorded(bytes);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

macro_rules! recording {
    ($name:literal) => {
        include_bytes!(concat!("recorded/", $name, ".bin"))
    };
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

#[test]
fn links_say_name_mac_mtu_admin_and_carrier() {
    let Message::Link(up, false) = only(recording!("link-up")) else {
        panic!("a link");
    };
    let expected = Link {
        ifindex: 3,
        name: "va".into(),
        mac: Some([2, 0, 0, 0, 0, 0x0a]),
        mtu: 1400,
        admin_up: true,
        carrier: true,
    };
    assert_eq!(up, expected);
    let no_carrier = Link {
        carrier: false,
        ..expected.clone()
    };
    assert_eq!(
        only(recording!("link-no-carrier")),
        Message::Link(no_carrier, false)
    );
    let Message::Link(down, false) = only(recording!("link-admin-down")) else {
        panic!("a link");
    };
    assert!(!down.admin_up && !down.carrier);
    assert_eq!(only(recording!("link-gone")), Message::LinkGone(3));
}

#[test]
fn addresses_are_ours_and_not_the_peers() {
    let ours = address("169.254.0.0");
    assert_eq!(only(recording!("address4")), Message::Address(3, ours, 31));
    assert_eq!(
        only(recording!("address4-gone")),
        Message::AddressGone(3, ours, 31)
    );
    let ours = address("10.0.0.1");
    assert_eq!(
        only(recording!("address4-peer")),
        Message::Address(3, ours, 32)
    );
    let ours = address("2001:db8::1");
    assert_eq!(only(recording!("address6")), Message::Address(3, ours, 64));
}

/// A recording with an attribute more.
fn with(recording: &[u8], kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = recording.to_vec();
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let length = (bytes.len() as u32).to_ne_bytes();
    bytes[..4].copy_from_slice(&length);
    bytes
}

#[test]
fn what_is_not_in_the_main_table_is_told_apart() {
    let info = |kind: u16, name: &[u8]| {
        let nested = with(&[0; 4], kind, name);
        let link = with(recording!("link-up"), IFLA_LINKINFO, &nested[4..]);
        matches!(only(&link), Message::Link(_, true))
    };
    assert!(info(IFLA_INFO_KIND, b"vrf\0") && info(IFLA_INFO_SLAVE_KIND, b"vrf\0"));
    assert!(!info(IFLA_INFO_KIND, b"veth\0") && !info(IFLA_INFO_SLAVE_KIND, b"bridge\0"));
    let flags = (0x80 | IFA_F_NOPREFIXROUTE).to_ne_bytes();
    let ours = address("169.254.0.0");
    for (recording, told) in [
        (&recording!("address4")[..], Message::Address(3, ours, 32)),
        (
            recording!("address4-gone"),
            Message::AddressGone(3, ours, 32),
        ),
    ] {
        assert_eq!(only(&with(recording, IFA_FLAGS, &flags)), told);
    }
}

#[test]
fn neighbors_say_mac_state_and_whether_zebra_made_them() {
    let neighbor = |ip: &str, mac: Option<u8>, state, zebra| {
        Message::Neighbor(Neighbor {
            ifindex: 3,
            address: address(ip),
            mac: mac.map(|last| [2, 0, 0, 0, 0, last]),
            state,
            zebra,
        })
    };
    let reachable = neighbor("10.0.0.9", Some(0x99), NeighborState::Reachable, false);
    assert_eq!(only(recording!("neighbor4")), reachable);
    let fake = neighbor("169.254.0.1", Some(0x98), NeighborState::Permanent, true);
    assert_eq!(only(recording!("neighbor-zebra")), fake);
    let failed = neighbor("fe80::99", None, NeighborState::Failed, false);
    assert_eq!(only(recording!("neighbor6-failed")), failed);
    let gone = Message::NeighborGone(3, address("10.0.0.9"));
    assert_eq!(only(recording!("neighbor4-gone")), gone);
}

#[test]
fn a_dump_is_many_messages_and_an_end() {
    let mut all = Vec::new();
    messages(recording!("dump-addresses"), |heard| {
        all.push(heard.expect("message"))
    });
    assert!(all.len() >= 2 && all.iter().all(|h| h.sequence == 7 && !h.interrupted));
    assert_eq!(all.pop().map(|h| h.message), Some(Message::Done));
    assert_eq!(all[0].message, Message::Address(1, address("127.0.0.1"), 8));
}

#[test]
fn every_truncation_is_an_error_or_a_smaller_truth() {
    for whole in [
        &recording!("link-up")[..],
        recording!("neighbor4"),
        recording!("address4"),
    ] {
        for length in 1..whole.len() {
            let mut count = (0, 0);
            messages(&whole[..length], |heard| match heard {
                Ok(_) => count.0 += 1,
                Err(_) => count.1 += 1,
            });
            assert_eq!(count, (0, 1), "framing: {length}");
            // With the length field made to fit, attributes are cut instead.
            let mut cut = whole[..length].to_vec();
            if length >= 16 {
                cut[..4].copy_from_slice(&(length as u32).to_ne_bytes());
                messages(&cut, |_| count.0 += 1);
                assert_eq!(count.0, 1, "{length}");
            }
        }
    }
}

#[test]
fn garbage_neither_panics_nor_loops() {
    let mut seed = 1u64;
    for round in 0..20_000 {
        let mut bytes: Vec<u8> = recording!("neighbor4").to_vec();
        for _ in 0..1 + round % 8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 24) as u8;
        }
        let mut count = 0;
        messages(&bytes, |_| count += 1);
        assert!((1..=bytes.len() / 16 + 1).contains(&count));
    }
    assert_eq!(recorded(&[]), []);
}

#[test]
fn bridge_ports_and_proxy_entries_are_not_ours() {
    let mut bridge = recording!("link-gone").to_vec();
    bridge[16] = 7;
    assert_eq!(only(&bridge), Message::Other);
    let mut proxy = recording!("neighbor4").to_vec();
    proxy[16 + 10] |= NTF_PROXY;
    assert_eq!(only(&proxy), Message::Other);
}

//! A port on a netdev that the kernel keeps, in two network namespaces with real drivers.
//!
//! ```text
//!   peer                       router
//!   east 10.9.0.2/24 ──veth── west 10.9.0.1/24   the kernel answers for 10.9.0.1,
//!        2001:db8:9::2/64          2001:db8:9::1  evenpath's port for everything else
//! ```
//! Needs root, `ip`, `tc`, `nsenter`, `unshare`, `ethtool` and `ping`. The namespaces have no names
//! and end with this process, however it ends.
#![cfg(feature = "dpdk")]

mod port;
mod world;

use world::{Port, World};

const OWN: [&str; 4] = ["10.9.0.1", "10.9.0.255", "2001:db8:9::1", "2001:db8:9::"];
const OWN4: &str = "10.9.0.1";
const OWN6: &str = "2001:db8:9::1";
const TRANSIT4: &str = "198.51.100.1";
const TRANSIT6: &str = "2001:db8:99::1";

fn enable(port: &mut Port) {
    for address in OWN {
        port.ask(&format!("own {address}"));
    }
    port.ask("enable");
}

/// Kernel and port each answer for their own, in both families, whole and in fragments, with
/// neighbors to be resolved first; and the port was given nothing that is not transit.
fn expect_parted(world: &World, port: &mut Port) {
    for (kernels, transit) in [(OWN4, TRANSIT4), (OWN6, TRANSIT6)] {
        world.peer("ip neighbor flush dev east");
        world.router("ip neighbor flush dev west");
        for size in ["56", "3000"] {
            assert_eq!(world.ping(kernels, size, 3), 3, "{kernels}, {size} bytes");
            assert_eq!(world.ping(transit, size, 3), 3, "{transit}, {size} bytes");
        }
    }
    assert_eq!(port.ask("foreign"), "0", "frames that were not transit");
}

/// The life of a port of kind `xdp` or `tap`.
fn life(kind: &str) {
    let world = World::new();
    let found = world.west();
    assert_eq!(world.ping(OWN4, "56", 1), 1, "before any port");

    let mut port = Port::start(&world, kind);
    assert_ne!(world.west(), found, "a program is attached");
    assert_eq!(world.ping(OWN4, "56", 1), 1, "attached and not enabled");
    assert_eq!(world.ping(TRANSIT4, "56", 1), 0, "attached and not enabled");
    enable(&mut port);
    expect_parted(&world, &mut port);

    let second = Port::refused(&world, kind);
    assert!(
        second.contains("netdev west: claim: another evenpath has it"),
        "{second}"
    );

    port.kill();
    assert_ne!(
        world.west(),
        found,
        "a killed process cannot detach its program"
    );
    assert_eq!(world.ping(OWN4, "56", 1), 1, "after a kill");
    world.router(&format!("ip address add {TRANSIT4}/32 dev lo"));
    assert_eq!(
        world.ping(TRANSIT4, "56", 1),
        1,
        "after a kill the kernel gets transit"
    );
    world.router(&format!("ip address del {TRANSIT4}/32 dev lo"));

    let mut port = Port::start(&world, kind);
    enable(&mut port);
    expect_parted(&world, &mut port);
    port.ask("disable");
    assert_eq!(world.ping(TRANSIT4, "56", 1), 0, "disabled");
    assert_eq!(port.ask("foreign"), "0", "frames that were not transit");
    port.stop();
    assert_eq!(world.west(), found, "left as found");
    assert_eq!(
        world.router("ip -oneline link").lines().count(),
        2,
        "lo and west are left"
    );
}

#[test]
fn xdp_parts_a_netdev_and_leaves_it_as_found() {
    life("xdp");
}

#[test]
fn tc_parts_a_netdev_and_leaves_it_as_found() {
    life("tap");
}

#[test]
fn what_another_owner_attached_stays() {
    let world = World::new();
    // Ours under another name of the same length.
    let mut object = include_bytes!(concat!(env!("OUT_DIR"), "/xdp.bpf.o")).to_vec();
    for at in 0..object.len() {
        if object[at..].starts_with(b"evenpath_xdp") {
            object[at..at + 12].copy_from_slice(b"somebody_xdp");
        }
    }
    let path = std::env::temp_dir().join(format!("steal-netns-{}.o", std::process::id()));
    std::fs::write(&path, object).expect("write the object");
    world.router(&format!(
        "ip link set dev west xdp object {} section xdp",
        path.display()
    ));
    std::fs::remove_file(path).expect("remove the object");
    let found = world.west();
    let refused = Port::refused(&world, "xdp");
    assert!(refused.contains("program somebody_xdp (id "), "{refused}");
    assert!(
        refused.contains("`ip link set dev west xdp off`"),
        "{refused}"
    );
    assert_eq!(world.west(), found);
    world.router("ip link set dev west xdp off");

    world.router("tc qdisc add dev west clsact");
    world.router("tc filter add dev west ingress prio 1 protocol arp u32 match u32 0 0 flowid 1:1");
    let found = world.west();
    for kill in [true, false] {
        let mut port = Port::start(&world, "tap");
        enable(&mut port);
        assert_eq!(world.ping(TRANSIT4, "56", 1), 1);
        if kill { port.kill() } else { port.stop() }
    }
    assert_eq!(world.west(), found);
}

#[test]
fn a_netdev_that_cannot_be_had_by_xdp_is_refused_with_the_remedy() {
    let world = World::new();
    world.router("ip link set dev west mtu 3000");
    let refused = Port::refused(&world, "xdp");
    assert!(refused.contains("netdev west: MTU 3000: "), "{refused}");
    assert!(
        refused.contains("`ip link set dev west mtu 1770`"),
        "{refused}"
    );
    world.router("ip link set dev west mtu 1770");
    Port::start(&world, "xdp").stop();

    world.router("ip link del west");
    world.router("ip link add west numrxqueues 2 numtxqueues 2 type veth peer name east");
    let refused = Port::refused(&world, "xdp");
    assert!(
        refused.contains("netdev west: 2 receive queues: "),
        "{refused}"
    );
    assert!(refused.contains("`ethtool -L west rx 1`"), "{refused}");
    world.router("ethtool -L west rx 1");
    // veth itself wants no more transmit queues in the peer.
    world.router("ethtool -L east tx 1");
    Port::start(&world, "xdp").stop();
}

#[test]
fn a_jumbo_netdev_works_by_tap() {
    let world = World::new();
    world.router("ip link set dev west mtu 9000");
    world.peer("ip link set dev east mtu 9000");
    let mut port = Port::start(&world, "tap");
    enable(&mut port);
    assert_eq!(world.ping(TRANSIT4, "8900", 2), 2);
    port.stop();
}

#[test]
fn an_exclusive_ports_tap_follows_the_port() {
    let world = World::new();
    let mut port = Port::start(&world, "kernel");
    let shown = || world.router("ip link show dev up1");
    assert!(shown().contains("02:00:00:00:00:77"), "{}", shown());
    assert!(shown().contains("LOWER_UP"), "{}", shown());
    port.ask("carrier off");
    assert!(shown().contains("NO-CARRIER"), "{}", shown());
    port.ask("carrier on");
    assert!(shown().contains("LOWER_UP"), "{}", shown());
    port.ask("mtu 1400");
    port.ask("mac 78");
    assert!(shown().contains("mtu 1400"), "{}", shown());
    assert!(shown().contains("02:00:00:00:00:78"), "{}", shown());
    let second = Port::refused(&world, "kernel");
    assert!(
        second.contains("netdev up1: create tap: the name is taken"),
        "{second}"
    );
    port.stop();
    assert_eq!(
        world.router("ip -oneline link").lines().count(),
        2,
        "lo and west are left"
    );
}

/// An echo request to `destination` and this MAC address, behind `tag` if there is one, as `request` takes it.
fn echo_request(mac: &str, tag: Option<u16>, destination: [u8; 4]) -> String {
    let mut ip = vec![0x45, 0, 0, 48, 0, 7, 0, 0, 64, 1, 0, 0, 10, 9, 0, 2];
    ip.extend(destination);
    let sum = fastpath::wire::checksum::checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut icmp = vec![8, 0, 0, 0, 0, 1, 0, 1];
    icmp.resize(28, 0x55);
    let sum = fastpath::wire::checksum::checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let tag = tag.map(|tag| [0x81, 0, (tag >> 8) as u8, tag as u8]);
    let rest = [
        &tag.unwrap_or_default()[..tag.map_or(0, |_| 4)],
        &[8, 0],
        &ip,
        &icmp,
    ]
    .concat();
    let rest: Vec<String> = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let rest = rest.concat();
    format!("frame {}020000000001{rest}", mac.replace(':', ""))
}

/// What is written into the tap beside a netdev comes in by that netdev, also behind a tag; and the kernel
/// sends nothing into the tap.
#[test]
fn what_is_punted_comes_in_by_the_netdev() {
    let world = World::new();
    // Accepted on the netdev that it comes in by, and on no other.
    world.router("sysctl -qw net.ipv4.conf.all.rp_filter=1");
    world.router("tc qdisc add dev west clsact");
    world.router(
        "tc filter add dev west ingress protocol 802.1Q u32 match u32 0 0 action mirred egress mirror dev lo",
    );
    let counted = |text: &str, before: &str| {
        let rest = text.split(before).nth(1).expect("a counter");
        let number = rest.split_whitespace().next().expect("a value");
        number.parse::<u64>().expect("a number")
    };
    let echoes = || {
        let text = world.router("cat /proc/net/snmp");
        let mut icmp = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
        let (names, values) = (icmp.next().expect("names"), icmp.next().expect("values"));
        let at = names.split(' ').position(|name| name == "InEchos");
        let value = values.split(' ').nth(at.expect("counted"));
        value.expect("a value").parse::<u64>().expect("a number")
    };
    let tagged = || {
        let text = world.router("tc -s filter show dev west ingress");
        let sent = counted(&text, "Sent ");
        let bytes = format!("Sent {sent} bytes ");
        counted(&text, &bytes)
    };
    let mut port = Port::start(&world, "punt");
    let mut came = |request: String, expected: (u64, u64)| {
        port.ask(&request);
        for _ in 0..500 {
            if (echoes(), tagged()) == expected {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{request}: {:?}, not {expected:?}", (echoes(), tagged()));
    };
    let shown = world.router("ip link show dev west");
    let mac = shown.split("link/ether ").nth(1).expect("an address");
    let mac = mac.split(' ').next().expect("an address");
    let own = [10, 9, 0, 1];
    came(echo_request(mac, None, own), (1, 0));
    came(echo_request(mac, Some(30), own), (1, 1));
    // Another host's is none of the kernel's; the one behind it has come when it has.
    came(echo_request("02:00:00:00:00:99", None, own), (1, 1));
    came(echo_request(mac, None, own), (2, 1));
    let tap = world.router("ip link show dev ep-west");
    assert!(tap.contains("LOWER_UP"), "{tap}");
    assert_eq!(port.ask("foreign"), "0", "the kernel's own words");
    port.stop();
    let left = world.router("ip -oneline link");
    assert!(!left.contains("ep-west"), "{left}");
}

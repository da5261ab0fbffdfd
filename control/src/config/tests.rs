use super::*;

fn problems(text: &str) -> String {
    Config::parse(text).expect_err(text).to_string()
}

/// The example of the design, word for word, with a second port.
const EXAMPLE: &str = r#"
[eal]
cores = "1-3"
hugepages = "never"

[[port]]
name = "up1"
device = "xdp:eth1"
kernel = "eth1"
mac = "02:00:00:00:00:01"
mtu = 1500

[[port]]
name = "up2"
device = "0000:03:00.1,dv_flow_en=2"
kernel = "none"
vlan = 100

[[port]]
name = "host0"
device = "net_pcap0,rx_pcap=a.pcap"

[fpm]
listen = "127.0.0.1:2620"

[hash]
source-ip = true
ingress-interface = true
gtp-teid = false
symmetric = true
seed = 0x32
algorithm = "mix"

[resilient]
enable = false
buckets = 4_096
active-timer = 120
unbalanced-timer = 4294967295

[[address]]
port = "host0"
address = "10.244.1.1/24"
[[neighbor]]
port = "up1"
address = "169.254.0.1"
mac = "02:00:00:00:01:01"
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "169.254.0.1", port = "up1" }, { via = "fe80::3", port = "up2", weight = 2 }]
[[route]]
prefix = "::/0"
type = "unreachable"
[[route]]
prefix = "10.99.0.0/16"
nexthops = [{ via = "10.244.1.9" }]
"#;

#[test]
fn the_example_of_the_design_is_what_it_says() {
    let config = Config::parse(EXAMPLE).expect("example");
    assert_eq!(config.eal.cores, Cores::List(vec![1, 2, 3]));
    assert_eq!(config.eal.hugepages, Hugepages::Never);
    assert_eq!(config.ports[0].device, Some(Device::Xdp("eth1".into())));
    assert_eq!(config.ports[0].kernel, Kernel::Netdev("eth1".into()));
    assert_eq!(config.ports[0].mac, Some([2, 0, 0, 0, 0, 1]));
    assert_eq!(
        (config.ports[0].mtu, config.ports[1].vlan),
        (Some(1500), 100)
    );
    assert!(matches!(&config.ports[1].device, Some(Device::Pci(_))));
    assert!(matches!(&config.ports[2].device, Some(Device::Devargs(_))));
    assert_eq!(config.hash.seed, Seed::Fixed(50));
    assert!(
        config
            .hash
            .fields
            .has(fastpath::hash::Field::IngressInterface)
    );
    assert_eq!(config.resilient.buckets, 4096);
    assert_eq!(config.resilient.unbalanced_timer, None);
    assert_eq!(config.addresses[0].prefix().to_string(), "10.244.1.0/24");
    assert_eq!(config.neighbors[0].port, PortId(0));
    let nexthop = |via: &str, port, weight| Nexthop {
        via: via.parse().ok(),
        port: PortId(port),
        weight,
    };
    let both = vec![nexthop("169.254.0.1", 0, 1), nexthop("fe80::3", 1, 2)];
    assert_eq!(config.routes[0].target, Target::Nexthops(both));
    assert_eq!(config.routes[1].target, Target::Unreachable);
    let found = vec![nexthop("10.244.1.9", 2, 1)];
    assert_eq!(
        config.routes[2].target,
        Target::Nexthops(found),
        "port found by address"
    );
    assert_eq!(
        config.summary(),
        "3 ports, 1 address, 1 neighbor, 3 static routes"
    );
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = commented(&Config::default());
    assert_eq!(Config::parse(&text).expect("default"), Config::default());
    assert_eq!(Config::parse("").expect("empty"), Config::default());
    let uncommented: String = text
        .lines()
        .map(|l| match l.strip_prefix('#') {
            Some(example) if !example.starts_with(' ') => format!("{example}\n"),
            _ => format!("{l}\n"),
        })
        .collect();
    let config = Config::parse(&uncommented).expect("examples");
    assert_eq!(
        config.summary(),
        "1 port, 1 address, 1 neighbor, 2 static routes"
    );
    // Every key that is known is printed, and so explained.
    for key in sections::HASH {
        assert!(text.contains(&format!("\n{key} = ")), "{key}");
    }
}

#[test]
fn a_port_takes_its_netdev_from_its_device_unless_told() {
    let kernel = |device: &str| {
        let text = format!("[[port]]\nname = \"a\"\ndevice = \"{device}\"\n");
        Config::parse(&text).expect("config").ports[0]
            .kernel
            .clone()
    };
    assert_eq!(kernel("xdp:eth1"), Kernel::Netdev("eth1".into()));
    assert_eq!(kernel("tap:eth1"), Kernel::Netdev("eth1".into()));
    assert_eq!(kernel("net_null0"), Kernel::None);
    assert_eq!(kernel("03:00.0"), Kernel::None);
}

#[test]
fn a_device_says_which_netdev_it_is_made_from() {
    let netdev = |device: &str| {
        let text = format!("[[port]]\nname = \"a\"\ndevice = \"{device}\"\nkernel = \"tap\"\n");
        let config = Config::parse(&text).expect("config");
        let device = config.ports[0].device.as_ref().expect("device");
        device.netdev().map(str::to_owned)
    };
    for device in [
        "xdp:eth1",
        "tap:eth1",
        "net_af_xdp0,iface=eth1,busy_budget=0",
        "net_af_packet,qpairs=2,iface=eth1",
    ] {
        assert_eq!(netdev(device).as_deref(), Some("eth1"), "{device}");
    }
    // A tap's iface is the tap itself.
    for device in [
        "net_tap0,iface=eth1",
        "net_null0",
        "net_af_xdp0",
        "0000:03:00.0,iface=eth1",
    ] {
        assert_eq!(netdev(device), None, "{device}");
    }
}

#[test]
fn every_algorithm_has_its_name() {
    for algorithm in Algorithm::ALL {
        let text = format!("[hash]\nalgorithm = \"{}\"", algorithm.name());
        let config = Config::parse(&text).expect("allowed");
        assert_eq!(config.hash.algorithm, algorithm);
        let again = Config::parse(&super::print::commented(&config)).expect("printed");
        assert_eq!(again.hash.algorithm, algorithm);
    }
}

#[test]
fn every_value_error_says_key_value_and_range() {
    for (text, expected) in [
        (
            "[hash]\nseed = 4294967296",
            "line 2: hash.seed: 4294967296 is not allowed; allowed: \"random\" or 0..4294967295",
        ),
        (
            "[hash]\nseed = -1",
            "line 2: hash.seed: -1 is not allowed; allowed: \"random\" or 0..4294967295",
        ),
        (
            "[hash]\nsource-ip = 1",
            "line 2: hash.source-ip: 1 is not allowed; allowed: true or false",
        ),
        (
            "[hash]\nalgorithm = \"md5\"",
            "line 2: hash.algorithm: \"md5\" is not allowed; allowed: \"mix\", \"toeplitz\" or \"crc32\"",
        ),
        (
            "[resilient]\n\nbuckets = 63",
            "line 3: resilient.buckets: 63 is not allowed; allowed: 64, 128, 256, 512, 1024, 2048 or 4096",
        ),
        (
            "[resilient]\nbuckets = 8192",
            "line 2: resilient.buckets: 8192 is not allowed; allowed: 64, 128, 256, 512, 1024, 2048 or 4096",
        ),
        (
            "[resilient]\nactive-timer = 0",
            "line 2: resilient.active-timer: 0 is not allowed; allowed: 1..65535 seconds",
        ),
        (
            "[resilient]\nunbalanced-timer = 4294967296",
            "line 2: resilient.unbalanced-timer: 4294967296 is not allowed; allowed: 1..4294967295 seconds, the last: never",
        ),
        (
            "[eal]\ncores = \"3-1\"",
            "line 2: eal.cores: \"3-1\" is not allowed; allowed: \"auto\", or cores such as \"1-3\" or \"1,3\", each 0..1023",
        ),
        (
            "[eal]\nmemory = 16",
            "line 2: eal.memory: 16 is not allowed; allowed: \"auto\" or 32..1048576 MiB",
        ),
        (
            "[fpm]\nlisten = \"localhost\"",
            "line 2: fpm.listen: \"localhost\" is not allowed; allowed: ADDRESS:PORT, e.g. \"127.0.0.1:2620\" or \"[::1]:2620\"",
        ),
        (
            "[fpm]\nsentinel = \"fec0::1/64\"",
            "line 2: fpm.sentinel: \"fec0::1/64\": host bits are set; did you mean fec0::/64?",
        ),
        (
            "[api]\nsocket = \"here.sock\"",
            "line 2: api.socket: \"here.sock\" is not allowed; allowed: an absolute path of at most 107 bytes",
        ),
        (
            "port = 1",
            "line 1: port: 1 is not allowed; allowed: tables: write [[NAME]] once for each, in double brackets",
        ),
        (
            "hash = 1",
            "line 1: hash: 1 is not allowed; allowed: a table: write [NAME] on a line of its own, its keys below",
        ),
        (
            "[[port]]\nname = \"a b\"",
            "line 2: port[1].name: \"a b\" is not allowed; allowed: 1 to 15 letters, digits, \".\", \"_\" or \"-\"",
        ),
        (
            "[[port]]\nvlan = 1",
            "line 1: port[1].name: missing; it has no default",
        ),
        (
            "[[port]]\nname = \"a\"\nmac = \"01:00:00:00:00:00\"",
            "line 3: port[1].mac: \"01:00:00:00:00:00\" is not allowed; allowed: a unicast MAC address, e.g. \"02:00:00:00:00:01\"",
        ),
        (
            "[[port]]\nname = \"a\"\nmtu = 67",
            "line 3: port[1].mtu: 67 is not allowed; allowed: 68..9600 bytes",
        ),
        (
            "[[port]]\nname = \"a\"\ndevice = \"eth1\"",
            "line 3: port[1].device: \"eth1\" is not allowed; allowed: \"xdp:NETDEV\", \"tap:NETDEV\", a PCI address such as \"0000:03:00.0\", or DPDK device arguments such as \"net_null0\"",
        ),
        (
            "[hash]\nsource-ip = false\ndestination-ip = false\nsource-port = false\ndestination-port = false\nip-protocol = false\nipv6-label = false",
            "line 1: hash: no field is on, so that all packets would take one member; turn one on",
        ),
    ] {
        assert_eq!(problems(text), expected);
    }
}

#[test]
fn unknown_keys_are_errors_with_what_was_meant() {
    for (text, expected) in [
        (
            "[hash]\nsource_ip = true",
            "line 2: hash.source_ip: unknown key; did you mean source-ip?",
        ),
        (
            "[resilent]\nenable = true",
            "line 1: resilent: unknown key; did you mean resilient?",
        ),
        (
            "[[port]]\nname = \"a\"\n\nmtuu = 9",
            "line 4: port[1].mtuu: unknown key; did you mean mtu?",
        ),
        (
            "[api]\ncolour = 1",
            "line 2: api.colour: unknown key; known here: socket",
        ),
    ] {
        assert_eq!(problems(text), expected);
    }
    assert!(problems("[hash\n").starts_with("line 1: not TOML: "));
    assert!(problems("a = 1\na = 2").contains("line 2: not TOML: duplicate key"));
}

#[test]
fn parts_of_the_file_must_agree() {
    let with_port = |text: &str| format!("[[port]]\nname = \"up1\"\n{text}");
    for (text, expected) in [
        (
            "[[port]]\nname = \"up1\"",
            "line 3: port[2].name: \"up1\" is already on line 1; remove one of them",
        ),
        (
            "device = \"net_null0\"\n[[port]]\nname = \"up2\"\ndevice = \"net_null0,size=64\"",
            "line 4: port[2].device: \"net_null0\" is already on line 1; remove one of them",
        ),
        (
            "device = \"xdp:eth1\"\nkernel = \"none\"\n[[port]]\nname = \"up2\"\ndevice = \"tap:eth1\"",
            "line 5: port[2].device: \"eth1\" is already on line 1; remove one of them",
        ),
        (
            "[[address]]\nport = \"up2\"\naddress = \"10.0.0.1/8\"",
            "line 4: address[1].port: no port is called \"up2\"; did you mean up1?",
        ),
        (
            "[[address]]\nport = \"leaf\"\naddress = \"10.0.0.1/8\"",
            "line 4: address[1].port: no port is called \"leaf\"; ports are up1",
        ),
        (
            "[[address]]\nport = \"up1\"\naddress = \"10.0.0.1\"",
            "line 5: address[1].address: \"10.0.0.1\": expected ADDRESS/LENGTH",
        ),
        (
            "[[address]]\nport = \"up1\"\naddress = \"224.0.0.1/8\"",
            "line 5: address[1].address: \"224.0.0.1\" is not allowed; allowed: an IPv4 or IPv6 address of one host",
        ),
        (
            "[[neighbor]]\nport = \"up1\"\naddress = \"10.0.0.1\"",
            "line 3: neighbor[1].mac: missing; it has no default",
        ),
        (
            "[[route]]\nprefix = \"10.1.0.0/8\"\ntype = \"blackhole\"",
            "line 4: route[1].prefix: \"10.1.0.0/8\": host bits are set; did you mean 10.0.0.0/8?",
        ),
        (
            "[[route]]\nprefix = \"10.0.0.0/8\"\ntype = \"drop\"",
            "line 5: route[1].type: \"drop\" is not allowed; allowed: \"blackhole\", \"unreachable\" or \"prohibit\"",
        ),
        (
            "[[route]]\nprefix = \"10.0.0.0/8\"",
            "line 3: route[1]: needs either nexthops = [...] or type = \"blackhole\", \"unreachable\" or \"prohibit\"",
        ),
        (
            "[[route]]\nprefix = \"10.0.0.0/8\"\nnexthops = []",
            "line 3: route[1]: needs either nexthops = [...] or type = \"blackhole\", \"unreachable\" or \"prohibit\"",
        ),
        (
            "[[route]]\nprefix = \"10.0.0.0/8\"\nnexthops = [{ via = \"192.0.2.1\" }]",
            "line 5: route[1].nexthops[1].via: 192.0.2.1 is on the link of no [[address]]; say which port by port = \"NAME\"",
        ),
        (
            "[[route]]\nprefix = \"2001:db8::/32\"\nnexthops = [{ via = \"192.0.2.1\", port = \"up1\" }]",
            "line 5: route[1].nexthops[1].via: 192.0.2.1 cannot be the gateway of an IPv6 route; use an IPv6 address",
        ),
        (
            "[[route]]\nprefix = \"10.0.0.0/8\"\nnexthops = [{ via = \"192.0.2.1\", port = \"up1\", weight = 0 }]",
            "line 5: route[1].nexthops[1].weight: 0 is not allowed; allowed: 1..256",
        ),
        (
            "[[route]]\nprefix = \"10.0.0.0/8\"\ntype = \"blackhole\"\n[[route]]\nprefix = \"10.0.0.0/8\"\ntype = \"prohibit\"",
            "line 6: route[2].prefix: 10.0.0.0/8 is already on line 3; remove one of them",
        ),
    ] {
        assert_eq!(problems(&with_port(text)), expected);
    }
}

#[test]
fn all_problems_are_found_and_there_are_64_ports() {
    let text = "[hash]\nseed = \"x\"\n[icmp]\nrate = -1\nrat = 1\n[[address]]\nport = \"p\"\naddress = \"1.1.1.1/8\"";
    let found = Config::parse(text).expect_err("errors").0;
    assert_eq!(
        found.iter().map(|p| p.line).collect::<Vec<_>>(),
        [2, 4, 5, 7]
    );
    let ports = |n: usize| -> String {
        let ports = (0..n).map(|i| format!("[[port]]\nname = \"p{i}\"\n"));
        ports.collect::<Vec<_>>().concat()
    };
    assert_eq!(Config::parse(&ports(64)).expect("64").ports.len(), 64);
    assert_eq!(
        problems(&ports(65)),
        "line 129: port: 65 ports; at most 64 are possible"
    );
}

#[test]
fn a_file_error_names_the_file() {
    let error = Config::load(Path::new("/nonexistent/e.toml"))
        .expect_err("error")
        .to_string();
    assert!(
        error.starts_with("/nonexistent/e.toml: read: No such file"),
        "{error}"
    );
    assert!(
        error.ends_with("; `evenpath config default` prints one to start from"),
        "{error}"
    );
}

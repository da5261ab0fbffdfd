//! Ports and the kernel's links: who is up, which interface index is which port, own addresses.
//!
//! A port is up when its device has a link (link-state interrupt) and, if the kernel has a netdev
//! for it, that is up and has carrier. The tap of an exclusive port has no carrier of its own to
//! go by. A port without a netdev is up until told otherwise.

use crate::config::{self, Kernel};
use crate::event::{self, Link, Mac};
use crate::prefix::Prefix;
use fastpath::table::{MAX_PORTS, PortFacts, PortId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a port's device says of itself; used where neither configuration nor netdev says more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its MAC address.
    pub mac: Mac,
    /// Its L3 MTU in bytes.
    pub mtu: u16,
    /// Frames for other MAC addresses are routed too: replay of a capture from elsewhere.
    pub any_mac: bool,
    /// What it says that it hashes packets by (`Settings::rss_id`), telling the value with each; or
    /// why it does not.
    pub nic: Result<u64, String>,
    /// Descriptors of each of its receive queues.
    pub ring: u32,
}

impl Default for Device {
    fn default() -> Self {
        Device {
            mac: [0; 6],
            mtu: 1500,
            any_mac: false,
            nic: Err("its packets do not come from a NIC".into()),
            ring: 0,
        }
    }
}

#[derive(Debug)]
struct Port {
    config: config::Port,
    netdev: Option<String>,
    device: Device,
    ifindex: Option<u32>,
    device_up: bool,
    /// `PortFacts::nic_hash` and `PortFacts::nic_compare`.
    nic: (u64, u64),
}

/// The last address of an IPv4 subnet that has one to spare (RFC 3021: a /31 has none).
pub fn directed_broadcast(address: IpAddr, length: u8) -> Option<IpAddr> {
    let IpAddr::V4(own) = address else {
        return None;
    };
    let hosts = u32::MAX.checked_shr(length.into()).filter(|&h| h > 1)?;
    Some(Ipv4Addr::from(own.to_bits() | hosts).into())
}

/// All ports, links and own addresses.
#[derive(Debug)]
pub struct Ports {
    ports: Vec<Port>,
    links: BTreeMap<u32, Link>,
    by_ifindex: HashMap<u32, PortId>,
    /// Own addresses: address, interface, length; and by interface, there may be thousands.
    addresses: BTreeSet<(IpAddr, u32, u8)>,
    by_interface: BTreeSet<(u32, IpAddr, u8)>,
    /// Their directed broadcasts: those, interface, address, length.
    broadcasts: BTreeSet<(IpAddr, u32, IpAddr, u8)>,
    /// Something that [`Ports::facts`] says may have changed.
    is_news: bool,
}

const FIRST4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const FIRST6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Why a port is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The kernel has no netdev of that name.
    NoNetdev,
    /// The netdev is administratively down.
    Admin,
    /// The netdev or the device has no carrier.
    Carrier,
}

impl DownReason {
    /// The name of `show port`.
    pub const fn name(self) -> &'static str {
        match self {
            DownReason::NoNetdev => "no-netdev",
            DownReason::Admin => "admin-down",
            DownReason::Carrier => "no-carrier",
        }
    }
}

impl Ports {
    /// The configured ports, and what their devices say, in the same order.
    pub fn new(configured: &[config::Port], devices: &[Device]) -> Self {
        let port = |(i, config): (usize, &config::Port)| Port {
            config: config.clone(),
            netdev: match &config.kernel {
                Kernel::Netdev(name) => Some(name.clone()),
                Kernel::Tap => Some(config.name.clone()),
                Kernel::None => None,
            },
            device: devices.get(i).cloned().unwrap_or_default(),
            ifindex: None,
            device_up: true,
            nic: (0, 0),
        };
        Ports {
            ports: configured
                .iter()
                .take(MAX_PORTS)
                .enumerate()
                .map(port)
                .collect(),
            links: BTreeMap::new(),
            by_ifindex: HashMap::new(),
            addresses: BTreeSet::new(),
            by_interface: BTreeSet::new(),
            broadcasts: BTreeSet::new(),
            is_news: true,
        }
    }

    fn get(&self, port: PortId) -> Option<&Port> {
        self.ports.get(usize::from(port.0))
    }

    /// All ports.
    pub fn all(&self) -> impl Iterator<Item = PortId> + use<> {
        (0..self.ports.len() as u16).map(PortId)
    }

    /// The port of that name.
    pub fn named(&self, name: &str) -> Option<PortId> {
        let at = self.ports.iter().position(|p| p.config.name == name);
        at.map(|i| PortId(i as u16))
    }

    /// Its name; of one that does not exist, nothing.
    pub fn name(&self, port: PortId) -> &str {
        self.get(port).map_or("", |p| &p.config.name)
    }

    /// The port of an interface.
    pub fn of(&self, ifindex: u32) -> Option<PortId> {
        event::configured_port(ifindex)
            .filter(|&p| self.get(p).is_some())
            .or_else(|| self.by_ifindex.get(&ifindex).copied())
    }

    /// The name of an interface: the port's, else the netdev's, else its index.
    pub fn interface(&self, ifindex: u32) -> String {
        match (self.of(ifindex), self.links.get(&ifindex)) {
            (Some(port), _) => self.name(port).to_string(),
            (None, Some(link)) => link.name.clone(),
            (None, None) => format!("if{ifindex}"),
        }
    }

    /// The interface index of a port's netdev.
    pub fn netdev(&self, port: PortId) -> Option<u32> {
        self.get(port)?.ifindex
    }

    /// The name of a port's netdev, whether or not it exists.
    pub fn netdev_name(&self, port: PortId) -> Option<&str> {
        self.get(port)?.netdev.as_deref()
    }

    /// The interface indexes under which facts about the interface `ifindex` may stand.
    pub fn aliases(&self, ifindex: u32) -> impl Iterator<Item = u32> + use<> {
        let port = self.of(ifindex);
        let configured = port.map(event::configured).filter(|&i| i != ifindex);
        let netdev = port.and_then(|p| self.netdev(p)).filter(|&i| i != ifindex);
        std::iter::once(ifindex).chain(netdev).chain(configured)
    }

    /// Why a port is down; nothing when it is up.
    pub fn down_reason(&self, port: PortId) -> Option<DownReason> {
        let Some(p) = self.get(port) else {
            return Some(DownReason::NoNetdev);
        };
        let link = match (&p.netdev, p.ifindex) {
            (None, _) => None,
            (Some(_), None) => return Some(DownReason::NoNetdev),
            (Some(_), Some(ifindex)) => self.links.get(&ifindex),
        };
        if link.is_some_and(|l| !l.admin_up) {
            return Some(DownReason::Admin);
        }
        let exclusive = p.config.kernel == Kernel::Tap;
        let carrier = exclusive || link.is_none_or(|l| l.carrier);
        (!carrier || !p.device_up).then_some(DownReason::Carrier)
    }

    /// True when frames can leave by it.
    pub fn is_up(&self, port: PortId) -> bool {
        self.down_reason(port).is_none()
    }

    /// True unless the interface is known to be down.
    pub fn is_interface_up(&self, ifindex: u32) -> bool {
        match self.of(ifindex) {
            Some(port) => self.is_up(port),
            None => self
                .links
                .get(&ifindex)
                .is_none_or(|l| l.admin_up && l.carrier),
        }
    }

    /// The MAC address that frames carry there.
    pub fn mac(&self, port: PortId) -> Mac {
        let Some(p) = self.get(port) else {
            return [0; 6];
        };
        let netdev = p.ifindex.and_then(|i| self.links.get(&i)?.mac);
        match p.config.kernel {
            Kernel::Tap => p.config.mac.unwrap_or(p.device.mac),
            _ => p.config.mac.or(netdev).unwrap_or(p.device.mac),
        }
    }

    /// L3 MTU in bytes.
    pub fn mtu(&self, port: PortId) -> u16 {
        let Some(p) = self.get(port) else { return 1500 };
        let netdev = p.ifindex.and_then(|i| self.links.get(&i));
        let netdev = netdev.map(|l| u16::try_from(l.mtu).unwrap_or(u16::MAX));
        p.config.mtu.or(netdev).unwrap_or(p.device.mtu)
    }

    /// VLAN id, 0: untagged.
    pub fn vlan(&self, port: PortId) -> u16 {
        self.get(port).map_or(0, |p| p.config.vlan)
    }

    /// A netdev appeared or changed.
    pub fn link(&mut self, link: Link) {
        let ifindex = link.ifindex;
        self.is_news = true;
        self.unbind(ifindex);
        for (i, p) in self.ports.iter_mut().enumerate() {
            if p.netdev.as_deref() == Some(link.name.as_str()) {
                if let Some(old) = p.ifindex.replace(ifindex) {
                    self.by_ifindex.remove(&old);
                }
                self.by_ifindex.insert(ifindex, PortId(i as u16));
            }
        }
        self.links.insert(ifindex, link);
    }

    /// A netdev is gone, and its addresses with it.
    pub fn link_gone(&mut self, ifindex: u32) {
        self.is_news = true;
        self.unbind(ifindex);
        self.links.remove(&ifindex);
    }

    fn unbind(&mut self, ifindex: u32) {
        if let Some(port) = self.by_ifindex.remove(&ifindex) {
            if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
                p.ifindex = None;
            }
        }
    }

    /// The device of a port has a link, or has none.
    pub fn device_carrier(&mut self, port: PortId, up: bool) {
        if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
            p.device_up = up;
        }
    }

    /// Whose hash is taken on a port, and whose is compared ([`crate::nic::Nics::facts`]).
    pub fn set_nic(&mut self, port: PortId, nic: (u64, u64)) {
        if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
            self.is_news |= p.nic != nic;
            p.nic = nic;
        }
    }

    /// The kernel's interface indexes.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// An own address; false when it is known.
    pub fn address(&mut self, ifindex: u32, address: IpAddr, prefix_len: u8) -> bool {
        if let Some(broadcast) = directed_broadcast(address, prefix_len) {
            let entry = (broadcast, ifindex, address, prefix_len);
            self.broadcasts.insert(entry);
        }
        self.by_interface.insert((ifindex, address, prefix_len));
        let is_news = self.addresses.insert((address, ifindex, prefix_len));
        self.is_news |= is_news;
        is_news
    }

    /// An own address is gone; false when it was not known.
    pub fn address_gone(&mut self, ifindex: u32, address: IpAddr, prefix_len: u8) -> bool {
        if let Some(broadcast) = directed_broadcast(address, prefix_len) {
            let entry = (broadcast, ifindex, address, prefix_len);
            self.broadcasts.remove(&entry);
        }
        self.by_interface.remove(&(ifindex, address, prefix_len));
        let is_news = self.addresses.remove(&(address, ifindex, prefix_len));
        self.is_news |= is_news;
        is_news
    }

    /// All own addresses: interface, address, length.
    pub fn addresses(&self) -> impl Iterator<Item = (u32, IpAddr, u8)> + '_ {
        self.addresses.iter().map(|&(a, i, l)| (i, a, l))
    }

    /// The interfaces on whose account packets to `address` are the kernel's: it is an address of
    /// theirs, or a directed broadcast, which is not forwarded by default (RFC 2644).
    pub fn kernels(&self, address: IpAddr) -> BTreeSet<u32> {
        let own = self.addresses.range((address, 0, 0)..);
        let own = own.take_while(|a| a.0 == address).map(|a| a.1);
        let broadcasts = self.broadcasts.range((address, 0, FIRST4, 0)..);
        let broadcasts = broadcasts.take_while(|b| b.0 == address).map(|b| b.1);
        own.chain(broadcasts).collect()
    }

    /// The own addresses on an interface, and their lengths.
    pub fn addresses_on(&self, ifindex: u32) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        let here = self.by_interface.range((ifindex, FIRST4, 0)..);
        here.take_while(move |a| a.0 == ifindex)
            .map(|&(_, a, l)| (a, l))
    }

    /// True when `address` is on the link of `ifindex` by the addresses there.
    pub fn is_on_link(&self, ifindex: u32, address: IpAddr) -> bool {
        let mut here = self
            .aliases(ifindex)
            .flat_map(|ifindex| self.addresses_on(ifindex));
        here.any(|(own, length)| Prefix::containing(own, length).is_ok_and(|p| p.contains(address)))
    }

    /// [`Ports::facts`], if they may be others than before.
    pub fn new_facts(&mut self) -> Option<[PortFacts; MAX_PORTS]> {
        std::mem::take(&mut self.is_news).then(|| self.facts())
    }

    /// What workers must know of every port.
    pub fn facts(&self) -> [PortFacts; MAX_PORTS] {
        let mut facts = [PortFacts::default(); MAX_PORTS];
        let own = |first| self.addresses.range((first, 0, 0)..).map(|a| a.0);
        let (router4, router6) = (source(own(FIRST4)), source(own(FIRST6)));
        for (port, fact) in self.all().zip(&mut facts) {
            let interfaces = [self.netdev(port), Some(event::configured(port))];
            let lowest = |first| {
                let all = interfaces.iter().flatten().filter_map(|&ifindex| {
                    let here = self.by_interface.range((ifindex, first, 0)..);
                    source(here.take_while(|a| a.0 == ifindex).map(|a| a.1))
                });
                all.filter(|a| a.is_ipv4() == first.is_ipv4()).min()
            };
            let nic = self.get(port).map_or((0, 0), |p| p.nic);
            *fact = PortFacts {
                present: true,
                mac: self.mac(port),
                any_mac: self.get(port).is_some_and(|p| p.device.any_mac),
                vlan: self.vlan(port),
                mtu: self.mtu(port),
                kernel: self
                    .get(port)
                    .is_some_and(|p| p.config.kernel != Kernel::None),
                source4: lowest(FIRST4).or(router4).and_then(ipv4),
                source6: lowest(FIRST6).or(router6).and_then(ipv6),
                nic_hash: nic.0,
                nic_compare: nic.1,
            };
        }
        facts
    }
}

/// The first of these addresses that is fit to be the source of an ICMP error.
fn source(mut all: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    all.find(|a| !a.is_loopback() && !is_link_local(*a))
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(a) => Some(a),
    }
}

/// True for `fe80::/10`. IPv4's 169.254/16 is routed like any other by those who number links so.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, kernel: Kernel) -> config::Port {
        config::Port {
            name: name.into(),
            device: None,
            kernel,
            mac: None,
            mtu: None,
            vlan: 0,
            side: config::offload::Side::Wire,
        }
    }

    fn eth(ifindex: u32, name: &str, admin_up: bool, carrier: bool) -> Link {
        Link {
            ifindex,
            name: name.into(),
            mac: Some([2, 0, 0, 0, 0, ifindex as u8]),
            mtu: 9000,
            admin_up,
            carrier,
        }
    }

    #[test]
    fn a_port_follows_its_netdev_and_its_device() {
        let up1 = port("up1", Kernel::Netdev("eth1".into()));
        let mut ports = Ports::new(&[up1, port("pcap", Kernel::None)], &[]);
        let (up1, pcap) = (PortId(0), PortId(1));
        assert_eq!(ports.down_reason(up1), Some(DownReason::NoNetdev));
        assert!(ports.is_up(pcap), "nobody speaks for it");
        ports.link(eth(7, "eth1", true, true));
        assert!(ports.is_up(up1) && ports.of(7) == Some(up1));
        assert_eq!((ports.mac(up1)[5], ports.mtu(up1)), (7, 9000));
        ports.link(eth(7, "eth1", true, false));
        assert_eq!(ports.down_reason(up1), Some(DownReason::Carrier));
        ports.link(eth(7, "eth1", false, true));
        assert_eq!(ports.down_reason(up1), Some(DownReason::Admin));
        ports.link(eth(7, "eth1", true, true));
        ports.device_carrier(up1, false);
        assert_eq!(ports.down_reason(up1), Some(DownReason::Carrier));
        ports.device_carrier(up1, true);
        ports.link(eth(7, "renamed", true, true));
        assert_eq!(ports.down_reason(up1), Some(DownReason::NoNetdev));
        ports.link(eth(8, "eth1", true, true));
        assert!(ports.is_up(up1) && ports.of(7).is_none() && ports.netdev(up1) == Some(8));
        assert_eq!(ports.interface(7), "renamed");
        assert_eq!(
            ports.aliases(8).collect::<Vec<_>>(),
            [8, event::configured(up1)]
        );
    }

    #[test]
    fn icmp_errors_come_from_the_port_or_from_the_router() {
        let mut ports = Ports::new(
            &[
                port("a", Kernel::Netdev("a".into())),
                port("b", Kernel::Netdev("b".into())),
            ],
            &[],
        );
        ports.link(eth(2, "a", true, true));
        ports.link(eth(3, "b", true, true));
        for (ifindex, address) in [
            (1, "127.0.0.1"),
            (1, "10.0.0.1"),
            (2, "fe80::1"),
            (2, "169.254.0.0"),
        ] {
            assert!(ports.address(ifindex, address.parse().expect("address"), 31));
        }
        let facts = ports.facts();
        assert_eq!(facts[0].source4, Some(Ipv4Addr::new(169, 254, 0, 0)));
        assert_eq!(facts[1].source4, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!((facts[0].source6, facts[2].present), (None, false));
        assert!(ports.is_on_link(2, "169.254.0.1".parse().expect("address")));
        assert!(!ports.is_on_link(3, "169.254.0.1".parse().expect("address")));
        assert!(
            !ports
                .kernels("10.0.0.1".parse().expect("address"))
                .is_empty()
        );
    }
}

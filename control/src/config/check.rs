//! What one part of the file says about another: names of ports, duplicates, gateways.

use super::port::{MAC, mac};
use super::problem::Kind;
use super::reader::{At, Findings, Section};
use super::{Address, Config, Device, Kernel, Neighbor, Nexthop, Port, Route, Target};
use fastpath::table::{MAX_PORTS, PortId};
use std::collections::BTreeMap;
use std::net::IpAddr;

const ADDRESS: &str = "an IPv4 or IPv6 address of one host";

/// Names, devices and netdevs are each port's own, and there are not too many.
pub(super) fn ports(ports: &[At<Port>], out: &mut Findings<'_>) {
    if let Some(beyond) = ports.get(MAX_PORTS) {
        out.add(beyond.line, "port", Kind::TooManyPorts(ports.len()));
    }
    let mut names = Once::default();
    let (mut devices, mut netdevs) = (Once::default(), Once::default());
    for (index, port) in ports.iter().enumerate() {
        let (name, line) = (&port.value.name, port.line);
        if !name.is_empty() {
            names.note(
                format!("\"{name}\""),
                line,
                || format!("port[{}].name", index + 1),
                out,
            );
        }
        if let Some(device) = &port.value.device {
            let key = || format!("port[{}].device", index + 1);
            devices.note(format!("\"{}\"", whose(device)), line, key, out);
        }
        if let Kernel::Netdev(netdev) = &port.value.kernel {
            let key = || format!("port[{}].kernel", index + 1);
            netdevs.note(format!("\"{netdev}\""), line, key, out);
        }
    }
}

/// What no other port may have: the netdev, the virtual device's name, else the device with the
/// arguments that tell representors apart.
fn whose(device: &Device) -> &str {
    match device {
        Device::Xdp(netdev) | Device::Tap(netdev) => netdev,
        Device::Pci(whole) => whole,
        Device::Devargs(args) => {
            let name = args.split(',').next().unwrap_or(args);
            let name = name.strip_prefix("vdev:").unwrap_or(name);
            if name.contains(':') { args } else { name }
        }
    }
}

/// What was seen, and on which line first.
#[derive(Default)]
struct Once(BTreeMap<String, usize>);

impl Once {
    fn note(
        &mut self,
        value: String,
        line: usize,
        key: impl FnOnce() -> String,
        out: &mut Findings<'_>,
    ) {
        match self.0.get(&value) {
            Some(&first) => out.add(line, key(), Kind::Duplicate { value, first }),
            None => {
                self.0.insert(value, line);
            }
        }
    }
}

/// `[[address]]`, `[[neighbor]]`, `[[route]]`, into `config`, whose ports are known.
pub(super) fn facts(root: &Section<'_, '_>, config: &mut Config, out: &mut Findings<'_>) {
    let mut seen = Once::default();
    for s in root.tables("address", out) {
        if let Some(address) = address(&s, config, out) {
            let value = address.address.to_string();
            seen.note(value, s.line, || s.path("address"), out);
            config.addresses.push(address);
        }
    }
    let mut seen = Once::default();
    for s in root.tables("neighbor", out) {
        if let Some(neighbor) = neighbor(&s, config, out) {
            let value = format!(
                "{} on {}",
                neighbor.address,
                config.port_name(neighbor.port)
            );
            seen.note(value, s.line, || s.path("address"), out);
            config.neighbors.push(neighbor);
        }
    }
    let mut seen = Once::default();
    for s in root.tables("route", out) {
        if let Some(route) = route(&s, config, out) {
            seen.note(route.prefix.to_string(), s.line, || s.path("prefix"), out);
            config.routes.push(route);
        }
    }
}

fn port(s: &Section<'_, '_>, config: &Config, out: &mut Findings<'_>) -> Option<PortId> {
    let At { value, line } = s.need("port", "the name of a [[port]]", out, |v| {
        v.as_str().map(String::from)
    })?;
    let known = config.port(&value);
    if known.is_none() {
        let ports = config.ports.iter().map(|p| p.name.clone()).collect();
        out.add(line, s.path("port"), Kind::UnknownPort { value, ports });
    }
    known
}

/// An address that one host can have.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            !a.is_multicast() && !a.is_unspecified() && !a.is_broadcast() && !a.is_loopback()
        }
        IpAddr::V6(a) => !a.is_multicast() && !a.is_unspecified() && !a.is_loopback(),
    }
}

fn address(s: &Section<'_, '_>, config: &Config, out: &mut Findings<'_>) -> Option<Address> {
    s.only(&["port", "address"], out);
    let port = port(s, config, out);
    let at = s.interface_address("address", out)?;
    let (address, prefix_len) = at.value;
    if !is_host(address) {
        let value = format!("\"{address}\"");
        out.add(
            at.line,
            s.path("address"),
            Kind::NotAllowed {
                value,
                allowed: ADDRESS,
            },
        );
        return None;
    }
    Some(Address {
        port: port?,
        address,
        prefix_len,
    })
}

fn neighbor(s: &Section<'_, '_>, config: &Config, out: &mut Findings<'_>) -> Option<Neighbor> {
    s.only(&["port", "address", "mac"], out);
    let port = port(s, config, out);
    let address = s.need("address", ADDRESS, out, |v| {
        v.as_str()?.parse().ok().filter(|a| is_host(*a))
    });
    let mac = s.need("mac", MAC, out, |v| mac(v.as_str()?));
    Some(Neighbor {
        port: port?,
        address: address?.value,
        mac: mac?.value,
    })
}

fn route(s: &Section<'_, '_>, config: &Config, out: &mut Findings<'_>) -> Option<Route> {
    s.only(&["prefix", "nexthops", "type"], out);
    let prefix = s.prefix("prefix", out);
    if s.has("nexthops") == s.has("type") {
        out.add(s.line, s.name.clone(), Kind::Target);
        return None;
    }
    let words = "\"blackhole\", \"unreachable\" or \"prohibit\"";
    let kind = s.get("type", words, out, |v| match v.as_str()? {
        "blackhole" => Some(Target::Blackhole),
        "unreachable" => Some(Target::Unreachable),
        "prohibit" => Some(Target::Prohibit),
        _ => None,
    });
    let target = match kind {
        Some(At { value, .. }) => value,
        None => {
            let ipv6 = prefix.is_some_and(|p| !p.value.is_ipv4());
            let sections = s.tables("nexthops", out);
            if s.has("nexthops") && sections.is_empty() {
                out.add(s.line, s.name.clone(), Kind::Target);
            }
            let mut seen = Once::default();
            let mut nexthops = Vec::new();
            for n in sections {
                if let Some(nexthop) = nexthop(&n, ipv6, config, out) {
                    let via = nexthop.via.map_or("on-link".into(), |via| via.to_string());
                    let value = format!("{via} on {}", config.port_name(nexthop.port));
                    seen.note(value, n.line, || n.name.clone(), out);
                    nexthops.push(nexthop);
                }
            }
            Target::Nexthops(nexthops)
        }
    };
    Some(Route {
        prefix: prefix?.value,
        target,
    })
}

fn nexthop(
    s: &Section<'_, '_>,
    ipv6: bool,
    config: &Config,
    out: &mut Findings<'_>,
) -> Option<Nexthop> {
    s.only(&["via", "port", "weight"], out);
    let via = s.get("via", ADDRESS, out, |v| {
        v.as_str()?.parse().ok().filter(|a| is_host(*a))
    });
    let weight = s.number("weight", 1..=256, "1..256", 1, out);
    if s.has("via") && via.is_none() {
        return None;
    }
    if let Some(At { value, line }) = via.filter(|at| ipv6 && at.value.is_ipv4()) {
        out.add(line, s.path("via"), Kind::FamilyMismatch(value.to_string()));
        return None;
    }
    let port = match via {
        Some(At { value, line }) if !s.has("port") => {
            let on_link = |a: &&Address| a.prefix().contains(value);
            let found = config.addresses.iter().find(on_link).map(|a| a.port);
            if found.is_none() {
                out.add(line, s.path("via"), Kind::PortNeeded(value.to_string()));
            }
            found
        }
        _ => port(s, config, out),
    };
    Some(Nexthop {
        via: via.map(|at| at.value),
        port: port?,
        weight: u16::try_from(weight).unwrap_or(1),
    })
}

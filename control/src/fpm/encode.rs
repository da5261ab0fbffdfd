//! The inverse of [`super::decode`]: messages as zebra writes them, a frame each. What measures and tests
//! speaks like zebra by it; [`super::answer`] is what zebra hears.

use super::decode::{DELNEXTHOP, DELROUTE, NEWNEXTHOP, NEWROUTE};
use super::decode::{Hop, Message, Object, Resilient, Route, RouteKind, Via};
use super::frame::HEADER;
use crate::prefix::Prefix;
use std::net::IpAddr;

/// `NLM_F_REQUEST | NLM_F_CREATE`.
const FLAGS: u16 = 0x401;
/// `nlmsghdr` in bytes.
const NLMSG: usize = 16;
/// `RTNH_F_ONLINK`.
const ONLINK: u8 = 4;
/// `RT_TABLE_MAIN`, `RT_SCOPE_UNIVERSE`.
const TABLE: u8 = 254;
const UNIVERSE: u8 = 0;
/// `LWTUNNEL_ENCAP_MPLS`.
const ENCAP: u16 = 1;

/// Puts `message` behind `out`; `port` is the `nlmsg_pid` that it comes from. Skipped ones have no form.
pub fn frame(message: &Message, port: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER + NLMSG, 0);
    let kind = match message {
        Message::Nexthop(id, object) => {
            nexthop(*id, object, out);
            NEWNEXTHOP
        }
        Message::DelNexthop(id) => {
            out.extend([0; 8]);
            attribute(out, 1, &id.to_ne_bytes());
            DELNEXTHOP
        }
        Message::Route(prefix, via) => {
            route(prefix, via, out);
            NEWROUTE
        }
        Message::DelRoute(prefix) => {
            out.extend(rtmsg(prefix, 0, 0, 0));
            attribute(out, 1, &octets(prefix.address()));
            DELROUTE
        }
        Message::Skipped(_) => {
            out.truncate(start);
            return;
        }
    };
    let whole = out.len() - start;
    let mut head = vec![1, 1];
    // No message of ours comes near what a frame holds but a group of thousands of members.
    head.extend(u16::try_from(whole).unwrap_or(u16::MAX).to_be_bytes());
    head.extend(((whole - HEADER) as u32).to_ne_bytes());
    head.extend(kind.to_ne_bytes());
    head.extend(FLAGS.to_ne_bytes());
    head.extend([0; 4]);
    head.extend(port.to_ne_bytes());
    for (to, from) in out.iter_mut().skip(start).zip(head) {
        *to = from;
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().into(),
        IpAddr::V6(a) => a.octets().into(),
    }
}

fn family(is_v4: bool) -> u8 {
    match is_v4 {
        true => 2,
        false => 10,
    }
}

/// An attribute and what fills it up to four bytes.
fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn rtmsg(prefix: &Prefix, protocol: u8, kind: u8, flags: u8) -> [u8; 12] {
    let family = family(prefix.is_ipv4());
    let length = prefix.length();
    [
        family, length, 0, 0, TABLE, protocol, UNIVERSE, kind, flags, 0, 0, 0,
    ]
}

fn nexthop(id: u32, object: &Object, out: &mut Vec<u8>) {
    let (is_v4, flags) = match object {
        Object::Hop(hop) => (
            hop.gateway.is_none_or(|g| g.is_ipv4()),
            u8::from(hop.onlink) * ONLINK,
        ),
        _ => (true, 0),
    };
    out.extend([family(is_v4), 0, 11, 0, flags, 0, 0, 0]);
    attribute(out, 1, &id.to_ne_bytes());
    match object {
        Object::Hop(hop) => {
            attribute(out, 5, &hop.ifindex.to_ne_bytes());
            if let Some(gateway) = hop.gateway {
                attribute(out, 6, &octets(gateway));
            }
            if hop.encap {
                attribute(out, 7, &ENCAP.to_ne_bytes());
            }
        }
        Object::Blackhole => attribute(out, 4, &[]),
        Object::Group { members, resilient } => {
            let mut all = Vec::new();
            for (member, weight) in members {
                all.extend(member.to_ne_bytes());
                all.extend((weight.saturating_sub(1) as u16).to_le_bytes());
                all.extend([0; 2]);
            }
            attribute(out, 2, &all);
            if let Some(resilient) = resilient {
                attribute(out, 12, &res_group(resilient));
            }
        }
    }
}

fn res_group(resilient: &Resilient) -> Vec<u8> {
    let mut out = Vec::new();
    attribute(&mut out, 1, &resilient.buckets.to_ne_bytes());
    attribute(&mut out, 2, &resilient.idle.to_ne_bytes());
    attribute(&mut out, 3, &resilient.unbalanced.to_ne_bytes());
    out
}

/// What is said of a next hop in a route to an address of that family.
fn hop_attributes(hop: &Hop, is_v4: bool, out: &mut Vec<u8>) {
    match hop.gateway {
        Some(gateway) if gateway.is_ipv4() == is_v4 => attribute(out, 5, &octets(gateway)),
        Some(gateway) => {
            let via = u16::from(family(gateway.is_ipv4())).to_ne_bytes();
            attribute(out, 18, &[&via[..], &octets(gateway)].concat());
        }
        None => {}
    }
    if hop.encap {
        attribute(out, 21, &ENCAP.to_ne_bytes());
    }
}

fn route(prefix: &Prefix, route: &Route, out: &mut Vec<u8>) {
    let kind = match route.kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
    };
    let flags = match &route.via {
        Via::Hop(hop) => u8::from(hop.onlink) * ONLINK,
        _ => 0,
    };
    out.extend(rtmsg(prefix, route.protocol, kind, flags));
    attribute(out, 1, &octets(prefix.address()));
    // RTA_PRIORITY, which zebra always says.
    attribute(out, 6, &20_u32.to_ne_bytes());
    if let Some(source) = route.prefsrc {
        attribute(out, 7, &octets(source));
    }
    if route.mtu != 0 {
        let mut metrics = Vec::new();
        attribute(&mut metrics, 2, &route.mtu.to_ne_bytes());
        attribute(out, 8, &metrics);
    }
    let is_v4 = prefix.is_ipv4();
    match &route.via {
        Via::Nothing => {}
        Via::Id(id) => attribute(out, 30, &id.to_ne_bytes()),
        Via::Hop(hop) => {
            hop_attributes(hop, is_v4, out);
            attribute(out, 4, &hop.ifindex.to_ne_bytes());
        }
        Via::Hops(hops) => {
            let mut all = Vec::new();
            for (hop, weight) in hops {
                let mut attributes = Vec::new();
                hop_attributes(hop, is_v4, &mut attributes);
                all.extend((8 + attributes.len() as u16).to_ne_bytes());
                let weight = weight.saturating_sub(1) as u8;
                all.extend([u8::from(hop.onlink) * ONLINK, weight]);
                all.extend(hop.ifindex.to_ne_bytes());
                all.extend(attributes);
            }
            attribute(out, 9, &all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::Batch;
    use crate::fpm::frame::Frames;

    fn hop(gateway: Option<&str>, onlink: bool, encap: bool) -> Hop {
        Hop {
            gateway: gateway.map(|g| g.parse().expect("address")),
            ifindex: 7,
            onlink,
            encap,
        }
    }

    fn routes() -> Vec<Message> {
        let hops = [
            (hop(Some("192.0.2.1"), false, false), 1),
            (hop(Some("2001:db8::1"), true, true), 256),
        ];
        let vias = [
            (RouteKind::Unicast, Via::Id(36)),
            (RouteKind::Unicast, Via::Hop(hop(None, false, false))),
            (
                RouteKind::Unicast,
                Via::Hop(hop(Some("fe80::1"), true, false)),
            ),
            (RouteKind::Unicast, Via::Hops(hops.into())),
            (RouteKind::Local, Via::Hop(hop(None, false, false))),
            (RouteKind::Blackhole, Via::Nothing),
            (RouteKind::Unreachable, Via::Nothing),
            (RouteKind::Prohibit, Via::Nothing),
        ];
        let mut all = Vec::new();
        for (i, (kind, via)) in vias.into_iter().enumerate() {
            for text in ["10.0.0.0/9", "2001:db8::/47"] {
                let prefix: Prefix = text.parse().expect("prefix");
                let route = Route {
                    kind,
                    protocol: 186,
                    via: via.clone(),
                    prefsrc: (i == 0).then(|| prefix.address()),
                    mtu: 1400 * u32::from(i == 1),
                };
                all.push(Message::Route(prefix, route));
                all.push(Message::DelRoute(prefix));
            }
        }
        all
    }

    #[test]
    fn what_is_written_is_read_again() {
        let resilient = Resilient {
            buckets: 64,
            idle: 1,
            unbalanced: 2,
        };
        let objects = [
            Object::Hop(hop(Some("192.0.2.1"), false, true)),
            Object::Hop(hop(Some("fe80::1"), true, false)),
            Object::Blackhole,
            Object::Group {
                members: [(1, 1), (2, 65_536)].into(),
                resilient: Some(resilient),
            },
        ];
        let objects = objects.into_iter().map(|o| Message::Nexthop(9, o));
        let deletion = [Message::DelNexthop(9)];
        for message in objects.chain(deletion).chain(routes()) {
            let mut bytes = Vec::new();
            frame(&message, 4711, &mut bytes);
            let mut frames = Frames::default();
            frames.push(&bytes);
            let (mut read, mut wanted) = (Batch::default(), Batch::default());
            read.put_frames(&mut frames).expect("frames");
            wanted.put(message.clone());
            assert_eq!((frames.pending(), read.port), (0, 4711));
            assert_eq!(read.objects(), wanted.objects(), "{message:?}");
            assert_eq!(read.routes(), wanted.routes(), "{message:?}");
            assert_eq!(read.counts.malformed, 0);
        }
    }
}

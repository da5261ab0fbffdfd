//! Which field of a frame is which, and every frame of the tests.

use super::builder::{Chain, ENCAPS, Encap, Ip, Packet, has_ports};
use fastpath::hash::Field;

impl Packet {
    pub fn has(&self, field: Field) -> bool {
        let inner = self.encap.has_inner();
        match field {
            Field::IpProtocol
            | Field::SourceIp
            | Field::DestinationIp
            | Field::IngressInterface => true,
            Field::SourcePort | Field::DestinationPort => has_ports(self.outer.protocol),
            Field::Ipv6Label => self.outer.v6,
            Field::GtpTeid => matches!(self.encap, Encap::Gtpu(_) | Encap::VxlanGtpu),
            Field::InnerIpProtocol | Field::InnerSourceIp | Field::InnerDestinationIp => inner,
            Field::InnerSourcePort | Field::InnerDestinationPort => {
                inner && has_ports(self.inner.protocol)
            }
            Field::InnerIpv6Label => inner && self.inner.v6,
            Field::RoceQp => matches!(self.encap, Encap::Roce | Encap::VxlanRoce),
        }
    }

    /// True when `field` says where `other` is found: changing it takes that away.
    pub fn names(&self, field: Field, other: Field) -> bool {
        let is_deep = other as u8 > Field::IngressInterface as u8;
        let is_deepest = matches!(other, Field::GtpTeid | Field::RoceQp);
        let stacked = matches!(self.encap, Encap::VxlanGtpu | Encap::VxlanRoce);
        // Whether there is a packet inside matters to all fields of it.
        let is_inner = is_deep && other != Field::GtpTeid && other != Field::RoceQp;
        (self.has(other) || is_inner && self.encap.has_inner())
            && match field {
                Field::IpProtocol => is_deep,
                Field::DestinationPort => is_deep && self.encap.port().is_some(),
                Field::InnerIpProtocol | Field::InnerDestinationPort => stacked && is_deepest,
                _ => false,
            }
    }

    /// The same frame but for `field`, in its low bits or in its high ones.
    pub fn changed(mut self, field: Field, high: bool) -> Packet {
        let protocol = |protocol: u8| match (protocol, high) {
            (17, _) => 136,
            (6, false) => 33,
            (6, true) => 132,
            (p, _) if has_ports(p) => 6,
            (_, false) => 99,
            (_, true) => 253,
        };
        let address = |mut bytes: [u8; 16], v6: bool| {
            let at = if v6 { 5 } else { 13 };
            bytes[if high { at } else { 15 }] ^= 0x24;
            bytes
        };
        // None of the ports of tunnels becomes another.
        let port = if high { 0x8000 } else { 4 };
        let label = if high { 0x8_0000 } else { 1 };
        let (outer, inner) = (&mut self.outer, &mut self.inner);
        match field {
            Field::IpProtocol => outer.protocol = protocol(outer.protocol),
            Field::SourceIp => outer.src = address(outer.src, outer.v6),
            Field::DestinationIp => outer.dst = address(outer.dst, outer.v6),
            Field::SourcePort => outer.sport ^= port,
            Field::DestinationPort => outer.dport ^= port,
            Field::Ipv6Label => outer.label ^= label,
            Field::IngressInterface => self.ingress ^= if high { 0x40 } else { 1 },
            Field::GtpTeid => self.teid ^= if high { 1 << 31 } else { 1 },
            Field::InnerIpProtocol => inner.protocol = protocol(inner.protocol),
            Field::InnerSourceIp => inner.src = address(inner.src, inner.v6),
            Field::InnerDestinationIp => inner.dst = address(inner.dst, inner.v6),
            Field::InnerSourcePort => inner.sport ^= port,
            Field::InnerDestinationPort => inner.dport ^= port,
            Field::InnerIpv6Label => inner.label ^= label,
            Field::RoceQp => self.qp ^= if high { 1 << 23 } else { 1 },
        }
        self
    }
}

fn ip(v6: bool, net: u8, protocol: u8, chain: Chain) -> Ip {
    let (mut src, mut dst) = ([0; 16], [0; 16]);
    if v6 {
        src = [0x20, 1, 0x0d, 0xb8, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        dst = [0x20, 1, 0x0d, 0xb8, 0, net, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2];
    } else {
        src[12..].copy_from_slice(&[10, net, 3, 1]);
        dst[12..].copy_from_slice(&[172, 16, net, 2]);
    }
    let label = if v6 { 0x4_5678 } else { 0 };
    Ip {
        v6,
        src,
        dst,
        protocol,
        label,
        chain,
        sport: 50_000,
        dport: 443,
    }
}

/// The transport of the `n`th frame.
fn transport(n: usize) -> u8 {
    [6, 17, 33, 132, 136, 50][n % 6]
}

/// Every encapsulation in every surrounding.
pub fn all() -> Vec<Packet> {
    let mut all = Vec::new();
    let chains = [Chain::None, Chain::Options, Chain::Ah];
    for bits in 0..4 * 9 * 9 {
        let (v6, inner_v6) = (bits & 1 != 0, bits & 2 != 0);
        let [tags, inner_tags] = [bits / 4 % 3, bits / 12 % 3].map(|n| n as u8);
        let [chain, inner_chain] = [chains[bits / 36 % 3], chains[bits / 108]];
        for (n, encap) in ENCAPS.into_iter().enumerate() {
            // What does not differ for an encapsulation is built once.
            let is_same = (inner_tags > 0 && !encap.carries_ethernet())
                || (!encap.has_inner() && (inner_v6 || inner_chain != Chain::None));
            if is_same {
                continue;
            }
            all.push(packet(
                encap,
                (v6, inner_v6),
                (chain, inner_chain),
                (tags, inner_tags),
                bits + n,
            ));
        }
    }
    all
}

/// A frame; `n` chooses the transport where the encapsulation does not.
pub fn packet(
    encap: Encap,
    (v6, inner_v6): (bool, bool),
    (chain, inner_chain): (Chain, Chain),
    (tags, inner_tags): (u8, u8),
    n: usize,
) -> Packet {
    let mut outer = ip(v6, 1, transport(n), chain);
    let mut inner = ip(inner_v6, 2, transport(n / 2), inner_chain);
    match encap {
        Encap::Plain => {}
        Encap::Ip => outer.protocol = if inner_v6 { 41 } else { 4 },
        Encap::Gre(_) | Encap::GreTeb => outer.protocol = 47,
        _ => outer.protocol = 17,
    }
    if let Some(port) = encap.port() {
        outer.dport = port;
    }
    let stacked = match encap {
        Encap::VxlanGtpu => 2152,
        Encap::VxlanRoce => 4791,
        _ => 0,
    };
    if stacked != 0 {
        (inner.protocol, inner.dport) = (17, stacked);
    }
    let (teid, qp) = (0x1122_3344, 0x0012_3456);
    Packet {
        ingress: 3,
        tags,
        outer,
        encap,
        inner_tags,
        inner,
        teid,
        qp,
    }
}

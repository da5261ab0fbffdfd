//! Frames to feed in, and what they must look like when they leave.

use std::net::IpAddr;

pub type Mac = [u8; 6];

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// A station's address, by a number.
pub const fn mac(a: u8, b: u8) -> Mac {
    [2, 0, 0, 0, a, b]
}

/// One packet: a flow, and a number that finds it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Source and destination, of TCP and UDP.
    pub ports: (u16, u16),
    /// IPv6 flow label, 20 bits.
    pub label: u32,
    pub ttl: u8,
    /// Bytes behind the transport header, at least 4: the last ones are `mark`.
    pub payload: usize,
    pub mark: u32,
    pub may_fragment: bool,
}

impl Packet {
    pub fn new(source: &str, destination: &str, protocol: u8, ports: (u16, u16)) -> Self {
        Packet {
            source: source.parse().expect("address"),
            destination: destination.parse().expect("address"),
            protocol,
            ports,
            label: 0,
            ttl: 64,
            payload: 40,
            mark: 0,
            may_fragment: false,
        }
    }

    /// The same flow's other direction.
    pub fn reversed(&self) -> Self {
        Packet {
            source: self.destination,
            destination: self.source,
            ports: (self.ports.1, self.ports.0),
            ..self.clone()
        }
    }

    /// From the IP header on.
    pub fn packet(&self) -> Vec<u8> {
        let (sport, dport) = (self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes());
        let mut transport = match self.protocol {
            ICMP => vec![8, 0, 0, 0, 0, 1, 0, 1],
            ICMPV6 => vec![128, 0, 0, 0, 0, 1, 0, 1],
            UDP => [sport, dport, [0, 48], [0, 0]].concat(),
            _ => {
                let rest = [[0, 0], [0, 1], [0, 0], [0, 0], [0x50, 0x10], [255, 255]];
                [&[sport, dport][..], &rest, &[[0, 0], [0, 0]]]
                    .concat()
                    .concat()
            }
        };
        transport.resize(transport.len() + self.payload - 4, 0x5a);
        transport.extend(self.mark.to_be_bytes());
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [high, low] = (20 + transport.len() as u16).to_be_bytes();
                let flags = if self.may_fragment { 0 } else { 0x40 };
                let mut header = vec![0x45, 0, high, low, 0x12, 0x34, flags, 0];
                header.extend([self.ttl, self.protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                let sum = checksum(&header).to_be_bytes();
                header[10..12].copy_from_slice(&sum);
                [header, transport].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = (6 << 28 | self.label).to_be_bytes().to_vec();
                header.extend((transport.len() as u16).to_be_bytes());
                header.extend([self.protocol, self.ttl]);
                header.extend(source.octets());
                header.extend(destination.octets());
                [header, transport].concat()
            }
            _ => panic!("two families"),
        }
    }

    /// On the wire.
    pub fn frame(&self, to: Mac, from: Mac, vlan: Option<u16>) -> Vec<u8> {
        let ethertype = if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        ethernet(to, from, vlan, ethertype, &self.packet())
    }

    /// As a router sends it on.
    pub fn forwarded(&self, to: Mac, from: Mac, vlan: Option<u16>) -> Vec<u8> {
        let sent = Packet {
            ttl: self.ttl - 1,
            ..self.clone()
        };
        sent.frame(to, from, vlan)
    }
}

pub fn ethernet(to: Mac, from: Mac, vlan: Option<u16>, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    if let Some(vlan) = vlan {
        frame.extend([0x81, 0]);
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// RFC 1071; 0 over a header that holds the right one.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// The mark of an untagged frame.
pub fn mark(frame: &[u8]) -> u32 {
    let be16 = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let end = match be16(12) {
        0x0800 => 14 + be16(16),
        0x86dd => 14 + 40 + be16(18),
        other => panic!("EtherType {other:#06x}"),
    };
    u32::from_be_bytes(frame[end - 4..end].try_into().expect("4 bytes"))
}

/// Numbers that look random and are always the same (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0..`end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

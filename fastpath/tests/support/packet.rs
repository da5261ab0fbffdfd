//! Packets built the plain way, with code of its own: nothing here calls what is tested.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1071, word by word.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv4 packet to be built.
#[derive(Clone, Debug)]
pub struct V4 {
    pub tos: u8,
    pub id: u16,
    pub fragment_word: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl V4 {
    pub fn bytes(&self) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut out = vec![0x40 | (header_len / 4) as u8, self.tos];
        out.extend(((header_len + self.payload.len()) as u16).to_be_bytes());
        out.extend(self.id.to_be_bytes());
        out.extend(self.fragment_word.to_be_bytes());
        out.extend([self.ttl, self.protocol, 0, 0]);
        out.extend(self.source.octets());
        out.extend(self.destination.octets());
        out.extend(&self.options);
        let sum = checksum(&out);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend(&self.payload);
        out
    }
}

/// An IPv6 packet to be built.
#[derive(Clone, Debug)]
pub struct V6 {
    pub label: u32,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub payload: Vec<u8>,
}

impl V6 {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = (0x6000_0000 | self.label).to_be_bytes().to_vec();
        out.extend((self.payload.len() as u16).to_be_bytes());
        out.extend([self.next_header, self.hop_limit]);
        out.extend(self.source.octets());
        out.extend(self.destination.octets());
        out.extend(&self.payload);
        out
    }
}

/// A UDP datagram of `data` bytes; its checksum is left out, as IPv4 permits.
pub fn udp(sport: u16, dport: u16, data: usize) -> Vec<u8> {
    let mut out = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    out.extend((data as u16 + 8).to_be_bytes());
    out.extend([0, 0]);
    out.extend((0..data).map(|i| i as u8));
    out
}

pub fn v4(source: &str, destination: &str) -> V4 {
    V4 {
        tos: 0,
        id: 7,
        fragment_word: 0,
        ttl: 64,
        protocol: 17,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        options: Vec::new(),
        payload: udp(1000, 2000, 40),
    }
}

pub fn v6(source: &str, destination: &str) -> V6 {
    V6 {
        label: 0,
        next_header: 17,
        hop_limit: 64,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        payload: udp(1000, 2000, 40),
    }
}

/// An Ethernet frame with these tags, outermost first, each (TPID, VLAN id).
pub fn frame(
    destination: [u8; 6],
    source: [u8; 6],
    tags: &[(u16, u16)],
    ethertype: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = [destination, source].concat();
    for (tpid, id) in tags {
        out.extend(tpid.to_be_bytes());
        out.extend(id.to_be_bytes());
    }
    out.extend(ethertype.to_be_bytes());
    out.extend(payload);
    out
}

/// `packet` in an untagged frame from the neighbor on `port` to the router.
pub fn to_router(port: usize, packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    let (to, from) = (super::port_mac(port), super::neighbor_mac(port));
    frame(to, from, &[], ethertype, packet)
}

/// `packet` in an untagged frame from the router to the neighbor on `port`.
pub fn from_router(port: usize, packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    let (to, from) = (super::neighbor_mac(port), super::port_mac(port));
    frame(to, from, &[], ethertype, packet)
}

/// The packet one hop on: TTL less one, checksum computed anew.
pub fn next_hop(packet: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    if out[0] >> 4 == 6 {
        out[7] -= 1;
    } else {
        out[8] -= 1;
        out[10..12].fill(0);
        let header_len = usize::from(out[0] & 0xf) * 4;
        let sum = checksum(&out[..header_len]);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

/// The ICMP error that quotes `original`, byte by byte as the RFCs say.
pub fn icmp_error(source: IpAddr, original: &[u8], kind: u8, code: u8, word: u32) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    match source {
        IpAddr::V4(source) => {
            message.extend(&original[..original.len().min(576 - 28)]);
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let destination: [u8; 4] = original[12..16].try_into().unwrap();
            let answer = V4 {
                tos: 0xc0 | original[1] & 0x1e,
                id: 0,
                fragment_word: 0x4000,
                ttl: 64,
                protocol: 1,
                source,
                destination: destination.into(),
                options: Vec::new(),
                payload: message,
            };
            answer.bytes()
        }
        IpAddr::V6(source) => {
            message.extend(&original[..original.len().min(1280 - 48)]);
            let destination: [u8; 16] = original[8..24].try_into().unwrap();
            let mut pseudo = [source.octets(), destination].concat();
            pseudo.extend((message.len() as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, 58]);
            pseudo.extend(&message);
            let sum = checksum(&pseudo);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let answer = V6 {
                label: 0,
                next_header: 58,
                hop_limit: 64,
                source,
                destination: destination.into(),
                payload: message,
            };
            answer.bytes()
        }
    }
}

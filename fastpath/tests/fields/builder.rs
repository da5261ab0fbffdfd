//! Frames of every encapsulation, written from the RFCs and not from the readers under test.

pub const IP4: u16 = 0x0800;
pub const IP6: u16 = 0x86dd;

/// What stands between an IP header and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    None,
    /// IPv4: eight bytes of options. IPv6: hop-by-hop, destination, routing, AH, destination.
    Options,
    /// The authentication header (RFC 4302), with a value of 12 bytes.
    Ah,
}

/// An IP header and the ports behind it.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    pub v6: bool,
    /// Of IPv4 the last four bytes count.
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub protocol: u8,
    pub label: u32,
    pub chain: Chain,
    pub sport: u16,
    pub dport: u16,
}

pub fn has_ports(protocol: u8) -> bool {
    [6, 17, 33, 132, 136].contains(&protocol)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes
        .chunks(2)
        .map(|p| u32::from(p[0]) << 8 | u32::from(p[1]))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

impl Ip {
    /// The headers between this one and the transport, each naming the next; and the first's name.
    fn chain(&self) -> (u8, Vec<u8>) {
        let next = self.protocol;
        match (self.chain, self.v6) {
            (Chain::None, _) | (Chain::Options, false) => (next, vec![]),
            (Chain::Options, true) => {
                let pad =
                    |next: u8, n: u8| [vec![next, n, 1, n * 8 + 4], vec![0; 4 + 8 * n as usize]];
                let routing = [vec![51, 2, 4, 1, 0, 0, 0, 0], vec![0xfd; 16]];
                let ah = [vec![60, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9], vec![0xee; 12]];
                let parts = [pad(60, 0), pad(43, 2), routing, ah, pad(next, 0)];
                (0, parts.concat().concat())
            }
            (Chain::Ah, _) => {
                let head = vec![next, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9];
                (51, [head, vec![0xee; 12]].concat())
            }
        }
    }

    /// The transport header before `data`, where the protocol has ports.
    fn segment(&self, data: &[u8]) -> Vec<u8> {
        let len = (8 + data.len() as u16).to_be_bytes();
        let rest = match self.protocol {
            6 => vec![0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0],
            17 | 136 => vec![len[0], len[1], 0, 0],
            33 => vec![3, 0, 0, 0, 1, 0, 0, 2],
            132 => vec![0; 8],
            _ => return data.to_vec(),
        };
        let ports = [self.sport.to_be_bytes(), self.dport.to_be_bytes()].concat();
        [ports, rest, data.to_vec()].concat()
    }

    /// Length of all before the transport, bytes.
    pub fn header_len(&self) -> usize {
        let fixed = if self.v6 { 40 } else { 20 };
        let options = usize::from(self.chain == Chain::Options && !self.v6) * 8;
        fixed + options + self.chain().1.len()
    }

    /// The packet that carries `data`.
    pub fn packet(&self, data: &[u8]) -> Vec<u8> {
        let (first, chain) = self.chain();
        let body = [chain, self.segment(data)].concat();
        if self.v6 {
            let word = (6 << 28 | 0x0b << 20 | self.label).to_be_bytes();
            let len = (body.len() as u16).to_be_bytes();
            let next = vec![len[0], len[1], first, 61];
            return [word.to_vec(), next, self.src.into(), self.dst.into(), body].concat();
        }
        let options = if self.chain == Chain::Options {
            vec![1, 1, 1, 1, 7, 4, 4, 0]
        } else {
            vec![]
        };
        let header_len = 20 + options.len();
        let len = ((header_len + body.len()) as u16).to_be_bytes();
        let mut header = vec![0x40 | (header_len / 4) as u8, 0xb8, len[0], len[1]];
        header.extend([0xab, 0xcd, 0x40, 0, 61, first, 0, 0]);
        header.extend([&self.src[12..], &self.dst[12..]].concat());
        header.extend(options);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum);
        [header, body].concat()
    }

    pub fn reverse(&mut self) {
        (self.src, self.dst) = (self.dst, self.src);
        (self.sport, self.dport) = (self.dport, self.sport);
    }

    fn ethertype(&self) -> u16 {
        if self.v6 { IP6 } else { IP4 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encap {
    Plain,
    Ip,
    /// With these of C, K and S (RFC 2784, 2890), as in the first byte.
    Gre(u8),
    GreTeb,
    Vxlan,
    GpeIp,
    GpeEthernet,
    GeneveIp,
    GeneveEthernet,
    /// With these of E, S and PN, as in the first byte; E brings two extension headers.
    Gtpu(u8),
    VxlanGtpu,
    Roce,
    VxlanRoce,
}

pub const ENCAPS: [Encap; 22] = [
    Encap::Plain,
    Encap::Ip,
    Encap::Gre(0),
    Encap::Gre(0x80),
    Encap::Gre(0x20),
    Encap::Gre(0x10),
    Encap::Gre(0xb0),
    Encap::GreTeb,
    Encap::Vxlan,
    Encap::GpeIp,
    Encap::GpeEthernet,
    Encap::GeneveIp,
    Encap::GeneveEthernet,
    Encap::Gtpu(0),
    Encap::Gtpu(1),
    Encap::Gtpu(2),
    Encap::Gtpu(4),
    Encap::Gtpu(6),
    Encap::Gtpu(7),
    Encap::VxlanGtpu,
    Encap::Roce,
    Encap::VxlanRoce,
];

impl Encap {
    /// Its UDP port, if it has one.
    pub fn port(self) -> Option<u16> {
        match self {
            Encap::Plain | Encap::Ip | Encap::Gre(_) | Encap::GreTeb => None,
            Encap::Vxlan | Encap::VxlanGtpu | Encap::VxlanRoce => Some(4789),
            Encap::GpeIp | Encap::GpeEthernet => Some(4790),
            Encap::GeneveIp | Encap::GeneveEthernet => Some(6081),
            Encap::Gtpu(_) => Some(2152),
            Encap::Roce => Some(4791),
        }
    }

    pub fn carries_ethernet(self) -> bool {
        matches!(
            self,
            Encap::GreTeb
                | Encap::Vxlan
                | Encap::GpeEthernet
                | Encap::GeneveEthernet
                | Encap::VxlanGtpu
                | Encap::VxlanRoce
        )
    }

    pub fn has_inner(self) -> bool {
        !matches!(self, Encap::Plain | Encap::Roce)
    }
}

/// One frame's fields.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub ingress: u16,
    pub tags: u8,
    pub outer: Ip,
    pub encap: Encap,
    pub inner_tags: u8,
    pub inner: Ip,
    pub teid: u32,
    pub qp: u32,
}

/// An Ethernet header with `tags` VLAN tags before `packet`.
pub fn ethernet(tags: u8, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let tags: &[u8] = match tags {
        0 => &[],
        1 => &[0x81, 0, 0xa0, 7],
        _ => &[0x88, 0xa8, 0, 7, 0x81, 0, 0x20, 8],
    };
    let macs = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1];
    [&macs[..], tags, &ethertype.to_be_bytes(), packet].concat()
}

/// A T-PDU with these of E, S and PN.
pub fn gtpu(flags: u8, teid: u32, packet: &[u8]) -> Vec<u8> {
    let optional: &[u8] = match flags {
        0 => &[],
        // A next extension of no meaning: only E says that there is one.
        1..=3 => &[0x12, 0x34, 9, 0x85],
        // PDU session container (4 bytes), then one of 8.
        _ => &[
            0x12, 0x34, 9, 0x85, 1, 0x10, 0x09, 0x40, 2, 1, 2, 3, 4, 5, 6, 0,
        ],
    };
    let len = (optional.len() + packet.len()) as u16;
    let head = [0x30 | flags, 255];
    let parts: [&[u8]; 5] = [
        &head,
        &len.to_be_bytes(),
        &teid.to_be_bytes(),
        optional,
        packet,
    ];
    parts.concat()
}

impl Packet {
    fn bth(&self) -> Vec<u8> {
        let qp = self.qp.to_be_bytes();
        let head = vec![10, 0x40, 0xff, 0xff, 0, qp[1], qp[2], qp[3]];
        [head, vec![0x80, 0, 0, 1], vec![0xda; 16]].concat()
    }

    /// What the outer header (and UDP) carries.
    fn carried(&self) -> Vec<u8> {
        let data = match self.encap {
            Encap::Plain => return vec![0xda; 16],
            Encap::Roce => return self.bth(),
            Encap::VxlanRoce => self.bth(),
            Encap::VxlanGtpu => {
                let user = Ip {
                    v6: false,
                    protocol: 6,
                    chain: Chain::None,
                    ..self.outer
                };
                gtpu(4, self.teid, &user.packet(&[]))
            }
            _ => vec![0xda; 9],
        };
        let packet = self.inner.packet(&data);
        let ethertype = self.inner.ethertype();
        let frame = ethernet(self.inner_tags, ethertype, &packet);
        let kind = ethertype.to_be_bytes();
        match self.encap {
            Encap::Plain | Encap::Roce | Encap::Ip => packet,
            Encap::Gre(flags) => {
                let words = (flags >> 7) + (flags >> 5 & 1) + (flags >> 4 & 1);
                let optional = vec![0x77; 4 * usize::from(words)];
                [vec![flags, 0, kind[0], kind[1]], optional, packet].concat()
            }
            Encap::GreTeb => [vec![0x20, 0, 0x65, 0x58, 0, 1, 2, 3], frame].concat(),
            Encap::Vxlan | Encap::VxlanGtpu | Encap::VxlanRoce => {
                [vec![8, 0, 0, 0, 0, 0, 77, 0], frame].concat()
            }
            Encap::GpeIp => {
                let next = if self.inner.v6 { 2 } else { 1 };
                [vec![0x0c, 0, 0, next, 0, 0, 77, 0], packet].concat()
            }
            Encap::GpeEthernet => [vec![0x0c, 0, 0, 3, 0, 0, 77, 0], frame].concat(),
            Encap::GeneveIp => [vec![0, 0, kind[0], kind[1], 0, 0, 77, 0], packet].concat(),
            Encap::GeneveEthernet => {
                let options = vec![1, 2, 0x83, 1, 9, 9, 9, 9, 1, 2, 4, 0];
                let head = vec![3, 0x40, 0x65, 0x58, 0, 0, 77, 0];
                [head, options, frame].concat()
            }
            Encap::Gtpu(flags) => gtpu(flags, self.teid, &packet),
        }
    }

    pub fn packet(&self) -> Vec<u8> {
        self.outer.packet(&self.carried())
    }

    pub fn frame(&self) -> Vec<u8> {
        ethernet(self.tags, self.outer.ethertype(), &self.packet())
    }

    /// The frame of the flow's other direction. A tunnel over UDP has its well-known port as
    /// destination both ways, so here as source too.
    pub fn reversed(mut self) -> Packet {
        self.outer.reverse();
        self.inner.reverse();
        self
    }
}

/// `frame` with the length of its IP packet what it is, and IPv4's checksum right; as it is when it
/// has no such header.
pub fn refitted(mut frame: Vec<u8>) -> Vec<u8> {
    let tags = frame.get(12..14).map_or(0, |t| match t {
        [0x81, 0] => 4,
        [0x88, 0xa8] => 8,
        _ => 0,
    });
    let Some(packet) = frame.get_mut(14 + tags..) else {
        return frame;
    };
    let len = packet.len();
    if len >= 40 && packet[0] >> 4 == 6 {
        packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    }
    let header_len = packet.first().map_or(0, |b| usize::from(b & 15) * 4);
    if len >= header_len.max(20) && header_len >= 20 && packet[0] >> 4 == 4 {
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet[10..12].fill(0);
        let sum = checksum(&packet[..header_len]);
        packet[10..12].copy_from_slice(&sum);
    }
    frame
}

//! What the simulated NIC's parser makes of a frame, and how it rewrites one.

use super::super::program::{
    Field, Item, LINEAR_TAG, Modify, PatternTemplate, Source, Target, Verb,
};
use crate::table::PortId;
use crate::wire::{checksum, ethernet, ipv4, ipv6, transport};

/// The network header that the parser found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum L3 {
    #[default]
    None,
    V4,
    V6,
}

/// The transport header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum L4 {
    #[default]
    None,
    Udp,
    Tcp,
}

/// A packet on its way through tables: headers as parsed, registers as written.
#[derive(Clone, Debug, Default)]
pub(super) struct Packet {
    l3: L3,
    l4: L4,
    /// Offset of the network header.
    offset: usize,
    eth_destination: u64,
    eth_source: u64,
    ethertype: u16,
    has_vlan: bool,
    header_words: u8,
    length: u16,
    fragmented: bool,
    ttl: u8,
    protocol: u8,
    source: u128,
    destination: u128,
    label: u32,
    ports: [u16; 2],
    l3_ok: bool,
    checksum_ok: bool,
    tags: [u32; 8],
    linear: u16,
    pub(super) meta: u32,
    pub(super) mark: Option<u32>,
    pub(super) hash_result: u32,
    pub(super) tx_queue: u16,
    pub(super) represented: PortId,
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

/// Bytes of the shortest UDP and TCP headers: with less the parser sees none.
const UDP: usize = 8;
const TCP: usize = 20;

impl Packet {
    /// The headers of `frame`.
    pub(super) fn parse(frame: &[u8], represented: PortId) -> Self {
        let mut packet = Packet {
            represented,
            ..Packet::default()
        };
        packet.read(frame);
        packet
    }

    /// Reads the headers again, which have changed; registers stay.
    fn read(&mut self, frame: &[u8]) {
        (self.l3, self.l4, self.ports) = (L3::None, L4::None, [0; 2]);
        let Some(header) = ethernet::read(frame) else {
            return;
        };
        self.eth_destination = number(frame.get(..6).unwrap_or_default()) as u64;
        self.eth_source = number(frame.get(6..12).unwrap_or_default()) as u64;
        (self.ethertype, self.has_vlan) = (header.ethertype, header.vlan.is_some());
        self.offset = header.len;
        let packet = frame.get(header.len..).unwrap_or_default();
        match header.ethertype {
            ethernet::IPV4 => self.read4(packet),
            ethernet::IPV6 => self.read6(packet),
            _ => {}
        }
    }

    fn read4(&mut self, packet: &[u8]) {
        let Some(header) = ipv4::Header::new(packet).filter(|h| h.version() == 4) else {
            return;
        };
        self.l3 = L3::V4;
        self.header_words = (header.header_len() / 4) as u8;
        self.length = header.total_len() as u16;
        self.fragmented = header.is_fragment();
        (self.ttl, self.protocol) = (header.ttl(), header.protocol());
        (self.source, self.destination) = (header.source().into(), header.destination().into());
        let inside = packet.get(..header.total_len());
        let own = inside.and_then(|p| p.get(..header.header_len()));
        self.l3_ok = header.header_len() >= ipv4::HEADER && own.is_some();
        self.checksum_ok = own.is_some_and(checksum::is_valid);
        if self.l3_ok && header.fragment_word() & ipv4::OFFSET == 0 {
            let rest = inside.and_then(|p| p.get(header.header_len()..));
            self.read_transport(header.protocol(), rest.unwrap_or_default());
        }
    }

    fn read6(&mut self, packet: &[u8]) {
        let Some(header) = ipv6::Header::new(packet).filter(|h| h.version() == 6) else {
            return;
        };
        self.l3 = L3::V6;
        self.length = header.payload_len() as u16;
        (self.ttl, self.protocol) = (header.hop_limit(), header.next_header());
        self.source = u128::from_be_bytes(header.source());
        self.destination = u128::from_be_bytes(header.destination());
        self.label = header.flow_label();
        let inside = packet.get(..ipv6::HEADER + header.payload_len());
        self.l3_ok = inside.is_some();
        let inside = inside.unwrap_or_default();
        let (mut next, mut at) = (header.next_header(), ipv6::HEADER);
        self.fragmented = false;
        // The parser passes extension headers, but for AH and what is behind a fragment header.
        while let ipv6::HOP_BY_HOP | ipv6::ROUTING | ipv6::DESTINATION = next {
            let Some([following, words]) = inside.get(at..).and_then(|p| p.first_chunk()) else {
                return;
            };
            (next, at) = (*following, at + 8 + usize::from(*words) * 8);
        }
        self.fragmented = next == ipv6::FRAGMENT;
        self.read_transport(next, inside.get(at..).unwrap_or_default());
    }

    fn read_transport(&mut self, protocol: u8, segment: &[u8]) {
        let (kind, least) = match protocol {
            transport::UDP => (L4::Udp, UDP),
            transport::TCP => (L4::Tcp, TCP),
            _ => return,
        };
        if let (true, Some([a, b, c, d])) = (segment.len() >= least, segment.first_chunk()) {
            self.l4 = kind;
            self.ports = [[*a, *b], [*c, *d]].map(u16::from_be_bytes);
        }
    }

    /// Whether the headers that `template` requires are there.
    pub(super) fn has_items(&self, template: &PatternTemplate) -> bool {
        let has = |item: &Item| match item {
            Item::Ipv4 => self.l3 == L3::V4,
            Item::Ipv6 => self.l3 == L3::V6,
            Item::Udp => self.l4 == L4::Udp,
            Item::Tcp => self.l4 == L4::Tcp,
            _ => true,
        };
        template.relaxed || template.items.iter().all(has)
    }

    /// The value of a field; what is not there is 0.
    pub(super) fn field(&self, field: Field) -> u128 {
        let (v4, v6) = (self.l3 == L3::V4, self.l3 == L3::V6);
        let of = |there: bool, value: u128| if there { value } else { 0 };
        match field {
            Field::EthDestination => self.eth_destination.into(),
            Field::EthSource => self.eth_source.into(),
            Field::EthType => self.ethertype.into(),
            Field::EthHasVlan => self.has_vlan.into(),
            Field::Ipv4Ihl => of(v4, self.header_words.into()),
            Field::Ipv4Length => of(v4, self.length.into()),
            Field::Ipv4Fragmented => of(v4, self.fragmented.into()),
            Field::Ipv4Ttl => of(v4, self.ttl.into()),
            Field::Ipv4Protocol => of(v4, self.protocol.into()),
            Field::Ipv4Source => of(v4, self.source),
            Field::Ipv4Destination => of(v4, self.destination),
            Field::Ipv6Label => of(v6, self.label.into()),
            Field::Ipv6Length => of(v6, self.length.into()),
            Field::Ipv6Fragmented => of(v6, self.fragmented.into()),
            Field::Ipv6Protocol => of(v6, self.protocol.into()),
            Field::Ipv6HopLimit => of(v6, self.ttl.into()),
            Field::Ipv6Source => of(v6, self.source),
            Field::Ipv6Destination => of(v6, self.destination),
            Field::SourcePort => self.ports[0].into(),
            Field::DestinationPort => self.ports[1].into(),
            Field::L3Ok => (self.l3 != L3::None && self.l3_ok).into(),
            Field::Ipv4ChecksumOk => of(v4, self.checksum_ok.into()),
            Field::Tag(LINEAR_TAG) => self.linear.into(),
            Field::Tag(index) => self.tags.get(usize::from(index)).map_or(0, |t| (*t).into()),
            Field::Meta => self.meta.into(),
            Field::TxQueue => self.tx_queue.into(),
            Field::RepresentedPort => self.represented.0.into(),
        }
    }

    /// The row that a LINEAR table takes.
    pub(super) fn linear(&self) -> u32 {
        self.linear.into()
    }

    /// What RSS hashes, in wire order: addresses, and ports if `ports` and there are any. `None`: not
    /// a packet of that type.
    pub(super) fn rss_input(&self, ports: bool, sorted: bool) -> Option<Vec<u8>> {
        let size = match self.l3 {
            L3::None => return None,
            L3::V4 => 4,
            L3::V6 => 16,
        };
        if ports && (self.l4 == L4::None || self.fragmented) {
            return None;
        }
        let order = |a, b| if sorted && a > b { (b, a) } else { (a, b) };
        let (a, b) = order(self.source, self.destination);
        let mut bytes = Vec::with_capacity(36);
        for address in [a, b] {
            bytes.extend(address.to_be_bytes().iter().skip(16 - size));
        }
        if ports {
            let (a, b) = order(self.ports[0].into(), self.ports[1].into());
            bytes.extend((a as u16).to_be_bytes());
            bytes.extend((b as u16).to_be_bytes());
        }
        Some(bytes)
    }

    fn load(&self, target: Target) -> u64 {
        match target {
            Target::MacDestination => self.eth_destination,
            Target::MacSource => self.eth_source,
            Target::Ipv4Ttl | Target::Ipv6HopLimit => self.ttl.into(),
            Target::Tag(LINEAR_TAG) => self.linear.into(),
            Target::Tag(index) => self
                .tags
                .get(usize::from(index))
                .copied()
                .unwrap_or(0)
                .into(),
            Target::Meta => self.meta.into(),
            Target::HashResult => self.hash_result.into(),
        }
    }

    /// Executes MODIFY_FIELD. Of a header that the packet does not have nothing is written.
    pub(super) fn modify(&mut self, frame: &mut [u8], modify: &Modify) {
        let shift = |target: Target, offset: u32| {
            if target.counts_from_top() {
                target.width().saturating_sub(offset + modify.width)
            } else {
                offset
            }
        };
        let mask = u64::MAX >> (64 - modify.width.clamp(1, 64));
        let operand = match modify.source {
            Source::Value(value) => value,
            Source::Field(from, offset) => self.load(from) >> shift(from, offset),
        } & mask;
        let at = shift(modify.target, modify.offset);
        let old = self.load(modify.target);
        let new = match modify.verb {
            Verb::Set => operand,
            Verb::Add => (old >> at).wrapping_add(operand) & mask,
        };
        let value = old & !(mask << at) | new << at;
        self.store(frame, modify.target, value);
    }

    fn store(&mut self, frame: &mut [u8], target: Target, value: u64) {
        let mac = value.to_be_bytes();
        let mac = mac.last_chunk::<6>().copied().unwrap_or_default();
        match target {
            Target::MacDestination => put(frame, 0, &mac),
            Target::MacSource => put(frame, 6, &mac),
            Target::Ipv4Ttl if self.l3 == L3::V4 => {
                put(frame, self.offset + ipv4::TTL, &[value as u8]);
                let end = self.offset + usize::from(self.header_words) * 4;
                put(frame, self.offset + ipv4::CHECKSUM, &[0, 0]);
                let header = frame.get(self.offset..end).unwrap_or_default();
                let sum = checksum::checksum(header).to_be_bytes();
                put(frame, self.offset + ipv4::CHECKSUM, &sum);
            }
            Target::Ipv6HopLimit if self.l3 == L3::V6 => {
                put(frame, self.offset + ipv6::HOP_LIMIT, &[value as u8]);
            }
            Target::Tag(LINEAR_TAG) => self.linear = value as u16,
            Target::Tag(index) => {
                if let Some(tag) = self.tags.get_mut(usize::from(index)) {
                    *tag = value as u32;
                }
            }
            Target::Meta => self.meta = value as u32,
            Target::Ipv4Ttl | Target::Ipv6HopLimit | Target::HashResult => {}
        }
        self.read(frame);
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

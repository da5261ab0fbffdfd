//! What a rule matches: named header fields under a mask (`rte_flow_item`, `rte_flow_pattern_template_create`).

/// One item of a pattern, outermost first (`enum rte_flow_item_type`).
///
/// An item says that the header is there, as the NIC's parser sees it, unless the template is
/// [relaxed](PatternTemplate::relaxed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// `RTE_FLOW_ITEM_TYPE_INTEGRITY`, level 0. mlx5: with HWS `l3_ok` says nothing of the IPv4
    /// checksum, and only positive bits can be matched (mlx5.rst, "Integrity").
    Integrity,
    /// `RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT`: where the packet came from; transfer domain.
    RepresentedPort,
    /// `RTE_FLOW_ITEM_TYPE_TX_QUEUE`; egress domain.
    TxQueue,
    /// `RTE_FLOW_ITEM_TYPE_TAG`.
    Tag,
    /// `RTE_FLOW_ITEM_TYPE_META`.
    Meta,
    /// `RTE_FLOW_ITEM_TYPE_ETH`.
    Eth,
    /// `RTE_FLOW_ITEM_TYPE_IPV4`.
    Ipv4,
    /// `RTE_FLOW_ITEM_TYPE_IPV6`.
    Ipv6,
    /// `RTE_FLOW_ITEM_TYPE_UDP`.
    Udp,
    /// `RTE_FLOW_ITEM_TYPE_TCP`.
    Tcp,
}

/// A field that a template may mask. Its value is a number as on the wire (big-endian); a field that
/// a packet does not have is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `rte_flow_item_eth.hdr.dst_addr`.
    EthDestination,
    /// `rte_flow_item_eth.hdr.src_addr`.
    EthSource,
    /// `rte_flow_item_eth.hdr.ether_type`.
    EthType,
    /// `rte_flow_item_eth.has_vlan`.
    EthHasVlan,
    /// `rte_ipv4_hdr.ihl`: header length in words of 4 bytes.
    Ipv4Ihl,
    /// `rte_ipv4_hdr.total_length`, bytes.
    Ipv4Length,
    /// `rte_ipv4_hdr.fragment_offset` under the mask 0x3fff: 1 of any fragment (mlx5 turns this one
    /// mask into its bit `ip_fragmented`).
    Ipv4Fragmented,
    /// `rte_ipv4_hdr.time_to_live`.
    Ipv4Ttl,
    /// `rte_ipv4_hdr.next_proto_id`.
    Ipv4Protocol,
    /// `rte_ipv4_hdr.src_addr`.
    Ipv4Source,
    /// `rte_ipv4_hdr.dst_addr`.
    Ipv4Destination,
    /// The flow label in `rte_flow_item_ipv6.hdr.vtc_flow`.
    Ipv6Label,
    /// `rte_flow_item_ipv6.hdr.payload_len`, bytes.
    Ipv6Length,
    /// `rte_flow_item_ipv6.has_frag_ext`.
    Ipv6Fragmented,
    /// `rte_flow_item_ipv6.hdr.proto`: what follows the fixed header.
    Ipv6Protocol,
    /// `rte_flow_item_ipv6.hdr.hop_limits`.
    Ipv6HopLimit,
    /// `rte_flow_item_ipv6.hdr.src_addr`.
    Ipv6Source,
    /// `rte_flow_item_ipv6.hdr.dst_addr`.
    Ipv6Destination,
    /// `hdr.src_port` of the UDP or TCP item: one field of mlx5's definer for both.
    SourcePort,
    /// `hdr.dst_port` likewise.
    DestinationPort,
    /// `rte_flow_item_integrity.l3_ok`.
    L3Ok,
    /// `rte_flow_item_integrity.ipv4_csum_ok`.
    Ipv4ChecksumOk,
    /// `rte_flow_item_tag.data` of this index.
    Tag(u8),
    /// `rte_flow_item_meta.data`.
    Meta,
    /// `rte_flow_item_tx_queue.tx_queue`.
    TxQueue,
    /// `rte_flow_item_ethdev.port_id`, as [`crate::table::PortId`].
    RepresentedPort,
}

impl Field {
    /// Bits of the field.
    pub const fn width(self) -> u32 {
        match self {
            Field::EthDestination | Field::EthSource => 48,
            Field::EthType | Field::Ipv4Length | Field::Ipv6Length => 16,
            Field::SourcePort | Field::DestinationPort => 16,
            Field::TxQueue | Field::RepresentedPort => 16,
            Field::EthHasVlan | Field::Ipv4Fragmented | Field::Ipv6Fragmented => 1,
            Field::L3Ok | Field::Ipv4ChecksumOk => 1,
            Field::Ipv4Ihl => 4,
            Field::Ipv4Ttl | Field::Ipv4Protocol => 8,
            Field::Ipv6Protocol | Field::Ipv6HopLimit => 8,
            Field::Ipv4Source | Field::Ipv4Destination => 32,
            Field::Ipv6Label => 20,
            Field::Ipv6Source | Field::Ipv6Destination => 128,
            Field::Tag(_) | Field::Meta => 32,
        }
    }

    /// All bits of the field.
    pub const fn full(self) -> u128 {
        u128::MAX >> (128 - self.width())
    }

    /// The items that a template must have to mask the field: any one of them.
    pub const fn items(self) -> &'static [Item] {
        match self {
            Field::EthDestination | Field::EthSource | Field::EthType | Field::EthHasVlan => {
                &[Item::Eth]
            }
            Field::Ipv4Ihl
            | Field::Ipv4Length
            | Field::Ipv4Fragmented
            | Field::Ipv4Ttl
            | Field::Ipv4Protocol
            | Field::Ipv4Source
            | Field::Ipv4Destination => &[Item::Ipv4],
            Field::Ipv6Label
            | Field::Ipv6Length
            | Field::Ipv6Fragmented
            | Field::Ipv6Protocol
            | Field::Ipv6HopLimit
            | Field::Ipv6Source
            | Field::Ipv6Destination => &[Item::Ipv6],
            Field::SourcePort | Field::DestinationPort => &[Item::Udp, Item::Tcp],
            Field::L3Ok | Field::Ipv4ChecksumOk => &[Item::Integrity],
            Field::Tag(_) => &[Item::Tag],
            Field::Meta => &[Item::Meta],
            Field::TxQueue => &[Item::TxQueue],
            Field::RepresentedPort => &[Item::RepresentedPort],
        }
    }
}

/// A field under a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Masked {
    /// Which one.
    pub field: Field,
    /// Its bits that matter.
    pub mask: u128,
    /// Rules name a first and a last value (`rte_flow_item.last`). mlx5: of few fields, total
    /// lengths among them; such rules are written by firmware and cannot be updated.
    pub range: bool,
}

/// A pattern template (`rte_flow_pattern_template_create`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PatternTemplate {
    /// The items, in the order of the pattern.
    pub items: Vec<Item>,
    /// What is matched, in the order of a rule's values.
    pub fields: Vec<Masked>,
    /// `rte_flow_pattern_template_attr.relaxed_matching`: items alone match nothing. Without it an
    /// IP, UDP or TCP item matches packets with that header only, and in a table of hash rows these
    /// bits would be hashed, too.
    pub relaxed: bool,
}

impl PatternTemplate {
    /// One of `items`, each field under its full mask, headers required.
    pub fn exact(items: &[Item], fields: &[Field]) -> Self {
        let full = |f: &Field| (*f, f.full());
        PatternTemplate::masked(items, &fields.iter().map(full).collect::<Vec<_>>())
    }

    /// One of `items` with these masks, headers required.
    pub fn masked(items: &[Item], fields: &[(Field, u128)]) -> Self {
        let each = fields.iter().map(|&(field, mask)| Masked {
            field,
            mask,
            range: false,
        });
        PatternTemplate {
            items: items.to_vec(),
            fields: each.collect(),
            relaxed: false,
        }
    }

    /// The five fields of IPv4 flows that rows are chosen by.
    pub fn flow4() -> Self {
        let fields = [
            Field::Ipv4Source,
            Field::Ipv4Destination,
            Field::Ipv4Protocol,
            Field::SourcePort,
            Field::DestinationPort,
        ];
        PatternTemplate {
            relaxed: true,
            ..PatternTemplate::exact(&[Item::Eth, Item::Ipv4, Item::Udp], &fields)
        }
    }

    /// The five fields of IPv6 flows that rows are chosen by.
    pub fn flow6() -> Self {
        let fields = [
            Field::Ipv6Source,
            Field::Ipv6Destination,
            Field::Ipv6Protocol,
            Field::SourcePort,
            Field::DestinationPort,
        ];
        PatternTemplate {
            relaxed: true,
            ..PatternTemplate::exact(&[Item::Eth, Item::Ipv6, Item::Udp], &fields)
        }
    }
}

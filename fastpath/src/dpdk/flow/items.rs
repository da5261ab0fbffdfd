//! From patterns of the program to rte_flow's: items with spec, last and mask.

use crate::hardware::program::{Field, Item, Masked, PatternTemplate};
use crate::table::PortId;
use dpdk_sys::{
    rte_flow_item, rte_flow_item_eth, rte_flow_item_ethdev, rte_flow_item_integrity,
    rte_flow_item_ipv4, rte_flow_item_ipv6, rte_flow_item_meta, rte_flow_item_tag,
    rte_flow_item_tcp, rte_flow_item_tx_queue, rte_flow_item_type as kind, rte_flow_item_udp,
};
use std::ffi::c_void;
use std::ptr::null;

/// The mask that mlx5 turns into its bit `ip_fragmented` (v24.11 `mlx5dr_definer.c:1084`): offset and
/// "more fragments".
const FRAGMENTED: u16 = 0x3fff;

/// `l3_ok` and `ipv4_csum_ok` in `rte_flow_item_integrity.value`.
const L3_OK: u64 = 1 << 2;
const IPV4_CSUM_OK: u64 = 1 << 5;

/// DPDK's number of a port of the program.
pub(super) type PortOf<'a> = &'a dyn Fn(PortId) -> Option<u16>;

/// What an item points to.
enum Header {
    Integrity(rte_flow_item_integrity),
    Port(rte_flow_item_ethdev),
    TxQueue(rte_flow_item_tx_queue),
    Tag(rte_flow_item_tag),
    Meta(rte_flow_item_meta),
    Eth(rte_flow_item_eth),
    Ipv4(rte_flow_item_ipv4),
    Ipv6(rte_flow_item_ipv6),
    Udp(rte_flow_item_udp),
    Tcp(rte_flow_item_tcp),
}

/// Expands to a record of zeros.
macro_rules! zeros {
    () => {
        // SAFETY: a plain record of integers, for which zeros are valid.
        unsafe { std::mem::zeroed() }
    };
}

impl Header {
    fn new(item: Item) -> Header {
        match item {
            Item::Integrity => Header::Integrity(zeros!()),
            Item::RepresentedPort => Header::Port(zeros!()),
            Item::TxQueue => Header::TxQueue(zeros!()),
            Item::Tag => Header::Tag(zeros!()),
            Item::Meta => Header::Meta(zeros!()),
            Item::Eth => Header::Eth(zeros!()),
            Item::Ipv4 => Header::Ipv4(zeros!()),
            Item::Ipv6 => Header::Ipv6(zeros!()),
            Item::Udp => Header::Udp(zeros!()),
            Item::Tcp => Header::Tcp(zeros!()),
        }
    }

    fn as_ptr(&self) -> *const c_void {
        match self {
            Header::Integrity(h) => std::ptr::from_ref(h).cast(),
            Header::Port(h) => std::ptr::from_ref(h).cast(),
            Header::TxQueue(h) => std::ptr::from_ref(h).cast(),
            Header::Tag(h) => std::ptr::from_ref(h).cast(),
            Header::Meta(h) => std::ptr::from_ref(h).cast(),
            Header::Eth(h) => std::ptr::from_ref(h).cast(),
            Header::Ipv4(h) => std::ptr::from_ref(h).cast(),
            Header::Ipv6(h) => std::ptr::from_ref(h).cast(),
            Header::Udp(h) => std::ptr::from_ref(h).cast(),
            Header::Tcp(h) => std::ptr::from_ref(h).cast(),
        }
    }

    /// Writes one field; what the header does not have (the pattern was checked) changes nothing.
    fn put(&mut self, field: Field, value: u128) {
        let mac = |value: u128| {
            let [.., a, b, c, d, e, f] = value.to_be_bytes();
            dpdk_sys::rte_ether_addr {
                addr_bytes: [a, b, c, d, e, f],
            }
        };
        let address = |value: u128| dpdk_sys::rte_ipv6_addr {
            a: value.to_be_bytes(),
        };
        let (be16, be32) = ((value as u16).to_be(), (value as u32).to_be());
        match (self, field) {
            (Header::Eth(h), Field::EthDestination) => h.__bindgen_anon_1.hdr.dst_addr = mac(value),
            (Header::Eth(h), Field::EthSource) => h.__bindgen_anon_1.hdr.src_addr = mac(value),
            (Header::Eth(h), Field::EthType) => h.__bindgen_anon_1.hdr.ether_type = be16,
            (Header::Eth(h), Field::EthHasVlan) => {
                // SAFETY: the record is ours, and as large as C's (the build asserts it).
                unsafe { dpdk_sys::evenpath_flow_eth_set_vlan(h, value != 0) }
            }
            (Header::Ipv4(h), Field::Ipv4Ihl) => {
                h.hdr.__bindgen_anon_1.version_ihl = value as u8 & 0xf;
            }
            (Header::Ipv4(h), Field::Ipv4Length) => h.hdr.total_length = be16,
            (Header::Ipv4(h), Field::Ipv4Fragmented) => {
                h.hdr.fragment_offset = if value == 0 { 0 } else { FRAGMENTED.to_be() };
            }
            (Header::Ipv4(h), Field::Ipv4Ttl) => h.hdr.time_to_live = value as u8,
            (Header::Ipv4(h), Field::Ipv4Protocol) => h.hdr.next_proto_id = value as u8,
            (Header::Ipv4(h), Field::Ipv4Source) => h.hdr.src_addr = be32,
            (Header::Ipv4(h), Field::Ipv4Destination) => h.hdr.dst_addr = be32,
            (Header::Ipv6(h), Field::Ipv6Label) => h.hdr.__bindgen_anon_1.vtc_flow = be32,
            (Header::Ipv6(h), Field::Ipv6Length) => h.hdr.payload_len = be16,
            (Header::Ipv6(h), Field::Ipv6Fragmented) => h.set_has_frag_ext(value as u32 & 1),
            (Header::Ipv6(h), Field::Ipv6Protocol) => h.hdr.proto = value as u8,
            (Header::Ipv6(h), Field::Ipv6HopLimit) => h.hdr.hop_limits = value as u8,
            (Header::Ipv6(h), Field::Ipv6Source) => h.hdr.src_addr = address(value),
            (Header::Ipv6(h), Field::Ipv6Destination) => h.hdr.dst_addr = address(value),
            (Header::Udp(h), Field::SourcePort) => h.hdr.src_port = be16,
            (Header::Udp(h), Field::DestinationPort) => h.hdr.dst_port = be16,
            (Header::Tcp(h), Field::SourcePort) => h.hdr.src_port = be16,
            (Header::Tcp(h), Field::DestinationPort) => h.hdr.dst_port = be16,
            (Header::Integrity(h), Field::L3Ok | Field::Ipv4ChecksumOk) => {
                let bit = if field == Field::L3Ok {
                    L3_OK
                } else {
                    IPV4_CSUM_OK
                };
                // SAFETY: all bytes of the union are this number's, and were written.
                let bits = unsafe { h.__bindgen_anon_1.value };
                h.__bindgen_anon_1.value = if value == 0 { bits & !bit } else { bits | bit };
            }
            (Header::Tag(h), Field::Tag(_)) => h.data = value as u32,
            (Header::Meta(h), Field::Meta) => h.data = value as u32,
            (Header::TxQueue(h), Field::TxQueue) => h.tx_queue = value as u16,
            (Header::Port(h), Field::RepresentedPort) => h.port_id = value as u16,
            _ => {}
        }
    }
}

/// `_bitfield_1` of the item may lie elsewhere than in C, the record's end does not.
const _: () = assert!(
    size_of::<rte_flow_item_eth>()
        == dpdk_sys::evenpath_flow_layout::EVENPATH_FLOW_ETH_SIZE as usize
);

/// What the numbers of a list of headers mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Values,
    Masks,
}

/// A pattern in DPDK's terms, with all that it points to.
pub(super) struct Pattern {
    items: Vec<rte_flow_item>,
    _headers: Vec<Header>,
}

impl Pattern {
    /// What `rte_flow_pattern_template_create` takes: masks, and `last` where rules name ranges (of
    /// these fields alone; the others' are 0, which says that they have none: v24.11
    /// `mlx5dr_definer.c:1112`). Items of which no field matters have no mask at all. A TAG names its
    /// index in `spec`, without which mlx5 matches nothing of it (`mlx5dr_definer.c:1777`).
    pub(super) fn template(pattern: &PatternTemplate) -> Pattern {
        let masks: Vec<u128> = pattern.fields.iter().map(|f| f.mask).collect();
        let mut made = Pattern::empty(pattern);
        let last = made.add(pattern, &masks, As::Masks, |f| f.range);
        let masks_at = made.add(pattern, &masks, As::Masks, |_| true);
        let none = vec![0; masks.len()];
        let is_tag = |f: &Masked| matches!(f.field, Field::Tag(_));
        let tags = made.add(pattern, &none, As::Values, is_tag);
        made.point(&tags, |item, header| item.spec = header);
        made.point(&last, |item, header| item.last = header);
        made.point(&masks_at, |item, header| item.mask = header);
        made
    }

    /// What `rte_flow_async_create` takes of a rule: values, and the last ones of ranges.
    ///
    /// `None`: it names a port that there is not.
    pub(super) fn rule(
        pattern: &PatternTemplate,
        spec: &[u128],
        last: &[u128],
        port: PortOf<'_>,
    ) -> Option<Pattern> {
        let numbered = |values: &[u128]| -> Option<Vec<u128>> {
            let each = values.iter().zip(&pattern.fields);
            each.map(|(&value, f)| match f.field {
                Field::RepresentedPort => port(PortId(value as u16)).map(u128::from),
                _ => Some(value),
            })
            .collect()
        };
        let mut made = Pattern::empty(pattern);
        let spec = made.add(pattern, &numbered(spec)?, As::Values, |_| true);
        let last = made.add(pattern, &numbered(last)?, As::Values, |f| f.range);
        made.point(&spec, |item, header| item.spec = header);
        made.point(&last, |item, header| item.last = header);
        Some(made)
    }

    fn empty(pattern: &PatternTemplate) -> Pattern {
        let bare = |type_| rte_flow_item {
            type_,
            spec: null(),
            last: null(),
            mask: null(),
        };
        let items = pattern.items.iter().map(|i| bare(number(*i)));
        Pattern {
            items: items.chain([bare(kind::RTE_FLOW_ITEM_TYPE_END)]).collect(),
            // As many as there can be: they stay where they are.
            _headers: Vec::with_capacity(3 * pattern.items.len()),
        }
    }

    /// Adds a header for each item that has one of the `chosen` fields; which item's each is.
    fn add(
        &mut self,
        pattern: &PatternTemplate,
        values: &[u128],
        read: As,
        chosen: impl Fn(&Masked) -> bool,
    ) -> Vec<(usize, usize)> {
        let mut of: Vec<Option<usize>> = vec![None; pattern.items.len()];
        for (masked, &value) in pattern.fields.iter().zip(values) {
            let Some(item) = place(pattern, masked.field).filter(|_| chosen(masked)) else {
                continue;
            };
            let headers = &mut self._headers;
            let at = *of[item].get_or_insert_with(|| {
                headers.push(Header::new(pattern.items[item]));
                headers.len() - 1
            });
            if let (Header::Tag(tag), Field::Tag(index)) = (&mut headers[at], masked.field) {
                tag.index = if read == As::Masks { u8::MAX } else { index };
            }
            headers[at].put(masked.field, value);
        }
        let each = of.into_iter().enumerate();
        each.filter_map(|(item, header)| Some((item, header?)))
            .collect()
    }

    fn point(&mut self, which: &[(usize, usize)], to: impl Fn(&mut rte_flow_item, *const c_void)) {
        for &(item, header) in which {
            to(&mut self.items[item], self._headers[header].as_ptr());
        }
    }

    /// The items, ended by END; good as long as `self`.
    pub(super) fn as_ptr(&self) -> *const rte_flow_item {
        self.items.as_ptr()
    }

    #[cfg(test)]
    pub(super) fn items(&self) -> &[rte_flow_item] {
        &self.items
    }
}

/// The item whose field that is: of several TAG items the one at the tag's place among the tags.
fn place(pattern: &PatternTemplate, field: Field) -> Option<usize> {
    let items = pattern.items.iter().enumerate();
    let mut fitting = items.filter(|(_, item)| field.items().contains(item));
    let nth = match field {
        Field::Tag(_) => {
            let tags = pattern.fields.iter().map(|f| f.field);
            let mut tags = tags.filter(|f| matches!(f, Field::Tag(_)));
            tags.position(|f| f == field).unwrap_or_default()
        }
        _ => 0,
    };
    fitting.nth(nth).map(|(i, _)| i)
}

const fn number(item: Item) -> kind::Type {
    match item {
        Item::Integrity => kind::RTE_FLOW_ITEM_TYPE_INTEGRITY,
        Item::RepresentedPort => kind::RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT,
        Item::TxQueue => kind::RTE_FLOW_ITEM_TYPE_TX_QUEUE,
        Item::Tag => kind::RTE_FLOW_ITEM_TYPE_TAG,
        Item::Meta => kind::RTE_FLOW_ITEM_TYPE_META,
        Item::Eth => kind::RTE_FLOW_ITEM_TYPE_ETH,
        Item::Ipv4 => kind::RTE_FLOW_ITEM_TYPE_IPV4,
        Item::Ipv6 => kind::RTE_FLOW_ITEM_TYPE_IPV6,
        Item::Udp => kind::RTE_FLOW_ITEM_TYPE_UDP,
        Item::Tcp => kind::RTE_FLOW_ITEM_TYPE_TCP,
    }
}

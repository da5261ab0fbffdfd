//! Patterns and actions in testpmd's words (DPDK v24.11 `app/test-pmd/cmdline_flow.c`).

use super::super::program::{
    Action, ActionsTemplate, Field, IndirectId, Item, Modify, PatternTemplate, Rss, RssFields,
    Source, Target, Verb,
};
use super::Ethdev;
use crate::table::PortId;
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The most queues of an RSS action (`ACTION_RSS_QUEUE_NUM`).
const RSS_QUEUES: usize = 128;
/// `fragment_offset` of any fragment, as mlx5 takes it for its bit `ip_fragmented`.
const FRAGMENTED: u16 = 0x3fff;
/// `l3_ok` and `ipv4_csum_ok` in `rte_flow_item_integrity.value`.
const L3_OK: u64 = 1 << 2;
const IPV4_CSUM_OK: u64 = 1 << 5;

/// The longest command (`RDLINE_BUF_SIZE`, with its end).
pub(super) const LINE: usize = 2046;

/// What cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unsaid {
    /// An RSS action over so many queues.
    Queues(usize),
    /// A port that testpmd does not have.
    Port(PortId),
    /// An indirect action that could not be said itself.
    Indirect,
    /// A command of so many bytes.
    Long(usize),
}

impl Display for Unsaid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unsaid::Queues(n) => write!(
                out,
                "an RSS action over {n} queues: testpmd takes at most {RSS_QUEUES}"
            ),
            Unsaid::Port(port) => write!(out, "port {} is not among testpmd's", port.0),
            Unsaid::Indirect => out.write_str("its indirect action could not be said"),
            Unsaid::Long(n) => write!(out, "{n} bytes: testpmd reads lines of at most {LINE}"),
        }
    }
}

/// Numbers that testpmd gives things.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) ports: &'a [Ethdev],
    pub(super) indirects: &'a HashMap<(usize, IndirectId), u32>,
    /// Which program speaks.
    pub(super) at: usize,
}

impl Names<'_> {
    fn port(&self, port: PortId) -> Result<u16, Unsaid> {
        let port = (self.ports.iter().find(|p| p.port == port)).ok_or(Unsaid::Port(port))?;
        Ok(port.number)
    }

    fn indirect(&self, id: IndirectId) -> Result<u32, Unsaid> {
        let number = self.indirects.get(&(self.at, id));
        number.copied().ok_or(Unsaid::Indirect)
    }
}

/// Whether values or masks are said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Values,
    Masks,
}

/// The items of a pattern template: masks, and `last` where rules name ranges.
pub(super) fn template(pattern: &PatternTemplate, names: Names<'_>) -> Result<String, Unsaid> {
    let masks: Vec<u128> = pattern.fields.iter().map(|f| f.mask).collect();
    let last: Vec<Option<u128>> = pattern
        .fields
        .iter()
        .map(|f| f.range.then_some(f.mask))
        .collect();
    items(pattern, &masks, &last, As::Masks, names)
}

/// The items of a rule: values, and the last ones of ranges.
pub(super) fn rule(
    pattern: &PatternTemplate,
    spec: &[u128],
    last: &[u128],
    names: Names<'_>,
) -> Result<String, Unsaid> {
    let each = pattern.fields.iter().enumerate();
    let last: Vec<Option<u128>> = each
        .map(|(at, f)| last.get(at).copied().filter(|_| f.range))
        .collect();
    items(pattern, spec, &last, As::Values, names)
}

fn items(
    pattern: &PatternTemplate,
    values: &[u128],
    last: &[Option<u128>],
    read: As,
    names: Names<'_>,
) -> Result<String, Unsaid> {
    let mut text = String::new();
    let mut said = vec![false; pattern.fields.len()];
    let word = if read == As::Masks { "mask" } else { "spec" };
    for item in &pattern.items {
        text += item_name(*item);
        let mut integrity = None;
        for (at, masked) in pattern.fields.iter().enumerate() {
            let value = values.get(at).copied().unwrap_or_default();
            if said[at] || !masked.field.items().contains(item) {
                continue;
            }
            said[at] = true;
            match masked.field {
                Field::L3Ok | Field::Ipv4ChecksumOk => {
                    let bit = if masked.field == Field::L3Ok {
                        L3_OK
                    } else {
                        IPV4_CSUM_OK
                    };
                    *integrity.get_or_insert(0) |= if value == 0 { 0 } else { bit };
                    continue;
                }
                Field::RepresentedPort if read == As::Values => {
                    let port = PortId(value as u16);
                    let number = names.port(port)?;
                    let _ = write!(text, " ethdev_port_id spec {number}");
                    continue;
                }
                _ => {}
            }
            let name = field_name(masked.field);
            let _ = write!(text, " {name} {word} {}", number(masked.field, value));
            if let Some(last) = last.get(at).copied().flatten() {
                let _ = write!(text, " {name} last {}", number(masked.field, last));
            }
            if let Field::Tag(index) = masked.field {
                let _ = write!(text, " index is {index}");
                break;
            }
        }
        if let Some(bits) = integrity {
            let _ = write!(text, " value {word} {bits:#x}");
        }
        text += " / ";
    }
    Ok(text + "end")
}

fn number(field: Field, value: u128) -> String {
    match field {
        Field::EthDestination | Field::EthSource => {
            let bytes = value.to_be_bytes();
            let each: Vec<String> = bytes[10..].iter().map(|b| format!("{b:02x}")).collect();
            each.join(":")
        }
        Field::Ipv4Source | Field::Ipv4Destination => Ipv4Addr::from_bits(value as u32).to_string(),
        Field::Ipv6Source | Field::Ipv6Destination => Ipv6Addr::from_bits(value).to_string(),
        Field::Ipv4Fragmented if value != 0 => format!("{FRAGMENTED:#x}"),
        Field::EthType | Field::Tag(_) | Field::Meta | Field::Ipv6Label => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

const fn item_name(item: Item) -> &'static str {
    match item {
        Item::Integrity => "integrity",
        Item::RepresentedPort => "represented_port",
        Item::TxQueue => "tx_queue",
        Item::Tag => "tag",
        Item::Meta => "meta",
        Item::Eth => "eth",
        Item::Ipv4 => "ipv4",
        Item::Ipv6 => "ipv6",
        Item::Udp => "udp",
        Item::Tcp => "tcp",
    }
}

const fn field_name(field: Field) -> &'static str {
    match field {
        Field::EthDestination | Field::Ipv4Destination | Field::Ipv6Destination => "dst",
        Field::EthSource | Field::Ipv4Source | Field::Ipv6Source => "src",
        Field::EthType => "type",
        Field::EthHasVlan => "has_vlan",
        Field::Ipv4Ihl => "version_ihl",
        Field::Ipv4Length | Field::Ipv6Length => "length",
        Field::Ipv4Fragmented => "fragment_offset",
        Field::Ipv4Ttl => "ttl",
        Field::Ipv4Protocol | Field::Ipv6Protocol => "proto",
        Field::Ipv6Label => "flow",
        Field::Ipv6Fragmented => "has_frag_ext",
        Field::Ipv6HopLimit => "hop",
        Field::SourcePort => "src",
        Field::DestinationPort => "dst",
        Field::L3Ok | Field::Ipv4ChecksumOk => "value",
        Field::Tag(_) | Field::Meta => "data",
        Field::TxQueue => "tx_queue_value",
        Field::RepresentedPort => "ethdev_port_id",
    }
}

/// The actions and the masks of a template. testpmd gives every mask a record, of zeros where a rule
/// has its own value, which mlx5 reads so (v24.11 `mlx5_flow_hw.c:2602`); of RSS and indirect actions
/// it makes the value the template's.
pub(super) fn actions_template(
    template: &ActionsTemplate,
    names: Names<'_>,
) -> Result<(String, String), Unsaid> {
    let (mut actions, mut masks) = (String::new(), String::new());
    for templated in &template.0 {
        let own = match &templated.action {
            // A rule's own port says nothing here, and needs not be there.
            Action::RepresentedPort(_) if !templated.fixed => "represented_port".to_owned(),
            action => one(action, names)?,
        };
        actions += &own;
        actions += " / ";
        masks += &mask(&templated.action, templated.fixed, own);
        masks += " / ";
    }
    Ok((actions + "end", masks + "end"))
}

/// The actions of a rule.
pub(super) fn actions(list: &[Action], names: Names<'_>) -> Result<String, Unsaid> {
    let mut text = String::new();
    for action in list {
        text += &one(action, names)?;
        text += " / ";
    }
    Ok(text + "end")
}

/// One action.
pub(super) fn one(action: &Action, names: Names<'_>) -> Result<String, Unsaid> {
    Ok(match action {
        Action::Mark(id) => format!("mark id {id}"),
        Action::Count => "count".into(),
        Action::Modify(m) => modify(m),
        Action::Jump(group) => format!("jump group {}", group.0),
        Action::Queue(index) => format!("queue index {index}"),
        Action::Rss(all) => rss(all)?,
        Action::Indirect(id) => {
            format!("indirect {}", names.indirect(*id)?)
        }
        Action::RepresentedPort(port) => {
            format!("represented_port ethdev_port_id {}", names.port(*port)?)
        }
        Action::ToManager => "port_representor port_id 0xffff".into(),
        Action::SendToKernel => "send_to_kernel".into(),
        Action::Drop => "drop".into(),
    })
}

fn mask(action: &Action, fixed: bool, own: String) -> String {
    match action {
        Action::Modify(m) => modify_mask(m, fixed),
        Action::ToManager => own,
        Action::Rss(_) => own,
        // Of the type of what it does.
        Action::Indirect(_) => "rss".into(),
        Action::Mark(_) if fixed => "mark id 0xffffffff".into(),
        Action::Jump(_) if fixed => "jump group 0xffffffff".into(),
        Action::Queue(_) if fixed => "queue index 0xffff".into(),
        Action::RepresentedPort(_) if fixed => "represented_port ethdev_port_id 0xffff".into(),
        Action::Mark(_) => "mark".into(),
        Action::Jump(_) => "jump".into(),
        Action::Queue(_) => "queue".into(),
        Action::RepresentedPort(_) => "represented_port".into(),
        Action::Count => "count".into(),
        Action::SendToKernel => "send_to_kernel".into(),
        Action::Drop => "drop".into(),
    }
}

const fn target(target: Target) -> &'static str {
    match target {
        Target::MacDestination => "mac_dst",
        Target::MacSource => "mac_src",
        Target::Ipv4Ttl => "ipv4_ttl",
        Target::Ipv6HopLimit => "ipv6_hoplimit",
        Target::Tag(_) => "tag",
        Target::Meta => "meta",
        Target::HashResult => "hash_result",
    }
}

const fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Set => "set",
        Verb::Add => "add",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn modify(m: &Modify) -> String {
    let place = |side: &str, of: Target, offset: u32| {
        let mut text = String::new();
        if let Target::Tag(index) = of {
            let _ = write!(text, " {side}_tag_index {index}");
        }
        if offset != 0 {
            let _ = write!(text, " {side}_offset {offset}");
        }
        text
    };
    let mut text = format!(
        "modify_field op {} dst_type {}",
        verb(m.verb),
        target(m.target)
    );
    text += &place("dst", m.target, m.offset);
    match m.source {
        Source::Value(value) => {
            let bytes = m.immediate(value);
            let length = if m.target.is_register() {
                4
            } else {
                m.target.width().div_ceil(8) as usize
            };
            let _ = write!(text, " src_type value src_value {}", hex(&bytes[..length]));
        }
        Source::Field(from, offset) => {
            let _ = write!(text, " src_type {}", target(from));
            text += &place("src", from, offset);
        }
    }
    let _ = write!(text, " width {}", m.width);
    text
}

/// All of it masked but for a value that is each rule's (v24.11 `mlx5_flow_hw.c`,
/// `flow_hw_validate_action_modify_field`).
fn modify_mask(m: &Modify, fixed: bool) -> String {
    let full = |side: &str| format!("{side}_level 255 {side}_offset 0xffffffff");
    let source = match m.source {
        Source::Value(_) if fixed => format!("value src_value {}", hex(&[0xff; 16])),
        Source::Value(_) => "value src_value 00".into(),
        Source::Field(from, _) => format!("{} {}", target(from), full("src")),
    };
    format!(
        "modify_field op {} dst_type {} {} src_type {source} width 0xffffffff",
        verb(m.verb),
        target(m.target),
        full("dst")
    )
}

fn rss(rss: &Rss) -> Result<String, Unsaid> {
    if rss.queues.len() > RSS_QUEUES {
        return Err(Unsaid::Queues(rss.queues.len()));
    }
    let func = match (&rss.key, rss.symmetric) {
        (_, true) => "symmetric_toeplitz",
        (Some(_), _) => "toeplitz",
        (None, _) => "default",
    };
    let types = match rss.fields {
        RssFields::Addresses => "ip",
        RssFields::Flow => "udp tcp",
        RssFields::Both => "ip udp tcp",
    };
    let mut text = format!("rss func {func} level 0 types {types} end");
    if let Some(key) = &rss.key {
        let _ = write!(text, " key {}", hex(&key[..]));
    }
    text += " queues";
    for queue in &rss.queues {
        let _ = write!(text, " {queue}");
    }
    Ok(text + " end")
}

//! What a rule does with a packet (`rte_flow_action`, `rte_flow_actions_template_create`).

use super::{Group, IndirectId};
use crate::hash::toeplitz::KEY;
use crate::table::PortId;

/// A field that [`Action::Modify`] writes or reads (`enum rte_flow_field_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// `RTE_FLOW_FIELD_MAC_DST`, 48 bits.
    MacDestination,
    /// `RTE_FLOW_FIELD_MAC_SRC`, 48 bits.
    MacSource,
    /// `RTE_FLOW_FIELD_IPV4_TTL`; the header checksum follows.
    Ipv4Ttl,
    /// `RTE_FLOW_FIELD_IPV6_HOPLIMIT`.
    Ipv6HopLimit,
    /// `RTE_FLOW_FIELD_TAG` of this index. mlx5: index 255 is the register that LINEAR tables take
    /// their row from, 16 bits.
    Tag(u8),
    /// `RTE_FLOW_FIELD_META`.
    Meta,
    /// `RTE_FLOW_FIELD_HASH_RESULT`, read only: the hash of the table that was passed last.
    HashResult,
}

impl Target {
    /// Bits of the field.
    pub const fn width(self) -> u32 {
        match self {
            Target::MacDestination | Target::MacSource => 48,
            Target::Ipv4Ttl | Target::Ipv6HopLimit => 8,
            Target::Tag(LINEAR_TAG) => 16,
            Target::Tag(_) | Target::Meta | Target::HashResult => 32,
        }
    }

    /// A register, not a field of the packet.
    pub const fn is_register(self) -> bool {
        matches!(self, Target::Tag(_) | Target::Meta | Target::HashResult)
    }

    /// Whether mlx5 counts the offset from the most significant bit (v24.11
    /// `mlx5_flow_dv.c:2113`); of the others it counts from the least.
    pub const fn counts_from_top(self) -> bool {
        matches!(self, Target::Tag(LINEAR_TAG) | Target::HashResult)
    }
}

/// The index of the tag that LINEAR tables take their row from (`RTE_PMD_MLX5_LINEAR_HASH_TAG_INDEX`).
pub const LINEAR_TAG: u8 = 255;

/// What [`Action::Modify`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `RTE_FLOW_FIELD_VALUE`: this number, right-aligned.
    Value(u64),
    /// Another field, from this offset on.
    Field(Target, u32),
}

/// How (`enum rte_flow_modify_op`); mlx5 knows these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `RTE_FLOW_MODIFY_SET`.
    Set,
    /// `RTE_FLOW_MODIFY_ADD`, modulo 2^width.
    Add,
}

/// `RTE_FLOW_ACTION_TYPE_MODIFY_FIELD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modify {
    /// How.
    pub verb: Verb,
    /// What is written.
    pub target: Target,
    /// From which bit of it on.
    pub offset: u32,
    /// How many bits.
    pub width: u32,
    /// What with.
    pub source: Source,
}

impl Modify {
    /// All of `target` := `value`.
    pub const fn set(target: Target, value: u64) -> Self {
        Modify {
            verb: Verb::Set,
            target,
            offset: 0,
            width: target.width(),
            source: Source::Value(value),
        }
    }

    /// `target` - 1, by adding all ones: what `dec_ttl` does (v24.11 `mlx5_flow_dv.c:862`).
    pub const fn decrement(target: Target) -> Self {
        Modify {
            verb: Verb::Add,
            source: Source::Value(u64::MAX >> (64 - target.width())),
            ..Modify::set(target, 0)
        }
    }

    /// A value as the item of the field has it (`rte_flow_field_data.value`): MAC addresses and single
    /// bytes as on the wire, registers in the host's order. Bits that lie below the offset are there,
    /// too: "offset is inherited from the destination's one".
    pub fn immediate(&self, value: u64) -> [u8; 16] {
        let total = self.target.width();
        let shift = if self.target.counts_from_top() {
            total.saturating_sub(self.offset + self.width)
        } else {
            self.offset
        };
        let value = value.checked_shl(shift).unwrap_or_default();
        let mut bytes = [0; 16];
        if self.target.is_register() {
            bytes[..4].copy_from_slice(&(value as u32).to_ne_bytes());
        } else {
            let length = total.div_ceil(8) as usize;
            bytes[..length].copy_from_slice(&value.to_be_bytes()[8 - length..]);
        }
        bytes
    }
}

/// Which packets an RSS action hashes by what (`rte_flow_action_rss.types`): each bit one of
/// `RTE_ETH_RSS_NONFRAG_IPV4_UDP` and so on; a packet of none of them takes queue 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RssFields {
    /// Addresses: `RTE_ETH_RSS_IP`.
    Addresses,
    /// Addresses and ports: `RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP`.
    Flow,
    /// Addresses and ports, and of what has no ports addresses: all of these types, which a rule of
    /// the first API makes several rules of (v24.11 `mlx5_flow.c`, `mlx5_flow_expand_rss`).
    Both,
}

/// `RTE_FLOW_ACTION_TYPE_RSS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rss {
    /// Row of the indirection table -> queue; a power of two of them where rows matter.
    pub queues: Vec<u16>,
    /// The Toeplitz key; mlx5 takes 40 bytes, no other length. `None`: the NIC's own.
    pub key: Option<Box<[u8; KEY]>>,
    /// What is hashed.
    pub fields: RssFields,
    /// `RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ`, which mlx5 computes by sorting.
    pub symmetric: bool,
}

/// One action, in the vocabulary of mlx5's template API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `RTE_FLOW_ACTION_TYPE_MARK`, 24 bits; ingress.
    Mark(u32),
    /// `RTE_FLOW_ACTION_TYPE_COUNT`; not in root tables.
    Count,
    /// `RTE_FLOW_ACTION_TYPE_MODIFY_FIELD`.
    Modify(Modify),
    /// `RTE_FLOW_ACTION_TYPE_JUMP`; never to group 0.
    Jump(Group),
    /// `RTE_FLOW_ACTION_TYPE_QUEUE`; ingress. A hairpin queue leads to its egress port.
    Queue(u16),
    /// `RTE_FLOW_ACTION_TYPE_RSS`; ingress.
    Rss(Rss),
    /// `RTE_FLOW_ACTION_TYPE_INDIRECT`: an object that rules share and that changes in one
    /// operation. mlx5 has RSS, COUNT and few others, no JUMP and no port.
    Indirect(IndirectId),
    /// `RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT`: out to what the port represents; transfer, not root.
    RepresentedPort(PortId),
    /// `RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR` of the e-switch manager (0xffff, the only one that
    /// mlx5 takes): as if nothing had matched, to the software of the port it came from; transfer,
    /// not root.
    ToManager,
    /// `RTE_FLOW_ACTION_TYPE_SEND_TO_KERNEL`: to the kernel's netdev; not root.
    SendToKernel,
    /// `RTE_FLOW_ACTION_TYPE_DROP`.
    Drop,
}

impl Action {
    /// Place in the order that mlx5 wants (mlx5.rst, "Notes for rte_flow": MARK, COUNT, MODIFY_FIELD,
    /// then what ends the list).
    pub const fn rank(&self) -> u8 {
        match self {
            Action::Mark(_) => 0,
            Action::Count => 1,
            Action::Modify(_) => 2,
            _ => 3,
        }
    }

    /// Whether it decides where the packet goes: exactly one, the last, does.
    pub const fn is_fate(&self) -> bool {
        self.rank() == 3
    }

    /// Whether a rule may have `self` where its template has `other` with a value of its own.
    pub fn is_like(&self, other: &Action) -> bool {
        match (self, other) {
            (Action::Modify(a), Action::Modify(b)) => {
                let same =
                    (a.verb, a.target, a.offset, a.width) == (b.verb, b.target, b.offset, b.width);
                let values = |m: &Modify| matches!(m.source, Source::Value(_));
                same && (a.source == b.source || values(a) && values(b))
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// One action of a template (`rte_flow_actions_template_create`: `actions[i]` and `masks[i]`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Templated {
    /// The action; its value counts only when fixed.
    pub action: Action,
    /// Masked: the same for all rules.
    pub fixed: bool,
}

/// An actions template. Every rule names one of its table's, and gives all actions, the fixed ones
/// as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ActionsTemplate(pub Vec<Templated>);

impl ActionsTemplate {
    /// One whose values are each rule's.
    pub fn per_rule(actions: &[Action]) -> Self {
        ActionsTemplate::of(actions, false)
    }

    /// One whose values are the same for all rules.
    pub fn fixed(actions: &[Action]) -> Self {
        ActionsTemplate::of(actions, true)
    }

    fn of(actions: &[Action], fixed: bool) -> Self {
        let each = actions.iter().cloned();
        ActionsTemplate(each.map(|action| Templated { action, fixed }).collect())
    }

    /// Whether a rule may have `actions` by this template.
    pub fn takes(&self, actions: &[Action]) -> bool {
        let fits = |(t, a): (&Templated, &Action)| {
            if t.fixed {
                t.action == *a
            } else {
                a.is_like(&t.action)
            }
        };
        self.0.len() == actions.len() && self.0.iter().zip(actions).all(fits)
    }

    /// It changes the packet or its registers, which takes memory for each rule.
    pub fn modifies(&self) -> bool {
        self.0.iter().any(|t| t.action.rank() == 2)
    }
}

//! From actions of the program to rte_flow's, and the masks of their templates.

use super::items::PortOf;
use crate::hardware::program::RssFields;
use crate::hardware::program::{
    Action, ActionsTemplate, IndirectId, Modify, Rss, Source, Target, Verb,
};
use dpdk_sys::{
    rte_eth_hash_function as hash, rte_flow_action, rte_flow_action_count, rte_flow_action_ethdev,
    rte_flow_action_handle, rte_flow_action_jump, rte_flow_action_mark,
    rte_flow_action_modify_field, rte_flow_action_queue, rte_flow_action_rss,
    rte_flow_action_type as kind, rte_flow_field_data, rte_flow_field_id as id,
    rte_flow_modify_op as op,
};
use std::ffi::c_void;
use std::ptr::null;

/// The e-switch manager, as port of `RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR`.
const MANAGER: u16 = u16::MAX;

/// What DPDK calls an indirect action.
pub(super) type HandleOf<'a> = &'a dyn Fn(IndirectId) -> Option<*mut rte_flow_action_handle>;

/// What an action points to.
enum Conf {
    None,
    /// Somebody else's.
    Handle(*const c_void),
    Mark(rte_flow_action_mark),
    Count(rte_flow_action_count),
    Modify(rte_flow_action_modify_field),
    Jump(rte_flow_action_jump),
    Queue(rte_flow_action_queue),
    Rss(rte_flow_action_rss),
    Port(rte_flow_action_ethdev),
}

impl Conf {
    fn as_ptr(&self) -> *const c_void {
        match self {
            Conf::None => null(),
            Conf::Handle(handle) => *handle,
            Conf::Mark(c) => std::ptr::from_ref(c).cast(),
            Conf::Count(c) => std::ptr::from_ref(c).cast(),
            Conf::Modify(c) => std::ptr::from_ref(c).cast(),
            Conf::Jump(c) => std::ptr::from_ref(c).cast(),
            Conf::Queue(c) => std::ptr::from_ref(c).cast(),
            Conf::Rss(c) => std::ptr::from_ref(c).cast(),
            Conf::Port(c) => std::ptr::from_ref(c).cast(),
        }
    }
}

/// Who knows the numbers of ports and the handles of indirect actions.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) port: PortOf<'a>,
    pub(super) handle: HandleOf<'a>,
}

/// A list of actions in DPDK's terms. It points into the actions that it was made from.
pub(super) struct Actions<'a> {
    list: Vec<rte_flow_action>,
    _confs: Vec<Conf>,
    _of: std::marker::PhantomData<&'a Action>,
}

impl<'a> Actions<'a> {
    /// A rule's. `None`: it names a port or an indirect action that there is not.
    pub(super) fn rule(actions: &'a [Action], names: Names<'_>) -> Option<Self> {
        let each = actions.iter();
        let confs: Option<Vec<_>> = each.map(|a| Some((number(a), conf(a, names)?))).collect();
        Some(Actions::list(confs?))
    }

    /// A template's actions and masks. In a mask what is not 0 is the same for all rules; of
    /// MODIFY_FIELD everything but the value must be (v24.11 `mlx5_flow_hw.c:5999`), and an indirect
    /// action's mask has the type of what it does (`rte_flow_actions_template_create`), which with
    /// mlx5 is RSS. `None` as above; an indirect action that is not fixed needs not be there.
    pub(super) fn template(
        template: &'a ActionsTemplate,
        names: Names<'_>,
    ) -> Option<(Self, Self)> {
        let mut actions = Vec::new();
        let mut masks = Vec::new();
        for templated in &template.0 {
            let (action, fixed) = (&templated.action, templated.fixed);
            let given = match action {
                // A port or handle of a rule's own says nothing here.
                Action::Indirect(_) | Action::RepresentedPort(_) if !fixed => Conf::None,
                _ => conf(action, names)?,
            };
            let type_ = match action {
                Action::Indirect(_) => kind::RTE_FLOW_ACTION_TYPE_RSS,
                _ => number(action),
            };
            masks.push((type_, mask(action, fixed, &given)));
            actions.push((number(action), given));
        }
        Some((Actions::list(actions), Actions::list(masks)))
    }

    fn list(confs: Vec<(kind::Type, Conf)>) -> Self {
        let (types, confs): (Vec<_>, Vec<_>) = confs.into_iter().unzip();
        let each = types.into_iter().zip(&confs);
        let end = rte_flow_action {
            type_: kind::RTE_FLOW_ACTION_TYPE_END,
            conf: null(),
        };
        let list = each.map(|(type_, conf)| rte_flow_action {
            type_,
            conf: conf.as_ptr(),
        });
        Actions {
            list: list.chain([end]).collect(),
            _confs: confs,
            _of: std::marker::PhantomData,
        }
    }

    /// The actions, ended by END; good as long as `self`.
    pub(super) fn as_ptr(&self) -> *const rte_flow_action {
        self.list.as_ptr()
    }

    #[cfg(test)]
    pub(super) fn actions(&self) -> &[rte_flow_action] {
        &self.list
    }
}

fn conf(action: &Action, names: Names<'_>) -> Option<Conf> {
    Some(match action {
        Action::Mark(id) => Conf::Mark(rte_flow_action_mark { id: *id }),
        Action::Count => Conf::Count(rte_flow_action_count { id: 0 }),
        Action::Modify(modify) => Conf::Modify(modify_field(modify)),
        Action::Jump(group) => Conf::Jump(rte_flow_action_jump { group: group.0 }),
        Action::Queue(index) => Conf::Queue(rte_flow_action_queue { index: *index }),
        Action::Rss(rss) => Conf::Rss(rss_conf(rss)),
        Action::Indirect(id) => Conf::Handle((names.handle)(*id)?.cast_const().cast()),
        Action::RepresentedPort(port) => Conf::Port(rte_flow_action_ethdev {
            port_id: (names.port)(*port)?,
        }),
        Action::ToManager => Conf::Port(rte_flow_action_ethdev { port_id: MANAGER }),
        Action::SendToKernel | Action::Drop => Conf::None,
    })
}

fn mask(action: &Action, fixed: bool, given: &Conf) -> Conf {
    match (action, given) {
        (Action::Modify(modify), Conf::Modify(given)) => {
            Conf::Modify(modify_mask(modify, given, fixed))
        }
        // The manager is the one place to go: the same for all rules.
        (Action::ToManager, _) => Conf::Port(rte_flow_action_ethdev { port_id: u16::MAX }),
        (_, _) if !fixed => Conf::None,
        (Action::Mark(_), _) => Conf::Mark(rte_flow_action_mark { id: u32::MAX }),
        (Action::Jump(_), _) => Conf::Jump(rte_flow_action_jump { group: u32::MAX }),
        (Action::Queue(_), _) => Conf::Queue(rte_flow_action_queue { index: u16::MAX }),
        (Action::RepresentedPort(_), _) => Conf::Port(rte_flow_action_ethdev { port_id: u16::MAX }),
        (Action::Rss(_), Conf::Rss(given)) => Conf::Rss(*given),
        (Action::Indirect(_), Conf::Handle(given)) => Conf::Handle(*given),
        // A shared counter is not what COUNT without a number means.
        _ => Conf::None,
    }
}

fn field_id(target: Target) -> id::Type {
    match target {
        Target::MacDestination => id::RTE_FLOW_FIELD_MAC_DST,
        Target::MacSource => id::RTE_FLOW_FIELD_MAC_SRC,
        Target::Ipv4Ttl => id::RTE_FLOW_FIELD_IPV4_TTL,
        Target::Ipv6HopLimit => id::RTE_FLOW_FIELD_IPV6_HOPLIMIT,
        Target::Tag(_) => id::RTE_FLOW_FIELD_TAG,
        Target::Meta => id::RTE_FLOW_FIELD_META,
        Target::HashResult => id::RTE_FLOW_FIELD_HASH_RESULT,
    }
}

/// A record of zeros of a field.
fn blank(field: id::Type) -> rte_flow_field_data {
    // SAFETY: integers and pointers, for which zeros are valid.
    let mut data: rte_flow_field_data = unsafe { std::mem::zeroed() };
    data.field = field;
    data
}

fn field_data(target: Target, offset: u32) -> rte_flow_field_data {
    let mut data = blank(field_id(target));
    data.__bindgen_anon_1.__bindgen_anon_1.offset = offset;
    if let Target::Tag(index) = target {
        let place = &mut data.__bindgen_anon_1;
        place
            .__bindgen_anon_1
            .__bindgen_anon_1
            .__bindgen_anon_1
            .__bindgen_anon_1
            .tag_index = index;
    }
    data
}

const fn operation(verb: Verb) -> op::Type {
    match verb {
        Verb::Set => op::RTE_FLOW_MODIFY_SET,
        Verb::Add => op::RTE_FLOW_MODIFY_ADD,
    }
}

fn modify_field(modify: &Modify) -> rte_flow_action_modify_field {
    let src = match modify.source {
        Source::Value(value) => {
            let mut src = blank(id::RTE_FLOW_FIELD_VALUE);
            src.__bindgen_anon_1.value = modify.immediate(value);
            src
        }
        Source::Field(from, offset) => field_data(from, offset),
    };
    rte_flow_action_modify_field {
        operation: operation(modify.verb),
        dst: field_data(modify.target, modify.offset),
        src,
        width: modify.width,
    }
}

fn modify_mask(
    modify: &Modify,
    given: &rte_flow_action_modify_field,
    fixed: bool,
) -> rte_flow_action_modify_field {
    let full = |field| {
        let mut data = blank(field);
        data.__bindgen_anon_1.value = [0xff; 16];
        data
    };
    let src = match modify.source {
        Source::Value(_) if !fixed => blank(given.src.field),
        _ => full(given.src.field),
    };
    rte_flow_action_modify_field {
        operation: given.operation,
        dst: full(given.dst.field),
        src,
        width: u32::MAX,
    }
}

/// DPDK's bits of what is hashed.
pub(super) fn rss_types(fields: RssFields) -> u64 {
    // SAFETY: constants of the build.
    let of = |ports| unsafe { dpdk_sys::evenpath_flow_rss_types(ports) };
    match fields {
        RssFields::Addresses => of(false),
        RssFields::Flow => of(true),
        RssFields::Both => of(false) | of(true),
    }
}

/// The record points into `rss`.
fn rss_conf(rss: &Rss) -> rte_flow_action_rss {
    let key = rss.key.as_deref();
    rte_flow_action_rss {
        func: match (key, rss.symmetric) {
            (_, true) => hash::RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
            (Some(_), _) => hash::RTE_ETH_HASH_FUNCTION_TOEPLITZ,
            (None, _) => hash::RTE_ETH_HASH_FUNCTION_DEFAULT,
        },
        level: 0,
        types: rss_types(rss.fields),
        key_len: key.map_or(0, |k| k.len() as u32),
        queue_num: rss.queues.len() as u32,
        key: key.map_or(null(), |k| k.as_ptr()),
        queue: rss.queues.as_ptr(),
    }
}

const fn number(action: &Action) -> kind::Type {
    match action {
        Action::Mark(_) => kind::RTE_FLOW_ACTION_TYPE_MARK,
        Action::Count => kind::RTE_FLOW_ACTION_TYPE_COUNT,
        Action::Modify(_) => kind::RTE_FLOW_ACTION_TYPE_MODIFY_FIELD,
        Action::Jump(_) => kind::RTE_FLOW_ACTION_TYPE_JUMP,
        Action::Queue(_) => kind::RTE_FLOW_ACTION_TYPE_QUEUE,
        Action::Rss(_) => kind::RTE_FLOW_ACTION_TYPE_RSS,
        Action::Indirect(_) => kind::RTE_FLOW_ACTION_TYPE_INDIRECT,
        Action::RepresentedPort(_) => kind::RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT,
        Action::ToManager => kind::RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR,
        Action::SendToKernel => kind::RTE_FLOW_ACTION_TYPE_SEND_TO_KERNEL,
        Action::Drop => kind::RTE_FLOW_ACTION_TYPE_DROP,
    }
}

//! Actions and the masks of their templates.

use super::super::actions::{Actions, Names};
use super::{bytes, with};
use crate::hardware::program::{
    Action, ActionsTemplate, Group, IndirectId, Modify, Rss, RssFields, Source, Target, Verb,
};
use crate::table::PortId;
use dpdk_sys::{
    rte_flow_action, rte_flow_action_handle, rte_flow_action_modify_field, rte_flow_action_rss,
};

const HANDLE: *mut rte_flow_action_handle = std::ptr::without_provenance_mut(0x7000);

/// Ports 0 to 3 are DPDK's 10 to 13, and there is indirect action 5.
fn named<T>(call: impl FnOnce(Names<'_>) -> T) -> T {
    call(Names {
        port: &|id| (id.0 < 4).then_some(id.0 + 10),
        handle: &|id| (id == IndirectId(5)).then_some(HANDLE),
    })
}

fn modified(action: &rte_flow_action) -> rte_flow_action_modify_field {
    assert!(!action.conf.is_null());
    // SAFETY: the action is MODIFY_FIELD.
    unsafe { action.conf.cast::<rte_flow_action_modify_field>().read() }
}

/// Level, tag index and offset of a field, and all 16 bytes of it as a value.
fn field(of: &dpdk_sys::rte_flow_field_data) -> (u8, u8, u32, [u8; 16]) {
    // SAFETY: all bytes of the union were written.
    let raw = unsafe { of.__bindgen_anon_1.value };
    let offset = u32::from_ne_bytes([raw[8], raw[9], raw[10], raw[11]]);
    (raw[0], raw[2], offset, raw)
}

#[test]
fn what_is_written_and_how_it_is_masked() {
    let mac = Modify::set(Target::MacDestination, 0x0211_2233_4455);
    let ttl = Modify::decrement(Target::Ipv4Ttl);
    let tag = Modify {
        verb: Verb::Set,
        target: Target::Tag(255),
        offset: 10,
        width: 6,
        source: Source::Field(Target::HashResult, 18),
    };
    let mut actions = [mac, ttl, tag].map(Action::Modify).to_vec();
    actions.push(Action::Jump(Group(7)));
    named(|names| {
        let made = Actions::rule(&actions, names).unwrap();
        let list = made.actions();
        let types: Vec<u32> = list.iter().map(|a| a.type_).collect();
        use dpdk_sys::rte_flow_action_type as kind;
        let modify = kind::RTE_FLOW_ACTION_TYPE_MODIFY_FIELD;
        let jump = kind::RTE_FLOW_ACTION_TYPE_JUMP;
        assert_eq!(types, [modify, modify, modify, jump, 0]);
        assert_eq!(bytes(list[3].conf, 4), 7_u32.to_ne_bytes());
        let found = modified(&list[0]);
        use dpdk_sys::{rte_flow_field_id as id, rte_flow_modify_op as op};
        let heads = |m: &rte_flow_action_modify_field| (m.operation, m.dst.field, m.src.field);
        let value = id::RTE_FLOW_FIELD_VALUE;
        assert_eq!(
            heads(&found),
            (op::RTE_FLOW_MODIFY_SET, id::RTE_FLOW_FIELD_MAC_DST, value)
        );
        assert_eq!(found.width, 48);
        assert_eq!(field(&found.dst).3, [0; 16]);
        let wire = with(16, &[(0, &[2, 0x11, 0x22, 0x33, 0x44, 0x55])]);
        assert_eq!(field(&found.src).3, *wire);
        let found = modified(&list[1]);
        assert_eq!(
            heads(&found),
            (op::RTE_FLOW_MODIFY_ADD, id::RTE_FLOW_FIELD_IPV4_TTL, value)
        );
        assert_eq!(
            (field(&found.src).3, found.width),
            ([255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8)
        );
        let found = modified(&list[2]);
        assert_eq!((field(&found.dst).1, field(&found.dst).2), (255, 10));
        assert_eq!(
            (found.src.field, field(&found.src).2),
            (id::RTE_FLOW_FIELD_HASH_RESULT, 18)
        );

        for (fixed, template) in [
            (false, ActionsTemplate::per_rule(&actions)),
            (true, ActionsTemplate::fixed(&actions)),
        ] {
            let (list, masks) = Actions::template(&template, names).unwrap();
            assert_eq!(list.actions().len(), masks.actions().len());
            for i in 0..3 {
                let (given, mask) = (modified(&list.actions()[i]), modified(&masks.actions()[i]));
                assert_eq!(heads(&mask), heads(&given));
                assert_eq!(mask.width, u32::MAX);
                assert_eq!(field(&mask.dst).3, [0xff; 16]);
                // A value of each rule's own is not masked; a field to copy always is.
                let src = if fixed || i == 2 { 0xff } else { 0 };
                assert_eq!(field(&mask.src).3, [src; 16], "{i}");
            }
            let jump = masks.actions()[3].conf;
            assert_eq!(jump.is_null(), !fixed);
            assert!(!fixed || bytes(jump, 4) == [0xff; 4]);
        }
    });
}

#[test]
fn values_at_an_offset_lie_where_the_field_has_them() {
    let write = |target, offset, width, value| {
        let modify = Modify {
            verb: Verb::Set,
            target,
            offset,
            width,
            source: Source::Value(value),
        };
        let actions = [Action::Modify(modify)];
        named(|names| {
            let made = Actions::rule(&actions, names).unwrap();
            field(&modified(&made.actions()[0]).src).3
        })
    };
    assert_eq!(
        write(Target::Meta, 8, 8, 0x12)[..4],
        0x1200_u32.to_ne_bytes()
    );
    assert_eq!(
        write(Target::Tag(4), 0, 32, 0x1234)[..4],
        0x1234_u32.to_ne_bytes()
    );
    // This one counts from the top.
    assert_eq!(
        write(Target::Tag(255), 0, 10, 3)[..4],
        0xc0_u32.to_ne_bytes()
    );
    assert_eq!(
        write(Target::MacSource, 8, 40, 0x01_0000_0000)[..6],
        [1, 0, 0, 0, 0, 0]
    );
}

#[test]
fn where_packets_go() {
    let rss = Rss {
        queues: vec![4, 5, 4, 5],
        key: Some(Box::new([9; 40])),
        fields: RssFields::Flow,
        symmetric: false,
    };
    let actions = [
        Action::Mark(77),
        Action::Count,
        Action::Queue(513),
        Action::RepresentedPort(PortId(1)),
        Action::ToManager,
        Action::Indirect(IndirectId(5)),
        Action::SendToKernel,
        Action::Drop,
        Action::Rss(rss.clone()),
    ];
    named(|names| {
        let made = Actions::rule(&actions, names).unwrap();
        let list = made.actions();
        assert_eq!(bytes(list[0].conf, 4), 77_u32.to_ne_bytes());
        assert_eq!(bytes(list[1].conf, 4), [0; 4]);
        assert_eq!(bytes(list[2].conf, 2), 513_u16.to_ne_bytes());
        assert_eq!(bytes(list[3].conf, 2), 11_u16.to_ne_bytes());
        assert_eq!(bytes(list[4].conf, 2), [0xff; 2]);
        assert_eq!(list[5].conf, HANDLE.cast_const().cast());
        assert!(list[6].conf.is_null() && list[7].conf.is_null());
        // SAFETY: the action is RSS.
        let found = unsafe { list[8].conf.cast::<rte_flow_action_rss>().read() };
        assert_eq!((found.func, found.level), (1, 0));
        assert_eq!((found.key_len, found.queue_num), (40, 4));
        assert_eq!(bytes(found.key.cast(), 40), [9; 40]);
        let queues: Vec<u8> = rss.queues.iter().flat_map(|q| q.to_ne_bytes()).collect();
        assert_eq!(bytes(found.queue.cast(), 8), queues);
        // UDP and TCP, of IPv4, IPv6 and with its extension headers.
        assert_eq!(
            found.types,
            [4, 5, 10, 11, 16, 17].map(|b| 1_u64 << b).iter().sum()
        );

        // A template needs no handle; the type of its mask says what there will be.
        let templates = [
            Action::Indirect(IndirectId(6)),
            Action::RepresentedPort(PortId(9)),
        ];
        let template = ActionsTemplate::per_rule(&templates);
        let (list, masks) = Actions::template(&template, names).unwrap();
        let kinds = |a: &Actions<'_>| a.actions().iter().map(|a| a.type_).collect::<Vec<_>>();
        use dpdk_sys::rte_flow_action_type as kind;
        assert_eq!(kinds(&list)[0], kind::RTE_FLOW_ACTION_TYPE_INDIRECT);
        assert_eq!(kinds(&masks)[0], kind::RTE_FLOW_ACTION_TYPE_RSS);
        assert!(
            masks
                .actions()
                .iter()
                .chain(list.actions())
                .all(|a| a.conf.is_null())
        );
        for missing in &templates {
            assert!(Actions::rule(std::slice::from_ref(missing), names).is_none());
            let fixed = ActionsTemplate::fixed(std::slice::from_ref(missing));
            assert!(Actions::template(&fixed, names).is_none());
        }
    });
}

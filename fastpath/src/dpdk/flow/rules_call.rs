//! One rule of rte_flow's first API, from our words to DPDK's records, asked for or put in.

use super::refusal::Refusal;
use super::rules::{Fate, SpreadBy};
use crate::dpdk::rss::RssOptions;
use crate::hardware::Error;
use dpdk_sys::{
    rte_flow, rte_flow_action, rte_flow_action_mark, rte_flow_action_queue, rte_flow_action_rss,
    rte_flow_action_type as act, rte_flow_attr, rte_flow_item, rte_flow_item_ipv4,
    rte_flow_item_ipv6, rte_flow_item_type as item,
};
use std::ffi::c_void;
use std::net::IpAddr;
use std::ptr::{NonNull, from_ref, null};

/// Which packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All.
    All,
    /// IPv4 ones.
    Four,
    /// IPv6 ones.
    Six,
    /// Those to a prefix.
    To(IpAddr, u8),
}

/// RSS over these queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over<'a> {
    pub(super) queues: &'a [u16],
    pub(super) options: &'a RssOptions,
    /// DPDK's bits of what is hashed.
    pub(super) types: u64,
    pub(super) by: SpreadBy,
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) priority: u32,
    pub(super) which: Which,
    pub(super) mark: Option<u32>,
    pub(super) fate: Fate,
    pub(super) over: Over<'a>,
}

const fn an_item(type_: item::Type, spec: *const c_void, mask: *const c_void) -> rte_flow_item {
    rte_flow_item {
        type_,
        spec,
        last: null(),
        mask,
    }
}

const fn an_action(type_: act::Type, conf: *const c_void) -> rte_flow_action {
    rte_flow_action { type_, conf }
}

/// A record of zeros.
macro_rules! zeros {
    () => {
        // SAFETY: a plain record of integers, for which zeros are valid.
        unsafe { std::mem::zeroed() }
    };
}

impl Wanted<'_> {
    /// Runs `call` with the rule in DPDK's records, which live as long as the call.
    fn with<T>(
        &self,
        call: impl FnOnce(&rte_flow_attr, *const rte_flow_item, *const rte_flow_action) -> T,
    ) -> T {
        let mut attr: rte_flow_attr = zeros!();
        attr.priority = self.priority;
        attr.set_ingress(1);
        let (mut spec4, mut mask4): (rte_flow_item_ipv4, rte_flow_item_ipv4) = zeros!();
        let (mut spec6, mut mask6): (rte_flow_item_ipv6, rte_flow_item_ipv6) = zeros!();
        let eth = an_item(item::RTE_FLOW_ITEM_TYPE_ETH, null(), null());
        let bare = |type_| an_item(type_, null(), null());
        let (four, six) = (item::RTE_FLOW_ITEM_TYPE_IPV4, item::RTE_FLOW_ITEM_TYPE_IPV6);
        let mut items = match self.which {
            Which::All => Vec::new(),
            Which::Four => vec![eth, bare(four)],
            Which::Six => vec![eth, bare(six)],
            Which::To(IpAddr::V4(address), length) => {
                let mask = !u32::MAX.checked_shr(length.into()).unwrap_or(0);
                spec4.hdr.dst_addr = (address.to_bits() & mask).to_be();
                mask4.hdr.dst_addr = mask.to_be();
                let (spec, mask) = (from_ref(&spec4).cast(), from_ref(&mask4).cast());
                vec![eth, an_item(four, spec, mask)]
            }
            Which::To(IpAddr::V6(address), length) => {
                let mask = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
                spec6.hdr.dst_addr.a = (address.to_bits() & mask).to_be_bytes();
                mask6.hdr.dst_addr.a = mask.to_be_bytes();
                let (spec, mask) = (from_ref(&spec6).cast(), from_ref(&mask6).cast());
                vec![eth, an_item(six, spec, mask)]
            }
        };
        items.push(bare(item::RTE_FLOW_ITEM_TYPE_END));
        let mark = rte_flow_action_mark {
            id: self.mark.unwrap_or_default(),
        };
        let queue = rte_flow_action_queue { index: 0 };
        let key = &self.over.options.key;
        let rss = rte_flow_action_rss {
            func: self.over.by.number(),
            level: 0,
            types: self.over.types,
            key_len: key.len() as u32,
            queue_num: self.over.queues.len() as u32,
            key: key.as_ptr(),
            queue: self.over.queues.as_ptr(),
        };
        let mut actions = Vec::new();
        if self.mark.is_some() {
            let conf = from_ref(&mark).cast();
            actions.push(an_action(act::RTE_FLOW_ACTION_TYPE_MARK, conf));
        }
        match self.fate {
            Fate::Rss => {
                let conf = from_ref(&rss).cast();
                actions.push(an_action(act::RTE_FLOW_ACTION_TYPE_RSS, conf));
            }
            Fate::Queue => {
                let conf = from_ref(&queue).cast();
                actions.push(an_action(act::RTE_FLOW_ACTION_TYPE_QUEUE, conf));
            }
            Fate::GoOn => actions.push(an_action(act::RTE_FLOW_ACTION_TYPE_PASSTHRU, null())),
            Fate::Unsaid => {}
        }
        actions.push(an_action(act::RTE_FLOW_ACTION_TYPE_END, null()));
        call(&attr, items.as_ptr(), actions.as_ptr())
    }

    /// Whether `port`, which exists, would take the rule.
    pub(super) fn ask(&self, port: u16) -> Result<(), Error> {
        let mut refusal = Refusal::new();
        let rc = self.with(|attr, items, actions| {
            // SAFETY: the port exists; the lists end with END, and what they name lives on.
            unsafe { dpdk_sys::rte_flow_validate(port, attr, items, actions, refusal.as_mut()) }
        });
        refusal.check("rule", rc).map(drop)
    }

    /// Puts the rule into `port`, which exists.
    pub(super) fn put(&self, port: u16) -> Result<NonNull<rte_flow>, Error> {
        let mut refusal = Refusal::new();
        let made = self.with(|attr, items, actions| {
            // SAFETY: as above.
            unsafe { dpdk_sys::rte_flow_create(port, attr, items, actions, refusal.as_mut()) }
        });
        refusal.pointer("rule", made)
    }
}

/// Takes a rule of `port` out, which may be named no more, whatever comes of it.
pub(super) fn take_out(port: u16, flow: NonNull<rte_flow>) -> Result<(), Error> {
    let mut refusal = Refusal::new();
    // SAFETY: a rule of that port, which the caller had and gives up.
    let rc = unsafe { dpdk_sys::rte_flow_destroy(port, flow.as_ptr(), refusal.as_mut()) };
    refusal.check("take a rule out", rc).map(drop)
}

/// Takes all rules of `port` out.
pub(super) fn flush(port: u16) -> Result<(), Error> {
    let mut refusal = Refusal::new();
    // SAFETY: the port exists, and nobody names its rules any more.
    let rc = unsafe { dpdk_sys::rte_flow_flush(port, refusal.as_mut()) };
    refusal.check("take all rules out", rc).map(drop)
}

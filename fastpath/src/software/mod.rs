//! The software plane: pinned workers that poll, parse, look up, select, rewrite and push.
//!
//! * [`worker`]: the main loop.
//! * [`parse`], [`lookup`], [`select`], [`rewrite`], [`push`]: the stages, one pass over all lanes each.
//! * `plain`, `check`, `hot`: parts of [`parse`]: what nearly all packets are; which others are
//!   routed; the hash of ordinary ones.
//! * [`flow`]: what of a packet its hash is made of.
//! * `marked`: the group that a NIC's mark names, without a lookup.
//! * [`fragments`]: fragments on their flow's path.
//! * `nic`: the hash that came with a packet, where it is ours.
//! * [`icmp`], [`fragment`], [`hold`]: what becomes of the few packets that cannot simply be
//!   forwarded.
//! * [`laps`]: how long the stages take, for whoever measures.
//! * [`pick`]: samples of what comes in, for control.
//! * [`burst`], [`lanes`]: owned packets, and what the stages have learned about them.
//! * [`heap`]: frames and queues on plain memory, for tests, benches and models.

pub mod burst;
mod check;
pub mod flow;
pub mod fragment;
pub mod fragments;
pub mod heap;
pub mod hold;
mod hot;
pub mod icmp;
pub mod lanes;
pub mod laps;
pub mod lookup;
mod marked;
mod nic;
pub mod parse;
pub mod pick;
mod plain;
pub mod prefetch;
pub mod push;
pub mod rewrite;
pub mod select;
pub mod worker;

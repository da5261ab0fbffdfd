//! Both forwarding planes of evenpath, and the tables that they read.
//!
//! ```text
//!  NIC rx queue ─► poll ─► parse ────► lookup ──► select ────► rewrite ──► push ─► NIC tx queue
//!                         bytes ->     dst ->     group,hash   adjacency   egress
//!                         dst, hash    group      -> adjacency -> header
//! ```
//!
//! * [`table`]: what control writes and workers read. Every fact is one atomic word; entry 0 drops.
//! * [`rcu`]: two copies of a value, swapped under running readers.
//! * [`hash`]: the one hash, used by both planes and by `evenpath calc`.
//! * [`hardware`]: what a NIC is asked to forward by itself.
//! * [`software`]: the workers and their stages.
//! * [`wire`]: header layouts.
//! * `steal` (feature `dpdk`): which packets of a kernel netdev are ours.
//! * `dpdk` (feature `dpdk`): EAL, packet pools, ports, queues and lookup tables of DPDK.
#![deny(unsafe_code)]

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod hardware;
pub mod hash;
pub mod rcu;
pub mod software;
#[cfg(feature = "dpdk")]
pub mod steal;
pub mod table;
pub mod wire;

/// What this was compiled for: the x86-64 level (psABI), or the architecture.
pub const COMPILED_FOR: &str = if cfg!(all(
    target_feature = "avx512f",
    target_feature = "avx512bw",
    target_feature = "avx512cd",
    target_feature = "avx512dq",
    target_feature = "avx512vl"
)) {
    "x86-64-v4"
} else if cfg!(all(
    target_feature = "avx2",
    target_feature = "bmi2",
    target_feature = "fma"
)) {
    "x86-64-v3"
} else if cfg!(all(target_feature = "sse4.2", target_feature = "popcnt")) {
    "x86-64-v2"
} else if cfg!(target_arch = "x86_64") {
    "x86-64"
} else {
    std::env::consts::ARCH
};

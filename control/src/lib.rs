//! The control plane of evenpath: typed events in, commits out.
//!
//! * [`config`]: the startup file, every default in one place.
//! * [`event`]: what comes in, and what control asks of others. [`control`]: the thread's state.
//! * [`fpm`]: zebra's socket. [`session`]: its resync. [`object`]: its ids.
//! * [`port`], [`neighbor`], [`nexthop`]: what can be used. [`rib`]: what is wanted.
//! * [`bucket`], [`group`]: members and weights to buckets, and how these are inherited.
//! * [`activity`]: what buckets forwarded, and when they last did. [`samples`]: of which packets.
//! * [`hash`]: how flows are hashed, and changes of it.
//! * [`plan`], [`dplane`], [`arena`]: the tables, repairs, commits.
//! * [`room`]: routes that find none. [`report`]: what zebra is told of its routes.
//! * [`failover`], [`histogram`]: how long repairs took.
//! * `audit`: the plan against the tables.
//! * [`warm`]: restarts that move no flow.
//! * [`netlink`]: the kernel's links, addresses and neighbors.
//! * [`api`]: the unix socket of `show` and `calc`. [`metrics`]: figures for Prometheus.
#![forbid(unsafe_code)]

pub mod activity;
mod answer;
mod answer_group;
mod answer_hash;
mod answer_resilient;
mod answer_route;
pub mod api;
pub mod arena;
mod audit;
mod backlog;
mod balance;
mod bridge;
pub mod bucket;
pub mod calc;
mod collect;
pub mod config;
pub mod control;
pub mod deal;
pub mod dplane;
mod drain;
pub mod event;
pub mod failover;
pub mod fpm;
pub mod glean;
pub mod group;
pub mod hash;
pub mod histogram;
pub mod keyed;
pub mod map;
pub mod marks;
pub mod metrics;
mod moves;
pub mod neighbor;
pub mod netlink;
pub mod nexthop;
pub mod nic;
pub mod object;
pub mod offload;
mod places;
pub mod plan;
pub mod port;
pub mod prefix;
pub mod quota;
pub mod rendezvous;
pub mod report;
mod restart;
mod resync;
pub mod rib;
pub mod room;
mod routes;
pub mod samples;
pub mod session;
mod told;
pub mod warm;
mod zebra;

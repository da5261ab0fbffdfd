//! The control plane of evenpath: typed events in, commits out.
//!
//! * [`config`]: the startup file, every default in one place.
//! * [`bucket`]: members and weights to buckets.
//! * [`event`]: what comes in, and what control asks of others.
//! * [`fpm`]: zebra's socket.
//! * [`netlink`]: the kernel's links, addresses and neighbors.
//! * [`api`]: the unix socket of `show` and `calc`.
#![forbid(unsafe_code)]

pub mod api;
pub mod bucket;
pub mod config;
pub mod event;
pub mod fpm;
pub mod netlink;
pub mod prefix;

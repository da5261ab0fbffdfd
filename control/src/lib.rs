//! The control plane of evenpath: typed events in, commits out.
//!
//! * `config`: the startup file, every default in one place.
//! * [`api`]: the unix socket of `show` and `calc`.
#![forbid(unsafe_code)]

pub mod api;
pub mod prefix;

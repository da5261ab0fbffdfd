//! Figures for monitoring: gathered by control, put into Prometheus' text format and served by a
//! thread of their own.

mod gather;
pub mod server;
mod text;

pub use gather::{MEMBERS, NEXTHOPS};
pub use text::exposition;

//! The hardware plane of `evenpath run`: which ports take part, and the thread that keeps their NIC at
//! what control wants.
//!
//! ```text
//!  control ─► Order::Plan ──┐
//!  link-state interrupt ────┼─► thread: Agent ─► rte_flow
//!  show, verify ─► Order ───┘        └─► Event::Offload ─► control
//! ```

mod able;
mod marks;
pub mod rss;
mod thread;

pub use able::{Plane, Wish, open};
pub use thread::{Order, serve};

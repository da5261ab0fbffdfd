//! The kernel's links, addresses and neighbors, by rtnetlink.
//!
//! [`monitor`] listens and turns what it hears into [`crate::event::Event`]s; it alone sets the down
//! bit of a port whose netdev lost its carrier, before anybody else knows. [`requests`] asks the
//! kernel to resolve neighbors and to keep them so. Routes do not come this way but by FPM.

pub mod decode;
pub mod monitor;
pub mod requests;
mod socket;

pub use monitor::{Monitor, MonitorError};
pub use requests::{RequestError, Requests};

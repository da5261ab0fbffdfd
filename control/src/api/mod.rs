//! The unix socket that `evenpath show`, `calc` and scripts talk to.
//!
//! One JSON [`Request`] a line in, one JSON [`Reply`] a line out. The socket's threads decode and
//! encode; the control thread answers, through its events. Not a remote protocol: whoever may
//! open the socket may ask everything.

pub mod client;
mod drain;
mod failover;
mod foresee;
pub mod hash;
pub mod message;
mod metrics;
pub mod moves;
mod offload;
pub mod prepare;
pub mod resilient;
pub mod server;
mod trace;
mod verify;
mod view;

pub use message::{Reply, Request, Response};

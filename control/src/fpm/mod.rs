//! zebra's FPM socket (`dplane_fpm_nl`): frames in, batches of routes and next hop objects out.
//!
//! * [`frame`]: bytes to frames. [`attribute`], [`decode`]: frames to messages.
//! * [`batch`]: messages to changes by object. [`answer`]: what became of routes, to frames.
//! * [`server`]: the socket; it reads on while control is busy, and a newer word on an object
//!   replaces an older one, so that zebra never waits for us and memory is bounded. [`outbox`]: the
//!   way back; whether zebra reads its answers or not, nobody waits for it.

pub mod answer;
pub mod attribute;
pub mod batch;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod outbox;
pub mod server;

pub use batch::Batch;
pub use outbox::Outbox;
pub use server::Server;

use std::net::SocketAddr;

/// From zebra.
#[derive(Debug)]
pub enum FpmEvent {
    /// zebra has connected; a resync follows. Any earlier connection is gone.
    Connected {
        /// Number of the connection, counted up.
        connection: u64,
        /// Where it comes from.
        peer: SocketAddr,
    },
    /// Changes on the latest connection.
    Batch(Box<Batch>),
    /// The bytes of the latest [`Action::FpmReply`](crate::event::Action::FpmReply) are written.
    Written {
        /// Number of the connection.
        connection: u64,
    },
    /// The connection is closed; what was learned stays.
    Closed {
        /// Number of the connection.
        connection: u64,
        /// By whom and why, for an operator.
        reason: String,
    },
}

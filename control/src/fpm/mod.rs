//! zebra's FPM socket (`dplane_fpm_nl`): frames in, batches of routes and next hop objects out.

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
    /// The connection is closed; what was learned stays.
    Closed {
        /// Number of the connection.
        connection: u64,
        /// By whom and why, for an operator.
        reason: String,
    },
}

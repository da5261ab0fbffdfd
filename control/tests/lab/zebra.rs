//! What zebra says, in few words.

use super::Lab;
use control::fpm::Batch;
use control::fpm::decode::{Hop, Message, Route, RouteKind, Via};

/// A next hop.
pub fn hop(gateway: &str, ifindex: u32) -> Hop {
    Hop {
        gateway: gateway.parse().ok(),
        ifindex,
        onlink: false,
        encap: false,
    }
}

/// A unicast route of this protocol.
pub fn route(protocol: u8, via: Via) -> Route {
    Route {
        kind: RouteKind::Unicast,
        protocol,
        via,
        prefsrc: None,
        mtu: 0,
    }
}

/// All in one batch.
pub fn say(lab: &mut Lab, messages: Vec<Message>) {
    let mut batch = Batch::default();
    messages.into_iter().for_each(|m| batch.put(m));
    lab.batch(batch);
}

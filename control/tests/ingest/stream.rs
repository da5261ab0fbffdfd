//! What zebra writes when it sends a table, byte for byte, and a router that it goes into.

use super::lab::zebra::route;
use super::lab::{self, Lab, P0, P1};
use control::event::{Action, Event, NeighborState};
use control::fpm::decode::{Hop, Message, Object, Via};
use control::fpm::frame::Frames;
use control::fpm::{Batch, FpmEvent, encode};
use control::prefix::Prefix;
use fastpath::table::{GroupId, Lpm, LpmWrite, Tables};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// Bytes that one read of the socket brings.
const READ: usize = 256 << 10;
const GROUP: u32 = 36;
const BGP: u8 = 186;

/// How routes name their next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By the id of a group.
    Id,
    /// By themselves (`no fpm use-next-hop-groups`).
    Inline,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Id => "id",
            Form::Inline => "inline",
        }
    }
}

/// A lookup that keeps nothing: what it costs is somebody else's.
#[derive(Debug)]
pub struct Nowhere;

impl Lpm for Nowhere {
    fn lookup4(&self, _: &[u32], groups: &mut [GroupId]) {
        groups.fill(GroupId::NONE);
    }

    fn lookup6(&self, _: &[[u8; 16]], groups: &mut [GroupId]) {
        groups.fill(GroupId::NONE);
    }
}

impl LpmWrite for Nowhere {
    type Error = Infallible;

    fn upsert4(&mut self, _: Ipv4Addr, _: u8, _: GroupId) -> Result<(), Infallible> {
        Ok(())
    }

    fn remove4(&mut self, _: Ipv4Addr, _: u8) -> Result<(), Infallible> {
        Ok(())
    }

    fn upsert6(&mut self, _: Ipv6Addr, _: u8, _: GroupId) -> Result<(), Infallible> {
        Ok(())
    }

    fn remove6(&mut self, _: Ipv6Addr, _: u8) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A router with two leaves that are up.
pub fn lab() -> Lab<Nowhere> {
    let (config, tables) = (lab::config(), Tables::new(4096, 65_536, 4096));
    let mut lab = Lab::over(&config, tables, || Nowhere, Instant::now);
    lab.link(P0, "p0", true);
    lab.link(P1, "p1", true);
    for (ifindex, last) in [(P0, 0), (P1, 2)] {
        lab.neighbor(
            ifindex,
            &gateway(last).to_string(),
            NeighborState::Reachable,
            last,
        );
    }
    lab.connect();
    lab
}

fn gateway(last: u8) -> IpAddr {
    Ipv4Addr::new(169, 254, 0, last).into()
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn word(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// `count` prefixes in the order of zebra's table, three in five of them /24.
pub fn prefixes(count: u32) -> BTreeSet<Prefix> {
    let (mut state, mut all) = (1, BTreeSet::new());
    while all.len() < count as usize {
        let bits = word(&mut state);
        let address = Ipv4Addr::from_bits(bits as u32);
        let length = match (bits >> 32) % 100 {
            0..60 => 24,
            60..98 => 12 + (bits >> 40) % 12,
            _ => 25 + (bits >> 40) % 8,
        };
        if matches!(address.octets()[0], 0 | 10 | 127 | 169 | 224..) {
            continue;
        }
        let prefix = Prefix::containing(address.into(), length as u8);
        all.insert(prefix.expect("prefix"));
    }
    all
}

fn hop(member: u32) -> Hop {
    Hop {
        gateway: Some(gateway(2 * member as u8)),
        ifindex: [P0, P1][member as usize],
        onlink: false,
        encap: false,
    }
}

/// Next hops, their group, and `count` routes.
pub fn of(form: Form, count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut say = |message| encode::frame(&message, 4711, &mut out);
    for member in 0..2 {
        say(Message::Nexthop(24 + member, Object::Hop(hop(member))));
    }
    let group = Object::Group {
        members: [(24, 1), (25, 1)].into(),
        resilient: None,
    };
    say(Message::Nexthop(GROUP, group));
    for prefix in prefixes(count) {
        let via = match form {
            Form::Id => Via::Id(GROUP),
            Form::Inline => Via::Hops([(hop(0), 1), (hop(1), 1)].into()),
        };
        say(Message::Route(prefix, route(BGP, via)));
    }
    out
}

/// What the reader of the socket makes of `stream` while control takes each batch at once.
pub fn batches(stream: &[u8]) -> impl Iterator<Item = Batch> {
    let mut frames = Frames::default();
    stream.chunks(READ).map(move |bytes| {
        frames.push(bytes);
        let mut batch = Batch::default();
        batch.put_frames(&mut frames).expect("frames");
        batch
    })
}

/// Puts all of `stream` in; zebra takes its answers, or does not read them.
pub fn feed(lab: &mut Lab<Nowhere>, stream: &[u8], reads: bool) {
    for batch in batches(stream) {
        lab.batch(batch);
        while reads
            && lab
                .control
                .actions()
                .any(|a| matches!(a, Action::FpmReply { .. }))
        {
            lab.event(Event::Fpm(FpmEvent::Written { connection: 1 }));
        }
    }
}

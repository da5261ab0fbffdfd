//! A lookup with little room.

use fastpath::table::naive::NaiveLpm;
use fastpath::table::{GroupId, Lpm, LpmWrite};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A lookup that refuses IPv4 prefixes beyond so many, as DPDK's does.
pub struct Narrow {
    lpm: NaiveLpm,
    taken: BTreeSet<(Ipv4Addr, u8)>,
    room: usize,
}

#[derive(Debug)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room; raise tables.routes-ipv4")
    }
}

impl std::error::Error for NoRoom {}

impl Narrow {
    pub fn new(room: usize) -> Self {
        Narrow {
            lpm: NaiveLpm::new(),
            taken: BTreeSet::new(),
            room,
        }
    }
}

impl Lpm for Narrow {
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]) {
        self.lpm.lookup4(destinations, groups);
    }

    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]) {
        self.lpm.lookup6(destinations, groups);
    }
}

impl LpmWrite for Narrow {
    type Error = NoRoom;

    fn upsert4(&mut self, prefix: Ipv4Addr, length: u8, group: GroupId) -> Result<(), NoRoom> {
        if !self.taken.contains(&(prefix, length)) && self.taken.len() == self.room {
            return Err(NoRoom);
        }
        self.taken.insert((prefix, length));
        self.lpm.upsert4(prefix, length, group).map_err(|_| NoRoom)
    }

    fn remove4(&mut self, prefix: Ipv4Addr, length: u8) -> Result<(), NoRoom> {
        self.taken.remove(&(prefix, length));
        self.lpm.remove4(prefix, length).map_err(|_| NoRoom)
    }

    fn upsert6(&mut self, prefix: Ipv6Addr, length: u8, group: GroupId) -> Result<(), NoRoom> {
        self.lpm.upsert6(prefix, length, group).map_err(|_| NoRoom)
    }

    fn remove6(&mut self, prefix: Ipv6Addr, length: u8) -> Result<(), NoRoom> {
        self.lpm.remove6(prefix, length).map_err(|_| NoRoom)
    }
}

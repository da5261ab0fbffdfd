//! What generations of NICs can do, as far as anybody could tell without one: by
//! v24.11's own definer code (`hws/mlx5dr_definer.c`) for made-up capabilities.

use super::super::program::{Domain, Field, HashFunction, Insertion, Table};
use super::super::{Capabilities, Error};
use std::borrow::Cow;

/// A NIC to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it can do.
    pub capabilities: Capabilities,
    /// Steering entries of 64 bytes that there is memory for.
    pub entries: u64,
    /// Rows that are updated are written elsewhere, as v24.11 and later drivers do
    /// (`mlx5_flow_hw.c:4163`); otherwise such updates are refused.
    pub index_update_bug: bool,
    /// Rows are chosen by another hash than ours.
    pub other_hash: bool,
}

/// Full-dword selectors of a definer, without jumbo and with it: each takes one of the IPv6 addresses'
/// eight words.
const SELECTORS: [usize; 2] = [6, 9];

impl Profile {
    fn base(name: &'static str) -> Self {
        Profile {
            capabilities: Capabilities {
                name: Cow::Borrowed(name),
                transfer: false,
                hairpin: true,
                index: true,
                linear: true,
                full_dw_jumbo: false,
                integrity: true,
                ranges: true,
                indirect_rss: true,
                min_rows_log: 0,
                max_rows_log: 24,
                rss_rows: 512,
                counters: 1 << 16,
                queues: 1,
                depth: 256,
            },
            entries: 1 << 24,
            index_update_bug: false,
            other_hash: false,
        }
    }

    /// ConnectX-6 Dx: as far as is known no full-dword jumbo, so no rows by both IPv6 addresses.
    pub fn cx6dx() -> Self {
        let mut profile = Profile::base("cx6dx");
        profile.entries = 1 << 23;
        profile.capabilities.min_rows_log = 6;
        profile
    }

    /// ConnectX-7, whose firmware reports no full-dword jumbo.
    pub fn cx7() -> Self {
        let mut profile = Profile::base("cx7");
        profile.capabilities.min_rows_log = 4;
        profile
    }

    /// BlueField-3: full-dword jumbo.
    pub fn bf3() -> Self {
        let mut profile = Profile::base("bf3");
        profile.capabilities.full_dw_jumbo = true;
        profile
    }

    /// The profile called `name`.
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "cx6dx" => Some(Profile::cx6dx()),
            "cx7" => Some(Profile::cx7()),
            "bf3" => Some(Profile::bf3()),
            _ => None,
        }
    }

    /// The same NIC in switchdev mode: with a transfer domain, without hairpin queues.
    #[must_use]
    pub fn switchdev(mut self) -> Self {
        self.capabilities.transfer = true;
        self.capabilities.hairpin = false;
        self
    }

    /// Whether the NIC can have such a table.
    pub(super) fn check(&self, table: &Table) -> Result<(), Error> {
        let can = &self.capabilities;
        let refuse = |errno, why: &'static str| Err(Error::new(errno, why));
        if table.domain == Domain::Transfer && !can.transfer {
            return refuse(Error::NOT_SUPPORTED, "transfer: not in switchdev mode");
        }
        if let Insertion::Index(hash) = table.insertion {
            let there = match hash {
                HashFunction::Crc32 => can.index,
                HashFunction::Linear => can.linear,
            };
            if !there {
                return refuse(Error::NOT_SUPPORTED, "insertion by index is not supported");
            }
            let log = table.size.ilog2();
            if !(can.min_rows_log..=can.max_rows_log).contains(&log) {
                return refuse(
                    Error::INVALID,
                    "number of rows is out of the device's range",
                );
            }
        }
        let fields = &table.pattern.fields;
        let is_address = |f: Field| matches!(f, Field::Ipv6Source | Field::Ipv6Destination);
        let words = |mask: u128| {
            (0..4)
                .filter(|i| mask >> (32 * i) & 0xffff_ffff != 0)
                .count()
        };
        let addresses = fields.iter().filter(|f| is_address(f.field));
        let used: usize = addresses.map(|f| words(f.mask)).sum();
        if used > SELECTORS[usize::from(can.full_dw_jumbo)] {
            return refuse(Error::TOO_BIG, "no definer holds all fields of the pattern");
        }
        let is_integrity = |f: Field| matches!(f, Field::L3Ok | Field::Ipv4ChecksumOk);
        if !can.integrity && fields.iter().any(|f| is_integrity(f.field)) {
            return refuse(Error::NOT_SUPPORTED, "integrity is not supported");
        }
        let may = |f: Field| can.ranges && matches!(f, Field::Ipv4Length | Field::Ipv6Length);
        if fields.iter().any(|f| f.range && !may(f.field)) {
            return refuse(Error::NOT_SUPPORTED, "no range of this field");
        }
        Ok(())
    }
}

/// Steering entries that a table takes (v24.11 `hws/mlx5dr_matcher.c:25-40`, `:1167-1200`).
pub fn entries(table: &Table) -> u64 {
    let log = table.size.next_power_of_two().ilog2();
    let main: u64 = match table.insertion {
        Insertion::Index(_) => 1 << log,
        Insertion::Pattern if log > 10 => (1 << (log + 2)) + (1 << (log - 5)) * 16,
        Insertion::Pattern => 1 << (log + log.min(4)),
    };
    // What rewrites headers takes an entry of its own for every rule.
    let modifies = table.actions.iter().any(|a| a.modifies());
    let own = if modifies { 1 << log } else { 0 };
    let sides = if table.domain == Domain::Transfer {
        2
    } else {
        1
    };
    (main + own) * sides
}

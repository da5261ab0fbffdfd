//! Sizes of the lookup tables.

use crate::table::GroupId;

/// Bytes per entry of the lookup tables: decides their size and the largest group id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntrySize {
    /// Two: 32 MiB a table, group ids to 32,767, at most as many second-level blocks.
    Two,
    /// Four: 64 MiB a table, group ids to 2^31 - 1.
    #[default]
    Four,
}

impl EntrySize {
    /// The largest group id that fits: one bit marks entries that lead on.
    pub const fn largest_group(self) -> GroupId {
        match self {
            EntrySize::Two => GroupId((1 << 15) - 1),
            EntrySize::Four => GroupId((1 << 31) - 1),
        }
    }
}

/// Sizes of the lookup tables of both families, allocated at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibOptions {
    /// The most IPv4 prefixes. Default: 65,536; a full BGP table needs 2^20 and more.
    pub routes4: u32,
    /// Second-level blocks for IPv4: one for each /24 that holds longer prefixes. Default: 4,096.
    pub tbl8_4: u32,
    /// The most IPv6 prefixes. Default: 65,536.
    pub routes6: u32,
    /// Second-level blocks for IPv6: one for each /24, /32, /40 … /120 that holds longer prefixes,
    /// so a lone /48 takes three and a lone /64 five. Default: 32,640.
    pub tbl8_6: u32,
    /// Bytes per entry.
    pub entry: EntrySize,
    /// NUMA node, `None` for any.
    pub socket: Option<u16>,
}

impl Default for FibOptions {
    fn default() -> Self {
        FibOptions {
            routes4: 1 << 16,
            tbl8_4: 1 << 12,
            routes6: 1 << 16,
            tbl8_6: (1 << 15) - 128,
            entry: EntrySize::Four,
            socket: None,
        }
    }
}

impl FibOptions {
    /// What one [`super::Fib`] takes of EAL's memory, in MiB, rounded up; an estimate from above.
    pub const fn memory_mib(&self) -> u32 {
        let entry = match self.entry {
            EntrySize::Two => 2,
            EntrySize::Four => 4,
        };
        let first_level = 2 * (1 << 24) * entry;
        let second_level = (blocks(self.tbl8_4) as u64 + blocks(self.tbl8_6) as u64) * 256 * entry;
        // The prefixes themselves: a tree of two nodes each in a mempool.
        let nodes = 2 * (self.routes4 as u64 * 192 + self.routes6 as u64 * 256);
        ((first_level + second_level + nodes) >> 20) as u32 + 8
    }
}

/// DPDK gets this many more blocks than we give out: one of its checks wants one to spare.
const SPARE_BLOCKS: u32 = 64;

/// What DPDK is asked for; it rounds to words of 64 bits itself, for IPv4 only.
pub(super) const fn blocks(wanted: u32) -> u32 {
    wanted.div_ceil(64) * 64 + SPARE_BLOCKS
}

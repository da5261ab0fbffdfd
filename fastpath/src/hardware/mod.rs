//! The hardware plane: what a NIC is asked to do, and what it answers.
//!
//! ```text
//!  plan ──► compile ──► program (tables, rules, operations) ──► dyn Steering ──► mlx5 | sim
//!             ▲                                                      │
//!             └──────────────── completions, refusals ◄──────────────┘
//! ```
//!
//! * [`program`]: tables, rules, actions, operations, as rte_flow's template API has them.
//! * [`choose`]: which design, and why.
//! * [`probe`]: what a NIC can do, by trying.
//! * [`plan`]: what control wants forwarded, change by change.
//! * [`compile`]: from plan to program, operation by operation.
//! * [`engine`]: keeps a NIC at its program.
//! * [`agent`]: all programs, link state, retries, what control is told.
//! * [`audit`]: whether the program in force is that of the plan.
//! * [`export`]: a program as a script for testpmd.
//! * [`crc`]: which row of a table of rows a packet takes.
//! * [`sim`]: an e-switch that executes programs on packet bytes.
//! * [`Steering`]: who executes a program: rules go in asynchronously, and each may fail late.
//!
//! Software is complete without hardware, and hardware never decides otherwise: every packet either
//! leaves as software would have sent it, or is left to software as it came. Nothing is dropped.
//!
//! # Both planes choose by the same rules
//!
//! A packet's bucket is the low bits of its hash in either plane ([`crate::table::GroupWord`]), so the
//! planes agree exactly where the NIC can compute the hash of the settings in force:
//!
//! * *Design A*, tables of rows: the CRC of mlx5 ([`crate::hash::crc32`]), which is what the settings
//!   `algorithm = "crc32"` mean for software too. It covers addresses, ports and protocol, all five and
//!   nothing else: `ipv6-label` must be off for IPv6. There is no seed, and it tells the directions of
//!   a flow apart. IPv6 needs a NIC with full-dword jumbo definers.
//! * *Design B*, indirect RSS over hairpin queues: `algorithm = "toeplitz"` without `ip-protocol`
//!   (and, for IPv6, without `ipv6-label`): addresses, with both ports or none; seeded, symmetric if
//!   wanted, IPv6 on every NIC.
//! * With any other settings, the default `mix` among them, only groups that need no hash (all
//!   buckets lead to one next hop) are hardware's; the others stay in software and say why.

pub mod agent;
pub mod audit;
pub mod choose;
pub mod compile;
pub mod crc;
pub mod engine;
pub mod export;
pub mod plan;
pub mod probe;
pub mod program;
pub mod sim;

use program::{IndirectId, Operation, RuleId, Table, TableId};
use std::borrow::Cow;
use std::fmt;

/// What a NIC can do, as far as programs depend on it. Probed once, before the first table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What to call it: a driver's name, or a profile's.
    pub name: Cow<'static, str>,
    /// The transfer domain is there: the e-switch is in switchdev mode.
    pub transfer: bool,
    /// Hairpin queues can be had (not in switchdev mode).
    pub hairpin: bool,
    /// Tables of rows by CRC-32.
    pub index: bool,
    /// Tables of rows by tag 255.
    pub linear: bool,
    /// Definers with full-dword jumbo selectors: both addresses of IPv6 in one template.
    pub full_dw_jumbo: bool,
    /// Integrity items: only headers that are sound are let in.
    pub integrity: bool,
    /// Ranges of total lengths (`rte_flow_item.last`).
    pub ranges: bool,
    /// Indirect RSS actions that can be updated.
    pub indirect_rss: bool,
    /// log2 of the fewest rows that a table can have (`ste_alloc_log_gran`).
    pub min_rows_log: u32,
    /// log2 of the most rows that a table can have (`ste_alloc_log_max`).
    pub max_rows_log: u32,
    /// Entries of the largest indirection table of RSS.
    pub rss_rows: u32,
    /// Rules with COUNT there can be, fixed for good at `rte_flow_configure`.
    pub counters: u32,
    /// Flow queues (`rte_flow_configure`).
    pub queues: u32,
    /// Operations that one of them holds, from enqueueing to pulling.
    pub depth: u32,
}

/// Why an operation was refused at once; nothing has happened. The number is that of `rte_errno`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// `rte_errno`.
    pub errno: i32,
    /// What the driver said.
    pub message: Cow<'static, str>,
}

impl Error {
    /// The queue is full: push, pull, and try again.
    pub const BUSY: i32 = 16;
    /// The pattern does not fit into a match definer.
    pub const TOO_BIG: i32 = 7;
    /// Not supported by driver or firmware (95).
    pub const NOT_SUPPORTED: i32 = 95;
    /// Not an operation that can be asked for.
    pub const INVALID: i32 = 22;
    /// No memory, host's or NIC's, or no counter.
    pub const NO_MEMORY: i32 = 12;
    /// Nothing of that number.
    pub const NOT_FOUND: i32 = 2;
    /// There is one already.
    pub const EXISTS: i32 = 17;
    /// It went wrong.
    pub const IO: i32 = 5;

    /// One that says `message`.
    pub fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Error {
            errno,
            message: message.into(),
        }
    }

    /// The queue is full.
    pub fn is_busy(&self) -> bool {
        self.errno == Error::BUSY
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (errno {})", self.message, self.errno)
    }
}

impl std::error::Error for Error {}

impl From<program::Misuse> for Error {
    fn from(misuse: program::Misuse) -> Self {
        Error::new(Error::INVALID, misuse.to_string())
    }
}

/// What became of one operation (`rte_flow_op_result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What was given with it (`user_data`).
    pub cookie: u64,
    /// `RTE_FLOW_OP_SUCCESS`. Else, as mlx5 has it: a failed insertion's number is taken until the
    /// rule is destroyed; after a failed update the rule does what it did, can be destroyed and never
    /// be updated, and may stay in force then; a failed destruction leaves the number free and the
    /// rule in force, perhaps. What stays in force so goes with its table, or when its row is written.
    pub done: bool,
}

/// What a rule has counted (`rte_flow_query_count`); as old as the driver's cache, half a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// A NIC, or what stands for one: executes programs. One thread uses it.
///
/// Operations on rules and indirect actions are asynchronous: taken into a queue, given to the NIC by
/// [`Steering::push`] (or with the next one that is not postponed), done some time after, and
/// reported by [`Steering::pull`]. Operations of one queue complete in order; those about one rule
/// must wait for each other and use one queue. Once a destruction was taken the rule is not to be named
/// again, whatever becomes of it: its handle is void (`rte_flow_async_destroy`). Tables are made and destroyed at once, which takes
/// firmware commands, milliseconds each.
pub trait Steering {
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Makes a table and its templates (`rte_flow_pattern_template_create`,
    /// `rte_flow_actions_template_create`, `rte_flow_template_table_create`).
    ///
    /// # Errors
    /// Refused, by us ([`program::Misuse`]) or by the driver: [`Error::TOO_BIG`] for a pattern that
    /// does not fit, [`Error::NOT_SUPPORTED`], [`Error::NO_MEMORY`].
    fn create_table(&mut self, table: &Table) -> Result<(), Error>;

    /// Destroys an empty table and its templates (`rte_flow_template_table_destroy`).
    ///
    /// # Errors
    /// It has rules, or there is none.
    fn destroy_table(&mut self, table: TableId) -> Result<(), Error>;

    /// Takes one operation into a queue (`rte_flow_async_create` and so on). Unless `postpone`, all
    /// that are in the queue go to the NIC.
    ///
    /// # Errors
    /// Refused, and nothing has happened: [`Error::is_busy`] when the queue is full, for operations of
    /// every kind, and with a simulated NIC when the rule's last update failed.
    fn enqueue(
        &mut self,
        queue: u32,
        operation: &Operation,
        postpone: bool,
        cookie: u64,
    ) -> Result<(), Error>;

    /// Gives all postponed operations to the NIC (`rte_flow_push`).
    ///
    /// # Errors
    /// What the driver says.
    fn push(&mut self, queue: u32) -> Result<(), Error>;

    /// Appends what has completed (`rte_flow_pull`); never waits.
    ///
    /// # Errors
    /// What the driver says.
    fn pull(&mut self, queue: u32, done: &mut Vec<Completion>) -> Result<(), Error>;

    /// What a rule with COUNT has counted (`rte_flow_query`).
    ///
    /// # Errors
    /// No such rule, or it does not count.
    fn count(&mut self, rule: RuleId) -> Result<Count, Error>;

    /// The hash of a packet with these values in a table of rows (`rte_flow_calc_table_hash`): 32
    /// bits, of which the row is the low ones.
    ///
    /// # Errors
    /// No such table, not one of rows by CRC, or not known.
    fn table_hash(&mut self, table: TableId, values: &[u128]) -> Result<u32, Error>;

    /// What the driver says if it is asked for a rule that it does not have, by a query of nothing
    /// (`rte_flow_query` with `RTE_FLOW_ACTION_TYPE_VOID`); for audits. `None`: it has it, or cannot be
    /// asked: [`Error::NOT_FOUND`] alone is such an answer.
    fn lacks(&mut self, _: RuleId) -> Option<Error> {
        None
    }

    /// The actions that an indirect one has now, as far as the backend knows; for audits.
    fn indirect(&self, id: IndirectId) -> Option<&program::Action>;
}

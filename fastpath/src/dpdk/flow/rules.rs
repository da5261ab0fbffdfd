//! Rules of rte_flow's first API, for any NIC: packets spread over the queues of workers with our key,
//! and marks on those to some prefixes.
//!
//! What drivers take differs, and none says beforehand what it means to; so forms are asked for
//! (`rte_flow_validate`) from the most exact to the least, and the first that is taken is put in. Prefixes
//! that are marked have no longer ones in them, so no rule depends on the order of another, which
//! NICs keep in different ways.

use super::Given;
use super::actions::rss_types;
use super::rules_call::{Over, Wanted, Which, flush, take_out};
use crate::dpdk::port::Port;
use crate::dpdk::rss::{RssAlgorithm, RssOptions};
use crate::hardware::Error;
use crate::hardware::program::RssFields;
use dpdk_sys::{rte_eth_hash_function as function, rte_flow};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ptr::NonNull;

/// By what packets are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadBy {
    /// Toeplitz.
    Toeplitz,
    /// `RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ_SORT`: addresses and ports in order.
    Sorted,
    /// `RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ`: the same with mlx5 (v24.11 `mlx5_flow.c:2213`),
    /// with others source xor destination.
    Symmetric,
    /// Whatever the driver takes where nothing is said; of both directions it may be two.
    Driver,
}

impl SpreadBy {
    pub(super) const fn number(self) -> function::Type {
        match self {
            SpreadBy::Toeplitz => function::RTE_ETH_HASH_FUNCTION_TOEPLITZ,
            SpreadBy::Sorted => function::RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ_SORT,
            SpreadBy::Symmetric => function::RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
            SpreadBy::Driver => function::RTE_ETH_HASH_FUNCTION_DEFAULT,
        }
    }
}

impl fmt::Display for SpreadBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            SpreadBy::Toeplitz => "toeplitz",
            SpreadBy::Sorted => "toeplitz, sorted",
            SpreadBy::Symmetric => "toeplitz, symmetric",
            SpreadBy::Driver => "the driver's hash",
        })
    }
}

/// Where packets of a marked prefix go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Over the queues, as all.
    Rss,
    /// To the only queue.
    Queue,
    /// On to the next rule (`PASSTHRU`).
    GoOn,
    /// The rule marks and says nothing else.
    Unsaid,
}

/// `errno` of a mark for which the NIC has no room (`ENOSPC`); some drivers say [`Error::NO_MEMORY`].
pub const MARK_NO_ROOM: i32 = 28;

/// A prefix with a mark, and its rule.
struct Marked {
    to: (IpAddr, u8),
    flow: Option<NonNull<rte_flow>>,
}

/// How packets are spread.
struct Spread {
    options: RssOptions,
    by: SpreadBy,
    types: u64,
    flows: Vec<NonNull<rte_flow>>,
}

/// The rules of a port. One thread uses it; dropping it takes them out.
pub struct Rules<'p> {
    index: u16,
    name: String,
    queues: Vec<u16>,
    /// Types of RSS that the device knows, if it says so.
    known_types: u64,
    spread: Option<Spread>,
    /// Of IPv4 and IPv6: what marks are put with, once one was.
    fates: [Option<Fate>; 2],
    marks: BTreeMap<u32, Marked>,
    _given: Given<'p>,
}

// SAFETY: DPDK's flow functions may be called from any thread, one at a time; handles are numbers to us.
// It is not Sync.
unsafe impl Send for Rules<'_> {}

impl<'p> Rules<'p> {
    /// Of `port`, which is started and has no flow engine of its own ([`super::super::PortOptions`]).
    ///
    /// # Errors
    /// It is not, or somebody has its rules.
    pub fn new(port: &'p Port<'p>) -> Result<Rules<'p>, Error> {
        let refuse = |why: &'static str| Err(Error::new(Error::INVALID, why));
        if port.flow().is_some() || !port.is_started() {
            return refuse("rules: the port has a flow engine, or is not started");
        }
        let Some(given) = Given::take(port.flow_given(), u32::MAX) else {
            return refuse("rules: somebody has those of the port");
        };
        Ok(Rules {
            index: port.index(),
            name: port.name().to_owned(),
            queues: (0..port.rx_queues()).collect(),
            known_types: port.caps().rss_flow_types,
            spread: None,
            fates: [None; 2],
            marks: BTreeMap::new(),
            _given: given,
        })
    }

    /// The port's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Queues of the port.
    pub fn queues(&self) -> u16 {
        self.queues.len() as u16
    }

    /// Prefixes whose rule is in.
    pub fn marked(&self) -> usize {
        self.marks.values().filter(|m| m.flow.is_some()).count()
    }

    /// By what packets are spread now.
    pub fn spread_by(&self) -> Option<SpreadBy> {
        self.spread.as_ref().map(|s| s.by)
    }

    /// Spreads IP packets over all queues as `options` say, as nearly as the driver can: by what. What
    /// it did before it does again when it refuses. Marks come back afterwards, since their rules
    /// spread, too; meanwhile packets have none, and are looked up.
    ///
    /// # Errors
    /// What the driver says to the form that it came nearest to.
    pub fn spread(&mut self, options: &RssOptions) -> Result<SpreadBy, Error> {
        let before = self.spread.take().map(|spread| {
            for flow in &spread.flows {
                self.take_out(*flow);
            }
            spread.options
        });
        let again = self.fates.contains(&Some(Fate::Rss)) || before.is_none();
        if again {
            self.unmark_all();
        }
        let done = self.try_spread(options);
        if let (Err(_), Some(before)) = (&done, before) {
            if let Err(error) = self.try_spread(&before) {
                log::error!("port {}: spread as before: {error}", self.name);
            }
        }
        if again {
            self.fates = [None; 2];
            self.mark_all();
        }
        done
    }

    fn types(&self, options: &RssOptions) -> u64 {
        let fields = match options.ports {
            true => RssFields::Both,
            false => RssFields::Addresses,
        };
        let types = rss_types(fields);
        match types & self.known_types {
            0 => types,
            known => known,
        }
    }

    fn try_spread(&mut self, options: &RssOptions) -> Result<SpreadBy, Error> {
        let functions: &[SpreadBy] = match options.algorithm {
            RssAlgorithm::SortedToeplitz => &[
                SpreadBy::Sorted,
                SpreadBy::Symmetric,
                SpreadBy::Toeplitz,
                SpreadBy::Driver,
            ],
            _ => &[SpreadBy::Toeplitz, SpreadBy::Driver],
        };
        let types = self.types(options);
        let mut said = None;
        for by in functions {
            for which in [&[Which::Four, Which::Six][..], &[Which::All]] {
                // Behind the marks' rules where there is an order; many drivers have none.
                for priority in [1, 0] {
                    let wanted = |which| Wanted {
                        priority,
                        which,
                        mark: None,
                        fate: Fate::Rss,
                        over: Over {
                            queues: &self.queues,
                            options,
                            types,
                            by: *by,
                        },
                    };
                    let asked = which.iter().try_for_each(|w| wanted(*w).ask(self.index));
                    let put = asked.and_then(|()| self.put_all(which.iter().map(|w| wanted(*w))));
                    match put {
                        Ok(flows) => {
                            self.spread = Some(Spread {
                                options: *options,
                                by: *by,
                                types,
                                flows,
                            });
                            return Ok(*by);
                        }
                        Err(error) => said = Some(said.unwrap_or(error)),
                    }
                }
            }
        }
        Err(said.unwrap_or_else(|| Error::new(Error::NOT_SUPPORTED, "rule: no form is left")))
    }

    /// All rules, or none.
    fn put_all<'w>(
        &self,
        all: impl Iterator<Item = Wanted<'w>>,
    ) -> Result<Vec<NonNull<rte_flow>>, Error> {
        let mut flows = Vec::new();
        for wanted in all {
            match wanted.put(self.index) {
                Ok(flow) => flows.push(flow),
                Err(error) => {
                    flows.into_iter().for_each(|flow| self.take_out(flow));
                    return Err(error);
                }
            }
        }
        Ok(flows)
    }

    fn take_out(&self, flow: NonNull<rte_flow>) {
        if let Err(error) = take_out(self.index, flow) {
            // A mark that stays names its prefix still, and software looks whether it is so.
            log::warn!("port {}: {error}", self.name);
        }
    }

    /// Marks packets to a prefix from now on.
    ///
    /// # Errors
    /// What the driver says: [`MARK_NO_ROOM`] or [`Error::NO_MEMORY`] when there is no room. The prefix
    /// is not tried again by itself.
    pub fn mark(&mut self, mark: u32, address: IpAddr, length: u8) -> Result<(), Error> {
        self.unmark(mark);
        let to = (address, length);
        let flow = self.put_mark(mark, to)?;
        let flow = Some(flow);
        self.marks.insert(mark, Marked { to, flow });
        Ok(())
    }

    /// Takes the rule of a mark out.
    pub fn unmark(&mut self, mark: u32) {
        if let Some(flow) = self.marks.remove(&mark).and_then(|m| m.flow) {
            self.take_out(flow);
        }
    }

    fn put_mark(
        &mut self,
        mark: u32,
        (address, length): (IpAddr, u8),
    ) -> Result<NonNull<rte_flow>, Error> {
        let family = usize::from(address.is_ipv6());
        let (options, by, types) = match &self.spread {
            Some(spread) => (spread.options, spread.by, spread.types),
            None => (NO_RSS, SpreadBy::Driver, 0),
        };
        let wanted = |fate| Wanted {
            priority: 0,
            which: Which::To(address, length),
            mark: Some(mark),
            fate,
            over: Over {
                queues: &self.queues,
                options: &options,
                types,
                by,
            },
        };
        if let Some(fate) = self.fates[family] {
            return wanted(fate).put(self.index);
        }
        // All packets of a rule to one queue where there are several would be worse than no mark.
        let first = match (&self.spread, self.queues.len()) {
            (Some(_), _) => Some(Fate::Rss),
            (None, 1) => Some(Fate::Queue),
            _ => None,
        };
        let mut said = None;
        for fate in first.into_iter().chain([Fate::GoOn, Fate::Unsaid]) {
            let put = wanted(fate)
                .ask(self.index)
                .and_then(|()| wanted(fate).put(self.index));
            match put {
                Ok(flow) => {
                    self.fates[family] = Some(fate);
                    return Ok(flow);
                }
                Err(error) => said = Some(said.unwrap_or(error)),
            }
        }
        Err(said.unwrap_or_else(|| Error::new(Error::NOT_SUPPORTED, "rule: no form is left")))
    }

    fn unmark_all(&mut self) {
        let flows: Vec<_> = self
            .marks
            .values_mut()
            .filter_map(|m| m.flow.take())
            .collect();
        flows.into_iter().for_each(|flow| self.take_out(flow));
    }

    /// Puts those rules of marks in that are not.
    fn mark_all(&mut self) {
        let out = self.marks.iter().filter(|(_, m)| m.flow.is_none());
        let out: Vec<(u32, (IpAddr, u8))> = out.map(|(mark, m)| (*mark, m.to)).collect();
        for (mark, to) in out {
            match self.put_mark(mark, to) {
                Ok(flow) => {
                    if let Some(marked) = self.marks.get_mut(&mark) {
                        marked.flow = Some(flow);
                    }
                }
                Err(error) => {
                    self.marks.remove(&mark);
                    log::warn!("port {}: mark {}/{} again: {error}", self.name, to.0, to.1);
                }
            }
        }
    }
}

/// What a rule without RSS says of it: nothing is read.
const NO_RSS: RssOptions = RssOptions {
    key: [0; crate::dpdk::rss::RSS_KEY],
    ports: false,
    algorithm: RssAlgorithm::Driver,
};

impl Drop for Rules<'_> {
    fn drop(&mut self) {
        self.unmark_all();
        if let Some(spread) = self.spread.take() {
            spread
                .flows
                .into_iter()
                .for_each(|flow| self.take_out(flow));
        }
        // Whatever could not be taken out one by one; who has no rules need not know the call.
        match flush(self.index) {
            Err(error) if error.errno != libc::ENOSYS && error.errno != libc::ENOTSUP => {
                log::warn!("port {}: {error}", self.name);
            }
            _ => {}
        }
    }
}

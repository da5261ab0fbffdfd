//! Neighbors that packets or routes wait for: the kernel is asked for each once in a while, whoever
//! scans a connected prefix.

use crate::control::Control;
use crate::event::Action;
use fastpath::table::{LpmWrite, PortId};
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A destination without a neighbor is asked for at most this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many destinations that are no next hops are asked for in that time.
pub const SCANNED: usize = 4096;
/// So many destinations are looked at before others get their turn.
pub const AT_ONCE: usize = 64;

/// A neighbor: interface and address.
type Wanted = (u32, IpAddr);

/// Who was asked for within `INTERVAL`.
#[derive(Debug, Default)]
pub struct Lately {
    all: HashSet<Wanted>,
    /// The same, oldest first.
    by_time: VecDeque<(Instant, Wanted)>,
}

impl Lately {
    fn expire(&mut self, now: Instant) {
        let is_late = |at: Instant| now.saturating_duration_since(at) >= INTERVAL;
        while let Some((_, wanted)) = self.by_time.front().filter(|w| is_late(w.0)) {
            self.all.remove(wanted);
            self.by_time.pop_front();
        }
    }

    /// `wanted` was not asked for lately, and less than `limit` were; from now on it was.
    fn may_ask(&mut self, wanted: Wanted, limit: usize, now: Instant) -> bool {
        self.expire(now);
        let may = self.all.len() < limit && self.all.insert(wanted);
        if may {
            self.by_time.push_back((now, wanted));
        }
        may
    }
}

impl<L: LpmWrite> Control<L> {
    /// Packets wait for these neighbors, by port and address; takes at most [`AT_ONCE`]. True when
    /// there were so many: more may wait.
    ///
    /// Nothing but [`Action::Probe`] comes of it, so nothing is committed.
    pub fn glean(
        &mut self,
        wanted: impl IntoIterator<Item = (PortId, IpAddr)>,
        now: Instant,
    ) -> bool {
        let mut count = 0;
        for (port, address) in wanted.into_iter().take(AT_ONCE) {
            count += 1;
            self.glean_one(port, address, now);
        }
        self.counters.events += count as u64;
        count == AT_ONCE
    }

    fn glean_one(&mut self, port: PortId, address: IpAddr, now: Instant) {
        let Some(ifindex) = self.plan.ports.netdev(port) else {
            return;
        };
        // The kernel is at it already, and asking once would end that.
        if self.is_asked(ifindex, address) || !self.plan.ports.is_up(port) {
            return;
        }
        if self.lately.may_ask((ifindex, address), SCANNED, now) {
            self.actions.push_back(Action::Probe { ifindex, address });
        }
    }

    /// A next hop that the kernel was to keep resolved does not answer: whether to ask once more now.
    /// However many others are asked for, routes do not wait for those.
    pub(crate) fn asks_again(&mut self, ifindex: u32, address: IpAddr, now: Instant) -> bool {
        let wanted = (ifindex, address);
        self.is_asked(ifindex, address) && self.lately.may_ask(wanted, usize::MAX, now)
    }

    /// The kernel was asked to keep this neighbor resolved.
    fn is_asked(&self, ifindex: u32, address: IpAddr) -> bool {
        let members = self.plan.resolved_by(ifindex, address);
        let mut all = members.iter().filter_map(|m| self.plan.nexthops.get(*m));
        all.any(|n| n.asked == Some((ifindex, address)))
    }
}

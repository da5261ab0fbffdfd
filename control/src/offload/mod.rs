//! Control's side of the hardware plane: what it is told after each commit, and what it says of itself.
//!
//! ```text
//!  commit ─► workers ─► feed ─► Action::Offload ─► the thread that owns the agent ─► NIC
//!                                                    │
//!  zebra ◄─ report ◄─ states ◄─ Event::Offload ◄─────┘
//! ```
//!
//! Off, it costs nothing. On, a route is answered twice: as software's when software forwards it, which
//! is at once ([`crate::config::Answer`]), and as hardware's when the NIC has confirmed all that it
//! needs. What never becomes hardware's stays with the first answer, and what stops being hardware's goes
//! back to it. A group that changes between hardware and part of it sends nothing where zebra would
//! be told the same.

mod feed;
mod inquiry;
mod verify;
mod view;

pub use inquiry::{Inquiries, Job, SLICE, Told, Turn};
pub use view::{Naming, Setting, look};

use crate::api::message::{Offload as View, OffloadQuery, OffloadStatus, VerifyNext};
use crate::api::{Reply, Request};
use crate::bucket::Member;
use crate::control::Control;
use crate::event::Action;
use crate::group::Changes;
use crate::prefix::Prefix;
use crate::report::Programmed;
use fastpath::hardware::Count;
use fastpath::hardware::agent::News;
use fastpath::hardware::compile::State;
use fastpath::hardware::plan::{Change, NexthopId};
use fastpath::table::{GroupId, LpmWrite};
use feed::{Feed, NOBODY};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// What became of the plan in hardware.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Who forwards what, as far as that has changed.
    pub news: News,
    /// All of it in figures.
    pub status: Option<Box<OffloadStatus>>,
}

/// What is asked for.
#[derive(Clone)]
pub enum What {
    /// Who forwards what.
    Show,
    /// Whether the programs are those of the plan, of which this is a piece.
    Verify(Told),
    /// The programs, as a script; whether this is the first time that it is asked for, and what to
    /// ask with the next time.
    Export(bool, VerifyNext),
}

/// A question that the owner of the programs answers by itself.
#[derive(Clone)]
pub struct Ask {
    /// What.
    pub what: What,
    /// About what.
    pub query: OffloadQuery,
    /// What people call next hops.
    pub names: BTreeMap<NexthopId, String>,
    /// Where the answer goes.
    pub reply: SyncSender<Reply>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Ask").field(&self.query).finish()
    }
}

/// The same question; who asks does not count.
impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        self.query == other.query && self.names == other.names
    }
}

impl Eq for Ask {}

/// What is known of the hardware plane.
#[derive(Debug, Default)]
pub struct Offload {
    feed: Feed,
    /// Of the latest [`Action::Offload`].
    number: u64,
    /// Prefixes that hardware was told of and has not taken in yet, by the number of the action.
    sent: VecDeque<(u64, Vec<Prefix>)>,
    open: HashMap<Prefix, u64>,
    /// But for software's.
    prefixes: HashMap<Prefix, State>,
    groups: HashMap<GroupId, State>,
    counts: HashMap<NexthopId, Count>,
    total: Count,
    status: Option<Box<OffloadStatus>>,
    telling: verify::Telling,
}

impl Offload {
    fn action(&mut self, changes: Vec<Change>) -> Action {
        self.number += 1;
        let prefixes = changes.iter().filter_map(|change| match change {
            Change::Prefix(address, length, _) => Prefix::containing(*address, *length).ok(),
            _ => None,
        });
        let prefixes: Vec<Prefix> = prefixes.collect();
        for prefix in &prefixes {
            // Software's until hardware says otherwise of what it is now.
            self.open.insert(*prefix, self.number);
            self.prefixes.remove(prefix);
        }
        for change in &changes {
            match change {
                Change::Group(id, None) => drop(self.groups.remove(id)),
                Change::Nexthop(id, None) if self.feed.member(*id).is_none() => {
                    self.counts.remove(id);
                }
                _ => {}
            }
        }
        self.sent.push_back((self.number, prefixes));
        Action::Offload(self.number, changes)
    }

    /// All changes up to this number are taken in.
    fn applied(&mut self, number: u64) {
        while self.sent.front().is_some_and(|(n, _)| *n <= number) {
            let Some((number, prefixes)) = self.sent.pop_front() else {
                break;
            };
            for prefix in prefixes {
                if self.open.get(&prefix) == Some(&number) {
                    self.open.remove(&prefix);
                }
            }
        }
    }

    /// Who forwards a prefix, by hardware's word.
    pub fn prefix(&self, prefix: Prefix) -> State {
        let known = self.prefixes.get(&prefix).copied();
        known.unwrap_or(State::Software)
    }

    /// Who forwards a group.
    pub fn group(&self, id: GroupId) -> State {
        self.groups.get(&id).copied().unwrap_or(State::Software)
    }

    /// What hardware has sent to a next hop, whatever group it was for.
    pub fn sent_to(&self, member: Member) -> Count {
        let count = self.feed.id(member).and_then(|id| self.counts.get(&id));
        count.copied().unwrap_or_default()
    }

    /// What it has sent in all.
    pub fn total(&self) -> Count {
        self.total
    }

    /// The latest figures.
    pub fn status(&self) -> Option<&OffloadStatus> {
        self.status.as_deref()
    }
}

impl<L: LpmWrite> Control<L> {
    /// From now on there is a hardware plane: the whole plan is given out, then what changes.
    pub fn offload(&mut self) {
        self.plan.record();
        let mut offload = Box::<Offload>::default();
        let changes = offload.feed.whole(&self.plan, self.led());
        let action = offload.action(changes);
        self.actions.push_back(action);
        self.offload = Some(offload);
    }

    /// The plan as hardware would be told of it.
    pub fn hardware_plan(&self) -> Vec<Change> {
        Feed::default().whole(&self.plan, self.led())
    }

    /// Prefixes in the tables, and where they lead.
    fn led(&self) -> impl Iterator<Item = (Prefix, GroupId)> + '_ {
        let all = self.rib.iter().map(|(prefix, e)| (prefix, e.group));
        all.filter(|(_, group)| *group != GroupId::NONE)
    }

    /// What is known of the hardware plane, if there is one.
    pub fn offloaded(&self) -> Option<&Offload> {
        self.offload.as_deref()
    }

    /// A commit is in force for every worker: now hardware may know of it.
    pub(crate) fn feed(&mut self, changes: &Changes) {
        let Some(offload) = &mut self.offload else {
            return;
        };
        let (recorded, members) = self.plan.recorded();
        let by = (&recorded, changes);
        let changes = offload.feed.follow(&self.plan, members, by);
        if !changes.is_empty() {
            let action = offload.action(changes);
            self.actions.push_back(action);
        }
    }

    /// What became of the plan in hardware: zebra is told what it has not been told.
    pub(crate) fn offload_update(&mut self, update: Update) {
        let Some(offload) = &mut self.offload else {
            return;
        };
        let News {
            applied,
            prefixes,
            groups,
            counts,
        } = update.news;
        offload.applied(applied);
        for (id, state) in groups {
            match state {
                State::Software => drop(offload.groups.remove(&id)),
                _ => drop(offload.groups.insert(id, state)),
            }
        }
        for (id, count) in counts {
            offload.total.packets += count.packets;
            offload.total.bytes += count.bytes;
            if offload.feed.member(id).is_some() {
                let sum = offload.counts.entry(id).or_default();
                sum.packets += count.packets;
                sum.bytes += count.bytes;
            }
        }
        if update.status.is_some() {
            offload.status = update.status;
        }
        let mut news = Vec::new();
        for (address, length, state) in prefixes {
            let Ok(prefix) = Prefix::containing(address, length) else {
                continue;
            };
            // Older than what hardware was told of it since.
            if offload.open.get(&prefix).is_some_and(|n| *n > applied) {
                continue;
            }
            match state {
                State::Software => drop(offload.prefixes.remove(&prefix)),
                _ => drop(offload.prefixes.insert(prefix, state)),
            }
            news.push(prefix);
        }
        for prefix in news {
            // By the same door as what software does: whatever its tables say comes first.
            self.reports.touched(prefix);
        }
    }

    /// What forwards a prefix that software's tables have.
    pub(crate) fn programmed_by(&self, prefix: Prefix) -> Programmed {
        let state = self.offload.as_ref().map(|o| o.prefix(prefix));
        match state.unwrap_or(State::Software) {
            State::Software => Programmed::Software,
            State::Partial => Programmed::Partial,
            State::Hardware => Programmed::Hardware,
        }
    }

    /// What `show offload` says without hardware.
    pub(crate) fn show_offload(&self) -> View {
        if let Some(view) = self.show_spread() {
            return view;
        }
        View {
            status: OffloadStatus {
                mode: self.config.offload.mode.name().into(),
                state: State::Software.name().into(),
                reasons: self.no_offload.iter().cloned().collect(),
                ..OffloadStatus::default()
            },
            of: None,
        }
    }

    /// Forgets the plan of an audit that nobody asks for any more.
    pub(crate) fn tidy_offload(&mut self, now: Instant) {
        if let Some(offload) = &mut self.offload {
            offload.telling.tidy(now);
        }
    }

    /// Why there is no hardware plane, for `show offload`.
    pub fn no_offload(&mut self, why: String) {
        self.no_offload = Some(why);
    }

    /// Passes a question on to the owner of the programs; false: there is none.
    pub(crate) fn ask_offload(
        &mut self,
        request: &Request,
        reply: &SyncSender<Reply>,
        now: Instant,
    ) -> bool {
        if self.offload.is_none() {
            return false;
        }
        let none = OffloadQuery::default();
        let (what, query) = match request {
            Request::ShowOffload(query) => (What::Show, query),
            Request::VerifyOffload(next) => (self.audit_offload(next, now), &none),
            Request::Export(next) => (self.export_offload(next), &none),
            _ => return false,
        };
        // Names are for the first piece of an answer.
        let is_named = match &what {
            What::Show => true,
            What::Verify(told) => told.is_first,
            What::Export(..) => false,
        };
        let feed = self.offload.iter().filter(|_| is_named).map(|o| &o.feed);
        let named = feed.flat_map(Feed::members).filter_map(|(id, member)| {
            let key = self.plan.nexthops.get(member)?.key;
            let port = self.plan.ports.interface(key.ifindex);
            let name = match key.gateway {
                Some(gateway) => format!("{gateway} on {port}"),
                None => format!("on {port}"),
            };
            Some((id, name))
        });
        let nobody = (NOBODY, "(all of the group)".to_owned());
        let names = named.chain([nobody]).collect();
        self.actions.push_back(Action::AskOffload(Ask {
            what,
            query: query.clone(),
            names,
            reply: reply.clone(),
        }));
        true
    }
}

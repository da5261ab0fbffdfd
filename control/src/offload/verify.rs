//! Audits of the hardware plane, and its programs for others: questions that only the owner of the
//! programs can answer, with what control gives along.

use super::{Ask, Setting, What};
use crate::api::message::{Difference, Error, Exported, Verified};
use crate::api::{Reply, Response};
use crate::control::Control;
use crossbeam::channel::Sender;
use fastpath::hardware::Steering;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::audit::{self, Snapshot};
use fastpath::hardware::compile::Role;
use fastpath::hardware::export::{Ethdev, testpmd};
use fastpath::hardware::plan::{Change, NexthopId};
use fastpath::table::{LpmWrite, PortId};
use std::collections::{BTreeMap, HashMap};

/// The most differences of a program that are listed.
const LISTED: usize = 1000;

/// An audit, ready to be made by whoever has the time.
#[derive(Debug)]
pub struct Audit {
    programs: Vec<Snapshot>,
    plan: Vec<Change>,
    /// What drivers have said already.
    found: Vec<audit::Difference>,
    names: BTreeMap<NexthopId, String>,
    reply: Sender<Reply>,
}

impl Audit {
    /// Takes copies of the programs of `agent`, and asks their drivers; `None`: it was no question for
    /// an audit, or was answered: as long as operations are under way there is nothing to compare.
    pub fn of<S: Steering>(agent: &mut Agent<S>, ask: Ask) -> Option<Audit> {
        let What::Verify(mut plan) = ask.what else {
            return None;
        };
        let (waiting, under_way) = (agent.waiting(), agent.under_way());
        if waiting + under_way > 0 {
            let _ = ask.reply.send(Reply::Error(Error {
                object: "hardware".into(),
                operation: "verify".into(),
                cause: format!("{waiting} changes wait and {under_way} operations are under way"),
                remedy: Some("try again".into()),
            }));
            return None;
        }
        let down: Vec<PortId> = agent.ports_down().to_vec();
        for change in &mut plan {
            // Hardware knows before control does.
            if let Change::Nexthop(_, adjacency) = change {
                *adjacency = adjacency.filter(|a| !down.contains(&a.port));
            }
        }
        let mut found = Vec::new();
        agent.ask_drivers(&mut found);
        let programs = agent.engines().iter();
        Some(Audit {
            programs: programs.map(|e| Snapshot::of(e.compiler())).collect(),
            plan,
            found,
            names: ask.names,
            reply: ask.reply,
        })
    }

    /// Compares, and answers. Takes as long as compiling the whole plan.
    pub fn make(self) {
        let mut verified = Verified::default();
        for program in &self.programs {
            let found = program.differences(&program.anew(&self.plan));
            verified.checked.rules += program.rules() as u64;
            self.put(&mut verified, found);
        }
        self.put(&mut verified, self.found.clone());
        // Who asked may have gone away meanwhile.
        let _ = self.reply.send(Reply::Ok(Response::Verify(verified)));
    }

    fn put(&self, verified: &mut Verified, found: Vec<audit::Difference>) {
        for difference in found {
            if verified.differences.len() == LISTED {
                verified.omitted += 1;
                continue;
            }
            verified.differences.push(Difference {
                of: "hardware".into(),
                object: self.named(difference.object),
                planned: difference.planned,
                found: difference.found,
            });
        }
    }

    /// With a next hop's name in place of its number.
    fn named(&self, object: String) -> String {
        let number = object.strip_prefix("nexthop ").and_then(|rest| {
            let (number, rest) = rest.split_once(", ")?;
            Some((NexthopId(number.parse().ok()?), rest))
        });
        let name = number.and_then(|(id, rest)| Some((self.names.get(&id)?, rest)));
        name.map_or(object.clone(), |(name, rest)| {
            format!("nexthop {name}, {rest}")
        })
    }
}

/// The programs of `agent` as a script for testpmd.
pub fn script<S: Steering>(agent: &Agent<S>, setting: &Setting) -> Reply {
    let programs: Vec<_> = agent.engines().iter().map(|e| e.compiler()).collect();
    let transit = programs
        .iter()
        .any(|p| matches!(p.config().role, Role::Transit { .. }));
    let each = setting.ports.iter().enumerate();
    let ports = each.map(|(n, name)| Ethdev {
        port: PortId(n as u16),
        name: name.clone(),
        number: n as u16,
        isolated: transit,
    });
    let script = testpmd(&programs, &ports.collect::<Vec<_>>());
    Reply::Ok(Response::Export(Box::new(Exported {
        tables: script.tables as u64,
        rules: script.rules as u64,
        indirect_actions: script.indirects as u64,
        not_said: script.unsaid,
        text: script.text,
    })))
}

impl<L: LpmWrite> Control<L> {
    /// The plan as the hardware plane knows it: by the numbers that it was told.
    pub(super) fn plan_as_told(&self) -> Vec<Change> {
        let Some(offload) = &self.offload else {
            return Vec::new();
        };
        let mut fresh = super::Feed::default();
        let mut plan = fresh.whole(&self.plan, self.led());
        let each = fresh.members();
        let told = each.filter_map(|(id, member)| Some((id, offload.feed.id(member)?)));
        let told: HashMap<NexthopId, NexthopId> = told.collect();
        let name = |id: &NexthopId| told.get(id).copied().unwrap_or(*id);
        for change in &mut plan {
            match change {
                Change::Nexthop(id, _) => *id = name(id),
                Change::Group(_, Some(buckets)) => {
                    *buckets = buckets.iter().map(name).collect();
                }
                _ => {}
            }
        }
        plan
    }
}

//! What `show offload` says of the programs.

use super::Ask;
use crate::api::message::{
    Error, Offload, OffloadOf, OffloadOperations, OffloadShares, OffloadStatus, OffloadTable,
};
use crate::api::{Reply, Response};
use fastpath::hardware::Steering;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::compile::{Design, Role, Standing};
use fastpath::hardware::plan::{Lead, NexthopId};
use fastpath::table::{GroupId, PortId};
use std::collections::BTreeMap;

/// What was decided about the hardware plane at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// `[offload] mode`.
    pub mode: &'static str,
    /// The role and the design, for the log.
    pub what: String,
    /// Why this design.
    pub design_reason: String,
    /// The ports' names.
    pub ports: Vec<String>,
}

/// Names for people.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// Of ports, by number.
    pub ports: &'a [String],
    /// Of next hops.
    pub nexthops: &'a BTreeMap<NexthopId, String>,
}

impl Naming<'_> {
    fn port(&self, port: PortId) -> String {
        let name = self.ports.get(usize::from(port.0));
        name.cloned().unwrap_or_else(|| port.0.to_string())
    }

    /// The reasons of `standing` in words.
    pub fn reasons(&self, standing: &Standing) -> Vec<String> {
        let nexthop = |id: NexthopId| self.nexthops.get(&id).cloned();
        let port = |port: PortId| Some(self.port(port));
        let each = standing.reasons.iter();
        each.map(|r| r.named(&nexthop, &port).to_string()).collect()
    }
}

impl Setting {
    /// In one line.
    pub fn summary(&self) -> String {
        format!("{}: {}", self.what, self.design_reason)
    }

    /// The figures of `agent`; `per_second` operations have completed in the last second.
    pub fn status<S: Steering>(&self, agent: &Agent<S>, per_second: f64) -> OffloadStatus {
        let none = BTreeMap::new();
        let naming = Naming {
            ports: &self.ports,
            nexthops: &none,
        };
        let standing = agent.standing();
        let mut tables: BTreeMap<(u8, &str), OffloadTable> = BTreeMap::new();
        for fill in agent.engines().iter().flat_map(|e| e.compiler().fills()) {
            let table = tables.entry((fill.order, fill.kind)).or_default();
            table.kind = fill.kind.into();
            table.tables += fill.tables as u64;
            table.rules += fill.rules as u64;
            table.room += fill.room;
        }
        let (hw, partial) = agent.prefixes();
        let first = agent.engines().first().map(|e| e.compiler());
        let all = first.map_or(0, |c| c.prefix_count());
        let operations = agent.operations();
        let config = first.map(|c| c.config());
        OffloadStatus {
            mode: self.mode.into(),
            state: standing.state.name().into(),
            reasons: naming.reasons(&standing),
            nic: first.map_or_else(String::new, |c| c.capabilities().name.to_string()),
            role: match config.map(|c| &c.role) {
                Some(Role::Dpu { .. }) => "dpu",
                Some(Role::Transit { .. }) => "transit",
                None => "",
            }
            .into(),
            design: match config.map(|c| c.design) {
                Some(Design::Rows) => "rows",
                Some(Design::Rss) => "rss",
                None => "",
            }
            .into(),
            design_reason: self.design_reason.clone(),
            mtu: config.map_or(0, |c| c.mtu),
            prefixes: shares(hw, partial, all),
            groups: {
                let (hw, partial) = agent.groups();
                let all = first.map_or(0, |c| c.groups().count());
                shares(hw, partial, all)
            },
            tables: tables.into_values().collect(),
            operations: OffloadOperations {
                enqueued: operations.enqueued,
                done: operations.done,
                failed: operations.failed,
                waited: operations.waited,
                tables: operations.tables,
                per_second,
            },
            failures: agent.failures() as u64,
            retries: agent.retries(),
            waiting: agent.waiting() as u64,
            under_way: agent.under_way() as u64,
            ports_down: agent.ports_down().iter().map(|p| naming.port(*p)).collect(),
            ..OffloadStatus::default()
        }
    }
}

fn shares(hw: usize, partial: usize, all: usize) -> OffloadShares {
    OffloadShares {
        hw: hw as u64,
        partial: partial as u64,
        sw: all.saturating_sub(hw + partial) as u64,
    }
}

/// Answers a question about the programs of `agent`.
pub fn look<S: Steering>(
    agent: &Agent<S>,
    (setting, per_second): (&Setting, f64),
    ask: &Ask,
) -> Reply {
    let naming = Naming {
        ports: &setting.ports,
        nexthops: &ask.names,
    };
    let first = agent.engines().first().map(|e| e.compiler());
    let unknown = |object: String, remedy: &str| {
        Reply::Error(Error {
            object,
            operation: "show offload".into(),
            cause: "the hardware plane was not told of it".into(),
            remedy: Some(remedy.into()),
        })
    };
    let of = match (ask.query.prefix, ask.query.group) {
        (Some(prefix), _) => {
            let (address, length) = (prefix.address(), prefix.length());
            let Some(lead) = first.and_then(|c| c.lead(address, length)) else {
                return unknown(prefix.to_string(), "name one of `evenpath show route`");
            };
            let standing = agent.prefix(address, length);
            Some(OffloadOf {
                object: prefix.to_string(),
                group: match lead {
                    Lead::Group(id) => Some(id.0),
                    Lead::Kernel | Lead::Software => None,
                },
                state: standing.state.name().into(),
                reasons: naming.reasons(&standing),
            })
        }
        (None, Some(id)) => {
            let object = format!("group {id}");
            if !first.is_some_and(|c| c.groups().any(|g| g.0 == id)) {
                return unknown(object, "name one of `evenpath show group`");
            }
            let standing = agent.group(GroupId(id));
            Some(OffloadOf {
                object,
                group: Some(id),
                state: standing.state.name().into(),
                reasons: naming.reasons(&standing),
            })
        }
        (None, None) => None,
    };
    let status = setting.status(agent, per_second);
    Reply::Ok(Response::Offload(Box::new(Offload { status, of })))
}

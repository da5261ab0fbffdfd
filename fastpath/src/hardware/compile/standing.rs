//! Who forwards what, by the rules that the NIC has.

use super::super::plan::{Family, Lead, NexthopId};
use super::super::program::RuleId;
use super::frame::{LPM, SOFTWARE};
use super::group::{Aim, Branch};
use super::state::{Reason, Standing, State};
use super::{Compiler, Design, Role};
use crate::table::{GroupId, PortId};
use std::collections::HashMap;
use std::net::IpAddr;

/// A program in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Who forwards at all.
    pub standing: Standing,
    /// Tables in the NIC.
    pub tables: usize,
    /// Rules in it.
    pub rules: usize,
    /// What failed and was not made good.
    pub failures: usize,
    /// Operations under way.
    pub under_way: usize,
}

/// What was found of doors and groups, for asking about many prefixes; until the program is touched.
#[derive(Debug, Default)]
pub struct Known {
    closed: Option<bool>,
    branches: HashMap<(GroupId, Family), State>,
}

impl Compiler {
    /// Who forwards a group's packets of a family; `None`: no prefix of it leads there.
    pub fn branch_state(&self, id: GroupId, family: Family) -> Option<State> {
        let branch = self.sets.get(&id)?.branches[family as usize].as_ref()?;
        if self.standing().state == State::Software {
            return Some(State::Software);
        }
        Some(self.branch_standing(branch, family).state)
    }

    /// Who forwards packets to a prefix: the state of [`Compiler::prefix`], at less cost.
    pub fn prefix_state(&self, address: IpAddr, length: u8, known: &mut Known) -> State {
        let closed = || self.standing().state == State::Software;
        if *known.closed.get_or_insert_with(closed) {
            return State::Software;
        }
        let Some((Lead::Group(id), places)) = self.kept(address, length) else {
            return State::Software;
        };
        let family = Family::of(address);
        let branch = self.sets.get(&id);
        let Some(branch) = branch.and_then(|s| s.branches[family as usize].as_ref()) else {
            return State::Software;
        };
        let state = known.branches.entry((id, family));
        let state = *state.or_insert_with(|| self.branch_standing(branch, family).state);
        let leads = |rule: &Option<RuleId>| {
            rule.is_some_and(|rule| self.ledger.leads_to(rule) == Some(branch.group))
        };
        let there = places.iter().filter(|(_, rule)| leads(rule)).count();
        match (there, state) {
            _ if there == places.len() => state,
            (0, _) | (_, State::Software) => State::Software,
            _ => State::Partial,
        }
    }

    /// Whether hardware forwards at all, and why not.
    pub fn standing(&self) -> Standing {
        let open = |family: usize| {
            let leads = |id: &RuleId| self.ledger.leads_to(*id) == Some(LPM[family]);
            self.frame.admits[family].iter().all(leads)
        };
        if self.closed || !(open(0) && open(1)) {
            let reason = if self.frame.is_ready() {
                Reason::Suspended
            } else {
                Reason::NotReady
            };
            return Standing::software(reason);
        }
        if !self.is_any_open() {
            return Standing::software(Reason::NotReady);
        }
        Standing {
            state: State::Hardware,
            reasons: Vec::new(),
        }
    }

    /// Whether packets that come in by `port` meet the program.
    pub fn admits(&self, port: PortId) -> bool {
        self.is_open(port)
    }

    /// A program in numbers.
    pub fn summary(&self) -> Summary {
        Summary {
            standing: self.standing(),
            tables: self.tables().count(),
            rules: self.tables().map(|t| t.1).sum(),
            failures: self.failures(),
            under_way: self.under_way(),
        }
    }

    /// Who forwards a group's packets.
    pub fn group(&self, id: GroupId) -> Standing {
        let door = self.standing();
        if door.state == State::Software {
            return door;
        }
        let Some(set) = self.sets.get(&id) else {
            return Standing::software(Reason::Unknown);
        };
        let mut states = Vec::new();
        let mut reasons = Vec::new();
        for (family, branch) in Family::ALL.into_iter().zip(&set.branches) {
            if let Some(branch) = branch {
                let standing = self.branch_standing(branch, family);
                states.push(standing.state);
                for reason in standing.reasons {
                    if !reasons.contains(&reason) {
                        reasons.push(reason);
                    }
                }
            }
        }
        let (Some(best), Some(worst)) = (states.iter().max(), states.iter().min()) else {
            return Standing::software(Reason::Unused);
        };
        let state = if best == worst { *best } else { State::Partial };
        Standing { state, reasons }
    }

    fn branch_standing(&self, branch: &Branch, family: Family) -> Standing {
        let mut reasons = Vec::new();
        if self.ledger.has_failed(branch.select) {
            reasons.push(Reason::Failed);
        }
        if let Some(build) = &branch.build {
            let made = build.tables();
            let refused = made.iter().find_map(|t| self.ledger.table_error(*t));
            reasons.push(match refused {
                Some(error) => Reason::Table(error.clone()),
                None => Reason::Building,
            });
        }
        let leads = self.ledger.leads_to(branch.select);
        let nowhere = self.ledger.have(branch.select).is_none() || leads == Some(SOFTWARE);
        let Some(live) = branch.live.as_ref().filter(|_| !nowhere) else {
            if let Some(Aim::Software(why)) = &branch.aim {
                reasons.extend(why.iter().cloned());
            }
            if reasons.is_empty() {
                reasons.push(Reason::Building);
            }
            return Standing {
                state: State::Software,
                reasons,
            };
        };
        let mut hops: Vec<NexthopId> = match &live.aim {
            Aim::Software(_) => Vec::new(),
            Aim::Direct(hop) => vec![*hop],
            Aim::Rows(buckets) | Aim::Shared(buckets, _) => buckets.to_vec(),
        };
        hops.sort_unstable();
        hops.dedup();
        let (mut good, mut bad) = (0, usize::from(live.degraded));
        for hop in hops {
            match self.hop_standing(hop, family) {
                Ok(note) => {
                    good += 1;
                    reasons.extend(note);
                }
                Err(reason) => {
                    bad += 1;
                    reasons.push(reason);
                }
            }
        }
        let state = match (good, bad) {
            (0, _) => State::Software,
            (_, 0) => State::Hardware,
            _ => State::Partial,
        };
        Standing { state, reasons }
    }

    /// Whether the rule of a next hop sends, and what else is to be said of it.
    fn hop_standing(&self, id: NexthopId, family: Family) -> Result<Option<Reason>, Reason> {
        let adjacency = self.sendable(id, family)?;
        let side = self
            .hops
            .get(&id)
            .and_then(|h| h.sides[family as usize].as_ref());
        let rule = side.map(|s| s.rule).ok_or(Reason::Building)?;
        if self.ledger.has_failed(rule) {
            return Err(Reason::Failed);
        }
        let sends = match self.config.design {
            Design::Rows => self.ledger.have(rule).is_some_and(|d| d.template == 0),
            Design::Rss => self.ledger.have(rule).is_some(),
        };
        if !sends {
            return Err(Reason::Building);
        }
        Ok(match &self.config.role {
            Role::Dpu { uplinks, .. } if uplinks.contains(&adjacency.port) => {
                Some(Reason::WireToWire(id))
            }
            _ => None,
        })
    }

    /// Who forwards packets to a prefix.
    pub fn prefix(&self, address: IpAddr, length: u8) -> Standing {
        let door = self.standing();
        if door.state == State::Software {
            return door;
        }
        let Some((lead, places)) = self.kept(address, length) else {
            return Standing::software(Reason::Unknown);
        };
        let Lead::Group(id) = lead else {
            return Standing::software(Reason::NotAGroup);
        };
        let family = Family::of(address);
        let Some(branch) = self
            .sets
            .get(&id)
            .and_then(|s| s.branches[family as usize].as_ref())
        else {
            return Standing::software(Reason::Unknown);
        };
        let mut reasons = Vec::new();
        let mut there = 0;
        for (length, rule) in &places {
            let Some(rule) = rule else {
                reasons.push(Reason::Full(*length));
                continue;
            };
            let leads = self.ledger.leads_to(*rule);
            if leads.is_some() && leads == Some(branch.group) {
                there += 1;
            } else if self.ledger.has_failed(*rule) {
                reasons.push(Reason::Failed);
            } else if !self.ledger.is_settled(*rule) {
                reasons.push(Reason::Building);
            }
        }
        let (hiding, profiled) = self.is_overridden(address, length);
        reasons.extend(hiding.then_some(Reason::Hidden));
        reasons.extend(profiled.then_some(Reason::Profile));
        reasons.dedup();
        let mut standing = self.branch_standing(branch, family);
        let all = there == places.len();
        standing.state = match (there, standing.state) {
            _ if all => standing.state,
            (0, _) | (_, State::Software) => State::Software,
            _ => State::Partial,
        };
        if !all && reasons.is_empty() {
            reasons.push(Reason::Building);
        }
        reasons.append(&mut standing.reasons);
        Standing {
            state: standing.state,
            reasons,
        }
    }
}

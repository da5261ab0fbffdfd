//! What follows from [`super::Nics`]: facts for workers, wishes of the plane, the log of events, and
//! what `show` says.

use super::Step;
use crate::api::message::PortHash;
use crate::control::Control;
use crate::event::Action;
use fastpath::table::{LpmWrite, PortId};
use std::time::Instant;

impl<L: LpmWrite> Control<L> {
    /// Whose hash counts on each port, for the next commit.
    pub(crate) fn nic_facts(&mut self) {
        for port in self.plan.ports.all() {
            self.plan.ports.set_nic(port, self.nics.facts(port));
        }
    }

    /// Whose hash counts has changed, or is about to.
    pub(crate) fn hash_steps(&mut self, steps: impl IntoIterator<Item = Step>, now: Instant) {
        for step in steps {
            let (port, what) = match step {
                Step::Program { port, rss, ticket } => {
                    let action = Action::ProgramHash { port, rss, ticket };
                    self.actions.push_back(action);
                    continue;
                }
                Step::Taken(port) => (port, "hash: the NIC's is taken".to_string()),
                Step::Computed(port, why) => (port, format!("hash: computed: {why}")),
            };
            let object = format!("port {}", self.plan.ports.name(port));
            log::info!("{object}: {what}");
            let noticed = self.wall(now);
            self.happening(object, what, Vec::new(), noticed);
        }
    }

    /// Where the hashes of packets that come in on `port` are from.
    pub(crate) fn port_hash(&self, port: PortId) -> PortHash {
        let why = self.nics.why_computed(port);
        PortHash {
            port: self.plan.ports.name(port).into(),
            from: if why.is_none() { "nic" } else { "software" }.into(),
            reason: why.map(|why| why.to_string()),
        }
    }
}

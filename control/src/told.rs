//! Repairs at FRR's word: next hops that forward, and that zebra's routes name no longer. So it is when
//! BFD finds a leaf dead behind a link that stays up: nobody else has noticed, and the first that is known
//! here is zebra's message.

use crate::event::Noticed;
use crate::nexthop::{Key, Nexthops, SetId, Sets};
use crate::rib::Target;
use std::collections::BTreeMap;
use std::time::Instant;

/// What zebra took out of routes that keep others.
#[derive(Debug)]
pub struct Left {
    /// When the first of its messages was read.
    pub noticed: Noticed,
    /// When control took that.
    pub taken: Instant,
    /// How many routes name a next hop no longer.
    pub routes: BTreeMap<Key, u64>,
}

/// What zebra took out since this was last asked.
#[derive(Debug, Default)]
pub struct Told {
    since: Option<(Noticed, Instant)>,
    routes: BTreeMap<Key, u64>,
    /// Thousands of routes change alike.
    last: Option<((SetId, SetId), Vec<Key>)>,
}

impl Told {
    /// A batch is taken at `now`. One that nobody has read from a socket has no stamp, and is not told of.
    pub fn heard(&mut self, noticed: Option<Noticed>, now: Instant) {
        if let Some(noticed) = noticed {
            self.since.get_or_insert((noticed, now));
        }
    }

    /// A route has gone from one target to the other.
    pub fn follow(
        &mut self,
        (from, to): (Option<Target>, Option<Target>),
        sets: &Sets,
        nexthops: &Nexthops,
    ) {
        let (Some(Target::Set(from)), Some(Target::Set(to))) = (from, to) else {
            return;
        };
        if from == to || self.since.is_none() {
            return;
        }
        if self.last.as_ref().is_none_or(|last| last.0 != (from, to)) {
            let stays = sets.members(to);
            let members = sets.members(from);
            let left = members
                .iter()
                .filter(|m| !stays.iter().any(|s| s.0 == m.0))
                .filter_map(|m| nexthops.get(m.0))
                // Who is dead already was repaired then.
                .filter(|n| n.adjacency.is_some() && n.key.gateway.is_some() && !n.key.host)
                .map(|n| n.key);
            self.last = Some(((from, to), left.collect()));
        }
        for key in self.last.iter().flat_map(|last| &last.1) {
            *self.routes.entry(*key).or_default() += 1;
        }
    }

    /// Sets may have other numbers now.
    pub fn renumbered(&mut self) {
        self.last = None;
    }

    /// All of it, if there is any; from now on it is about what comes.
    pub fn take(&mut self) -> Option<Left> {
        let told = std::mem::take(self);
        let (noticed, taken) = told.since.filter(|_| !told.routes.is_empty())?;
        Some(Left {
            noticed,
            taken,
            routes: told.routes,
        })
    }
}

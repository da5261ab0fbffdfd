//! Everything below routes: next hops, their groups and the tables, kept in step with ports and
//! neighbors. A death is made known to workers first, then repaired.

use crate::bucket::Member;
use crate::dplane::{Dplane, Full, Recorded};
use crate::drain::Spared;
use crate::event::Action;
use crate::group::Groups;
use crate::neighbor::Neighbors;
use crate::nexthop::{Hold, Key, Nexthops, SetId, Sets, State, look, resolvable};
use crate::port::Ports;
use crate::prefix::Prefix;
use crate::rendezvous;
use fastpath::table::{AdjacencyId, GroupId, LpmWrite, MAX_PORTS, PortId};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What all routers call `key`.
fn title(key: &Key, ports: &Ports) -> u64 {
    let port = ports.of(key.ifindex).map_or("", |p| ports.name(p));
    rendezvous::name(key.gateway, port)
}

/// What a change of ports or neighbors did to the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// What they are, both kinds.
    pub keys: Vec<Key>,
    /// Next hops that can no longer be used.
    pub lost: usize,
    /// Next hops that can be used again.
    pub gained: usize,
    /// Groups that were looked at.
    pub groups: usize,
    /// Buckets that point elsewhere now.
    pub moved: usize,
    /// Prefixes that use these groups; none is touched.
    pub prefixes: u64,
    /// When the tables were right again.
    pub done: Option<Instant>,
}

/// Next hops, groups, tables.
#[derive(Debug)]
pub struct Plan<L: LpmWrite> {
    /// Ports, links, own addresses.
    pub ports: Ports,
    /// Neighbors.
    pub neighbors: Neighbors,
    /// Next hops.
    pub nexthops: Nexthops,
    /// Sets of next hops.
    pub sets: Sets,
    /// Groups.
    pub groups: Groups,
    /// The tables.
    pub dplane: Dplane<L>,
    /// Next hops whose neighbor's resolution may have to be asked for, or no longer.
    dirty: BTreeSet<Member>,
    /// Next hops that somebody looked at, if anybody wants to know.
    watched: Option<BTreeSet<Member>>,
    /// Next hops that have returned and must wait.
    held: BTreeSet<Member>,
    /// Next hops that the operator spares.
    pub(crate) spared: Vec<Spared>,
    /// Next hops that were to wait before the start: gateway, port, until when.
    pub(crate) held_before: Vec<(IpAddr, PortId, Instant)>,
    /// Next hops that could be used but for the room that an adjacency takes.
    short: BTreeSet<Member>,
    /// The latest report of each port's death that we have heard of.
    heard: [u32; MAX_PORTS],
    /// Next hops that can no longer be used since somebody last looked here.
    pub lost: BTreeSet<Member>,
    /// Routes that found no room, or found some, since somebody last looked here.
    pub room_changed: Vec<Prefix>,
    pub(crate) clock: fn() -> Instant,
}

impl<L: LpmWrite> Plan<L> {
    /// An empty plan; `clock` tells when a repair was done.
    pub fn new(ports: Ports, groups: Groups, dplane: Dplane<L>, clock: fn() -> Instant) -> Self {
        Plan {
            ports,
            neighbors: Neighbors::default(),
            nexthops: Nexthops::default(),
            sets: Sets::default(),
            groups,
            dplane,
            dirty: BTreeSet::new(),
            watched: None,
            held: BTreeSet::new(),
            spared: Vec::new(),
            held_before: Vec::new(),
            short: BTreeSet::new(),
            heard: [0; MAX_PORTS],
            lost: BTreeSet::new(),
            room_changed: Vec::new(),
            clock,
        }
    }

    /// The set of one next hop.
    pub fn single(&mut self, key: Key) -> SetId {
        let member = self.nexthops.intern(key);
        self.sets.intern(vec![(member, 1)])
    }

    /// The group to which a route goes that pointed to `from` and names `set` now.
    ///
    /// # Errors
    /// A table is full.
    pub fn enter(
        &mut self,
        from: GroupId,
        (prefix, set): (Prefix, SetId),
        now: Instant,
    ) -> Result<GroupId, Full> {
        if let Some(known) = self.groups.known(from, (prefix, set)) {
            return Ok(known);
        }
        self.prepare_all(set, now)?;
        let tables = (&mut self.nexthops, &self.sets, &mut self.dplane);
        self.groups.enter(from, (prefix, set), now, tables)
    }

    fn prepare_all(&mut self, set: SetId, now: Instant) -> Result<(), Full> {
        let members = self.sets.members(set);
        members.iter().try_for_each(|m| self.prepare(m.0, now))
    }

    /// Gives a next hop that no group has had its outlook and adjacency.
    fn prepare(&mut self, member: Member, now: Instant) -> Result<(), Full> {
        let Some(nexthop) = self.nexthops.get_mut(member) else {
            return Ok(());
        };
        if !nexthop.groups.is_empty() {
            return Ok(());
        }
        let outlook = look(&nexthop.key, &self.ports, &self.neighbors);
        if nexthop.adjacency.is_none() || outlook != nexthop.outlook {
            if let Some(old) = nexthop.adjacency.take() {
                self.dplane.retire_adjacency(old);
            }
            if let Some(adjacency) = &outlook.adjacency {
                nexthop.adjacency = Some(self.dplane.adjacency(adjacency)?);
            }
            nexthop.outlook = outlook;
        }
        nexthop.title = title(&nexthop.key, &self.ports);
        self.dirty.insert(member);
        self.hold_as_wished(member, now);
        Ok(())
    }

    /// What holds a next hop that no group has had, or whose port has just become known. A drain that
    /// ended while no group had it does so no longer.
    fn hold_as_wished(&mut self, member: Member, now: Instant) {
        let Some(nexthop) = self.nexthops.get(member) else {
            return;
        };
        let (key, port) = (nexthop.key, nexthop.outlook.port);
        let was_held = |h: &&(IpAddr, PortId, Instant)| {
            (key.gateway, port) == (Some(h.0), Some(h.1)) && !key.host && h.2 > now
        };
        let before = self.held_before.iter().find(was_held);
        let before = before.map(|&(_, _, until)| Hold::Down(until));
        let hold = self.wish_for(&key).or(before);
        let Some(nexthop) = self.nexthops.get_mut(member) else {
            return;
        };
        match hold {
            Some(hold) => nexthop.hold = hold,
            None if matches!(nexthop.hold, Hold::Down(_)) => {}
            None => nexthop.hold = Hold::Free,
        }
        if matches!(nexthop.hold, Hold::Down(_)) {
            self.held.insert(member);
        }
    }

    /// Looks again at next hops `among`, and repairs the groups of those that changed.
    pub fn refresh(&mut self, among: impl IntoIterator<Item = Member>, now: Instant) -> Repair {
        let mut repair = Repair::default();
        let mut changed = Vec::new();
        let mut dead_ports: BTreeSet<PortId> = BTreeSet::new();
        let mut dead_adjacencies: Vec<AdjacencyId> = Vec::new();
        for member in among {
            let Some(nexthop) = self.nexthops.get(member) else {
                continue;
            };
            self.dirty.insert(member);
            let outlook = look(&nexthop.key, &self.ports, &self.neighbors);
            if nexthop.groups.is_empty() || outlook == nexthop.outlook {
                continue;
            }
            if let (Some(id), None) = (nexthop.adjacency, &outlook.adjacency) {
                repair.lost += 1;
                self.lost.insert(member);
                repair.keys.push(nexthop.key);
                match outlook.state {
                    State::PortDown => dead_ports.extend(outlook.port),
                    _ => dead_adjacencies.push(id),
                }
            }
            changed.push((member, outlook));
        }
        // The very next burst avoids the dead; only then comes the work.
        let down = &self.dplane.tables().down;
        dead_ports.iter().for_each(|&p| down.mark_port(p));
        for &id in &dead_adjacencies {
            down.set_adjacency(id);
        }
        let mut affected = BTreeSet::new();
        for (member, outlook) in changed {
            let Some(nexthop) = self.nexthops.get_mut(member) else {
                continue;
            };
            affected.extend(nexthop.groups.iter().copied());
            let was = std::mem::replace(&mut nexthop.outlook, outlook);
            if was.port.is_none() && outlook.port.is_some() {
                self.hold_as_wished(member, now);
            }
            let Some(nexthop) = self.nexthops.get_mut(member) else {
                continue;
            };
            if was.adjacency == outlook.adjacency {
                continue;
            }
            let old = nexthop.adjacency.take();
            if let Some(adjacency) = &outlook.adjacency {
                match self.dplane.adjacency(adjacency) {
                    Ok(id) => nexthop.adjacency = Some(id),
                    Err(full) => {
                        let gateway = nexthop.key.gateway.map(|g| g.to_string());
                        log::error!("nexthop {}: {full}", gateway.unwrap_or_default());
                        nexthop.outlook.no_room();
                        self.short.insert(member);
                    }
                }
            }
            let returned = old.is_none() && nexthop.adjacency.is_some();
            if returned {
                repair.gained += 1;
                repair.keys.push(nexthop.key);
            }
            nexthop.title = title(&nexthop.key, &self.ports);
            let hold_down = self.groups.rules().hold_down;
            let counts = matches!(nexthop.hold, Hold::Free | Hold::Down(_));
            if returned && nexthop.lost && counts && hold_down > Duration::ZERO {
                nexthop.hold = Hold::Down(now + hold_down);
                self.held.insert(member);
            }
            nexthop.lost |= old.is_some() && nexthop.adjacency.is_none();
            if let Some(old) = old {
                self.dplane.retire_adjacency(old);
            }
        }
        self.deal_anew(&affected, &mut repair, now);
        if repair != Repair::default() {
            repair.done = Some((self.clock)());
        }
        if !(dead_ports.is_empty() && dead_adjacencies.is_empty()) {
            // No worker may meet a bucket from before the repair after the bit is gone.
            self.dplane.synchronize();
            for port in dead_ports {
                self.clear_down(port);
            }
            for id in dead_adjacencies {
                self.dplane.tables().down.clear_adjacency(id);
            }
        }
        self.groups.reconsider();
        repair
    }

    /// Next hops that found no room among the adjacencies, as many as there is room for now.
    pub(crate) fn take_short(&mut self) -> Vec<Member> {
        let room = self.dplane.adjacency_room();
        std::iter::from_fn(|| self.short.pop_first())
            .take(room)
            .collect()
    }

    /// Whoever saw first that `port` is dead has set a bit, and has told us all about it by now: what
    /// named the port does so no longer.
    pub(crate) fn heard_report(&mut self, port: PortId, report: u32) {
        if let Some(heard) = self.heard.get_mut(usize::from(port.0)) {
            *heard = report.max(*heard);
        }
        if self.dplane.tables().down.port(port) {
            self.dplane.synchronize();
            self.clear_down(port);
        }
    }

    /// Workers need not avoid `port` any more, unless we have yet to hear why they do.
    fn clear_down(&self, port: PortId) {
        let heard = self.heard.get(usize::from(port.0)).copied();
        let down = &self.dplane.tables().down;
        down.clear_port(port, heard.unwrap_or_default());
    }

    /// Deals the groups `affected` anew.
    fn deal_anew(&mut self, affected: &BTreeSet<GroupId>, repair: &mut Repair, now: Instant) {
        for &id in affected {
            let around = (&self.nexthops, &self.sets, &self.dplane);
            repair.moved += self.groups.rebalance(id, now, around.0, around.1, around.2);
            repair.prefixes += self.groups.get(id).map_or(0, |g| g.routes);
        }
        repair.groups = affected.len();
    }

    /// Lets those in that have waited long enough; the repair, if there were any.
    pub fn release(&mut self, now: Instant) -> Option<Repair> {
        let over = |m: &Member| match self.nexthops.get(*m).map(|n| n.hold) {
            Some(Hold::Down(until)) => until <= now,
            _ => true,
        };
        let due: Vec<Member> = self.held.iter().copied().filter(over).collect();
        let mut freed = Vec::new();
        for member in due {
            self.held.remove(&member);
            if let Some(nexthop) = self.nexthops.get_mut(member) {
                if matches!(nexthop.hold, Hold::Down(_)) {
                    nexthop.hold = Hold::Free;
                    freed.push(member);
                }
            }
        }
        (!freed.is_empty()).then(|| self.reconsider(&freed, now))
    }

    /// When [`Plan::release`] has something to do.
    pub fn next_release(&self) -> Option<Instant> {
        let until = self
            .held
            .iter()
            .filter_map(|m| match self.nexthops.get(*m)?.hold {
                Hold::Down(until) => Some(until),
                _ => None,
            });
        until.min()
    }

    /// What `members` may do has changed: deals their groups anew.
    pub fn reconsider(&mut self, members: &[Member], now: Instant) -> Repair {
        let mut repair = Repair::default();
        let all = members.iter().filter_map(|m| self.nexthops.get(*m));
        let affected: BTreeSet<GroupId> = all.flat_map(|n| n.groups.iter().copied()).collect();
        self.deal_anew(&affected, &mut repair, now);
        repair.done = Some((self.clock)());
        self.groups.reconsider();
        repair
    }

    /// Nothing of before the start is taken up any more.
    pub(crate) fn forget_past(&mut self, now: Instant) {
        for id in self.groups.forget_past(&self.nexthops) {
            self.groups
                .rebalance(id, now, &self.nexthops, &self.sets, &self.dplane);
        }
        self.groups.reconsider();
    }

    /// Numbers of next hops on any of `interfaces`.
    pub fn on(&self, interfaces: &[u32]) -> Vec<Member> {
        let here = self.nexthops.iter();
        here.filter(|(_, n)| interfaces.contains(&n.key.ifindex))
            .map(|(i, _)| i)
            .collect()
    }

    /// Numbers of next hops that `address` on the interface `ifindex` resolves.
    pub fn resolved_by(&self, ifindex: u32, address: std::net::IpAddr) -> Vec<Member> {
        let mut found = Vec::new();
        for interface in self.ports.aliases(ifindex) {
            let gateway = Key::gateway(address, interface);
            let host = Key::host(address, interface);
            let fake = Key {
                onlink: true,
                ..gateway
            };
            let known = [gateway, host, fake].map(|k| self.nexthops.find(&k));
            found.extend(known.into_iter().flatten());
        }
        found
    }

    /// The kernel forgot a neighbor: whoever was asked for it is to be asked for again.
    pub fn forgotten(&mut self, among: impl IntoIterator<Item = Member>) {
        for member in among {
            if let Some(nexthop) = self.nexthops.get_mut(member) {
                nexthop.asked = None;
                self.dirty.insert(member);
            }
        }
    }

    /// Publishes what is pending; groups that nothing points to go. What the lookup refused, and
    /// what is to be resolved or no longer.
    pub fn commit(&mut self, now: Instant) -> (Vec<(crate::prefix::Prefix, String)>, Vec<Action>) {
        let touched =
            self.groups
                .retire_unused(now, &mut self.nexthops, &self.sets, &mut self.dplane);
        self.dirty.extend(touched);
        for member in &self.dirty {
            if let Some(nexthop) = self.nexthops.get_mut(*member) {
                if nexthop.groups.is_empty() {
                    if let Some(id) = nexthop.adjacency.take() {
                        self.dplane.retire_adjacency(id);
                    }
                }
            }
        }
        if let Some(facts) = self.ports.new_facts() {
            self.dplane.set_facts(facts);
        }
        let refused = self.dplane.commit();
        (refused, self.wanted())
    }

    /// From now on keeps what [`Plan::recorded`] tells.
    pub(crate) fn record(&mut self) {
        self.watched.get_or_insert_default();
        self.dplane.record();
    }

    /// What commits have published since this was last asked, and next hops that may have changed.
    pub(crate) fn recorded(&mut self) -> (Recorded, BTreeSet<Member>) {
        let members = self.watched.as_mut().map(std::mem::take);
        (self.dplane.recorded(), members.unwrap_or_default())
    }

    fn wanted(&mut self) -> Vec<Action> {
        if let Some(watched) = &mut self.watched {
            watched.extend(&self.dirty);
        }
        let mut actions = Vec::new();
        for member in std::mem::take(&mut self.dirty) {
            let Some(nexthop) = self.nexthops.get(member) else {
                continue;
            };
            let wanted = if nexthop.groups.is_empty() {
                None
            } else {
                resolvable(&nexthop.key, &self.ports, &self.neighbors)
            };
            let before = nexthop.asked;
            if before == wanted {
                continue;
            }
            if let Some((ifindex, address)) = before {
                let other =
                    |(i, n): (Member, &crate::nexthop::Nexthop)| i != member && n.asked == before;
                if !self.nexthops.iter().any(other) {
                    actions.push(Action::Release { ifindex, address });
                }
            }
            if let Some((ifindex, address)) = wanted {
                actions.push(Action::Resolve { ifindex, address });
            }
            if let Some(nexthop) = self.nexthops.get_mut(member) {
                nexthop.asked = wanted;
            }
        }
        actions
    }
}

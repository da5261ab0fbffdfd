//! Next hops, known by what they are (gateway, interface, encapsulation) and not by zebra's ids,
//! and the weighted sets of them that routes name.
//!
//! A next hop is usable when its interface is one of our ports, that port is up, and its neighbor
//! is resolved: zebra goes on naming members whose link is dead.

use crate::bucket::Member;
use crate::event::{self, Mac};
use crate::fpm::decode::Hop;
use crate::map::Map;
use crate::neighbor::Neighbors;
use crate::port::Ports;
use fastpath::table::{Adjacency, AdjacencyId, GroupId, PortId};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

/// What zebra before 10.6 writes for an IPv6 next hop of an IPv4 route, in inline mode, with the
/// onlink flag. It may be a real neighbor's address as well.
pub const FAKE_GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 0, 1));

/// What makes a next hop itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Gateway; none: destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub ifindex: u32,
    /// [`FAKE_GATEWAY`] with the onlink flag: zebra's permanent neighbor entry stands behind it.
    pub onlink: bool,
    /// It wants an encapsulation, which we do not do.
    pub encap: bool,
    /// Not a gateway of routes but a host on a connected prefix: never asked for, only followed.
    pub host: bool,
}

impl Key {
    /// The next hop that zebra describes so.
    pub fn of(hop: &Hop) -> Self {
        Key {
            gateway: hop.gateway,
            ifindex: hop.ifindex,
            onlink: hop.onlink && hop.gateway == Some(FAKE_GATEWAY),
            encap: hop.encap,
            host: false,
        }
    }

    /// Destinations on the link of `ifindex`.
    pub fn on_link(ifindex: u32) -> Self {
        Key {
            gateway: None,
            ifindex,
            onlink: false,
            encap: false,
            host: false,
        }
    }

    /// A gateway on an interface.
    pub fn gateway(address: IpAddr, ifindex: u32) -> Self {
        Key {
            gateway: Some(address),
            ..Key::on_link(ifindex)
        }
    }

    /// The host `address` on the link of `ifindex`.
    pub fn host(address: IpAddr, ifindex: u32) -> Self {
        Key {
            host: true,
            ..Key::gateway(address, ifindex)
        }
    }
}

/// Whether a next hop can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Yes.
    Up,
    /// Its interface is not one of our ports: the kernel may reach it, we cannot.
    NoPort,
    /// Its port is down.
    PortDown,
    /// Its neighbor is not resolved.
    Unresolved,
    /// Its neighbor does not answer.
    Failed,
    /// It wants an encapsulation.
    Encap,
    /// It could be used, but the adjacencies are all taken.
    NoRoom,
}

impl State {
    /// The name of `show nexthop`.
    pub const fn name(self) -> &'static str {
        match self {
            State::Up => "up",
            State::NoPort => "no-port",
            State::PortDown => "port-down",
            State::Unresolved => "unresolved",
            State::Failed => "failed",
            State::Encap => "encap-unsupported",
            State::NoRoom => "no-room",
        }
    }
}

/// What ports and neighbors say of a next hop now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Its port.
    pub port: Option<PortId>,
    /// Whether it can be used.
    pub state: State,
    /// The neighbor's MAC address, when it can.
    pub mac: Option<Mac>,
    /// What is done with its packets, when it can be used.
    pub adjacency: Option<Adjacency>,
}

impl Outlook {
    /// It could be used, and finds no room.
    pub(crate) fn no_room(&mut self) {
        (self.state, self.adjacency) = (State::NoRoom, None);
    }
}

/// What ports and neighbors say of `key` now.
pub fn look(key: &Key, ports: &Ports, neighbors: &Neighbors) -> Outlook {
    let port = ports.of(key.ifindex);
    let unusable = |state| Outlook {
        port,
        state,
        mac: None,
        adjacency: None,
    };
    let Some(id) = port else {
        return unusable(State::NoPort);
    };
    if key.encap {
        return unusable(State::Encap);
    }
    if !ports.is_up(id) {
        return unusable(State::PortDown);
    }
    let Some(gateway) = key.gateway else {
        return Outlook {
            adjacency: Some(Adjacency::glean(id)),
            ..unusable(State::Up)
        };
    };
    let entry = neighbors.find(ports.aliases(key.ifindex), gateway);
    match entry.map(|e| (e.usable(), e.state)) {
        Some((Some(mac), _)) => Outlook {
            port,
            state: State::Up,
            mac: Some(mac),
            adjacency: Some(Adjacency::forward(
                id,
                ports.mtu(id),
                mac,
                ports.mac(id),
                ports.vlan(id),
            )),
        },
        Some((None, event::NeighborState::Failed)) => unusable(State::Failed),
        _ => unusable(State::Unresolved),
    }
}

/// The netdev on which the kernel should keep `key`'s gateway resolved, if it should.
pub fn resolvable(key: &Key, ports: &Ports, neighbors: &Neighbors) -> Option<(u32, IpAddr)> {
    let gateway = key.gateway.filter(|_| !key.host && !key.encap)?;
    let port = ports.of(key.ifindex)?;
    let netdev = ports.netdev(port)?;
    if !ports.is_up(port) {
        return None;
    }
    let fixed = [event::configured(port)].into_iter();
    if neighbors.find(fixed, gateway).is_some() {
        return None;
    }
    // The fake gateway's entry is zebra's to keep; asking for it could only break it. A real
    // 169.254.0.1 is on the link by its addresses, or known as an ordinary neighbor.
    let known = neighbors.find(ports.aliases(key.ifindex), gateway);
    let fake = known.is_some_and(|e| e.is_fake_gateway())
        || key.onlink && known.is_none() && !ports.is_on_link(key.ifindex, gateway);
    (!fake).then_some((netdev, gateway))
}

/// What keeps a next hop from getting buckets though it can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    Free,
    /// It has returned lately and counts as away until then.
    Down(Instant),
    /// The operator drains it: it keeps its buckets until they fall idle.
    Draining,
    /// The operator has drained it.
    Drained,
}

impl Hold {
    /// The name of `show nexthop`, if there is something to name.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Hold::Free => None,
            Hold::Down(_) => Some("hold-down"),
            Hold::Draining => Some("draining"),
            Hold::Drained => Some("drained"),
        }
    }
}

/// What a next hop may do in its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It gets buckets.
    In,
    /// It gets none, and keeps those it has until they may move.
    Leaving,
    /// It can be used and gets no buckets, unless nobody else can.
    Waiting,
    /// The same, for having returned lately; but what it has it keeps: nobody else could take it.
    HeldDown,
    /// It cannot be used.
    Out,
}

/// A next hop.
#[derive(Clone, Debug)]
pub struct Nexthop {
    /// What it is.
    pub key: Key,
    /// What is made of it: kept in step with the tables.
    pub outlook: Outlook,
    /// Its adjacency, when it can be used.
    pub adjacency: Option<AdjacencyId>,
    /// The groups that have it as a member.
    pub groups: Vec<GroupId>,
    /// The kernel was asked to keep it resolved, there.
    pub asked: Option<(u32, IpAddr)>,
    /// What all routers call it: [`crate::rendezvous::name()`].
    pub title: u64,
    /// What keeps it from getting buckets.
    pub hold: Hold,
    /// It could be used, and then no longer.
    pub lost: bool,
}

impl Nexthop {
    /// One of which nothing is known but what it is.
    pub fn new(key: Key) -> Self {
        Nexthop {
            key,
            outlook: Outlook {
                port: None,
                state: State::Unresolved,
                mac: None,
                adjacency: None,
            },
            adjacency: None,
            groups: Vec::new(),
            asked: None,
            title: 0,
            hold: Hold::Free,
            lost: false,
        }
    }

    /// What it may do.
    pub fn standing(&self) -> Standing {
        match (self.adjacency, self.hold) {
            (None, _) => Standing::Out,
            (_, Hold::Free) => Standing::In,
            (_, Hold::Draining) => Standing::Leaving,
            (_, Hold::Drained) => Standing::Waiting,
            (_, Hold::Down(_)) => Standing::HeldDown,
        }
    }
}

/// All next hops by number. A number stays with its next hop while anybody remembers it.
#[derive(Debug, Default)]
pub struct Nexthops {
    all: Vec<Option<Nexthop>>,
    free: Vec<Member>,
    by_key: Map<Key, Member>,
}

impl Nexthops {
    /// The number of `key`; a new one has no outlook yet.
    pub fn intern(&mut self, key: Key) -> Member {
        if let Some(&known) = self.by_key.get(&key) {
            return known;
        }
        let nexthop = Nexthop::new(key);
        let number = self.free.pop().unwrap_or(self.all.len() as Member);
        match self.all.get_mut(number as usize) {
            Some(slot) => *slot = Some(nexthop),
            None => self.all.push(Some(nexthop)),
        }
        self.by_key.insert(key, number);
        number
    }

    /// The number that the next one gets.
    pub fn next_number(&self) -> Member {
        let free = self.free.last().copied();
        free.unwrap_or(self.all.len() as Member)
    }

    /// The next hop of that number.
    pub fn get(&self, number: Member) -> Option<&Nexthop> {
        self.all.get(number as usize)?.as_ref()
    }

    /// The next hop of that number, to change.
    pub fn get_mut(&mut self, number: Member) -> Option<&mut Nexthop> {
        self.all.get_mut(number as usize)?.as_mut()
    }

    /// The number of `key`, if it is known.
    pub fn find(&self, key: &Key) -> Option<Member> {
        self.by_key.get(key).copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Member, &Nexthop)> {
        let numbered = self.all.iter().enumerate();
        numbered.filter_map(|(i, n)| Some((i as Member, n.as_ref()?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Forgets those that `keep` does not want and that no group has.
    pub fn retain(&mut self, keep: impl Fn(Member) -> bool) {
        for (i, slot) in self.all.iter_mut().enumerate() {
            let unused = slot
                .as_ref()
                .is_some_and(|n| n.groups.is_empty() && n.adjacency.is_none());
            if unused && !keep(i as Member) {
                if let Some(nexthop) = slot.take() {
                    self.by_key.remove(&nexthop.key);
                    self.free.push(i as Member);
                }
            }
        }
    }

    /// True when `number` can be used.
    pub fn is_up(&self, number: Member) -> bool {
        self.get(number).is_some_and(|n| n.adjacency.is_some())
    }
}

/// Who knows next hops by number: all that there are, or those as they would be.
pub trait Known {
    /// The next hop of that number.
    fn known(&self, number: Member) -> Option<&Nexthop>;

    /// What it may do.
    fn standing(&self, number: Member) -> Standing {
        self.known(number).map_or(Standing::Out, Nexthop::standing)
    }
}

impl Known for Nexthops {
    fn known(&self, number: Member) -> Option<&Nexthop> {
        self.get(number)
    }
}

/// A weighted set of next hops, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u32);

/// Members in ascending order, each once, with weights from 1.
pub type Members = Arc<[(Member, u32)]>;

/// All sets: equal ones have the same number.
#[derive(Debug, Default)]
pub struct Sets {
    all: Vec<Option<Members>>,
    free: Vec<u32>,
    index: Map<Members, SetId>,
}

impl Sets {
    /// The set of these members, in any order; the weights of one named twice are added, and that
    /// of the only one does not matter.
    pub fn intern(&mut self, mut members: Vec<(Member, u32)>) -> SetId {
        members.sort_unstable();
        members.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(later.1);
            }
            same
        });
        if let [only] = members.as_mut_slice() {
            only.1 = 1;
        }
        if let Some(&known) = self.index.get(members.as_slice()) {
            return known;
        }
        let members: Members = members.into();
        let id = self.free.pop().unwrap_or(self.all.len() as u32);
        match self.all.get_mut(id as usize) {
            Some(slot) => *slot = Some(Arc::clone(&members)),
            None => self.all.push(Some(Arc::clone(&members))),
        }
        self.index.insert(members, SetId(id));
        SetId(id)
    }

    /// The set of these members (ascending, each once), if it is known.
    pub fn find(&self, members: &[(Member, u32)]) -> Option<SetId> {
        self.index.get(members).copied()
    }

    /// Its members; of one that does not exist, none.
    pub fn members(&self, id: SetId) -> Members {
        let known = self.all.get(id.0 as usize).and_then(Option::as_ref);
        known.map_or_else(|| Arc::from([]), Arc::clone)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (SetId, &[(Member, u32)])> {
        let all = self.all.iter().zip(0..);
        all.filter_map(|(members, id)| Some((SetId(id), members.as_deref()?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Forgets those that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(SetId) -> bool) {
        for (i, slot) in self.all.iter_mut().enumerate() {
            if slot.is_some() && !keep(SetId(i as u32)) {
                if let Some(members) = slot.take() {
                    self.index.remove(&members);
                    self.free.push(i as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_known_by_content() {
        let mut sets = Sets::default();
        let a = sets.intern(vec![(3, 1), (1, 2)]);
        assert_eq!(sets.intern(vec![(1, 2), (3, 1)]), a);
        assert_ne!(sets.intern(vec![(1, 1), (3, 1)]), a);
        assert_eq!(sets.intern(vec![(1, 1), (3, 1), (1, 1)]), a, "added up");
        assert_eq!(sets.intern(vec![(1, 9)]), sets.intern(vec![(1, 1)]));
        assert_eq!(sets.members(a)[..], [(1, 2), (3, 1)]);
        let len = sets.len();
        sets.retain(|id| id == a);
        assert_eq!((len, sets.len()), (3, 1));
        assert_ne!(sets.intern(vec![(8, 1)]), a);
        assert!(sets.members(SetId(77)).is_empty());
    }

    #[test]
    fn the_fake_gateway_needs_the_onlink_flag() {
        let hop = |gateway: &str, onlink| Hop {
            gateway: gateway.parse().ok(),
            ifindex: 2,
            onlink,
            encap: false,
        };
        assert!(Key::of(&hop("169.254.0.1", true)).onlink);
        assert!(!Key::of(&hop("169.254.0.1", false)).onlink);
        assert_eq!(
            Key::of(&hop("172.31.0.1", true)),
            Key::of(&hop("172.31.0.1", false)),
            "elsewhere the flag makes no difference"
        );
    }
}

//! The control thread's state: every event goes in here, and nothing else changes the tables.

use crate::activity::Activity;
use crate::backlog::Backlog;
use crate::bridge::Bridges;
use crate::bucket::Member;
use crate::config::{self, Config, Resilient};
use crate::dplane::{Dplane, Fixed};
use crate::event::{Action, Event, Link, Neighbor, NeighborState, Noticed, configured};
use crate::failover::{Log, Times};
use crate::glean::Lately;
use crate::group::Groups;
use crate::hash::Hashing;
use crate::marks::SpreadNews;
use crate::nexthop::{Key, State};
use crate::nic::Nics;
use crate::object::Objects;
use crate::offload::Offload;
use crate::plan::Plan;
use crate::port::{Device, Ports, directed_broadcast, is_link_local};
use crate::prefix::Prefix;
use crate::report::Reports;
use crate::resync::Known;
use crate::rib::{Rib, Target};
use crate::room::Room;
use crate::routes::drive;
use crate::samples::Samples;
use crate::session::Session;
use crate::warm::Keeping;
use fastpath::table::stats::WorkerStats;
use fastpath::table::{LpmWrite, PortId, Writer};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What is counted beside packets and FPM messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that came in.
    pub events: u64,
    /// Repairs of the tables after a loss or a return.
    pub repairs: u64,
    /// Buckets that they moved.
    pub moved: u64,
    /// Routes that a sweep removed.
    pub swept: u64,
    /// Buckets that the background pass moved.
    pub eased: u64,
    /// Changes of the hash while packets flowed.
    pub hash_changes: u64,
    /// Changes of the rules of groups.
    pub rules_changes: u64,
}

/// All state of the control thread.
pub struct Control<L: LpmWrite> {
    pub(crate) plan: Plan<L>,
    pub(crate) rib: Rib,
    pub(crate) objects: Objects,
    pub(crate) session: Session,
    pub(crate) backlog: Backlog,
    pub(crate) bridges: Bridges,
    pub(crate) config: Config,
    /// The hash settings, and those of the start.
    pub(crate) hashing: Hashing,
    /// The rules of groups in force; those of the start are in `config`.
    pub(crate) resilient: Resilient,
    pub(crate) hashing_at_start: Hashing,
    pub(crate) log: Log,
    pub(crate) times: Times,
    pub(crate) nics: Nics,
    /// Counted since the start.
    pub counters: Counters,
    /// Routes of zebra that a resync is judged by, and how many of them it has brought.
    pub(crate) fpm_routes: u64,
    pub(crate) fpm_fresh: u64,
    pub(crate) known: Option<Known>,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) lately: Lately,
    pub(crate) room: Room,
    pub(crate) reports: Reports,
    /// So many next hops or sets call for [`Control::collect`].
    pub(crate) collect_at: usize,
    /// When buckets are looked at that may have to move.
    pub(crate) ease_at: Option<Instant>,
    /// What the clock for people said last.
    pub(crate) clock: Noticed,
    snapshot: Option<Box<dyn Fn() -> fastpath::table::stats::Snapshot + Send>>,
    pub(crate) activity: Activity,
    pub(crate) samples: Samples,
    pub(crate) keeping: Keeping,
    /// The hardware plane, if there is one.
    pub(crate) offload: Option<Box<Offload>>,
    /// Why there is none.
    pub(crate) no_offload: Option<String>,
    /// What NICs do for software, if they were asked to.
    pub(crate) spreading: Option<Box<SpreadNews>>,
    pub(crate) audits: crate::audit::Audits,
}

impl<L: LpmWrite> Control<L> {
    /// Control over tables that nobody has written to. `devices` are what the devices of the
    /// configured ports say of themselves, in the same order; `clock` tells when a repair is done
    /// (`Instant::now` but for tests).
    pub fn new(
        config: &Config,
        devices: &[Device],
        writer: Writer<L>,
        now: Noticed,
        clock: fn() -> Instant,
    ) -> Self {
        let ports = Ports::new(&config.ports, devices);
        let groups = Groups::new(
            config
                .resilient
                .rules(writer.views.current().hash.base().seed()),
        );
        let hashing = Hashing::in_force(config, &writer.views.current().hash);
        let mut control = Control {
            plan: Plan::new(ports, groups, Dplane::new(writer), clock),
            rib: Rib::default(),
            objects: Objects::default(),
            session: Session::new(&config.fpm, now.at),
            backlog: Backlog::default(),
            bridges: Bridges::new(config.fpm.restart_hold),
            config: config.clone(),
            hashing_at_start: hashing.clone(),
            nics: Nics::new(devices, &hashing.policy()),
            resilient: config.resilient.clone(),
            hashing,
            log: Log::default(),
            times: Times::default(),
            counters: Counters::default(),
            fpm_routes: 0,
            fpm_fresh: 0,
            known: None,
            actions: VecDeque::new(),
            lately: Lately::default(),
            room: Room::default(),
            reports: Reports::default(),
            collect_at: 0,
            ease_at: None,
            snapshot: None,
            activity: Activity::default(),
            samples: Samples::default(),
            keeping: Keeping::default(),
            offload: None,
            no_offload: None,
            spreading: None,
            audits: Default::default(),
            clock: now,
        };
        // Whoever made the view may have left the profiles to us.
        control.plan.dplane.set_policy(control.hashing.policy());
        control.configure(now);
        control.commit(now.at);
        control
    }

    /// Where `show counters` gets the workers' counters from.
    pub fn count_by(
        &mut self,
        snapshot: impl Fn() -> fastpath::table::stats::Snapshot + Send + 'static,
    ) {
        self.snapshot = Some(Box::new(snapshot));
    }

    /// What `workers` forward is kept in the book from now on, by group and bucket, and samples of
    /// what comes in; their progress decides when the hash of a NIC may be taken.
    pub fn watch(&mut self, workers: &[Arc<WorkerStats>], now: Instant) {
        self.nics.watch(workers);
        self.activity = Activity::new(workers);
        self.activity.read(&self.plan.groups, now);
        self.samples = Samples::new(workers);
        self.samples.take(now);
    }

    /// What buckets forwarded, as of the last reading.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    pub(crate) fn snapshot(&self) -> fastpath::table::stats::Snapshot {
        self.snapshot.as_ref().map(|s| s()).unwrap_or_default()
    }

    /// Static addresses, neighbors and routes: through the same doors as all others.
    fn configure(&mut self, noticed: Noticed) {
        let config = self.config.clone();
        for a in &config.addresses {
            self.address(
                configured(a.port),
                a.address,
                a.prefix_len,
                true,
                noticed.at,
            );
        }
        for n in &config.neighbors {
            let neighbor = Neighbor {
                ifindex: configured(n.port),
                address: n.address,
                mac: Some(n.mac),
                state: NeighborState::Permanent,
                zebra: false,
            };
            self.neighbor(&neighbor, noticed, noticed.at);
        }
        for route in &config.routes {
            let target = match &route.target {
                config::Target::Blackhole => Target::Fixed(Fixed::Blackhole),
                config::Target::Unreachable => Target::Fixed(Fixed::Unreachable),
                config::Target::Prohibit => Target::Fixed(Fixed::Prohibit),
                config::Target::Nexthops(all) => {
                    let members = all.iter().map(|n| {
                        let ifindex = configured(n.port);
                        let key = n
                            .via
                            .map_or(Key::on_link(ifindex), |via| Key::gateway(via, ifindex));
                        (self.plan.nexthops.intern(key), u32::from(n.weight))
                    });
                    let members = members.collect();
                    Target::Set(self.plan.sets.intern(members))
                }
            };
            self.rib.entry(route.prefix).others().fixed = Some(target);
            drive(&mut self.plan, &mut self.rib, route.prefix, noticed.at);
        }
    }

    /// Takes an event in; the tables are in step with it afterwards (but for a long batch of
    /// routes, which goes on in [`Control::tick`]).
    pub fn handle(&mut self, event: Event, now: Instant) {
        self.counters.events += 1;
        match event {
            Event::Link(link, noticed) => self.link(link, noticed, now),
            Event::LinkGone { ifindex, noticed } => self.link_gone(ifindex, noticed, now),
            Event::Address {
                ifindex,
                address,
                prefix_len,
            } => self.address(ifindex, address, prefix_len, true, now),
            Event::AddressGone {
                ifindex,
                address,
                prefix_len,
            } => self.address(ifindex, address, prefix_len, false, now),
            Event::Neighbor(neighbor, noticed) => self.neighbor(&neighbor, noticed, now),
            Event::NeighborGone {
                ifindex,
                address,
                noticed,
            } => self.neighbor_gone(ifindex, address, noticed, now),
            Event::KernelSync(sync) => self.kernel_sync(sync, now),
            Event::Fpm(event) => self.fpm(event, now),
            Event::PortCarrier { port, up, noticed } => self.port_carrier(port, up, noticed, now),
            Event::PortReported { port, report } => self.plan.heard_report(port, report),
            Event::HashProgrammed { port, ticket, done } => {
                let step = self.nics.programmed(port, ticket, done, now);
                self.hash_steps(step, now);
            }
            Event::Offload(update) => self.offload_update(*update),
            Event::Spread(news) => self.spread(*news),
            Event::Request(request, reply) if self.ask_offload(&request, &reply, now) => {}
            Event::Request(request, reply) => return self.serve(&request, &reply, now),
        }
        self.commit(now);
    }

    /// Does what is due by `now`.
    pub fn tick(&mut self, now: Instant) {
        self.work_off(now);
        self.tell_ready();
        let steps = self.nics.tick(now);
        self.hash_steps(steps, now);
        self.retry(now);
        self.release_and_ease(now);
        self.close_repairs(now);
        self.commit(now);
        self.keep(now);
        self.tidy_audit(now);
        self.tidy_offload(now);
        if self.activity.due().is_some_and(|due| now >= due) {
            self.activity.read(&self.plan.groups, now);
            self.samples.take(now);
            self.choose_marks(now);
        }
    }

    /// When [`Control::tick`] is due, if nothing comes before; in the past: at once.
    pub fn next_deadline(&self) -> Option<Instant> {
        let dues = [
            self.backlog.since(),
            self.reports.due(),
            self.session.deadline(),
            self.bridges.due(),
            self.room.due(),
            self.activity.due(),
            self.next_ease(),
            self.times.due(),
            self.keeping.due(),
        ];
        dues.into_iter().flatten().min()
    }

    /// What others are to do, in order; each is given out once.
    pub fn actions(&mut self) -> impl Iterator<Item = Action> + '_ {
        self.actions.drain(..)
    }

    /// Publishes what is pending.
    pub(crate) fn commit(&mut self, now: Instant) {
        if !self.plan.lost.is_empty() {
            self.let_dead_go(now);
        }
        self.nic_facts();
        let (refused, actions) = self.plan.commit(now);
        let changes = self.plan.groups.take_changes();
        self.activity.follow(&self.plan.groups, &changes, now);
        if !changes.is_empty() {
            self.keeping.touch(now);
        }
        self.plan_easing(now);
        self.collect();
        self.actions.extend(actions);
        let rules = self.plan.dplane.mark_rules();
        if !rules.is_empty() {
            self.actions.push_back(Action::Marks(rules));
        }
        let steps = self.nics.published();
        self.hash_steps(steps, now);
        for (prefix, why) in refused {
            if let Some(entry) = self.rib.get_mut(prefix) {
                self.plan.groups.detach(entry.group);
                entry.group = fastpath::table::GroupId::NONE;
                entry.failed = Some(format!("fib: {why}").into());
                self.plan.room_changed.push(prefix);
            }
        }
        self.note_room(&changes, now);
        self.feed(&changes);
        self.report_commit(&changes, now);
        self.tell_left();
        self.short_of_adjacencies(now);
    }

    /// Whoever found no room among the adjacencies is looked at again when there is some, which it is
    /// after a commit that took some back.
    fn short_of_adjacencies(&mut self, now: Instant) {
        let short = self.plan.take_short();
        if short.is_empty() {
            return;
        }
        let repair = self.plan.refresh(short, now);
        if repair.gained > 0 {
            let noticed = self.wall(now);
            let what = format!("{} have found room", repair.gained);
            self.repaired("nexthops".into(), what, &repair, noticed, now);
        }
    }

    fn link(&mut self, link: Link, noticed: Noticed, now: Instant) {
        let ifindex = link.ifindex;
        if let Some(known) = &mut self.known {
            known.links.insert(ifindex);
        }
        let before = self.plan.ports.of(ifindex);
        let was_up = self.plan.ports.is_interface_up(ifindex);
        self.plan.ports.link(link);
        self.link_changed(ifindex, before, was_up, noticed, now);
    }

    pub(crate) fn link_gone(&mut self, ifindex: u32, noticed: Noticed, now: Instant) {
        let before = self.plan.ports.of(ifindex);
        let was_up = self.plan.ports.is_interface_up(ifindex);
        let here = |i: u32| i == ifindex;
        let neighbors = self.plan.neighbors.all().filter(|n| here(n.0));
        let neighbors: Vec<IpAddr> = neighbors.map(|n| n.1).collect();
        let addresses = self.plan.ports.addresses().filter(|a| here(a.0));
        let addresses: Vec<_> = addresses.map(|a| (a.1, a.2)).collect();
        self.plan.ports.link_gone(ifindex);
        self.link_changed(ifindex, before, was_up, noticed, now);
        for address in neighbors {
            self.neighbor_gone(ifindex, address, noticed, now);
        }
        for (address, prefix_len) in addresses {
            self.address(ifindex, address, prefix_len, false, now);
        }
    }

    fn port_carrier(&mut self, port: PortId, up: bool, noticed: Noticed, now: Instant) {
        let ifindex = self.plan.ports.netdev(port).unwrap_or(configured(port));
        let was_up = self.plan.ports.is_up(port);
        self.plan.ports.device_carrier(port, up);
        self.link_changed(ifindex, Some(port), was_up, noticed, now);
    }

    /// A link is up or down, or is another port's than before.
    fn link_changed(
        &mut self,
        ifindex: u32,
        before: Option<PortId>,
        was_up: bool,
        noticed: Noticed,
        now: Instant,
    ) {
        let port = self.plan.ports.of(ifindex).or(before);
        let mut interfaces: Vec<u32> = self.plan.ports.aliases(ifindex).collect();
        interfaces.extend(port.map(configured));
        let members: Vec<Member> = self.plan.on(&interfaces);
        let is_up = match port {
            Some(port) => self.plan.ports.is_up(port),
            None => self.plan.ports.is_interface_up(ifindex),
        };
        if !is_up {
            self.plan.forgotten(members.iter().copied());
        }
        let repair = self.plan.refresh(members, now);
        let moved = self.plan.ports.of(ifindex) != before;
        if moved {
            self.take_up_again(now);
        }
        if is_up != was_up || repair.done.is_some() {
            if let Some(port) = port {
                let reason = self.plan.ports.down_reason(port);
                let what = reason.map_or("up".into(), |r| format!("down: {}", r.name()));
                let object = format!("port {}", self.plan.ports.name(port));
                self.repaired(object, what, &repair, noticed, now);
            }
        }
        if is_up != was_up || moved {
            let here = |i: u32| i == ifindex || interfaces.contains(&i);
            let connected = self.plan.ports.addresses().filter(|a| here(a.0));
            let connected: Vec<Prefix> = connected
                .filter_map(|(_, a, l)| Prefix::containing(a, l).ok())
                .collect();
            let hosts = self.plan.neighbors.all().filter(|n| here(n.0));
            let hosts: Vec<(u32, IpAddr)> = hosts.map(|n| (n.0, n.1)).collect();
            for prefix in connected {
                drive(&mut self.plan, &mut self.rib, prefix, now);
            }
            for (ifindex, address) in hosts {
                self.host(ifindex, address, now);
            }
        }
    }

    /// An own address came or went.
    pub(crate) fn address(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        length: u8,
        add: bool,
        now: Instant,
    ) {
        if let (Some(known), true) = (&mut self.known, add) {
            known.addresses.insert((ifindex, address, length));
        }
        let touched = std::iter::once(address).chain(directed_broadcast(address, length));
        let before: Vec<(IpAddr, bool)> = touched
            .map(|touched| (touched, !self.plan.ports.kernels(touched).is_empty()))
            .collect();
        let changed = if add {
            self.plan.ports.address(ifindex, address, length)
        } else {
            self.plan.ports.address_gone(ifindex, address, length)
        };
        if !changed || address.is_loopback() {
            return;
        }
        let host = Prefix::host(address);
        for (address, was_kernels) in before {
            let interfaces = self.plan.ports.kernels(address);
            let add = !interfaces.is_empty();
            if add != was_kernels {
                self.actions.push_back(Action::OwnAddress { address, add });
            }
            let host = Prefix::host(address);
            self.rib.entry(host).others().local = interfaces;
            drive(&mut self.plan, &mut self.rib, host, now);
        }
        match Prefix::containing(address, length) {
            Ok(prefix) if prefix != host && !is_link_local(address) => {
                let same = |a: (IpAddr, u8)| a.1 == length && prefix.contains(a.0);
                let any = self.plan.ports.addresses_on(ifindex).any(same);
                let connected = &mut self.rib.entry(prefix).others().connected;
                if any {
                    connected.insert(ifindex);
                } else {
                    connected.remove(&ifindex);
                }
                drive(&mut self.plan, &mut self.rib, prefix, now);
            }
            _ => {}
        }
        self.host_again(address, now);
    }

    /// Whatever is a neighbor at `address` is looked at again.
    fn host_again(&mut self, address: IpAddr, now: Instant) {
        let same = self.plan.neighbors.within(Prefix::host(address));
        let same: Vec<(u32, IpAddr)> = same.collect();
        for (ifindex, address) in same {
            self.host(ifindex, address, now);
        }
    }

    fn neighbor(&mut self, neighbor: &Neighbor, noticed: Noticed, now: Instant) {
        let (ifindex, address) = (neighbor.ifindex, neighbor.address);
        if let Some(known) = &mut self.known {
            known.neighbors.insert((ifindex, address));
        }
        self.plan.neighbors.upsert(neighbor);
        let members = self.plan.resolved_by(ifindex, address);
        let given_up = neighbor.state == NeighborState::Failed;
        if given_up && self.asks_again(ifindex, address, now) {
            // Who replaces an entry ends its being kept resolved, and old kernels cannot do that.
            self.plan.forgotten(members.iter().copied());
        }
        let repair = self.plan.refresh(members, now);
        let state = neighbor.state.name();
        self.repaired_neighbor((ifindex, address), state, &repair, noticed, now);
        self.host(ifindex, address, now);
    }

    pub(crate) fn neighbor_gone(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        noticed: Noticed,
        now: Instant,
    ) {
        if self.plan.neighbors.remove(ifindex, address).is_none() {
            return;
        }
        let members = self.plan.resolved_by(ifindex, address);
        self.plan.forgotten(members.iter().copied());
        let repair = self.plan.refresh(members, now);
        self.repaired_neighbor((ifindex, address), "gone", &repair, noticed, now);
        self.host(ifindex, address, now);
    }

    /// The host route of a neighbor, if it is to have one.
    fn host(&mut self, ifindex: u32, address: IpAddr, now: Instant) {
        let plan = &self.plan;
        let prefix = Prefix::host(address);
        let fit = !is_link_local(address) && !address.is_multicast() && !address.is_loopback();
        let on = |i: u32| {
            let entry = plan.neighbors.find(std::iter::once(i), address)?;
            let port = plan.ports.of(i)?;
            let good = entry.usable().is_some() && !entry.zebra && plan.ports.is_up(port);
            (good && fit).then_some(i)
        };
        let others = plan.neighbors.within(prefix).map(|n| n.0);
        let neighbor = on(ifindex).or_else(|| others.into_iter().find_map(on));
        if self.rib.get(prefix).is_none() && neighbor.is_none() {
            return;
        }
        self.rib.entry(prefix).others().neighbor = neighbor;
        drive(&mut self.plan, &mut self.rib, prefix, now);
    }

    /// Next hops that cannot be used though routes want them, by state.
    pub fn unusable(&self) -> impl Iterator<Item = (Key, State)> + '_ {
        let wanted = self
            .plan
            .nexthops
            .iter()
            .filter(|(_, n)| !n.groups.is_empty());
        wanted
            .filter(|(_, n)| n.outlook.state != State::Up)
            .map(|(_, n)| (n.key, n.outlook.state))
    }
}

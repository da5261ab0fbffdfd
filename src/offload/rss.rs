//! Backend `rss`: NICs spread packets over the queues of workers by our key, and mark prefixes, by rules of
//! rte_flow's first API; software forwards all of it.
//!
//! A thread of its own does the rules, which take mlx5 longer than a repair may wait.

use super::marks::{self, Room};
use crate::nic;
use crate::output::Failure;
use control::api::message::OffloadSpread;
use control::config::offload::{Backend, Mode};
use control::config::{Config, Device};
use control::event::{Action, Event};
use control::marks::{Rule, Spread, SpreadNews};
use fastpath::dpdk::{Port, RssAlgorithm, RssOptions, Rules};
use fastpath::hash::{Settings, toeplitz};
use fastpath::table::PortId;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

/// What the thread is asked for.
#[derive(Debug)]
pub enum SpreadOrder {
    /// The NIC of this port is to hash so; the ticket comes back with the answer.
    Program(PortId, RssOptions, u64),
    /// All NICs are to spread so.
    Spread(Spread),
    /// Marks to put in and to take out.
    Marks(Vec<Rule>),
    /// Nothing comes any more.
    Stop,
}

/// A port's rules, and what is said of it.
struct Each<'p> {
    id: PortId,
    rules: Option<Rules<'p>>,
    /// The device tells its hash with packets.
    tells: bool,
    view: OffloadSpread,
    marks: Room,
}

/// All ports.
pub struct Spreader<'p>(Vec<Each<'p>>);

/// As near to `settings` as NICs come.
fn options(spread: Spread) -> RssOptions {
    RssOptions {
        key: toeplitz::key(spread.seed),
        ports: spread.ports,
        algorithm: match spread.sorted {
            true => RssAlgorithm::SortedToeplitz,
            false => RssAlgorithm::Toeplitz,
        },
    }
}

/// What `config` wants of the NICs of started `ports`, done as far as they do it; `hash` is in force.
/// Nothing, where it wants something else.
///
/// # Errors
/// A port is not spread as it must be.
pub fn open<'p>(
    (config, hash): (&Config, &Settings),
    ports: &[(PortId, &'p Port<'p>)],
) -> Result<Option<Spreader<'p>>, Failure> {
    let (mode, backend) = (config.offload.mode, config.offload.backend);
    if mode == Mode::Off || backend != Backend::Rss {
        return Ok(None);
    }
    let wanted = match hash.rss() {
        Some(rss) => nic::options(rss),
        None => options(Spread::of(hash)),
    };
    let mut all = Vec::new();
    for (id, port) in ports {
        let device = &config.ports[usize::from(id.0)].device;
        let is_ours = matches!(device, Some(Device::Pci(_) | Device::Devargs(_)));
        let each = Each::open(*id, port, is_ours, &wanted);
        log::info!(
            "port {}: spread: {}: {}",
            port.name(),
            each.view.by,
            each.view.how
        );
        if mode == Mode::Required && each.view.by == "driver" {
            let remedy = "set [offload] mode = \"auto\" to go on with what its driver does";
            let how = each.view.how.clone();
            return Err(Failure::run(
                format!("port {}", port.name()),
                "spread its packets",
                how,
                Some(remedy),
            ));
        }
        all.push(each);
    }
    Ok(Some(Spreader(all)))
}

impl<'p> Each<'p> {
    fn open(id: PortId, port: &'p Port<'p>, is_ours: bool, wanted: &RssOptions) -> Self {
        let queues = port.rx_queues();
        let mut each = Each {
            id,
            rules: None,
            tells: port.tells_hash(),
            view: OffloadSpread {
                port: port.name().into(),
                queues,
                ..OffloadSpread::default()
            },
            marks: Room::default(),
        };
        if !is_ours {
            each.say("driver", "the kernel's driver has the NIC".into());
            each.marks.families = [Some(false); 2];
            return each;
        }
        let mut rules = match Rules::new(port) {
            Ok(rules) => rules,
            Err(error) => {
                each.say("driver", error.to_string());
                each.marks.families = [Some(false); 2];
                return each;
            }
        };
        if queues < 2 {
            each.say("none", "one queue: there is nothing to spread over".into());
        } else {
            match rules.spread(wanted) {
                Ok(_) => each.spread_by(&rules, wanted),
                Err(refused) => match port.set_rss(wanted) {
                    Ok(()) => each.say("ethdev", format!("{}; no rule: {refused}", words(wanted))),
                    Err(other) => {
                        let other = &other.cause;
                        each.say("driver", format!("no rule: {refused}; ethdev: {other}"));
                    }
                },
            }
        }
        each.rules = Some(rules);
        each
    }

    fn say(&mut self, by: &str, how: String) {
        (self.view.by, self.view.how) = (by.into(), how);
    }

    fn spread_by(&mut self, rules: &Rules<'_>, wanted: &RssOptions) {
        let by = rules
            .spread_by()
            .map_or_else(String::new, |by| by.to_string());
        let fields = if wanted.ports {
            "addresses and ports"
        } else {
            "addresses"
        };
        self.say("rule", format!("{by} over {fields}"));
    }

    /// Spreads anew, where a rule does it; the ports whose driver does are [`nic::program`]'s.
    fn spread(&mut self, wanted: &RssOptions) -> Result<(), String> {
        let Some(mut rules) = self.rules.take_if(|_| self.view.by == "rule") else {
            return Err("it is not spread by a rule".into());
        };
        let done = rules.spread(wanted);
        match &done {
            Ok(_) => self.spread_by(&rules, wanted),
            Err(error) => {
                let now = rules.spread_by();
                let now = now.map_or("the driver's own".into(), |by| by.to_string());
                self.say("rule", format!("{now}, as before: {error}"));
            }
        }
        self.rules = Some(rules);
        done.map(drop).map_err(|error| error.to_string())
    }
}

fn words(wanted: &RssOptions) -> &'static str {
    match wanted.ports {
        true => "over addresses and ports",
        false => "over addresses",
    }
}

impl Spreader<'_> {
    /// The ports that a rule spreads.
    pub fn by_rule(&self) -> Vec<PortId> {
        let rules = self.0.iter().filter(|each| each.view.by == "rule");
        rules.map(|each| each.id).collect()
    }

    /// What is said of it all.
    pub fn news(&self) -> SpreadNews {
        let ports = self.0.iter().map(|each| OffloadSpread {
            marks: each.rules.as_ref().map_or(0, |r| r.marked() as u64),
            marks_reason: each.marks.reason.clone(),
            ..each.view.clone()
        });
        let may = |family: usize| {
            self.0
                .iter()
                .any(|each| each.marks.families[family] != Some(false))
        };
        SpreadNews {
            ports: ports.collect(),
            room: self.0.iter().filter_map(|each| each.marks.most()).min(),
            families: [may(0), may(1)],
        }
    }

    /// When a NIC is to be tried again.
    fn deadline(&self) -> Option<Instant> {
        let all = self.0.iter().filter_map(|each| each.marks.deadline());
        all.min()
    }

    /// Tries again what it is time for; true if that may have changed anything.
    fn retry(&mut self, now: Instant) -> bool {
        self.0.iter_mut().fold(false, |any, each| {
            let rules = each.rules.as_mut();
            any | rules.is_some_and(|rules| each.marks.retry(rules, now))
        })
    }
}

/// Does what it is told until [`SpreadOrder::Stop`]; at the end the rules go.
pub fn serve(mut spreader: Spreader<'_>, orders: &Receiver<SpreadOrder>, events: &Sender<Event>) {
    // Control is gone only when the process ends.
    let tell = |event| drop(events.send(event));
    loop {
        let order = match spreader.deadline() {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let told = match order {
            Ok(SpreadOrder::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(order) => {
                spreader.follow(order, tell);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
        };
        if spreader.retry(Instant::now()) || told {
            tell(Event::Spread(Box::new(spreader.news())));
        }
    }
}

impl Spreader<'_> {
    fn follow(&mut self, order: SpreadOrder, tell: impl Fn(Event)) {
        match order {
            SpreadOrder::Program(port, wanted, ticket) => {
                let each = self.0.iter_mut().find(|each| each.id == port);
                let done = match each {
                    None => Err("it has no device".into()),
                    Some(each) => each.spread(&wanted).and_then(|()| match each.tells {
                        true => Ok(()),
                        false => Err("the NIC does not tell its hash with packets".into()),
                    }),
                };
                tell(Event::HashProgrammed { port, ticket, done });
            }
            SpreadOrder::Spread(spread) => {
                let wanted = options(spread);
                for each in self.0.iter_mut().filter(|e| e.view.by == "rule") {
                    if let Err(error) = each.spread(&wanted) {
                        log::warn!("port {}: spread: {error}", each.view.port);
                    }
                }
            }
            SpreadOrder::Marks(rules) => {
                let nics = self.0.iter_mut();
                let nics = nics.filter_map(|each| Some((&mut each.marks, each.rules.as_mut()?)));
                marks::follow(&mut nics.collect::<Vec<_>>(), &rules, Instant::now());
            }
            SpreadOrder::Stop => {}
        }
    }
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub struct ToNics {
    orders: Sender<SpreadOrder>,
    by_rule: Vec<PortId>,
}

impl ToNics {
    /// Of a thread that takes `orders`, for the rules of `spreader`.
    pub fn new(orders: Sender<SpreadOrder>, spreader: &Spreader<'_>) -> Self {
        ToNics {
            orders,
            by_rule: spreader.by_rule(),
        }
    }

    /// Passes on what is the thread's; an action that is not comes back.
    pub fn take(&self, action: Action) -> Option<Action> {
        let order = match action {
            Action::ProgramHash { port, rss, ticket } if self.by_rule.contains(&port) => {
                SpreadOrder::Program(port, nic::options(rss), ticket)
            }
            Action::Spread(spread) => SpreadOrder::Spread(spread),
            Action::Marks(rules) => SpreadOrder::Marks(rules),
            other => return Some(other),
        };
        self.send(order);
        None
    }

    /// Nothing comes any more.
    pub fn stop(&self) {
        self.send(SpreadOrder::Stop);
    }

    fn send(&self, order: SpreadOrder) {
        // The thread ends after everyone who has orders.
        let _ = self.orders.send(order);
    }
}

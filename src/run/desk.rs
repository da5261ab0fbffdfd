//! The control thread's desk: events in, actions out, and what has no event of its own.

use super::feeds::{Feeds, Lost};
use super::keeper::Keeper;
use super::ports::{self, Ports, Side};
use crate::offload::Order;
use crate::offload::rss::ToNics;
use control::control::Control;
use control::event::{Action, Event, KernelSync, Noticed};
use fastpath::software::push::Gleans;
use fastpath::table::LpmWrite;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long to wait for an event before looking at what has none: unresolved destinations, links
/// of devices without an interrupt, signals.
const PATIENCE: Duration = Duration::from_millis(10);

/// How often devices are asked for their links: few report them in time, most do not at all.
const LINK_INTERVAL: Duration = Duration::from_millis(50);

/// How often devices are asked for what they lost: a driver may ask the kernel or its firmware.
const LOST_INTERVAL: Duration = Duration::from_secs(1);

/// Events handled before their actions are carried out.
const EVENTS_AT_ONCE: usize = 256;

/// The way to the hardware plane. Where the kernel goes on using the NICs of ports, its program lets
/// nothing in before it knows all own addresses: until then the kernel has them all.
pub struct Orders {
    to: Sender<Order>,
    /// Plans that wait for that.
    held: Option<Vec<Order>>,
}

impl Orders {
    /// To there; plans wait if they are to be `held`.
    pub fn new(to: Sender<Order>, held: bool) -> Self {
        let held = held.then(Vec::new);
        Orders { to, held }
    }

    fn send(&mut self, order: Order) {
        match &mut self.held {
            Some(held) => held.push(order),
            // Its thread ends after this one.
            None => drop(self.to.send(order)),
        }
    }

    /// All own addresses are known, and are among what was sent.
    fn release(&mut self) {
        for order in self.held.take().into_iter().flatten() {
            self.send(order);
        }
    }
}

/// Everything around the control thread.
pub struct Desk<'d, 'p> {
    inbox: Receiver<Event>,
    feeds: Feeds,
    keeper: Keeper,
    ports: &'d mut Ports<'p>,
    gleans: &'d Gleans,
    /// What devices lost, for who asks.
    lost: &'d Lost,
    /// To the hardware plane.
    orders: Option<Orders>,
    /// To NICs that work for software.
    nics: Option<ToNics>,
}

impl<'d, 'p> Desk<'d, 'p> {
    /// A desk that `inbox` leads to.
    pub fn new(
        inbox: Receiver<Event>,
        feeds: Feeds,
        keeper: Keeper,
        ports: &'d mut Ports<'p>,
        gleans: &'d Gleans,
        lost: &'d Lost,
        orders: Option<Orders>,
    ) -> Self {
        Desk {
            inbox,
            feeds,
            keeper,
            ports,
            gleans,
            lost,
            orders,
            nics: None,
        }
    }

    /// With NICs that spread packets and mark prefixes.
    #[must_use]
    pub fn spreading(mut self, nics: Option<ToNics>) -> Self {
        self.nics = nics;
        self
    }

    /// Serves `control` until `stop` is set.
    pub fn serve<L: LpmWrite>(
        &mut self,
        control: &mut Control<L>,
        sides: &[Side<'p>],
        stop: &AtomicBool,
    ) {
        let mut next_links = Instant::now();
        let mut next_lost = next_links;
        let mut patience = PATIENCE;
        while !stop.load(Ordering::Relaxed) {
            let synced = self.listen(control, patience);
            let gleans = std::iter::from_fn(|| self.gleans.pop());
            let more = control.glean(gleans, Instant::now());
            patience = if more { Duration::ZERO } else { PATIENCE };
            let noticed = Noticed::now();
            let now = noticed.at;
            control.set_clock(noticed);
            control.tick(now);
            let mut answers = Vec::new();
            for action in control.actions() {
                let action = match &self.nics {
                    Some(nics) => nics.take(action),
                    None => Some(action),
                };
                let Some(action) = action else { continue };
                match action {
                    Action::OwnAddress { address, add } => self.ports.own_address(address, add),
                    Action::ProgramHash { port, rss, ticket } => {
                        let done = ports::program_hash(sides, port, rss);
                        answers.push(Event::HashProgrammed { port, ticket, done });
                    }
                    Action::Keep(image) => self.keeper.keep(image),
                    Action::Offload(number, changes) => {
                        self.order(Order::Plan(number, changes));
                    }
                    Action::AskOffload(ask) => self.order(Order::Ask(ask)),
                    other => self.feeds.act(other),
                }
            }
            for answer in answers {
                control.handle(answer, Instant::now());
            }
            if synced {
                // Only now are all own addresses in the maps, and in what hardware is told.
                self.ports.enable();
                if let Some(orders) = &mut self.orders {
                    orders.release();
                }
            }
            if now >= next_links {
                self.ports.poll_links(sides);
                next_links = now + LINK_INTERVAL;
            }
            if now >= next_lost {
                self.lost.set(ports::lost(sides));
                next_lost = now + LOST_INTERVAL;
            }
        }
        self.ports.disable();
        self.keeper.keep(Arc::new(control.image(Instant::now())));
    }

    fn order(&mut self, order: Order) {
        if let Some(orders) = &mut self.orders {
            orders.send(order);
        }
    }

    /// Handles what has come in, and waits if nothing has, no longer than `patience`. True when the
    /// kernel's state is complete.
    fn listen<L: LpmWrite>(&mut self, control: &mut Control<L>, patience: Duration) -> bool {
        let now = Instant::now();
        let due = control
            .next_deadline()
            .map_or(patience, |d| d.saturating_duration_since(now));
        let mut synced = false;
        let mut next = match self.inbox.recv_timeout(due.min(patience)) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        };
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = next else { break };
            synced |= matches!(event, Event::KernelSync(KernelSync::End));
            if let Event::Link(link, noticed) = &event {
                if let Some(port) = self.ports.lost_by(link) {
                    let (up, noticed) = (false, *noticed);
                    let lost = Event::PortCarrier { port, up, noticed };
                    control.handle(lost, Instant::now());
                }
            }
            let carrier = match event {
                Event::PortCarrier { port, up, .. } => Some((port, up)),
                _ => None,
            };
            control.handle(event, Instant::now());
            if let Some((port, up)) = carrier {
                // Behind the repair, which comes first: this is for FRR.
                self.ports.carrier(port, up);
            }
            next = self.inbox.try_recv().ok();
        }
        synced
    }
}

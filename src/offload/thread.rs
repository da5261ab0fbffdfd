//! The thread that owns the programs: orders in, what became of them out.

use control::event::Event;
use control::offload::{Ask, Audit, Setting, Update, What, look, script};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use fastpath::hardware::Steering;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::plan::Change;
use fastpath::table::PortId;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long to wait for completions before asking for them again.
const COMPLETION: Duration = Duration::from_micros(200);
/// How often control gets figures.
const FIGURES: Duration = Duration::from_secs(1);
/// Orders taken before the next piece of work.
const ORDERS: usize = 64;
/// Prefixes told at once.
const NEWS: usize = 4096;

/// What the thread is asked for.
#[derive(Debug)]
pub enum Order {
    /// Changes of the plan, and their number.
    Plan(u64, Vec<Change>),
    /// A port has a link, or has none, by the word of its device.
    Link(PortId, bool),
    /// A question about the programs.
    Ask(Ask),
    /// Nothing comes any more.
    Stop,
}

/// Operations of the last second.
#[derive(Debug)]
struct Pace {
    since: Instant,
    done: u64,
    per_second: f64,
}

/// Answers a question; an audit in a thread of its own, on copies.
fn answer<S: Steering>(agent: &mut Agent<S>, about: (&Setting, f64), ask: Ask) {
    let reply = ask.reply.clone();
    let answer = match ask.what {
        What::Show => look(agent, about, &ask),
        What::Export => script(agent, about.0),
        What::Verify(_) => {
            let Some(audit) = Audit::of(agent, ask) else {
                return;
            };
            let made = Builder::new().name("audit".into()).spawn(|| audit.make());
            if let Err(cause) = made {
                log::error!("offload: start the thread of an audit: {cause}");
            }
            return;
        }
    };
    // Who asked may have gone away meanwhile.
    let _ = reply.send(answer);
}

/// Keeps `agent` at what it is told until [`Order::Stop`]. The NICs, with what is in them.
pub fn serve<S: Steering>(
    mut agent: Agent<S>,
    setting: &Setting,
    orders: &Receiver<Order>,
    events: &Sender<Event>,
) -> Vec<S> {
    let mut pace = Pace {
        since: Instant::now(),
        done: 0,
        per_second: 0.0,
    };
    let mut busy = true;
    loop {
        let wait = match (busy, agent.under_way()) {
            (true, _) => Duration::ZERO,
            (false, 0) => {
                let now = Instant::now();
                let due = agent.deadline().unwrap_or(now + FIGURES);
                due.min(pace.since + FIGURES).saturating_duration_since(now)
            }
            (false, _) => COMPLETION,
        };
        match orders.recv_timeout(wait) {
            Ok(order) => {
                let more = orders.try_iter().take(ORDERS);
                for order in std::iter::once(order).chain(more) {
                    match order {
                        Order::Plan(number, changes) => agent.apply(number, changes),
                        Order::Link(port, true) => agent.port_up(port),
                        Order::Link(port, false) => agent.port_down(port),
                        Order::Ask(ask) => answer(&mut agent, (setting, pace.per_second), ask),
                        Order::Stop => return agent.into_steerings(),
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return agent.into_steerings(),
        }
        let now = Instant::now();
        busy = agent.turn(now);
        let status = (now >= pace.since + FIGURES).then(|| {
            let done = agent.operations().done;
            let seconds = now.duration_since(pace.since).as_secs_f64();
            pace.per_second = (done - pace.done) as f64 / seconds;
            (pace.since, pace.done) = (now, done);
            Box::new(setting.status(&agent, pace.per_second))
        });
        let news = agent.news(NEWS);
        if news.is_some() || status.is_some() {
            let news = news.unwrap_or_else(|| agent.no_news());
            let update = Box::new(Update { news, status });
            // Control is gone only when the process ends.
            let _ = events.send(Event::Offload(update));
        }
    }
}

//! The thread that owns the programs: orders in, what became of them out.

use control::event::Event;
use control::offload::{Ask, Inquiries, Setting, Update, What, look};
use fastpath::hardware::Steering;
use fastpath::hardware::agent::Agent;
use fastpath::hardware::plan::Change;
use fastpath::table::PortId;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
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
    let mut inquiries = Inquiries::default();
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
                        Order::Plan(number, changes) => {
                            inquiries.follow(&changes);
                            agent.apply(number, changes);
                        }
                        Order::Link(port, true) => agent.port_up(port),
                        Order::Link(port, false) => agent.port_down(port),
                        Order::Ask(ask) if matches!(ask.what, What::Show) => {
                            let answer = look(&agent, (setting, pace.per_second), &ask);
                            // Who asked may have gone away meanwhile.
                            let _ = ask.reply.send(answer);
                        }
                        Order::Ask(ask) => inquiries.ask(&mut agent, ask, Instant::now()),
                        Order::Stop => return agent.into_steerings(),
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return agent.into_steerings(),
        }
        let now = Instant::now();
        busy = agent.turn(now);
        let turn = inquiries.turn(&mut agent, setting, now);
        busy |= turn.is_busy;
        if let Some(job) = turn.job {
            // Who asks hears that it is gone.
            let made = Builder::new().name("audit".into()).spawn(|| job.make());
            if let Err(cause) = made {
                log::error!("offload: start the thread of an audit: {cause}");
            }
        }
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

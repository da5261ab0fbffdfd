//! What control does: it takes a table in, and changes routes and groups at a pace while packets flow,
//! between slices of quiet.

use super::world::World;
use crate::output::Failure;
use control::control::Control;
use control::event::{Action, Event};
use control::fpm::frame::Frames;
use control::fpm::{Batch, FpmEvent};
use fastpath::dpdk::{Fib, thread_time_ns};
use fastpath::table::{GroupId, LpmWrite};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The pace is kept from one of these to the next.
const STEP: Duration = Duration::from_millis(1);
/// No more than this is caught up with at once.
const MOST: Duration = Duration::from_millis(100);

/// Bytes that one read of zebra's socket brings.
const READ: usize = 256 << 10;

/// How much changes, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Routes that point to another group.
    pub routes: u32,
    /// Groups that lose a member or get it back.
    pub groups: u32,
}

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Changed {
    routes: u64,
    groups: u64,
    busy: Duration,
}

/// What changes made of forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Route changes a second that control has made.
    pub routes_changed: f64,
    /// Group changes likewise.
    pub groups_changed: f64,
    /// Cycles a packet meanwhile, the floor left out.
    pub cost_meanwhile: f64,
    /// That as ratio to the cost without.
    pub ratio: f64,
}

impl Pace {
    /// Anything changes at all.
    pub fn is_some(self) -> bool {
        self != Pace::default()
    }
}

impl Changed {
    /// As rates; `cost` is that of forwarding without and with changes, cycles a packet.
    pub fn found(&self, [quiet, busy]: [f64; 2]) -> Found {
        let rate = |count: u64| (count as f64 / self.busy.as_secs_f64().max(1e-9)).round();
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        Found {
            routes_changed: rate(self.routes),
            groups_changed: rate(self.groups),
            cost_meanwhile: rounded(busy),
            ratio: rounded(busy / quiet),
        }
    }
}

/// Lets control do what is due, and does what it asks of others.
fn attend<L: LpmWrite>(control: &mut Control<L>, world: &World, now: Instant) {
    loop {
        while control.next_deadline().is_some_and(|due| due <= now) {
            control.tick(now);
        }
        let replies = |action: &Action| matches!(action, Action::FpmReply { .. });
        // Zebra reads at once whatever it is told.
        if control.actions().filter(replies).count() == 0 {
            return;
        }
        control.handle(world.written(), now);
    }
}

/// Changes routes and groups of `world` at `pace` whenever `busy` says so, until `is_over`.
pub fn change<L: LpmWrite>(
    control: &mut Control<L>,
    world: &World,
    pace: Pace,
    busy: &AtomicBool,
    is_over: impl Fn() -> bool,
) -> Changed {
    let mut changed = Changed::default();
    // What is owed, in parts of a billion: who shares its core catches up.
    let mut owed = [0_u128; 2];
    let (mut next, mut before) = ([0; 2], None);
    while !is_over() {
        if !busy.load(Ordering::Acquire) {
            before = None;
            std::thread::sleep(STEP / 10);
            continue;
        }
        let start = Instant::now();
        let passed = before.map_or(STEP, |at| start - at);
        before = Some(start);
        let pace = [pace.routes, pace.groups];
        let [routes, groups] = std::array::from_fn(|i| {
            owed[i] += u128::from(pace[i]) * passed.min(MOST).as_nanos();
            let due = owed[i] / 1_000_000_000;
            owed[i] %= 1_000_000_000;
            due as u64
        });
        let [of_routes, of_groups] = &mut next;
        if routes > 0 {
            control.handle(world.routes_change(of_routes, routes as u32), start);
        }
        for _ in 0..groups {
            control.handle(world.group_changes(of_groups), start);
        }
        attend(control, world, start);
        changed.routes += routes;
        changed.groups += groups;
        changed.busy += passed;
        std::thread::sleep(STEP.saturating_sub(start.elapsed()));
    }
    changed
}

/// How long it took to take in a table, of the thread's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// From bytes to changes.
    pub decoded: Duration,
    /// From changes to both copies of the lookup.
    pub programmed: Duration,
    /// Both copies of the lookup by themselves.
    pub lookups: Duration,
}

impl TakenIn {
    /// All of it.
    pub fn all(&self) -> Duration {
        self.decoded + self.programmed
    }
}

fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let before = thread_time_ns();
    let done = work();
    *sum += Duration::from_nanos(thread_time_ns() - before);
    done
}

/// How long twice as many bare additions take as there are routes: no copy of a lookup is filled for less.
///
/// # Errors
/// The lookup refuses one.
pub fn lookups(fib: &mut Fib<'_>, world: &World) -> Result<Duration, Failure> {
    let (table, mut spent) = (world.table(), Duration::ZERO);
    timed(&mut spent, || {
        table.iter().try_for_each(|&(prefix, group)| {
            let (length, group) = (prefix.length(), GroupId(1 + group));
            match prefix.address() {
                IpAddr::V4(address) => fib.upsert4(address, length, group),
                IpAddr::V6(address) => fib.upsert6(address, length, group),
            }
        })
    })?;
    Ok(2 * spent)
}

/// Takes in all that zebra writes, as much at once as its socket brings.
///
/// # Errors
/// Something in it is not understood.
pub fn take_in<L: LpmWrite>(
    control: &mut Control<L>,
    world: &World,
    now: Instant,
) -> Result<TakenIn, Failure> {
    let (stream, mut frames) = (world.stream(), Frames::default());
    let mut taken = TakenIn::default();
    control.handle(world.connected(), now);
    for bytes in stream.chunks(READ) {
        let mut batch = Batch::default();
        let read = timed(&mut taken.decoded, || {
            frames.push(bytes);
            batch.put_frames(&mut frames)
        });
        read.map_err(|error| Failure::run("bench", "read routes", error.to_string(), None))?;
        timed(&mut taken.programmed, || {
            let batch = FpmEvent::Batch(Box::new(batch));
            control.handle(Event::Fpm(batch), now);
            attend(control, world, now);
        });
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_busy_time() {
        let changed = Changed {
            routes: 50_000,
            groups: 500,
            busy: Duration::from_millis(500),
        };
        let found = changed.found([40.0, 42.0]);
        assert_eq!((found.routes_changed, found.groups_changed), (1e5, 1e3));
        assert_eq!((found.cost_meanwhile, found.ratio), (42.0, 1.05));
        assert!(!Pace::default().is_some());
    }
}

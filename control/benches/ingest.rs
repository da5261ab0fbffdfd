//! How many routes a second go from zebra's bytes to the lookup, and what each takes of memory.
//!
//! `cargo bench -p control --bench ingest`; `-- --json` for programs, `-- --routes N`, `-- --count` for
//! counting instructions: one round. A stream as zebra writes it, of routes by two next hops, is cut
//! into what one read of its socket brings. Decoding alone is the floor of the same run; the lookup
//! keeps nothing, so what is left is control's own. `evenpath bench` does the same over DPDK's tables.

#[path = "../tests/lab/mod.rs"]
mod lab;
#[path = "../tests/ingest/stream.rs"]
mod stream;

use lab::Lab;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use stream::{Form, Nowhere};

/// Bytes a route that are left when all of `stream` is in, and the most that there were meanwhile.
fn memory(stream: &[u8], routes: u32) -> [i64; 2] {
    let mut lab = stream::lab();
    let taken = allocation_counter::measure(|| stream::feed(&mut lab, stream, true));
    [taken.bytes_current, taken.bytes_max as i64].map(|bytes| bytes / i64::from(routes))
}

/// Rounds, of which the medians count.
const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 7 };

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64()
}

/// What this thread has had of its core.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Decoding all of `stream`, and decoding and planning it.
fn round(stream: &[u8]) -> [Duration; 2] {
    let start = spent();
    let routes: usize = stream::batches(stream).map(|b| b.routes().len()).sum();
    let decoded = spent() - start;
    assert!(routes > 0);
    let mut lab = stream::lab();
    let start = spent();
    stream::feed(&mut lab, stream, true);
    let planned = spent() - start;
    drop::<Lab<Nowhere>>(lab);
    [decoded, planned]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|a| a == name);
    let after = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let routes: u32 = after("--routes").unwrap_or(500_000);
    let rounds = if has("--count") { 1 } else { ROUNDS };
    let is_json = has("--json");
    for form in [Form::Id, Form::Inline] {
        let stream = stream::of(form, routes);
        let times: Vec<_> = (0..rounds).map(|_| round(&stream)).collect();
        let of = |i: usize| median(&times.iter().map(|t| t[i]).collect::<Vec<_>>());
        let rate = |seconds: f64| f64::from(routes) / seconds;
        let [decoded, planned] = [rate(of(0)), rate(of(1))];
        let ratio = planned / decoded;
        let [bytes, most] = memory(&stream, routes);
        if is_json {
            println!(
                "{{\"form\":\"{}\",\"routes\":{routes},\"decoded\":{decoded:.0},\
                 \"planned\":{planned:.0},\"ratio\":{ratio:.3},\"bytes\":{bytes},\"most-bytes\":{most}}}",
                form.name()
            );
        } else {
            println!(
                "{:<8}{routes:>9} routes: decoded {decoded:>10.0} /s, decoded and planned \
                 {planned:>10.0} /s ({ratio:.2}); {bytes} bytes a route, {most} at most meanwhile",
                form.name(),
            );
        }
    }
}

//! How long control takes over the death of a next hop, by prefixes and by groups behind it.
//!
//! `cargo bench -p control --bench repair`; `-- --json` for programs. All of the handling counts,
//! from the news to the next event: down mask, buckets, grace period, commit. Loads take turns;
//! medians, and their ratio to the first load of the same run: judge by that.

#[path = "../tests/lab/mod.rs"]
mod lab;

use lab::flat::Flat;
use std::time::Duration;

/// Deaths of each load.
const ROUNDS: usize = if cfg!(debug_assertions) { 3 } else { 101 };

struct Load {
    what: &'static str,
    count: usize,
    flat: Flat,
    losses: Vec<Duration>,
    returns: Vec<Duration>,
}

fn load(what: &'static str, count: usize, flat: Flat) -> Load {
    Load {
        what,
        count,
        flat,
        losses: Vec::new(),
        returns: Vec::new(),
    }
}

/// In microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e6
}

fn measure(mut loads: Vec<Load>, is_json: bool) {
    for _ in 0..ROUNDS {
        for load in &mut loads {
            load.losses.push(load.flat.timed(false));
            load.returns.push(load.flat.timed(true));
        }
    }
    let mut first = None;
    for load in &mut loads {
        let times = [median(&mut load.losses), median(&mut load.returns)];
        let [loss0, return0] = *first.get_or_insert(times);
        let (what, count, family) = (load.what, load.count, load.flat.family);
        let ([loss, back], ratios) = (times, [times[0] / loss0, times[1] / return0]);
        if is_json {
            println!(
                "{{\"family\":{family},\"{what}\":{count},\"loss-us\":{loss:.1},\
                 \"loss-ratio\":{:.2},\"return-us\":{back:.1},\"return-ratio\":{:.2}}}",
                ratios[0], ratios[1]
            );
        } else {
            println!(
                "IPv{family}  {count:>7} {what:<9}{loss:>9.1} us {:>8.2} x{back:>10.1} us {:>8.2} x",
                ratios[0], ratios[1]
            );
        }
    }
}

fn main() {
    let is_json = std::env::args().any(|a| a == "--json");
    if !is_json {
        println!("median of {ROUNDS} rounds, and ratio to the first line of its kind");
        println!(
            "{:<23}{:>12}{:>11}{:>13}{:>11}",
            "behind the next hop", "loss", "ratio", "return", "ratio"
        );
    }
    for family in [4, 6] {
        let counts = [1, 1_000, 20_000, 500_000];
        let loads = counts.map(|n| load("prefixes", n, Flat::prefixes(family, n)));
        measure(loads.into(), is_json);
    }
    let counts = [1, 10, 100, 1_000, 10_000];
    let loads = counts.map(|n| load("groups", n, Flat::groups(4, n)));
    measure(loads.into(), is_json);
}

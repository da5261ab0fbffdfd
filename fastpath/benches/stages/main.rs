//! Cycles per packet of each stage and of the whole worker, without a NIC.
//!
//! `cargo bench -p fastpath --no-default-features`; `-- --json` for programs. Frames go round in a
//! ring in memory, so the figures are of our code alone: no driver, no PCIe. The floor is measured
//! in the same run and on the same ring: every frame gets new MAC addresses and goes out, which is
//! what `testpmd --forward-mode=mac` does. Judge by ratios to it, never by absolute figures.
//!
//! `-- --count LOAD` forwards a fixed number of packets, to have their instructions counted.
//!
//! The binary is also what `panic_gate.py` disassembles.

mod hash;
mod load;
mod ring;

use fastpath::software::burst::{Burst, Frame, RxQueue, TxQueue};
use fastpath::software::lanes::Lanes;
use fastpath::software::{lookup::lookup, parse::parse, rewrite::rewrite, select::select};
use fastpath::table::PortId;
use load::Load;

/// Cycles of the time stamp counter; nanoseconds where there is none.
fn now() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reading the time stamp counter has no effect.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::{sync::OnceLock, time::Instant};
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// Runs of each measurement, interleaved; the lower quartile counts. A run is so short that most
/// are not interrupted by what else the machine does.
const RUNS: usize = if cfg!(debug_assertions) { 1 } else { 301 };
/// Packets of each run.
const PACKETS: usize = if cfg!(debug_assertions) {
    1 << 10
} else {
    1 << 14
};

/// `default`: the parse stage, as ratio to that of the first load, measured in turns with it.
const COLUMNS: [&str; 8] = [
    "floor", "worker", "ratio", "parse", "default", "lookup", "select", "rewrite",
];

fn quartile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied().unwrap_or(0.0)
}

/// MAC addresses rewritten and nothing else.
fn floor(load: &mut Load) -> f64 {
    let (mut rx, mut tx) = (load.ring.receive(), load.ring.transmit());
    let (mut burst, mut done) = (Burst::new(), 0);
    let start = now();
    while done < PACKETS {
        rx.poll(&mut burst);
        for frame in burst.iter() {
            frame.prefetch();
        }
        for frame in burst.iter_mut() {
            if let Some(macs) = frame.bytes_mut().first_chunk_mut::<12>() {
                *macs = [2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1];
            }
        }
        done += tx.send(&mut burst);
    }
    (now() - start) as f64 / done as f64
}

fn worker(load: &mut Load) -> f64 {
    let mut worker = load.worker();
    let mut done = 0;
    let start = now();
    while done < PACKETS {
        let received = worker.turn();
        assert!(
            received != 0,
            "{}: packets were dropped, none are left",
            load.name
        );
        done += received;
    }
    (now() - start) as f64 / done as f64
}

/// Each stage by itself; reading the counter between them costs half a cycle a packet.
fn stages(load: &mut Load) -> [f64; 4] {
    let (mut rx, mut tx) = (load.ring.receive(), load.ring.transmit());
    let reader = load.registry.reader();
    let (view, tables) = (reader.read(), &load.tables);
    let (mut burst, mut lanes) = (Burst::new(), Lanes::default());
    let stats = load.stats();
    let counters = stats.buckets();
    let (mut done, mut cycles) = (0, [0; 4]);
    while done < PACKETS {
        rx.poll(&mut burst);
        assert!(!burst.is_empty(), "{}: packets were lost", load.name);
        let times = [
            now(),
            {
                parse(&burst, &mut lanes, PortId(0), &view.ports[0], &view.hash);
                now()
            },
            {
                lookup(&mut lanes, view, &tables.groups);
                now()
            },
            {
                select(burst.lanes(), &mut lanes, tables, counters);
                now()
            },
            {
                rewrite(&mut burst, &mut lanes, tables, counters);
                now()
            },
        ];
        for (sum, pair) in cycles.iter_mut().zip(times.windows(2)) {
            *sum += pair[1] - pair[0];
        }
        done += tx.send(&mut burst);
    }
    cycles.map(|c| c as f64 / done as f64)
}

/// Forwards packets of one load, under a program that counts instructions (`.ci/instructions`): says how
/// many, and the counting goes by the names of the stages.
fn count(name: &str) {
    let Some(load) = Load::named(name) else {
        println!("{name}: no such load");
        std::process::exit(2);
    };
    let (mut worker, mut packets) = (load.worker(), 0);
    while packets < 1 << 14 {
        packets += worker.turn();
    }
    println!("{packets}");
}

fn main() {
    let mut arguments = std::env::args().skip_while(|a| a != "--count").skip(1);
    if let Some(name) = arguments.next() {
        return count(&name);
    }
    let is_json = std::env::args().any(|a| a == "--json");
    if !is_json {
        let unit = if cfg!(target_arch = "x86_64") {
            "cycles"
        } else {
            "ns"
        };
        println!("{unit} per packet, lower quartile of {RUNS} runs of {PACKETS} packets");
        println!(
            "{:<26}{}",
            "load",
            COLUMNS.map(|c| format!("{c:>9}")).concat()
        );
    }
    let mut loads = Load::all().into_iter();
    let Some(mut first) = loads.next() else {
        return;
    };
    report(&figures(&mut first, None), first.name, is_json);
    for mut load in loads {
        let values = figures(&mut load, Some(&mut first));
        report(&values, load.name, is_json);
    }
    let hashes = hash::all();
    let mix = hashes.first().map_or(1.0, |(_, cycles)| *cycles);
    if !is_json {
        println!("\nthe hash alone                cycles    ratio");
    }
    for (name, cycles) in hashes {
        let ratio = cycles / mix;
        if is_json {
            println!("{{\"hash\":\"{name}\",\"cycles\":{cycles:.2},\"ratio\":{ratio:.2}}}");
        } else {
            println!("{name:<26}{cycles:>10.1}{ratio:>9.1}");
        }
    }
}

/// The columns of one load; `first` is that to compare with.
fn figures(load: &mut Load, mut first: Option<&mut Load>) -> [f64; 8] {
    let mut series: [Vec<f64>; 7] = Default::default();
    for run in 0..=RUNS {
        // What is compared finds its packets in the cache alike: each load comes twice in a row.
        stages(load);
        let [parse, lookup, select, rewrite] = stages(load);
        let default = first.as_deref_mut().map_or(parse, |l| {
            stages(l);
            stages(l)[0]
        });
        let floor = floor(load);
        let worker = worker(load);
        // The first run warms up.
        if run > 0 {
            let values = [floor, worker, parse, default, lookup, select, rewrite];
            series.iter_mut().zip(values).for_each(|(s, v)| s.push(v));
        }
    }
    let [floor, worker, parse, default, lookup, select, rewrite] = series.map(quartile);
    let ratio = parse / default;
    [
        floor,
        worker,
        worker / floor,
        parse,
        ratio,
        lookup,
        select,
        rewrite,
    ]
}

fn report(values: &[f64], name: &str, is_json: bool) {
    if is_json {
        let fields = COLUMNS.iter().zip(values);
        let fields: Vec<_> = fields.map(|(c, v)| format!("\"{c}\":{v:.2}")).collect();
        println!("{{\"load\":\"{name}\",{}}}", fields.join(","));
        return;
    }
    let cells = COLUMNS.iter().zip(values).map(|(column, v)| match *column {
        "default" => format!("{v:>9.2}"),
        _ => format!("{v:>9.1}"),
    });
    println!("{name:<26}{}", cells.collect::<String>());
}

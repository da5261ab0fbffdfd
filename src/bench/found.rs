//! What a measurement found: figures for people and for programs.

use super::measure::{Series, quartiles};
use super::updates::{self, Changed, TakenIn};
use crate::cli::Bench;
use fastpath::software::laps::Stage;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// What was found; cycles are those of the time stamp counter, medians of all slices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    mpps: f64,
    cycles_per_packet: f64,
    floor_mpps: f64,
    floor_cycles: f64,
    forwarding_cost: f64,
    ratio_to_floor: f64,
    /// Between the quartiles, of the median.
    spread: f64,
    family: u8,
    routes: u32,
    members: u32,
    groups: u32,
    buckets: u32,
    ports: u16,
    flows: u32,
    frame_bytes: u16,
    burst: u16,
    encap: &'static str,
    workers: u16,
    device: String,
    /// Packets of a turn that had some.
    taken: f64,
    /// Packets that were not sent.
    dropped: u64,
    seed: u32,
    /// By which instructions routes are looked up.
    lookup: &'static str,
    /// What the program was compiled for.
    cpu: &'static str,
    /// Decoded, planned and programmed, by one thread; decoded alone; programmed alone, without control.
    routes_per_second: f64,
    decoded_per_second: f64,
    lookups_per_second: f64,
    /// Packets forwarded, where nothing was measured.
    #[serde(skip)]
    pub counted: usize,
    /// Cycles a packet by stage, of a build that measures them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    stages: Map<String, Value>,
    #[serde(flatten)]
    updates: Option<updates::Found>,
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Found {
    /// Of what the workers measured.
    pub fn new(
        bench: &Bench,
        series: &[Series],
        hz: u64,
        taken: TakenIn,
        changed: Option<Changed>,
    ) -> Found {
        // Workers do the same at the same time: the figures of one are the others' too.
        let all = |of: fn(&Series) -> &Vec<f64>| series.iter().flat_map(of).copied();
        let forward: Vec<_> = all(|s| &s.forward).collect();
        let floor: Vec<_> = all(|s| &s.floor).collect();
        let [low, cycles, high] = quartiles(&forward);
        let [_, floor, _] = quartiles(&floor);
        let [_, busy, _] = quartiles(&all(|s| &s.busy).collect::<Vec<_>>());
        let [_, taken_at_once, _] = quartiles(&all(|s| &s.taken).collect::<Vec<_>>());
        let measures = cfg!(feature = "stages");
        let stages = Stage::ALL.into_iter().filter(|_| measures).map(|stage| {
            let of = series.iter().flat_map(|one| &one.stages[stage as usize]);
            let [_, cycles, _] = quartiles(&of.copied().collect::<Vec<_>>());
            (stage.name().to_owned(), rounded(cycles).into())
        });
        let rate =
            |time: Duration| (f64::from(bench.routes) / time.as_secs_f64().max(1e-9)).round();
        let mpps = |cycles: f64| rounded(series.len() as f64 * hz as f64 / cycles / 1e6);
        Found {
            mpps: mpps(cycles),
            cycles_per_packet: rounded(cycles),
            floor_mpps: mpps(floor),
            floor_cycles: rounded(floor),
            forwarding_cost: rounded(cycles - floor),
            ratio_to_floor: rounded(floor / cycles),
            spread: rounded((high - low) / cycles),
            family: bench.family,
            routes: bench.routes,
            members: bench.members,
            groups: bench.groups,
            buckets: bench.buckets,
            ports: bench.outputs(),
            flows: bench.flows(),
            frame_bytes: bench.frame_size(),
            burst: bench.burst,
            encap: bench.encap.name(),
            workers: bench.workers,
            device: bench.device_names(),
            taken: rounded(taken_at_once),
            dropped: 0,
            seed: bench.seed,
            lookup: "",
            cpu: fastpath::COMPILED_FOR,
            routes_per_second: rate(taken.all()),
            decoded_per_second: rate(taken.decoded),
            lookups_per_second: rate(taken.lookups),
            counted: series.iter().map(|one| one.counted).sum(),
            stages: stages.collect(),
            updates: changed.map(|changed| changed.found([cycles - floor, busy - floor])),
        }
    }

    /// With so many packets that were not sent, and routes looked up by `lookup`.
    pub fn with(self, dropped: u64, lookup: &'static str) -> Found {
        Found {
            dropped,
            lookup,
            ..self
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = format!(
            "IPv{}, {} routes, {} groups of {} next hops on {} ports, {} flows, {} bytes, encap {}, \
             bursts of {}, {} workers, devices: {}\n\
             forwarding {:8.2} Mpps {:8.1} cycles a packet (quartiles {:.0} % apart)\n\
             floor      {:8.2} Mpps {:8.1} cycles a packet\n\
             cost of forwarding        {:8.1} cycles a packet (lookup: {}, compiled for {})\n",
            self.family,
            self.routes,
            self.groups,
            self.members,
            self.ports,
            self.flows,
            self.frame_bytes,
            self.encap,
            self.burst,
            self.workers,
            self.device,
            self.mpps,
            self.cycles_per_packet,
            self.spread * 100.0,
            self.floor_mpps,
            self.floor_cycles,
            self.forwarding_cost,
            self.lookup,
            self.cpu,
        );
        if !self.stages.is_empty() {
            let stages = self.stages.iter();
            let stages: Vec<_> = stages
                .map(|(name, cycles)| format!("{name} {cycles}"))
                .collect();
            out += &format!("by stage, cycles a packet: {}\n", stages.join(", "));
        }
        if self.dropped != 0 {
            out += &format!(
                "dropped    {:8} packets, most of them by devices that were full\n",
                self.dropped
            );
        }
        out += &format!(
            "routes taken in {:10.0} a second; decoding alone {:.0}, filling the lookup alone {:.0}\n",
            self.routes_per_second, self.decoded_per_second, self.lookups_per_second,
        );
        if let Some(found) = self.updates {
            let (routes, groups) = (found.routes_changed, found.groups_changed);
            out += &format!(
                "with changes              {:8.1} cycles a packet ({routes:.0} of routes a second, {groups:.0} of groups), {:.2} of that without\n",
                found.cost_meanwhile, found.ratio,
            );
        }
        out
    }
}

//! Flows that workers have left samples of, and where the tables send them.

use super::Lab;
use control::activity::INTERVAL;
use fastpath::software::parse::describe;
use fastpath::software::select::member;
use fastpath::table::sample::Sample;
use fastpath::table::stats::WorkerStats;
use fastpath::table::{AdjacencyId, PortId};
use std::sync::Arc;

/// Where packets come in.
pub const HOST: PortId = PortId(2);

pub struct Sampled {
    pub lab: Lab,
    pub stats: Vec<Arc<WorkerStats>>,
    pub frames: Vec<Vec<u8>>,
}

/// A UDP packet of `flow` from one of the hosts to `destination`.
pub fn frame(mac: [u8; 6], flow: u16, destination: [u8; 4]) -> Vec<u8> {
    let mut out = [mac, [2, 0, 0, 0, 1, 1]].concat();
    out.extend([8, 0, 0x45, 0, 0, 228, 0, 7, 0, 0, 64, 17, 0, 0]);
    out.extend([10, 244, 1, (flow % 50) as u8 + 2]);
    out.extend(destination);
    let sum = fastpath::wire::checksum::checksum(&out[14..34]);
    out[24..26].copy_from_slice(&sum.to_be_bytes());
    // Lower and higher than the source's, so that order matters to some.
    let ports = [1024 + flow, if flow % 3 == 0 { 443 } else { 8080 }];
    out.extend(ports.map(u16::to_be_bytes).concat());
    out.extend([0, 208, 0, 0]);
    out.resize(242, 0);
    out
}

impl Sampled {
    /// `lab`, watched with two workers, and a packet of each of these flows.
    pub fn over(mut lab: Lab, flows: u16, destination: impl Fn(u16) -> [u8; 4]) -> Self {
        let new = |_| Arc::new(WorkerStats::with_buckets(65_536));
        let stats: Vec<_> = (0..2).map(new).collect();
        lab.control.watch(&stats, lab.now);
        let mac = lab.view.read().ports[usize::from(HOST.0)].mac;
        let frames = (0..flows).map(|flow| frame(mac, flow, destination(flow)));
        Sampled {
            frames: frames.collect(),
            lab,
            stats,
        }
    }

    /// Both workers leave samples of all frames; of the first flows twice.
    pub fn sample(&mut self) {
        for (i, frame) in self.frames.iter().enumerate() {
            for _ in 0..1 + usize::from(i < 10) {
                let samples = self.stats[i % 2].samples();
                assert!(samples.put(Sample::new(frame, HOST, 10)));
            }
        }
        self.lab.pass(INTERVAL);
    }

    /// Where each frame goes by the tables as they are; none: not by a group with a choice.
    pub fn ways(&mut self) -> Vec<Option<AdjacencyId>> {
        let (facts, policy) = {
            let view = self.lab.view.read();
            (view.ports[usize::from(HOST.0)], view.hash.clone())
        };
        let way = |frame: &Vec<u8>| {
            let found = describe(frame, HOST, &facts, &policy).expect("a packet");
            let group = self.lab.lookup(found.destination);
            let has_choice = self.lab.tables.groups.word(group).size() > 1;
            has_choice.then(|| member(&self.lab.tables, group, found.hash).expect("a way"))
        };
        self.frames.iter().map(way).collect()
    }
}

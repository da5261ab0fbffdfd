//! What becomes of one frame, by software and by hardware.

use crate::support::port_mac;
use crate::world::{Setting, World};
use fastpath::hardware::plan::Lead;
use fastpath::hardware::sim::Outcome;
use fastpath::software::burst::Frame;
use fastpath::software::heap::HeapFrame;
use fastpath::software::lanes::Verdict;
use fastpath::software::lookup::{group4, group6};
use fastpath::software::parse::describe;
use fastpath::software::rewrite::forward;
use fastpath::software::select::member;
use fastpath::table::{Disposition, DropReason, PortId};
use std::net::IpAddr;

/// What software made of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    pub sent: Vec<(usize, Vec<u8>)>,
    pub punted: bool,
    /// Not a frame of ours: another MAC address or VLAN, or cut within the Ethernet header.
    pub not_for_us: bool,
    /// To our MAC address, and its destination is an own one or one that no router forwards to: the kernel
    /// looks at the rest.
    pub kernels: bool,
}

/// What hardware made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    pub outcome: Outcome,
    pub frame: Vec<u8>,
}

impl World {
    /// What software does with a frame.
    pub fn software(&mut self, port: usize, frame: &[u8]) -> Software {
        let before = self.stats.snapshot();
        self.rx[port].put_frame(HeapFrame::new(frame));
        while self.worker.turn() != 0 {}
        while self.gleans.pop().is_some() {}
        let after = self.stats.snapshot();
        let sent = self.tx.iter().enumerate();
        let dropped = |reason| after.dropped(reason) > before.dropped(reason);
        let cut = frame.len() < 22 && dropped(DropReason::Truncated);
        Software {
            sent: sent
                .flat_map(|(i, w)| w.take().into_iter().map(move |f| (i, f)))
                .collect(),
            punted: after.punted > before.punted,
            not_for_us: cut || dropped(DropReason::NotForUs) || dropped(DropReason::UnknownVlan),
            kernels: self.is_kernels(port, frame),
        }
    }

    /// The same by the code of the stages, one after another: faster, and no worker's state changes.
    pub fn stages(&self, port: usize, frame: &[u8]) -> Software {
        let mut software = Software {
            sent: Vec::new(),
            punted: false,
            not_for_us: false,
            kernels: self.is_kernels(port, frame),
        };
        let view = self.writer.views.current();
        let facts = &view.ports[port];
        let described = match describe(frame, PortId(port as u16), facts, &view.hash) {
            Ok(described) => described,
            Err(Verdict::Punt) => {
                software.punted = true;
                return software;
            }
            Err(verdict) => {
                software.not_for_us = match verdict {
                    Verdict::Drop(DropReason::Truncated) => frame.len() < 22,
                    Verdict::Drop(reason) => {
                        matches!(reason, DropReason::NotForUs | DropReason::UnknownVlan)
                    }
                    _ => false,
                };
                return software;
            }
        };
        let (group, is_v6) = match described.destination {
            IpAddr::V4(four) => (group4(view, four.to_bits()), false),
            IpAddr::V6(six) => (group6(view, six.octets()), true),
        };
        let Ok(id) = member(&self.tables, group, described.hash) else {
            return software;
        };
        let slot = self.tables.adjacencies.slot(id);
        let facts = slot.facts();
        if !facts.is_forward() {
            software.punted = facts.disposition() == Disposition::Punt;
            return software;
        }
        let mut heap = HeapFrame::new(frame);
        let (l3, len) = (described.l3, described.len);
        match forward(&mut heap, slot, facts, l3, len, is_v6) {
            Verdict::Send => {
                let port = usize::from(facts.port().0);
                software.sent.push((port, heap.bytes().to_vec()));
            }
            // Several frames: whichever they are, hardware makes none of them.
            Verdict::Fragment => software.sent.push((usize::MAX, Vec::new())),
            _ => {}
        }
        software
    }

    /// Whether a frame is the kernel's by its destination alone, whatever tags it carries.
    fn is_kernels(&self, port: usize, frame: &[u8]) -> bool {
        let field = |at: usize, n: usize| frame.get(at..at + n).unwrap_or_default();
        if field(0, 6) != port_mac(port) {
            return false;
        }
        let mut at = 12;
        while matches!(field(at, 2), [0x81, 0] | [0x88, 0xa8]) {
            at += 4;
        }
        let (to, of_no_router): (IpAddr, bool) = match (field(at, 2), field(at + 2, 1)) {
            ([8, 0], [0x40..=0x4f]) => {
                let Ok(to) = <[u8; 4]>::try_from(field(at + 18, 4)) else {
                    return false;
                };
                (to.into(), to[0] >> 4 == 0xe)
            }
            ([0x86, 0xdd], [0x60..=0x6f]) => {
                let Ok(to) = <[u8; 16]>::try_from(field(at + 26, 16)) else {
                    return false;
                };
                let is_link_local = to[0] == 0xfe && to[1] >> 6 == 2;
                (to.into(), to[0] == 0xff || is_link_local)
            }
            _ => return false,
        };
        let length = if to.is_ipv4() { 32 } else { 128 };
        of_no_router || self.prefixes.get(&(to, length)) == Some(&Lead::Kernel)
    }

    /// What hardware does with it.
    pub fn hardware(&mut self, port: usize, frame: &[u8]) -> Hardware {
        let at = if self.setting == Setting::Dpu {
            0
        } else {
            port
        };
        let mut frame = frame.to_vec();
        let sim = self.nics[at].steering_mut();
        let outcome = sim.receive(PortId(port as u16), &mut frame);
        Hardware { outcome, frame }
    }
}

/// Whether hardware forwarded as software does, bit for bit, but that it does not cut off what
/// follows an IP packet; or left the frame alone. True: it forwarded.
pub fn judge(frame: &[u8], software: &Software, hardware: &Hardware) -> Result<bool, String> {
    let left = hardware.frame == frame;
    match hardware.outcome {
        Outcome::Software { .. } if left => Ok(false),
        Outcome::Kernel if left && (software.punted || software.not_for_us || software.kernels) => {
            Ok(false)
        }
        Outcome::Sent(port) => match software.sent.as_slice() {
            [(by, sent)] if *by == usize::from(port.0) => {
                let same = hardware.frame.get(..sent.len()) == Some(&sent[..]);
                let rest = hardware.frame.get(sent.len()..);
                if same && rest.is_some() && rest == frame.get(sent.len()..) {
                    Ok(true)
                } else {
                    Err(format!("sent {sent:02x?} and {:02x?}", hardware.frame))
                }
            }
            sent => Err(format!(
                "{:?} where software sent {sent:02x?}",
                hardware.outcome
            )),
        },
        outcome => Err(format!("{outcome:?}, left alone: {left}; {software:02x?}")),
    }
}

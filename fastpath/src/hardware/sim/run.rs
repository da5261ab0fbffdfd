//! The way of one packet through the tables.

use super::super::program::{Action, Group, Rss, RssFields, RuleId};
use super::packet::Packet;
use super::{Kind, Scope, Sim};
use crate::hash::toeplitz;
use crate::table::PortId;

/// Why a packet is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing matched in a group of the ingress domain.
    Miss(Group),
    /// A row that no rule was put in.
    EmptyRow,
    /// From a wire to a wire within the e-switch, which no NIC does.
    WireToWire,
    /// A DROP action.
    Action,
    /// It went in circles.
    Loop,
    /// To a port that there is not, or from one.
    NoPort,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It left by this port, or went into its function.
    Sent(PortId),
    /// To software, by the port that it came from.
    Software {
        /// The queue, where rules chose one.
        queue: Option<u16>,
        /// MARK, where rules set one.
        mark: Option<u32>,
        /// META.
        meta: u32,
    },
    /// To the netdev of the port that it came from.
    Kernel,
    /// Nowhere.
    Lost(Loss),
}

/// The most tables and jumps of one packet.
const MOST_HOPS: usize = 128;

/// What is known at the end of a domain.
enum End {
    Missed(Group),
    Queue(u16),
    Port(PortId),
    Manager,
    Kernel,
    Lost(Loss),
}

impl Sim {
    /// Takes in `frame` by `port`; on return it is as it left.
    pub fn receive(&mut self, port: PortId, frame: &mut [u8]) -> Outcome {
        let Some(attached) = self.ports.get(&port).copied() else {
            return Outcome::Lost(Loss::NoPort);
        };
        let mut packet = Packet::parse(frame, port);
        if self.profile.capabilities.transfer {
            match self.walk(Scope::Transfer, &mut packet, frame) {
                End::Port(to) => return self.cross(port, to),
                End::Missed(_) | End::Manager => {}
                End::Lost(loss) => return Outcome::Lost(loss),
                // Neither is of this domain.
                End::Queue(_) | End::Kernel => return Outcome::Lost(Loss::Action),
            }
        }
        let software = |queue, packet: &Packet| Outcome::Software {
            queue,
            mark: packet.mark,
            meta: packet.meta,
        };
        match self.walk(Scope::Ingress(port), &mut packet, frame) {
            End::Missed(Group(0)) if attached.isolated => Outcome::Kernel,
            End::Missed(Group(0)) => software(None, &packet),
            End::Missed(group) => Outcome::Lost(Loss::Miss(group)),
            End::Queue(queue) => match self.hairpins.get(&(port, queue)).copied() {
                None => software(Some(queue), &packet),
                Some((egress, tx_queue)) => {
                    packet.tx_queue = tx_queue;
                    match self.walk(Scope::Egress(egress), &mut packet, frame) {
                        End::Lost(loss) => Outcome::Lost(loss),
                        _ => Outcome::Sent(egress),
                    }
                }
            },
            End::Kernel => Outcome::Kernel,
            End::Lost(loss) => Outcome::Lost(loss),
            End::Port(_) | End::Manager => Outcome::Lost(Loss::Action),
        }
    }

    /// From port to port within the e-switch.
    fn cross(&self, from: PortId, to: PortId) -> Outcome {
        let kind = |port| self.ports.get(&port).map(|a| a.kind);
        match (kind(from), kind(to)) {
            (Some(Kind::Uplink), Some(Kind::Uplink)) => Outcome::Lost(Loss::WireToWire),
            (_, Some(_)) => Outcome::Sent(to),
            (_, None) => Outcome::Lost(Loss::NoPort),
        }
    }

    fn walk(&mut self, scope: Scope, packet: &mut Packet, frame: &mut [u8]) -> End {
        let (mut group, mut values) = (Group(0), Vec::new());
        for _ in 0..MOST_HOPS {
            match self.hit(scope, group, packet, &mut values) {
                Err(()) => return End::Lost(Loss::EmptyRow),
                Ok(None) => return End::Missed(group),
                Ok(Some(rule)) => match self.act(rule, packet, frame) {
                    Ok(next) => group = next,
                    Err(end) => return end,
                },
            }
        }
        End::Lost(Loss::Loop)
    }

    /// The first rule of a group that the packet hits.
    fn hit(
        &self,
        scope: Scope,
        group: Group,
        packet: &mut Packet,
        values: &mut Vec<u128>,
    ) -> Result<Option<RuleId>, ()> {
        let order = self.groups.get(&(scope, group));
        for (_, table) in order.into_iter().flatten() {
            let made = self.tables.get(table);
            if let Some(rule) = made.map_or(Ok(None), |m| m.hit(packet, values))? {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    /// Does what a rule says: where to jump, or how it ends.
    fn act(&mut self, rule: RuleId, packet: &mut Packet, frame: &mut [u8]) -> Result<Group, End> {
        let Some(held) = self.rules.get_mut(&rule) else {
            return Err(End::Lost(Loss::EmptyRow));
        };
        for action in &held.does.actions {
            match action {
                Action::Count => {
                    held.packets += 1;
                    held.bytes += frame.len() as u64;
                }
                Action::Mark(mark) => packet.mark = Some(*mark),
                Action::Modify(modify) => packet.modify(frame, modify),
                Action::Jump(group) => return Ok(*group),
                Action::Queue(queue) => return Err(End::Queue(*queue)),
                Action::Rss(rss) => return Err(spread(rss, packet)),
                Action::Indirect(id) => {
                    return Err(match self.indirects.get(id).map(|i| &i.action) {
                        Some(Action::Rss(rss)) => spread(rss, packet),
                        _ => End::Lost(Loss::Action),
                    });
                }
                Action::RepresentedPort(port) => return Err(End::Port(*port)),
                Action::ToManager => return Err(End::Manager),
                Action::SendToKernel => return Err(End::Kernel),
                Action::Drop => return Err(End::Lost(Loss::Action)),
            }
        }
        // Only egress rules may say nothing of where to.
        Err(End::Missed(Group(0)))
    }
}

/// The queue that RSS takes: the row of the low bits of the hash; of packets that it does not hash
/// the first.
fn spread(rss: &Rss, packet: &Packet) -> End {
    let of = |ports| packet.rss_input(ports, rss.symmetric);
    let input = match rss.fields {
        RssFields::Addresses => of(false),
        RssFields::Flow => of(true),
        RssFields::Both => of(true).or_else(|| of(false)),
    };
    let hash = match (&rss.key, input) {
        (Some(key), Some(input)) => toeplitz::hash(key, &input),
        // A key of the NIC's own: any will do, as long as it stays.
        (None, Some(input)) => toeplitz::hash(&[0x6d; toeplitz::KEY], &input),
        (_, None) => 0,
    };
    let row = hash as usize % rss.queues.len().max(1);
    rss.queues
        .get(row)
        .map_or(End::Lost(Loss::NoPort), |q| End::Queue(*q))
}

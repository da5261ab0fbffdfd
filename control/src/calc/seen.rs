//! The flow or packet in question, as the parser sees it.

use super::tunnel::tunneled;
use super::{fail, refuse, settings, world, world::World};
use crate::answer_route::key_of;
use crate::api::message::{Error, Trace};
use crate::control::Control;
use fastpath::hash::FlowKey;
use fastpath::software::flow::Piece;
use fastpath::software::heap::HeapFrame;
use fastpath::software::lanes::Verdict;
use fastpath::software::parse;
use fastpath::table::{LpmWrite, PortFacts, PortId};
use fastpath::wire::transport;
use std::net::IpAddr;

/// What is known of the flow in question.
pub(super) struct Seen {
    pub(super) key: FlowKey,
    pub(super) destination: IpAddr,
    pub(super) ingress: PortId,
    pub(super) hash: u32,
    /// Packet in hand: its frame, where IP begins, how long it is.
    pub(super) frame: Option<(HeapFrame, usize, u16)>,
    pub(super) later: bool,
    /// Its source port is one, and its own.
    pub(super) has_sport: bool,
    pub(super) notes: Vec<String>,
}

/// Bytes of `text`: hex digits, two a byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

impl<L: LpmWrite> Control<L> {
    /// Port and facts of where the flow comes in.
    fn ingress(&self, name: &str, vid: Option<u16>) -> Result<(PortId, PortFacts), Error> {
        let named = self
            .plan
            .ports
            .named(name)
            .or_else(|| world::netdev(self, name));
        let port = named.ok_or_else(|| refuse::no_port(self, name))?;
        let facts = self.plan.dplane.view().ports.get(usize::from(port.0));
        let facts = facts.copied().unwrap_or(PortFacts::ABSENT);
        if let Some(vid) = vid.filter(|v| facts.vlan != 0 && *v != facts.vlan) {
            let cause = format!("it carries VLAN {}, not {vid}", facts.vlan);
            return Err(fail(&format!("port {name}"), cause, None));
        }
        Ok((port, facts))
    }

    /// The flow as the parser sees it under the settings of `world`; or what became of the packet.
    pub(super) fn seen(
        &self,
        query: &Trace,
        world: &World<'_>,
    ) -> Result<Result<Seen, Verdict>, Error> {
        if let Some(flow) = &query.flow {
            if flow.source.is_ipv4() != flow.destination.is_ipv4() {
                let cause = "source and destination are of different families";
                return Err(fail(&format!("flow to {}", flow.destination), cause, None));
            }
            let (ingress, _) = self.ingress(&flow.ingress, query.vid)?;
            let settings = settings(world, flow.destination);
            let key = tunneled(key_of(flow, ingress), query.tunnel.as_ref(), settings, flow)?;
            let seen = Seen {
                hash: settings.hash(&key),
                key,
                destination: flow.destination,
                ingress,
                frame: None,
                later: false,
                has_sport: transport::has_ports(flow.protocol),
                notes: Vec::new(),
            };
            return Ok(Ok(seen));
        }
        let (Some(name), Some(packet)) = (&query.ingress, &query.packet) else {
            return Err(fail("flow", "neither a flow nor a packet is given", None));
        };
        let (ingress, facts) = self.ingress(name, None)?;
        let not_hex = || fail("packet", "not hex digits, two a byte", None);
        let frame = bytes(packet).ok_or_else(not_hex)?;
        let describe = |frame: &[u8]| parse::describe(frame, ingress, &facts, &world.policy);
        let described = match describe(&frame) {
            Ok(described) => described,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let mut notes = Vec::new();
        let (mut key, mut hash) = (described.flow.key, described.hash);
        let quoted = described.flow.quoted;
        if quoted {
            notes.push("an ICMP error: it follows the flow that it quotes, reversed".into());
        }
        let is_later = |p: Piece| matches!(p, Piece::Later(_));
        let settings = settings(world, described.destination);
        let inside =
            is_later(described.flow.inner_piece) && described.flow.needs_inner_first(settings);
        let later = is_later(described.flow.piece) || inside;
        if later {
            let first = match &query.first {
                Some(first) => describe(&bytes(first).ok_or_else(not_hex)?).ok(),
                None => None,
            };
            if let Some(first) = &first {
                (key, hash) = (first.flow.key, first.hash);
            }
            notes.push(match first {
                Some(_) => "a later fragment: it follows its first fragment".into(),
                None => "a later fragment without its first: hashed without what only that has"
                    .to_string(),
            });
        }
        Ok(Ok(Seen {
            key,
            destination: described.destination,
            ingress,
            hash,
            frame: Some((HeapFrame::new(&frame), described.l3, described.len)),
            later,
            has_sport: transport::has_ports(key.outer.protocol) && !later && !quoted,
            notes,
        }))
    }
}

//! A flow whose packets carry others, by flags: what must be said of them, and what cannot be.
//!
//! A tunnel is told by protocol and UDP destination port, as the parser tells it.

use super::explain::octets;
use super::fail;
use crate::api::message::{Error, Flow, Tunnel};
use fastpath::hash::{Field, FlowKey, Settings, Tuple};
use fastpath::wire::{transport, tunnel};

/// What packets are, by protocol and destination port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They carry IP, or frames.
    Tunnel,
    /// They carry IP, and have a TEID.
    Gtpu,
    /// They have a queue pair.
    Roce,
    /// Neither.
    Plain,
}

const fn kind(protocol: u8, dport: u16) -> Kind {
    match (protocol, dport) {
        (tunnel::IPV4 | tunnel::IPV6 | tunnel::GRE, _)
        | (transport::UDP, tunnel::PORT_VXLAN | tunnel::PORT_VXLAN_GPE | tunnel::PORT_GENEVE) => {
            Kind::Tunnel
        }
        (transport::UDP, tunnel::PORT_GTPU) => Kind::Gtpu,
        (transport::UDP, tunnel::PORT_ROCE) => Kind::Roce,
        _ => Kind::Plain,
    }
}

fn wrong(words: impl Into<String>) -> Error {
    fail("flags", words, None)
}

/// `key` with what is inside the tunnel; what is needed must be there, and nothing that the parser
/// would not look for.
pub(super) fn tunneled(
    mut key: FlowKey,
    given: Option<&Tunnel>,
    settings: &Settings,
    flow: &Flow,
) -> Result<FlowKey, Error> {
    let none = Tunnel::default();
    let inside = given.unwrap_or(&none);
    let on = |field| settings.fields().has(field);
    let need = |missing: bool, fields: &[Field], words: &str| {
        let field = fields.iter().find(|f| missing && on(**f));
        field.map_or(Ok(()), |field| {
            Err(wrong(format!("{words}: {} is on", field.name())))
        })
    };
    let outer = kind(flow.protocol, flow.destination_port);
    let is_tunnel = matches!(outer, Kind::Tunnel | Kind::Gtpu);
    let only_ids = Tunnel {
        teid: inside.teid,
        qp: inside.qp,
        ..Tunnel::default()
    };
    let says_inner = *inside != only_ids;
    if says_inner && !is_tunnel {
        return Err(wrong(
            "--inner-* are for frames of a tunnel only: protocol 4, 41 or 47, or UDP to 2152, 4789, \
             4790 or 6081",
        ));
    }
    // A tunnel in a tunnel is looked for where the first one has no id of its own.
    let inner = match (outer, inside.protocol, inside.destination_port) {
        (Kind::Tunnel, Some(protocol), Some(dport)) => kind(protocol, dport),
        _ => Kind::Plain,
    };
    for (id, kind, field, flag, words) in [
        (
            inside.teid,
            Kind::Gtpu,
            Field::GtpTeid,
            "--teid",
            "GTP-U frames (UDP to 2152)",
        ),
        (
            inside.qp,
            Kind::Roce,
            Field::RoceQp,
            "--qp",
            "RoCEv2 frames (UDP to 4791)",
        ),
    ] {
        let has = outer == kind || inner == kind;
        if id.is_some() && !has {
            return Err(wrong(format!("{flag} is for {words} only")));
        }
        need(
            has && id.is_none(),
            &[field],
            &format!("{flag} required for {words}"),
        )?;
    }
    (key.teid, key.qp) = (inside.teid, inside.qp);
    if !is_tunnel {
        return Ok(key);
    }
    let addresses = [Field::InnerSourceIp, Field::InnerDestinationIp];
    let missing = inside.source.is_none() || inside.destination.is_none();
    let words = "--inner-src and --inner-dst required for frames in a tunnel";
    need(missing, &addresses, words)?;
    let words = "--inner-protocol required for frames in a tunnel";
    let by_protocol = [
        Field::InnerIpProtocol,
        Field::InnerSourcePort,
        Field::InnerDestinationPort,
    ];
    need(inside.protocol.is_none(), &by_protocol, words)?;
    let has_ports = inside.protocol.is_some_and(transport::has_ports);
    let missing = inside.source_port.is_none() || inside.destination_port.is_none();
    let ports = [Field::InnerSourcePort, Field::InnerDestinationPort];
    let words = "--inner-sport and --inner-dport required for TCP and UDP frames in a tunnel";
    need(has_ports && missing, &ports, words)?;
    let said = inside.source_port.is_some() || inside.destination_port.is_some();
    if said && inside.protocol.is_some() && !has_ports {
        return Err(wrong(
            "--inner-sport and --inner-dport are for TCP, UDP, SCTP, DCCP and UDP-Lite frames only",
        ));
    }
    let families = [inside.source, inside.destination].map(|a| a.map(|a| a.is_ipv4()));
    if let [Some(a), Some(b)] = families {
        if a != b {
            return Err(wrong(
                "--inner-src and --inner-dst must both be IPv4 or both IPv6",
            ));
        }
    }
    let one = inside.source.or(inside.destination);
    let v6 = one.is_some_and(|a| a.is_ipv6());
    key.inner = says_inner.then(|| Tuple {
        v6,
        src: inside.source.map_or([0; 16], octets),
        dst: inside.destination.map_or([0; 16], octets),
        protocol: inside.protocol.unwrap_or(0),
        sport: inside.source_port.unwrap_or(0),
        dport: inside.destination_port.unwrap_or(0),
        label: inside.flow_label.filter(|_| v6).unwrap_or(0),
    });
    Ok(key)
}

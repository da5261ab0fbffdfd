//! Why a flow goes its way.

use super::seen::Seen;
use crate::api::message::FieldUse;
use crate::control::Control;
use fastpath::hash::{Algorithm, Field, FlowKey, Settings, Tuple};
use fastpath::table::{Adjacencies, Adjacency, AdjacencyId, LpmWrite, PortId};
use fastpath::wire::transport;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl<L: LpmWrite> Control<L> {
    /// What the frame leaves with.
    pub(super) fn rewrite(&self, id: AdjacencyId) -> BTreeMap<String, String> {
        let slot = self.plan.dplane.tables().adjacencies.slot(id);
        let header = slot.header();
        let mac = |at: usize| {
            let bytes = header.get(at..at + 6).unwrap_or_default();
            let text: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            text.join(":")
        };
        let mut shown = BTreeMap::from([
            ("destination-mac".to_string(), mac(0)),
            ("source-mac".to_string(), mac(6)),
            ("mtu".to_string(), slot.facts().mtu().to_string()),
        ]);
        if slot.facts().header_len() == 18 {
            let tag = u16::from_be_bytes([header[14], header[15]]);
            shown.insert("vlan".into(), tag.to_string());
        }
        shown
    }
}

pub(super) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()).to_be_bytes(),
        IpAddr::V6(a) => a.octets(),
    }
}

fn address(tuple: &Tuple, octets: [u8; 16]) -> IpAddr {
    match tuple.v6 {
        true => Ipv6Addr::from(octets).into(),
        false => Ipv4Addr::from(u128::from_be_bytes(octets) as u32).into(),
    }
}

/// Every field, its value, and whether it counts.
pub(super) fn fields<L: LpmWrite>(
    control: &Control<L>,
    seen: &Seen,
    settings: &Settings,
) -> Vec<FieldUse> {
    let (key, outer) = (&seen.key, &seen.key.outer);
    let port_of = |tuple: &Tuple, port: u16| {
        let has = transport::has_ports(tuple.protocol);
        (has && !(seen.later && port == 0)).then(|| port.to_string())
    };
    let inner = key.inner.as_ref();
    let all = Field::ALL.into_iter().map(|field| {
        let value = match field {
            Field::IpProtocol => Some(outer.protocol.to_string()),
            Field::SourceIp => Some(address(outer, outer.src).to_string()),
            Field::DestinationIp => Some(address(outer, outer.dst).to_string()),
            Field::SourcePort => port_of(outer, outer.sport),
            Field::DestinationPort => port_of(outer, outer.dport),
            Field::Ipv6Label => outer.v6.then(|| outer.label.to_string()),
            Field::IngressInterface => Some(control.plan.ports.name(seen.ingress).into()),
            Field::GtpTeid => key.teid.map(|t| t.to_string()),
            Field::InnerIpProtocol => inner.map(|t| t.protocol.to_string()),
            Field::InnerSourceIp => inner.map(|t| address(t, t.src).to_string()),
            Field::InnerDestinationIp => inner.map(|t| address(t, t.dst).to_string()),
            Field::InnerSourcePort => inner.and_then(|t| port_of(t, t.sport)),
            Field::InnerDestinationPort => inner.and_then(|t| port_of(t, t.dport)),
            Field::InnerIpv6Label => inner.filter(|t| t.v6).map(|t| t.label.to_string()),
            Field::RoceQp => key.qp.map(|q| q.to_string()),
        };
        let on = settings.fields().has(field);
        let why = match (on, &value, seen.later) {
            (true, Some(_), _) => None,
            (false, ..) => Some("off"),
            (true, None, true) => Some("only the first fragment has it"),
            (true, None, false) => Some("not there"),
        };
        FieldUse {
            name: field.name().into(),
            used: why.is_none(),
            value,
            why: why.map(Into::into),
        }
    });
    all.collect()
}

/// An adjacency as one that is only thought of would be, in a table of its own: the first free one.
pub(super) fn stand_in<L: LpmWrite>(control: &Control<L>, port: PortId) -> Adjacencies {
    let ports = &control.plan.ports;
    let made = Adjacencies::new(AdjacencyId::FIRST_FREE.0 as usize + 1);
    let (mtu, mac, vlan) = (ports.mtu(port), ports.mac(port), ports.vlan(port));
    let forward = Adjacency::forward(port, mtu, [0; 6], mac, vlan);
    made.write(AdjacencyId::FIRST_FREE, &forward);
    made
}

/// Which end is put first, where both directions hash alike: outside, and inside a tunnel whose
/// addresses or ports count.
pub(super) fn order(settings: &Settings, key: &FlowKey) -> Vec<String> {
    if !settings.is_symmetric() {
        return Vec::new();
    }
    let on = |field| settings.fields().has(field);
    let say = |what: &str, swap: bool| {
        let first = if swap { "destination" } else { "source" };
        format!("{what}: {first} first, the lower one")
    };
    let has_addresses = on(Field::SourceIp);
    let has_ports = on(Field::SourcePort);
    let outer = &key.outer;
    let mut said = Vec::new();
    if settings.choice().algorithm == Algorithm::Toeplitz {
        // As RSS does: each pair for itself.
        let addresses = has_addresses.then(|| say("addresses", outer.src > outer.dst));
        let ports = has_ports.then(|| say("ports", outer.sport > outer.dport));
        said.extend(addresses.into_iter().chain(ports));
    } else {
        said.extend(ends("ends", outer, has_addresses, has_ports));
    }
    if let Some(inner) = &key.inner {
        let (addresses, ports) = (on(Field::InnerSourceIp), on(Field::InnerSourcePort));
        said.extend(ends("inner ends", inner, addresses, ports));
    }
    said
}

/// Which end of `tuple` is first: by address, and by port where those are equal or do not count.
fn ends(what: &str, tuple: &Tuple, addresses: bool, ports: bool) -> Option<String> {
    let end = |address: [u8; 16], port: u16| {
        (
            if addresses { address } else { [0; 16] },
            if ports { port } else { 0 },
        )
    };
    let (from, to) = (end(tuple.src, tuple.sport), end(tuple.dst, tuple.dport));
    let by = match (addresses && tuple.src != tuple.dst, ports) {
        (true, _) => "address",
        (false, true) => "port",
        (false, false) => return None,
    };
    let first = if from > to { "destination" } else { "source" };
    Some(format!("{what}: {first} first, by the lower {by}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastpath::hash::{Choice, Fields};

    /// What is said is what the hash does: with the ends put in that order by hand, hashing that
    /// keeps the order finds the same.
    #[test]
    fn the_end_that_is_said_to_be_first_is() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 33) as u32
        };
        let mut swapped = 0;
        for round in 0..2000 {
            let v6 = round % 2 == 0;
            let mut tuple = || {
                let address = |n: u32| match v6 {
                    true => (u128::from(n % 5) << 64 | u128::from(n)).to_be_bytes(),
                    false => u128::from(n % 5).to_be_bytes(),
                };
                Tuple {
                    v6,
                    src: address(random()),
                    dst: address(random()),
                    protocol: 17,
                    sport: (random() % 7) as u16,
                    dport: (random() % 7) as u16,
                    label: 0,
                }
            };
            let (outer, inner) = (tuple(), tuple());
            let key = FlowKey {
                outer,
                inner: Some(inner),
                ..FlowKey::default()
            };
            let pair = |fields: Fields, on: bool, a, b| fields.with(a, on).with(b, on);
            let fields = Fields::default();
            let bit = |n: usize| round >> n & 1 != 0;
            let fields = pair(fields, bit(1), Field::SourceIp, Field::DestinationIp);
            let fields = pair(fields, bit(2), Field::SourcePort, Field::DestinationPort);
            let deep = (Field::InnerSourceIp, Field::InnerDestinationIp);
            let fields = pair(fields, bit(3), deep.0, deep.1);
            let deep = (Field::InnerSourcePort, Field::InnerDestinationPort);
            let fields = pair(fields, bit(4), deep.0, deep.1);
            let algorithm = if bit(5) {
                Algorithm::Mix
            } else {
                Algorithm::Toeplitz
            };
            let choice = Choice {
                fields,
                algorithm,
                ..Choice::default()
            };
            let settings = Settings::new(choice);
            let said = order(&settings, &key);
            let is = |what: &str| {
                said.iter()
                    .any(|s| s.starts_with(what) && s.contains("destination"))
            };
            let mut by_hand = key;
            let o = &mut by_hand.outer;
            if is("ends") || is("addresses") {
                (o.src, o.dst) = (o.dst, o.src);
            }
            if is("ends") || is("ports") {
                (o.sport, o.dport) = (o.dport, o.sport);
            }
            if let Some(i) = by_hand.inner.as_mut().filter(|_| is("inner ends")) {
                (i.src, i.dst, i.sport, i.dport) = (i.dst, i.src, i.dport, i.sport);
            }
            swapped += u32::from(by_hand != key);
            let kept = Settings::new(Choice {
                symmetric: false,
                ..choice
            });
            assert_eq!(settings.hash(&key), kept.hash(&by_hand), "{said:?} {key:?}");
        }
        assert!((500..2000).contains(&swapped), "{swapped}");
    }
}

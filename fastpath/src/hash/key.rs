//! What of a packet the hash may be made of.

/// The fields of one IP packet and the transport behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// IPv6, not IPv4.
    pub v6: bool,
    /// Source address; of IPv4 the last four bytes, the others zero.
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// IP protocol: of IPv6 the transport after all extension headers; of an IPv6 fragment but the
    /// first the next header of its fragment header.
    pub protocol: u8,
    /// Source port, 0 where there is none: other protocols, and fragments but the first.
    pub sport: u16,
    /// Destination port, likewise.
    pub dport: u16,
    /// IPv6 flow label, 20 bits; 0 for IPv4.
    pub label: u32,
}

impl Tuple {
    /// The same flow in the other direction; the label is each sender's own and stays.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Tuple {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            ..self
        }
    }
}

/// The header fields of one packet, as far as they may matter to the hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The packet itself.
    pub outer: Tuple,
    /// Index of the ingress port ([`crate::table::PortId`]).
    pub ingress: u16,
    /// Tunnel endpoint id of GTPv1-U, in the packet itself or directly in its tunnel.
    pub teid: Option<u32>,
    /// Destination queue pair of RoCEv2, 24 bits, in the packet itself or directly in its tunnel.
    pub qp: Option<u32>,
    /// The packet directly inside the tunnel that this packet is of.
    pub inner: Option<Tuple>,
}

impl FlowKey {
    /// The same flow in the other direction, inside and out.
    #[must_use]
    pub fn reversed(self) -> Self {
        FlowKey {
            outer: self.outer.reversed(),
            inner: self.inner.map(Tuple::reversed),
            ..self
        }
    }
}

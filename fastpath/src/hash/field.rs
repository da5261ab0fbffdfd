//! The names of header fields, and sets of them.

/// Header fields that the hash may use, with the names of the Cumulus text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    /// IP protocol / next header of the transport.
    IpProtocol,
    /// Source address.
    SourceIp,
    /// Destination address.
    DestinationIp,
    /// Source port of TCP, UDP, SCTP, DCCP, UDP-Lite.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// IPv6 flow label.
    Ipv6Label,
    /// Ingress port.
    IngressInterface,
    /// GTP-U tunnel endpoint id.
    GtpTeid,
    /// Protocol of the inner packet of a tunnel.
    InnerIpProtocol,
    /// Source address of the inner packet.
    InnerSourceIp,
    /// Destination address of the inner packet.
    InnerDestinationIp,
    /// Source port of the inner packet.
    InnerSourcePort,
    /// Destination port of the inner packet.
    InnerDestinationPort,
    /// Flow label of the inner packet.
    InnerIpv6Label,
    /// RoCE destination queue pair.
    RoceQp,
}

impl Field {
    /// Every field, in the order of the Cumulus text.
    pub const ALL: [Field; 15] = [
        Field::IpProtocol,
        Field::SourceIp,
        Field::DestinationIp,
        Field::SourcePort,
        Field::DestinationPort,
        Field::Ipv6Label,
        Field::IngressInterface,
        Field::GtpTeid,
        Field::InnerIpProtocol,
        Field::InnerSourceIp,
        Field::InnerDestinationIp,
        Field::InnerSourcePort,
        Field::InnerDestinationPort,
        Field::InnerIpv6Label,
        Field::RoceQp,
    ];

    /// Those of the outer packet's IP header and ports: protocol, ends, ports, label.
    pub const OUTER: [Field; 6] = [
        Field::IpProtocol,
        Field::SourceIp,
        Field::DestinationIp,
        Field::SourcePort,
        Field::DestinationPort,
        Field::Ipv6Label,
    ];

    /// The same of the inner packet.
    pub const INNER: [Field; 6] = [
        Field::InnerIpProtocol,
        Field::InnerSourceIp,
        Field::InnerDestinationIp,
        Field::InnerSourcePort,
        Field::InnerDestinationPort,
        Field::InnerIpv6Label,
    ];

    /// True when a packet has it behind its ports, in a tunnel or in what UDP carries.
    pub const fn is_deep(self) -> bool {
        self as u8 > Field::IngressInterface as u8
    }

    /// The name of the configuration and of `show hash`.
    pub const fn name(self) -> &'static str {
        match self {
            Field::IpProtocol => "ip-protocol",
            Field::SourceIp => "source-ip",
            Field::DestinationIp => "destination-ip",
            Field::SourcePort => "source-port",
            Field::DestinationPort => "destination-port",
            Field::Ipv6Label => "ipv6-label",
            Field::IngressInterface => "ingress-interface",
            Field::GtpTeid => "gtp-teid",
            Field::InnerIpProtocol => "inner-ip-protocol",
            Field::InnerSourceIp => "inner-source-ip",
            Field::InnerDestinationIp => "inner-destination-ip",
            Field::InnerSourcePort => "inner-source-port",
            Field::InnerDestinationPort => "inner-destination-port",
            Field::InnerIpv6Label => "inner-ipv6-label",
            Field::RoceQp => "roce-qp",
        }
    }

    /// On unless configured otherwise: the first six.
    pub const fn default_on(self) -> bool {
        (self as u8) < 6
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fields(u16);

impl Fields {
    /// No field at all.
    pub const EMPTY: Fields = Fields(0);

    /// True when `field` is in the set.
    pub const fn has(self, field: Field) -> bool {
        self.0 >> field as u8 & 1 != 0
    }

    /// The set with `field` in it, or without.
    #[must_use]
    pub const fn with(self, field: Field, on: bool) -> Fields {
        let bit = 1 << field as u8;
        Fields(if on { self.0 | bit } else { self.0 & !bit })
    }
}

impl Default for Fields {
    /// The six that the Cumulus text has on.
    fn default() -> Self {
        Field::ALL
            .into_iter()
            .fold(Fields::EMPTY, |set, f| set.with(f, f.default_on()))
    }
}

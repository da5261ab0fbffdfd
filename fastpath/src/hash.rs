//! The one hash: settings, and header fields to 32 bits.
//!
//! Both planes and `evenpath calc` call this; nothing else decides where a flow goes. The way is:
//! fields kept by the settings, the two endpoints (address, port) in order when symmetric, a keyed
//! mixer, 32 bits. A group takes its bucket from the high bits ([`crate::table::GroupWord`]).
//!
//! The mixer multiplies 64 by 64 bits and folds the 128-bit product; the keys come from the seed.
//! The seed enters before the multiplications, so the hashes of two seeds are not a fixed
//! difference apart (as they are with a seeded CRC or Toeplitz): routers in series with different
//! seeds spread over all combinations of their members.
//!
//! What is worth knowing about the fields: all fragments of a packet hash without ports, since only
//! the first has them. The IPv6 flow label is each sender's own choice, so with it on the two
//! directions of a flow hash alike only if their labels do.

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

    /// Read by the software plane today; the others have a name only.
    pub const fn is_built(self) -> bool {
        (self as u8) <= Field::IngressInterface as u8
    }

    /// On unless configured otherwise: the first six.
    pub const fn default_on(self) -> bool {
        (self as u8) < 6
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The header fields of one packet, as far as they may matter to the hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowKey {
    /// IPv6, not IPv4.
    pub v6: bool,
    /// Source address; of IPv4 the last four bytes, the others zero.
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// IP protocol: of IPv6 the transport after all extension headers; of an IPv6 fragment the
    /// next header of its fragment header.
    pub protocol: u8,
    /// Source port, 0 where there is none: other protocols, and all fragments.
    pub sport: u16,
    /// Destination port, likewise.
    pub dport: u16,
    /// IPv6 flow label, 20 bits; 0 for IPv4.
    pub label: u32,
    /// Index of the ingress port ([`crate::table::PortId`]).
    pub ingress: u16,
}

/// The fields beside the addresses, ready for the mixer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// IP protocol.
    pub protocol: u8,
    /// IPv6 flow label.
    pub label: u32,
    /// Index of the ingress port.
    pub ingress: u16,
}

/// What the operator chose, and what follows from it. Built by [`Settings::new`] alone, so that the
/// masks and keys always fit the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    fields: Fields,
    symmetric: bool,
    seed: u32,
    ordered: bool,
    src: u64,
    dst: u64,
    sport: u16,
    dport: u16,
    protocol: u8,
    /// Over label (low half) and ingress port (high half).
    rest: u64,
    keys: [u64; 8],
}

const fn all64(on: bool) -> u64 {
    (on as u64).wrapping_neg()
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so every seed has its own keys.
const fn splitmix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[inline(always)]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl Settings {
    /// Settings ready for use: the fields that matter, whether both directions of a flow should
    /// hash alike, and the seed (0 is as good as any).
    pub fn new(fields: Fields, symmetric: bool, seed: u32) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let start = splitmix((u64::from(seed)).wrapping_add(GOLDEN));
        let alike = |a, b| fields.has(a) == fields.has(b);
        Settings {
            fields,
            symmetric,
            seed,
            ordered: symmetric
                && alike(Field::SourceIp, Field::DestinationIp)
                && alike(Field::SourcePort, Field::DestinationPort),
            src: all64(fields.has(Field::SourceIp)),
            dst: all64(fields.has(Field::DestinationIp)),
            sport: all64(fields.has(Field::SourcePort)) as u16,
            dport: all64(fields.has(Field::DestinationPort)) as u16,
            protocol: all64(fields.has(Field::IpProtocol)) as u8,
            rest: all64(fields.has(Field::Ipv6Label)) & 0x000f_ffff
                | all64(fields.has(Field::IngressInterface)) << 32,
            keys: std::array::from_fn(|i| {
                // Odd, so never zero: a zero factor would wipe the other one out.
                splitmix(start.wrapping_add(GOLDEN.wrapping_mul(i as u64 + 1))) | 1
            }),
        }
    }

    /// The fields that matter.
    pub fn fields(&self) -> Fields {
        self.fields
    }

    /// The seed.
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// Symmetric was asked for; [`Settings::is_symmetric`] says what is in force.
    pub fn wants_symmetric(&self) -> bool {
        self.symmetric
    }

    /// Whether both directions of a flow hash alike: asked for, and the two sides of each pair of
    /// fields are set alike (otherwise it switches itself off, as the Cumulus text says).
    pub fn is_symmetric(&self) -> bool {
        self.ordered
    }

    /// The fields that are on and that the software plane does not read yet.
    pub fn unsupported(&self) -> Vec<Field> {
        let on = Field::ALL.into_iter().filter(|f| self.fields.has(*f));
        on.filter(|f| !f.is_built()).collect()
    }

    /// The hash of `key`.
    pub fn hash(&self, key: &FlowKey) -> u32 {
        let rest = Rest {
            sport: key.sport,
            dport: key.dport,
            protocol: key.protocol,
            label: key.label,
            ingress: key.ingress,
        };
        let (src, dst) = (u128::from_be_bytes(key.src), u128::from_be_bytes(key.dst));
        if key.v6 {
            self.hash6(src, dst, &rest)
        } else {
            self.hash4(src as u32, dst as u32, &rest)
        }
    }

    /// The hash of an IPv4 packet: two multiplications.
    #[inline(always)]
    pub fn hash4(&self, src: u32, dst: u32, rest: &Rest) -> u32 {
        let (src, dst) = (src & self.src as u32, dst & self.dst as u32);
        let (sport, dport) = (rest.sport & self.sport, rest.dport & self.dport);
        // Endpoints as 48-bit numbers, so that ordering them is one comparison.
        let from = u64::from(src) << 16 | u64::from(sport);
        let to = u64::from(dst) << 16 | u64::from(dport);
        let (from, to) = if self.ordered && from > to {
            (to, from)
        } else {
            (from, to)
        };
        let addresses = from >> 16 << 32 | to >> 16;
        let ports = (from & 0xffff) << 16 | to & 0xffff;
        self.finish(addresses, ports, rest)
    }

    /// The hash of an IPv6 packet, addresses as numbers: four multiplications, two of them beside
    /// each other.
    #[inline(always)]
    pub fn hash6(&self, src: u128, dst: u128, rest: &Rest) -> u32 {
        let [.., k4, k5, k6, k7] = self.keys;
        let wide = |half: u64| u128::from(half) << 64 | u128::from(half);
        let (src, dst) = (src & wide(self.src), dst & wide(self.dst));
        let (sport, dport) = (rest.sport & self.sport, rest.dport & self.dport);
        let swap = self.ordered && (src, sport) > (dst, dport);
        let (from, to) = if swap { (dst, src) } else { (src, dst) };
        let (fport, tport) = if swap { (dport, sport) } else { (sport, dport) };
        let high = fold((from >> 64) as u64 ^ k4, (to >> 64) as u64 ^ k5);
        let low = fold(from as u64 ^ k6, to as u64 ^ k7);
        let ports = u64::from(fport) << 16 | u64::from(tport);
        self.finish(high ^ low.rotate_left(32), ports, rest)
    }

    #[inline(always)]
    fn finish(&self, addresses: u64, ports: u64, rest: &Rest) -> u32 {
        let [k0, k1, k2, k3, ..] = self.keys;
        let protocol = u64::from(rest.protocol & self.protocol);
        let other = (u64::from(rest.label) | u64::from(rest.ingress) << 32) & self.rest;
        let mixed = fold(addresses ^ k0, (ports | protocol << 32) ^ k1);
        (fold(mixed ^ k2, other ^ k3) >> 32) as u32
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::new(Fields::default(), true, 0)
    }
}

#[cfg(test)]
mod tests;

//! The one hash: settings, and header fields to 32 bits.
//!
//! Both planes and `evenpath calc` call this; nothing else decides where a flow goes. The way is:
//! fields kept by the settings, the two endpoints (address, port) in order when symmetric, a keyed
//! mixer, 32 bits. A group takes its bucket from the low bits ([`crate::table::GroupWord`]).
//!
//! The mixer multiplies 64 by 64 bits and folds the 128-bit product; the keys come from the seed.
//! The seed enters before the multiplications, so the hashes of two seeds are not a fixed
//! difference apart (as they are with a seeded CRC or Toeplitz): routers in series with different
//! seeds spread over all combinations of their members.
//!
//! What is worth knowing about the fields: all fragments of a packet hash without ports, since only
//! the first has them. The IPv6 flow label is each sender's own choice, so with it on the two
//! directions of a flow hash alike only if their labels do.

mod field;
mod key;
mod policy;

pub use field::{Field, Fields};
pub use key::{FlowKey, Tuple};
pub use policy::{Policy, Profile};

/// How header fields become a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Folded multiplies keyed by the seed.
    #[default]
    Mix,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 1] = [Algorithm::Mix];

    /// The name in the configuration and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Mix => "mix",
        }
    }

    /// The algorithm called `name`.
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// What an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The fields that matter.
    pub fields: Fields,
    /// Both directions of a flow are to hash alike.
    pub symmetric: bool,
    /// The seed; 0 is as good as any.
    pub seed: u32,
    /// How.
    pub algorithm: Algorithm,
}

impl Default for Choice {
    /// That of the Cumulus text, with seed 0.
    fn default() -> Self {
        Choice {
            fields: Fields::default(),
            symmetric: true,
            seed: 0,
            algorithm: Algorithm::default(),
        }
    }
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
    choice: Choice,
    ordered: bool,
    src: u64,
    dst: u64,
    sport: u16,
    dport: u16,
    protocol: u8,
    /// Over label (low half) and ingress port (high half).
    rest: u64,
    keys: [u64; 8],
    /// Fields of tunnels matter.
    deep: bool,
    inner_src: u64,
    inner_dst: u64,
    /// Over ports (low half), protocol and label (high half: 8 bits and 20).
    inner_rest: u64,
    inner_ordered: bool,
    teid: bool,
    qp: bool,
    deep_keys: [u64; 6],
}

/// Fields that say the same of the two ends of a flow.
const PAIRS: [(Field, Field); 4] = [
    (Field::SourceIp, Field::DestinationIp),
    (Field::SourcePort, Field::DestinationPort),
    (Field::InnerSourceIp, Field::InnerDestinationIp),
    (Field::InnerSourcePort, Field::InnerDestinationPort),
];

/// Fields that are not of the packet's own IP header and ports.
const DEEP: [Field; 8] = [
    Field::GtpTeid,
    Field::InnerIpProtocol,
    Field::InnerSourceIp,
    Field::InnerDestinationIp,
    Field::InnerSourcePort,
    Field::InnerDestinationPort,
    Field::InnerIpv6Label,
    Field::RoceQp,
];

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
    /// Settings ready for use.
    pub fn new(choice: Choice) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let fields = choice.fields;
        let start = splitmix((u64::from(choice.seed)).wrapping_add(GOLDEN));
        // Odd, so never zero: a zero factor would wipe the other one out.
        let key = |i: usize| splitmix(start.wrapping_add(GOLDEN.wrapping_mul(i as u64 + 1))) | 1;
        let alike =
            |pairs: &[(Field, Field)]| pairs.iter().all(|(a, b)| fields.has(*a) == fields.has(*b));
        let symmetric = choice.symmetric && alike(&PAIRS);
        let on = |field| all64(fields.has(field));
        Settings {
            choice,
            ordered: symmetric,
            src: on(Field::SourceIp),
            dst: on(Field::DestinationIp),
            sport: on(Field::SourcePort) as u16,
            dport: on(Field::DestinationPort) as u16,
            protocol: on(Field::IpProtocol) as u8,
            rest: on(Field::Ipv6Label) & 0x000f_ffff | on(Field::IngressInterface) << 32,
            keys: std::array::from_fn(key),
            deep: DEEP.iter().any(|f| fields.has(*f)),
            inner_src: on(Field::InnerSourceIp),
            inner_dst: on(Field::InnerDestinationIp),
            inner_rest: on(Field::InnerSourcePort) & 0xffff_0000
                | on(Field::InnerDestinationPort) & 0xffff
                | (on(Field::InnerIpProtocol) & 0xff) << 32
                | (on(Field::InnerIpv6Label) & 0x000f_ffff) << 40,
            inner_ordered: symmetric,
            teid: fields.has(Field::GtpTeid),
            qp: fields.has(Field::RoceQp),
            deep_keys: std::array::from_fn(|i| key(i + 8)),
        }
    }

    /// What was chosen.
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// The fields that matter.
    pub fn fields(&self) -> Fields {
        self.choice.fields
    }

    /// The seed.
    pub fn seed(&self) -> u32 {
        self.choice.seed
    }

    /// Symmetric was asked for; [`Settings::is_symmetric`] says what is in force.
    pub fn wants_symmetric(&self) -> bool {
        self.choice.symmetric
    }

    /// Whether both directions of a flow hash alike: asked for, and the two sides of each pair of
    /// fields are set alike (otherwise it switches itself off, as the Cumulus text says).
    pub fn is_symmetric(&self) -> bool {
        self.ordered
    }

    /// The pairs of fields that are not set alike: what keeps symmetric from being in force.
    pub fn uneven(&self) -> impl Iterator<Item = (Field, Field)> + '_ {
        let fields = self.choice.fields;
        let differ = move |(a, b): &(Field, Field)| fields.has(*a) != fields.has(*b);
        PAIRS.into_iter().filter(differ)
    }

    /// True when no field of a tunnel, TEID or queue pair matters: [`Settings::hash4`] and
    /// [`Settings::hash6`] say all.
    #[inline]
    pub fn is_plain(&self) -> bool {
        !self.deep
    }

    /// The fields that are on and that the software plane does not read yet.
    pub fn unsupported(&self) -> Vec<Field> {
        let on = Field::ALL.into_iter().filter(|f| self.fields().has(*f));
        on.filter(|f| !f.is_built()).collect()
    }

    /// The hash of `key`.
    pub fn hash(&self, key: &FlowKey) -> u32 {
        let outer = &key.outer;
        let rest = Rest {
            sport: outer.sport,
            dport: outer.dport,
            protocol: outer.protocol,
            label: outer.label,
            ingress: key.ingress,
        };
        let (src, dst) = (
            u128::from_be_bytes(outer.src),
            u128::from_be_bytes(outer.dst),
        );
        let (addresses, ports) = if outer.v6 {
            self.endpoints6(src, dst, &rest)
        } else {
            self.endpoints4(src as u32, dst as u32, &rest)
        };
        let deep = if self.deep { self.deep(key) } else { 0 };
        self.finish(addresses ^ deep, ports, &rest)
    }

    /// The fields of a tunnel as one number, 0 for a packet without any that matters.
    fn deep(&self, key: &FlowKey) -> u64 {
        let [k0, k1, k2, k3, k4, k5] = self.deep_keys;
        // A bit beside each number, so that none and zero differ.
        let teid = key.teid.filter(|_| self.teid);
        let qp = key.qp.filter(|_| self.qp);
        let mut deep = 0;
        if teid.is_some() || qp.is_some() {
            let teid = teid.map_or(0, |id| u64::from(id) | 1 << 32);
            let qp = qp.map_or(0, |qp| u64::from(qp & 0xff_ffff) | 1 << 24);
            deep = fold(teid ^ k0, qp ^ k1);
        }
        if let Some(inner) = &key.inner {
            let wide = |half: u64| u128::from(half) << 64 | u128::from(half);
            let src = u128::from_be_bytes(inner.src) & wide(self.inner_src);
            let dst = u128::from_be_bytes(inner.dst) & wide(self.inner_dst);
            let sport = inner.sport & (self.inner_rest >> 16) as u16;
            let dport = inner.dport & self.inner_rest as u16;
            let swap = self.inner_ordered && (src, sport) > (dst, dport);
            let (from, to) = if swap { (dst, src) } else { (src, dst) };
            let (fport, tport) = if swap { (dport, sport) } else { (sport, dport) };
            let rest = u64::from(inner.protocol) << 32 | u64::from(inner.label) << 40;
            let rest = rest & self.inner_rest | u64::from(fport) << 16 | u64::from(tport);
            let high = fold((from >> 64) as u64 ^ k2, (to >> 64) as u64 ^ k3);
            let low = fold(from as u64 ^ k4, to as u64 ^ k5);
            deep ^= fold(
                high ^ low.rotate_left(32) ^ k1,
                rest ^ k0 ^ deep.rotate_left(17),
            );
        }
        deep
    }

    /// The hash of an IPv4 packet: two multiplications.
    #[inline(always)]
    pub fn hash4(&self, src: u32, dst: u32, rest: &Rest) -> u32 {
        let (addresses, ports) = self.endpoints4(src, dst, rest);
        self.finish(addresses, ports, rest)
    }

    #[inline(always)]
    fn endpoints4(&self, src: u32, dst: u32, rest: &Rest) -> (u64, u64) {
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
        (addresses, ports)
    }

    /// The hash of an IPv6 packet, addresses as numbers: four multiplications, two of them beside
    /// each other.
    #[inline(always)]
    pub fn hash6(&self, src: u128, dst: u128, rest: &Rest) -> u32 {
        let (addresses, ports) = self.endpoints6(src, dst, rest);
        self.finish(addresses, ports, rest)
    }

    #[inline(always)]
    fn endpoints6(&self, src: u128, dst: u128, rest: &Rest) -> (u64, u64) {
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
        (high ^ low.rotate_left(32), ports)
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
        Settings::new(Choice::default())
    }
}

#[cfg(test)]
mod tests;

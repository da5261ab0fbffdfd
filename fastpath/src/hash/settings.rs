//! What the operator chose, ready for use: masks, keys, tables.

use super::linear::{Linear, Tables};
use super::mix::{self, wide};
use super::symmetry::PAIRS;
use super::{Algorithm, Choice, Field, Fields, FlowKey, Rest, Rss};
use std::sync::Arc;

/// What the operator chose, and what follows from it. Built by [`Settings::new`] alone, so that the
/// masks and keys always fit the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    choice: Choice,
    pub(super) ordered: bool,
    pub(super) src: u64,
    pub(super) dst: u64,
    pub(super) sport: u16,
    pub(super) dport: u16,
    pub(super) protocol: u8,
    /// Over label (low half) and ingress port (high half).
    pub(super) rest: u64,
    pub(super) keys: [u64; 8],
    /// Of the algorithms that hardware knows; none for the mixer.
    linear: Option<Arc<Linear>>,
    /// Fields that the hardware does not know matter, for IPv4 and for IPv6.
    folded4: bool,
    folded6: bool,
    rss: u64,
    /// Fields of tunnels matter.
    deep: bool,
    pub(super) inner_src: u64,
    pub(super) inner_dst: u64,
    /// Over ports (low half), protocol and label (high half: 8 bits and 20).
    pub(super) inner_rest: u64,
    pub(super) teid: bool,
    pub(super) qp: bool,
    pub(super) deep_keys: [u64; 6],
    /// What the upper halves of IPv4 addresses, zeros, make of the keys.
    pub(super) inner4_high: u64,
}

const fn all64(on: bool) -> u64 {
    (on as u64).wrapping_neg()
}

impl Settings {
    /// Settings ready for use.
    pub fn new(choice: Choice) -> Self {
        Settings::with(choice, Tables::new(&choice).as_ref())
    }

    /// The same with `tables` that were made before; made anew if they are not those of `choice`.
    pub fn with(choice: Choice, tables: Option<&Tables>) -> Self {
        if tables.map(|t| t.of) != Tables::name(&choice) {
            return Settings::new(choice);
        }
        let fields = choice.fields;
        let alike = PAIRS.iter().all(|(a, b)| fields.has(*a) == fields.has(*b));
        let algorithm = choice.algorithm;
        let on = |field| all64(fields.has(field));
        let deep = Field::ALL.iter().any(|f| f.is_deep() && fields.has(*f));
        let beyond = algorithm == Algorithm::Toeplitz && fields.has(Field::IpProtocol);
        let folded4 = beyond || deep || fields.has(Field::IngressInterface);
        let deep_keys: [u64; 6] = std::array::from_fn(|i| mix::key(choice.seed, i as u64 + 8));
        let mut settings = Settings {
            choice,
            ordered: choice.symmetric && alike && algorithm != Algorithm::Crc32,
            src: on(Field::SourceIp),
            dst: on(Field::DestinationIp),
            sport: on(Field::SourcePort) as u16,
            dport: on(Field::DestinationPort) as u16,
            protocol: on(Field::IpProtocol) as u8,
            rest: on(Field::Ipv6Label) & 0x000f_ffff | on(Field::IngressInterface) << 32,
            keys: std::array::from_fn(|i| mix::key(choice.seed, i as u64)),
            linear: tables.map(|t| Arc::clone(&t.linear)),
            folded4,
            folded6: folded4 || fields.has(Field::Ipv6Label),
            rss: 0,
            deep,
            inner_src: on(Field::InnerSourceIp),
            inner_dst: on(Field::InnerDestinationIp),
            inner_rest: on(Field::InnerSourcePort) & 0xffff_0000
                | on(Field::InnerDestinationPort) & 0xffff
                | (on(Field::InnerIpProtocol) & 0xff) << 32
                | (on(Field::InnerIpv6Label) & 0x000f_ffff) << 40,
            teid: fields.has(Field::GtpTeid),
            qp: fields.has(Field::RoceQp),
            deep_keys,
            inner4_high: mix::fold(deep_keys[2], deep_keys[3]) ^ deep_keys[1],
        };
        if let Some(rss) = settings.rss() {
            let flags = 1 | u64::from(rss.source_port) << 1 | u64::from(rss.sorted) << 2;
            settings.rss = flags << 32 | u64::from(choice.seed);
        }
        settings
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

    /// Whether both directions of a flow hash alike: asked for, the two sides of each pair of
    /// fields are set alike (otherwise it switches itself off, as the Cumulus text says), and the
    /// algorithm can. [`Settings::asymmetry`] says why not.
    pub fn is_symmetric(&self) -> bool {
        self.ordered
    }

    /// True when no field of a tunnel, TEID or queue pair matters: [`Settings::hash4`] and
    /// [`Settings::hash6`] say all.
    #[inline]
    pub fn is_plain(&self) -> bool {
        !self.deep
    }

    /// The algorithm is the default one: [`Settings::mix4`] and [`Settings::mix6`] say all.
    #[inline]
    pub(crate) fn is_mix(&self) -> bool {
        self.linear.is_none()
    }

    /// Both addresses, both ports and the protocol matter, and ends are put in order: nothing of them
    /// is to be masked.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        let addresses = self.src & self.dst == u64::MAX;
        let rest = self.sport & self.dport == u16::MAX && self.protocol == u8::MAX;
        self.ordered && addresses && rest
    }

    /// A field of the packet inside a tunnel matters.
    #[inline(always)]
    pub(crate) fn wants_inner(&self) -> bool {
        (self.inner_src | self.inner_dst | self.inner_rest) != 0
    }

    /// A port of the packet inside a tunnel matters.
    #[inline(always)]
    pub(crate) fn wants_inner_ports(&self) -> bool {
        self.inner_rest as u32 != 0
    }

    /// The TEID matters, or the queue pair.
    #[inline(always)]
    pub(crate) fn wants_ids(&self) -> bool {
        self.teid | self.qp
    }

    /// What to program a NIC with, so that its RSS value can be used in place of our own: only of
    /// `toeplitz`, and only with both addresses on and with both ports or none. NICs do not agree
    /// on where the fields of other sets lie in the input.
    pub fn rss(&self) -> Option<Rss> {
        let has = |field| self.fields().has(field);
        let addresses = has(Field::SourceIp) && has(Field::DestinationIp);
        let ports = has(Field::SourcePort) == has(Field::DestinationPort);
        let fits = self.choice.algorithm == Algorithm::Toeplitz && addresses && ports;
        let linear = self.linear.as_ref().filter(|_| fits)?;
        Some(Rss {
            key: linear.key,
            source_ip: true,
            destination_ip: true,
            source_port: has(Field::SourcePort),
            destination_port: has(Field::DestinationPort),
            sorted: self.ordered,
        })
    }

    /// A number for what [`Settings::rss`] says, 0 for none: settings with the same number can use
    /// the same RSS value. A port whose NIC works with other ones, because they were changed since
    /// or are those of a profile, has another number.
    #[inline]
    pub fn rss_id(&self) -> u64 {
        self.rss
    }

    /// The hash of `key`.
    pub fn hash(&self, key: &FlowKey) -> u32 {
        let rest = Rest::of(key);
        let outer = &key.outer;
        let src = u128::from_be_bytes(outer.src);
        let dst = u128::from_be_bytes(outer.dst);
        if let Some(linear) = &self.linear {
            let base = if outer.v6 {
                self.base6(linear, src, dst, &rest)
            } else {
                self.base4(linear, src as u32, dst as u32, &rest)
            };
            return self.over(base, key, &rest);
        }
        let (addresses, ports) = if outer.v6 {
            self.endpoints6(src, dst, &rest)
        } else {
            self.endpoints4(src as u32, dst as u32, &rest)
        };
        let deep = if self.deep { self.deep(key) } else { 0 };
        self.finish(addresses ^ deep, ports, &rest)
    }

    /// The hash of `key` when a NIC programmed as [`Settings::rss`] says found `rss`: what
    /// [`Settings::hash`] says, without computing the Toeplitz hash again. Only for packets that
    /// [`crate::hash::toeplitz::is_covered`] names.
    pub fn hash_with_rss(&self, key: &FlowKey, rss: u32) -> u32 {
        self.over(rss, key, &Rest::of(key))
    }

    /// The same for a packet without fields of tunnels, or with settings that are
    /// [plain](Settings::is_plain): what [`Settings::hash4`] says.
    #[inline]
    pub fn hash4_with_rss(&self, rss: u32, rest: &Rest) -> u32 {
        self.plain(rss, self.folded4, rest)
    }

    /// The same: what [`Settings::hash6`] says.
    #[inline]
    pub fn hash6_with_rss(&self, rss: u32, rest: &Rest) -> u32 {
        self.plain(rss, self.folded6, rest)
    }

    /// The hash of an IPv4 packet: two multiplications, or look-ups.
    #[inline(always)]
    pub fn hash4(&self, src: u32, dst: u32, rest: &Rest) -> u32 {
        if let Some(linear) = &self.linear {
            return self.linear4(linear, src, dst, rest);
        }
        self.mix4(src, dst, rest, 0)
    }

    /// The same with the fields of a tunnel as one number, for settings that are not
    /// [plain](Settings::is_plain): what [`Settings::hash`] says.
    #[inline(always)]
    pub(crate) fn hash4_deep(&self, src: u32, dst: u32, rest: &Rest, deep: u64) -> u32 {
        if let Some(linear) = &self.linear {
            return self.linear4_deep(linear, src, dst, rest, deep);
        }
        self.mix4(src, dst, rest, deep)
    }

    /// The mixer, for settings without other algorithm.
    #[inline(always)]
    pub(crate) fn mix4(&self, src: u32, dst: u32, rest: &Rest, deep: u64) -> u32 {
        let (addresses, ports) = self.endpoints4(src, dst, rest);
        self.finish(addresses ^ deep, ports, rest)
    }

    /// The same of an IPv4 packet as it is read: both addresses and both ports, of the source in the
    /// upper halves. `WHOLE`: what [`Settings::is_whole`] says.
    #[inline(always)]
    pub(crate) fn mix4_ends<const WHOLE: bool>(
        &self,
        addresses: u64,
        ports: u32,
        protocol: u8,
        ingress: u16,
        deep: u64,
    ) -> u32 {
        let (addresses, ports) = match WHOLE {
            true => mix::in_order(addresses, ports),
            false => self.ends4(addresses, ports),
        };
        let rest = Rest {
            protocol,
            ingress,
            ..Rest::default()
        };
        self.finish_with::<WHOLE>(addresses ^ deep, ports, &rest)
    }

    /// The hash of an IPv6 packet, addresses as numbers: four multiplications, two of them beside
    /// each other, or look-ups.
    #[inline(always)]
    pub fn hash6(&self, src: u128, dst: u128, rest: &Rest) -> u32 {
        if let Some(linear) = &self.linear {
            return self.linear6(linear, src, dst, rest);
        }
        self.mix6(src, dst, rest, 0)
    }

    /// As [`Settings::hash4_deep`].
    #[inline(always)]
    pub(crate) fn hash6_deep(&self, src: u128, dst: u128, rest: &Rest, deep: u64) -> u32 {
        if let Some(linear) = &self.linear {
            return self.linear6_deep(linear, src, dst, rest, deep);
        }
        self.mix6(src, dst, rest, deep)
    }

    /// As [`Settings::mix4`].
    #[inline(always)]
    pub(crate) fn mix6(&self, src: u128, dst: u128, rest: &Rest, deep: u64) -> u32 {
        let (addresses, ports) = self.endpoints6(src, dst, rest);
        self.finish(addresses ^ deep, ports, rest)
    }

    // Calls, so that the mixer's way stays short.
    #[inline(never)]
    fn linear4(&self, linear: &Linear, src: u32, dst: u32, rest: &Rest) -> u32 {
        self.plain(self.base4(linear, src, dst, rest), self.folded4, rest)
    }

    #[inline(never)]
    fn linear6(&self, linear: &Linear, src: u128, dst: u128, rest: &Rest) -> u32 {
        self.plain(self.base6(linear, src, dst, rest), self.folded6, rest)
    }

    #[inline(never)]
    fn linear4_deep(&self, linear: &Linear, src: u32, dst: u32, rest: &Rest, deep: u64) -> u32 {
        let base = self.base4(linear, src, dst, rest);
        self.finish(u64::from(base) ^ deep, 0, rest)
    }

    #[inline(never)]
    fn linear6_deep(&self, linear: &Linear, src: u128, dst: u128, rest: &Rest, deep: u64) -> u32 {
        let base = self.base6(linear, src, dst, rest);
        self.finish(u64::from(base) ^ deep, 0, rest)
    }

    #[inline(always)]
    fn base4(&self, linear: &Linear, src: u32, dst: u32, rest: &Rest) -> u32 {
        let (src, dst) = self.sorted(src & self.src as u32, dst & self.dst as u32);
        linear.hash4(src, dst, self.ports(rest), rest.protocol & self.protocol)
    }

    #[inline(always)]
    fn base6(&self, linear: &Linear, src: u128, dst: u128, rest: &Rest) -> u32 {
        let (src, dst) = self.sorted(src & wide(self.src), dst & wide(self.dst));
        linear.hash6(src, dst, self.ports(rest), rest.protocol & self.protocol)
    }

    #[inline(always)]
    fn ports(&self, rest: &Rest) -> u32 {
        let (sport, dport) = self.sorted(rest.sport & self.sport, rest.dport & self.dport);
        u32::from(sport) << 16 | u32::from(dport)
    }

    #[inline(always)]
    pub(super) fn sorted<T: PartialOrd>(&self, a: T, b: T) -> (T, T) {
        if self.ordered && a > b {
            (b, a)
        } else {
            (a, b)
        }
    }

    /// What hardware finds, and over it the fields that it does not know.
    fn over(&self, base: u32, key: &FlowKey, rest: &Rest) -> u32 {
        if self.deep {
            return self.finish(u64::from(base) ^ self.deep(key), 0, rest);
        }
        let folded = if key.outer.v6 {
            self.folded6
        } else {
            self.folded4
        };
        self.plain(base, folded, rest)
    }

    #[inline(always)]
    fn plain(&self, base: u32, folded: bool, rest: &Rest) -> u32 {
        if folded {
            self.finish(base.into(), 0, rest)
        } else {
            base
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::new(Choice::default())
    }
}

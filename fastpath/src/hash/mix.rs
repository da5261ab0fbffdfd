//! The keyed mixer: 64 by 64 bits multiplied, the halves of the product folded together.

use super::{FlowKey, Rest, Settings};

/// The step of SplitMix64's counter.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so every seed has its own keys.
pub(super) const fn splitmix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[inline(always)]
pub(super) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Key number `i` of `seed`.
pub(super) const fn key(seed: u32, i: u64) -> u64 {
    let start = splitmix((seed as u64).wrapping_add(GOLDEN));
    // Odd, so never zero: a zero factor would wipe the other one out.
    splitmix(start.wrapping_add(GOLDEN.wrapping_mul(i + 1))) | 1
}

#[inline(always)]
pub(super) const fn wide(half: u64) -> u128 {
    (half as u128) << 64 | half as u128
}

/// Two ends of an IPv4 flow, one in the upper halves, so that the one with the smaller address, then
/// the smaller port, is there. No branch, since which end comes first is anybody's guess: two
/// subtractions with their borrow, and two conditional moves.
#[inline(always)]
pub(super) fn in_order(addresses: u64, ports: u32) -> (u64, u64) {
    let number = |addresses: u64, ports: u32| u128::from(addresses) << 64 | u128::from(ports);
    let turned = number(addresses.rotate_left(32), ports.rotate_left(16));
    let first = number(addresses, ports).min(turned);
    ((first >> 64) as u64, first as u64)
}

impl Settings {
    /// The fields of a tunnel as one number, 0 for a packet without any that matters.
    pub(super) fn deep(&self, key: &FlowKey) -> u64 {
        let ids = self.ids(key.teid, key.qp);
        let Some(inner) = key.inner.filter(|_| self.wants_inner()) else {
            return ids;
        };
        let src = u128::from_be_bytes(inner.src);
        let dst = u128::from_be_bytes(inner.dst);
        let ports = u32::from(inner.sport) << 16 | u32::from(inner.dport);
        if inner.v6 {
            self.inner6((src, dst), ports, inner.protocol, inner.label, ids)
        } else {
            self.inner4((src as u32, dst as u32), ports, inner.protocol, ids)
        }
    }

    /// What names a tunnel, as one number; 0 where that does not matter.
    #[inline(always)]
    pub(crate) fn ids(&self, teid: Option<u32>, qp: Option<u32>) -> u64 {
        let [k0, k1, ..] = self.deep_keys;
        // A bit beside each number, so that none and zero differ.
        let teid = teid.filter(|_| self.teid);
        let qp = qp.filter(|_| self.qp);
        if teid.is_none() && qp.is_none() {
            return 0;
        }
        let teid = teid.map_or(0, |id| u64::from(id) | 1 << 32);
        let qp = qp.map_or(0, |qp| u64::from(qp & 0xff_ffff) | 1 << 24);
        fold(teid ^ k0, qp ^ k1)
    }

    /// The fields of an IPv4 packet inside a tunnel that `ids` names, as one number; only where
    /// [`Settings::wants_inner`]. `ports`: the source port in the high half.
    #[inline(always)]
    pub(crate) fn inner4(&self, ends: (u32, u32), ports: u32, protocol: u8, ids: u64) -> u64 {
        let [k0, .., k4, k5] = self.deep_keys;
        let (src, dst) = (
            ends.0 & self.inner_src as u32,
            ends.1 & self.inner_dst as u32,
        );
        let ports = ports & self.inner_rest as u32;
        let (from, to) = self.sorted(
            u64::from(src) << 16 | u64::from(ports >> 16),
            u64::from(dst) << 16 | u64::from(ports & 0xffff),
        );
        let low = fold(from >> 16 ^ k4, to >> 16 ^ k5);
        let rest = u64::from(protocol) << 32 & self.inner_rest;
        let rest = rest | (from & 0xffff) << 16 | to & 0xffff;
        let high = self.inner4_high ^ low.rotate_left(32);
        ids ^ fold(high, rest ^ k0 ^ ids.rotate_left(17))
    }

    /// The same of an IPv6 packet.
    #[inline(always)]
    pub(crate) fn inner6(
        &self,
        ends: (u128, u128),
        ports: u32,
        protocol: u8,
        label: u32,
        ids: u64,
    ) -> u64 {
        let [k0, k1, k2, k3, k4, k5] = self.deep_keys;
        let (src, dst) = (ends.0 & wide(self.inner_src), ends.1 & wide(self.inner_dst));
        let ports = ports & self.inner_rest as u32;
        let (sport, dport) = (ports >> 16, ports & 0xffff);
        let swap = self.ordered && (src, sport) > (dst, dport);
        let (from, to) = if swap { (dst, src) } else { (src, dst) };
        let ports = if swap { ports.rotate_left(16) } else { ports };
        let rest = u64::from(protocol) << 32 | u64::from(label) << 40;
        let rest = rest & self.inner_rest | u64::from(ports);
        let high = fold((from >> 64) as u64 ^ k2, (to >> 64) as u64 ^ k3);
        let low = fold(from as u64 ^ k4, to as u64 ^ k5);
        let high = high ^ low.rotate_left(32) ^ k1;
        ids ^ fold(high, rest ^ k0 ^ ids.rotate_left(17))
    }

    #[inline(always)]
    pub(super) fn endpoints4(&self, src: u32, dst: u32, rest: &Rest) -> (u64, u64) {
        let ports = u32::from(rest.sport) << 16 | u32::from(rest.dport);
        self.ends4(u64::from(src) << 32 | u64::from(dst), ports)
    }

    /// Both addresses and both ports, of the source in the upper halves: as they stand in a packet.
    #[inline(always)]
    pub(super) fn ends4(&self, addresses: u64, ports: u32) -> (u64, u64) {
        let addresses = addresses & (self.src << 32 | self.dst & 0xffff_ffff);
        let ports = ports & (u32::from(self.sport) << 16 | u32::from(self.dport));
        if self.ordered {
            in_order(addresses, ports)
        } else {
            (addresses, ports.into())
        }
    }

    #[inline(always)]
    pub(super) fn endpoints6(&self, src: u128, dst: u128, rest: &Rest) -> (u64, u64) {
        let [.., k4, k5, k6, k7] = self.keys;
        let (src, dst) = (src & wide(self.src), dst & wide(self.dst));
        let ports = u32::from(rest.sport & self.sport) << 16 | u32::from(rest.dport & self.dport);
        let turned = ports.rotate_left(16);
        let is_swapped = self.ordered & ((src > dst) | ((src == dst) & (ports > turned)));
        // As in `ends4`.
        let mask = 0_u64.wrapping_sub(is_swapped.into());
        let ports = ports ^ (ports ^ turned) & mask as u32;
        let turn = |a: u64, b: u64| {
            let change = (a ^ b) & mask;
            (a ^ change, b ^ change)
        };
        let upper = turn((src >> 64) as u64, (dst >> 64) as u64);
        let lower = turn(src as u64, dst as u64);
        let high = fold(upper.0 ^ k4, upper.1 ^ k5);
        let low = fold(lower.0 ^ k6, lower.1 ^ k7);
        (high ^ low.rotate_left(32), ports.into())
    }

    #[inline(always)]
    pub(super) fn finish(&self, addresses: u64, ports: u64, rest: &Rest) -> u32 {
        self.finish_with::<false>(addresses, ports, rest)
    }

    /// `WHOLE`: the protocol matters for certain.
    #[inline(always)]
    pub(super) fn finish_with<const WHOLE: bool>(
        &self,
        addresses: u64,
        ports: u64,
        rest: &Rest,
    ) -> u32 {
        let [k0, k1, k2, k3, ..] = self.keys;
        let mask = if WHOLE { u8::MAX } else { self.protocol };
        let protocol = u64::from(rest.protocol & mask);
        let other = (u64::from(rest.label) | u64::from(rest.ingress) << 32) & self.rest;
        // Labels in a row times a constant would be spaced, not spread. Zero stays zero; all this is
        // done while the first product is under way.
        let other = other.wrapping_mul(GOLDEN);
        let other = other ^ other >> 32;
        let mixed = fold(addresses ^ k0, (ports | protocol << 32) ^ k1);
        (fold(mixed ^ k2, other ^ k3) >> 32) as u32
    }
}

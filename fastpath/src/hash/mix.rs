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
const fn fold(a: u64, b: u64) -> u64 {
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

impl Settings {
    /// The fields of a tunnel as one number, 0 for a packet without any that matters.
    pub(super) fn deep(&self, key: &FlowKey) -> u64 {
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
        // Beside a TEID or queue pair, that there is a packet inside is no field of its own.
        let wants_inner = (self.inner_src | self.inner_dst | self.inner_rest) != 0;
        if let Some(inner) = key.inner.filter(|_| wants_inner) {
            let src = u128::from_be_bytes(inner.src) & wide(self.inner_src);
            let dst = u128::from_be_bytes(inner.dst) & wide(self.inner_dst);
            let sport = inner.sport & (self.inner_rest >> 16) as u16;
            let dport = inner.dport & self.inner_rest as u16;
            let swap = self.ordered && (src, sport) > (dst, dport);
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

    #[inline(always)]
    pub(super) fn endpoints4(&self, src: u32, dst: u32, rest: &Rest) -> (u64, u64) {
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

    #[inline(always)]
    pub(super) fn endpoints6(&self, src: u128, dst: u128, rest: &Rest) -> (u64, u64) {
        let [.., k4, k5, k6, k7] = self.keys;
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
    pub(super) fn finish(&self, addresses: u64, ports: u64, rest: &Rest) -> u32 {
        let [k0, k1, k2, k3, ..] = self.keys;
        let protocol = u64::from(rest.protocol & self.protocol);
        let other = (u64::from(rest.label) | u64::from(rest.ingress) << 32) & self.rest;
        // Labels in a row times a constant would be spaced, not spread. Zero stays zero; all this is
        // done while the first product is under way.
        let other = other.wrapping_mul(GOLDEN);
        let other = other ^ other >> 32;
        let mixed = fold(addresses ^ k0, (ports | protocol << 32) ^ k1);
        (fold(mixed ^ k2, other ^ k3) >> 32) as u32
    }
}

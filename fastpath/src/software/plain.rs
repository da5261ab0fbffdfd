//! Plain packets, which nearly all are: TCP or UDP right behind an IP header without options, whole,
//! in an untagged frame for us, with addresses that need no second look.
//!
//! All conditions are gathered into one number and asked at once, so that a burst of plain packets
//! has one branch each. What is not plain goes the way of `check` and `hot`, which know all
//! that is known here: a test of `parse` compares the two.

use super::burst::{BURST, Burst, Frame};
use super::hot::{self, Kind, OUTER};
use super::lanes::{Alike, LANES, Lanes, Verdict};
use crate::hash::{Rest, Settings};
use crate::table::{PortFacts, PortId};
use crate::wire::{ethernet, ipv4, ipv6, transport};

/// Bytes up to where the ports end: Ethernet, IPv4 or IPv6, the shorter of the two transports.
const HEADERS4: usize = ethernet::HEADER + ipv4::HEADER + UDP;
const HEADERS6: usize = ethernet::HEADER + ipv6::HEADER + UDP;
/// Bytes of a UDP header.
const UDP: usize = 8;

/// Of the word as it stands there, what a whole packet has not.
const FRAGMENT: u16 = (ipv4::MORE_FRAGMENTS | ipv4::OFFSET).swap_bytes();

/// EtherType, version, header length and type of service of a plain header, as they stand there.
const START4: u32 = u32::from_le_bytes([8, 0, 0x45, 0]);
const MASK4: u32 = u32::from_le_bytes([0xff, 0xff, 0xff, 0]);
const START6: u32 = u32::from_le_bytes([0x86, 0xdd, 0x60, 0]);
const MASK6: u32 = u32::from_le_bytes([0xff, 0xff, 0xf0, 0]);

/// What the destination address of a plain frame is, as the first 48 bits of a little-endian word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    mask: u64,
    mac: u64,
}

impl Gate {
    /// That of a port; one that lets nothing through where more than the address must be asked.
    pub(super) fn new(facts: &PortFacts) -> Self {
        let [a, b, c, d, e, f] = facts.mac;
        let is_asked = !facts.present || facts.vlan != 0 || ethernet::is_group(facts.mac);
        match (is_asked, facts.any_mac) {
            (true, _) => Gate { mask: 0, mac: 1 },
            // All but group addresses.
            (false, true) => Gate { mask: 1, mac: 0 },
            (false, false) => Gate {
                mask: (1 << 48) - 1,
                mac: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]),
            },
        }
    }
}

/// A plain IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain4 {
    pub(super) len: u16,
    /// Source in the upper half, destination in the lower one.
    pub(super) addresses: u64,
    /// Likewise.
    pub(super) ports: u32,
    pub(super) protocol: u8,
}

/// A plain IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain6 {
    pub(super) len: u16,
    pub(super) label: u32,
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) ports: (u16, u16),
    pub(super) protocol: u8,
}

impl Plain4 {
    /// What is hashed beside the addresses, but for the port that it came in on.
    #[inline(always)]
    fn rest(&self) -> Rest {
        Rest {
            sport: (self.ports >> 16) as u16,
            dport: self.ports as u16,
            protocol: self.protocol,
            ..Rest::default()
        }
    }
}

impl Plain6 {
    /// What is hashed beside the addresses, if it came in on `port`.
    #[inline(always)]
    fn rest(&self, port: PortId) -> Rest {
        Rest {
            sport: self.ports.0,
            dport: self.ports.1,
            protocol: self.protocol,
            label: self.label,
            ingress: port.0,
        }
    }

    /// Its hash, with the fields of a tunnel as one number.
    #[inline(always)]
    pub(super) fn hash(&self, port: PortId, settings: &Settings, deep: u64) -> u32 {
        settings.mix6(self.source, self.destination, &self.rest(port), deep)
    }
}

#[inline(always)]
fn part<const N: usize, const P: usize>(bytes: &[u8; N], at: usize) -> [u8; P] {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    part.copied().unwrap_or([0; P])
}

#[inline(always)]
fn le64<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(part(bytes, at))
}

#[inline(always)]
fn le32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(part(bytes, at))
}

#[inline(always)]
fn half<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes(part(bytes, at))
}

/// Of each number: not the first octet of an IPv4 address that needs no second look (0/8, 127/8,
/// multicast and above), and not TCP or UDP.
static ODD: [u8; 256] = {
    let mut odd = [OTHER; 256];
    let mut i = 0;
    while i < 256 {
        if i == 0 || i == 127 || i >= 224 {
            odd[i] |= ADDRESS;
        }
        i += 1;
    }
    odd[transport::UDP as usize] &= !OTHER;
    odd[transport::TCP as usize] &= !OTHER;
    odd
};
const ADDRESS: u8 = 1;
const OTHER: u8 = 2;

#[inline(always)]
fn odd(number: u8) -> u8 {
    ODD[usize::from(number)]
}

/// Neither TCP nor UDP.
#[inline(always)]
fn is_other(protocol: u8) -> bool {
    odd(protocol) & OTHER != 0
}

/// The ones-complement sum of an IPv4 header is not what a right checksum makes it.
#[inline(always)]
fn is_damaged<const N: usize>(bytes: &[u8; N]) -> bool {
    // Such a sum is one of either byte order and of words of any size: a carry is worth 1.
    let sum = u128::from(le64(bytes, 14)) + u128::from(le64(bytes, 22));
    let sum = sum + u128::from(le32(bytes, 30));
    // 0 only where this wraps, which stands for 1.
    let sum = (sum as u64).wrapping_add((sum >> 64) as u64);
    // A multiple of 0xffff is one that 0xffff's inverse makes small (Lemire, Kaser, Kurz 2019).
    sum.wrapping_mul(INVERSE).wrapping_sub(1) >= MULTIPLES
}

/// How many multiples of 0xffff a word can be, beside 0.
const MULTIPLES: u64 = u64::MAX / 0xffff;
/// 0xffff times this is 1.
const INVERSE: u64 = MULTIPLES.wrapping_neg();
const _: () = assert!(INVERSE.wrapping_mul(0xffff) == 1);

/// Whether a frame may hold a plain IPv4 packet; if not, it may hold a plain IPv6 one.
#[inline(always)]
pub(super) fn is_like4(frame: &[u8]) -> bool {
    let start = frame.first_chunk::<HEADERS4>().map(|all| le32(all, 12));
    start.is_some_and(|start| start & MASK4 == START4)
}

/// The IPv4 packet in a frame, if it is plain.
#[inline(always)]
pub(super) fn read4(frame: &[u8], gate: Gate) -> Option<Plain4> {
    let bytes = frame.first_chunk::<HEADERS4>()?;
    let addresses = u64::from_be_bytes(part(bytes, 26));
    let fragment = u16::from_le_bytes(part(bytes, 20)) & FRAGMENT;
    let unlike = (le64(bytes, 0) & gate.mask ^ gate.mac)
        | u64::from(le32(bytes, 12) & MASK4 ^ START4)
        | u64::from(fragment);
    let (len, protocol) = (half(bytes, 16), bytes[23]);
    let odd = (odd(bytes[26]) | odd(bytes[30])) & ADDRESS | odd(protocol) & OTHER;
    // Too short wraps to very long.
    let behind = usize::from(len).wrapping_sub(ipv4::HEADER + UDP);
    let is_unplain =
        ((unlike | u64::from(odd)) != 0) | (behind > frame.len() - HEADERS4) | is_damaged(bytes);
    (!is_unplain).then(|| Plain4 {
        len,
        addresses,
        ports: u32::from_be_bytes(part(bytes, 34)),
        protocol,
    })
}

/// The IPv6 packet in a frame, if it is plain.
#[inline(always)]
pub(super) fn read6(frame: &[u8], gate: Gate) -> Option<Plain6> {
    let bytes = frame.first_chunk::<HEADERS6>()?;
    let header = ipv6::Header(bytes.get(ethernet::HEADER..)?.first_chunk()?);
    // Numbers at once: of an array of bytes the compiler would make a load each.
    let [source, to] = [22, 38].map(|at| u128::from_be_bytes(part(bytes, at)));
    // Unspecified and loopback, link-local, multicast, and neighbors of these.
    let is_odd = |address: u128| ((address >> 120) as u8).wrapping_sub(1) >= 0xfd;
    let (payload, protocol) = (header.payload_len(), header.next_header());
    let len = ipv6::HEADER + payload;
    let room = (frame.len() - ethernet::HEADER).min(usize::from(u16::MAX));
    let unlike =
        (le64(bytes, 0) & gate.mask ^ gate.mac) | u64::from(le32(bytes, 12) & MASK6 ^ START6);
    let is_unplain = (unlike != 0)
        | (payload < UDP)
        | (len > room)
        | is_odd(source)
        | is_odd(to)
        | is_other(protocol);
    (!is_unplain).then(|| Plain6 {
        len: len as u16,
        label: header.flow_label(),
        source,
        destination: to,
        ports: (half(bytes, 54), half(bytes, 56)),
        protocol,
    })
}

/// Describes a burst whose packets are all plain IPv4, or as many as come before one that is not: how
/// many. `WHOLE`: what [`Settings::is_whole`] says; `KIND`: what they are hashed by. What is inside a
/// tunnel must be plain too.
#[inline(always)]
pub(super) fn all4<F: Frame, const KIND: Kind, const WHOLE: bool>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    gate: Gate,
    settings: &Settings,
) -> usize {
    lanes.verdict = [Verdict::V4; BURST];
    lanes.v4.lanes = LANES;
    let mut n = 0;
    let places = lanes.l3_len.iter_mut().zip(&mut lanes.hash);
    let places = places.zip(&mut lanes.v4.destinations);
    for (frame, ((len, hash), to)) in burst.iter().zip(places) {
        let bytes = frame.bytes();
        let four = is_like4(bytes).then(|| read4(bytes, gate)).flatten();
        let Some(packet) = four else { break };
        let Some(deep) = deep::<KIND>(bytes, packet.len, ipv4::HEADER, packet.rest(), settings)
        else {
            break;
        };
        let (ends, ports, protocol) = (packet.addresses, packet.ports, packet.protocol);
        *len = packet.len;
        *hash = settings.mix4_ends::<WHOLE>(ends, ports, protocol, port.0, deep);
        *to = ends as u32;
        n += 1;
    }
    (lanes.v4.len, lanes.v6.len) = (n, 0);
    if n == burst.len() {
        lanes.alike = Alike::V4;
    }
    n
}

/// What is inside the plain packet of `len` bytes in a frame, as the number that goes into the hash;
/// `None` where that takes a closer look.
#[inline(always)]
fn deep<const KIND: Kind>(
    frame: &[u8],
    len: u16,
    header: usize,
    rest: Rest,
    settings: &Settings,
) -> Option<u64> {
    if KIND == OUTER {
        return Some(0);
    }
    let packet = ethernet::HEADER + header..ethernet::HEADER + usize::from(len);
    hot::deep(frame.get(packet)?, &rest, settings)
}

/// The same of plain IPv6.
#[inline(always)]
pub(super) fn all6<F: Frame, const KIND: Kind>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    gate: Gate,
    settings: &Settings,
) -> usize {
    lanes.verdict = [Verdict::V6; BURST];
    lanes.v6.lanes = LANES;
    let mut n = 0;
    let places = lanes.l3_len.iter_mut().zip(&mut lanes.hash);
    let places = places.zip(&mut lanes.v6.destinations);
    for (frame, ((len, hash), to)) in burst.iter().zip(places) {
        let bytes = frame.bytes();
        let Some(packet) = read6(bytes, gate) else {
            break;
        };
        let Some(deep) = deep::<KIND>(bytes, packet.len, ipv6::HEADER, packet.rest(port), settings)
        else {
            break;
        };
        *len = packet.len;
        *hash = packet.hash(port, settings, deep);
        *to = packet.destination.to_be_bytes();
        n += 1;
    }
    (lanes.v4.len, lanes.v6.len) = (0, n);
    if n == burst.len() {
        lanes.alike = Alike::V6;
    }
    n
}

//! Encapsulations: where the packet inside begins, and what names its tunnel.
//!
//! Each reader is given the bytes behind the UDP header (or, for GRE, behind the IP header) and
//! says nothing of what is not wholly there.

use super::{be16, ethernet};

/// IP protocol of IPv4 in IP (RFC 2003, 2473).
pub const IPV4: u8 = 4;
/// IP protocol of IPv6 in IP (RFC 4213, 2473).
pub const IPV6: u8 = 41;
/// IP protocol of GRE (RFC 2784, 2890).
pub const GRE: u8 = 47;

/// UDP port of GTP-U (3GPP TS 29.281 4.4.2).
pub const PORT_GTPU: u16 = 2152;
/// UDP port of VXLAN (RFC 7348).
pub const PORT_VXLAN: u16 = 4789;
/// UDP port of VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
pub const PORT_VXLAN_GPE: u16 = 4790;
/// UDP port of RoCEv2.
pub const PORT_ROCE: u16 = 4791;
/// UDP port of Geneve (RFC 8926).
pub const PORT_GENEVE: u16 = 6081;

/// EtherType of transparent Ethernet bridging.
pub const TEB: u16 = 0x6558;
/// The most extension headers of GTP-U that are walked; 5G has one or two.
const MAX_GTPU_EXTENSIONS: usize = 4;

/// Length of a UDP header, bytes.
pub const UDP_HEADER: usize = 8;

/// The EtherType of what is inside a GRE packet, and its offset. Version 0 without routing.
#[inline]
pub fn gre(bytes: &[u8]) -> Option<(u16, usize)> {
    let flags = be16(bytes, 0)?;
    // Reserved bits 1 and 4..12 may be anything (RFC 2784 2.3 asks to drop some; we only look).
    if flags & 0x4007 != 0 {
        return None;
    }
    // Checksum (and reserved), key, sequence number: four bytes each.
    let optional = [0x8000, 0x2000, 0x1000].map(|bit| usize::from(flags & bit != 0));
    let offset = 4 + 4 * optional.iter().sum::<usize>();
    Some((be16(bytes, 2)?, offset))
}

/// The offset of the frame inside a VXLAN packet: the header says that it has a network id.
#[inline]
pub fn vxlan(bytes: &[u8]) -> Option<(u16, usize)> {
    let [flags, ..] = *bytes.first_chunk::<8>()?;
    (flags & 0x08 != 0).then_some((TEB, 8))
}

/// The EtherType of what is inside a VXLAN-GPE packet, and its offset.
#[inline]
pub fn vxlan_gpe(bytes: &[u8]) -> Option<(u16, usize)> {
    let [flags, _, _, next, ..] = *bytes.first_chunk::<8>()?;
    // Version 0, network id there; without the P bit it is plain VXLAN.
    if flags & 0x38 != 0x08 {
        return None;
    }
    let ethertype = match (flags & 0x04 != 0, next) {
        (false, _) | (true, 3) => TEB,
        (true, 1) => ethernet::IPV4,
        (true, 2) => ethernet::IPV6,
        _ => return None,
    };
    Some((ethertype, 8))
}

/// The EtherType of what is inside a Geneve packet, and its offset behind the options. Control
/// packets (the O bit) are not for those on the way to look into (RFC 8926 3.4).
#[inline]
pub fn geneve(bytes: &[u8]) -> Option<(u16, usize)> {
    let [first, flags, high, low, ..] = *bytes.first_chunk::<8>()?;
    let offset = 8 + 4 * usize::from(first & 0x3f);
    let is_data = first >> 6 == 0 && flags & 0x80 == 0;
    is_data.then_some((u16::from_be_bytes([high, low]), offset))
}

/// What a GTP-U header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gtpu {
    /// Tunnel endpoint id.
    pub teid: u32,
    /// Offset of the IP packet inside; none in signalling messages.
    pub inner: Option<usize>,
}

/// Message type of GTP-U: a packet of a user (G-PDU).
pub const USER_DATA: u8 = 255;

/// Reads GTPv1-U; `None` for GTP' (charging), other versions, messages that only GTP-C has, and
/// what is no GTP at all.
pub fn gtpu(bytes: &[u8]) -> Option<Gtpu> {
    let [flags, kind, _, _, t0, t1, t2, t3] = *bytes.first_chunk::<8>()?;
    let is_known = matches!(kind, 1 | 2 | 26 | 31 | 253 | 254 | USER_DATA);
    // Version 1, protocol type GTP.
    if flags >> 4 != 0b0011 || !is_known {
        return None;
    }
    Some(Gtpu {
        teid: u32::from_be_bytes([t0, t1, t2, t3]),
        inner: (kind == USER_DATA)
            .then(|| gtpu_payload(bytes, flags))
            .flatten(),
    })
}

fn gtpu_payload(bytes: &[u8], flags: u8) -> Option<usize> {
    // Any of E, S, PN brings all four optional bytes.
    if flags & 7 == 0 {
        return Some(8);
    }
    let mut offset = 12;
    let mut next = *bytes.get(11)?;
    if flags & 4 == 0 {
        return Some(offset);
    }
    for _ in 0..=MAX_GTPU_EXTENSIONS {
        if next == 0 {
            return Some(offset);
        }
        let len = 4 * usize::from(*bytes.get(offset)?);
        if len == 0 {
            return None;
        }
        next = *bytes.get(offset + len - 1)?;
        offset += len;
    }
    None
}

/// The destination queue pair of a base transport header (InfiniBand architecture 9.2), 24 bits.
#[inline]
pub fn queue_pair(bytes: &[u8]) -> Option<u32> {
    let [_, flags, _, _, _, q0, q1, q2, ..] = *bytes.first_chunk::<12>()?;
    // The low bits are the header's version, of which there is one.
    (flags & 0x0f == 0).then_some(u32::from_be_bytes([0, q0, q1, q2]))
}

/// The IP packet in what an encapsulation calls `ethertype`: that itself, or behind an Ethernet
/// header with up to two VLAN tags.
pub fn ip_inside(bytes: &[u8], ethertype: u16) -> Option<&[u8]> {
    match ethertype {
        ethernet::IPV4 | ethernet::IPV6 => Some(bytes),
        TEB => {
            let header = ethernet::read(bytes)?;
            let is_ip = matches!(header.ethertype, ethernet::IPV4 | ethernet::IPV6);
            is_ip.then(|| bytes.get(header.len..)).flatten()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gre_words() {
        for (flags, offset) in [
            (0_u16, 4),
            (0x8000, 8),
            (0x2000, 8),
            (0x1000, 8),
            (0xb000, 16),
        ] {
            let bytes = [flags.to_be_bytes(), [0x08, 0x00]].concat();
            assert_eq!(gre(&bytes), Some((0x0800, offset)), "{flags:x}");
            assert_eq!(gre(&bytes[..3]), None);
        }
        assert_eq!(gre(&[0x40, 0, 8, 0]), None, "routing");
        assert_eq!(gre(&[0x20, 1, 0x88, 0x0b]), None, "version 1: PPTP");
    }

    #[test]
    fn vxlan_and_its_extension() {
        let with = |flags, next| [flags, 0, 0, next, 0, 0, 9, 0];
        assert_eq!(vxlan(&with(8, 0)), Some((TEB, 8)));
        assert_eq!(vxlan(&with(0, 0)), None, "no network id");
        assert_eq!(vxlan(&with(8, 0)[..7]), None);
        for (flags, next, ethertype) in [
            (0x0c, 1, Some(0x0800)),
            (0x0c, 2, Some(0x86dd)),
            (0x0c, 3, Some(TEB)),
            (0x08, 1, Some(TEB)),
            (0x0c, 4, None),
            (0x04, 1, None),
            (0x1c, 1, None),
        ] {
            let found = vxlan_gpe(&with(flags, next)).map(|f| f.0);
            assert_eq!(found, ethertype, "{flags:x} {next}");
        }
    }

    #[test]
    fn geneve_options_are_skipped() {
        let with = |first| [first, 0, 0x65, 0x58, 0, 0, 9, 0];
        assert_eq!(geneve(&with(0)), Some((TEB, 8)));
        assert_eq!(geneve(&with(3)), Some((TEB, 20)));
        assert_eq!(geneve(&with(0x40)), None, "version 1");
        let mut control = with(0);
        control[1] = 0x80;
        assert_eq!(geneve(&control), None, "control");
        control[1] = 0x40;
        assert_eq!(geneve(&control), Some((TEB, 8)), "critical options");
    }

    #[test]
    fn what_is_gtpu_and_what_is_not() {
        let with = |flags, kind| [flags, kind, 0, 40, 1, 2, 3, 4, 0, 7, 0, 0];
        let found = |flags, kind| gtpu(&with(flags, kind)).map(|g| (g.teid, g.inner));
        assert_eq!(found(0x30, 255), Some((0x0102_0304, Some(8))));
        assert_eq!(found(0x32, 255), Some((0x0102_0304, Some(12))), "sequence");
        assert_eq!(found(0x34, 255), Some((0x0102_0304, Some(12))), "no next");
        for kind in [1, 2, 26, 31, 253, 254] {
            assert_eq!(found(0x30, kind), Some((0x0102_0304, None)), "{kind}");
        }
        assert_eq!(found(0x30, 16), None, "create PDP context: GTP-C");
        assert_eq!(found(0x20, 255), None, "GTP'");
        assert_eq!(found(0x48, 32), None, "GTPv2");
        assert_eq!(found(0x10, 255), None, "version 0");
        assert_eq!(gtpu(&with(0x30, 255)[..7]), None);
        assert_eq!(
            gtpu(&with(0x32, 255)[..11]).map(|g| g.inner),
            Some(None),
            "cut"
        );
    }

    #[test]
    fn gtpu_extension_headers() {
        let mut bytes = vec![0x34, 255, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0x85];
        bytes.extend([1, 0, 0, 0xc0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(gtpu(&bytes).map(|g| g.inner), Some(Some(24)));
        for short in 12..bytes.len() {
            let cut = gtpu(&bytes[..short]).map(|g| g.inner);
            assert_eq!(cut, Some(None), "{short}");
        }
        bytes[12] = 0;
        assert_eq!(gtpu(&bytes).map(|g| g.inner), Some(None), "no progress");
        let endless = [
            &[0x34, 255, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1][..],
            &[1, 0, 0, 1].repeat(50),
        ]
        .concat();
        assert_eq!(gtpu(&endless).map(|g| g.inner), Some(None), "endless");
    }

    #[test]
    fn queue_pairs() {
        let bytes = [4, 0x40, 0xff, 0xff, 0xee, 1, 2, 3, 0, 0, 0, 9];
        assert_eq!(queue_pair(&bytes), Some(0x01_0203));
        assert_eq!(queue_pair(&bytes[..11]), None);
        let mut other = bytes;
        other[1] = 1;
        assert_eq!(queue_pair(&other), None, "version 1");
    }
}

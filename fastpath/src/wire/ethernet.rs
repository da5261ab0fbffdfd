//! Ethernet II and up to two VLAN tags.

use super::be16;

/// Length of the header without tags, bytes.
pub const HEADER: usize = 14;
/// Length of one VLAN tag, bytes.
pub const TAG: usize = 4;
/// The shortest frame on a wire, without its frame check sequence, bytes.
pub const MIN_FRAME: usize = 60;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// Tag protocol of 802.1Q.
pub const VLAN: u16 = 0x8100;
/// Tag protocol of 802.1ad, the outer tag of QinQ.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Destination MAC address.
    pub destination: [u8; 6],
    /// EtherType after the tags; after two tags it may be that of a third.
    pub ethertype: u16,
    /// Offset of the payload, bytes: 14, 18 or 22.
    pub len: usize,
    /// VLAN id of the outer tag, 0..=4095.
    pub vlan: Option<u16>,
}

const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, VLAN | SERVICE_VLAN)
}

/// Reads the header of `frame`; `None` when it ends early.
#[inline(always)]
pub fn read(frame: &[u8]) -> Option<Header> {
    let header: &[u8; HEADER] = frame.first_chunk()?;
    let [d0, d1, d2, d3, d4, d5, .., t0, t1] = *header;
    let untagged = Header {
        destination: [d0, d1, d2, d3, d4, d5],
        ethertype: u16::from_be_bytes([t0, t1]),
        len: HEADER,
        vlan: None,
    };
    if is_tag(untagged.ethertype) {
        read_tags(frame, untagged)
    } else {
        Some(untagged)
    }
}

fn read_tags(frame: &[u8], mut header: Header) -> Option<Header> {
    header.vlan = Some(be16(frame, HEADER)? & 0x0fff);
    header.ethertype = be16(frame, HEADER + 2)?;
    header.len = HEADER + TAG;
    if is_tag(header.ethertype) {
        header.ethertype = be16(frame, HEADER + TAG + 2)?;
        header.len = HEADER + 2 * TAG;
    }
    Some(header)
}

/// Multicast or broadcast.
#[inline]
pub const fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(types: &[u16]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for (i, t) in types.iter().enumerate() {
            if i > 0 {
                bytes.extend((0xe000 + i as u16).to_be_bytes());
            }
            bytes.extend(t.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn none_one_two_and_three_tags() {
        for (types, ethertype, len, vlan) in [
            (&[IPV4][..], IPV4, 14, None),
            (&[VLAN, IPV6], IPV6, 18, Some(1)),
            (&[SERVICE_VLAN, VLAN, IPV4], IPV4, 22, Some(1)),
            (&[VLAN, VLAN, VLAN, IPV4], VLAN, 22, Some(1)),
        ] {
            let bytes = frame(types);
            let header = read(&bytes).unwrap();
            assert_eq!(
                (header.ethertype, header.len, header.vlan),
                (ethertype, len, vlan)
            );
            assert_eq!(header.destination, [2, 0, 0, 0, 0, 1]);
            for short in 0..header.len {
                assert_eq!(read(&bytes[..short]), None, "{short} bytes of {types:x?}");
            }
        }
    }

    #[test]
    fn group_addresses() {
        assert!(is_group([0xff; 6]) && is_group([0x33, 0x33, 0, 0, 0, 1]));
        assert!(!is_group([0x02, 0, 0, 0, 0, 1]));
    }
}

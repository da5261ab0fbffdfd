//! Frames, byte by byte.

pub(super) const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
pub(super) const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const DOT1Q: u16 = 0x8100;
pub(super) const QINQ: u16 = 0x88a8;

pub(super) fn ethernet(destination: [u8; 6], types: &[u16], payload: &[u8]) -> Vec<u8> {
    let mut frame = [destination, PEER_MAC].concat();
    for (i, kind) in types.iter().enumerate() {
        if i > 0 {
            frame.extend([0, 100 + i as u8]);
        }
        frame.extend(kind.to_be_bytes());
    }
    frame.extend(payload);
    frame
}

/// UDP with 26 bytes after the header.
pub(super) fn ipv4(destination: &str) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1];
    packet.extend(destination.parse::<std::net::Ipv4Addr>().unwrap().octets());
    packet.extend([0; 26]);
    packet
}

pub(super) fn ipv6(destination: &str) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 26, 17, 64];
    packet.extend(
        "2001:db8:f::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    packet.extend(destination.parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend([0; 26]);
    packet
}

pub(super) fn with(mut packet: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    packet[offset..offset + bytes.len()].copy_from_slice(bytes);
    packet
}

pub(super) fn packet(destination: &str) -> (u16, Vec<u8>) {
    match destination.contains(':') {
        true => (IPV6, ipv6(destination)),
        false => (IPV4, ipv4(destination)),
    }
}

/// TCP to port 179.
pub(super) fn bgp(packet: Vec<u8>, header: usize) -> Vec<u8> {
    let protocol = if header == 20 { 9 } else { 6 };
    with(with(packet, protocol, &[6]), header, &[0xc0, 0, 0, 179])
}

//! Random plans, changes and packets.

use crate::builder::{Chain, ENCAPS, ethernet, refitted};
use crate::frames;
use crate::support::packet::{V4, V6, frame};
use crate::support::{neighbor_mac, port_mac};
use crate::world::{MTU, TAGGED, VLAN};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::support::random::Random;

impl Random {
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    /// An IPv4 address near the prefixes: few distinct bits, so that prefixes nest.
    pub fn four(&mut self) -> u32 {
        let bits = self.next();
        let near = 0x0a00_0000 | (bits as u32 & 0x0013_0503);
        match self.below(24) {
            0 => (bits >> 32) as u32,
            1 => self.of(&[0xe000_0005, 0x7f00_0001, 0xffff_ffff, 9, 0xf000_0001]),
            _ => near,
        }
    }

    pub fn six(&mut self) -> u128 {
        let bits = u128::from(self.next());
        let near = 0x2001_0db8 << 96 | (bits & 0x13) << 76 | (bits >> 8 & 5) << 60 | bits >> 16 & 3;
        match self.below(24) {
            0 => bits << 64 | u128::from(self.next()),
            1 => self.of(&[0, 1, 0xff02 << 112 | 5, 0xfe80 << 112 | 7, 0xfd00 << 112]),
            _ => near,
        }
    }

    pub fn prefix(&mut self) -> (IpAddr, u8) {
        if self.one_in(2) {
            let length = self.of(&[0, 6, 8, 11, 12, 15, 16, 21, 22, 24, 24, 24, 29, 31, 32, 32]);
            let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let near = 0x0a00_0000 | (self.next() as u32 & 0x0013_0503);
            (Ipv4Addr::from_bits(near & !host).into(), length)
        } else {
            let length = self.of(&[0, 19, 32, 35, 46, 48, 48, 52, 56, 63, 64, 64, 126, 127, 128]);
            let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let bits = u128::from(self.next());
            let near =
                0x2001_0db8 << 96 | (bits & 0x13) << 76 | (bits >> 8 & 5) << 60 | bits >> 16 & 3;
            (Ipv6Addr::from_bits(near & !host).into(), length)
        }
    }

    fn ports(&mut self) -> [u8; 4] {
        let bits = self.next() as u32;
        let known = self.of(&[4789, 2152, 4791, 6081, 443, 53]);
        let low = if self.one_in(4) { known } else { bits & 0xffff };
        (bits & 0xffff_0000 | low).to_be_bytes()
    }

    /// A transport of `protocol`, mostly whole.
    fn segment(&mut self, protocol: u8) -> Vec<u8> {
        let size = match self.below(12) {
            0 => self.below(24),
            1 => usize::from(MTU) - 60 + self.below(70),
            _ => 20 + self.below(80),
        };
        let mut bytes = self.bytes(size);
        let ports = self.ports();
        if let Some(place) = bytes.first_chunk_mut() {
            *place = ports;
        }
        if matches!(protocol, 1 | 58) && !bytes.is_empty() {
            bytes[0] = self.of(&[0, 3, 8, 11, 1, 2, 128, 129]);
        }
        bytes
    }

    fn protocol(&mut self) -> u8 {
        self.of(&[
            6, 6, 6, 17, 17, 17, 6, 17, 1, 58, 33, 132, 136, 47, 50, 51, 4, 41,
        ])
    }

    fn packet4(&mut self) -> Vec<u8> {
        let protocol = self.protocol();
        let fragment_word = if self.one_in(12) {
            self.of(&[0x2000, 0x2010, 0x0010, 0x1fff])
        } else {
            self.of(&[0, 0x4000, 0x8000])
        };
        let options: &[u8] = if self.one_in(15) { &[1, 1, 1, 0] } else { &[] };
        let (source, destination) = (self.four(), self.four());
        let packet = V4 {
            tos: self.next() as u8,
            id: self.next() as u16,
            fragment_word,
            ttl: self.of(&[0, 1, 2, 3, 64, 64, 64, 64, 128, 255]),
            protocol,
            source: source.into(),
            destination: destination.into(),
            options: options.to_vec(),
            payload: self.segment(protocol),
        };
        packet.bytes()
    }

    fn packet6(&mut self) -> Vec<u8> {
        let mut next_header = self.protocol();
        let mut payload = self.segment(next_header);
        for _ in 0..self.of(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2]) {
            let kind = self.of(&[0, 43, 44, 60, 135]);
            let words = if kind == 44 { 0 } else { self.below(3) };
            let mut header = vec![next_header, words as u8];
            header.extend(self.bytes(6 + words * 8));
            payload.splice(0..0, header);
            next_header = kind;
        }
        let (source, destination) = (self.six(), self.six());
        let packet = V6 {
            label: self.next() as u32 & 0xfffff,
            next_header,
            hop_limit: self.of(&[0, 1, 2, 64, 64, 64, 64, 255]),
            source: source.into(),
            destination: destination.into(),
            payload,
        };
        packet.bytes()
    }

    /// One of the frames of the hash's tests, between addresses of this world.
    fn encapsulated(&mut self, port: usize) -> Vec<u8> {
        let chains = [
            Chain::None,
            Chain::None,
            Chain::None,
            Chain::Options,
            Chain::Ah,
        ];
        let tags = self.of(&[0, 0, 0, 0, 1, 2]);
        let bits = self.next();
        let mut packet = frames::packet(
            self.of(&ENCAPS),
            (bits & 1 != 0, bits & 2 != 0),
            (self.of(&chains), self.of(&chains)),
            (tags, bits as u8 >> 4 & 1),
            bits as usize >> 8 & 31,
        );
        let outer = &mut packet.outer;
        let (source, destination) = if outer.v6 {
            (self.six(), self.six())
        } else {
            (self.four().into(), self.four().into())
        };
        (outer.src, outer.dst) = (source.to_be_bytes(), destination.to_be_bytes());
        outer.sport = self.next() as u16;
        let mut frame = packet.frame();
        frame[..6].copy_from_slice(&port_mac(port));
        frame
    }

    /// Any frame.
    pub fn frame(&mut self, port: usize) -> Vec<u8> {
        let mut bytes = match self.below(5) {
            0 => self.encapsulated(port),
            1 | 2 => self.framed(port, 0x0800),
            _ => self.framed(port, 0x86dd),
        };
        match self.below(40) {
            0 => {
                let at = self.below(bytes.len());
                bytes[at] = self.next() as u8;
            }
            1 => {
                let at = self.below(bytes.len());
                bytes[at] = self.next() as u8;
                bytes = refitted(bytes);
            }
            2 => bytes.truncate(self.below(70)),
            3 => {
                let padding = self.below(40);
                bytes.extend(self.bytes(padding));
            }
            _ => {}
        }
        bytes
    }

    fn framed(&mut self, port: usize, ethertype: u16) -> Vec<u8> {
        let packet = if ethertype == 0x0800 {
            self.packet4()
        } else {
            self.packet6()
        };
        let destination = match self.below(60) {
            0 => [0xff; 6],
            1 => [1, 0, 0x5e, 0, 0, 5],
            2 => [2, 0, 0, 0, 9, 9],
            _ => port_mac(port),
        };
        let ethertype = if self.one_in(60) { 0x0806 } else { ethertype };
        let tags: &[(u16, u16)] = match (port, self.below(20)) {
            (TAGGED, 1..) => &[(0x8100, VLAN)],
            (_, 0) => &[(0x8100, 7)],
            (_, 1) => &[(0x88a8, 9), (0x8100, 8)],
            _ => &[],
        };
        frame(destination, neighbor_mac(port), tags, ethertype, &packet)
    }

    /// UDP as it mostly is: nothing special about it.
    pub fn plain(&mut self, port: usize) -> Vec<u8> {
        let payload = [&self.ports()[..], &[0, 28, 0, 0], &[7; 20]].concat();
        let packet = if self.one_in(2) {
            let (source, destination) = (self.four(), self.four());
            let packet = V4 {
                tos: 0,
                id: 1,
                fragment_word: 0,
                ttl: 64,
                protocol: 17,
                source: source.into(),
                destination: destination.into(),
                options: Vec::new(),
                payload,
            };
            return ethernet_for(port, 0x0800, &packet.bytes());
        } else {
            let (source, destination) = (self.six(), self.six());
            V6 {
                label: 5,
                next_header: 17,
                hop_limit: 64,
                source: source.into(),
                destination: destination.into(),
                payload,
            }
        };
        ethernet_for(port, 0x86dd, &packet.bytes())
    }
}

fn ethernet_for(port: usize, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet(0, ethertype, packet);
    bytes[..6].copy_from_slice(&port_mac(port));
    bytes
}

//! The packets of a measurement: UDP, each flow to one destination.

use super::prefixes::{Random, inside};
use crate::cli::bench::Encap;
use control::prefix::Prefix;
use fastpath::wire::checksum::checksum;
use fastpath::wire::tunnel;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Where packets come from: the hosts of 10.0.0.0/8 and fd00::/64.
const SOURCES: u8 = 10;
const HOP_LIMIT: u8 = 64;
const UDP: u8 = 17;

/// The addresses in the frames' Ethernet headers: ours, and the sender's.
#[derive(Clone, Copy, Debug)]
pub struct Macs {
    /// The port's.
    pub own: [u8; 6],
    /// Whoever sends.
    pub sender: [u8; 6],
}

/// The header of an IPv4 packet of `len` bytes.
fn header4(from: Ipv4Addr, to: Ipv4Addr, len: u16) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(len.to_be_bytes());
    header.extend([0, 0, 0x40, 0, HOP_LIMIT, UDP, 0, 0]);
    header.extend([from, to].iter().flat_map(Ipv4Addr::octets));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// What `encap` puts behind the outer UDP header: a packet of a flow of its own.
fn carried(encap: Encap, random: &mut Random) -> Vec<u8> {
    let word = random.word();
    let [from, to] = [word as u32, (word >> 32) as u32]
        .map(|host| Ipv4Addr::from_bits(u32::from(SOURCES) << 24 | host & 0x00ff_ffff));
    let mut packet = header4(from, to, 28);
    packet.extend((random.word() as u32).to_be_bytes());
    packet.extend([0, 8, 0, 0]);
    let [.., a, b, c, d] = random.word().to_be_bytes();
    match encap {
        Encap::None => Vec::new(),
        Encap::Vxlan => {
            let head = [8, 0, 0, 0, a, b, c, 0];
            let frame = [2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4, 8, 0];
            [&head[..], &frame, &packet].concat()
        }
        Encap::Gtp => {
            let head = [0x34, 255, 0, 8 + packet.len() as u8, a, b, c, d];
            let session = [0, 0, 0, 0x85, 1, 0, 9, 0];
            [&head[..], &session, &packet].concat()
        }
    }
}

/// A frame of `length` bytes, without check sequence.
fn frame(
    macs: Macs,
    destination: IpAddr,
    length: usize,
    encap: Encap,
    random: &mut Random,
) -> Vec<u8> {
    let mut out = [macs.own, macs.sender].concat();
    let word = random.word();
    let host = word as u32 & 0x00ff_ffff;
    match destination {
        IpAddr::V4(to) => {
            let from = Ipv4Addr::from_bits(u32::from(SOURCES) << 24 | host);
            out.extend([8, 0]);
            out.extend(header4(from, to, (length - 14) as u16));
        }
        IpAddr::V6(to) => {
            let len = (length - 54) as u16;
            let from = Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(host));
            out.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            out.extend(len.to_be_bytes());
            out.extend([UDP, HOP_LIMIT]);
            out.extend([from, to].iter().flat_map(Ipv6Addr::octets));
        }
    }
    let udp = (length - out.len()) as u16;
    let [.., a, b, c, d] = word.to_be_bytes();
    let high = (word >> 32) as u16 | 1024;
    out.extend(high.to_be_bytes());
    out.extend(match encap {
        Encap::None => [a ^ c, b ^ d],
        Encap::Vxlan => tunnel::PORT_VXLAN.to_be_bytes(),
        Encap::Gtp => tunnel::PORT_GTPU.to_be_bytes(),
    });
    out.extend(udp.to_be_bytes());
    out.extend([0, 0]);
    if encap != Encap::None {
        out.extend(carried(encap, random));
    }
    out.resize(length, 0);
    out
}

/// A folder for as long as this lives.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one among the temporary files.
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("evenpath-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }

    /// `count` files in it.
    pub fn files(&self, count: u16) -> Vec<PathBuf> {
        let paths = (0..count).map(|n| self.0.join(format!("{n}.pcap")));
        paths.collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_dir_all(&self.0) {
            log::warn!("{}: remove: {cause}", self.0.display());
        }
    }
}

/// Which flows there are.
#[derive(Clone, Copy, Debug)]
pub struct Flows {
    /// How many.
    pub count: u32,
    /// Bytes of a frame without check sequence.
    pub length: u16,
    /// What each packet carries.
    pub encap: Encap,
}

/// The frames; flow `i` goes to an address of the `i`th of `prefixes`, from the first on again behind the
/// last.
pub fn frames<'p>(
    flows: Flows,
    prefixes: &'p [Prefix],
    macs: Macs,
    random: &'p mut Random,
) -> impl Iterator<Item = Vec<u8>> + 'p {
    let flow = prefixes.iter().cycle().take(flows.count as usize);
    flow.map(move |prefix| {
        let destination = inside(*prefix, random);
        frame(macs, destination, flows.length.into(), flows.encap, random)
    })
}

/// Writes `frames` as pcap files to `paths`, dealt in turn.
pub fn write(paths: &[PathBuf], frames: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let files = paths.iter().map(File::create);
    let files = files.map(|file| file.map(BufWriter::new));
    let mut files: Vec<_> = files.collect::<io::Result<_>>()?;
    for file in &mut files {
        // Magic of microseconds, version 2.4, snap length, Ethernet.
        let head = [0xa1b2_c3d4u32, 2 | 4 << 16, 0, 0, 65_535, 1];
        file.write_all(&head.map(u32::to_ne_bytes).concat())?;
    }
    let count = files.len();
    for (i, bytes) in frames.enumerate() {
        let length = bytes.len() as u32;
        let head = [0, i as u32 % 1_000_000, length, length];
        if let Some(file) = files.get_mut(i % count.max(1)) {
            file.write_all(&head.map(u32::to_ne_bytes).concat())?;
            file.write_all(&bytes)?;
        }
    }
    files.iter_mut().try_for_each(Write::flush)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastpath::hash::{Choice, Policy, Settings};
    use fastpath::software::parse::describe;
    use fastpath::table::{PortFacts, PortId};
    use std::collections::HashSet;

    #[test]
    fn frames_are_sound_and_flows_differ() {
        let own = [2, 0, 0, 0, 0, 1];
        let macs = Macs {
            own,
            sender: [2, 0, 0, 0, 0, 2],
        };
        let facts = PortFacts {
            present: true,
            mac: own,
            ..PortFacts::ABSENT
        };
        for (to, length, encap) in [
            ("203.0.113.7", 60, Encap::None),
            ("2001:db8::7", 62, Encap::None),
            ("203.0.113.7", 92, Encap::Vxlan),
            ("2001:db8::7", 106, Encap::Gtp),
        ] {
            let to: IpAddr = to.parse().unwrap();
            let choice = Choice {
                fields: encap.fields(),
                ..Choice::default()
            };
            let policy = Policy::from(Settings::new(choice));
            let mut random = Random::new(5, 0);
            let mut hashes = HashSet::new();
            for _ in 0..1000 {
                let bytes = frame(macs, to, length, encap, &mut random);
                assert_eq!(bytes.len(), length);
                let found = describe(&bytes, PortId(0), &facts, &policy).unwrap();
                assert_eq!(found.flow.key.inner.is_some(), encap != Encap::None);
                assert_eq!(found.flow.key.teid.is_some(), encap == Encap::Gtp);
                assert_eq!((found.destination, found.l3), (to, 14));
                assert_eq!(usize::from(found.len), length - 14);
                hashes.insert(found.hash);
            }
            assert!(hashes.len() > 990, "{}", hashes.len());
        }
    }
}

//! `rte_fib` and `rte_fib6` against the naive model: random prefixes added, replaced and removed.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{Eal, EntrySize, Fib, FibOptions, Kernel, Memory, Options};
use fastpath::table::naive::NaiveLpm;
use fastpath::table::{GroupId, Lpm, LpmWrite};
use std::net::{Ipv4Addr, Ipv6Addr};

/// SplitMix64: the same sequence in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Addresses crowd into few first bits, so that prefixes nest and share blocks.
    fn address4(&mut self) -> u32 {
        let bits = self.next() as u32;
        match self.below(4) {
            0 => bits,
            1 => 0x0a00_0000 | bits & 0x0000_0fff,
            2 => 0x0a01_0000 | bits & 0x0001_01ff,
            _ => 0xc0a8_0000 | bits & 0xffff,
        }
    }

    fn address6(&mut self) -> u128 {
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        let base = 0x2001_0db8 << 96;
        match self.below(4) {
            0 => bits,
            1 => base | bits & 0x3ff,
            2 => base | (bits & 0xff) << 64,
            _ => base | bits & 0xffff_0000_0000_0000_0000_0000,
        }
    }
}

fn mask(bits: u32, length: u32) -> u128 {
    u128::MAX << (bits - length)
}

fn compare4(fib: &Fib, naive: &NaiveLpm, addresses: &[u32]) -> usize {
    let mut found = vec![GroupId(u32::MAX); addresses.len()];
    let mut expected = found.clone();
    let unicast: Vec<u32> = addresses
        .iter()
        .copied()
        .filter(|&address| address < 0xe000_0000)
        .collect();
    let addresses = unicast.as_slice();
    found.truncate(addresses.len());
    expected.truncate(addresses.len());
    fib.lookup4(addresses, &mut found);
    naive.lookup4(addresses, &mut expected);
    for ((address, found), expected) in addresses.iter().zip(&found).zip(&expected) {
        assert_eq!(found, expected, "{}", Ipv4Addr::from(*address));
    }
    expected.iter().filter(|&&g| g != GroupId::NONE).count()
}

fn compare6(fib: &Fib, naive: &NaiveLpm, addresses: &[[u8; 16]]) -> usize {
    let mut found = vec![GroupId(u32::MAX); addresses.len()];
    let mut expected = found.clone();
    let unicast: Vec<[u8; 16]> = addresses
        .iter()
        .copied()
        .filter(|address| address[0] != 0xff)
        .collect();
    let addresses = unicast.as_slice();
    found.truncate(addresses.len());
    expected.truncate(addresses.len());
    fib.lookup6(addresses, &mut found);
    naive.lookup6(addresses, &mut expected);
    for ((address, found), expected) in addresses.iter().zip(&found).zip(&expected) {
        assert_eq!(found, expected, "{}", Ipv6Addr::from(*address));
    }
    expected.iter().filter(|&&g| g != GroupId::NONE).count()
}

const ROUNDS: usize = 40;

/// Rounds of random changes, each followed by lookups of random and of boundary addresses, in
/// numbers that are and are not a multiple of the vector width.
fn against_the_model(fib: &mut Fib, seed: u64, largest: GroupId) {
    let mut naive = NaiveLpm::new();
    let mut random = Random(seed);
    let (mut known4, mut known6) = (Vec::new(), Vec::new());
    let (mut hits4, mut hits6) = (0, 0);
    for round in 0..ROUNDS {
        for _ in 0..150 {
            let group = match random.below(20) {
                0 => largest,
                _ => GroupId(1 + random.below(u64::from(largest.0)) as u32),
            };
            let (length4, length6) = (1 + random.below(32) as u32, 1 + random.below(128) as u32);
            let prefix4 = random.address4() & mask(32, length4) as u32;
            let prefix6 = random.address6() & mask(128, length6);
            known4.push((Ipv4Addr::from(prefix4), length4 as u8));
            known6.push((Ipv6Addr::from(prefix6), length6 as u8));
            // One in three replaces, one in three removes what may be gone already.
            let (at4, at6) = match random.below(3) {
                0 => (known4.len() - 1, known6.len() - 1),
                _ => (
                    random.below(known4.len() as u64) as usize,
                    random.below(known6.len() as u64) as usize,
                ),
            };
            let ((p4, l4), (p6, l6)) = (known4[at4], known6[at6]);
            if random.below(3) == 0 {
                naive.remove4(p4, l4).unwrap();
                fib.remove4(p4, l4).unwrap();
                naive.remove6(p6, l6).unwrap();
                fib.remove6(p6, l6).unwrap();
            } else {
                naive.upsert4(p4, l4, group).unwrap();
                fib.upsert4(p4, l4, group).unwrap();
                naive.upsert6(p6, l6, group).unwrap();
                fib.upsert6(p6, l6, group).unwrap();
            }
        }
        let mut addresses4: Vec<u32> = (0..300 + round).map(|_| random.address4()).collect();
        let mut addresses6: Vec<[u8; 16]> = (0..300 + round)
            .map(|_| random.address6().to_be_bytes())
            .collect();
        // First and last of some prefixes, and the neighbors on both sides; of all in the end.
        let some = if round == ROUNDS - 1 { 1 } else { 29 };
        for &(prefix, length) in known4.iter().step_by(some) {
            let (first, last) = (
                prefix.to_bits(),
                prefix.to_bits() | !mask(32, length.into()) as u32,
            );
            addresses4.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
        }
        for &(prefix, length) in known6.iter().step_by(some) {
            let (first, last) = (
                prefix.to_bits(),
                prefix.to_bits() | !mask(128, length.into()),
            );
            addresses6.extend(
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(u128::to_be_bytes),
            );
        }
        hits4 += compare4(fib, &naive, &addresses4);
        hits6 += compare6(fib, &naive, &addresses6);
    }
    assert!(hits4 > 20_000 && hits6 > 20_000, "{hits4} {hits6}");
    for (prefix, length) in known4 {
        fib.remove4(prefix, length).unwrap();
    }
    for (prefix, length) in known6 {
        fib.remove6(prefix, length).unwrap();
    }
    assert_eq!(fib.blocks_used(), (0, 0));
    let empty = NaiveLpm::new();
    let addresses: Vec<u32> = (0..5000).map(|_| random.address4()).collect();
    assert_eq!(compare4(fib, &empty, &addresses), 0);
    let addresses: Vec<_> = (0..5000).map(|_| random.address6().to_be_bytes()).collect();
    assert_eq!(compare6(fib, &empty, &addresses), 0);
}

fn limits(fib: &mut Fib, options: FibOptions) {
    // Longer than /24: one block each.
    let mut full = None;
    for i in 0..32u32 {
        let prefix = Ipv4Addr::from(0x0a00_0000 | i << 8);
        match fib.upsert4(prefix, 32, GroupId(1)) {
            Ok(()) => assert!(full.is_none()),
            Err(error) => {
                full.get_or_insert((i, error.to_string()));
            }
        }
    }
    let text = format!(
        "fib4: upsert: no space left (ENOSPC); all {} second-level blocks (tbl8) are in use: \
         raise their number",
        options.tbl8_4
    );
    assert_eq!(full, Some((options.tbl8_4, text)));
    for i in 0..32u32 {
        fib.remove4(Ipv4Addr::from(0x0a00_0000 | i << 8), 32)
            .unwrap();
    }
    // A refused prefix left nothing behind: all blocks are free again.
    for i in 0..options.tbl8_4 {
        let prefix = Ipv4Addr::from(0x0b00_0000 | i << 8);
        fib.upsert4(prefix, 32, GroupId(1)).unwrap();
    }

    // A /64 of its own takes five blocks.
    for round in 0..3u32 {
        let prefix = |i: u32| Ipv6Addr::from(u128::from(0x2000 + i) << 112);
        let fits = options.tbl8_6 / 5;
        for i in 0..fits {
            fib.upsert6(prefix(i), 64, GroupId(1 + round)).unwrap();
        }
        let text = fib
            .upsert6(prefix(fits), 64, GroupId(1))
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("fib6: upsert: no space left (ENOSPC); all "),
            "{text}"
        );
        for i in 0..fits {
            fib.remove6(prefix(i), 64).unwrap();
        }
        assert_eq!(fib.blocks_used().1, 0);
    }

    let text = (0..100_000u32)
        .find_map(|i| {
            fib.upsert6(Ipv6Addr::from(u128::from(i) << 108), 20, GroupId(1))
                .err()
        })
        .map(|error| error.to_string())
        .unwrap();
    let expected = format!(
        "the table is made for {} prefixes: raise their number",
        options.routes6
    );
    assert!(
        text.starts_with("fib6: upsert: ") && text.ends_with(&expected),
        "{text}"
    );

    let too_large = GroupId(options.entry.largest_group().0 + 1);
    let text = fib
        .upsert4(Ipv4Addr::LOCALHOST, 32, too_large)
        .unwrap_err()
        .to_string();
    assert!(text.contains("use entries of 4 bytes"), "{text}");
    for length in [0, 33] {
        assert!(
            fib.upsert4(Ipv4Addr::UNSPECIFIED, length, GroupId(1))
                .is_err()
        );
    }
    for length in [0, 129] {
        assert!(
            fib.upsert6(Ipv6Addr::UNSPECIFIED, length, GroupId(1))
                .is_err()
        );
    }
}

/// What DPDK's own count of blocks does not survive: a link that goes down and up.
fn a_connected_prefix_and_its_hosts_come_and_go(fib: &mut Fib, tbl8_4: u32, tbl8_6: u32) {
    let net6: Ipv6Addr = "2001:db8:1::".parse().unwrap();
    let net4 = Ipv4Addr::new(10, 1, 1, 0);
    let hosts = [1, 2, 3, 0x1_0000];
    for round in 0..4 * tbl8_4.max(tbl8_6) {
        // The same group for all, and another: both ways of counting wrongly.
        let group = GroupId(1 + round % 2);
        fib.upsert4(net4, 24, GroupId(1)).unwrap();
        fib.upsert6(net6, 64, GroupId(1)).unwrap();
        for host in hosts {
            let host4 = Ipv4Addr::from_bits(net4.to_bits() + host);
            let host6 = Ipv6Addr::from_bits(net6.to_bits() + u128::from(host));
            fib.upsert4(host4, 32, group).unwrap();
            fib.upsert6(host6, 128, group).unwrap();
        }
        fib.remove4(net4, 24).unwrap();
        fib.remove6(net6, 64).unwrap();
        for host in hosts {
            let host4 = Ipv4Addr::from_bits(net4.to_bits() + host);
            let host6 = Ipv6Addr::from_bits(net6.to_bits() + u128::from(host));
            fib.remove4(host4, 32).unwrap();
            fib.remove6(host6, 128).unwrap();
        }
    }
    assert_eq!(fib.blocks_used(), (0, 0));
}

/// What makes DPDK overwrite the whole table: prefixes up to the last address.
fn the_last_address(fib: &mut Fib) {
    let low = (
        [Ipv4Addr::new(10, 0, 0, 0)],
        [Ipv6Addr::from(0x2001 << 112)],
    );
    fib.upsert4(low.0[0], 8, GroupId(77)).unwrap();
    fib.upsert6(low.1[0], 16, GroupId(77)).unwrap();
    let four = |fib: &mut Fib, first: u8, length, group| match group {
        0 => fib.remove4(Ipv4Addr::new(first, 0, 0, 0), length).unwrap(),
        _ => fib
            .upsert4(Ipv4Addr::new(first, 0, 0, 0), length, GroupId(group))
            .unwrap(),
    };
    let six = |fib: &mut Fib, first: u16, length, group| match group {
        0 => fib
            .remove6(Ipv6Addr::from(u128::from(first) << 112), length)
            .unwrap(),
        _ => fib
            .upsert6(
                Ipv6Addr::from(u128::from(first) << 112),
                length,
                GroupId(group),
            )
            .unwrap(),
    };
    for (first, length, group) in [
        (184, 5, 1),
        (128, 1, 2),
        (192, 2, 3),
        (224, 3, 4),
        (128, 1, 0),
    ] {
        four(fib, first, length, group);
        six(fib, u16::from(first) << 8, length, group);
    }
    let mut found = [GroupId(0); 3];
    fib.lookup4(&[0x0a00_0001, 0xd100_0001, 0x8000_0001], &mut found);
    assert_eq!(found, [77, 3, 0].map(GroupId));
    fib.lookup6(
        &[0x2001u128, 0xd100, 0x8000].map(|first| (first << 112).to_be_bytes()),
        &mut found,
    );
    assert_eq!(found, [77, 3, 0].map(GroupId));
    for (first, length) in [(184, 5), (192, 2), (224, 3)] {
        four(fib, first, length, 0);
        six(fib, u16::from(first) << 8, length, 0);
    }
    fib.remove4(low.0[0], 8).unwrap();
    fib.remove6(low.1[0], 16).unwrap();
}

/// The widest that this CPU has: IPv4, IPv6.
fn widest() -> [Kernel; 2] {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = cpu.lines().find(|line| line.starts_with("flags"));
    let has = |name: &&str| flags.is_some_and(|all| all.split(' ').any(|flag| flag == *name));
    [
        &["avx512f", "avx512dq"][..],
        &["avx512f", "avx512dq", "avx512bw"],
    ]
    .map(|wanted| match wanted.iter().all(has) {
        true => Kernel::Avx512,
        false => Kernel::Scalar,
    })
}

#[test]
fn both_families_equal_the_naive_model() {
    let eal = Eal::init(&Options {
        memory: Memory::Ordinary {
            mib: FibOptions::default().memory_mib(),
        },
        ..Options::default()
    })
    .unwrap();
    let two = FibOptions {
        entry: EntrySize::Two,
        ..FibOptions::default()
    };
    for (seed, options) in [(1, FibOptions::default()), (2, two)] {
        let mut fib = Fib::new(eal.handle(), options).unwrap();
        assert_eq!(fib.kernel(), widest());
        against_the_model(&mut fib, seed, options.entry.largest_group());
        // Whatever the CPU has, one after the other finds the same.
        assert_eq!(fib.choose(Kernel::Scalar), [Kernel::Scalar; 2]);
        against_the_model(&mut fib, seed, options.entry.largest_group());
        assert_eq!(fib.choose(Kernel::Avx512), widest());
    }
    let small = FibOptions {
        tbl8_4: 16,
        tbl8_6: 64,
        routes6: 1000,
        ..two
    };
    let mut fib = Fib::new(eal.handle(), small).unwrap();
    the_last_address(&mut fib);
    a_connected_prefix_and_its_hosts_come_and_go(&mut fib, small.tbl8_4, small.tbl8_6);
    limits(&mut fib, small);
    drop(fib);

    let text = Fib::new(
        eal.handle(),
        FibOptions {
            tbl8_6: 1 << 20,
            ..FibOptions::default()
        },
    )
    .unwrap_err()
    .to_string();
    assert!(
        text.starts_with("fib6: create: ") && text.contains("give EAL more memory"),
        "{text}"
    );
}

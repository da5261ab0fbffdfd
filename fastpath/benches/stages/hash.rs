//! The hash alone: fields at hand, no packet.

use crate::{RUNS, now, quartile};
use fastpath::hash::{Algorithm, Choice, Rest, Settings};
use std::hint::black_box;

/// Flows hashed one after another.
const FLOWS: u32 = 1024;

fn settings(algorithm: Algorithm) -> Settings {
    Settings::new(Choice {
        algorithm,
        ..Choice::default()
    })
}

fn rest(i: u32) -> Rest {
    Rest {
        sport: i as u16,
        dport: 443,
        protocol: 17,
        ..Rest::default()
    }
}

/// Cycles of `hash`, given the numbers of flows.
fn cycles(hash: impl Fn(u32) -> u32) -> f64 {
    let run = |_| {
        let start = now();
        for i in 0..FLOWS {
            black_box(hash(black_box(i)));
        }
        (now() - start) as f64 / f64::from(FLOWS)
    };
    quartile((0..RUNS).map(run).collect())
}

fn four(settings: &Settings) -> f64 {
    cycles(|i| settings.hash4(0x0a00_0000 | i, 0xac10_0001, &rest(i)))
}

fn six(settings: &Settings) -> f64 {
    let net = 0x2001_0db8_u128 << 96;
    cycles(|i| settings.hash6(net | u128::from(i), net | 1 << 64, &rest(i)))
}

/// Every hash and its cycles; the first is the default.
pub fn all() -> Vec<(&'static str, f64)> {
    let [mix, toeplitz, crc32] = Algorithm::ALL.map(settings);
    vec![
        ("mix, IPv4", four(&mix)),
        ("mix, IPv6", six(&mix)),
        ("toeplitz, IPv4", four(&toeplitz)),
        ("toeplitz, IPv6", six(&toeplitz)),
        (
            "toeplitz from the NIC",
            cycles(|i| toeplitz.hash4_with_rss(i, &rest(i))),
        ),
        ("crc32, IPv4", four(&crc32)),
        ("crc32, IPv6", six(&crc32)),
    ]
}

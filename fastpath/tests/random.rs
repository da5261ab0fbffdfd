//! Random packets, damaged packets and every truncation of them, through a whole worker, against
//! the naive router: no panic, every packet counted, every output byte as it ought to be.

mod support;

use fastpath::hash::{Choice, Field, Fields, Settings};
use fastpath::table::DropReason;
use fastpath::table::stats::Snapshot;
use std::net::{Ipv4Addr, Ipv6Addr};
use support::model::{Fate, fate};
use support::packet::{V4, V6, frame};
use support::random::Random;
use support::{Options, PORTS, ROUTES, Router, neighbor_mac, port_mac};

/// What this router gets.
impl Random {
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    /// An address under one of the routes, or anywhere.
    fn address4(&mut self) -> Ipv4Addr {
        let anywhere = self.next() as u32;
        let (prefix, length, _) = self.of(&ROUTES);
        match prefix.parse::<Ipv4Addr>() {
            Ok(prefix) if !self.one_in(20) => {
                let host = anywhere & u32::MAX.checked_shr(length.into()).unwrap_or(0);
                (u32::from(prefix) | host).into()
            }
            _ if self.one_in(3) => anywhere.into(),
            _ => self
                .of(&["10.1.2.3", "10.244.1.10", "172.16.1.1", "255.255.255.255"])
                .parse()
                .unwrap(),
        }
    }

    fn address6(&mut self) -> Ipv6Addr {
        let anywhere = u128::from(self.next()) << 64 | u128::from(self.next());
        let (prefix, length, _) = self.of(&ROUTES);
        match prefix.parse::<Ipv6Addr>() {
            Ok(prefix) if !self.one_in(20) => {
                let host = anywhere & u128::MAX.checked_shr(length.into()).unwrap_or(0);
                (u128::from(prefix) | host).into()
            }
            _ if self.one_in(3) => anywhere.into(),
            _ => self
                .of(&["fd00:f4::10", "fe80::7", "::1", "2001:db8::1", "ff02::5"])
                .parse()
                .unwrap(),
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        let n = match self.below(8) {
            0 => self.below(8),
            1 => 1300 + self.below(170),
            _ => self.below(700),
        };
        let mut bytes = self.bytes(n);
        if let Some(kind) = bytes.first_mut().filter(|_| self.one_in(2)) {
            *kind = self.of(&[0, 3, 8, 11, 128, 129, 137]);
        }
        bytes
    }

    fn packet4(&mut self) -> Vec<u8> {
        // Options all copied, or all not: what the model can fragment.
        let options = [
            &[][..],
            &[148, 4, 0, 0],
            &[7, 7, 4, 1, 2, 3, 4, 0],
            &[1, 1, 1, 0],
        ];
        let packet = V4 {
            tos: self.next() as u8,
            id: self.next() as u16,
            fragment_word: self.of(&[0, 0, 0, 0x4000, 0x2000, 0x2010, 0x0010, 0x1fff]),
            ttl: self.of(&[0, 1, 2, 3, 64, 64, 64, 255]),
            protocol: self.of(&[1, 6, 17, 17, 33, 47, 132, 136]),
            source: self.address4(),
            destination: self.address4(),
            options: self.of(&options).to_vec(),
            payload: self.payload(),
        };
        packet.bytes()
    }

    fn packet6(&mut self) -> Vec<u8> {
        let mut payload = self.payload();
        let mut next_header = self.of(&[6, 17, 17, 58, 132, 33, 136, 59]);
        for _ in 0..self.of(&[0, 0, 0, 1, 2, 9]) {
            let kind = self.of(&[0, 43, 44, 51, 60]);
            let words = if kind == 44 { 0 } else { self.below(3) };
            // Of AH in units of four bytes, and without the first two of them.
            let length = if kind == 51 { 2 * words } else { words };
            let mut header = vec![next_header, length as u8];
            header.extend(self.bytes(6 + words * 8));
            if kind == 44 {
                let word = self.of(&[0_u16, 6, 1, 8, 9, 0xfff8]);
                header[2..4].copy_from_slice(&word.to_be_bytes());
            }
            payload.splice(0..0, header);
            next_header = kind;
        }
        payload.truncate(1460);
        let packet = V6 {
            label: self.next() as u32 & 0xfffff,
            next_header,
            hop_limit: self.of(&[0, 1, 2, 64, 64, 64, 255]),
            source: self.address6(),
            destination: self.address6(),
            payload,
        };
        packet.bytes()
    }

    fn frame(&mut self, port: usize) -> Vec<u8> {
        let is_six = self.one_in(2);
        let packet = if is_six {
            self.packet6()
        } else {
            self.packet4()
        };
        let ethertype = match self.below(60) {
            0 => 0x0806,
            1 => 0x0026,
            _ if is_six => 0x86dd,
            _ => 0x0800,
        };
        let destination = match self.below(40) {
            0 => [0xff; 6],
            1 => [1, 0, 0x5e, 0, 0, 5],
            2 => [2, 0, 0, 0, 9, 9],
            _ => port_mac(port),
        };
        let tags = [&[][..], &[], &[(0x8100, 7)], &[(0x88a8, 9), (0x8100, 8)]];
        let tags = self.of(&tags);
        let mut bytes = frame(destination, neighbor_mac(port), tags, ethertype, &packet);
        if self.one_in(4) {
            let padding = self.below(50);
            bytes.extend(self.bytes(padding));
        }
        bytes
    }

    fn settings(&mut self) -> Settings {
        let bits = self.next();
        // The model reads no tunnels: those fields are tried in tests/fields.
        let outer = Field::ALL
            .into_iter()
            .filter(|f| (*f as u8) <= Field::IngressInterface as u8);
        let fields = outer.fold(Fields::EMPTY, |set, f| {
            set.with(f, bits >> f as u8 & 1 != 0)
        });
        Settings::new(Choice {
            fields,
            symmetric: self.one_in(2),
            seed: self.next() as u32,
            ..Choice::default()
        })
    }
}

/// `got` is `wanted`, with padding only as far as the shortest frame.
fn is_frame(got: &[u8], wanted: &[u8]) -> bool {
    got.starts_with(wanted) && (got.len() == wanted.len() || got.len() <= 60)
}

/// Sends `frame` and compares with the model.
fn check(router: &mut Router, settings: &Settings, port: usize, frame: &[u8]) -> Fate {
    let before = router.counters();
    let out = router.send_one(port, frame);
    let after = router.counters();
    while router.gleans.pop().is_some() {}
    let grown = |of: fn(&Snapshot) -> u64| of(&after) - of(&before);
    let wanted = fate(settings, port, frame);
    let explain = || format!("port {port}, {frame:02x?}: {wanted:?}, but {out:02x?}");
    let (mut sent, mut dropped, mut punted, mut answered) = (Vec::new(), None, 0, 0);
    match &wanted {
        Fate::Sent(port, frames) => sent.extend(frames.iter().map(|f| (*port, f))),
        Fate::Punted => punted = 1,
        Fate::Dropped(reason, answer) => {
            dropped = Some(*reason);
            answered = answer.iter().len() as u64;
            sent.extend(answer.iter().map(|(port, f)| (*port, f)));
        }
    }
    assert_eq!(out.len(), sent.len(), "{}", explain());
    for ((got_port, got), (port, frame)) in out.iter().zip(&sent) {
        assert!(got_port == port && is_frame(got, frame), "{}", explain());
    }
    for reason in DropReason::ALL {
        let count = after.dropped(reason) - before.dropped(reason);
        assert_eq!(
            count,
            u64::from(dropped == Some(reason)),
            "{reason:?}: {}",
            explain()
        );
    }
    assert_eq!(grown(|s| s.punted), punted, "{}", explain());
    assert_eq!(grown(|s| s.icmp_sent), answered, "{}", explain());
    let fragments = sent.len().saturating_sub(1) as u64;
    assert_eq!(grown(|s| s.fragments), fragments, "{}", explain());
    wanted
}

#[test]
fn random_packets_fare_as_in_the_model() {
    let mut random = Random(42);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let settings = random.settings();
        let mut router = Router::new(Options {
            settings: settings.clone(),
            ..Options::default()
        });
        for _ in 0..1000 {
            let port = random.below(PORTS);
            let frame = random.frame(port);
            let kind = match check(&mut router, &settings, port, &frame) {
                Fate::Sent(port, frames) => format!("sent {port} {}", frames.len().min(2)),
                Fate::Punted => "punted".to_owned(),
                Fate::Dropped(reason, answer) => {
                    format!("{} {}", reason.name(), answer.iter().len())
                }
            };
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    // The generator reaches everything: a test of cases that never occur proves nothing.
    for kind in [
        "sent 0 1",
        "sent 1 1",
        "sent 2 1",
        "sent 3 1",
        "sent 4 1",
        "sent 4 2",
        "punted",
        "no-route 0",
        "no-route 1",
        "unreachable 1",
        "prohibited 1",
        "nexthop-down 1",
        "blackhole 0",
        "neighbor-unresolved 0",
        "ttl-exceeded 0",
        "ttl-exceeded 1",
        "too-big 0",
        "too-big 1",
        "not-for-us 0",
        "martian-source 0",
        "martian-destination 0",
    ] {
        assert!(seen.get(kind).is_some_and(|n| *n >= 5), "{kind}: {seen:?}");
    }
}

#[test]
fn truncations_and_damage_fare_as_in_the_model() {
    let mut random = Random(7);
    let settings = Settings::default();
    let mut router = Router::new(Options::default());
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..150 {
        let port = random.below(PORTS);
        let frame = random.frame(port);
        for len in 0..frame.len().min(110) {
            let fate = check(&mut router, &settings, port, &frame[..len]);
            if let Fate::Dropped(reason, _) = fate {
                *seen.entry(reason).or_insert(0) += 1;
            }
        }
        for _ in 0..100 {
            let mut damaged = frame.clone();
            let at = random.below(damaged.len().min(80));
            damaged[at] = random.next() as u8;
            let fate = check(&mut router, &settings, port, &damaged);
            if let Fate::Dropped(reason, _) = fate {
                *seen.entry(reason).or_insert(0) += 1;
            }
        }
    }
    for reason in [
        DropReason::Truncated,
        DropReason::BadHeader,
        DropReason::BadChecksum,
    ] {
        assert!(
            seen.get(&reason).is_some_and(|n| *n >= 50),
            "{reason:?}: {seen:?}"
        );
    }
}

/// Full bursts of a mixture: what a packet's fate is does not depend on its neighbors in the burst.
#[test]
fn a_burst_is_the_sum_of_its_packets() {
    let mut random = Random(11);
    let (mut alone, mut together) = (
        Router::new(Options::default()),
        Router::new(Options::default()),
    );
    for _ in 0..60 {
        let n = 1 + random.below(200);
        let frames: Vec<_> = (0..n).map(|_| random.frame(0)).collect();
        let mut singly = vec![Vec::new(); PORTS];
        for frame in &frames {
            for (port, out) in alone.send_one(0, frame) {
                singly[port].push(out);
            }
        }
        assert_eq!(together.send(0, &frames), singly);
    }
    let (mut one, mut other) = (alone.counters(), together.counters());
    (one.turns, other.turns) = (0, 0);
    assert_eq!(one, other);
}

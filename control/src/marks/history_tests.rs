//! Random histories of commits, wishes and refusals: whatever mark a packet has, from now or from long ago,
//! its group is the lookup's, or it is looked up.

use super::*;
use crate::dplane::Dplane;
use fastpath::hash::Settings;
use fastpath::software::lookup::{group4, group6};
use fastpath::table::naive::{NaiveLpm, NotAPrefix};
use fastpath::table::{Lpm, LpmWrite, Marks, Tables, View, Writer};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A lookup table that refuses some prefixes for some groups, as a full one does.
#[derive(Clone, Debug)]
struct Fussy(NaiveLpm);

fn is_refused(bits: u128, length: u8, group: GroupId) -> bool {
    let mixed = (bits ^ bits >> 61).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (mixed as u32 + u32::from(length) + group.0) % 9 == 0
}

impl Lpm for Fussy {
    fn lookup4(&self, destinations: &[u32], groups: &mut [GroupId]) {
        self.0.lookup4(destinations, groups);
    }

    fn lookup6(&self, destinations: &[[u8; 16]], groups: &mut [GroupId]) {
        self.0.lookup6(destinations, groups);
    }
}

impl LpmWrite for Fussy {
    type Error = NotAPrefix;

    fn upsert4(&mut self, prefix: Ipv4Addr, length: u8, group: GroupId) -> Result<(), NotAPrefix> {
        // A length that there is not is refused.
        let fussy = is_refused(prefix.to_bits().into(), length, group);
        self.0
            .upsert4(prefix, if fussy { 33 } else { length }, group)
    }

    fn remove4(&mut self, prefix: Ipv4Addr, length: u8) -> Result<(), NotAPrefix> {
        self.0.remove4(prefix, length)
    }

    fn upsert6(&mut self, prefix: Ipv6Addr, length: u8, group: GroupId) -> Result<(), NotAPrefix> {
        let fussy = is_refused(prefix.to_bits(), length, group);
        self.0
            .upsert6(prefix, if fussy { 129 } else { length }, group)
    }

    fn remove6(&mut self, prefix: Ipv6Addr, length: u8) -> Result<(), NotAPrefix> {
        self.0.remove6(prefix, length)
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of few addresses, so that prefixes lie in each other.
    fn address(&mut self) -> IpAddr {
        let low = self.next() as u32 & 0x0013_1013;
        match self.below(2) {
            0 => Ipv4Addr::from_bits(0x0a00_0000 | low).into(),
            _ => Ipv6Addr::from_bits(0x2001 << 112 | u128::from(low) << 40).into(),
        }
    }

    fn prefix(&mut self) -> Prefix {
        let length = [0, 8, 12, 16, 20, 24, 28, 31, 32][self.below(9) as usize];
        let address = self.address();
        let length = if address.is_ipv4() {
            length
        } else {
            length * 3
        };
        Prefix::containing(address, length).expect("a length of the family")
    }
}

/// Commits, marks given, lookups that were skipped, and stale marks that were looked up.
#[derive(Debug, Default)]
struct Seen {
    skipped: u64,
    looked_up: u64,
    refused: usize,
}

/// Something that workers must not be told; each is to be found out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    /// A prefix leads to another group than it does.
    Group,
    /// What workers have is of ten commits ago.
    Late,
    /// A mark of long ago names who has its slot now.
    Generation,
    /// A longer prefix has not emptied the slot.
    Covered,
}

/// What workers have, with that mistake.
fn spoilt(wrong: Wrong, marks: &Marks, given: &[(u32, Prefix)], then: &Marks) -> Marks {
    let mut spoilt = marks.clone();
    let mut known = given.iter().rev().take(24);
    match wrong {
        Wrong::Late => return then.clone(),
        Wrong::Group => {
            for (mark, prefix) in known {
                if let Some(group) = told(marks, *mark, prefix.address()) {
                    let other = GroupId(group.0 ^ 1);
                    spoilt.set(*mark, prefix.address(), prefix.length(), other);
                }
            }
        }
        Wrong::Generation => {
            let of = |slot: u32| {
                let newest = given.iter().rev().find(|(m, _)| marks.slot(*m) == slot);
                newest.and_then(|(m, p)| Some((*p, told(marks, *m, p.address())?)))
            };
            let (mark, prefix, group) = match known.find_map(|(mark, prefix)| {
                let (_, group) = of(marks.slot(*mark))?;
                let is_old = told(marks, *mark, prefix.address()).is_none();
                is_old.then_some((*mark, *prefix, group))
            }) {
                Some(found) => found,
                None => return spoilt,
            };
            spoilt.set(mark, prefix.address(), prefix.length(), group);
        }
        Wrong::Covered => {
            for (mark, prefix) in known {
                if told(marks, *mark, prefix.address()).is_none() {
                    spoilt.set(*mark, prefix.address(), prefix.length(), GroupId(1));
                }
            }
        }
    }
    spoilt
}

fn told(marks: &Marks, mark: u32, to: IpAddr) -> Option<GroupId> {
    match to {
        IpAddr::V4(to) => marks.group4(mark, to.to_bits()),
        IpAddr::V6(to) => marks.group6(mark, to.octets()),
    }
}

/// # Errors
/// A mark says other than the lookup.
fn history(seed: u64, seen: &mut Seen, wrong: Option<Wrong>) -> Result<(), String> {
    let mut random = Random(seed);
    let tables = Arc::new(Tables::new(64, 256, 64));
    let view = || View::new(Fussy(NaiveLpm::new()), Settings::default());
    let (writer, registry) = Writer::new(Arc::clone(&tables), view(), view());
    let mut reader = registry.reader();
    let mut dplane = Dplane::new(writer);
    let mut known: Vec<Prefix> = Vec::new();
    let mut given: Vec<(u32, Prefix)> = Vec::new();
    let mut before: VecDeque<Marks> = VecDeque::new();
    for step in 0..150 {
        for _ in 0..random.below(4) {
            let prefix = match random.below(3) {
                0 if !known.is_empty() => known[random.below(known.len() as u64) as usize],
                _ => random.prefix(),
            };
            known.push(prefix);
            dplane.point(prefix, GroupId(random.below(8) as u32));
        }
        if step == 5 {
            // Later than the first routes.
            let view = dplane.view();
            let led = known.iter().map(|p| {
                let naive = match p.address() {
                    IpAddr::V4(a) => view.lpm.0.longest4(a.to_bits()),
                    IpAddr::V6(a) => view.lpm.0.longest6(a.to_bits()),
                };
                let group = naive
                    .filter(|(l, _)| *l == p.length())
                    .map_or(GroupId::NONE, |f| f.1);
                (*p, group)
            });
            let book = Book::new(8, led.collect::<Vec<_>>().into_iter());
            // What is pending is taken in by the commit.
            reader.offline(|| dplane.mark(book));
        }
        if let Some(book) = dplane.marks_mut() {
            for _ in 0..random.below(4) {
                let wish = known.get(random.below(known.len() as u64 + 1) as usize);
                wish.into_iter().for_each(|p| book.wish(*p));
            }
            if random.below(5) == 0 {
                let lost = known.get(random.below(known.len() as u64 + 1) as usize);
                lost.into_iter().for_each(|p| book.give_up(*p));
            }
        }
        // Grace periods must not wait for us.
        seen.refused += reader.offline(|| dplane.commit()).len();
        for rule in dplane.mark_rules() {
            if let Rule::Put(mark, prefix) = rule {
                given.push((mark, prefix));
            }
        }
        let view = reader.read();
        before.push_back(view.marks.clone());
        let then = before.front().unwrap_or(&view.marks);
        let marks = match wrong {
            Some(wrong) => spoilt(wrong, &view.marks, &given, then),
            None => view.marks.clone(),
        };
        if before.len() > 10 {
            before.pop_front();
        }
        for _ in 0..20 {
            let to = random.address();
            let found = match to {
                IpAddr::V4(to) => group4(view, to.to_bits()),
                IpAddr::V6(to) => group6(view, to.octets()),
            };
            let known = given.iter().rev().take(24).map(|(mark, _)| *mark);
            for mark in known.chain([random.next() as u32 & 0xff_ffff]) {
                match told(&marks, mark, to) {
                    Some(group) if group != found => {
                        return Err(format!(
                            "seed {seed}, step {step}: {to} with {mark}: {group:?} and not {found:?}"
                        ));
                    }
                    Some(_) => seen.skipped += 1,
                    None => seen.looked_up += 1,
                }
            }
        }
        reader.quiescent();
    }
    Ok(())
}

#[test]
fn a_mark_never_says_other_than_the_lookup() {
    let mut seen = Seen::default();
    for seed in 0..40 {
        assert_eq!(history(seed, &mut seen, None), Ok(()));
    }
    let Seen {
        skipped,
        looked_up,
        refused,
    } = seen;
    assert!(skipped > 5000, "{skipped} skipped");
    assert!(
        looked_up > 100_000 && refused > 100,
        "{looked_up}, {refused}"
    );
}

/// The test above would notice.
#[test]
fn a_wrong_mark_is_noticed() {
    for wrong in [Wrong::Group, Wrong::Late, Wrong::Generation, Wrong::Covered] {
        let mut seen = Seen::default();
        let noticed = (0..40).filter(|seed| history(*seed, &mut seen, Some(wrong)).is_err());
        assert!(noticed.count() > 20, "{wrong:?}");
    }
}

//! Which marks are in a port's NIC, and which wait for room there.
//!
//! A NIC that is full may have room again: when rules of ours go, which is at once, or when those of others
//! do, which nobody says; so it is tried again later, and ever more seldom while it is in vain.

use control::marks::Rule;
use control::prefix::Prefix;
use fastpath::dpdk::{MARK_NO_ROOM, Rules};
use fastpath::hardware::Error;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a full NIC is let alone at first, and at most.
const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(300);

/// A NIC that marks packets.
pub trait Marker {
    /// Puts a mark on packets to a prefix.
    fn put(&mut self, mark: u32, prefix: Prefix) -> Result<(), Error>;
    /// No longer.
    fn take(&mut self, mark: u32);
    /// How many prefixes have a mark there.
    fn count(&self) -> usize;
}

impl Marker for Rules<'_> {
    fn put(&mut self, mark: u32, prefix: Prefix) -> Result<(), Error> {
        self.mark(mark, prefix.address(), prefix.length())
    }

    fn take(&mut self, mark: u32) {
        self.unmark(mark);
    }

    fn count(&self) -> usize {
        self.marked()
    }
}

/// What is known of a port's room.
#[derive(Debug, Default)]
pub struct Room {
    /// Whether it marks IPv4, and IPv6, once that is known.
    pub families: [Option<bool>; 2],
    /// What was refused last, and why, while it matters.
    pub reason: Option<String>,
    /// Prefixes that there was room for when it was full.
    most: Option<usize>,
    /// Marks that found none.
    waiting: BTreeMap<u32, Prefix>,
    /// When it is tried again, and how long after that.
    again: Option<Instant>,
    pause: Duration,
}

impl Room {
    /// Prefixes that there is room for, if it is full.
    pub const fn most(&self) -> Option<usize> {
        self.most
    }

    /// When there is something to try again.
    pub const fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// Does what is to be done about marks: room is made before it is wanted, and who waits comes first.
    pub fn follow(&mut self, nic: &mut impl Marker, rules: &[Rule], now: Instant) {
        let mut is_freed = false;
        for rule in rules {
            if let Rule::Take(mark) = *rule {
                if self.waiting.remove(&mark).is_none() {
                    nic.take(mark);
                    is_freed = true;
                }
            }
        }
        if is_freed {
            self.fill(nic, now);
        }
        for rule in rules {
            if let Rule::Put(mark, prefix) = *rule {
                // A full NIC is not asked for each.
                if self.waiting.is_empty() {
                    self.put(nic, mark, prefix, now);
                } else {
                    self.waiting.insert(mark, prefix);
                }
            }
        }
    }

    /// Tries again what it is time for; true if that may have changed anything.
    pub fn retry(&mut self, nic: &mut impl Marker, now: Instant) -> bool {
        let is_due = self.again.take_if(|again| *again <= now).is_some();
        if is_due {
            self.most = None;
            self.fill(nic, now);
        }
        is_due
    }

    /// Those that wait, until one finds no room.
    fn fill(&mut self, nic: &mut impl Marker, now: Instant) {
        while let Some((mark, prefix)) = self.waiting.pop_first() {
            if !self.put(nic, mark, prefix, now) {
                break;
            }
        }
    }

    /// False if there is no room for it: it waits.
    fn put(&mut self, nic: &mut impl Marker, mark: u32, prefix: Prefix, now: Instant) -> bool {
        let family = usize::from(!prefix.is_ipv4());
        if self.families[family] == Some(false) {
            return true;
        }
        match nic.put(mark, prefix) {
            Ok(()) => {
                self.families[family] = Some(true);
                if self.most.is_none() && self.waiting.is_empty() {
                    (self.reason, self.pause) = (None, Duration::ZERO);
                }
                true
            }
            Err(error) => {
                self.reason = Some(format!("{prefix}: {error}"));
                let is_full = [MARK_NO_ROOM, Error::NO_MEMORY].contains(&error.errno);
                if is_full {
                    self.waiting.insert(mark, prefix);
                    self.most = Some(nic.count());
                    if self.again.is_none() {
                        self.pause = (self.pause * 2).clamp(FIRST, MOST);
                        self.again = Some(now + self.pause);
                    }
                } else if self.families[family].is_none() {
                    self.families[family] = Some(false);
                }
                !is_full
            }
        }
    }
}

/// Does what is to be done about marks at all ports, which may share the room of one NIC: all make room first, and
/// no port gets a second rule before each has its first.
pub fn follow(nics: &mut [(&mut Room, &mut impl Marker)], rules: &[Rule], now: Instant) {
    let is_take = |rule: &Rule| matches!(rule, Rule::Take(_));
    let takes: Vec<Rule> = rules.iter().copied().filter(is_take).collect();
    for (room, nic) in &mut *nics {
        room.follow(*nic, &takes, now);
    }
    for put in rules.iter().filter(|rule| !is_take(rule)) {
        for (room, nic) in &mut *nics {
            room.follow(*nic, std::slice::from_ref(put), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    /// A NIC with room for so many rules.
    #[derive(Default)]
    struct Nic {
        room: usize,
        has: BTreeSet<u32>,
        asked: usize,
    }

    impl Marker for Nic {
        fn put(&mut self, mark: u32, _: Prefix) -> Result<(), Error> {
            self.asked += 1;
            if self.has.len() >= self.room {
                return Err(Error::new(MARK_NO_ROOM, "full"));
            }
            self.has.insert(mark);
            Ok(())
        }

        fn take(&mut self, mark: u32) {
            assert!(self.has.remove(&mark), "{mark} is not there");
        }

        fn count(&self) -> usize {
            self.has.len()
        }
    }

    /// One port of a NIC with room for so many rules of all its ports.
    struct OfOne(Nic, Rc<Cell<usize>>);

    impl Marker for OfOne {
        fn put(&mut self, mark: u32, prefix: Prefix) -> Result<(), Error> {
            self.0.room = self.0.has.len() + self.1.get();
            let done = self.0.put(mark, prefix);
            self.1.set(self.0.room - self.0.has.len());
            done
        }

        fn take(&mut self, mark: u32) {
            self.0.take(mark);
            self.1.set(self.1.get() + 1);
        }

        fn count(&self) -> usize {
            self.0.count()
        }
    }

    #[test]
    fn ports_of_one_nic_share_its_room_evenly() {
        let (left, now) = (Rc::new(Cell::new(6)), Instant::now());
        let mut all: Vec<_> = (0..3)
            .map(|_| (Room::default(), OfOne(Nic::default(), left.clone())))
            .collect();
        let mut tell = |rules: &[Rule]| {
            let mut nics: Vec<_> = all.iter_mut().map(|(room, nic)| (room, nic)).collect();
            follow(&mut nics, rules, now);
            let found = all.iter().map(|(room, nic)| (room.most(), nic.count()));
            found.collect::<Vec<_>>()
        };
        assert_eq!(tell(&puts(0..7)), [(Some(2), 2); 3]);
        // Control gives up what not all have, then one of the others.
        let rules: Vec<Rule> = [2, 3, 4, 5, 6, 0].map(Rule::Take).into();
        assert_eq!(tell(&rules), [(Some(2), 1); 3]);
        assert_eq!(tell(&puts(7..9)), [(Some(2), 2); 3]);
    }

    fn puts(marks: std::ops::Range<u32>) -> Vec<Rule> {
        let prefix = |n: u32| format!("10.0.{n}.0/24").parse().expect("a prefix");
        marks.map(|n| Rule::Put(n, prefix(n))).collect()
    }

    #[test]
    fn whoever_found_no_room_gets_what_becomes_free() {
        let (mut nic, mut room, now) = (Nic::default(), Room::default(), Instant::now());
        nic.room = 2;
        room.follow(&mut nic, &puts(0..5), now);
        assert_eq!(
            (room.most(), nic.asked),
            (Some(2), 3),
            "asked until it is full"
        );
        assert!(
            room.reason
                .as_deref()
                .is_some_and(|why| why.starts_with("10.0.2.0/24: "))
        );
        // Control gives up two: one that is there and one that waits. Another one is there now.
        room.follow(&mut nic, &[Rule::Take(0), Rule::Take(3)], now);
        assert_eq!(nic.has, [1, 2].into());
        room.follow(&mut nic, &[Rule::Take(1)], now);
        assert_eq!(nic.has, [2, 4].into());
        // Nobody waits any more, and it is known still that there is no more room.
        assert_eq!((room.most(), room.waiting.len()), (Some(2), 0));
        assert!(room.deadline().is_some());
    }

    #[test]
    fn a_full_nic_is_tried_again_ever_more_seldom_until_there_is_room() {
        let (mut nic, mut room, begin) = (Nic::default(), Room::default(), Instant::now());
        nic.room = 2;
        room.follow(&mut nic, &puts(0..4), begin);
        let (mut now, mut pauses) = (begin, Vec::new());
        for _ in 0..9 {
            let due = room.deadline().expect("it is tried again");
            assert!(!room.retry(&mut nic, due - Duration::from_nanos(1)));
            pauses.push((due - now).as_secs());
            now = due;
            let asked = nic.asked;
            assert!(room.retry(&mut nic, now));
            assert_eq!(
                (nic.asked - asked, room.most()),
                (1, Some(2)),
                "one question"
            );
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        // Others have gone: all of ours find room, and it is not known to be short any more.
        nic.room = 8;
        now = room.deadline().expect("it is tried again");
        assert!(room.retry(&mut nic, now));
        assert_eq!((nic.has.len(), room.most(), &room.reason), (4, None, &None));
        assert_eq!(room.deadline(), None);
        // Full again: it begins anew.
        room.follow(&mut nic, &puts(4..9), now);
        assert_eq!(room.most(), Some(8));
        assert_eq!(room.deadline(), Some(now + FIRST));
    }
}

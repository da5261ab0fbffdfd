//! Which prefixes are worth a mark: those that most packets of the samples are for.

use super::Book;
use crate::control::Control;
use crate::prefix::Prefix;
use fastpath::table::LpmWrite;
use std::net::IpAddr;
use std::time::Instant;

/// Samples looked at in one go, 1.5 us each.
const LOOKS: usize = 256;
/// How much of a score is left after a second.
const LEFT: f32 = 0.9;
/// Below it a prefix is forgotten: one sample of half a minute ago.
const LEAST: f32 = 0.05;
/// So many slots change hands in one go.
const CHANGES: usize = 256;

/// The destination of a frame, tags or none; nothing where it is not IP or ends before that.
fn destination(frame: &[u8]) -> Option<IpAddr> {
    let mut l3 = 14;
    loop {
        match frame.get(l3 - 2..l3)? {
            [0x81, 0] | [0x88, 0xa8] if l3 < 22 => l3 += 4,
            [8, 0] => {
                let address: [u8; 4] = frame.get(l3 + 16..l3 + 20)?.try_into().ok()?;
                return Some(address.into());
            }
            [0x86, 0xdd] => {
                let address: [u8; 16] = frame.get(l3 + 24..l3 + 40)?.try_into().ok()?;
                return Some(address.into());
            }
            _ => return None,
        }
    }
}

impl Book {
    /// A packet to `prefix` was seen.
    pub fn seen(&mut self, prefix: Prefix) {
        *self.scores.entry(prefix).or_default() += 1.0;
    }

    /// A second has passed: whoever has more packets than one with a mark gets it. Who has one
    /// keeps it against an equal: a change costs two operations of the NIC.
    pub fn settle(&mut self) {
        self.scores.retain(|_, score| {
            *score *= LEFT;
            *score > LEAST
        });
        let score = |book: &Book, prefix: &Prefix| book.scores.get(prefix).copied();
        let of = |p: &Prefix| self.families[usize::from(!p.is_ipv4())];
        let gone: Vec<Prefix> = self.marked.keys().copied().filter(|p| !of(p)).collect();
        gone.into_iter().for_each(|prefix| self.give_up(prefix));
        let mut held: Vec<(f32, Prefix)> = self
            .marked
            .keys()
            .map(|p| (score(self, p).unwrap_or(0.0), *p))
            .collect();
        held.sort_by(|a, b| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
        while held.len() > self.room {
            if let Some((_, prefix)) = held.pop() {
                self.give_up(prefix);
            }
        }
        let may = |p: &&Prefix| {
            p.length() != 0
                && self.families[usize::from(!p.is_ipv4())]
                && !self.has(**p)
                && self.led.contains_key(*p)
                && self.is_leaf(**p)
        };
        let mut next: Vec<(f32, Prefix)> = self
            .scores
            .keys()
            .filter(may)
            .map(|p| (score(self, p).unwrap_or(0.0), *p))
            .collect();
        next.sort_by(|a, b| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
        let mut free = self.room.saturating_sub(held.len());
        for (wanted, prefix) in next.into_iter().take(CHANGES) {
            if free > 0 {
                free -= 1;
            } else {
                match held.last().copied() {
                    Some((least, loser)) if wanted > 2.0 * least + 1.0 => {
                        held.pop();
                        self.give_up(loser);
                    }
                    _ => break,
                }
            }
            self.wish(prefix);
        }
    }

    /// What the NICs have room for, by their own word, and which families they mark; without a word, or no
    /// longer one, there may be room for all.
    pub fn limit(&mut self, room: Option<usize>, families: [bool; 2]) {
        self.room = room.map_or(self.slots.len(), |room| room.min(self.slots.len()));
        self.families = families;
    }
}

impl<L: LpmWrite> Control<L> {
    /// From now on prefixes have marks, `slots` at most.
    pub fn mark(&mut self, slots: usize) {
        let led = self.rib.iter().map(|(prefix, entry)| (prefix, entry.group));
        self.plan.dplane.mark(Book::new(slots, led));
    }

    /// Looks at what came in lately, once a second.
    pub(crate) fn choose_marks(&mut self, now: Instant) {
        let Some(book) = self.plan.dplane.marks_mut() else {
            return;
        };
        let each = (self.samples.recent(now).count() / LOOKS).max(1);
        for sample in self.samples.recent(now).step_by(each) {
            let Some(to) = destination(sample.kept()) else {
                continue;
            };
            let led = |e: &crate::rib::Entry| e.group != fastpath::table::GroupId::NONE;
            if let Some((prefix, _)) = self.rib.longest(to, led) {
                book.seen(prefix);
            }
        }
        book.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_of_frames() {
        let mut four = vec![0; 12];
        four.extend([8, 0, 0x45]);
        four.extend([0; 15]);
        four.extend([10, 1, 2, 3]);
        assert_eq!(destination(&four), Some([10, 1, 2, 3].into()));
        assert_eq!(destination(&four[..33]), None, "cut");
        four.splice(12..12, [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8]);
        assert_eq!(destination(&four), Some([10, 1, 2, 3].into()));
        four.splice(12..12, [0x81, 0, 0, 7]);
        assert_eq!(destination(&four), None, "three tags");
        assert_eq!(destination(&[]), None);
        let mut six = vec![0; 12];
        six.extend([0x86, 0xdd]);
        six.extend([0; 24]);
        six.extend([9; 16]);
        assert_eq!(destination(&six), Some([9; 16].into()));
    }
}

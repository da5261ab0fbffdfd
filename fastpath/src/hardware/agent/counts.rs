//! What hardware has sent to next hops, read in small pieces.

use super::super::engine::Engine;
use super::super::plan::NexthopId;
use super::super::program::RuleId;
use super::super::{Count, Steering};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Drivers keep counts for half a second; asking them more often tells nothing.
const INTERVAL: Duration = Duration::from_secs(1);

/// A rule that counts: its program, and it.
type Rule = (usize, RuleId);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counts {
    next: Option<Instant>,
    /// To be read in this round.
    round: VecDeque<(NexthopId, Rule)>,
    last: HashMap<Rule, Count>,
    /// Those of the last rounds, as far as their rules are there.
    seen: HashMap<Rule, Count>,
    more: BTreeMap<NexthopId, Count>,
}

impl Counts {
    /// Reads at most `most`, if it is time; whether more are to be read at once.
    pub(super) fn turn<S: Steering>(
        &mut self,
        engines: &mut [Engine<S>],
        now: Instant,
        most: usize,
    ) -> bool {
        for (at, engine) in engines.iter_mut().enumerate() {
            for (id, rule, count) in engine.counted() {
                self.add(id, (at, rule), count);
                // Its next counter begins with zero.
                self.last.remove(&(at, rule));
                self.seen.remove(&(at, rule));
            }
        }
        if self.round.is_empty() {
            if self.next.is_some_and(|next| now < next) {
                return false;
            }
            self.next = Some(now + INTERVAL);
            // What was not met in the last round has no rule any more.
            self.last = std::mem::take(&mut self.seen);
            for (at, engine) in engines.iter().enumerate() {
                let program = engine.compiler();
                for id in program.nexthops() {
                    let rules = program.counting(id).into_iter();
                    self.round.extend(rules.map(|rule| (id, (at, rule))));
                }
            }
        }
        for _ in 0..most {
            let Some((id, rule)) = self.round.pop_front() else {
                return false;
            };
            // A rule that is not there yet, or no more, has nothing to say.
            let Ok(count) = engines[rule.0].steering_mut().count(rule.1) else {
                continue;
            };
            self.add(id, rule, count);
            self.seen.insert(rule, count);
        }
        !self.round.is_empty()
    }

    /// A rule has counted so much since it was made.
    fn add(&mut self, id: NexthopId, rule: Rule, count: Count) {
        let last = self.seen.get(&rule).or_else(|| self.last.get(&rule));
        let last = last.copied().unwrap_or_default();
        if count != last {
            let more = self.more.entry(id).or_default();
            more.packets += count.packets.saturating_sub(last.packets);
            more.bytes += count.bytes.saturating_sub(last.bytes);
        }
    }

    /// When the next round begins.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// What was counted since this was last asked.
    pub(super) fn news(&mut self) -> Vec<(NexthopId, Count)> {
        std::mem::take(&mut self.more).into_iter().collect()
    }
}

//! What must hold after every step.

use super::history::{ACTIVE, History, Seen};
use super::naive::{self, Weights, came, fewest, held, is_even, is_reweighed, repeated};
use super::world::SECOND;
use crate::lab;
use control::config::DealBy;
use control::deal::Recovery;
use control::rendezvous::name;
use std::collections::{BTreeMap, BTreeSet};

impl History {
    /// Whatever has changed since `before` may have.
    pub fn check(&mut self, before: &BTreeMap<u8, Seen>, failed: Option<u8>) {
        let now = self.now();
        let all = self.see();
        for (p, after) in &all {
            self.check_owners(*p, before.get(p), after);
            let size = after.table.len();
            self.note_grain(*p, before.get(p), after);
            let used = self.used.remove(p).filter(|_| before.contains_key(p));
            let used = used.unwrap_or_else(|| vec![now; size]);
            let used = (0..size).map(|b| used[b % used.len()]).collect();
            self.used.insert(*p, used);
            match before.get(p) {
                Some(before) => self.check_moves(*p, before, after, failed),
                None => self.last.remove(p).map_or((), drop),
            }
            let is_dead = after.table.iter().all(|o| *o == 0);
            if !is_dead {
                self.remember(*p, after);
            }
            if is_dead || is_even(&after.table, &after.due, size) {
                self.uneven.remove(p);
            } else {
                self.uneven.entry(*p).or_insert(now);
            }
        }
        let routes = &self.truth.routes;
        self.belongs.retain(|p, _| routes.contains_key(p));
        self.used.retain(|p, _| routes.contains_key(p));
        self.grain.retain(|p, _| routes.contains_key(p));
        self.last.retain(|p, _| routes.contains_key(p));
        self.uneven.retain(|p, _| routes.contains_key(p));
        self.withdrawn.retain(|p, _| routes.contains_key(p));
    }

    /// Drains whose time is over, or that have nothing left to do, are done.
    pub fn end_drains(&mut self) {
        let (now, settling) = (self.now(), self.is_settling());
        for (n, spared) in &mut self.truth.spared {
            // An outage of all moves nothing: who returns with the others has what it had.
            let left = self.last.values().any(|t| t.contains(n));
            spared.done |= now >= spared.until || !left && !settling;
        }
    }

    /// A table that gets larger for members of whom none can be used, or for such a one's weight, is
    /// repeated: no flow moves, so shares stay as even as they were in the smaller one, until FRR
    /// names somebody who can be used, or other weights.
    fn note_grain(&mut self, p: u8, before: Option<&Seen>, after: &Seen) {
        let size = after.table.len();
        let same = before.filter(|before| {
            let added = came(&before.weights, &after.weights);
            let gains = added.iter().any(|n| after.due.contains_key(n));
            let reweighed = is_reweighed(&before.weights, &after.weights);
            before.table.len() <= size && !gains && !reweighed
        });
        let known = self.grain.get(&p).copied().filter(|_| same.is_some());
        self.grain.insert(p, known.unwrap_or(size));
    }

    fn remember(&mut self, p: u8, after: &Seen) {
        let size = after.table.len();
        let unknown = self.unknown.entry(p).or_default();
        let was_known = unknown.is_empty();
        unknown.retain(|n| !after.due.contains_key(n));
        if !was_known {
            // What is to be whose while they are away tells nobody what is whose.
            let away = after.weights.keys().filter(|n| !after.due.contains_key(n));
            unknown.extend(away);
        }
        let was = self.belongs.get(&p).filter(|t| !t.is_empty());
        let was = was.map_or_else(|| vec![0; size], |t| repeated(t, size));
        let away = |n: &u8| after.weights.contains_key(n) && !after.due.contains_key(n);
        let slots = was.iter().zip(&after.table);
        let belongs = slots.map(|(was, is)| match away(was) || was == is {
            true => *was,
            false if unknown.is_empty() => *is,
            false => 0,
        });
        let belongs = belongs.collect();
        self.belongs.insert(p, belongs);
        self.last.insert(p, after.table.clone());
    }

    /// Every bucket leads to somebody who can take it, if there is anybody; and who is to be spared
    /// has none but those that it had.
    fn check_owners(&self, p: u8, before: Option<&Seen>, after: &Seen) {
        let able = |n: &u8| after.weights.contains_key(n) && self.truth.can(*n);
        let any = after.weights.keys().any(able);
        let mut owners = after.table.iter();
        let wrong = owners.find(|o| if any { !able(o) } else { **o != 0 });
        assert!(wrong.is_none(), "{}: {p}: with {wrong:?}", self.when);
        if !any {
            return;
        }
        let size = after.table.len();
        let leaving = self.truth.leaving(p);
        let leaves = |n: &u8| leaving.contains(n) && !after.due.contains_key(n);
        let had = self.last.get(&p).filter(|_| before.is_some());
        let had = had.map_or_else(|| vec![0; size], |t| repeated(t, size));
        for (b, (had, is)) in had.iter().zip(&after.table).enumerate() {
            let may = after.due.contains_key(is) || leaves(is) && had == is;
            let may = may || self.is_due_again(after, b, *is);
            assert!(may, "{}: {p}: bucket {b} of {is}", self.when);
        }
        if self.rules.deal == DealBy::Rendezvous && self.recovery != Recovery::Never {
            self.check_ranks(p, &had, after, leaves);
        }
    }

    /// Soon after a start a set has the table that it had before, whether the route is new or comes
    /// back, and who had buckets has them. Starts in between change nothing for who is not yet back.
    fn is_due_again(&self, after: &Seen, b: usize, n: u8) -> bool {
        let lives = self.started.get(&after.weights).into_iter().flatten();
        // Who was lost since is owed nothing before its hold-down time is over.
        let is_held = self.truth.held.contains_key(&n) && self.truth.lost.contains(&n);
        self.is_settling() && !is_held && lives.into_iter().any(|life| life[b % life.len()] == n)
    }

    /// Everybody has the buckets that are its by rank. Who is being drained keeps what it `had` of
    /// what is its beside those who get buckets.
    fn check_ranks(&self, p: u8, had: &[u8], after: &Seen, leaves: impl Fn(&u8) -> bool) {
        let now = self.now();
        let known = |n: &u8| (*n, name(Some(lab::ip(&self.router.gateway(*n))), ""));
        let names = after.weights.keys().map(known).collect();
        let seed = self.rules.deal_seed.unwrap_or(0);
        let size = after.table.len();
        let by_rank = |due: &Weights| naive::by_rendezvous(due, &names, size, seed);
        let mut expected = by_rank(&after.due);
        for (n, weight) in after.weights.iter().filter(|w| leaves(w.0)) {
            let mut beside = after.due.clone();
            beside.insert(*n, *weight);
            let own = by_rank(&beside);
            let spared = &self.truth.spared[n];
            let keeps = |b: usize| had[b] == *n || self.is_due_again(after, b, *n);
            for b in (0..size).filter(|b| own[*b] == *n && keeps(*b)) {
                let used = self.used.get(&p).map(|u| u[b % u.len()]);
                let is_over = used.is_some_and(|at| now - at >= spared.patience);
                let may_be_gone = is_over || now >= spared.until || had[b] != *n;
                if !may_be_gone || after.table[b] == *n {
                    expected[b] = *n;
                }
            }
        }
        assert!(
            expected == after.table,
            "{}: {p}: rendezvous: {:?}, not {:?}",
            self.when,
            held(&after.table),
            held(&expected)
        );
    }

    fn check_moves(&mut self, p: u8, before: &Seen, after: &Seen, failed: Option<u8>) {
        let size = before.table.len().max(after.table.len());
        let (was, is) = (repeated(&before.table, size), repeated(&after.table, size));
        if self.rules.deal == DealBy::Rendezvous || was[0] == 0 || is[0] == 0 {
            return;
        }
        let seconds = repeated(&before.seconds, size);
        let at_once = self.recovery == Recovery::Immediate;
        let came = came(&before.due, &after.due);
        let reweighed = is_reweighed(&before.weights, &after.weights);
        // What those who came are to have again.
        let mut due = was.clone();
        let home = self
            .belongs
            .get(&p)
            .map(|t| repeated(t, size))
            .unwrap_or_default();
        let back = self
            .withdrawn
            .get(&p)
            .filter(|w| w.0 == after.weights && at_once);
        let back = back.map(|w| repeated(&w.1, size)).unwrap_or_default();
        let free = self.free(p, &came, &home, after);
        for b in 0..size {
            for theirs in [&home, &back] {
                let is_theirs = |n: &&u8| at_once && came.contains(n) && !free.contains(n);
                due[b] = theirs.get(b).filter(is_theirs).copied().unwrap_or(due[b]);
            }
            let knows = |theirs: &Vec<u8>| theirs.get(b) != Some(&0);
            let is_unknown = !(knows(&home) && knows(&back)) && at_once && came.contains(&is[b]);
            if free.contains(&is[b]) || is_unknown {
                due[b] = is[b];
            }
        }
        let (least, is_held) = (naive::bounds(&after.due, size), held(&is));
        for b in 0..size {
            let (from, to) = (was[b], is[b]);
            let about = || format!("{}: {p}: bucket {b} from {from} to {to}", self.when);
            let due_to = due[b];
            // Who returns has its own again, but for what would leave others below their share.
            let needs = |n: u8| least.get(&n).is_some_and(|b| is_held.get(&n) == Some(&b.0));
            assert!(
                due_to == from || due_to == to || from == to && needs(from),
                "{}, due to {due_to}",
                about()
            );
            self.seen[1] += usize::from(due_to != from);
            if from == to || due_to == to {
                continue;
            }
            self.seen[0] += 1;
            if !after.weights.contains_key(&from) || !self.truth.can(from) {
                let second = seconds[b];
                if failed == Some(from) && second != from && self.truth.can(second) {
                    assert_eq!(second, to, "{}: second choice", about());
                }
                continue;
            }
            assert!(
                self.may_move(p, b, from, to, (before, after), (&came, reweighed)),
                "{}",
                about()
            );
        }
        let grain = self.grain[&p];
        // Who goes soon after it came gives back what it had, however even that is.
        let is_gone = |n: &u8| match after.weights.contains_key(n) {
            true => !self.truth.can(*n),
            false => !at_once,
        };
        let only_theirs = was.iter().zip(&is).all(|(w, i)| w == i || is_gone(w));
        if only_theirs && came.is_empty() && !reweighed && !self.is_settling() {
            let mut due = after.due.clone();
            // Who is back may have to wait.
            due.retain(|n, _| self.recovery != Recovery::Never || was.contains(n));
            assert!(
                naive::is_shared_alike(&was, &is, &due, grain),
                "{}: {p}: alike: {:?}, then {:?} of {due:?}",
                self.when,
                held(&was),
                held(&is)
            );
        }
        if self.is_patient() || is.iter().any(|o| !after.due.contains_key(o)) {
            return;
        }
        let stay = came.is_empty() && !reweighed;
        assert!(
            is_even(&is, &after.due, grain)
                || stay && naive::is_spread_evenly(&was, &is, &after.due, grain),
            "{}: {p}: {:?} of {:?}",
            self.when,
            held(&is),
            after.due
        );
        let changed = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        // Who comes makes shares even, however coarse they were.
        let grain = if came.is_empty() { grain } else { size };
        let least = changed(&was, &due) + fewest(&due, &after.due, grain);
        let moved = changed(&was, &is);
        let is_whole = before.weights == after.weights || after.due.len() == after.weights.len();
        if !reweighed && is_whole {
            assert!(
                moved <= least,
                "{}: {p}: {moved} moved, {least} would do",
                self.when
            );
        }
        self.seen[3] += 1;
    }

    /// Of those who `came`, whose share has changed while they were away, or is not known.
    fn free(&self, p: u8, came: &BTreeSet<u8>, home: &[u8], after: &Seen) -> BTreeSet<u8> {
        let theirs = held(home);
        let bounds = naive::bounds(&after.due, home.len().max(1));
        let settling = self.is_settling();
        let known = self.announced.contains(&after.weights) && self.rules.enable;
        let is_free = |n: &&u8| {
            let unknown = self.unknown.get(&p).is_some_and(|u| u.contains(n)) || known;
            let has = theirs.get(n).copied().unwrap_or(0);
            let too_many = !self.is_patient() && bounds.get(n).is_some_and(|b| has > b.1);
            unknown && self.recovery == Recovery::Immediate || too_many || settling
        };
        came.iter().filter(is_free).copied().collect()
    }

    /// A bucket of `from`, who can still be used, goes to `to`, who did not have it before.
    fn may_move(
        &self,
        p: u8,
        b: usize,
        from: u8,
        to: u8,
        (before, after): (&Seen, &Seen),
        (came, reweighed): (&BTreeSet<u8>, bool),
    ) -> bool {
        let now = self.now();
        let used = &self.used[&p];
        let idle = now - used[b % used.len()];
        // Who had buckets before a start has them again when it is back.
        if self.is_settling() && !before.table.contains(&to) {
            return true;
        }
        if let Some(spared) = self.truth.spared.get(&from) {
            let over = spared.done || now >= spared.until || idle >= spared.patience;
            return over && after.due.contains_key(&to);
        }
        // Only from who has too much, and only to who has too little.
        let (was, is) = (held(&before.table), held(&after.table));
        let less = is.get(&from)
            < was
                .get(&from)
                .map(|w| w * after.table.len() / before.table.len())
                .as_ref();
        if !self.is_patient() {
            return (!came.is_empty() || reweighed) && (less || came.contains(&to));
        }
        let frr = before.weights != after.weights;
        let added = naive::came(&before.weights, &after.weights);
        // With `never` somebody new has a share at once, unlike who returns, and shares are even then.
        let is_new = reweighed || !added.is_empty();
        if frr && !self.rules.enable && self.recovery == Recovery::Never && is_new {
            return true;
        }
        let forced = self.rules.unbalanced_timer.is_some_and(|t| {
            self.uneven
                .get(&p)
                .is_some_and(|at| now - *at + SECOND >= t)
        });
        less && (idle >= ACTIVE || forced)
    }
}

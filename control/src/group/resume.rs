//! The table of a group while some who had buckets before the start have yet to return.

use super::table::{deal, is_out};
use super::{Awaited, Group};
use crate::bucket::{Member, NOBODY};
use crate::deal::{Deal, Party, Recovery, Rules, by_rendezvous};
use crate::nexthop::{Known, Members, Standing};
use crate::quota::{Rounding, quotas};
use std::collections::BTreeSet;

impl Group {
    /// Follows the state of its members while some who had buckets `before` the start have yet to
    /// return; whether they all have now.
    pub(super) fn resume(
        &mut self,
        before: &mut Awaited,
        members: &Members,
        nexthops: &impl Known,
        rules: &Rules,
    ) -> bool {
        let was_alive = self.alive;
        let is_out = |m: &Member| is_out(nexthops, *m);
        if rules.recovery == Recovery::Never && was_alive {
            // Who was back and is lost returns by the rules.
            let lost = before.served.iter().filter(|m| is_out(m));
            before.parked.extend(lost);
            before.parked.sort_unstable();
            before.parked.dedup();
        }
        self.parked.clone_from(&before.parked);
        // Who is held down and had buckets nevertheless is to have them again.
        // Who was lost since the start, perhaps while another table had it, is owed nothing until then.
        let is_held = |m: &Member| {
            let was_lost = nexthops.known(*m).is_some_and(|n| n.lost);
            was_lost && nexthops.standing(*m) == Standing::HeldDown
        };
        let is_lost = |m: &Member| match before.served.contains(m) {
            true => !self.effective.contains(m),
            false => is_held(m),
        };
        let owed = |b: usize| {
            let mut lives = before.lives.iter().map(|life| life[b]);
            lives.find(|m| !is_out(m) && !is_lost(m))
        };
        let holders: Vec<Member> = (0..self.home.len())
            .filter_map(|b| owed(b).or(was_alive.then_some(self.effective[b])))
            .collect();
        let party = Party::of(members, &self.parked, &holders, nexthops);
        // Until others are back: then they have again what they had.
        self.parked.retain(|p| !party.is_due(*p));
        self.alive = party.is_alive();
        if !self.alive {
            return false;
        }
        if let Deal::Rendezvous(seed) = rules.deal {
            let leaves = |m: &Member| party.leaving.binary_search(m).is_ok();
            let comes = |m: &Member| !is_out(m) && !before.served.contains(m);
            let keeps = |is: &Member, then: &Member| {
                was_alive && leaves(is) && !comes(then) || is_lost(then)
            };
            // Of several lives the first that had somebody here in that bucket counts.
            let oldest = before.lives.first().into_iter().flatten();
            let then = oldest.zip(0..).map(|(m, b)| owed(b).unwrap_or(*m));
            let then: Vec<Member> = then.collect();
            let both = self.effective.iter().zip(&then);
            self.effective = both
                .map(|(is, then)| if keeps(is, then) { *is } else { *then })
                .collect();
            self.home = by_rendezvous(members, self.home.len(), seed, nexthops).0;
            self.rank((members, &party), seed, |_| false, nexthops);
        } else {
            self.take_back(before, &party, was_alive, rules);
            self.choose_seconds(&party, rules, nexthops);
        }
        before.served.extend(self.effective.iter().copied());
        self.due = party.those_due();
        if rules.recovery == Recovery::Immediate {
            self.settle_home(&party);
        }
        let mut had = before.lives.iter().flatten();
        let all_back = !had.any(|m| *m != NOBODY && is_out(m));
        if all_back {
            self.take_home(&party, rules);
        }
        all_back
    }

    /// Who has come back has the buckets that it had; those of who is away go on with whom they are.
    fn take_back(&mut self, before: &Awaited, party: &Party, was_alive: bool, rules: &Rules) {
        let leaves = |m: Member| party.leaving.binary_search(&m).is_ok();
        let is_here = |m: &Member| party.is_due(*m) || leaves(*m);
        let held: BTreeSet<Member> = self
            .effective
            .iter()
            .copied()
            .filter(|_| was_alive)
            .collect();
        let all = party.those_due().into_iter().chain(party.leaving.clone());
        let came: BTreeSet<Member> = all.filter(|m| !held.contains(m)).collect();
        let at_once = rules.recovery == Recovery::Immediate;
        let mut table = self.effective.clone();
        for (b, slot) in table.iter_mut().enumerate() {
            let own = Some(self.home[b]).filter(|m| at_once && party.is_due(*m));
            // Who is back after it was lost has no more than the rules give it.
            let lives = before.lives.iter().map(|life| life[b]);
            let owed = lives.take_while(|m| held.contains(m) || !before.served.contains(m));
            let first = own.into_iter().chain(owed).find(is_here);
            *slot = first.filter(|m| came.contains(m)).unwrap_or(*slot);
        }
        let wish: Vec<Member> = (0..table.len())
            .map(|b| match self.seconds.get(b) {
                Some(&second) if was_alive => second,
                _ => self.home[b],
            })
            .collect();
        let gains = !came.is_empty() || !party.due.iter().all(|m| self.due.contains(&m.0));
        let rounding = match gains {
            true => Rounding::Even,
            false => Rounding::Kept,
        };
        // What they had stays theirs, unless somebody is there who got nothing when they had it, and
        // is not to wait.
        let got = |m: &(Member, u32)| before.due.contains(&m.0);
        let is_new = !party.last_resort && !party.due.iter().all(got);
        let patient = rules.is_patient();
        let evens_out = is_new && !patient && gains;
        if evens_out && was_alive {
            leave_shares(&mut table, (&self.effective, &self.home), party);
        }
        let may_move = |b: usize| {
            let is_owed = before.lives.iter().any(|life| life[b] == table[b]);
            let spare = match is_owed {
                true => is_new && !patient,
                false => !patient || before.young.is_some(),
            };
            spare && gains && !party.is_due(self.home[b]) && !leaves(table[b])
        };
        self.effective = deal(&table, party, (Some(&wish), rounding), may_move);
        if evens_out {
            let dealt = std::mem::take(&mut self.effective);
            let how = (Some(&wish[..]), rounding);
            self.effective = deal(&dealt, party, how, |b| !leaves(dealt[b]));
        }
    }
}

/// In `table` who has come took of what the others `had`. Where that is more than a share, it leaves
/// them theirs, or they would have to be given other buckets: first those that are not its home.
fn leave_shares(table: &mut [Member], (had, home): (&[Member], &[Member]), party: &Party) {
    let place = |m: Member| party.due.binary_search_by_key(&m, |x| x.0).ok();
    let mut held = party.held(table);
    let quota = quotas(&party.due, table.len(), &held, Rounding::Even);
    let is_home = table.iter().zip(home).map(|(owner, home)| owner == home);
    let is_home: Vec<bool> = is_home.collect();
    for wanted in [false, true] {
        for b in (0..table.len()).filter(|b| is_home[*b] == wanted) {
            let (Some(to), Some(from)) = (place(table[b]), place(had[b])) else {
                continue;
            };
            if to != from && held[to] > quota[to] && held[from] < quota[from] {
                table[b] = had[b];
                held[to] -= 1;
                held[from] += 1;
            }
        }
    }
}

//! Two programs hand in hand.

use super::super::compile::{LPM, Purpose, SOFTWARE};
use super::super::program::{
    Action, Domain, Group, Insertion, PatternTemplate, Place, Rss, Rule, Table,
};
use super::{Difference, Node, Snapshot, words};
use crate::table::PortId;
use std::collections::{BTreeSet, HashMap};

/// Groups below are the frame's, and have the same number in all programs.
const FIRST: u32 = 16;

/// Where a hairpin queue leads, and what is done on the way out.
pub(super) type Lane = (PortId, Vec<(PatternTemplate, Vec<Action>)>);

/// What identifies a rule within its group.
type Spot<'a> = (u32, &'a PatternTemplate, Insertion, &'a Place);

impl Snapshot {
    /// The hairpin queue of that number.
    pub(super) fn lane(&self, queue: u16) -> Option<Lane> {
        use super::super::compile::Role;
        let Role::Transit { hairpins, .. } = &self.copied.config.role else {
            return None;
        };
        let hairpin = hairpins.iter().find(|h| h.queue == queue)?;
        let mut done = Vec::new();
        let egress = |node: &&Node| node.0 == Domain::Egress && node.1 == hairpin.egress;
        for node in self.groups.keys().filter(egress) {
            for (rule, _) in self.rules_of(*node) {
                let tx_queue = matches!(&rule.place, Place::Pattern { spec, .. }
                    if spec.first() == Some(&hairpin.tx_queue.into()));
                if let Some(table) = self.copied.tables.get(&rule.table).filter(|_| tx_queue) {
                    let does = rule.does.actions.iter().filter(|a| **a != Action::Count);
                    done.push((table.pattern.clone(), does.cloned().collect()));
                }
            }
        }
        // In whatever order they were met.
        done.sort_by_key(|(pattern, does)| format!("{pattern:?} {does:?}"));
        Some((hairpin.egress, done))
    }

    fn rules_of(&self, node: Node) -> impl Iterator<Item = &(Rule, Purpose)> {
        let rules = self.groups.get(&node).into_iter().flatten();
        rules.map(|at| &self.copied.rules[*at])
    }

    fn spots(&self, node: Node) -> HashMap<Spot<'_>, &(Rule, Purpose)> {
        let mut spots = HashMap::new();
        for entry in self.rules_of(node) {
            let (rule, purpose) = entry;
            // Whoever uses a hairpin queue answers for its rewrite.
            if node.0 == Domain::Egress && matches!(purpose, Purpose::Nexthop(..)) {
                continue;
            }
            if let Some(table) = self.copied.tables.get(&rule.table) {
                spots.insert(spot(table, rule), entry);
            }
        }
        spots
    }

    /// All that leads to this next hop is software's: a guard or two more change nothing.
    fn gives_up(&self, node: Node) -> bool {
        let is_nexthop = matches!(self.first(node), Some(Purpose::Nexthop(..)));
        let mut rules = self.rules_of(node).map(|(rule, _)| &rule.does.actions[..]);
        is_nexthop && rules.all(|does| does == [Action::Jump(SOFTWARE)])
    }

    fn is_full(&self) -> bool {
        let mut rules: HashMap<_, u32> = HashMap::new();
        for (rule, _) in &self.copied.rules {
            *rules.entry(rule.table).or_default() += 1;
        }
        let lpm = self
            .copied
            .tables
            .values()
            .filter(|t| LPM.contains(&t.group) && t.size > 1);
        let mut lpm = lpm.map(|t| (t.size, rules.get(&t.id).copied().unwrap_or_default()));
        lpm.any(|(size, used)| used >= size)
    }
}

fn spot<'a>(table: &'a Table, rule: &'a Rule) -> Spot<'a> {
    (table.priority, &table.pattern, table.insertion, &rule.place)
}

struct Walk<'a> {
    found: &'a Snapshot,
    planned: &'a Snapshot,
    differences: Vec<Difference>,
    todo: Vec<(Node, Node)>,
    seen: BTreeSet<(Node, Node)>,
    lanes: HashMap<(u16, u16), bool>,
    /// Which prefixes have room depends on which were first.
    full: bool,
}

/// Where `found` is not as `planned`.
pub(super) fn walk(found: &Snapshot, planned: &Snapshot) -> Vec<Difference> {
    let mut walk = Walk {
        found,
        planned,
        differences: Vec::new(),
        todo: Vec::new(),
        seen: BTreeSet::new(),
        lanes: HashMap::new(),
        full: found.is_full() || planned.is_full(),
    };
    let both = found.groups.keys().chain(planned.groups.keys());
    let frame: BTreeSet<Node> = both.copied().filter(|node| node.2.0 < FIRST).collect();
    for node in frame {
        walk.meet(node, node);
    }
    while let Some((found, planned)) = walk.todo.pop() {
        walk.group(found, planned);
    }
    walk.differences
}

impl Walk<'_> {
    fn meet(&mut self, found: Node, planned: Node) {
        if self.seen.insert((found, planned)) {
            self.todo.push((found, planned));
        }
    }

    fn group(&mut self, at: Node, planned_at: Node) {
        if self.found.gives_up(at) && self.planned.gives_up(planned_at) {
            return;
        }
        let (found, mut planned) = (self.found.spots(at), self.planned.spots(planned_at));
        for (spot, (rule, purpose)) in found {
            let other = planned.remove(&spot);
            let same = other.is_some_and(|(other, _)| {
                self.same((at, &rule.does.actions), (planned_at, &other.does.actions))
            });
            if same {
                continue;
            }
            let wanted = other.map(|(other, _)| &other.does.actions[..]);
            // The plan's name, if it has one, is what operators know.
            let purpose = other.map_or(purpose, |(_, purpose)| purpose);
            let object = words::rule(purpose, at, &rule.place);
            self.note(object, (planned_at, wanted), (at, Some(&rule.does.actions)));
        }
        for (rule, purpose) in planned.into_values() {
            let object = words::rule(purpose, planned_at, &rule.place);
            let wanted = Some(&rule.does.actions[..]);
            self.note(object, (planned_at, wanted), (at, None));
        }
    }

    fn note(
        &mut self,
        object: String,
        (planned_at, planned): (Node, Option<&[Action]>),
        (at, found): (Node, Option<&[Action]>),
    ) {
        let left_out = |does: Option<&[Action]>| does.is_none_or(|a| a == [Action::Jump(SOFTWARE)]);
        if self.full && LPM.contains(&at.2) && (left_out(planned) || left_out(found)) {
            return;
        }
        let words = |snapshot: &Snapshot, node, does: Option<&[Action]>| {
            does.map_or("no rule".into(), |a| words::actions(snapshot, node, a))
        };
        self.differences.push(Difference {
            object,
            planned: words(self.planned, planned_at, planned),
            found: words(self.found, at, found),
        });
    }

    /// Whether two rules do the same, but for what is behind the groups that they jump to.
    fn same(&mut self, found: (Node, &[Action]), planned: (Node, &[Action])) -> bool {
        let ((at, found), (planned_at, planned)) = (found, planned);
        let counts = |a: &&Action| **a != Action::Count;
        let mut found = found.iter().filter(counts);
        let mut planned = planned.iter().filter(counts);
        loop {
            match (found.next(), planned.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if self.same_action((at, a), (planned_at, b)) => {}
                _ => return false,
            }
        }
    }

    fn same_action(&mut self, found: (Node, &Action), planned: (Node, &Action)) -> bool {
        let ((at, found), (planned_at, planned)) = (found, planned);
        match (found, planned) {
            (Action::Jump(a), Action::Jump(b)) => {
                let is_frame = |group: &Group| group.0 < FIRST;
                if is_frame(a) || is_frame(b) {
                    return a == b;
                }
                let (a, b) = ((at.0, at.1, *a), (planned_at.0, planned_at.1, *b));
                // Of one that is empty the difference is here.
                if !self.found.groups.contains_key(&a) {
                    return false;
                }
                let kind = |snapshot: &Snapshot, node| snapshot.first(node).copied();
                if kind(self.found, a) != kind(self.planned, b) {
                    return false;
                }
                self.meet(a, b);
                true
            }
            (Action::Queue(a), Action::Queue(b)) => self.same_queue(*a, *b),
            (Action::Rss(a), Action::Rss(b)) => self.same_rss(a, b),
            (Action::Indirect(a), Action::Indirect(b)) => {
                let action = |snapshot: &'_ Snapshot, id| {
                    let found = snapshot.copied.indirects.get(id);
                    found.map(|i| i.action.clone())
                };
                match (action(self.found, a), action(self.planned, b)) {
                    (Some(Action::Rss(a)), Some(Action::Rss(b))) => self.same_rss(&a, &b),
                    (a, b) => a.is_some() && a == b,
                }
            }
            (a, b) => a == b,
        }
    }

    fn same_rss(&mut self, a: &Rss, b: &Rss) -> bool {
        let how = |rss: &Rss| (rss.key.clone(), rss.fields, rss.symmetric, rss.queues.len());
        let mut rows = a.queues.iter().zip(&b.queues);
        how(a) == how(b) && rows.all(|(a, b)| self.same_queue(*a, *b))
    }

    fn same_queue(&mut self, a: u16, b: u16) -> bool {
        if let Some(same) = self.lanes.get(&(a, b)) {
            return *same;
        }
        let same = match (self.found.lane(a), self.planned.lane(b)) {
            (None, None) => a == b,
            // Rewrites for the other family may be there for somebody else.
            (Some((port, found)), Some((planned_port, planned))) => {
                port == planned_port && planned.iter().all(|rewrite| found.contains(rewrite))
            }
            _ => false,
        };
        self.lanes.insert((a, b), same);
        same
    }
}

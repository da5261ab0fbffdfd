//! Which flows another way of hashing would move: the packets that came in lately, described and
//! dealt by the code of the fast path, as it is and as it would be.

use crate::answer_group::LATELY;
use crate::api::moves::{GroupMoves, Moves, Path, Place};
use crate::bucket::Member;
use crate::control::Control;
use fastpath::hash::{Field, Fields, FlowKey, Policy, Tuple};
use fastpath::software::flow::Piece;
use fastpath::software::parse::{Described, describe};
use fastpath::software::{lookup, select};
use fastpath::table::sample::{Frames, Sample};
use fastpath::table::{AdjacencyId, GroupId, LpmWrite};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Instant;

/// Groups and paths that an answer names, the largest ones.
const NAMED: usize = 8;

/// Where a packet goes: its bucket, and what that leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    bucket: u32,
    taken: Option<AdjacencyId>,
}

/// One flow of the samples.
struct Seen {
    /// Its hash now.
    hash: u32,
    before: Way,
    after: Way,
    packets: u64,
}

/// Sums of flows.
#[derive(Clone, Copy, Default)]
struct Sum {
    flows: u64,
    packets: u64,
    buckets: u64,
    moved_flows: u64,
    moved_packets: u64,
}

impl Sum {
    fn add(&mut self, seen: &Seen) {
        self.flows += 1;
        self.packets += seen.packets;
        self.buckets += u64::from(seen.before.bucket != seen.after.bucket);
        if seen.before.taken != seen.after.taken {
            self.moved_flows += 1;
            self.moved_packets += seen.packets;
        }
    }
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// What of `key` is on in `fields`.
fn masked(key: &FlowKey, fields: Fields) -> FlowKey {
    let has = |field| fields.has(field);
    let tuple = |t: &Tuple, on: [Field; 6]| {
        let [protocol, src, dst, sport, dport, label] = on.map(has);
        Tuple {
            v6: t.v6,
            src: if src { t.src } else { [0; 16] },
            dst: if dst { t.dst } else { [0; 16] },
            protocol: if protocol { t.protocol } else { 0 },
            sport: if sport { t.sport } else { 0 },
            dport: if dport { t.dport } else { 0 },
            label: if label { t.label } else { 0 },
        }
    };
    let is_deep = Field::INNER.into_iter().any(has);
    FlowKey {
        outer: tuple(&key.outer, Field::OUTER),
        ingress: if has(Field::IngressInterface) {
            key.ingress
        } else {
            0
        },
        teid: key.teid.filter(|_| has(Field::GtpTeid)),
        qp: key.qp.filter(|_| has(Field::RoceQp)),
        inner: key
            .inner
            .filter(|_| is_deep)
            .map(|i| tuple(&i, Field::INNER)),
    }
}

/// The fields that are on in `a`, in `b` or in both, for packets to `destination`.
fn either(a: &Policy, b: &Policy, destination: IpAddr) -> Fields {
    let fields = |policy: &Policy| match destination {
        IpAddr::V4(to) => policy.settings4(to.to_bits()).fields(),
        IpAddr::V6(to) => policy.settings6(to.to_bits()).fields(),
    };
    let (a, b) = (fields(a), fields(b));
    let on = Field::ALL.into_iter().filter(|&f| a.has(f) || b.has(f));
    on.fold(Fields::EMPTY, |all, f| all.with(f, true))
}

fn is_later(described: &Described) -> bool {
    let later = |p| matches!(p, Piece::Later(_));
    later(described.flow.piece) || later(described.flow.inner_piece)
}

/// The flows sampled lately that have a choice of members: bucket and packets of each, by group.
#[derive(Debug, Default)]
pub(crate) struct Flows(HashMap<GroupId, Vec<(u32, u64)>>);

impl Flows {
    /// Those of `group`.
    pub(crate) fn of(&self, group: GroupId) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.0.get(&group).into_iter().flatten().copied()
    }
}

/// A flow sampled lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    /// Its hash.
    pub hash: u32,
    /// Packets that the samples stand for.
    pub packets: u64,
    /// What is hashed of it.
    pub key: FlowKey,
}

/// Which groups' flows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those with a choice of buckets.
    Several,
    /// Those of one bucket, too.
    All,
}

impl<L: LpmWrite> Control<L> {
    /// The flows sampled lately by group, those of groups of one bucket too.
    pub(crate) fn flows_by_group(&self, now: Instant) -> HashMap<GroupId, Vec<Sampled>> {
        let policy = self.plan.dplane.view().hash.clone();
        let seen = self.seen_flows(&policy, now, &mut Moves::default(), Whose::All);
        let mut flows: HashMap<GroupId, Vec<Sampled>> = HashMap::new();
        for ((group, key), seen) in seen {
            let Seen { hash, packets, .. } = seen;
            flows
                .entry(group)
                .or_default()
                .push(Sampled { hash, packets, key });
        }
        flows
    }

    /// The flows sampled lately, as they are dealt now.
    pub(crate) fn sampled_flows(&self, now: Instant) -> Flows {
        let policy = self.plan.dplane.view().hash.clone();
        let mut flows = Flows::default();
        for ((group, _), seen) in
            self.seen_flows(&policy, now, &mut Moves::default(), Whose::Several)
        {
            let all = flows.0.entry(group).or_default();
            all.push((seen.before.bucket, seen.packets));
        }
        flows
    }

    /// The flows sampled lately, by group and hash.
    pub(crate) fn hashes(&self, now: Instant) -> Vec<(GroupId, u32)> {
        let policy = self.plan.dplane.view().hash.clone();
        let flows = self.seen_flows(&policy, now, &mut Moves::default(), Whose::Several);
        let all = flows.into_iter().map(|((id, _), seen)| (id, seen.hash));
        all.collect()
    }

    /// What would move if packets were hashed by `next`.
    pub(crate) fn moves(&self, next: &Policy, now: Instant) -> Moves {
        let mut moves = Moves {
            window_s: LATELY.as_secs(),
            ..Moves::default()
        };
        let (mut all, mut groups) = (Sum::default(), BTreeMap::<GroupId, Sum>::new());
        let mut paths = BTreeMap::<_, (u64, u64)>::new();
        for ((group, _), seen) in &self.seen_flows(next, now, &mut moves, Whose::Several) {
            all.add(seen);
            groups.entry(*group).or_default().add(seen);
            let (from, to) = (seen.before.taken, seen.after.taken);
            if from != to {
                let path = paths.entry((self.place(*group, from), self.place(*group, to)));
                let (flows, packets) = path.or_default();
                *flows += 1;
                *packets += seen.packets;
            }
        }
        moves.flows = all.flows;
        moves.flows_other_bucket = all.buckets;
        moves.flows_other_member = all.moved_flows;
        moves.share_of_flows = share(all.moved_flows, all.flows);
        moves.share_of_packets = share(all.moved_packets, all.packets);
        let paths = paths
            .into_iter()
            .map(|((from, to), (flows, packets))| Path {
                from,
                to,
                flows,
                share_of_packets: share(packets, all.packets).unwrap_or(0.0),
            });
        moves.paths = paths.collect();
        let less = |a: f64, b: f64| b.total_cmp(&a);
        moves
            .paths
            .sort_by(|a, b| less(a.share_of_packets, b.share_of_packets));
        moves.paths.truncate(NAMED);
        let mut weights = HashMap::new();
        for (id, sum) in &groups {
            weights.insert(*id, sum.packets);
            moves.largest.push(GroupMoves {
                group: id.0,
                flows: sum.flows,
                flows_other_member: sum.moved_flows,
                share_of_flows: share(sum.moved_flows, sum.flows).unwrap_or(0.0),
                share_of_packets: share(sum.moved_packets, sum.packets).unwrap_or(0.0),
            });
        }
        moves.largest.sort_by_key(|g| std::cmp::Reverse(g.flows));
        moves.largest.truncate(NAMED);
        self.expect(&mut moves, &weights, now);
        moves
    }

    /// The flows of the samples by group and what is hashed of them.
    fn seen_flows(
        &self,
        next: &Policy,
        now: Instant,
        moves: &mut Moves,
        whose: Whose,
    ) -> HashMap<(GroupId, FlowKey), Seen> {
        let view = self.plan.dplane.view();
        let tables = self.plan.dplane.tables();
        let mut flows = HashMap::<_, Seen>::new();
        let policies = (&view.hash, (view.hash != *next).then_some(next));
        let mut frames = [0, 0xff].map(Frames::new);
        for sample in self.samples.recent(now) {
            let Some((old, new)) = self.described(sample, &mut frames, policies) else {
                moves.packets_unjudged += 1;
                continue;
            };
            let (Ok(old), Ok(new)) = (old, new) else {
                continue;
            };
            let id = match old.destination {
                IpAddr::V4(a) => lookup::group4(view, a.to_bits()),
                IpAddr::V6(a) => lookup::group6(view, a.octets()),
            };
            let word = tables.groups.word(id);
            // A later fragment goes with its first, whatever is changed meanwhile.
            let is_alone = word.size() == 1 && whose == Whose::Several;
            if is_alone || is_later(&old) {
                continue;
            }
            moves.packets_sampled += 1;
            let key = FlowKey {
                teid: new.flow.key.teid.or(old.flow.key.teid),
                qp: new.flow.key.qp.or(old.flow.key.qp),
                inner: new.flow.key.inner.or(old.flow.key.inner),
                ..old.flow.key
            };
            let key = masked(&key, either(&view.hash, next, old.destination));
            let way = |hash| Way {
                bucket: word.bucket(hash),
                taken: select::member(tables, id, hash).ok(),
            };
            let seen = flows.entry((id, key)).or_insert_with(|| Seen {
                hash: old.hash,
                before: way(old.hash),
                after: way(new.hash),
                packets: 0,
            });
            seen.packets += u64::from(sample.packets);
        }
        flows
    }

    /// The packet under both policies, if there is another one; `None` if more of it matters than was
    /// kept: then it is not the same with one filler as with the other.
    #[allow(clippy::type_complexity, reason = "two results of one function")]
    fn described(
        &self,
        sample: &Sample,
        [zeros, ones]: &mut [Frames; 2],
        (old, new): (&Policy, Option<&Policy>),
    ) -> Option<(Result<Described, ()>, Result<Described, ()>)> {
        let view = self.plan.dplane.view();
        let facts = view.ports.get(usize::from(sample.port.0))?;
        let both = |frame: &[u8]| {
            let by = |policy| describe(frame, sample.port, facts, policy).map_err(|_| ());
            let now = by(old);
            (now, new.map_or(now, by))
        };
        let found = both(zeros.of(sample));
        (!sample.is_cut() || both(ones.of(sample)) == found).then_some(found)
    }

    fn place(&self, group: GroupId, taken: Option<AdjacencyId>) -> Place {
        let Some(id) = taken else {
            return Place::default();
        };
        let port = self.plan.dplane.port_of(id);
        Place {
            via: self.gateway_of(group, id),
            port: port.map(|p| self.plan.ports.name(p).into()),
        }
    }

    /// Buckets in use, and what a deal of every flow anew would move: of n equal members, (n - 1)/n
    /// of a group's flows. Groups count by their sampled packets, or by their routes without any.
    fn expect(&self, moves: &mut Moves, packets: &HashMap<GroupId, u64>, now: Instant) {
        let (mut sum, mut total) = (0.0, 0.0);
        for (id, group) in self.plan.groups.iter() {
            if group.word.size() == 1 {
                continue;
            }
            moves.groups += 1;
            moves.buckets += u64::from(group.word.size());
            let active = self.activity.active(id, LATELY, now) as u64;
            moves.buckets_active += active;
            moves.groups_active += u64::from(active > 0);
            if !group.alive {
                continue;
            }
            let mut held = HashMap::<Member, u64>::new();
            for &owner in &group.effective {
                *held.entry(owner).or_default() += 1;
            }
            let size = group.effective.len().max(1) as f64;
            let stay: f64 = held.values().map(|&n| (n as f64 / size).powi(2)).sum();
            let weight = match packets.is_empty() {
                true => group.routes,
                false => packets.get(&id).copied().unwrap_or(0),
            };
            sum += (1.0 - stay) * weight as f64;
            total += weight as f64;
        }
        moves.expected_share = (total > 0.0).then(|| sum / total);
    }
}

//! The order of a change, tried in a world of queues, a NIC, workers and a plane, all as they like.

use super::*;
use fastpath::hash::{Choice, Fields};
use std::collections::VecDeque;
use std::sync::LazyLock;

struct Random(u64);

impl Random {
    /// SplitMix64, below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % end
    }
}

const PORT: PortId = PortId(0);
/// So many worlds of each kind.
const RUNS: u64 = 25;
const RING: usize = 16;
/// How long packets are in the NIC, besides the time of a step.
const IN_NIC: Duration = Duration::from_millis(60);

fn policy(seed: u32, algorithm: Algorithm, extra: Option<Field>) -> Policy {
    let fields = extra
        .into_iter()
        .fold(Fields::default(), |f, on| f.with(on, true));
    Policy::from(Settings::new(Choice {
        fields,
        seed,
        algorithm,
        ..Choice::default()
    }))
}

fn policies() -> &'static [Policy; 5] {
    static ALL: LazyLock<[Policy; 5]> = LazyLock::new(|| {
        [
            policy(1, Algorithm::Toeplitz, None),
            policy(2, Algorithm::Toeplitz, None),
            policy(3, Algorithm::Toeplitz, None),
            policy(1, Algorithm::Mix, None),
            policy(1, Algorithm::Toeplitz, Some(Field::GtpTeid)),
        ]
    });
    &ALL
}

/// How the world is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The driver says yes and the NIC goes on as before.
    Lie,
    /// The driver says no.
    Refusal,
    /// Workers go on taking values while the NIC is programmed.
    NoStop,
    /// Workers are slow, so that queues are full.
    FullQueue,
    /// The same, and a queue holds more than its port says.
    LongQueue,
    /// Packets are in the NIC for longer than is waited for.
    SlowNic,
}

#[derive(Clone, Copy, Default)]
struct View {
    /// `Settings::rss_id` of the base settings.
    base: u64,
    hash: u64,
    compare: u64,
}

/// What was seen at the end of a run, or went wrong in it.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Taken,
    Computed(Why),
    /// A value was taken for settings that it was not made by.
    Wrong,
}

struct World {
    random: Random,
    flaw: Flaw,
    nics: Nics,
    stats: Vec<Arc<WorkerStats>>,
    /// A queue and a view for each worker; packets are the numbers of what their value was made by.
    queues: Vec<VecDeque<u64>>,
    views: Vec<View>,
    published: View,
    /// On their way through the NIC: value, queue, when they came in.
    inside: VecDeque<(u64, usize, Instant)>,
    nic: u64,
    asked: VecDeque<(u64, u64)>,
    answers: VecDeque<(u64, Result<(), String>)>,
    base: u64,
    /// A profile keeps these settings whatever becomes of the others.
    profile: u64,
    now: Instant,
    wrong: bool,
}

impl World {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let first = &policies()[0];
        let id = first.base().rss_id();
        let device = Device {
            nic: Ok(id),
            ring: if flaw == Flaw::LongQueue {
                1
            } else {
                RING as u32
            },
            ..Device::default()
        };
        let stats: Vec<_> = (0..2).map(|_| Arc::new(WorkerStats::new())).collect();
        let mut nics = Nics::new(&[device], first);
        nics.watch(&stats);
        let mut world = World {
            random: Random(seed),
            flaw,
            nics,
            stats,
            queues: vec![VecDeque::new(); 2],
            views: vec![View::default(); 2],
            published: View::default(),
            inside: VecDeque::new(),
            nic: id,
            asked: VecDeque::new(),
            answers: VecDeque::new(),
            base: id,
            profile: id,
            now: Instant::now(),
            wrong: false,
        };
        world.commit();
        world
    }

    /// As `Control::commit`: every worker goes on with the old view for a while, then none does.
    fn commit(&mut self) {
        let (hash, compare) = self.nics.facts(PORT);
        let is_stop = (hash, compare) == (0, 0);
        let late = (self.flaw == Flaw::NoStop && is_stop).then_some(self.published);
        let base = self.base;
        let next = match late {
            Some(before) => View { base, ..before },
            None => View {
                base,
                hash,
                compare,
            },
        };
        for worker in 0..self.views.len() {
            for _ in 0..self.random.below(3) {
                self.turn(worker);
            }
            self.views[worker] = next;
        }
        self.published = next;
        for step in self.nics.published() {
            if let Step::Program { rss, ticket, .. } = step {
                let asked = policies().iter().find(|p| p.base().rss() == Some(rss));
                let id = asked.map_or(0, |p| p.base().rss_id());
                self.asked.push_back((id, ticket));
            }
        }
    }

    fn turn(&mut self, worker: usize) {
        // Queues that are not polled often are full.
        let is_slow = matches!(self.flaw, Flaw::FullQueue | Flaw::LongQueue);
        if is_slow && self.random.below(8) > 0 {
            return;
        }
        let view = self.views[worker];
        let most = self.random.below(2) as usize + 1;
        let mut compared = NicCompared::default();
        for _ in 0..most {
            let Some(value) = self.queues[worker].pop_front() else {
                break;
            };
            let settings = if self.random.below(4) == 0 {
                self.profile
            } else {
                view.base
            };
            let is_known = settings != 0 && view.hash == settings;
            self.wrong |= is_known && value != settings;
            if settings != 0 && view.compare == settings {
                match value == settings {
                    true => compared.alike += 1,
                    false => compared.other += 1,
                }
            }
        }
        self.stats[worker].compared(PORT, compared);
        self.stats[worker].turn();
    }

    /// Packets that have been in the NIC for long enough are in their queue.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let most = match self.flaw {
            Flaw::SlowNic => 20 * IN_NIC,
            _ => IN_NIC,
        };
        while let Some(&(value, queue, since)) = self.inside.front() {
            if self.now - since < most {
                break;
            }
            self.inside.pop_front();
            if self.queues[queue].len() < RING {
                self.queues[queue].push_back(value);
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(16) {
            0..=6 => {
                let queue = self.random.below(2) as usize;
                if self.random.below(3) > 0 {
                    self.inside.push_back((self.nic, queue, self.now));
                } else if self.queues[queue].len() < RING {
                    self.queues[queue].push_back(self.nic);
                }
            }
            7..=11 => {
                let worker = self.random.below(2) as usize;
                self.turn(worker);
            }
            12 => {
                let time = Duration::from_millis(self.random.below(30));
                self.pass(time);
            }
            13 => {
                if let Some((id, ticket)) = self.asked.pop_front() {
                    let done = match self.flaw {
                        Flaw::Refusal => Err("the driver says no".into()),
                        _ => Ok(()),
                    };
                    if !matches!(self.flaw, Flaw::Refusal | Flaw::Lie) {
                        self.nic = id;
                    }
                    self.answers.push_back((ticket, done));
                }
            }
            14 => {
                if let Some((ticket, done)) = self.answers.pop_front() {
                    self.nics.programmed(PORT, ticket, done, self.now);
                    self.commit();
                }
            }
            _ => {
                self.nics.tick(self.now);
                self.commit();
            }
        }
    }

    fn set(&mut self, policy: &Policy) {
        self.nics.retarget(policy);
        self.base = policy.base().rss_id();
        self.commit();
    }

    fn end(&self) -> End {
        match self.nics.why_computed(PORT) {
            _ if self.wrong => End::Wrong,
            None => End::Taken,
            Some(why) => End::Computed(why),
        }
    }
}

/// Changes at random times, the last one to `last`, and then time for it.
fn run(seed: u64, flaw: Flaw, last: usize) -> End {
    let mut world = World::new(seed, flaw);
    for _ in 0..world.random.below(6) {
        for _ in 0..world.random.below(2000) {
            world.step();
        }
        let next = world.random.below(5) as usize;
        world.set(&policies()[next]);
    }
    world.set(&policies()[last]);
    for _ in 0..5000 {
        world.step();
    }
    world.end()
}

#[test]
fn a_value_is_taken_only_for_the_settings_that_made_it() {
    for seed in 0..RUNS {
        assert_eq!(run(seed, Flaw::None, 1), End::Taken, "{seed}");
        let mix = End::Computed(Why::Algorithm(Algorithm::Mix));
        assert_eq!(run(seed, Flaw::None, 3), mix, "{seed}");
        let tunnels = End::Computed(Why::Tunnels(vec!["gtp-teid"]));
        assert_eq!(run(seed, Flaw::None, 4), tunnels, "{seed}");
        // It may take longer than the world lasts.
        let full = run(seed, Flaw::FullQueue, 1);
        let is_right = matches!(
            full,
            End::Taken | End::Computed(Why::Comparing(_) | Why::Changing)
        );
        assert!(is_right, "{seed} {full:?}");
    }
}

#[test]
fn a_nic_that_does_not_do_it_is_not_believed() {
    for seed in 0..RUNS {
        let why = Why::Refused("the driver says no".into());
        assert_eq!(run(seed, Flaw::Refusal, 1), End::Computed(why), "{seed}");
        let lie = run(seed, Flaw::Lie, 1);
        assert!(
            matches!(lie, End::Computed(Why::Differs { .. })),
            "{seed} {lie:?}"
        );
    }
}

/// The world finds what is wrong: each part of the order is there for something.
#[test]
fn another_order_is_found_out() {
    let count = |flaw, found: fn(&End) -> bool| {
        let ends = (0..RUNS).map(|seed| run(seed, flaw, 1));
        ends.filter(found).count()
    };
    assert!(count(Flaw::NoStop, |end| *end == End::Wrong) > RUNS as usize / 4);
    // Values that are too old are found by comparing, at worst while some are taken.
    let is_found = |end: &End| !matches!(end, End::Taken);
    assert!(count(Flaw::LongQueue, is_found) > RUNS as usize / 4);
    assert!(count(Flaw::SlowNic, is_found) > RUNS as usize / 4);
}

#[test]
fn the_reasons_are_said_in_words() {
    let why = |policy: &Policy| target(policy.base()).unwrap_err().to_string();
    let off = |fields: &[Field]| {
        let fields = fields
            .iter()
            .fold(Fields::default(), |f, off| f.with(*off, false));
        Policy::from(Settings::new(Choice {
            fields,
            algorithm: Algorithm::Toeplitz,
            ..Choice::default()
        }))
    };
    let [toeplitz, .., mix, tunnels] = policies();
    assert!(target(toeplitz.base()).is_ok());
    assert_eq!(why(mix), "the algorithm is mix");
    assert_eq!(why(tunnels), "gtp-teid on: each packet is read anyway");
    assert_eq!(
        why(&off(&[Field::SourceIp])),
        "source-ip and destination-ip are not both on"
    );
    assert_eq!(
        why(&off(&[Field::SourcePort])),
        "source-port and destination-port are not set alike"
    );
    let ports = off(&[Field::SourcePort, Field::DestinationPort]);
    assert!(target(ports.base()).is_ok());
    let differs = Why::Differs { alike: 3, other: 2 };
    assert_eq!(
        differs.to_string(),
        "2 of 5 values that the NIC told were not the computed ones"
    );
    assert_eq!(
        Why::Comparing(7).to_string(),
        "the NIC's values are compared first: 7 of 256 were the same"
    );
}

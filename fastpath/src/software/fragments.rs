//! Fragments on their flow's path: a later fragment has no ports, so it takes the hash that the
//! first one of its datagram had.
//!
//! One cache a worker, of fixed size: a datagram's name, as a keyed number, to its flow's hash. A
//! later fragment that comes before the first one waits for it, [`WINDOW_NS`] at most and [`ROOM`]
//! at a time; beyond that it goes by addresses and protocol alone. It never is dropped here.

use super::burst::{BURST, Burst, Frame};
use super::flow::{self, Datagram, Flow, Piece};
use super::lanes::{Lanes, Verdict};
use crate::hash::{Policy, Settings};
use crate::table::stats::WorkerStats;
use crate::table::{Groups, PortId};
use crate::wire::{ipv4, ipv6};
use crossbeam::queue::ArrayQueue;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

/// How long a later fragment waits for the first one, nanoseconds.
pub const WINDOW_NS: u64 = 10_000_000;
/// After so many windows a fragment waits no longer for queues to be empty.
const PATIENCE: u64 = 10;

/// How many fragments of a worker wait at a time.
pub const ROOM: usize = 256;

/// How long a datagram is remembered, seconds: as long as Linux tries to put one together. A name
/// that is used again later does not find the old flow.
pub const LIFE_S: u32 = 30;

/// Datagrams remembered that share a cache line; the oldest of them goes for a new one.
const WAYS: usize = 4;

/// Cache lines: 4,096 datagrams in 64 KiB.
const SETS: usize = 1024;

/// One datagram: valid while the clock says less than `until_s`.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tag: u64,
    hash: u32,
    until_s: u32,
}

/// The newest first.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Entry; WAYS]);

/// Which tunnel a datagram is in: its ends, and its TEID.
type Tunnel = ([u8; 16], [u8; 16], Option<u32>);

/// What the first fragments said: their hash.
#[derive(Debug)]
struct Cache {
    sets: Box<[Set]>,
    /// What a sender cannot know, so that it can aim neither at a set nor at a tag.
    secret: [u64; 2],
}

impl Cache {
    fn new(secret: [u64; 2]) -> Self {
        Cache {
            sets: vec![Set::default(); SETS].into_boxed_slice(),
            secret,
        }
    }

    /// What the cache calls a datagram; one inside a tunnel never as one outside.
    fn tag(&self, tunnel: &Option<Tunnel>, datagram: &Datagram) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.secret, tunnel, datagram).hash(&mut hasher);
        hasher.finish()
    }

    fn insert(&mut self, tag: u64, hash: u32, now_s: u32) {
        let Some(Set(ways)) = self.sets.get_mut(tag as usize % SETS) else {
            return;
        };
        // The same datagram's old place is taken, else that of the oldest.
        let last = ways.iter().position(|w| w.tag == tag).unwrap_or(WAYS - 1);
        let mut moved = Entry {
            tag,
            hash,
            until_s: now_s.saturating_add(LIFE_S),
        };
        for way in ways.iter_mut().take(last + 1) {
            std::mem::swap(way, &mut moved);
        }
    }

    fn get(&self, tag: u64, now_s: u32) -> Option<u32> {
        let Set(ways) = self.sets.get(tag as usize % SETS)?;
        let found = ways.iter().find(|w| w.tag == tag && now_s < w.until_s);
        found.map(|w| w.hash)
    }
}

/// A later fragment, as it came.
#[derive(Debug)]
pub(super) struct Waiting<F> {
    pub(super) frame: F,
    pub(super) ingress: PortId,
    tag: u64,
    /// When it is given up.
    until_ns: u64,
}

/// A worker's fragments.
#[derive(Debug)]
pub(super) struct Fragments<F> {
    cache: Cache,
    waiting: ArrayQueue<Waiting<F>>,
    room: usize,
    now: fn() -> u64,
    /// A first fragment came while others waited.
    news: bool,
    /// When the one that has waited longest is given up, nanoseconds.
    next_ns: u64,
    /// That was so before this turn polled, too.
    was_late: bool,
    /// Windows end in this round.
    expires: bool,
    /// The packet under way waited before: it is not counted again and waits no more.
    pub(super) is_retry: bool,
}

impl<F: Frame> Fragments<F> {
    /// Room for none to wait, and a clock that stands still.
    pub(super) fn none() -> Self {
        Fragments::new(0, || 0, [0; 2])
    }

    /// Room for `room` fragments to wait; `now` gives nanoseconds on a clock that never goes back.
    #[inline(never)] // set-up, which may panic: the panic gate knows it by name
    pub(super) fn new(room: usize, now: fn() -> u64, secret: [u64; 2]) -> Self {
        Fragments {
            cache: Cache::new(secret),
            waiting: ArrayQueue::new(room.max(1)), // there is no queue of size 0
            room,
            now,
            news: false,
            next_ns: 0,
            was_late: false,
            expires: false,
            is_retry: false,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps a fragment that `follow` said is to wait.
    ///
    /// # Errors
    /// There is no room: the frame comes back.
    pub(super) fn keep(&mut self, frame: F, ingress: PortId, tag: u64) -> Result<(), F> {
        if self.waiting.len() >= self.room {
            return Err(frame);
        }
        let until_ns = (self.now)().saturating_add(WINDOW_NS);
        if self.waiting.is_empty() {
            self.next_ns = until_ns;
            self.was_late = false;
        }
        let waiting = Waiting {
            frame,
            ingress,
            tag,
            until_ns,
        };
        self.waiting.push(waiting).map_err(|full| full.frame)
    }

    /// How many are to be looked at now: all that wait, when a first fragment came or the window
    /// of one has ended, else none.
    ///
    /// A worker that the machine has kept from running finds windows ended whose first fragments
    /// lie in its queues. So a window counts as ended only if it had before this turn's poll, and
    /// if that left the queues `empty`; without regard to that when it ended long ago.
    pub(super) fn due(&mut self, empty: bool) -> usize {
        let now = (self.now)();
        let is_late = now >= self.next_ns;
        let was_late = std::mem::replace(&mut self.was_late, is_late);
        let long_ago = self.next_ns.saturating_add(PATIENCE * WINDOW_NS);
        self.expires = is_late && was_late && (empty || now >= long_ago);
        let is_due = std::mem::take(&mut self.news) || self.expires;
        if is_due { self.waiting.len() } else { 0 }
    }

    /// The one that has waited longest, if its first has come, or its window has ended, or `all`
    /// are to go; else it goes on waiting, behind the others.
    pub(super) fn take(&mut self, all: bool) -> Option<Waiting<F>> {
        let now = (self.now)();
        let one = self.waiting.pop()?;
        let has_first = self.cache.get(one.tag, seconds(now)).is_some();
        if all || has_first || self.expires && now >= one.until_ns {
            return Some(one);
        }
        // They come round in their order, so the first to stay is the next to be given up.
        self.next_ns = self.next_ns.min(one.until_ns);
        // There is room: it just left.
        self.waiting.push(one).err()
    }

    /// Begins a round of `take`.
    pub(super) fn begin(&mut self) {
        self.next_ns = u64::MAX;
    }
}

/// A secret that nobody outside this process can know.
pub fn secret() -> [u64; 2] {
    let random = RandomState::new();
    [random.hash_one(0), random.hash_one(1)]
}

const fn seconds(now_ns: u64) -> u32 {
    (now_ns / 1_000_000_000) as u32
}

/// What `resolve` found a packet to be.
enum Found {
    /// No fragment, or none that is routed.
    Nothing,
    /// The first of a datagram.
    First,
    /// A later one, and its first is known: the lane has its hash.
    Known,
    /// A later one whose first is not known: what the cache would call it.
    Orphan(u64),
}

impl<F: Frame> Fragments<F> {
    /// Gives the packet of lane `i` its flow's hash, and learns from it. When an orphan of a tunnel
    /// `may_wait`, nothing is learned from it yet.
    fn resolve(
        &mut self,
        frame: &F,
        i: usize,
        lanes: &mut Lanes,
        (port, policy): (PortId, &Policy),
        now_s: u32,
        may_wait: bool,
    ) -> Found {
        let Some((flow, settings)) = read(frame, i, lanes, port, policy) else {
            return Found::Nothing;
        };
        let mut found = Found::Nothing;
        if flow.needs_inner_first(settings) {
            // Tenants may use the same addresses: the tunnel is part of the name.
            let tunnel = Some((flow.key.outer.src, flow.key.outer.dst, flow.tunnel_teid));
            match flow.inner_piece {
                Piece::First(datagram) => {
                    let tag = self.cache.tag(&tunnel, &datagram);
                    self.learn(tag, lanes.hash[i], now_s);
                    found = Found::First;
                }
                Piece::Later(datagram) => {
                    let tag = self.cache.tag(&tunnel, &datagram);
                    found = match self.cache.get(tag, now_s) {
                        Some(hash) => {
                            lanes.hash[i] = hash;
                            Found::Known
                        }
                        None if may_wait => return Found::Orphan(tag),
                        None => Found::Orphan(tag),
                    };
                }
                Piece::Whole => {}
            }
        }
        match flow.piece {
            Piece::First(datagram) => {
                let tag = self.cache.tag(&None, &datagram);
                self.learn(tag, lanes.hash[i], now_s);
                match found {
                    Found::Nothing => Found::First,
                    _ => found,
                }
            }
            Piece::Later(datagram) => {
                let tag = self.cache.tag(&None, &datagram);
                let Some(hash) = self.cache.get(tag, now_s) else {
                    return Found::Orphan(tag);
                };
                lanes.hash[i] = hash;
                Found::Known
            }
            Piece::Whole => found,
        }
    }

    fn learn(&mut self, tag: u64, hash: u32, now_s: u32) {
        self.cache.insert(tag, hash, now_s);
        self.news |= !self.waiting.is_empty();
    }
}

/// The packet of a lane as the hash sees it, and the settings for it.
fn read<'p, F: Frame>(
    frame: &F,
    i: usize,
    lanes: &Lanes,
    port: PortId,
    policy: &'p Policy,
) -> Option<(Flow, &'p Settings)> {
    let packet = frame.bytes().get(usize::from(lanes.l3[i])..)?;
    let packet = packet.get(..usize::from(lanes.l3_len[i]))?;
    match lanes.verdict[i] {
        Verdict::V4 => {
            let header = ipv4::Header::new(packet)?;
            let settings = policy.settings4(header.destination());
            Some((flow::read4(packet, header, port, settings), settings))
        }
        Verdict::V6 => {
            let header = ipv6::Header::new(packet)?;
            let settings = policy.settings6(u128::from_be_bytes(header.destination()));
            Some((flow::read6(packet, header, port, settings), settings))
        }
        _ => None,
    }
}

/// Gives the fragments of a burst their flow's hash.
///
/// In: `fragments`, `verdict`, `l3`, `l3_len`, `hash`, `group`. Out: of later fragments `hash`, or
/// `verdict` and `awaited` when they are to wait; they do only where there is a choice of members.
/// Touches packet memory of fragments. Counts in `stats`, if there are any.
#[cold]
#[inline(never)]
pub(super) fn follow<F: Frame>(
    burst: &Burst<F>,
    lanes: &mut Lanes,
    port: PortId,
    fragments: &mut Fragments<F>,
    policy: &Policy,
    groups: &Groups,
    stats: Option<&WorkerStats>,
) {
    let now_s = seconds((fragments.now)());
    let way = (port, policy);
    let (mut seen, mut matched) = (0, 0);
    let mut orphans = 0_u64;
    for (i, frame) in burst.lanes().zip(burst.iter()) {
        let i = i & (BURST - 1);
        if lanes.fragments >> i & 1 == 0 {
            continue;
        }
        match fragments.resolve(frame, i, lanes, way, now_s, true) {
            Found::Nothing => continue,
            Found::First => {}
            Found::Known => matched += 1,
            Found::Orphan(_) => orphans |= 1 << i,
        }
        seen += 1;
    }
    // The first one may have been behind them in the same burst.
    let (mut waited, mut alone) = (0, 0);
    for (i, frame) in burst.lanes().zip(burst.iter()) {
        let i = i & (BURST - 1);
        if orphans >> i & 1 == 0 {
            continue;
        }
        let has_choice = groups.word(lanes.group[i]).size() > 1;
        let has_room = fragments.len() + waited < fragments.room;
        let may_wait = has_choice && has_room && !fragments.is_retry;
        match fragments.resolve(frame, i, lanes, way, now_s, may_wait) {
            Found::Orphan(tag) if may_wait => {
                lanes.awaited[i] = tag;
                lanes.verdict[i] = Verdict::AwaitFirst;
                waited += 1;
            }
            Found::Orphan(_) => alone += 1,
            _ => matched += 1,
        }
    }
    if fragments.is_retry {
        seen = 0;
    }
    if let Some(stats) = stats {
        stats.fragments_seen(seen, matched, waited as u64, alone);
    }
}

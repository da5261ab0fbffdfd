//! How long the stages take: a worker's laps, for whoever measures.
//!
//! A worker has [`Untimed`] laps, of which nothing is left in its code, unless it is made [`Timed`].

/// What a turn of a worker is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The driver: what has come in.
    Receive,
    /// Counting it, and the first look at it.
    Count,
    /// Bytes to destination and hash; marks of the NIC.
    Parse,
    /// Destination to group; fragments.
    Lookup,
    /// Group and hash to adjacency.
    Select,
    /// Adjacency to header and egress.
    Rewrite,
    /// Egress to transmit queue, and the driver behind it.
    Send,
    /// Beginning and end of the turn, and what waited.
    Turn,
}

impl Stage {
    /// All, in the order of a turn.
    pub const ALL: [Stage; 8] = [
        Stage::Receive,
        Stage::Count,
        Stage::Parse,
        Stage::Lookup,
        Stage::Select,
        Stage::Rewrite,
        Stage::Send,
        Stage::Turn,
    ];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Receive => "receive",
            Stage::Count => "count",
            Stage::Parse => "parse",
            Stage::Lookup => "lookup",
            Stage::Select => "select",
            Stage::Rewrite => "rewrite",
            Stage::Send => "send",
            Stage::Turn => "turn",
        }
    }
}

/// Cycles by stage, in the order of [`Stage::ALL`].
pub type Cycles = [u64; Stage::ALL.len()];

/// Told at the end of each stage.
pub trait Laps {
    /// A turn begins.
    fn start(&mut self);
    /// `stage` is over, and with it what went before since the last lap.
    fn lap(&mut self, stage: Stage);
    /// What was counted since it was asked last.
    fn take(&mut self) -> Cycles;
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untimed;

impl Laps for Untimed {
    #[inline(always)]
    fn start(&mut self) {}
    #[inline(always)]
    fn lap(&mut self, _stage: Stage) {}
    #[inline(always)]
    fn take(&mut self) -> Cycles {
        Cycles::default()
    }
}

/// A lap of so many cycles or more is one in which somebody else had the core, and is left out: a stage takes
/// some thousand cycles a burst, a time slice of the kernel's millions.
const OTHERS: u64 = 1 << 18;

/// Sums by stage, on a counter that reading costs little: some 10 ns a stage and burst.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    now: fn() -> u64,
    before: u64,
    sums: Cycles,
}

impl Timed {
    /// By the counter `now`.
    pub fn new(now: fn() -> u64) -> Self {
        Timed {
            now,
            before: 0,
            sums: Cycles::default(),
        }
    }
}

impl Laps for Timed {
    #[inline]
    fn start(&mut self) {
        self.before = (self.now)();
    }

    #[inline]
    fn lap(&mut self, stage: Stage) {
        let now = (self.now)();
        let took = now.wrapping_sub(self.before);
        let sum = self.sums.get_mut(stage as usize);
        if let Some(sum) = sum.filter(|_| took < OTHERS) {
            *sum = sum.wrapping_add(took);
        }
        self.before = now;
    }

    fn take(&mut self) -> Cycles {
        std::mem::take(&mut self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

    /// Each look is one later than the one before.
    fn now() -> u64 {
        NOW.replace(NOW.get() + 1)
    }

    #[test]
    fn laps_go_to_the_stage_that_they_end_and_names_differ() {
        let mut laps = Timed::new(now);
        laps.start();
        for (i, stage) in Stage::ALL.into_iter().enumerate() {
            NOW.set(NOW.get() + i as u64);
            laps.lap(stage);
        }
        assert_eq!(laps.take(), [1, 2, 3, 4, 5, 6, 7, 8]);
        NOW.set(NOW.get() + OTHERS);
        laps.lap(Stage::Parse);
        assert_eq!(laps.take(), Cycles::default());
        let names: std::collections::HashSet<_> = Stage::ALL.map(Stage::name).into();
        assert_eq!(names.len(), Stage::ALL.len());
    }

    #[test]
    fn untimed_laps_take_no_room() {
        assert_eq!(size_of::<Untimed>(), 0);
    }
}

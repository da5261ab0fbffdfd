//! Hash settings ready for use, made without doing twice what takes long.
//!
//! The key and the tables of an algorithm that hardware knows take milliseconds when profiles have
//! seeds of their own, which is longer than control may be kept from a repair. They are pure
//! functions of algorithm and seed, so they are remembered for the whole process, and who asks for
//! other settings makes them on its own thread first ([`crate::api::prepare`]).

use fastpath::hash::{Choice, Settings, Tables};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Tables that are remembered, 50 KiB each; the oldest go first. What is in force holds its own.
const ROOM: usize = 128;

static MADE: Mutex<VecDeque<Tables>> = Mutex::new(VecDeque::new());

thread_local!(static MADE_HERE: Cell<u64> = const { Cell::new(0) });

fn known(choice: &Choice) -> Option<Tables> {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.iter().find(|t| t.fits(choice)).cloned()
}

/// The settings of `choice`.
pub fn settings(choice: Choice) -> Settings {
    if Tables::name(&choice).is_none() {
        return Settings::new(choice);
    }
    if let Some(tables) = known(&choice) {
        return Settings::with(choice, Some(&tables));
    }
    // Not under the lock: others are not to wait for it.
    let made = Tables::new(&choice);
    MADE_HERE.set(MADE_HERE.get() + 1);
    if let Some(tables) = &made {
        let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(tables.clone());
        while all.len() > ROOM {
            all.pop_front();
        }
    }
    Settings::with(choice, made.as_ref())
}

/// How many tables the calling thread has made: control should make none while packets flow.
pub fn made_here() -> u64 {
    MADE_HERE.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastpath::hash::Algorithm;

    #[test]
    fn tables_are_made_once() {
        let choice = |algorithm, seed| Choice {
            algorithm,
            seed,
            ..Choice::default()
        };
        let before = made_here();
        for algorithm in Algorithm::ALL {
            for _ in 0..3 {
                let choice = choice(algorithm, 0x5eed_0001);
                assert_eq!(settings(choice), Settings::new(choice));
            }
        }
        let made = made_here() - before;
        // Another test may have made those of crc32.
        assert!((1..=2).contains(&made), "{made}");
        let other = move || settings(choice(Algorithm::Toeplitz, 0x5eed_0002));
        std::thread::spawn(other).join().expect("made");
        let before = made_here();
        other();
        assert_eq!(made_here(), before, "another thread made them");
    }
}

//! What goes wrong, by arguments of the ports and by a file that is read again when it changes.

use fastpath::hardware::Error;
use fastpath::hardware::sim::{Faults, Sim};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What tells one state of a file from the next: time of change, number, length.
type Seen = (i64, i64, u64, u64);

/// What goes wrong.
#[derive(Debug, Default)]
pub struct Flaws {
    faults: Faults,
    other_hash: bool,
    index_update_bug: bool,
    /// Rules of the first API that there is room for.
    pub(crate) rules: Option<u64>,
    /// They cannot mark.
    pub(crate) no_mark: bool,
    file: Option<PathBuf>,
    seen: Option<Seen>,
}

impl Flaws {
    /// Takes one more: `late=N`, `refuse=N`, `busy=N`, `miss=N`, `table=N` (the Nth from now on; may be given
    /// several times), `hold=1`, `hash=other`, `index-bug=1`, `rules=N`,
    /// `no-mark=1`, `faults=FILE`.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let wrong = || Error::new(Error::INVALID, format!("{key}={value}: not a fault"));
        let nth = || value.parse::<u64>().ok().filter(|n| *n > 0);
        match key {
            "late" => drop(self.faults.late.insert(nth().ok_or_else(wrong)?)),
            "refuse" => drop(self.faults.refused.insert(nth().ok_or_else(wrong)?)),
            "busy" => drop(self.faults.busy.insert(nth().ok_or_else(wrong)?)),
            "miss" => drop(self.faults.missed.insert(nth().ok_or_else(wrong)?)),
            "table" => drop(self.faults.tables.insert(nth().ok_or_else(wrong)?)),
            "hold" if value == "1" => self.faults.pace = Some(0),
            "hash" if value == "other" => self.other_hash = true,
            "index-bug" if value == "1" => self.index_update_bug = true,
            "rules" => self.rules = Some(value.parse().map_err(|_| wrong())?),
            "no-mark" if value == "1" => self.no_mark = true,
            "faults" if self.file.is_none() => self.file = Some(value.into()),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Has them happen, counting from now.
    pub fn set(&self, sim: &mut Sim) {
        sim.set_faults(self.faults.clone());
        sim.set_flaws(self.other_hash, self.index_update_bug);
    }

    /// Reads the file if it is not as it was: what it says is all that goes wrong from now on. Without
    /// it, nothing does.
    pub fn look(&mut self, sim: &mut Sim) {
        let Some(file) = &self.file else { return };
        let seen = fs::metadata(file).ok();
        let seen = seen.map(|m| (m.ctime(), m.ctime_nsec(), m.ino(), m.len()));
        if seen == self.seen {
            return;
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut now = Flaws {
            file: Some(file.clone()),
            seen,
            ..Flaws::default()
        };
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if let Err(error) = now.add(key, value) {
                eprintln!("evenpath_sim: {}: {error}", file.display());
            }
        }
        *self = now;
        self.set(sim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_fault_is_refused() {
        let mut flaws = Flaws::default();
        for (key, value) in [
            ("late", "0"),
            ("late", "-1"),
            ("refuse", ""),
            ("hash", "ours"),
            ("index-bug", "yes"),
            ("hold", "2"),
            ("pace", "1"),
        ] {
            assert!(flaws.add(key, value).is_err(), "{key}={value}");
        }
        assert_eq!(flaws.faults, Faults::default());
        flaws.add("late", "3").unwrap();
        flaws.add("late", "5").unwrap();
        flaws.add("table", "2").unwrap();
        let late: Vec<u64> = flaws.faults.late.iter().copied().collect();
        assert_eq!(late, [3, 5]);
        flaws.add("faults", "/nowhere").unwrap();
        assert!(flaws.add("faults", "/elsewhere").is_err(), "one file");
    }
}

//! Cumulus Linux's `traffic.conf` and `nvue_traffic.conf` to `[hash]` and `[resilient]`.
//!
//! The syntax is a line each: `key = value`, with or without spaces, `#` to the end of the line is
//! a comment. What NVUE wrote takes precedence, key by key. What is not about ECMP is skipped and
//! counted; what looks like ours and is not is an error, and all errors are found in one go.

#[cfg(test)]
mod guide_tests;
mod key;
mod print;
#[cfg(test)]
mod tests;

use super::{Hash, Resilient, Seed};
use fastpath::hash::{Choice, Field, Fields, Settings};
use key::{Key, Owner, Value, known_beside};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The two files of a Cumulus Linux host, the one that takes precedence last.
pub const STANDARD: [&str; 2] = [
    "/etc/cumulus/datapath/traffic.conf",
    "/etc/cumulus/datapath/nvue_traffic.conf",
];

/// The vendor's guide names this key where it means `hash_config.gtp_teid`.
const BOND_TEID: &str = "lag_hash_config.gtp_teid";

/// A file to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How the operator calls it; one that ends in `nvue_traffic.conf` takes precedence.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What the files say, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// `[hash]`.
    pub hash: Hash,
    /// `[resilient]`.
    pub resilient: Resilient,
    /// Both sections as TOML, each setting with the line that it is from.
    pub toml: String,
    /// What the operator should know: what has no effect, what is not ours.
    pub notes: Vec<String>,
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProblem {
    /// The file, as named in its [`Source`].
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: ImportKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// Not `key = value`: the line as it is.
    Malformed(String),
    /// No such key: as written, its value, what was probably meant.
    UnknownKey {
        /// The key as written.
        key: String,
        /// Its value.
        value: String,
        /// The known key that is nearest, if one is near.
        meant: Option<&'static str>,
    },
    /// A value that the key cannot have.
    NotAllowed {
        /// The key as written.
        key: String,
        /// Its value.
        value: String,
        /// In words.
        allowed: &'static str,
    },
    /// This line switches the last field off.
    NoField(String),
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match &self.kind {
            ImportKind::Malformed(line) => {
                write!(f, "\"{line}\" is not understood; expected KEY = VALUE")
            }
            ImportKind::UnknownKey { key, value, meant } => {
                write!(f, "{key}: unknown key (= {value}); ")?;
                match meant {
                    Some(meant) => write!(f, "did you mean {meant}?"),
                    None => write!(f, "known here: {}", known_beside(key).join(", ")),
                }
            }
            ImportKind::NotAllowed {
                key,
                value,
                allowed,
            } => write!(f, "{key}: \"{value}\" is not allowed; allowed: {allowed}"),
            ImportKind::NoField(key) => write!(
                f,
                "{key}: false leaves no field, so that all packets would take one member; \
                 leave one at true"
            ),
        }
    }
}

/// All that is wrong with the files, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProblems(pub Vec<ImportProblem>);

impl fmt::Display for ImportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i != 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportProblems {}

/// A setting, and where it is from.
#[derive(Clone, Copy, Debug)]
struct Found {
    value: Value,
    /// Index of the source.
    file: usize,
    line: usize,
    /// The same key in a file that this one takes precedence over.
    over: Option<(usize, usize)>,
}

/// Everything read so far.
struct Reader<'s> {
    sources: Vec<&'s Source>,
    found: BTreeMap<&'static str, (Key, Found)>,
    problems: Vec<ImportProblem>,
    notes: Vec<String>,
}

/// Translates `sources`. Those whose name ends in `nvue_traffic.conf` take precedence over the
/// others; among equals the later does.
///
/// # Errors
///
/// Every malformed line, unknown key of ours and value out of range, of all files.
pub fn import(sources: &[Source]) -> Result<Imported, ImportProblems> {
    let mut ordered: Vec<&Source> = sources.iter().collect();
    ordered.sort_by_key(|source| source.name.ends_with("nvue_traffic.conf"));
    let mut reader = Reader {
        sources: ordered,
        found: BTreeMap::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    for file in 0..reader.sources.len() {
        reader.file(file);
    }
    reader.no_field();
    if !reader.problems.is_empty() {
        return Err(ImportProblems(reader.problems));
    }
    Ok(reader.imported())
}

impl Reader<'_> {
    fn file(&mut self, file: usize) {
        let Some(source) = self.sources.get(file).copied() else {
            return;
        };
        let (mut lag, mut adaptive, mut other) = (0, 0, 0);
        let mut bond_teid = false;
        for (index, text) in source.text.lines().enumerate() {
            let line = index + 1;
            let text = text.split('#').next().unwrap_or_default();
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            if text.is_empty() {
                continue;
            }
            let Some((key, value)) = pair(text) else {
                self.problem(file, line, ImportKind::Malformed(text.into()));
                continue;
            };
            match Owner::of(key) {
                Owner::Ours(known) => self.ours(file, line, known, key, value),
                Owner::Lag => {
                    lag += 1;
                    bond_teid |= key == BOND_TEID && value.eq_ignore_ascii_case("true");
                }
                Owner::Adaptive => adaptive += 1,
                Owner::MaxPaths => self.notes.push(format!(
                    "{}:{line}: ecmp_max_paths is not imported: FRR's maximum-paths says how many \
                     next hops a route has",
                    source.name
                )),
                Owner::Other => other += 1,
                Owner::Unknown(meant) => {
                    let (key, value) = (key.into(), value.into());
                    self.problem(file, line, ImportKind::UnknownKey { key, value, meant });
                }
            }
        }
        let mut skipped = |count: usize, words: &str| {
            let settings = if count == 1 { "setting" } else { "settings" };
            if count != 0 {
                let name = &source.name;
                self.notes
                    .push(format!("{name}: {count} {settings} {words}"));
            }
        };
        skipped(
            lag,
            "of lag_hash_config not imported: bonds are the kernel's",
        );
        skipped(
            adaptive,
            "of adaptive_routing not imported: not in this version",
        );
        skipped(other, "skipped: not about ECMP");
        if bond_teid {
            self.notes.push(format!(
                "{}: {BOND_TEID} is about bonds; the TEID counts for ECMP by hash_config.gtp_teid",
                source.name
            ));
        }
    }

    fn ours(&mut self, file: usize, line: usize, key: Key, name: &str, text: &str) {
        let Some(value) = key.value(text) else {
            let kind = ImportKind::NotAllowed {
                key: name.into(),
                value: text.into(),
                allowed: key.allowed(),
            };
            return self.problem(file, line, kind);
        };
        let mut over = None;
        if let Some((_, before)) = self.found.get(key.name()) {
            over = before.over;
            if before.file == file {
                let earlier = self.origin(before.file, before.line);
                let here = self.origin(file, line);
                self.notes
                    .push(format!("{here}: {name} again: {earlier} does not count"));
            } else {
                over = Some((before.file, before.line));
            }
        }
        let found = Found {
            value,
            file,
            line,
            over,
        };
        self.found.insert(key.name(), (key, found));
    }

    fn problem(&mut self, file: usize, line: usize, kind: ImportKind) {
        let file = self.sources.get(file).map_or("", |source| &source.name);
        self.problems.push(ImportProblem {
            file: file.into(),
            line,
            kind,
        });
    }

    fn origin(&self, file: usize, line: usize) -> String {
        let name = self.sources.get(file).map_or("", |source| &source.name);
        format!("{name}:{line}")
    }

    fn get(&self, key: Key) -> Option<Found> {
        self.found.get(key.name()).map(|(_, found)| *found)
    }

    fn flag(&self, key: Key, default: bool) -> bool {
        match self.get(key).map(|found| found.value) {
            Some(Value::Flag(on)) => on,
            _ => default,
        }
    }

    fn number(&self, key: Key) -> Option<u32> {
        match self.get(key)?.value {
            Value::Number(number) => Some(number),
            Value::Flag(_) => None,
        }
    }

    fn custom(&self) -> bool {
        self.flag(Key::CustomFields, false)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        for field in Field::ALL.into_iter().filter(|_| self.custom()) {
            let on = self.flag(Key::Field(field), field.default_on());
            fields = fields.with(field, on);
        }
        fields
    }

    /// Settings that leave nothing to tell flows apart are no settings.
    fn no_field(&mut self) {
        if self.fields() != Fields::EMPTY {
            return;
        }
        let of_fields = self.found.values().filter_map(|(key, found)| match key {
            Key::Field(_) => Some((found.file, found.line, key.name())),
            _ => None,
        });
        if let Some((file, line, name)) = of_fields.max() {
            self.problem(file, line, ImportKind::NoField(name.into()));
        }
    }

    fn imported(mut self) -> Imported {
        let hash = Hash {
            fields: self.fields(),
            symmetric: self.flag(Key::Symmetric, true),
            seed: self.number(Key::Seed).map_or(Seed::Random, Seed::Fixed),
            ..Hash::default()
        };
        let default = Resilient::default();
        let active = self.number(Key::ActiveTimer);
        let unbalanced = self.number(Key::UnbalancedTimer);
        let seconds = |n: u32| Duration::from_secs(n.into());
        let resilient = Resilient {
            enable: self.flag(Key::Resilient, default.enable),
            buckets: self.number(Key::Buckets).unwrap_or(default.buckets),
            active_timer: active.map_or(default.active_timer, seconds),
            unbalanced_timer: match unbalanced {
                None => default.unbalanced_timer,
                Some(n) => (n != u32::MAX).then(|| seconds(n)),
            },
            ..default
        };
        self.say(&hash);
        Imported {
            toml: print::toml(&self, &hash, &resilient),
            hash,
            resilient,
            notes: self.notes,
        }
    }

    /// What follows from the settings and is not said by any one of them.
    fn say(&mut self, hash: &Hash) {
        let mut idle = self.found.values().filter_map(|(key, found)| match key {
            Key::Field(field) if found.value != Value::Flag(field.default_on()) => Some(found),
            _ => None,
        });
        if !self.custom() && idle.next().is_some() {
            let why = match self.get(Key::CustomFields) {
                Some(at) => format!("{}: it is false", self.origin(at.file, at.line)),
                None => "it is not set".into(),
            };
            self.notes.push(format!(
                "hash_config.enable: {why}, so that the hash_config fields have no effect; the \
                 defaults apply"
            ));
        }
        let settings = Settings::new(Choice {
            fields: hash.fields,
            symmetric: hash.symmetric,
            ..Choice::default()
        });
        for (source, destination) in settings.uneven().filter(|_| hash.symmetric) {
            self.notes.push(format!(
                "symmetric hashing will switch itself off: {} and {} differ",
                source.name(),
                destination.name()
            ));
        }
    }
}

/// Key and value of a line without comment.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    (!key.is_empty() && !key.contains(char::is_whitespace)).then_some((key, value))
}

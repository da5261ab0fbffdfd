//! `[[hash-profile]]`: hash settings of their own for some destinations.

use super::problem::Kind;
use super::reader::{Findings, Section, number};
use super::sections::HASH;
use super::{Algorithm, HashProfile, Seed};
use crate::prefix::Prefix;
use fastpath::hash::{Field, Fields};
use std::collections::BTreeMap;

/// The keys of a profile: its own two, then those of `[hash]`.
const KEYS: [&str; 20] = {
    let mut keys = [""; 20];
    keys[0] = "name";
    keys[1] = "prefixes";
    let mut i = 0;
    while i < HASH.len() {
        keys[i + 2] = HASH[i];
        i += 1;
    }
    keys
};
const NAME: &str = "1 to 15 letters, digits, _ -";

/// Those of `root`; `base` are the fields that they inherit.
pub(super) fn profiles(
    root: &Section<'_, '_>,
    base: Fields,
    out: &mut Findings<'_>,
) -> Vec<HashProfile> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut prefixes: BTreeMap<Prefix, usize> = BTreeMap::new();
    let mut profiles = Vec::new();
    for s in root.tables("hash-profile", out) {
        let (profile, lines) = profile(&s, base, out);
        if !profile.name.is_empty() {
            if let Some(&first) = names.get(&profile.name) {
                let value = format!("\"{}\"", profile.name);
                out.add(s.line, s.path("name"), Kind::Duplicate { value, first });
            }
            names.entry(profile.name.clone()).or_insert(s.line);
        }
        for (prefix, line) in profile.prefixes.iter().zip(lines) {
            if let Some(&first) = prefixes.get(prefix) {
                let value = prefix.to_string();
                out.add(line, s.path("prefixes"), Kind::Duplicate { value, first });
            }
            prefixes.entry(*prefix).or_insert(line);
        }
        profiles.push(profile);
    }
    profiles
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    (1..=15).contains(&text.len()) && text.chars().all(fits)
}

/// A profile, and the lines of its prefixes.
fn profile(s: &Section<'_, '_>, base: Fields, out: &mut Findings<'_>) -> (HashProfile, Vec<usize>) {
    s.only(&KEYS, out);
    let name = s.need("name", NAME, out, |v| {
        v.as_str().filter(|t| is_name(t)).map(String::from)
    });
    let listed = s.prefixes("prefixes", out);
    let mut on = base;
    let mut fields = BTreeMap::new();
    for field in Field::ALL {
        if let Some(is_on) = field_of(s, field, out) {
            fields.insert(field, is_on);
            on = on.with(field, is_on);
        }
    }
    if on == Fields::EMPTY {
        let words = "no field is on, so that all packets would take one member; turn one on";
        out.add(s.line, s.name.clone(), Kind::Conflict(words));
    }
    let symmetric = s.get("symmetric", "true or false", out, |v| v.as_bool());
    let (prefixes, lines) = listed.into_iter().map(|at| (at.value, at.line)).unzip();
    let profile = HashProfile {
        name: name.map_or_else(String::new, |at| at.value),
        prefixes,
        fields,
        symmetric: symmetric.map(|at| at.value),
        seed: seed(s, out),
        algorithm: algorithm(s, out),
    };
    (profile, lines)
}

/// Whether `field` is on, if it is said.
pub(super) fn field_of(s: &Section<'_, '_>, field: Field, out: &mut Findings<'_>) -> Option<bool> {
    let at = s.get(field.name(), "true or false", out, |v| v.as_bool())?;
    Some(at.value)
}

/// The seed, if it is said.
pub(super) fn seed(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Option<Seed> {
    let seed = s.get("seed", "\"random\" or 0..4294967295", out, |v| {
        match v.as_str() {
            Some("random") => Some(Seed::Random),
            _ => u32::try_from(number(v)?).ok().map(Seed::Fixed),
        }
    });
    seed.map(|at| at.value)
}

/// The algorithm, if it is said.
pub(super) fn algorithm(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Option<Algorithm> {
    let words = "\"mix\", \"toeplitz\" or \"crc32\"";
    let algorithm = s.get("algorithm", words, out, |v| Algorithm::named(v.as_str()?));
    algorithm.map(|at| at.value)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;

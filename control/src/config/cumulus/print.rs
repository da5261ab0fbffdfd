//! The sections as TOML, with the origin of each setting.

use super::key::Key;
use super::{Found, Hash, Reader, Resilient, Seed};
use crate::config::Algorithm;
use fastpath::hash::Field;
use std::fmt::Write;

pub(super) fn toml(reader: &Reader<'_>, hash: &Hash, resilient: &Resilient) -> String {
    let mut page = Page {
        reader,
        text: String::new(),
    };
    page.head();
    page.hash(hash);
    page.resilient(resilient);
    page.text
}

struct Page<'r, 's> {
    reader: &'r Reader<'s>,
    text: String,
}

impl Page<'_, '_> {
    fn head(&mut self) {
        let names: Vec<String> = self.reader.sources.iter().map(|s| plain(&s.name)).collect();
        let precedence = match names.len() {
            0 | 1 => "",
            _ => "; the last takes precedence",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.text,
            "# Imported from {}{precedence}.",
            names.join(", ")
        );
    }

    fn line(&mut self, key: &str, value: impl ToString, origin: &str) {
        let setting = format!("{key} = {}", value.to_string());
        let _ = writeln!(self.text, "{setting:<35} # {}", plain(origin));
    }

    fn hash(&mut self, hash: &Hash) {
        self.text.push_str("\n[hash]\n");
        for field in Field::ALL {
            let origin = match self.reader.get(Key::Field(field)) {
                None if field == Field::RoceQp => "default; Cumulus has no such setting".into(),
                None => "default".into(),
                Some(found) if self.reader.custom() => self.origin(found),
                Some(found) => format!(
                    "default: hash_config.enable is {}, {} has no effect",
                    match self.reader.get(Key::CustomFields) {
                        Some(_) => "false",
                        None => "not set",
                    },
                    self.origin(found)
                ),
            };
            self.line(field.name(), hash.fields.has(field), &origin);
        }
        self.of("symmetric", hash.symmetric, Key::Symmetric);
        match hash.seed {
            Seed::Fixed(seed) => self.of("seed", seed, Key::Seed),
            Seed::Random => self.of("seed", "\"random\"", Key::Seed),
        }
        let algorithm = format!("\"{}\"", Algorithm::default().name());
        self.line(
            "algorithm",
            algorithm,
            "default; Cumulus has no such setting",
        );
    }

    fn resilient(&mut self, resilient: &Resilient) {
        self.text.push_str("\n[resilient]\n");
        self.of("enable", resilient.enable, Key::Resilient);
        self.of("buckets", resilient.buckets, Key::Buckets);
        let active = resilient.active_timer.as_secs();
        self.of("active-timer", active, Key::ActiveTimer);
        let unbalanced = resilient.unbalanced_timer.map(|t| t.as_secs());
        let unbalanced = unbalanced.unwrap_or(u32::MAX.into());
        self.of("unbalanced-timer", unbalanced, Key::UnbalancedTimer);
    }

    fn of(&mut self, name: &str, value: impl ToString, key: Key) {
        let origin = match self.reader.get(key) {
            None => "default".into(),
            Some(found) => self.origin(found),
        };
        self.line(name, value, &origin);
    }

    fn origin(&self, found: Found) -> String {
        let here = self.reader.origin(found.file, found.line);
        match found.over {
            None => here,
            Some((file, line)) => format!("{here}, over {}", self.reader.origin(file, line)),
        }
    }
}

/// TOML comments are one line and hold no control characters; a file's name may.
fn plain(text: &str) -> String {
    let replace = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(replace).collect()
}

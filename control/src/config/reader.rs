//! Walks TOML tables: typed values with their line, all problems collected.

use super::problem::{Kind, Problem};
use crate::prefix::{self, Prefix};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub value: T,
    pub line: usize,
}

/// The text, for line numbers.
#[derive(Clone, Copy)]
pub(super) struct Lines<'t>(&'t str);

impl Lines<'_> {
    /// Line, from 1, of byte `offset`.
    pub fn line(self, offset: usize) -> usize {
        let before = self.0.as_bytes().iter().take(offset);
        1 + before.filter(|b| **b == b'\n').count()
    }
}

/// The problems so far, and the text for line numbers.
pub(super) struct Findings<'t> {
    text: &'t str,
    pub problems: Vec<Problem>,
}

impl<'t> Findings<'t> {
    pub fn new(text: &'t str) -> Self {
        Findings {
            text,
            problems: Vec::new(),
        }
    }

    /// Line, from 1, of byte `offset`.
    pub fn line(&self, offset: usize) -> usize {
        self.lines().line(offset)
    }

    /// For line numbers alone.
    pub fn lines(&self) -> Lines<'t> {
        Lines(self.text)
    }

    pub fn add(&mut self, line: usize, key: impl Into<String>, kind: Kind) {
        self.problems.push(Problem {
            line,
            key: key.into(),
            kind,
        });
    }
}

/// One table of the file, with the name it has there.
pub(super) struct Section<'a, 'i> {
    pub name: String,
    pub line: usize,
    table: &'a DeTable<'i>,
}

impl<'a, 'i> Section<'a, 'i> {
    /// The whole file.
    pub fn root(table: &'a DeTable<'i>) -> Self {
        Section {
            name: String::new(),
            line: 1,
            table,
        }
    }

    /// The name of `key` from the top of the file.
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Complains about every key that is not one of `known`.
    pub fn only(&self, known: &'static [&'static str], out: &mut Findings<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let line = out.line(key.span().start);
                out.add(line, self.path(name), Kind::UnknownKey(known));
            }
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn raw(&self, key: &str, out: &Findings<'_>) -> Option<At<&'a DeValue<'i>>> {
        let value = self.table.get(key)?;
        Some(At {
            value: value.get_ref(),
            line: out.line(value.span().start),
        })
    }

    /// Reads `key` with `parse`; what `parse` does not take is a problem, with `allowed` as words.
    pub fn get<T>(
        &self,
        key: &str,
        allowed: &'static str,
        out: &mut Findings<'_>,
        parse: impl FnOnce(&DeValue<'i>) -> Option<T>,
    ) -> Option<At<T>> {
        let At { value, line } = self.raw(key, out)?;
        match parse(value) {
            Some(value) => Some(At { value, line }),
            None => {
                let value = shown(value);
                out.add(line, self.path(key), Kind::NotAllowed { value, allowed });
                None
            }
        }
    }

    /// As [`Section::get`], for a key that must be there.
    pub fn need<T>(
        &self,
        key: &str,
        allowed: &'static str,
        out: &mut Findings<'_>,
        parse: impl FnOnce(&DeValue<'i>) -> Option<T>,
    ) -> Option<At<T>> {
        if !self.has(key) {
            out.add(self.line, self.path(key), Kind::Missing);
        }
        self.get(key, allowed, out, parse)
    }

    /// A prefix with its own words for what is wrong with it.
    pub fn prefix(&self, key: &str, out: &mut Findings<'_>) -> Option<At<Prefix>> {
        self.parsed(
            key,
            "an IPv4 or IPv6 prefix, e.g. \"10.0.0.0/8\"",
            out,
            str::parse,
        )
    }

    /// An interface address, `ADDRESS/LENGTH`.
    pub fn interface_address(&self, key: &str, out: &mut Findings<'_>) -> Option<At<(IpAddr, u8)>> {
        let allowed = "an address with its length, e.g. \"10.244.1.1/24\"";
        self.parsed(key, allowed, out, prefix::parse_address)
    }

    /// A list of prefixes, at least one.
    pub fn prefixes(&self, key: &str, out: &mut Findings<'_>) -> Vec<At<Prefix>> {
        let allowed = "a list of prefixes, e.g. [\"10.9.0.0/16\", \"2001:db8:9::/48\"]";
        let base = out.lines();
        let texts = self.need(key, allowed, out, |v| {
            let array = v.as_array().filter(|a| !a.is_empty())?;
            let text = |e: &toml::Spanned<DeValue<'_>>| {
                Some((e.get_ref().as_str()?.to_owned(), base.line(e.span().start)))
            };
            array.iter().map(text).collect::<Option<Vec<_>>>()
        });
        let mut prefixes = Vec::new();
        for (value, line) in texts.map(|at| at.value).unwrap_or_default() {
            match value.parse() {
                Ok(value) => prefixes.push(At { value, line }),
                Err(cause) => out.add(line, self.path(key), Kind::Prefix { value, cause }),
            }
        }
        prefixes
    }

    fn parsed<T>(
        &self,
        key: &str,
        allowed: &'static str,
        out: &mut Findings<'_>,
        parse: impl Fn(&str) -> Result<T, prefix::PrefixError>,
    ) -> Option<At<T>> {
        let At { value: text, line } =
            self.need(key, allowed, out, |v| v.as_str().map(String::from))?;
        match parse(&text) {
            Ok(value) => Some(At { value, line }),
            Err(cause) => {
                out.add(line, self.path(key), Kind::Prefix { value: text, cause });
                None
            }
        }
    }

    /// `true` or `false`, or the default.
    pub fn flag(&self, key: &str, default: bool, out: &mut Findings<'_>) -> bool {
        self.get(key, "true or false", out, |v| v.as_bool())
            .map_or(default, |at| at.value)
    }

    /// A number in `range`, or the default.
    pub fn number(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        allowed: &'static str,
        default: u64,
        out: &mut Findings<'_>,
    ) -> u64 {
        self.get(key, allowed, out, |v| {
            number(v).filter(|n| range.contains(n))
        })
        .map_or(default, |at| at.value)
    }

    /// The table `key`, or an empty one.
    pub fn table(&self, key: &str, out: &mut Findings<'_>) -> Option<Section<'a, 'i>> {
        let At { value, line } = self.raw(key, out)?;
        if let Some(table) = value.as_table() {
            return Some(Section {
                name: self.path(key),
                line,
                table,
            });
        }
        let value = shown(value);
        let allowed = "a table: write [NAME] on a line of its own, its keys below";
        out.add(line, self.path(key), Kind::NotAllowed { value, allowed });
        None
    }

    /// The tables of the array `key`; names count from 1.
    pub fn tables(&self, key: &str, out: &mut Findings<'_>) -> Vec<Section<'a, 'i>> {
        let Some(At { value, line }) = self.raw(key, out) else {
            return Vec::new();
        };
        let allowed = "tables: write [[NAME]] once for each, in double brackets";
        let Some(array) = value.as_array() else {
            let value = shown(value);
            out.add(line, self.path(key), Kind::NotAllowed { value, allowed });
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let name = format!("{}[{}]", self.path(key), index + 1);
            let line = out.line(element.span().start);
            match element.get_ref().as_table() {
                Some(table) => sections.push(Section { name, line, table }),
                None => {
                    let value = shown(element.get_ref());
                    out.add(line, name, Kind::NotAllowed { value, allowed });
                }
            }
        }
        sections
    }
}

/// A whole number that fits.
pub(super) fn number(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// A value as an operator recognizes it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(n) => n.as_str().into(),
        DeValue::Float(n) => n.as_str().into(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => d.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

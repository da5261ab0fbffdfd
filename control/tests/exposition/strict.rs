//! A strict reader of Prometheus' text format 0.0.4: what it takes, every scraper takes.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample, by name.
pub type Labels = BTreeMap<String, String>;

/// A family.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    /// Name, labels and value of each sample, in order.
    pub samples: Vec<(String, Labels, f64)>,
}

fn is_name(text: &str, first: impl Fn(char) -> bool) -> bool {
    let rest = |c: char| first(c) || c.is_ascii_digit();
    text.starts_with(&first) && text.chars().all(rest)
}

fn is_metric(text: &str) -> bool {
    is_name(text, |c| c.is_ascii_alphabetic() || c == '_' || c == ':')
}

fn is_label(text: &str) -> bool {
    is_name(text, |c| c.is_ascii_alphabetic() || c == '_') && !text.starts_with("__")
}

/// `{a="b",c="d"}` and what follows it.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let Some(mut rest) = text.strip_prefix('{') else {
        return Ok((Labels::new(), text));
    };
    let mut all = Labels::new();
    loop {
        let (name, value) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_label(name) {
            return Err(format!("label name {name:?}"));
        }
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().ok_or("an open quote")? {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next().ok_or("an open escape")?.1 {
                    'n' => text.push('\n'),
                    c @ ('"' | '\\') => text.push(c),
                    other => return Err(format!("escape {other:?}")),
                },
                (_, c) => text.push(c),
            }
        };
        if all.insert(name.into(), text).is_some() {
            return Err(format!("label {name} twice"));
        }
        rest = &value[end..];
        match rest.chars().next() {
            Some(',') => rest = &rest[1..],
            Some('}') => return Ok((all, &rest[1..])),
            other => return Err(format!("{other:?} after a label")),
        }
    }
}

/// The families of `text`.
pub fn read(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("no line feed at the end".into());
    }
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    let mut now = String::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let wrong = |what: &str| format!("{what}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if !is_metric(name) || all.contains_key(name) || help.is_empty() {
                return Err(wrong("HELP"));
            }
            now = name.into();
            all.insert(name.into(), Family::default());
            continue;
        }
        let family = all.get_mut(&now).ok_or_else(|| wrong("no family"))?;
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            let known = ["counter", "gauge", "histogram"].contains(&kind);
            if name != now || !known || !family.kind.is_empty() || !family.samples.is_empty() {
                return Err(wrong("TYPE"));
            }
            family.kind = kind.into();
            continue;
        }
        if family.kind.is_empty() {
            return Err(wrong("a sample before its type"));
        }
        let end = line.find(['{', ' ']).ok_or_else(|| wrong("no value"))?;
        let (name, rest) = line.split_at(end);
        let suffixes: &[&str] = match family.kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        if !is_metric(name) || !suffixes.iter().any(|s| format!("{now}{s}") == name) {
            return Err(wrong("name"));
        }
        let (labels, rest) = labels(rest).map_err(|why| wrong(&why))?;
        let value = rest.strip_prefix(' ').ok_or_else(|| wrong("no blank"))?;
        let number: f64 = value.parse().map_err(|_| wrong("value"))?;
        if number < 0.0 || !number.is_finite() {
            return Err(wrong("value"));
        }
        if !seen.insert((name.to_string(), labels.clone())) {
            return Err(wrong("twice"));
        }
        family.samples.push((name.into(), labels, number));
    }
    for (name, family) in &all {
        let is_total = name.ends_with("_total");
        if is_total != (family.kind == "counter") {
            return Err(format!("{name} is a {}", family.kind));
        }
        if family.kind == "histogram" {
            histogram(name, family)?;
        }
    }
    Ok(all)
}

/// Buckets grow, the last has all, sum and count are there.
fn histogram(name: &str, family: &Family) -> Result<(), String> {
    let of = |suffix: &str| {
        let full = format!("{name}{suffix}");
        family.samples.iter().filter(move |s| s.0 == full)
    };
    let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
    for (_, labels, value) in of("_bucket") {
        let le = labels.get("le").filter(|_| labels.len() == 1);
        let le = le.ok_or(format!("{name}: a bucket without le"))?;
        let next = match le.as_str() {
            "+Inf" => f64::INFINITY,
            text => text.parse().map_err(|_| format!("{name}: le {text}"))?,
        };
        if next <= bound || *value < count {
            return Err(format!("{name}: le {le} does not grow"));
        }
        (bound, count) = (next, *value);
    }
    let one = |suffix: &str| match of(suffix).collect::<Vec<_>>().as_slice() {
        [(_, labels, value)] if labels.is_empty() => Ok(*value),
        other => Err(format!("{name}{suffix}: {other:?}")),
    };
    one("_sum")?;
    match one("_count")? {
        total if bound == f64::INFINITY && total == count => Ok(()),
        total => Err(format!("{name}: {count} of {total} up to {bound}")),
    }
}

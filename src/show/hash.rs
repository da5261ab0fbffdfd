//! The hash settings for people.

use crate::table::Table;
use control::api::message::Hash;
use std::fmt::Write;

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.into()
}

pub fn hash(hash: &Hash) -> String {
    let mut table = Table::new(["", "applied", "description"]);
    for (field, on) in &hash.fields {
        let description = hash.descriptions.get(field).cloned().unwrap_or_default();
        table.row([field.clone(), on_off(*on), description]);
    }
    let mut text = table.text("");
    text.push('\n');
    let symmetric = symmetric(&hash.note, hash.symmetric, &hash.caveats);
    let seed = seed(hash.seed, &hash.seed_source, &hash.seed_file);
    let live = (!hash.live.is_empty()).then(|| {
        let words = "; a restart takes what the configuration says";
        hash.live.join(", ") + words
    });
    let algorithm = hash.algorithm.clone();
    for (name, value) in [
        ("symmetric", Some(symmetric)),
        ("seed", Some(seed)),
        ("algorithm", Some(algorithm)),
        ("set live", live),
    ] {
        if let Some(value) = value {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{name:<9}  {value}");
        }
    }
    let hashes = hash.ports.iter();
    let hashes = hashes.map(|p| (&*p.port, &*p.from, p.reason.as_deref()));
    for (from, names) in crate::nic::hashes_from(hashes) {
        let _ = writeln!(text, "hashed by  {from}: {}", names.join(", "));
    }
    for p in &hash.profiles {
        let on = p.fields.iter().filter(|(_, on)| **on);
        let on: Vec<&str> = on.map(|(name, _)| name.as_str()).collect();
        let seed = self::seed(p.seed, &p.seed_source, &p.seed_file);
        let symmetric = self::symmetric(&p.note, p.symmetric, &p.caveats);
        let _ = write!(text, "\nprofile {}: {}\n", p.name, p.prefixes.join(", "));
        let _ = writeln!(text, "  fields     {}", on.join(", "));
        let _ = writeln!(text, "  symmetric  {symmetric}");
        let _ = writeln!(text, "  seed       {seed}");
        let _ = writeln!(text, "  algorithm  {}", p.algorithm);
        let _ = writeln!(text, "  its own    {}", p.own.join(", "));
        if !p.live.is_empty() {
            let _ = writeln!(text, "  set live   {}", p.live.join(", "));
        }
    }
    text
}

fn symmetric(note: &Option<String>, on: bool, caveats: &[String]) -> String {
    let state = note.clone().unwrap_or_else(|| on_off(on));
    match caveats {
        [] => state,
        caveats => format!("{state}, but {}", caveats.join("; ")),
    }
}

/// A seed and where it is from.
fn seed(seed: u32, source: &str, file: &Option<String>) -> String {
    let source = match (file, source) {
        (Some(file), _) => format!("drawn and kept in {file}"),
        (None, "drawn") => "drawn at the start, not kept".into(),
        (None, "live") => "set live".into(),
        (None, other) => other.into(),
    };
    format!("{seed} ({source})")
}

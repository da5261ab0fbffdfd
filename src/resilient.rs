//! `evenpath show resilient`, and what `show group` says of deals that are off.

use crate::output::Done;
use clap::error::ErrorKind;
use control::api::Request;
use control::api::client::Client;
use control::api::message::{Dealt, Resilient, ResilientChanged, SetResilient};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// `evenpath set resilient`.
pub fn set(settings: &[String], dry_run: bool, socket: &Path, as_json: bool) -> Done {
    let settings = pairs(settings).map_err(|cause| {
        crate::cli::usage(
            &["set", "resilient"],
            ErrorKind::ValueValidation,
            &format!("resilient: set: {cause}"),
        )
    })?;
    let request = Request::SetResilient(SetResilient { settings, dry_run });
    crate::show::print(&Client::connect(socket)?.ask(&request)?, as_json)
}

fn pairs(words: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut settings = BTreeMap::new();
    for pair in words.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} has no value", pair.concat()));
        };
        if settings.insert(name.clone(), value.clone()).is_some() {
            return Err(format!("{name}: it is there twice; give it one value"));
        }
    }
    Ok(settings)
}

/// What a change did, for people.
pub fn changed(changed: &ResilientChanged) -> String {
    let c = changed;
    let mut text = String::new();
    let (would, moved) = match c.dry_run {
        true => ("would go from", "would move"),
        false => ("from", "moved"),
    };
    // Writing to a String cannot fail, here and below.
    for each in &c.changes {
        let _ = writeln!(
            text,
            "{}: {would} {} to {}",
            each.setting, each.from, each.to
        );
    }
    if c.changes.is_empty() {
        text.push_str("it is so already: nothing changes\n");
        return text;
    }
    for note in &c.notes {
        text.push_str(note);
        text.push('\n');
    }
    let active = c
        .active_buckets_moved
        .map(|n| format!(", {n} of them active"));
    let _ = writeln!(
        text,
        "\n{} groups get another table; {} of {} buckets {moved}{}",
        c.groups_resized,
        c.buckets_moved,
        c.buckets,
        active.unwrap_or_default()
    );
    let _ = writeln!(
        text,
        "sampled: {} of {} flows {moved}",
        c.flows_moved, c.flows
    );
    if c.surplus > 0 {
        let _ = writeln!(
            text,
            "{} buckets are left to move as they fall idle",
            c.surplus
        );
    }
    text
}

/// `resilient` for people.
pub fn words(resilient: &Resilient) -> String {
    let r = resilient;
    let seconds = |s: u64| format!("{s} s");
    let never = || "never".to_string();
    let deal = match r.deal_seed {
        Some(seed) => format!("{}, seed {seed}", r.deal),
        None => r.deal.clone(),
    };
    let in_use = format!("{} of {}", r.buckets_in_use, r.buckets_total);
    let groups = format!("{} in use, {} possible", r.groups_in_use, r.groups_possible);
    let unbalanced = format!("{} groups, {} buckets", r.groups_unbalanced, r.surplus);
    let live = (!r.live.is_empty()).then(|| {
        let words = "; a restart takes what the configuration says";
        r.live.join(", ") + words
    });
    let mut text = String::new();
    for (name, value) in [
        ("enable", Some(if r.enable { "on" } else { "off" }.into())),
        ("buckets", Some(r.buckets.to_string())),
        ("active-timer", Some(seconds(r.active_timer))),
        (
            "unbalanced-timer",
            Some(r.unbalanced_timer.map_or_else(never, seconds)),
        ),
        ("recovery", Some(r.recovery.clone())),
        ("hold-down", Some(seconds(r.hold_down))),
        ("start-timer", Some(seconds(r.start_timer))),
        ("weight-error", Some(format!("{} %", r.weight_error))),
        ("deal", Some(deal)),
        ("set live", live),
        ("buckets in use", Some(in_use)),
        ("groups", Some(groups)),
        ("out of balance", Some(unbalanced)),
        ("eased", Some(format!("{} buckets", r.eased))),
        ("routes failed", Some(r.routes_failed.to_string())),
    ] {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<16}  {value}");
        }
    }
    text
}

/// What there is to say of how a group's buckets are dealt.
pub fn notes(dealt: &Dealt) -> Vec<String> {
    let mut notes: Vec<String> = dealt.weight_error_note.iter().cloned().collect();
    if let Some(since) = dealt.unbalanced_seconds {
        notes.push(format!("out of balance for {since:.0} s"));
    }
    if !dealt.parked.is_empty() {
        let all: Vec<String> = dealt.parked.iter().map(ToString::to_string).collect();
        notes.push(format!("parked: {}", all.join(", ")));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_a_word_and_room_is_in_numbers() {
        let mut r = Resilient {
            buckets: 64,
            active_timer: 120,
            recovery: "immediate".into(),
            start_timer: 10,
            weight_error: 1.0,
            deal: "round-robin".into(),
            buckets_total: 65_536,
            buckets_in_use: 133,
            groups_in_use: 2,
            groups_possible: 1023,
            ..Resilient::default()
        };
        assert_eq!(
            words(&r),
            "\
enable            off
buckets           64
active-timer      120 s
unbalanced-timer  never
recovery          immediate
hold-down         0 s
start-timer       10 s
weight-error      1 %
deal              round-robin
buckets in use    133 of 65536
groups            2 in use, 1023 possible
out of balance    0 groups, 0 buckets
eased             0 buckets
routes failed     0
"
        );
        (r.unbalanced_timer, r.deal_seed) = (Some(30), Some(7));
        r.live = vec!["buckets".into()];
        let text = words(&r);
        for line in [
            "unbalanced-timer  30 s\n",
            "deal              round-robin, seed 7\n",
            "set live          buckets; a restart takes what the configuration says\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn only_what_is_off_is_said() {
        assert!(notes(&Dealt::default()).is_empty());
        let off = Dealt {
            weight_error_note: Some("64 buckets are fixed, 128 would do".into()),
            unbalanced_seconds: Some(12.3),
            parked: vec![[192, 0, 2, 10].into()],
        };
        let expected = [
            "64 buckets are fixed, 128 would do",
            "out of balance for 12 s",
            "parked: 192.0.2.10",
        ];
        assert_eq!(notes(&off), expected);
    }
}

//! What `evenpath calc` says to people.

use control::api::message::{Explain, Then, Way};

/// What changes make of the flow.
pub fn changed(then: &Then) -> String {
    format!(
        "then: {}: {} of {} buckets move, {}\n",
        then.changes.join(", "),
        then.buckets_moved,
        then.buckets,
        if then.moves {
            "the flow moves"
        } else {
            "the flow stays"
        }
    )
}

/// What became of it, in words.
pub fn outcome(way: &Way) -> String {
    let reason = way.reason.as_deref().unwrap_or_default();
    match way.outcome.as_str() {
        "punted" => "it is the kernel's".into(),
        "unresolved" => "its neighbor is not resolved".into(),
        "dropped" if reason == "no-route" => "no route".into(),
        other => format!("{other}: {reason}"),
    }
}

/// The last line.
pub fn last(way: &Way) -> String {
    match (&way.calc, way.member) {
        (Some(calc), _) => calc.port.clone(),
        (None, Some(member)) => member.to_string(),
        (None, None) => outcome(way),
    }
}

/// For people, but for the last line.
pub fn words(way: &Way) -> String {
    let mut text = String::new();
    if let Some(calc) = &way.calc {
        let fields: Vec<String> = calc
            .fields
            .iter()
            .map(|(k, v)| format!("{k} {v}"))
            .collect();
        text += &format!(
            "{} via {} ({} plane)\ngroup {}, bucket {} of {}\nhash {} ({}) of {}\n",
            calc.prefix,
            calc.nexthop,
            calc.plane,
            calc.group,
            calc.bucket,
            calc.buckets,
            calc.hash,
            calc.algorithm,
            fields.join(", "),
        );
    }
    for note in &way.notes {
        text += &format!("note: {note}\n");
    }
    if way.outcome == "fragmented" {
        text += "note: larger than the egress MTU: it leaves in fragments\n";
    }
    if let Some(explain) = &way.explain {
        text += &explained(explain);
    }
    text
}

fn explained(explain: &Explain) -> String {
    let mut text = String::new();
    for field in &explain.fields {
        let value = field.value.as_deref().unwrap_or("-");
        let why = field
            .why
            .as_deref()
            .map_or("counts".into(), |w| format!("does not count: {w}"));
        text += &format!("  {:<24}{value:<40}{why}\n", field.name);
    }
    let profile = explain.profile.as_deref().unwrap_or("none");
    let symmetric = if explain.symmetric { "on" } else { "off" };
    text += &format!(
        "  profile {profile}, seed {}, symmetric {symmetric}\n",
        explain.seed
    );
    for order in &explain.order {
        text += &format!("  {order}\n");
    }
    text += &format!("  plane {}\n", explain.plane);
    if let Some(choice) = &explain.choice {
        text += &format!("  the bucket's {choice} choice is taken\n");
    }
    let rewrite: Vec<String> = explain
        .rewrite
        .iter()
        .map(|(k, v)| format!("{k} {v}"))
        .collect();
    if !rewrite.is_empty() {
        text += &format!("  leaves with {}\n", rewrite.join(", "));
    }
    text
}

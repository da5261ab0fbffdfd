//! The FPM session for people.

use crate::table::Table;
use control::api::message::{Answers, Fpm};
use std::fmt::Write;

/// Answers that are to come, and those that wait for a next hop.
fn to_answer(answers: &Answers) -> String {
    match answers.unusable {
        0 => answers.waiting.to_string(),
        n => format!("{}, and {n} that have no usable next hop", answers.waiting),
    }
}

pub fn fpm(fpm: &Fpm) -> String {
    let answers = &fpm.answers;
    let mut table = Table::new(["FPM", ""]);
    let state = if fpm.connected {
        "connected"
    } else {
        "not connected"
    };
    for (name, value) in [
        ("listen", fpm.listen.clone()),
        (
            "zebra",
            format!("{state} ({} connections so far)", fpm.connections),
        ),
        ("sync", fpm.sync.clone()),
        ("not refreshed", fpm.unrefreshed.to_string()),
        ("routes", fpm.routes.to_string()),
        ("nexthops", fpm.nexthops.to_string()),
        ("parked", fpm.parked.to_string()),
        ("restarts", fpm.restarts.to_string()),
        ("frames", fpm.frames.to_string()),
        ("malformed", fpm.malformed.to_string()),
        ("no room", format!("{} routes", answers.failed)),
        ("answer", answers.policy.clone()),
        ("to answer", to_answer(answers)),
        (
            "not sent",
            format!(
                "{} superseded, {} dropped",
                answers.superseded, answers.dropped
            ),
        ),
    ] {
        table.row([name.into(), value]);
    }
    let mut text = table.text("");
    if !fpm.kept.is_empty() {
        let mut table = Table::new([
            "KEPT",
            "ROUTES",
            "BACK",
            "WITH FEWER NEXT HOPS",
            "SECONDS LEFT",
        ]);
        table.right([1, 2, 3, 4]);
        for kept in &fpm.kept {
            table.row([
                kept.of.clone(),
                kept.routes.to_string(),
                kept.back.to_string(),
                kept.fewer_nexthops.to_string(),
                format!("{:.1}", kept.left_ms as f64 / 1000.0),
            ]);
        }
        let _ = write!(text, "\n{}", table.text(""));
    }
    for (title, kinds) in [
        ("MESSAGE", &fpm.messages),
        ("SKIPPED", &fpm.skipped),
        ("ANSWER", &answers.sent),
    ] {
        if !kinds.is_empty() {
            let mut table = Table::new([title, "COUNT"]);
            table.right([1]);
            for (kind, count) in kinds {
                table.row([kind.clone(), count.to_string()]);
            }
            let _ = write!(text, "\n{}", table.text(""));
        }
    }
    if fpm.sync == "held" {
        text.push_str("\nthe resync is held; look at zebra, then: evenpath fpm release\n");
    }
    text
}

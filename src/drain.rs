//! `evenpath drain` and `undrain`.

use crate::cli;
use crate::output::Done;
use control::api::Request;
use control::api::client::Client;
use control::api::message::{Drain, DrainState, Drained};
use std::fmt::Write;
use std::path::Path;

/// `evenpath drain`.
pub fn drain(what: &cli::Drain, socket: &Path, as_json: bool) -> Done {
    let (nexthop, port) = what.nexthop.clone();
    let wanted = Drain {
        nexthop,
        port,
        back: false,
        over: what.over,
        force: what.force,
        dry_run: what.dry_run,
    };
    ask(wanted, socket, as_json)
}

/// `evenpath undrain`.
pub fn undrain(what: &cli::Undrain, socket: &Path, as_json: bool) -> Done {
    let (nexthop, port) = what.nexthop.clone();
    let wanted = Drain {
        nexthop,
        port,
        back: true,
        over: 0,
        force: false,
        dry_run: false,
    };
    ask(wanted, socket, as_json)
}

fn ask(wanted: Drain, socket: &Path, as_json: bool) -> Done {
    let request = Request::Drain(wanted);
    crate::show::print(&Client::connect(socket)?.ask(&request)?, as_json)
}

/// `drained` for people.
pub fn words(drained: &Drained) -> String {
    let on = drained.port.as_ref().map(|p| format!(" on {p}"));
    let who = format!("nexthop {}{}", drained.nexthop, on.unwrap_or_default());
    let Drained {
        groups, buckets, ..
    } = drained;
    // Writing to a String cannot fail.
    let mut text = format!("{who}: {buckets} buckets in {groups} groups");
    let lately = drained.idle_after_seconds;
    let is_asked = *buckets > 0 && lately > 0.0;
    if let Some(active) = drained.active_buckets.filter(|_| is_asked) {
        let share = 100.0 * active as f64 / *buckets as f64;
        let _ = write!(
            text,
            ", {active} ({share:.0} %) used in the last {lately} s"
        );
    }
    text.push('\n');
    if drained.dry_run {
        let _ = writeln!(
            text,
            "nothing changed; the idle ones would move at once, the rest within {} s",
            drained.seconds_left
        );
    } else {
        let (moved, left) = (drained.buckets_moved, drained.buckets_left);
        let _ = match drained.state {
            DrainState::Draining => writeln!(
                text,
                "draining: {moved} moved, {left} left, by force in {} s",
                drained.seconds_left
            ),
            DrainState::Drained => writeln!(text, "drained: {moved} moved, {left} left"),
            DrainState::InService => {
                writeln!(text, "in service: {moved} moved, it has {left} now")
            }
        };
    }
    for note in &drained.notes {
        text.push_str(note);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_moved_and_what_is_left() {
        let mut drained = Drained {
            nexthop: [169, 254, 0, 1].into(),
            port: Some("up1".into()),
            state: DrainState::Draining,
            groups: 2,
            buckets: 64,
            active_buckets: Some(16),
            buckets_moved: 48,
            buckets_left: 16,
            idle_after_seconds: 15.0,
            seconds_left: 60.0,
            dry_run: false,
            notes: vec!["one more thing".into()],
        };
        assert_eq!(
            words(&drained),
            "\
nexthop 169.254.0.1 on up1: 64 buckets in 2 groups, 16 (25 %) used in the last 15 s
draining: 48 moved, 16 left, by force in 60 s
one more thing
"
        );
        drained.dry_run = true;
        assert!(words(&drained).contains("nothing changed"));
        drained.dry_run = false;
        (drained.state, drained.idle_after_seconds) = (DrainState::InService, 0.0);
        assert!(words(&drained).contains("2 groups\nin service: 48 moved, it has 16 now"));
    }
}

//! `evenpath set`: changes of a running evenpath.

use crate::cli;
use crate::output::Done;
use crate::table::Table;
use clap::error::ErrorKind;
use control::api::Request;
use control::api::client::Client;
use control::api::message::{HashChange, HashChanged, SetHash};
use control::api::moves::{Moves, Place};
use std::fmt::Write;
use std::path::Path;

/// `evenpath set`.
pub fn set(what: &cli::Set, socket: &Path, as_json: bool) -> Done {
    let (settings, profile, dry_run) = match what {
        cli::Set::Hash {
            settings,
            profile,
            dry_run,
        } => (settings, profile, dry_run),
        cli::Set::Resilient { settings, dry_run } => {
            return crate::resilient::set(settings, *dry_run, socket, as_json);
        }
    };
    let (change, draw_seed) = change(settings).map_err(|cause| {
        cli::usage(
            &["set", "hash"],
            ErrorKind::ValueValidation,
            &format!("hash: set: {cause}"),
        )
    })?;
    let request = Request::SetHash(SetHash {
        profile: profile.clone(),
        change,
        draw_seed,
        dry_run: *dry_run,
        drawn: None,
    });
    crate::show::print(&Client::connect(socket)?.ask(&request)?, as_json)
}

/// The change that pairs of setting and value ask for, and whether to draw a seed.
fn change(settings: &[String]) -> Result<(HashChange, bool), String> {
    let mut change = HashChange::default();
    let mut draw = false;
    let mut names = Vec::new();
    for pair in settings.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} has no value", pair.concat()));
        };
        if names.contains(&name) {
            return Err(format!("{name}: it is there twice; give it one value"));
        }
        names.push(name);
        let on = || match value.as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(format!(
                "{name}: {other} is not allowed; allowed are on, off"
            )),
        };
        match name.as_str() {
            "symmetric" => change.symmetric = Some(on()?),
            "seed" if value == "random" => draw = true,
            "seed" => {
                let number = value.parse().map_err(|_| {
                    format!("seed: {value} is not allowed; allowed are random, 0..4294967295")
                })?;
                change.seed = Some(number);
            }
            "algorithm" => change.algorithm = Some(value.clone()),
            field => {
                change.fields.insert(field.into(), on()?);
            }
        }
    }
    Ok((change, draw))
}

/// `changed` for people.
pub fn words(changed: &HashChanged) -> String {
    let mut text = String::new();
    let would = if changed.dry_run {
        "would go from"
    } else {
        "from"
    };
    for c in &changed.changes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {would} {} to {}", c.setting, c.from, c.to);
    }
    if changed.changes.is_empty() {
        text.push_str("it is so already: nothing changes\n");
    }
    for note in &changed.notes {
        text.push_str(note);
        text.push('\n');
    }
    if let Some(moves) = &changed.moves {
        text.push('\n');
        text += &moved(moves, changed.dry_run);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// What moves, for people.
fn moved(moves: &Moves, dry_run: bool) -> String {
    let mut text = String::new();
    let window = moves.window_s;
    let (take, move_) = match dry_run {
        true => ("would take", "would move"),
        false => ("take", "moved"),
    };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "active in the last {window} s: {} of {} buckets, in {} of {} groups with several next hops",
        moves.buckets_active, moves.buckets, moves.groups_active, moves.groups
    );
    match (moves.share_of_flows, moves.share_of_packets) {
        (Some(flows), Some(packets)) => {
            let _ = writeln!(
                text,
                "sampled: {} flows in {} packets; {} {take} another bucket, {} another next hop",
                moves.flows,
                moves.packets_sampled,
                moves.flows_other_bucket,
                moves.flows_other_member
            );
            let (flows, packets) = (percent(flows), percent(packets));
            let _ = writeln!(
                text,
                "{move_}: {flows} of the flows, {packets} of the packets"
            );
        }
        _ => {
            let _ = writeln!(text, "no traffic with a choice seen in the last {window} s");
        }
    }
    if moves.packets_unjudged > 0 {
        let n = moves.packets_unjudged;
        let _ = writeln!(
            text,
            "not judged: {n} packets with longer headers than are sampled"
        );
    }
    if let Some(expected) = moves.expected_share {
        let expected = percent(expected);
        let _ = writeln!(text, "expected if every flow were dealt anew: {expected}");
    }
    if !moves.paths.is_empty() {
        let mut table = Table::new(["FROM", "TO", "FLOWS", "OF ALL PACKETS"]);
        table.right([2, 3]);
        for p in &moves.paths {
            let packets = percent(p.share_of_packets);
            table.row([place(&p.from), place(&p.to), p.flows.to_string(), packets]);
        }
        text.push('\n');
        text += &table.text("");
    }
    if moves.largest.len() > 1 {
        let mut table = Table::new(["GROUP", "FLOWS", "MOVE", "OF ITS FLOWS", "OF ITS PACKETS"]);
        table.right([0, 1, 2, 3, 4]);
        for g in &moves.largest {
            let numbers = [u64::from(g.group), g.flows, g.flows_other_member];
            let shares = [g.share_of_flows, g.share_of_packets].map(percent);
            table.row(numbers.map(|n| n.to_string()).into_iter().chain(shares));
        }
        text.push('\n');
        text += &table.text("");
    }
    text
}

fn place(place: &Place) -> String {
    match (&place.via, &place.port) {
        (Some(via), Some(port)) => format!("{via} {port}"),
        (None, Some(port)) => format!("on link {port}"),
        _ => "dropped".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<(HashChange, bool), String> {
        let words: Vec<String> = words.split(' ').map(String::from).collect();
        change(&words)
    }

    #[test]
    fn pairs_are_one_change() {
        let (change, draw) = read("source-port off symmetric on algorithm mix seed 7").expect("");
        assert_eq!(change.fields.get("source-port"), Some(&false));
        assert_eq!((change.symmetric, change.seed), (Some(true), Some(7)));
        assert_eq!((change.algorithm.as_deref(), draw), (Some("mix"), false));
        assert!(read("seed random").expect("").1);
        for (words, error) in [
            (
                "source-port maybe",
                "source-port: maybe is not allowed; allowed are on, off",
            ),
            (
                "seed x",
                "seed: x is not allowed; allowed are random, 0..4294967295",
            ),
            (
                "seed -1",
                "seed: -1 is not allowed; allowed are random, 0..4294967295",
            ),
            ("seed", "seed has no value"),
            (
                "source-port on seed 1 source-port off",
                "source-port: it is there twice; give it one value",
            ),
        ] {
            assert_eq!(read(words).expect_err(words), error);
        }
    }
}

//! `evenpath verify`: whether the tables are as planned.

use crate::cli;
use crate::output::{self, Done, Failure};
use control::api::client::Client;
use control::api::message::{Difference, Verified, VerifyQuery};
use control::api::{Request, Response};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The most differences that are listed.
const LISTED: usize = 1000;
/// What is marked dead is looked at again after this time: whoever sees a link go marks it at once, and
/// control's repair ends that.
const AGAIN: Duration = Duration::from_secs(1);

/// `evenpath verify`.
pub fn verify(socket: &Path, args: &cli::Verify, as_json: bool) -> Done {
    let mut client = Client::connect(socket)?;
    let begin = Instant::now();
    let mut all = audit(&mut client)?;
    if all.differences.iter().any(is_down) {
        std::thread::sleep(AGAIN);
        let still = first(&mut client)?.differences;
        all.differences.retain(|d| !is_down(d) || still.contains(d));
    }
    all.add(hardware(&mut client, args.repair)?, LISTED);
    let took = begin.elapsed();
    if as_json {
        output::json(&all)?;
    } else {
        output::text(&words(&all, Some(took)))?;
    }
    Ok(match all.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn is_down(difference: &Difference) -> bool {
    difference.found == "marked dead"
}

fn piece(client: &mut Client, query: VerifyQuery) -> Result<Verified, Failure> {
    match client.ask(&Request::Verify(query))? {
        Response::Verify(piece) => Ok(piece),
        _ => Err(Failure::run(
            "answer",
            "read",
            "it is to another question",
            None,
        )),
    }
}

/// The programs of the hardware plane: the plan goes there in pieces, then it is asked what came of it.
fn hardware(client: &mut Client, repair: bool) -> Result<Verified, Failure> {
    let mut wait = Wait::default();
    let mut query = VerifyQuery { next: None, repair };
    loop {
        match client.ask(&Request::VerifyOffload(query.clone()))? {
            Response::Verify(all) if all.next.is_none() => return Ok(all),
            Response::Verify(piece) => {
                if piece.next == query.next {
                    wait.sleep();
                }
                query.next = piece.next;
            }
            _ => {
                let cause = "it is to another question";
                return Err(Failure::run("answer", "read", cause, None));
            }
        }
    }
}

/// Between two questions of what there is no answer to yet.
#[derive(Debug)]
pub struct Wait(Duration);

impl Default for Wait {
    fn default() -> Self {
        Wait(Duration::from_millis(5))
    }
}

impl Wait {
    /// Twice as long each time, up to a fifth of a second.
    pub fn sleep(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 2).min(AGAIN / 5);
    }
}

/// The first piece of an audit: all that is not group or prefix.
fn first(client: &mut Client) -> Result<Verified, Failure> {
    piece(client, VerifyQuery::default())
}

fn audit(client: &mut Client) -> Result<Verified, Failure> {
    let mut all = Verified::default();
    loop {
        let query = VerifyQuery {
            next: all.next,
            ..VerifyQuery::default()
        };
        all.add(piece(client, query)?, LISTED);
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

/// An audit for people: a line for each difference, and a sum.
pub fn words(all: &Verified, took: Option<Duration>) -> String {
    let mut text = String::new();
    for d in &all.differences {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}: {}: planned {}, found {}",
            d.of, d.object, d.planned, d.found
        );
    }
    let checked = &all.checked;
    let differences = all.differences.len() as u64 + all.omitted;
    let verdict = match differences {
        0 => "as planned".to_owned(),
        1 => "1 difference".to_owned(),
        n => format!("{n} differences"),
    };
    let listed = match all.omitted {
        0 => String::new(),
        n => format!(", {n} of them not listed"),
    };
    let rules = match checked.rules {
        0 => String::new(),
        n => format!(", {n} rules in hardware"),
    };
    let repaired = match all.repaired {
        0 => String::new(),
        n => format!(", {n} of them put in again"),
    };
    let took = took.map_or(String::new(), |t| format!("; {:.1} s", t.as_secs_f64()));
    let _ = writeln!(
        text,
        "{verdict}{listed}{repaired}: {} prefixes ({} addresses), {} groups, {} buckets, {} nexthops, {} \
         ports{rules}{took}",
        checked.prefixes,
        checked.addresses,
        checked.groups,
        checked.buckets,
        checked.nexthops,
        checked.ports
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::api::message::Checked;

    #[test]
    fn one_line_if_all_is_well_and_one_for_each_difference() {
        let mut all = Verified {
            checked: Checked {
                ports: 3,
                nexthops: 4,
                groups: 2,
                buckets: 65,
                prefixes: 7,
                addresses: 20,
                covered: 0,
                rules: 0,
            },
            ..Verified::default()
        };
        let took = Some(Duration::from_millis(120));
        let sum = "7 prefixes (20 addresses), 2 groups, 65 buckets, 4 nexthops, 3 ports; 0.1 s\n";
        assert_eq!(words(&all, took), format!("as planned: {sum}"));
        all.differences.push(Difference {
            of: "software".into(),
            object: "prefix 10.0.0.0/8 at 10.0.0.0".into(),
            planned: "group 7".into(),
            found: "no route".into(),
        });
        let line = "software: prefix 10.0.0.0/8 at 10.0.0.0: planned group 7, found no route\n";
        assert_eq!(words(&all, took), format!("{line}1 difference: {sum}"));
        all.checked.rules = 9;
        assert!(words(&all, took).contains("3 ports, 9 rules in hardware; 0.1 s"));
        all.repaired = 1;
        let text = words(&all, took);
        assert!(
            text.contains("\n1 difference, 1 of them put in again: "),
            "{text}"
        );
        all.repaired = 0;
        all.omitted = 3;
        let text = words(&all, took);
        assert!(
            text.contains("4 differences, 3 of them not listed: "),
            "{text}"
        );
    }
}

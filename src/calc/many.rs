//! Many packets: a line for each.

use super::words::last;
use super::{Ask, not_this};
use crate::output::{self, Done, Failure};
use control::api::message::{Packet, Trace, Traced, Traces};
use control::api::{Request, Response};
use std::process::ExitCode;

/// Bytes of packets in one question, in hex: well below the largest request.
const BYTES: usize = 48 << 10;

fn size(packet: &Packet) -> usize {
    packet.frame.len() + packet.first.as_ref().map_or(0, String::len)
}

/// Where all of `packets` go.
pub fn ways(ask: &mut Ask, question: &Trace, packets: Vec<Packet>, as_json: bool) -> Done {
    let (mut done, mut code) = (0, ExitCode::SUCCESS);
    // As many as are answered at once; more, as long as all are.
    let mut at_once = 8;
    while let Some(rest) = packets.get(done..).filter(|rest| !rest.is_empty()) {
        let mut bytes = 0;
        let fits = |packet: &&Packet| {
            bytes += size(packet);
            bytes <= BYTES
        };
        let asked = rest.iter().take(at_once).take_while(fits).count();
        if asked == 0 {
            done += 1;
            code = ExitCode::FAILURE;
            let has = rest.first().map_or(0, size) / 2;
            output::text(&refused(done, has, as_json))?;
            continue;
        }
        let request = Request::Traces(Box::new(Traces {
            query: question.clone(),
            packets: rest.iter().take(asked).cloned().collect(),
        }));
        let answers = match ask(&request)? {
            Response::Traces(answers) if !answers.is_empty() => answers,
            _ => return Err(not_this()),
        };
        at_once = match answers.len() == asked {
            true => (at_once * 2).min(1024),
            false => answers.len(),
        };
        let mut text = String::new();
        for traced in &answers {
            done += 1;
            text += &line(done, traced, as_json)?;
        }
        output::text(&text)?;
    }
    Ok(code)
}

/// A packet that no question has room for: with its first fragment, `bytes`.
fn refused(number: usize, bytes: usize, as_json: bool) -> String {
    let cause = format!("not asked: {bytes} bytes, at most {}", BYTES / 2);
    match as_json {
        true => format!("{}\n", serde_json::json!({ "error": cause })),
        false => format!("{number} {cause}\n"),
    }
}

fn line(number: usize, traced: &Traced, as_json: bool) -> Result<String, Failure> {
    if as_json {
        let text = serde_json::to_string(traced);
        let failed = |e: serde_json::Error| Failure::run("answer", "print", e.to_string(), None);
        return text.map(|t| t + "\n").map_err(failed);
    }
    let now = last(&traced.now);
    let then = traced.then.as_ref().map(|then| last(&then.way));
    Ok(match then {
        Some(then) => format!("{number} {now} -> {then}\n"),
        None => format!("{number} {now}\n"),
    })
}

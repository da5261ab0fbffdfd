//! `evenpath calc`: which way a flow takes.

use crate::cli;
use crate::output::{self, Done};
use control::api::client::Client;
use control::api::message::Calc;
use control::api::{Request, Response};
use std::path::Path;

/// `evenpath calc`, on the tables of a running evenpath.
pub fn calc(args: &cli::Calc, socket: &Path, as_json: bool) -> Done {
    let request = Request::Calc(args.flow()?);
    let response = Client::connect(socket)?.ask(&request)?;
    match &response {
        Response::Calc(way) if !as_json => output::text(&words(way)),
        Response::Calc(way) => output::json(way),
        other => output::json(other),
    }
}

/// For people; the last line is the port's name alone.
fn words(way: &Calc) -> String {
    let fields: Vec<String> = way.fields.iter().map(|(k, v)| format!("{k} {v}")).collect();
    format!(
        "{} via {} ({} plane)\ngroup {}, bucket {} of {}\nhash {} ({}) of {}\n{}\n",
        way.prefix,
        way.nexthop,
        way.plane,
        way.group,
        way.bucket,
        way.buckets,
        way.hash,
        way.algorithm,
        fields.join(", "),
        way.port
    )
}

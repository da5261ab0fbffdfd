//! `evenpath calc`: which way a flow takes.

use crate::cli;
use crate::output::{self, Done, Failure};
use crate::plane;
use crate::replay::learn;
use control::api::client::{Client, ClientError};
use control::api::message::Calc;
use control::api::{Reply, Request, Response};
use control::config::Config;
use control::control::Control;
use control::event::Noticed;
use control::port::Device;
use fastpath::table::naive::NaiveLpm;
use std::path::Path;
use std::time::Instant;

/// `evenpath calc`, on the tables of a running evenpath or of a configuration.
pub fn calc(args: &cli::Calc, socket: &Path, as_json: bool) -> Done {
    let request = Request::Calc(args.flow()?);
    let response = match &args.config {
        Some(file) => offline(file, &request)?,
        None => Client::connect(socket)?.ask(&request)?,
    };
    match &response {
        Response::Calc(way) if !as_json => output::text(&words(way)),
        Response::Calc(way) => output::json(way),
        other => output::json(other),
    }
}

/// What control answers when it knows the configuration and nothing else: all ports are up, and the
/// neighbors are those written down. It learns this in the steps of a replay, since buckets remember
/// how their group grew.
fn offline(file: &Path, request: &Request) -> Result<Response, Failure> {
    let config = learn::with_netdevs(Config::load(file)?);
    let (_tables, writer, _registry) = plane::tables(&config, || Ok(NaiveLpm::default()))?;
    let devices: Vec<Device> = config
        .ports
        .iter()
        .map(|port| Device {
            mac: port.mac.unwrap_or_default(),
            mtu: port.mtu.unwrap_or(1500),
            ..Device::default()
        })
        .collect();
    let now = Noticed::now();
    let mut control = Control::new(&config, &devices, writer, now, Instant::now);
    learn::teach(&mut control, &config, None);
    match control.answer(request, now.at) {
        Reply::Ok(response) => Ok(response),
        Reply::Error(error) => Err(ClientError::Refused(error).into()),
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

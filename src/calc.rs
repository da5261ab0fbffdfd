//! `evenpath calc`: which way a flow takes. Called as `cl-ecmpcalc` it speaks as that does.

mod capture;
mod groups;
mod many;
mod packet;
mod words;

use crate::cli;
use crate::output::{self, Done, Failure};
use crate::plane;
use crate::replay::learn;
use clap::error::ErrorKind;
use control::api::client::{Client, ClientError};
use control::api::message::{Sport, Sports, Trace, Traced};
use control::api::{Reply, Request, Response};
use control::config::Config;
use control::control::Control;
use control::event::Noticed;
use control::port::Device;
use fastpath::table::naive::NaiveLpm;
pub use groups::words as foreseen;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use words::{changed, last, outcome, words};

/// What cl-ecmpcalc says of its usage.
const USAGE: &str = "usage: cl-ecmpcalc [-h] [-v] [-p PROTOCOL] [-s SRC] [--sport SPORT] [-d DST]
                   [--dport DPORT] [--vid VID] [-i IN_INTERFACE]
                   [--sportid SPORTID] [--smodid SMODID] [-o OUT_INTERFACE]
                   [--dportid DPORTID] [--dmodid DMODID] [--hardware]
                   [--nohardware] [-hs HASHSEED]
                   [-hf HASHFIELDS [HASHFIELDS ...]]
                   [--hashfunction {crc16-ccitt,crc16-bisync}] [-e EGRESS]
                   [-c MCOUNT]
";

/// The name that errors begin with.
pub fn name() -> &'static str {
    let name = std::env::args_os().next();
    match cli::is_ecmpcalc(name.as_deref()) {
        true => "cl-ecmpcalc",
        false => "evenpath",
    }
}

/// A wrong command line in the words of cl-ecmpcalc, when called so.
pub fn usage(error: &clap::Error) -> Option<String> {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if name() == "evenpath" || is_help {
        return None;
    }
    let text = error.to_string();
    let words = text.lines().next().unwrap_or_default();
    let words = words.strip_prefix("error: ").unwrap_or(words);
    Some(format!("{USAGE}cl-ecmpcalc: error: {words}\n"))
}

type Ask = Box<dyn FnMut(&Request) -> Result<Response, Failure>>;

fn trace(ask: &mut Ask, question: Trace) -> Result<Traced, Failure> {
    match ask(&Request::Trace(Box::new(question)))? {
        Response::Trace(traced) => Ok(*traced),
        _ => Err(not_this()),
    }
}

fn not_this() -> Failure {
    Failure::run("answer", "read", "it is to another question", None)
}

/// `evenpath calc`, on the tables of a running evenpath or of a configuration.
pub fn calc(args: &cli::Calc, socket: &Path, as_json: bool) -> Done {
    let drop_in = name() != "evenpath";
    if drop_in && !as_json {
        // The plane that forwards; hardware groups are not in this version.
        output::text("ecmpcalc: will query software\n")?;
    }
    for note in args.others.notes() {
        eprintln!("{}: note: {note}", name());
    }
    if let Some(of) = args.groups {
        let question = of.question(&args.what_if, args.buckets);
        return groups::foresee(&mut asking(args, socket)?, question, as_json);
    }
    let mut question = args.question()?;
    let mut packets = match (&args.pcap, &args.hex) {
        (Some(file), _) => packet::from_file(file, args.all)?,
        (None, Some(text)) => vec![packet::from_hex(text)?],
        (None, None) => Vec::new(),
    };
    let mut ask = asking(args, socket)?;
    if args.all {
        return many::ways(&mut ask, &question, packets, as_json);
    }
    let packet = packets.pop();
    if let Some(packet) = &packet {
        question.packet = Some(packet.frame.clone());
        question.first.clone_from(&packet.first);
    }
    if let Some(to) = &args.find_sport {
        return find(&mut ask, question, to, args.count.into(), as_json);
    }
    let traced = trace(&mut ask, question)?;
    let left = traced.then.as_ref().map_or(&traced.now, |then| &then.way);
    if packet.is_none() && left.calc.is_none() && left.member.is_none() {
        let destination = args.destination.map(|d| d.to_string()).unwrap_or_default();
        return Err(Failure::run(
            format!("flow to {destination}"),
            "calc",
            outcome(left),
            None,
        ));
    }
    if let Some(expected) = &args.out_interface {
        let cause = match &left.calc {
            Some(calc) if calc.port == *expected => None,
            Some(calc) => Some(format!("it leaves by {}, not {expected}", calc.port)),
            None => Some(format!(
                "it does not leave by {expected}: {}",
                outcome(left)
            )),
        };
        if let Some(cause) = cause {
            return Err(Failure::run("flow", "calc -o", cause, None));
        }
    }
    if as_json {
        return output::json(&traced);
    }
    if drop_in {
        return output::text(&format!("{}\n", last(left)));
    }
    let mut text = String::from("ecmpcalc: will query software\n");
    if let Some(then) = &traced.then {
        text += &words(&traced.now);
        text += &format!("now: {}\n", last(&traced.now));
        text += &changed(then);
    }
    text += &words(left);
    text += &format!("{}\n", last(left));
    output::text(&text)
}

/// Somebody to ask: the running evenpath, or control with the configuration alone.
fn asking(args: &cli::Calc, socket: &Path) -> Result<Ask, Failure> {
    let ingress = args.ingress.clone().unwrap_or_default();
    let read = move |reply: Result<Response, ClientError>| match reply {
        Ok(response) => Ok(response),
        Err(ClientError::Refused(error)) if error.object == "flags" => {
            let kind = ErrorKind::MissingRequiredArgument;
            Err(cli::calc_error(kind, &error.cause).into())
        }
        Err(ClientError::Refused(mut error)) => {
            if error.object == format!("port {ingress}") {
                if let Some(why) = virtual_kind(&ingress) {
                    error.cause = format!("{ingress} is {why}: only physical ports of evenpath");
                }
            }
            Err(ClientError::Refused(error).into())
        }
        Err(error) => Err(error.into()),
    };
    if let Some(file) = &args.config {
        let mut control = offline(file)?;
        let now = Instant::now();
        return Ok(Box::new(move |request| {
            read(match control.answer(request, now) {
                Reply::Ok(response) => Ok(response),
                Reply::Error(error) => Err(ClientError::Refused(error)),
            })
        }));
    }
    let mut client = Client::connect(socket)?;
    Ok(Box::new(move |request| read(client.ask(request))))
}

/// What an interface is that the kernel has and that is no port.
fn virtual_kind(name: &str) -> Option<&'static str> {
    if name.contains('/') {
        return None;
    }
    let folder = Path::new("/sys/class/net").join(name);
    let uevent = std::fs::read_to_string(folder.join("uevent")).ok()?;
    let kind = uevent.lines().find_map(|l| l.strip_prefix("DEVTYPE="));
    Some(match kind {
        Some("bridge") => "a bridge",
        Some("bond") => "a bond",
        Some("vlan") => "a VLAN subinterface",
        Some("vxlan") => "a VXLAN interface",
        _ if name == "lo" => "the loopback",
        _ if folder.join("device").exists() => "no port of evenpath",
        _ => "a virtual interface",
    })
}

/// Control that knows the configuration and nothing else: all ports are up, and the neighbors are
/// those written down. It learns this in the steps of a replay, since buckets remember how their
/// group grew.
pub fn offline(file: &Path) -> Result<Control<NaiveLpm>, Failure> {
    let config = learn::with_netdevs(Config::load(file)?);
    let (_tables, writer, _registry) = plane::tables(&config, || Ok(NaiveLpm::default()))?;
    let devices: Vec<Device> = config
        .ports
        .iter()
        .map(|port| Device {
            mac: port.mac.unwrap_or_default(),
            mtu: port.mtu.unwrap_or(1500),
            // As in a replay: captures come from elsewhere.
            any_mac: true,
            ..Device::default()
        })
        .collect();
    let mut control = Control::new(&config, &devices, writer, Noticed::now(), Instant::now);
    learn::teach(&mut control, &config, None);
    Ok(control)
}

/// Asks page by page for source ports.
fn find(ask: &mut Ask, mut question: Trace, to: &str, count: usize, as_json: bool) -> Done {
    let (mut found, mut members): (Vec<Sport>, Vec<_>) = (Vec::new(), Vec::new());
    let mut from = 0;
    loop {
        question.sports = Some(Sports {
            to: to.into(),
            from,
        });
        let Some(page) = trace(ask, question.clone())?.sports else {
            break;
        };
        members = page.members;
        for sport in page.found {
            let same = |f: &Sport| f.port == sport.port && f.nexthop == sport.nexthop;
            let enough = if to == "all" {
                found.iter().any(same)
            } else {
                found.len() >= count
            };
            if !enough {
                found.push(sport);
            }
        }
        let whole = if to == "all" { members.len() } else { count };
        match page.next.filter(|_| found.len() < whole) {
            Some(next) => from = next,
            None => break,
        }
    }
    let missed = members.iter().filter(|(port, via)| {
        to == "all" && !found.iter().any(|f| f.port == *port && f.nexthop == *via)
    });
    let missed: Vec<String> = missed.map(|m| m.0.clone()).collect();
    if found.is_empty() || !missed.is_empty() {
        let object = if missed.is_empty() {
            to.to_string()
        } else {
            missed.join(", ")
        };
        let cause = "no source port of this flow takes that way".to_string();
        return Err(Failure::run(object, "calc --find-sport", cause, None));
    }
    if as_json {
        return output::json(&found);
    }
    let via = |s: &Sport| s.nexthop.map_or(String::new(), |v| format!(" via {v}"));
    let lines: Vec<String> = found
        .iter()
        .map(|s| format!("{} {}{}\n", s.sport, s.port, via(s)))
        .collect();
    output::text(&lines.concat())?;
    Ok(ExitCode::SUCCESS)
}

//! The command line: what can be asked for, and its help.

pub mod bench;
mod calc;
pub mod export;
mod groups;
mod offload;
mod protocol;

pub use bench::Bench;
pub use calc::{Calc, arguments, is_ecmpcalc, wrong as calc_error};
pub use export::{Export, Testpmd, Verify};

use offload::OffloadOf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use control::api::Request;
use control::api::message::{GroupQuery, RouteQuery};
use control::config::DEFAULT_SOCKET;
use control::prefix::Prefix;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Router fast path for DPUs: FRR's ECMP routes forwarded by DPDK.
#[derive(Debug, Parser)]
#[command(name = "evenpath", version = env!("EVENPATH_VERSION"), arg_required_else_help = true)]
#[command(after_help = "Exit code: 0 done, 1 failed, 2 wrong usage.\n\nExamples:
  evenpath config default > evenpath.toml
  evenpath config check evenpath.toml
  evenpath run -c evenpath.toml
  evenpath show route 10.0.0.1
  evenpath calc -i host0 -s 10.244.1.2 -d 10.0.0.1 -p tcp --sport 20000 --dport 80")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// The socket of the running evenpath.
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// An error with the usage of a command, such as `set hash`.
pub fn usage(path: &[&str], kind: ErrorKind, words: &str) -> clap::Error {
    let mut command = <Cli as clap::CommandFactory>::command();
    command.build();
    let mut found = Some(&mut command);
    for name in path {
        found = found.and_then(|command| command.find_subcommand_mut(name));
    }
    match found {
        Some(command) => command.error(kind, words),
        None => clap::Error::raw(kind, words),
    }
}

/// The same of a command of one word.
fn wrong(command: &str, kind: ErrorKind, words: &str) -> clap::Error {
    usage(&[command], kind, words)
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Forward packets until told to stop.
    Run(Run),
    /// Forward recorded packets from files to files.
    Replay(Replay),
    /// Print, check or import a configuration.
    #[command(subcommand)]
    Config(Config),
    /// Show what a running evenpath knows and does.
    #[command(subcommand)]
    Show(Show),
    /// Change a running evenpath; the configuration file stays as it is.
    #[command(subcommand)]
    Set(Set),
    /// Take a next hop out of its groups without breaking flows.
    Drain(Drain),
    /// Let a drained next hop back in.
    Undrain(Undrain),
    /// Measure how many packets a second the workers forward.
    Bench(Box<Bench>),
    /// Say which port and next hop a flow takes.
    Calc(Box<Calc>),
    /// Write programs of the hardware plane out for others.
    #[command(subcommand)]
    Export(Export),
    /// Compare a running evenpath's tables with what is planned.
    Verify(Verify),
    /// Act on the FPM session.
    #[command(subcommand)]
    Fpm(Fpm),
}

/// `evenpath run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Ends on SIGINT or SIGTERM with exit code 0. What is logged: RUST_LOG=debug.\n\nExamples:
  evenpath run -c /etc/evenpath.toml"
)]
pub struct Run {
    /// The configuration; `evenpath config default` prints one.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `evenpath replay`.
#[derive(Args, Debug)]
#[command(
    after_help = "Needs neither root nor FRR nor a NIC. Each port's output is DIR/PORT.pcap.
in + icmp-sent + fragments = out + dropped + punted.\n\nExamples:
  evenpath replay -c evenpath.toml --in host0=flows.pcap --out replayed
  evenpath replay -c evenpath.toml --in host0=flows.pcap --out replayed --fpm zebra.fpm --json"
)]
pub struct Replay {
    /// The configuration: ports, and what else the kernel and FRR would tell.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Frames that come in on a port; once for each port.
    #[arg(long = "in", value_name = "PORT=FILE.pcap", required = true, value_parser = input)]
    pub inputs: Vec<(String, PathBuf)>,
    /// Where the files of sent frames go; made if absent.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What zebra wrote to its FPM server; several files are one stream.
    #[arg(long, value_name = "FILE")]
    pub fpm: Vec<PathBuf>,
}

fn input(text: &str) -> Result<(String, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((port, file)) if !port.is_empty() && !file.is_empty() => {
            Ok((port.into(), file.into()))
        }
        _ => Err("expected PORT=FILE.pcap"),
    }
}

/// `evenpath config`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  evenpath config default > evenpath.toml
  evenpath config check evenpath.toml
  evenpath config import               what this host's /etc/cumulus/datapath says
  evenpath config import --root /mnt/leaf01 >> evenpath.toml
  evenpath config import traffic.conf nvue_traffic.conf")]
pub enum Config {
    /// Print a file with every setting, its default and what it means.
    Default,
    /// Check a file and print everything that is wrong with it.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the settings that Cumulus Linux's traffic.conf amounts to.
    Import {
        /// Files; a name that ends in nvue_traffic.conf takes precedence. Default: traffic.conf and
        /// nvue_traffic.conf of /etc/cumulus/datapath, as far as they exist.
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where /etc/cumulus/datapath is looked for.
        #[arg(
            long,
            value_name = "DIR",
            default_value = "/",
            conflicts_with = "files"
        )]
        root: PathBuf,
    },
}

/// `evenpath show`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  evenpath show route                  all routes
  evenpath show route 10.0.0.0/8       the route of this prefix
  evenpath show route 10.1.2.3         the route that this address takes
  evenpath show group 1 --json
  evenpath show group 1 --buckets      each bucket: packets, bytes, how long idle")]
pub enum Show {
    /// Routes, with their next hops.
    Route {
        /// A prefix, or an address.
        #[arg(value_name = "PREFIX|ADDRESS")]
        of: Option<RouteOf>,
    },
    /// Groups of the fast path and how their buckets are dealt.
    Group {
        /// One of them.
        id: Option<u32>,
        /// Each bucket of it: what it forwarded, and how long it has been idle.
        #[arg(long, requires = "id")]
        buckets: bool,
    },
    /// Next hops.
    Nexthop,
    /// Neighbors.
    Neighbor,
    /// Ports.
    Port,
    /// Packet counters.
    Counters,
    /// The FPM session with zebra.
    Fpm,
    /// The hash settings in force.
    Hash,
    /// How long repairs took after links, ports and neighbors went or came, part by part.
    Failover,
    /// The rules of groups: buckets, timers, room.
    Resilient,
    /// What the NIC forwards by itself, and why not the rest.
    Offload {
        /// This prefix or group, too.
        #[arg(value_name = "PREFIX|GROUP")]
        of: Option<OffloadOf>,
    },
    /// What happened lately.
    Events,
    /// Figures for monitoring, in Prometheus' text format.
    Metrics,
}

/// A prefix or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOf {
    /// The route of this prefix.
    Prefix(Prefix),
    /// The route that this address takes.
    Address(IpAddr),
}

impl FromStr for RouteOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return text
                .parse()
                .map(RouteOf::Prefix)
                .map_err(|e: control::prefix::PrefixError| e.to_string());
        }
        let address = text.parse().map(RouteOf::Address);
        address.map_err(|_| "expected a prefix (10.0.0.0/8) or an address (10.1.2.3)".into())
    }
}

impl Show {
    /// The request that this is.
    pub fn request(&self) -> Request {
        match self {
            Show::Route { of } => Request::ShowRoute(match of {
                None => RouteQuery::default(),
                Some(RouteOf::Prefix(prefix)) => RouteQuery {
                    prefix: Some(*prefix),
                    ..RouteQuery::default()
                },
                Some(RouteOf::Address(address)) => RouteQuery {
                    address: Some(*address),
                    ..RouteQuery::default()
                },
            }),
            Show::Group { id, buckets } => Request::ShowGroup(GroupQuery {
                id: *id,
                buckets: *buckets,
            }),
            Show::Nexthop => Request::ShowNexthop,
            Show::Neighbor => Request::ShowNeighbor,
            Show::Port => Request::ShowPort,
            Show::Counters => Request::ShowCounters,
            Show::Fpm => Request::ShowFpm,
            Show::Hash => Request::ShowHash,
            Show::Failover => Request::ShowFailover,
            Show::Resilient => Request::ShowResilient,
            Show::Offload { of } => Request::ShowOffload(OffloadOf::query(*of)),
            Show::Events => Request::ShowEvents,
            Show::Metrics => Request::ShowMetrics,
        }
    }
}

/// `evenpath set`.
#[derive(Debug, Subcommand)]
pub enum Set {
    /// The hash: fields, symmetric, seed, algorithm; several at once change together.
    #[command(after_help = "Examples:
  evenpath set hash source-port off destination-port off
  evenpath set hash seed random
  evenpath set hash ipv6-label off --profile anycast --dry-run")]
    Hash {
        /// FIELD on|off, symmetric on|off, seed N|random, algorithm NAME.
        #[arg(required = true, num_args = 2.., allow_negative_numbers = true, value_names = ["SETTING", "VALUE"])]
        settings: Vec<String>,
        /// Settings of this [[hash-profile]].
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// Change nothing; say what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// The rules of groups: buckets, timers, recovery; several at once change together.
    #[command(after_help = "Examples:
  evenpath set resilient buckets 1024 --dry-run
  evenpath set resilient enable on active-timer 60 unbalanced-timer never")]
    Resilient {
        /// enable on|off, buckets N, active-timer S, unbalanced-timer S|never, recovery NAME,
        /// hold-down S, start-timer S, weight-error PERCENT.
        #[arg(required = true, num_args = 2.., allow_negative_numbers = true, value_names = ["SETTING", "VALUE"])]
        settings: Vec<String>,
        /// Change nothing; say what would move.
        #[arg(long)]
        dry_run: bool,
    },
}

/// `evenpath drain`.
#[derive(Args, Debug)]
#[command(
    after_help = "New flows keep away from it at once where the hash allows; buckets in use stay until they
fall idle, and what is left at the end is moved by force. `show nexthop` tells how far it is.

Examples:
  evenpath drain 169.254.0.1 --over 60s
  evenpath drain fe80::1@up1 --over 0 --dry-run"
)]
pub struct Drain {
    /// The next hop's address, with @PORT if several ports have it.
    #[arg(value_name = "NEXTHOP[@PORT]", value_parser = nexthop)]
    pub nexthop: (IpAddr, Option<String>),
    /// How long buckets in use may stay: 0..86400 seconds, or as 90s, 10m, 2h.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = seconds)]
    pub over: u32,
    /// Also if a group has no other next hop: that group goes on using it.
    #[arg(long)]
    pub force: bool,
    /// Change nothing; say how many buckets would move.
    #[arg(long)]
    pub dry_run: bool,
}

/// `evenpath undrain`.
#[derive(Args, Debug)]
pub struct Undrain {
    /// The next hop's address, with @PORT if several ports have it.
    #[arg(value_name = "NEXTHOP[@PORT]", value_parser = nexthop)]
    pub nexthop: (IpAddr, Option<String>),
}

fn nexthop(text: &str) -> Result<(IpAddr, Option<String>), String> {
    let (address, port) = match text.split_once('@') {
        Some((address, port)) if !port.is_empty() => (address, Some(port.to_owned())),
        Some(_) => return Err("expected ADDRESS or ADDRESS@PORT".into()),
        None => (text, None),
    };
    let address = address
        .parse()
        .map_err(|_| format!("{address} is not an IP address"))?;
    Ok((address, port))
}

/// A time in seconds, 0 to 86400.
fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let seconds = number.parse::<u32>().ok().and_then(|n| n.checked_mul(unit));
    let allowed = seconds.filter(|s| *s <= 86_400);
    allowed.ok_or_else(|| "expected 0..86400 seconds: 60, 90s, 10m, 2h".into())
}

/// `evenpath fpm`.
#[derive(Debug, Subcommand)]
pub enum Fpm {
    /// Sweep now what a held resync did not bring back.
    Release,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_next_hops() {
        for (text, expected) in [
            ("0", 0),
            ("60", 60),
            ("90s", 90),
            ("10m", 600),
            ("24h", 86_400),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "s", "-1", "25h", "1.5m", "4294967295h", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        let at = nexthop("fe80::1@up1").expect("with a port");
        assert_eq!(
            (at.0.to_string(), at.1.as_deref()),
            ("fe80::1".into(), Some("up1"))
        );
        assert_eq!(nexthop("10.0.0.1").expect("alone").1, None);
        assert!(nexthop("10.0.0.1@").is_err() && nexthop("up1").is_err());
    }
}

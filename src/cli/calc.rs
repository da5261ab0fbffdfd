//! `evenpath calc`: the flags of cl-ecmpcalc and ours.

use super::groups::GroupOf;
use super::protocol::Protocol;
use clap::{Args, error::ErrorKind};
use control::api::message::{Flow, Trace, Tunnel};
use control::calc::what_if::{Change, field};
use fastpath::wire::transport::has_ports;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::PathBuf;

/// Flags that say of a flow what a packet says itself.
const BY_FLAGS: [&str; 15] = [
    "source",
    "destination",
    "protocol",
    "sport",
    "dport",
    "vid",
    "flow_label",
    "teid",
    "qp",
    "inner_src",
    "inner_dst",
    "inner_protocol",
    "inner_sport",
    "inner_dport",
    "inner_flow_label",
];

/// `evenpath calc`.
#[derive(Args, Debug)]
#[command(
    after_help = "Without --json the last line is the port's name alone.\n\nExamples:
  evenpath calc -i host0 -s 10.244.1.2 -d 10.0.0.1 -p tcp --sport 20000 --dport 80
  evenpath calc -i host0 -s 2001:db8:1::2 -d 2001:db8:2::1 -p icmp --json
  evenpath calc -i host0 --pcap trace.pcap:7 --explain
  evenpath calc -i host0 --pcap trace.pcap --all --what-if down:up1 --json
  evenpath calc -i host0 -s 10.244.1.2 -d 10.0.0.1 -p 47 --what-if down:up1 --what-if seed=7
  evenpath calc -i host0 -s 10.244.1.2 -d 10.0.0.1 -p udp --dport 53 --find-sport all
  evenpath calc --what-if down:up1 --group all
  evenpath calc --what-if buckets=1024 --group 10.0.0.0/8 --buckets --json
  evenpath calc -c evenpath.toml -i host0 -s 10.244.1.2 -d 10.0.0.1 -p 47"
)]
pub struct Calc {
    /// Port that the flow comes in on, by its name or its netdev's.
    #[arg(
        short = 'i',
        long = "in-interface",
        value_name = "PORT",
        required_unless_present = "groups"
    )]
    pub ingress: Option<String>,
    /// Source address.
    #[arg(short, long = "src", value_name = "ADDRESS", required_unless_present_any = ["pcap", "hex", "groups"])]
    pub source: Option<IpAddr>,
    /// Destination address.
    #[arg(short, long = "dst", value_name = "ADDRESS", required_unless_present_any = ["pcap", "hex", "groups"])]
    pub destination: Option<IpAddr>,
    /// tcp, udp, icmp, sctp, gre, esp, or 0..255.
    #[arg(short, long, value_name = "PROTOCOL", required_unless_present_any = ["pcap", "hex", "groups"])]
    pub protocol: Option<Protocol>,
    /// Source port.
    #[arg(long, value_name = "N")]
    pub sport: Option<u16>,
    /// Destination port.
    #[arg(long, value_name = "N")]
    pub dport: Option<u16>,
    /// VLAN id of the frames: the port must accept it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub vid: Option<u16>,
    /// IPv6 flow label.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=0xfffff))]
    pub flow_label: u32,
    /// Tunnel endpoint id of a GTP-U flow.
    #[arg(long, value_name = "N")]
    pub teid: Option<u32>,
    /// Destination queue pair of a RoCEv2 flow.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=0xffffff))]
    pub qp: Option<u32>,
    /// Source address inside the tunnel.
    #[arg(long, value_name = "ADDRESS")]
    pub inner_src: Option<IpAddr>,
    /// Destination address inside the tunnel.
    #[arg(long, value_name = "ADDRESS")]
    pub inner_dst: Option<IpAddr>,
    /// Protocol inside the tunnel.
    #[arg(long, value_name = "PROTOCOL")]
    pub inner_protocol: Option<Protocol>,
    /// Source port inside the tunnel.
    #[arg(long, value_name = "N")]
    pub inner_sport: Option<u16>,
    /// Destination port inside the tunnel.
    #[arg(long, value_name = "N")]
    pub inner_dport: Option<u16>,
    /// IPv6 flow label inside the tunnel.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=0xfffff))]
    pub inner_flow_label: Option<u32>,
    /// A packet in place of flags: number N (from 1, the default) of a pcap or pcapng file.
    #[arg(long, value_name = "FILE[:N]", conflicts_with = "hex", conflicts_with_all = BY_FLAGS)]
    pub pcap: Option<String>,
    /// All packets of the file, a line for each: its number and its port; with --json an object.
    #[arg(long, requires = "pcap", conflicts_with_all = ["find_sport", "out_interface"])]
    pub all: bool,
    /// A frame in place of flags, in hex, also as tcpdump -xx prints it.
    #[arg(long, value_name = "STRING", conflicts_with_all = BY_FLAGS)]
    pub hex: Option<String>,
    /// Say why: each field, settings, choice of the bucket, new header.
    #[arg(long)]
    pub explain: bool,
    /// What if: down:PORT, down:NEXTHOP or NEXTHOP@PORT, up:…, add:NEXTHOP@PORT or NEXTHOP@PORT*WEIGHT
    /// (another weight, if it is there), remove:NEXTHOP or NEXTHOP@PORT, drain:NEXTHOP or NEXTHOP*SECONDS,
    /// undrain:…, or what `set hash` takes as SETTING=VALUE, several of them at once with commas, of a
    /// profile with @NAME: seed=7, sport=off,dport=off@anycast; with --group also what `set resilient`
    /// takes: buckets=1024. Several changes are made one after another.
    #[arg(long, value_name = "CHANGE", value_parser = change)]
    pub what_if: Vec<String>,
    /// What the changes would do to this group, the group of this route, or all groups: which buckets,
    /// active buckets and flows move, from where to where.
    #[arg(long = "group", id = "groups", value_name = "ID|PREFIX|ADDRESS|all", requires = "what_if",
        conflicts_with_all = ["ingress", "source", "destination", "protocol", "pcap", "hex", "find_sport",
            "hash_seed", "hash_fields", "egress", "mcount", "explain", "out_interface"])]
    pub groups: Option<GroupOf>,
    /// With --group: the numbers of the buckets that move.
    #[arg(long, requires = "groups")]
    pub buckets: bool,
    /// Source ports of this flow that take this way; all: one for each member.
    #[arg(long, value_name = "PORT|NEXTHOP|all", conflicts_with = "what_if")]
    pub find_sport: Option<String>,
    /// How many to find.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub count: u16,
    /// -hs N: calculate with this seed in place of the one in force.
    #[arg(long = "hash-seed", value_name = "N")]
    pub hash_seed: Option<u32>,
    /// -hf FIELD...: calculate with these fields alone, by our names or those of Cumulus
    /// (sip dip sport dport ip_prot).
    #[arg(long = "hash-fields", value_name = "FIELD", num_args = 1.., value_parser = field_name)]
    pub hash_fields: Vec<String>,
    /// Calculate on this group (show group), whatever the route is.
    #[arg(short = 'e', long, value_name = "GROUP")]
    pub egress: Option<u32>,
    /// -c N: calculate on N equal members, and print the member's number, from 0.
    #[arg(long = "mcount", value_name = "N")]
    pub mcount: Option<u32>,
    /// The flow is expected to leave there: fails if it does not.
    #[arg(short = 'o', long = "out-interface", value_name = "PORT", conflicts_with_all = ["mcount", "find_sport"])]
    pub out_interface: Option<String>,
    /// Ask no running evenpath, but what it would do with this configuration alone.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub others: Others,
}

/// Flags of cl-ecmpcalc about silicon that is not here: accepted with a note.
#[derive(Args, Debug)]
pub struct Others {
    #[arg(short, long, hide = true)]
    verbose: bool,
    #[arg(long, hide = true)]
    sportid: Option<String>,
    #[arg(long, hide = true)]
    smodid: Option<String>,
    #[arg(long, hide = true)]
    dportid: Option<String>,
    #[arg(long, hide = true)]
    dmodid: Option<String>,
    #[arg(long, hide = true)]
    hardware: bool,
    #[arg(long, hide = true)]
    nohardware: bool,
    #[arg(long, hide = true, value_parser = ["crc16-ccitt", "crc16-bisync"])]
    hashfunction: Option<String>,
}

impl Others {
    /// Which of them are there, and what to do instead.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        [
            (self.verbose, "-v", "--explain says why"),
            (self.sportid.is_some(), "--sportid", "ports have names: -i"),
            (self.smodid.is_some(), "--smodid", "there are no modules"),
            (self.dportid.is_some(), "--dportid", "ports have names: -o"),
            (self.dmodid.is_some(), "--dmodid", "there are no modules"),
            (
                self.hardware,
                "--hardware",
                "the plane that forwards is asked",
            ),
            (
                self.nohardware,
                "--nohardware",
                "the plane that forwards is asked",
            ),
            (
                self.hashfunction.is_some(),
                "--hashfunction",
                "the algorithm in force counts",
            ),
        ]
        .into_iter()
        .filter(|(is_there, ..)| *is_there)
        .map(|(_, flag, instead)| format!("{flag} has no effect here: {instead}"))
    }
}

fn change(text: &str) -> Result<String, String> {
    text.parse::<Change>().map(|_| text.to_string())
}

fn field_name(text: &str) -> Result<String, String> {
    let known = field(text).map(|f| f.name().to_string());
    known.ok_or_else(|| "no such field; `evenpath show hash` lists them".into())
}

/// Called as cl-ecmpcalc.
pub fn is_ecmpcalc(name: Option<&OsStr>) -> bool {
    let name = name.and_then(|n| std::path::Path::new(n).file_name());
    name == Some(OsStr::new("cl-ecmpcalc"))
}

/// The command line with the two-letter flags of cl-ecmpcalc as long ones, and the subcommand that
/// its name stands for.
pub fn arguments(all: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = all.into_iter().collect();
    let drop_in = is_ecmpcalc(all.first().map(OsString::as_os_str));
    if drop_in {
        all.insert(1, "calc".into());
    }
    // Before the subcommand only options stand, and one of them takes a value.
    let mut at = 1;
    while all
        .get(at)
        .is_some_and(|a| a.as_encoded_bytes().starts_with(b"-"))
    {
        at += if all[at] == "--socket" { 2 } else { 1 };
    }
    if all.get(at).is_none_or(|a| a != "calc") {
        return all;
    }
    for i in at + 1..all.len() {
        let is_number = |a: &OsString| {
            let text = a.to_str().unwrap_or_default();
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
        };
        let long = match all[i].to_str() {
            Some("-hs") => "--hash-seed",
            Some("-hf") => "--hash-fields",
            Some("-c") if drop_in || all.get(i + 1).is_some_and(is_number) => "--mcount",
            _ => continue,
        };
        all[i] = long.into();
    }
    all
}

/// An error with the usage of `calc`.
pub fn wrong(kind: ErrorKind, words: &str) -> clap::Error {
    super::wrong("calc", kind, words)
}

impl Calc {
    /// The flow, or what is missing.
    fn flow(&self) -> Result<Option<Flow>, clap::Error> {
        let (Some(source), Some(destination), Some(protocol)) =
            (self.source, self.destination, self.protocol)
        else {
            return Ok(None);
        };
        let protocol = protocol.number(source.is_ipv4());
        let sport = self.sport.or(self.find_sport.as_ref().map(|_| 0));
        if has_ports(protocol) && (sport.is_none() || self.dport.is_none()) {
            let words = match protocol {
                6 | 17 => "--sport and --dport required for TCP and UDP frames",
                _ => "--sport and --dport required for SCTP, DCCP and UDP-Lite frames",
            };
            return Err(wrong(ErrorKind::MissingRequiredArgument, words));
        }
        if !has_ports(protocol) && (sport.is_some() || self.dport.is_some()) {
            let words = "--sport and --dport are for TCP, UDP, SCTP, DCCP and UDP-Lite frames only";
            return Err(wrong(ErrorKind::ArgumentConflict, words));
        }
        if source.is_ipv4() != destination.is_ipv4() {
            let words = "-s and -d must both be IPv4 or both IPv6";
            return Err(wrong(ErrorKind::ArgumentConflict, words));
        }
        Ok(Some(Flow {
            ingress: self.ingress.clone().unwrap_or_default(),
            source,
            destination,
            protocol,
            source_port: sport.unwrap_or(0),
            destination_port: self.dport.unwrap_or(0),
            flow_label: self.flow_label,
        }))
    }

    /// The question, but for a packet.
    pub fn question(&self) -> Result<Trace, clap::Error> {
        let is_ipv4 = self
            .inner_src
            .or(self.inner_dst)
            .is_none_or(|a| a.is_ipv4());
        let tunnel = Tunnel {
            teid: self.teid,
            qp: self.qp,
            source: self.inner_src,
            destination: self.inner_dst,
            protocol: self.inner_protocol.map(|p| p.number(is_ipv4)),
            source_port: self.inner_sport,
            destination_port: self.inner_dport,
            flow_label: self.inner_flow_label,
        };
        let mut assume = Vec::new();
        if !self.hash_fields.is_empty() {
            let all = fastpath::hash::Field::ALL.map(|field| {
                let on = self.hash_fields.iter().any(|f| f == field.name());
                format!("{}={}", field.name(), if on { "on" } else { "off" })
            });
            assume.push(all.join(","));
        }
        assume.extend(self.hash_seed.map(|seed| format!("seed={seed}")));
        Ok(Trace {
            flow: self.flow()?,
            tunnel: Some(tunnel).filter(|t| *t != Tunnel::default()),
            vid: self.vid,
            ingress: self.ingress.clone(),
            group: self.egress,
            members: self.mcount,
            assume,
            what_if: self.what_if.clone(),
            explain: self.explain,
            ..Trace::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letter_flags_and_the_other_name() {
        let rewritten = |line: &str| {
            let all = arguments(line.split(' ').map(OsString::from));
            let all: Vec<_> = all
                .iter()
                .map(|a| a.to_string_lossy().into_owned())
                .collect();
            all.join(" ")
        };
        for (line, long) in [
            (
                "evenpath calc -hs 7 -hf sip dip",
                "evenpath calc --hash-seed 7 --hash-fields sip dip",
            ),
            ("evenpath calc -c 4", "evenpath calc --mcount 4"),
            ("evenpath calc -c a.toml", "evenpath calc -c a.toml"),
            (
                "evenpath --socket s calc -hs 7",
                "evenpath --socket s calc --hash-seed 7",
            ),
            (
                "/usr/bin/cl-ecmpcalc -c 4 -v",
                "/usr/bin/cl-ecmpcalc calc --mcount 4 -v",
            ),
            ("evenpath show -hs", "evenpath show -hs"),
            ("evenpath", "evenpath"),
        ] {
            assert_eq!(rewritten(line), long);
        }
    }
}

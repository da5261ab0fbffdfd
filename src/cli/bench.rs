//! `evenpath bench`: what is measured.

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use control::config;
use fastpath::hash::{Field, Fields};
use std::path::PathBuf;

/// Bytes of the frame check sequence, which a frame's size counts and no driver hands over.
pub const CHECK_SEQUENCE: u16 = 4;

/// `evenpath bench`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Needs neither root nor a NIC nor FRR. Tables, hash and workers are those of `evenpath run`; routes
come as zebra would send them. The floor is the same queues polled and sent on, nothing looked at,
in turns with the forwarding, on the same cores.

Examples:
  evenpath bench --routes 1000 --members 16
  evenpath bench --routes 500000 --members 64 --ports 32 --duration 10 --json
  evenpath bench --family 6 --routes 1000 --burst 4
  evenpath bench --encap vxlan
  evenpath bench --packets flows.pcap
  evenpath bench --device 0000:03:00.0 --device 0000:03:00.1
  evenpath bench --device net_ring0 --device net_null0,no-rx=1 --feed"
)]
pub struct Bench {
    /// Prefixes, their lengths spread as in the Internet's tables: 1..1000000.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub routes: u32,
    /// Next hops of each group, equal weights: 1..1024.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub members: u32,
    /// Groups, each of other next hops; routes take them in turn: 1..32768.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub groups: u32,
    /// Ports that the next hops are on, in turn; packets come in on the first: 1..32; default: 1, or as
    /// many as devices are given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub ports: Option<u16>,
    /// Flows, to destinations over all routes, each packet of another than the one before;
    /// default: 4096, or as many as routes if that is more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub flows: Option<u32>,
    /// Bytes of a frame, its check sequence counted: up to 1518; the smallest, and the default: 64, of
    /// IPv6 66, of packets in tunnels more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(64..=1518))]
    pub frame_size: Option<u16>,
    /// The most packets taken from a queue at once: 1..64.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub burst: u16,
    /// IP version of routes and packets.
    #[arg(long, value_name = "4|6", default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=6))]
    pub family: u8,
    /// What each packet carries; the hash then takes the fields of the packet inside as well, and of
    /// GTP-U the tunnel's id.
    #[arg(long, value_enum, default_value_t = Encap::None)]
    pub encap: Encap,
    /// Buckets of each group: a power of two from 64 to 4096.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub buckets: u32,
    /// Workers, one core each, the last ones of those there are: 1..64.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// What the ports are: `pcap` (a file read again and again; what is sent is freed), `null` (the same,
    /// sent to net_null), or your own: a PCI address or DPDK device arguments, once for each. Packets
    /// come in on the first of yours and go out by the others.
    #[arg(long, value_name = "pcap|null|DEVICE", default_value = "pcap", value_parser = device)]
    pub device: Vec<Device>,
    /// Sends the packets by the first device itself, which must hand in what it sends: a ring, a cable
    /// from its transmitter to its receiver. The time for it does not count.
    #[arg(long)]
    pub feed: bool,
    /// Only writes the packets to this file, for whoever sends them to your devices.
    #[arg(long, value_name = "FILE.pcap")]
    pub packets: Option<PathBuf>,
    /// Seconds of measuring, half of it the floor: 1..3600.
    #[arg(long, value_name = "S", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub duration: u32,
    /// Route changes a second that control makes in every third slice: each takes another group.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub updates: u32,
    /// Next hops a second that are lost, or come back, likewise; their groups change.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub group_updates: u32,
    /// Measures nothing: forwards some thousand packets, for a program that counts their instructions, and
    /// prints how many.
    #[arg(long, hide = true)]
    pub count: bool,
    /// What routes, flows and the hash are made from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u32,
}

/// What the ports of a measurement are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// net_pcap: a file read again and again; what is sent is freed.
    Pcap,
    /// Packets from net_pcap as above, sent to net_null.
    Null,
    /// A device of the operator's: what it is, and the words for it.
    Given(config::Device, String),
}

/// That of `--device`.
fn device(text: &str) -> Result<Device, &'static str> {
    match text {
        "pcap" => return Ok(Device::Pcap),
        "null" => return Ok(Device::Null),
        _ => {}
    }
    match config::Device::parse(text) {
        Some(config::Device::Xdp(_)) => {
            Err("xdp: is for `evenpath run`; give net_af_xdp0,iface=NETDEV")
        }
        Some(config::Device::Tap(_)) => {
            Err("tap: is for `evenpath run`; give net_af_packet0,iface=NETDEV")
        }
        Some(given) => Ok(Device::Given(given, text.into())),
        None => Err(
            "expected pcap, null, a PCI address or DPDK device arguments, such as \
                     net_ring0",
        ),
    }
}

impl Device {
    /// Its name in figures.
    pub fn name(&self) -> &str {
        match self {
            Device::Pcap => "pcap",
            Device::Null => "null",
            Device::Given(_, words) => words,
        }
    }
}

/// What the packets of a measurement carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encap {
    /// Nothing of interest.
    None,
    /// VXLAN (RFC 7348): a frame with UDP over IPv4.
    Vxlan,
    /// GTP-U (3GPP TS 29.281) as 5G has it, with a PDU session container: UDP over IPv4.
    Gtp,
}

impl Encap {
    /// The name of `--encap`.
    pub const fn name(self) -> &'static str {
        match self {
            Encap::None => "none",
            Encap::Vxlan => "vxlan",
            Encap::Gtp => "gtp",
        }
    }

    /// The fields that are hashed.
    pub fn fields(self) -> Fields {
        let more = Field::INNER.iter().filter(|_| self != Encap::None);
        let fields = more.fold(Fields::default(), |set, field| set.with(*field, true));
        fields.with(Field::GtpTeid, self == Encap::Gtp)
    }

    /// Bytes behind the outer UDP header, at least.
    pub const fn smallest(self) -> u16 {
        const UDP_OVER_IPV4: u16 = 20 + 8;
        match self {
            Encap::None => 0,
            Encap::Vxlan => 8 + 14 + UDP_OVER_IPV4,
            Encap::Gtp => 8 + 4 + 4 + UDP_OVER_IPV4,
        }
    }
}

impl Bench {
    /// Flows.
    pub fn flows(&self) -> u32 {
        self.flows.unwrap_or(self.routes.max(4096))
    }

    /// What the ports are, as it was given.
    pub fn device_names(&self) -> String {
        let names: Vec<_> = self.device.iter().map(Device::name).collect();
        names.join(" ")
    }

    /// The operator's devices, in their order.
    pub fn given(&self) -> Vec<&config::Device> {
        let given = self.device.iter().filter_map(|device| match device {
            Device::Given(given, _) => Some(given),
            _ => None,
        });
        given.collect()
    }

    /// Ports by which nothing is sent, the first ones.
    pub fn inputs(&self) -> u16 {
        match self.given().len() {
            0 => u16::from(self.device.contains(&Device::Null)),
            devices => u16::from(devices > 1),
        }
    }

    /// Ports that next hops are on.
    pub fn outputs(&self) -> u16 {
        match self.given().len() {
            0 => self.ports.unwrap_or(1),
            devices => devices as u16 - self.inputs(),
        }
    }

    /// Packets are IPv6.
    pub fn is_v6(&self) -> bool {
        self.family == 6
    }

    /// The smallest frame with a UDP packet in it, bytes, the check sequence counted.
    fn smallest(&self) -> u16 {
        let (headers, least) = if self.is_v6() { (62, 66) } else { (42, 64) };
        (headers + self.encap.smallest() + CHECK_SEQUENCE).max(least)
    }

    /// Bytes of a frame, its check sequence counted.
    pub fn frame_size(&self) -> u16 {
        self.frame_size.unwrap_or(self.smallest())
    }

    /// What is wrong with the devices.
    fn check_devices(&self) -> Result<(), clap::Error> {
        let wrong = |words: &str| Err(super::wrong("bench", ErrorKind::ValueValidation, words));
        let (given, all) = (self.given().len(), self.device.len());
        let what = self.device.last().map_or("", Device::name);
        if all > 1 && given < all {
            let words = "invalid values for '--device': pcap and null stand alone";
            return wrong(words);
        }
        if given > 32 {
            return wrong("invalid values for '--device': DPDK has 32 ports");
        }
        if given == 0 && self.feed {
            let words = format!(
                "invalid value '{what}' for '--device' with --feed: it has packets of its own; give \
                 a device that hands in what it sends, such as net_ring0"
            );
            return wrong(&words);
        }
        if let Some(ports) = self.ports {
            if given > 0 {
                return wrong(&format!(
                    "invalid value '{ports}' for '--ports <N>': there are as many as devices given"
                ));
            }
            if self.inputs() + ports > 32 {
                return wrong(&format!(
                    "invalid value '{ports}' for '--ports <N>': this device takes a port more, and \
                     DPDK has 32"
                ));
            }
        }
        Ok(())
    }

    /// What is wrong with the arguments together.
    pub fn check(&self) -> Result<(), clap::Error> {
        let wrong = |name: &str, value: u32, why: &str| {
            let words = format!("invalid value '{value}' for '--{name} <N>': {why}");
            Err(super::wrong("bench", ErrorKind::ValueValidation, &words))
        };
        if self.family == 5 {
            return wrong("family", 5, "there are 4 and 6");
        }
        let size = self.frame_size();
        if size < self.smallest() {
            let why = format!("such a packet takes {} bytes", self.smallest());
            return wrong("frame-size", size.into(), &why);
        }
        let allowed = control::config::Resilient::buckets_of(self.buckets.into());
        if allowed.is_none_or(|buckets| buckets < self.members) {
            let why = "expected a power of two from 64 to 4096, no less than the members";
            return wrong("buckets", self.buckets, why);
        }
        self.check_devices()?;
        if self.updates != 0 && self.groups == 1 {
            let why = "routes change from one group to another: give --groups 2";
            return wrong("updates", self.updates, why);
        }
        if self.group_updates != 0 && self.members == 1 {
            let why = "what loses its only next hop drops packets: give --members 2 or more";
            return wrong("group-updates", self.group_updates, why);
        }
        if self.flows() < self.workers.into() {
            let why = format!("each of {} workers needs one of its own", self.workers);
            return wrong("flows", self.flows(), &why);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn parsed(arguments: &str) -> Result<Bench, String> {
        let words = ["evenpath", "bench"].into_iter();
        let cli = Cli::try_parse_from(words.chain(arguments.split_whitespace()));
        match cli.map_err(|error| error.to_string())?.command {
            Command::Bench(bench) => Ok(*bench),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn defaults_fit_the_family_and_the_routes() {
        let plain = parsed("").unwrap();
        assert_eq!((plain.flows(), plain.frame_size()), (4096, 64));
        let large = parsed("--family 6 --routes 500000").unwrap();
        assert_eq!((large.flows(), large.frame_size()), (500_000, 66));
        assert!(plain.check().is_ok() && large.check().is_ok());
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        for (arguments, words) in [
            ("--family 5", "'5' for '--family <N>'"),
            (
                "--family 6 --frame-size 65",
                "'65' for '--frame-size <N>': such a packet takes 66",
            ),
            ("--encap vxlan --frame-size 95", "such a packet takes 96"),
            ("--encap gtp --family 6 --frame-size 64", "takes 110"),
            ("--buckets 100", "'100' for '--buckets <N>'"),
            (
                "--members 65",
                "'64' for '--buckets <N>': expected a power of two",
            ),
            ("--updates 100", "give --groups 2"),
            ("--workers 2 --flows 1", "'1' for '--flows <N>'"),
            ("--updates 9", "'9' for '--updates <N>': routes change from"),
            ("--group-updates 9 --members 1", "'--group-updates <N>'"),
            ("--device null --ports 32", "'32' for '--ports <N>'"),
            ("--device net_ring0 --ports 2", "as many as devices given"),
            ("--device pcap --device net_ring0", "stand alone"),
            ("--feed", "'pcap' for '--device' with --feed"),
        ] {
            let error = parsed(arguments).unwrap().check().unwrap_err();
            assert!(error.to_string().contains(words), "{arguments}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for arguments in ["--routes 0", "--ports 33", "--burst 65", "--device eth0"] {
            assert!(parsed(arguments).is_err(), "{arguments}");
        }
    }
}

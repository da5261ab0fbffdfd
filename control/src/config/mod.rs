//! The startup file: TOML text to validated types. Every default of evenpath is in `defaults`.
//!
//! Names and values are a contract (`evenpath config default` prints all of them). Unknown keys are
//! errors, and so is every value out of range: all problems of a file are found in one go.

mod answer;
mod check;
pub mod cumulus;
mod defaults;
mod metrics;
mod nearest;
pub mod offload;
mod port;
mod print;
mod problem;
mod profile;
mod reader;
mod sections;
mod seed;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use defaults::DEFAULT_SOCKET;
pub use metrics::Metrics;
pub(crate) use nearest::nearest;
pub use print::commented;
pub use problem::{LoadError, Problem, Problems};
pub use seed::{Beside, SeedWarning, draw_seed, kept_seed, new_seed, seed_file};

use crate::deal::{Deal, Recovery, Rules};
use crate::prefix::Prefix;
use crate::quota::Ppm;
pub use fastpath::hash::Algorithm;
use fastpath::hash::{Field, Fields};
use fastpath::table::PortId;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[eal]`.
    pub eal: Eal,
    /// `[[port]]`, at most 64; the index is the [`PortId`].
    pub ports: Vec<Port>,
    /// `[fpm]`.
    pub fpm: Fpm,
    /// `[hash]`.
    pub hash: Hash,
    /// `[[hash-profile]]`.
    pub hash_profiles: Vec<HashProfile>,
    /// `[resilient]`.
    pub resilient: Resilient,
    /// `[tables]`.
    pub tables: Tables,
    /// `[icmp]`.
    pub icmp: Icmp,
    /// `[api]`.
    pub api: Api,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[offload]`.
    pub offload: offload::Offload,
    /// `[state]`.
    pub state: State,
    /// `[[address]]`.
    pub addresses: Vec<Address>,
    /// `[[neighbor]]`.
    pub neighbors: Vec<Neighbor>,
    /// `[[route]]`.
    pub routes: Vec<Route>,
}

/// Cores and memory: what EAL and the workers are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eal {
    /// Where workers run.
    pub cores: Cores,
    /// Whether packet memory is in huge pages.
    pub hugepages: Hugepages,
    /// Memory in MiB, 32 to 1,048,576; none: as much as is needed.
    pub memory_mib: Option<u32>,
    /// DPDK drivers in shared libraries of their own, paths as `dlopen` takes them.
    pub plugins: Vec<String>,
}

/// `eal.cores`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// One worker, on a core that control is not on, if there are two.
    Auto,
    /// One worker a core, on these, ascending.
    List(Vec<u16>),
}

/// `eal.hugepages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hugepages {
    /// When there are any free.
    Auto,
    /// Refuse to start without.
    Always,
    /// Do without: about 40 % slower.
    Never,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// How routes, `calc` and `show` call it: 1 to 15 letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// What carries its packets; none: only `replay` and `calc` can use it.
    pub device: Option<Device>,
    /// Who carries what belongs to the kernel.
    pub kernel: Kernel,
    /// Our MAC address; none: the device's.
    pub mac: Option<[u8; 6]>,
    /// L3 MTU in bytes, 68 to 9600; none: the device's.
    pub mtu: Option<u16>,
    /// VLAN id of its frames, 1 to 4094; 0: untagged.
    pub vlan: u16,
    /// Where its packets come from, for the hardware plane of a DPU.
    pub side: offload::Side,
}

/// `port.device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// `xdp:NETDEV`: af_xdp with our own XDP program.
    Xdp(String),
    /// `tap:NETDEV`: a tap to which tc redirects.
    Tap(String),
    /// A PCI address, possibly with device arguments.
    Pci(String),
    /// DPDK device arguments of a virtual or other bus device, as they are.
    Devargs(String),
}

impl Device {
    /// The netdev that the device is made from, where the kernel has one.
    pub fn netdev(&self) -> Option<&str> {
        match self {
            Device::Xdp(netdev) | Device::Tap(netdev) => Some(netdev),
            Device::Pci(_) => None,
            Device::Devargs(args) => {
                let (driver, args) = args.split_once(',')?;
                let driver = driver.trim_start_matches("vdev:");
                ["net_af_xdp", "net_af_packet"]
                    .iter()
                    .any(|name| driver.starts_with(name))
                    .then(|| args.split(',').find_map(|arg| arg.strip_prefix("iface=")))?
            }
        }
    }
}

/// `port.kernel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The netdev with the addresses; the NIC or our program leaves the kernel's packets to it.
    Netdev(String),
    /// The port is exclusively ours: a tap of the port's name stands for it in the kernel.
    Tap,
    /// There is no kernel; the port is up until told otherwise.
    None,
}

/// The FPM session with zebra.
#[derive(Clone, Debug, PartialEq)]
pub struct Fpm {
    /// Listen at all.
    pub enable: bool,
    /// Where zebra connects to. There is no authentication: keep it on loopback.
    pub listen: SocketAddr,
    /// The route that zebra sends last in a resync; its arrival ends the resync. Never forwarded.
    pub sentinel: Option<Prefix>,
    /// Without a sentinel a resync ends when nothing came for this long: 1 to 3600 s.
    pub settle: Duration,
    /// A resync that brings back less than this share of the routes, in percent, is held and not
    /// swept; 0: never held.
    pub hold_below_percent: u8,
    /// Routes that a protocol has lost all at once are kept so long, for its restart to bring them
    /// back: 0 to 3600 s; 0: not at all.
    pub restart_hold: Duration,
    /// What zebra is told of routes that software forwards.
    pub answer: Answer,
}

/// The flow hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The fields that matter.
    pub fields: Fields,
    /// Both directions of a flow take the same way.
    pub symmetric: bool,
    /// The seed.
    pub seed: Seed,
    /// The mixer.
    pub algorithm: Algorithm,
}

/// Hash settings of their own for some destinations; what is not given is that of `[hash]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashProfile {
    /// How `set` and `show` call it: 1 to 15 letters, digits, `_`, `-`.
    pub name: String,
    /// The destinations; the longest prefix of all profiles counts.
    pub prefixes: Vec<Prefix>,
    /// Fields that are on or off here.
    pub fields: BTreeMap<Field, bool>,
    /// Both directions of a flow take the same way.
    pub symmetric: Option<bool>,
    /// The seed.
    pub seed: Option<Seed>,
    /// The algorithm.
    pub algorithm: Option<Algorithm>,
}

/// `hash.seed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Drawn once and kept in the state directory: see [`draw_seed`].
    Random,
    /// This one.
    Fixed(u32),
}

/// Resilient hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resilient {
    /// Groups have a fixed number of buckets.
    pub enable: bool,
    /// Buckets of every group, a power of two from 64 to 4096.
    pub buckets: u32,
    /// A bucket idle for this long may move: 1 to 65535 s.
    pub active_timer: Duration,
    /// A group unbalanced for this long is balanced by force: 1 to 4294967294 s; none: never.
    pub unbalanced_timer: Option<Duration>,
    /// What a member that returns gets; none: `idle` when enabled, else `immediate`.
    pub recovery: Option<Recovery>,
    /// A member that returns counts as away for this long: 0 to 65535 s.
    pub hold_down: Duration,
    /// In the first so many seconds of a route its next hops get their share at once: 0 to 3600 s.
    pub start_timer: Duration,
    /// How far a member may be from its exact share when not enabled: 100 to 1,000,000 parts per
    /// million.
    pub weight_error: Ppm,
    /// How buckets are dealt.
    pub deal: DealBy,
    /// The seed of rendezvous; none: the hash's at start.
    pub deal_seed: Option<u32>,
}

/// How buckets are dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DealBy {
    /// `round-robin`: in turns, with regard to who has which already.
    RoundRobin,
    /// `rendezvous`: by what the members are, alike on every router with this seed.
    Rendezvous,
}

impl DealBy {
    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            DealBy::RoundRobin => "round-robin",
            DealBy::Rendezvous => "rendezvous",
        }
    }
}

impl Resilient {
    /// `n` buckets, if so many are allowed: a power of two from 64 to 4096.
    pub fn buckets_of(n: u64) -> Option<u32> {
        let allowed = n.is_power_of_two() && (64..=4096).contains(&n);
        u32::try_from(n).ok().filter(|_| allowed)
    }

    /// What `recovery` calls `name`; `auto`: none.
    pub fn recovery_of(name: &str) -> Option<Option<Recovery>> {
        let all = Recovery::ALL.into_iter().map(Some).chain([None]);
        all.into_iter()
            .find(|r| r.map_or("auto", Recovery::name) == name)
    }

    /// A bound of `percent`, if that is allowed: 0.01 to 100.
    pub fn weight_error_of(percent: f64) -> Option<Ppm> {
        let allowed = (0.01..=100.0).contains(&percent);
        allowed.then(|| (percent * 10_000.0).round() as Ppm)
    }

    /// The rules of groups; `hash_seed` is that of the start.
    pub fn rules(&self, hash_seed: u32) -> Rules {
        let default = match self.enable {
            true => Recovery::Idle,
            false => Recovery::Immediate,
        };
        Rules {
            resilient: self.enable,
            buckets: self.buckets as usize,
            bound: self.weight_error,
            recovery: self.recovery.unwrap_or(default),
            hold_down: self.hold_down,
            start_timer: self.start_timer,
            active_timer: self.active_timer,
            unbalanced_timer: self.unbalanced_timer,
            deal: match self.deal {
                DealBy::RoundRobin => Deal::RoundRobin,
                DealBy::Rendezvous => Deal::Rendezvous(self.deal_seed.unwrap_or(hash_seed)),
            },
        }
    }
}

/// Sizes of the forwarding tables; fixed at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// IPv4 prefixes, 1 to 4,000,000.
    pub routes_ipv4: u32,
    /// IPv6 prefixes, 1 to 1,000,000.
    pub routes_ipv6: u32,
    /// Groups, 64 to 65,536.
    pub groups: u32,
    /// Buckets of all groups, 4,096 to 16,777,216.
    pub buckets: u32,
    /// Adjacencies, 256 to 1,048,576.
    pub adjacencies: u32,
}

/// ICMP errors that we make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// At most so many a second and worker, 0 to 1,000,000; 0: none.
    pub rate: u32,
}

/// The api socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its absolute path, at most 107 bytes.
    pub socket: PathBuf,
}

/// What outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its absolute directory.
    pub directory: PathBuf,
}

/// An address of ours on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The port.
    pub port: PortId,
    /// The address itself.
    pub address: IpAddr,
    /// Length of the connected prefix.
    pub prefix_len: u8,
}

impl Address {
    /// The connected prefix.
    pub fn prefix(&self) -> Prefix {
        Prefix::containing(self.address, self.prefix_len).unwrap_or(Prefix::host(self.address))
    }
}

/// A neighbor that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The port it is on.
    pub port: PortId,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: [u8; 6],
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its prefix.
    pub prefix: Prefix,
    /// What becomes of a packet.
    pub target: Target,
}

/// What a static route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Forwards to one of these, at least one.
    Nexthops(Vec<Nexthop>),
    /// Drops in silence.
    Blackhole,
    /// Drops, answers host unreachable.
    Unreachable,
    /// Drops, answers administratively prohibited.
    Prohibit,
}

/// A next hop of a static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nexthop {
    /// Gateway; none: the destination is on the link.
    pub via: Option<IpAddr>,
    /// The port it leaves by.
    pub port: PortId,
    /// 1 to 256.
    pub weight: u16,
}

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|cause| LoadError::Read {
            path: path.into(),
            cause,
        })?;
        Config::parse(&text).map_err(|problems| LoadError::Content {
            path: path.into(),
            problems,
        })
    }

    /// Checks `text`; finds every problem, not only the first.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        sections::parse(text)
    }

    /// The port called `name`.
    pub fn port(&self, name: &str) -> Option<PortId> {
        let index = self.ports.iter().position(|p| p.name == name)?;
        u16::try_from(index).ok().map(PortId)
    }

    /// The name of `port`; `?` of one that is not configured.
    pub fn port_name(&self, port: PortId) -> &str {
        self.ports.get(port.0 as usize).map_or("?", |p| &p.name)
    }

    /// Ports, addresses, neighbors and routes in words: what `config check` prints.
    pub fn summary(&self) -> String {
        let count =
            |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        [
            count(self.ports.len(), "port", "ports"),
            count(self.addresses.len(), "address", "addresses"),
            count(self.neighbors.len(), "neighbor", "neighbors"),
            count(self.routes.len(), "static route", "static routes"),
        ]
        .join(", ")
    }
}

//! What answers hold: routes, groups, ports and the rest, as `--json` prints them.

use super::failover::Failover;
use super::resilient::Dealt;
use crate::prefix::Prefix;
use fastpath::table::DropReason;
use fastpath::table::stats::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most routes of one answer: keeps the control thread from standing still over a full table.
pub const ROUTES_PER_ANSWER: usize = 2048;

/// A part of the routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// At most [`ROUTES_PER_ANSWER`].
    pub routes: Vec<Route>,
    /// Ask again with this as `after`; none: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Prefix>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// Its prefix.
    pub prefix: Prefix,
    /// Who wants it: `fpm`, `static`, `connected`, `local`.
    pub source: String,
    /// The protocol behind it, if known: `bgp`, `static`, `kernel`, `186`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The one in the fib, among those of the same prefix.
    pub selected: bool,
    /// `unicast`, `local`, `connected`, `blackhole`, `unreachable`, `prohibit`.
    pub kind: String,
    /// The fast path's group, if it forwards by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Its next hops.
    #[serde(default)]
    pub nexthops: Vec<Member>,
    /// Why it does not forward though it should, e.g. `nexthop group 34 unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A next hop as member of a route or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// Gateway; none: the destination is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Port, by name.
    pub port: String,
    /// Weight, 1 and up.
    pub weight: u32,
    /// `up`, or why not: `port-down`, `unresolved`, `failed`.
    pub state: String,
    /// Buckets it has; in groups only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// Packets that its buckets forwarded, in this group and those that it followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Their bytes, as they came in: Ethernet header included, no frame check sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Packets that hardware sent to it in addition, whatever group they were for: hardware counts by
    /// next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_packets: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_bytes: Option<u64>,
}

/// A group of the fast path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// Its id; stays when members change.
    pub id: u32,
    /// Its size in buckets.
    pub buckets: u32,
    /// How many of them forwarded a packet in the last 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_buckets: Option<u32>,
    /// Routes that use it.
    pub routes: u64,
    /// Where it forwards: `software`, `partial` or `hw`.
    pub plane: String,
    /// Its members.
    pub members: Vec<Member>,
    /// What else there is to know of how its buckets are dealt.
    #[serde(flatten)]
    pub dealt: Dealt,
    /// zebra's nexthop-group ids that stand for it now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fpm_ids: Vec<u32>,
    /// The worst member's distance from its exact share of the buckets, relative to that share.
    #[serde(default)]
    pub weight_error: f64,
    /// Buckets held beyond what their owners are due: they move as they fall idle.
    #[serde(default)]
    pub surplus: u32,
    /// How evenly it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// Its buckets one by one, if asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Bucket>,
}

/// How evenly a group was used lately, by samples of its packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Balance {
    /// Lately: so many seconds.
    pub window_s: u64,
    /// Flows that were sampled.
    pub flows: u64,
    /// Packets of the busiest member, relative to its share of the buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_over_mean: Option<f64>,
    /// Coefficient of variation of the members' packets, relative to their shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<f64>,
    /// The probability that flows come out as unevenly by chance (chi-squared over the members);
    /// none: too few flows to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// What that amounts to.
    pub verdict: Verdict,
}

/// Whose doing it is when a group is not used evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No packet of it was seen.
    #[default]
    NoTraffic,
    /// There is only one member to use.
    OneMember,
    /// So few flows come out unevenly by chance.
    FewFlows,
    /// It is used evenly.
    Even,
    /// Few flows carry most of the packets.
    LargeFlows,
    /// Buckets are yet to move to new members.
    UnevenDeal,
    /// Flows do not spread by the fields that are hashed.
    UnevenHash,
    /// The traffic that comes in uses few of the buckets: a router before this one hashes alike.
    Polarised,
}

impl Verdict {
    /// What to tell an operator, if there is something to tell.
    pub const fn advice(self) -> Option<&'static str> {
        match self {
            Verdict::NoTraffic | Verdict::OneMember | Verdict::FewFlows | Verdict::Even => None,
            Verdict::LargeFlows => {
                Some("few flows carry most packets: no hash can spread those of one flow")
            }
            Verdict::UnevenDeal => Some("new members wait for buckets to fall idle"),
            Verdict::UnevenHash => {
                Some("flows differ little in what is hashed: turn more fields on")
            }
            Verdict::Polarised => Some(
                "traffic is polarised: it comes in few of the buckets, as from a router that \
                 hashes alike; set another seed here or there",
            ),
        }
    }
}

/// A bucket of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bucket {
    /// Its number: the low bits of the hash.
    pub bucket: u32,
    /// Gateway of the member that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Its port, by name; none: no member is usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Packets forwarded.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Milliseconds since it was last seen to forward one, by a reading every 250; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Nexthop {
    /// Gateway; none: the destination is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Port, by name.
    pub port: String,
    /// `up`, or why not: `port-down`, `unresolved`, `failed`.
    pub state: String,
    /// The neighbor's MAC address, if resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The fast path's adjacency, if resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjacency: Option<u32>,
    /// Groups that have it as a member.
    pub groups: u64,
    /// Buckets that it has there.
    #[serde(default)]
    pub buckets: u64,
    /// `draining`, `drained`, `hold-down`: why it gets no buckets though it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Seconds until that ends; for `draining`, until what is left is moved by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds_left: Option<f64>,
    /// Packets that hardware sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_packets: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_bytes: Option<u64>,
}

/// A neighbor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Neighbor {
    /// Port, by name.
    pub port: String,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// `reachable`, `stale`, `delay`, `probe`, `permanent`, `noarp`, `incomplete`, `failed`.
    pub state: String,
    /// `kernel`, `zebra` or `static`.
    pub source: String,
    /// A next hop needs it: it is kept resolved.
    pub wanted: bool,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its number: the order of the configuration.
    pub id: u16,
    /// `up` or `down`.
    pub state: String,
    /// Why it is down: `admin-down`, `no-carrier`, `no-netdev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The netdev of the kernel, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Its MAC address.
    pub mac: String,
    /// L3 MTU, bytes.
    pub mtu: u16,
    /// VLAN id, 0: untagged.
    pub vlan: u16,
    /// Its addresses, `ADDRESS/LENGTH`.
    pub addresses: Vec<String>,
    /// Where the hashes of its packets are from: `nic` or `software`.
    #[serde(default)]
    pub hash: String,
    /// Why they are computed by software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_reason: Option<String>,
}

/// Packet counters, summed over workers. At rest, over all ports:
/// in + from-kernel + icmp-sent + fragments = out + sum(dropped) + punted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    /// By port name.
    pub ports: BTreeMap<String, PortCounters>,
    /// By reason; only those that are not zero.
    pub dropped: BTreeMap<String, u64>,
    /// Packets given to the kernel.
    pub punted: u64,
    /// ICMP errors made by us.
    pub icmp_sent: u64,
    /// Frames beyond the first of fragmented packets.
    pub fragments: u64,
    /// Fragments that came in to be routed.
    #[serde(default)]
    pub fragments_in: u64,
    /// Later ones of these that took the path of their first.
    #[serde(default)]
    pub fragments_matched: u64,
    /// Later ones that had to wait for their first.
    #[serde(default)]
    pub fragments_waited: u64,
    /// Later ones that went by their addresses: their first did not come in time.
    #[serde(default)]
    pub fragments_by_addresses: u64,
    /// How long repairs took; not in the summary of a replay, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Box<Failover>>,
    /// What zebra was told of its routes; not in the summary of a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fpm_answers: Option<Box<Answers>>,
}

/// Packet counters of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortCounters {
    /// Packets received.
    #[serde(rename = "in")]
    pub input: u64,
    /// Packets sent.
    #[serde(rename = "out")]
    pub output: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Packets that came from the kernel's side of an exclusive port; `out` has them too.
    pub from_kernel: u64,
    /// What the device lost; not in the summary of a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceCounters>,
}

/// Packets that a device lost: no worker saw those that came in (`struct rte_eth_stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceCounters {
    /// For want of a free descriptor: workers were too slow, or descriptors too few.
    pub missed: u64,
    /// For want of a packet buffer.
    pub no_buffer: u64,
    /// Damaged ones that came in.
    pub in_errors: u64,
    /// Those that it could not send.
    pub out_errors: u64,
}

impl Counters {
    /// `snapshot` by the names of the ports, in the order of the configuration.
    pub fn new<'n>(snapshot: &Snapshot, names: impl IntoIterator<Item = &'n str>) -> Self {
        let ports = names.into_iter().zip(&snapshot.ports).map(|(name, port)| {
            let counters = PortCounters {
                input: port.in_packets,
                output: port.out_packets,
                in_bytes: port.in_bytes,
                out_bytes: port.out_bytes,
                from_kernel: port.kernel_packets,
                device: None,
            };
            (name.to_owned(), counters)
        });
        let dropped = DropReason::ALL
            .into_iter()
            .map(|reason| (reason.name().to_owned(), snapshot.dropped(reason)));
        Counters {
            ports: ports.collect(),
            dropped: dropped.filter(|(_, packets)| *packets != 0).collect(),
            punted: snapshot.punted,
            icmp_sent: snapshot.icmp_sent,
            fragments: snapshot.fragments,
            fragments_in: snapshot.fragments_in,
            fragments_matched: snapshot.fragments_matched,
            fragments_waited: snapshot.fragments_waited,
            fragments_by_addresses: snapshot.fragments_by_addresses,
            failover: None,
            fpm_answers: None,
        }
    }
}

/// The FPM session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fpm {
    /// Where we listen.
    pub listen: String,
    /// zebra is connected.
    pub connected: bool,
    /// How often it has connected.
    pub connections: u64,
    /// `idle`, `filling` (marked, waiting for the end of the resync), `held`, `complete`.
    pub sync: String,
    /// Routes not seen again in the resync so far.
    pub unrefreshed: u64,
    /// Routes from FPM.
    pub routes: u64,
    /// Nexthop objects from FPM.
    pub nexthops: u64,
    /// Routes and groups that wait for an id that was never sent.
    pub parked: u64,
    /// What a protocol has lost all at once and what is kept for now.
    #[serde(default)]
    pub kept: Vec<KeptRoutes>,
    /// How often that has happened.
    #[serde(default)]
    pub restarts: u64,
    /// Frames received.
    pub frames: u64,
    /// Messages by kind, e.g. `newroute`.
    pub messages: BTreeMap<String, u64>,
    /// Messages that we do not forward by, by kind; they are counted and skipped.
    pub skipped: BTreeMap<String, u64>,
    /// Messages that could not be read.
    pub malformed: u64,
    /// What zebra was told of its routes.
    #[serde(default)]
    pub answers: Answers,
}

/// Answers to zebra.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answers {
    /// `[fpm] answer`.
    pub policy: String,
    /// Written to zebra, by kind: `offload`, `offload-trap`, `trap`, `offload-failed`.
    pub sent: BTreeMap<String, u64>,
    /// To be written: zebra is slow to read them, if there are many for long.
    pub waiting: u64,
    /// Routes in the tables that are not answered yet: no next hop of theirs can be used.
    pub unusable: u64,
    /// Never sent: a newer answer about the prefix took its place, or the route was deleted.
    pub superseded: u64,
    /// Never sent, or perhaps not: the connection was closed. The next one asks again.
    pub dropped: u64,
    /// Routes that find no room now, whoever they are from.
    pub failed: u64,
}

/// Routes that zebra has deleted and that are kept for their protocol to restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeptRoutes {
    /// Whose: `bgp IPv4`.
    pub of: String,
    /// Still kept.
    pub routes: u64,
    /// Came back.
    pub back: u64,
    /// Came back with fewer next hops than they had, all of which they keep for now.
    #[serde(default)]
    pub fewer_nexthops: u64,
    /// Milliseconds until those go that have not come back.
    pub left_ms: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Happening {
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What it is about: `port up1`, `neighbor 169.254.0.1`, `fpm`.
    pub object: String,
    /// What happened: `down`.
    pub what: String,
    /// More, by name, e.g. `buckets-moved`, `detect-us`, `repair-us`, `fpm-lag-ms`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// The way of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Calc {
    /// Where it leaves.
    pub port: String,
    /// Its next hop; the destination itself when that is on the link.
    pub nexthop: IpAddr,
    /// The prefix that matched.
    pub prefix: Prefix,
    /// The group.
    pub group: u32,
    /// Its bucket in the group.
    pub bucket: u32,
    /// How many there are.
    pub buckets: u32,
    /// The hash, `0x` and eight hex digits.
    pub hash: String,
    /// `mix`.
    pub algorithm: String,
    /// The fields that went into the hash and their values.
    pub fields: BTreeMap<String, String>,
    /// `software`.
    pub plane: String,
}

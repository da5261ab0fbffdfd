//! Prometheus' text exposition format, version 0.0.4.
//!
//! Names end in their unit, counters in `_total`; times are seconds. Which labels there are is
//! bounded: ports and reasons by what they are, next hops and members of groups by
//! [`NEXTHOPS`](super::NEXTHOPS) and [`MEMBERS`](super::MEMBERS).

use crate::api::message::{
    DeviceCounters, Metrics, OffloadMarks, OffloadStatus, PortCounters, Times,
};
use fastpath::table::DropReason;
use std::fmt::Write;
use std::net::IpAddr;

/// Text under construction.
struct Page(String);

/// `text` as a label's value: backslash, quote and line feed escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

/// Microseconds as seconds, exactly.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').into()
}

impl Page {
    /// A family; writing to a String cannot fail, here and below.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let start = if i == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{start}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one value.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A family with a value for each of `all`.
    fn each<T>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        all: impl IntoIterator<Item = T>,
        of: impl Fn(T) -> (Vec<(&'static str, String)>, u64),
    ) {
        self.family(name, kind, help);
        for one in all {
            let (labels, value) = of(one);
            let labels: Vec<_> = labels.iter().map(|(l, t)| (*l, t.as_str())).collect();
            self.sample(name, &labels, value);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Times) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for at_most in &times.buckets {
            let le = at_most.le_us.map_or_else(|| "+Inf".into(), seconds);
            self.sample(&bucket, &[("le", &le)], at_most.count);
        }
        self.sample(&format!("{name}_sum"), &[], seconds(times.sum_us));
        self.sample(&format!("{name}_count"), &[], times.count);
    }
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

fn hop(via: Option<IpAddr>, port: &str) -> Vec<(&'static str, String)> {
    let via = via.map_or_else(|| "on link".into(), |via| via.to_string());
    vec![("nexthop", via), ("port", port.into())]
}

/// `metrics` as text.
pub fn exposition(metrics: &Metrics) -> String {
    let mut page = Page(String::new());
    let name = "evenpath_build_info";
    page.family(name, GAUGE, "Always 1; labels tell of the program.");
    let labels = [
        ("version", &metrics.version),
        ("cpu", &metrics.cpu),
        ("lookup_ipv4", &metrics.lookup_ipv4),
        ("lookup_ipv6", &metrics.lookup_ipv6),
    ];
    page.sample(name, &labels.map(|(label, text)| (label, text.as_str())), 1);
    packets(&mut page, metrics);
    groups(&mut page, metrics);
    control(&mut page, metrics);
    if let Some(status) = &metrics.offload {
        offload(&mut page, metrics, status);
    }
    if let Some(marked) = &metrics.marks {
        marks(&mut page, marked);
    }
    page.0
}

/// What NICs mark, so that workers need not look it up.
fn marks(page: &mut Page, marks: &OffloadMarks) {
    let help = "Prefixes that NICs mark.";
    page.one("evenpath_marks", GAUGE, help, marks.prefixes);
    let help = "Prefixes that there is room for.";
    page.one("evenpath_marks_room", GAUGE, help, marks.room);
    let name = "evenpath_lookups_skipped_total";
    let help = "Packets that a mark has spared a lookup.";
    page.one(name, COUNTER, help, marks.lookups_skipped);
}

/// The hardware plane.
fn offload(page: &mut Page, m: &Metrics, status: &OffloadStatus) {
    let name = "evenpath_nexthop_hardware_packets_total";
    let help = "Those of a next hop's packets that hardware sent.";
    page.each((name, COUNTER, help), &m.nexthops, |n| {
        (hop(n.via, &n.port), n.hardware_packets)
    });
    let name = "evenpath_nexthop_hardware_bytes_total";
    page.each((name, COUNTER, "Their bytes."), &m.nexthops, |n| {
        (hop(n.via, &n.port), n.hardware_bytes)
    });
    for (name, help, shares) in [
        (
            "evenpath_offload_prefixes",
            "Prefixes by who forwards.",
            &status.prefixes,
        ),
        (
            "evenpath_offload_groups",
            "Groups by who forwards.",
            &status.groups,
        ),
    ] {
        let states = [
            ("hw", shares.hw),
            ("partial", shares.partial),
            ("sw", shares.sw),
        ];
        page.each((name, GAUGE, help), states, |(state, n)| {
            (vec![("state", state.to_owned())], n)
        });
    }
    let family = ("evenpath_offload_rules", GAUGE, "Rules in the NIC.");
    page.each(family, &status.tables, |t| {
        (vec![("table", t.kind.clone())], t.rules)
    });
    let help = "What failed in the NIC and was not made good.";
    page.one("evenpath_offload_failures", GAUGE, help, status.failures);
    let o = &status.operations;
    for (part, help, value) in [
        (
            "hardware_packets",
            "Packets that hardware sent.",
            m.hardware_packets,
        ),
        ("hardware_bytes", "Their bytes.", m.hardware_bytes),
        (
            "offload_operations",
            "Operations that the NIC has completed.",
            o.done,
        ),
        (
            "offload_failed_operations",
            "Operations that failed.",
            o.failed,
        ),
    ] {
        page.one(&format!("evenpath_{part}_total"), COUNTER, help, value);
    }
}

fn packets(page: &mut Page, m: &Metrics) {
    let up = |(name, up): (&String, &bool)| (vec![("port", name.clone())], u64::from(*up));
    let family = ("evenpath_port_up", GAUGE, "1 if the port is up.");
    page.each(family, &m.ports_up, up);
    type Of = fn(&PortCounters) -> u64;
    let of: [(&str, &str, Of); 5] = [
        ("receive_packets", "Packets that came in.", |c| c.input),
        ("receive_bytes", "Bytes that came in.", |c| c.in_bytes),
        ("transmit_packets", "Packets that went out.", |c| c.output),
        ("transmit_bytes", "Bytes that went out.", |c| c.out_bytes),
        (
            "from_kernel_packets",
            "Packets that went out for the kernel.",
            |c| c.from_kernel,
        ),
    ];
    for (part, help, value) in of {
        let name = format!("evenpath_port_{part}_total");
        page.each((&name, COUNTER, help), &m.counters.ports, |(port, c)| {
            (vec![("port", port.clone())], value(c))
        });
    }
    type Lost = fn(&DeviceCounters) -> u64;
    let of: [(&str, &str, Lost); 4] = [
        (
            "receive_missed",
            "Packets lost for want of a free descriptor.",
            |d| d.missed,
        ),
        (
            "receive_no_buffer",
            "Packets lost for want of a packet buffer.",
            |d| d.no_buffer,
        ),
        ("receive_errors", "Damaged packets that came in.", |d| {
            d.in_errors
        }),
        (
            "transmit_errors",
            "Packets that the device could not send.",
            |d| d.out_errors,
        ),
    ];
    for (part, help, value) in of {
        let name = format!("evenpath_port_{part}_total");
        let lost =
            |(port, c): (&String, &PortCounters)| c.device.map(|d| (port.clone(), value(&d)));
        let lost = m.counters.ports.iter().filter_map(lost);
        page.each((&name, COUNTER, help), lost, |(port, lost)| {
            (vec![("port", port)], lost)
        });
    }
    let family = (
        "evenpath_dropped_packets_total",
        COUNTER,
        "Packets dropped.",
    );
    page.each(family, DropReason::ALL, |reason| {
        let dropped = m.counters.dropped.get(reason.name());
        let labels = vec![("reason", reason.name().to_string())];
        (labels, dropped.copied().unwrap_or(0))
    });
    let c = &m.counters;
    for (part, help, value) in [
        ("punted_packets", "Packets given to the kernel.", c.punted),
        ("icmp_sent_packets", "ICMP errors made here.", c.icmp_sent),
        (
            "fragments_sent_packets",
            "Frames beyond the first of fragmented packets.",
            c.fragments,
        ),
        (
            "fragments_received_packets",
            "Fragments that came in to be routed.",
            c.fragments_in,
        ),
        (
            "fragments_by_addresses_packets",
            "Later fragments whose first did not come in time.",
            c.fragments_by_addresses,
        ),
    ] {
        page.one(&format!("evenpath_{part}_total"), COUNTER, help, value);
    }
}

fn groups(page: &mut Page, m: &Metrics) {
    let name = "evenpath_nexthop_packets_total";
    let family = (
        name,
        COUNTER,
        "Packets that a next hop's buckets forwarded.",
    );
    page.each(family, &m.nexthops, |n| (hop(n.via, &n.port), n.packets));
    let family = ("evenpath_nexthop_bytes_total", COUNTER, "Their bytes.");
    page.each(family, &m.nexthops, |n| (hop(n.via, &n.port), n.bytes));
    let help = "1 if routes have the next hop and it can be used.";
    let family = ("evenpath_nexthop_up", GAUGE, help);
    page.each(family, &m.nexthops, |n| (hop(n.via, &n.port), n.up.into()));
    let family = (
        "evenpath_nexthop_buckets",
        GAUGE,
        "Buckets of all groups that it has.",
    );
    page.each(family, &m.nexthops, |n| (hop(n.via, &n.port), n.buckets));
    let member = |m: &crate::api::message::MemberMetrics| {
        let mut labels = vec![("group", m.group.to_string())];
        labels.extend(hop(m.via, &m.port));
        labels
    };
    let name = "evenpath_group_member_packets_total";
    let help = "Packets that a member forwarded in a group and those that it followed.";
    page.each((name, COUNTER, help), &m.members, |one| {
        (member(one), one.packets)
    });
    let family = ("evenpath_group_member_bytes_total", COUNTER, "Their bytes.");
    page.each(family, &m.members, |one| (member(one), one.bytes));
    let family = (
        "evenpath_group_member_buckets",
        GAUGE,
        "Buckets of the group that it has.",
    );
    page.each(family, &m.members, |one| (member(one), one.buckets));
    for (part, help, value) in [
        (
            "group_members_omitted",
            "Members of groups without series of their own.",
            m.members_omitted,
        ),
        ("groups", "Groups of several next hops.", m.groups),
        (
            "groups_unbalanced",
            "Groups in which a member holds buckets beyond its due.",
            m.groups_unbalanced,
        ),
        (
            "surplus_buckets",
            "Buckets held beyond what their owners are due.",
            m.buckets_surplus,
        ),
        (
            "buckets_capacity",
            "Buckets that all groups share.",
            m.buckets_total,
        ),
        (
            "buckets_in_use",
            "Those of them that are taken.",
            m.buckets_in_use,
        ),
        ("routes", "Routes of all sources.", m.routes),
    ] {
        page.one(&format!("evenpath_{part}"), GAUGE, help, value);
    }
}

fn control(page: &mut Page, m: &Metrics) {
    let (fpm, failover) = (&m.fpm, &m.failover);
    let up = u64::from(fpm.connected);
    page.one(
        "evenpath_fpm_connected",
        GAUGE,
        "1 if zebra is connected.",
        up,
    );
    let family = (
        "evenpath_fpm_sync",
        GAUGE,
        "1 for the state that the resync is in.",
    );
    page.each(family, ["idle", "filling", "held", "complete"], |state| {
        (
            vec![("state", state.to_string())],
            u64::from(fpm.sync == state),
        )
    });
    page.one("evenpath_fpm_routes", GAUGE, "Routes from FPM.", fpm.routes);
    let help = "Routes not seen again in the resync so far.";
    page.one(
        "evenpath_fpm_unrefreshed_routes",
        GAUGE,
        help,
        fpm.unrefreshed,
    );
    let family = (
        "evenpath_fpm_messages_total",
        COUNTER,
        "Messages from zebra.",
    );
    page.each(family, &fpm.messages, |(kind, n)| {
        (vec![("kind", kind.clone())], *n)
    });
    for (part, help, value) in [
        (
            "fpm_connections",
            "Times that zebra has connected.",
            fpm.connections,
        ),
        ("fpm_frames", "Frames from zebra.", fpm.frames),
        (
            "fpm_malformed_messages",
            "Messages that could not be read.",
            fpm.malformed,
        ),
        ("events", "Events that control has handled.", m.events),
        (
            "hash_changes",
            "Changes of the hash while packets flowed.",
            m.hash_changes,
        ),
        (
            "rules_changes",
            "Changes of the rules of groups.",
            m.rules_changes,
        ),
        (
            "repairs",
            "Repairs of the tables after a loss or a return.",
            failover.repairs,
        ),
        (
            "repair_moved_buckets",
            "Buckets that repairs moved.",
            failover.buckets_moved,
        ),
        (
            "eased_buckets",
            "Buckets that moved in the background.",
            m.eased,
        ),
        (
            "failover_fpm_silent",
            "Repairs about which FRR said nothing afterwards.",
            failover.fpm_none,
        ),
    ] {
        page.one(&format!("evenpath_{part}_total"), COUNTER, help, value);
    }
    for (part, help, times) in [
        (
            "detect",
            "From the stamp of the news until control took it.",
            &failover.detect,
        ),
        (
            "repair",
            "From then on until the tables were right.",
            &failover.repair,
        ),
        (
            "fpm_lag",
            "From then on until FRR's last update about it.",
            &failover.fpm_lag,
        ),
    ] {
        page.histogram(&format!("evenpath_failover_{part}_seconds"), help, times);
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

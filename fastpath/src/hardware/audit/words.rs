//! Rules and actions in an operator's words.

use super::super::compile::{Purpose, SOFTWARE};
use super::super::plan::Family;
use super::super::program::{Action, Group, Modify, Place, Source, Target};
use super::{Node, Snapshot};

const fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// What a rule is for.
pub(super) fn purpose(purpose: &Purpose) -> String {
    match purpose {
        Purpose::Frame => "frame".into(),
        Purpose::Entry => "entry of a port".into(),
        Purpose::Admission(of) => format!("admission of {}", family(*of)),
        Purpose::Own(address) => format!("own address {address}"),
        Purpose::Prefix(address, length) => format!("prefix {address}/{length}"),
        Purpose::Group(id, of) => format!("group {}, {}", id.0, family(*of)),
        Purpose::Row(id, of) => format!("group {}, {}: generation", id.0, family(*of)),
        Purpose::Nexthop(id, of) => format!("nexthop {}, {}", id.0, family(*of)),
        Purpose::Unknown => "a rule that nobody knows".into(),
    }
}

/// A rule: what it is for, and where it stands if that does not say it.
pub(super) fn rule(of: &Purpose, node: Node, place: &Place) -> String {
    let name = purpose(of);
    match (of, place) {
        (Purpose::Row(..), Place::Index(row)) => format!("{name} row {row}"),
        (Purpose::Entry | Purpose::Frame | Purpose::Unknown, Place::Pattern { spec, .. }) => {
            let values: Vec<String> = spec.iter().map(|v| format!("{v:#x}")).collect();
            format!("{name}: group {}, {}", node.2.0, values.join(" "))
        }
        _ => name,
    }
}

/// Where a jump leads.
fn target(snapshot: &Snapshot, (domain, port, _): Node, group: Group) -> String {
    if group == SOFTWARE {
        return "software".into();
    }
    match snapshot.first((domain, port, group)) {
        Some(Purpose::Frame) => format!("the program's group {}", group.0),
        Some(first) => purpose(first),
        None => format!("group {}, in which there is nothing", group.0),
    }
}

/// What a rule does.
pub(super) fn actions(snapshot: &Snapshot, node: Node, all: &[Action]) -> String {
    let each = all.iter().filter(|a| **a != Action::Count);
    let words: Vec<String> = each
        .map(|action| match action {
            Action::Jump(group) => format!("to {}", target(snapshot, node, *group)),
            Action::Modify(m) => modify(m),
            Action::RepresentedPort(port) => format!("out by port {}", port.0),
            Action::Queue(queue) => match snapshot.lane(*queue) {
                Some((port, _)) => format!("hairpin queue {queue} to port {}", port.0),
                None => format!("queue {queue}"),
            },
            Action::Rss(rss) => format!("RSS over {} queues", rss.queues.len()),
            Action::Indirect(id) => match snapshot.copied.indirects.get(id).map(|i| &i.action) {
                Some(Action::Rss(rss)) => format!("RSS over {} queues", rss.queues.len()),
                _ => "an indirect action that there is not".into(),
            },
            Action::ToManager => "to the e-switch manager".into(),
            Action::SendToKernel => "to the kernel".into(),
            Action::Drop => "drop".into(),
            Action::Mark(id) => format!("mark {id}"),
            Action::Count => "count".into(),
        })
        .collect();
    words.join(", ")
}

fn modify(m: &Modify) -> String {
    let name = match m.target {
        Target::MacDestination => "destination MAC",
        Target::MacSource => "source MAC",
        Target::Ipv4Ttl => "TTL",
        Target::Ipv6HopLimit => "hop limit",
        Target::Tag(_) => "tag",
        Target::Meta => "META",
        Target::HashResult => "hash",
    };
    match m.source {
        Source::Value(_) if *m == Modify::decrement(m.target) => format!("{name} - 1"),
        Source::Value(value) if m.width == 48 => format!("{name} {value:012x}"),
        Source::Value(value) => format!("{name} {value:#x}"),
        Source::Field(..) => format!("{name} from a register"),
    }
}

//! `evenpath show offload`.

use crate::table::Table;
use control::api::message::{Group, Offload, OffloadShares, OffloadSpread, OffloadStatus};
use std::fmt::Write;

/// The hardware plane for people.
pub fn offload(view: &Offload) -> String {
    let mut text = String::new();
    let s = &view.status;
    // Writing to a String cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("mode", s.mode.clone());
    line("state", because(&s.state, &s.reasons));
    if !s.backend.is_empty() {
        spread(s, &mut line);
    }
    if s.role.is_empty() {
        return text;
    }
    line("nic", s.nic.clone());
    line("role", s.role.clone());
    line("design", format!("{} ({})", s.design, s.design_reason));
    line("mtu", s.mtu.to_string());
    line("prefixes", shares(&s.prefixes));
    line("groups", shares(&s.groups));
    let o = &s.operations;
    let operations = format!(
        "{} done, {:.0} a second, {} failed, {} waited for room, {} tables made",
        o.done, o.per_second, o.failed, o.waited, o.tables
    );
    line("operations", operations);
    let failures = match (s.failures, s.retries) {
        (0, 0) => "none".into(),
        (now, tried) => format!("{now} now, tried again {tried} times"),
    };
    line("failures", failures);
    if s.waiting + s.under_way > 0 {
        let (waiting, under_way) = (s.waiting, s.under_way);
        line(
            "to do",
            format!("{waiting} changes, {under_way} operations under way"),
        );
    }
    if !s.ports_down.is_empty() {
        line("links lost", s.ports_down.join(", "));
    }
    let mut table = Table::new(["TABLES", "COUNT", "RULES", "ROOM", "FILL"]);
    table.right([1, 2, 3, 4]);
    for t in &s.tables {
        let fill = 100.0 * t.rules as f64 / t.room.max(1) as f64;
        table.row([
            t.kind.clone(),
            t.tables.to_string(),
            t.rules.to_string(),
            t.room.to_string(),
            format!("{fill:.1} %"),
        ]);
    }
    let _ = write!(text, "\n{}", table.text("none in the NIC"));
    if let Some(of) = &view.of {
        let to = of.group.filter(|_| !of.object.starts_with("group"));
        let to = to.map_or_else(String::new, |id| format!(" (group {id})"));
        let state = because(&of.state, &of.reasons);
        let _ = writeln!(text, "\n{}{to}: {state}", of.object);
    }
    text
}

/// What NICs do for software.
fn spread(s: &OffloadStatus, line: &mut impl FnMut(&str, String)) {
    line("backend", s.backend.clone());
    for port in &s.spread {
        let OffloadSpread {
            queues, by, how, ..
        } = port;
        let port = &port.port;
        line("spread", format!("{port}: {queues} queues, {by}: {how}"));
    }
    let Some(marks) = &s.marks else { return };
    let of = format!("{} of {} prefixes", marks.prefixes, marks.slots);
    let room = match marks.room < marks.slots {
        true => format!("; the NICs have room for {}", marks.room),
        false => String::new(),
    };
    line("marks", format!("{of}{room}"));
    for port in &s.spread {
        let why = port.marks_reason.as_ref();
        let why = why.map_or_else(String::new, |why| format!("; {why}"));
        line("marks", format!("{}: {} rules{why}", port.port, port.marks));
    }
    let skipped = marks.lookups_skipped;
    line("lookups", format!("{skipped} packets without one"));
}

/// What hardware has sent to the members of a group.
pub fn sent(group: &Group) -> String {
    let members = group.members.iter().filter_map(|m| {
        let (packets, bytes) = (m.hardware_packets?, m.hardware_bytes.unwrap_or(0));
        let via = m.via.map_or("on link".into(), |via| via.to_string());
        Some(format!(
            "{via} on {}: {packets} packets, {bytes} bytes",
            m.port
        ))
    });
    let members: Vec<String> = members.collect();
    if members.is_empty() {
        return String::new();
    }
    let id = group.id;
    format!(
        "group {id}: hardware has sent beside, in all groups, to {}\n",
        members.join("; ")
    )
}

fn because(state: &str, reasons: &[String]) -> String {
    if reasons.is_empty() {
        return state.into();
    }
    format!("{state}: {}", reasons.join("; "))
}

fn shares(shares: &OffloadShares) -> String {
    let OffloadShares { hw, partial, sw } = shares;
    format!("{hw} hw, {partial} partial, {sw} sw")
}

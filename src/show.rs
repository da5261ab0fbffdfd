//! `evenpath show`: answers as tables for people, or as they are.

mod fpm;
mod hash;
mod offload;

use crate::cli;
use crate::output::{self, Done};
use crate::table::Table;
use control::api::client::Client;
use control::api::message::{Balance, Bucket, Counters, Group, Happening, Member, Route};
use control::api::message::{Neighbor, Nexthop, Port};
use control::api::{Request, Response};
use std::fmt::Write;
use std::path::Path;

/// `evenpath show`.
pub fn show(what: &cli::Show, socket: &Path, as_json: bool) -> Done {
    print(&Client::connect(socket)?.ask_all(&what.request())?, as_json)
}

/// `evenpath fpm release`.
pub fn release(socket: &Path, as_json: bool) -> Done {
    let response = Client::connect(socket)?.ask(&Request::FpmRelease)?;
    print(&response, as_json)
}

pub fn print(response: &Response, as_json: bool) -> Done {
    if !as_json {
        return output::text(&words(response));
    }
    match response {
        Response::Route(routes) => output::json(&routes.routes),
        Response::Group(groups) => output::json(groups),
        Response::Nexthop(nexthops) => output::json(nexthops),
        Response::Neighbor(neighbors) => output::json(neighbors),
        Response::Port(ports) => output::json(ports),
        Response::Counters(counters) => output::json(counters),
        Response::Fpm(fpm) => output::json(fpm),
        Response::Hash(hash) => output::json(hash),
        Response::Failover(failover) => output::json(failover),
        Response::Resilient(resilient) => output::json(resilient),
        Response::Offload(offload) => output::json(offload),
        Response::Events(events) => output::json(events),
        Response::Metrics(metrics) => output::json(metrics),
        Response::Calc(calc) => output::json(calc),
        Response::SetHash(changed) => output::json(changed),
        Response::SetResilient(changed) => output::json(changed),
        Response::Trace(traced) => output::json(traced),
        Response::Traces(all) => output::json(all),
        Response::Drain(drained) => output::json(drained),
        Response::WhatIf(foreseen) => output::json(foreseen),
        Response::Verify(verified) => output::json(verified),
        Response::Export(exported) => output::json(exported),
        Response::Released(routes) => output::json(&serde_json::json!({ "swept": routes })),
    }
}

/// `response` for people.
pub fn words(response: &Response) -> String {
    match response {
        Response::Route(routes) => self::routes(&routes.routes),
        Response::Group(groups) => self::groups(groups),
        Response::Nexthop(nexthops) => self::nexthops(nexthops),
        Response::Neighbor(neighbors) => self::neighbors(neighbors),
        Response::Port(ports) => self::ports(ports),
        Response::Counters(counters) => self::counters(counters),
        Response::Fpm(fpm) => self::fpm::fpm(fpm),
        Response::Hash(hash) => self::hash::hash(hash),
        Response::Failover(failover) => crate::failover::words(failover),
        Response::Resilient(resilient) => crate::resilient::words(resilient),
        Response::Offload(offload) => self::offload::offload(offload),
        Response::Events(events) => self::events(events),
        Response::Metrics(metrics) => control::metrics::exposition(metrics),
        Response::Calc(calc) => format!("{}\n", calc.port),
        Response::SetHash(changed) => crate::set::words(changed),
        Response::SetResilient(changed) => crate::resilient::changed(changed),
        Response::Drain(drained) => crate::drain::words(drained),
        Response::WhatIf(foreseen) => crate::calc::foreseen(foreseen),
        Response::Trace(traced) => format!("{}\n", traced.now.outcome),
        Response::Traces(all) => format!("{} packets\n", all.len()),
        Response::Export(exported) => exported.text.clone(),
        Response::Verify(verified) => crate::verify::words(verified, None),
        Response::Released(routes) => format!("{routes} routes swept\n"),
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |v| v.to_string())
}

fn via(member: &Member) -> String {
    member
        .via
        .map_or_else(|| "on link".into(), |via| via.to_string())
}

fn routes(routes: &[Route]) -> String {
    let mut table = Table::new([
        "", "PREFIX", "SOURCE", "GROUP", "NEXTHOP", "PORT", "WEIGHT", "STATE",
    ]);
    table.right([3, 6]);
    for route in routes {
        let source = match &route.protocol {
            Some(protocol) if *protocol != route.source => format!("{} ({protocol})", route.source),
            _ => route.source.clone(),
        };
        let mark = if route.selected { "*" } else { "" };
        let start = [
            mark.into(),
            route.prefix.to_string(),
            source,
            or_dash(route.group),
        ];
        let note = || route.note.clone().unwrap_or_default();
        if route.nexthops.is_empty() {
            table.row(start.clone().into_iter().chain([
                route.kind.clone(),
                "-".into(),
                "-".into(),
                note(),
            ]));
        }
        for (i, member) in route.nexthops.iter().enumerate() {
            let start = if i == 0 {
                start.clone()
            } else {
                Default::default()
            };
            let state = match &route.note {
                Some(note) if i == 0 => format!("{}, {note}", member.state),
                _ => member.state.clone(),
            };
            let end = [
                via(member),
                member.port.clone(),
                member.weight.to_string(),
                state,
            ];
            table.row(start.into_iter().chain(end));
        }
    }
    table.text("no routes")
}

fn groups(groups: &[Group]) -> String {
    let mut table = Table::new([
        "GROUP", "BUCKETS", "ACTIVE", "ROUTES", "PLANE", "NEXTHOP", "PORT", "WEIGHT", "HAS",
        "PACKETS", "BYTES", "STATE",
    ]);
    table.right([0, 1, 2, 3, 7, 8, 9, 10]);
    for group in groups {
        let start = [
            group.id.to_string(),
            group.buckets.to_string(),
            or_dash(group.active_buckets),
            group.routes.to_string(),
            group.plane.clone(),
        ];
        if group.members.is_empty() {
            let dashes = ["-"; 7].map(String::from);
            table.row(start.into_iter().chain(dashes));
            continue;
        }
        for (i, member) in group.members.iter().enumerate() {
            let start = if i == 0 {
                start.clone()
            } else {
                Default::default()
            };
            table.row(start.into_iter().chain([
                via(member),
                member.port.clone(),
                member.weight.to_string(),
                or_dash(member.buckets),
                or_dash(member.packets),
                or_dash(member.bytes),
                member.state.clone(),
            ]));
        }
    }
    let mut text = table.text("no groups");
    for group in groups {
        text += &balance(group);
        text += &offload::sent(group);
    }
    for group in groups.iter().filter(|g| !g.each.is_empty()) {
        text.push('\n');
        text += &buckets(&group.each);
    }
    text
}

/// What there is to say about how evenly a group is used.
fn balance(group: &Group) -> String {
    let mut notes = Vec::new();
    if group.members.len() > 1 {
        notes.push(format!("weight error {:.2} %", 100.0 * group.weight_error));
    }
    if group.surplus > 0 {
        notes.push(format!("{} buckets to move when idle", group.surplus));
    }
    notes.extend(crate::resilient::notes(&group.dealt));
    if let Some(balance) = group.balance.as_ref().filter(|b| b.flows > 0) {
        let Balance {
            window_s, flows, ..
        } = balance;
        notes.push(format!("{flows} flows sampled in {window_s} s"));
        if let (Some(most), Some(variation)) = (balance.max_over_mean, balance.variation) {
            notes.push(format!(
                "busiest member {most:.2} of its share, variation {variation:.3}"
            ));
        }
        if let Some(p) = balance.p_value {
            notes.push(format!("p = {p:.3}"));
        }
        notes.extend(balance.verdict.advice().map(Into::into));
    }
    if notes.is_empty() {
        return String::new();
    }
    format!("group {}: {}\n", group.id, notes.join("; "))
}

fn buckets(each: &[Bucket]) -> String {
    let mut table = Table::new(["BUCKET", "NEXTHOP", "PORT", "PACKETS", "BYTES", "IDLE"]);
    table.right([0, 3, 4, 5]);
    for b in each {
        let tenths = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
        table.row([
            b.bucket.to_string(),
            or_dash(b.via),
            or_dash(b.port.as_ref()),
            b.packets.to_string(),
            b.bytes.to_string(),
            or_dash(b.idle_ms.map(tenths)),
        ]);
    }
    table.text("no buckets")
}

fn nexthops(nexthops: &[Nexthop]) -> String {
    let by_hardware = nexthops.iter().any(|n| n.hardware_packets.is_some());
    let mut table = Table::new([
        "NEXTHOP",
        "PORT",
        "STATE",
        "MAC",
        "ADJACENCY",
        "GROUPS",
        "BUCKETS",
        if by_hardware { "HW-PACKETS" } else { "" },
    ]);
    table.right([4, 5, 6, 7]);
    for n in nexthops {
        table.row([
            n.via
                .map_or_else(|| "on link".into(), |via| via.to_string()),
            n.port.clone(),
            match &n.hold {
                Some(hold) => format!("{}, {hold}", n.state),
                None => n.state.clone(),
            },
            or_dash(n.mac.as_ref()),
            or_dash(n.adjacency),
            n.groups.to_string(),
            n.buckets.to_string(),
            n.hardware_packets
                .map_or_else(String::new, |p| p.to_string()),
        ]);
    }
    table.text("no next hops")
}

fn neighbors(neighbors: &[Neighbor]) -> String {
    let mut table = Table::new(["NEIGHBOR", "PORT", "MAC", "STATE", "SOURCE", "WANTED"]);
    for n in neighbors {
        table.row([
            n.address.to_string(),
            n.port.clone(),
            or_dash(n.mac.as_ref()),
            n.state.clone(),
            n.source.clone(),
            if n.wanted { "yes" } else { "no" }.into(),
        ]);
    }
    table.text("no neighbors")
}

fn ports(ports: &[Port]) -> String {
    let mut table = Table::new([
        "PORT",
        "STATE",
        "KERNEL",
        "MAC",
        "MTU",
        "VLAN",
        "HASH",
        "ADDRESSES",
    ]);
    table.right([4, 5]);
    for p in ports {
        let state = match &p.reason {
            Some(reason) => format!("{} ({reason})", p.state),
            None => p.state.clone(),
        };
        let vlan = if p.vlan == 0 {
            "-".into()
        } else {
            p.vlan.to_string()
        };
        table.row([
            p.name.clone(),
            state,
            or_dash(p.kernel.as_ref()),
            p.mac.clone(),
            p.mtu.to_string(),
            vlan,
            p.hash.clone(),
            p.addresses.join(", "),
        ]);
    }
    let hashes = ports
        .iter()
        .map(|p| (&*p.name, &*p.hash, p.hash_reason.as_deref()));
    let hashes = crate::nic::hashes_from(hashes);
    let mut text = table.text("no ports");
    for (from, names) in &hashes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "hash: {from}: {}", names.join(", "));
    }
    text
}

pub fn counters(counters: &Counters) -> String {
    let mut table = Table::new(["PORT", "IN", "OUT", "IN-BYTES", "OUT-BYTES", "FROM-KERNEL"]);
    table.right([1, 2, 3, 4, 5]);
    for (name, c) in &counters.ports {
        let numbers =
            [c.input, c.output, c.in_bytes, c.out_bytes, c.from_kernel].map(|n| n.to_string());
        table.row([name.clone()].into_iter().chain(numbers));
    }
    let mut text = table.text("no ports");
    let mut table = Table::new([
        "LOST BY DEVICE",
        "MISSED",
        "NO-BUFFER",
        "IN-ERRORS",
        "OUT-ERRORS",
    ]);
    table.right([1, 2, 3, 4]);
    let devices = counters.ports.iter();
    let mut devices = devices
        .filter_map(|(name, c)| Some((name, c.device?)))
        .peekable();
    if devices.peek().is_some() {
        for (name, d) in devices {
            let numbers = [d.missed, d.no_buffer, d.in_errors, d.out_errors];
            let numbers = numbers.map(|n| n.to_string());
            table.row([name.clone()].into_iter().chain(numbers));
        }
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, "\n{}", table.text(""));
    }
    let mut table = Table::new(["DROPPED", "PACKETS"]);
    table.right([1]);
    for (reason, packets) in &counters.dropped {
        table.row([reason.clone(), packets.to_string()]);
    }
    let _ = write!(text, "\n{}\n", table.text("nothing dropped"));
    let mut table = Table::new(["OTHER", "PACKETS"]);
    table.right([1]);
    for (name, packets) in [
        ("punted", counters.punted),
        ("icmp-sent", counters.icmp_sent),
        ("fragments", counters.fragments),
        ("fragments-in", counters.fragments_in),
        ("fragments-matched", counters.fragments_matched),
        ("fragments-waited", counters.fragments_waited),
        ("fragments-by-addresses", counters.fragments_by_addresses),
    ] {
        table.row([name.into(), packets.to_string()]);
    }
    text.push_str(&table.text(""));
    if let Some(answers) = &counters.fpm_answers {
        let mut table = Table::new(["ANSWER TO ZEBRA", "COUNT"]);
        table.right([1]);
        for (kind, count) in &answers.sent {
            table.row([kind.clone(), count.to_string()]);
        }
        for (kind, count) in [
            ("waiting", answers.waiting),
            ("superseded", answers.superseded),
            ("dropped", answers.dropped),
        ] {
            table.row([kind.into(), count.to_string()]);
        }
        let _ = write!(text, "\n{}", table.text(""));
    }
    text
}

fn events(events: &[Happening]) -> String {
    let mut table = Table::new(["TIME (UTC)", "ABOUT", "WHAT", "DETAILS"]);
    for e in events {
        let details: Vec<String> = e.details.iter().map(|(k, v)| format!("{k} {v}")).collect();
        table.row([
            crate::table::time(e.time_ns),
            e.object.clone(),
            e.what.clone(),
            details.join(", "),
        ]);
    }
    table.text("no events")
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;

//! `evenpath calc --what-if … --group`: what changes would do to groups.

use super::{Ask, not_this};
use crate::output::{self, Done, Failure};
use crate::table::Table;
use control::api::message::{BucketPath, FlowMoved, Foreseen, GroupForeseen, Sums, WhatIf};
use control::api::moves::Place;
use control::api::{Request, Response};
use std::fmt::Write;

/// Groups that are printed one by one, those with most moves.
const LISTED: usize = 16;
/// Flows of each of them.
const FLOWS: usize = 4;

/// Asks page by page, and prints all of it.
pub fn foresee(ask: &mut Ask, question: WhatIf, as_json: bool) -> Done {
    let all = whole(ask, question)?;
    if as_json {
        return output::json(&all);
    }
    output::text(&words(&all))
}

fn page(ask: &mut Ask, question: &WhatIf) -> Result<Foreseen, Failure> {
    match ask(&Request::WhatIf(Box::new(question.clone())))? {
        Response::WhatIf(page) => Ok(*page),
        _ => Err(not_this()),
    }
}

fn whole(ask: &mut Ask, mut question: WhatIf) -> Result<Foreseen, Failure> {
    let mut all = page(ask, &question)?;
    while let Some(after) = all.next {
        question.after = Some(after);
        let more = page(ask, &question)?;
        all.groups += more.groups;
        all.groups_changed += more.groups_changed;
        all.sums += more.sums;
        all.each.extend(more.each);
        // An answer that leads nowhere new ends it.
        all.next = more.next.filter(|next| *next > after);
    }
    Ok(all)
}

fn percent(part: u64, of: u64) -> String {
    match of {
        0 => "0.0 %".into(),
        of => format!("{:.1} %", 100.0 * part as f64 / of as f64),
    }
}

fn place(place: &Place) -> String {
    match (&place.via, &place.port) {
        (Some(via), Some(port)) => format!("{via} {port}"),
        (None, Some(port)) => format!("on link {port}"),
        _ => "dropped".into(),
    }
}

/// `all` for people.
pub fn words(all: &Foreseen) -> String {
    let mut text = format!(
        "{}: {} of {} groups change\n",
        all.changes.join(", then "),
        all.groups_changed,
        all.groups
    );
    text += &sums(&all.sums, all.window_s);
    let mut each: Vec<&GroupForeseen> = all.each.iter().collect();
    each.sort_by_key(|g| (std::cmp::Reverse(g.sums.buckets_moved), g.group));
    for group in each.iter().take(LISTED) {
        text.push('\n');
        text += &one(group);
    }
    if let Some(more) = each.len().checked_sub(LISTED).filter(|more| *more > 0) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "\nand {more} groups more: --json has all");
    }
    text
}

fn sums(sums: &Sums, window_s: u64) -> String {
    let mut text = format!("buckets: {} of {} move", sums.buckets_moved, sums.buckets);
    if let Some(active) = sums.active_buckets_moved {
        let _ = write!(text, ", {active} of them active in the last {window_s} s");
    }
    text.push('\n');
    let Sums {
        flows,
        flows_moved,
        packets,
        packets_moved,
        bytes,
        bytes_moved,
        ..
    } = *sums;
    let share = percent(sums.recent_packets_moved, sums.recent_packets);
    let _ = match flows {
        0 => writeln!(text, "flows: none seen in the last {window_s} s"),
        _ => writeln!(
            text,
            "flows: {flows_moved} of {flows} sampled in {window_s} s move, with {share} of the packets"
        ),
    };
    if packets > 0 {
        let (p, b) = (percent(packets_moved, packets), percent(bytes_moved, bytes));
        let _ = writeln!(
            text,
            "so far {p} of the packets, {b} of the bytes took buckets that move"
        );
    }
    if sums.surplus > 0 {
        let _ = writeln!(
            text,
            "then {} buckets are yet to move, as they fall idle",
            sums.surplus
        );
    }
    text
}

fn one(group: &GroupForeseen) -> String {
    let size = match (group.size, group.size_then) {
        (now, then) if now == then => format!("{now}"),
        (now, then) => format!("{} ({now} now, {then} then)", now.max(then)),
    };
    let mut text = format!(
        "group {}: {} of {size} buckets, {} of {} flows, {} route{}\n",
        group.group,
        group.sums.buckets_moved,
        group.sums.flows_moved,
        group.sums.flows,
        group.routes,
        if group.routes == 1 { "" } else { "s" },
    );
    if let Some(note) = &group.note {
        let _ = writeln!(text, "note: {note}");
    }
    if group.paths.is_empty() {
        return text;
    }
    let mut table = Table::new(["FROM", "TO", "BUCKETS", "ACTIVE", "FLOWS"]);
    table.right([2, 3, 4]);
    for path in &group.paths {
        let active = path
            .active_buckets
            .map_or_else(|| "-".into(), |n| n.to_string());
        let (buckets, flows) = (path.buckets.to_string(), path.flows.to_string());
        table.row([place(&path.from), place(&path.to), buckets, active, flows]);
    }
    text += &table.text("");
    for path in group.paths.iter().filter(|p| !p.numbers.is_empty()) {
        text += &numbers(path);
    }
    if !group.moving.is_empty() {
        text += &flows(&group.moving);
    }
    text
}

fn numbers(path: &BucketPath) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &n in &path.numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => ranges.push((n, n)),
        }
    }
    let range = |(first, last): (u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let ranges: Vec<String> = ranges.into_iter().map(range).collect();
    let (from, to) = (place(&path.from), place(&path.to));
    format!("{from} to {to}: {}\n", ranges.join(","))
}

fn flows(moving: &[FlowMoved]) -> String {
    let mut table = Table::new(["SOURCE", "DESTINATION", "PROTOCOL", "BUCKET", "FROM", "TO"]);
    table.right([3]);
    for f in moving.iter().take(FLOWS) {
        let end = |address: std::net::IpAddr, port: u16| match (address, port) {
            (address, 0) => address.to_string(),
            (address, port) => std::net::SocketAddr::new(address, port).to_string(),
        };
        table.row([
            end(f.source, f.source_port),
            end(f.destination, f.destination_port),
            f.protocol.to_string(),
            f.bucket.to_string(),
            place(&f.from),
            place(&f.to),
        ]);
    }
    table.text("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Place {
        Place {
            via: Some([169, 254, 0, last].into()),
            port: Some(format!("up{last}")),
        }
    }

    fn answer(group: u32, next: Option<u32>) -> Foreseen {
        let sums = Sums {
            buckets: 64,
            buckets_moved: 4,
            active_buckets_moved: Some(1),
            flows: 10,
            flows_moved: 1,
            recent_packets: 40,
            recent_packets_moved: 8,
            packets: 1000,
            packets_moved: 125,
            bytes: 64_000,
            bytes_moved: 6_400,
            surplus: 0,
        };
        Foreseen {
            changes: vec!["down:up1".into()],
            window_s: 10,
            groups: 2,
            groups_changed: 1,
            sums,
            each: vec![GroupForeseen {
                group,
                routes: 1,
                size: 64,
                size_then: 64,
                sums,
                paths: vec![BucketPath {
                    from: at(1),
                    to: at(2),
                    buckets: 4,
                    active_buckets: Some(1),
                    flows: 1,
                    numbers: vec![0, 1, 2, 9],
                }],
                ..GroupForeseen::default()
            }],
            next,
        }
    }

    #[test]
    fn pages_are_one_answer() {
        let mut pages = vec![answer(7, None), answer(3, Some(3))];
        let (sender, asked) = std::sync::mpsc::channel();
        let mut ask: Ask = Box::new(move |request| {
            let Request::WhatIf(query) = request else {
                return Err(not_this());
            };
            let _ = sender.send(query.after);
            Ok(Response::WhatIf(Box::new(
                pages.pop().ok_or_else(not_this)?,
            )))
        });
        let all = whole(&mut ask, WhatIf::default()).expect("pages");
        assert!(asked.try_iter().eq([None, Some(3)]));
        assert_eq!(
            (all.groups, all.sums.buckets_moved, all.each.len()),
            (4, 8, 2)
        );
        let expected = "\
down:up1: 2 of 4 groups change
buckets: 8 of 128 move, 2 of them active in the last 10 s
flows: 2 of 20 sampled in 10 s move, with 20.0 % of the packets
so far 12.5 % of the packets, 10.0 % of the bytes took buckets that move

group 3: 4 of 64 buckets, 1 of 10 flows, 1 route
FROM             TO               BUCKETS  ACTIVE  FLOWS
169.254.0.1 up1  169.254.0.2 up2        4       1      1
169.254.0.1 up1 to 169.254.0.2 up2: 0-2,9
";
        assert!(words(&all).starts_with(expected), "{}", words(&all));
    }
}

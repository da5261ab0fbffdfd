//! What a request needs that takes longer than control may: done here, on the thread that asks.
//!
//! Other hash settings may need keys and tables ([`crate::keyed`]), a seed that is drawn is written
//! to a disk. Control finds the first made, and the second done but for a rename.

use super::hash::{Drawn, Hash, SetHash, refused};
use super::message::{Reply, Request, Response};
use crate::calc::what_if::Change;
use crate::config::{Beside, new_seed};
use crate::keyed;
use fastpath::hash::{Algorithm, Choice};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Lets one seed be drawn at a time: the last one in force is the one that is kept.
#[derive(Debug, Default)]
pub struct Drawing(Mutex<()>);

/// The changes of the hash that `request` is about.
fn changes(request: &Request) -> Vec<SetHash> {
    let query = match request {
        Request::SetHash(change) => return vec![change.clone()],
        Request::Trace(query) => query,
        Request::Traces(all) => &all.query,
        _ => return Vec::new(),
    };
    let all = query.assume.iter().chain(&query.what_if);
    let hash = |text: &String| match text.parse() {
        Ok(Change::Hash(change)) => Some(change),
        // What is wrong with it control says.
        _ => None,
    };
    all.filter_map(hash).collect()
}

/// Makes the keys and tables that settings may need which are `shown` and then changed.
fn make_tables(shown: &Hash, changes: &[SetHash]) {
    let of = |name: &String| Algorithm::named(name);
    let mut algorithms = vec![of(&shown.algorithm)];
    let mut seeds = vec![shown.seed];
    for profile in &shown.profiles {
        algorithms.push(of(&profile.algorithm));
        seeds.push(profile.seed);
    }
    for SetHash { change, drawn, .. } in changes {
        algorithms.push(change.algorithm.as_ref().and_then(of));
        seeds.extend(change.seed.and_then(|seed| u32::try_from(seed).ok()));
        seeds.extend(drawn.as_ref().map(|d| d.seed));
    }
    let mut algorithms: Vec<_> = algorithms.into_iter().flatten().collect();
    algorithms.sort_unstable_by_key(|a| a.name());
    algorithms.dedup();
    seeds.sort_unstable();
    seeds.dedup();
    for algorithm in algorithms {
        for &seed in &seeds {
            keyed::settings(Choice {
                algorithm,
                seed,
                ..Choice::default()
            });
        }
    }
}

/// Has `control` answer `request`, after what that takes.
pub fn ask(request: Request, control: &dyn Fn(Request) -> Reply, drawing: &Drawing) -> Reply {
    let mut changes = changes(&request);
    if changes.is_empty() {
        return control(request);
    }
    let draws = matches!(&request, Request::SetHash(change) if change.draw_seed);
    let guard = draws.then(|| drawing.0.lock().unwrap_or_else(PoisonError::into_inner));
    let shown = match control(Request::ShowHash) {
        Reply::Ok(Response::Hash(shown)) => shown,
        other => return other,
    };
    let (request, mut beside) = match request {
        Request::SetHash(mut change) if draws => {
            let drawn = draw(&shown, &change);
            let file = drawn.kept.as_deref().filter(|_| !change.dry_run);
            let beside = match file.map(|file| Beside::new(file, drawn.seed)).transpose() {
                Ok(beside) => beside,
                Err(cause) => return unkept(file, "keep it in", &cause),
            };
            change.drawn = Some(drawn);
            changes = vec![change.clone()];
            (Request::SetHash(change), beside)
        }
        other => (other, None),
    };
    make_tables(&shown, &changes);
    let reply = control(request);
    if let (Reply::Ok(_), Some(beside)) = (&reply, beside.take()) {
        let file = beside.path().to_path_buf();
        if let Err(cause) = beside.put() {
            return unkept(Some(&file), "it is in force, and not kept in", &cause);
        }
    }
    drop(guard);
    reply
}

/// A seed for what `change` names, and where it is to be kept.
fn draw(shown: &Hash, change: &SetHash) -> Drawn {
    let kept = match change.profile.as_deref() {
        None => shown.keeps_in.clone(),
        Some(name) => {
            let profile = shown.profiles.iter().find(|p| p.name == name);
            profile.and_then(|p| p.keeps_in.clone())
        }
    };
    Drawn {
        seed: new_seed(),
        kept,
    }
}

fn unkept(file: Option<&Path>, what: &str, cause: &std::io::Error) -> Reply {
    let file = file.unwrap_or(Path::new("")).display();
    let remedy = "make the directory writable, or give a number, which is not kept";
    let cause = format!("{what} {file}: {cause}");
    Reply::Error(refused("seed", cause, Some(remedy.into())))
}

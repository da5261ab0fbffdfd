//! Answers about the hash, and changes of it.

use crate::api::hash::{
    Changed, Drawn, Hash, HashChanged, HashProfile, SetHash, description, refused,
};
use crate::api::message::Error;
use crate::api::moves::Moves;
use crate::config::{Seed, new_seed, seed_file};
use crate::control::Control;
use crate::hash::{Hashing, SeedSource, differences};
use crate::keyed::settings;
use fastpath::hash::{Field, Settings};
use fastpath::table::LpmWrite;
use std::collections::BTreeMap;
use std::time::Instant;

fn fields(settings: &Settings) -> BTreeMap<String, bool> {
    let fields = Field::ALL.map(|f| (f.name().to_string(), settings.fields().has(f)));
    fields.into()
}

/// Why `settings` are not symmetric though they should be.
fn note(settings: &Settings) -> Option<String> {
    let off = settings.wants_symmetric() && !settings.is_symmetric();
    let reasons = settings.asymmetry().into_iter().map(|r| r.to_string());
    off.then(|| format!("off: {}", reasons.collect::<Vec<_>>().join(", ")))
}

fn caveats(settings: &Settings) -> Vec<String> {
    let caveats = settings.caveats();
    caveats.iter().map(ToString::to_string).collect()
}

fn file(source: &SeedSource) -> Option<String> {
    match source {
        SeedSource::Kept(path) => Some(path.display().to_string()),
        _ => None,
    }
}

impl<L: LpmWrite> Control<L> {
    pub(crate) fn show_hash(&self) -> Hash {
        let policy = &self.plan.dplane.view().hash;
        let base = policy.base();
        let of = &self.hashing;
        let profiles = of
            .profiles
            .iter()
            .zip(policy.profiles())
            .zip(&self.hashing_at_start.profiles)
            .map(|((own, profile), start)| {
                let settings = &profile.settings;
                let inherited = !own.has_seed();
                HashProfile {
                    name: own.name.clone(),
                    prefixes: own.prefixes.iter().map(ToString::to_string).collect(),
                    own: own.own(),
                    fields: fields(settings),
                    symmetric: settings.is_symmetric(),
                    note: note(settings),
                    caveats: caveats(settings),
                    seed: settings.seed(),
                    seed_source: if inherited {
                        "inherited"
                    } else {
                        own.seed.name()
                    }
                    .into(),
                    seed_file: file(&own.seed).filter(|_| !inherited),
                    keeps_in: self.random_seed_file(Some(&own.name)),
                    algorithm: settings.choice().algorithm.name().into(),
                    live: own.live(start),
                }
            });
        Hash {
            fields: fields(base),
            descriptions: Field::ALL
                .map(|f| (f.name().into(), description(f).into()))
                .into(),
            symmetric: base.is_symmetric(),
            note: note(base),
            caveats: caveats(base),
            seed: base.seed(),
            seed_source: of.seed.name().into(),
            seed_file: file(&of.seed),
            keeps_in: self.random_seed_file(None),
            algorithm: base.choice().algorithm.name().into(),
            live: self.live(),
            profiles: profiles.collect(),
            ports: self.plan.ports.all().map(|p| self.port_hash(p)).collect(),
        }
    }

    /// What differs in `[hash]` from what a restart would take.
    fn live(&self) -> Vec<String> {
        let changed = differences(self.hashing_at_start.base, self.hashing.base);
        changed.into_iter().map(|c| c.setting).collect()
    }

    /// Changes the hash, or says what a change would do.
    pub(crate) fn set_hash(
        &mut self,
        request: &SetHash,
        now: Instant,
    ) -> Result<HashChanged, Error> {
        let profile = request.profile.as_deref();
        // It comes drawn and written; only who asks control by itself has nobody who keeps it.
        let unkept = || Drawn {
            seed: new_seed(),
            kept: None,
        };
        let drawn = request.draw_seed.then(|| request.drawn.clone());
        let drawn = drawn.map(|drawn| drawn.unwrap_or_else(unkept));
        if request.change.is_empty() && drawn.is_none() {
            let remedy = Some("name a field, symmetric, seed or algorithm, and its value".into());
            return Err(refused("", "nothing is to change".into(), remedy));
        }
        let (mut next, changes) = self
            .hashing
            .changed(request, drawn.as_ref().map(|d| d.seed))?;
        let mut notes = Vec::new();
        if let Some(Drawn { seed, kept }) = &drawn {
            match kept {
                Some(file) if request.dry_run => {
                    notes.push(format!(
                        "the seed is one of many: another will be drawn, and kept in {}",
                        file.display()
                    ));
                }
                Some(file) => {
                    next.kept(profile, *seed, file.clone());
                    self.hashing_at_start.kept(profile, *seed, file.clone());
                    notes.push(format!(
                        "the seed is kept in {}: a restart has it again",
                        file.display()
                    ));
                }
                None => notes.push(
                    "the seed is not kept: the configuration names another, or none of its own"
                        .into(),
                ),
            }
        }
        let pinned = changes.is_empty() && next != self.hashing;
        let differs = |c: &Changed| c.setting != "seed" || drawn.is_none();
        if (pinned || changes.iter().any(differs)) && !request.dry_run {
            let what = if notes.is_empty() { "it" } else { "the rest" };
            let until = "holds until evenpath ends; a restart takes what the configuration says";
            notes.push(format!("{what} {until}"));
        }
        if pinned && !request.dry_run {
            let words =
                "the profile has it as its own now: a change of [hash] no longer reaches it";
            notes.push(words.into());
        }
        // What was asked for may switch symmetric off, which nobody asked for.
        let why = |of: &Hashing| note(&settings(of.choice(profile).ok()?));
        if why(&next) != why(&self.hashing) {
            notes.extend(why(&next).map(|why| format!("symmetric: {why}")));
        }
        let is_watched = !changes.is_empty() && self.activity.is_watching();
        let moves = is_watched.then(|| {
            // As of now, not of the last reading.
            self.activity.read(&self.plan.groups, now);
            self.samples.take(now);
            Box::new(self.moves(&next.policy(), now))
        });
        if next != self.hashing && !request.dry_run {
            self.hashing = next;
            let policy = self.hashing.policy();
            // In one commit: nobody takes a value for settings that it was not made by.
            let steps = self.nics.retarget(&policy);
            self.spread_anew(policy.base());
            self.plan.dplane.set_policy(policy);
            let object = profile.map_or("hash".into(), |p| format!("hash profile {p}"));
            let what: Vec<String> = match pinned {
                true => vec!["settings as they are made its own".into()],
                false => changes
                    .iter()
                    .map(|c| format!("{} {}", c.setting, c.to))
                    .collect(),
            };
            let noticed = self.wall(now);
            let details = moves.as_deref().map(moved).unwrap_or_default();
            self.counters.hash_changes += 1;
            self.happening(object, what.join(", "), details, noticed);
            self.hash_steps(steps, now);
        }
        Ok(HashChanged {
            dry_run: request.dry_run,
            profile: request.profile.clone(),
            changes,
            notes,
            moves,
        })
    }

    /// Where a seed that is drawn for `profile`, or for `[hash]`, is to be kept, if it is to be.
    fn random_seed_file(&self, profile: Option<&str>) -> Option<std::path::PathBuf> {
        let configured = match profile {
            None => Some(self.config.hash.seed),
            Some(name) => {
                let mut profiles = self.config.hash_profiles.iter();
                profiles.find(|p| p.name == name)?.seed
            }
        };
        (configured == Some(Seed::Random)).then(|| seed_file(&self.config, profile))
    }
}

/// What moved, for the log of events.
fn moved(moves: &Moves) -> Vec<(&'static str, String)> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut details = vec![
        ("flows-sampled", moves.flows.to_string()),
        ("flows-moved", moves.flows_other_member.to_string()),
    ];
    details.extend(moves.share_of_flows.map(|s| ("flows-share", percent(s))));
    details.extend(
        moves
            .share_of_packets
            .map(|s| ("packets-share", percent(s))),
    );
    details
}

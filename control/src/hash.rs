//! The hash settings as control knows them: those of `[hash]`, those of profiles, and what was set
//! since the start. [`Hashing::policy`] is what workers hash by.

use crate::api::hash::{Changed, HashChange, SetHash, refused};
use crate::api::message::Error;
use crate::config::{Config, HashProfile, Seed, SeedWarning, draw_seed, kept_seed, seed_file};
use crate::keyed::settings;
use crate::prefix::Prefix;
use fastpath::hash::{Choice, Field, Fields, Policy, Profile};
use std::path::PathBuf;

/// Where a seed is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedSource {
    /// Written in the configuration.
    Configured,
    /// Drawn, and kept in this file over restarts.
    Kept(PathBuf),
    /// Drawn at the start; it could not be kept.
    Drawn,
    /// Set since the start; a restart takes another.
    Live,
}

impl SeedSource {
    /// The name of JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            SeedSource::Configured => "configured",
            SeedSource::Kept(_) => "kept",
            SeedSource::Drawn => "drawn",
            SeedSource::Live => "live",
        }
    }
}

/// What a profile sets by itself; the rest is inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its name.
    pub name: String,
    /// The destinations.
    pub prefixes: Vec<Prefix>,
    /// Which of the settings are its own.
    mask: Mask,
    /// Their values; of what is not its own, anything.
    values: Choice,
    /// Where its own seed is from.
    pub seed: SeedSource,
}

/// Which settings are a profile's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mask {
    fields: Fields,
    symmetric: bool,
    seed: bool,
    algorithm: bool,
}

impl Own {
    fn new(profile: &HashProfile, seed: u32, source: SeedSource) -> Self {
        let mut own = Fields::EMPTY;
        let mut on = Fields::EMPTY;
        for (&field, &is_on) in &profile.fields {
            own = own.with(field, true);
            on = on.with(field, is_on);
        }
        let default = Choice::default();
        Own {
            name: profile.name.clone(),
            prefixes: profile.prefixes.clone(),
            mask: Mask {
                fields: own,
                symmetric: profile.symmetric.is_some(),
                seed: profile.seed.is_some(),
                algorithm: profile.algorithm.is_some(),
            },
            values: Choice {
                fields: on,
                symmetric: profile.symmetric.unwrap_or(default.symmetric),
                seed,
                algorithm: profile.algorithm.unwrap_or(default.algorithm),
            },
            seed: source,
        }
    }

    /// Its settings over `base`.
    fn over(&self, base: Choice) -> Choice {
        let (mask, own) = (self.mask, self.values);
        let merge = |fields: Fields, field: Field| match mask.fields.has(field) {
            true => fields.with(field, own.fields.has(field)),
            false => fields,
        };
        Choice {
            fields: Field::ALL.into_iter().fold(base.fields, merge),
            symmetric: if mask.symmetric {
                own.symmetric
            } else {
                base.symmetric
            },
            seed: if mask.seed { own.seed } else { base.seed },
            algorithm: if mask.algorithm {
                own.algorithm
            } else {
                base.algorithm
            },
        }
    }

    /// Makes its own what `change` names, with its value in `to`: what is said of a profile holds for
    /// it from then on, whatever `[hash]` becomes.
    fn take(&mut self, change: &HashChange, to: Choice) {
        for field in Field::ALL {
            if change.fields.contains_key(field.name()) {
                self.mask.fields = self.mask.fields.with(field, true);
                self.values.fields = self.values.fields.with(field, to.fields.has(field));
            }
        }
        if change.symmetric.is_some() {
            (self.mask.symmetric, self.values.symmetric) = (true, to.symmetric);
        }
        if change.seed.is_some() {
            (self.mask.seed, self.values.seed) = (true, to.seed);
        }
        if change.algorithm.is_some() {
            (self.mask.algorithm, self.values.algorithm) = (true, to.algorithm);
        }
    }

    /// The names of the settings that are its own and are not so, or not with this value, in `start`.
    pub fn live(&self, start: &Own) -> Vec<String> {
        let (before, after) = (start.values, self.values);
        let fields = Field::ALL.into_iter().filter(|f| {
            let same = before.fields.has(*f) == after.fields.has(*f);
            self.mask.fields.has(*f) && !(start.mask.fields.has(*f) && same)
        });
        let (own, was) = (self.mask, start.mask);
        let symmetric = was.symmetric && before.symmetric == after.symmetric;
        let seed = was.seed && before.seed == after.seed;
        let algorithm = was.algorithm && before.algorithm == after.algorithm;
        let rest = [
            ("symmetric", own.symmetric && !symmetric),
            ("seed", own.seed && !seed),
            ("algorithm", own.algorithm && !algorithm),
        ];
        let rest = rest.into_iter().filter(|r| r.1).map(|r| r.0);
        fields
            .map(Field::name)
            .chain(rest)
            .map(String::from)
            .collect()
    }

    /// Its seed is its own.
    pub fn has_seed(&self) -> bool {
        self.mask.seed
    }

    /// The names of the settings that are its own.
    pub fn own(&self) -> Vec<String> {
        let fields = Field::ALL.into_iter().filter(|f| self.mask.fields.has(*f));
        let rest = [
            ("symmetric", self.mask.symmetric),
            ("seed", self.mask.seed),
            ("algorithm", self.mask.algorithm),
        ];
        let rest = rest.into_iter().filter(|r| r.1).map(|r| r.0);
        fields
            .map(Field::name)
            .chain(rest)
            .map(String::from)
            .collect()
    }
}

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Those of `[hash]`, as changed since.
    pub base: Choice,
    /// Where its seed is from.
    pub seed: SeedSource,
    /// Those of destinations of their own.
    pub profiles: Vec<Own>,
}

/// The settings that `config` asks for, with seeds drawn and kept where they are to be random; the
/// warnings are about seeds that could not be kept.
pub fn configured_policy(config: &Config) -> (Policy, Vec<SeedWarning>) {
    let mut warnings = Vec::new();
    let mut draw = |profile: Option<&str>, seed| {
        let (seed, warning) = draw_seed(config, profile, seed);
        warnings.extend(warning);
        seed
    };
    let base = Choice {
        fields: config.hash.fields,
        symmetric: config.hash.symmetric,
        seed: draw(None, config.hash.seed),
        algorithm: config.hash.algorithm,
    };
    let hashing = Hashing::new(config, base, |profile| match profile.seed {
        Some(seed) => draw(Some(&profile.name), seed),
        None => base.seed,
    });
    (hashing.policy(), warnings)
}

impl Hashing {
    fn new(config: &Config, base: Choice, mut seeds: impl FnMut(&HashProfile) -> u32) -> Self {
        let source = |profile: Option<&str>, configured, seed| match configured {
            Seed::Fixed(_) => SeedSource::Configured,
            Seed::Random => {
                let file = seed_file(config, profile);
                match kept_seed(&file) == Some(seed) {
                    true => SeedSource::Kept(file),
                    false => SeedSource::Drawn,
                }
            }
        };
        let profiles = config.hash_profiles.iter().map(|profile| {
            let seed = seeds(profile);
            let configured = profile.seed.unwrap_or(Seed::Fixed(seed));
            Own::new(profile, seed, source(Some(&profile.name), configured, seed))
        });
        Hashing {
            base,
            profiles: profiles.collect(),
            seed: source(None, config.hash.seed, base.seed),
        }
    }

    /// The settings of `config`, with the seeds of `policy`, which was made from it.
    pub fn in_force(config: &Config, policy: &Policy) -> Self {
        let base = policy.base().choice();
        Hashing::new(config, base, |profile| {
            let same = |p: &&Profile| p.name == profile.name;
            let known = policy.profiles().iter().find(same);
            known.map_or(base.seed, |p| p.settings.seed())
        })
    }

    /// What workers hash by.
    pub fn policy(&self) -> Policy {
        let profiles = self.profiles.iter().map(|own| Profile {
            name: own.name.clone(),
            prefixes: own
                .prefixes
                .iter()
                .map(|p| (p.address(), p.length()))
                .collect(),
            settings: settings(own.over(self.base)),
        });
        Policy::new(settings(self.base), profiles.collect())
    }

    /// The settings that `profile` has, or those of `[hash]`.
    ///
    /// # Errors
    /// There is no such profile.
    pub fn choice(&self, profile: Option<&str>) -> Result<Choice, Error> {
        let Some(name) = profile else {
            return Ok(self.base);
        };
        let own = self.profiles.iter().find(|p| p.name == name);
        own.map(|own| own.over(self.base)).ok_or_else(|| {
            let names: Vec<&str> = self.profiles.iter().map(|p| p.name.as_str()).collect();
            let remedy = match names.as_slice() {
                [] => "the configuration has no [[hash-profile]]".into(),
                names => format!("profiles are {}", names.join(", ")),
            };
            refused(
                &format!("profile {name}"),
                "there is no such profile".into(),
                Some(remedy),
            )
        })
    }

    /// These settings with the change of `request`, with `drawn` as seed if it asks for one; and
    /// what differs.
    ///
    /// # Errors
    /// What is wrong with the request; a profile would be left without any field.
    pub fn changed(
        &self,
        request: &SetHash,
        drawn: Option<u32>,
    ) -> Result<(Hashing, Vec<Changed>), Error> {
        let profile = request.profile.as_deref();
        let from = self.choice(profile)?;
        let mut change = request.change.clone();
        if let Some(seed) = drawn {
            change.seed = Some(seed.into());
        }
        let to = change.apply(from)?;
        let mut next = self.clone();
        match next
            .profiles
            .iter_mut()
            .find(|p| Some(p.name.as_str()) == profile)
        {
            Some(own) => {
                let new = from.seed != to.seed || !own.has_seed();
                own.take(&change, to);
                if change.seed.is_some() && new {
                    own.seed = SeedSource::Live;
                }
            }
            None => {
                next.base = to;
                if from.seed != to.seed {
                    next.seed = SeedSource::Live;
                }
            }
        }
        next.check()?;
        Ok((next, differences(from, to)))
    }

    /// These settings with `change` made to `[hash]` and to all profiles at once.
    ///
    /// # Errors
    /// What is wrong with the change; a profile would be left without any field.
    pub fn everywhere(&self, change: &HashChange) -> Result<Hashing, Error> {
        let mut next = self.clone();
        next.base = change.apply(self.base)?;
        for own in &mut next.profiles {
            let to = change.apply(own.over(self.base))?;
            own.take(change, to);
        }
        next.check()?;
        Ok(next)
    }

    /// Every profile has a field on.
    fn check(&self) -> Result<(), Error> {
        let empty = |own: &&Own| own.over(self.base).fields == Fields::EMPTY;
        let Some(own) = self.profiles.iter().find(empty) else {
            return Ok(());
        };
        let cause = format!("profile {} would have no field on", own.name);
        let remedy = format!("turn one on for it first: --profile {}", own.name);
        Err(refused("", cause, Some(remedy)))
    }

    /// Puts `seed` down as drawn for `profile`, or for `[hash]`, and kept in `file`.
    pub fn kept(&mut self, profile: Option<&str>, seed: u32, file: PathBuf) {
        let source = SeedSource::Kept(file);
        match profile {
            None => (self.base.seed, self.seed) = (seed, source),
            Some(name) => {
                if let Some(own) = self.profiles.iter_mut().find(|p| p.name == name) {
                    (own.values.seed, own.seed) = (seed, source);
                }
            }
        }
    }
}

/// The settings in which `from` and `to` differ.
pub fn differences(from: Choice, to: Choice) -> Vec<Changed> {
    let on_off = |on| if on { "on" } else { "off" }.to_string();
    let one = |setting: &str, from: String, to: String| Changed {
        setting: setting.into(),
        from,
        to,
    };
    let fields = Field::ALL.into_iter().map(|f| {
        one(
            f.name(),
            on_off(from.fields.has(f)),
            on_off(to.fields.has(f)),
        )
    });
    let name = |c: Choice| c.algorithm.name().to_string();
    let rest = [
        one("symmetric", on_off(from.symmetric), on_off(to.symmetric)),
        one("seed", from.seed.to_string(), to.seed.to_string()),
        one("algorithm", name(from), name(to)),
    ];
    fields.chain(rest).filter(|c| c.from != c.to).collect()
}

//! The random seed: drawn once, kept, or a restart would move every flow.

use super::{Config, Seed};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A random seed that is not that of before, or will not be the same after a restart, and why.
#[derive(Debug)]
pub enum SeedWarning {
    /// It is not kept.
    Unkept {
        /// The file that should hold it.
        path: PathBuf,
        /// Why it does not.
        cause: std::io::Error,
    },
    /// There was one, which could not be read.
    Lost {
        /// The file that holds another one now.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
}

impl fmt::Display for SeedWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedWarning::Unkept { path, cause } => write!(
                f,
                "{}: keep the hash seed: {cause}; flows will move at the next restart: make the \
                 directory writable, or set [state] directory or a number as [hash] seed",
                path.display()
            ),
            SeedWarning::Lost { path, cause } => write!(
                f,
                "{}: read the hash seed: {cause}; a new one is drawn, and flows move",
                path.display()
            ),
        }
    }
}

/// The seed to use for `[hash]`, or for a profile: the `configured` one, the one kept in the state
/// directory, or a new one that is now kept there. It can be used in any case.
pub fn draw_seed(
    config: &Config,
    profile: Option<&str>,
    configured: Seed,
) -> (u32, Option<SeedWarning>) {
    if let Seed::Fixed(seed) = configured {
        return (seed, None);
    }
    let path = seed_file(config, profile);
    let was_lost = match read_seed(&path) {
        Ok(Some(kept)) => return (kept, None),
        Ok(None) => None,
        Err(cause) => Some(SeedWarning::Lost {
            path: path.clone(),
            cause,
        }),
    };
    let drawn = new_seed();
    match Beside::new(&path, drawn).and_then(Beside::put) {
        Ok(()) => (drawn, was_lost),
        Err(cause) => (drawn, Some(SeedWarning::Unkept { path, cause })),
    }
}

/// Where the random seed of `[hash]`, or of a profile, is kept.
pub fn seed_file(config: &Config, profile: Option<&str>) -> PathBuf {
    let name = profile.map_or("seed".into(), |name| format!("seed.{name}"));
    config.state.directory.join(name)
}

/// A random number.
pub fn new_seed() -> u32 {
    // The standard library keys its hashers from the operating system's random numbers, and counts
    // on from there: the hash makes them unlike each other.
    (RandomState::new().build_hasher().finish() >> 32) as u32
}

/// The seed that `path` holds.
pub fn kept_seed(path: &Path) -> Option<u32> {
    read_seed(path).ok().flatten()
}

/// The same; none: there is no such file.
fn read_seed(path: &Path) -> std::io::Result<Option<u32>> {
    let text = match std::fs::read_to_string(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let seed = text.trim().parse();
    seed.map(Some)
        .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "it is no number below 2^32"))
}

/// A seed written beside the file that is to keep it: put there whole, or not at all.
#[derive(Debug)]
pub struct Beside {
    path: PathBuf,
    beside: PathBuf,
}

impl Beside {
    /// Writes `seed` beside `path`, to the disk.
    ///
    /// # Errors
    /// The system's reason.
    pub fn new(path: &Path, seed: u32) -> std::io::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(directory)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = Beside {
            path: path.into(),
            beside: directory.join(format!(".{name}.{}", std::process::id())),
        };
        let mut file = std::fs::File::create(&beside.beside)?;
        writeln!(file, "{seed}")?;
        file.sync_all()?;
        Ok(beside)
    }

    /// The file that is to keep it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it there.
    ///
    /// # Errors
    /// The system's reason.
    pub fn put(self) -> std::io::Result<()> {
        std::fs::rename(&self.beside, &self.path)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It is there only if it was not put in its place.
        let _ = std::fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: &Path) -> Config {
        let mut config = Config::default();
        config.state.directory = directory.into();
        config
    }

    fn draw(config: &Config) -> (u32, Option<SeedWarning>) {
        draw_seed(config, None, config.hash.seed)
    }

    #[test]
    fn a_random_seed_is_drawn_once_and_kept() {
        let directory = std::env::temp_dir().join(format!("evenpath-seed-{}", std::process::id()));
        let config = config(&directory.join("deep"));
        let (first, warning) = draw(&config);
        assert!(warning.is_none());
        assert_eq!(draw(&config).0, first);
        std::fs::write(directory.join("deep/seed"), "rubbish").expect("write");
        let (second, warning) = draw(&config);
        let lost = warning.expect("a warning").to_string();
        assert!(
            lost.ends_with("/deep/seed: read the hash seed: it is no number below 2^32; a new one is drawn, and flows move"),
            "{lost}"
        );
        assert_eq!(draw(&config).0, second, "rubbish is replaced");
        std::fs::remove_dir_all(&directory).expect("remove");
        let (third, _) = draw(&config);
        let (_, gone) = (
            std::fs::remove_dir_all(&directory).expect("remove"),
            draw(&config),
        );
        assert!(third != first || gone.0 != first, "not drawn but constant");
        std::fs::remove_dir_all(&directory).expect("remove");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_a_warning() {
        let (_, warning) = draw(&config(Path::new("/dev/null/state")));
        let text = warning.expect("warning").to_string();
        assert!(
            text.starts_with("/dev/null/state/seed: keep the hash seed: "),
            "{text}"
        );
        assert!(
            text.contains("flows will move at the next restart"),
            "{text}"
        );
    }

    #[test]
    fn a_configured_seed_touches_no_file() {
        let mut config = config(Path::new("/dev/null/state"));
        config.hash.seed = Seed::Fixed(0);
        let (seed, warning) = draw(&config);
        assert!(seed == 0 && warning.is_none());
    }
}

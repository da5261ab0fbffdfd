//! The file in the state directory that keeps the tables.

use super::image::{Damage, Image, with_head};
use crate::config::Config;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// No image is longer, in bytes.
const LONGEST: u64 = 256 << 20;

/// Why a file is not used.
#[derive(Debug)]
pub enum Cause {
    /// The system's reason.
    Io(std::io::Error),
    /// What is in it.
    Damage(Damage),
}

/// A file that cannot be used.
#[derive(Debug)]
pub struct Unusable {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: take up tables: ", self.path.display())?;
        match &self.cause {
            Cause::Io(cause) => write!(f, "{cause}")?,
            Cause::Damage(damage) => write!(f, "{damage}")?,
        }
        write!(f, "; starting with new ones, flows may move")
    }
}

/// Where the tables are kept.
pub fn path(config: &Config) -> PathBuf {
    config.state.directory.join("tables")
}

/// What `path` keeps; nothing if there is no such file.
///
/// # Errors
/// It cannot be read, or is damaged, or not ours.
pub fn load(path: &Path) -> Result<Option<Image>, Unusable> {
    let unusable = |cause| Unusable {
        path: path.into(),
        cause,
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(LONGEST).read_to_end(&mut bytes));
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unusable(Cause::Io(e))),
        Ok(_) => {}
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable(Cause::Damage(Damage::Foreign)))?;
    let image = Image::read(&text).map_err(|d| unusable(Cause::Damage(d)))?;
    Ok(Some(image))
}

/// Keeps `body` (of [`Image::body`]) in `path`, whole or not at all: written beside, made durable,
/// then renamed.
///
/// # Errors
/// The system's reason; what was there before still is.
pub fn store(path: &Path, body: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory.join(format!(".{name}.new"));
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(with_head(body).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The new name is durable only with the directory.
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_whole_or_refused_by_name_and_cause() {
        let directory =
            std::env::temp_dir().join(format!("evenpath-tables-{}", std::process::id()));
        let path = directory.join("deep/tables");
        assert!(load(&path).expect("nothing yet").is_none());
        let image = Image {
            buckets: 128,
            ..Image::default()
        };
        store(&path, &image.body()).expect("store");
        store(&path, &image.body()).expect("and again");
        assert_eq!(load(&path).expect("load"), Some(image));
        let files = std::fs::read_dir(directory.join("deep")).expect("directory");
        assert_eq!(files.count(), 1, "nothing is left beside");
        for (bytes, why) in [
            (&b"\xff\xfe"[..], "not written by evenpath"),
            (b"", "not written by evenpath"),
            (
                b"{\"evenpath\":\"tables\",\"version\":7,\"bytes\":0,\"crc32\":\"\"}\n",
                "version 7",
            ),
            (
                b"{\"evenpath\":\"tables\",\"version\":1,\"bytes\":9,\"crc32\":\"\"}\n",
                "0 bytes where 9",
            ),
            (
                b"{\"evenpath\":\"tables\",\"version\":1,\"bytes\":0,\"crc32\":\"\"}\n",
                "checksum",
            ),
        ] {
            std::fs::write(&path, bytes).expect("write");
            let refused = load(&path).expect_err("damaged").to_string();
            let start = format!("{}: take up tables: ", path.display());
            assert!(
                refused.starts_with(&start) && refused.contains(why),
                "{refused}"
            );
        }
        std::fs::remove_dir_all(&directory).expect("remove");
        let refused = load(Path::new("/dev/null/tables")).expect_err("no directory");
        assert!(matches!(refused.cause, Cause::Io(_)), "{refused}");
        assert!(store(Path::new("/dev/null/x/tables"), "").is_err());
    }
}

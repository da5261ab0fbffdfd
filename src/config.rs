//! `evenpath config`: print the defaults, check a file, import Cumulus Linux's.

use crate::cli;
use crate::output::{self, Done, Failure};
use control::config::cumulus::{self, STANDARD, Source};
use control::config::{Config, LoadError, commented};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `evenpath config default`, `check` and `import`.
pub fn config(command: &cli::Config, as_json: bool) -> Done {
    match command {
        cli::Config::Default => {
            let text = commented(&Config::default());
            if as_json {
                return output::json(&json!({ "toml": text }));
            }
            output::text(&text)
        }
        cli::Config::Check { file } => check(file, as_json),
        cli::Config::Import { files, root } => import(files, root, as_json),
    }
}

fn check(file: &Path, as_json: bool) -> Done {
    match Config::load(file) {
        Ok(config) if as_json => output::json(&json!({
            "file": file,
            "ok": true,
            "ports": config.ports.len(),
            "addresses": config.addresses.len(),
            "neighbors": config.neighbors.len(),
            "routes": config.routes.len(),
        })),
        Ok(config) => output::text(&format!("{}: ok: {}\n", file.display(), config.summary())),
        Err(LoadError::Content { problems, .. }) if as_json => {
            let problems: Vec<_> = problems
                .0
                .iter()
                .map(|p| json!({ "line": p.line, "key": p.key, "problem": p.to_string() }))
                .collect();
            output::json(&json!({ "file": file, "ok": false, "problems": problems }))?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            // What is wrong with the file is what was asked for, so it goes to standard output.
            if let LoadError::Content { .. } = error {
                output::text(&format!("{error}\n"))?;
                return Ok(ExitCode::FAILURE);
            }
            Err(error.into())
        }
    }
}

/// The settings go to standard output, everything to know about them to standard error.
fn import(files: &[PathBuf], root: &Path, as_json: bool) -> Done {
    let mut sources = Vec::new();
    for file in files {
        sources.push(source(file)?);
    }
    if files.is_empty() {
        for name in STANDARD {
            let file = root.join(name.trim_start_matches('/'));
            if file.exists() {
                sources.push(source(&file)?);
            }
        }
        if sources.is_empty() {
            return Err(Failure::run(
                root.join("etc/cumulus/datapath").display().to_string(),
                "import",
                "neither traffic.conf nor nvue_traffic.conf is there",
                Some("name the files, or another place by --root DIR"),
            ));
        }
    }
    // If standard error is closed there is nobody to tell.
    let mut aside = std::io::stderr().lock();
    let imported = match cumulus::import(&sources) {
        Ok(imported) => imported,
        Err(problems) if as_json => {
            let problems: Vec<_> = problems
                .0
                .iter()
                .map(|p| json!({ "file": p.file, "line": p.line, "problem": p.to_string() }))
                .collect();
            output::json(&json!({ "ok": false, "problems": problems }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(problems) => {
            let _ = writeln!(aside, "{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    if as_json {
        return output::json(&json!({ "toml": imported.toml, "notes": imported.notes }));
    }
    for note in &imported.notes {
        let _ = writeln!(aside, "note: {note}");
    }
    output::text(&imported.toml)
}

/// A comment may be in any encoding; what is ours is ASCII.
fn source(file: &Path) -> Result<Source, Failure> {
    let name = file.display().to_string();
    match std::fs::read(file) {
        Ok(bytes) => Ok(Source {
            name,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }),
        Err(cause) => Err(Failure::run(name, "read", cause.to_string(), None)),
    }
}

//! `evenpath config`: print the defaults, check a file.

use crate::cli;
use crate::output::{self, Done};
use control::config::{Config, LoadError, commented};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// `evenpath config default` and `check`.
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

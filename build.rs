//! Stamps the version: the package's, and the commit it was built from where that is known.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=EVENPATH_REVISION");
    let revision = std::env::var("EVENPATH_REVISION")
        .ok()
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|p| std::path::Path::new(p).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    match revision.filter(|r| !r.is_empty()) {
        Some(revision) => println!("cargo::rustc-env=EVENPATH_VERSION={version} ({revision})"),
        None => println!("cargo::rustc-env=EVENPATH_VERSION={version}"),
    }
}

/// What git says; nothing without git or outside of a clone.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

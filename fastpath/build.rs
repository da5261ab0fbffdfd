//! Compiles the BPF programs of `src/steal/bpf` for the feature `dpdk`.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const SOURCES: &str = "src/steal/bpf";
const PROGRAMS: [&str; 2] = ["xdp", "tc"];

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed={SOURCES}");
    println!("cargo:rerun-if-env-changed=CLANG");
    if env::var_os("CARGO_FEATURE_DPDK").is_none() {
        return ExitCode::SUCCESS;
    }
    for program in PROGRAMS {
        if let Err(why) = compile(program) {
            println!("cargo::error={why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn compile(program: &str) -> Result<(), String> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let source = format!("{SOURCES}/{program}.bpf.c");
    let mut command = Command::new(&clang);
    command
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        // No path of the build machine in the object, which the binary contains.
        .arg(format!("-ffile-prefix-map={root}=."))
        .args(host_headers())
        .args(["-c", &source, "-o"])
        .arg(out.join(format!("{program}.bpf.o")))
        .current_dir(&root);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "{source}: compile for BPF: {clang}: {status}; the messages above say why; \
             it needs the headers of linux-libc-dev and libbpf-dev"
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
            "{source}: compile for BPF: no {clang}; install clang, or name one in CLANG"
        )),
        Err(error) => Err(format!("{source}: compile for BPF: {clang}: {error}")),
    }
}

/// Debian keeps `asm/types.h` in the host's multiarch folder, where `-target bpf` does not look.
fn host_headers() -> Option<String> {
    let host = env::var("HOST").ok()?;
    let folder = format!("/usr/include/{}-linux-gnu", host.split('-').next()?);
    Path::new(&folder).is_dir().then(|| format!("-I{folder}"))
}

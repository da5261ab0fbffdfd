//! `evenpath replay`: real capture files through the real binary.

mod agree;
mod contract;
mod errors;
mod fpm;
mod fragments;
mod frame;
mod oversized;
mod pcap;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory that is gone with the value.
struct Lab(PathBuf);

impl Lab {
    fn new(name: &str) -> Self {
        let name = format!("replay-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("directory");
        Lab(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a file there.
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("write");
        path
    }

    /// Puts a capture there.
    fn capture(&self, name: &str, frames: &[Vec<u8>]) -> PathBuf {
        self.file(name, pcap::bytes(frames, pcap::ETHERNET))
    }

    /// The frames that left by `port`.
    fn left(&self, out: &str, port: &str) -> Vec<Vec<u8>> {
        pcap::read(&self.path(out).join(format!("{port}.pcap")))
    }

    /// Replays `inputs` (port and file) with further `arguments`.
    fn replay(&self, config: &Path, inputs: &[(&str, &Path)], arguments: &[&OsStr]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenpath"));
        command.args(["replay", "--json", "-c"]).arg(config);
        for (port, path) in inputs {
            command.arg("--in");
            command.arg(format!("{port}={}", path.display()));
        }
        said(command.args(arguments))
    }

    /// Replays what must succeed without a warning, to `out`, with these FPM streams.
    fn summary(
        &self,
        config: &Path,
        inputs: &[(&str, &Path)],
        out: &str,
        streams: &[PathBuf],
    ) -> Value {
        let out = self.path(out);
        let mut arguments = vec![OsStr::new("--out"), out.as_os_str()];
        for stream in streams {
            arguments.extend([OsStr::new("--fpm"), stream.as_os_str()]);
        }
        let said = self.replay(config, inputs, &arguments);
        assert_eq!((said.code, said.error.as_str()), (0, ""));
        said.balanced()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a command ended.
struct Said {
    code: i32,
    out: String,
    error: String,
}

impl Said {
    /// The summary, which accounts for every packet.
    fn balanced(&self) -> Value {
        let summary: Value = serde_json::from_str(&self.out).expect("JSON");
        let sum = |which: &str| -> u64 {
            let ports = summary["ports"].as_object().expect("ports").values();
            ports.map(|p| p[which].as_u64().expect("a number")).sum()
        };
        let count = |which: &str| summary[which].as_u64().expect("a number");
        let dropped = summary["dropped"].as_object().expect("reasons").values();
        let dropped: u64 = dropped.map(|n| n.as_u64().expect("a number")).sum();
        assert_eq!(
            sum("in") + count("icmp-sent") + count("fragments"),
            sum("out") + dropped + count("punted"),
            "{summary}"
        );
        summary
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("evenpath starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said {
        code: output.status.code().expect("not killed"),
        out: text(output.stdout),
        error: text(output.stderr),
    }
}

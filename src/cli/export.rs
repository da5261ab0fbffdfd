//! `evenpath export`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `evenpath export`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// The hardware plane's program as a script for dpdk-testpmd.
    Testpmd(Testpmd),
}

/// `evenpath export testpmd`.
#[derive(Args, Debug)]
#[command(
    after_help = "For bring-up on a NIC in a lab (docs/bring-up.md). Ports are numbered as in the configuration.
What testpmd is to be started with stands at the top; what it cannot say is a comment.

Examples:
  evenpath export testpmd > now.testpmd
  evenpath export testpmd -c evenpath.toml --nic cx7 > program.testpmd
  dpdk-testpmd -a 0000:03:00.0,dv_flow_en=2 -- -i --disable-device-start --cmdline-file=program.testpmd"
)]
pub struct Testpmd {
    /// A configuration (ports, addresses, neighbors, routes; role, design and mtu of offload); none:
    /// the running evenpath's program.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The NIC that the program is for.
    #[arg(long, value_enum, default_value_t = Nic::Bf3, requires = "config")]
    pub nic: Nic,
    /// Receive queues of each port, which software has: 1..64.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "config", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub queues: u16,
}

/// A NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Nic {
    /// ConnectX-6 Dx.
    Cx6dx,
    /// ConnectX-7.
    Cx7,
    /// BlueField-3.
    Bf3,
}

impl Nic {
    /// The name of its profile.
    pub const fn name(self) -> &'static str {
        match self {
            Nic::Cx6dx => "cx6dx",
            Nic::Cx7 => "cx7",
            Nic::Bf3 => "bf3",
        }
    }
}

/// `evenpath verify`.
#[derive(Args, Debug)]
#[command(
    after_help = "Packets go on meanwhile. Exit code: 0 as planned, 1 differences, which are listed, or failed.

Examples:
  evenpath verify
  evenpath verify --json
  evenpath verify --repair"
)]
pub struct Verify {
    /// Put in again what the NIC's driver does not have any more; nothing else is changed.
    #[arg(long)]
    pub repair: bool,
}

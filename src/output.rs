//! How commands end: text on standard output, errors on standard error, the exit code.

use control::api::client::ClientError;
use control::config::LoadError;
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense: exit code 2, with usage.
    Usage(clap::Error),
    /// The configuration.
    Config(LoadError),
    /// The running evenpath.
    Client(ClientError),
    /// Standard output.
    Output(std::io::Error),
    /// Starting or running the fast path.
    Run(control::api::message::Error),
    /// DPDK.
    Dpdk(fastpath::dpdk::Error),
    /// Parting a netdev's packets from the kernel's.
    Steal(fastpath::steal::Error),
}

impl Failure {
    /// A failure of the run itself: object, operation, cause, remedy.
    pub fn run(
        object: impl Into<String>,
        operation: &str,
        cause: impl Into<String>,
        remedy: Option<&str>,
    ) -> Self {
        Failure::Run(control::api::message::Error {
            object: object.into(),
            operation: operation.into(),
            cause: cause.into(),
            remedy: remedy.map(Into::into),
        })
    }
}

impl From<fastpath::dpdk::Error> for Failure {
    fn from(error: fastpath::dpdk::Error) -> Self {
        Failure::Dpdk(error)
    }
}

impl From<fastpath::steal::Error> for Failure {
    fn from(error: fastpath::steal::Error) -> Self {
        Failure::Steal(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => error.fmt(f),
            Failure::Config(error) => error.fmt(f),
            Failure::Client(error) => error.fmt(f),
            Failure::Output(cause) => write!(f, "standard output: write: {cause}"),
            Failure::Run(error) => error.fmt(f),
            Failure::Dpdk(error) => error.fmt(f),
            Failure::Steal(error) => error.fmt(f),
        }
    }
}

impl Failure {
    /// Says why, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if let Failure::Usage(error) = self {
            // If standard error is closed there is nobody to tell.
            let _ = match crate::calc::usage(error) {
                Some(text) => std::io::stderr().write_all(text.as_bytes()),
                None => error.print(),
            };
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        let _ = writeln!(std::io::stderr(), "{}: {self}", crate::calc::name());
        ExitCode::FAILURE
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Failure::Usage(error)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Failure::Config(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::Client(error)
    }
}

/// What commands return.
pub type Done = Result<ExitCode, Failure>;

/// Prints `text`. A reader that has seen enough (`| head`) is no error.
pub fn text(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Output(cause)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints `value` as one line of JSON.
pub fn json(value: &impl Serialize) -> Done {
    let mut line = serde_json::to_string(value).map_err(|e| Failure::Output(e.into()))?;
    line.push('\n');
    text(&line)
}

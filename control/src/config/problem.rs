//! What is wrong with a file, for the person who wrote it.

use super::nearest::nearest;
use crate::prefix::PrefixError;
use std::fmt;
use std::path::PathBuf;

/// One thing wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key as written in the file: `hash.seed`, `port[2].mtu`; empty: the file as a whole.
    pub key: String,
    /// What is wrong.
    pub kind: Kind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not TOML.
    Syntax(String),
    /// No such key here; the keys that there are.
    UnknownKey(&'static [&'static str]),
    /// The key must be there.
    Missing,
    /// The value as written, and what is allowed.
    NotAllowed {
        /// As written.
        value: String,
        /// In words.
        allowed: &'static str,
    },
    /// The value is no prefix or address.
    Prefix {
        /// As written.
        value: String,
        /// Why.
        cause: PrefixError,
    },
    /// No port of this name; the names that there are.
    UnknownPort {
        /// As written.
        value: String,
        /// The configured ones.
        ports: Vec<String>,
    },
    /// The same thing twice; the line of the first.
    Duplicate {
        /// As written.
        value: String,
        /// Where it was first.
        first: usize,
    },
    /// More ports than there can be.
    TooManyPorts(usize),
    /// A gateway without a port, and no configured address is on its link.
    PortNeeded(String),
    /// An IPv6 route cannot have an IPv4 gateway.
    FamilyMismatch(String),
    /// Neither next hops nor a type, or both.
    Target,
    /// These two keys contradict each other: what is wrong, and the remedy.
    Conflict(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        match &self.kind {
            Kind::Syntax(message) => write!(f, "not TOML: {message}"),
            Kind::UnknownKey(known) => {
                let name = self.key.rsplit('.').next().unwrap_or(&self.key);
                f.write_str("unknown key; ")?;
                match nearest(name, known) {
                    Some(meant) => write!(f, "did you mean {meant}?"),
                    None => write!(f, "known here: {}", known.join(", ")),
                }
            }
            Kind::Missing => f.write_str("missing; it has no default"),
            Kind::NotAllowed { value, allowed } => {
                write!(f, "{value} is not allowed; allowed: {allowed}")
            }
            Kind::Prefix { value, cause } => write!(f, "\"{value}\": {cause}"),
            Kind::UnknownPort { value, ports } => {
                write!(f, "no port is called \"{value}\"; ")?;
                let names: Vec<&str> = ports.iter().map(String::as_str).collect();
                match nearest(value, &names) {
                    Some(meant) => write!(f, "did you mean {meant}?"),
                    None if ports.is_empty() => f.write_str("add a [[port]] of that name"),
                    None => write!(f, "ports are {}", ports.join(", ")),
                }
            }
            Kind::Duplicate { value, first } => {
                write!(f, "{value} is already on line {first}; remove one of them")
            }
            Kind::TooManyPorts(count) => write!(f, "{count} ports; at most 64 are possible"),
            Kind::PortNeeded(via) => write!(
                f,
                "{via} is on the link of no [[address]]; say which port by port = \"NAME\""
            ),
            Kind::FamilyMismatch(via) => write!(
                f,
                "{via} cannot be the gateway of an IPv6 route; use an IPv6 address"
            ),
            Kind::Target => f.write_str(
                "needs either nexthops = [...] or type = \"blackhole\", \"unreachable\" or \"prohibit\"",
            ),
            Kind::Conflict(words) => f.write_str(words),
        }
    }
}

/// All that is wrong with a text, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i != 0 {
                f.write_str("\n")?;
            }
            write!(f, "line {}: {problem}", problem.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Why a file was not taken.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// What is in it.
    Content {
        /// The file.
        path: PathBuf,
        /// Everything wrong with it.
        problems: Problems,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read { path, cause } => {
                write!(f, "{}: read: {cause}", path.display())?;
                if cause.kind() == std::io::ErrorKind::NotFound {
                    f.write_str("; `evenpath config default` prints one to start from")?;
                }
                Ok(())
            }
            LoadError::Content { path, problems } => {
                for (i, problem) in problems.0.iter().enumerate() {
                    if i != 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{}:{}: {problem}", path.display(), problem.line)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

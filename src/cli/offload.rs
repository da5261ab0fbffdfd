//! `evenpath show offload`.

use control::api::message::OffloadQuery;
use control::prefix::Prefix;
use std::str::FromStr;

/// A prefix or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffloadOf {
    /// This prefix.
    Prefix(Prefix),
    /// The group of that id.
    Group(u32),
}

impl FromStr for OffloadOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            let prefix = text.parse().map(OffloadOf::Prefix);
            return prefix.map_err(|e: control::prefix::PrefixError| e.to_string());
        }
        let group = text.parse().map(OffloadOf::Group);
        group.map_err(|_| "expected a prefix (10.0.0.0/8) or the number of a group".into())
    }
}

impl OffloadOf {
    /// The question about `of`.
    pub fn query(of: Option<OffloadOf>) -> OffloadQuery {
        match of {
            None => OffloadQuery::default(),
            Some(OffloadOf::Prefix(prefix)) => OffloadQuery {
                prefix: Some(prefix),
                ..OffloadQuery::default()
            },
            Some(OffloadOf::Group(group)) => OffloadQuery {
                group: Some(group),
                ..OffloadQuery::default()
            },
        }
    }
}

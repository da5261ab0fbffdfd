//! `[metrics]`: where figures can be fetched.

use super::reader::{Findings, Section};
use std::net::SocketAddr;

/// Figures for Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where they can be fetched over HTTP; none: nowhere. There is no authentication.
    pub listen: Option<SocketAddr>,
}

pub(super) fn metrics(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Metrics {
    s.only(&["listen"], out);
    let words = "ADDRESS:PORT, e.g. \"127.0.0.1:9470\" or \"[::1]:9470\", or \"none\"";
    let listen = s.get("listen", words, out, |v| match v.as_str()? {
        "none" => Some(None),
        address => address.parse().ok().map(Some),
    });
    Metrics {
        listen: listen.and_then(|at| at.value),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, commented};

    #[test]
    fn off_unless_it_is_said_where() {
        let listen = |text: &str| Config::parse(text).map(|c| c.metrics.listen);
        assert_eq!(listen(""), Ok(None));
        assert_eq!(listen("[metrics]\nlisten = \"none\""), Ok(None));
        let there = listen("[metrics]\nlisten = \"[::1]:9470\"");
        assert_eq!(there, Ok("[::1]:9470".parse().ok()));
        for wrong in ["9470", "localhost", "127.0.0.1", ""] {
            let text = format!("[metrics]\nlisten = \"{wrong}\"");
            let problems = listen(&text).expect_err(wrong).to_string();
            assert!(problems.contains("line 2: metrics.listen"), "{problems}");
        }
        let text = "[metrics]\nlisten = \"127.0.0.1:1\"";
        let config = Config::parse(text).expect("an address");
        assert_eq!(Config::parse(&commented(&config)), Ok(config));
    }
}

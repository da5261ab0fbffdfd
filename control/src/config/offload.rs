//! `[offload]`: what the NIC forwards by itself.

use super::reader::{Findings, Section, number};

/// The hardware plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Whether there is one.
    pub mode: Mode,
    /// Who does what.
    pub backend: Backend,
    /// Backend `rss`: prefixes that NICs mark, 0 to 65536; 0: none.
    pub marks: u32,
    /// Where packets come from; none: by what the NIC can do.
    pub role: Option<Role>,
    /// How a group's packets are spread; none: by what the NIC can do and the hash.
    pub design: Option<Design>,
    /// The largest IP packet that hardware forwards, bytes, 68 to 9600; none: the smallest MTU of the
    /// ports.
    pub mtu: Option<u16>,
    /// The most rules of the table of one prefix length, 256 to 4194304. A table is made as large as that, or
    /// as there can be prefixes of its length, with the first of them.
    pub prefixes: u32,
}

impl Default for Offload {
    fn default() -> Self {
        Offload {
            mode: Mode::default(),
            backend: Backend::default(),
            marks: 0,
            role: None,
            design: None,
            mtu: None,
            prefixes: 131_072,
        }
    }
}

/// `offload.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// There is none.
    #[default]
    Off,
    /// If the ports can.
    Auto,
    /// Refuse to start without.
    Required,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 3] = [Mode::Off, Mode::Auto, Mode::Required];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Auto => "auto",
            Mode::Required => "required",
        }
    }
}

/// `offload.backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// The NIC forwards: programs, by the template API.
    #[default]
    Mlx5,
    /// The NIC spreads packets over workers, and marks prefixes; software forwards: any NIC.
    Rss,
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 2] = [Backend::Mlx5, Backend::Rss];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Mlx5 => "mlx5",
            Backend::Rss => "rss",
        }
    }
}

/// `offload.role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Between functions of the host and wires, in the e-switch.
    Dpu,
    /// From wire to wire, by hairpin queues.
    Transit,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 2] = [Role::Dpu, Role::Transit];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Dpu => "dpu",
            Role::Transit => "transit",
        }
    }
}

/// `offload.design`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Tables of rows, by CRC-32.
    Rows,
    /// Indirect RSS over hairpin queues.
    Rss,
}

impl Design {
    /// All of them.
    pub const ALL: [Design; 2] = [Design::Rows, Design::Rss];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Design::Rows => "rows",
            Design::Rss => "rss",
        }
    }
}

/// `port.side`: where packets of a port come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// A wire.
    #[default]
    Wire,
    /// A function of the host.
    Host,
}

impl Side {
    /// All of them.
    pub const ALL: [Side; 2] = [Side::Wire, Side::Host];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Wire => "wire",
            Side::Host => "host",
        }
    }
}

pub(super) fn offload(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Offload {
    const KEYS: [&str; 7] = [
        "mode", "backend", "marks", "role", "design", "mtu", "prefixes",
    ];
    s.only(&KEYS, out);
    let words = "\"off\", \"auto\" or \"required\"";
    let mode = s.get("mode", words, out, |v| {
        let name = v.as_str()?;
        Mode::ALL.into_iter().find(|m| m.name() == name)
    });
    let words = "\"mlx5\" or \"rss\"";
    let backend = s.get("backend", words, out, |v| {
        let name = v.as_str()?;
        Backend::ALL.into_iter().find(|b| b.name() == name)
    });
    let marks = s.get("marks", "0..65536 prefixes", out, |v| {
        u32::try_from(number(v)?).ok().filter(|n| *n <= 65536)
    });
    let words = "\"auto\", \"dpu\" or \"transit\"";
    let role = s.get("role", words, out, |v| match v.as_str()? {
        "auto" => Some(None),
        name => Role::ALL.into_iter().find(|r| r.name() == name).map(Some),
    });
    let words = "\"auto\", \"rows\" or \"rss\"";
    let design = s.get("design", words, out, |v| match v.as_str()? {
        "auto" => Some(None),
        name => Design::ALL.into_iter().find(|d| d.name() == name).map(Some),
    });
    let words = "\"auto\" or 68..9600 bytes";
    let mtu = s.get("mtu", words, out, |v| {
        if v.as_str() == Some("auto") {
            return Some(None);
        }
        let mtu = u16::try_from(number(v)?).ok();
        mtu.filter(|m| (68..=9600).contains(m)).map(Some)
    });
    let range = 256..=4_194_304;
    let words = "256..4194304 rules";
    let default = Offload::default().prefixes;
    let prefixes = s.number("prefixes", range, words, default.into(), out);
    Offload {
        mode: mode.map(|at| at.value).unwrap_or_default(),
        backend: backend.map(|at| at.value).unwrap_or_default(),
        marks: marks.map_or(0, |at| at.value),
        role: role.and_then(|at| at.value),
        design: design.and_then(|at| at.value),
        mtu: mtu.and_then(|at| at.value),
        prefixes: u32::try_from(prefixes).unwrap_or(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, commented};

    #[test]
    fn off_unless_it_is_wanted() {
        let config = Config::parse("").expect("empty");
        assert_eq!(config.offload, Offload::default());
        assert_eq!(config.offload.mode, Mode::Off);
        let text = "[eal]\nplugins = [\"/lib/a.so\"]\n[offload]\nmode = \"required\"\n\
                    role = \"dpu\"\ndesign = \"rows\"\nmtu = 1500\nbackend = \"rss\"\nmarks = 1024\n\
                    prefixes = 524288\n";
        let config = Config::parse(text).expect("all keys");
        let all = Offload {
            mode: Mode::Required,
            backend: Backend::Rss,
            marks: 1024,
            role: Some(Role::Dpu),
            design: Some(Design::Rows),
            mtu: Some(1500),
            prefixes: 524_288,
        };
        assert_eq!(config.offload, all);
        assert_eq!(config.eal.plugins, ["/lib/a.so"]);
        assert_eq!(Config::parse(&commented(&config)), Ok(config));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("[offload]\nmode = \"on\"", "line 2: offload.mode"),
            (
                "[offload]\nrole = \"spine\"",
                "\"auto\", \"dpu\" or \"transit\"",
            ),
            ("[offload]\ndesign = 1", "\"auto\", \"rows\" or \"rss\""),
            ("[offload]\nbackend = \"sim\"", "\"mlx5\" or \"rss\""),
            ("[offload]\nmarks = 65537", "0..65536 prefixes"),
            ("[offload]\nprefixes = 255", "256..4194304 rules"),
            ("[offload]\nprefixes = 4194305", "256..4194304 rules"),
            ("[offload]\nmtu = 67", "\"auto\" or 68..9600 bytes"),
            ("[offload]\nmods = \"auto\"", "mode"),
            (
                "[[port]]\nname = \"a\"\nside = \"left\"",
                "\"wire\" or \"host\"",
            ),
            ("[eal]\nplugins = \"a.so\"", "eal.plugins"),
            ("[eal]\nplugins = [\"\"]", "eal.plugins"),
        ] {
            let problems = Config::parse(text).expect_err(text).to_string();
            assert!(problems.contains(words), "{text}: {problems}");
        }
    }
}

//! `fpm.answer`: how zebra is answered.

/// `fpm.answer`: what zebra is told of routes that software forwards, by the flags of its answers.
/// Of a route that finds no room it is always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Forwarded: bgpd may announce it.
    Offload,
    /// The same, and shown as forwarded by a CPU.
    OffloadTrap,
    /// Forwarded by a CPU: bgpd is not to announce it before hardware forwards it.
    Trap,
    /// Nothing.
    None,
}

impl Answer {
    /// All of them.
    pub const ALL: [Answer; 4] = [
        Answer::Offload,
        Answer::OffloadTrap,
        Answer::Trap,
        Answer::None,
    ];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Answer::Offload => "offload",
            Answer::OffloadTrap => "offload-trap",
            Answer::Trap => "trap",
            Answer::None => "none",
        }
    }
}

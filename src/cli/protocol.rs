//! IP protocols, as `calc` is told them.

use std::str::FromStr;

/// An IP protocol by number, or ICMP, which has one for each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ICMP or ICMPv6, by the addresses.
    Icmp,
    /// This one.
    Number(u8),
}

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = match text.to_ascii_lowercase().as_str() {
            "icmp" => return Ok(Protocol::Icmp),
            "tcp" => 6,
            "udp" => 17,
            "gre" => 47,
            "esp" => 50,
            "icmpv6" | "icmp6" => 58,
            "sctp" => 132,
            number => number
                .parse()
                .map_err(|_| "expected tcp, udp, icmp, sctp, gre, esp or 0..255")?,
        };
        Ok(Protocol::Number(number))
    }
}

impl Protocol {
    /// Its number in a packet of this family.
    pub fn number(self, is_ipv4: bool) -> u8 {
        match self {
            Protocol::Number(number) => number,
            Protocol::Icmp if is_ipv4 => 1,
            Protocol::Icmp => 58,
        }
    }
}

//! Prefixes: an address and a length, host bits zero.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A prefix. Ordered by family (IPv4 first), then address, then length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// A number or two, where the derived one feeds bytes and their count one after another.
impl Hash for Prefix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.address {
            IpAddr::V4(address) => {
                state.write_u64(u64::from(self.length) << 32 | u64::from(address.to_bits()));
            }
            IpAddr::V6(address) => {
                state.write_u128(address.to_bits());
                state.write_u8(self.length);
            }
        }
    }
}

/// Why text or numbers are no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Not an address, or not of the form `ADDRESS/LENGTH`.
    Syntax,
    /// The length is beyond the family's: the most it may be.
    Length(u8),
    /// Bits beyond the length are set: the prefix that was probably meant.
    HostBits(Prefix),
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Syntax => f.write_str("expected ADDRESS/LENGTH"),
            PrefixError::Length(most) => write!(f, "the length must be 0..{most}"),
            PrefixError::HostBits(meant) => write!(f, "host bits are set; did you mean {meant}?"),
        }
    }
}

impl std::error::Error for PrefixError {}

/// Bits in an address of `address`'s family.
pub const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
        }
    }
}

/// Splits `ADDRESS/LENGTH`, host bits allowed: the form of interface addresses.
pub fn parse_address(text: &str) -> Result<(IpAddr, u8), PrefixError> {
    let (address, length) = text.split_once('/').ok_or(PrefixError::Syntax)?;
    let address: IpAddr = address.parse().map_err(|_| PrefixError::Syntax)?;
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PrefixError::Syntax);
    }
    let most = width(address);
    let length = length.parse().map_err(|_| PrefixError::Length(most))?;
    if length > most {
        return Err(PrefixError::Length(most));
    }
    Ok((address, length))
}

impl Prefix {
    /// `0.0.0.0/0`.
    pub const DEFAULT4: Prefix = Prefix {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        length: 0,
    };
    /// `::/0`.
    pub const DEFAULT6: Prefix = Prefix {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        length: 0,
    };

    /// The prefix of exactly these values.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let prefix = Prefix::containing(address, length)?;
        if prefix.address == address {
            Ok(prefix)
        } else {
            Err(PrefixError::HostBits(prefix))
        }
    }

    /// The prefix of `length` that `address` is in: host bits are cleared.
    pub fn containing(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        if length > width(address) {
            return Err(PrefixError::Length(width(address)));
        }
        Ok(Prefix {
            address: masked(address, length),
            length,
        })
    }

    /// The /32 or /128 of `address`.
    pub const fn host(address: IpAddr) -> Self {
        Prefix {
            address,
            length: width(address),
        }
    }

    /// Its lowest address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Its length in bits: 0 to 32 or 128.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// True for IPv4.
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// True for `0.0.0.0/0` and `::/0`.
    pub const fn is_default(&self) -> bool {
        self.length == 0
    }

    /// True for a /32 or /128.
    pub const fn is_host(&self) -> bool {
        self.length == width(self.address)
    }

    /// True when `address` is in it; an address of the other family never is.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && masked(address, self.length) == self.address
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = parse_address(text)?;
        Prefix::new(address, length)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> String {
        prefix.to_string()
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_prefix_or_says_why_not() {
        for good in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "192.0.2.1/32",
            "::/0",
            "2001:db8::/32",
            "::1/128",
        ] {
            let prefix: Prefix = good.parse().expect(good);
            assert_eq!(prefix.to_string(), good);
        }
        for (bad, why) in [
            ("10.0.0.0", "expected ADDRESS/LENGTH"),
            ("10.0.0/8", "expected ADDRESS/LENGTH"),
            ("10.0.0.0/", "expected ADDRESS/LENGTH"),
            ("10.0.0.0/+8", "expected ADDRESS/LENGTH"),
            ("10.0.0.0/33", "the length must be 0..32"),
            ("::/129", "the length must be 0..128"),
            ("::/999", "the length must be 0..128"),
            ("10.1.0.0/8", "host bits are set; did you mean 10.0.0.0/8?"),
            (
                "2001:db8::1/32",
                "host bits are set; did you mean 2001:db8::/32?",
            ),
        ] {
            assert_eq!(
                bad.parse::<Prefix>().expect_err(bad).to_string(),
                why,
                "{bad}"
            );
        }
    }

    #[test]
    fn containing_is_by_family_and_bits() {
        let eight: Prefix = "10.0.0.0/8".parse().expect("prefix");
        assert!(eight.contains("10.255.1.2".parse().expect("address")));
        assert!(!eight.contains("11.0.0.0".parse().expect("address")));
        assert!(!eight.contains("::".parse().expect("address")));
        assert!(Prefix::DEFAULT4.contains("203.0.113.9".parse().expect("address")));
        assert!(!Prefix::DEFAULT4.contains("2001:db8::1".parse().expect("address")));
        assert!(Prefix::DEFAULT6.contains("2001:db8::1".parse().expect("address")));
        assert!(Prefix::host("::1".parse().expect("address")).is_host());
    }

    #[test]
    fn order_is_family_address_length() {
        let mut all: Vec<Prefix> = ["::/0", "10.0.0.0/16", "10.0.0.0/8", "9.0.0.0/8"]
            .iter()
            .map(|p| p.parse().expect("prefix"))
            .collect();
        all.sort();
        let texts: Vec<String> = all.iter().map(Prefix::to_string).collect();
        assert_eq!(texts, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "::/0"]);
    }
}

//! Prefixes: an address and a length, host bits zero.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A prefix. Ordered by family (IPv4 first), then address, then length.
///
/// Numbers, where `IpAddr` would do: comparing those was a sixth of what a route took.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix {
    is_v6: bool,
    /// The address, left-aligned.
    high: u64,
    low: u64,
    length: u8,
}

/// A number or three, where the derived one feeds each field by itself.
impl Hash for Prefix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.high ^ u64::from(self.length));
        if self.is_v6 {
            state.write_u64(self.low);
            state.write_u8(self.length);
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

/// The bits of `address`, the first one leftmost.
const fn left_aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `length` bits of 128.
const fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        1..=127 => u128::MAX << (128 - length),
        128.. => u128::MAX,
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
    pub const DEFAULT4: Prefix = Prefix::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    /// `::/0`.
    pub const DEFAULT6: Prefix = Prefix::of(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

    /// The first `length` bits of `address`, which has as many at least.
    const fn of(address: IpAddr, length: u8) -> Self {
        let bits = left_aligned(address) & mask(length);
        Prefix {
            is_v6: address.is_ipv6(),
            high: (bits >> 64) as u64,
            low: bits as u64,
            length,
        }
    }

    /// Its bits, left-aligned.
    const fn bits(&self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The prefix of exactly these values.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let prefix = Prefix::containing(address, length)?;
        if prefix.address() == address {
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
        Ok(Prefix::of(address, length))
    }

    /// The /32 or /128 of `address`.
    pub const fn host(address: IpAddr) -> Self {
        Prefix::of(address, width(address))
    }

    /// Its lowest address.
    pub const fn address(&self) -> IpAddr {
        let bits = self.bits();
        match self.is_v6 {
            false => IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32)),
            true => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }

    /// Its length in bits: 0 to 32 or 128.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// True for IPv4.
    pub const fn is_ipv4(&self) -> bool {
        !self.is_v6
    }

    /// True for `0.0.0.0/0` and `::/0`.
    pub const fn is_default(&self) -> bool {
        self.length == 0
    }

    /// True for a /32 or /128.
    pub const fn is_host(&self) -> bool {
        self.length == width(self.address())
    }

    /// True when `address` is in it; an address of the other family never is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = left_aligned(address) & mask(self.length) == self.bits();
        address.is_ipv4() == self.is_ipv4() && same
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address(), self.length))
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

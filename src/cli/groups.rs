//! Which groups `calc --group` is about.

use super::RouteOf;
use control::api::message::WhatIf;
use std::str::FromStr;

/// One group, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOf {
    /// All of them.
    All,
    /// The group with this id.
    Id(u32),
    /// The group of this route.
    Route(RouteOf),
}

impl FromStr for GroupOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(GroupOf::All);
        }
        if let Ok(id) = text.parse() {
            return Ok(GroupOf::Id(id));
        }
        let words =
            "expected a group's number, a prefix (10.0.0.0/8), an address (10.1.2.3), or all";
        let route = text.parse().map(GroupOf::Route);
        route.map_err(|_| words.to_string())
    }
}

impl GroupOf {
    /// The question about these groups.
    pub fn question(self, what_if: &[String], buckets: bool) -> WhatIf {
        let mut question = WhatIf {
            what_if: what_if.to_vec(),
            buckets,
            ..WhatIf::default()
        };
        match self {
            GroupOf::All => {}
            GroupOf::Id(id) => question.group = Some(id),
            GroupOf::Route(RouteOf::Prefix(prefix)) => question.prefix = Some(prefix),
            GroupOf::Route(RouteOf::Address(address)) => question.address = Some(address),
        }
        question
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_their_words() {
        let read = |text: &str| text.parse::<GroupOf>();
        assert_eq!(read("all"), Ok(GroupOf::All));
        assert_eq!(read("17"), Ok(GroupOf::Id(17)));
        let question = |text: &str| read(text).expect(text).question(&[], true);
        assert!(question("10.0.0.0/8").prefix.is_some());
        assert!(question("fd00::1").address.is_some());
        for wrong in ["", "up1", "10.0.0.1/8", "-1", "4294967296"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

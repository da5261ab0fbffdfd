//! `verify` on the api socket: where the tables are not what is planned.

use fastpath::hardware::export::Script;
use serde::{Deserialize, Serialize};

/// What is to be looked at: audits and exports go piece by piece, and packets go on meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct VerifyQuery {
    /// The `next` of the previous answer; none: the first piece of a new audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<VerifyNext>,
    /// Of hardware: rules that the driver does not have are put in again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repair: bool,
}

/// Where an audit goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VerifyNext {
    /// Which audit.
    pub audit: u32,
    /// How far it is.
    pub at: u64,
}

/// One piece of an audit, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Verified {
    /// What was looked at.
    pub checked: Checked,
    /// What is not as planned.
    pub differences: Vec<Difference>,
    /// So many more are not listed.
    pub omitted: u64,
    /// Rules that the driver did not have, and that are being put in again.
    #[serde(skip_serializing_if = "is_zero")]
    pub repaired: u64,
    /// Where it goes on; none: that was all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<VerifyNext>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What an audit has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Checked {
    /// Ports: their facts and their down bits.
    pub ports: u64,
    /// Next hops that groups have.
    pub nexthops: u64,
    /// Groups.
    pub groups: u64,
    /// Their buckets.
    pub buckets: u64,
    /// Prefixes.
    pub prefixes: u64,
    /// Addresses within them that were looked up.
    pub addresses: u64,
    /// Prefixes of which longer ones left no address that was found.
    pub covered: u64,
    /// Rules in the NIC.
    pub rules: u64,
}

/// Programs of the hardware plane as a script for testpmd, or a piece of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Exported {
    /// Tables that are made; the sums are those of all of it, and in the last piece.
    pub tables: u64,
    /// Rules.
    pub rules: u64,
    /// Indirect actions.
    pub indirect_actions: u64,
    /// What testpmd cannot say.
    pub not_said: Vec<String>,
    /// The script.
    pub text: String,
    /// Where it goes on; none: that was all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<VerifyNext>,
}

impl From<Script> for Exported {
    fn from(script: Script) -> Self {
        Self {
            tables: script.tables as u64,
            rules: script.rules as u64,
            indirect_actions: script.indirects as u64,
            not_said: script.unsaid,
            text: script.text,
            next: None,
        }
    }
}

/// Something that is not as planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Where: `software` or `hardware`.
    pub of: String,
    /// What: `prefix 10.0.0.0/8`, `group 7 bucket 3`.
    pub object: String,
    /// What it ought to be.
    pub planned: String,
    /// What it is.
    pub found: String,
}

impl Verified {
    /// Takes in another piece; at most `most` differences are listed.
    pub fn add(&mut self, piece: Verified, most: usize) {
        let (sum, more) = (&mut self.checked, &piece.checked);
        for (sum, more) in [
            (&mut sum.ports, more.ports),
            (&mut sum.nexthops, more.nexthops),
            (&mut sum.groups, more.groups),
            (&mut sum.buckets, more.buckets),
            (&mut sum.prefixes, more.prefixes),
            (&mut sum.addresses, more.addresses),
            (&mut sum.covered, more.covered),
            (&mut sum.rules, more.rules),
        ] {
            *sum += more;
        }
        self.omitted += piece.omitted;
        self.repaired += piece.repaired;
        for difference in piece.differences {
            if self.differences.len() < most {
                self.differences.push(difference);
            } else {
                self.omitted += 1;
            }
        }
        self.next = piece.next;
    }

    /// Everything that was looked at is as planned.
    pub fn is_good(&self) -> bool {
        self.differences.is_empty() && self.omitted == 0
    }
}

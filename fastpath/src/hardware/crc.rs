//! Which row of an INDEX table a packet takes: mlx5's CRC-32, as far as its input is known.
//!
//! The NIC hashes the words of the match definer that the table's pattern template gets, so each set
//! of masks has an input of its own. Known, by 2,000 golden vectors of each family out
//! of DPDK's own definer code, are those of [`PatternTemplate::flow4`] and [`PatternTemplate::flow6`];
//! of any other template nobody here claims to know the row, and no program has one.
//!
//! The CRC has no start value and no final xor, so it is linear and has no seed: whoever wants other
//! rows at the next tier must take other bits.

use super::program::{Field, PatternTemplate};
use crate::hash::crc32;

/// A template whose input is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// [`PatternTemplate::flow4`].
    Flow4,
    /// [`PatternTemplate::flow6`]: does not fit into a definer without full-dword jumbo.
    Flow6,
}

impl Input {
    /// What is hashed in a table of rows with this template; `None`: not known.
    pub fn of(pattern: &PatternTemplate) -> Option<Input> {
        let is = |of: PatternTemplate| *pattern == of;
        match pattern.fields.first()?.field {
            Field::Ipv4Source if is(PatternTemplate::flow4()) => Some(Input::Flow4),
            Field::Ipv6Source if is(PatternTemplate::flow6()) => Some(Input::Flow6),
            _ => None,
        }
    }

    /// The hash of a packet with these fields, in the template's order; what is missing is 0. The row
    /// is its low bits.
    pub fn hash(self, values: &[u128]) -> u32 {
        let value = |at: usize| values.get(at).copied().unwrap_or(0);
        let (source, destination, protocol) = (value(0), value(1), value(2) as u8);
        let ports = [
            (value(3) as u16).to_be_bytes(),
            (value(4) as u16).to_be_bytes(),
        ];
        match self {
            Input::Flow4 => {
                let mut flow = [0; 13];
                flow[..4].copy_from_slice(&(source as u32).to_be_bytes());
                flow[4..8].copy_from_slice(&(destination as u32).to_be_bytes());
                flow[8..12].copy_from_slice(ports.as_flattened());
                flow[12] = protocol;
                crc32::hash4(&flow)
            }
            Input::Flow6 => {
                let mut flow = [0; 37];
                flow[..16].copy_from_slice(&source.to_be_bytes());
                flow[16..32].copy_from_slice(&destination.to_be_bytes());
                flow[32..36].copy_from_slice(ports.as_flattened());
                flow[36] = protocol;
                crc32::hash6(&flow)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> u128 {
        bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b))
    }

    /// All 4,000 golden vectors, by the fields of the templates.
    #[test]
    fn the_rows_are_those_of_the_drivers_own_code() {
        let (four, six) = (PatternTemplate::flow4(), PatternTemplate::flow6());
        let mut count = 0;
        for line in include_str!("../hash/tests/vectors.txt").lines() {
            let mut words = line.split(' ');
            let text = words.next().unwrap();
            let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
            let r: [u8; 32] = std::array::from_fn(byte);
            let rest = [number(&r[8..9]), number(&r[9..11]), number(&r[11..13])];
            let flows = [
                (&four, [number(&r[..4]), number(&r[4..8])]),
                (&six, [number(&r[..16]), number(&r[16..])]),
            ];
            for (template, addresses) in flows {
                let values = [&addresses[..], &rest].concat();
                let expected = u32::from_str_radix(words.next().unwrap(), 16).unwrap();
                assert_eq!(
                    Input::of(template).unwrap().hash(&values),
                    expected,
                    "{line}"
                );
                count += 1;
            }
        }
        assert_eq!(count, 4_000);
    }

    #[test]
    fn of_other_templates_nothing_is_claimed() {
        let mut other = PatternTemplate::flow4();
        other.fields.swap(0, 1);
        assert_eq!(Input::of(&other), None);
        let strict = PatternTemplate {
            relaxed: false,
            ..PatternTemplate::flow4()
        };
        assert_eq!(Input::of(&strict), None, "its type bits are hashed, too");
        let mut less = PatternTemplate::flow6();
        less.fields.pop();
        assert_eq!(Input::of(&less), None);
        assert_eq!(Input::of(&PatternTemplate::default()), None);
    }
}

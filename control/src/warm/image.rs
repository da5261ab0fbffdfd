//! What is kept of the tables, as text: a line that says what follows, then a record a line, JSON.
//!
//! The first line has the version, how many bytes follow, and their CRC-32 (IEEE 802.3), so a file
//! that was cut short, written to, or is none of ours is told from a good one.

use crate::group::take_up::NOBODY_OLD;
use crate::prefix::Prefix;
use fastpath::table::GroupWord;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// What is written now, and all that is read.
const VERSION: u32 = 1;
/// What the first line calls itself.
const KIND: &str = "tables";

/// A next hop as it is known across restarts, and its weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRecord {
    /// The gateway's address.
    pub via: IpAddr,
    /// The port's name.
    pub port: String,
    /// zebra's fake gateway of BGP unnumbered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// From 1.
    pub weight: u32,
}

/// The table of a set of next hops. Owners are given by their place among the members; 65535 of a
/// bucket that has never forwarded anything, where somebody `owned`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRecord {
    /// Two or more, ascending, each once.
    pub members: Vec<MemberRecord>,
    /// Who owns which bucket while all members are usable.
    pub home: Vec<u16>,
    /// Who owned which; none: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Vec<u16>>,
    /// Who got buckets when they were last dealt; none: all who had some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Vec<u16>>,
    /// Who had owned which in lives before that, for those who were not back in it; the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Vec<u16>>,
    /// Who does not return by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<u16>,
    /// Whose table it is; none: that of all prefixes with these members that no other table names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<Prefix>,
}

/// A next hop that the operator spares, or that has returned lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparedRecord {
    /// Its address.
    pub via: IpAddr,
    /// On this port only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Until when, in milliseconds since 1970.
    pub until_ms: u64,
    /// How long it had, in milliseconds.
    pub over_ms: u64,
    /// It is drained already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    Rules { buckets: usize },
    Table(TableRecord),
    Drain(SparedRecord),
    Held(SparedRecord),
}

#[derive(Serialize, Deserialize)]
struct Head {
    evenpath: String,
    version: u32,
    bytes: usize,
    crc32: String,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `[resilient] buckets` of then.
    pub buckets: usize,
    /// Tables.
    pub tables: Vec<TableRecord>,
    /// Drains.
    pub drains: Vec<SparedRecord>,
    /// Next hops held down.
    pub held: Vec<SparedRecord>,
}

/// Why a text is not an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The first line is not ours.
    Foreign,
    /// It is of this version.
    Version(u32),
    /// So many bytes should follow the first line, and so many do.
    Length(usize, usize),
    /// The checksum is another.
    Checksum,
    /// This line, from 1, makes no sense.
    Line(usize, String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Foreign => write!(f, "not written by evenpath"),
            Damage::Version(v) => write!(f, "version {v}; this evenpath reads {VERSION}"),
            Damage::Length(due, is) => write!(f, "{is} bytes where {due} should be"),
            Damage::Checksum => write!(f, "the checksum does not match"),
            Damage::Line(n, why) => write!(f, "line {n}: {why}"),
        }
    }
}

impl Image {
    /// The records: all but the first line, which [`with_head`] puts before them. Prefixes are in order.
    pub fn body(&self) -> String {
        let (tables, drains, held) = (self.tables.iter(), self.drains.iter(), self.held.iter());
        let records = std::iter::once(Record::Rules {
            buckets: self.buckets,
        })
        .chain(tables.cloned().map(|mut table| {
            table.sort();
            Record::Table(table)
        }))
        .chain(drains.cloned().map(Record::Drain))
        .chain(held.cloned().map(Record::Held));
        let mut text = String::new();
        for record in records {
            // Nothing in a record can fail to be written.
            text += &serde_json::to_string(&record).unwrap_or_default();
            text.push('\n');
        }
        text
    }

    /// The image that `text` is.
    ///
    /// # Errors
    /// It is damaged, of another version, or something else.
    pub fn read(text: &str) -> Result<Self, Damage> {
        let (first, body) = text.split_once('\n').ok_or(Damage::Foreign)?;
        let head: Head = serde_json::from_str(first).map_err(|_| Damage::Foreign)?;
        if head.evenpath != KIND {
            return Err(Damage::Foreign);
        }
        if head.version != VERSION {
            return Err(Damage::Version(head.version));
        }
        if head.bytes != body.len() {
            return Err(Damage::Length(head.bytes, body.len()));
        }
        if head.crc32 != format!("{:08x}", crc32(body.as_bytes())) {
            return Err(Damage::Checksum);
        }
        let mut image = Image::default();
        for (i, line) in body.lines().enumerate() {
            let wrong = |why: String| Damage::Line(i + 2, why);
            match serde_json::from_str(line).map_err(|e| wrong(e.to_string()))? {
                Record::Rules { buckets } => image.buckets = buckets,
                Record::Table(table) => {
                    table.check().map_err(|why| wrong(why.into()))?;
                    image.tables.push(table);
                }
                Record::Drain(spared) => image.drains.push(spared),
                Record::Held(spared) => image.held.push(spared),
            }
        }
        Ok(image)
    }
}

impl TableRecord {
    /// Puts its prefixes in order, each once.
    pub fn sort(&mut self) {
        self.prefixes.sort_unstable();
        self.prefixes.dedup();
    }

    fn check(&self) -> Result<(), &'static str> {
        let size = self.home.len();
        let effective = self.effective.as_ref().unwrap_or(&self.home);
        let owned = std::iter::once(effective).chain(&self.older).flatten();
        let owned = owned.filter(|owner| **owner != NOBODY_OLD);
        let others = self.parked.iter().chain(self.due.iter().flatten());
        let known = |owner: &u16| usize::from(*owner) < self.members.len();
        let place = |m: &MemberRecord| (m.via, m.port.clone(), m.onlink);
        let ascending = |pair: &[MemberRecord]| place(&pair[0]) < place(&pair[1]);
        if !size.is_power_of_two() || !(2..=1 << GroupWord::MAX_LOG2).contains(&size) {
            Err("the number of buckets is no power of two from 2 to 65536")
        } else if effective.len() != size || self.older.iter().any(|life| life.len() != size) {
            Err("two tables of unequal size")
        } else if self.members.len() < 2 || self.members.len() > size {
            Err("fewer than two members, or more than buckets")
        } else if !self.members.windows(2).all(ascending) {
            Err("members are not in order")
        } else if self.members.iter().any(|m| m.weight == 0) {
            Err("a weight of 0")
        } else if self.older.len() > self.members.len() {
            Err("tables of more lives than there are members")
        } else if !self.home.iter().chain(owned).chain(others).all(known) {
            Err("an owner that is no member")
        } else {
            Ok(())
        }
    }
}

/// `body` with its first line.
pub fn with_head(body: &str) -> String {
    let head = Head {
        evenpath: KIND.into(),
        version: VERSION,
        bytes: body.len(),
        crc32: format!("{:08x}", crc32(body.as_bytes())),
    };
    let head = serde_json::to_string(&head).unwrap_or_default();
    format!("{head}\n{body}")
}

/// The CRC-32 of Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (i, slot) in table.iter_mut().enumerate() {
        *slot = (0..8).fold(i as u32, |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        });
    }
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ table[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u8) -> MemberRecord {
        MemberRecord {
            via: [10, 0, 0, n].into(),
            port: "up1".into(),
            onlink: n == 3,
            weight: u32::from(n),
        }
    }

    fn image() -> Image {
        let table = TableRecord {
            members: vec![member(1), member(2), member(3)],
            home: vec![0, 1, 2, 0],
            effective: Some(vec![0, 1, 1, 0]),
            due: Some(vec![0]),
            older: vec![vec![2, 1, NOBODY_OLD, 0]],
            parked: vec![2],
            prefixes: vec!["10.9.0.0/16".parse().expect("prefix")],
        };
        let drain = SparedRecord {
            via: [10, 0, 0, 2].into(),
            port: None,
            until_ms: 1_795_280_000_000,
            over_ms: 60_000,
            done: false,
        };
        Image {
            buckets: 64,
            tables: vec![table],
            drains: vec![drain.clone()],
            held: vec![SparedRecord {
                port: Some("up1".into()),
                ..drain
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let text = with_head(&image().body());
        assert_eq!(Image::read(&text), Ok(image()));
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn any_damage_is_found() {
        let text = with_head(&image().body());
        for cut in 0..text.len() {
            assert!(Image::read(&text[..cut]).is_err(), "cut at {cut}");
        }
        let mut found = 0;
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(text) = String::from_utf8(bytes) {
                // A digit's case, a space: never the meaning.
                let read = Image::read(&text);
                assert!(read.is_err() || read == Ok(image()), "changed at {at}");
                found += usize::from(read.is_err());
            }
        }
        assert!(found > text.len() * 9 / 10, "{found}");
        assert_eq!(Image::read("12345\n"), Err(Damage::Foreign));
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert_eq!(Image::read(&newer), Err(Damage::Version(2)));
    }

    #[test]
    fn tables_that_make_no_sense_are_refused() {
        let spoil: [fn(&mut TableRecord); 15] = [
            |t| t.home.truncate(3),
            |t| t.home = vec![],
            |t| t.effective = Some(vec![0; 8]),
            |t| t.older = vec![vec![0; 2]],
            |t| t.older[0][1] = 3,
            |t| t.older = vec![vec![0; 4]; 4],
            |t| t.home[0] = 3,
            |t| t.home[0] = NOBODY_OLD,
            |t| t.parked = vec![9],
            |t| t.parked = vec![NOBODY_OLD],
            |t| t.due = Some(vec![3]),
            |t| t.due = Some(vec![NOBODY_OLD]),
            |t| t.members.reverse(),
            |t| t.members[1] = t.members[0].clone(),
            |t| t.members[0].weight = 0,
        ];
        for (i, spoil) in spoil.iter().enumerate() {
            let mut image = image();
            spoil(&mut image.tables[0]);
            let read = Image::read(&with_head(&image.body()));
            assert!(matches!(read, Err(Damage::Line(3, _))), "{i}: {read:?}");
        }
    }
}

//! What a NIC can do, by trying: tables and actions are made and destroyed again.
//!
//! Nobody else uses the NIC meanwhile, and nothing is let in: there is no rule in any of the tables.
//! What cannot be tried (how large a table of rows may be, how many counters there are) comes from
//! what the driver says, or is what programs need at most ([`MOST_ROWS_LOG`]).

use super::program::{
    Action, ActionsTemplate, Domain, Field, Group, HashFunction, Indirect, IndirectId, Insertion,
    Item, Masked, Operation, PatternTemplate, Rss, RssFields, Table, TableId,
};
use super::{Capabilities, Error, Steering};
use crate::table::PortId;

/// log2 of the most rows that are tried: as many as all groups have buckets by default.
pub const MOST_ROWS_LOG: u32 = 16;

/// Why something is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub what: &'static str,
    /// What the driver said.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What the NIC can do.
    pub capabilities: Capabilities,
    /// Each "no" among it, with the reason.
    pub lacks: Vec<Lack>,
}

/// What the driver says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// Hairpin queues can be had, or why not.
    pub hairpin: Result<(), String>,
    /// Entries of the largest indirection table.
    pub rss_rows: u32,
}

/// Numbers that no program has.
const TABLE: TableId = TableId(u32::MAX);
const INDIRECT: IndirectId = IndirectId(u32::MAX);
/// Not the root, in which less is possible.
const GROUP: Group = Group(1);
/// How often a completion is asked for: a driver has a millisecond and more for each.
const PATIENCE: usize = 1 << 20;

struct Trial<'s, S> {
    steering: &'s mut S,
    port: PortId,
    domain: Domain,
    lacks: Vec<Lack>,
}

impl<S: Steering> Trial<'_, S> {
    fn table(&self, pattern: PatternTemplate, insertion: Insertion, size: u32) -> Table {
        Table {
            id: TABLE,
            port: self.port,
            domain: self.domain,
            group: GROUP,
            priority: 0,
            insertion,
            size,
            pattern,
            actions: vec![ActionsTemplate::per_rule(&[Action::Jump(Group(2))])],
        }
    }

    /// Makes a table and destroys it.
    fn makes(&mut self, table: &Table) -> Result<(), Error> {
        self.steering.create_table(table)?;
        self.steering.destroy_table(table.id)
    }

    /// Whether `tried` went well; if not, it is noted.
    fn has(&mut self, what: &'static str, tried: Result<(), Error>) -> bool {
        if let Err(error) = &tried {
            let why = error.message.to_string();
            self.lacks.push(Lack { what, why });
        }
        tried.is_ok()
    }

    fn pattern(&mut self, what: &'static str, pattern: PatternTemplate) -> bool {
        let table = self.table(pattern, Insertion::Pattern, 1);
        let tried = self.makes(&table);
        self.has(what, tried)
    }

    /// log2 of the fewest rows and the most, of those that were tried.
    fn rows(&mut self) -> Option<(u32, u32)> {
        let crc = Insertion::Index(HashFunction::Crc32);
        let mut first = None;
        let mut tried = Ok(());
        for log in 0..=MOST_ROWS_LOG {
            let table = self.table(PatternTemplate::flow4(), crc, 1 << log);
            tried = self.makes(&table);
            if tried.is_ok() {
                first = Some(log);
                break;
            }
        }
        if !self.has("tables of rows by CRC-32", tried) {
            return None;
        }
        let first = first?;
        // The largest that can be made: from the top, since one of the first is.
        let last = (first..=MOST_ROWS_LOG).rev().find(|log| {
            let table = self.table(PatternTemplate::flow4(), crc, 1 << log);
            self.makes(&table).is_ok()
        });
        Some((first, last.unwrap_or(first)))
    }

    fn operate(&mut self, operation: &Operation) -> Result<(), Error> {
        self.steering.enqueue(0, operation, false, 0)?;
        let mut done = Vec::new();
        for _ in 0..PATIENCE {
            self.steering.pull(0, &mut done)?;
            match done.first() {
                Some(completion) if completion.done => return Ok(()),
                Some(_) => return Err(Error::new(Error::IO, "it completes with an error")),
                None => {}
            }
        }
        Err(Error::new(Error::IO, "it does not complete"))
    }

    /// An indirect RSS action, made, changed and destroyed.
    fn indirect(&mut self) -> Result<(), Error> {
        let rss = |queues: Vec<u16>| {
            Action::Rss(Rss {
                queues,
                key: Some(Box::new([0x6d; 40])),
                fields: RssFields::Flow,
                symmetric: false,
            })
        };
        let indirect = Indirect {
            id: INDIRECT,
            port: self.port,
            domain: Domain::Ingress,
            action: rss(vec![0, 0]),
        };
        let made = self.operate(&Operation::InsertIndirect(indirect));
        let updated = match &made {
            Ok(()) => self.operate(&Operation::UpdateIndirect(INDIRECT, rss(vec![0]))),
            Err(_) => Ok(()),
        };
        // One whose insertion failed late is to be destroyed, too.
        let gone = match self.steering.indirect(INDIRECT) {
            Some(_) => self.operate(&Operation::DestroyIndirect(INDIRECT)),
            None => Ok(()),
        };
        made.and(updated).and(gone)
    }
}

/// Tries what the NIC of `steering` can do, on `port`, on which nothing is programmed yet.
pub fn probe<S: Steering>(steering: &mut S, port: PortId, told: Told) -> Probed {
    let limits = steering.capabilities().clone();
    let mut trial = Trial {
        steering,
        port,
        domain: Domain::Transfer,
        lacks: Vec::new(),
    };
    let eth = || PatternTemplate::exact(&[Item::Eth], &[Field::EthType]);
    let transfer = trial.pattern("the transfer domain (switchdev mode)", eth());
    if !transfer {
        trial.domain = Domain::Ingress;
    }
    let hairpin = match told.hairpin {
        Ok(()) if transfer => Err("an e-switch in switchdev mode has none".into()),
        other => other,
    };
    if let Err(why) = &hairpin {
        let (what, why) = ("hairpin queues", why.clone());
        trial.lacks.push(Lack { what, why });
    }
    let rows = trial.rows();
    let none = PatternTemplate::exact(&[Item::Eth], &[]);
    let linear = trial.table(none, Insertion::Index(HashFunction::Linear), 1 << 6);
    let linear = trial.makes(&linear);
    let linear = trial.has("tables of rows by tag", linear);
    let both = PatternTemplate::flow6();
    let full_dw_jumbo = trial.pattern("both IPv6 addresses in one pattern", both);
    let sound = [Field::L3Ok, Field::Ipv4ChecksumOk];
    let sound = PatternTemplate::exact(&[Item::Integrity, Item::Eth, Item::Ipv4], &sound);
    let integrity = trial.pattern("integrity items", sound);
    let lengths = PatternTemplate {
        items: vec![Item::Eth, Item::Ipv4],
        fields: vec![Masked {
            field: Field::Ipv4Length,
            mask: Field::Ipv4Length.full(),
            range: true,
        }],
        relaxed: true,
    };
    let ranges = trial.pattern("ranges of lengths", lengths);
    let indirect = trial.indirect();
    let indirect_rss = trial.has("indirect RSS actions", indirect);
    let lacks = trial.lacks;
    Probed {
        capabilities: Capabilities {
            name: told.name.into(),
            transfer,
            hairpin: hairpin.is_ok(),
            index: rows.is_some(),
            linear,
            full_dw_jumbo,
            integrity,
            ranges,
            indirect_rss,
            min_rows_log: rows.map_or(0, |r| r.0),
            max_rows_log: rows.map_or(0, |r| r.1),
            rss_rows: told.rss_rows,
            ..limits
        },
        lacks,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sim::{Faults, Kind, Profile, Sim};
    use super::*;

    fn told(profile: &Profile) -> Told {
        let none = || "what the driver said".to_owned();
        Told {
            name: profile.capabilities.name.to_string(),
            hairpin: profile.capabilities.hairpin.then_some(()).ok_or_else(none),
            rss_rows: profile.capabilities.rss_rows,
        }
    }

    fn probed(profile: &Profile) -> (Probed, Sim) {
        let mut sim = Sim::new(profile.clone());
        sim.attach(PortId(0), Kind::Uplink, false);
        let found = probe(&mut sim, PortId(0), told(profile));
        (found, sim)
    }

    fn all() -> Vec<Profile> {
        let base = [Profile::cx6dx(), Profile::cx7(), Profile::bf3()];
        let switchdev = base.clone().map(Profile::switchdev);
        base.into_iter().chain(switchdev).collect()
    }

    #[test]
    fn what_is_found_is_what_the_nic_can_do() {
        for profile in all() {
            let (found, sim) = probed(&profile);
            let mut expected = profile.capabilities.clone();
            expected.max_rows_log = expected.max_rows_log.min(MOST_ROWS_LOG);
            assert_eq!(found.capabilities, expected);
            assert_eq!((sim.size(), sim.memory().0), ((0, 0), 0), "nothing is left");
            assert_eq!(sim.misuses(), [""; 0]);
            let noes = [
                !expected.transfer,
                !expected.hairpin,
                !expected.full_dw_jumbo,
            ];
            let noes = noes.into_iter().filter(|no| *no).count();
            assert_eq!(found.lacks.len(), noes, "{:?}", found.lacks);
        }
    }

    /// Each of them missing by itself is noticed, and why.
    #[test]
    fn whatever_is_missing_is_named() {
        type Without = fn(&mut Capabilities);
        let cases: [(Without, &str, &str); 5] = [
            (
                |c| c.index = false,
                "tables of rows by CRC-32",
                "not supported",
            ),
            (
                |c| c.linear = false,
                "tables of rows by tag",
                "not supported",
            ),
            (|c| c.integrity = false, "integrity items", "not supported"),
            (|c| c.ranges = false, "ranges of lengths", "no range"),
            (
                |c| c.indirect_rss = false,
                "indirect RSS actions",
                "no such",
            ),
        ];
        for (without, what, why) in cases {
            let mut profile = Profile::bf3();
            without(&mut profile.capabilities);
            let (found, _) = probed(&profile);
            let lack = found.lacks.iter().find(|lack| lack.what == what);
            assert!(
                lack.is_some_and(|l| l.why.contains(why)),
                "{:?}",
                found.lacks
            );
            let mut expected = profile.capabilities.clone();
            let rows = if expected.index { MOST_ROWS_LOG } else { 0 };
            expected.max_rows_log = rows;
            assert_eq!(found.capabilities, expected);
        }
    }

    /// An operation that fails late is a "no", and what it left behind is destroyed.
    #[test]
    fn what_fails_late_is_not_there() {
        for late in [1, 2] {
            let mut sim = Sim::new(Profile::bf3());
            sim.attach(PortId(0), Kind::Uplink, false);
            sim.set_faults(Faults {
                late: [late].into(),
                ..Faults::default()
            });
            let found = probe(&mut sim, PortId(0), told(&Profile::bf3()));
            assert!(!found.capabilities.indirect_rss);
            assert!(sim.indirect(INDIRECT).is_none(), "the {late}.");
        }
    }
}

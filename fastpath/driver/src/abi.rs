//! The records of c/sim.h, and what they mean.

use fastpath::hardware::Error;
use fastpath::hardware::program::{
    self, Action, ActionsTemplate, Does, Domain, Field, Group, HashFunction, IndirectId, Insertion,
    Item, Masked, Modify, PatternTemplate, Place, Rss, RssFields, Source, TableId, Target,
    Templated, Verb,
};
use fastpath::table::PortId;
use std::ffi::c_void;

/// `enum es_outcome`.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// A queue of software.
    Software,
    /// Another port.
    Sent,
    /// The kernel.
    Kernel,
    /// Nowhere.
    Lost,
}

/// `struct es_result`.
#[repr(C)]
pub struct Result_ {
    cookie: *mut c_void,
    done: u32,
}

impl Result_ {
    /// What became of the operation of that cookie, which is a pointer of C's.
    pub fn new(cookie: usize, done: bool) -> Self {
        Result_ {
            cookie: std::ptr::with_exposed_provenance_mut(cookie),
            done: done.into(),
        }
    }
}

/// `struct es_value`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Value {
    field: u32,
    tag: u32,
    high: u64,
    low: u64,
}

impl Value {
    fn number(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    fn field(&self) -> Result<Field, Error> {
        Ok(match self.field {
            0 => Field::EthDestination,
            1 => Field::EthSource,
            2 => Field::EthType,
            3 => Field::EthHasVlan,
            4 => Field::Ipv4Ihl,
            5 => Field::Ipv4Length,
            6 => Field::Ipv4Fragmented,
            7 => Field::Ipv4Ttl,
            8 => Field::Ipv4Protocol,
            9 => Field::Ipv4Source,
            10 => Field::Ipv4Destination,
            11 => Field::Ipv6Label,
            12 => Field::Ipv6Length,
            13 => Field::Ipv6Fragmented,
            14 => Field::Ipv6Protocol,
            15 => Field::Ipv6HopLimit,
            16 => Field::Ipv6Source,
            17 => Field::Ipv6Destination,
            18 => Field::SourcePort,
            19 => Field::DestinationPort,
            20 => Field::L3Ok,
            21 => Field::Ipv4ChecksumOk,
            22 => Field::Tag(self.tag as u8),
            23 => Field::Meta,
            24 => Field::TxQueue,
            25 => Field::RepresentedPort,
            _ => return Err(unknown()),
        })
    }
}

fn unknown() -> Error {
    Error::new(Error::INVALID, "a number that sim.h does not have")
}

/// `struct es_pattern`.
#[repr(C)]
pub struct Pattern {
    items: [u32; 16],
    n_items: u32,
    n: u32,
    values: [Value; 16],
    last: [Value; 16],
    relaxed: bool,
    ranges: bool,
}

impl Pattern {
    /// Values of a rule, in the order of its template.
    pub fn values(&self) -> Vec<u128> {
        let each = self.values.iter().take(self.n as usize);
        each.map(Value::number).collect()
    }

    /// Where a rule stands.
    pub fn place(spec: Option<&Pattern>, index: u32) -> Place {
        let Some(spec) = spec else {
            return Place::Index(index);
        };
        let last = spec.last.iter().take(spec.n as usize).map(Value::number);
        Place::Pattern {
            spec: spec.values(),
            last: if spec.ranges {
                last.collect()
            } else {
                Vec::new()
            },
        }
    }

    /// Which fields, by masks.
    pub fn template(&self) -> Result<PatternTemplate, Error> {
        let item = |number: &u32| {
            Ok(match number {
                0 => Item::Integrity,
                1 => Item::RepresentedPort,
                2 => Item::TxQueue,
                3 => Item::Tag,
                4 => Item::Meta,
                5 => Item::Eth,
                6 => Item::Ipv4,
                7 => Item::Ipv6,
                8 => Item::Udp,
                9 => Item::Tcp,
                _ => return Err(unknown()),
            })
        };
        let items = self.items.iter().take(self.n_items as usize);
        let fields = self.values.iter().zip(&self.last).take(self.n as usize);
        Ok(PatternTemplate {
            items: items.map(item).collect::<Result<_, _>>()?,
            fields: fields
                .map(|(mask, last)| {
                    Ok(Masked {
                        field: mask.field()?,
                        mask: mask.number(),
                        range: last.number() != 0,
                    })
                })
                .collect::<Result<_, Error>>()?,
            relaxed: self.relaxed,
        })
    }
}

/// `struct es_action`.
#[repr(C)]
struct Flat {
    kind: u32,
    verb: u32,
    target: u32,
    target_tag: u32,
    offset: u32,
    width: u32,
    from_field: u32,
    source: u32,
    source_tag: u32,
    source_offset: u32,
    fixed: u32,
    value: u64,
}

fn target(number: u32, tag: u32) -> Result<Target, Error> {
    Ok(match number {
        0 => Target::MacDestination,
        1 => Target::MacSource,
        2 => Target::Ipv4Ttl,
        3 => Target::Ipv6HopLimit,
        4 => Target::Tag(tag as u8),
        5 => Target::Meta,
        6 => Target::HashResult,
        _ => return Err(unknown()),
    })
}

/// `struct es_rss`.
#[repr(C)]
struct Spread {
    n: u32,
    key_length: u32,
    ports: u32,
    symmetric: u32,
    addresses: u32,
    queues: [u16; 512],
    key: [u8; 40],
}

impl Spread {
    fn rss(&self) -> Rss {
        let fields = match self.ports {
            0 => RssFields::Addresses,
            _ => RssFields::Flow,
        };
        Rss {
            queues: self.queues.iter().take(self.n as usize).copied().collect(),
            key: (self.key_length != 0).then(|| Box::new(self.key)),
            fields,
            symmetric: self.symmetric != 0,
        }
    }

    /// Of a rule of the first API, which mlx5 makes several of: of each what the packet has.
    fn both(&self) -> bool {
        self.ports != 0 && self.addresses != 0
    }
}

impl Flat {
    fn action(&self, spread: &Spread) -> Result<Action, Error> {
        Ok(match self.kind {
            0 => Action::Mark(self.value as u32),
            1 => Action::Count,
            2 => Action::Modify(Modify {
                verb: if self.verb == 0 { Verb::Set } else { Verb::Add },
                target: target(self.target, self.target_tag)?,
                offset: self.offset,
                width: self.width,
                source: if self.from_field == 0 {
                    Source::Value(self.value)
                } else {
                    let from = target(self.source, self.source_tag)?;
                    Source::Field(from, self.source_offset)
                },
            }),
            3 => Action::Jump(Group(self.value as u32)),
            4 => Action::Queue(self.value as u16),
            5 => Action::RepresentedPort(PortId(self.value as u16)),
            6 => Action::ToManager,
            7 => Action::SendToKernel,
            8 => Action::Drop,
            9 => Action::Rss(spread.rss()),
            10 => Action::Indirect(IndirectId(self.value as u32)),
            _ => return Err(unknown()),
        })
    }
}

/// `struct es_actions`.
#[repr(C)]
pub struct Actions {
    n: u32,
    list: [Flat; 32],
    rss: Spread,
}

impl Actions {
    fn list(&self) -> impl Iterator<Item = &Flat> {
        self.list.iter().take(self.n as usize)
    }

    /// What a rule by that template does.
    pub fn read(&self, template: u32) -> Result<Does, Error> {
        let each = self.list().map(|flat| flat.action(&self.rss));
        let actions: Result<Vec<_>, Error> = each.collect();
        Ok(Does::new(template as u8, actions?))
    }

    /// What a rule of the first API does.
    pub fn classic(&self) -> Result<Vec<Action>, Error> {
        let mut actions = self.read(0)?.actions;
        for action in &mut actions {
            if let (Action::Rss(rss), true) = (action, self.rss.both()) {
                rss.fields = RssFields::Both;
            }
        }
        Ok(actions)
    }

    /// The one action that an indirect one is made of.
    pub fn only(&self) -> Result<Action, Error> {
        let first = self.list().next().ok_or_else(unknown)?;
        first.action(&self.rss)
    }

    fn template(&self) -> Result<ActionsTemplate, Error> {
        let each = self.list().map(|flat| {
            Ok(Templated {
                action: flat.action(&self.rss)?,
                fixed: flat.fixed != 0,
            })
        });
        Ok(ActionsTemplate(each.collect::<Result<_, Error>>()?))
    }
}

/// `struct es_table`.
#[repr(C)]
pub struct Table {
    port: u32,
    domain: u32,
    group: u32,
    priority: u32,
    insertion: u32,
    size: u32,
    pattern: *const Pattern,
    templates: *const *const Actions,
    n_templates: u32,
}

impl Table {
    /// The table, without a number yet.
    ///
    /// # Safety
    /// All pointers are good, and there are as many templates as it says.
    pub unsafe fn read(&self) -> Result<program::Table, Error> {
        // SAFETY: the caller says so.
        let pattern = unsafe { &*self.pattern };
        // SAFETY: the caller says so.
        let lists =
            unsafe { std::slice::from_raw_parts(self.templates, self.n_templates as usize) };
        let actions = lists.iter().map(|list| {
            // SAFETY: the caller says so.
            unsafe { &**list }.template()
        });
        Ok(program::Table {
            id: TableId(0),
            port: PortId(self.port as u16),
            domain: match self.domain {
                0 => Domain::Ingress,
                1 => Domain::Egress,
                _ => Domain::Transfer,
            },
            group: Group(self.group),
            priority: self.priority,
            insertion: match self.insertion {
                0 => Insertion::Pattern,
                1 => Insertion::Index(HashFunction::Crc32),
                _ => Insertion::Index(HashFunction::Linear),
            },
            size: self.size,
            pattern: pattern.template()?,
            actions: actions.collect::<Result<_, Error>>()?,
        })
    }
}

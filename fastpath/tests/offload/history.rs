//! Random plans and changes of plans.

use crate::traffic::Random;
use crate::world::{GROUPS, NEXTHOPS, Setting, TAGGED, World, group};
use fastpath::hardware::compile::Design;
use fastpath::hardware::plan::Lead;
use fastpath::hash::{Algorithm, Choice, Field, Fields, Policy, Profile, Settings};
use std::net::{Ipv4Addr, Ipv6Addr};

impl Random {
    pub fn policy(&mut self, setting: Setting) -> Policy {
        let rss = setting == Setting::Transit(Design::Rss);
        let mut settings = |usual: bool| {
            let fields = Fields::default().with(Field::IpProtocol, !rss);
            let fields = fields.with(Field::Ipv6Label, self.one_in(4));
            let odd = self.of(&Field::ALL);
            let fields = if usual {
                fields
            } else {
                fields.with(odd, !fields.has(odd))
            };
            let algorithm = match (usual, rss) {
                (true, false) => Algorithm::Crc32,
                (true, true) => Algorithm::Toeplitz,
                _ => self.of(&Algorithm::ALL),
            };
            Settings::new(Choice {
                fields,
                symmetric: self.one_in(2),
                seed: self.next() as u32,
                algorithm,
            })
        };
        let base = settings(true);
        let base = if self.one_in(8) { self.odd(base) } else { base };
        let mut profiles = Vec::new();
        if self.one_in(4) {
            let prefixes = vec![self.prefix(), self.prefix()];
            let name = "some".to_owned();
            let settings = self.odd(base.clone());
            profiles.push(Profile {
                name,
                prefixes,
                settings,
            });
        }
        Policy::new(base, profiles)
    }

    /// Other settings.
    fn odd(&mut self, settings: Settings) -> Settings {
        let choice = settings.choice();
        let field = self.of(&Field::ALL);
        Settings::new(Choice {
            fields: choice.fields.with(field, !choice.fields.has(field)),
            algorithm: self.of(&Algorithm::ALL),
            ..choice
        })
    }

    fn buckets(&mut self, world: &World, n: u32) -> Vec<u32> {
        let size = match world.buckets.get(&n) {
            // Mostly the size stays and some members go.
            Some(old) if !self.one_in(4) => {
                let mut new = old.clone();
                let (from, to) = (self.of(old), self.below(NEXTHOPS as usize) as u32);
                new.iter_mut().filter(|b| **b == from).for_each(|b| *b = to);
                return new;
            }
            _ => self.of(&[1, 1, 2, 4, 64, 64, 128]),
        };
        let members = 1 + self.below(4);
        let members: Vec<u32> = (0..members)
            .map(|_| self.below(NEXTHOPS as usize) as u32)
            .collect();
        (0..size).map(|_| self.of(&members)).collect()
    }

    /// One random change of the plan.
    pub fn change(&mut self, world: &mut World) {
        let n = self.below(NEXTHOPS as usize) as u32;
        let g = self.below(GROUPS as usize) as u32;
        match self.below(20) {
            0..=8 => {
                let (address, length) = self.prefix();
                let gone = self.one_in(4);
                let lead = match self.below(8) {
                    0 if self.one_in(2) => Lead::Kernel,
                    1 if self.one_in(2) => Lead::Software,
                    _ if world.buckets.contains_key(&g) => Lead::Group(group(g)),
                    _ => Lead::Software,
                };
                world.set_prefix(address, length, Some(lead).filter(|_| !gone));
            }
            9..=11 => {
                let buckets = self.buckets(world, g);
                world.set_group(g, Some(buckets));
            }
            12 => {
                let led = world
                    .prefixes
                    .iter()
                    .filter(|p| *p.1 == Lead::Group(group(g)));
                let led: Vec<_> = led.map(|p| *p.0).collect();
                for (address, length) in led {
                    world.set_prefix(address, length, None);
                }
                world.set_group(g, None);
            }
            13 => world.set_nexthop(n, None),
            14..=17 => {
                let port = self.port();
                let mtu = self.of(&[1500, 1500, 1500, 1500, 1500, 1500, 1500, 9000, 9000, 600]);
                let mac = self.below(200) as u32;
                world.set_nexthop(n, Some(World::adjacency(mac, port, mtu)));
            }
            _ => {
                let policy = self.policy(world.setting);
                world.set_hash(&policy);
            }
        }
    }

    /// A port to leave by, seldom the one with tags.
    fn port(&mut self) -> usize {
        self.of(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 4, 4, 4, TAGGED])
    }

    /// A plan to begin with.
    pub fn plan(&mut self, world: &mut World) {
        let policy = self.policy(world.setting);
        world.set_hash(&policy);
        for n in 0..NEXTHOPS {
            let port = self.port();
            world.set_nexthop(n, Some(World::adjacency(n, port, 1500)));
        }
        for g in 0..GROUPS {
            let buckets = self.buckets(world, g);
            world.set_group(g, Some(buckets));
        }
        for at in 0..62 {
            let (address, length) = match at {
                0 => (Ipv4Addr::UNSPECIFIED.into(), 0),
                1 => (Ipv6Addr::UNSPECIFIED.into(), 0),
                _ => self.prefix(),
            };
            let g = self.below(GROUPS as usize) as u32;
            world.set_prefix(address, length, Some(Lead::Group(group(g))));
        }
    }
}

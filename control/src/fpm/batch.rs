//! What zebra said since control last looked, by object: a later word on an object replaces an
//! earlier one.
//!
//! A frame is a transaction (`DELROUTE` and `NEWROUTE` of one prefix in it are a replacement), and
//! every object stands for itself, so many frames may be folded into one batch: memory is bounded
//! by the number of distinct objects however long control is busy, and nobody waits.

use std::sync::Arc;

use super::attribute::{Malformed, Messages, u32_of};
use super::decode::{self, Message, Object, Route, Skip};
use super::frame::{FrameError, Frames};
use crate::event::Noticed;
use crate::map::Map;
use crate::prefix::Prefix;

/// How many messages of each kind came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames.
    pub frames: u64,
    /// `RTM_NEWROUTE` that we forward by.
    pub newroute: u64,
    /// `RTM_DELROUTE` of such.
    pub delroute: u64,
    /// `RTM_NEWNEXTHOP`.
    pub newnexthop: u64,
    /// `RTM_DELNEXTHOP`.
    pub delnexthop: u64,
    /// Skipped, in the order of [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
    /// Messages that do not add up.
    pub malformed: u64,
}

impl Counts {
    /// Adds `other`.
    pub fn add(&mut self, other: &Counts) {
        self.frames += other.frames;
        self.newroute += other.newroute;
        self.delroute += other.delroute;
        self.newnexthop += other.newnexthop;
        self.delnexthop += other.delnexthop;
        self.malformed += other.malformed;
        for (sum, n) in self.skipped.iter_mut().zip(other.skipped) {
            *sum += n;
        }
    }
}

/// Changes by key: the last one of each, in the order in which keys first came.
#[derive(Clone, Debug)]
struct Latest<K, V> {
    changes: Vec<(K, Option<V>)>,
    places: Map<K, usize>,
}

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Latest {
            changes: Vec::new(),
            places: Map::default(),
        }
    }
}

impl<K: Copy + Eq + std::hash::Hash, V> Latest<K, V> {
    fn put(&mut self, key: K, value: Option<V>) {
        let next = self.changes.len();
        let place = *self.places.entry(key).or_insert(next);
        match self.changes.get_mut(place) {
            Some(change) => change.1 = value,
            None => self.changes.push((key, value)),
        }
    }
}

/// A batch of changes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    objects: Latest<u32, Object>,
    routes: Latest<Prefix, Route>,
    /// What it was made of.
    pub counts: Counts,
    /// When the first bytes of it were read; none: not from a socket.
    pub noticed: Option<Noticed>,
    /// `nlmsg_pid` of the latest frame.
    pub port: u32,
    /// Held as long as the batch is: tells its sender when the next one is welcome.
    pub ticket: Option<Arc<()>>,
}

impl Batch {
    /// True when nothing is in it, not even a count.
    pub fn is_empty(&self) -> bool {
        self.counts == Counts::default()
    }

    /// Changes of next hop objects: id, and what it is now; none: gone.
    pub fn objects(&self) -> &[(u32, Option<Object>)] {
        &self.objects.changes
    }

    /// Changes of routes: prefix, and what it is now; none: gone.
    pub fn routes(&self) -> &[(Prefix, Option<Route>)] {
        &self.routes.changes
    }

    /// The changes themselves: those of objects and those of routes.
    #[allow(
        clippy::type_complexity,
        reason = "the two lists of the accessors above"
    )]
    pub fn into_changes(self) -> (Vec<(u32, Option<Object>)>, Vec<(Prefix, Option<Route>)>) {
        (self.objects.changes, self.routes.changes)
    }

    /// Puts a message on top.
    pub fn put(&mut self, message: Message) {
        match message {
            Message::Nexthop(id, object) => {
                self.counts.newnexthop += 1;
                self.objects.put(id, Some(object));
            }
            Message::DelNexthop(id) => {
                self.counts.delnexthop += 1;
                self.objects.put(id, None);
            }
            Message::Route(prefix, route) => {
                self.counts.newroute += 1;
                self.routes.put(prefix, Some(route));
            }
            Message::DelRoute(prefix) => {
                self.counts.delroute += 1;
                self.routes.put(prefix, None);
            }
            Message::Skipped(skip) => self.counts.skipped[skip as usize] += 1,
        }
    }

    /// Puts the messages of a frame on top. One that does not add up is counted and skipped.
    pub fn put_frame(&mut self, payload: &[u8]) {
        self.counts.frames += 1;
        if let Some(port) = payload.get(12..).and_then(|p| u32_of(p).ok()) {
            self.port = port;
        }
        for message in Messages(payload) {
            match message.and_then(|(kind, body)| decode::message(kind, body)) {
                Ok(message) => self.put(message),
                Err(Malformed) => self.counts.malformed += 1,
            }
        }
    }

    /// Puts every whole frame of `frames` on top.
    ///
    /// # Errors
    /// The stream is no longer FPM. The frames before that point are in the batch.
    pub fn put_frames(&mut self, frames: &mut Frames) -> Result<(), FrameError> {
        while let Some(payload) = frames.next_frame()? {
            self.put_frame(payload);
        }
        Ok(())
    }

    /// Puts all of `later` on top.
    pub fn merge(&mut self, later: Batch) {
        self.counts.add(&later.counts);
        if later.port != 0 {
            self.port = later.port;
        }
        for (id, object) in later.objects.changes {
            self.objects.put(id, object);
        }
        for (prefix, route) in later.routes.changes {
            self.routes.put(prefix, route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::decode::{RouteKind, Via};

    fn to(id: u32) -> Route {
        Route {
            kind: RouteKind::Unicast,
            protocol: 186,
            via: Via::Id(id),
            prefsrc: None,
            mtu: 0,
        }
    }

    #[test]
    fn the_last_word_on_an_object_counts() {
        let a: Prefix = "10.0.0.0/8".parse().expect("prefix");
        let b: Prefix = "11.0.0.0/8".parse().expect("prefix");
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.put(Message::Route(a, to(1)));
        batch.put(Message::Route(b, to(1)));
        batch.put(Message::DelRoute(a));
        batch.put(Message::DelNexthop(9));
        let mut later = Batch::default();
        later.put(Message::Route(a, to(2)));
        later.put(Message::DelRoute(b));
        later.put(Message::Nexthop(9, Object::Blackhole));
        later.put(Message::Skipped(Skip::Mpls));
        batch.merge(later);
        assert_eq!(batch.routes(), [(a, Some(to(2))), (b, None)]);
        assert_eq!(batch.objects(), [(9, Some(Object::Blackhole))]);
        assert_eq!(
            (
                batch.counts.newroute,
                batch.counts.delroute,
                batch.counts.skipped[Skip::Mpls as usize]
            ),
            (3, 2, 1)
        );
    }
}

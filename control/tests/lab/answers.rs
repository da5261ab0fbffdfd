//! Answers to zebra, taken apart.

use super::{Lab, prefix};
use control::api::message::Answers;
use control::api::{Request, Response};
use control::event::{Action, Event};
use control::fpm::FpmEvent;
use control::fpm::answer::{OFFLOAD, OFFLOAD_FAILED, TRAP};
use control::fpm::attribute::Messages;
use control::fpm::decode::{self, Message};
use control::fpm::frame::Frames;
use fastpath::table::LpmWrite;
use std::collections::BTreeMap;
use std::time::Duration;

/// What each prefix was answered, in order.
pub type Told = Vec<(String, &'static str)>;

/// The answers in `frames`, as far as they are whole.
pub fn read(frames: &mut Frames) -> Told {
    let mut told = Told::new();
    while let Some(payload) = frames.next_frame().expect("frames") {
        for message in Messages(payload) {
            let (kind, body) = message.expect("message");
            let Ok(Message::Route(prefix, _)) = decode::message(kind, body) else {
                panic!("{body:x?}");
            };
            let flags = u32::from_ne_bytes([body[8], body[9], body[10], body[11]]);
            let name = match flags {
                OFFLOAD => "offload",
                TRAP => "trap",
                OFFLOAD_FAILED => "failed",
                _ if flags == OFFLOAD | TRAP => "offload-trap",
                _ => panic!("{flags:x}"),
            };
            told.push((prefix.to_string(), name));
        }
    }
    told
}

/// The newest of each prefix.
pub fn newest(told: Told) -> BTreeMap<String, &'static str> {
    told.into_iter().collect()
}

impl<L: LpmWrite> Lab<L> {
    /// The bytes that control hands over, if any.
    pub fn load(&mut self) -> Option<Vec<u8>> {
        let mut loads = self.control.actions().filter_map(|action| match action {
            Action::FpmReply { bytes, .. } => Some(bytes),
            _ => None,
        });
        let load = loads.next();
        assert!(loads.next().is_none(), "one at a time");
        load
    }

    /// They are written to the latest connection.
    pub fn written(&mut self) {
        let connection = self.connection;
        self.event(Event::Fpm(FpmEvent::Written { connection }));
    }

    /// All that zebra is told by now, which reads it at once.
    pub fn told(&mut self) -> Told {
        let mut frames = Frames::default();
        while let Some(load) = self.load() {
            frames.push(&load);
            self.written();
        }
        read(&mut frames)
    }

    pub fn answers(&mut self) -> Answers {
        match self.ask(&Request::ShowFpm) {
            Response::Fpm(fpm) => fpm.answers,
            other => panic!("{other:?}"),
        }
    }

    /// zebra deletes a route, of which it has others.
    pub fn delete(&mut self, text: &str) {
        let mut batch = control::fpm::Batch::default();
        batch.put(Message::DelRoute(prefix(text)));
        self.batch(batch);
        self.pass(Duration::from_millis(100));
    }
}

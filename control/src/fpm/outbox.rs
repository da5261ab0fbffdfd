//! The way of answers from control to zebra.
//!
//! Control hands over one load of frames and the next only when that is written
//! ([`FpmEvent::Written`]); until then it keeps what there is to say by prefix, so that a newer word
//! on a route replaces an older one. Where zebra does not read, one load waits here, a little in the
//! socket, and nobody but this thread for it.

use super::FpmEvent;
use crate::event::Event;
use parking_lot::Mutex;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

/// What the kernel may keep for zebra: some 3,000 answers.
pub const SOCKET_BYTES: usize = 128 << 10;

/// Loads for the latest connection, from whoever carries out control's actions.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Mutex<Option<Latest>>>);

/// The latest connection, and its writer.
#[derive(Debug)]
struct Latest {
    connection: u64,
    loads: SyncSender<Vec<u8>>,
}

impl Outbox {
    /// Hands `bytes` to the writer of `connection`; false: thrown away, it is another's turn or the
    /// one before is not written yet. Never waits.
    pub fn send(&self, connection: u64, bytes: Vec<u8>) -> bool {
        match &*self.0.lock() {
            Some(latest) if latest.connection == connection => latest.loads.try_send(bytes).is_ok(),
            _ => false,
        }
    }

    /// From now on loads are for this connection.
    pub(super) fn open(&self, connection: u64) -> Receiver<Vec<u8>> {
        let (loads, receiver) = sync_channel(1);
        *self.0.lock() = Some(Latest { connection, loads });
        receiver
    }

    /// Nobody is connected: the writer ends.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}

/// Writes loads until the connection or the outbox is closed.
pub(super) fn write(
    mut stream: &TcpStream,
    connection: u64,
    loads: &Receiver<Vec<u8>>,
    events: &Sender<Event>,
) {
    // A load is whole; what zebra waits for is not to wait for more.
    let mut done = stream.set_nodelay(true);
    for load in loads {
        done = done.and_then(|()| stream.write_all(&load));
        if let Err(cause) = done {
            // What the reader sees when zebra goes away needs no second word.
            let is_gone = matches!(
                cause.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected
            );
            if !is_gone {
                log::warn!("fpm: write answers: {cause}; closing the connection, zebra comes back");
            }
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let written = FpmEvent::Written { connection };
        if events.send(Event::Fpm(written)).is_err() {
            return;
        }
    }
}

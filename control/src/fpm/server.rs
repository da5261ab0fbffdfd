//! The listening socket: zebra connects, and what it writes becomes batches for control.
//!
//! zebra stops programming the kernel when its FPM peer does not read, so the reader never waits
//! for control. While control is busy with a batch, the next one grows, and in it a newer word on
//! an object replaces an older one: memory is bounded by the number of objects, not of messages.
//! Answers go out by a thread of their own, which alone waits where zebra does not read them.

use super::FpmEvent;
use super::batch::Batch;
use super::frame::Frames;
use super::outbox::{self, Outbox};
use crate::event::{Event, Noticed};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force,
    set_socket_send_buffer_size, set_socket_timeout,
};
use std::fmt;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often a reader with a batch in hand looks whether control is done with the one before.
const HANDOVER: Duration = Duration::from_millis(1);

/// What the kernel may keep for us: some 100,000 routes.
const SOCKET_BYTES: usize = 8 << 20;

/// Bytes read at once: some 4,000 routes, which is as much as control takes in a few ms.
const READ_BYTES: usize = 256 << 10;

/// Why nobody can connect.
#[derive(Debug)]
pub struct ListenError {
    address: SocketAddr,
    operation: &'static str,
    cause: std::io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.address, self.operation, self.cause)?;
        match self.cause.kind() {
            ErrorKind::AddrInUse => f.write_str("; stop who listens there, or set [fpm] listen"),
            ErrorKind::AddrNotAvailable => f.write_str("; set [fpm] listen to an own address"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ListenError {}

/// The socket that zebra connects to. The latest connection is the one that counts.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    outbox: Outbox,
}

impl Server {
    /// Listens at `address`.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |operation| {
            move |cause| ListenError {
                address,
                operation,
                cause,
            }
        };
        let listener = TcpListener::bind(address).map_err(failed("listen"))?;
        // Accepted sockets inherit it, and the window is negotiated at their start. Forced: root
        // may have more than net.core.rmem_max; others take what they get.
        if set_socket_recv_buffer_size_force(&listener, SOCKET_BYTES).is_err() {
            set_socket_recv_buffer_size(&listener, SOCKET_BYTES)
                .map_err(|errno| failed("set receive buffer")(errno.into()))?;
        }
        // On Linux it bounds accept, too.
        set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| failed("set timeout")(errno.into()))?;
        // Answers that zebra has not read are soon old news: few are to lie there.
        set_socket_send_buffer_size(&listener, outbox::SOCKET_BYTES)
            .map_err(|errno| failed("set send buffer")(errno.into()))?;
        Ok(Server {
            listener,
            outbox: Outbox::default(),
        })
    }

    /// The way back to whoever is connected.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Where it listens: with port 0 asked for, the system chose one.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves zebra until `stop` is set.
    pub fn run(self, events: &Sender<Event>, stop: &AtomicBool) {
        let mut connection = 0;
        let mut current: Option<Session> = None;
        while !stop.load(Ordering::Relaxed) {
            let (stream, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(cause) => {
                    if !matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
                        log::error!("fpm: accept: {cause}");
                        thread::sleep(PATIENCE);
                    }
                    continue;
                }
            };
            // A half-open connection ends only now; what it did not deliver comes again.
            drop(current.take());
            connection += 1;
            let connected = FpmEvent::Connected { connection, peer };
            if events.send(Event::Fpm(connected)).is_err() {
                return;
            }
            match Session::start(stream, connection, events.clone(), &self.outbox) {
                Ok(session) => current = Some(session),
                Err(cause) => {
                    log::error!("fpm: {peer}: serve: {cause}");
                    let reason = cause.to_string();
                    let _ = events.send(Event::Fpm(FpmEvent::Closed { connection, reason }));
                }
            }
        }
    }
}

/// A connection, its reader and its writer; ended when dropped.
struct Session {
    stream: TcpStream,
    stop: Arc<AtomicBool>,
    outbox: Outbox,
    threads: Vec<JoinHandle<()>>,
}

impl Session {
    fn start(
        stream: TcpStream,
        connection: u64,
        events: Sender<Event>,
        outbox: &Outbox,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut session = Session {
            stream: stream.try_clone()?,
            stop: Arc::clone(&stop),
            outbox: outbox.clone(),
            threads: Vec::new(),
        };
        let (answers, told) = (stream.try_clone()?, events.clone());
        let asked = outbox.open(connection);
        session.thread("answers", connection, move || {
            outbox::write(&answers, connection, &asked, &told);
        })?;
        let mut reader = Reader {
            stream,
            frames: Frames::default(),
            pending: Batch::default(),
            ticket: Arc::new(()),
            events,
            stop: Arc::clone(&stop),
            waits: Duration::ZERO,
        };
        let work = move || {
            let reason = reader.read();
            // Gone with the process, or superseded: either way nobody waits for this.
            if !reader.stop.load(Ordering::Relaxed) {
                reader.hand_over(true);
                let closed = FpmEvent::Closed { connection, reason };
                let _ = reader.events.send(Event::Fpm(closed));
            }
        };
        session.thread("fpm", connection, work)?;
        Ok(session)
    }

    fn thread(
        &mut self,
        name: &str,
        connection: u64,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let name = format!("{name}-{connection}");
        self.threads
            .push(thread::Builder::new().name(name).spawn(work)?);
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.outbox.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Reader {
    stream: TcpStream,
    frames: Frames,
    /// Read, and not handed over.
    pending: Batch,
    /// In the batch that control has: shared as long as it has not taken that apart.
    ticket: Arc<()>,
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
    /// The socket's timeout.
    waits: Duration,
}

impl Reader {
    /// Reads to the end; says why it ended.
    fn read(&mut self) -> String {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return "superseded".into();
            }
            self.hand_over(false);
            let wait = if self.pending.is_empty() {
                PATIENCE
            } else {
                HANDOVER
            };
            if wait != self.waits {
                self.waits = wait;
                if let Err(errno) = set_socket_timeout(&self.stream, Timeout::Recv, Some(wait)) {
                    return format!("set timeout: {errno}");
                }
            }
            match self.stream.read(self.frames.room(READ_BYTES)) {
                Ok(0) => return "closed by zebra".into(),
                Ok(count) => {
                    self.pending.noticed.get_or_insert_with(Noticed::now);
                    self.frames.received(count);
                }
                Err(cause) => match cause.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                        continue;
                    }
                    _ => return cause.to_string(),
                },
            }
            if let Err(error) = self.pending.put_frames(&mut self.frames) {
                log::error!("fpm: {error}; closing the connection, what is programmed stays");
                let _ = self.stream.shutdown(Shutdown::Both);
                return error.to_string();
            }
        }
    }

    /// Gives control the pending batch if it is done with the one before, or in any case (`last`).
    fn hand_over(&mut self, last: bool) {
        let busy = Arc::strong_count(&self.ticket) > 1;
        if self.pending.is_empty() || busy && !last {
            return;
        }
        let mut batch = std::mem::take(&mut self.pending);
        batch.ticket = Some(Arc::clone(&self.ticket));
        // Control is gone only when the process ends.
        let _ = self
            .events
            .send(Event::Fpm(FpmEvent::Batch(Box::new(batch))));
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

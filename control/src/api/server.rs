//! The answering side of the api socket.
//!
//! Clients are untrusted as to their manners: requests have a largest size, whoever is slow is cut
//! off, and only so many are served at a time. None of this touches the control thread, which sees
//! whole requests only.

use super::message::{Counters, Error, Reply, Request, Response};
use super::prepare::{self, Drawing};
use crate::event::Event;
use crate::places::Place;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, sync_channel};
use std::time::{Duration, Instant};

/// The largest request in bytes; real ones have less than 200.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;

/// The most clients at a time.
pub const MAX_CLIENTS: usize = 16;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a request's first byte to its last, and for taking an answer.
    pub request: Duration,
    /// Between requests.
    pub idle: Duration,
    /// For control to answer.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(5),
        }
    }
}

/// How often the listening thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Why there is no socket.
#[derive(Debug)]
pub enum BindError {
    /// Somebody listens there.
    InUse(PathBuf),
    /// Something is there that is no socket.
    NotASocket(PathBuf),
    /// The system's reason, at this step.
    System(PathBuf, &'static str, std::io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::InUse(path) => write!(
                f,
                "{}: listen: another evenpath listens there; stop it, or set [api] socket",
                path.display()
            ),
            BindError::NotASocket(path) => write!(
                f,
                "{}: listen: something that is no socket is there; remove it, or set [api] socket",
                path.display()
            ),
            BindError::System(path, operation, cause) => {
                write!(f, "{}: {operation}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for BindError {}

/// Answers one request; called by several threads.
pub type Handler = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

/// A handler that has control answer, but for the workers' counters, which `counters` gives whether or
/// not control answers.
pub fn ask_control(
    events: Sender<Event>,
    limits: Limits,
    counters: impl Fn() -> Counters + Send + Sync + 'static,
) -> Handler {
    let drawing = Drawing::default();
    let control = move |request: Request| {
        let (reply, answer) = sync_channel(1);
        // What changes something is carried out whether or not somebody waits: who asked hears of it.
        let is_change = request.is_change();
        let sent = events.send(Event::Request(request, reply));
        let wait = |()| match is_change {
            true => answer.recv().ok(),
            false => answer.recv_timeout(limits.answer).ok(),
        };
        match sent.ok().and_then(wait) {
            Some(reply) => reply,
            None => error("control", "answer", "no answer; it is busy or ends", None),
        }
    };
    Arc::new(move |request| match request {
        Request::ShowCounters => {
            let answer = control(Request::ShowCounters);
            let mut all = counters();
            if let Reply::Ok(Response::Counters(own)) = answer {
                (all.failover, all.fpm_answers) = (own.failover, own.fpm_answers);
            }
            Reply::Ok(Response::Counters(all))
        }
        request => match prepare::ask(request, &control, &drawing) {
            Reply::Ok(Response::Metrics(mut metrics)) => {
                metrics.counters = counters();
                Reply::Ok(Response::Metrics(metrics))
            }
            reply => reply,
        },
    })
}

fn error(object: &str, operation: &str, cause: impl ToString, remedy: Option<&str>) -> Reply {
    Reply::Error(Error {
        object: object.into(),
        operation: operation.into(),
        cause: cause.to_string(),
        remedy: remedy.map(String::from),
    })
}

/// The listening socket; its file goes away with it.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    limits: Limits,
}

impl Server {
    /// Listens at `path`, for the owner and the group (mode 0660). A socket that nobody listens on
    /// is replaced; one that somebody listens on is an error.
    pub fn bind(path: &Path, limits: Limits) -> Result<Self, BindError> {
        let system = |operation| move |cause| BindError::System(path.into(), operation, cause);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(system("make its directory"))?;
        }
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(BindError::NotASocket(path.into()));
            }
            match UnixStream::connect(path) {
                Err(cause) if cause.kind() == ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(system("replace"))?;
                }
                Err(cause) => return Err(system("replace")(cause)),
                Ok(_) => return Err(BindError::InUse(path.into())),
            }
        }
        let listener = UnixListener::bind(path).map_err(system("listen"))?;
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, mode).map_err(system("set its mode"))?;
        // On Linux it bounds accept, too.
        set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| system("set its timeout")(errno.into()))?;
        Ok(Server {
            listener,
            path: path.into(),
            limits,
        })
    }

    /// Serves until `stop` is set; a thread for each client.
    pub fn run(self, handler: &Handler, stop: &Arc<AtomicBool>) {
        let clients = Arc::new(AtomicUsize::new(0));
        while !stop.load(Ordering::Relaxed) {
            let Ok((stream, _)) = self.listener.accept() else {
                // Timeout, or no more file descriptors: in either case, later.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            let place = Place::take(&clients, MAX_CLIENTS);
            let mut client = Client {
                stream,
                limits: self.limits,
                stop: Arc::clone(stop),
            };
            let Some(place) = place else {
                let remedy = Some("close one of them");
                client.answer(&error("api", "connect", "16 clients are connected", remedy));
                continue;
            };
            let handler = Arc::clone(handler);
            let thread = std::thread::Builder::new().name("api-client".into());
            // Without a thread the client is closed, and sees that.
            let _ = thread.spawn(move || {
                client.serve(&*handler);
                drop(place);
            });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Client {
    stream: UnixStream,
    limits: Limits,
    stop: Arc<AtomicBool>,
}

impl Client {
    fn serve(&mut self, handler: &dyn Fn(Request) -> Reply) {
        let mut buffer = Vec::new();
        while let Some(line) = self.line(&mut buffer) {
            let reply = match line {
                Ok(line) => match serde_json::from_slice(&line) {
                    Ok(request) => handler(request),
                    Err(cause) => {
                        let remedy =
                            Some("one JSON object a line, e.g. {\"request\":\"show-port\"}");
                        error("request", "read", cause, remedy)
                    }
                },
                Err(reply) => {
                    self.answer(&reply);
                    return;
                }
            };
            if !self.answer(&reply) {
                return;
            }
        }
    }

    /// The next line; none: the client has gone or been silent; an error: the last answer.
    fn line(&mut self, buffer: &mut Vec<u8>) -> Option<Result<Vec<u8>, Reply>> {
        let mut deadline = Instant::now() + self.limits.idle;
        let mut searched = 0;
        let mut begun = false;
        loop {
            if let Some(at) = buffer[searched..].iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = buffer.drain(..=searched + at).collect();
                line.pop();
                return Some(Ok(line));
            }
            if buffer.len() > MAX_REQUEST_BYTES {
                let cause = "longer than 65536 bytes";
                return Some(Err(error(
                    "request",
                    "read",
                    cause,
                    Some("one JSON object a line"),
                )));
            }
            searched = buffer.len();
            if !begun && !buffer.is_empty() {
                (begun, deadline) = (true, Instant::now() + self.limits.request);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.load(Ordering::Relaxed) {
                let cause = format!("not complete after {:?}", self.limits.request);
                return begun.then(|| Err(error("request", "read", cause, None)));
            }
            self.stream
                .set_read_timeout(Some(left.min(PATIENCE)))
                .ok()?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => buffer.extend(chunk.iter().take(read)),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends `reply`; false when the client does not take it in time.
    fn answer(&mut self, reply: &Reply) -> bool {
        let Ok(mut line) = serde_json::to_vec(reply) else {
            return false;
        };
        line.push(b'\n');
        let deadline = Instant::now() + self.limits.request;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_write_timeout(Some(left)).is_err() {
                return false;
            }
            match self.stream.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

//! A web server that knows one page: `GET /metrics`.
//!
//! Clients are untrusted: a request has a largest size and a time to come in, an answer a time to be
//! taken, and only [`MAX_CLIENTS`] are served at a time. Control is asked at most once a
//! [`FRESH`], however many ask here.

use super::exposition;
use crate::api::server::Handler;
use crate::api::{Reply, Request, Response};
use crate::places::Place;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most clients at a time.
pub const MAX_CLIENTS: usize = 8;
/// The largest request in bytes.
pub const MAX_REQUEST_BYTES: usize = 8 << 10;
/// How old an answer may be.
pub const FRESH: Duration = Duration::from_secs(1);
/// How often the listening thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Why nobody listens.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    cause: std::io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { address, cause } = self;
        write!(f, "{address}: listen: {cause}; set [metrics] listen")
    }
}

impl std::error::Error for BindError {}

/// The listening socket.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limit: Duration,
}

/// The page as it was, and when.
type Kept = Mutex<Option<(Instant, Arc<String>)>>;

impl Server {
    /// Listens at `address`. A request must come in, and an answer be taken, within `limit` each.
    ///
    /// # Errors
    /// The system's: the address is not ours, or taken.
    pub fn bind(address: SocketAddr, limit: Duration) -> Result<Self, BindError> {
        let open = || {
            let listener = TcpListener::bind(address)?;
            // On Linux it bounds accept, too.
            set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
            Ok(Server { listener, limit })
        };
        open().map_err(|cause| BindError { address, cause })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is set; a thread for each client.
    pub fn run(self, handler: &Handler, stop: &AtomicBool) {
        let clients = Arc::new(AtomicUsize::new(0));
        let kept: Arc<Kept> = Arc::default();
        while !stop.load(Ordering::Relaxed) {
            let Ok((stream, _)) = self.listener.accept() else {
                // Timeout, or no more file descriptors: in either case, later.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            // Who finds no place is cut off: no answer may keep this thread.
            let Some(place) = Place::take(&clients, MAX_CLIENTS) else {
                continue;
            };
            let (handler, kept, limit) = (Arc::clone(handler), Arc::clone(&kept), self.limit);
            let thread = std::thread::Builder::new().name("metrics-client".into());
            // Without a thread the client is closed, and sees that.
            let _ = thread.spawn(move || {
                serve(stream, limit, || page(&kept, &handler));
                drop(place);
            });
        }
    }
}

/// The page, made anew if it is old.
fn page(kept: &Kept, handler: &Handler) -> Option<Arc<String>> {
    // Whoever waits here gets what the one before has made.
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, page)) = kept.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Some(Arc::clone(page));
    }
    let Reply::Ok(Response::Metrics(metrics)) = handler(Request::ShowMetrics) else {
        return None;
    };
    let page = Arc::new(exposition(&metrics));
    *kept = Some((Instant::now(), Arc::clone(&page)));
    Some(page)
}

/// One request and its answer; the connection ends with it.
fn serve(mut stream: TcpStream, limit: Duration, page: impl FnOnce() -> Option<Arc<String>>) {
    let asked = match request(&mut stream, limit) {
        Some(asked) => asked,
        None => return,
    };
    let plain = "text/plain; charset=utf-8";
    let (status, kind, body) = match asked {
        Asked::Page { .. } => match page() {
            Some(page) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", page),
            None => {
                let words = "control gives no answer; it is busy or ends\n";
                ("503 Service Unavailable", plain, Arc::new(words.into()))
            }
        },
        Asked::Other(status) => (status, plain, Arc::new(format!("{status}\n"))),
    };
    let allow = match status {
        METHOD => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    if !matches!(asked, Asked::Page { head: true }) {
        answer += &body;
    }
    let deadline = Instant::now() + limit;
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_write_timeout(Some(left)).is_err() {
            return;
        }
        match stream.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

const METHOD: &str = "405 Method Not Allowed";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The page; with `head` what precedes it alone.
    Page { head: bool },
    /// Something else: this status.
    Other(&'static str),
}

/// Reads up to the empty line; `None` if it does not come in time.
fn request(stream: &mut TcpStream, limit: Duration) -> Option<Asked> {
    let deadline = Instant::now() + limit;
    let mut text = Vec::new();
    loop {
        if text.windows(4).any(|w| w == b"\r\n\r\n") || text.windows(2).any(|w| w == b"\n\n") {
            return Some(asked(&text));
        }
        if text.len() >= MAX_REQUEST_BYTES {
            return Some(Asked::Other("431 Request Header Fields Too Large"));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(read) => text.extend(chunk.iter().take(read)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return None,
        }
    }
}

/// What the request in `text` asks for: by its first line alone (RFC 9112 section 3).
fn asked(text: &[u8]) -> Asked {
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default().trim_end();
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Asked::Other("400 Bad Request");
    };
    if !version.starts_with("HTTP/1.") {
        return Asked::Other("400 Bad Request");
    }
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => Asked::Page { head: false },
        ("HEAD", "/metrics") => Asked::Page { head: true },
        ("GET" | "HEAD", _) => Asked::Other("404 Not Found"),
        _ => Asked::Other(METHOD),
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

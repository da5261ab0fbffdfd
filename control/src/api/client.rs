//! The asking side of the api socket: what `evenpath show` and `calc` use.

use super::message::{self, Reply, Request, Response, Routes};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody can be reached at the socket.
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The conversation broke off.
    Talk {
        /// The socket.
        socket: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The answer is not one that this version understands.
    Answer {
        /// The socket.
        socket: PathBuf,
        /// Why.
        cause: serde_json::Error,
    },
    /// evenpath answered, and it is an error.
    Refused(message::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, WouldBlock};
        match self {
            ClientError::Connect { socket, cause } => {
                write!(f, "{}: connect: {cause}", socket.display())?;
                f.write_str(match cause.kind() {
                    NotFound | ConnectionRefused => {
                        "; is `evenpath run` running, and is this its socket (--socket PATH)?"
                    }
                    PermissionDenied => "; run as root or as a member of the socket's group",
                    _ => "",
                })
            }
            ClientError::Talk { socket, cause } if cause.kind() == WouldBlock => write!(
                f,
                "{}: request: no answer within {} s; see the log of `evenpath run`",
                socket.display(),
                PATIENCE.as_secs()
            ),
            ClientError::Talk { socket, cause } => {
                write!(f, "{}: request: {cause}", socket.display())
            }
            ClientError::Answer { socket, cause } => write!(
                f,
                "{}: answer: {cause}; is `evenpath run` of another version?",
                socket.display()
            ),
            ClientError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {}

/// A connection to a running evenpath.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to `socket`.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let open = || {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(BufReader::new(stream))
        };
        match open() {
            Ok(stream) => Ok(Client {
                socket: socket.into(),
                stream,
            }),
            Err(cause) => Err(ClientError::Connect {
                socket: socket.into(),
                cause,
            }),
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        let line = self.exchange(request).map_err(|cause| ClientError::Talk {
            socket: self.socket.clone(),
            cause,
        })?;
        match serde_json::from_str(&line) {
            Ok(Reply::Ok(response)) => Ok(response),
            Ok(Reply::Error(error)) => Err(ClientError::Refused(error)),
            Err(cause) => Err(ClientError::Answer {
                socket: self.socket.clone(),
                cause,
            }),
        }
    }

    fn exchange(&mut self, request: &Request) -> std::io::Result<String> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes())?;
        line.clear();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }

    /// As [`Client::ask`]; asks on until all routes are there.
    pub fn ask_all(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut response = self.ask(request)?;
        let (Request::ShowRoute(query), Response::Route(all)) = (request, &mut response) else {
            return Ok(response);
        };
        let mut query = query.clone();
        while let Some(after) = all.next.take() {
            query.after = Some(after);
            let Response::Route(Routes { routes, next }) =
                self.ask(&Request::ShowRoute(query.clone()))?
            else {
                break;
            };
            all.routes.extend(routes);
            // An answer that leads nowhere new ends it.
            all.next = next.filter(|next| *next > after);
        }
        Ok(response)
    }
}

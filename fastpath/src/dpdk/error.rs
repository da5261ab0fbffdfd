//! What DPDK refuses, in words for an operator: object, operation, cause, remedy.
//!
//! DPDK has three conventions, and each has a helper here: a negative error number ([`check`]), -1
//! and `rte_errno` ([`check_errno`]), NULL and `rte_errno` ([`check_ptr`]). [`Failed::at`] adds
//! object and operation, and the first error line that DPDK logged meanwhile, which often is the
//! only place where the real cause stands.

use std::ffi::c_int;
use std::fmt;
use std::ptr::NonNull;

/// A system or DPDK error number, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// The name and meaning, when it is one that DPDK uses.
    fn known(self) -> Option<(&'static str, &'static str)> {
        Some(match self.0 {
            libc::EPERM => ("EPERM", "operation not permitted"),
            libc::ENOENT => ("ENOENT", "no such entry"),
            libc::EIO => ("EIO", "input/output error"),
            libc::EAGAIN => ("EAGAIN", "try again"),
            libc::ENOMEM => ("ENOMEM", "out of memory"),
            libc::EACCES => ("EACCES", "permission denied"),
            libc::EBUSY => ("EBUSY", "busy"),
            libc::EEXIST => ("EEXIST", "exists already"),
            libc::ENODEV => ("ENODEV", "no such device"),
            libc::EINVAL => ("EINVAL", "invalid argument"),
            libc::ENOSPC => ("ENOSPC", "no space left"),
            libc::ENOTSUP => ("ENOTSUP", "not supported"),
            libc::EALREADY => ("EALREADY", "done already"),
            libc::ENOSYS => ("ENOSYS", "not implemented"),
            libc::ERANGE => ("ERANGE", "out of range"),
            libc::EPROTO => ("EPROTO", "protocol error"),
            libc::ETIMEDOUT => ("ETIMEDOUT", "timed out"),
            _ => return None,
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((name, text)) => write!(f, "{text} ({name})"),
            None => write!(f, "{}", std::io::Error::from_raw_os_error(self.0)),
        }
    }
}

/// What an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// The environment abstraction layer.
    Eal,
    /// The packet pool of that name.
    Pool(String),
    /// The device of these devargs.
    Device(String),
    /// The port of that configured name.
    Port(String),
    /// A receive queue of a port.
    RxQueue(String, u16),
    /// A transmit queue of a port.
    TxQueue(String, u16),
    /// The IPv4 lookup table.
    Fib4,
    /// The IPv6 lookup table.
    Fib6,
    /// The calling thread.
    Thread,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Eal => f.write_str("EAL"),
            Object::Pool(name) => write!(f, "pool {name}"),
            Object::Device(devargs) => write!(f, "device {devargs}"),
            Object::Port(name) => write!(f, "port {name}"),
            Object::RxQueue(name, queue) => write!(f, "port {name}: rx queue {queue}"),
            Object::TxQueue(name, queue) => write!(f, "port {name}: tx queue {queue}"),
            Object::Fib4 => f.write_str("fib4"),
            Object::Fib6 => f.write_str("fib6"),
            Object::Thread => f.write_str("thread"),
        }
    }
}

/// Why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// DPDK or the system said so.
    Errno(Errno),
    /// The device lacks these.
    Missing(Vec<super::caps::Missing>),
    /// We refuse it ourselves, for this reason.
    Refused(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Errno(errno) => write!(f, "{errno}"),
            Cause::Refused(reason) => f.write_str(reason),
            Cause::Missing(missing) => {
                f.write_str("the device lacks ")?;
                for (i, one) in missing.iter().enumerate() {
                    write!(f, "{}{one}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// On what.
    pub object: Object,
    /// Which operation, a verb or a few words.
    pub operation: &'static str,
    /// Why.
    pub cause: Cause,
    /// DPDK's first error line during the operation.
    pub said: Option<String>,
    /// What to do about it, when that is known.
    pub remedy: Option<String>,
}

impl Error {
    pub(super) fn new(object: Object, operation: &'static str, cause: Cause) -> Self {
        Error {
            object,
            operation,
            cause,
            said: None,
            remedy: None,
        }
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The error number, when there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self.cause {
            Cause::Errno(errno) => Some(errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.operation, self.cause)?;
        if let Some(said) = &self.said {
            write!(f, " [DPDK: {said}]")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Adds object and operation to a bare error number.
pub(super) trait Failed<T> {
    /// `object` is made only for an error.
    fn at(self, object: impl FnOnce() -> Object, operation: &'static str) -> Result<T, Error>;
}

impl<T> Failed<T> for Result<T, Errno> {
    fn at(self, object: impl FnOnce() -> Object, operation: &'static str) -> Result<T, Error> {
        self.map_err(|errno| Error {
            said: super::logging::take_error(),
            ..Error::new(object(), operation, Cause::Errno(errno))
        })
    }
}

/// The result of a function that returns a negative error number on failure.
pub(super) fn check(rc: c_int) -> Result<c_int, Errno> {
    if rc < 0 { Err(Errno(-rc)) } else { Ok(rc) }
}

/// The result of a function that returns -1 and sets `rte_errno`.
pub(super) fn check_errno(rc: c_int) -> Result<c_int, Errno> {
    if rc < 0 { Err(last_errno()) } else { Ok(rc) }
}

/// The result of a function that returns NULL and sets `rte_errno`.
pub(super) fn check_ptr<T>(pointer: *mut T) -> Result<NonNull<T>, Errno> {
    NonNull::new(pointer).ok_or_else(last_errno)
}

fn last_errno() -> Errno {
    // SAFETY: reads a thread-local variable; needs nothing.
    Errno(unsafe { dpdk_sys::evenpath_errno() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_object_operation_cause_and_remedy() {
        let error = Error::new(
            Object::RxQueue("up1".into(), 3),
            "setup",
            Cause::Errno(Errno(libc::EINVAL)),
        )
        .remedy("the driver allows at most 2 queues");
        assert_eq!(
            error.to_string(),
            "port up1: rx queue 3: setup: invalid argument (EINVAL); \
             the driver allows at most 2 queues"
        );
    }

    #[test]
    fn the_three_conventions() {
        assert_eq!(check(-libc::ENOSPC), Err(Errno(libc::ENOSPC)));
        assert_eq!(check(7), Ok(7));
        // SAFETY: writes a thread-local variable; needs nothing.
        unsafe { dpdk_sys::evenpath_set_errno(libc::ENOMEM) };
        assert_eq!(check_errno(-1), Err(Errno(libc::ENOMEM)));
        assert_eq!(
            check_ptr::<u8>(std::ptr::null_mut()),
            Err(Errno(libc::ENOMEM))
        );
    }

    #[test]
    fn unusual_numbers_have_the_systems_words() {
        assert!(
            Errno(libc::ENETDOWN)
                .to_string()
                .contains("Network is down")
        );
    }
}
